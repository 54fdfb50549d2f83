/* What keeps secrets within this process. */
#include "cli/guard.h"

#include "base/env.h"
#include "base/io.h"
#include "base/str.h"
#include "net/net.h"
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

/* A launcher that looks for its daemons after a dispatcher was killed reads environments in /proc, and that of
 * a process with closed memory only root can read. So what tells a launch's daemon from others becomes arguments,
 * which are there for all to read: by executing this program anew. Where that fails the daemon works all the same. */
static void show_marks(char **argv) {
  static const char *const names[] = {"HATO_LAUNCH_TAG", "HATO_MEMBER", "HATO_SHARE"};
  enum { NAMES = sizeof names / sizeof *names };
  char program[4096], mark[] = "--mark", *marks[NAMES] = {0};
  size_t n = 2, k = 2;
  if (!getenv(names[0]) || (argv[2] && strcmp(argv[2], "--mark") == 0) || !hato__self_exe(program, sizeof program)) return;
  while (argv[n]) n++;
  char **words = calloc(n + (size_t)2 * NAMES + 1, sizeof *words);
  for (size_t i = 0; words && i < NAMES; i++) {
    const char *value = getenv(names[i]);
    if (!value || !(marks[i] = hato__printf("%s=%s", names[i], value))) continue;
    words[k++] = mark;
    words[k++] = marks[i];
  }
  if (words) {
    words[0] = argv[0];
    words[1] = argv[1];
    memcpy(words + k, argv + 2, (n - 2) * sizeof *words);
    (void)execv(program, words);
  }
  for (size_t i = 0; i < NAMES; i++) free(marks[i]);
  free(words);
}

void cli_guard(char **argv) {
  const char *verb = argv[0] && argv[1] ? argv[1] : "";
  bool daemon = strcmp(verb, "daemon") == 0;
  if (daemon) show_marks(argv);
  if (!daemon) hato__env_wipe("HATO_CREDENTIAL");
  /* No core, and no other process of our user looks into ours. Executors have no secret, and whose function
   * crashed wants its core; exec makes all that we start as it was. */
  if (strcmp(verb, "executor") == 0) return;
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  net_process_is_ours();
}

/* The floor of commands: /bin/true by vfork, exec and wait, in two processes.
 *
 *   floor_spawn [-n COUNT]
 *
 * Prints {"floor":"spawn","n":10000,"per_s":…}. */
#include "floor.h"

#include <fcntl.h>

static pid_t spawn(size_t i) {
  /* An argument, as hato map and xargs give it: with one, GNU's true sets its locale, a third of its time. */
  char arg[24];
  snprintf(arg, sizeof arg, "%zu", i + 1);
  char *const argv[] = {"true", arg, NULL};
  pid_t pid = vfork();
  if (pid == 0) {
    execve("/bin/true", argv, environ); /* as hato and xargs: variables cost a program time */
    _exit(127);
  }
  return pid;
}

static void spawn_many(size_t n) {
  for (size_t i = 0; i < n; i++) {
    int status;
    pid_t pid = spawn(i);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) _exit(1);
  }
}

int main(int argc, char **argv) {
  size_t n = 10000;
  if (argc == 3 && strcmp(argv[1], "-n") == 0)
    n = strtoul(argv[2], NULL, 10);
  else if (argc != 1)
    return fprintf(stderr, "usage: floor_spawn [-n COUNT]\n"), 2;
  uint64_t begun = now_ns();
  pid_t two[2];
  for (int i = 0; i < 2; i++) {
    two[i] = child();
    if (two[i] == 0) {
      spawn_many(i == 0 ? n / 2 : n - n / 2);
      _exit(0);
    }
  }
  int bad = 0;
  for (int i = 0; i < 2; i++) {
    int status;
    waitpid(two[i], &status, 0);
    bad |= status;
  }
  if (bad) return fprintf(stderr, "floor_spawn: a child failed\n"), 1;
  printf("{\"floor\":\"spawn\",\"n\":%zu,\"per_s\":%.0f}\n", n, (double)n * 1e9 / (double)(now_ns() - begun));
  return 0;
}

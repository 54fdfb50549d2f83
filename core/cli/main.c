/* hato: finds the verb, parses its options, runs it. */
#include "cli/cli.h"

#include "base/version.h"
#include "cli/early.h"
#include "cli/guard.h"
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int unknown_verb(const char *word) {
  const char *near = cli_nearest_verb(word);
  fprintf(stderr, "hato: no verb '%s'", word);
  if (near) fprintf(stderr, "; did you mean '%s'?", near);
  fprintf(stderr, "\n`hato help` lists them.\n");
  return CLI_USAGE;
}

static int without_verb(const char *word) {
  if (!word || strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
    return cli_help(NULL, word ? stdout : stderr);
  if (strcmp(word, "--version") == 0) {
    printf("hato %s\n", HATO__VERSION);
    return CLI_OK;
  }
  fprintf(stderr, "hato: '%s' stands before the verb; `hato help` says how hato is used\n", word);
  return CLI_USAGE;
}

/* What stands before a mistake is honoured: --help is. */
static bool wants_help(int argc, char **argv, bool command) {
  for (int i = 0; i < argc; i++) {
    if (strcmp(argv[i], "--") == 0) return false;
    if (strcmp(argv[i], "--help") == 0) return true;
    if (command && argv[i][0] != '-') return false;
  }
  return false;
}

static int run_verb(const cli_verb *verb, int argc, char **argv) {
  hato_error err;
  cli c = {.verb = verb, .log_fd = STDERR_FILENO};
  bool command = (verb->flags & CLI_COMMAND) != 0;
  if (wants_help(argc, argv, command)) return cli_help(verb, stdout);
  c.conf = cli_conf_of(verb);
  if (!c.conf) return cli_fail(&c, CLI_FAILED, "out of memory");
  if (hato__conf_parse(c.conf, argc, argv, command ? HATO__CONF_STOP_AT_OPERAND : 0, &err) ||
      hato__conf_check(c.conf, &err)) {
    fprintf(stderr, "%s\n", err.text); /* which names the verb already */
    hato__conf_destroy(c.conf);
    return CLI_USAGE;
  }
  if (!(verb->flags & CLI_NO_SESSION_ROWS) && hato__conf_is_set(c.conf, "credential-file") && !hato__conf_is_set(c.conf, "url")) {
    hato__conf_destroy(c.conf);
    return cli_fail(&c, CLI_USAGE, "--credential-file needs --url: the address of the dispatcher; a session's own is found in its folder");
  }
  c.words = hato__conf_operands(c.conf, &c.n_words);
  c.json = (verb->flags & CLI_REPORTS) && hato__conf_get_bool(c.conf, "json");
  int level = hato__conf_get_enum(c.conf, "log-level");
  c.log = (hato__log){.level = (hato__log_level)level, .write = hato__log_to_fd, .arg = &c.log_fd};
  int code = verb->run(&c);
  if (code == CLI_OK && (fflush(stdout) != 0 || ferror(stdout)))
    code = errno == EPIPE ? 128 + SIGPIPE : cli_fail(&c, CLI_FAILED, "cannot write the output: %s", strerror(errno));
  hato__conf_destroy(c.conf);
  return code;
}

/* Pieces of payloads are 256 KB and short-lived: a heap that gave each back to the system would
 * spend as much on page faults as on their bytes. */
static void keep_heap(void) {
  (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
  (void)mallopt(M_TRIM_THRESHOLD, 4 << 20);
  (void)mallopt(M_TOP_PAD, 1 << 20);
}

int main(int argc, char **argv) {
  int code;
  keep_heap();
  cli_guard(argv);
  /* Executors and launcher hosts touch nothing else of this program: they stay small. */
  if (argc > 1 && cli_early_main(argc, argv, &code)) return code;
  signal(SIGPIPE, SIG_IGN);
  if (argc < 2 || argv[1][0] == '-') return without_verb(argc < 2 ? NULL : argv[1]);
  const cli_verb *verb = cli_find_verb(argv[1]);
  if (!verb) return unknown_verb(argv[1]);
  return run_verb(verb, argc - 2, argv + 2);
}

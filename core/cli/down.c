/* Finding a session and ending it. */
#include "cli/serve.h"
#include "cli/verbs.h"
#include "dispatcher/dispatcher.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/pidfd.h>
#include <unistd.h>

int cli_find_session(cli *c, bool create, hato__session **s, hato__address *a) {
  hato_error err;
  memset(a, 0, sizeof *a);
  hato_status st = hato__session_open(hato__conf_get_str(c->conf, "session"), create, s, &err);
  if (!st) st = hato__session_read(*s, a, &err);
  if (!st) return CLI_OK;
  if (st == HATO_NOT_FOUND && !create) return cli_fail(c, CLI_NO_SESSION, "%s", err.text);
  return cli_fail(c, cli_code(st), "%s", err.text);
}

/* Waits until a process has ended; false: it has not in `ms`. One of another user's, or gone, is no error. */
static bool wait_process(pid_t pid, int ms) {
  int fd = pidfd_open(pid, 0);
  if (fd < 0) return errno == ESRCH;
  struct pollfd p = {.fd = fd, .events = POLLIN};
  int r;
  do r = poll(&p, 1, ms);
  while (r < 0 && errno == EINTR);
  close(fd);
  return r > 0;
}

static int end_answer(cli *c, json_t *o, void *arg) {
  (void)c;
  *(json_int_t *)arg = json_integer_value(json_object_get(o, "unresolved"));
  return CLI_OK;
}

/* That the dispatcher goes is what was asked for, and worth no warning. */
static void expect_end(cli *c) {
  if (!hato__conf_is_set(c->conf, "log-level")) c->log.level = HATO__LOG_ERROR;
}

int cli_end_session(cli *c, const hato__address *a, const char *op, json_int_t *unresolved) {
  hato_pool *pool;
  expect_end(c);
  int code = cli_connect(c, &pool);
  if (code) return code;
  code = cli_request(c, pool, json_pack("{s:s}", "op", op), end_answer, unresolved);
  hato_pool_close(pool);
  if (code) return code;
  if (a->verdict == HATO__SESSION_LIVE && !wait_process(a->process.pid, 30000))
    return cli_fail(c, CLI_FAILED, "the dispatcher (process %d) did not end in 30 s", (int)a->process.pid);
  return CLI_OK;
}

/* Launches are on record, so that something of them may be left. */
static bool has_launches(const hato__session *s) {
  char path[4096];
  return hato__session_path(s, DISPATCHER_LAUNCHES_FILE, path, sizeof path) && access(path, F_OK) == 0;
}

/* Nobody serves it: what its dispatcher left, batch jobs in a queue too, is ended. */
static int clear(cli *c, const hato__address *a) {
  char binary[4096];
  hato_error err = {0};
  unsigned left = 0;
  fprintf(stderr, "hato down: %s; what it left is cleared\n", a->words);
  hato_status st = dispatcher_clear(hato__conf_get_str(c->conf, "session"), cli_binary(binary, sizeof binary), &c->log,
                                    &left, &err);
  if (st) return cli_fail(c, cli_code(st), "%s", err.text);
  if (left == 0) return CLI_OK;
  return cli_fail(c, CLI_FAILED, "%u launch%s of it could not be ended now, and stay%s on record: `hato down` tries again",
                  left, left == 1 ? "" : "es", left == 1 ? "s" : "");
}

static int run_down(cli *c) {
  hato__session *s;
  hato__address a;
  json_int_t unresolved = 0;
  hato_pool *pool;
  if (hato__conf_get_str(c->conf, "url")) {
    expect_end(c);
    int code = cli_connect(c, &pool);
    if (code) return code;
    code = cli_request(c, pool, json_pack("{s:s}", "op", "down"), cli_ignore_answer, NULL);
    hato_pool_close(pool);
    return code;
  }
  int code = cli_find_session(c, false, &s, &a);
  if (code) return code;
  if (a.verdict == HATO__SESSION_NONE && !has_launches(s)) {
    code = cli_fail(c, CLI_NO_SESSION, "%s", *a.words ? a.words : "no session is up");
  } else if (a.verdict == HATO__SESSION_NONE || a.verdict == HATO__SESSION_STALE) {
    code = clear(c, &a);
  } else {
    code = cli_end_session(c, &a, "down", &unresolved);
    if (!code && unresolved) fprintf(stderr, "%lld task%s unresolved\n", (long long)unresolved, unresolved == 1 ? " was" : "s were");
    if (!code && a.verdict == HATO__SESSION_LIVE && has_launches(s))
      fputs("hato down: not all that was launched is known to have ended; it stays on record: `hato down` tries again\n", stderr);
  }
  hato__address_free(&a);
  hato__session_close(s);
  return code;
}

const cli_verb cli_down = {.name = "down",
                           .summary = "end the session, its daemons and their tasks",
                           .operands = "",
                           .text = "Returns when they are gone.\n",
                           .examples = "hato down\tend the default session\n",
                           .run = run_down};

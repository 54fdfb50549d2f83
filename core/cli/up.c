/* Starting a session in the background, and ending it. */
#include "cli/serve.h"
#include "cli/verbs.h"
#include "dispatcher/dispatcher.h"
#include "session/session.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

static const hato__conf_row up_rows[] = {
    {.name = "daemons", .short_name = 'n', .type = HATO__CONF_INT, .min = 0, .max = 1000000, .metavar = "N",
     .help = "How many daemons to start; 0: none. Default: one, with a slot for every core it may use."},
    {.name = "slots", .type = HATO__CONF_INT, .def = "0", .min = 0, .max = 65536, .metavar = "S",
     .help = "Slots of each daemon. Default: with -n, one each on cores of its own (of a daemon with an allocation of "
             "its own: one a granted core)."},
    {.name = "bind", .type = HATO__CONF_ENUM, .def = "auto", .names = (const char *const[]){"auto", "core", "none", NULL},
     .help = "Whether slots are bound to cores."},
    {.name = "launcher", .type = HATO__CONF_STRING, .def = "local", .metavar = "NAME",
     .help = "What starts the daemons; `hato launchers` lists them."},
    {.name = "option", .short_name = 'o', .type = HATO__CONF_LIST, .metavar = "KEY=VALUE", .help = "An option of the launcher."},
    {.name = "reset", .type = HATO__CONF_BOOL,
     .help = "End the session that is up first: what is unresolved there resolves with 19."},
    SERVE_ROWS,
};

/* ---- the background process ---- */

typedef struct words { /* of the dispatcher's command */
  const char *at[64];
  int n;
} words;

static void add(words *w, const char *word) {
  if (w->n < 63) w->at[w->n++] = word;
}

static void add_text(cli *c, words *w, const char *option, const char *row) {
  if (!hato__conf_is_set(c->conf, row)) return;
  add(w, option);
  add(w, hato__conf_get_text(c->conf, row));
}

static void dispatcher_words(cli *c, words *w, const char *binary) {
  size_t n;
  const char *const *listen = hato__conf_get_list(c->conf, "listen", &n);
  add(w, binary);
  add(w, "dispatcher");
  add_text(c, w, "--session", "session");
  for (size_t i = 0; i < n && i < 16; i++) {
    add(w, "--listen");
    add(w, listen[i]);
  }
  add_text(c, w, "--idle", "idle");
  add_text(c, w, "--while", "while");
  add_text(c, w, "--spool-limit", "spool-limit");
  add_text(c, w, "--keep", "keep");
  if (hato__conf_get_bool(c->conf, "force")) add(w, "--force");
  add(w, "--log-level");
  add(w, hato__conf_is_set(c->conf, "log-level") ? hato__conf_get_text(c->conf, "log-level") : "info");
  add(w, "--ready-fd");
  add(w, "3");
  w->at[w->n] = NULL;
}

static void child(words *w, int ready, int log, const char *binary) {
  sigset_t none;
  sigemptyset(&none);
  setsid();
  int null = open("/dev/null", O_RDWR);
  if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(ready, 3) < 0) _exit(127);
  close_range(4, ~0u, 0);
  signal(SIGPIPE, SIG_DFL);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (chdir("/") != 0) _exit(127);
  execv(binary, (char *const *)(uintptr_t)w->at);
  _exit(127);
}

/* Its one line on the pipe: "ok", or "error N words". Blocks until then. */
static hato_status read_ready(int fd, char *text, size_t n) {
  size_t got = 0;
  for (;;) {
    ssize_t r = read(fd, text + got, n - 1 - got);
    if (r < 0 && errno == EINTR) continue;
    if (r <= 0) break;
    got += (size_t)r;
    if (got == n - 1) break;
  }
  text[got] = 0;
  text[strcspn(text, "\n")] = 0;
  if (strcmp(text, "ok") == 0) return HATO_OK;
  int status = 0, at = 0;
  if (sscanf(text, "error %d %n", &status, &at) == 1 && at > 0) {
    memmove(text, text + at, strlen(text + at) + 1);
    return (hato_status)status;
  }
  snprintf(text, n, "the dispatcher ended before it was ready; its log says why");
  return HATO_SYSTEM;
}

static hato_status start(cli *c, hato__session *s, hato_error *err) {
  char binary[4096], log[4096], text[600];
  words w = {.n = 0};
  int ready[2];
  if (!hato__session_path(s, "log", log, sizeof log))
    return hato__fail(err, HATO_INVALID, "the session's folder has too long a path");
  int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) return hato__fail_errno(err, "cannot write %s", log);
  if (pipe2(ready, O_CLOEXEC) != 0) {
    close(log_fd);
    return hato__fail_errno(err, "no pipe");
  }
  dispatcher_words(c, &w, cli_binary(binary, sizeof binary));
  pid_t pid = fork();
  if (pid == 0) child(&w, ready[1], log_fd, binary);
  close(log_fd);
  close(ready[1]);
  hato_status st = pid < 0 ? HATO_SYSTEM : read_ready(ready[0], text, sizeof text);
  close(ready[0]);
  if (pid < 0) return hato__fail_errno(err, "cannot start the dispatcher");
  if (st) {
    waitpid(pid, NULL, 0);
    return hato__fail(err, st, "%s", text);
  }
  return HATO_OK;
}

/* ---- reporting ---- */

static int report_session(cli *c, hato_pool *pool, bool fresh);

static int print_status(cli *c, json_t *o, void *arg) {
  bool fresh = *(bool *)arg;
  const char *state = fresh ? "is up" : "was up already: nothing is changed";
  if (c->json) {
    json_object_set_new(o, "started", json_boolean(fresh));
    json_dumpf(o, stdout, JSON_COMPACT);
    putchar('\n');
    return CLI_OK;
  }
  printf("session %s %s (process %lld on %s)\n", json_string_value(json_object_get(o, "session")), state,
         (long long)json_integer_value(json_object_get(o, "pid")), json_string_value(json_object_get(o, "host")));
  size_t i;
  json_t *url;
  json_array_foreach(json_object_get(o, "urls"), i, url) if (i > 0) printf("listens at %s\n", json_string_value(url));
  size_t daemons = json_array_size(json_object_get(o, "daemons"));
  printf("%zu daemon%s, %lld slot%s\n", daemons, daemons == 1 ? "" : "s",
         (long long)json_integer_value(json_object_get(o, "slots")),
         json_integer_value(json_object_get(o, "slots")) == 1 ? "" : "s");
  return CLI_OK;
}

static int report_session(cli *c, hato_pool *pool, bool fresh) {
  return cli_request(c, pool, json_pack("{s:s}", "op", "status"), print_status, &fresh);
}

/* ---- up ---- */

static int launch_answer(cli *c, json_t *o, void *arg) {
  (void)arg;
  json_int_t ended = json_integer_value(json_object_get(o, "ended"));
  const char *error = json_string_value(json_object_get(o, "error"));
  if (error) return cli_fail(c, CLI_FAILED, "the launch failed: %s", error);
  if (ended == 0) return CLI_OK;
  size_t i;
  json_t *m;
  json_array_foreach(json_object_get(o, "members"), i, m) {
    if (strcmp(json_string_value(json_object_get(m, "state")), "ended") != 0) continue;
    const char *reason = json_string_value(json_object_get(m, "reason"));
    const char *log = json_string_value(json_object_get(m, "log"));
    cli_fail(c, CLI_FAILED, "a daemon ended before it dialled back (exit status %lld)%s%s%s%s",
             (long long)json_integer_value(json_object_get(m, "exit")), reason ? ": " : "", reason ? reason : "",
             log ? "; its log ends:\n" : "", log ? log : "");
    break;
  }
  return cli_fail(c, CLI_FAILED, "%lld of %lld daemons did not come", (long long)ended,
                  (long long)json_integer_value(json_object_get(o, "count")));
}

static int launch_daemons(cli *c, hato_pool *pool) {
  bool counted = hato__conf_is_set(c->conf, "daemons");
  int64_t n = counted ? hato__conf_get_int(c->conf, "daemons") : 0;
  if (counted && n == 0) return CLI_OK;
  json_t *options = json_array();
  size_t count;
  const char *const *o = hato__conf_get_list(c->conf, "option", &count);
  for (size_t i = 0; i < count; i++) json_array_append_new(options, json_string(o[i]));
  json_t *q = json_pack("{s:s,s:s,s:I,s:I,s:s,s:b,s:o}", "op", "launch", "launcher",
                        hato__conf_get_str(c->conf, "launcher"), "n", (json_int_t)n, "slots",
                        (json_int_t)hato__conf_get_int(c->conf, "slots"), "bind", hato__conf_get_text(c->conf, "bind"),
                        "wait", 1, "options", options);
  return cli_request(c, pool, q, launch_answer, NULL);
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

/* Ends the session that is up by `op`. */
static int end_session(cli *c, const hato__address *a, const char *op, json_int_t *unresolved);

static int end_answer(cli *c, json_t *o, void *arg) {
  (void)c;
  *(json_int_t *)arg = json_integer_value(json_object_get(o, "unresolved"));
  return CLI_OK;
}

static int end_session(cli *c, const hato__address *a, const char *op, json_int_t *unresolved) {
  hato_pool *pool;
  int code = cli_connect(c, &pool);
  if (code) return code;
  code = cli_request(c, pool, json_pack("{s:s}", "op", op), end_answer, unresolved);
  hato_pool_close(pool);
  if (code) return code;
  if (a->verdict == HATO__SESSION_LIVE && !wait_process(a->process.pid, 30000))
    return cli_fail(c, CLI_FAILED, "the dispatcher (process %d) did not end in 30 s", (int)a->process.pid);
  return CLI_OK;
}

static int find_session(cli *c, bool create, hato__session **s, hato__address *a) {
  hato_error err;
  memset(a, 0, sizeof *a);
  hato_status st = hato__session_open(hato__conf_get_str(c->conf, "session"), create, s, &err);
  if (!st) st = hato__session_read(*s, a, &err);
  if (!st) return CLI_OK;
  if (st == HATO_NOT_FOUND && !create) return cli_fail(c, CLI_NO_SESSION, "%s", err.text);
  return cli_fail(c, cli_code(st), "%s", err.text);
}

static int bring_up(cli *c, hato__session *s, const hato__address *a) {
  hato_error err;
  hato_pool *pool;
  bool fresh = a->verdict == HATO__SESSION_NONE || a->verdict == HATO__SESSION_STALE || hato__conf_get_bool(c->conf, "force");
  if (a->verdict == HATO__SESSION_STALE) fprintf(stderr, "hato up: %s; starting anew\n", a->words);
  if (fresh) {
    hato_status st = start(c, s, &err);
    if (st == HATO_BUSY) {
      fresh = false; /* another start won */
    } else if (st) {
      return cli_fail(c, cli_code(st), "%s", err.text);
    }
  }
  int code = cli_connect(c, &pool);
  if (code) return code;
  if (fresh) code = launch_daemons(c, pool);
  int said = report_session(c, pool, fresh);
  hato_pool_close(pool);
  return code ? code : said;
}

static int run_up(cli *c) {
  hato__session *s;
  hato__address a;
  json_int_t unresolved;
  if (hato__conf_get_str(c->conf, "url"))
    return cli_fail(c, CLI_USAGE, "--url names a dispatcher that is up; --session names one to start");
  int code = find_session(c, true, &s, &a);
  if (code) return code;
  if (hato__conf_get_bool(c->conf, "reset") && a.verdict == HATO__SESSION_LIVE) {
    code = end_session(c, &a, "reset", &unresolved);
    if (!code) fprintf(stderr, "hato up: the session that was up is ended; %lld of its tasks were unresolved\n", (long long)unresolved);
    a.verdict = HATO__SESSION_NONE;
  }
  if (!code) code = bring_up(c, s, &a);
  hato__address_free(&a);
  hato__session_close(s);
  return code;
}

const cli_verb cli_up = {
    .name = "up",
    .summary = "start a session: a dispatcher in the background, and its daemons",
    .operands = "",
    .text = "A session outlives the shell that started it. Its folder lies under the user's state directory, so that clients on "
            "any host that shares the home folder find it. Where one is up, nothing is changed. A session whose process is dead, or "
            "whose host was rebooted, is recognised and replaced.\n",
    .examples = "hato up -n 4\tfour daemons on this machine, a slot each\n"
                "hato up --listen tcp://0.0.0.0:0 -n 0\tno daemons yet; others will dial in\n"
                "hato up --idle 10m --while $$\tends with this shell, or when unused\n",
    .rows = up_rows,
    .n_rows = sizeof up_rows / sizeof *up_rows,
    .flags = CLI_REPORTS,
    .run = run_up};

/* ---- down ---- */

static int run_down(cli *c) {
  hato__session *s;
  hato__address a;
  hato_error err;
  json_int_t unresolved = 0;
  hato_pool *pool;
  if (hato__conf_get_str(c->conf, "url")) {
    int code = cli_connect(c, &pool);
    if (code) return code;
    code = cli_request(c, pool, json_pack("{s:s}", "op", "down"), cli_ignore_answer, NULL);
    hato_pool_close(pool);
    return code;
  }
  int code = find_session(c, false, &s, &a);
  if (code) return code;
  if (a.verdict == HATO__SESSION_NONE) {
    code = cli_fail(c, CLI_NO_SESSION, "%s", *a.words ? a.words : "no session is up");
  } else if (a.verdict == HATO__SESSION_STALE) {
    fprintf(stderr, "hato down: %s; what it left is cleared\n", a.words);
    if (hato__session_lock(s, false, &err) == HATO_OK) hato__session_remove(s);
  } else {
    code = end_session(c, &a, "down", &unresolved);
    if (!code && unresolved) fprintf(stderr, "%lld tasks were unresolved\n", (long long)unresolved);
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

/* ---- launch ---- */

static const hato__conf_row launch_rows[] = {
    {.name = "launcher", .type = HATO__CONF_STRING, .def = "local", .metavar = "NAME",
     .help = "What starts the daemons; `hato launchers` lists them."},
    {.name = "daemons", .short_name = 'n', .type = HATO__CONF_INT, .min = 1, .max = 1000000, .metavar = "N",
     .help = "How many. Default: one, with a slot for every core it may use."},
    {.name = "slots", .type = HATO__CONF_INT, .def = "0", .min = 0, .max = 65536, .metavar = "S", .help = "Slots of each."},
    {.name = "bind", .type = HATO__CONF_ENUM, .def = "auto", .names = (const char *const[]){"auto", "core", "none", NULL},
     .help = "Whether slots are bound to cores."},
    {.name = "option", .short_name = 'o', .type = HATO__CONF_LIST, .metavar = "KEY=VALUE", .help = "An option of the launcher."},
};

static int run_launch(cli *c) {
  hato_pool *pool;
  int code = cli_connect(c, &pool);
  if (code) return code;
  code = launch_daemons(c, pool);
  hato_pool_close(pool);
  return code;
}

const cli_verb cli_launch = {.name = "launch",
                             .summary = "start more daemons for the session that is up",
                             .operands = "",
                             .text = "Returns when they are connected, or says what became of those that are not.\n",
                             .examples = "hato launch -n 2 --slots 4\ttwo more on this machine\n",
                             .rows = launch_rows,
                             .n_rows = sizeof launch_rows / sizeof *launch_rows,
                             .run = run_launch};

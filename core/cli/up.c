/* Starting a session in the background. */
#include "cli/security.h"
#include "cli/serve.h"
#include "cli/verbs.h"

#include "base/clock.h"
#include "dispatcher/dispatcher.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define OTHER_NS (10 * HATO__SEC)

static const hato__conf_row up_rows[] = {
    LAUNCH_ROWS(0, "How many daemons to start; 0: none."),
    {.name = "reset",
     .type = HATO__CONF_BOOL,
     .help = "End the session that is up first: what is unresolved there resolves with 19."},
    SERVE_ROWS,
};

/* ---- the background process ---- */

typedef struct words { /* of the dispatcher's command */
  const char *at[256];
  int n;
  char files[3][PATH_MAX]; /* paths among them */
} words;

static void add(words *w, const char *word) {
  if (w->n < 255) w->at[w->n++] = word;
}

static void add_list(cli *c, words *w, const char *option, const char *row) {
  size_t n;
  const char *const *list = hato__conf_get_list(c->conf, row, &n);
  for (size_t i = 0; i < n && i < 32; i++) {
    add(w, option);
    add(w, list[i]);
  }
}

static void add_text(cli *c, words *w, const char *option, const char *row) {
  if (!hato__conf_is_set(c->conf, row)) return;
  add(w, option);
  add(w, hato__conf_get_text(c->conf, row));
}

/* Absolute: it works in another folder than we do. */
static void add_file(cli *c, words *w, const char *option, const char *row, char path[PATH_MAX]) {
  char here[PATH_MAX];
  const char *file = hato__conf_get_str(c->conf, row);
  if (!file) return;
  add(w, option);
  if (*file == '/' || !getcwd(here, sizeof here) || snprintf(path, PATH_MAX, "%s/%s", here, file) >= PATH_MAX)
    add(w, file);
  else
    add(w, path);
}

static void dispatcher_words(cli *c, words *w, const hato__session *s, const char *binary, int pass) {
  add(w, binary);
  add(w, "dispatcher");
  if (strchr(hato__session_name(s), '/')) { /* a path: it works in another folder than we do */
    add(w, "--session");
    add(w, hato__session_dir(s));
  } else {
    add_text(c, w, "--session", "session");
  }
  add_list(c, w, "--listen", "listen");
  add_list(c, w, "--dial-host", "dial-host");
  add_list(c, w, "--interface", "interface");
  add_text(c, w, "--port", "port");
  add_text(c, w, "--tls", "tls");
  add_file(c, w, "--tls-certificate", "tls-certificate", w->files[0]);
  add_file(c, w, "--tls-key", "tls-key", w->files[1]);
  add_file(c, w, "--tls-ca", "tls-ca", w->files[2]);
  add_text(c, w, "--munge", "munge");
  if (pass >= 0) {
    add(w, "--pass-fd");
    add(w, "4");
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

/* ready becomes descriptor 3, pass (-1: none) 4. */
static void child(words *w, int ready, int log, int pass, const char *binary) {
  sigset_t none;
  sigemptyset(&none);
  setsid();
  int null = open("/dev/null", O_RDWR);
  if (pass >= 0) pass = fcntl(pass, F_DUPFD_CLOEXEC, 16); /* out of the others' way */
  ready = fcntl(ready, F_DUPFD_CLOEXEC, 16);
  if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0 || dup2(ready, 3) < 0) _exit(127);
  if (pass >= 0 && dup2(pass, 4) < 0) _exit(127);
  close_range(pass >= 0 ? 5 : 4, ~0u, 0);
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

static hato_status start(cli *c, hato__session *s, int pass, hato_error *err) {
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
  dispatcher_words(c, &w, s, cli_binary(binary, sizeof binary), pass);
  pid_t pid = fork();
  if (pid == 0) child(&w, ready[1], log_fd, pass, binary);
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

static int print_status(cli *c, json_t *o, void *arg) {
  bool fresh = *(bool *)arg;
  const char *state = fresh ? "is up" : "was up already: nothing is changed";
  if (c->json) {
    json_object_set_new(o, "started", json_boolean(fresh));
    cli_print_json(o);
    return CLI_OK;
  }
  printf("session %s %s (process %lld on %s)\n", json_string_value(json_object_get(o, "session")), state,
         (long long)json_integer_value(json_object_get(o, "pid")),
         json_string_value(json_object_get(o, "host")));
  size_t i;
  json_t *l;
  json_array_foreach(json_object_get(o, "listeners"), i, l) if (i > 0)
      printf("listens at %s%s\n", cli_text(l, "url"), cli_encryption(l));
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

/* Another start won: until its session is up. False: it does not come. */
static bool await_other(hato__session *s) {
  uint64_t until = hato__now() + OTHER_NS;
  bool up = false;
  while (!up && hato__now() < until) {
    hato__address a = {0};
    up = hato__session_read(s, &a, NULL) == HATO_OK && a.verdict == HATO__SESSION_LIVE;
    hato__address_free(&a);
    if (!up) poll(NULL, 0, 20);
  }
  return up;
}

static int bring_up(cli *c, hato__session *s, const hato__address *a) {
  hato_error err;
  hato_pool *pool;
  bool fresh = a->verdict == HATO__SESSION_NONE || a->verdict == HATO__SESSION_STALE ||
               hato__conf_get_bool(c->conf, "force");
  if (a->verdict == HATO__SESSION_STALE) fprintf(stderr, "hato up: %s; starting anew\n", a->words);
  if (fresh) {
    int pass, code = cli_pass_phrase(c, &pass);
    if (code) return code;
    hato_status st = start(c, s, pass, &err);
    if (pass >= 0) close(pass);
    if (st == HATO_BUSY && await_other(s)) {
      fresh = false;
    } else if (st) {
      return cli_fail(c, cli_code(st), "%s", err.text);
    }
  }
  int code = cli_connect(c, &pool);
  if (code) return code;
  if (fresh) code = cli_launch_daemons(c, pool);
  int said = report_session(c, pool, fresh);
  hato_pool_close(pool);
  return code ? code : said;
}

static int run_up(cli *c) {
  hato__session *s;
  hato__address a;
  json_int_t unresolved;
  dispatcher_network network; /* looked at only for what is wrong in it */
  if (hato__conf_get_str(c->conf, "url"))
    return cli_fail(c, CLI_USAGE, "--url names a dispatcher that is up; --session names one to start");
  int code = cli_read_session_section(c);
  if (!code) code = cli_network(c, &network);
  if (!code) code = cli_find_session(c, true, &s, &a);
  if (code) return code;
  if (hato__conf_get_bool(c->conf, "reset") && a.verdict == HATO__SESSION_LIVE) {
    code = cli_end_session(c, &a, "reset", &unresolved);
    if (!code)
      fprintf(stderr, "hato up: the session that was up is ended; %lld of its tasks were unresolved\n",
              (long long)unresolved);
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
    .text = "A session outlives the shell that started it. Its folder lies under the user's state directory, "
            "so that clients on "
            "any host that shares the home folder find it. Where one is up, nothing is changed. A session "
            "whose process is dead, or "
            "whose host was rebooted, is recognised and replaced.\n",
    .examples = "hato up -n 4\tfour daemons on this machine, a slot each\n"
                "hato up --listen tls+tcp://0.0.0.0:0 -n 0\tno daemons yet; others will dial in\n"
                "hato up --idle 10m --while $$\tends with this shell, or when unused\n",
    .rows = up_rows,
    .n_rows = sizeof up_rows / sizeof *up_rows,
    .flags = CLI_REPORTS,
    .run = run_up};

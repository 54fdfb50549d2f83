/* The dispatcher of a session as a process in the background. */
#include "cli/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MOST 255

typedef struct words { /* of the dispatcher's command */
  const char *at[WORDS_MOST + 1];
  int n; /* beyond WORDS_MOST: there are too many */
  char files[3][PATH_MAX]; /* paths among them */
} words;

static void add(words *w, const char *word) {
  if (w->n < WORDS_MOST) w->at[w->n] = word;
  w->n++;
}

static void add_list(cli *c, words *w, const char *option, const char *row) {
  size_t n;
  const char *const *list = hato__conf_get_list(c->conf, row, &n);
  for (size_t i = 0; i < n; i++) {
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

/* False: there are too many. */
static bool dispatcher_words(cli *c, words *w, const hato__session *s, const char *binary, int pass) {
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
  if (w->n > WORDS_MOST) return false;
  w->at[w->n] = NULL;
  return true;
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

hato_status cli_start_dispatcher(cli *c, const hato__session *s, int pass, hato_error *err) {
  char binary[4096], log[4096], text[600];
  words w = {.n = 0};
  int ready[2];
  if (!dispatcher_words(c, &w, s, cli_binary(binary, sizeof binary), pass))
    return hato__fail(err, HATO_TOO_LARGE,
                      "the dispatcher's command would have %d words, at most %d can be: give fewer addresses to listen at",
                      w.n, WORDS_MOST);
  if (!hato__session_path(s, "log", log, sizeof log))
    return hato__fail(err, HATO_INVALID, "the session's folder has too long a path");
  int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (log_fd < 0) return hato__fail_errno(err, "cannot write %s", log);
  if (pipe2(ready, O_CLOEXEC) != 0) {
    close(log_fd);
    return hato__fail_errno(err, "no pipe");
  }
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

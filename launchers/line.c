/* A line to one module: compiled in, in this thread; or a shared object in a process, each of whose
 * operations has a deadline. */
#include "launchers/internal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOAD_MS 15000 /* libslurm with a slow file server */
#define SEND_SECONDS 10
#define LIMIT_MS 200
#define ABORT_MS 3000 /* for an operation whose result is not wanted any more to give up */

struct launchers__line {
  launchers__line_options o;
  launchers__runner runner; /* of a compiled-in module */
  bool running;
  pid_t pid;
  int pidfd, sock, said; /* said: its standard output and error */
  hato__buf in, out, text;
  char last[200]; /* the last line it said: the cause when it exits */
  bool watches, news;
};

/* ---- what the process says ---- */

static void say(launchers__line *l, const char *line, size_t n) {
  while (n > 0 && (line[n - 1] == '\r' || line[n - 1] == ' ')) n--;
  if (n == 0) return;
  (void)snprintf(l->last, sizeof l->last, "%.*s", (int)(n < sizeof l->last ? n : sizeof l->last - 1), line);
  hato__clean(l->last, false);
  l->o.sink.log(l->o.sink.arg, HATO__LOG_INFO, l->last);
}

static void listen_to(launchers__line *l) {
  char piece[4096];
  while (l->said >= 0) {
    ssize_t n = read(l->said, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      (void)close(l->said);
      l->said = -1;
      break;
    }
    hato__buf_append(&l->text, piece, (size_t)n);
    for (const uint8_t *end; (end = memchr(l->text.data, '\n', l->text.len)) != NULL;) {
      size_t len = (size_t)(end - l->text.data);
      say(l, (const char *)l->text.data, len);
      hato__buf_consume(&l->text, len + 1);
    }
    if (l->text.len > 8192) hato__buf_clear(&l->text);
  }
  if (l->said < 0 && l->text.len > 0) {
    say(l, (const char *)l->text.data, l->text.len);
    hato__buf_clear(&l->text);
  }
}

/* ---- its end ---- */

static void kill_process(launchers__line *l) {
  if (l->pidfd >= 0) (void)pidfd_send_signal(l->pidfd, SIGKILL, NULL, 0);
}

/* Waits for the process, killed or gone by itself, and says how it ended. */
static void bury(launchers__line *l, uint32_t grace_ms, char *how, size_t n) {
  (void)snprintf(how, n, "ended");
  if (l->sock >= 0) (void)close(l->sock);
  l->sock = -1;
  if (l->pidfd >= 0) {
    struct pollfd p = {.fd = l->pidfd, .events = POLLIN};
    if (poll(&p, 1, (int)grace_ms) == 0) kill_process(l);
    siginfo_t si = {0};
    if (waitid(P_PIDFD, (id_t)l->pidfd, &si, WEXITED) == 0) {
      if (si.si_code == CLD_EXITED)
        (void)snprintf(how, n, "exited with %d", si.si_status);
      else
        (void)snprintf(how, n, "was killed by signal %d (%s)", si.si_status, strsignal(si.si_status));
    }
    (void)close(l->pidfd);
  }
  l->pidfd = -1;
  listen_to(l);
  if (l->said >= 0) (void)close(l->said);
  l->said = -1;
  l->running = false;
}

static hato_status broken(launchers__line *l, hato_error *err) {
  char how[96];
  bury(l, 2000, how, sizeof how);
  return hato__fail(err, HATO_RESET, "the process of launcher %s %s%s%s", l->o.name, how,
                    l->last[0] ? ": " : "", l->last);
}

static hato_status late(launchers__line *l, uint32_t ms, hato_error *err) {
  char how[96];
  kill_process(l);
  bury(l, 0, how, sizeof how);
  return hato__fail(err, HATO_TIMED_OUT,
                    "launcher %s did not answer within %.3g s; its process was killed%s%s", l->o.name,
                    ms / 1000.0, l->last[0] ? "; it said: " : "", l->last);
}

/* ---- frames of the process ---- */

static void take_member(launchers__line *l, hato__reader *body) {
  launchers__arena mem = {0};
  launchers_member m;
  uint64_t launch;
  uint32_t first, count;
  if (launchers__get_member(body, &mem, &launch, &first, &count, &m))
    l->o.sink.member(l->o.sink.arg, launch, first, count, &m);
  launchers__arena_free(&mem);
}

static void take_text(launchers__line *l, launchers__frame type, hato__reader *body) {
  uint8_t level = type == LAUNCHERS__F_LOG ? hato__read_u8(body) : 0;
  uint32_t n = 0;
  const char *at = hato__read_str(body, 4096, &n);
  char *text = at != NULL ? hato__strndup(at, n) : NULL;
  if (text == NULL) return;
  if (type == LAUNCHERS__F_PROGRESS)
    l->o.sink.progress(l->o.sink.arg, text);
  else
    l->o.sink.log(l->o.sink.arg, level <= HATO__LOG_DEBUG ? (hato__log_level)level : HATO__LOG_DEBUG, text);
  free(text);
}

/* All frames that have come. 1: the reply is among them; -1: it speaks nonsense. */
static int take_frames(launchers__line *l, launchers__reply *reply, hato_error *err) {
  launchers__frame type;
  hato__reader body;
  size_t whole = 0;
  int rc, got = 0;
  while (got == 0 && (rc = launchers__frame_next(&l->in, &type, &body, &whole)) != 0) {
    if (rc < 0) return -1;
    if (type == LAUNCHERS__F_REPLY && reply != NULL) {
      l->watches = hato__read_u8(&body) != 0;
      got = launchers__get_reply(&body, reply, err) ? 1 : -1;
    } else if (type == LAUNCHERS__F_MEMBER)
      take_member(l, &body);
    else if (type == LAUNCHERS__F_LOG || type == LAUNCHERS__F_PROGRESS)
      take_text(l, type, &body);
    else if (type == LAUNCHERS__F_NEWS)
      l->news = true;
    else
      return -1;
    hato__buf_consume(&l->in, whole);
  }
  return got;
}

static bool send_frame(launchers__line *l) {
  launchers__frame_end(&l->out);
  bool sent = launchers__send(l->sock, &l->out);
  hato__buf_free(&l->out); /* wiped */
  return sent;
}

static void check_abort(launchers__line *l, bool *aborted, uint64_t *until) {
  uint64_t n;
  while (read(l->o.wake_fd, &n, sizeof n) > 0) {
  }
  uint64_t limit = l->o.limit != NULL ? l->o.limit(l->o.sink.arg) : 0;
  if (limit != 0 && *until > limit + LIMIT_MS * HATO__MS) *until = limit + LIMIT_MS * HATO__MS;
  if (*aborted || !l->o.sink.abort(l->o.sink.arg)) return;
  *aborted = true;
  uint64_t soon = hato__now() + ABORT_MS * HATO__MS;
  if (*until > soon) *until = soon;
  launchers__frame_begin(&l->out, LAUNCHERS__F_ABORT);
  (void)send_frame(l);
}

static hato_status nonsense(launchers__line *l, hato_error *err) {
  kill_process(l);
  hato_error why = *err;
  hato_status rc = broken(l, err);
  return why.status != HATO_OK ? hato__fail(err, HATO_PROTOCOL, "launcher %s: %s", l->o.name, why.text) : rc;
}

static hato_status process_call(launchers__line *l, const launchers__call *c, launchers__reply *reply,
                                hato_error *err) {
  launchers__frame_begin(&l->out, LAUNCHERS__F_CALL);
  hato__buf_u32(&l->out, LAUNCHERS__PROTOCOL);
  launchers__put_call(&l->out, c);
  if (l->out.failed || l->out.len > LAUNCHERS__FRAME_MAX) {
    hato__buf_clear(&l->out);
    *reply = (launchers__reply){.status = HATO_TOO_LARGE};
    (void)snprintf(reply->text, sizeof reply->text, "the command of this launch is larger than %u MiB",
                   LAUNCHERS__FRAME_MAX >> 20);
    return HATO_OK;
  }
  uint64_t until = hato__now() + c->deadline_ms * HATO__MS;
  bool aborted = false;
  if (!send_frame(l)) return broken(l, err);
  check_abort(l, &aborted, &until);
  for (;;) {
    int rc = take_frames(l, reply, err);
    if (rc > 0) {
      if (c->op == LAUNCHERS__POLL) l->news = false; /* told before it, and answered by it */
      return HATO_OK;
    }
    if (rc < 0) return nonsense(l, err);
    uint64_t now = hato__now();
    if (now >= until) return late(l, c->deadline_ms, err);
    struct pollfd p[] = {{.fd = l->sock, .events = POLLIN},
                         {.fd = l->said, .events = POLLIN},
                         {.fd = l->o.wake_fd, .events = POLLIN}};
    uint64_t left = (until - now) / HATO__MS + 1;
    (void)poll(p, 3, left < 3600000 ? (int)left : 3600000);
    if (p[1].revents != 0) listen_to(l);
    if (p[2].revents != 0) check_abort(l, &aborted, &until);
    if (p[0].revents != 0 && !launchers__receive(l->sock, &l->in, false)) {
      rc = take_frames(l, reply, err);
      return rc > 0 ? HATO_OK : broken(l, err);
    }
  }
}

/* ---- the interface ---- */

static bool socket_and_pipe(int socks[2], int said[2]) {
  socks[0] = socks[1] = said[0] = said[1] = -1;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, socks) < 0 || pipe2(said, O_CLOEXEC) < 0)
    return false;
  /* What the child gets is put at 1 to 3, and must not stand there before. */
  for (int *fd = socks; fd != NULL; fd = fd == socks ? said : NULL) {
    int high = fcntl(fd[1], F_DUPFD_CLOEXEC, 10);
    if (high < 0) return false;
    (void)close(fd[1]);
    fd[1] = high;
  }
  struct timeval patience = {.tv_sec = SEND_SECONDS};
  return setsockopt(socks[0], SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
         fcntl(said[0], F_SETFL, O_NONBLOCK) == 0;
}

static hato_status start_process(launchers__line *l, hato_error *err) {
  if (l->o.hato_binary == NULL)
    return hato__fail(err, HATO_NOT_SUPPORTED,
                      "launcher %s runs in a process of its own, and the hato program was not found",
                      l->o.name);
  const char *const argv[] = {l->o.hato_binary, "launcher-host", NULL};
  int socks[2], said[2];
  hato_status rc = HATO_OK;
  if (!socket_and_pipe(socks, said)) rc = hato__fail_errno(err, "a socket for launcher %s", l->o.name);
  launchers__process p = {
      .argv = argv, .in = -1, .out = said[1], .err = said[1], .fd3 = socks[1], .session = true};
  if (rc == HATO_OK) rc = launchers__spawn(&p, &l->pid, &l->pidfd, err);
  if (socks[1] >= 0) (void)close(socks[1]);
  if (said[1] >= 0) (void)close(said[1]);
  l->sock = socks[0];
  l->said = said[0];
  l->running = rc == HATO_OK;
  return rc;
}

static hato_status load(launchers__line *l, launchers_info **info, hato_error *err) {
  launchers__reply reply;
  launchers__call call = {.op = LAUNCHERS__LOAD, .path = l->o.path, .deadline_ms = LOAD_MS};
  hato_status rc = launchers__line_call(l, &call, &reply, err);
  if (rc != HATO_OK) return rc;
  if (reply.status != HATO_OK) return hato__fail(err, reply.status, "%s", reply.text);
  if (reply.info == NULL)
    return hato__fail(err, HATO_PROTOCOL, "%s was loaded without a description", l->o.path);
  reply.info->path = strdup(l->o.path);
  *info = reply.info;
  return HATO_OK;
}

hato_status launchers__line_open(const launchers__line_options *o, launchers__line **out,
                                 launchers_info **info, hato_error *err) {
  *out = NULL;
  *info = NULL;
  launchers__line *l = calloc(1, sizeof *l);
  if (l == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for launcher %s", o->name);
  l->o = *o;
  l->pid = -1;
  l->pidfd = l->sock = l->said = -1;
  l->out.secret = true;
  hato_status rc;
  if (o->builtin != NULL) {
    hato_launcher copy;
    rc = launchers__check(o->builtin, "the compiled-in launcher", o->name, &copy, err);
    if (rc == HATO_OK) {
      launchers__runner_init(&l->runner, &copy, &o->sink);
      *info = launchers__info_of(&copy, err);
      if (*info == NULL) rc = HATO_NO_MEMORY;
    }
  } else {
    rc = start_process(l, err);
    if (rc == HATO_OK) rc = load(l, info, err);
  }
  if (rc == HATO_OK)
    *out = l;
  else
    launchers__line_close(l, false);
  return rc;
}

hato_status launchers__line_call(launchers__line *l, const launchers__call *c, launchers__reply *r,
                                 hato_error *err) {
  *r = (launchers__reply){0};
  hato__error_clear(err);
  if (l->o.builtin != NULL) {
    launchers__runner_call(&l->runner, c, r);
    l->watches = l->runner.watch_fd >= 0;
    return HATO_OK;
  }
  if (!l->running) return hato__fail(err, HATO_RESET, "the process of launcher %s is gone", l->o.name);
  return process_call(l, c, r, err);
}

int launchers__line_fds(const launchers__line *l, int fds[2]) {
  if (l->o.builtin != NULL) {
    fds[0] = l->runner.watch_fd;
    return fds[0] >= 0 ? 1 : 0;
  }
  fds[0] = l->sock;
  fds[1] = l->said;
  return l->said >= 0 ? 2 : 1;
}

launchers__line_news launchers__line_ready(launchers__line *l, hato_error *err) {
  if (l->o.builtin != NULL) {
    struct pollfd p = {.fd = l->runner.watch_fd, .events = POLLIN};
    return poll(&p, 1, 0) > 0 ? LAUNCHERS__NEWS : LAUNCHERS__QUIET;
  }
  hato__error_clear(err);
  if (!l->running) return LAUNCHERS__BROKEN;
  listen_to(l);
  if (l->news) {
    l->news = false;
    return LAUNCHERS__NEWS;
  }
  if (!launchers__receive(l->sock, &l->in, false)) {
    (void)broken(l, err);
    return LAUNCHERS__BROKEN;
  }
  if (take_frames(l, NULL, err) < 0) {
    (void)nonsense(l, err);
    return LAUNCHERS__BROKEN;
  }
  launchers__line_news news = l->news ? LAUNCHERS__NEWS : LAUNCHERS__QUIET;
  l->news = false;
  return news;
}

/* What came right behind a reply was received with it. */
bool launchers__line_pending(launchers__line *l) {
  launchers__frame type;
  hato__reader body;
  size_t whole;
  return l->news || launchers__frame_next(&l->in, &type, &body, &whole) != 0;
}

bool launchers__line_watches(const launchers__line *l) { return l->watches; }

void launchers__line_close(launchers__line *l, bool gently) {
  if (l == NULL) return;
  if (l->o.builtin != NULL) {
    launchers__runner_end(&l->runner);
  } else {
    char how[96];
    if (!gently) kill_process(l);
    bury(l, gently ? 1000 : 0, how, sizeof how); /* the end of its socket ends it */
  }
  hato__buf_free(&l->in);
  hato__buf_free(&l->out);
  hato__buf_free(&l->text);
  free(l);
}

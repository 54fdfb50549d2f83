/* `hato launcher-host`: one module in a process of its own. Frames in, the runner, frames out. */
#include "launchers/internal.h"
#include "base/error.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef struct child {
  int fd;
  hato__buf in, out;
  bool loaded, gone;
  bool news_told; /* until the next poll nothing more is told */
  launchers__runner runner;
} child;

static void put(child *c) {
  launchers__frame_end(&c->out);
  if (!launchers__send(c->fd, &c->out)) c->gone = true;
  hato__buf_clear(&c->out);
}

static void tell_log(void *arg, hato__log_level level, const char *text) {
  child *c = arg;
  launchers__frame_begin(&c->out, LAUNCHERS__F_LOG);
  hato__buf_u8(&c->out, (uint8_t)level);
  hato__buf_str(&c->out, text);
  put(c);
}

static void tell_progress(void *arg, const char *text) {
  child *c = arg;
  launchers__frame_begin(&c->out, LAUNCHERS__F_PROGRESS);
  hato__buf_str(&c->out, text);
  put(c);
}

static void tell_member(void *arg, uint64_t launch, uint32_t first, uint32_t count,
                        const launchers_member *m) {
  child *c = arg;
  launchers__frame_begin(&c->out, LAUNCHERS__F_MEMBER);
  launchers__put_member(&c->out, launch, first, count, m);
  put(c);
}

/* During an operation the host sends nothing but ABORT, or goes away. */
static bool asked_to_abort(void *arg) {
  child *c = arg;
  struct pollfd p = {.fd = c->fd, .events = POLLIN};
  return c->gone || poll(&p, 1, 0) > 0;
}

/* A module that hangs must not outlive a host that was killed. */
static void *watch_host(void *arg) {
  struct pollfd p = {.fd = (int)(intptr_t)arg, .events = POLLRDHUP};
  while (poll(&p, 1, -1) < 0) {
  }
  (void)poll(NULL, 0, 10000); /* for an orderly end of the operation at hand */
  _exit(0);
}

static void load(child *c, const launchers__call *call, launchers__reply *reply) {
  static const launchers__sink sink = {
      .log = tell_log, .progress = tell_progress, .member = tell_member, .abort = asked_to_abort};
  hato_launcher module;
  hato_error err;
  *reply = (launchers__reply){.status = HATO_OK};
  hato__error_clear(&err);
  if (c->loaded || call->path == NULL)
    reply->status = hato__fail(&err, HATO_STATE, "one module a process");
  else
    reply->status = launchers__load(call->path, &module, &err);
  (void)snprintf(reply->text, sizeof reply->text, "%s", err.text);
  if (reply->status != HATO_OK) return;
  launchers__sink mine = sink;
  mine.arg = c;
  launchers__runner_init(&c->runner, &module, &mine);
  c->loaded = true;
}

static void execute(child *c, const launchers__call *call) {
  launchers__reply reply = {0};
  if (call->op == LAUNCHERS__LOAD) {
    load(c, call, &reply);
  } else if (c->loaded) {
    launchers__runner_call(&c->runner, call, &reply);
    if (call->op == LAUNCHERS__POLL) c->news_told = false;
  } else {
    reply.status = HATO_STATE;
    (void)snprintf(reply.text, sizeof reply.text, "no module is loaded");
  }
  launchers__frame_begin(&c->out, LAUNCHERS__F_REPLY);
  hato__buf_u8(&c->out, c->loaded && c->runner.watch_fd >= 0);
  launchers__put_reply(&c->out, &reply, call->op == LAUNCHERS__LOAD && c->loaded ? &c->runner.module : NULL);
  put(c);
}

static void refuse(child *c, const char *why) {
  launchers__reply reply = {.status = HATO_PROTOCOL};
  (void)snprintf(reply.text, sizeof reply.text, "%s", why);
  launchers__frame_begin(&c->out, LAUNCHERS__F_REPLY);
  hato__buf_u8(&c->out, 0);
  launchers__put_reply(&c->out, &reply, NULL);
  put(c);
}

static void handle(child *c, launchers__frame type, hato__reader *body) {
  if (type == LAUNCHERS__F_ABORT) return; /* it came after the end of what it was for */
  if (type != LAUNCHERS__F_CALL) {
    c->gone = true;
    return;
  }
  uint32_t protocol = hato__read_u32(body);
  char why[160];
  if (protocol != LAUNCHERS__PROTOCOL) {
    (void)snprintf(why, sizeof why,
                   "hato launcher-host speaks version %u, the host version %u: one is of another hato",
                   LAUNCHERS__PROTOCOL, protocol);
    refuse(c, why);
    return;
  }
  launchers__arena mem = {0};
  launchers__call call;
  if (launchers__get_call(body, &mem, &call))
    execute(c, &call);
  else
    refuse(c, "a malformed call");
  launchers__arena_free(&mem);
}

static void take_frames(child *c) {
  launchers__frame type;
  hato__reader body;
  size_t whole = 0;
  int rc = 0;
  while (!c->gone && (rc = launchers__frame_next(&c->in, &type, &body, &whole)) > 0) {
    handle(c, type, &body);
    hato__buf_consume(&c->in, whole);
  }
  if (rc < 0) c->gone = true;
}

static void serve(child *c) {
  while (!c->gone) {
    bool armed = c->loaded && c->runner.watch_fd >= 0 && !c->news_told;
    struct pollfd p[] = {{.fd = c->fd, .events = POLLIN},
                         {.fd = armed ? c->runner.watch_fd : -1, .events = POLLIN}};
    if (poll(p, 2, -1) < 0) continue;
    if (p[1].revents != 0) {
      c->news_told = true;
      launchers__frame_begin(&c->out, LAUNCHERS__F_NEWS);
      put(c);
    }
    if (p[0].revents == 0) continue;
    if (!launchers__receive(c->fd, &c->in, false))
      c->gone = true;
    else
      take_frames(c);
  }
}

int launchers_host_main(int fd) {
  sigset_t set;
  (void)sigfillset(&set);
  (void)sigdelset(&set, SIGTERM);
  (void)pthread_sigmask(SIG_SETMASK, &set, NULL);
  int type = 0;
  socklen_t n = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) < 0 || type != SOCK_STREAM)
    return 2; /* started by hand */
  (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
  pthread_t watcher;
  if (pthread_create(&watcher, NULL, watch_host, (void *)(intptr_t)fd) != 0) return 1;
  (void)pthread_detach(watcher);
  child *c = calloc(1, sizeof *c);
  if (c == NULL) return 1;
  c->fd = fd;
  c->in.secret = true;
  serve(c);
  if (c->loaded) launchers__runner_end(&c->runner);
  hato__buf_free(&c->in);
  hato__buf_free(&c->out);
  free(c);
  return 0;
}

/* Thousands of daemons in one process: each a connection that says and answers what a daemon
 * does. Tasks are done the moment they come, or, with --hold, never.
 *
 *   daemons --socket PATH --credential FILE -n COUNT [--hold]
 *
 * Prints {"daemons":COUNT,"seconds":…} when all are enlisted; ends with its standard input. */
#include "bench/floor.h"
#include "net/internal.h"
#include "proto/message.h"
#include "session/session.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/un.h>

#define EVENTS 256
#define READ_AT_ONCE (64u * 1024)

typedef struct one {
  int fd;
  uint32_t number;
  uint8_t hello[NET_HELLO_BODY];
  hato__buf in, out; /* what is not whole yet; what the socket did not take */
  bool armed;        /* waits for room */
} one;

typedef struct many {
  const char *path;
  hato__credential *credential;
  uint32_t n, enlisted;
  bool hold;
  int epoll;
  one *all;
  uint32_t beat_ms;
  uint64_t begun, beat_at;
} many;

static void die(const char *what) {
  fprintf(stderr, "daemons: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
  exit(1);
}

static void arm(many *m, one *d, bool out) {
  if (d->armed == out) return;
  struct epoll_event ev = {.events = EPOLLIN | (out ? (uint32_t)EPOLLOUT : 0), .data.ptr = d};
  if (epoll_ctl(m->epoll, EPOLL_CTL_MOD, d->fd, &ev) != 0) die("epoll");
  d->armed = out;
}

static void flush(many *m, one *d) {
  size_t at = 0;
  while (at < d->out.len) {
    ssize_t n = send(d->fd, d->out.data + at, d->out.len - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) exit(0); /* the dispatcher has gone */
    at += (size_t)n;
  }
  memmove(d->out.data, d->out.data + at, d->out.len - at);
  d->out.len -= at;
  arm(m, d, d->out.len > 0);
  if (d->out.len == 0) hato__buf_free(&d->out);
}

/* One thread for all: reported as started and as done in one write. */
static void records(one *d, uint64_t first, uint32_t count, uint32_t attempt, uint16_t error) {
  proto_results_writer w;
  proto_results_begin(&w, &d->out);
  for (uint32_t i = 0; i < count; i++) {
    proto_result r = {.task = first + i, .attempt = attempt, .error = error, .flags = PROTO_RESULT_USAGE, .wall_ns = 1000};
    if (!proto_results_room(&w, proto_result_size(&r))) {
      proto_results_end(&w);
      proto_results_begin(&w, &d->out);
    }
    proto_results_add(&w, &r);
  }
  proto_results_end(&w);
}

static void assigned(many *m, one *d, const uint8_t *body, uint32_t len) {
  hato_error err;
  proto_assign a;
  if (proto_assign_decode(&a, body, len, &err) != HATO_OK) die(err.text);
  proto_run run = {.first = a.first, .count = a.count, .attempt = a.attempt};
  proto_runs_encode(&d->out, PROTO_STARTED, &run, 1);
  if (!m->hold) records(d, a.first, a.count, a.attempt, 0);
}

static void interrupted(many *m, one *d, const uint8_t *body, uint32_t len) {
  hato_error err;
  proto_runs runs;
  if (proto_runs_decode(&runs, body, len, &err) != HATO_OK) die(err.text);
  for (uint32_t i = 0; m->hold && i < runs.n; i++) {
    proto_run r = proto_run_at(&runs, i);
    records(d, r.first, r.count, r.attempt, r.value);
  }
}

static void enlisted(many *m, const uint8_t *body, uint32_t len) {
  hato_error err;
  proto_enlisted e;
  if (proto_enlisted_decode(&e, body, len, &err) != HATO_OK) die(err.text);
  m->beat_ms = e.heartbeat_ms;
  if (m->beat_at == 0) m->beat_at = now_ns() + m->beat_ms * UINT64_C(1000000);
  if (++m->enlisted < m->n) return;
  printf("{\"daemons\":%u,\"seconds\":%.3f}\n", m->n, (double)(now_ns() - m->begun) / 1e9);
  fflush(stdout);
}

static void prove(many *m, one *d, const uint8_t *challenge, uint32_t len) {
  uint8_t t[32];
  proto_proof p = {.id = m->credential->id};
  if (len != NET_CHALLENGE_BODY || !net__transcript(t, NULL, d->hello, challenge) ||
      !net__proof_mac(p.mac, m->credential->secret, t, &p))
    die("the challenge");
  proto_proof_encode(&d->out, &p);
}

static void frame(many *m, one *d, uint8_t type, const uint8_t *body, uint32_t len) {
  proto_daemon me = {.id = ((uint64_t)getpid() << 32) + d->number + 1, .instance = 1, .slots = 1, .cores = 1,
                     .pid = (uint32_t)getpid(), .host = "bench", .host_len = 5, .version = "bench", .version_len = 5};
  switch (type) {
  case PROTO_CHALLENGE:
    prove(m, d, body, len);
    break;
  case PROTO_WELCOME:
    proto_daemon_encode(&d->out, &me);
    break;
  case PROTO_ENLISTED:
    enlisted(m, body, len);
    break;
  case PROTO_ASSIGN:
    assigned(m, d, body, len);
    break;
  case PROTO_INTERRUPT:
    interrupted(m, d, body, len);
    break;
  case PROTO_TAKE: /* all that it has has begun */
    proto_runs_encode(&d->out, PROTO_TAKEN, NULL, 0);
    break;
  case PROTO_SPEC:
  case PROTO_SPEC_DROP:
  case PROTO_HEARTBEAT:
    break;
  case PROTO_GOODBYE:
  case PROTO_DRAIN:
    exit(0);
  default:
    fprintf(stderr, "daemons: a message %s\n", proto_type_name(type));
    exit(1);
  }
}

/* Whole frames of what was read; the beginning of another is kept. */
static void frames(many *m, one *d, const uint8_t *at, size_t n) {
  if (d->in.len > 0) {
    hato__buf_append(&d->in, at, n);
    at = d->in.data;
    n = d->in.len;
  }
  while (n >= PROTO_HEADER) {
    hato_error err;
    proto_header h;
    if (proto_header_decode(&h, at, &err) != HATO_OK) die(err.text);
    if (n - PROTO_HEADER < h.len) break;
    frame(m, d, h.type, at + PROTO_HEADER, h.len);
    at += PROTO_HEADER + h.len;
    n -= PROTO_HEADER + h.len;
  }
  if (n == 0) {
    hato__buf_free(&d->in);
  } else if (d->in.len > 0) {
    memmove(d->in.data, at, n);
    d->in.len = n;
  } else {
    hato__buf_append(&d->in, at, n);
  }
}

static void readable(many *m, one *d) {
  static uint8_t buf[READ_AT_ONCE];
  ssize_t n = recv(d->fd, buf, sizeof buf, 0);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) exit(0);
  frames(m, d, buf, (size_t)n);
}

static void join(many *m, one *d, uint32_t number) {
  struct sockaddr_un to = {.sun_family = AF_UNIX};
  snprintf(to.sun_path, sizeof to.sun_path, "%s", m->path);
  d->number = number;
  d->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (d->fd < 0 || connect(d->fd, (struct sockaddr *)&to, sizeof to) != 0) die(m->path);
  fcntl(d->fd, F_SETFL, O_NONBLOCK);
  struct epoll_event ev = {.events = EPOLLIN, .data.ptr = d};
  if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, d->fd, &ev) != 0) die("epoll");
  proto_hello hello = {.role = PROTO_ROLE_DAEMON, .version_low = PROTO_VERSION, .version_high = PROTO_VERSION};
  memcpy(hello.nonce, &number, sizeof number);
  proto_hello_encode(&d->out, &hello);
  memcpy(d->hello, d->out.data + PROTO_HEADER, sizeof d->hello);
  flush(m, d);
}

static void beat(many *m) {
  if (m->beat_at == 0 || now_ns() < m->beat_at) return;
  m->beat_at = now_ns() + m->beat_ms * UINT64_C(1000000);
  for (uint32_t i = 0; i < m->n; i++) {
    proto_heartbeat_encode(&m->all[i].out);
    flush(m, &m->all[i]);
  }
}

static int serve(many *m) {
  struct epoll_event ev[EVENTS], in = {.events = EPOLLIN};
  uint32_t joined = 0;
  if (epoll_ctl(m->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &in) != 0) die("standard input");
  for (;;) {
    /* So many are on their way in at a time. */
    while (joined < m->n && joined - m->enlisted < 64) {
      join(m, &m->all[joined], joined);
      joined++;
    }
    int n = epoll_wait(m->epoll, ev, EVENTS, 1000);
    for (int i = 0; i < n; i++) {
      one *d = ev[i].data.ptr;
      char byte;
      if (d == NULL && read(STDIN_FILENO, &byte, 1) <= 0) return 0;
      if (d == NULL) continue;
      if (ev[i].events & ~(uint32_t)EPOLLOUT) readable(m, d);
      flush(m, d);
    }
    beat(m);
  }
}

int main(int argc, char **argv) {
  many m = {.begun = now_ns()};
  const char *credential = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--hold") == 0)
      m.hold = true;
    else if (strcmp(argv[i], "--socket") == 0 && i + 1 < argc)
      m.path = argv[++i];
    else if (strcmp(argv[i], "--credential") == 0 && i + 1 < argc)
      credential = argv[++i];
    else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
      m.n = (uint32_t)strtoul(argv[++i], NULL, 10);
  }
  if (m.path == NULL || credential == NULL || m.n == 0)
    return fprintf(stderr, "usage: daemons --socket PATH --credential FILE -n COUNT [--hold]\n"), 2;
  hato_error err;
  if (hato__credential_read(credential, &m.credential, &err) != HATO_OK) return fprintf(stderr, "%s\n", err.text), 1;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  m.all = calloc(m.n, sizeof *m.all);
  m.epoll = epoll_create1(EPOLL_CLOEXEC);
  if (m.all == NULL || m.epoll < 0) die("epoll");
  return serve(&m);
}

/* What comes from the clients, and what is due. */
#include "ssh.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { HEARD_MAX = 8192, LINE_MAX_LEN = 65536, EVENTS = 64, PIECES = 64 };

void ssh_start_waiting(ssh_state *st, const hato_host *h) {
  uint32_t connecting = 0;
  for (const ssh_session *s = st->sessions; s != NULL; s = s->next) connecting += s->phase == SSH_CONNECTING;
  for (ssh_session *s = st->sessions; s != NULL; s = s->next) {
    if (s->phase != SSH_WAITING || connecting >= s->parallel) continue;
    if (ssh_session_spawn(st, h, s) == HATO_OK) {
      connecting++;
      continue;
    }
    s->phase = SSH_CONNECTING;
    ssh_put(&s->heard, "no process could be started", 27);
    ssh_follow_gone(st, h, s, 255, 0);
  }
}

/* True: there was something. What goes on and on is read a megabyte at a time, which is more than a pipe holds. */
static bool read_into(int *fd, ssh_text *t) {
  char piece[16384];
  bool some = false;
  for (int i = 0; *fd >= 0 && i < PIECES; i++) {
    ssize_t n = read(*fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      (void)close(*fd);
      *fd = -1;
      break;
    }
    ssh_put(t, piece, (size_t)n);
    some = true;
  }
  return some;
}

static void hear(ssh_state *st, ssh_session *s) {
  size_t before = s->heard.len;
  if (!read_into(&s->err, &s->heard)) return;
  size_t kept = before;
  for (size_t i = before; i < s->heard.len; i++) { /* it ends lines as for a terminal */
    if (s->heard.data[i] != '\r') s->heard.data[kept++] = s->heard.data[i];
  }
  s->heard.data[s->heard.len = kept] = 0;
  ssh_follow_heard(st, s);
  if (s->heard.len > (size_t)2 * HEARD_MAX) {
    size_t n = s->heard.len - HEARD_MAX;
    ssh_cut(&s->heard, n);
    s->scanned = s->scanned > n ? s->scanned - n : 0;
  }
}

static void listen_to(ssh_state *st, const hato_host *h, ssh_session *s) {
  hear(st, s); /* first: the port of the tunnel comes before all else */
  if (!read_into(&s->out, &s->said)) return;
  size_t at = 0;
  for (char *end; at < s->said.len && (end = memchr(s->said.data + at, '\n', s->said.len - at)) != NULL;) {
    *end = 0;
    ssh_follow_line(st, h, s, s->said.data + at);
    if (s->said.data == NULL) return;
    at = (size_t)(end + 1 - s->said.data);
  }
  ssh_cut(&s->said, at);
  if (s->said.len > LINE_MAX_LEN) ssh_text_free(&s->said);
}

static void serve(ssh_state *st, const hato_host *h, ssh_session *s) {
  listen_to(st, h, s);
  ssh_session_flush(st, s);
  struct pollfd p = {.fd = s->in};
  if (s->in >= 0 && poll(&p, 1, 0) > 0) { /* nobody reads there any more */
    (void)close(s->in);
    s->in = -1;
  }
  siginfo_t si = {0};
  if (s->pidfd < 0 || waitid(P_PIDFD, (id_t)s->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0) return;
  listen_to(st, h, s);
  bool exited = si.si_code == CLD_EXITED;
  ssh_follow_gone(st, h, s, exited ? si.si_status : -1, exited ? 0 : si.si_status);
}

static void sooner(uint64_t *first, uint64_t at) {
  if (at != 0 && (*first == 0 || at < *first)) *first = at;
}

static void arm(ssh_state *st) {
  uint64_t first = 0;
  for (const ssh_session *s = st->sessions; s != NULL; s = s->next) sooner(&first, s->due);
  for (const ssh_job *j = st->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; i < j->count; i++) sooner(&first, j->members[i].kill_at);
  }
  struct itimerspec t = {
      .it_value = {.tv_sec = (time_t)(first / 1000000000u), .tv_nsec = (long)(first % 1000000000u)}};
  (void)timerfd_settime(st->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Those that are over go. */
static void sweep(ssh_state *st) {
  for (ssh_session **at = &st->sessions; *at != NULL;) {
    ssh_session *s = *at;
    if (s->phase != SSH_OVER) {
      at = &s->next;
      continue;
    }
    *at = s->next;
    for (ssh_job *j = st->jobs; j != NULL; j = j->next) {
      for (uint32_t i = 0; i < j->n_places; i++) {
        if (j->places[i].session == s) j->places[i] = (ssh_place){0};
      }
    }
    ssh_session_free(s);
  }
}

void ssh_settle(ssh_state *st) {
  ssh_tidy(st);
  sweep(st);
  arm(st);
}

void ssh_pump(ssh_state *st, const hato_host *h, int wait_ms) {
  struct epoll_event events[EVENTS];
  ssh_start_waiting(st, h);
  ssh_settle(st);
  int n = epoll_wait(st->epoll, events, EVENTS, wait_ms);
  for (int i = 0; i < n; i++) {
    if (events[i].data.ptr != NULL) serve(st, h, events[i].data.ptr);
  }
  uint64_t expired;
  if (read(st->timer, &expired, sizeof expired) > 0) ssh_follow_due(st, h);
  ssh_start_waiting(st, h);
  ssh_settle(st);
}

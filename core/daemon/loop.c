/* The loop: executors' sockets and ends, signals, the heartbeat. Idle it wakes for
 * heartbeats alone. */
#include "base/clock.h"
#include "daemon/state.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define LEAVE_NS (2 * HATO__SEC) /* for the dispatcher to hang up after our goodbye */
#define LOOP_EVENTS 64

void daemon_nudge(daemon_state *d) {
  uint64_t one = 1;
  ssize_t n = write(d->wake_fd, &one, sizeof one);
  (void)n; /* full: it will look anyway */
}

static void earliest(uint64_t *at, uint64_t t) {
  if (t != 0 && t < *at) *at = t;
}

/* Until the next moment that something is due, in ms for epoll_wait. */
static int patience(daemon_state *d) {
  uint64_t at = UINT64_MAX;
  earliest(&at, d->beat_ns ? d->next_beat : d->enlist_by);
  earliest(&at, d->drain_next);
  earliest(&at, d->leave_next);
  if (d->o->idle_exit_ns && d->idle_since && !d->draining) earliest(&at, d->idle_since + d->o->idle_exit_ns);
  earliest(&at, d->kill_next);
  uint64_t now = hato__now();
  if (at <= now) return 0;
  uint64_t ms = (at - now + HATO__MS - 1) / HATO__MS;
  return ms < INT_MAX ? (int)ms : INT_MAX;
}

static void beat(daemon_state *d, uint64_t now) {
  if (!d->beat_ns) {
    if (now >= d->enlist_by)
      daemon_end(d, DAEMON_EXIT_NEVER, HATO_TIMED_OUT, "the dispatcher did not enlist this daemon");
    return;
  }
  if (now < d->next_beat) return;
  d->next_beat = now + d->beat_ns;
  d->silent = atomic_exchange_explicit(&d->heard, false, memory_order_relaxed) ? 0 : d->silent + 1;
  if (d->silent >= DAEMON_SILENT_BEATS)
    daemon_end(d, DAEMON_EXIT_LOST, HATO_TIMED_OUT, "the dispatcher was silent for %u heartbeats of %.1f s",
               d->silent, (double)d->beat_ns / 1e9);
  proto_heartbeat_encode(daemon_control(d));
}

/* No more tasks; what has not begun goes back, what runs is interrupted. */
static void withdraw(daemon_state *d, const char *why) {
  if (d->signals > 1) {
    daemon_end(d, DAEMON_EXIT_OK, HATO_OK, "%s", why);
    return;
  }
  hato__notice(d->log, "DAEMON-DRAIN", "%s: %llu tasks go back, %llu are interrupted", why,
               (unsigned long long)d->queued, (unsigned long long)d->outstanding);
  d->draining = true;
  d->drain_next = hato__now();
  proto_drain_encode(daemon_control(d), true);
  daemon_return_all(d);
}

static void idle(daemon_state *d, uint64_t now) {
  if (d->queued > 0 || d->outstanding > 0)
    d->idle_since = 0;
  else if (d->idle_since == 0)
    d->idle_since = now;
  else if (d->o->idle_exit_ns && !d->draining && now >= d->idle_since + d->o->idle_exit_ns)
    withdraw(d, "it had no task for long enough");
}

static void drain(daemon_state *d, uint64_t now) {
  if (!d->draining) return;
  /* Those that begin now are short ones behind what ran; none may keep us long. */
  if (d->drain_next && now >= d->drain_next) {
    daemon_interrupt_heads(d, HATO_INTERRUPTED);
    d->drain_next = now + DAEMON_DRAIN_STEP_NS;
  }
  if (d->goodbye == 0 && d->queued == 0 && d->outstanding == 0 && daemon_outbox_empty(d)) {
    proto_words_encode(daemon_control(d), PROTO_GOODBYE, HATO_OK, "the daemon has drained");
    d->goodbye = 1;
  }
  /* It hangs up (peer.c). To be first could lose the goodbye, and results before it: TLS holds what was sent. */
  if (d->goodbye == 3 && d->leave_next == 0) d->leave_next = now + LEAVE_NS;
  if (d->leave_next != 0 && now >= d->leave_next) daemon_end(d, DAEMON_EXIT_OK, HATO_OK, "drained");
}

/* Executors whose interrupted task did not end. */
static void end_stubborn(daemon_state *d, uint64_t now) {
  d->kill_next = 0;
  for (unsigned i = 0; i < d->n_slots; i++) {
    daemon_slot *s = &d->slots[i];
    if (s->kill_at && now >= s->kill_at) daemon_slot_kill(d, s, "it did not end when interrupted");
    if (s->kill_at && (d->kill_next == 0 || s->kill_at < d->kill_next)) d->kill_next = s->kill_at;
  }
}

static void due(daemon_state *d) {
  daemon_lock(d);
  uint64_t now = hato__now();
  beat(d, now);
  idle(d, now);
  drain(d, now);
  if (d->kill_next && now >= d->kill_next) end_stubborn(d, now);
  daemon_settle(d);
}

static void on_signal(daemon_state *d) {
  struct signalfd_siginfo info;
  while (read(d->signal_fd, &info, sizeof info) == sizeof info) {
    char words[64];
    snprintf(words, sizeof words, "signal %u (%s)", info.ssi_signo, strsignal((int)info.ssi_signo));
    daemon_lock(d);
    d->signals++;
    withdraw(d, words);
    daemon_settle(d);
  }
}

static void on_event(daemon_state *d, const struct epoll_event *ev) {
  if (ev->data.u64 == UINT64_MAX) {
    uint64_t n;
    ssize_t got = read(d->wake_fd, &n, sizeof n);
    (void)got;
    return;
  }
  if (ev->data.u64 == UINT64_MAX - 1) {
    on_signal(d);
    return;
  }
  daemon_slot *s = &d->slots[ev->data.u64 / 2];
  if (ev->data.u64 % 2) {
    daemon_slot_gone(d, s);
    return;
  }
  if (ev->events & EPOLLOUT) {
    daemon_lock(d);
    if (s->armed && s->fd >= 0) {
      s->armed = false;
      struct epoll_event in = {.events = EPOLLIN, .data.u64 = ev->data.u64};
      (void)epoll_ctl(d->epoll, EPOLL_CTL_MOD, s->fd, &in);
      daemon_slot_flush(d, s);
    }
    daemon_settle(d);
  }
  if (ev->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) (void)daemon_slot_read(d, s);
}

void daemon_loop(daemon_state *d) {
  struct epoll_event events[LOOP_EVENTS];
  for (;;) {
    daemon_lock(d);
    bool ended = d->ended;
    int ms = patience(d);
    pthread_mutex_unlock(&d->lock);
    if (ended) return;
    int n = epoll_wait(d->epoll, events, LOOP_EVENTS, ms);
    if (n < 0 && errno != EINTR) {
      daemon_lock(d);
      daemon_end(d, DAEMON_EXIT_FAILED, HATO_SYSTEM, "epoll: %s", strerror(errno));
      pthread_mutex_unlock(&d->lock);
    }
    for (int i = 0; i < n; i++) on_event(d, &events[i]);
    due(d);
  }
}

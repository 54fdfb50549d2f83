/* The thread that keeps time: the scheduler's deadlines, heartbeats, the end of an
 * idle session. It sleeps until the next of them and is woken when a nearer one appears. */
#include "dispatcher/internal.h"

#include "base/thread.h"

#include <stdatomic.h>
#include <string.h>

#define SILENT_BEATS 3 /* a daemon that was silent for so many heartbeats is gone */
#define SWEEP_NS (600 * HATO__SEC)

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t later_at(const dispatcher *d) {
  return hato__list_empty(&d->later) ? UINT64_MAX : d->later_at;
}

static void beat(dispatcher *d, uint64_t now) {
  if (now < d->next_beat) return;
  uint64_t every = d->heartbeat_ms * HATO__MS;
  d->next_beat = now + every;
  for (hato__link *l = d->peers.next; l != &d->peers; l = l->next) {
    peer *p = HATO__ENTRY(l, peer, link);
    if (p->kind != PEER_WORKER || !p->introduced || p->closed) continue;
    uint64_t heard = atomic_load_explicit(&p->heard, memory_order_relaxed);
    if (now > heard && now - heard > SILENT_BEATS * every) {
      net_close(p->conn, HATO_TIMED_OUT, "silent for three heartbeats");
      continue;
    }
    size_t begun;
    hato__buf *b = dispatcher_outbox_bytes(p, &begun);
    proto_heartbeat_encode(b);
    dispatcher_outbox_done(p, begun);
  }
}

static void sweep(dispatcher *d, uint64_t now) {
  if (now < d->next_sweep) return;
  d->next_sweep = now + least(SWEEP_NS, d->keep_ns ? d->keep_ns : SWEEP_NS);
  dispatcher_kept_expire(d);
}

/* A session is idle without client, task and uncollected result. When it is in use the next look is a
 * whole idle time later. */
static uint64_t look_idle(dispatcher *d, uint64_t now) {
  if (!d->idle_ns) return UINT64_MAX;
  sched_counts n = sched_count(d->sched);
  if (d->n_clients > 0 || n.queued + n.sent + n.running > 0 || d->uncollected > 0) d->busy_at = now;
  if (now - d->busy_at >= d->idle_ns) dispatcher_ask(d, "it was idle");
  return d->busy_at + d->idle_ns;
}

/* Whether the process it is tied to has ended: looked at once a second, for a pidfd cannot be waited for
 * together with a condition, and a second is soon enough. */
static uint64_t look_process(dispatcher *d, uint64_t now) {
  if (!d->while_pid) return UINT64_MAX;
  if (!hato__process_lives(d->while_pid, d->while_start)) {
    dispatcher_ask(d, "the process it was tied to has ended");
    return UINT64_MAX;
  }
  return now + HATO__SEC;
}

static void sleep_until(dispatcher *d, uint64_t at) {
  d->tick_at = at;
  if (at == UINT64_MAX) {
    pthread_cond_wait(&d->tick, &d->lock);
    return;
  }
  struct timespec ts = {.tv_sec = (time_t)(at / HATO__SEC), .tv_nsec = (long)(at % HATO__SEC)};
  pthread_cond_timedwait(&d->tick, &d->lock, &ts);
}

static void *clock_thread(void *arg) {
  dispatcher *d = arg;
  dispatcher_lock(d);
  while (!d->stopping) {
    uint64_t now = hato__now();
    sched_tick(d->sched, now);
    beat(d, now);
    dispatcher_peers_dismissed_go(d, now);
    sweep(d, now);
    if (now >= later_at(d)) dispatcher_outbox_now(d);
    bool look = now >= d->launch_tick;
    uint64_t at = least(dispatcher_room_retry(d, now), least(look_idle(d, now), look_process(d, now)));
    dispatcher_unlock(d);
    if (look) dispatcher_launch_look(d, now);
    dispatcher_work_pump(d);
    dispatcher_flush(d);
    dispatcher_lock(d);
    at = least(at, least(d->dismiss_at, least(d->next_beat, d->next_sweep)));
    at = least(at, least(d->launch_tick, least(sched_deadline(d->sched), later_at(d))));
    if (!d->stopping && at > hato__now()) sleep_until(d, at);
  }
  dispatcher_unlock(d);
  return NULL;
}

void dispatcher_clock_soon(dispatcher *d) {
  if (least(d->dismiss_at, least(d->launch_tick, least(sched_deadline(d->sched), later_at(d)))) < d->tick_at) pthread_cond_signal(&d->tick);
}

hato_status dispatcher_clock_start(dispatcher *d, hato_error *err) {
  d->next_beat = hato__now() + d->heartbeat_ms * HATO__MS;
  d->next_sweep = hato__now() + SWEEP_NS;
  int e = hato__thread_start(&d->clock, 0, clock_thread, d);
  if (e) return hato__fail(err, HATO_SYSTEM, "no thread for the dispatcher's clock: %s", strerror(e));
  d->clock_runs = true;
  return HATO_OK;
}

void dispatcher_clock_stop(dispatcher *d) {
  dispatcher_lock(d);
  d->stopping = true;
  pthread_cond_broadcast(&d->tick);
  dispatcher_unlock(d);
  if (d->clock_runs) pthread_join(d->clock, NULL);
  d->clock_runs = false;
}

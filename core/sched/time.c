/* Time: the clock of events, and a heap of deadlines (time limits and graces). */
#include "sched/internal.h"

#include <stdlib.h>

void sched__clock(sched *s, uint64_t now) {
  if (now > s->now) s->now = now;
}

/* Places are had when a task with a limit is sent and when a daemon joins, so that
 * setting a deadline cannot fail. */
bool sched__deadline_reserve(sched *s, uint64_t more) {
  uint64_t need = s->limited + s->daemons_n + more;
  if (need <= s->heap_cap) return true;
  if (need > UINT32_MAX / 2) return false;
  uint32_t cap = s->heap_cap ? s->heap_cap : 16;
  while (cap < need) cap *= 2;
  s_deadline *heap = realloc(s->heap, cap * sizeof *heap);
  if (!heap) return false;
  s->heap = heap;
  s->heap_cap = cap;
  return true;
}

static void put(sched *s, uint32_t i, s_deadline d) {
  s->heap[i] = d;
  if (d.is_daemon)
    ((s_daemon *)d.who)->heap = i + 1;
  else
    ((s_flight *)d.who)->heap = i + 1;
}

static uint32_t rise(sched *s, uint32_t i, s_deadline d) {
  while (i > 0 && s->heap[(i - 1) / 4].at > d.at) {
    put(s, i, s->heap[(i - 1) / 4]);
    i = (i - 1) / 4;
  }
  return i;
}

static uint32_t sink(sched *s, uint32_t i, s_deadline d) {
  for (;;) {
    uint32_t best = 4 * i + 1, end = best + 4 < s->heap_n ? best + 4 : s->heap_n;
    for (uint32_t c = best + 1; c < end; c++)
      if (s->heap[c].at < s->heap[best].at) best = c;
    if (best >= s->heap_n || s->heap[best].at >= d.at) return i;
    put(s, i, s->heap[best]);
    i = best;
  }
}

void sched__deadline_set(sched *s, uint64_t at, void *who, bool is_daemon) {
  s_deadline d = {.at = at, .who = who, .is_daemon = is_daemon};
  put(s, rise(s, s->heap_n++, d), d);
}

void sched__deadline_drop(sched *s, uint32_t place) {
  s_deadline gone = s->heap[place - 1], last = s->heap[--s->heap_n];
  if (gone.is_daemon)
    ((s_daemon *)gone.who)->heap = 0;
  else
    ((s_flight *)gone.who)->heap = 0;
  if (place - 1 == s->heap_n) return;
  uint32_t i = rise(s, place - 1, last);
  if (i == place - 1) i = sink(s, i, last);
  put(s, i, last);
}

void sched_tick(sched *s, uint64_t now) { sched__clock(s, now); }

uint64_t sched_deadline(const sched *s) {
  uint64_t stall = sched__stall_deadline(s), first = s->heap_n ? s->heap[0].at : UINT64_MAX;
  return stall < first ? stall : first;
}

static void expire_task(sched *s, s_out *e, s_flight *f) {
  s_daemon *d = f->daemon;
  s_range *r = f->range;
  sched_action a = {.type = SCHED_INTERRUPT,
                    .daemon = d->handle,
                    .count = 1,
                    .attempt = f->attempt,
                    .value = HATO_TIMED_OUT,
                    .first = f->task};
  if (!d->lost && !d->disconnected) sched__emit(s, e, &a);
  if (d->lost)
    sched__flight_free(s, f);
  else
    sched__flight_zombie(s, f, HATO_TIMED_OUT);
  a.type = SCHED_RESOLVE;
  a.daemon = 0;
  a.attempt = 0;
  a.owner = r->owner->handle;
  a.data = r->data;
  sched__emit(s, e, &a);
  sched__resolved(s, r, 1);
}

bool sched__expire_step(sched *s, s_out *e) {
  while (s->heap_n && s->heap[0].at <= s->now) {
    if (sched__full(e)) return true;
    sched__spend(e, 1);
    s_deadline first = s->heap[0];
    if (first.is_daemon)
      sched__daemon_lose(s, first.who);
    else
      expire_task(s, e, first.who);
  }
  return false;
}

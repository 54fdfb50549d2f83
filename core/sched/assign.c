/* Which daemon is sent what: free slots first, then some work ahead of slots that are
 * busy with tasks much shorter than a round trip. */
#include "sched/internal.h"

/* Tasks of a specification that may wait in front of one slot. A first of its kind, or
 * a long one, waits here, where every daemon can have it. */
static uint32_t ahead_of_slot(const sched *s, const s_spec *p) {
  if (p->samples == 0 || p->mean_ns >= s->cfg.long_task_ns) return 0;
  uint64_t n = s->cfg.ahead_ns / (p->mean_ns ? p->mean_ns : 1);
  if (n < 1) n = 1;
  return n < s->cfg.ahead_max ? (uint32_t)n : s->cfg.ahead_max;
}

/* `part` of the queue, rounded up. */
static uint64_t share_of(const sched *s, uint64_t part, uint64_t whole) {
  if (s->ready >= UINT32_MAX) return UINT32_MAX;
  return (s->ready * part + whole - 1) / whole;
}

/* The daemon with the largest part of its slots free, and how many tasks for it: all of
 * its free slots, or when the queue is shorter than that its even share. */
static s_daemon *most_free(const sched *s, uint64_t *n) {
  if (!s->free_mask) return NULL;
  unsigned level = 31u - (unsigned)__builtin_clz(s->free_mask);
  s_daemon *d = HATO__ENTRY(s->free_at[level].next, s_daemon, free_link);
  *n = s->ready >= s->free_slots ? d->free : share_of(s, d->free, s->free_slots);
  return d;
}

/* What a hungry daemon may get now; 0: it is not hungry any more. A batch that was begun
 * is completed, so that it is large even when it comes from many small ranges. */
static uint64_t appetite(sched *s, s_daemon *d, uint32_t each) {
  uint64_t target = (uint64_t)d->slots * each, held = sched__in_slots(d);
  uint64_t low = d->slots + target / 2;
  d->low = low < UINT32_MAX ? (uint32_t)low : UINT32_MAX;
  uint64_t room = d->slots + target > held ? d->slots + target - held : 0;
  if (d->grant == 0) {
    if (held > low || s->now - d->progress_ns > sched__patience(s)) return 0;
    /* Less than a round trip's work is not worth sharing out: slots that are long busy would
     * make crumbs of the shares of those that work. */
    uint64_t share = share_of(s, d->slots, s->usable_slots), least = target * SCHED_TRIP_NS / s->cfg.ahead_ns;
    if (share < least) share = least;
    if (share > room) share = room;
    d->grant = share < UINT32_MAX ? (uint32_t)share : UINT32_MAX;
  }
  return room < d->grant ? room : d->grant;
}

static s_daemon *next_hungry(sched *s, s_out *e, uint32_t each, uint64_t *n) {
  while (!hato__list_empty(&s->hungry) && e->work > 0) {
    s_daemon *d = HATO__ENTRY(s->hungry.next, s_daemon, hungry_link);
    *n = appetite(s, d, each);
    if (*n > 0) return d;
    d->grant = 0;
    hato__list_remove(&d->hungry_link);
    sched__spend(e, 1);
  }
  return NULL;
}

/* Returns how many were sent: fewer than n only without memory. */
static uint32_t send(sched *s, s_out *e, s_daemon *d, s_seg *g, uint32_t n) {
  s_range *r = g->range;
  const s_spec *p = r->spec;
  sched_action a = {.type = SCHED_SEND,
                    .daemon = d->handle,
                    .owner = r->owner->handle,
                    .attempt = g->attempt,
                    .first = g->first,
                    .data = r->data};
  uint64_t expect = p->samples ? p->mean_ns : s->cfg.long_task_ns;
  if (expect > UINT32_MAX) expect = UINT32_MAX;
  if (r->limit_ns && !sched__deadline_reserve(s, n)) return 0;
  if (sched__in_slots(d) == 0) d->progress_ns = s->now; /* what stood idle did not stand still */
  while (a.count < n && sched__flight_new(s, d, r, a.first + a.count, a.attempt, (uint32_t)expect)) a.count++;
  if (a.count == 0) return 0;
  d->take_vain = d->take_still = false; /* there is something new to be taken */
  sched__seg_drop_front(s, g, a.count);
  sched__settle(s, d);
  sched__spend(e, a.count);
  sched__emit(s, e, &a);
  return a.count;
}

/* Among daemons with the same part free, the next gets the next task. */
static void after_free(sched *s, s_daemon *d) {
  if (d->free_level) {
    hato__list_remove(&d->free_link);
    hato__list_push(&s->free_at[d->free_level], &d->free_link);
  }
  if (!hato__linked(&d->hungry_link)) hato__list_push(&s->hungry, &d->hungry_link);
}

static void after_hungry(s_daemon *d, uint32_t sent) {
  d->grant -= sent < d->grant ? sent : d->grant;
  if (d->grant == 0) hato__list_remove(&d->hungry_link);
}

bool sched__assign(sched *s, s_out *e) {
  while (s->ready > 0) {
    if (sched__full(e)) return true;
    s_owner *o = HATO__ENTRY(s->ring.next, s_owner, ring);
    s_seg *g = sched__seg(o->queue.next);
    uint32_t each = ahead_of_slot(s, g->range->spec);
    uint64_t n = 0;
    s_daemon *d = most_free(s, &n);
    bool ahead = !d;
    /* The turn is kept by an owner whose task must wait for a free slot: else the short
     * tasks of others, sent ahead, would see to it that none ever is free. */
    if (ahead && each) d = next_hungry(s, e, each, &n);
    if (!d) return e->work == 0;
    if (n > g->count) n = g->count;
    if (n > e->work) n = e->work;
    uint32_t quantum = each ? each : 1, left = o->turn ? o->turn : quantum;
    if (s->ring.next != s->ring.prev && n > left) n = left;
    uint32_t sent = send(s, e, d, g, (uint32_t)n);
    if (sent == 0) return false; /* no memory: the next event tries again */
    sched__owner_turn(s, o, quantum, sent);
    if (ahead)
      after_hungry(d, sent);
    else
      after_free(s, d);
  }
  return false;
}

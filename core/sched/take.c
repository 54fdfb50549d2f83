/*
 * Taking back what was sent ahead: for idle slots, when the queue is empty; and from a
 * daemon that stands still, whatever the queue.
 *
 * What is worth it: a backlog of at least a round trip a slot, by what its tasks are
 * expected to take. A smaller one will be gone before the answer comes, unless the tasks
 * in front of it take much longer than expected: then it is taken once the daemon has
 * neither started nor ended anything for a while.
 */
#include "sched/internal.h"

enum { IDLE_PATIENCE = 5 * SCHED_TRIP_NS, ANSWER_NS = 10000000 };

static uint64_t at_least(uint64_t a, uint64_t b) { return a > b ? a : b; }

uint64_t sched__patience(const sched *s) {
  if (s->ready == 0) return s->free_slots > 0 ? IDLE_PATIENCE : UINT64_MAX;
  return s->usable_daemons > 1 ? at_least(2 * s->cfg.long_task_ns, 4 * s->cfg.ahead_ns) : UINT64_MAX;
}

/* For each idle daemon one TAKE at a time; but a daemon that does not answer must not
 * keep the others from being asked. */
static uint64_t gate(const sched *s) { return s->takes < s->free_daemons ? 0 : s->last_take_ns + ANSWER_NS; }

uint64_t sched__stall_deadline(const sched *s) {
  uint64_t patience = sched__patience(s);
  if (patience == UINT64_MAX || hato__list_empty(&s->stalling)) return UINT64_MAX;
  const s_daemon *d = HATO__ENTRY(s->stalling.next, s_daemon, stall_link);
  uint64_t at = d->since_ns + patience;
  return s->ready == 0 ? at_least(at, gate(s)) : at;
}

static void take(sched *s, s_out *e, s_daemon *d, uint32_t n) {
  d->taking = true;
  d->take_got = 0;
  d->take_still = true;
  s->takes++;
  s->last_take_ns = s->now;
  d->grant = 0;
  hato__list_remove(&d->hungry_link); /* nothing more ahead until something ends there */
  sched__settle(s, d);
  sched__spend(e, 1);
  sched__emit(s, e, &(sched_action){.type = SCHED_TAKE, .daemon = d->handle, .count = n});
}

/* From the largest backlog as much as makes its slots and the idle ones even. */
static bool even_out(sched *s, s_out *e) {
  while (s->backlog_mask && s->free_slots > 0 && gate(s) <= s->now) {
    unsigned level = 63u - (unsigned)__builtin_clzll(s->backlog_mask);
    s_daemon *d = HATO__ENTRY(s->backlog_at[level].next, s_daemon, backlog_link);
    if (d->backlog_ns / d->slots < SCHED_TRIP_NS) return false;
    if (sched__full(e)) return true;
    uint64_t slots = (uint64_t)d->slots + s->free_slots;
    take(s, e, d, (uint32_t)((sched__ahead(d) * s->free_slots + slots - 1) / slots));
  }
  return false;
}

bool sched__rebalance(sched *s, s_out *e) {
  if (s->ready == 0 && even_out(s, e)) return true;
  for (;;) {
    uint64_t at = sched__stall_deadline(s);
    if (at == UINT64_MAX || at > s->now) return false;
    if (sched__full(e)) return true;
    s_daemon *d = HATO__ENTRY(s->stalling.next, s_daemon, stall_link);
    take(s, e, d, sched__ahead(d));
  }
}

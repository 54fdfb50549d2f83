/* The scheduler as a whole: made, asked for actions, counted, destroyed. */
#include "sched/sched.h"
#include "sched/internal.h"

#include <errno.h>
#include <stdlib.h>

enum { LONG_TASK_NS = 5000000, AHEAD_NS = 2000000, AHEAD_MAX = 1024 };
enum { WORK_MAX = 16384 }; /* tasks touched in one call: the caller holds a lock */

static void init_lists(sched *s) {
  hato__link *lists[] = {&s->idle_specs, &s->releases,     &s->ring,   &s->lost_owners, &s->cancels,
                         &s->losing,     &s->interrupting, &s->hungry, &s->stalling};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) hato__list_init(lists[i]);
  for (size_t i = 0; i < FREE_LEVELS; i++) hato__list_init(&s->free_at[i]);
  for (size_t i = 0; i < BACKLOG_LEVELS; i++) hato__list_init(&s->backlog_at[i]);
}

sched *sched_create(const sched_config *cfg) {
  sched *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  if (cfg) s->cfg = *cfg;
  if (!s->cfg.long_task_ns) s->cfg.long_task_ns = LONG_TASK_NS;
  if (!s->cfg.ahead_ns) s->cfg.ahead_ns = AHEAD_NS;
  if (!s->cfg.ahead_max) s->cfg.ahead_max = AHEAD_MAX;
  init_lists(s);
  sched__map_init(&s->ranges);
  sched__map_init(&s->flights);
  sched__map_init(&s->specs);
  sched__pool_init(&s->range_pool, sizeof(s_range));
  sched__pool_init(&s->cell_pool, sizeof(s_cell));
  sched__pool_init(&s->spec_pool, sizeof(s_spec));
  sched__pool_init(&s->daemon_pool, sizeof(s_daemon));
  sched__pool_init(&s->owner_pool, sizeof(s_owner));
  sched_owner shared;
  if (sched_owner_open(s, &shared) == HATO_OK) return s; /* the first handle: SCHED_SHARED_OWNER */
  sched_destroy(s);
  return NULL;
}

void sched_destroy(sched *s) {
  if (!s) return;
  int keep = errno;
  sched__map_fini(&s->ranges);
  sched__map_fini(&s->flights);
  sched__map_fini(&s->specs);
  sched__pool_fini(&s->range_pool);
  sched__pool_fini(&s->cell_pool);
  sched__pool_fini(&s->spec_pool);
  sched__pool_fini(&s->daemon_pool);
  sched__pool_fini(&s->owner_pool);
  sched__table_fini(&s->owners);
  sched__table_fini(&s->daemons);
  free(s->heap);
  free(s);
  errno = keep;
}

void sched__emit(sched *s, s_out *o, const sched_action *a) {
  if (o->n < o->max) {
    o->at[o->n++] = *a;
  } else {
    s->held = *a;
    s->holding = true;
  }
}

static bool release_step(sched *s, s_out *e) {
  while (!hato__list_empty(&s->releases)) {
    if (sched__full(e)) return true;
    s_range *r = HATO__ENTRY(s->releases.next, s_range, link);
    sched__emit(s, e,
                &(sched_action){.type = SCHED_RELEASE,
                                .owner = r->owner->handle,
                                .count = r->count,
                                .first = r->first,
                                .data = r->data});
    sched__range_release(s, r);
    sched__spend(e, 1);
  }
  return false;
}

/* A step that stops with more to do leaves no room. So nothing is assigned while a
 * cancel is under way, which might concern it. */
static bool steps(sched *s, s_out *e) {
  bool again = sched__expire_step(s, e);
  again |= sched__interrupting_step(s, e);
  again |= sched__cancel_step(s, e);
  again |= sched__losing_step(s, e);
  again |= sched__owners_step(s, e, (e->max - e->n + 1) / 2); /* others go on meanwhile */
  again |= sched__assign(s, e);
  again |= sched__rebalance(s, e);
  again |= release_step(s, e);
  again |= sched__owners_step(s, e, SIZE_MAX);
  return again;
}

size_t sched_next(sched *s, uint64_t now, sched_action *out, size_t max, bool *more) {
  sched__clock(s, now);
  s_out e = {.at = out, .max = max, .work = WORK_MAX};
  if (s->holding && max > 0) {
    out[e.n++] = s->held;
    s->holding = false;
  }
  bool again = steps(s, &e);
  if (more) *more = again || s->holding;
  return e.n;
}

sched_counts sched_count(const sched *s) {
  return (sched_counts){.queued = s->queued,
                        .sent = s->sent,
                        .running = s->running,
                        .resolved = s->resolved,
                        .daemons = s->daemons_n,
                        .slots = s->daemon_slots,
                        .busy_slots = s->running + s->zombies_running,
                        .draining = s->draining_n,
                        .owners = s->owners_n,
                        .ranges = s->ranges.count};
}

/* One run: from the first daemon to the last task. */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>

static void create(sim *w, const sim_options *opt) {
  *w = (sim){.opt = *opt, .now = 1000, .numbers = 1};
  for (int i = 0; i < 4; i++) w->rng[i] = (opt->seed + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
  for (int i = 0; i < 16; i++) sim_random(w);
  uint32_t ahead[] = {1, 4, 64, 1024};
  w->cfg = (sched_config){.long_task_ns = 5000000, .ahead_ns = 2000000, .ahead_max = ahead[sim_below(w, 4)]};
  w->cfg.daemon_grace_ns = opt->grace ? 20000000 : 0;
  w->s = sched_create(&w->cfg);
  /* room for numbers that are passed over */
  w->numbers_cap = opt->tasks * 2 + 1000 < UINT32_MAX ? opt->tasks * 2 + 1000 : UINT32_MAX;
  if (opt->tasks > 1000000) w->numbers_cap = opt->tasks + opt->tasks / 10;
  w->task = calloc(w->numbers_cap, sizeof *w->task);
  if (!w->s || !w->task) abort();
  w->owner[0].handle = SCHED_SHARED_OWNER;
  for (unsigned i = 1; i < OWNERS / 2; i++)
    if (sched_owner_open(w->s, &w->owner[i].handle)) abort();
  for (uint32_t i = 0; i < opt->daemons; i++) sim_join(w, false);
}

static void destroy(sim *w) {
  for (uint32_t i = 0; i < w->daemons; i++) sim_daemon_clear(w, &w->daemon[i]);
  sched_destroy(w->s);
  free(w->task);
  free(w->range);
  free(w->daemon);
  free(w->by_handle);
  free(w->away);
  sim_world_free(w);
}

/* A message for or from a daemon whose connection is broken waits for the next. */
static bool waits(sim_daemon *d, sim_event *e) {
  if (e->type == EV_END || e->type == EV_RECONNECT || d->connected) return false;
  e->next = NULL;
  if (!d->kept)
    d->kept = e;
  else
    *d->kept_end = e;
  d->kept_end = &e->next;
  return true;
}

static void dispatch(sim *w, sim_event *e) {
  if (e->type == EV_CHAOS) {
    if (!w->ending) sim_chaos(w);
  } else {
    sim_daemon *d = &w->daemon[e->daemon];
    if (e->epoch == d->epoch) {
      if (waits(d, e)) return;
      if (e->type == EV_RECONNECT)
        sim_reconnect(w, d);
      else if (e->type == EV_REPORT || e->type == EV_RETURN || e->type == EV_TAKEN)
        sim_report(w, e);
      else
        sim_daemon_event(w, e);
      if (e->type == EV_LEAVE && sim_chance(w, 50)) sim_disconnect(w, &w->daemon[e->daemon]);
    }
  }
  sim_event_free(w, e);
}

/* New tasks come while there is room for them, so that queues are sometimes empty. */
static bool submit_some(sim *w) {
  if (w->submitted >= w->opt.tasks) return false;
  uint64_t open = w->opt.daemons * 20ull + w->opt.array_max;
  if (w->unresolved > open || (w->unresolved && !sim_chance(w, 3))) return false;
  sim_submit(w);
  return true;
}

static void plan_chaos(sim *w) {
  if (w->ending || w->opt.faults == 0 || sim_below(w, 3000) >= w->opt.faults) return;
  sim_event_push(w, sim_event_new(w, EV_CHAOS, w->now + sim_below(w, 1000000)));
}

static void step(sim *w) {
  uint64_t deadline = sched_deadline(w->s);
  if (w->heap_n == 0 && deadline == UINT64_MAX && w->ending)
    sim_fail(w, "%llu tasks are stuck", (unsigned long long)w->unresolved);
  if (deadline <= (w->heap_n ? w->heap[0]->at : UINT64_MAX) && deadline != UINT64_MAX) {
    if (deadline > w->now) w->now = deadline;
    if (++w->ticks > 10000000 + 10 * w->opt.tasks) sim_fail(w, "ticks without end");
    sched_tick(w->s, w->now);
  } else if (w->heap_n) {
    sim_event *e = sim_event_pop(w);
    w->now = e->at;
    dispatch(w, e);
  } else {
    sim_submit(w);
  }
  w->events++;
}

static void finish(sim *w) {
  for (unsigned i = 1; i < OWNERS; i++)
    if (w->owner[i].handle && !w->owner[i].lost) {
      w->owner[i].lost = true;
      sched_owner_lost(w->s, w->now, w->owner[i].handle, HATO_CLOSED);
    }
  sim_drain(w, true);
  w->opt.check_every = 1;
  sim_check(w);
  sched_counts c = sched_count(w->s);
  if (c.queued + c.sent + c.running + c.ranges || c.owners != 1) sim_fail(w, "something is left at the end");
  for (uint64_t t = 1; t < w->numbers; t++)
    if (w->task[t].state != T_NONE && w->task[t].state != T_RESOLVED)
      sim_fail(w, "task %llu was lost", (unsigned long long)t);
}

void sim_run(const sim_options *opt) {
  sim world, *w = &world;
  create(w, opt);
  while (w->submitted < opt->tasks || w->unresolved) {
    if (!w->ending && w->submitted >= opt->tasks)
      sim_finale(w);
    else if (!submit_some(w))
      step(w);
    plan_chaos(w);
    sim_drain(w, false);
    sim_check(w);
  }
  finish(w);
  if (opt->verbose)
    printf("seed %llu: %u daemons (%llu lost), %llu tasks: %llu accepted, %llu sends, %llu sent, %llu takes, "
           "%llu returned, %llu interrupts, %llu stale, %llu ticks, %llu events, %.3f s\n",
           (unsigned long long)opt->seed, w->daemons, (unsigned long long)w->lost_daemons,
           (unsigned long long)w->submitted, (unsigned long long)w->accepted, (unsigned long long)w->sends,
           (unsigned long long)w->sent_tasks, (unsigned long long)w->takes, (unsigned long long)w->returned,
           (unsigned long long)w->interrupts, (unsigned long long)w->stale, (unsigned long long)w->ticks,
           (unsigned long long)w->events, (double)w->now / 1e9);
  destroy(w);
}

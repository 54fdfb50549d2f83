/* What must hold after every event. */
#include "sim.h"

enum { STUCK_NS = 50000000 };

static const sched_state state_of[] = {SCHED_UNKNOWN, SCHED_QUEUED, SCHED_SENT, SCHED_RUNNING,
                                       SCHED_RESOLVED};

static void check_find(sim *w, uint64_t t) {
  sched_task_info i = sched_find(w->s, t);
  const sim_task *k = &w->task[t];
  const sim_range *r = &w->range[k->range];
  sched_state want = k->state == T_NONE || r->released ? SCHED_UNKNOWN : state_of[k->state];
  if (i.state != want)
    sim_fail(w, "task %llu is said to be %d, not %d", (unsigned long long)t, i.state, want);
  if (want == SCHED_UNKNOWN) return;
  if (i.owner != w->owner[r->owner].handle || i.spec != r->spec || (uintptr_t)i.data != k->range + 1)
    sim_fail(w, "task %llu is said to be of another range", (unsigned long long)t);
  bool flies = want == SCHED_SENT || want == SCHED_RUNNING;
  if (flies && (i.daemon != w->daemon[k->daemon].handle || i.attempt != k->attempt))
    sim_fail(w, "task %llu is said to be elsewhere", (unsigned long long)t);
  if (want == SCHED_QUEUED && i.attempt != k->attempt + 1u)
    sim_fail(w, "task %llu: attempt %u after %u", (unsigned long long)t, i.attempt, k->attempt);
}

static void check_touched(sim *w) {
  for (unsigned i = 0; i < w->touched_n; i++) {
    uint64_t t = w->touched[i];
    if (t == 0 || t >= w->numbers) continue;
    const char *bad = sched_check_task(w->s, t);
    if (bad) sim_fail(w, "task %llu: %s", (unsigned long long)t, bad);
    if (w->drained) check_find(w, t);
  }
  const char *bad = sched_check_daemon(w->s, w->touched_daemon);
  if (bad) sim_fail(w, "daemon %u: %s", w->touched_daemon, bad);
  w->touched_n = 0;
}

static void check_settled(sim *w) {
  if (w->owed) sim_fail(w, "%llu tasks that must resolve do not", (unsigned long long)w->owed);
  if (w->ready && w->free_slots)
    sim_fail(w, "%llu tasks are queued beside %llu free slots", (unsigned long long)w->ready,
             (unsigned long long)w->free_slots);
  if (sched_deadline(w->s) <= w->now) sim_fail(w, "the next deadline is past");
}

static void check_whole(sim *w) {
  const char *bad = sched_check(w->s);
  if (bad) sim_fail(w, "%s", bad);
  if (!w->drained) return;
  sched_counts c = sched_count(w->s);
  uint64_t queued = 0;
  for (unsigned i = 0; i < OWNERS; i++) {
    queued += w->owner[i].queued;
    if (w->owner[i].handle && sched_owner_unresolved(w->s, w->owner[i].handle) != w->owner[i].unresolved)
      sim_fail(w, "the unresolved tasks of owner %u", i);
  }
  if (c.queued != queued || c.queued + c.sent + c.running != w->unresolved || c.resolved != w->resolved)
    sim_fail(w, "the counts of tasks");
  if (w->opt.daemons > 100) return;
  for (uint32_t i = 0; i < w->daemons; i++) {
    const sim_daemon *d = &w->daemon[i];
    uint64_t held = (uint64_t)d->sent + d->running + d->zombies;
    uint64_t since = d->moved > w->free_since ? d->moved : w->free_since;
    bool behind = d->connected && d->sent && held > d->slots && !d->taking;
    if (behind && w->free_slots && since + STUCK_NS < w->now)
      sim_fail(w, "tasks stand behind others at daemon %u while slots are free", d->handle);
    for (uint64_t t = d->known ? d->held : 0; t; t = w->task[t].next) {
      const sim_task *k = &w->task[t];
      uint64_t limit = w->range[k->range].limit;
      if (k->state == T_RUNNING && limit && k->started + limit <= w->now)
        sim_fail(w, "task %llu runs past its time limit", (unsigned long long)t);
    }
  }
}

void sim_check(sim *w) {
  check_touched(w);
  if (w->drained) check_settled(w);
  if (w->events % w->opt.check_every == 0) check_whole(w);
}

/* What daemons tell the scheduler, and what it must make of it. */
#include "sim.h"

static sim_task *task_there(sim *w, const sim_daemon *d, uint64_t task, uint32_t attempt) {
  if (task == 0 || task >= w->numbers) return NULL;
  sim_task *k = &w->task[task];
  bool there = k->state == T_SENT || k->state == T_RUNNING || k->zombie;
  return d->known && there && &w->daemon[k->daemon] == d && k->attempt == attempt && !(k->may & MAY_RESET)
             ? k
             : NULL;
}

static void started(sim *w, sim_daemon *d, uint64_t task, uint32_t count, uint32_t attempt) {
  for (uint64_t t = task; t < task + count; t++) {
    sim_task *k = task_there(w, d, t, attempt);
    if (!k) continue;
    if (k->state == T_SENT) {
      k->state = T_RUNNING;
      k->started = w->now;
      d->sent--;
      d->running++;
    } else if (k->zombie == Z_SENT) {
      k->zombie = Z_RUNNING;
      d->zombies++;
    }
  }
  sched_started(w->s, w->now, d->handle, task, count, attempt);
  sim_place(w, d);
  sim_touch_task(w, task);
}

/* Reports it, and checks that it is taken or not as it must be. */
bool sim_finished(sim *w, sim_daemon *d, uint64_t task, uint32_t attempt, uint64_t duration) {
  sim_task *k = task_there(w, d, task, attempt);
  bool alive = k && (k->state == T_SENT || k->state == T_RUNNING);
  sched_owner owner = 77;
  void *data = w;
  bool taken = sched_finished(w->s, w->now, d->handle, task, attempt, duration, &owner, &data);
  if (taken != alive)
    sim_fail(w, "the result of task %llu was %s", (unsigned long long)task,
             taken ? "taken twice" : "dropped");
  if (!taken) w->stale++;
  if (!k) return taken;
  sim_range *r = &w->range[k->range];
  if (alive) {
    if (owner != w->owner[r->owner].handle || (uintptr_t)data != k->range + 1)
      sim_fail(w, "the result of task %llu is another's", (unsigned long long)task);
    d->sent -= k->state == T_SENT;
    d->running -= k->state == T_RUNNING;
    w->owed -= k->may != 0;
    k->state = T_RESOLVED;
    r->unresolved--;
    w->owner[r->owner].unresolved--;
    w->unresolved--;
    w->resolved++;
    w->accepted++;
    w->learned[r->kind] = true;
  } else {
    d->zombies -= k->zombie == Z_RUNNING;
    k->zombie = Z_NONE;
  }
  sim_unhold(w, d, task);
  sim_place(w, d);
  sim_touch_task(w, task);
  return taken;
}

static void returned(sim *w, sim_daemon *d, uint64_t first, uint32_t count, uint32_t attempt) {
  for (uint64_t t = first; t < first + count; t++) {
    sim_task *k = task_there(w, d, t, attempt);
    if (!k) continue;
    sim_owner *o = &w->owner[w->range[k->range].owner];
    if (k->state == T_SENT) {
      k->state = T_QUEUED;
      o->requeued++;
      sim_queued(w, o, 1);
      d->sent--;
      w->returned++;
    } else if (k->zombie == Z_SENT) {
      k->zombie = Z_NONE;
    } else {
      continue;
    }
    sim_unhold(w, d, t);
  }
  sched_returned(w->s, w->now, d->handle, first, count, attempt);
  sim_place(w, d);
  sim_touch_task(w, first);
}

void sim_report(sim *w, sim_event *e) {
  sim_daemon *d = &w->daemon[e->daemon];
  d->moved = w->now;
  switch (e->type) {
  case EV_REPORT:
    if (e->count) sim_finished(w, d, e->first, e->attempt, e->duration);
    if (e->started) started(w, d, e->started, 1, e->started_attempt);
    break;
  case EV_RETURN:
    returned(w, d, e->first, e->count, e->attempt);
    break;
  default:
    d->taking = false;
    sched_take_answered(w->s, w->now, d->handle);
    w->touched_daemon = d->handle;
    break;
  }
}

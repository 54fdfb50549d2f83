/* What the scheduler wants: checked against the model, then carried out. */
#include "sim.h"

static sim_range *range_of(sim *w, const sched_action *a) {
  uint32_t i = (uint32_t)(uintptr_t)a->data;
  if (i == 0 || i > w->ranges) sim_fail(w, "an action with data that was never submitted");
  sim_range *r = &w->range[i - 1];
  if (r->released) sim_fail(w, "range %llu is spoken of after its RELEASE", (unsigned long long)r->first);
  if (a->count == 0 || a->first < r->first || a->first + a->count > r->first + r->count)
    sim_fail(w, "an action on %llu+%u, outside its range", (unsigned long long)a->first, a->count);
  if (a->owner != w->owner[r->owner].handle) sim_fail(w, "an action with another's owner");
  return r;
}

static sim_daemon *daemon_of(sim *w, const sched_action *a) {
  uint32_t i = a->daemon & 0xffffff;
  sim_daemon *d = i < w->by_handle_cap && w->by_handle[i] ? &w->daemon[w->by_handle[i] - 1] : NULL;
  if (!d || d->handle != a->daemon || !d->known) sim_fail(w, "an action for a daemon that is not there");
  if (!d->connected) sim_fail(w, "an action for a disconnected daemon");
  return d;
}

static void post(sim *w, sim_daemon *d, sim_event_type type, const sched_action *a) {
  sim_event *e = sim_event_new(w, type, w->now + d->latency);
  e->daemon = (uint32_t)(d - w->daemon);
  e->epoch = d->epoch;
  e->first = a->first;
  e->count = a->count;
  e->attempt = a->attempt;
  sim_event_push(w, e);
}

/* Owners take turns: while one waits, none of the others may get more than a quantum. */
static void check_turns(sim *w, unsigned sender, uint32_t n) {
  for (unsigned i = 0; i < OWNERS; i++) {
    sim_owner *o = &w->owner[i];
    if (i == sender || !o->handle || o->paused || o->lost || o->queued == 0) continue;
    o->waited[sender] += n;
    if (o->waited[sender] > w->cfg.ahead_max)
      sim_fail(w, "owner %u waits while %llu tasks of owner %u are sent", i,
               (unsigned long long)o->waited[sender], sender);
  }
  for (unsigned i = 0; i < OWNERS; i++) w->owner[sender].waited[i] = 0;
}

static void check_order(sim *w, const sim_range *r, const sched_action *a) {
  sim_owner *o = &w->owner[r->owner];
  if (a->attempt > 1) return;
  if (o->requeued)
    sim_fail(w, "task %llu is sent before those that were requeued", (unsigned long long)a->first);
  if (r->serial < o->last_serial || (r->serial == o->last_serial && a->first <= o->last_task))
    sim_fail(w, "task %llu is sent out of order", (unsigned long long)a->first);
  o->last_serial = r->serial;
  o->last_task = a->first + a->count - 1;
}

static void on_send(sim *w, const sched_action *a) {
  sim_range *r = range_of(w, a);
  sim_daemon *d = daemon_of(w, a);
  sim_owner *o = &w->owner[r->owner];
  if (d->draining) sim_fail(w, "SEND to a draining daemon");
  if (o->paused || o->lost) sim_fail(w, "SEND for an owner who is %s", o->lost ? "lost" : "paused");
  check_order(w, r, a);
  uint64_t held = (uint64_t)d->sent + d->running + d->zombies + a->count;
  bool ahead = w->learned[r->kind] && r->kind != KIND_LONG;
  if (held > (ahead ? d->slots * (1 + (uint64_t)w->cfg.ahead_max) : d->slots))
    sim_fail(w, "daemon %u with %u slots is sent up to %llu", d->handle, d->slots, (unsigned long long)held);
  for (uint64_t t = a->first; t < a->first + a->count; t++) {
    sim_task *k = &w->task[t];
    if (k->state != T_QUEUED) sim_fail(w, "SEND of task %llu in state %u", (unsigned long long)t, k->state);
    if (k->attempt + 1u != a->attempt)
      sim_fail(w, "task %llu is sent as attempt %u after %u", (unsigned long long)t, a->attempt, k->attempt);
    if (k->may & (MAY_CANCEL | MAY_CLOSED))
      sim_fail(w, "SEND of task %llu, cancelled before", (unsigned long long)t);
    o->requeued -= k->attempt > 0;
    k->state = T_SENT;
    k->attempt = (uint16_t)a->attempt;
    sim_hold(w, d, t);
  }
  o->queued -= a->count;
  w->ready -= a->count;
  check_turns(w, r->owner, a->count);
  d->sent += a->count;
  d->moved = w->now;
  sim_place(w, d);
  w->sends++;
  w->sent_tasks += a->count;
  sim_touch_task(w, a->first);
  sim_touch_task(w, a->first + a->count - 1);
  post(w, d, EV_SEND, a);
}

static void on_interrupt(sim *w, const sched_action *a) {
  sim_daemon *d = daemon_of(w, a);
  if (a->count == 0) sim_fail(w, "INTERRUPT of nothing");
  for (uint64_t t = a->first; t < a->first + a->count; t++) {
    const sim_task *k = &w->task[t];
    if (k->attempt != a->attempt || &w->daemon[k->daemon] != d || k->state < T_SENT)
      sim_fail(w, "INTERRUPT of task %llu, not there", (unsigned long long)t);
  }
  w->interrupts++;
  post(w, d, EV_INTERRUPT, a);
}

static void on_take(sim *w, const sched_action *a) {
  sim_daemon *d = daemon_of(w, a);
  if (d->taking) sim_fail(w, "a second TAKE from daemon %u", d->handle);
  if (a->count == 0 || a->count > d->sent) sim_fail(w, "TAKE of %u from %u sent", a->count, d->sent);
  d->taking = true;
  w->takes++;
  post(w, d, EV_TAKE, a);
}

static bool may_resolve(const sim *w, const sim_range *r, const sim_task *k, int value) {
  switch (value) {
  case HATO_CANCELLED:
    return k->may & MAY_CANCEL;
  case HATO_RESET:
    return k->may & MAY_RESET;
  case HATO_CLOSED:
    return k->may & MAY_CLOSED;
  case HATO_TIMED_OUT:
    return r->limit && k->state == T_RUNNING && w->now >= k->started + r->limit;
  default:
    return false;
  }
}

static void resolve_one(sim *w, const sim_range *r, uint64_t t, int value) {
  sim_task *k = &w->task[t];
  sim_daemon *d = &w->daemon[k->daemon];
  if (k->state == T_NONE || k->state == T_RESOLVED)
    sim_fail(w, "task %llu resolves twice or never was", (unsigned long long)t);
  if (!may_resolve(w, r, k, value))
    sim_fail(w, "task %llu in state %u resolves with %d for no reason", (unsigned long long)t, k->state,
             value);
  if (k->state == T_QUEUED) {
    sim_owner *o = &w->owner[r->owner];
    o->queued--;
    o->requeued -= k->attempt > 0;
    if (!o->paused && !o->lost) w->ready--;
  } else if (!(k->may & MAY_RESET)) { /* else its daemon is gone */
    k->zombie = k->state == T_SENT ? Z_SENT : Z_RUNNING;
    d->sent -= k->state == T_SENT;
    if (k->state == T_RUNNING) {
      d->running--;
      d->zombies++;
    }
    sim_place(w, d);
  }
  w->owed -= k->may != 0;
  k->state = T_RESOLVED;
}

static void on_resolve(sim *w, const sched_action *a) {
  sim_range *r = range_of(w, a);
  for (uint64_t t = a->first; t < a->first + a->count; t++) resolve_one(w, r, t, a->value);
  r->unresolved -= a->count;
  w->owner[r->owner].unresolved -= a->count;
  w->unresolved -= a->count;
  w->resolved += a->count;
  sim_touch_task(w, a->first);
  sim_touch_task(w, a->first + a->count - 1);
}

static void on_release(sim *w, const sched_action *a) {
  sim_range *r = range_of(w, a);
  if (r->unresolved) sim_fail(w, "RELEASE of range %llu, not resolved", (unsigned long long)r->first);
  if (a->first != r->first || a->count != r->count) sim_fail(w, "RELEASE of another range");
  r->released = true;
  w->owner[r->owner].kept--;
}

static void on_owner_end(sim *w, const sched_action *a) {
  for (unsigned i = 1; i < OWNERS; i++) {
    sim_owner *o = &w->owner[i];
    if (o->handle != a->owner) continue;
    if (!o->lost || o->unresolved || o->kept) sim_fail(w, "the end of an owner who is not gone");
    *o = (sim_owner){0};
    return;
  }
  sim_fail(w, "the end of an owner who never was");
}

/* ---- losses, and asking for actions ---- */

void sim_lose(sim *w, sim_daemon *d) {
  while (d->held) {
    uint64_t t = d->held;
    sim_task *k = &w->task[t];
    sim_owner *o = &w->owner[w->range[k->range].owner];
    sim_unhold(w, d, t);
    if (k->state == T_SENT) {
      k->state = T_QUEUED;
      o->requeued++;
      sim_queued(w, o, 1);
    } else if (k->state == T_RUNNING) {
      w->owed += k->may == 0;
      k->may |= MAY_RESET;
    }
    k->zombie = Z_NONE;
  }
  d->sent = d->running = d->zombies = 0;
  d->known = d->connected = false;
  d->taking = false;
  sim_place(w, d);
  w->lost_daemons++;
}

static void lose_away(sim *w) {
  for (; w->away_head < w->away_n && w->away[w->away_head].until <= w->now; w->away_head++) {
    const sim_away *a = &w->away[w->away_head];
    sim_daemon *d = &w->daemon[a->daemon];
    if (d->known && !d->connected && d->lost_at == a->until) sim_lose(w, d);
  }
}

static void carry_out(sim *w, const sched_action *a) {
  switch (a->type) {
  case SCHED_SEND:
    on_send(w, a);
    return;
  case SCHED_TAKE:
    on_take(w, a);
    return;
  case SCHED_INTERRUPT:
    on_interrupt(w, a);
    return;
  case SCHED_RESOLVE:
    on_resolve(w, a);
    return;
  case SCHED_RELEASE:
    on_release(w, a);
    return;
  case SCHED_OWNER_END:
    on_owner_end(w, a);
    return;
  }
  sim_fail(w, "an action of unknown type");
}

void sim_drain(sim *w, bool wholly) {
  static const size_t sizes[] = {1, 2, 7, 64, 1000};
  sched_action out[1000];
  size_t max = w->opt.steps ? sizes[sim_below(w, 5)] : 1000;
  bool more = true;
  lose_away(w);
  for (uint64_t calls = 0; more; calls++) {
    size_t n = sched_next(w->s, w->now, out, max, &more);
    if (n > max) sim_fail(w, "more actions than room");
    for (size_t i = 0; i < n; i++) carry_out(w, &out[i]);
    if (calls > 10 * (w->numbers + 100)) sim_fail(w, "sched_next always has more to do");
    if (more && !wholly && max > 1 && w->opt.steps && sim_chance(w, 30)) break;
  }
  w->drained = !more;
}

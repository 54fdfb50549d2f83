/* What goes on around: submissions, cancels, owners and daemons that come and go. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static unsigned random_kind(sim *w) {
  unsigned k;
  do k = (unsigned)sim_below(w, KINDS);
  while (!(w->opt.kinds >> k & 1));
  return k;
}

static void submit_range(sim *w, uint32_t index, uint64_t first, uint32_t count, unsigned owner,
                         unsigned kind) {
  sim_range *r = &w->range[index];
  sim_owner *o = &w->owner[owner];
  *r = (sim_range){
      .first = first, .serial = ++w->serial, .count = count, .unresolved = count, .spec = kind + 1};
  r->owner = (uint8_t)owner;
  r->kind = (uint8_t)kind;
  r->limit = kind == KIND_LIMITED ? 30000000 : 0;
  sched_range in = {.first = first,
                    .count = count,
                    .owner = o->handle,
                    .spec = r->spec,
                    .limit_ns = r->limit,
                    .data = (void *)(uintptr_t)(index + 1)};
  hato_status status = sched_submit(w->s, w->now, &in);
  if (status) sim_fail(w, "submit of %llu+%u: %d", (unsigned long long)first, count, status);
  if (sched_submit(w->s, w->now, &in) != HATO_EXISTS) sim_fail(w, "a range was submitted twice");
  for (uint64_t t = first; t < first + count; t++) w->task[t] = (sim_task){.range = index, .state = T_QUEUED};
  sim_queued(w, o, count);
  o->unresolved += count;
  o->kept++;
  w->unresolved += count;
  w->submitted += count;
  sim_touch_task(w, first);
}

static unsigned random_owner(sim *w) {
  for (;;) {
    unsigned i = (unsigned)sim_below(w, OWNERS);
    if (w->owner[i].handle && !w->owner[i].lost) return i;
  }
}

/* One array, or a burst of single tasks; at times two ranges in the wrong order. */
void sim_submit(sim *w) {
  unsigned owner = random_owner(w), kind = random_kind(w);
  uint64_t left = w->opt.tasks - w->submitted;
  bool singles = sim_chance(w, 30), twisted = !singles && sim_chance(w, 20);
  uint32_t n = 1 + (uint32_t)sim_below(w, singles ? 20 : w->opt.array_max);
  if (n > left) n = (uint32_t)left;
  if (n == 0) return;
  uint32_t parts = singles ? n : twisted && n > 1 ? 2 : 1, part = n / parts;
  uint64_t first = w->numbers + sim_below(w, 3);
  if (first + n > w->numbers_cap) first = w->numbers;
  w->numbers = first + part * parts;
  uint32_t index = w->ranges;
  w->ranges += parts;
  w->range = sim_grow(w->range, &w->ranges_cap, w->ranges, sizeof *w->range);
  for (uint32_t i = 0; i < parts; i++) {
    uint32_t at = twisted ? parts - 1 - i : i;
    submit_range(w, index + i, first + (uint64_t)at * part, part, owner, kind);
  }
}

static void mark(sim *w, sim_task *k, unsigned why) {
  if (k->state == T_NONE || k->state == T_RESOLVED) return;
  w->owed += k->may == 0;
  k->may |= (uint8_t)why;
}

static void cancel(sim *w) {
  uint64_t first = 1 + sim_below(w, w->numbers), width = sim_chance(w, 80) ? 50 : 1 + w->opt.array_max % 2000;
  uint64_t last = first + sim_below(w, width);
  unsigned owner = sim_chance(w, 50) ? random_owner(w) : OWNERS;
  for (uint64_t t = first; t <= last && t < w->numbers; t++)
    if (owner == OWNERS || w->range[w->task[t].range].owner == owner) mark(w, &w->task[t], MAY_CANCEL);
  sched_cancel(w->s, w->now, first, last, owner == OWNERS ? 0 : w->owner[owner].handle, HATO_CANCELLED);
  sim_touch_task(w, first);
  sim_touch_task(w, last);
}

static void open_owner(sim *w, unsigned i) {
  w->owner[i] = (sim_owner){0};
  if (sched_owner_open(w->s, &w->owner[i].handle)) abort();
  for (unsigned k = 0; k < OWNERS; k++)
    if (k != i && w->owner[k].handle == w->owner[i].handle) sim_fail(w, "an owner's handle is given twice");
}

static void lose_owner(sim *w, unsigned i) {
  sim_owner *o = &w->owner[i];
  if (!o->paused) w->ready -= o->queued;
  o->lost = true;
  for (uint32_t k = 0; k < w->ranges; k++) {
    const sim_range *r = &w->range[k];
    if (r->owner != i || r->released || r->unresolved == 0) continue;
    for (uint64_t t = r->first; t < r->first + r->count; t++) mark(w, &w->task[t], MAY_CLOSED);
  }
  sched_owner_lost(w->s, w->now, o->handle, HATO_CLOSED);
}

static void owner_event(sim *w) {
  unsigned i = (unsigned)sim_below(w, OWNERS);
  sim_owner *o = &w->owner[i];
  if (!o->handle) {
    open_owner(w, i);
  } else if (i > 0 && !o->lost && sim_chance(w, w->opt.daemons > 100 ? 1 : 10)) {
    lose_owner(w, i);
  } else if (!o->lost) {
    if (o->paused)
      w->ready += o->queued;
    else
      w->ready -= o->queued;
    memset(o->waited, 0, sizeof o->waited);
    o->paused = !o->paused;
    sched_owner_pause(w->s, o->handle, o->paused);
  }
}

static void leave_later(sim *w, sim_daemon *d, sim_event_type type, uint64_t in) {
  sim_event *e = sim_event_new(w, type, w->now + in);
  e->daemon = (uint32_t)(d - w->daemon);
  e->epoch = d->epoch;
  sim_event_push(w, e);
}

void sim_disconnect(sim *w, sim_daemon *d) {
  sched_daemon_disconnected(w->s, w->now, d->handle);
  if (!w->opt.grace) {
    sim_lose(w, d);
    sim_daemon_clear(w, d);
    return;
  }
  d->connected = false;
  d->taking = false;
  d->lost_at = w->now + w->cfg.daemon_grace_ns;
  sim_place(w, d);
  w->away = sim_grow(w->away, &w->away_cap, w->away_n + 1, sizeof *w->away);
  w->away[w->away_n++] = (sim_away){.daemon = (uint32_t)(d - w->daemon), .until = d->lost_at};
  leave_later(w, d, EV_RECONNECT, sim_below(w, w->cfg.daemon_grace_ns * 3 / 2));
}

/* Messages that were on their way when the connection broke are said again. */
void sim_reconnect(sim *w, sim_daemon *d) {
  sim_drain(w, true); /* so that model and scheduler agree on who is lost */
  bool back = sched_daemon_reconnected(w->s, w->now, d->handle);
  if (back != d->known) sim_fail(w, "daemon %u %s after its grace", d->handle, back ? "is back" : "was lost");
  if (!back) {
    sim_daemon_clear(w, d);
    sim_join(w, false);
    return;
  }
  d->connected = true;
  d->moved = w->now;
  for (sim_event *e = d->kept, *next; e; e = next) {
    next = e->next;
    e->next = NULL;
    e->at = w->now + d->latency;
    e->seq = ++w->seq;
    sim_event_push(w, e);
  }
  d->kept = NULL;
  d->kept_end = NULL;
  sim_place(w, d);
}

/* What no honest daemon says must change nothing. */
static void nonsense(sim *w, sim_daemon *d) {
  uint64_t task = sim_below(w, w->numbers + 2);
  uint32_t attempt = (uint32_t)sim_below(w, 4);
  bool there = task && task < w->numbers && &w->daemon[w->task[task].daemon] == d &&
               w->task[task].attempt == attempt;
  if (there) return;
  sim_finished(w, d, task, attempt, 5);
  sched_started(w->s, w->now, d->handle, task, 1, attempt);
  sched_returned(w->s, w->now, d->handle, task, 1, attempt);
  sched_started(w->s, w->now, d->handle, w->numbers + 5, UINT32_MAX, attempt);
  sched_returned(w->s, w->now, d->handle, w->numbers + 5, UINT32_MAX, attempt);
}

static void daemon_event(sim *w) {
  sim_daemon *d = &w->daemon[sim_below(w, w->daemons)];
  if (sim_chance(w, 20)) {
    sim_drain(w, true);
    nonsense(w, d);
    return;
  }
  if (!d->known || !d->connected || d->healthy) {
    if (w->daemons < 20 * w->opt.daemons) sim_join(w, false);
  } else if (sim_chance(w, 30)) {
    d->draining = true;
    sim_place(w, d);
    sched_daemon_draining(w->s, w->now, d->handle);
    leave_later(w, d, EV_LEAVE, d->latency);
  } else {
    sim_disconnect(w, d);
  }
}

void sim_chaos(sim *w) {
  switch (sim_below(w, 8)) {
  case 0:
    cancel(w);
    break;
  case 1:
    owner_event(w);
    break;
  default:
    daemon_event(w);
    break;
  }
}

/* No more faults: one daemon that is sound, everybody reads, and all must resolve. */
void sim_finale(sim *w) {
  w->ending = true;
  sim_join(w, true);
  for (unsigned i = 0; i < OWNERS; i++) {
    sim_owner *o = &w->owner[i];
    if (!o->handle || o->lost || !o->paused) continue;
    memset(o->waited, 0, sizeof o->waited);
    o->paused = false;
    w->ready += o->queued;
    sched_owner_pause(w->s, o->handle, false);
  }
}

/* The daemons: they queue, run, end, give back and report, each with its own delay. */
#include "sim.h"

#include <stdlib.h>
#include <string.h>

static sim_event *message(sim *w, sim_daemon *d, sim_event_type type) {
  sim_event *e = sim_event_new(w, type, w->now + d->latency);
  e->daemon = (uint32_t)(d - w->daemon);
  e->epoch = d->epoch;
  return e;
}

static void queue_push(sim_daemon *d, sim_job j) {
  if (d->q_n == d->q_cap) {
    uint32_t cap = d->q_cap ? d->q_cap * 2 : 8;
    sim_job *q = malloc(cap * sizeof *q);
    if (!q) abort();
    for (uint32_t i = 0; i < d->q_n; i++) q[i] = d->queue[(d->q_head + i) % d->q_cap];
    free(d->queue);
    d->queue = q;
    d->q_cap = cap;
    d->q_head = 0;
  }
  d->queue[(d->q_head + d->q_n++) % d->q_cap] = j;
}

static void plan_end(sim *w, sim_daemon *d, sim_job *j, uint64_t in) {
  sim_event *e = sim_event_new(w, EV_END, w->now + in);
  e->daemon = (uint32_t)(d - w->daemon);
  e->epoch = d->epoch;
  e->count = (uint32_t)(j - d->job);
  e->attempt = ++j->serial;
  sim_event_push(w, e);
}

/* Starts one task if it can; `report` may carry the end of another already. */
static bool start_one(sim *w, sim_daemon *d, sim_event *report) {
  if (d->q_n == 0 || d->busy == d->slots) return false;
  uint32_t i = 0;
  while (d->job[i].used) i++;
  sim_job next = d->queue[d->q_head++ % d->q_cap], *j = &d->job[i];
  d->q_head %= d->q_cap;
  d->q_n--;
  d->busy++;
  next.serial = j->serial;
  next.start = w->now;
  next.used = true;
  unsigned kind = w->range[w->task[next.task].range].kind;
  next.said_started = kind != KIND_TINY || !sim_chance(w, 20); /* an end may come without a start */
  *j = next;
  plan_end(w, d, j, (uint64_t)((double)sim_duration(w, j->task, kind) * d->slow));
  if (j->said_started) {
    report->started = j->task;
    report->started_attempt = j->attempt;
  }
  return true;
}

static void start_all(sim *w, sim_daemon *d) {
  while (d->q_n > 0 && d->busy < d->slots) {
    sim_event *e = message(w, d, EV_REPORT);
    start_one(w, d, e);
    if (e->started)
      sim_event_push(w, e);
    else
      sim_event_free(w, e);
  }
}

static void on_end(sim *w, sim_daemon *d, const sim_event *e) {
  sim_job *j = &d->job[e->count];
  if (!j->used || j->serial != e->attempt) return; /* it was interrupted meanwhile */
  sim_event *r = message(w, d, EV_REPORT);
  r->first = j->task;
  r->count = 1;
  r->attempt = j->attempt;
  r->duration = w->now - j->start;
  j->used = false;
  d->busy--;
  start_one(w, d, r);
  if (w->opt.faults && sim_chance(w, 1)) { /* said twice */
    sim_event *again = message(w, d, EV_REPORT);
    uint64_t seq = again->seq, at = again->at + sim_below(w, 1000000);
    *again = *r;
    again->seq = seq;
    again->at = at;
    sim_event_push(w, again);
  }
  sim_event_push(w, r);
}

static void give_back(sim *w, sim_daemon *d, uint32_t n) {
  while (n > 0 && d->q_n > 0) {
    sim_job last = d->queue[(d->q_head + --d->q_n) % d->q_cap];
    uint32_t count = 1;
    n--;
    while (n > 0 && d->q_n > 0) {
      const sim_job *p = &d->queue[(d->q_head + d->q_n - 1) % d->q_cap];
      if (p->task != last.task - 1 || p->attempt != last.attempt) break;
      last = *p;
      d->q_n--;
      n--;
      count++;
    }
    sim_event *e = message(w, d, EV_RETURN);
    e->first = last.task;
    e->count = count;
    e->attempt = last.attempt;
    sim_event_push(w, e);
  }
}

static void on_take(sim *w, sim_daemon *d, uint32_t n) {
  if (w->opt.faults && !w->ending && sim_chance(w, 20)) n = 1 + (uint32_t)sim_below(w, n);
  give_back(w, d, n);
  sim_event_push(w, message(w, d, EV_TAKEN));
}

/* Not started: it is given back, or said to have ended, or never spoken of again. */
static void drop(sim *w, sim_daemon *d, uint64_t task, uint32_t attempt) {
  unsigned how = (unsigned)sim_below(w, 10);
  if (how == 0) return;
  sim_event *e = message(w, d, how < 6 ? EV_RETURN : EV_REPORT);
  e->first = task;
  e->count = 1;
  e->attempt = attempt;
  sim_event_push(w, e);
}

static void on_interrupt(sim *w, sim_daemon *d, const sim_event *e) {
  for (uint32_t i = 0; i < d->slots; i++) {
    sim_job *j = &d->job[i];
    if (j->used && j->attempt == e->attempt && j->task >= e->first && j->task < e->first + e->count)
      plan_end(w, d, j, sim_below(w, 1000000));
  }
  uint32_t kept = 0;
  for (uint32_t i = 0; i < d->q_n; i++) {
    sim_job j = d->queue[(d->q_head + i) % d->q_cap];
    if (j.attempt == e->attempt && j.task >= e->first && j.task < e->first + e->count)
      drop(w, d, j.task, j.attempt);
    else
      d->queue[(d->q_head + kept++) % d->q_cap] = j;
  }
  d->q_n = kept;
}

void sim_daemon_event(sim *w, sim_event *e) {
  sim_daemon *d = &w->daemon[e->daemon];
  switch (e->type) {
  case EV_SEND:
    for (uint32_t i = 0; i < e->count; i++)
      queue_push(d, (sim_job){.task = e->first + i, .attempt = e->attempt});
    start_all(w, d);
    if (d->draining) give_back(w, d, d->q_n);
    break;
  case EV_TAKE:
    on_take(w, d, e->count);
    break;
  case EV_INTERRUPT:
    on_interrupt(w, d, e);
    break;
  case EV_LEAVE:
    give_back(w, d, d->q_n);
    break;
  default:
    on_end(w, d, e);
    break;
  }
}

uint32_t sim_join(sim *w, bool healthy) {
  uint32_t i = w->daemons++;
  w->daemon = sim_grow(w->daemon, &w->daemons_cap, w->daemons, sizeof *w->daemon);
  sim_daemon *d = &w->daemon[i];
  d->slots = 1 + (uint32_t)sim_below(w, w->opt.slots_max);
  d->slow = healthy || sim_chance(w, 80) ? 1 : 1 + (double)sim_below(w, 50);
  d->latency = 20000 + sim_below(w, 200000);
  d->known = d->connected = true;
  d->healthy = healthy;
  d->job = calloc(d->slots, sizeof *d->job);
  if (!d->job || sched_daemon_joined(w->s, w->now, d->slots, &d->handle)) abort();
  uint32_t low = d->handle & 0xffffff;
  w->by_handle = sim_grow(w->by_handle, &w->by_handle_cap, low + 1, sizeof *w->by_handle);
  if (w->by_handle[low] && w->daemon[w->by_handle[low] - 1].known)
    sim_fail(w, "a daemon's handle is given twice");
  w->by_handle[low] = i + 1;
  sim_place(w, d);
  return i;
}

void sim_daemon_clear(sim *w, sim_daemon *d) {
  (void)w;
  d->epoch++;
  free(d->job);
  free(d->queue);
  d->job = d->queue = NULL;
  d->q_cap = d->q_n = d->q_head = d->busy = 0;
}

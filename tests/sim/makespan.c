/*
 * Heavy tails: tasks of very unequal length on 8 slots, one round trip from the
 * scheduler, beside greedy list scheduling, which knows no round trip and starts the
 * next task of the list wherever a slot is free.
 */
#include "sim.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SLOTS = 8, HALF_TRIP = 75000 };

typedef struct item {
  uint64_t task;
  uint32_t attempt;
} item;

typedef struct host {
  sched_daemon handle;
  uint32_t slots, busy;
  item *queue; /* not started, in order */
  size_t head, n;
} host;

typedef struct course {
  sim *w; /* for its randomness and its events */
  sched *s;
  uint64_t *length; /* by task, from 1 */
  uint64_t tasks, done;
  uint32_t hosts;
  uint64_t takes, sends;
  host host[SLOTS];
} course;

/* Pareto, at least 30 s of work in all, the longest under 5 % of it. */
static void lengths(course *c, double least_ns, double alpha) {
  double sum = 0;
  c->tasks = 0;
  for (uint32_t cap = 0; sum < 30e9;) {
    double u = ((double)(sim_random(c->w) >> 11) + 0.5) / 9007199254740992.0,
           x = least_ns * pow(u, -1 / alpha);
    if (x > 0.049 * 30e9) continue;
    c->length = sim_grow(c->length, &cap, (uint32_t)c->tasks + 2, sizeof *c->length);
    c->length[++c->tasks] = (uint64_t)x;
    sum += x;
  }
}

static uint64_t greedy(const course *c) {
  uint64_t end[SLOTS] = {0}, last = 0;
  for (uint64_t t = 1; t <= c->tasks; t++) {
    int first = 0;
    for (int i = 1; i < SLOTS; i++)
      if (end[i] < end[first]) first = i;
    end[first] += c->length[t];
    if (end[first] > last) last = end[first];
  }
  return last;
}

static void say(course *c, host *h, sim_event_type type, uint64_t in, uint64_t task, uint32_t count,
                uint32_t attempt) {
  sim_event *e = sim_event_new(c->w, type, c->w->now + in);
  e->daemon = (uint32_t)(h - c->host);
  e->first = task;
  e->count = count;
  e->attempt = attempt;
  sim_event_push(c->w, e);
}

static void start(course *c, host *h) {
  for (; h->busy < h->slots && h->n > 0; h->busy++, h->head++, h->n--) {
    item i = h->queue[h->head];
    say(c, h, EV_REPORT, HALF_TRIP, i.task, 1, i.attempt);
    say(c, h, EV_END, c->length[i.task], i.task, 1, i.attempt);
  }
}

static void at_host(course *c, host *h, const sim_event *e) {
  if (e->type == EV_SEND) {
    for (uint32_t i = 0; i < e->count; i++) h->queue[h->head + h->n++] = (item){e->first + i, e->attempt};
  } else if (e->type == EV_TAKE) {
    for (uint32_t i = 0; i < e->count && h->n > 0; i++) {
      item last = h->queue[h->head + --h->n];
      say(c, h, EV_RETURN, HALF_TRIP, last.task, 1, last.attempt);
    }
    say(c, h, EV_TAKEN, HALF_TRIP, 0, 0, 0);
  } else {
    h->busy--;
    say(c, h, EV_CHAOS, HALF_TRIP, e->first, 1, e->attempt); /* here: the report of an end */
  }
  start(c, h);
}

static void at_scheduler(course *c, host *h, const sim_event *e) {
  uint64_t now = c->w->now;
  switch (e->type) {
  case EV_REPORT:
    sched_started(c->s, now, h->handle, e->first, 1, e->attempt);
    break;
  case EV_RETURN:
    sched_returned(c->s, now, h->handle, e->first, 1, e->attempt);
    break;
  case EV_TAKEN:
    sched_take_answered(c->s, now, h->handle);
    break;
  default:
    c->done += sched_finished(c->s, now, h->handle, e->first, e->attempt, c->length[e->first], NULL, NULL);
  }
}

static void actions(course *c) {
  sched_action out[64];
  for (bool more = true; more;) {
    size_t n = sched_next(c->s, c->w->now, out, 64, &more);
    for (size_t i = 0; i < n; i++) {
      host *h = c->host;
      while (h < c->host + c->hosts && h->handle != out[i].daemon) h++;
      c->takes += out[i].type == SCHED_TAKE;
      c->sends += out[i].type == SCHED_SEND;
      if (out[i].type == SCHED_SEND)
        say(c, h, EV_SEND, HALF_TRIP, out[i].first, out[i].count, out[i].attempt);
      else if (out[i].type == SCHED_TAKE)
        say(c, h, EV_TAKE, HALF_TRIP, 0, out[i].count, 0);
    }
  }
}

static uint64_t scheduled(course *c) {
  sim *w = c->w;
  c->s = sched_create(NULL);
  c->done = c->takes = c->sends = 0;
  w->now = 0;
  for (uint32_t i = 0; i < c->hosts; i++) {
    host *h = &c->host[i];
    *h = (host){.slots = SLOTS / c->hosts, .queue = malloc((c->tasks * 20 + 100) * sizeof *h->queue)};
    if (!h->queue || sched_daemon_joined(c->s, 0, h->slots, &h->handle)) abort();
  }
  sched_range r = {.first = 1, .count = (uint32_t)c->tasks, .owner = SCHED_SHARED_OWNER, .spec = 1};
  if (sched_submit(c->s, 0, &r)) abort();
  for (actions(c); c->done < c->tasks; actions(c)) {
    uint64_t deadline = sched_deadline(c->s);
    if (w->heap_n == 0 && deadline == UINT64_MAX) sim_fail(w, "the course stands still");
    if (w->heap_n == 0 || deadline < w->heap[0]->at) {
      w->now = deadline > w->now ? deadline : w->now;
      sched_tick(c->s, w->now);
      continue;
    }
    sim_event *e = sim_event_pop(w);
    w->now = e->at;
    bool down = e->type == EV_SEND || e->type == EV_TAKE || e->type == EV_END;
    (down ? at_host : at_scheduler)(c, &c->host[e->daemon], e);
    sim_event_free(w, e);
  }
  for (uint32_t i = 0; i < c->hosts; i++) free(c->host[i].queue);
  while (w->heap_n) sim_event_free(w, sim_event_pop(w));
  sched_destroy(c->s);
  return w->now;
}

typedef struct shape {
  double least_ns, alpha;
} shape;

int sim_makespan(uint64_t seeds, bool verbose) {
  static const shape shapes[] = {{1e6, 1.1}, {1e6, 1.5}, {3e6, 1.3}, {1e7, 1.5}, {3e5, 1.2}, {5e4, 1.1}};
  double worst = 0;
  for (uint64_t seed = 1; seed <= seeds; seed++) {
    const shape *p = &shapes[seed % (sizeof shapes / sizeof *shapes)];
    sim world = {.opt.seed = seed, .rng = {seed, seed * 7919, 3, 4}};
    course c = {.w = &world};
    for (int i = 0; i < 20; i++) sim_random(&world);
    lengths(&c, p->least_ns, p->alpha);
    double best = (double)greedy(&c);
    for (uint32_t hosts = 1; hosts <= SLOTS; hosts *= SLOTS) {
      c.hosts = hosts;
      double ratio = (double)scheduled(&c) / best;
      if (ratio > worst) worst = ratio;
      if (verbose || ratio > 1.05)
        printf("seed %llu, %.2g ms Pareto %.1f, %llu tasks, %u x %u: %.4f of greedy (%.3f s), %llu sends, "
               "%llu takes\n",
               (unsigned long long)seed, p->least_ns / 1e6, p->alpha, (unsigned long long)c.tasks, hosts,
               SLOTS / hosts, ratio, best / 1e9, (unsigned long long)c.sends, (unsigned long long)c.takes);
    }
    free(c.length);
    sim_world_free(&world);
  }
  printf("makespan: at worst %.4f of greedy list scheduling\n", worst);
  return worst > 1.05;
}

/* One world of launches after another: sim launches. */
#include "launches.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void launches_fail(launches_world *v, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  fprintf(stderr, "FAILED: ");
  vfprintf(stderr, format, ap);
  va_end(ap);
  fprintf(stderr, "\n  at event %llu, time %.6f s\n  replay: sim launches --seed %llu --members %u\n",
          (unsigned long long)v->events, (double)v->w.now / 1e9, (unsigned long long)v->seed, v->members_max);
  exit(1);
}

/* What the machine wants is done, in steps of any size; at times not all of it at once. */
static void drain(launches_world *v, bool wholly) {
  static const uint32_t steps[] = {1, 2, 7, 256};
  sched_launch_action a[256];
  uint32_t max = steps[sim_below(&v->w, 4)];
  for (v->drained = false; !v->drained;) {
    uint32_t n = sched_launches_next(v->l, v->w.now, a, max);
    if (n > max) launches_fail(v, "%u actions where %u were asked for", n, max);
    for (uint32_t i = 0; i < n; i++) model_action(v, &a[i]);
    v->drained = n < max;
    if (!wholly && !v->drained && sim_chance(&v->w, 20)) return;
  }
}

/* To the next event or wake; just before a wake there is nothing to do. */
static bool forward(launches_world *v) {
  uint64_t wake = sched_launches_wake(v->l), next = v->w.heap_n ? v->w.heap[0]->at : UINT64_MAX;
  if (wake == UINT64_MAX && next == UINT64_MAX) return false;
  if (wake > next || (wake == next && sim_chance(&v->w, 50))) {
    sim_event *e = sim_event_pop(&v->w);
    v->w.now = e->at;
    launches_event(v, e);
    sim_event_free(&v->w, e);
    return true;
  }
  sched_launch_action a;
  if (v->drained && wake - 1 > v->w.now && sched_launches_next(v->l, wake - 1, &a, 1))
    launches_fail(v, "there is something to do before the wake");
  if (wake > v->w.now) v->w.now = wake;
  uint64_t before = v->actions;
  drain(v, false);
  if (v->actions == before) launches_fail(v, "there is nothing to do at the wake");
  return true;
}

static void create(launches_world *v, uint64_t seed, uint32_t members) {
  *v = (launches_world){.seed = seed, .check_every = 1, .members_max = members, .l = sched_launches_create()};
  if (!v->l) abort();
  v->w.now = SECOND;
  for (int i = 0; i < 4; i++) v->w.rng[i] = (seed + (uint64_t)i + 1) * 0x9e3779b97f4a7c15u;
  for (int i = 0; i < 16; i++) sim_random(&v->w);
  v->launches_max = members ? 6 : 10 + (uint32_t)sim_below(&v->w, 60);
  if (members > 1000) v->check_every = members;
}

/* Launches that somebody asks for, at any time. */
static void plan(launches_world *v) {
  static const uint32_t counts[] = {1, 3, 12, 40};
  uint32_t most = counts[sim_below(&v->w, 4)], n = v->members_max ? 1 : 1 + (uint32_t)sim_below(&v->w, 15);
  for (uint32_t i = 0; i < n; i++)
    launches_ask(v, sim_below(&v->w, 3000 * SECOND), UINT32_MAX,
                 v->members_max ? v->members_max : 1 + (uint32_t)sim_below(&v->w, most));
}

static void destroy(launches_world *v) {
  for (uint32_t i = 0; i < v->launches; i++) {
    free(v->launch[i].member);
    free(v->launch[i].proc);
  }
  free(v->launch);
  free(v->line);
  sched_launches_destroy(v->l);
  sim_world_free(&v->w);
}

static void run(uint64_t seed, uint32_t members, bool verbose) {
  launches_world world, *v = &world;
  create(v, seed, members);
  plan(v);
  for (bool more = true; more || !v->ending; v->events++) {
    if (!v->ending && (!more || v->w.now > 5000 * SECOND)) launches_finale(v);
    drain(v, sim_chance(&v->w, 70));
    model_check(v);
    more = forward(v);
  }
  drain(v, true);
  v->check_every = 1;
  model_check(v);
  for (uint32_t i = 0; i < v->launches; i++)
    if (!v->launch[i].over) launches_fail(v, "launch %u is never over", i + 1);
  for (uint32_t i = 0; i < v->lines; i++)
    if (sched_launches_lives(v->l, v->line[i].id)) launches_fail(v, "line %u lives for ever", i);
  if (verbose)
    printf("seed %llu: %u launches in %u lines, %llu members, %llu failures, %llu rounds replaced, "
           "%llu given up, %llu to be ended, %llu events\n",
           (unsigned long long)seed, v->launches, v->lines, (unsigned long long)v->members,
           (unsigned long long)v->failures, (unsigned long long)v->replaced, (unsigned long long)v->gave_up,
           (unsigned long long)v->ended, (unsigned long long)v->events);
  destroy(v);
}

int sim_launches(uint64_t first, uint64_t seeds, uint32_t members) {
  for (uint64_t seed = first; seed < first + seeds; seed++) run(seed, members, seeds <= 20);
  printf("%llu worlds of launches from %llu: passed\n", (unsigned long long)seeds, (unsigned long long)first);
  return 0;
}

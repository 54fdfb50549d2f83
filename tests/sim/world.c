/* Randomness, events in order of time, and small things. */
#include "sim.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sim_fail(sim *w, const char *format, ...) {
  va_list ap;
  va_start(ap, format);
  fprintf(stderr, "FAILED: ");
  vfprintf(stderr, format, ap);
  va_end(ap);
  const sim_options *o = &w->opt;
  fprintf(stderr,
          "\n  at event %llu, time %.6f s\n  replay: sim --seed %llu --daemons %u --tasks %llu --array %u "
          "--slots %u "
          "--kinds %u --faults %u --grace %d --steps %d\n",
          (unsigned long long)w->events, (double)w->now / 1e9, (unsigned long long)o->seed, o->daemons,
          (unsigned long long)o->tasks, o->array_max, o->slots_max, o->kinds, o->faults, o->grace, o->steps);
  exit(1);
}

static uint64_t rotl(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

/* xoshiro256**, Blackman and Vigna */
uint64_t sim_random(sim *w) {
  uint64_t *s = w->rng, result = rotl(s[1] * 5, 7) * 9, t = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= t;
  s[3] = rotl(s[3], 45);
  return result;
}

uint64_t sim_below(sim *w, uint64_t n) { return n ? sim_random(w) % n : 0; }
bool sim_chance(sim *w, unsigned percent) { return sim_below(w, 100) < percent; }

/* splitmix64: a task's duration is a function of its number, so that it replays */
static double unit(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  x ^= x >> 31;
  return ((double)(x >> 11) + 0.5) / 9007199254740992.0;
}

uint64_t sim_duration(const sim *w, uint64_t task, unsigned kind) {
  double u = unit(task ^ (w->opt.seed << 32)), ns;
  switch (kind) {
  case KIND_TINY:
    ns = 2e3;
    break;
  case KIND_SHORT:
    ns = -1e5 * log(u);
    break;
  case KIND_PARETO:
    ns = 5e5 * pow(u, -1 / 1.3);
    break;
  case KIND_LONG:
    ns = 2e7 + 6e7 * u;
    break;
  default:
    ns = 1e6 + 1e8 * u;
    break;
  }
  return ns < 2e9 ? (uint64_t)ns : 2000000000u;
}

void *sim_grow(void *p, uint32_t *cap, uint32_t need, size_t size) {
  if (need <= *cap) return p;
  uint32_t n = *cap ? *cap : 16;
  while (n < need) n *= 2;
  p = realloc(p, n * size);
  if (!p) abort();
  memset((char *)p + *cap * size, 0, (n - *cap) * size);
  *cap = n;
  return p;
}

/* ---- events ---- */

sim_event *sim_event_new(sim *w, sim_event_type type, uint64_t at) {
  if (!w->spare) {
    sim_event *block = calloc(256, sizeof *block); /* the first links the blocks */
    if (!block) abort();
    block->next = w->blocks;
    w->blocks = block;
    for (int i = 1; i < 256; i++) sim_event_free(w, &block[i]);
  }
  sim_event *e = w->spare;
  w->spare = e->next;
  *e = (sim_event){.type = type, .at = at, .seq = ++w->seq};
  return e;
}

void sim_event_free(sim *w, sim_event *e) {
  e->next = w->spare;
  w->spare = e;
}

static bool before(const sim_event *a, const sim_event *b) {
  return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

void sim_event_push(sim *w, sim_event *e) {
  w->heap = sim_grow(w->heap, &w->heap_cap, w->heap_n + 1, sizeof *w->heap);
  uint32_t i = w->heap_n++;
  while (i > 0 && before(e, w->heap[(i - 1) / 4])) {
    w->heap[i] = w->heap[(i - 1) / 4];
    i = (i - 1) / 4;
  }
  w->heap[i] = e;
}

sim_event *sim_event_pop(sim *w) {
  sim_event *top = w->heap[0], *last = w->heap[--w->heap_n];
  uint32_t i = 0;
  for (;;) {
    uint32_t best = 4 * i + 1, end = best + 4 < w->heap_n ? best + 4 : w->heap_n;
    for (uint32_t c = best + 1; c < end; c++)
      if (before(w->heap[c], w->heap[best])) best = c;
    if (best >= w->heap_n || before(last, w->heap[best])) break;
    w->heap[i] = w->heap[best];
    i = best;
  }
  if (w->heap_n) w->heap[i] = last;
  return top;
}

void sim_world_free(sim *w) {
  free(w->heap);
  for (sim_event *b = w->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
}

/* ---- the model's counts ---- */

void sim_touch_task(sim *w, uint64_t task) {
  if (w->touched_n < sizeof w->touched / sizeof *w->touched) w->touched[w->touched_n++] = task;
}

void sim_place(sim *w, sim_daemon *d) {
  bool usable = d->known && d->connected && !d->draining;
  uint32_t held = d->sent + d->running + d->zombies, free = usable && held < d->slots ? d->slots - held : 0;
  if (w->free_slots == 0 && free > 0) w->free_since = w->now;
  w->free_slots = w->free_slots - d->free + free;
  d->free = free;
  w->touched_daemon = d->handle;
}

void sim_hold(sim *w, sim_daemon *d, uint64_t task) {
  sim_task *k = &w->task[task];
  k->daemon = (uint32_t)(d - w->daemon);
  k->prev = 0;
  k->next = d->held;
  if (d->held) w->task[d->held].prev = (uint32_t)task;
  d->held = (uint32_t)task;
}

void sim_unhold(sim *w, sim_daemon *d, uint64_t task) {
  sim_task *k = &w->task[task];
  if (k->prev)
    w->task[k->prev].next = k->next;
  else
    d->held = k->next;
  if (k->next) w->task[k->next].prev = k->prev;
  k->prev = k->next = 0;
}

void sim_queued(sim *w, sim_owner *o, uint64_t n) {
  if (o->queued == 0) memset(o->waited, 0, sizeof o->waited);
  o->queued += n;
  if (!o->paused && !o->lost) w->ready += n;
}

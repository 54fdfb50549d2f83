/* When launches and lines want something of time: a heap that knows the place of each. */
#include "sched/launch_parts.h"

#include <stdlib.h>

bool sched__due_reserve(sched_launches *l, uint32_t holders) {
  if (holders <= l->heap_cap) return true;
  if (holders > UINT32_MAX / 2) return false;
  uint32_t cap = l->heap_cap ? l->heap_cap : 16;
  while (cap < holders) cap *= 2;
  s_due **heap = realloc(l->heap, cap * sizeof *heap);
  if (!heap) return false;
  l->heap = heap;
  l->heap_cap = cap;
  return true;
}

/* At the same time launches come first: what times out when a back-off ends is of that round. */
static bool before(const s_due *a, const s_due *b) {
  return a->at != b->at ? a->at < b->at : a->line < b->line;
}

static void put(sched_launches *l, uint32_t i, s_due *d) {
  l->heap[i] = d;
  d->place = i + 1;
}

static uint32_t rise(sched_launches *l, uint32_t i, const s_due *d) {
  while (i > 0 && before(d, l->heap[(i - 1) / 4])) {
    put(l, i, l->heap[(i - 1) / 4]);
    i = (i - 1) / 4;
  }
  return i;
}

static uint32_t sink(sched_launches *l, uint32_t i, const s_due *d) {
  for (;;) {
    uint32_t best = 4 * i + 1, end = best + 4 < l->heap_n ? best + 4 : l->heap_n;
    for (uint32_t c = best + 1; c < end; c++)
      if (before(l->heap[c], l->heap[best])) best = c;
    if (best >= l->heap_n || !before(l->heap[best], d)) return i;
    put(l, i, l->heap[best]);
    i = best;
  }
}

static void place(sched_launches *l, uint32_t i, s_due *d) {
  uint32_t up = rise(l, i, d);
  put(l, up == i ? sink(l, i, d) : up, d);
}

void sched__due_set(sched_launches *l, s_due *d, uint64_t at) {
  if (at == d->at) return;
  d->at = at;
  if (at != UINT64_MAX) {
    place(l, d->place ? d->place - 1 : l->heap_n++, d);
  } else if (d->place) {
    uint32_t i = d->place - 1;
    s_due *last = l->heap[--l->heap_n];
    d->place = 0;
    if (i < l->heap_n) place(l, i, last);
  }
}

#include "sched/table.h"

#include <stdlib.h>

static bool grow(s_table *t) {
  if (t->count < t->cap) return true;
  uint32_t cap = t->cap ? t->cap * 2 : 16;
  if (cap > TABLE_INDEX_MASK) return false;
  s_entry *at = realloc(t->at, cap * sizeof *at);
  if (!at) return false;
  t->at = at;
  t->cap = cap;
  if (t->count == 0) t->at[t->count++] = (s_entry){0};
  return true;
}

uint32_t sched__table_add(s_table *t, void *record) {
  uint32_t i = t->free_first;
  if (i) {
    t->free_first = t->at[i].next;
    if (!t->free_first) t->free_last = 0;
    t->at[i].record = record;
    return t->at[i].handle;
  }
  if (!grow(t)) return 0;
  i = t->count++;
  t->at[i] = (s_entry){.record = record, .handle = i};
  return i;
}

void sched__table_remove(s_table *t, uint32_t handle) {
  uint32_t i = handle & TABLE_INDEX_MASK;
  s_entry *e = &t->at[i];
  e->record = NULL;
  e->handle += 1u << TABLE_INDEX_BITS; /* wraps: 256 generations */
  e->next = 0;
  if (t->free_last)
    t->at[t->free_last].next = i;
  else
    t->free_first = i;
  t->free_last = i;
}

void sched__table_fini(s_table *t) {
  free(t->at);
  *t = (s_table){0};
}

/* Handles: small numbers for records. A freed one is used again as late as can be,
 * and then with another generation, so that a late report does not hit a newcomer. */
#ifndef HATO_SCHED_TABLE_H
#define HATO_SCHED_TABLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct s_entry {
  void *record;    /* NULL: free */
  uint32_t handle; /* of the record, or of the next one to stand here */
  uint32_t next;   /* in the list of free entries; 0 ends it */
} s_entry;

typedef struct s_table {
  s_entry *at; /* [0] is never used */
  uint32_t count, cap;
  uint32_t free_first, free_last;
} s_table;

enum { TABLE_INDEX_BITS = 24, TABLE_INDEX_MASK = (1 << TABLE_INDEX_BITS) - 1 };

uint32_t sched__table_add(s_table *t, void *record); /* 0: out of memory, or of handles */
void sched__table_remove(s_table *t, uint32_t handle);
void sched__table_fini(s_table *t);

static inline void *sched__table_get(const s_table *t, uint32_t handle) {
  uint32_t i = handle & TABLE_INDEX_MASK;
  return i < t->count && t->at[i].handle == handle ? t->at[i].record : 0;
}

#endif

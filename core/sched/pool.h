/* Fixed-size records from chunks; a record given back is used again first. */
#ifndef HATO_SCHED_POOL_H
#define HATO_SCHED_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct s_pool {
  size_t size;        /* of a record, a multiple of 16 */
  void *free;         /* given back, linked through their first word */
  char *fresh, *end;  /* never used part of the newest chunk */
  void *chunks;       /* all of them, linked through their first word */
  size_t chunk_bytes; /* of the next chunk; doubles up to a cap, so that an idle scheduler is small */
  size_t live;
} s_pool;

void sched__pool_init(s_pool *p, size_t size);
void sched__pool_fini(s_pool *p);
void *sched__pool_get(s_pool *p); /* contents undefined; NULL: out of memory */
void sched__pool_put(s_pool *p, void *record);

#endif

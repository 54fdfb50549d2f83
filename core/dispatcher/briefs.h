/* What is remembered of the tasks of a detached submission: by a task's place in it, from 0. Not thread safe. */
#ifndef HATO_DISPATCHER_BRIEFS_H
#define HATO_DISPATCHER_BRIEFS_H

#include "session/spool.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct brief {                 /* of one task; zeros: it is not resolved */
  hato__spool_ref record;              /* its RESULTS record in the spool; len 0: only what stands here */
  bool resolved, collected, forgotten; /* collected: fetched once */
  uint16_t error;
  uint32_t wait_status;
  float wall_s;
} brief;

typedef struct briefs {
  uint64_t count; /* of tasks, at least 1 */
  unsigned height;
  uintptr_t root;
} briefs;

void dispatcher_briefs_init(briefs *b, uint64_t count);
void dispatcher_briefs_free(briefs *b);
/* *alike: at least so many tasks from this one on have the same brief. */
brief dispatcher_briefs_at(const briefs *b, uint64_t place, uint64_t *alike);
/* A task's own, to be changed; it stays where it is. NULL: no memory. */
brief *dispatcher_briefs_own(briefs *b, uint64_t place);
/* Gives tasks first to last this brief, which has neither record nor times. Costs as much as differs there and not as
 * they count. False: no memory; then some of them may have it. */
bool dispatcher_briefs_fill(briefs *b, uint64_t first, uint64_t last, const brief *like);

#endif

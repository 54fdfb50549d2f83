/* The spool's file as blocks of 16 KB, each with the number of bytes that still
 * matter in it. Not locked: the spool does that. Inside this layer only. */
#ifndef HATO_SESSION_BLOCKS_H
#define HATO_SESSION_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPOOL_BLOCK 16384u

typedef struct spool_blocks {
  uint16_t *live; /* a block's bytes in use, and CLAIMED while somebody still writes to it; 0: free */
  size_t n;       /* blocks that the file has or had */
  size_t cap;
  size_t used;  /* blocks that are not free */
  size_t limit; /* used never exceeds it */
  size_t hint;  /* where the search for a free one goes on */
  size_t sweep; /* where the search for runs to give back goes on */
} spool_blocks;

void session_blocks_free(spool_blocks *b);
/* Claims a run of 1 to want blocks; *first gets its first. Returns its length; 0:
 * the limit is reached (or there is no memory for the table: *no_memory). */
size_t session_blocks_claim(spool_blocks *b, size_t want, size_t *first, bool *no_memory);
/* Claims this very block if it is free and the limit allows. */
bool session_blocks_claim_at(spool_blocks *b, size_t block);
/* Ends the claim on n blocks. Calls freed(arg, first, n) for what is then free. */
typedef void blocks_freed_fn(void *arg, size_t first, size_t n);
void session_blocks_release(spool_blocks *b, size_t first, size_t n, blocks_freed_fn *freed, void *arg);
/* So many bytes from this offset of the file matter, or no longer do. */
void session_blocks_add(spool_blocks *b, uint64_t at, uint64_t len);
void session_blocks_drop(spool_blocks *b, uint64_t at, uint64_t len, blocks_freed_fn *freed, void *arg);

/* Withholds a run of free blocks, least to most long, while the caller makes a
 * hole there; *first gets its first, 0: there is none. They do not count as used. */
size_t session_blocks_withhold(spool_blocks *b, size_t least, size_t most, size_t *first);
void session_blocks_restore(spool_blocks *b, size_t first, size_t n);
/* How many blocks at the end of the file are free. */
size_t session_blocks_free_tail(const spool_blocks *b);

#endif

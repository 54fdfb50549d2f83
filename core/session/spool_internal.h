/* Shared by spool.c (the file, small entries, reading) and entry.c (writing). */
#ifndef HATO_SESSION_SPOOL_INTERNAL_H
#define HATO_SESSION_SPOOL_INTERNAL_H

#include "session/blocks.h"
#include "session/spool.h"

#include <pthread.h>

/* An entry that ends with at most this is packed beside others; a longer one
 * has blocks of its own, claimed in growing runs. */
#define SMALL SPOOL_BLOCK
#define CHAINED (UINT64_C(1) << 63) /* in ref.at: the rest is the address of a chain */

typedef struct extent {
  uint64_t at, len;
} extent;

typedef struct chain {
  size_t n;
  extent extents[];
} chain;

struct hato__spool {
  char *dir, *path;
  int fd;
  pthread_mutex_t lock; /* of all below */
  spool_blocks blocks;
  size_t idle;   /* free blocks that the disk still holds, about */
  bool sweeping; /* a thread gives them back */
  /* The block that small entries are packed into, gathered in memory: one write
   * a block and not one an entry. Its place on the disk is taken beforehand, so
   * that the write cannot fail for want of space. */
  bool packing;
  size_t pack_block;
  size_t pack_fill;
  uint8_t pack[SPOOL_BLOCK];
};

/* NO_SPACE in words: the limit; the disk, by errno, or another failure to write. */
hato_status session_spool_limit_reached(const hato__spool *sp, hato_error *err);
hato_status session_spool_write_failed(const hato__spool *sp, hato_error *err);
/* 0, or -1 with errno. */
int session_spool_write_at(const hato__spool *sp, const void *data, size_t n, uint64_t at);
/* want bytes from offset of what n extents hold together, which has them. */
hato_status session_spool_read_extents(const hato__spool *sp, const extent *x, size_t n, uint64_t offset,
                                uint8_t *out, size_t want, hato_error *err);
/* How much of n there is from offset. */
size_t session_spool_available(uint64_t len, uint64_t offset, size_t n);
/* blocks_freed_fn: free blocks, to be used again or given back. Under the lock. */
void session_spool_freed(void *sp, size_t first, size_t n);
/* Gives idle blocks back to the disk when they are many. Not under the lock. */
void session_spool_sweep(hato__spool *sp);

#endif

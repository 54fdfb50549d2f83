#include "session/blocks.h"

#include <stdlib.h>
#include <string.h>

#define CLAIMED 0x8000u

void session_blocks_free(spool_blocks *b) {
  free(b->live);
  *b = (spool_blocks){0};
}

/* The table for at least n blocks. */
static bool grow(spool_blocks *b, size_t n) {
  if (n <= b->cap) return true;
  size_t cap = b->cap ? b->cap * 2 : 256;
  if (cap < n) cap = n;
  uint16_t *live = reallocarray(b->live, cap, sizeof *live);
  if (live == NULL) return false;
  memset(live + b->cap, 0, (cap - b->cap) * sizeof *live);
  b->live = live;
  b->cap = cap;
  return true;
}

/* A free block of those the file had, else the one behind its end. */
static size_t find_free(spool_blocks *b) {
  if (b->used == b->n) return b->n; /* none is free: no search */
  for (size_t i = 0; i < b->n; i++) {
    size_t at = b->hint + i < b->n ? b->hint + i : b->hint + i - b->n;
    if (b->live[at] == 0) return at;
  }
  return b->n;
}

static void claim(spool_blocks *b, size_t block) {
  b->live[block] = CLAIMED;
  b->used++;
  if (block >= b->n) b->n = block + 1;
}

size_t session_blocks_claim(spool_blocks *b, size_t want, size_t *first, bool *no_memory) {
  *no_memory = false;
  if (b->used >= b->limit) return 0;
  size_t at = find_free(b), got = 0;
  if (want > b->limit - b->used) want = b->limit - b->used;
  /* More blocks than the limit are never needed: a used file is dense or has holes. */
  if (at + want > b->cap && !grow(b, at + want)) {
    *no_memory = true;
    return 0;
  }
  while (got < want && b->live[at + got] == 0) claim(b, at + got++);
  *first = at;
  b->hint = at + got < b->n ? at + got : 0;
  return got;
}

bool session_blocks_claim_at(spool_blocks *b, size_t block) {
  if (b->used >= b->limit || block > b->n || !grow(b, block + 1) || b->live[block] != 0) return false;
  claim(b, block);
  return true;
}

/* Tells of runs rather than of single blocks: each is a system call. */
typedef struct run {
  spool_blocks *b;
  size_t first, n;
  blocks_freed_fn *freed;
  void *arg;
} run;

static void tell(run *r) {
  if (r->n > 0) r->freed(r->arg, r->first, r->n);
  r->n = 0;
}

static void now_free(run *r, size_t block) {
  r->b->used--;
  if (r->n > 0 && r->first + r->n != block) tell(r);
  if (r->n++ == 0) r->first = block;
}

void session_blocks_release(spool_blocks *b, size_t first, size_t n, blocks_freed_fn *freed, void *arg) {
  run r = {.b = b, .freed = freed, .arg = arg};
  for (size_t i = first; i < first + n; i++) {
    b->live[i] &= (uint16_t)~CLAIMED;
    if (b->live[i] == 0) now_free(&r, i);
  }
  tell(&r);
}

static uint16_t part_in_block(uint64_t at, uint64_t end, size_t block) {
  uint64_t from = (uint64_t)block * SPOOL_BLOCK, to = from + SPOOL_BLOCK;
  if (from < at) from = at;
  if (to > end) to = end;
  return (uint16_t)(to - from);
}

void session_blocks_add(spool_blocks *b, uint64_t at, uint64_t len) {
  uint64_t end = at + len;
  for (size_t i = (size_t)(at / SPOOL_BLOCK); (uint64_t)i * SPOOL_BLOCK < end; i++) {
    b->live[i] = (uint16_t)(b->live[i] + part_in_block(at, end, i));
  }
}

void session_blocks_drop(spool_blocks *b, uint64_t at, uint64_t len, blocks_freed_fn *freed, void *arg) {
  run r = {.b = b, .freed = freed, .arg = arg};
  uint64_t end = at + len;
  for (size_t i = (size_t)(at / SPOOL_BLOCK); (uint64_t)i * SPOOL_BLOCK < end; i++) {
    b->live[i] = (uint16_t)(b->live[i] - part_in_block(at, end, i));
    if (b->live[i] == 0) now_free(&r, i);
  }
  tell(&r);
}

size_t session_blocks_withhold(spool_blocks *b, size_t least, size_t most, size_t *first) {
  for (size_t i = b->sweep; i < b->n;) {
    size_t n = 0;
    while (n < most && i + n < b->n && b->live[i + n] == 0) n++;
    if (n >= least) {
      for (size_t k = i; k < i + n; k++) b->live[k] = CLAIMED;
      *first = i;
      b->sweep = i + n;
      return n;
    }
    i += n ? n : 1;
  }
  b->sweep = 0;
  return 0;
}

void session_blocks_restore(spool_blocks *b, size_t first, size_t n) {
  for (size_t i = first; i < first + n; i++) b->live[i] = 0;
}

size_t session_blocks_free_tail(const spool_blocks *b) {
  size_t n = 0;
  while (n < b->n && b->live[b->n - 1 - n] == 0) n++;
  return n;
}

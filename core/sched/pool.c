#include "sched/pool.h"

#include <stdlib.h>

/* A pool would hide a use after free from the address sanitizer, so it is told. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define POOL_ASAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define POOL_ASAN 1
#endif
#ifdef POOL_ASAN
#include <sanitizer/asan_interface.h>
#define HIDE(p, n) ASAN_POISON_MEMORY_REGION(p, n)
#define SHOW(p, n) ASAN_UNPOISON_MEMORY_REGION(p, n)
#else
#define HIDE(p, n) ((void)(p), (void)(n))
#define SHOW(p, n) ((void)(p), (void)(n))
#endif

enum { CHUNK_HEAD = 16, CHUNK_MIN = 4096, CHUNK_MAX = 256 * 1024 };

void sched__pool_init(s_pool *p, size_t size) {
  *p = (s_pool){.size = (size + 15) & ~(size_t)15, .chunk_bytes = CHUNK_MIN};
}

void sched__pool_fini(s_pool *p) {
  void *c = p->chunks;
  while (c) {
    void *next = *(void **)c;
    free(c);
    c = next;
  }
  sched__pool_init(p, p->size);
}

static bool grow(s_pool *p) {
  size_t bytes = p->chunk_bytes;
  if (bytes < CHUNK_HEAD + p->size) bytes = CHUNK_HEAD + p->size;
  char *c = malloc(bytes);
  if (!c) return false;
  *(void **)(void *)c = p->chunks;
  p->chunks = c;
  p->fresh = c + CHUNK_HEAD;
  p->end = p->fresh + (bytes - CHUNK_HEAD) / p->size * p->size;
  if (p->chunk_bytes < CHUNK_MAX) p->chunk_bytes *= 2;
  return true;
}

void *sched__pool_get(s_pool *p) {
  void *r = p->free;
  if (r) {
    SHOW(r, p->size);
    p->free = *(void **)r;
  } else {
    if (p->fresh == p->end && !grow(p)) return NULL;
    r = p->fresh;
    p->fresh += p->size;
  }
  p->live++;
  return r;
}

void sched__pool_put(s_pool *p, void *record) {
  *(void **)record = p->free;
  p->free = record;
  p->live--;
  HIDE(record, p->size);
}

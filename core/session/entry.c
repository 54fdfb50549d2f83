/* Entries of the spool while they are written. */
#include "base/error.h"
#include "session/spool_internal.h"

#include <stdlib.h>
#include <string.h>

#define FIRST_RUN 4u    /* blocks: 64 KB */
#define LONGEST_RUN 64u /* 1 MB */

struct hato__spool_entry {
  hato__spool *sp;
  uint64_t len;
  uint8_t *small; /* all bytes while it is small; NULL afterwards */
  size_t small_cap;
  extent *extents;
  size_t n, cap;
  uint64_t room; /* bytes claimed and not written behind the last extent */
  size_t next_run;
};

hato_status hato__spool_begin(hato__spool *sp, hato__spool_entry **entry, hato_error *err) {
  hato__error_clear(err);
  *entry = calloc(1, sizeof **entry);
  if (*entry == NULL)
    return hato__fail(err, HATO_NO_MEMORY, "no memory for an entry of the spool %s", sp->path);
  (*entry)->sp = sp;
  (*entry)->next_run = FIRST_RUN;
  return HATO_OK;
}

uint64_t hato__spool_size(const hato__spool_entry *e) { return e->len; }

static hato_status no_memory(const hato__spool_entry *e, hato_error *err) {
  return hato__fail(err, HATO_NO_MEMORY, "no memory for an entry of the spool %s", e->sp->path);
}

static hato_status keep_small(hato__spool_entry *e, const void *data, size_t n, hato_error *err) {
  size_t want = (size_t)e->len + n;
  if (want > e->small_cap) {
    size_t cap = e->small_cap ? e->small_cap : 256;
    while (cap < want) cap *= 2;
    uint8_t *small = realloc(e->small, cap);
    if (small == NULL) return no_memory(e, err);
    e->small = small;
    e->small_cap = cap;
  }
  memcpy(e->small + e->len, data, n);
  e->len += n;
  return HATO_OK;
}

/* Room behind the last extent, or in a new one. */
static hato_status more_room(hato__spool_entry *e, uint64_t need, hato_error *err) {
  hato__spool *sp = e->sp;
  if (e->n == e->cap) {
    size_t cap = e->cap ? e->cap * 2 : 4;
    extent *extents = reallocarray(e->extents, cap, sizeof *extents);
    if (extents == NULL) return no_memory(e, err);
    e->extents = extents;
    e->cap = cap;
  }
  size_t first = 0, want = e->next_run;
  if (need / SPOOL_BLOCK + 1 > want)
    want = need / SPOOL_BLOCK + 1 > LONGEST_RUN ? LONGEST_RUN : need / SPOOL_BLOCK + 1;
  bool lacks_memory;
  pthread_mutex_lock(&sp->lock);
  size_t got = session_blocks_claim(&sp->blocks, want, &first, &lacks_memory);
  hato_status rc = HATO_OK;
  if (got == 0) rc = lacks_memory ? no_memory(e, err) : session_spool_limit_reached(sp, err);
  pthread_mutex_unlock(&sp->lock);
  if (rc != HATO_OK) return rc;
  uint64_t at = (uint64_t)first * SPOOL_BLOCK;
  extent *last = e->n ? &e->extents[e->n - 1] : NULL;
  if (last == NULL || last->at + last->len != at) e->extents[e->n++] = (extent){.at = at};
  e->room = (uint64_t)got * SPOOL_BLOCK;
  if (e->next_run < LONGEST_RUN) e->next_run *= 2;
  return HATO_OK;
}

/* What write took when it fails half-way: all of it is given back. */
typedef struct mark {
  uint64_t len, room, last_len;
  size_t n;
} mark;

static mark mark_of(const hato__spool_entry *e) {
  return (mark){.len = e->len, .room = e->room, .n = e->n, .last_len = e->n ? e->extents[e->n - 1].len : 0};
}

static size_t block_after(uint64_t at) { return (size_t)((at + SPOOL_BLOCK - 1) / SPOOL_BLOCK); }

/* The claimed blocks of the extents from i, that are to be kept up to keep bytes
 * in the first of them, and of which `room` was not written at the end. */
static void unclaim(hato__spool_entry *e, size_t i, uint64_t keep) {
  hato__spool *sp = e->sp;
  pthread_mutex_lock(&sp->lock);
  for (; i < e->n; i++, keep = 0) {
    const extent *x = &e->extents[i];
    uint64_t end = x->at + x->len + (i + 1 == e->n ? e->room : 0);
    size_t from = block_after(x->at + keep), to = (size_t)(end / SPOOL_BLOCK);
    if (to > from) session_blocks_release(&sp->blocks, from, to - from, session_spool_freed, sp);
  }
  pthread_mutex_unlock(&sp->lock);
}

static void roll_back(hato__spool_entry *e, mark m) {
  if (m.n > 0) {
    unclaim(e, m.n - 1, m.last_len);
    uint64_t end = e->extents[m.n - 1].at + m.last_len;
    e->extents[m.n - 1].len = m.last_len;
    e->room = (uint64_t)block_after(end) * SPOOL_BLOCK - end;
  } else {
    unclaim(e, 0, 0);
    e->room = 0;
  }
  e->n = m.n;
  e->len = m.len;
}

static hato_status append(hato__spool_entry *e, const uint8_t *data, size_t n, hato_error *err) {
  while (n > 0) {
    if (e->room == 0) {
      hato_status rc = more_room(e, n, err);
      if (rc != HATO_OK) return rc;
    }
    extent *last = &e->extents[e->n - 1];
    size_t part = n < e->room ? n : (size_t)e->room;
    if (session_spool_write_at(e->sp, data, part, last->at + last->len) < 0) return session_spool_write_failed(e->sp, err);
    last->len += part;
    e->room -= part;
    e->len += part;
    data += part;
    n -= part;
  }
  return HATO_OK;
}

hato_status hato__spool_write(hato__spool_entry *e, const void *data, size_t n, hato_error *err) {
  hato__error_clear(err);
  if (n == 0) return HATO_OK;
  bool is_small = e->n == 0;
  if (is_small && e->len + n <= SMALL) return keep_small(e, data, n, err);
  mark m = mark_of(e);
  uint64_t before = e->len;
  hato_status rc = HATO_OK;
  if (is_small && before > 0) { /* it outgrew memory */
    e->len = 0;
    rc = append(e, e->small, (size_t)before, err);
  }
  if (rc == HATO_OK) rc = append(e, data, n, err);
  if (rc != HATO_OK) {
    roll_back(e, m);
  } else if (is_small) {
    free(e->small);
    e->small = NULL;
    e->small_cap = 0;
  }
  return rc;
}

static hato_status make_chain(hato__spool_entry *e, hato__spool_ref *ref, hato_error *err) {
  chain *c = NULL;
  if (e->n == 1) {
    ref->at = e->extents[0].at;
  } else {
    c = malloc(sizeof *c + e->n * sizeof *c->extents);
    if (c == NULL) return no_memory(e, err);
    c->n = e->n;
    memcpy(c->extents, e->extents, e->n * sizeof *c->extents);
    ref->at = CHAINED | (uint64_t)(uintptr_t)c;
  }
  ref->len = e->len;
  hato__spool *sp = e->sp;
  pthread_mutex_lock(&sp->lock);
  for (size_t i = 0; i < e->n; i++) {
    const extent *x = &e->extents[i];
    uint64_t end = x->at + x->len + (i + 1 == e->n ? e->room : 0);
    session_blocks_add(&sp->blocks, x->at, x->len);
    size_t from = (size_t)(x->at / SPOOL_BLOCK);
    session_blocks_release(&sp->blocks, from, (size_t)(end / SPOOL_BLOCK) - from, session_spool_freed, sp);
  }
  pthread_mutex_unlock(&sp->lock);
  e->n = 0; /* no longer the entry's */
  return HATO_OK;
}

hato_status hato__spool_end(hato__spool_entry *e, hato__spool_ref *ref, hato_error *err) {
  *ref = (hato__spool_ref){0};
  hato__error_clear(err);
  hato_status rc = e->n > 0 ? make_chain(e, ref, err)
                            : hato__spool_put(e->sp, e->small, (size_t)e->len, ref, err);
  hato__spool_abort(e);
  return rc;
}

void hato__spool_abort(hato__spool_entry *e) {
  if (e == NULL) return;
  if (e->n > 0) unclaim(e, 0, 0);
  free(e->extents);
  free(e->small);
  free(e);
}

hato_status hato__spool_peek(hato__spool_entry *e, uint64_t offset, void *out, size_t n, size_t *got,
                             hato_error *err) {
  hato__error_clear(err);
  n = session_spool_available(e->len, offset, n);
  hato_status rc = HATO_OK;
  if (e->n > 0)
    rc = session_spool_read_extents(e->sp, e->extents, e->n, offset, out, n, err);
  else if (n > 0)
    memcpy(out, e->small + offset, n);
  *got = rc == HATO_OK ? n : 0;
  return rc;
}

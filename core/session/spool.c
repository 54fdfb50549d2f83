#include "session/spool.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "session/blocks.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* An entry that ends with at most this is packed beside others; a longer one
 * has blocks of its own, claimed in growing runs. */
#define SMALL SPOOL_BLOCK
#define FIRST_RUN 4u  /* blocks: 64 KB */
#define LONGEST_RUN 64u /* 1 MB */
#define CHAINED (UINT64_C(1) << 63) /* in ref.at: the rest is the address of a chain */

typedef struct extent {
  uint64_t at, len;
} extent;

typedef struct chain {
  uint64_t len;
  size_t n;
  extent extents[];
} chain;

struct hato__spool {
  char *dir, *path;
  int fd;
  pthread_mutex_t lock; /* of all below */
  spool_blocks blocks;
  /* The block that small entries are packed into, gathered in memory: one write
   * a block and not one an entry. Its place on the disk is taken beforehand, so
   * that the write cannot fail for want of space. */
  bool packing;
  size_t pack_block;
  size_t pack_fill;
  uint8_t pack[SPOOL_BLOCK];
};

struct hato__spool_entry {
  hato__spool *sp;
  uint64_t len;
  uint8_t *small; /* all bytes while it is small; NULL afterwards */
  size_t small_cap;
  extent *extents;
  size_t n, cap;
  uint64_t room;  /* bytes claimed and not written behind the last extent */
  size_t next_run;
};

/* ---- failures in words ----------------------------------------------------- */

static void amount(char out[32], uint64_t bytes) {
  if (bytes >= UINT64_C(10) << 30) (void)snprintf(out, 32, "%" PRIu64 " GB", bytes >> 30);
  else if (bytes >= UINT64_C(10) << 20) (void)snprintf(out, 32, "%" PRIu64 " MB", bytes >> 20);
  else (void)snprintf(out, 32, "%" PRIu64 " KB", bytes >> 10);
}

static hato_status limit_reached(const hato__spool *sp, hato_error *err) {
  char limit[32];
  amount(limit, (uint64_t)sp->blocks.limit * SPOOL_BLOCK);
  return hato__fail(err, HATO_NO_SPACE, "the spool %s is full: its limit is %s; forget results that are not needed", sp->path,
                    limit);
}

static hato_status write_failed(const hato__spool *sp, hato_error *err) {
  if (errno != ENOSPC && errno != EDQUOT) return hato__fail_errno(err, "cannot write the spool %s", sp->path);
  int why = errno;
  struct statvfs fs;
  char left[32] = "nothing";
  if (statvfs(sp->dir, &fs) == 0) amount(left, (uint64_t)fs.f_bavail * fs.f_frsize);
  return hato__fail(err, HATO_NO_SPACE, "the spool %s cannot grow: %s in %s, %s free", sp->path,
                    why == EDQUOT ? "the quota is used up" : "the disk is full", sp->dir, left);
}

/* ---- the file --------------------------------------------------------------- */

static int write_at(int fd, const void *data, size_t n, uint64_t at) {
  const uint8_t *from = data;
  while (n > 0) {
    ssize_t w = pwrite(fd, from, n, (off_t)at);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) return -1;
    from += w;
    at += (uint64_t)w;
    n -= (size_t)w;
  }
  return 0;
}

static hato_status read_at(const hato__spool *sp, void *out, size_t n, uint64_t at, hato_error *err) {
  uint8_t *to = out;
  while (n > 0) {
    ssize_t r = pread(sp->fd, to, n, (off_t)at);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return hato__fail_errno(err, "cannot read the spool %s", sp->path);
    if (r == 0) return hato__fail(err, HATO_INTERNAL, "the spool %s was cut at byte %" PRIu64, sp->path, at);
    to += r;
    at += (uint64_t)r;
    n -= (size_t)r;
  }
  return HATO_OK;
}

/* Takes a block's place on the disk. */
static int take_place(const hato__spool *sp, size_t block) {
  off_t at = (off_t)block * SPOOL_BLOCK;
  int rc;
  do rc = fallocate(sp->fd, 0, at, SPOOL_BLOCK);
  while (rc < 0 && errno == EINTR);
  if (rc == 0 || (errno != EOPNOTSUPP && errno != ENOSYS)) return rc;
  static const uint8_t zeros[SPOOL_BLOCK];
  return write_at(sp->fd, zeros, sizeof zeros, (uint64_t)at);
}

/* Gives free blocks back to the disk. Where holes cannot be made they wait for
 * their next use. Called under the lock: a hole must not come after the next
 * owner's bytes. */
static void give_back(void *arg, size_t first, size_t n) {
  hato__spool *sp = arg;
  spool_blocks *b = &sp->blocks;
  if (first + n == b->n) {
    b->n = first;
    while (b->n > 0 && b->live[b->n - 1] == 0) b->n--;
    if (b->hint >= b->n) b->hint = 0;
    if (ftruncate(sp->fd, (off_t)b->n * SPOOL_BLOCK) == 0) return;
  }
  (void)fallocate(sp->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)first * SPOOL_BLOCK,
                  (off_t)n * SPOOL_BLOCK);
}

hato_status hato__spool_open(const char *dir, const char *name, uint64_t limit, hato__spool **out, hato_error *err) {
  *out = NULL;
  hato__error_clear(err);
  hato__spool *sp = calloc(1, sizeof *sp);
  if (sp == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for a spool in %s", dir);
  (void)pthread_mutex_init(&sp->lock, NULL);
  sp->fd = -1;
  uint64_t blocks = limit / SPOOL_BLOCK;
  sp->blocks.limit = blocks == 0 ? 1 : blocks > SIZE_MAX / 4 ? SIZE_MAX / 4 : (size_t)blocks;
  sp->dir = strdup(dir);
  sp->path = hato__printf("%s/%s.spool", dir, name);
  hato_status rc = HATO_OK;
  if (sp->dir == NULL || sp->path == NULL) {
    rc = hato__fail(err, HATO_NO_MEMORY, "no memory for a spool in %s", dir);
  } else {
    (void)unlink(sp->path); /* a dead dispatcher's */
    sp->fd = open(sp->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (sp->fd < 0) rc = hato__fail_errno(err, "cannot make the spool %s", sp->path);
  }
  if (rc != HATO_OK) hato__spool_close(sp);
  else *out = sp;
  return rc;
}

void hato__spool_close(hato__spool *sp) {
  if (sp == NULL) return;
  int saved = errno;
  if (sp->fd >= 0) {
    (void)unlink(sp->path);
    close(sp->fd);
  }
  blocks_free(&sp->blocks);
  (void)pthread_mutex_destroy(&sp->lock);
  free(sp->path);
  free(sp->dir);
  free(sp);
  errno = saved;
}

/* ---- small entries ------------------------------------------------------------ */

static hato_status pack_flush(hato__spool *sp, hato_error *err) {
  if (!sp->packing) return HATO_OK;
  if (write_at(sp->fd, sp->pack, sp->pack_fill, (uint64_t)sp->pack_block * SPOOL_BLOCK) < 0) {
    return write_failed(sp, err);
  }
  sp->packing = false;
  blocks_release(&sp->blocks, sp->pack_block, 1, give_back, sp);
  return HATO_OK;
}

/* Claims a block for packing and its place on the disk; at: this one, if it is
 * free. The caller makes it the current one. */
static hato_status pack_claim(hato__spool *sp, size_t *block, hato_error *err) {
  bool no_memory;
  if (sp->packing && blocks_claim_at(&sp->blocks, sp->pack_block + 1)) {
    *block = sp->pack_block + 1;
  } else if (blocks_claim(&sp->blocks, 1, block, &no_memory) == 0) {
    return no_memory ? hato__fail(err, HATO_NO_MEMORY, "no memory for the spool %s", sp->path)
                     : limit_reached(sp, err);
  }
  if (take_place(sp, *block) == 0) return HATO_OK;
  hato_status rc = write_failed(sp, err);
  blocks_release(&sp->blocks, *block, 1, give_back, sp);
  return rc;
}

static void pack_use(hato__spool *sp, size_t block) {
  sp->packing = true;
  sp->pack_block = block;
  sp->pack_fill = 0;
}

static void pack_append(hato__spool *sp, const uint8_t *data, size_t n) {
  memcpy(sp->pack + sp->pack_fill, data, n);
  sp->pack_fill += n;
}

/* Under the lock. An entry lies in one block or in two neighbours. */
static hato_status pack_entry(hato__spool *sp, const uint8_t *data, size_t n, uint64_t *at, hato_error *err) {
  size_t left = sp->packing ? SPOOL_BLOCK - sp->pack_fill : 0;
  size_t next = 0;
  if (n <= left) {
    *at = (uint64_t)sp->pack_block * SPOOL_BLOCK + sp->pack_fill;
    pack_append(sp, data, n);
  } else {
    hato_status rc = pack_claim(sp, &next, err);
    if (rc != HATO_OK) return rc;
    bool spans = sp->packing && next == sp->pack_block + 1;
    size_t head = spans ? left : 0, fill = sp->pack_fill;
    if (head > 0) pack_append(sp, data, head);
    *at = (uint64_t)next * SPOOL_BLOCK - head;
    /* The counts before the flush: its release must not free the block. */
    blocks_add(&sp->blocks, *at, n);
    rc = pack_flush(sp, err);
    if (rc != HATO_OK) {
      blocks_drop(&sp->blocks, *at, n, give_back, sp);
      sp->pack_fill = fill;
      blocks_release(&sp->blocks, next, 1, give_back, sp);
      return rc;
    }
    pack_use(sp, next);
    pack_append(sp, data + head, n - head);
    return HATO_OK;
  }
  blocks_add(&sp->blocks, *at, n);
  return HATO_OK;
}

hato_status hato__spool_put(hato__spool *sp, const void *data, size_t n, hato__spool_ref *ref, hato_error *err) {
  *ref = (hato__spool_ref){0};
  hato__error_clear(err);
  if (n == 0) return HATO_OK;
  if (n > SMALL) {
    hato__spool_entry *e;
    hato_status rc = hato__spool_begin(sp, &e, err);
    if (rc == HATO_OK) rc = hato__spool_write(e, data, n, err);
    else return rc;
    if (rc == HATO_OK) return hato__spool_end(e, ref, err);
    hato__spool_abort(e);
    return rc;
  }
  pthread_mutex_lock(&sp->lock);
  hato_status rc = pack_entry(sp, data, n, &ref->at, err);
  pthread_mutex_unlock(&sp->lock);
  if (rc == HATO_OK) ref->len = n;
  else ref->at = 0;
  return rc;
}

/* ---- entries -------------------------------------------------------------------- */

hato_status hato__spool_begin(hato__spool *sp, hato__spool_entry **entry, hato_error *err) {
  hato__error_clear(err);
  *entry = calloc(1, sizeof **entry);
  if (*entry == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for an entry of the spool %s", sp->path);
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
  if (need / SPOOL_BLOCK + 1 > want) want = need / SPOOL_BLOCK + 1 > LONGEST_RUN ? LONGEST_RUN : need / SPOOL_BLOCK + 1;
  bool lacks_memory;
  pthread_mutex_lock(&sp->lock);
  size_t got = blocks_claim(&sp->blocks, want, &first, &lacks_memory);
  hato_status rc = HATO_OK;
  if (got == 0) rc = lacks_memory ? no_memory(e, err) : limit_reached(sp, err);
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
    if (to > from) blocks_release(&sp->blocks, from, to - from, give_back, sp);
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
    if (write_at(e->sp->fd, data, part, last->at + last->len) < 0) return write_failed(e->sp, err);
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
    c->len = e->len;
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
    blocks_add(&sp->blocks, x->at, x->len);
    size_t from = (size_t)(x->at / SPOOL_BLOCK);
    blocks_release(&sp->blocks, from, (size_t)(end / SPOOL_BLOCK) - from, give_back, sp);
  }
  pthread_mutex_unlock(&sp->lock);
  e->n = 0; /* no longer the entry's */
  return HATO_OK;
}

hato_status hato__spool_end(hato__spool_entry *e, hato__spool_ref *ref, hato_error *err) {
  *ref = (hato__spool_ref){0};
  hato__error_clear(err);
  hato_status rc = e->n > 0 ? make_chain(e, ref, err) : hato__spool_put(e->sp, e->small, (size_t)e->len, ref, err);
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

/* ---- reading and freeing ---------------------------------------------------------- */

static hato_status read_chain(const hato__spool *sp, const extent *x, size_t n, uint64_t offset, uint8_t *out,
                              size_t want, hato_error *err) {
  for (; n > 0 && want > 0; x++, n--) {
    if (offset >= x->len) {
      offset -= x->len;
      continue;
    }
    size_t part = x->len - offset < want ? (size_t)(x->len - offset) : want;
    hato_status rc = read_at(sp, out, part, x->at + offset, err);
    if (rc != HATO_OK) return rc;
    out += part;
    want -= part;
    offset = 0;
  }
  return HATO_OK;
}

/* Bytes at an offset of the file, of which some may still be in the pack. */
static hato_status read_packed(hato__spool *sp, uint64_t at, uint8_t *out, size_t n, hato_error *err) {
  pthread_mutex_lock(&sp->lock);
  uint64_t from = (uint64_t)sp->pack_block * SPOOL_BLOCK;
  size_t on_disk = n;
  if (sp->packing && at < from + SPOOL_BLOCK && at + n > from) {
    on_disk = at < from ? (size_t)(from - at) : 0;
    memcpy(out + on_disk, sp->pack + (at + on_disk - from), n - on_disk);
  }
  pthread_mutex_unlock(&sp->lock);
  return on_disk > 0 ? read_at(sp, out, on_disk, at, err) : HATO_OK;
}

/* How much of n there is from offset. */
static size_t available(uint64_t len, uint64_t offset, size_t n) {
  if (offset >= len) return 0;
  return len - offset < n ? (size_t)(len - offset) : n;
}

hato_status hato__spool_peek(hato__spool_entry *e, uint64_t offset, void *out, size_t n, size_t *got, hato_error *err) {
  hato__error_clear(err);
  n = available(e->len, offset, n);
  hato_status rc = HATO_OK;
  if (e->n > 0) rc = read_chain(e->sp, e->extents, e->n, offset, out, n, err);
  else if (n > 0) memcpy(out, e->small + offset, n);
  *got = rc == HATO_OK ? n : 0;
  return rc;
}

hato_status hato__spool_read(hato__spool *sp, hato__spool_ref ref, uint64_t offset, void *out, size_t n, size_t *got,
                             hato_error *err) {
  hato__error_clear(err);
  n = available(ref.len, offset, n);
  hato_status rc = HATO_OK;
  if (n > 0 && (ref.at & CHAINED)) {
    const chain *c = (const chain *)(uintptr_t)(ref.at & ~CHAINED);
    rc = read_chain(sp, c->extents, c->n, offset, out, n, err);
  } else if (n > 0) {
    rc = read_packed(sp, ref.at + offset, out, n, err);
  }
  *got = rc == HATO_OK ? n : 0;
  return rc;
}

void hato__spool_free(hato__spool *sp, hato__spool_ref *ref) {
  if (ref->len > 0) {
    extent one = {.at = ref->at, .len = ref->len};
    chain *c = ref->at & CHAINED ? (chain *)(uintptr_t)(ref->at & ~CHAINED) : NULL;
    const extent *x = c ? c->extents : &one;
    size_t n = c ? c->n : 1;
    pthread_mutex_lock(&sp->lock);
    for (size_t i = 0; i < n; i++) blocks_drop(&sp->blocks, x[i].at, x[i].len, give_back, sp);
    pthread_mutex_unlock(&sp->lock);
    free(c);
  }
  *ref = (hato__spool_ref){0};
}

uint64_t hato__spool_used(hato__spool *sp) {
  pthread_mutex_lock(&sp->lock);
  uint64_t used = (uint64_t)sp->blocks.used * SPOOL_BLOCK;
  pthread_mutex_unlock(&sp->lock);
  return used;
}

uint64_t hato__spool_limit(hato__spool *sp) { return (uint64_t)sp->blocks.limit * SPOOL_BLOCK; }

bool hato__spool_has_room(hato__spool *sp, uint64_t n) {
  pthread_mutex_lock(&sp->lock);
  uint64_t left = (uint64_t)(sp->blocks.limit - sp->blocks.used) * SPOOL_BLOCK;
  if (sp->packing) left += SPOOL_BLOCK - sp->pack_fill;
  pthread_mutex_unlock(&sp->lock);
  return n <= left;
}

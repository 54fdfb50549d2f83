#include "session/spool.h"
#include "base/error.h"
#include "base/str.h"
#include "session/spool_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* ---- failures in words ----------------------------------------------------- */

static void amount(char out[32], uint64_t bytes) {
  if (bytes >= UINT64_C(10) << 30)
    (void)snprintf(out, 32, "%" PRIu64 " GB", bytes >> 30);
  else if (bytes >= UINT64_C(10) << 20)
    (void)snprintf(out, 32, "%" PRIu64 " MB", bytes >> 20);
  else
    (void)snprintf(out, 32, "%" PRIu64 " KB", bytes >> 10);
}

hato_status session_spool_limit_reached(const hato__spool *sp, hato_error *err) {
  char limit[32];
  amount(limit, (uint64_t)sp->blocks.limit * SPOOL_BLOCK);
  return hato__fail(err, HATO_NO_SPACE,
                    "the spool %s is full: its limit is %s (hato up --spool-limit); `hato forget` gives room back", sp->path,
                    limit);
}

hato_status session_spool_write_failed(const hato__spool *sp, hato_error *err) {
  if (errno != ENOSPC && errno != EDQUOT) return hato__fail_errno(err, "cannot write the spool %s", sp->path);
  int why = errno;
  struct statvfs fs;
  char left[32] = "nothing";
  if (statvfs(sp->dir, &fs) == 0) amount(left, (uint64_t)fs.f_bavail * fs.f_frsize);
  return hato__fail(err, HATO_NO_SPACE, "the spool %s cannot grow: %s in %s, %s free", sp->path,
                    why == EDQUOT ? "the quota is used up" : "the disk is full", sp->dir, left);
}

/* ---- the file --------------------------------------------------------------- */

int session_spool_write_at(const hato__spool *sp, const void *data, size_t n, uint64_t at) {
  const uint8_t *from = data;
  while (n > 0) {
    ssize_t w = pwrite(sp->fd, from, n, (off_t)at);
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
  return session_spool_write_at(sp, zeros, sizeof zeros, (uint64_t)at);
}

/* A hole where the cache is dirty costs a write of what is about to be nothing,
 * milliseconds each, so blocks are used again first; holes are made in long runs
 * and once the idle ones are many. The file's end costs nothing to cut. */
#define IDLE_MANY 4096u /* blocks: 64 MB */
#define RUN_LEAST 64u
#define RUN_MOST 1024u

void session_spool_freed(void *arg, size_t first, size_t n) {
  hato__spool *sp = arg;
  spool_blocks *b = &sp->blocks;
  sp->idle += n;
  if (first + n != b->n) return;
  size_t tail = session_blocks_free_tail(b);
  if (tail < RUN_LEAST && tail < b->n) return;
  if (ftruncate(sp->fd, (off_t)(b->n - tail) * SPOOL_BLOCK) < 0) return;
  b->n -= tail;
  if (b->hint >= b->n) b->hint = 0;
  sp->idle -= tail < sp->idle ? tail : sp->idle;
}

void session_spool_sweep(hato__spool *sp) {
  spool_blocks *b = &sp->blocks;
  pthread_mutex_lock(&sp->lock);
  if (sp->idle > b->n - b->used) sp->idle = b->n - b->used; /* some are in use again */
  bool many = sp->idle >= IDLE_MANY && sp->idle >= b->used / 4;
  if (!many || sp->sweeping) {
    pthread_mutex_unlock(&sp->lock);
    return;
  }
  sp->sweeping = true;
  b->sweep = 0;
  size_t first, n;
  while ((n = session_blocks_withhold(b, RUN_LEAST, RUN_MOST, &first)) > 0) {
    pthread_mutex_unlock(&sp->lock);
    /* Where holes cannot be made, blocks wait for their next use. */
    (void)fallocate(sp->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)first * SPOOL_BLOCK,
                    (off_t)n * SPOOL_BLOCK);
    pthread_mutex_lock(&sp->lock);
    session_blocks_restore(b, first, n);
  }
  sp->idle = 0;
  sp->sweeping = false;
  pthread_mutex_unlock(&sp->lock);
}

hato_status hato__spool_open(const char *dir, const char *name, uint64_t limit, hato__spool **out,
                             hato_error *err) {
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
  if (rc != HATO_OK)
    hato__spool_close(sp);
  else
    *out = sp;
  return rc;
}

void hato__spool_close(hato__spool *sp) {
  if (sp == NULL) return;
  int saved = errno;
  if (sp->fd >= 0) {
    (void)unlink(sp->path);
    close(sp->fd);
  }
  session_blocks_free(&sp->blocks);
  (void)pthread_mutex_destroy(&sp->lock);
  free(sp->path);
  free(sp->dir);
  free(sp);
  errno = saved;
}

/* ---- small entries ------------------------------------------------------------ */

static hato_status pack_flush(hato__spool *sp, hato_error *err) {
  if (!sp->packing) return HATO_OK;
  if (session_spool_write_at(sp, sp->pack, sp->pack_fill, (uint64_t)sp->pack_block * SPOOL_BLOCK) < 0) {
    return session_spool_write_failed(sp, err);
  }
  sp->packing = false;
  session_blocks_release(&sp->blocks, sp->pack_block, 1, session_spool_freed, sp);
  return HATO_OK;
}

/* Claims a block for packing and its place on the disk; at: this one, if it is
 * free. The caller makes it the current one. */
static hato_status pack_claim(hato__spool *sp, size_t *block, hato_error *err) {
  bool no_memory;
  if (sp->packing && session_blocks_claim_at(&sp->blocks, sp->pack_block + 1)) {
    *block = sp->pack_block + 1;
  } else if (session_blocks_claim(&sp->blocks, 1, block, &no_memory) == 0) {
    return no_memory ? hato__fail(err, HATO_NO_MEMORY, "no memory for the spool %s", sp->path)
                     : session_spool_limit_reached(sp, err);
  }
  if (take_place(sp, *block) == 0) return HATO_OK;
  hato_status rc = session_spool_write_failed(sp, err);
  session_blocks_release(&sp->blocks, *block, 1, session_spool_freed, sp);
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
    session_blocks_add(&sp->blocks, *at, n);
    rc = pack_flush(sp, err);
    if (rc != HATO_OK) {
      session_blocks_drop(&sp->blocks, *at, n, session_spool_freed, sp);
      sp->pack_fill = fill;
      session_blocks_release(&sp->blocks, next, 1, session_spool_freed, sp);
      return rc;
    }
    pack_use(sp, next);
    pack_append(sp, data + head, n - head);
    return HATO_OK;
  }
  session_blocks_add(&sp->blocks, *at, n);
  return HATO_OK;
}

hato_status hato__spool_put(hato__spool *sp, const void *data, size_t n, hato__spool_ref *ref,
                            hato_error *err) {
  *ref = (hato__spool_ref){0};
  hato__error_clear(err);
  if (n == 0) return HATO_OK;
  if (n > SMALL) {
    hato__spool_entry *e;
    hato_status rc = hato__spool_begin(sp, &e, err);
    if (rc == HATO_OK)
      rc = hato__spool_write(e, data, n, err);
    else
      return rc;
    if (rc == HATO_OK) return hato__spool_end(e, ref, err);
    hato__spool_abort(e);
    return rc;
  }
  pthread_mutex_lock(&sp->lock);
  hato_status rc = pack_entry(sp, data, n, &ref->at, err);
  pthread_mutex_unlock(&sp->lock);
  if (rc == HATO_OK)
    ref->len = n;
  else
    ref->at = 0;
  return rc;
}

/* ---- reading and freeing ---------------------------------------------------------- */

hato_status session_spool_read_extents(const hato__spool *sp, const extent *x, size_t n, uint64_t offset,
                                uint8_t *out, size_t want, hato_error *err) {
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
size_t session_spool_available(uint64_t len, uint64_t offset, size_t n) {
  if (offset >= len) return 0;
  return len - offset < n ? (size_t)(len - offset) : n;
}

hato_status hato__spool_read(hato__spool *sp, hato__spool_ref ref, uint64_t offset, void *out, size_t n,
                             size_t *got, hato_error *err) {
  hato__error_clear(err);
  n = session_spool_available(ref.len, offset, n);
  hato_status rc = HATO_OK;
  if (n > 0 && (ref.at & CHAINED)) {
    const chain *c = (const chain *)(uintptr_t)(ref.at & ~CHAINED);
    rc = session_spool_read_extents(sp, c->extents, c->n, offset, out, n, err);
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
    for (size_t i = 0; i < n; i++) session_blocks_drop(&sp->blocks, x[i].at, x[i].len, session_spool_freed, sp);
    bool many = sp->idle >= IDLE_MANY;
    pthread_mutex_unlock(&sp->lock);
    free(c);
    if (many) session_spool_sweep(sp);
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

#include "base/blob.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define DEFAULT_THRESHOLD (UINT64_C(128) << 20)
#define ROOM_PAST (UINT64_C(4) << 20)
#define ROOM_MOST (UINT64_C(1) << 40)
#define LARGE_PAGE (UINT64_C(2) << 20)

struct hato__blob {
  const char *dir;
  size_t threshold;
  hato__buf mem;  /* all bytes, while room is NULL and fd is -1 */
  uint8_t *room;  /* all bytes, when they are more than a few and fd is -1 */
  size_t room_len;
  int fd;
  uint64_t size;
  void *map;
  size_t map_len;
};

hato__blob *hato__blob_create(const char *dir, size_t threshold) {
  hato__blob *b = calloc(1, sizeof *b);
  if (b == NULL) return NULL;
  b->dir = dir;
  b->threshold = threshold ? threshold : (size_t)DEFAULT_THRESHOLD;
  b->fd = -1;
  return b;
}

/* Addresses for all that may come, of which memory is taken as it is written, in large pages where the kernel
 * has some: a buffer that doubles is moved again and again, and its pages fault anew. Where addresses are
 * short (ulimit -v) the buffer does. */
static void take_room(hato__blob *b) {
  if (b->threshold > ROOM_MOST) return;
  size_t len = (b->threshold + LARGE_PAGE) & ~(size_t)(LARGE_PAGE - 1);
  size_t more = len + LARGE_PAGE;
  uint8_t *at = mmap(NULL, more, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return;
  size_t before = -(uintptr_t)at & (LARGE_PAGE - 1);
  if (before > 0) (void)munmap(at, before);
  if (more - before > len) (void)munmap(at + before + len, more - before - len);
  b->room = at + before;
  b->room_len = len;
  (void)madvise(b->room, len, MADV_HUGEPAGE);
  if (b->size > 0) memcpy(b->room, b->mem.data, b->size);
  hato__buf_free(&b->mem);
}

static void give_room(hato__blob *b) {
  if (b->room != NULL) (void)munmap(b->room, b->room_len);
  b->room = NULL;
  b->room_len = 0;
}

static uint8_t *bytes_of(hato__blob *b) { return b->room != NULL ? b->room : b->mem.data; }

static void unmap(hato__blob *b) {
  if (b->map != NULL) (void)munmap(b->map, b->map_len);
  b->map = NULL;
  b->map_len = 0;
}

void hato__blob_destroy(hato__blob *b) {
  if (b == NULL) return;
  int saved = errno;
  unmap(b);
  if (b->fd >= 0) close(b->fd);
  hato__buf_free(&b->mem);
  give_room(b);
  free(b);
  errno = saved;
}

static const char *blob_dir(const hato__blob *b) {
  if (b->dir != NULL) return b->dir;
  const char *t = getenv("TMPDIR");
  return t != NULL && *t != 0 ? t : "/tmp";
}

static int open_unlinked(const char *dir) {
  int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC | O_EXCL, 0600);
  if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT)) return fd;
  char *path = hato__printf("%s/hato-blob-XXXXXX", dir);
  if (path == NULL) {
    errno = ENOMEM;
    return -1;
  }
  fd = mkostemp(path, O_CLOEXEC);
  int saved = errno;
  if (fd >= 0) (void)unlink(path);
  free(path);
  errno = saved;
  return fd;
}

static hato_status to_file(hato__blob *b, hato_error *err) {
  const char *dir = blob_dir(b);
  int fd = open_unlinked(dir);
  if (fd < 0) return hato__fail_errno(err, "cannot make a file for a large payload in %s", dir);
  if (hato__write_all(fd, bytes_of(b), b->size) < 0) {
    hato_status rc = hato__fail_errno(err, "cannot write a payload of %llu bytes in %s",
                                      (unsigned long long)b->size, dir);
    close(fd);
    return rc;
  }
  b->fd = fd;
  hato__buf_free(&b->mem);
  give_room(b);
  return HATO_OK;
}

hato_status hato__blob_expect(hato__blob *b, uint64_t size, hato_error *err) {
  hato__error_clear(err);
  if (size <= b->size) return HATO_OK;
  if (size <= b->threshold) {
    if (b->fd < 0 && b->room == NULL && size >= ROOM_PAST) take_room(b);
    if (b->fd >= 0 || b->room != NULL || hato__buf_reserve(&b->mem, (size_t)(size - b->size))) return HATO_OK;
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a payload of %llu bytes", (unsigned long long)size);
  }
  if (b->fd < 0) {
    hato_status rc = to_file(b, err);
    if (rc != HATO_OK) return rc;
  }
  /* A full disk is better known now than after gigabytes were sent. It is not taken before they come: who says a size
   * may be lying. */
  struct statvfs disk;
  if (fstatvfs(b->fd, &disk) == 0 && (size - b->size) / disk.f_frsize > disk.f_bavail)
    return hato__fail(err, HATO_NO_SPACE, "no room for a payload of %llu bytes in %s", (unsigned long long)size, blob_dir(b));
  return HATO_OK;
}

hato_status hato__blob_append(hato__blob *b, const void *data, size_t n, hato_error *err) {
  hato__error_clear(err);
  if (n == 0) return HATO_OK;
  if (b->fd < 0 && b->size + n > b->threshold) {
    hato_status rc = to_file(b, err);
    if (rc != HATO_OK) return rc;
  }
  if (b->fd < 0 && b->room == NULL && b->size + n >= ROOM_PAST && b->mem.cap - b->size < n) take_room(b);
  if (b->room != NULL) {
    memcpy(b->room + b->size, data, n);
  } else if (b->fd < 0) {
    hato__buf_append(&b->mem, data, n);
    if (b->mem.failed) {
      b->mem.failed = false; /* what was there before is whole */
      return hato__fail(err, HATO_NO_MEMORY, "no memory for a payload of %llu bytes",
                        (unsigned long long)b->size + n);
    }
  } else {
    unmap(b);
    if (hato__write_all(b->fd, data, n) < 0) {
      hato_status rc = hato__fail_errno(err, "cannot write byte %llu of a payload in %s",
                                        (unsigned long long)b->size, blob_dir(b));
      (void)lseek(b->fd, (off_t)b->size, SEEK_SET);
      return rc;
    }
  }
  b->size += n;
  return HATO_OK;
}

uint8_t *hato__blob_room(hato__blob *b, size_t n) {
  if (b->room == NULL || n > b->threshold - b->size) return NULL;
  return b->room + b->size;
}

void hato__blob_filled(hato__blob *b, size_t n) { b->size += n; }

hato_status hato__blob_patch(hato__blob *b, uint64_t at, const void *data, size_t n, hato_error *err) {
  hato__error_clear(err);
  if (at > b->size || n > b->size - at)
    return hato__fail(err, HATO_INVALID, "bytes %llu to %llu of a payload of %llu", (unsigned long long)at,
                      (unsigned long long)(at + n), (unsigned long long)b->size);
  if (b->fd < 0) {
    if (n > 0) memcpy(bytes_of(b) + at, data, n);
    return HATO_OK;
  }
  for (const uint8_t *from = data; n > 0;) {
    ssize_t w = pwrite(b->fd, from, n, (off_t)at);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return hato__fail_errno(err, "cannot write byte %llu of a payload in %s", (unsigned long long)at, blob_dir(b));
    from += w;
    at += (uint64_t)w;
    n -= (size_t)w;
  }
  return HATO_OK;
}

uint64_t hato__blob_size(const hato__blob *b) { return b->size; }

const uint8_t *hato__blob_data(hato__blob *b, hato_error *err) {
  static const uint8_t empty[1];
  hato__error_clear(err);
  if (b->size == 0) return empty;
  if (b->fd < 0) return bytes_of(b);
  if (b->map != NULL) return b->map;
  void *map = mmap(NULL, (size_t)b->size, PROT_READ, MAP_SHARED, b->fd, 0);
  if (map == MAP_FAILED) {
    (void)hato__fail_errno(err, "cannot map a payload of %llu bytes", (unsigned long long)b->size);
    return NULL;
  }
  b->map = map;
  b->map_len = (size_t)b->size;
  return map;
}

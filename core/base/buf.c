#include "base/buf.h"

#include "base/secret.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

void hato__buf_free(hato__buf *b) {
  if (b == NULL) return;
  if (b->secret)
    hato__secret_free(b->data, b->cap);
  else
    free(b->data);
  *b = (hato__buf){.secret = b->secret};
}

void hato__buf_clear(hato__buf *b) {
  if (b->secret && b->data != NULL) explicit_bzero(b->data, b->cap);
  b->len = 0;
  b->failed = false;
}

/* Large buffers take large pages where the kernel has some: a payload of 100 MB would else fault 25,000
 * times, which costs as much as copying it. Only advice: failure changes nothing. */
static void advise(uint8_t *data, size_t cap) {
  enum { LARGE = 4 << 20, HUGE_PAGE = 2 << 20 };
  if (cap < LARGE) return;
  uintptr_t from = ((uintptr_t)data + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1);
  uintptr_t to = ((uintptr_t)data + cap) & ~(uintptr_t)(HUGE_PAGE - 1);
  if (to > from) (void)madvise((void *)from, to - from, MADV_HUGEPAGE);
}

/* realloc may leave a copy behind. */
static uint8_t *larger(hato__buf *b, size_t cap) {
  if (!b->secret) return realloc(b->data, cap);
  uint8_t *data = hato__secret_alloc(cap);
  if (data == NULL) return NULL;
  if (b->len > 0) memcpy(data, b->data, b->len);
  hato__secret_free(b->data, b->cap);
  return data;
}

bool hato__buf_reserve(hato__buf *b, size_t more) {
  const size_t least = b->secret ? 4096 : 64;
  if (b->failed) return false;
  if (b->data != NULL && b->cap - b->len >= more) return true;
  size_t cap = b->cap < least ? least : b->cap;
  size_t want;
  if (__builtin_add_overflow(b->len, more, &want)) {
    b->failed = true;
    return false;
  }
  while (cap < want) {
    if (cap > SIZE_MAX / 2)
      cap = want;
    else
      cap *= 2;
  }
  uint8_t *data = larger(b, cap);
  if (data == NULL) {
    b->failed = true;
    return false;
  }
  if (data != b->data || cap > b->cap) advise(data, cap);
  b->data = data;
  b->cap = cap;
  return true;
}

void hato__buf_consume(hato__buf *b, size_t n) {
  size_t before = b->len;
  if (n == 0) return;
  b->len -= n < b->len ? n : b->len;
  if (b->len > 0) memmove(b->data, b->data + n, b->len);
  if (b->secret && before > 0) explicit_bzero(b->data + b->len, before - b->len);
}

void hato__buf_printf(hato__buf *b, const char *fmt, ...) {
  if (!hato__buf_reserve(b, 64)) return;
  size_t room = b->cap - b->len;
  va_list ap;
  va_start(ap, fmt);
  int n = vsnprintf((char *)b->data + b->len, room, fmt, ap);
  va_end(ap);
  if (n < 0) {
    b->failed = true;
    return;
  }
  if ((size_t)n >= room) {
    if (!hato__buf_reserve(b, (size_t)n + 1)) return;
    va_start(ap, fmt);
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, ap);
    va_end(ap);
  }
  b->len += (size_t)n;
}

char *hato__buf_text(hato__buf *b) {
  if (!hato__buf_reserve(b, 1)) return NULL;
  b->data[b->len] = 0;
  return (char *)b->data;
}

const char *hato__read_str(hato__reader *r, uint32_t max, uint32_t *n) {
  uint32_t len = 0;
  const uint8_t *at = hato__read_bytes(r, &len);
  *n = 0;
  if (at == NULL) return NULL;
  if (len > max || memchr(at, 0, len) != NULL) {
    r->failed = true;
    return NULL;
  }
  *n = len;
  return (const char *)at;
}

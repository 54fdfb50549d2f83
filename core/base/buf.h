/* A growable byte buffer: appended at the end, consumed from the start. */
#ifndef HATO_BASE_BUF_H
#define HATO_BASE_BUF_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Zero-initialise. A failed allocation sets `failed` and later appends do
 * nothing, so that a sequence of appends is checked once at its end. */
typedef struct hato__buf {
  uint8_t *data;
  size_t len;
  size_t cap;
  bool failed;
  bool secret; /* set while it is empty: in secret memory (secret.h), and wiped of all that goes from it */
} hato__buf;

void hato__buf_free(hato__buf *b);                 /* back to the zero state, secret if it was */
void hato__buf_clear(hato__buf *b);                /* length 0, not failed, memory kept */
bool hato__buf_reserve(hato__buf *b, size_t more); /* room for more bytes; false: no memory */
void hato__buf_consume(hato__buf *b, size_t n);    /* drop n bytes from the start */
void hato__buf_printf(hato__buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Terminates with NUL (not counted in len) and returns the text, or NULL when an append failed. */
char *hato__buf_text(hato__buf *b);

/* Grows by n bytes and returns where they are (unset), or NULL. Inline, as are
 * the encoders: they run several times a task. */
static inline uint8_t *hato__buf_grow(hato__buf *b, size_t n) {
  if (b->failed) return NULL;
  if (b->cap - b->len < n || b->data == NULL) {
    if (!hato__buf_reserve(b, n)) return NULL;
  }
  uint8_t *at = b->data + b->len;
  b->len += n;
  return at;
}

static inline void hato__buf_append(hato__buf *b, const void *data, size_t n) {
  if (n == 0) return;
  uint8_t *at = hato__buf_grow(b, n);
  if (at) memcpy(at, data, n);
}

/* Little-endian integers and length-prefixed bytes (u32 length). */
static inline void hato__buf_u8(hato__buf *b, uint8_t v) { hato__buf_append(b, &v, sizeof v); }
static inline void hato__buf_u16(hato__buf *b, uint16_t v) {
  v = htole16(v);
  hato__buf_append(b, &v, sizeof v);
}
static inline void hato__buf_u32(hato__buf *b, uint32_t v) {
  v = htole32(v);
  hato__buf_append(b, &v, sizeof v);
}
static inline void hato__buf_u64(hato__buf *b, uint64_t v) {
  v = htole64(v);
  hato__buf_append(b, &v, sizeof v);
}
/* n above UINT32_MAX cannot be written and fails the buffer. */
static inline void hato__buf_bytes(hato__buf *b, const void *data, size_t n) {
  if (n > UINT32_MAX) {
    b->failed = true;
    return;
  }
  hato__buf_u32(b, (uint32_t)n);
  hato__buf_append(b, data, n);
}
static inline void hato__buf_str(hato__buf *b, const char *s) { /* NULL as "" */
  hato__buf_bytes(b, s, s ? strlen(s) : 0);
}

/* Reading the same. A read past the end sets `failed` and gives zero, so a
 * decoder reads all its fields and checks once. Never reads out of bounds. */
typedef struct hato__reader {
  const uint8_t *at;
  const uint8_t *end;
  bool failed;
} hato__reader;

static inline size_t hato__reader_left(const hato__reader *r) { return (size_t)(r->end - r->at); }

static inline hato__reader hato__reader_of(const void *data, size_t n) {
  static const uint8_t nothing[1];
  const uint8_t *at = data ? data : nothing;
  return (hato__reader){.at = at, .end = at + (data ? n : 0), .failed = data == NULL && n > 0};
}

/* n bytes, borrowed; NULL on failure. Of n = 0 a pointer that is not NULL. */
static inline const uint8_t *hato__read_raw(hato__reader *r, size_t n) {
  if (r->failed || hato__reader_left(r) < n) {
    r->failed = true;
    return NULL;
  }
  const uint8_t *at = r->at;
  r->at += n;
  return at;
}
static inline uint8_t hato__read_u8(hato__reader *r) {
  const uint8_t *at = hato__read_raw(r, 1);
  return at ? *at : 0;
}
static inline uint16_t hato__read_u16(hato__reader *r) {
  uint16_t v = 0;
  const uint8_t *at = hato__read_raw(r, sizeof v);
  if (at) memcpy(&v, at, sizeof v);
  return le16toh(v);
}
static inline uint32_t hato__read_u32(hato__reader *r) {
  uint32_t v = 0;
  const uint8_t *at = hato__read_raw(r, sizeof v);
  if (at) memcpy(&v, at, sizeof v);
  return le32toh(v);
}
static inline uint64_t hato__read_u64(hato__reader *r) {
  uint64_t v = 0;
  const uint8_t *at = hato__read_raw(r, sizeof v);
  if (at) memcpy(&v, at, sizeof v);
  return le64toh(v);
}
static inline const uint8_t *hato__read_bytes(hato__reader *r, uint32_t *n) { /* borrowed */
  uint32_t len = hato__read_u32(r);
  const uint8_t *at = hato__read_raw(r, len);
  *n = at ? len : 0;
  return at;
}
/* A string without NUL inside, at most max bytes, borrowed and not terminated. */
const char *hato__read_str(hato__reader *r, uint32_t max, uint32_t *n);

#endif

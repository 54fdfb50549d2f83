/*
 * What encoders and decoders of this layer share. Encoders take a whole message's
 * room at once and store into it; decoders read fields through a cursor that
 * remembers the first one that was wrong, so that a body is judged once, at its end.
 */
#ifndef HATO_PROTO_WIRE_H
#define HATO_PROTO_WIRE_H

#include "base/error.h"
#include "proto/frame.h"

static inline uint8_t *proto_put_u8(uint8_t *at, uint8_t v) {
  *at = v;
  return at + sizeof v;
}
static inline uint8_t *proto_put_u16(uint8_t *at, uint16_t v) {
  v = htole16(v);
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}
static inline uint8_t *proto_put_u32(uint8_t *at, uint32_t v) {
  v = htole32(v);
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}
static inline uint8_t *proto_put_u64(uint8_t *at, uint64_t v) {
  v = htole64(v);
  memcpy(at, &v, sizeof v);
  return at + sizeof v;
}
static inline uint8_t *proto_put_raw(uint8_t *at, const void *data, size_t n) {
  if (n > 0) memcpy(at, data, n);
  return at + n;
}
static inline uint8_t *proto_put_bytes(uint8_t *at, const void *data, uint32_t n) {
  return proto_put_raw(proto_put_u32(at, n), data, n);
}
static inline uint8_t *proto_put_zero(uint8_t *at, size_t n) {
  memset(at, 0, n);
  return at + n;
}

static inline uint16_t proto_load_u16(const uint8_t *at) {
  uint16_t v;
  memcpy(&v, at, sizeof v);
  return le16toh(v);
}
static inline uint32_t proto_load_u32(const uint8_t *at) {
  uint32_t v;
  memcpy(&v, at, sizeof v);
  return le32toh(v);
}
static inline uint64_t proto_load_u64(const uint8_t *at) {
  uint64_t v;
  memcpy(&v, at, sizeof v);
  return le64toh(v);
}

/* A frame's header and room for the whole body; the body, or NULL when out failed.
 * A body over PROTO_BODY_MAX fails out. */
static inline uint8_t *proto_frame(hato__buf *out, proto_type type, size_t body) {
  if (body > PROTO_BODY_MAX) {
    out->failed = true;
    return NULL;
  }
  uint8_t *at = hato__buf_grow(out, PROTO_HEADER + body);
  if (at == NULL) return NULL;
  at[0] = 'H';
  at[1] = 'T';
  at[2] = PROTO_VERSION;
  at[3] = (uint8_t)type;
  return proto_put_u32(at + 4, (uint32_t)body);
}

/* Length of words as they are sent: at most max bytes, never half a UTF-8 character. */
uint32_t proto_words_fit(const char *words, size_t len, uint32_t max);

typedef struct proto_cursor {
  const uint8_t *at, *end;
  const char *message; /* its name, for words */
  const char *field;   /* of the first failure; NULL: none so far */
  const char *why;
} proto_cursor;

static inline proto_cursor proto_cursor_of(const char *message, const uint8_t *body, size_t n) {
  static const uint8_t nothing[1];
  const uint8_t *at = body ? body : nothing;
  return (proto_cursor){.at = at, .end = body ? body + n : at, .message = message};
}

/* Notes a failure unless one is noted. */
static inline void proto_wrong(proto_cursor *c, const char *field, const char *why) {
  if (c->field != NULL) return;
  c->field = field;
  c->why = why;
}

static inline size_t proto_left(const proto_cursor *c) { return (size_t)(c->end - c->at); }

static inline const uint8_t *proto_get_raw(proto_cursor *c, size_t n, const char *field) {
  if (c->field != NULL) return NULL;
  if (proto_left(c) < n) {
    proto_wrong(c, field, "cut short");
    return NULL;
  }
  const uint8_t *at = c->at;
  c->at += n;
  return at;
}
static inline uint8_t proto_get_u8(proto_cursor *c, const char *field) {
  const uint8_t *at = proto_get_raw(c, 1, field);
  return at ? *at : 0;
}
static inline uint16_t proto_get_u16(proto_cursor *c, const char *field) {
  const uint8_t *at = proto_get_raw(c, 2, field);
  return at ? proto_load_u16(at) : 0;
}
static inline uint32_t proto_get_u32(proto_cursor *c, const char *field) {
  const uint8_t *at = proto_get_raw(c, 4, field);
  return at ? proto_load_u32(at) : 0;
}
static inline uint64_t proto_get_u64(proto_cursor *c, const char *field) {
  const uint8_t *at = proto_get_raw(c, 8, field);
  return at ? proto_load_u64(at) : 0;
}

void proto_get_zero(proto_cursor *c, size_t n); /* n reserved bytes */
bool proto_get_bool(proto_cursor *c, const char *field);
void proto_get_copy(proto_cursor *c, void *out, size_t n, const char *field);
const uint8_t *proto_get_bytes(proto_cursor *c, uint32_t max, uint32_t *n, const char *field);
const char *proto_get_str(proto_cursor *c, uint32_t max, uint32_t *n, const char *field);
/* All the bytes that are left. */
const uint8_t *proto_get_rest(proto_cursor *c, uint32_t *n);
/* The end: PROTOCOL with words for what failed, or for bytes that are left. */
hato_status proto_finish(const proto_cursor *c, hato_error *err);

/* start + i * step for i in [0, count) stays within an i64. */
static inline bool proto_counted_ok(int64_t start, int64_t step, uint64_t count) {
  if (count == 0 || count - 1 > INT64_MAX) return false;
  int64_t last;
  return !__builtin_mul_overflow((int64_t)(count - 1), step, &last) &&
         !__builtin_add_overflow(start, last, &last);
}

#endif

#include "proto/frame.h"

#include "proto/wire.h"

const char *proto_type_name(int type) {
  switch (type) {
#define PROTO_X(name, number) \
  case number:                \
    return #name;
    PROTO_TYPE_LIST(PROTO_X)
#undef PROTO_X
  default:
    return "unknown message";
  }
}

hato_status proto_header_decode(proto_header *h, const uint8_t bytes[PROTO_HEADER], hato_error *err) {
  *h = (proto_header){0};
  if (bytes[0] != 'H' || bytes[1] != 'T')
    return hato__fail(err, HATO_PROTOCOL,
                      "not hato's protocol: a frame begins with 0x%02x 0x%02x, want 'H' 'T'", bytes[0],
                      bytes[1]);
  *h = (proto_header){.version = bytes[2], .type = bytes[3], .len = proto_load_u32(bytes + 4)};
  if (h->len > PROTO_BODY_MAX)
    return hato__fail(err, HATO_PROTOCOL, "%s: a body of %u bytes, at most %u are allowed",
                      proto_type_name(h->type), h->len, PROTO_BODY_MAX);
  if (h->version != PROTO_VERSION)
    return hato__fail(err, HATO_PROTOCOL, "the peer speaks protocol version %u, this hato version %u",
                      h->version, (unsigned)PROTO_VERSION);
  return HATO_OK;
}

size_t proto_begin(hato__buf *out, proto_type type) {
  size_t begun = out->len;
  (void)proto_frame(out, type, 0);
  return begun;
}

void proto_end(hato__buf *out, size_t begun) {
  if (out->failed) return;
  size_t body = out->len - begun - PROTO_HEADER;
  if (body > PROTO_BODY_MAX) {
    out->failed = true;
    return;
  }
  (void)proto_put_u32(out->data + begun + 4, (uint32_t)body);
}

uint32_t proto_words_fit(const char *words, size_t len, uint32_t max) {
  if (len <= max) return (uint32_t)len;
  uint32_t n = max;
  while (n > 0 && ((uint8_t)words[n] & 0xc0) == 0x80) n--;
  return n;
}

void proto_get_zero(proto_cursor *c, size_t n) {
  const uint8_t *at = proto_get_raw(c, n, "reserved");
  if (at == NULL) return;
  for (size_t i = 0; i < n; i++)
    if (at[i] != 0) proto_wrong(c, "reserved", "not zero");
}

bool proto_get_bool(proto_cursor *c, const char *field) {
  uint8_t v = proto_get_u8(c, field);
  if (v > 1) proto_wrong(c, field, "neither 0 nor 1");
  return v == 1;
}

void proto_get_copy(proto_cursor *c, void *out, size_t n, const char *field) {
  const uint8_t *at = proto_get_raw(c, n, field);
  if (at != NULL) memcpy(out, at, n);
}

const uint8_t *proto_get_bytes(proto_cursor *c, uint32_t max, uint32_t *n, const char *field) {
  *n = 0;
  uint32_t len = proto_get_u32(c, field);
  if (len > max) proto_wrong(c, field, "too long");
  const uint8_t *at = proto_get_raw(c, len, field);
  if (at != NULL) *n = len;
  return at;
}

const char *proto_get_str(proto_cursor *c, uint32_t max, uint32_t *n, const char *field) {
  const uint8_t *at = proto_get_bytes(c, max, n, field);
  if (at != NULL && *n > 0 && memchr(at, 0, *n) != NULL) {
    proto_wrong(c, field, "holds a NUL");
    *n = 0;
    return NULL;
  }
  return (const char *)at;
}

const uint8_t *proto_get_rest(proto_cursor *c, uint32_t *n) {
  *n = 0;
  size_t left = proto_left(c);
  if (left > PROTO_BODY_MAX) {
    proto_wrong(c, "body", "too long");
    return NULL;
  }
  const uint8_t *at = proto_get_raw(c, left, "data");
  if (at != NULL) *n = (uint32_t)left;
  return at;
}

hato_status proto_finish(const proto_cursor *c, hato_error *err) {
  if (c->field != NULL) return hato__fail(err, HATO_PROTOCOL, "%s: %s: %s", c->message, c->field, c->why);
  if (c->at != c->end)
    return hato__fail(err, HATO_PROTOCOL, "%s: %zu bytes too many", c->message, proto_left(c));
  return HATO_OK;
}

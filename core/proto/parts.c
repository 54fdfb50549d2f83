/* Things sent in parts to whoever will need them: specifications and shared objects. */
#include "proto/message.h"
#include "proto/wire.h"

#define SPEC_HEAD 12u
#define OBJECT_HEAD 48u

void proto_spec_send(hato__buf *out, uint32_t number, const void *spec, uint32_t len) {
  if (len == 0 || len > PROTO_SPEC_MAX) {
    out->failed = true;
    return;
  }
  const uint8_t *bytes = spec;
  for (uint32_t offset = 0; offset < len;) {
    uint32_t part = len - offset;
    if (part > PROTO_BODY_MAX - SPEC_HEAD) part = PROTO_BODY_MAX - SPEC_HEAD;
    uint8_t *at = proto_frame(out, PROTO_SPEC, SPEC_HEAD + part);
    if (at == NULL) return;
    at = proto_put_u32(at, number);
    at = proto_put_u32(at, len);
    at = proto_put_u32(at, offset);
    (void)proto_put_raw(at, bytes + offset, part);
    offset += part;
  }
}

/* A part of a whole: something, and within it. */
static void check_part(proto_cursor *c, uint64_t total, uint64_t max, uint64_t offset, uint32_t len) {
  if (total == 0 || total > max) proto_wrong(c, "total", "zero or too large");
  if (offset > total)
    proto_wrong(c, "offset", "past the total");
  else if (len == 0 || len > total - offset)
    proto_wrong(c, "data", "empty or past the total");
}

hato_status proto_spec_part_decode(proto_part *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_part){0};
  proto_cursor c = proto_cursor_of("SPEC", body, n);
  m->number = proto_get_u32(&c, "number");
  m->total = proto_get_u32(&c, "total");
  m->offset = proto_get_u32(&c, "offset");
  m->data = proto_get_rest(&c, &m->len);
  check_part(&c, m->total, PROTO_SPEC_MAX, m->offset, m->len);
  return proto_finish(&c, err);
}

void proto_spec_drop_encode(hato__buf *out, uint32_t number) {
  uint8_t *at = proto_frame(out, PROTO_SPEC_DROP, 4);
  if (at != NULL) (void)proto_put_u32(at, number);
}

hato_status proto_spec_drop_decode(uint32_t *number, const uint8_t *body, size_t n, hato_error *err) {
  proto_cursor c = proto_cursor_of("SPEC_DROP", body, n);
  *number = proto_get_u32(&c, "number");
  return proto_finish(&c, err);
}

void proto_object_encode(hato__buf *out, const proto_object *m) {
  uint8_t *at = proto_frame(out, PROTO_OBJECT, (size_t)OBJECT_HEAD + m->len);
  if (at == NULL) return;
  at = proto_put_raw(at, m->hash, sizeof m->hash);
  at = proto_put_u64(at, m->total);
  at = proto_put_u64(at, m->offset);
  (void)proto_put_raw(at, m->data, m->len);
}

hato_status proto_object_decode(proto_object *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_object){0};
  proto_cursor c = proto_cursor_of("OBJECT", body, n);
  proto_get_copy(&c, m->hash, sizeof m->hash, "hash");
  m->total = proto_get_u64(&c, "total");
  m->offset = proto_get_u64(&c, "offset");
  m->data = proto_get_rest(&c, &m->len);
  check_part(&c, m->total, PROTO_OBJECT_MAX, m->offset, m->len);
  return proto_finish(&c, err);
}

/* Requests and their answers, in JSON. */
#include "proto/message.h"
#include "proto/wire.h"

#define REPLY_HEAD 8u

void proto_control_encode(hato__buf *out, uint32_t token, const char *json, size_t n) {
  uint8_t *at = n <= PROTO_BODY_MAX ? proto_frame(out, PROTO_CONTROL, 4 + n) : NULL;
  if (at == NULL) {
    out->failed = true;
    return;
  }
  at = proto_put_u32(at, token);
  (void)proto_put_raw(at, json, n);
}

hato_status proto_control_decode(proto_text *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_text){0};
  proto_cursor c = proto_cursor_of("CONTROL", body, n);
  m->token = proto_get_u32(&c, "token");
  m->text = (const char *)proto_get_rest(&c, &m->len);
  return proto_finish(&c, err);
}

/* How much of a text goes in one part: all, or as many whole lines as fit; 0: not one line. */
static size_t part_of(const char *text, size_t n) {
  size_t room = PROTO_BODY_MAX - REPLY_HEAD;
  if (n <= room) return n;
  const char *line_end = memrchr(text, '\n', room);
  return line_end ? (size_t)(line_end - text) + 1 : 0;
}

void proto_reply_encode(hato__buf *out, uint32_t token, bool last, const char *text, size_t n) {
  do {
    size_t part = part_of(text, n);
    uint8_t *at = part > 0 || n == 0 ? proto_frame(out, PROTO_REPLY, REPLY_HEAD + part) : NULL;
    if (at == NULL) {
      out->failed = true;
      return;
    }
    at = proto_put_u32(at, token);
    at = proto_put_u32(at, last && part == n); /* and three zeros */
    (void)proto_put_raw(at, text, part);
    if (part > 0) text += part;
    n -= part;
  } while (n > 0);
}

hato_status proto_reply_decode(proto_text *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_text){0};
  proto_cursor c = proto_cursor_of("REPLY", body, n);
  m->token = proto_get_u32(&c, "token");
  m->last = proto_get_bool(&c, "last");
  proto_get_zero(&c, 3);
  m->text = (const char *)proto_get_rest(&c, &m->len);
  return proto_finish(&c, err);
}

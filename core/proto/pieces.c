/* Large payloads: pieces, and the credit they are sent under. */
#include "proto/message.h"
#include "proto/wire.h"

static uint8_t *put_head(uint8_t *at, const proto_piece *m) {
  at = proto_put_u64(at, m->task);
  at = proto_put_u32(at, m->attempt);
  at = proto_put_u8(at, m->channel);
  at = proto_put_u8(at, m->last);
  return proto_put_u16(at, m->status);
}

void proto_piece_encode(hato__buf *out, const proto_piece *m) {
  uint8_t *at = proto_frame(out, PROTO_PIECE, (size_t)(PROTO_PIECE_HEAD - PROTO_HEADER) + m->len);
  if (at != NULL) (void)proto_put_raw(put_head(at, m), m->data, m->len);
}

void proto_piece_head_encode(hato__buf *out, const proto_piece *m) {
  if (m->len > PROTO_PIECE_DATA) {
    out->failed = true;
    return;
  }
  uint8_t *at = proto_frame(out, PROTO_PIECE, PROTO_PIECE_HEAD - PROTO_HEADER);
  if (at == NULL) return;
  (void)put_head(at, m);
  (void)proto_put_u32(at - 4, PROTO_PIECE_HEAD - PROTO_HEADER + m->len); /* the data follow by reference */
}

static uint8_t get_channel(proto_cursor *c) {
  uint8_t channel = proto_get_u8(c, "channel");
  if (channel > PROTO_CH_ERR) proto_wrong(c, "channel", "unknown");
  return channel;
}

hato_status proto_piece_decode(proto_piece *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_piece){0};
  proto_cursor c = proto_cursor_of("PIECE", body, n);
  m->task = proto_get_u64(&c, "task");
  m->attempt = proto_get_u32(&c, "attempt");
  m->channel = get_channel(&c);
  m->last = proto_get_bool(&c, "last");
  m->status = proto_get_u16(&c, "status");
  if (m->status != 0 && !m->last) proto_wrong(&c, "status", "given up, but not the last");
  m->data = proto_get_rest(&c, &m->len);
  if (m->len > PROTO_PIECE_DATA) proto_wrong(&c, "data", "too long");
  return proto_finish(&c, err);
}

void proto_credit_encode(hato__buf *out, const proto_credit *m) {
  uint8_t *at = proto_frame(out, PROTO_CREDIT, 24);
  if (at == NULL) return;
  at = proto_put_u64(at, m->task);
  at = proto_put_u32(at, m->attempt);
  at = proto_put_u32(at, m->channel); /* and three zeros */
  (void)proto_put_u64(at, m->bytes);
}

hato_status proto_credit_decode(proto_credit *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_credit){0};
  proto_cursor c = proto_cursor_of("CREDIT", body, n);
  m->task = proto_get_u64(&c, "task");
  m->attempt = proto_get_u32(&c, "attempt");
  m->channel = get_channel(&c);
  proto_get_zero(&c, 3);
  m->bytes = proto_get_u64(&c, "bytes");
  /* A cap, so that whoever sums credit does not overflow. */
  if (m->bytes > PROTO_PAYLOAD_MAX) proto_wrong(&c, "bytes", "too many");
  return proto_finish(&c, err);
}

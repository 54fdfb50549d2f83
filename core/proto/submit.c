/* Submitting, the answers to it, cancelling and fetching. */
#include "proto/message.h"
#include "proto/wire.h"

#define ARGS_HEAD 12u

void proto_submit_encode(hato__buf *out, const proto_submit *m) {
  uint8_t *at = proto_frame(out, PROTO_SUBMIT, 40);
  if (at == NULL) return;
  at = proto_put_u64(at, m->seq);
  at = proto_put_u32(at, m->spec);
  at = proto_put_u8(at, m->args);
  at = proto_put_u8(at, m->flags);
  at = proto_put_u16(at, 0);
  at = proto_put_u64(at, m->count);
  at = proto_put_u64(at, (uint64_t)m->start);
  (void)proto_put_u64(at, (uint64_t)m->step);
}

hato_status proto_submit_decode(proto_submit *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_submit){0};
  proto_cursor c = proto_cursor_of("SUBMIT", body, n);
  m->seq = proto_get_u64(&c, "seq");
  m->spec = proto_get_u32(&c, "spec");
  m->args = proto_get_u8(&c, "args");
  if (m->args > PROTO_ARGS_COUNTED) proto_wrong(&c, "args", "unknown kind");
  m->flags = proto_get_u8(&c, "flags");
  if ((m->flags & ~PROTO_SUBMIT_DETACHED) != 0) proto_wrong(&c, "flags", "unknown");
  proto_get_zero(&c, 2);
  m->count = proto_get_u64(&c, "count");
  if (m->count == 0 || m->count > PROTO_TASKS_MAX) proto_wrong(&c, "count", "zero or too large");
  m->start = (int64_t)proto_get_u64(&c, "start");
  m->step = (int64_t)proto_get_u64(&c, "step");
  if (m->args == PROTO_ARGS_COUNTED && !proto_counted_ok(m->start, m->step, m->count))
    proto_wrong(&c, "step", "counts past what an i64 holds");
  return proto_finish(&c, err);
}

hato_status proto_args_decode(proto_args *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_args){0};
  proto_cursor c = proto_cursor_of("ARGS", body, n);
  m->seq = proto_get_u64(&c, "seq");
  m->large = proto_get_bool(&c, "large");
  proto_get_zero(&c, 3);
  if (m->large) {
    m->total = proto_get_u64(&c, "total");
    return proto_finish(&c, err);
  }
  m->raw = proto_get_rest(&c, &m->raw_len);
  hato_status status = proto_finish(&c, err);
  if (status == HATO_OK) status = proto_block_decode(&m->block, m->raw, m->raw_len, err);
  if (status == HATO_OK && m->block.count == 0) status = hato__fail(err, HATO_PROTOCOL, "ARGS: count: zero");
  return status;
}

void proto_args_encode(hato__buf *out, uint64_t seq, const void *const *args, const size_t *lens,
                       size_t *from, size_t count) {
  size_t end = *from, size = ARGS_HEAD + 4;
  for (; end < count; end++) {
    if (lens[end] > PROTO_INLINE_ARG) {
      out->failed = true;
      return;
    }
    size_t with = size + 4 + lens[end];
    if (with > PROTO_BODY_MAX) break;
    size = with;
  }
  if (end == *from) return;
  uint8_t *at = proto_frame(out, PROTO_ARGS, size);
  if (at == NULL) return;
  at = proto_put_u64(at, seq);
  at = proto_put_u32(at, 0);
  at = proto_put_u32(at, (uint32_t)(end - *from));
  uint8_t *data = at + 4 * (end - *from);
  uint32_t sum = 0;
  for (size_t i = *from; i < end; i++) {
    sum += (uint32_t)lens[i];
    at = proto_put_u32(at, sum);
    data = proto_put_raw(data, args[i], lens[i]);
  }
  *from = end;
}

void proto_args_large_encode(hato__buf *out, uint64_t seq, uint64_t total) {
  uint8_t *at = proto_frame(out, PROTO_ARGS, ARGS_HEAD + 8);
  if (at == NULL) return;
  at = proto_put_u64(at, seq);
  at = proto_put_u32(at, 1); /* large, and three zeros */
  (void)proto_put_u64(at, total);
}

void proto_accepted_encode(hato__buf *out, const proto_accepted *m) {
  uint8_t *at = proto_frame(out, PROTO_ACCEPTED, 24);
  if (at == NULL) return;
  at = proto_put_u64(at, m->seq);
  at = proto_put_u64(at, m->first);
  (void)proto_put_u64(at, m->count);
}

hato_status proto_accepted_decode(proto_accepted *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_accepted){0};
  proto_cursor c = proto_cursor_of("ACCEPTED", body, n);
  m->seq = proto_get_u64(&c, "seq");
  m->first = proto_get_u64(&c, "first");
  m->count = proto_get_u64(&c, "count");
  if (m->count == 0 || m->count - 1 > UINT64_MAX - m->first)
    proto_wrong(&c, "count", "zero or past the last number");
  return proto_finish(&c, err);
}

void proto_rejected_encode(hato__buf *out, uint64_t seq, int status, const char *words) {
  uint32_t len = words ? proto_words_fit(words, strlen(words), PROTO_WORDS_MAX) : 0;
  uint8_t *at = proto_frame(out, PROTO_REJECTED, 14u + len);
  if (at == NULL) return;
  at = proto_put_u64(at, seq);
  at = proto_put_u16(at, (uint16_t)status);
  (void)proto_put_bytes(at, words, len);
}

hato_status proto_rejected_decode(proto_rejected *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_rejected){0};
  proto_cursor c = proto_cursor_of("REJECTED", body, n);
  m->seq = proto_get_u64(&c, "seq");
  m->why.status = proto_get_u16(&c, "status");
  m->why.words = proto_get_str(&c, PROTO_WORDS_MAX, &m->why.words_len, "words");
  return proto_finish(&c, err);
}

void proto_cancel_encode(hato__buf *out, const proto_cancel *m) {
  uint8_t *at = proto_frame(out, PROTO_CANCEL, 32);
  if (at == NULL) return;
  at = proto_put_u64(at, m->by_seq); /* the kind, and seven zeros */
  at = proto_put_u64(at, m->seq);
  at = proto_put_u64(at, m->first);
  (void)proto_put_u64(at, m->last);
}

hato_status proto_cancel_decode(proto_cancel *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_cancel){0};
  proto_cursor c = proto_cursor_of("CANCEL", body, n);
  m->by_seq = proto_get_bool(&c, "kind");
  proto_get_zero(&c, 7);
  m->seq = proto_get_u64(&c, "seq");
  m->first = proto_get_u64(&c, "first");
  m->last = proto_get_u64(&c, "last");
  if (m->last < m->first) proto_wrong(&c, "last", "before the first");
  return proto_finish(&c, err);
}

void proto_fetch_encode(hato__buf *out, uint64_t task) {
  uint8_t *at = proto_frame(out, PROTO_FETCH, 8);
  if (at != NULL) (void)proto_put_u64(at, task);
}

hato_status proto_fetch_decode(uint64_t *task, const uint8_t *body, size_t n, hato_error *err) {
  proto_cursor c = proto_cursor_of("FETCH", body, n);
  *task = proto_get_u64(&c, "task");
  return proto_finish(&c, err);
}

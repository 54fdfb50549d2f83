/* Assignments: tasks of one submission on their way to where they run. */
#include "proto/message.h"
#include "proto/wire.h"

#define ASSIGN_HEAD 52u

static uint8_t *put_head(uint8_t *at, const proto_assign *m, uint32_t done, uint32_t count) {
  at = proto_put_u32(at, m->spec);
  at = proto_put_u8(at, m->args);
  at = proto_put_u8(at, m->large);
  at = proto_put_u16(at, 0);
  at = proto_put_u64(at, m->first + done);
  at = proto_put_u32(at, m->index + done);
  at = proto_put_u32(at, m->attempt);
  at = proto_put_u32(at, count);
  at = proto_put_u64(at, (uint64_t)m->start);
  at = proto_put_u64(at, (uint64_t)m->step);
  return proto_put_u64(at, m->total);
}

void proto_assign_encode(hato__buf *out, const proto_assign *m, uint32_t from) {
  if (m->args != PROTO_ARGS_EXPLICIT || m->large) {
    uint8_t *at = proto_frame(out, PROTO_ASSIGN, ASSIGN_HEAD);
    if (at != NULL) (void)put_head(at, m, 0, m->count);
    return;
  }
  for (uint32_t done = 0; done < m->count;) {
    uint32_t fit = proto_block_fit(&m->block, from + done, m->count - done, PROTO_BODY_MAX - ASSIGN_HEAD);
    if (fit == 0) { /* more tasks than the block has arguments */
      out->failed = true;
      return;
    }
    size_t begun = out->len;
    uint8_t *at = proto_frame(out, PROTO_ASSIGN, ASSIGN_HEAD);
    if (at == NULL) return;
    (void)put_head(at, m, done, fit);
    proto_block_append(out, &m->block, from + done, fit);
    proto_end(out, begun);
    done += fit;
  }
}

hato_status proto_assign_decode(proto_assign *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_assign){0};
  proto_cursor c = proto_cursor_of("ASSIGN", body, n);
  m->spec = proto_get_u32(&c, "spec");
  m->args = proto_get_u8(&c, "args");
  if (m->args > PROTO_ARGS_COUNTED) proto_wrong(&c, "args", "unknown kind");
  m->large = proto_get_bool(&c, "large");
  proto_get_zero(&c, 2);
  m->first = proto_get_u64(&c, "first");
  m->index = proto_get_u32(&c, "index");
  m->attempt = proto_get_u32(&c, "attempt");
  m->count = proto_get_u32(&c, "count");
  if (m->count == 0 || m->count - 1 > UINT64_MAX - m->first || m->count - 1 > UINT32_MAX - m->index)
    proto_wrong(&c, "count", "zero or past the last number");
  m->start = (int64_t)proto_get_u64(&c, "start");
  m->step = (int64_t)proto_get_u64(&c, "step");
  if (m->args == PROTO_ARGS_COUNTED && !proto_counted_ok(m->start, m->step, m->count))
    proto_wrong(&c, "step", "counts past what an i64 holds");
  m->total = proto_get_u64(&c, "total");
  if (m->large && (m->args != PROTO_ARGS_EXPLICIT || m->count != 1))
    proto_wrong(&c, "large", "not one explicit argument");
  if (m->args != PROTO_ARGS_EXPLICIT || m->large || c.field != NULL) return proto_finish(&c, err);
  hato_status status = proto_block_decode(&m->block, c.at, proto_left(&c), err);
  if (status == HATO_OK && m->block.count != m->count)
    status = hato__fail(err, HATO_PROTOCOL, "ASSIGN: count: %u tasks, %u arguments", m->count,
                        m->block.count);
  return status;
}

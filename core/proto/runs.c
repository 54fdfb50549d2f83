/* Lists of task ranges, and the two requests a daemon answers with them. */
#include "proto/message.h"
#include "proto/wire.h"

void proto_runs_encode(hato__buf *out, proto_type type, const proto_run *runs, uint32_t n) {
  if (n > PROTO_RUNS_MAX) {
    out->failed = true;
    return;
  }
  uint8_t *at = proto_frame(out, type, 4 + (size_t)n * PROTO_RUN_SIZE);
  if (at == NULL) return;
  at = proto_put_u32(at, n);
  for (uint32_t i = 0; i < n; i++) {
    at = proto_put_u64(at, runs[i].first);
    at = proto_put_u32(at, runs[i].count);
    at = proto_put_u32(at, runs[i].attempt);
    at = proto_put_u16(at, runs[i].value);
    at = proto_put_u16(at, 0);
  }
}

hato_status proto_runs_decode(proto_runs *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_runs){0};
  proto_cursor c = proto_cursor_of("list of tasks", body, n);
  uint32_t count = proto_get_u32(&c, "count");
  if (count > PROTO_RUNS_MAX) proto_wrong(&c, "count", "too large");
  const uint8_t *raw = proto_get_raw(&c, (size_t)count * PROTO_RUN_SIZE, "runs");
  for (uint32_t i = 0; raw != NULL && i < count; i++) {
    const uint8_t *at = raw + (size_t)i * PROTO_RUN_SIZE;
    uint64_t first = proto_load_u64(at);
    uint32_t tasks = proto_load_u32(at + 8);
    if (tasks == 0 || tasks - 1 > UINT64_MAX - first)
      proto_wrong(&c, "count of a run", "zero or past the last number");
    if (at[18] != 0 || at[19] != 0) proto_wrong(&c, "reserved", "not zero");
  }
  hato_status status = proto_finish(&c, err);
  if (status == HATO_OK) *m = (proto_runs){.n = count, .raw = raw};
  return status;
}

proto_run proto_run_at(const proto_runs *m, uint32_t i) {
  const uint8_t *at = m->raw + (size_t)i * PROTO_RUN_SIZE;
  return (proto_run){.first = proto_load_u64(at),
                     .count = proto_load_u32(at + 8),
                     .attempt = proto_load_u32(at + 12),
                     .value = proto_load_u16(at + 16)};
}

void proto_take_encode(hato__buf *out, uint32_t count) {
  uint8_t *at = proto_frame(out, PROTO_TAKE, 4);
  if (at != NULL) (void)proto_put_u32(at, count);
}

hato_status proto_take_decode(uint32_t *count, const uint8_t *body, size_t n, hato_error *err) {
  proto_cursor c = proto_cursor_of("TAKE", body, n);
  *count = proto_get_u32(&c, "count");
  return proto_finish(&c, err);
}

void proto_drain_encode(hato__buf *out, bool now) {
  uint8_t *at = proto_frame(out, PROTO_DRAIN, 1);
  if (at != NULL) (void)proto_put_u8(at, now);
}

hato_status proto_drain_decode(bool *now, const uint8_t *body, size_t n, hato_error *err) {
  proto_cursor c = proto_cursor_of("DRAIN", body, n);
  *now = proto_get_bool(&c, "now");
  return proto_finish(&c, err);
}

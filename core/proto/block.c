/* Blocks of arguments. */
#include "proto/message.h"
#include "proto/wire.h"

static inline uint32_t end_of(const proto_block *b, uint32_t i) {
  return proto_load_u32(b->ends + 4 * (size_t)i);
}
static inline uint32_t start_of(const proto_block *b, uint32_t i) { return i == 0 ? 0 : end_of(b, i - 1); }

hato_status proto_block_decode(proto_block *b, const uint8_t *bytes, size_t n, hato_error *err) {
  *b = (proto_block){0};
  if (n < 4) return hato__fail(err, HATO_PROTOCOL, "block of arguments: count: cut short");
  if (n > UINT32_MAX) return hato__fail(err, HATO_PROTOCOL, "block of arguments: too long");
  uint32_t count = proto_load_u32(bytes);
  if (count > (n - 4) / 4)
    return hato__fail(err, HATO_PROTOCOL, "block of arguments: count: %u in %zu bytes", count, n);
  proto_block whole = {.count = count, .ends = bytes + 4, .data = bytes + 4 + 4 * (size_t)count};
  whole.len = (uint32_t)(n - 4 - 4 * (size_t)count);
  /* Unsigned: an end before the one before it is a length far too large. */
  uint32_t before = 0;
  bool bad = false;
  for (uint32_t i = 0; i < count; i++) {
    uint32_t end = end_of(&whole, i);
    bad |= end - before > PROTO_INLINE_ARG;
    before = end;
  }
  if (bad)
    return hato__fail(err, HATO_PROTOCOL,
                      "block of arguments: ends: descending, or an argument over %u bytes", PROTO_INLINE_ARG);
  if (before != whole.len)
    return hato__fail(err, HATO_PROTOCOL, "block of arguments: ends: the last is %u, of %u bytes of data",
                      before, whole.len);
  *b = whole;
  return HATO_OK;
}

const uint8_t *proto_block_arg(const proto_block *b, uint32_t i, uint32_t *len) {
  uint32_t start = start_of(b, i);
  *len = end_of(b, i) - start;
  return b->data + start;
}

void proto_block_append(hato__buf *out, const proto_block *b, uint32_t from, uint32_t count) {
  uint32_t base = count ? start_of(b, from) : 0;
  uint32_t bytes = count ? end_of(b, from + count - 1) - base : 0;
  uint8_t *at = hato__buf_grow(out, 4 + 4 * (size_t)count + bytes);
  if (at == NULL) return;
  at = proto_put_u32(at, count);
  for (uint32_t i = 0; i < count; i++) at = proto_put_u32(at, end_of(b, from + i) - base);
  (void)proto_put_raw(at, b->data + base, bytes);
}

uint32_t proto_block_fit(const proto_block *b, uint32_t from, uint32_t max, uint32_t room) {
  if (from >= b->count || room < 4) return 0;
  uint32_t high = b->count - from, low = 0; /* low fit; more than high do not, or are not there */
  if (high > max) high = max;
  if (high > (room - 4) / 4) high = (room - 4) / 4;
  uint32_t base = start_of(b, from);
  uint32_t try = high; /* all of them, mostly */
  while (low < high) {
    uint64_t size = 4 + 4 * (uint64_t)try + (end_of(b, from + try - 1) - base);
    if (size <= room)
      low = try;
    else
      high = try - 1;
    try = low + (high - low + 1) / 2;
  }
  return low;
}

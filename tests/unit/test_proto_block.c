/* Blocks of arguments, and the frames that carry them: ARGS and ASSIGN. */
#include "unit.h"
#include "unit/proto_any.h"

static void put_u32(uint8_t *at, uint32_t v) {
  v = htole32(v);
  memcpy(at, &v, 4);
}

static hato_status block_of(const uint32_t *words, size_t n_words, size_t data, hato_error *err) {
  uint8_t bytes[64] = {0};
  for (size_t i = 0; i < n_words; i++) put_u32(bytes + 4 * i, words[i]);
  proto_block b;
  return proto_block_decode(&b, bytes, 4 * n_words + data, err);
}

UNIT_TEST(ends_ascend_to_the_length) {
  hato_error err = {0};
  ck_assert_int_eq(block_of((uint32_t[]){0}, 1, 0, &err), HATO_OK);
  ck_assert_int_eq(block_of((uint32_t[]){0}, 1, 1, &err), HATO_PROTOCOL);
  ck_assert_int_eq(block_of((uint32_t[]){2, 3, 3}, 3, 3, &err), HATO_OK);
  ck_assert_int_eq(block_of((uint32_t[]){2, 3, 2}, 3, 2, &err), HATO_PROTOCOL); /* descends */
  ck_assert_int_eq(block_of((uint32_t[]){2, 0xffffffff, 2}, 3, 2, &err), HATO_PROTOCOL);
  ck_assert_int_eq(block_of((uint32_t[]){2, 1, 4}, 3, 3, &err), HATO_PROTOCOL); /* past the data */
  ck_assert_int_eq(block_of((uint32_t[]){2, 1, 2}, 3, 3, &err), HATO_PROTOCOL); /* short of it */
  ck_assert_int_eq(block_of((uint32_t[]){3, 1, 2}, 3, 0, &err), HATO_PROTOCOL); /* more than the bytes */
  ck_assert_int_eq(block_of((uint32_t[]){0xffffffff, 1}, 2, 0, &err), HATO_PROTOCOL);
  ck_assert_int_eq(block_of((uint32_t[]){0x40000000, 0}, 2, 0, &err),
                   HATO_PROTOCOL); /* 4 x count wraps to 0 */
}

UNIT_TEST(an_argument_has_a_cap) {
  size_t n = 8 + PROTO_INLINE_ARG + 1;
  uint8_t *bytes = calloc(1, n);
  proto_block b;
  put_u32(bytes, 1);
  put_u32(bytes + 4, PROTO_INLINE_ARG);
  ck_assert_int_eq(proto_block_decode(&b, bytes, n - 1, NULL), HATO_OK);
  put_u32(bytes + 4, PROTO_INLINE_ARG + 1);
  ck_assert_int_eq(proto_block_decode(&b, bytes, n, NULL), HATO_PROTOCOL);
  free(bytes);
}

/* Arguments of lengths 0..40, repeated; the i-th filled with the byte i. */
static uint32_t length_of(size_t i) { return (uint32_t)(i * 7 % 41); }
static hato__buf args_frame(uint64_t seq, size_t *from, size_t count) {
  const void **args = calloc(count, sizeof *args);
  size_t *lens = calloc(count, sizeof *lens);
  for (size_t i = 0; i < count; i++) {
    uint8_t *arg = malloc(41);
    memset(arg, (int)(uint8_t)i, 41);
    args[i] = arg;
    lens[i] = length_of(i);
  }
  hato__buf f = {0};
  proto_args_encode(&f, seq, args, lens, from, count);
  for (size_t i = 0; i < count; i++) free((void *)args[i]);
  free(args);
  free(lens);
  return f;
}
/* Each assertion of Check's writes to a pipe: one for all bytes. */
static void check_args(const proto_block *b, size_t first) {
  uint32_t wrong = 0;
  for (uint32_t i = 0; i < b->count; i++) {
    uint32_t len;
    const uint8_t *arg = proto_block_arg(b, i, &len);
    wrong += len != length_of(first + i);
    for (uint32_t k = 0; k < len; k++) wrong += arg[k] != (uint8_t)(first + i);
  }
  ck_assert_uint_eq(wrong, 0);
}

UNIT_TEST(args_fill_frames_in_order) {
  size_t from = 0, count = 30000, frames = 0;
  while (from < count) {
    size_t first = from;
    hato__buf f = args_frame(8, &from, count);
    ck_assert(!f.failed && f.len <= PROTO_HEADER + PROTO_BODY_MAX);
    ck_assert_uint_gt(from, first);
    if (from < count) ck_assert_uint_gt(f.len, PROTO_BODY_MAX - 64); /* as many as fit */
    proto_args m;
    ck_assert_int_eq(proto_args_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, NULL), HATO_OK);
    ck_assert(m.seq == 8 && !m.large && m.block.count == from - first);
    check_args(&m.block, first);
    hato__buf_free(&f);
    frames++;
  }
  ck_assert_uint_gt(frames, 1);
  hato__buf f = args_frame(8, &from, count); /* nothing left: nothing written */
  ck_assert_uint_eq(f.len, 0);
  hato__buf_free(&f);
}

UNIT_TEST(args_refuse_what_goes_in_pieces) {
  hato__buf f = {0};
  const void *args[] = {""};
  size_t lens[] = {PROTO_INLINE_ARG + 1}, from = 0;
  proto_args_encode(&f, 1, args, lens, &from, 1);
  ck_assert(f.failed);
  ck_assert_uint_eq(from, 0);
  proto_args m;
  hato__buf_clear(&f);
  proto_args_large_encode(&f, 3, UINT64_MAX);
  ck_assert_int_eq(proto_args_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, NULL), HATO_OK);
  ck_assert(m.large && m.total == UINT64_MAX && m.seq == 3);
  /* No argument at all. */
  const uint8_t none[16] = {0};
  ck_assert_int_eq(proto_args_decode(&m, none, sizeof none, NULL), HATO_PROTOCOL);
  hato__buf_free(&f);
}

/* fit is what append needs, for every start, maximum and room. */
UNIT_TEST(fit_is_exact) {
  size_t from = 0;
  hato__buf f = args_frame(1, &from, 60);
  proto_args m;
  ck_assert_int_eq(proto_args_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, NULL), HATO_OK);
  for (uint32_t start = 0; start < 60; start++) {
    for (uint32_t max = 0; max <= 61; max += 7) {
      uint32_t wrong = 0; /* counted: each assertion of Check's writes to a pipe */
      for (uint32_t room = 0; room < 1600; room += 3) {
        uint32_t fit = proto_block_fit(&m.block, start, max, room), want = 0;
        size_t size = 4;
        for (uint32_t i = start; i < 60 && want < max; i++, want++) {
          size += 4 + length_of(i);
          if (size > room) break;
        }
        wrong += fit != want;
      }
      ck_assert_uint_eq(wrong, 0);
    }
  }
  ck_assert_uint_eq(proto_block_fit(&m.block, 60, 5, 1000), 0);
  ck_assert_uint_eq(proto_block_fit(&m.block, UINT32_MAX, 5, 1000), 0);
  hato__buf_free(&f);
}

UNIT_TEST(append_takes_a_stretch) {
  size_t from = 0;
  hato__buf f = args_frame(1, &from, 60);
  proto_args m;
  ck_assert_int_eq(proto_args_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, NULL), HATO_OK);
  for (uint32_t start = 0; start < 60; start++) {
    for (uint32_t count = 0; count <= 60 - start; count++) {
      hato__buf out = {0};
      proto_block b;
      proto_block_append(&out, &m.block, start, count);
      ck_assert_int_eq(proto_block_decode(&b, out.data, out.len, NULL), HATO_OK);
      ck_assert_uint_eq(b.count, count);
      check_args(&b, start);
      hato__buf_free(&out);
    }
  }
  hato__buf_free(&f);
}

UNIT_TEST(assigns_of_many_frames) {
  /* Four arguments of the largest size do not share a frame with a fifth. */
  enum { COUNT = 11 };
  size_t n = 4 + 4 * COUNT + (size_t)COUNT * PROTO_INLINE_ARG;
  uint8_t *bytes = malloc(n);
  put_u32(bytes, COUNT);
  for (uint32_t i = 0; i < COUNT; i++) {
    put_u32(bytes + 4 + 4 * i, (i + 1) * PROTO_INLINE_ARG);
    memset(bytes + 4 + 4 * COUNT + i * PROTO_INLINE_ARG, (int)i, PROTO_INLINE_ARG);
  }
  proto_assign m,
      a = {.spec = 3, .args = PROTO_ARGS_EXPLICIT, .first = 100, .index = 50, .attempt = 2, .count = 9};
  ck_assert_int_eq(proto_block_decode(&a.block, bytes, n, NULL), HATO_OK);
  hato__buf f = {0};
  proto_assign_encode(&f, &a, 2);
  ck_assert(!f.failed);
  uint32_t done = 0, frames = 0;
  for (size_t at = 0; at < f.len; frames++) {
    proto_header h;
    ck_assert_int_eq(proto_header_decode(&h, f.data + at, NULL), HATO_OK);
    ck_assert_int_eq(proto_assign_decode(&m, f.data + at + PROTO_HEADER, h.len, NULL), HATO_OK);
    ck_assert(m.spec == 3 && m.attempt == 2 && m.first == 100 + done && m.index == 50 + done);
    ck_assert_uint_eq(m.block.count, m.count);
    for (uint32_t i = 0; i < m.count; i++) {
      uint32_t len;
      ck_assert_uint_eq(proto_block_arg(&m.block, i, &len)[0], 2 + done + i);
      ck_assert_uint_eq(len, PROTO_INLINE_ARG);
    }
    done += m.count;
    at += PROTO_HEADER + h.len;
  }
  ck_assert_uint_eq(done, 9);
  ck_assert_uint_eq(frames, 3);
  a.count = 10; /* more than the block has from 2 on */
  proto_assign_encode(&f, &a, 2);
  ck_assert(f.failed);
  hato__buf_free(&f);
  free(bytes);
}

static hato_status assign_again(proto_assign a) {
  hato__buf f = {0};
  proto_assign m;
  proto_assign_encode(&f, &a, 0);
  ck_assert(!f.failed);
  hato_status status = proto_assign_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, NULL);
  if (status == HATO_OK)
    ck_assert(m.count == a.count && m.start == a.start && m.step == a.step && m.total == a.total &&
              m.large == a.large);
  hato__buf_free(&f);
  return status;
}

UNIT_TEST(assigns_without_a_block) {
  ck_assert_int_eq(assign_again((proto_assign){.args = PROTO_ARGS_NONE, .count = 1000, .attempt = 1}),
                   HATO_OK);
  ck_assert_int_eq(assign_again((proto_assign){.args = PROTO_ARGS_NONE, .count = 0}), HATO_PROTOCOL);
  proto_assign counted = {.args = PROTO_ARGS_COUNTED, .count = 3, .start = -1, .step = 5};
  ck_assert_int_eq(assign_again(counted), HATO_OK);
  counted.step = INT64_MAX;
  ck_assert_int_eq(assign_again(counted), HATO_PROTOCOL);
  proto_assign large = {.args = PROTO_ARGS_EXPLICIT, .large = true, .count = 1, .total = 5};
  ck_assert_int_eq(assign_again(large), HATO_OK);
  large.count = 2;
  ck_assert_int_eq(assign_again(large), HATO_PROTOCOL);
  large = (proto_assign){.args = PROTO_ARGS_NONE, .large = true, .count = 1};
  ck_assert_int_eq(assign_again(large), HATO_PROTOCOL);
  proto_assign end = {.count = 2, .first = UINT64_MAX - 1, .index = UINT32_MAX - 1};
  ck_assert_int_eq(assign_again(end), HATO_OK);
  end.count = 3;
  ck_assert_int_eq(assign_again(end), HATO_PROTOCOL);
  end = (proto_assign){.count = 3, .index = UINT32_MAX - 1};
  ck_assert_int_eq(assign_again(end), HATO_PROTOCOL);
}

UNIT_TEST(an_assign_has_as_many_arguments_as_tasks) {
  hato__buf f = {0};
  sample_assign(&f);
  proto_assign m;
  hato_error err = {0};
  f.data[PROTO_HEADER + 24] = 2; /* tasks; the block has 3 */
  ck_assert_int_eq(proto_assign_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, &err), HATO_PROTOCOL);
  ck_assert_ptr_nonnull(strstr(err.text, "2 tasks, 3 arguments"));
  hato__buf_free(&f);
}

UNIT_MAIN("proto_block")

/* Results: records of every shape, alone and many a frame, forwarded as they came. */
#include "unit.h"
#include "unit/proto_any.h"

static uint8_t stream[PROTO_INLINE_OUT];

static proto_result record(uint64_t task, uint16_t flags, uint32_t out, uint32_t err, uint32_t words) {
  static char text[PROTO_RESULT_WORDS_MAX];
  memset(text, 'w', sizeof text);
  memset(stream, 's', sizeof stream);
  bool usage = flags & PROTO_RESULT_USAGE;
  return (proto_result){.task = task,
                        .attempt = 3,
                        .error = words ? HATO_NOT_FOUND : 0,
                        .flags = flags,
                        .wall_ns = 123456789,
                        .wait_status = usage ? 0x8b : 0,
                        .user_us = usage ? 1 : 0,
                        .system_us = usage ? 2 : 0,
                        .peak_kib = usage ? 3 : 0,
                        .out_total = (flags & PROTO_RESULT_OUT_MORE) ? UINT64_C(1) << 33 : out,
                        .err_total = (flags & PROTO_RESULT_ERR_MORE) ? UINT64_C(1) << 32 : err,
                        .out = stream,
                        .out_len = out,
                        .err = stream,
                        .err_len = err,
                        .words = text,
                        .words_len = words};
}
static void check_same(const proto_result *a, const proto_result *b) {
  ck_assert(a->task == b->task && a->attempt == b->attempt && a->error == b->error && a->flags == b->flags);
  ck_assert(a->wall_ns == b->wall_ns && a->wait_status == b->wait_status && a->user_us == b->user_us);
  ck_assert(a->system_us == b->system_us && a->peak_kib == b->peak_kib && a->out_total == b->out_total);
  ck_assert(a->err_total == b->err_total && a->out_len == b->out_len && a->err_len == b->err_len);
  ck_assert(a->words_len == b->words_len && memcmp(a->words, b->words, a->words_len) == 0);
  ck_assert(memcmp(a->out, b->out, a->out_len) == 0 && memcmp(a->err, b->err, a->err_len) == 0);
}

UNIT_TEST(records_of_every_shape) {
  const uint32_t lens[] = {0, 1, PROTO_INLINE_OUT};
  for (unsigned i = 0; i < 8 * 27; i++) {
    proto_result m, r = record(i, (uint16_t)(i % 8), lens[i / 8 % 3], lens[i / 24 % 3], i / 72 * 256);
    hato__buf b = {0};
    proto_result_encode(&b, &r);
    ck_assert(!b.failed);
    ck_assert_uint_eq(b.len, proto_result_size(&r));
    ck_assert_uint_le(b.len, PROTO_RESULT_ROOM);
    ck_assert_int_eq(proto_result_decode(&m, b.data, b.len, NULL), HATO_OK);
    check_same(&m, &r);
    ck_assert_ptr_eq(m.raw, b.data);
    ck_assert_uint_eq(m.raw_len, b.len);
    hato__buf_u8(&b, 0);
    ck_assert_int_eq(proto_result_decode(&m, b.data, b.len, NULL), HATO_PROTOCOL);
    hato__buf_free(&b);
  }
}

UNIT_TEST(a_record_cut_anywhere) {
  proto_result m, r = record(9, 7, 5, 6, 7);
  hato__buf b = {0};
  proto_result_encode(&b, &r);
  for (size_t n = 0; n < b.len; n++) {
    uint8_t *copy = malloc(n +
                           1); /* of its size for sanitizers, less the byte that malloc(0) need not give */
    memcpy(copy, b.data, n);
    hato_error err = {0};
    ck_assert_int_eq(proto_result_decode(&m, copy, n, &err), HATO_PROTOCOL);
    ck_assert_ptr_nonnull(strstr(err.text, "RESULTS"));
    free(copy);
  }
  ck_assert_int_eq(proto_result_decode(&m, NULL, 0, NULL), HATO_PROTOCOL);
  hato__buf_free(&b);
}

UNIT_TEST(words_too_long_are_cut_and_streams_refused) {
  char words[2000];
  memset(words, 'w', sizeof words);
  proto_result m, r = {.task = 1, .error = 2, .words = words, .words_len = sizeof words};
  hato__buf b = {0};
  proto_result_encode(&b, &r);
  ck_assert_int_eq(proto_result_decode(&m, b.data, b.len, NULL), HATO_OK);
  ck_assert_uint_eq(m.words_len, PROTO_RESULT_WORDS_MAX);
  hato__buf_clear(&b);
  proto_result_encode(&b, &(proto_result){.out = stream, .out_len = PROTO_INLINE_OUT + 1});
  ck_assert(b.failed);
  hato__buf_clear(&b);
  proto_result_encode(&b, &(proto_result){.flags = 8});
  ck_assert(b.failed);
  hato__buf_free(&b);
}

UNIT_TEST(a_total_is_not_less_than_what_is_here) {
  proto_result m, r = record(1, PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE, 4, 4, 0);
  hato__buf b = {0};
  r.out_total = r.err_total = 4; /* nothing more after all: fine */
  proto_result_encode(&b, &r);
  ck_assert_int_eq(proto_result_decode(&m, b.data, b.len, NULL), HATO_OK);
  r.err_total = 3;
  hato__buf_clear(&b);
  proto_result_encode(&b, &r);
  ck_assert_int_eq(proto_result_decode(&m, b.data, b.len, NULL), HATO_PROTOCOL);
  hato__buf_free(&b);
}

UNIT_TEST(frames_are_filled_and_forwarded) {
  hato__buf f = {0}, forward = {0};
  proto_results_writer w, fw;
  proto_results_begin(&w, &f);
  uint64_t written = 0;
  for (;; written++) {
    proto_result r = record(written, (uint16_t)(written % 8), (uint32_t)(written % 50), 3,
                            written % 3 ? 0 : 9);
    if (!proto_results_room(&w, proto_result_size(&r))) break;
    proto_results_add(&w, &r);
  }
  proto_results_end(&w);
  ck_assert(!f.failed && f.len <= PROTO_HEADER + PROTO_BODY_MAX && f.len > PROTO_BODY_MAX - 256);
  proto_results_reader m;
  ck_assert_int_eq(proto_results_decode(&m, f.data + PROTO_HEADER, f.len - PROTO_HEADER, NULL), HATO_OK);
  proto_results_begin(&fw, &forward);
  proto_result r;
  uint64_t read = 0;
  int rc;
  while ((rc = proto_results_next(&m, &r, NULL)) == 1) {
    ck_assert_uint_eq(r.task, read);
    ck_assert_uint_eq(r.out_len, read % 50);
    ck_assert(proto_results_room(&fw, r.raw_len));
    proto_results_add_raw(&fw, r.raw, r.raw_len);
    read++;
  }
  ck_assert_int_eq(rc, 0);
  ck_assert_int_eq(proto_results_next(&m, &r, NULL), 0); /* again */
  ck_assert_uint_eq(read, written);
  proto_results_end(&fw);
  ck_assert(forward.len == f.len && memcmp(forward.data, f.data, f.len) == 0);
  hato__buf_free(&f);
  hato__buf_free(&forward);
}

UNIT_TEST(an_empty_frame_is_taken_back) {
  hato__buf f = {0};
  proto_heartbeat_encode(&f);
  proto_results_writer w;
  proto_results_begin(&w, &f);
  proto_results_end(&w);
  ck_assert_uint_eq(f.len, PROTO_HEADER);
  hato__buf_free(&f);
}

UNIT_TEST(a_malformed_record_ends_the_reading) {
  hato__buf f = {0};
  sample_results(&f);
  uint8_t *body = f.data + PROTO_HEADER;
  size_t n = f.len - PROTO_HEADER;
  proto_results_reader m;
  proto_result r;
  hato_error err = {0};
  body[4 + 40 + 18] = 0xff; /* flags of the second */
  ck_assert_int_eq(proto_results_decode(&m, body, n, &err), HATO_OK);
  ck_assert_int_eq(proto_results_next(&m, &r, &err), 1);
  ck_assert_int_eq(proto_results_next(&m, &r, &err), -1);
  ck_assert_ptr_nonnull(strstr(err.text, "flags"));
  ck_assert_int_eq(proto_results_next(&m, &r, &err), -1);
  body[0] = 0xff; /* more records than the bytes can hold */
  ck_assert_int_eq(proto_results_decode(&m, body, n, &err), HATO_PROTOCOL);
  hato__buf_free(&f);
}

UNIT_MAIN("proto_results")

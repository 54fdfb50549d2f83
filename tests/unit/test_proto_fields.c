/* What each field means: values that are read, values that are refused, caps. */
#include "unit.h"
#include "unit/proto_any.h"

/* A frame's body and its length, as arguments. */
#define BODY(frame) (frame).data + PROTO_HEADER, (frame).len - PROTO_HEADER

UNIT_TEST(hello_names_role_versions_and_nonce) {
  hato__buf f = {0};
  proto_hello m, hello = {PROTO_ROLE_DAEMON, 1, 3, {1, [15] = 16}};
  proto_hello_encode(&f, &hello);
  ck_assert_int_eq(proto_hello_decode(&m, BODY(f), NULL), HATO_OK);
  ck_assert_mem_eq(&m, &hello, sizeof m);
  for (unsigned bad = 0; bad < 3; bad++) {
    proto_hello wrong = {bad == 0 ? 3 : 1, bad == 1 ? 0 : 2, bad == 2 ? 1 : 2, {0}};
    hato__buf_clear(&f);
    proto_hello_encode(&f, &wrong);
    ck_assert_int_eq(proto_hello_decode(&m, BODY(f), NULL), HATO_PROTOCOL);
  }
  hato__buf_free(&f);
}

UNIT_TEST(words_are_cut_between_characters) {
  hato__buf f = {0};
  proto_words m;
  char words[600];
  memset(words, 'x', sizeof words);
  memcpy(words + 399, "鳩", 3); /* would end at 402 */
  words[599] = 0;
  proto_words_encode(&f, PROTO_REFUSED, HATO_PEER_AUTH, words);
  ck_assert_int_eq(proto_words_decode(&m, BODY(f), NULL), HATO_OK);
  ck_assert_uint_eq(m.status, HATO_PEER_AUTH);
  ck_assert_uint_eq(m.words_len, 399);
  ck_assert_uint_le(f.len - PROTO_HEADER, 512);
  hato__buf_clear(&f);
  proto_words_encode(&f, PROTO_GOODBYE, HATO_OK, NULL);
  ck_assert_int_eq(proto_words_decode(&m, BODY(f), NULL), HATO_OK);
  ck_assert_uint_eq(m.words_len, 0);
  hato__buf_clear(&f);
  proto_words_encode(&f, PROTO_GOODBYE, HATO_OK, "a b");
  f.data[PROTO_HEADER + 7] = 0;
  ck_assert_int_eq(proto_words_decode(&m, BODY(f), NULL), HATO_PROTOCOL); /* a NUL inside */
  hato__buf_free(&f);
}

UNIT_TEST(daemon_fields) {
  hato__buf f = {0};
  proto_daemon m, d = {.id = UINT64_MAX,
                       .instance = 2,
                       .launch = 3,
                       .member = 4,
                       .slots = 5,
                       .cores = 6,
                       .pid = 7,
                       .host = "host.example",
                       .host_len = 12,
                       .version = "0.1",
                       .version_len = 3};
  proto_daemon_encode(&f, &d);
  ck_assert_int_eq(proto_daemon_decode(&m, BODY(f), NULL), HATO_OK);
  ck_assert(m.id == d.id && m.instance == 2 && m.launch == 3 && m.member == 4 && m.slots == 5 &&
            m.cores == 6);
  ck_assert(m.pid == 7 && m.host_len == 12 && m.version_len == 3);
  ck_assert(memcmp(m.host, d.host, 12) == 0 && memcmp(m.version, d.version, 3) == 0);
  d.slots = 0;
  hato__buf_clear(&f);
  proto_daemon_encode(&f, &d);
  ck_assert_int_eq(proto_daemon_decode(&m, BODY(f), NULL), HATO_PROTOCOL);
  hato__buf_free(&f);
}

static hato_status submit_again(proto_submit s) {
  hato__buf f = {0};
  proto_submit m;
  proto_submit_encode(&f, &s);
  hato_status status = proto_submit_decode(&m, BODY(f), NULL);
  if (status == HATO_OK)
    ck_assert(m.seq == s.seq && m.spec == s.spec && m.args == s.args && m.flags == s.flags &&
              m.count == s.count && m.start == s.start && m.step == s.step);
  hato__buf_free(&f);
  return status;
}

UNIT_TEST(submit_counts_within_limits) {
  proto_submit s = {.seq = 1,
                    .spec = 2,
                    .args = PROTO_ARGS_COUNTED,
                    .count = PROTO_TASKS_MAX,
                    .start = INT64_MIN,
                    .step = INT64_C(1) << 31};
  ck_assert_int_eq(submit_again(s), HATO_OK);
  s.step = INT64_MAX;
  ck_assert_int_eq(submit_again(s), HATO_PROTOCOL);
  s.count = 1; /* never stepped */
  ck_assert_int_eq(submit_again(s), HATO_OK);
  s = (proto_submit){.args = PROTO_ARGS_COUNTED, .count = 3, .start = INT64_MAX - 3, .step = 2};
  ck_assert_int_eq(submit_again(s), HATO_PROTOCOL);
  s.args = PROTO_ARGS_NONE; /* not counted: start and step say nothing */
  ck_assert_int_eq(submit_again(s), HATO_OK);
  s.count = 0;
  ck_assert_int_eq(submit_again(s), HATO_PROTOCOL);
  s.count = UINT64_C(1) << 32;
  ck_assert_int_eq(submit_again(s), HATO_PROTOCOL);
  ck_assert_int_eq(submit_again((proto_submit){.count = 1, .args = 3}), HATO_PROTOCOL);
  ck_assert_int_eq(submit_again((proto_submit){.count = 1, .flags = 2}), HATO_PROTOCOL);
}

UNIT_TEST(numbers_do_not_pass_the_last) {
  hato__buf f = {0};
  proto_accepted a;
  proto_accepted_encode(&f, &(proto_accepted){1, UINT64_MAX, 1});
  ck_assert_int_eq(proto_accepted_decode(&a, BODY(f), NULL), HATO_OK);
  hato__buf_clear(&f);
  proto_accepted_encode(&f, &(proto_accepted){1, UINT64_MAX, 2});
  ck_assert_int_eq(proto_accepted_decode(&a, BODY(f), NULL), HATO_PROTOCOL);
  proto_cancel c;
  hato__buf_clear(&f);
  proto_cancel_encode(&f, &(proto_cancel){0, 0, 5, 4});
  ck_assert_int_eq(proto_cancel_decode(&c, BODY(f), NULL), HATO_PROTOCOL);
  hato__buf_free(&f);
}

static hato_status runs_again(const proto_run *runs, uint32_t count) {
  hato__buf f = {0};
  proto_runs m;
  proto_runs_encode(&f, PROTO_STARTED, runs, count);
  hato_status status = proto_runs_decode(&m, BODY(f), NULL);
  for (uint32_t i = 0; status == HATO_OK && i < count; i++) {
    proto_run run = proto_run_at(&m, i);
    ck_assert(run.first == runs[i].first && run.count == runs[i].count && run.attempt == runs[i].attempt &&
              run.value == runs[i].value);
  }
  hato__buf_free(&f);
  return status;
}

UNIT_TEST(runs_up_to_their_cap) {
  proto_run *runs = calloc(PROTO_RUNS_MAX + 1, sizeof *runs);
  for (uint32_t i = 0; i <= PROTO_RUNS_MAX; i++) runs[i] = (proto_run){i * 7ull, i + 1, i, (uint16_t)i};
  ck_assert_int_eq(runs_again(runs, PROTO_RUNS_MAX), HATO_OK);
  hato__buf f = {0};
  proto_runs_encode(&f, PROTO_TAKEN, runs, PROTO_RUNS_MAX + 1);
  ck_assert(f.failed);
  hato__buf_free(&f);
  free(runs);
  ck_assert_int_eq(runs_again(&(proto_run){.first = 1, .count = 0}, 1), HATO_PROTOCOL);
  ck_assert_int_eq(runs_again(&(proto_run){.first = UINT64_MAX, .count = 2}, 1), HATO_PROTOCOL);
  ck_assert_int_eq(runs_again(&(proto_run){.first = UINT64_MAX, .count = 1}, 1), HATO_OK);
  /* A count far past the bytes. */
  const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff};
  proto_runs m;
  ck_assert_int_eq(proto_runs_decode(&m, huge, sizeof huge, NULL), HATO_PROTOCOL);
}

UNIT_TEST(a_specification_in_parts) {
  enum { LEN = 600 * 1024 };
  uint8_t *spec = malloc(LEN);
  for (size_t i = 0; i < LEN; i++) spec[i] = (uint8_t)(i * 31 >> 3);
  hato__buf f = {0};
  proto_spec_send(&f, 9, spec, LEN);
  size_t at = 0, offset = 0, frames = 0;
  for (; at < f.len; frames++) {
    proto_header h;
    proto_part m;
    ck_assert_int_eq(proto_header_decode(&h, f.data + at, NULL), HATO_OK);
    ck_assert_int_eq(proto_spec_part_decode(&m, f.data + at + PROTO_HEADER, h.len, NULL), HATO_OK);
    ck_assert(m.number == 9 && m.total == LEN && m.offset == offset);
    ck_assert_mem_eq(m.data, spec + offset, m.len);
    offset += m.len;
    at += PROTO_HEADER + h.len;
  }
  ck_assert_uint_eq(offset, LEN);
  ck_assert_uint_eq(frames, 3);
  hato__buf_clear(&f);
  proto_spec_send(&f, 9, spec, PROTO_SPEC_MAX + 1);
  ck_assert(f.failed);
  hato__buf_clear(&f);
  proto_spec_send(&f, 9, spec, 0);
  ck_assert(f.failed);
  hato__buf_free(&f);
  free(spec);
}

UNIT_TEST(parts_stay_within_their_whole) {
  hato__buf f = {0};
  proto_object m, o = {.total = PROTO_OBJECT_MAX,
                       .offset = PROTO_OBJECT_MAX - 3,
                       .data = (const uint8_t *)"abc",
                       .len = 3};
  proto_object_encode(&f, &o);
  ck_assert_int_eq(proto_object_decode(&m, BODY(f), NULL), HATO_OK);
  const uint64_t bad[][2] = {
      {PROTO_OBJECT_MAX, PROTO_OBJECT_MAX - 2}, {PROTO_OBJECT_MAX + 1, 0}, {0, 0}, {4, UINT64_MAX - 1}};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    o.total = bad[i][0];
    o.offset = bad[i][1];
    hato__buf_clear(&f);
    proto_object_encode(&f, &o);
    ck_assert_int_eq(proto_object_decode(&m, BODY(f), NULL), HATO_PROTOCOL);
  }
  uint8_t *data = calloc(1, PROTO_BODY_MAX);
  o = (proto_object){.total = PROTO_BODY_MAX, .data = data, .len = PROTO_PIECE_DATA - 32};
  hato__buf_clear(&f);
  proto_object_encode(&f, &o);
  ck_assert_uint_eq(f.len, PROTO_HEADER + PROTO_BODY_MAX);
  ck_assert_int_eq(proto_object_decode(&m, BODY(f), NULL), HATO_OK);
  o.len++;
  proto_object_encode(&f, &o);
  ck_assert(f.failed);
  free(data);
  hato__buf_free(&f);
}

UNIT_TEST(a_reply_ends_its_parts_at_lines) {
  hato__buf text = {0}, f = {0}, joined = {0};
  for (unsigned i = 0; i < 40000; i++) hato__buf_printf(&text, "{\"task\":%u}\n", i);
  proto_reply_encode(&f, 4, true, (const char *)text.data, text.len);
  unsigned parts = 0;
  bool last = false;
  for (size_t at = 0; at < f.len; parts++) {
    proto_header h;
    proto_text m;
    ck_assert_int_eq(proto_header_decode(&h, f.data + at, NULL), HATO_OK);
    ck_assert_int_eq(proto_reply_decode(&m, f.data + at + PROTO_HEADER, h.len, NULL), HATO_OK);
    ck_assert(m.token == 4 && !last && m.text[m.len - 1] == '\n');
    last = m.last;
    hato__buf_append(&joined, m.text, m.len);
    at += PROTO_HEADER + h.len;
  }
  ck_assert(last);
  ck_assert_uint_eq(parts, text.len / PROTO_BODY_MAX + 1);
  ck_assert_uint_eq(joined.len, text.len);
  ck_assert_int_eq(memcmp(joined.data, text.data, text.len), 0);
  hato__buf_clear(&f);
  proto_reply_encode(&f, 4, false, NULL, 0); /* an empty one is one frame */
  ck_assert_uint_eq(f.len, PROTO_HEADER + 8);
  memset(text.data, 'x', text.len); /* no line at all */
  proto_reply_encode(&f, 4, true, (const char *)text.data, text.len);
  ck_assert(f.failed);
  hato__buf_clear(&f);
  proto_control_encode(&f, 4, (const char *)text.data, PROTO_BODY_MAX - 4);
  ck_assert(!f.failed);
  proto_control_encode(&f, 4, (const char *)text.data, SIZE_MAX);
  ck_assert(f.failed);
  hato__buf_free(&text);
  hato__buf_free(&joined);
  hato__buf_free(&f);
}

UNIT_TEST(pieces_and_credit) {
  hato__buf f = {0}, head = {0};
  uint8_t *data = malloc(PROTO_PIECE_DATA);
  memset(data, 'd', PROTO_PIECE_DATA);
  proto_piece m,
      p = {.task = 5, .attempt = 2, .channel = PROTO_CH_ERR, .data = data, .len = PROTO_PIECE_DATA};
  proto_piece_encode(&f, &p);
  ck_assert_uint_eq(f.len, PROTO_HEADER + PROTO_BODY_MAX);
  ck_assert_int_eq(proto_piece_decode(&m, BODY(f), NULL), HATO_OK);
  ck_assert(m.task == 5 && m.attempt == 2 && m.channel == PROTO_CH_ERR && !m.last && m.status == 0 &&
            m.len == PROTO_PIECE_DATA);
  /* The head for data by reference is the start of the same frame. */
  proto_piece_head_encode(&head, &p);
  ck_assert_uint_eq(head.len, PROTO_PIECE_HEAD);
  ck_assert_mem_eq(head.data, f.data, PROTO_PIECE_HEAD);
  p.len++;
  hato__buf_clear(&head);
  proto_piece_head_encode(&head, &p);
  ck_assert(head.failed);
  proto_piece_encode(&f, &p);
  ck_assert(f.failed);
  hato__buf_clear(&f);
  proto_piece_encode(&f, &(proto_piece){.status = HATO_RESET}); /* given up, yet more to come */
  ck_assert_int_eq(proto_piece_decode(&m, BODY(f), NULL), HATO_PROTOCOL);
  hato__buf_clear(&f);
  proto_piece_encode(&f, &(proto_piece){.channel = 3});
  ck_assert_int_eq(proto_piece_decode(&m, BODY(f), NULL), HATO_PROTOCOL);
  proto_credit c;
  hato__buf_clear(&f);
  proto_credit_encode(&f, &(proto_credit){1, 2, PROTO_CH_OUT, PROTO_PAYLOAD_MAX});
  ck_assert_int_eq(proto_credit_decode(&c, BODY(f), NULL), HATO_OK);
  ck_assert(c.task == 1 && c.attempt == 2 && c.channel == PROTO_CH_OUT && c.bytes == PROTO_PAYLOAD_MAX);
  hato__buf_clear(&f);
  proto_credit_encode(&f, &(proto_credit){1, 2, PROTO_CH_OUT, PROTO_PAYLOAD_MAX + 1});
  ck_assert_int_eq(proto_credit_decode(&c, BODY(f), NULL), HATO_PROTOCOL);
  hato__buf_free(&f);
  hato__buf_free(&head);
  free(data);
}

UNIT_MAIN("proto_fields")

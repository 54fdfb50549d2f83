/* Every message by one table: a sample of it, and a decoder that encodes again what
 * it decoded. Shared by the unit tests of proto and its fuzz target. */
#ifndef HATO_TESTS_PROTO_ANY_H
#define HATO_TESTS_PROTO_ANY_H

#include "base/error.h"
#include "proto/message.h"
#include "proto/spec.h"
#include <stdlib.h>

typedef struct any_message {
  const char *name;
  proto_type type;
  void (*sample)(hato__buf *out); /* one frame */
  /* What was decoded, encoded again: the same frame, when OK. */
  hato_status (*again)(hato__buf *out, const uint8_t *body, size_t n, hato_error *err);
  size_t open;        /* != 0: what comes after as many bytes is opaque and ends anywhere */
  size_t reserved[8]; /* places of reserved bytes; 0: no more */
} any_message;

#define ANY(name, type, decoded, decode, encode)                                                         \
  static inline hato_status any_##name(hato__buf *out, const uint8_t *body, size_t n, hato_error *err) { \
    decoded m;                                                                                           \
    hato_status status = decode(&m, body, n, err);                                                       \
    if (status == HATO_OK) encode;                                                                       \
    return status;                                                                                       \
  }

/* Borrowed words as a string. */
static inline char *any_text(const void *text, size_t n) {
  char *s = calloc(1, n + 1);
  if (s == NULL) abort();
  if (n > 0) memcpy(s, text, n);
  return s;
}
static inline void any_put_words(hato__buf *out, proto_type type, const proto_words *m) {
  char *words = any_text(m->words, m->words_len);
  proto_words_encode(out, type, m->status, words);
  free(words);
}
static inline void any_put_client(hato__buf *out, const proto_client *m) {
  char *label = any_text(m->label, m->label_len);
  proto_client_encode(out, m->id, label);
  free(label);
}
static inline void any_put_rejected(hato__buf *out, const proto_rejected *m) {
  char *words = any_text(m->why.words, m->why.words_len);
  proto_rejected_encode(out, m->seq, m->why.status, words);
  free(words);
}
/* A part is the whole of nothing, so its frame is made by hand. */
static inline void any_put_part(hato__buf *out, const proto_part *m) {
  size_t begun = proto_begin(out, PROTO_SPEC);
  hato__buf_u32(out, m->number);
  hato__buf_u32(out, m->total);
  hato__buf_u32(out, m->offset);
  hato__buf_append(out, m->data, m->len);
  proto_end(out, begun);
}
static inline void any_put_args(hato__buf *out, const proto_args *m) {
  if (m->large) {
    proto_args_large_encode(out, m->seq, m->total);
    return;
  }
  size_t count = m->block.count, from = 0;
  const void **args = calloc(count, sizeof *args);
  size_t *lens = calloc(count, sizeof *lens);
  if (args == NULL || lens == NULL) abort();
  for (uint32_t i = 0; i < count; i++) {
    uint32_t len;
    args[i] = proto_block_arg(&m->block, i, &len);
    lens[i] = len;
  }
  proto_args_encode(out, m->seq, args, lens, &from, count);
  free(args);
  free(lens);
}
static inline void any_put_runs(hato__buf *out, proto_type type, const proto_runs *m) {
  proto_run *runs = calloc(m->n + 1, sizeof *runs);
  if (runs == NULL) abort();
  for (uint32_t i = 0; i < m->n; i++) runs[i] = proto_run_at(m, i);
  proto_runs_encode(out, type, runs, m->n);
  free(runs);
}

ANY(hello, PROTO_HELLO, proto_hello, proto_hello_decode, proto_hello_encode(out, &m))
ANY(challenge, PROTO_CHALLENGE, proto_challenge, proto_challenge_decode, proto_challenge_encode(out, &m))
ANY(proof, PROTO_PROOF, proto_proof, proto_proof_decode, proto_proof_encode(out, &m))
ANY(welcome, PROTO_WELCOME, proto_proof, proto_welcome_decode, proto_welcome_encode(out, &m))
ANY(refused, PROTO_REFUSED, proto_words, proto_words_decode, any_put_words(out, PROTO_REFUSED, &m))
ANY(goodbye, PROTO_GOODBYE, proto_words, proto_words_decode, any_put_words(out, PROTO_GOODBYE, &m))
ANY(client, PROTO_CLIENT, proto_client, proto_client_decode, any_put_client(out, &m))
ANY(daemon, PROTO_DAEMON, proto_daemon, proto_daemon_decode, proto_daemon_encode(out, &m))
ANY(enlisted, PROTO_ENLISTED, proto_enlisted, proto_enlisted_decode, proto_enlisted_encode(out, &m))
ANY(spec, PROTO_SPEC, proto_part, proto_spec_part_decode, any_put_part(out, &m))
ANY(spec_drop, PROTO_SPEC_DROP, uint32_t, proto_spec_drop_decode, proto_spec_drop_encode(out, m))
ANY(object, PROTO_OBJECT, proto_object, proto_object_decode, proto_object_encode(out, &m))
ANY(submit, PROTO_SUBMIT, proto_submit, proto_submit_decode, proto_submit_encode(out, &m))
ANY(args, PROTO_ARGS, proto_args, proto_args_decode, any_put_args(out, &m))
ANY(accepted, PROTO_ACCEPTED, proto_accepted, proto_accepted_decode, proto_accepted_encode(out, &m))
ANY(rejected, PROTO_REJECTED, proto_rejected, proto_rejected_decode, any_put_rejected(out, &m))
ANY(cancel, PROTO_CANCEL, proto_cancel, proto_cancel_decode, proto_cancel_encode(out, &m))
ANY(fetch, PROTO_FETCH, uint64_t, proto_fetch_decode, proto_fetch_encode(out, m))
ANY(control, PROTO_CONTROL, proto_text, proto_control_decode,
    proto_control_encode(out, m.token, m.text, m.len))
ANY(reply, PROTO_REPLY, proto_text, proto_reply_decode,
    proto_reply_encode(out, m.token, m.last, m.text, m.len))
ANY(resolved, PROTO_RESOLVED, proto_runs, proto_runs_decode, any_put_runs(out, PROTO_RESOLVED, &m))
ANY(started, PROTO_STARTED, proto_runs, proto_runs_decode, any_put_runs(out, PROTO_STARTED, &m))
ANY(taken, PROTO_TAKEN, proto_runs, proto_runs_decode, any_put_runs(out, PROTO_TAKEN, &m))
ANY(interrupt, PROTO_INTERRUPT, proto_runs, proto_runs_decode, any_put_runs(out, PROTO_INTERRUPT, &m))
ANY(take, PROTO_TAKE, uint32_t, proto_take_decode, proto_take_encode(out, m))
ANY(drain, PROTO_DRAIN, bool, proto_drain_decode, proto_drain_encode(out, m))
ANY(assign, PROTO_ASSIGN, proto_assign, proto_assign_decode, proto_assign_encode(out, &m, 0))
ANY(piece, PROTO_PIECE, proto_piece, proto_piece_decode, proto_piece_encode(out, &m))
ANY(credit, PROTO_CREDIT, proto_credit, proto_credit_decode, proto_credit_encode(out, &m))

static inline hato_status any_results(hato__buf *out, const uint8_t *body, size_t n, hato_error *err) {
  proto_results_reader m;
  hato_status status = proto_results_decode(&m, body, n, err);
  if (status != HATO_OK) return status;
  proto_results_writer w;
  proto_results_begin(&w, out);
  proto_result r;
  int rc;
  while ((rc = proto_results_next(&m, &r, err)) == 1) proto_results_add(&w, &r);
  proto_results_end(&w);
  return rc == 0 ? HATO_OK : HATO_PROTOCOL;
}
static inline hato_status any_heartbeat(hato__buf *out, const uint8_t *body, size_t n, hato_error *err) {
  (void)body;
  if (n > 0) return hato__fail(err, HATO_PROTOCOL, "HEARTBEAT: %zu bytes too many", n);
  proto_heartbeat_encode(out);
  return HATO_OK;
}

/* ---- samples ---- */
#define ANY_SAMPLE(name) static inline void sample_##name(hato__buf *out)
ANY_SAMPLE(hello) {
  proto_hello m = {PROTO_ROLE_CLIENT, 1, 1, {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
  proto_hello_encode(out, &m);
}
ANY_SAMPLE(challenge) {
  proto_challenge m = {1, PROTO_METHOD_SECRET, {16, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1}};
  proto_challenge_encode(out, &m);
}
ANY_SAMPLE(proof) {
  proto_proof_encode(out, &(proto_proof){.id = 17, .mac = {9, 8, 7, [31] = 1}, .munge = "MUNGE:x:", .munge_len = 8});
}
ANY_SAMPLE(welcome) { proto_welcome_encode(out, &(proto_proof){.mac = {1, [31] = 255}}); }
ANY_SAMPLE(refused) { proto_words_encode(out, PROTO_REFUSED, HATO_PEER_AUTH, "not admitted"); }
ANY_SAMPLE(goodbye) { proto_words_encode(out, PROTO_GOODBYE, HATO_OK, ""); }
ANY_SAMPLE(client) { proto_client_encode(out, 0x1122334455667788, "ann@login1:4711"); }
ANY_SAMPLE(daemon) {
  proto_daemon m = {.id = 77,
                    .instance = 1,
                    .launch = 3,
                    .member = 2,
                    .slots = 4,
                    .cores = 8,
                    .pid = 123,
                    .host = "n1",
                    .host_len = 2,
                    .version = "0.1.0",
                    .version_len = 5};
  proto_daemon_encode(out, &m);
}
ANY_SAMPLE(enlisted) { proto_enlisted_encode(out, &(proto_enlisted){12, 5000}); }
ANY_SAMPLE(spec) { proto_spec_send(out, 7, "an encoded specification", 24); }
ANY_SAMPLE(spec_drop) { proto_spec_drop_encode(out, 7); }
ANY_SAMPLE(object) {
  proto_object m = {
      .hash = {1, 2, 3}, .total = 9, .offset = 4, .data = (const uint8_t *)"\177ELF!", .len = 5};
  proto_object_encode(out, &m);
}
ANY_SAMPLE(submit) {
  proto_submit m = {.seq = 5,
                    .spec = 7,
                    .args = PROTO_ARGS_COUNTED,
                    .flags = PROTO_SUBMIT_DETACHED,
                    .count = 1000,
                    .start = -3,
                    .step = 2};
  proto_submit_encode(out, &m);
}
ANY_SAMPLE(args) {
  const void *args[] = {"alpha", "", "gamma rays"};
  size_t lens[] = {5, 0, 10}, from = 0;
  proto_args_encode(out, 5, args, lens, &from, 3);
}
ANY_SAMPLE(args_large) { proto_args_large_encode(out, 5, UINT64_C(1) << 33); }
ANY_SAMPLE(accepted) { proto_accepted_encode(out, &(proto_accepted){5, 1001, 1000}); }
ANY_SAMPLE(rejected) { proto_rejected_encode(out, 5, HATO_NO_SPACE, "the spool is full"); }
ANY_SAMPLE(cancel) { proto_cancel_encode(out, &(proto_cancel){1, 5, 40, 80}); }
ANY_SAMPLE(fetch) { proto_fetch_encode(out, 1017); }
ANY_SAMPLE(control) { proto_control_encode(out, 3, "{\"verb\":\"status\"}", 17); }
ANY_SAMPLE(reply) { proto_reply_encode(out, 3, true, "{\"daemons\":4}\n", 14); }
static inline void sample_runs(hato__buf *out, proto_type type) {
  const proto_run runs[] = {{1001, 3, 1, 0}, {UINT64_C(1) << 40, 1, 2, 20}};
  proto_runs_encode(out, type, runs, 2);
}
ANY_SAMPLE(resolved) { sample_runs(out, PROTO_RESOLVED); }
ANY_SAMPLE(started) { sample_runs(out, PROTO_STARTED); }
ANY_SAMPLE(taken) { proto_runs_encode(out, PROTO_TAKEN, NULL, 0); }
ANY_SAMPLE(interrupt) { sample_runs(out, PROTO_INTERRUPT); }
ANY_SAMPLE(take) { proto_take_encode(out, 64); }
ANY_SAMPLE(drain) { proto_drain_encode(out, true); }
/* Three arguments, of 2, 0 and 5 bytes. */
static inline proto_block sample_block(void) {
  static const uint8_t bytes[] = {3, 0, 0, 0, 2,   0,   0,   0,   2,   0,   0,  0,
                                  7, 0, 0, 0, 'o', 'n', 't', 'h', 'r', 'e', 'e'};
  proto_block b;
  if (proto_block_decode(&b, bytes, sizeof bytes, NULL) != HATO_OK) abort();
  return b;
}
ANY_SAMPLE(assign) {
  proto_assign m = {.spec = 2,
                    .args = PROTO_ARGS_EXPLICIT,
                    .first = 1001,
                    .index = 4,
                    .attempt = 1,
                    .count = 3,
                    .block = sample_block()};
  proto_assign_encode(out, &m, 0);
}
ANY_SAMPLE(assign_counted) {
  proto_assign m = {.spec = 2,
                    .args = PROTO_ARGS_COUNTED,
                    .first = 1001,
                    .index = 4,
                    .attempt = 1,
                    .count = 300,
                    .start = 10,
                    .step = -1};
  proto_assign_encode(out, &m, 0);
}
ANY_SAMPLE(assign_large) {
  proto_assign m = {.spec = 2,
                    .args = PROTO_ARGS_EXPLICIT,
                    .large = true,
                    .first = 1001,
                    .attempt = 3,
                    .count = 1,
                    .total = UINT64_MAX};
  proto_assign_encode(out, &m, 0);
}
ANY_SAMPLE(results) {
  proto_results_writer w;
  proto_results_begin(&w, out);
  proto_results_add(&w, &(proto_result){.task = 1001, .attempt = 1, .wall_ns = 5000});
  proto_result full = {.task = 1002,
                       .attempt = 2,
                       .wall_ns = UINT64_C(1) << 40,
                       .wait_status = 0x100,
                       .flags = PROTO_RESULT_USAGE | PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE,
                       .user_us = 11,
                       .system_us = 12,
                       .peak_kib = 13,
                       .out_total = 100,
                       .err_total = 4,
                       .out = (const uint8_t *)"out",
                       .out_len = 3,
                       .err = (const uint8_t *)"err!",
                       .err_len = 4};
  proto_results_add(&w, &full);
  proto_result failed = {
      .task = 1003, .attempt = 1, .error = HATO_NOT_FOUND, .words = "n1: no such program", .words_len = 19};
  proto_results_add(&w, &failed);
  proto_results_end(&w);
}
ANY_SAMPLE(piece) {
  proto_piece m = {.task = 1001,
                   .attempt = 1,
                   .channel = PROTO_CH_OUT,
                   .last = true,
                   .status = HATO_NO_SPACE,
                   .data = (const uint8_t *)"bytes",
                   .len = 5};
  proto_piece_encode(out, &m);
}
ANY_SAMPLE(credit) { proto_credit_encode(out, &(proto_credit){1001, 1, PROTO_CH_IN, PROTO_WINDOW}); }

static inline void sample_command(hato__buf *out) {
  char *argv[] = {"sh", "-c", "echo {}", NULL}, *env[] = {"HOME=/home/ann", "EMPTY=", NULL};
  proto_spec s = {.kind = PROTO_COMMAND,
                  .flags = PROTO_SPEC_SUBSTITUTE | PROTO_SPEC_SHELL,
                  .limit_ns = 5,
                  .output_limit = 6,
                  .argv = argv,
                  .env = env,
                  .cwd = "/data",
                  .umask = 022,
                  .stdin_kind = PROTO_STDIN_FILE,
                  .stdin_path = "in.txt",
                  .output_to = "out-{#}.{stream}"};
  proto_spec_encode(out, &s);
}
static inline void sample_function(hato__buf *out) {
  proto_spec s = {.kind = PROTO_FUNCTION,
                  .object_path = "/lib/f.so",
                  .has_hash = true,
                  .hash = {1, 2, [31] = 3},
                  .symbol = "square"};
  proto_spec_encode(out, &s);
}
ANY_SAMPLE(heartbeat) { proto_heartbeat_encode(out); }

/* Append only: the corpus of the fuzz target names messages by their place here. */
#define ANY_ROW(name, type, ...) \
  { #name, type, sample_##name, any_##name, __VA_ARGS__ }
static const any_message any_messages[] = {
    ANY_ROW(hello, PROTO_HELLO, 0, {3}),
    ANY_ROW(challenge, PROTO_CHALLENGE, 0, {2, 3}),
    ANY_ROW(proof, PROTO_PROOF, 0, {0}),
    ANY_ROW(welcome, PROTO_WELCOME, 0, {0}),
    ANY_ROW(refused, PROTO_REFUSED, 0, {0}),
    ANY_ROW(heartbeat, PROTO_HEARTBEAT, 0, {0}),
    ANY_ROW(goodbye, PROTO_GOODBYE, 0, {0}),
    ANY_ROW(client, PROTO_CLIENT, 0, {0}),
    ANY_ROW(spec, PROTO_SPEC, 13, {0}),
    ANY_ROW(spec_drop, PROTO_SPEC_DROP, 0, {0}),
    ANY_ROW(object, PROTO_OBJECT, 49, {0}),
    ANY_ROW(submit, PROTO_SUBMIT, 0, {14, 15}),
    ANY_ROW(args, PROTO_ARGS, 0, {9, 10, 11}),
    {"args_large", PROTO_ARGS, sample_args_large, any_args, 0, {9, 10, 11}},
    ANY_ROW(accepted, PROTO_ACCEPTED, 0, {0}),
    ANY_ROW(rejected, PROTO_REJECTED, 0, {0}),
    ANY_ROW(cancel, PROTO_CANCEL, 0, {1, 2, 3, 4, 5, 6, 7}),
    ANY_ROW(fetch, PROTO_FETCH, 0, {0}),
    ANY_ROW(control, PROTO_CONTROL, 4, {0}),
    ANY_ROW(reply, PROTO_REPLY, 8, {5, 6, 7}),
    ANY_ROW(resolved, PROTO_RESOLVED, 0, {22, 23, 42, 43}),
    ANY_ROW(daemon, PROTO_DAEMON, 0, {0}),
    ANY_ROW(assign, PROTO_ASSIGN, 0, {6, 7}),
    {"assign_counted", PROTO_ASSIGN, sample_assign_counted, any_assign, 0, {6, 7}},
    {"assign_large", PROTO_ASSIGN, sample_assign_large, any_assign, 0, {6, 7}},
    ANY_ROW(started, PROTO_STARTED, 0, {22, 23, 42, 43}),
    ANY_ROW(take, PROTO_TAKE, 0, {0}),
    ANY_ROW(taken, PROTO_TAKEN, 0, {0}),
    ANY_ROW(interrupt, PROTO_INTERRUPT, 0, {22, 23, 42, 43}),
    ANY_ROW(drain, PROTO_DRAIN, 0, {0}),
    ANY_ROW(enlisted, PROTO_ENLISTED, 0, {0}),
    ANY_ROW(results, PROTO_RESULTS, 0, {4 + 40 + 32, 4 + 40 + 33, 4 + 40 + 34, 4 + 40 + 35}),
    ANY_ROW(piece, PROTO_PIECE, 16, {0}),
    ANY_ROW(credit, PROTO_CREDIT, 0, {13, 14, 15}),
};
#define ANY_COUNT (sizeof any_messages / sizeof *any_messages)

/* The first bytes of a fuzz input that are not a row of the table. */
enum { ANY_FRAMES = 0xfe, ANY_SPEC = 0xff };

#endif

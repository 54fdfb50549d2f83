/*
 * Messages: the bodies of frames. Encoders append a whole frame to a buffer;
 * decoders take a body, check every length, and borrow from it. All integers are
 * little-endian; str and bytes are a u32 length and that many bytes.
 * docs/protocol.md says the same field by field.
 *
 * Encoders never fail but for memory (out->failed). Decoders return PROTOCOL with
 * words that name the message and the field.
 */
#ifndef HATO_PROTO_MESSAGE_H
#define HATO_PROTO_MESSAGE_H

#include "proto/frame.h"

#define PROTO_WORDS_MAX 400u        /* words of REFUSED, GOODBYE, REJECTED; encoders cut longer ones */
#define PROTO_NAME_MAX 255u         /* label, host, version; encoders cut longer ones */
#define PROTO_RUNS_MAX 10000u       /* runs of one message */
#define PROTO_TASKS_MAX UINT32_MAX  /* tasks of one submission: an index is a u32 */
#define PROTO_RESULT_WORDS_MAX 512u /* words of an error value; the encoder cuts longer ones */

/* ---- admission ---- */
typedef enum proto_role { PROTO_ROLE_CLIENT = 1, PROTO_ROLE_DAEMON = 2 } proto_role;
typedef enum proto_method {
  PROTO_METHOD_PEER_UID = 1,  /* the kernel's word, on a Unix socket; without a challenge */
  PROTO_METHOD_SECRET = 2,    /* the secret of a credential */
  PROTO_METHOD_MAY_MUNGE = 3, /* that, and MUNGE besides where the peer has it */
  PROTO_METHOD_MUNGE = 4,     /* both */
} proto_method;
#define PROTO_MUNGE_MAX 900u /* bytes of a MUNGE credential */
typedef struct proto_hello { /* role u8, lowest and highest version u8, reserved u8, nonce[16] */
  uint8_t role, version_low, version_high;
  uint8_t nonce[16];
} proto_hello;
typedef struct proto_challenge { /* version u8, method u8, reserved u16, nonce[16] */
  uint8_t version, method;
  uint8_t nonce[16];
} proto_challenge;
typedef struct proto_proof { /* PROOF: id u64, mac[32], munge str. WELCOME: mac[32] (zero after no challenge), munge str */
  uint64_t id; /* PROOF alone: of the credential */
  uint8_t mac[32];
  const char *munge; /* borrowed, not terminated; a MUNGE credential or nothing */
  uint32_t munge_len;
} proto_proof;
void proto_hello_encode(hato__buf *out, const proto_hello *m);
hato_status proto_hello_decode(proto_hello *m, const uint8_t *body, size_t n, hato_error *err);
void proto_challenge_encode(hato__buf *out, const proto_challenge *m);
hato_status proto_challenge_decode(proto_challenge *m, const uint8_t *body, size_t n, hato_error *err);
void proto_proof_encode(hato__buf *out, const proto_proof *m);
hato_status proto_proof_decode(proto_proof *m, const uint8_t *body, size_t n, hato_error *err);
void proto_welcome_encode(hato__buf *out, const proto_proof *m);
hato_status proto_welcome_decode(proto_proof *m, const uint8_t *body, size_t n, hato_error *err);

/* REFUSED, GOODBYE: status u16, words str (at most 400 bytes). */
typedef struct proto_words {
  uint16_t status;
  const char *words; /* borrowed, not terminated */
  uint32_t words_len;
} proto_words;
void proto_words_encode(hato__buf *out, proto_type refused_or_goodbye, int status, const char *words);
hato_status proto_words_decode(proto_words *m, const uint8_t *body, size_t n, hato_error *err);

void proto_heartbeat_encode(hato__buf *out);

/* ---- who I am ---- */
typedef struct proto_client { /* id u64 (random, names submissions with seq), label str (user@host:pid) */
  uint64_t id;
  const char *label;
  uint32_t label_len;
} proto_client;
void proto_client_encode(hato__buf *out, uint64_t id, const char *label);
hato_status proto_client_decode(proto_client *m, const uint8_t *body, size_t n, hato_error *err);

typedef struct proto_daemon { /* in this order: u64 id, u32 instance, u64 launch, u32 member, u32 slots,
                                 u32 cores, u32 pid, str host, str version */
  uint64_t id;       /* random, outlives connections */
  uint32_t instance; /* counts its connections, from 1 */
  uint64_t launch;   /* 0: started by hand */
  uint32_t member;
  uint32_t slots, cores, pid;
  const char *host;
  uint32_t host_len;
  const char *version;
  uint32_t version_len;
} proto_daemon;
void proto_daemon_encode(hato__buf *out, const proto_daemon *m);
hato_status proto_daemon_decode(proto_daemon *m, const uint8_t *body, size_t n, hato_error *err);
typedef struct proto_enlisted { /* u32 number in the session, u32 heartbeat interval ms */
  uint32_t number, heartbeat_ms;
} proto_enlisted;
void proto_enlisted_encode(hato__buf *out, const proto_enlisted *m);
hato_status proto_enlisted_decode(proto_enlisted *m, const uint8_t *body, size_t n, hato_error *err);

/* ---- specifications ----
 * SPEC carries an encoded specification (proto/spec.h) in parts, in order:
 * u32 number (the sender's), u32 total, u32 offset, then bytes. */
typedef struct proto_part { /* SPEC */
  uint32_t number, total, offset;
  const uint8_t *data;
  uint32_t len;
} proto_part;
void proto_spec_send(hato__buf *out, uint32_t number, const void *spec, uint32_t len); /* all parts */
hato_status proto_spec_part_decode(proto_part *m, const uint8_t *body, size_t n, hato_error *err);
void proto_spec_drop_encode(hato__buf *out, uint32_t number); /* SPEC_DROP: u32 number */
hato_status proto_spec_drop_decode(uint32_t *number, const uint8_t *body, size_t n, hato_error *err);

/* OBJECT: sha256[32], u64 total, u64 offset, then bytes; parts come in order. */
typedef struct proto_object {
  uint8_t hash[32];
  uint64_t total, offset;
  const uint8_t *data;
  uint32_t len;
} proto_object;
void proto_object_encode(hato__buf *out, const proto_object *m); /* one part, len <= PROTO_PIECE_DATA - 32 */
hato_status proto_object_decode(proto_object *m, const uint8_t *body, size_t n, hato_error *err);

/* ---- submitting ----
 * SUBMIT opens (client id, seq): u64 seq, u32 spec (the client's number), u8 args kind,
 * u8 flags, u16 0, u64 count, i64 start, i64 step. EXPLICIT arguments follow in ARGS until
 * count is reached; NONE and COUNTED need none. ACCEPTED or REJECTED answers at once.
 * Decoding refuses a count of 0 or over PROTO_TASKS_MAX, and a COUNTED whose last passes an i64. */
typedef enum proto_args_kind {
  PROTO_ARGS_NONE = 0,     /* no argument */
  PROTO_ARGS_EXPLICIT = 1, /* in ARGS */
  PROTO_ARGS_COUNTED = 2,  /* the decimal of start + i * step */
} proto_args_kind;
#define PROTO_SUBMIT_DETACHED 1u /* outlives its client; results are kept */
typedef struct proto_submit {
  uint64_t seq;
  uint32_t spec;
  uint8_t args, flags;
  uint64_t count;
  int64_t start, step;
} proto_submit;
void proto_submit_encode(hato__buf *out, const proto_submit *m);
hato_status proto_submit_decode(proto_submit *m, const uint8_t *body, size_t n, hato_error *err);

/* A block of arguments: u32 count, u32 ends[count] (the end of each argument in the
 * data, ascending), then the data. Kept as it came: the tasks of an array cost its
 * bytes and 4 each. */
typedef struct proto_block {
  uint32_t count;
  const uint8_t *ends; /* count u32, little-endian, unaligned */
  const uint8_t *data;
  uint32_t len; /* of data */
} proto_block;
/* Checked on decode: ends ascend and the last is len. */
hato_status proto_block_decode(proto_block *b, const uint8_t *bytes, size_t n, hato_error *err);
/* The i-th argument (i < count) of a checked block. */
const uint8_t *proto_block_arg(const proto_block *b, uint32_t i, uint32_t *len);
/* Appends (without frame header) arguments [from, from+count) of a block. */
void proto_block_append(hato__buf *out, const proto_block *b, uint32_t from, uint32_t count);
/* How many arguments from `from` on, at most max, fit in `room` bytes of an encoded block. */
uint32_t proto_block_fit(const proto_block *b, uint32_t from, uint32_t max, uint32_t room);

/* ARGS: u64 seq, u8 large, 3 x 0, then a block; or, large = 1, u64 total of the one
 * task's argument (UINT64_MAX: unknown), which follows in pieces when asked for by CREDIT. */
typedef struct proto_args {
  uint64_t seq;
  bool large;
  uint64_t total;
  proto_block block;
  const uint8_t *raw; /* the encoded block, borrowed */
  uint32_t raw_len;
} proto_args;
hato_status proto_args_decode(proto_args *m, const uint8_t *body, size_t n, hato_error *err);
/* A frame from arguments given as pointers: encodes as many of [*from, count) as fit one
 * frame, advances *from. Arguments must be <= PROTO_INLINE_ARG each. */
void proto_args_encode(hato__buf *out, uint64_t seq, const void *const *args, const size_t *lens, size_t *from,
                       size_t count);
void proto_args_large_encode(hato__buf *out, uint64_t seq, uint64_t total);

/* ACCEPTED: u64 seq, u64 first, u64 count. */
typedef struct proto_accepted {
  uint64_t seq, first, count;
} proto_accepted;
void proto_accepted_encode(hato__buf *out, const proto_accepted *m);
hato_status proto_accepted_decode(proto_accepted *m, const uint8_t *body, size_t n, hato_error *err);
/* REJECTED: u64 seq, u16 status, str words. */
typedef struct proto_rejected {
  uint64_t seq;
  proto_words why;
} proto_rejected;
void proto_rejected_encode(hato__buf *out, uint64_t seq, int status, const char *words);
hato_status proto_rejected_decode(proto_rejected *m, const uint8_t *body, size_t n, hato_error *err);

/* CANCEL: u8 kind (0 task numbers, 1 indices of the submission seq), 7 x 0, u64 seq,
 * u64 first, u64 last (inclusive). */
typedef struct proto_cancel {
  uint8_t by_seq;
  uint64_t seq, first, last;
} proto_cancel;
void proto_cancel_encode(hato__buf *out, const proto_cancel *m);
hato_status proto_cancel_decode(proto_cancel *m, const uint8_t *body, size_t n, hato_error *err);

/* FETCH: u64 task. Answered by RESULTS of that one task (attempt as kept), or by
 * RESOLVED with NOT_FOUND when nothing is kept (STATE: not resolved yet). Its pieces follow under CREDIT. */
void proto_fetch_encode(hato__buf *out, uint64_t task);
hato_status proto_fetch_decode(uint64_t *task, const uint8_t *body, size_t n, hato_error *err);

/* CONTROL: u32 token, then JSON text. REPLY: u32 token, u8 last, 3 x 0, then text: JSON lines,
 * whole lines a part. An error is one object {"error": words, "status": number}. */
typedef struct proto_text {
  uint32_t token;
  bool last; /* REPLY */
  const char *text;
  uint32_t len;
} proto_text;
void proto_control_encode(hato__buf *out, uint32_t token, const char *json, size_t n);
hato_status proto_control_decode(proto_text *m, const uint8_t *body, size_t n, hato_error *err);
void proto_reply_encode(hato__buf *out, uint32_t token, bool last, const char *text, size_t n);
hato_status proto_reply_decode(proto_text *m, const uint8_t *body, size_t n, hato_error *err);

/* ---- lists of task ranges: STARTED, TAKEN, INTERRUPT, RESOLVED ----
 * u32 n, then n x { u64 first, u32 count, u32 attempt, u16 value, u16 0 }.
 * value: INTERRUPT why (20, 5, …), RESOLVED the error value, else 0. RESOLVED and
 * REJECTED carry no result. An empty TAKEN is the answer "nothing left". */
typedef struct proto_run {
  uint64_t first;
  uint32_t count, attempt;
  uint16_t value;
} proto_run;
#define PROTO_RUN_SIZE 20u
void proto_runs_encode(hato__buf *out, proto_type type, const proto_run *runs, uint32_t n); /* n <= 10000 */
typedef struct proto_runs {
  uint32_t n;
  const uint8_t *raw;
} proto_runs;
hato_status proto_runs_decode(proto_runs *m, const uint8_t *body, size_t n, hato_error *err);
proto_run proto_run_at(const proto_runs *m, uint32_t i); /* i < n; counts are checked >= 1 */
/* TAKE: u32 count at most. DRAIN: u8 now (1: interrupt what runs too). */
void proto_take_encode(hato__buf *out, uint32_t count);
hato_status proto_take_decode(uint32_t *count, const uint8_t *body, size_t n, hato_error *err);
void proto_drain_encode(hato__buf *out, bool now);
hato_status proto_drain_decode(bool *now, const uint8_t *body, size_t n, hato_error *err);

/* ---- ASSIGN: u32 spec (the dispatcher's number), u8 args kind, u8 large, u16 0,
 * u64 first task, u32 index of the first in its submission, u32 attempt, u32 count, i64 start, i64 step
 * (COUNTED: start is that of the first of these), u64 total (large), then a block (EXPLICIT, not large). */
typedef struct proto_assign {
  uint32_t spec;
  uint8_t args;
  bool large;
  uint64_t first;
  uint32_t index, attempt, count;
  int64_t start, step;
  uint64_t total;
  proto_block block;
} proto_assign;
/* Appends one or more frames: as many as the block needs (m->block, arguments from `from`). */
void proto_assign_encode(hato__buf *out, const proto_assign *m, uint32_t from);
hato_status proto_assign_decode(proto_assign *m, const uint8_t *body, size_t n, hato_error *err);

/* ---- RESULTS: u32 count, then records. A record is forwarded as it came:
 * u32 size of what follows, u64 task, u32 attempt, u16 error value (0: a result), u16 flags,
 * u64 wall ns, [USAGE: u32 wait status, u32 reserved, u64 user us, u64 system us, u64 peak memory KiB],
 * [OUT_MORE: u64 total of out] [ERR_MORE: u64 total of err], bytes out, bytes err, str words.
 * With OUT_MORE (ERR_MORE) the bytes here are the stream's first and the rest, total - len(out),
 * comes or came in pieces of channel OUT (ERR), offset counted after the bytes here. */
#define PROTO_RESULT_USAGE 1u
#define PROTO_RESULT_OUT_MORE 2u
#define PROTO_RESULT_ERR_MORE 4u
typedef struct proto_result {
  uint64_t task;
  uint32_t attempt;
  uint16_t error, flags;
  uint64_t wall_ns;
  uint32_t wait_status; /* as wait4 gives it */
  uint64_t user_us, system_us, peak_kib;
  uint64_t out_total, err_total; /* = the lengths here unless MORE */
  const uint8_t *out, *err;
  uint32_t out_len, err_len;
  const char *words; /* of an error value; borrowed, not terminated */
  uint32_t words_len;
  const uint8_t *raw; /* the whole record with its size, borrowed (decode only) */
  uint32_t raw_len;
} proto_result;
#define PROTO_RESULT_ROOM (2u * PROTO_INLINE_OUT + 1024u) /* a record is never larger */
/* Begin a RESULTS frame, append records while proto_results_room allows, end. */
typedef struct proto_results_writer {
  hato__buf *out;
  size_t begun;
  uint32_t count;
} proto_results_writer;
void proto_results_begin(proto_results_writer *w, hato__buf *out);
bool proto_results_room(const proto_results_writer *w, uint32_t record_size);
void proto_results_add(proto_results_writer *w, const proto_result *r);
void proto_results_add_raw(proto_results_writer *w, const uint8_t *record, uint32_t len);
void proto_results_end(proto_results_writer *w); /* an empty one is taken back */
uint32_t proto_result_size(const proto_result *r); /* encoded, with its size field */
void proto_result_encode(hato__buf *out, const proto_result *r); /* a bare record */
typedef struct proto_results_reader {
  hato__reader r;
  uint32_t left;
} proto_results_reader;
hato_status proto_results_decode(proto_results_reader *m, const uint8_t *body, size_t n, hato_error *err);
/* 1: *r filled; 0: no more; -1: malformed (err). */
int proto_results_next(proto_results_reader *m, proto_result *r, hato_error *err);
hato_status proto_result_decode(proto_result *r, const uint8_t *record, size_t n, hato_error *err);

/* ---- PIECE: u64 task, u32 attempt, u8 channel, u8 last, u16 status (0; else the sender gave up,
 * with last), then data. CREDIT: u64 task, u32 attempt, u8 channel, 3 x 0, u64 further bytes the
 * receiver takes (at most PROTO_PAYLOAD_MAX a message). Without credit no data may be sent (an empty last piece may). */
typedef enum proto_channel { PROTO_CH_IN = 0, PROTO_CH_OUT = 1, PROTO_CH_ERR = 2 } proto_channel;
typedef struct proto_piece {
  uint64_t task;
  uint32_t attempt;
  uint8_t channel;
  bool last;
  uint16_t status;
  const uint8_t *data;
  uint32_t len;
} proto_piece;
#define PROTO_PIECE_HEAD (PROTO_HEADER + 16u) /* frame header and piece fields: what precedes the data */
void proto_piece_encode(hato__buf *out, const proto_piece *m);      /* head and data */
void proto_piece_head_encode(hato__buf *out, const proto_piece *m); /* head only, for m->len bytes that follow by reference */
hato_status proto_piece_decode(proto_piece *m, const uint8_t *body, size_t n, hato_error *err);
typedef struct proto_credit {
  uint64_t task;
  uint32_t attempt;
  uint8_t channel;
  uint64_t bytes;
} proto_credit;
void proto_credit_encode(hato__buf *out, const proto_credit *m);
hato_status proto_credit_decode(proto_credit *m, const uint8_t *body, size_t n, hato_error *err);

#endif

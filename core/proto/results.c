/* Results. Every task has one, on every hop: records are stored and loaded in one go. */
#include "proto/message.h"
#include "proto/wire.h"

#define RECORD_HEAD 28u /* size, task, attempt, error, flags, wall */
#define RECORD_USAGE 32u
#define RECORD_MIN (RECORD_HEAD + 12u)
#define FLAGS (PROTO_RESULT_USAGE | PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE)

static inline uint32_t words_of(const proto_result *r) {
  return r->words_len == 0 ? 0 : proto_words_fit(r->words, r->words_len, PROTO_RESULT_WORDS_MAX);
}

/* Fields of a record that may be absent, before its streams. */
static inline uint32_t optional_size(uint32_t flags) {
  return ((flags & PROTO_RESULT_USAGE) ? RECORD_USAGE : 0) + ((flags & PROTO_RESULT_OUT_MORE) ? 8u : 0) +
         ((flags & PROTO_RESULT_ERR_MORE) ? 8u : 0);
}

uint32_t proto_result_size(const proto_result *r) {
  return RECORD_MIN + optional_size(r->flags) + r->out_len + r->err_len + words_of(r);
}

void proto_result_encode(hato__buf *out, const proto_result *r) {
  if (r->out_len > PROTO_INLINE_OUT || r->err_len > PROTO_INLINE_OUT || (r->flags & ~FLAGS) != 0) {
    out->failed = true;
    return;
  }
  uint32_t size = proto_result_size(r);
  uint8_t *at = hato__buf_grow(out, size);
  if (at == NULL) return;
  at = proto_put_u32(at, size - 4);
  at = proto_put_u64(at, r->task);
  at = proto_put_u32(at, r->attempt);
  at = proto_put_u16(at, r->error);
  at = proto_put_u16(at, r->flags);
  at = proto_put_u64(at, r->wall_ns);
  if (r->flags & PROTO_RESULT_USAGE) {
    at = proto_put_u32(at, r->wait_status);
    at = proto_put_u32(at, 0);
    at = proto_put_u64(at, r->user_us);
    at = proto_put_u64(at, r->system_us);
    at = proto_put_u64(at, r->peak_kib);
  }
  if (r->flags & PROTO_RESULT_OUT_MORE) at = proto_put_u64(at, r->out_total);
  if (r->flags & PROTO_RESULT_ERR_MORE) at = proto_put_u64(at, r->err_total);
  at = proto_put_bytes(at, r->out, r->out_len);
  at = proto_put_bytes(at, r->err, r->err_len);
  (void)proto_put_bytes(at, r->words, words_of(r));
}

void proto_results_begin(proto_results_writer *w, hato__buf *out) {
  *w = (proto_results_writer){.out = out, .begun = out->len};
  (void)proto_frame(out, PROTO_RESULTS, 4);
}

bool proto_results_room(const proto_results_writer *w, uint32_t record_size) {
  if (w->out->failed) return false;
  size_t body = w->out->len - w->begun - PROTO_HEADER;
  return body <= PROTO_BODY_MAX && record_size <= PROTO_BODY_MAX - body;
}

void proto_results_add(proto_results_writer *w, const proto_result *r) {
  proto_result_encode(w->out, r);
  w->count++;
}

void proto_results_add_raw(proto_results_writer *w, const uint8_t *record, uint32_t len) {
  hato__buf_append(w->out, record, len);
  w->count++;
}

void proto_results_end(proto_results_writer *w) {
  if (w->out->failed) return;
  if (w->count == 0) {
    w->out->len = w->begun;
    return;
  }
  (void)proto_put_u32(w->out->data + w->begun + PROTO_HEADER, w->count);
  proto_end(w->out, w->begun);
}

/* Cold: what is wrong with a record. */
static hato_status __attribute__((cold, noinline))
wrong(hato_error *err, const char *field, const char *why) {
  return hato__fail(err, HATO_PROTOCOL, "RESULTS: %s: %s", field, why);
}

/* u32 length and bytes; NULL when they pass the end or max. */
static inline const uint8_t *take_bytes(const uint8_t **at, const uint8_t *end, uint32_t max, uint32_t *len) {
  if ((size_t)(end - *at) < 4) return NULL;
  uint32_t n = proto_load_u32(*at);
  const uint8_t *bytes = *at + 4;
  if (n > max || n > (size_t)(end - bytes)) return NULL;
  *len = n;
  *at = bytes + n;
  return bytes;
}

/* The fields before the streams, whose room has been checked. */
static inline const uint8_t *load_head(proto_result *r, const uint8_t *at) {
  r->task = proto_load_u64(at + 4);
  r->attempt = proto_load_u32(at + 12);
  r->error = proto_load_u16(at + 16);
  r->wall_ns = proto_load_u64(at + 20);
  at += RECORD_HEAD;
  r->wait_status = 0;
  r->user_us = r->system_us = r->peak_kib = 0;
  if (r->flags & PROTO_RESULT_USAGE) {
    r->wait_status = proto_load_u32(at);
    r->user_us = proto_load_u64(at + 8);
    r->system_us = proto_load_u64(at + 16);
    r->peak_kib = proto_load_u64(at + 24);
    at += RECORD_USAGE;
  }
  r->out_total = r->err_total = 0;
  if (r->flags & PROTO_RESULT_OUT_MORE) {
    r->out_total = proto_load_u64(at);
    at += 8;
  }
  if (r->flags & PROTO_RESULT_ERR_MORE) {
    r->err_total = proto_load_u64(at);
    at += 8;
  }
  return at;
}

/* A total that is said must not be less than what is here; else it is what is here. */
static inline bool total_ok(uint64_t *total, bool more, uint32_t here) {
  if (!more) *total = here;
  return *total >= here;
}

/* The record at `at`, which must end by `end`; *next is where it ends. */
static inline hato_status load(proto_result *r, const uint8_t *at, const uint8_t *end, const uint8_t **next,
                               hato_error *err) {
  size_t left = (size_t)(end - at);
  if (left < RECORD_MIN) return wrong(err, "record", "cut short");
  uint32_t size = proto_load_u32(at);
  if (size < RECORD_MIN - 4 || size > left - 4) return wrong(err, "size", "too small or past the end");
  r->raw = at;
  r->raw_len = size + 4;
  end = at + r->raw_len;
  r->flags = proto_load_u16(at + 18);
  if ((r->flags & ~FLAGS) != 0) return wrong(err, "flags", "unknown");
  if (r->raw_len < RECORD_MIN + optional_size(r->flags)) return wrong(err, "record", "cut short");
  if ((r->flags & PROTO_RESULT_USAGE) && proto_load_u32(at + RECORD_HEAD + 4) != 0)
    return wrong(err, "reserved", "not zero");
  at = load_head(r, at);
  if ((r->out = take_bytes(&at, end, PROTO_INLINE_OUT, &r->out_len)) == NULL)
    return wrong(err, "out", "cut short or too long");
  if ((r->err = take_bytes(&at, end, PROTO_INLINE_OUT, &r->err_len)) == NULL)
    return wrong(err, "err", "cut short or too long");
  const uint8_t *words = take_bytes(&at, end, PROTO_RESULT_WORDS_MAX, &r->words_len);
  if (words == NULL || (r->words_len > 0 && memchr(words, 0, r->words_len) != NULL))
    return wrong(err, "words", "cut short, too long, or with a NUL");
  r->words = (const char *)words;
  if (at != end) return wrong(err, "size", "more than its fields");
  if (!total_ok(&r->out_total, r->flags & PROTO_RESULT_OUT_MORE, r->out_len) ||
      !total_ok(&r->err_total, r->flags & PROTO_RESULT_ERR_MORE, r->err_len))
    return wrong(err, "total", "less than what is here");
  *next = end;
  return HATO_OK;
}

hato_status proto_results_decode(proto_results_reader *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_results_reader){.r = hato__reader_of(body, n)};
  uint32_t count = hato__read_u32(&m->r);
  if (m->r.failed) return wrong(err, "count", "cut short");
  if (count > hato__reader_left(&m->r) / RECORD_MIN) return wrong(err, "count", "more than the bytes hold");
  m->left = count;
  return HATO_OK;
}

int proto_results_next(proto_results_reader *m, proto_result *r, hato_error *err) {
  if (m->r.failed) {
    (void)wrong(err, "record", "after a malformed one");
    return -1;
  }
  if (m->left == 0) {
    if (m->r.at == m->r.end) return 0;
    m->r.failed = true;
    (void)wrong(err, "count", "less than the bytes hold");
    return -1;
  }
  if (load(r, m->r.at, m->r.end, &m->r.at, err) != HATO_OK) {
    m->r.failed = true;
    return -1;
  }
  m->left--;
  return 1;
}

hato_status proto_result_decode(proto_result *r, const uint8_t *record, size_t n, hato_error *err) {
  *r = (proto_result){0};
  const uint8_t *next = record;
  if (record == NULL) return wrong(err, "record", "cut short");
  hato_status status = load(r, record, record + n, &next, err);
  if (status == HATO_OK && next != record + n) status = wrong(err, "record", "bytes after it");
  return status;
}

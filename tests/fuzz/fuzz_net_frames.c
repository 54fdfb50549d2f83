/* The frame reader of connections, fed in chunks of any size, as a socket or the other end of an in-process pair
 * gives them. However a stream is cut up, the same frames come of it as of the whole, up to the first that is
 * wrong; no body is larger than allowed, and no buffer grows beyond its cap.
 *
 * An input is a byte for what kind of reader (bit 0: before admission, bit 1: a pair), a byte for the seed of the
 * cutting, and the stream. */
#include "net/recv.c" /* its turn without NNG */

#include "fuzz/fuzz.h"

typedef struct seen {
  uint32_t frames;
  uint64_t sum; /* of types and bodies */
  uint32_t limit;
} seen;

static uint64_t add(uint64_t sum, const uint8_t *at, size_t n) { /* FNV-1a */
  for (size_t i = 0; i < n; i++) sum = (sum ^ at[i]) * UINT64_C(0x100000001b3);
  return sum;
}

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  seen *s = owner;
  (void)c;
  (void)err;
  require(f->len <= s->limit && f->body == f->header + PROTO_HEADER);
  require((f->data != NULL) == (f->len >= NET_BY_REFERENCE));
  s->frames++;
  s->sum = add(add(s->sum, &f->type, 1), f->body, f->len);
  return HATO_OK;
}

static void nothing_to_send(void *owner, net_conn *c, net_out *out) {
  (void)owner;
  (void)c;
  (void)out;
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)owner;
  (void)c;
  (void)why;
  (void)words;
}

static const net_ops ops = {.frame = on_frame, .fill = nothing_to_send, .closed = on_closed};

/* What the stream holds, read at once and simply. */
static hato_status expect(const uint8_t *at, size_t n, uint32_t limit, seen *s) {
  *s = (seen){.limit = limit};
  while (n >= PROTO_HEADER) {
    proto_header h;
    if (proto_header_decode(&h, at, NULL) != HATO_OK || h.len > limit) return HATO_PROTOCOL;
    if (n - PROTO_HEADER < h.len) break;
    s->frames++;
    s->sum = add(add(s->sum, &at[3], 1), at + PROTO_HEADER, h.len);
    at += PROTO_HEADER + h.len;
    n -= PROTO_HEADER + h.len;
  }
  return HATO_OK;
}

static size_t some(uint64_t *state, size_t most) {
  *state = *state * UINT64_C(6364136223846793005) + 1442695040888963407u;
  uint64_t r = *state >> 33;
  size_t n = r % 4 == 0 ? r / 4 % 9 : r % 4 == 1 ? r / 4 % 700 : r / 4 % 40000;
  return n == 0 ? 1 : n < most ? n : most;
}

/* As a receive that NNG completed: where it was posted, and how much came. */
static hato_status receive(net_conn *c, const uint8_t *at, size_t n, size_t *taken, hato_error *err) {
  hato_status st = make_room(c, err);
  if (st != HATO_OK) return st;
  require(c->cap <= NET_BY_REFERENCE + PROTO_HEADER || c->cap <= NET_MOST_BUFFER);
  size_t room = c->cap - c->len, into = 0;
  require(room > 0);
  if (c->big != NULL) {
    size_t rest = c->big->n - c->big_have;
    require(rest > 0);
    into = n < rest ? n : rest;
    memcpy(c->big_bytes + c->big_have, at, into);
    if (room > BEHIND_BIG) room = BEHIND_BIG;
  }
  size_t behind = n - into < room ? n - into : room;
  memcpy(c->buf + c->len, at + into, behind);
  *taken = into + behind;
  take(c, *taken);
  return deliver(c, err);
}

static hato_status by_socket(const uint8_t *at, size_t n, uint64_t seed, seen *s) {
  net_conn c = {.ops = &ops, .owner = s, .limit = s->limit};
  hato_error err = {0};
  hato_status st = HATO_OK;
  atomic_init(&c.gate, NET_GATE_OPEN);
  for (size_t taken; n > 0 && st == HATO_OK; at += taken, n -= taken) {
    taken = 0;
    st = receive(&c, at, some(&seed, n), &taken, &err);
    require(st == HATO_OK || err.text[0] != 0);
  }
  net_data_unref(c.big);
  free(c.buf);
  return st;
}

/* net__pair_deliver hands on what one end filled: as bytes, and as up to NET_REFS stretches of shared data. */
static hato_status by_pair(const uint8_t *at, size_t n, uint64_t seed, seen *s) {
  net_conn to = {.ops = &ops, .owner = s, .limit = s->limit}, from = {.other = &to};
  hato_status st = HATO_OK;
  atomic_init(&to.life, 5); /* never the last hold: the end would be told on a thread of NNG */
  while (n > 0 && st == HATO_OK) {
    size_t first = some(&seed, n);
    hato__buf_append(&from.out.bytes, at, first);
    at += first;
    n -= first;
    for (from.out.n_refs = 0; from.out.n_refs < NET_REFS && n > 0;) {
      size_t part = some(&seed, n);
      uint8_t *bytes;
      net_data *d = net_data_new(part, &bytes);
      require(d != NULL);
      memcpy(bytes, at, part);
      from.out.refs[from.out.n_refs].data = d;
      from.out.refs[from.out.n_refs].at = bytes;
      from.out.refs[from.out.n_refs++].len = part;
      at += part;
      n -= part;
    }
    st = net__pair_deliver(&from);
    for (unsigned i = 0; i < from.out.n_refs; i++) net_data_unref(from.out.refs[i].data);
    hato__buf_clear(&from.out.bytes);
  }
  hato__buf_free(&from.out.bytes);
  net_data_unref(to.big);
  free(to.buf);
  free(to.words);
  return st;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size < 2) return 0;
  uint32_t limit = data[0] & 1 ? NET_ADMISSION_BODY : PROTO_BODY_MAX;
  seen whole, cut = {.limit = limit};
  hato_status want = expect(data + 2, size - 2, limit, &whole);
  hato_status got = data[0] & 2 ? by_pair(data + 2, size - 2, data[1], &cut) : by_socket(data + 2, size - 2, data[1], &cut);
  require((want == HATO_OK) == (got == HATO_OK));
  require(cut.frames == whole.frames && cut.sum == whole.sum);
  return 0;
}

/* The reader: one receive posted at a time, its frames handed on, the buffer kept as
 * small as the traffic allows. Large frames are read straight into data of their own. */
#include "net/internal.h"

#include <stdio.h>
#include <string.h>

/* Behind a large frame this much more is read at once: what follows in a stream of
 * pieces is mostly another large frame, whose beginning would be copied. */
#define BEHIND_BIG 4096u
#define SMALL_IN_A_ROW 4
#define IN_A_TURN 64 /* receives, and then others have their turn on this thread of NNG */
#define QUIET_MS 200

hato_status net__header_check(net_conn *c, const uint8_t *header, uint32_t *len, hato_error *err) {
  proto_header h;
  hato_status st = proto_header_decode(&h, header, err);
  *len = h.len;
  if (c->admission != NULL && header[0] == 0x16 && header[1] == 3)
    return hato__fail(err, HATO_PROTOCOL, "it speaks TLS, which is not spoken at this port");
  if (c->admission != NULL && st != HATO_OK && header[0] == 'H' && header[1] == 'T' &&
      h.type == PROTO_HELLO && h.len <= c->limit)
    return HATO_OK; /* of another version: its HELLO says which it speaks */
  if (st == HATO_OK && h.len > c->limit)
    return hato__fail(err, HATO_PROTOCOL, "%s: a body of %u bytes before admission, at most %u are allowed",
                      proto_type_name(h.type), h.len, c->limit);
  return st;
}

hato_status net__give(net_conn *c, const uint8_t *header, net_data *data, hato_error *err) {
  proto_header h = {.type = header[3]};
  memcpy(&h.len, header + 4, sizeof h.len);
  net_frame f = {
      .type = h.type, .len = le32toh(h.len), .header = header, .body = header + PROTO_HEADER, .data = data};
  if (c->placed != NULL) {
    f.placed = c->placed;
    f.data = NULL;
    c->placed = NULL;
  }
  hato__error_clear(err);
  hato_status st = c->ops->frame(c->owner, c, &f, err);
  if (st != HATO_OK && err->text[0] == 0)
    hato__fail(err, st, "%s: %s", proto_type_name(f.type), hato_strerror((int)st));
  return st;
}

hato_status net__big_begin(net_conn *c, const uint8_t *at, uint32_t have, uint32_t whole, hato_error *err) {
  c->flows = true;
  c->big = net_data_new(whole, &c->big_bytes);
  if (c->big == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for a frame of %u bytes", whole);
  memcpy(c->big_bytes, at, have);
  c->big_have = have;
  c->big_whole = whole;
  return HATO_OK;
}

/* The same of a frame whose data have a place of their owner's. False: it has none. */
static bool begin_placed(net_conn *c, const uint8_t *at, uint32_t have, uint32_t whole) {
  if (c->ops->place == NULL || at[3] != PROTO_PIECE || have < PROTO_PIECE_HEAD || have == whole) return false;
  uint8_t *to = c->ops->place(c->owner, c, at + PROTO_HEADER, whole - PROTO_HEADER);
  if (to == NULL || net__big_begin(c, at, PROTO_PIECE_HEAD, PROTO_PIECE_HEAD, NULL) != HATO_OK) return false;
  memcpy(to, at + PROTO_PIECE_HEAD, have - PROTO_PIECE_HEAD);
  c->placed = to;
  c->big_have = have;
  c->big_whole = whole;
  return true;
}

static hato_status give_big(net_conn *c, hato_error *err) {
  net_data *d = c->big;
  c->big = NULL;
  hato_status st = net__give(c, d->bytes, d, err);
  net_data_unref(d);
  return st;
}

/* The frame at the buffer's start is whole, or begins to be read aside, or waits for more. */
static hato_status next_frame(net_conn *c, uint32_t *at, bool *given, hato_error *err) {
  const uint8_t *header = c->buf + *at;
  uint32_t have = c->len - *at, body;
  *given = false;
  hato_status st = net__header_check(c, header, &body, err);
  if (st != HATO_OK) return st;
  uint32_t whole = PROTO_HEADER + body;
  if (body >= NET_BY_REFERENCE) {
    uint32_t take = have < whole ? have : whole;
    if (!begin_placed(c, header, take, whole)) st = net__big_begin(c, header, take, whole, err);
    if (st != HATO_OK) return st;
    *at += take;
    if (take < whole) return HATO_OK;
    *given = true;
    return give_big(c, err);
  }
  if (have < whole) {
    c->want = whole;
    return HATO_OK;
  }
  *at += whole;
  *given = true;
  return net__give(c, header, NULL, err);
}

/* Hands on every whole frame, until the gate is shut or the connection closing. */
static hato_status deliver(net_conn *c, hato_error *err) {
  /* A frame may end the admission, and the next is then another owner's. */
  const net_ops *ops = NULL;
  void *owner = NULL;
  uint32_t at = 0;
  bool given = true;
  hato_status st = HATO_OK;
  c->want = 0;
  if (c->big != NULL) {
    if (c->big_have < c->big_whole) return HATO_OK;
    ops = c->ops, owner = c->owner;
    st = give_big(c, err);
  }
  while (st == HATO_OK && given && c->len - at >= PROTO_HEADER) {
    if (c->discard || net__closing(c) || !net__gate_is_open(c)) break;
    const net_ops *now = c->ops;
    void *owner_now = c->owner;
    st = next_frame(c, &at, &given, err);
    if (given) ops = now, owner = owner_now;
  }
  if (c->discard) at = c->len;
  c->len -= at;
  if (at > 0 && c->len > 0) memmove(c->buf, c->buf + at, c->len);
  if (ops != NULL && ops->batch != NULL) ops->batch(owner, c);
  return st;
}

hato_status net__buf_room(net_conn *c, uint32_t cap, hato_error *err) {
  if (cap == c->cap) return HATO_OK;
  uint8_t *buf;
  if (c->len == 0) { /* nothing to keep: not copied */
    free(c->buf);
    buf = malloc(cap);
    if (buf == NULL) c->cap = 0;
    c->buf = buf;
  } else {
    buf = realloc(c->buf, cap);
  }
  if (buf == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for a receive buffer of %u bytes", cap);
  c->buf = buf;
  c->cap = cap;
  return HATO_OK;
}

/* What the last receive brought says how large the next should be. */
static void judge(net_conn *c, size_t n, size_t room) {
  c->grow = n == room && c->cap < NET_MOST_BUFFER;
  if (n >= c->cap / 4)
    c->small = 0;
  else if (c->small < SMALL_IN_A_ROW)
    c->small++;
}

static hato_status make_room(net_conn *c, hato_error *err) {
  if (c->admission != NULL) /* no more for a stranger than the frame that it begins needs */
    return net__buf_room(c, c->want > NET_IDLE_BUFFER ? c->want : NET_IDLE_BUFFER, err);
  uint32_t cap = c->cap < NET_IDLE_BUFFER ? NET_IDLE_BUFFER : c->cap;
  if (c->grow) cap *= 2;
  c->grow = false;
  while (cap < c->want) cap *= 2;
  if (c->small >= SMALL_IN_A_ROW && c->len == 0 && cap > NET_IDLE_BUFFER) {
    cap = cap / 4 < NET_IDLE_BUFFER ? NET_IDLE_BUFFER : cap / 4;
    c->small = 0;
  }
  return net__buf_room(c, cap, err);
}

/*
 * Of a WebSocket NNG 1.5 forgets to complete a receive that is posted after the peer closed it: one that found none
 * posted, because we were handling what had come. A send fails then, though. So once nothing has come for a while,
 * the receive is posted anew and a frame without bytes is sent behind it, which nobody sees: if it fails the peer is
 * gone, and if it does not the receive was there before whatever comes.
 */
bool net__connected(nng_stream *s) {
  nng_sockaddr a;
  return nng_stream_get_addr(s, NNG_OPT_REMADDR, &a) == 0;
}

static void probed(void *conn) {
  net_conn *c = conn;
  (void)atomic_load_explicit(&c->refs, memory_order_acquire); /* see net__bounce */
  bool closed = nng_aio_result(c->probe_aio) != 0 || !net__connected(c->stream);
  atomic_store(&c->probing, false);
  if (closed) {
    atomic_store(&c->lost, true);
    nng_aio_cancel(c->aio);
  }
  net__unref(c);
}

/* One that is under way still finds it out. */
static void probe(net_conn *c) {
  nng_iov iov = {.iov_buf = c, .iov_len = 0};
  if (atomic_exchange(&c->probing, true)) return;
  if (c->probe_aio == NULL && nng_aio_alloc(&c->probe_aio, probed, c) != 0) {
    atomic_store(&c->probing, false);
    return;
  }
  net__ref(c);
  nng_aio_set_iov(c->probe_aio, 1, &iov);
  nng_stream_send(c->stream, c->probe_aio);
}

/*
 * TLS of NNG 1.5 reads ahead. When that finds the end while no receive is posted, it closes the socket and tells
 * nobody: neither a receive that comes later nor a send would ever hear of it. So who posts one looks whether there
 * still is a connection, and once more when nothing was posted for a while: what was closed is so for the kernel
 * only after the peer has acknowledged it.
 */
static void lose(net_conn *c) {
  atomic_store(&c->lost, true);
  nng_stream_close(c->stream);
}

static void watched(void *conn);

static void watch_on(net_conn *c, unsigned posts) {
  if (atomic_exchange(&c->probing, true)) return;
  if (c->probe_aio == NULL && nng_aio_alloc(&c->probe_aio, watched, c) != 0) {
    atomic_store(&c->probing, false);
    return;
  }
  net__ref(c);
  c->watched = posts;
  nng_sleep_aio(QUIET_MS, c->probe_aio);
}

static void watched(void *conn) {
  net_conn *c = conn;
  (void)atomic_load_explicit(&c->refs, memory_order_acquire); /* see net__bounce */
  unsigned seen = c->watched;
  bool closing = net__closing(c);
  if (!closing && !net__connected(c->stream)) lose(c);
  atomic_store(&c->probing, false);
  unsigned posts = atomic_load(&c->posts);
  if (!closing && posts != seen) watch_on(c, posts);
  net__unref(c);
}

static void watch(net_conn *c) {
  unsigned posts = atomic_fetch_add(&c->posts, 1) + 1;
  if (net__connected(c->stream))
    watch_on(c, posts);
  else
    lose(c);
}

/* Where the next bytes go: the rest of a large frame, and what follows into the buffer, in which there is room. */
static unsigned places(net_conn *c, nng_iov iov[2]) {
  unsigned n = 0;
  size_t room = c->cap - c->len;
  if (c->big != NULL) {
    uint8_t *to = c->placed ? c->placed + (c->big_have - PROTO_PIECE_HEAD) : c->big_bytes + c->big_have;
    iov[n++] = (nng_iov){.iov_buf = to, .iov_len = c->big_whole - c->big_have};
    if (room > BEHIND_BIG) room = BEHIND_BIG;
  }
  iov[n++] = (nng_iov){.iov_buf = c->buf + c->len, .iov_len = room};
  return n;
}

static hato_status post(net_conn *c, hato_error *err) {
  hato_status st = make_room(c, err);
  if (st != HATO_OK) return st;
  nng_iov iov[2];
  unsigned n = places(c, iov);
  net__ref(c); /* the callback may come, and release the connection, before this ends */
  nng_aio_set_iov(c->aio, n, iov);
  if (c->ws) nng_aio_set_timeout(c->aio, c->quiet ? NNG_DURATION_INFINITE : QUIET_MS);
  bool quiet = c->quiet; /* the reader's, who may be another when this is posted */
  nng_stream_recv(c->stream, c->aio);
  if (quiet) probe(c);
  if (c->tls) watch(c);
  if (net__closing(c)) net__take_back(c, c->aio);
  net__unref(c);
  return HATO_OK;
}

/* n bytes came. */
static void take(net_conn *c, size_t n) {
  if (n == 0) return;
  c->flows = c->big != NULL;
  atomic_store_explicit(&c->in, atomic_load_explicit(&c->in, memory_order_relaxed) + n, memory_order_relaxed);
  if (c->big != NULL) {
    size_t rest = c->big_whole - c->big_have, mine = n < rest ? n : rest;
    c->big_have += (uint32_t)mine;
    c->len += (uint32_t)(n - mine);
    return;
  }
  size_t room = c->cap - c->len;
  c->len += (uint32_t)n;
  judge(c, n, room);
}

/*
 * In the middle of large frames more is mostly there, or comes before another thread would be awake. So it is tried,
 * as the writer does it (send.c): with an aio that has no callback, which keeps the stream on this thread. What fails
 * is found out again by what is posted then. False: nothing came.
 */
static bool take_now(net_conn *c) {
  nng_iov iov[2];
  if (!c->direct || !c->flows || c->admission != NULL) return false;
  if (c->now_aio == NULL && nng_aio_alloc(&c->now_aio, NULL, NULL) != 0) return false;
  if (make_room(c, NULL) != HATO_OK) return false;
  nng_aio_set_iov(c->now_aio, places(c, iov), iov);
  nng_stream_recv(c->stream, c->now_aio);
  if (nng_aio_count(c->now_aio) == 0) nng_aio_cancel(c->now_aio);
  nng_aio_wait(c->now_aio);
  if (nng_aio_result(c->now_aio) != 0) return false;
  take(c, nng_aio_count(c->now_aio));
  return true;
}

void net__reader_failed(net_conn *c, hato_status status, const char *words) {
  if (c->admission != NULL) { /* which says it */
    net_close(c, status, words);
    return;
  }
  char text[640];
  snprintf(text, sizeof text, "%s: %s", c->peer.address, words);
  if (!net__closing(c)) hato__warn(&c->log, "PEER-ERROR", "%s", text);
  net_close(c, status, text);
}

static const char *end_words(int rv) {
  switch (rv) {
  case NNG_ECONNSHUT:
    return "the peer closed the connection";
  case NNG_EPEERAUTH: /* these three are engine.c's */
    return "it does not believe our certificate";
  case NNG_ENOTSUP:
    return "it speaks TLS, but neither TLS 1.2 nor 1.3 with a cipher of ours";
  case NNG_ECRYPTO:
    return "it does not speak TLS, or its bytes were changed on the way";
  default:
    return nng_strerror(rv);
  }
}

/* The stream ended; between frames that is how peers part. */
static void stream_ended(net_conn *c, int rv) {
  char words[128];
  hato_status why = net__status(rv);
  bool inside = c->big != NULL || c->len > 0;
  if (net__closing(c) || c->discard || !inside) {
    net_close(c, why, end_words(rv));
    return;
  }
  if (c->big != NULL)
    snprintf(words, sizeof words, "closed in the middle of a frame, after %u of its %u bytes", c->big_have,
             c->big_whole);
  else if (c->len < PROTO_HEADER)
    snprintf(words, sizeof words, "closed in the middle of a frame, after %u of the %u bytes of its header",
             c->len, PROTO_HEADER);
  else {
    uint32_t body;
    memcpy(&body, c->buf + 4, sizeof body);
    snprintf(words, sizeof words, "closed in the middle of a frame, after %u of its %u bytes", c->len,
             le32toh(body) + PROTO_HEADER);
  }
  net__reader_failed(c, HATO_PROTOCOL, words);
}

/* The reader's turn: it has the role and a hold. */
static void read_on(net_conn *c) {
  hato_error err = {0};
  for (unsigned turns = 0;; turns++) {
    if (net__closing(c)) break;
    if (!net__gate_pass(c)) return;
    hato_status st = deliver(c, &err);
    if (st != HATO_OK && c->admission != NULL && !net__closing(c)) {
      net__admission_garbage(c, st, err.text);
      st = HATO_OK;
    }
    if (st != HATO_OK) {
      net__reader_failed(c, st, err.text);
      break;
    }
    if (!net__gate_is_open(c)) continue; /* there may be more in the buffer: park, or go on */
    if (net__closing(c)) break;
    if (turns < IN_A_TURN && take_now(c)) continue;
    st = post(c, &err);
    if (st == HATO_OK) return;
    net__reader_failed(c, st, err.text);
    break;
  }
  net__unhold(c);
}

/* Of a stranger; also of one that was refused, whose bytes are dropped, but not for ever. */
static bool sent_too_much(net_conn *c) {
  if (c->admission == NULL || atomic_load_explicit(&c->in, memory_order_relaxed) <= NET_ADMISSION_BYTES)
    return false;
  char words[80];
  snprintf(words, sizeof words, "sent more than %u bytes before it was admitted", NET_ADMISSION_BYTES);
  net__reader_failed(c, HATO_PROTOCOL, words);
  return true;
}

void net__received(void *conn) {
  net_conn *c = conn;
  (void)atomic_load_explicit(&c->refs, memory_order_acquire); /* see net__bounce */
  if (c->ended) {
    net__end(c);
    return;
  }
  int rv = nng_aio_result(c->aio);
  c->quiet = c->ws && rv == NNG_ETIMEDOUT && !net__closing(c);
  if (rv != 0 && !c->quiet) {
    stream_ended(c, atomic_load(&c->lost) ? NNG_ECONNSHUT : rv);
    net__unhold(c);
    return;
  }
  if (rv == 0) take(c, nng_aio_count(c->aio));
  if (sent_too_much(c)) {
    net__unhold(c);
    return;
  }
  read_on(c);
}

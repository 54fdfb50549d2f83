/* Dialling: blocks the caller, who gets an admitted connection or words. */
#include "net/dial.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "net/tls.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define PAUSE_MOST_NS (64 * HATO__MS)
#define LOOK_MS 200

/* NNG's clock has whole milliseconds: what it ends for want of time ends after the deadline, and not just before, so
 * that who looks at the clock then knows why (race.c). */
static nng_duration time_left(const net__dial *d) {
  uint64_t now = hato__now();
  uint64_t ms = now >= d->deadline ? 1 : (d->deadline - now) / HATO__MS + 2;
  return ms > 0x7fffffff ? 0x7fffffff : (nng_duration)ms;
}

/* NNG cancels what is in flight by way of the dialer or stream that it was posted to, and still has a lock of theirs
 * when the aio has ended. So neither is freed before the aio was stopped, if that has begun. */
static void await_stop(net__dial *d) {
  pthread_mutex_lock(&d->stopping);
  pthread_mutex_unlock(&d->stopping);
}

static int connect_once(net__dial *d) {
  nng_stream_dialer *dialer = NULL;
  int rv = nng_stream_dialer_alloc(&dialer, d->url);
  if (rv != 0) return rv;
  if (d->kind != HATO__SCHEME_SOCKET) (void)nng_stream_dialer_set_bool(dialer, NNG_OPT_TCP_NODELAY, true);
  if (hato__scheme_is_ws(d->kind)) (void)nng_stream_dialer_set_size(dialer, NNG_OPT_WS_RECVMAXFRAME, NET_WS_FRAME);
  if (hato__scheme_is_encrypted(d->kind)) (void)nng_stream_dialer_set_ptr(dialer, NNG_OPT_TLS_CONFIG, d->tls);
  nng_aio_set_timeout(d->aio, time_left(d));
  nng_stream_dialer_dial(dialer, d->aio);
  nng_aio_wait(d->aio);
  rv = nng_aio_result(d->aio);
  if (rv == 0) d->stream = nng_aio_get_output(d->aio, 0);
  await_stop(d);
  nng_stream_dialer_close(dialer);
  nng_stream_dialer_free(dialer);
  return rv;
}

static bool may_pass(int rv) {
  return rv == NNG_EAGAIN /* the backlog of a Unix socket is full */ || rv == NNG_ECONNREFUSED ||
         rv == NNG_ENOENT || rv == NNG_ECONNRESET || rv == NNG_ECONNABORTED || rv == NNG_EUNREACHABLE;
}

uint64_t net__dial_pause(uint64_t *wait, uint64_t most) {
  uint16_t dice;
  hato__random(&dice, sizeof dice);
  uint64_t ns = *wait / 2 + *wait * dice / 65536;
  *wait = *wait * 2 < most ? *wait * 2 : most;
  return ns;
}

/* By which it is verified; NULL: it is not known. */
static const hato__certificate *certificate_of(const net_auth *auth) {
  const hato__credential *k = auth != NULL ? auth->credential : NULL;
  return k != NULL && k->certificate.name[0] != 0 ? &k->certificate : NULL;
}

/* The port is not what the scheme says; as much of it as can be known. */
static hato_status no_websocket(const net__dial *d, int rv, hato_error *err) {
  bool tls = hato__scheme_is_encrypted(d->kind);
  if (rv == NNG_EPROTO) /* with TLS it has the dispatcher's certificate */
    return hato__fail(err, HATO_PROTOCOL, tls ? "%s: who answers there speaks TLS, and no WebSocket: want tls+tcp"
                                              : "%s: who answers there speaks TLS, or no WebSocket: want wss, or tcp", d->url);
  return hato__fail(err, HATO_RESET, tls ? "%s: who answers there hung up as TLS began: want ws, if it speaks none"
                                         : "%s: who answers there hung up as a WebSocket began: want wss, if it speaks TLS", d->url);
}

static hato_status connect_words(const net__dial *d, int rv, hato_error *err) {
  if (net__tls_failure(d->kind, rv)) return net__tls_refused(d->url, certificate_of(d->auth), rv, err);
  if (hato__scheme_is_ws(d->kind) && (rv == NNG_EPROTO || rv == NNG_ECONNSHUT || rv == NNG_ECONNRESET)) return no_websocket(d, rv, err);
  if (rv == NNG_EAGAIN) return hato__fail(err, HATO_TIMED_OUT, "%s: too many others are dialling", d->url);
  if (rv == NNG_ECONNREFUSED || rv == NNG_ENOENT)
    return hato__fail(err, HATO_REFUSED, "%s: nobody listens there", d->url);
  if (rv == NNG_ETIMEDOUT) return hato__fail(err, HATO_TIMED_OUT, "%s: nobody answers there", d->url);
  if (rv == NNG_EADDRINVAL) return hato__fail(err, HATO_ADDRESS_INVALID, "%s: there is no such host", d->url);
  return net__fail_nng(err, rv, "%s", d->url);
}

/* NNG 1.5 may call a socket connected that is still about to: its poller sees the hang-up of the time before
 * connect(2). What becomes of it is then told by the first transfer. */
static bool connected(const net__dial *d) {
  return d->kind == HATO__SCHEME_SOCKET || net__connected(d->stream);
}

/* With TLS what is posted after the peer went never completes (recv.c); nor, of any kind, is told what was posted after
 * the aio was stopped: that alone must not be waited for here, and a close ends what was posted before. */
static void wait_for(net__dial *d) {
  for (unsigned n = 0; d->kind == HATO__SCHEME_TLS && !atomic_load(&d->done); n++) {
    if (atomic_load(&d->stopped)) {
      nng_stream_close(d->stream);
      break;
    }
    nanosleep(&(struct timespec){.tv_nsec = n < 50 ? 500000 : 10000000}, NULL);
    if (!atomic_load(&d->done) && !connected(d)) nng_stream_close(d->stream);
  }
  nng_aio_wait(d->aio);
}

static int move(net__dial *d, bool send, void *at, size_t n, nng_duration ms) {
  nng_iov iov = {.iov_buf = at, .iov_len = n};
  atomic_store(&d->done, false);
  nng_aio_set_iov(d->aio, 1, &iov);
  nng_aio_set_timeout(d->aio, ms);
  if (send)
    nng_stream_send(d->stream, d->aio);
  else
    nng_stream_recv(d->stream, d->aio);
  wait_for(d);
  return nng_aio_result(d->aio);
}

/* A receive of a WebSocket may not hear that the peer closed it; a send does (recv.c). */
static int receive(net__dial *d, void *at, size_t n) {
  for (;;) {
    nng_duration left = time_left(d);
    int rv = move(d, false, at, n, hato__scheme_is_ws(d->kind) && left > LOOK_MS ? LOOK_MS : left);
    if (rv != NNG_ETIMEDOUT || !hato__scheme_is_ws(d->kind) || left <= LOOK_MS) return rv;
    rv = move(d, true, d->body, 0, time_left(d));
    if (rv != 0) return rv;
  }
}

/* What TLS says to a peer that does not speak it: a fatal alert. */
static bool alert(const uint8_t *from, const uint8_t *to) { return to - from == 7 && from[0] == 0x15 && from[5] == 2; }

static hato_status transfer(net__dial *d, bool send, void *bytes, size_t n, hato_error *err) {
  uint8_t *at = bytes;
  while (n > 0) {
    int rv = send ? move(d, true, at, n, time_left(d)) : receive(d, at, n);
    if (rv == NNG_ECONNREFUSED || net__tls_failure(d->kind, rv) || (rv == NNG_ETIMEDOUT && !connected(d))) return connect_words(d, rv, err);
    if (rv == NNG_ETIMEDOUT)
      return hato__fail(err, HATO_TIMED_OUT, "%s: connected, but not answered in time", d->url);
    if (rv != 0 && !send && alert((uint8_t *)bytes, at))
      return hato__fail(err, HATO_PROTOCOL, "%s: who answers there speaks TLS: want %s", d->url,
                        hato__scheme_is_ws(d->kind) ? "wss" : "tls+tcp");
    if (rv == NNG_ECONNSHUT || rv == NNG_ECLOSED || rv == NNG_ECONNRESET)
      return hato__fail(err, HATO_RESET, "%s: closed before it admitted us", d->url);
    if (rv != 0) return net__fail_nng(err, rv, "%s", d->url);
    at += nng_aio_count(d->aio);
    n -= nng_aio_count(d->aio);
  }
  return HATO_OK;
}

hato_status net__dial_send(net__dial *d, hato__buf *frame, hato_error *err) {
  if (frame->failed) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", d->url);
  return transfer(d, true, frame->data, frame->len, err);
}

static hato_status refused(const net__dial *d, uint32_t len, hato_error *err) {
  proto_words w;
  hato_status st = proto_words_decode(&w, d->body, len, err);
  if (st != HATO_OK) return st;
  char words[PROTO_WORDS_MAX + 1];
  snprintf(words, sizeof words, "%.*s", (int)w.words_len, w.words != NULL ? w.words : "");
  hato__clean(words, false); /* a stranger's */
  return hato__fail(err, w.status == HATO_PROTOCOL ? HATO_PROTOCOL : HATO_PEER_AUTH, "%s: refused: %s", d->url, words);
}

hato_status net__dial_read(net__dial *d, proto_type a, proto_type b, uint8_t *type, uint32_t *len,
                              hato_error *err) {
  uint8_t header[PROTO_HEADER];
  proto_header h;
  hato_error bad = {0};
  hato_status st = transfer(d, false, header, sizeof header, err);
  if (st != HATO_OK) return st;
  hato_status wrong = proto_header_decode(&h, header, &bad);
  bool no = h.type == PROTO_REFUSED && h.len <= sizeof d->body;
  if (wrong != HATO_OK && !no) return hato__fail(err, wrong, "%s: %s", d->url, bad.text);
  if (!no && ((h.type != a && h.type != b) || h.len > sizeof d->body))
    return hato__fail(err, HATO_PROTOCOL, "%s: answered %s of %u bytes, want %s", d->url,
                      proto_type_name(h.type), h.len, proto_type_name((int)a));
  st = transfer(d, false, d->body, h.len, err);
  if (st != HATO_OK) return st;
  if (no) return refused(d, h.len, err);
  *type = h.type;
  *len = h.len;
  return HATO_OK;
}

static hato_status say_hello(net__dial *d, hato_error *err) {
  proto_hello m = {.role = (uint8_t)d->role, .version_low = PROTO_VERSION, .version_high = PROTO_VERSION};
  hato__random(m.nonce, sizeof m.nonce);
  hato__buf b = {0};
  proto_hello_encode(&b, &m);
  if (!b.failed && b.len == sizeof d->hello) memcpy(d->hello, b.data, b.len);
  hato_status st = net__dial_send(d, &b, err);
  hato__buf_free(&b);
  return st;
}

static hato_status handshake(net__dial *d, hato_error *err) {
  uint64_t uid;
  uint8_t type;
  uint32_t len;
  bool self = d->kind == HATO__SCHEME_SOCKET && net__peer_is_self(d->stream, &uid);
  d->secret = d->munge = false;
  if (d->kind == HATO__SCHEME_SOCKET && !self)
    return hato__fail(err, HATO_PEER_AUTH, "%s: user %" PRIu64 " listens there, not the one we are", d->url,
                      uid);
  hato_status st = say_hello(d, err);
  if (st != HATO_OK) return st;
  st = net__dial_read(d, PROTO_WELCOME, PROTO_CHALLENGE, &type, &len, err);
  if (st != HATO_OK) return st;
  if (type == PROTO_CHALLENGE) return net__answer_challenge(d, len, err);
  if (self) return HATO_OK;
  return hato__fail(err, HATO_PEER_AUTH, "%s: admitted us without a proof of its own", d->url);
}

void net__dial_stop(net__dial *d) {
  pthread_mutex_lock(&d->stopping);
  atomic_store(&d->stopped, true);
  nng_aio_stop(d->aio);
  pthread_mutex_unlock(&d->stopping);
}

static void done(void *dial) { atomic_store(&((net__dial *)dial)->done, true); }

hato_status net__dial_open(net__dial *d, const char *url, proto_role role, const net_auth *auth, hato_error *err) {
  *d = (net__dial){.url = url, .role = role, .auth = auth, .stopping = PTHREAD_MUTEX_INITIALIZER};
  hato_status st = net__url_check(url, &d->kind, err);
  if (st == HATO_OK) st = net__url_names_port(url, d->kind, err);
  if (st != HATO_OK || (st = net_init(err)) != HATO_OK) return st;
  if (hato__scheme_is_encrypted(d->kind) && (auth == NULL || auth->credential == NULL))
    return hato__fail(err, HATO_PEER_AUTH, "%s: takes a %s's credential, by which the dispatcher is known, too; there is "
                                           "none here", url, hato__role_name((hato__role)role));
  if (hato__scheme_is_encrypted(d->kind)) st = net__tls_client(url, certificate_of(auth), &d->tls, err);
  if (st != HATO_OK) return st;
  int rv = nng_aio_alloc(&d->aio, done, d);
  if (rv == 0) return HATO_OK;
  net__dial_close(d);
  return net__fail_nng(err, rv, "%s", url);
}

void net__dial_close(net__dial *d) {
  if (d->aio != NULL) pthread_mutex_destroy(&d->stopping);
  nng_aio_free(d->aio);
  nng_stream_free(d->stream);
  if (d->tls != NULL) nng_tls_config_free(d->tls);
  d->aio = NULL;
  d->stream = NULL;
  d->tls = NULL;
}

hato_status net__dial_attempt(net__dial *d, int *nng, hato_error *err) {
  await_stop(d);
  nng_stream_free(d->stream);
  d->stream = NULL;
  *nng = connect_once(d);
  if (*nng != 0) return connect_words(d, *nng, err);
  return handshake(d, err);
}

hato_status net__dial_take(net__dial *d, net_conn **out, hato_error *err) {
  net_conn *c;
  hato_status st = net__conn_new(d->stream, d->kind, &c, err);
  d->stream = NULL;
  if (st == HATO_OK) {
    c->peer = (net_peer){.role = d->role,
                         .local = d->kind == HATO__SCHEME_SOCKET,
                         .peer_uid = d->kind == HATO__SCHEME_SOCKET,
                         .encrypted = hato__scheme_is_encrypted(d->kind),
                         .secret = d->secret,
                         .munge = d->munge};
    if (d->secret) c->peer.id = d->auth->credential->id;
    snprintf(c->peer.address, sizeof c->peer.address, "%s", d->url);
    *out = c;
    hato__error_clear(err); /* of the tries before */
  }
  net__dial_close(d);
  return st;
}

/* Waits before the next try. False: it is past `until`. */
static bool pause_for(uint64_t *wait, uint64_t until) {
  uint64_t now = hato__now();
  if (now >= until) return false;
  uint64_t ns = net__dial_pause(wait, PAUSE_MOST_NS);
  if (ns > until - now) ns = until - now;
  nanosleep(&(struct timespec){.tv_sec = (time_t)(ns / HATO__SEC), .tv_nsec = (long)(ns % HATO__SEC)}, NULL);
  return true;
}

hato_status net_dial(const char *url, proto_role role, const net_auth *auth, unsigned timeout_ms,
                     unsigned patient_ms, net_conn **out, hato_error *err) {
  net__dial d;
  int nng = 0;
  uint64_t now = hato__now(), deadline = now + timeout_ms * HATO__MS, patience = now + patient_ms * HATO__MS;
  uint64_t wait = HATO__MS;
  *out = NULL;
  if (patience > deadline) patience = deadline;
  hato_status st = net__dial_open(&d, url, role, auth, err);
  if (st != HATO_OK) return st;
  d.deadline = deadline;
  do {
    st = net__dial_attempt(&d, &nng, err);
    /* Closed before it admitted us, it may be ending, and another come. */
  } while ((may_pass(nng) || st == HATO_RESET || st == HATO_REFUSED) && pause_for(&wait, nng == NNG_EAGAIN ? deadline : patience));
  if (st == HATO_OK) return net__dial_take(&d, out, err);
  net__dial_close(&d);
  return st;
}

/*
 * Admission, the listener's side: a connection is ours until its peer has proven itself,
 * with an owner of our own behind the same callbacks, and its frames are small. This is
 * the one place where peers are admitted.
 */
#include "net/admission.h"
#include "base/io.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void log_once(net__admission *a, hato__log_level level, const char *id, const char *reason) {
  if (a->logged) return;
  a->logged = true;
  net__refused(a->l, level, id, a->greeted, a->c->peer.address, reason);
}

static void log_refused(net__admission *a, const char *reason) {
  log_once(a, HATO__LOG_WARN, "PEER-REFUSED", reason);
}

static void answer(net__admission *a, const hato__buf *reply, bool welcomed) {
  pthread_mutex_lock(&a->l->lock);
  if (reply->failed) a->reply.failed = true;
  hato__buf_append(&a->reply, reply->data, reply->len);
  a->welcomed = welcomed;
  pthread_mutex_unlock(&a->l->lock);
  net_wake(a->c);
}

void net__refuse(net__admission *a, hato_status status, const char *words, const char *reason) {
  a->step = NET_REFUSED;
  a->c->discard = true;
  log_refused(a, reason);
  hato__buf reply = {0};
  proto_words_encode(&reply, PROTO_REFUSED, (int)status, words);
  answer(a, &reply, false);
  hato__buf_free(&reply);
}

void net__welcome(net__admission *a, const proto_proof *m) {
  a->step = NET_WELCOMED;
  a->c->peer.role = (proto_role)a->role;
  net__gate_shut(a->c); /* what else came is for the next owner */
  hato__buf reply = {0};
  proto_welcome_encode(&reply, m);
  answer(a, &reply, true); /* may end the admission */
  hato__buf_free(&reply);
}

static void challenge(net__admission *a) {
  proto_challenge m = {.version = PROTO_VERSION, .method = (uint8_t)net__method_for(a->l)};
  uint8_t body[NET_CHALLENGE_BODY] = {0};
  hato__random(m.nonce, sizeof m.nonce);
  a->step = NET_WANT_PROOF;
  a->method = m.method;
  hato__buf reply = {0};
  proto_challenge_encode(&reply, &m);
  if (!reply.failed) memcpy(body, reply.data + PROTO_HEADER, sizeof body);
  if (!net__transcript(a->transcript, hato__scheme_is_encrypted(a->l->kind) ? a->l->fingerprint : NULL, a->hello, body)) reply.failed = true;
  answer(a, &reply, false);
  hato__buf_free(&reply);
}

static bool is_same_user(net__admission *a) {
  uint64_t uid;
  char words[80];
  if (net__peer_is_self(a->c->stream, &uid)) return a->c->peer.peer_uid = true;
  snprintf(words, sizeof words, "belongs to user %" PRIu64 ", not to the session's", uid);
  net__refuse(a, HATO_PEER_AUTH, "not admitted", words);
  return false;
}

static void hello(net__admission *a, const net_frame *f) {
  proto_hello m;
  hato_error err = {0};
  char words[160];
  if (proto_hello_decode(&m, f->body, f->len, &err) != HATO_OK) {
    net__refuse(a, HATO_PROTOCOL, err.text, err.text);
    return;
  }
  if (m.version_low > PROTO_VERSION || m.version_high < PROTO_VERSION) {
    if (m.version_low == m.version_high)
      snprintf(words, sizeof words, "this hato speaks protocol version %d, the peer version %u",
               PROTO_VERSION, m.version_low);
    else
      snprintf(words, sizeof words, "this hato speaks protocol version %d, the peer versions %u to %u",
               PROTO_VERSION, m.version_low, m.version_high);
    net__refuse(a, HATO_PROTOCOL, words, words);
    return;
  }
  if (f->header[2] != m.version_low) { /* else it would be the one byte of an admission that nothing proves */
    snprintf(words, sizeof words, "HELLO: version %u in its header, want its lowest, %u", f->header[2], m.version_low);
    net__refuse(a, HATO_PROTOCOL, words, words);
    return;
  }
  a->role = m.role;
  a->greeted = true;
  net__crowd_greeted(a->l, &a->place);
  memcpy(a->hello, f->body, NET_HELLO_BODY);
  if (a->l->kind == HATO__SCHEME_SOCKET && !is_same_user(a)) return;
  if (a->l->kind == HATO__SCHEME_SOCKET && m.role == PROTO_ROLE_CLIENT)
    net__welcome(a, &(proto_proof){0});
  else
    challenge(a);
}

static hato_status admission_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)c;
  (void)err;
  net__admission *a = owner;
  char words[160];
  if (a->step == NET_WANT_HELLO && f->type == PROTO_HELLO) {
    hello(a, f);
  } else if (a->step == NET_WANT_PROOF && f->type == PROTO_PROOF) {
    net__proof(a, f);
  } else {
    snprintf(words, sizeof words, "%s before admission, want %s", proto_type_name(f->type),
             a->step == NET_WANT_HELLO ? "HELLO" : "PROOF");
    net__refuse(a, HATO_PROTOCOL, words, words);
  }
  return HATO_OK;
}

void net__admission_garbage(net_conn *c, hato_status status, const char *words) {
  net__refuse(c->admission, status, words, words);
}

static void admission_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  net__admission *a = owner;
  pthread_mutex_lock(&a->l->lock);
  if (a->reply.failed) out->bytes.failed = true;
  hato__buf_append(&out->bytes, a->reply.data, a->reply.len);
  hato__buf_clear(&a->reply);
  a->leaving = a->welcomed;
  pthread_mutex_unlock(&a->l->lock);
}

static void admission_sent(void *owner, net_conn *c) {
  net__admission *a = owner;
  if (a->leaving) c->handover = true;
}

static void admission_free(net__admission *a) {
  hato__buf_free(&a->reply);
  free(a);
}

static void admission_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  net__admission *a = owner;
  net_listener *l = a->l;
  /* Who only looked whether somebody listens is no news. */
  bool looked = why == HATO_CLOSED && atomic_load_explicit(&c->in, memory_order_relaxed) == 0;
  /* Nor is who took another of our addresses instead, or has no secret and knows it. */
  bool left = a->step == NET_WANT_PROOF && (why == HATO_CLOSED || why == HATO_RESET);
  if (left) log_once(a, HATO__LOG_INFO, "PEER-LEFT", "left before it proved itself");
  if (a->step != NET_REFUSED && !looked && !(a->step == NET_WELCOMED && why == HATO_CLOSED)) log_refused(a, words);
  c->admission = NULL;
  pthread_mutex_lock(&l->lock);
  net__crowd_leave(l, &a->place);
  pthread_cond_signal(&l->quiet);
  bool room = l->crowded && !l->closing;
  l->handing += room;
  pthread_mutex_unlock(&l->lock);
  admission_free(a);
  net_release(c);
  if (room) net__listener_room(l);
}

static const net_ops admission_ops = {
    .frame = admission_frame, .fill = admission_fill, .sent = admission_sent, .closed = admission_closed};

void net__handover(net_conn *c) {
  net__admission *a = c->admission;
  net_listener *l = a->l;
  pthread_mutex_lock(&l->lock);
  if (l->closing || !net__hold(c)) { /* too late: `closed` clears up */
    pthread_mutex_unlock(&l->lock);
    net__unhold(c);
    return;
  }
  /* That hold stands for not being started, again. */
  net__crowd_leave(l, &a->place);
  l->handing++;
  pthread_mutex_unlock(&l->lock);
  c->ops = NULL;
  c->owner = NULL;
  c->started = false;
  c->admission = NULL;
  c->limit = PROTO_BODY_MAX;
  admission_free(a);
  net__unhold(c); /* the writer's */
  l->admitted(l->arg, c);
  net__listener_room(l);
}

static void admission_fail(net_listener *l, const hato_error *err) {
  hato__warn(&l->log, "ACCEPT-FAILED", "%s", err->text);
}

void net__admission_begin(net_listener *l, nng_stream *s) {
  hato_error err = {0};
  net_conn *c;
  net__admission *a = calloc(1, sizeof *a);
  if (a == NULL) {
    nng_stream_free(s);
    hato__fail(&err, HATO_NO_MEMORY, "no memory for a new connection");
    admission_fail(l, &err);
    return;
  }
  if (net__conn_new(s, l->kind, &c, &err) != HATO_OK) {
    free(a);
    admission_fail(l, &err);
    return;
  }
  *a = (net__admission){.l = l, .c = c};
  c->admission = a;
  c->limit = NET_ADMISSION_BODY;
  c->log = l->log;
  c->peer.local = l->kind == HATO__SCHEME_SOCKET;
  c->peer.encrypted = hato__scheme_is_encrypted(l->kind);
  net__peer_address(s, c->peer.local, c->peer.address, sizeof c->peer.address);
  net__crowd_join(l, &a->place, c);
  net_start(c, &admission_ops, a);
}

/* A connection's life: what keeps it, who closes it, and what comes after. */
#include "net/internal.h"

#include <string.h>

void net__conn_init(net_conn *c) {
  *c = (net_conn){.limit = PROTO_BODY_MAX};
  atomic_init(&c->refs, 2);         /* the owner's, and ours until `closed` */
  atomic_init(&c->tx, NET_TX_BUSY); /* nobody fills before net_start */
  atomic_init(&c->in, 0);
  atomic_init(&c->sent, 0);
  atomic_init(&c->discard, false);
  atomic_init(&c->probing, false);
  atomic_init(&c->posts, 0);
  atomic_init(&c->lost, false);
}

hato_status net__conn_new(nng_stream *stream, hato__scheme kind, net_conn **out, hato_error *err) {
  *out = NULL;
  int rv = NNG_ENOMEM;
  net_conn *c = malloc(sizeof *c);
  if (c == NULL) goto fail;
  net__conn_init(c);
  if ((rv = nng_aio_alloc(&c->aio, net__received, c)) != 0) goto fail;
  if (net__is_direct(kind) && (rv = nng_aio_alloc(&c->try_aio, NULL, NULL)) != 0) goto fail;
  c->stream = stream;
  c->direct = net__is_direct(kind);
  c->ws = hato__scheme_is_ws(kind);
  c->tls = kind == HATO__SCHEME_TLS;
  atomic_init(&c->life, 3); /* until it is closed, until it is started, the reader */
  atomic_init(&c->gate, NET_GATE_PARKED);
  *out = c;
  return HATO_OK;
fail:
  if (c != NULL) net__conn_clear(c);
  free(c);
  nng_stream_free(stream);
  return net__fail_nng(err, rv, "a new connection");
}

void net__conn_clear(net_conn *c) {
  net__out_clear(c);
  hato__buf_free(&c->out.bytes);
  net_data_unref(c->big);
  free(c->buf);
  free(c->words);
  /* May run inside a callback of one of them: freed on a thread of NNG's own, when idle. */
  nng_aio_reap(c->aio);
  nng_aio_reap(c->now_aio);
  nng_aio_reap(c->try_aio);
  nng_aio_reap(c->wait_aio);
  nng_aio_reap(c->probe_aio);
}

void net__ref(net_conn *c) { atomic_fetch_add_explicit(&c->refs, 1, memory_order_acq_rel); }

void net__unref(net_conn *c) {
  if (atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1) return;
  if (c->pair != NULL) {
    net__pair_unref(c->pair);
    return;
  }
  nng_stream *stream = c->stream;
  net__conn_clear(c);
  free(c);
  nng_stream_free(stream);
}

bool net__hold(net_conn *c) {
  unsigned life = atomic_load_explicit(&c->life, memory_order_relaxed);
  do {
    if (life & NET_CLOSING) return false;
  } while (!atomic_compare_exchange_weak_explicit(&c->life, &life, life + 1, memory_order_acq_rel,
                                                  memory_order_relaxed));
  return true;
}

void net__unhold(net_conn *c) {
  if (atomic_fetch_sub_explicit(&c->life, 1, memory_order_acq_rel) != (NET_CLOSING | 1u)) return;
  /* Never here: the caller may be inside one of the owner's locks. */
  c->ended = true;
  net__bounce(c);
}

void net__bounce(net_conn *c) {
  /* Publishes what the callback reads, in a way that needs not see inside NNG. */
  atomic_fetch_add_explicit(&c->refs, 0, memory_order_release);
  nng_aio *aio = c->aio;
  if (nng_aio_begin(aio)) nng_aio_finish(aio, 0);
}

/* NNG never completes what is posted after its stream was closed. Of TLS it takes nothing back then, either, but a
 * close, also the second, ends all that there is. */
void net__take_back(net_conn *c, nng_aio *aio) {
  if (c->tls)
    nng_stream_close(c->stream);
  else
    nng_aio_cancel(aio);
}

void net__end(net_conn *c) {
  if (c->tls && c->probe_aio != NULL) nng_aio_cancel(c->probe_aio); /* it need not wait for its time */
  net__out_clear(c);
  hato__buf_free(&c->out.bytes);
  const net_ops *ops = c->ops;
  if (ops != NULL && ops->closed != NULL)
    ops->closed(c->owner, c, c->why, c->words ? c->words : hato_strerror(c->why));
  net__unref(c);
}

bool net__gate_pass(net_conn *c) {
  int gate = atomic_load_explicit(&c->gate, memory_order_acquire);
  while (gate != NET_GATE_OPEN) {
    if (atomic_compare_exchange_weak_explicit(&c->gate, &gate, NET_GATE_PARKED, memory_order_acq_rel,
                                              memory_order_acquire))
      return false;
  }
  return true;
}

void net__gate_shut(net_conn *c) {
  int open = NET_GATE_OPEN;
  atomic_compare_exchange_strong_explicit(&c->gate, &open, NET_GATE_SHUT, memory_order_acq_rel,
                                          memory_order_acquire);
}

void net__gate_open(net_conn *c) {
  if (atomic_exchange_explicit(&c->gate, NET_GATE_OPEN, memory_order_acq_rel) != NET_GATE_PARKED) return;
  /* At a pair's gate it is the other end's writer that waits. */
  net__bounce(c->other != NULL ? c->other : c);
}

void net_start(net_conn *c, const net_ops *ops, void *owner) {
  c->ops = ops;
  c->owner = owner;
  c->started = true;
  int busy = NET_TX_BUSY;
  bool woken = !atomic_compare_exchange_strong_explicit(&c->tx, &busy, NET_TX_IDLE, memory_order_acq_rel,
                                                        memory_order_acquire);
  if (woken && net__hold(c)) net__write(c);
  net__gate_open(c);
  net__unhold(c); /* that of not being started */
}

void net_close(net_conn *c, hato_status why, const char *words) {
  unsigned life = atomic_load_explicit(&c->life, memory_order_relaxed);
  do {
    if (life & NET_CLOSING) return;
  } while (!atomic_compare_exchange_weak_explicit(&c->life, &life, life | NET_CLOSING, memory_order_acq_rel,
                                                  memory_order_relaxed));
  c->why = why;
  c->words = words ? strdup(words) : NULL;
  if (c->stream != NULL) nng_stream_close(c->stream);
  if (c->other != NULL) net_close(c->other, HATO_CLOSED, "the peer closed the connection");
  net__gate_open(c); /* for those who wait there to see that it is over */
  net__unhold(c);
}

void net_release(net_conn *c) {
  if (c == NULL) return;
  if (!c->started) {
    c->started = true;
    net_close(c, HATO_CLOSED, "released");
    net__unhold(c);
  }
  net__unref(c);
}

void net_pause(net_conn *c, bool paused) {
  if (!paused) {
    net__gate_open(c);
    return;
  }
  net__gate_shut(c);
  if (net__closing(c)) net__gate_open(c);
}

const net_peer *net_peer_of(const net_conn *c) { return &c->peer; }

void net_traffic(const net_conn *c, uint64_t *in, uint64_t *out) {
  *in = atomic_load_explicit(&c->in, memory_order_relaxed);
  *out = atomic_load_explicit(&c->sent, memory_order_relaxed);
}

/*
 * The writer: fill, send, `sent`, and again until there is nothing.
 *
 * On a plain socket NNG 1.5 tries the system call inside nng_stream_send. So a send is
 * first made with an aio that has no callback: when it was done at once, which is nearly
 * always, the bytes are in the kernel on return and no thread of NNG was woken for it.
 * What is still queued then has had none of its bytes written (a write of a part ends
 * the operation, with its count), is taken back, and waits on an aio with a callback.
 */
#include "net/internal.h"

#define IOVS (NET_REFS + 1)

typedef enum progress { DONE, WAITING, FAILED } progress;

/* What of the out buffer and its stretches is not yet sent. */
static unsigned gather(net_conn *c, nng_iov iov[IOVS]) {
  unsigned n = 0;
  size_t skip = c->out_done;
  if (skip < c->out.bytes.len)
    iov[n++] = (nng_iov){.iov_buf = c->out.bytes.data + skip, .iov_len = c->out.bytes.len - skip};
  skip = skip > c->out.bytes.len ? skip - c->out.bytes.len : 0;
  for (unsigned i = 0; i < c->out.n_refs; i++) {
    size_t len = c->out.refs[i].len;
    if (skip < len)
      iov[n++] = (nng_iov){.iov_buf = (void *)(c->out.refs[i].at + skip), .iov_len = len - skip};
    skip = skip > len ? skip - len : 0;
  }
  return n;
}

/* A WebSocket's frames are as large as what is sent (a dialler's of NNG 1.5: it heeds no limit of its own). */
static unsigned cut(nng_iov *iov, unsigned n) {
  size_t room = NET_WS_FRAME;
  unsigned kept = 0;
  for (; kept < n && room > 0; kept++) {
    if (iov[kept].iov_len > room) iov[kept].iov_len = room;
    room -= iov[kept].iov_len;
  }
  return kept;
}

static void send_failed(net_conn *c, int rv) { net_close(c, net__status(rv), nng_strerror(rv)); }

/* One try that does not wait. */
static int try_now(net_conn *c) {
  nng_iov iov[IOVS];
  size_t rest = c->out_len - c->out_done;
  nng_aio_set_iov(c->try_aio, gather(c, iov), iov);
  nng_stream_send(c->stream, c->try_aio);
  if (nng_aio_count(c->try_aio) != rest) nng_aio_cancel(c->try_aio);
  nng_aio_wait(c->try_aio);
  int rv = nng_aio_result(c->try_aio);
  if (rv == 0) {
    c->out_done += nng_aio_count(c->try_aio);
    c->congested = c->out_done < c->out_len;
  } else if (rv == NNG_ECANCELED) {
    c->congested = true;
    rv = 0;
  }
  return rv;
}

static void waited(void *conn);

static progress wait_for_room(net_conn *c) {
  nng_iov iov[IOVS];
  int rv = c->wait_aio == NULL ? nng_aio_alloc(&c->wait_aio, waited, c) : 0;
  if (rv != 0) {
    send_failed(c, rv);
    return FAILED;
  }
  net__ref(c); /* as in the reader's post */
  unsigned n = gather(c, iov);
  nng_aio_set_iov(c->wait_aio, c->ws ? cut(iov, n) : n, iov);
  nng_stream_send(c->stream, c->wait_aio);
  if (net__closing(c)) net__take_back(c, c->wait_aio);
  net__unref(c);
  return WAITING;
}

static progress push(net_conn *c) {
  while (c->out_done < c->out_len) {
    if (net__closing(c)) return FAILED;
    if (!c->direct || c->congested) return wait_for_room(c);
    int rv = try_now(c);
    if (rv != 0) {
      send_failed(c, rv);
      return FAILED;
    }
  }
  return DONE;
}

void net__out_clear(net_conn *c) {
  for (unsigned i = 0; i < c->out.n_refs; i++) net_data_unref(c->out.refs[i].data);
  c->out.n_refs = 0;
  hato__buf_clear(&c->out.bytes);
}

/* All is in the kernel. False: the connection left its admission, and the writer with it. */
static bool sent(net_conn *c) {
  atomic_store_explicit(&c->sent, atomic_load_explicit(&c->sent, memory_order_relaxed) + c->out_len,
                        memory_order_relaxed);
  c->congested = false;
  net__out_clear(c);
  if (c->ops->sent != NULL) c->ops->sent(c->owner, c);
  if (!c->handover) return true;
  c->handover = false;
  net__handover(c);
  return false;
}

static progress fill(net_conn *c) {
  c->ops->fill(c->owner, c, &c->out);
  c->out_done = 0;
  c->out_len = c->out.bytes.len;
  for (unsigned i = 0; i < c->out.n_refs; i++) c->out_len += c->out.refs[i].len;
  if (!c->out.bytes.failed) return DONE;
  net_close(c, HATO_NO_MEMORY, "no memory for what was to be sent");
  return FAILED;
}

/* Nothing to send: an idle connection holds no memory for it. False: it was woken meanwhile. */
static bool become_idle(net_conn *c) {
  net__out_clear(c);
  hato__buf_free(&c->out.bytes);
  int busy = NET_TX_BUSY;
  return atomic_compare_exchange_strong_explicit(&c->tx, &busy, NET_TX_IDLE, memory_order_acq_rel,
                                                 memory_order_acquire);
}

void net__write(net_conn *c) {
  for (;;) {
    if (net__closing(c)) break;
    if (c->other != NULL && !net__gate_pass(c->other)) return;
    atomic_exchange_explicit(&c->tx, NET_TX_BUSY, memory_order_acq_rel);
    if (fill(c) != DONE) break;
    if (c->out_len == 0) {
      if (become_idle(c)) break;
      continue;
    }
    progress p = c->other != NULL ? net__pair_deliver(c) == HATO_OK ? DONE : FAILED : push(c);
    if (p == WAITING) return;
    if (p == FAILED) break;
    if (!sent(c)) return;
  }
  net__unhold(c);
}

/* The socket took some. */
static void waited(void *conn) {
  net_conn *c = conn;
  (void)atomic_load_explicit(&c->refs, memory_order_acquire);
  int rv = nng_aio_result(c->wait_aio);
  if (rv == 0) {
    c->out_done += nng_aio_count(c->wait_aio);
    switch (push(c)) {
    case WAITING:
      return;
    case FAILED:
      break;
    case DONE:
      if (sent(c)) net__write(c);
      return;
    }
  } else {
    send_failed(c, rv);
  }
  net__unhold(c);
}

void net_wake(net_conn *c) {
  int tx = NET_TX_IDLE;
  while (!atomic_compare_exchange_weak_explicit(&c->tx, &tx, tx == NET_TX_IDLE ? NET_TX_BUSY : NET_TX_AGAIN,
                                                memory_order_acq_rel, memory_order_acquire)) {
  }
  if (tx == NET_TX_IDLE && net__hold(c)) net__write(c);
}

/*
 * Two ends in one process. What an end fills is handed to the other's owner on the same
 * thread; who holds the writer's role does it, so that each direction is in order and a
 * wake inside a callback of either end only marks the role.
 */
#include "net/internal.h"

#include <string.h>

struct net__pair {
  net_conn end[2];
  atomic_uint refs;
};

/* The aio of an end brings its end, or its writer back from the other's gate. */
static void kicked(void *conn) {
  net_conn *c = conn;
  (void)atomic_load_explicit(&c->refs, memory_order_acquire);
  if (c->ended)
    net__end(c);
  else
    net__write(c);
}

static hato_status end_init(net__pair *p, int i, hato_error *err) {
  net_conn *c = &p->end[i];
  net__conn_init(c);
  int rv = nng_aio_alloc(&c->aio, kicked, c);
  if (rv != 0) return net__fail_nng(err, rv, "an in-process connection");
  c->pair = p;
  c->other = &p->end[1 - i];
  c->peer = (net_peer){.role = PROTO_ROLE_CLIENT, .peer_uid = true, .local = true};
  strcpy(c->peer.address, "this process");
  atomic_init(&c->life, 2); /* until it is closed, until it is started */
  atomic_init(&c->gate, NET_GATE_SHUT);
  return HATO_OK;
}

hato_status net_pair(net_conn **client, net_conn **server, hato_error *err) {
  *client = *server = NULL;
  hato_status st = net_init(err);
  if (st != HATO_OK) return st;
  net__pair *p = calloc(1, sizeof *p);
  if (p == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for an in-process connection");
  atomic_init(&p->refs, 2);
  st = end_init(p, 0, err);
  if (st == HATO_OK) st = end_init(p, 1, err);
  if (st != HATO_OK) {
    net__conn_clear(&p->end[0]);
    net__conn_clear(&p->end[1]);
    free(p);
    return st;
  }
  *client = &p->end[0];
  *server = &p->end[1];
  return HATO_OK;
}

void net__pair_unref(net__pair *p) {
  if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return;
  net__conn_clear(&p->end[0]);
  net__conn_clear(&p->end[1]);
  free(p);
}

/* A frame whose bytes lie apart is put together in the receiving end's buffer, or, when
 * large, in data of its own. Takes what of n bytes belongs to it. */
static hato_status assemble(net_conn *to, const uint8_t *at, size_t n, size_t *taken, hato_error *err) {
  hato_status st = HATO_OK;
  if (to->big != NULL) {
    size_t rest = to->big_whole - to->big_have, mine = n < rest ? n : rest;
    memcpy(to->big_bytes + to->big_have, at, mine);
    to->big_have += (uint32_t)mine;
    *taken = mine;
    if (to->big_have < to->big_whole) return HATO_OK;
    net_data *d = to->big;
    to->big = NULL;
    st = net__give(to, d->bytes, d, err);
    net_data_unref(d);
    return st;
  }
  uint32_t whole = PROTO_HEADER, body = 0;
  if (to->len >= PROTO_HEADER) {
    st = net__header_check(to, to->buf, &body, err);
    if (st != HATO_OK) return st;
    whole += body;
  }
  if (body >= NET_BY_REFERENCE) {
    st = net__big_begin(to, to->buf, to->len, whole, err);
    to->len = 0;
    *taken = 0;
    return st;
  }
  uint32_t rest = whole - to->len, mine = n < rest ? (uint32_t)n : rest;
  if (to->cap < whole) st = net__buf_room(to, whole, err);
  if (st != HATO_OK) return st;
  memcpy(to->buf + to->len, at, mine);
  to->len += mine;
  *taken = mine;
  if (to->len < PROTO_HEADER || to->len < whole) return HATO_OK;
  st = net__header_check(to, to->buf, &body, err);
  if (st != HATO_OK || whole < PROTO_HEADER + body) return st; /* only its header yet */
  to->len = 0;
  return net__give(to, to->buf, NULL, err);
}

/* A frame that lies whole in the stretch, large ones with data that holds it. */
static hato_status give_whole(net_conn *to, const uint8_t *at, uint32_t whole, net_data *data,
                              hato_error *err) {
  if (whole - PROTO_HEADER < NET_BY_REFERENCE) return net__give(to, at, NULL, err);
  if (data != NULL) return net__give(to, at, data, err);
  hato_status st = net__big_begin(to, at, whole, whole, err);
  if (st != HATO_OK) return st;
  net_data *d = to->big;
  to->big = NULL;
  st = net__give(to, d->bytes, d, err);
  net_data_unref(d);
  return st;
}

static hato_status feed(net_conn *to, const uint8_t *at, size_t n, net_data *data, hato_error *err) {
  hato_status st = HATO_OK;
  while (n > 0 && st == HATO_OK && !net__closing(to)) {
    size_t taken = 0;
    uint32_t body = 0;
    if (to->big != NULL || to->len > 0 || n < PROTO_HEADER) {
      st = assemble(to, at, n, &taken, err);
    } else if ((st = net__header_check(to, at, &body, err)) == HATO_OK) {
      if (n >= PROTO_HEADER + (size_t)body) {
        taken = PROTO_HEADER + (size_t)body;
        st = give_whole(to, at, (uint32_t)taken, data, err);
      } else {
        st = assemble(to, at, PROTO_HEADER, &taken, err);
      }
    }
    at += taken;
    n -= taken;
  }
  return st;
}

hato_status net__pair_deliver(net_conn *from) {
  net_conn *to = from->other;
  hato_error err = {0};
  if (!net__hold(to)) return HATO_CLOSED;
  net_out *o = &from->out;
  hato_status st = feed(to, o->bytes.data, o->bytes.len, NULL, &err);
  for (unsigned i = 0; i < o->n_refs && st == HATO_OK; i++)
    st = feed(to, o->refs[i].at, o->refs[i].len, o->refs[i].data, &err);
  atomic_store_explicit(&to->in, atomic_load_explicit(&to->in, memory_order_relaxed) + from->out_len,
                        memory_order_relaxed);
  if (to->ops->batch != NULL) to->ops->batch(to->owner, to);
  if (st != HATO_OK)
    net__reader_failed(to, st, err.text);
  else if (net__closing(to))
    st = HATO_CLOSED;
  else if (to->big == NULL && to->len == 0 && to->buf != NULL) {
    free(to->buf);
    to->buf = NULL;
    to->cap = 0;
  }
  net__unhold(to);
  return st;
}

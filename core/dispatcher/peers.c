/* Connections come and go. */
#include "dispatcher/internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

static hato_status on_frame(void *owner, net_conn *conn, const net_frame *f, hato_error *err) {
  peer *p = owner;
  (void)conn;
  atomic_store_explicit(&p->heard, hato__now(), memory_order_relaxed);
  if (f->type == PROTO_HEARTBEAT || p->dismissed) return HATO_OK;
  if (p->kind == PEER_CLIENT) {
    if (!p->introduced) return dispatcher_clients_introduce(client_of(p), f, err);
    return dispatcher_clients_frame(client_of(p), f, err);
  }
  if (!p->introduced) return dispatcher_workers_introduce(worker_of(p), f, err);
  return dispatcher_workers_frame(worker_of(p), f, err);
}

static void on_batch(void *owner, net_conn *conn) {
  (void)conn;
  dispatcher_work_pump(((peer *)owner)->d);
}

static void on_closed(void *owner, net_conn *conn, hato_status why, const char *words) {
  peer *p = owner;
  dispatcher *d = p->d;
  (void)conn;
  dispatcher_lock(d);
  p->closed = true;
  hato__list_remove(&p->link);
  d->busy_at = hato__now();
  if (why != HATO_OK && why != HATO_CLOSED)
    hato__info(&d->log, "PEER-CLOSED", "%s: %s", net_peer_of(p->conn)->address, words);
  dispatcher_outbox_free(p);
  if (p->kind == PEER_CLIENT) {
    dispatcher_clients_gone(client_of(p));
  } else {
    dispatcher_workers_gone(worker_of(p));
  }
  dispatcher_spooled_peer_gone(p);
  dispatcher_peer_unref(p);
  dispatcher_unlock(d);
  dispatcher_work_pump(d);
  /* The last touch: with no peer left the dispatcher may be destroyed. */
  dispatcher_lock(d);
  if (--d->n_peers == 0) pthread_cond_broadcast(&d->end);
  dispatcher_unlock(d);
}

static const net_ops peer_ops = {
    .frame = on_frame, .batch = on_batch, .fill = dispatcher_outbox_fill, .sent = NULL, .closed = on_closed};

void dispatcher_peer_unref(peer *p) {
  if (--p->refs > 0) return;
  net_release(p->conn);
  dispatcher_outbox_free(p);
  if (p->kind == PEER_CLIENT) {
    dispatcher_client_free(client_of(p));
  } else {
    dispatcher_worker_free(worker_of(p));
  }
}

/* ---- sent away ---- */

#define DISMISS_NS (2 * HATO__SEC) /* for a client to read why, and to hang up */

void dispatcher_peers_dismiss(peer *p) {
  if (p->kind != PEER_CLIENT) {
    net_close(p->conn, HATO_PEER_AUTH, "its credential was revoked");
    return;
  }
  p->dismissed = true;
  dispatcher_outbox_wake(p);
  p->d->dismiss_at = hato__now() + DISMISS_NS;
  dispatcher_clock_soon(p->d);
}

void dispatcher_peers_dismissed_go(dispatcher *d, uint64_t now) {
  if (now < d->dismiss_at) return;
  d->dismiss_at = UINT64_MAX;
  for (hato__link *at = d->peers.next; at != &d->peers; at = at->next) {
    peer *p = HATO__ENTRY(at, peer, link);
    if (p->dismissed) net_close(p->conn, HATO_PEER_AUTH, "its credential was revoked");
  }
}

/* ---- who comes ---- */

static peer *peer_new(proto_role role) {
  peer *p;
  if (role == PROTO_ROLE_CLIENT) {
    client *c = calloc(1, sizeof *c);
    if (!c) return NULL;
    hato__list_init(&c->waits);
    p = &c->peer;
    p->kind = PEER_CLIENT;
  } else {
    worker *w = calloc(1, sizeof *w);
    if (!w) return NULL;
    hato__list_init(&w->streams);
    p = &w->peer;
    p->kind = PEER_WORKER;
  }
  return p;
}

static hato_status peer_start(dispatcher *d, net_conn *conn, proto_role role, hato_error *err) {
  peer *p = peer_new(role);
  if (!p) return hato__fail(err, HATO_NO_MEMORY, "no memory for a connection");
  p->d = d;
  p->conn = conn;
  p->refs = 1;
  atomic_init(&p->heard, hato__now());
  p->since_wall = hato__wall_now();
  hato__list_init(&p->dirty);
  dispatcher_lock(d);
  bool holds = dispatcher_credentials_hold(d, net_peer_of(conn)); /* what it was admitted by, still */
  if (d->stopping || !holds) {
    dispatcher_unlock(d);
    free(p->kind == PEER_CLIENT ? (void *)client_of(p) : (void *)worker_of(p));
    return holds ? hato__fail(err, HATO_CLOSED, "the dispatcher is ending")
                 : hato__fail(err, HATO_PEER_AUTH, "its credential was revoked or renewed as it came");
  }
  hato__list_push(&d->peers, &p->link);
  d->n_peers++;
  d->busy_at = hato__now();
  dispatcher_unlock(d);
  net_start(conn, &peer_ops, p);
  return HATO_OK;
}

void dispatcher_peers_admitted(void *arg, net_conn *conn) {
  dispatcher *d = arg;
  hato_error err;
  if (peer_start(d, conn, net_peer_of(conn)->role, &err) == HATO_OK) return;
  net_close(conn, err.status, err.text);
  net_release(conn);
}

hato_status dispatcher_peers_embed(dispatcher *d, net_conn *server, hato_error *err) {
  return peer_start(d, server, PROTO_ROLE_CLIENT, err);
}

/* The scheduler's actions, carried out. */
#include "dispatcher/internal.h"

#define STEP 1000 /* actions under one hold of the lock */

static void put_runs(peer *p, proto_type type, const proto_run *run) {
  if (p->closed) return;
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(p, &begun);
  proto_runs_encode(b, type, run, 1);
  dispatcher_outbox_done(p, begun);
}

static worker *worker_by_handle(dispatcher *d, sched_daemon h) {
  worker *w = NULL;
  HASH_FIND(hh, d->workers, &h, sizeof h, w);
  return w;
}

/* A daemon that is gone needs no word: sched hears of that too and takes its tasks back. */
static void do_send(dispatcher *d, const sched_action *a) {
  worker *w = worker_by_handle(d, a->daemon);
  if (!w || w->peer.closed) return;
  chunk *c = a->data;
  dispatcher_specs_ensure(w, c->sub->spec);
  dispatcher_outbox_assign(&w->peer, c, a->first, a->count, a->attempt);
}

static void do_take(dispatcher *d, const sched_action *a) {
  worker *w = worker_by_handle(d, a->daemon);
  if (!w || w->peer.closed) return;
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&w->peer, &begun);
  proto_take_encode(b, a->count);
  dispatcher_outbox_done(&w->peer, begun);
}

static void do_interrupt(dispatcher *d, const sched_action *a) {
  worker *w = worker_by_handle(d, a->daemon);
  if (!w) return;
  proto_run run = {.first = a->first, .count = a->count, .attempt = a->attempt, .value = (uint16_t)a->value};
  put_runs(&w->peer, PROTO_INTERRUPT, &run);
}

static void do_resolve(const sched_action *a) {
  chunk *c = a->data;
  submission *s = c->sub;
  if (s->detached) {
    dispatcher_kept_error(s, a->first, a->count, a->value);
  } else if (s->client) {
    proto_run run = {
        .first = a->first, .count = a->count, .attempt = a->attempt, .value = (uint16_t)a->value};
    put_runs(&s->client->peer, PROTO_RESOLVED, &run);
  }
  dispatcher_work_account(s, a->first, a->count, a->count);
}

static void do_owner_end(dispatcher *d, const sched_action *a) {
  client *c = NULL;
  HASH_FIND(hh, d->clients, &a->owner, sizeof a->owner, c);
  if (!c) return;
  HASH_DEL(d->clients, c);
  c->owner = 0;
  dispatcher_peer_unref(&c->peer);
}

static void carry_out(dispatcher *d, const sched_action *a) {
  switch (a->type) {
  case SCHED_SEND:
    do_send(d, a);
    break;
  case SCHED_TAKE:
    do_take(d, a);
    break;
  case SCHED_INTERRUPT:
    do_interrupt(d, a);
    break;
  case SCHED_RESOLVE:
    do_resolve(a);
    break;
  case SCHED_RELEASE:
    dispatcher_chunk_unref(a->data);
    break;
  case SCHED_OWNER_END:
    do_owner_end(d, a);
    break;
  }
}

void dispatcher_work_pump(dispatcher *d) {
  sched_action actions[STEP];
  bool more = true;
  while (more) {
    dispatcher_lock(d);
    size_t n = sched_next(d->sched, hato__now(), actions, STEP, &more);
    for (size_t i = 0; i < n; i++) carry_out(d, &actions[i]);
    if (n > 0) dispatcher_clock_soon(d);
    bool dirty = !hato__list_empty(&d->dirty);
    dispatcher_unlock(d);
    if (dirty) dispatcher_flush(d);
  }
}

void dispatcher_work_account(submission *s, uint64_t first, uint64_t count, uint64_t failed) {
  dispatcher *d = s->d;
  s->unresolved -= count;
  s->failed += failed;
  d->ok += count - failed;
  d->failed += failed;
  if (!s->detached) return;
  if (s->unresolved == 0) s->resolved_wall = hato__wall_now();
  if (!hato__list_empty(&d->waits)) dispatcher_waits_resolved(s, first, count);
}

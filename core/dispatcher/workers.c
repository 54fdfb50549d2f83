/* What daemons say. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX 65536u

static hato_status enlist(worker *w, const proto_daemon *m, hato_error *err) {
  dispatcher *d = w->peer.d;
  hato_status st = sched_daemon_joined(d->sched, hato__now(), m->slots, &w->handle);
  if (st) {
    w->handle = 0;
    return hato__fail(err, st, "the daemon on %s could not be enlisted: %s", w->host, hato_strerror(st));
  }
  w->number = ++d->next_worker;
  w->joined_wall = hato__wall_now();
  w->peer.introduced = true;
  HASH_ADD(hh, d->workers, handle, sizeof w->handle, w);
  dispatcher_launch_joined(w);
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&w->peer, &begun);
  proto_enlisted_encode(b, &(proto_enlisted){.number = w->number, .heartbeat_ms = d->heartbeat_ms});
  dispatcher_outbox_done(&w->peer, begun);
  return HATO_OK;
}

hato_status dispatcher_workers_introduce(worker *w, const net_frame *f, hato_error *err) {
  dispatcher *d = w->peer.d;
  proto_daemon m;
  if (f->type != PROTO_DAEMON)
    return hato__fail(err, HATO_PROTOCOL, "a daemon's first message was %s, DAEMON was wanted",
                      proto_type_name(f->type));
  hato_status st = proto_daemon_decode(&m, f->body, f->len, err);
  if (st) return st;
  if (m.slots == 0 || m.slots > SLOTS_MAX)
    return hato__fail(err, HATO_PROTOCOL, "DAEMON: %u slots, 1 to %u were wanted", m.slots, SLOTS_MAX);
  if (m.launch != net_peer_of(w->peer.conn)->id)
    return hato__fail(err, HATO_PEER_AUTH, "a daemon with the credential of launch %llu says it is of launch %llu",
                      (unsigned long long)net_peer_of(w->peer.conn)->id, (unsigned long long)m.launch);
  w->host = hato__strndup(m.host, m.host_len);
  w->version = hato__strndup(m.version, m.version_len);
  if (!w->host || !w->version) return hato__fail(err, HATO_NO_MEMORY, "no memory for a daemon");
  hato__clean(w->host, false);
  hato__clean(w->version, false);
  w->id = m.id;
  w->launch = m.launch;
  w->member = m.member;
  w->slots = m.slots;
  w->cores = m.cores;
  w->pid = m.pid;
  dispatcher_lock(d);
  st = enlist(w, &m, err);
  dispatcher_unlock(d);
  if (!st)
    hato__info(&d->log, "DAEMON-JOINED", "daemon %u on %s, process %u, %u slots", w->number, w->host, w->pid,
               w->slots);
  return st;
}

void dispatcher_worker_free(worker *w) {
  dispatcher_specs_worker_gone(w);
  free(w->host);
  free(w->version);
  free(w);
}

void dispatcher_workers_gone(worker *w) {
  dispatcher *d = w->peer.d;
  if (!w->peer.introduced) return;
  HASH_DEL(d->workers, w);
  dispatcher_specs_worker_gone(w);
  dispatcher_streams_worker_gone(w);
  dispatcher_launch_left(w);
  sched_daemon_disconnected(d->sched, hato__now(), w->handle);
  dispatcher_clock_soon(d);
  hato__info(&d->log, "DAEMON-LEFT", "daemon %u on %s", w->number, w->host);
}

/* ---- results ---- */

#define GROUP 256u /* records under one hold of the lock */

typedef struct pass { /* accepted records of one group on their way to a client */
  client *to;
  proto_results_writer writer;
  size_t begun;
} pass;

static void pass_end(pass *p) {
  if (!p->to) return;
  proto_results_end(&p->writer);
  dispatcher_outbox_done(&p->to->peer, p->begun);
  p->to = NULL;
}

static void pass_add(pass *p, client *to, const proto_result *r) {
  if (p->to != to || !proto_results_room(&p->writer, r->raw_len)) {
    pass_end(p);
    p->to = to;
    proto_results_begin(&p->writer, dispatcher_outbox_bytes(&to->peer, &p->begun));
  }
  proto_results_add_raw(&p->writer, r->raw, r->raw_len);
}

static bool has_more(const proto_result *r) {
  return (r->flags & (PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE)) != 0;
}

/* A record of a task: sched says whose it is, or that it comes too late. */
static void one_result(worker *w, uint64_t now, const proto_result *r, pass *p, bool forward) {
  dispatcher *d = w->peer.d;
  void *data = NULL;
  bool streamed = !hato__list_empty(&w->streams) || has_more(r);
  if (!sched_finished(d->sched, now, w->handle, r->task, r->attempt, r->wall_ns, NULL, &data)) {
    if (streamed) {
      pass_end(p);
      dispatcher_streams_record(w, r, NULL, NULL);
    }
    return;
  }
  w->done++;
  submission *s = ((chunk *)data)->sub;
  if (s->detached) {
    dispatcher_streams_record(w, r, NULL, s);
    return;
  }
  client *to = s->client && !s->client->peer.closed ? s->client : NULL;
  if (to && forward) pass_add(p, to, r);
  if (streamed) {
    pass_end(p);
    dispatcher_streams_record(w, r, to, s);
  }
  dispatcher_work_account(s, r->task, 1, r->error || r->wait_status);
}

/* The one client that a large frame may go to as it came; NULL: it must be taken apart. */
static client *whole_frame_to(dispatcher *d, worker *w, const proto_result *r, uint32_t n) {
  client *to = NULL;
  for (uint32_t i = 0; i < n; i++) {
    sched_task_info t = sched_find(d->sched, r[i].task);
    if (t.state == SCHED_UNKNOWN || t.state == SCHED_RESOLVED || t.daemon != w->handle ||
        t.attempt != r[i].attempt)
      return NULL;
    const submission *s = ((const chunk *)t.data)->sub;
    if (s->detached || !s->client || s->client->peer.closed || (to && to != s->client)) return NULL;
    to = s->client;
  }
  return to;
}

static void results_group(worker *w, const net_frame *f, const proto_result *r, uint32_t n, bool whole) {
  dispatcher *d = w->peer.d;
  pass p = {0};
  uint64_t now = hato__now();
  dispatcher_lock(d);
  client *to = whole && f->data ? whole_frame_to(d, w, r, n) : NULL;
  if (to) dispatcher_outbox_data(&to->peer, f->data, f->header, PROTO_HEADER + f->len);
  for (uint32_t i = 0; i < n; i++) one_result(w, now, &r[i], &p, !to);
  dispatcher_launch_worked(w);
  pass_end(&p);
  dispatcher_unlock(d);
}

static hato_status on_results(worker *w, const net_frame *f, hato_error *err) {
  proto_results_reader reader;
  proto_result r[GROUP];
  hato_status st = proto_results_decode(&reader, f->body, f->len, err);
  if (st) return st;
  bool first = true;
  for (int more = 1; more > 0;) {
    uint32_t n = 0;
    while (n < GROUP && (more = proto_results_next(&reader, &r[n], err)) > 0) n++;
    if (more < 0) return HATO_PROTOCOL;
    if (n > 0) results_group(w, f, r, n, first && reader.left == 0);
    first = false;
  }
  return HATO_OK;
}

/* ---- the rest ---- */

/* STARTED, and TAKEN: what it gives back, which ends a TAKE. */
static hato_status on_runs(worker *w, const net_frame *f, hato_error *err) {
  dispatcher *d = w->peer.d;
  proto_runs m;
  hato_status st = proto_runs_decode(&m, f->body, f->len, err);
  if (st) return st;
  uint64_t now = hato__now();
  dispatcher_lock(d);
  for (uint32_t i = 0; i < m.n; i++) {
    proto_run r = proto_run_at(&m, i);
    if (f->type == PROTO_STARTED) {
      sched_started(d->sched, now, w->handle, r.first, r.count, r.attempt);
    } else {
      sched_returned(d->sched, now, w->handle, r.first, r.count, r.attempt);
    }
  }
  if (f->type == PROTO_TAKEN) sched_take_answered(d->sched, now, w->handle);
  dispatcher_clock_soon(d);
  dispatcher_unlock(d);
  return HATO_OK;
}

static hato_status on_drain(worker *w, const net_frame *f, hato_error *err) {
  bool now;
  hato_status st = proto_drain_decode(&now, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(w->peer.d);
  w->orderly = true;
  sched_daemon_draining(w->peer.d->sched, hato__now(), w->handle);
  dispatcher_unlock(w->peer.d);
  return HATO_OK;
}

static hato_status on_piece(worker *w, const net_frame *f, hato_error *err) {
  proto_piece m;
  hato_status st = proto_piece_decode(&m, f->body, f->len, err);
  if (st) return st;
  if (m.channel == PROTO_CH_IN)
    return hato__fail(err, HATO_PROTOCOL, "PIECE: a daemon sends channels 1 and 2 only");
  return dispatcher_streams_piece_out(w, f, &m, err);
}

static hato_status on_credit(worker *w, const net_frame *f, hato_error *err) {
  proto_credit m;
  hato_status st = proto_credit_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_streams_credit_worker(w, &m);
  return HATO_OK;
}

hato_status dispatcher_workers_frame(worker *w, const net_frame *f, hato_error *err) {
  switch (f->type) {
  case PROTO_RESULTS:
    return on_results(w, f, err);
  case PROTO_STARTED:
  case PROTO_TAKEN:
    return on_runs(w, f, err);
  case PROTO_PIECE:
    return on_piece(w, f, err);
  case PROTO_CREDIT:
    return on_credit(w, f, err);
  case PROTO_DRAIN:
    return on_drain(w, f, err);
  case PROTO_GOODBYE:
    dispatcher_lock(w->peer.d);
    w->orderly = true;
    dispatcher_unlock(w->peer.d);
    net_close(w->peer.conn, HATO_OK, "goodbye");
    return HATO_OK;
  default:
    return hato__fail(err, HATO_PROTOCOL, "a daemon sent %s", proto_type_name(f->type));
  }
}

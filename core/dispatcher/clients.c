/* What clients say. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

hato_status dispatcher_clients_introduce(client *c, const net_frame *f, hato_error *err) {
  dispatcher *d = c->peer.d;
  proto_client m;
  if (f->type != PROTO_CLIENT)
    return hato__fail(err, HATO_PROTOCOL, "a client's first message was %s, CLIENT was wanted",
                      proto_type_name(f->type));
  hato_status st = proto_client_decode(&m, f->body, f->len, err);
  if (st) return st;
  char *label = hato__strndup(m.label, m.label_len);
  if (!label) return hato__fail(err, HATO_NO_MEMORY, "no memory for a client");
  hato__clean(label, false);
  dispatcher_lock(d);
  st = sched_owner_open(d->sched, &c->owner);
  if (st) {
    free(label);
    c->owner = 0;
    hato__fail(err, st, "no room for another client");
  } else {
    c->id = m.id;
    c->label = label;
    c->peer.introduced = true;
    c->peer.refs++; /* until OWNER_END */
    d->n_clients++;
    HASH_ADD(hh, d->clients, owner, sizeof c->owner, c);
  }
  dispatcher_unlock(d);
  if (!st) hato__debug(&d->log, "CLIENT-JOINED", "%s", label);
  return st;
}

void dispatcher_client_free(client *c) {
  free(c->label);
  free(c);
}

void dispatcher_clients_gone(client *c) {
  dispatcher *d = c->peer.d;
  if (!c->peer.introduced) return;
  d->n_clients--;
  dispatcher_waits_client_gone(c);
  dispatcher_tasks_free(c);
  dispatcher_streams_client_gone(c);
  dispatcher_submit_client_gone(c);
  dispatcher_specs_client_gone(c);
  sched_owner_lost(d->sched, hato__now(), c->owner, HATO_CLOSED);
}

static hato_status on_spec(client *c, const net_frame *f, hato_error *err) {
  proto_part m;
  hato_status st = proto_spec_part_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(c->peer.d);
  st = dispatcher_specs_part(c, &m, err);
  dispatcher_unlock(c->peer.d);
  return st;
}

static hato_status on_object(client *c, const net_frame *f, hato_error *err) {
  proto_object m;
  hato_status st = proto_object_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(c->peer.d);
  st = dispatcher_objects_part(c, &m, err);
  dispatcher_unlock(c->peer.d);
  return st;
}

static hato_status on_spec_drop(client *c, const net_frame *f, hato_error *err) {
  uint32_t number;
  hato_status st = proto_spec_drop_decode(&number, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(c->peer.d);
  dispatcher_specs_drop(c, number);
  dispatcher_unlock(c->peer.d);
  return HATO_OK;
}

static hato_status on_submit(client *c, const net_frame *f, hato_error *err) {
  proto_submit m;
  hato_status st = proto_submit_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(c->peer.d);
  st = dispatcher_submit_open(c, &m, err);
  dispatcher_unlock(c->peer.d);
  return st;
}

static hato_status on_args(client *c, const net_frame *f, hato_error *err) {
  proto_args m;
  hato_status st = proto_args_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(c->peer.d);
  st = dispatcher_submit_args(c, &m, f, err);
  dispatcher_unlock(c->peer.d);
  return st;
}

/* Of a submission of its own by index, also before its numbers have reached the client. */
static hato_status on_cancel(client *c, const net_frame *f, hato_error *err) {
  dispatcher *d = c->peer.d;
  proto_cancel m;
  hato_status st = proto_cancel_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(d);
  const submission *s = m.by_seq ? dispatcher_submit_find(c, m.seq) : NULL;
  if (s && m.first < s->count) {
    m.last = m.last < s->count ? m.last : s->count - 1;
    m.first += s->first;
    m.last += s->first;
  }
  if (s || !m.by_seq)
    sched_cancel(d->sched, hato__now(), m.first, m.last, m.by_seq ? c->owner : 0, HATO_CANCELLED);
  dispatcher_unlock(d);
  return HATO_OK;
}

static hato_status on_fetch(client *c, const net_frame *f, hato_error *err) {
  uint64_t task;
  hato_status st = proto_fetch_decode(&task, f->body, f->len, err);
  if (st) return st;
  dispatcher_lock(c->peer.d);
  dispatcher_kept_fetch(c, task);
  dispatcher_unlock(c->peer.d);
  return HATO_OK;
}

static hato_status on_control(client *c, const net_frame *f, hato_error *err) {
  proto_text m;
  hato_status st = proto_control_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_control_request(c, &m);
  return HATO_OK;
}

static hato_status on_piece(client *c, const net_frame *f, hato_error *err) {
  proto_piece m;
  hato_status st = proto_piece_decode(&m, f->body, f->len, err);
  if (st) return st;
  if (m.channel != PROTO_CH_IN) return hato__fail(err, HATO_PROTOCOL, "PIECE: a client sends channel 0 only");
  return dispatcher_streams_piece_in(c, f, &m, err);
}

static hato_status on_credit(client *c, const net_frame *f, hato_error *err) {
  proto_credit m;
  hato_status st = proto_credit_decode(&m, f->body, f->len, err);
  if (st) return st;
  dispatcher_streams_credit_client(c, &m);
  return HATO_OK;
}

hato_status dispatcher_clients_frame(client *c, const net_frame *f, hato_error *err) {
  switch (f->type) {
  case PROTO_SPEC:
    return on_spec(c, f, err);
  case PROTO_SPEC_DROP:
    return on_spec_drop(c, f, err);
  case PROTO_OBJECT:
    return on_object(c, f, err);
  case PROTO_SUBMIT:
    return on_submit(c, f, err);
  case PROTO_ARGS:
    return on_args(c, f, err);
  case PROTO_CANCEL:
    return on_cancel(c, f, err);
  case PROTO_FETCH:
    return on_fetch(c, f, err);
  case PROTO_CONTROL:
    return on_control(c, f, err);
  case PROTO_PIECE:
    return on_piece(c, f, err);
  case PROTO_CREDIT:
    return on_credit(c, f, err);
  case PROTO_GOODBYE:
    net_close(c->peer.conn, HATO_OK, "goodbye");
    return HATO_OK;
  default:
    return hato__fail(err, HATO_PROTOCOL, "a client sent %s", proto_type_name(f->type));
  }
}

/* Frames from the dispatcher. */
#include "base/clock.h"
#include "base/error.h"
#include "daemon/state.h"

static hato_status on_enlisted(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_enlisted m;
  hato_status rc = proto_enlisted_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  if (m.heartbeat_ms == 0) return hato__fail(err, HATO_PROTOCOL, "ENLISTED: heartbeat: 0 ms");
  d->beat_ns = (uint64_t)m.heartbeat_ms * HATO__MS;
  d->next_beat = hato__now() + d->beat_ns;
  hato__info(d->log, "DAEMON-ENLISTED", "daemon %u of the session, %u slots", m.number, d->n_slots);
  daemon_nudge(d);
  return HATO_OK;
}

static hato_status on_goodbye(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_words m;
  hato_status rc = proto_words_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  hato__info(d->log, "DAEMON-GOODBYE", "the dispatcher said goodbye: %.*s", (int)m.words_len, m.words);
  daemon_end(d, DAEMON_EXIT_OK, HATO_OK, "%.*s", (int)m.words_len, m.words);
  return HATO_OK;
}

static hato_status on_drain(daemon_state *d, const net_frame *f, hato_error *err) {
  bool now;
  hato_status rc = proto_drain_decode(&now, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  d->draining = true;
  if (now) {
    daemon_return_all(d);
    d->drain_next = hato__now();
  }
  daemon_nudge(d);
  return HATO_OK;
}

static hato_status on_interrupt(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_runs m;
  hato_status rc = proto_runs_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  for (uint32_t i = 0; i < m.n; i++) {
    proto_run r = proto_run_at(&m, i);
    daemon_interrupt_queued(d, &r);
    for (unsigned s = 0; s < d->n_slots; s++)
      if (d->slots[s].outstanding > 0) daemon_slot_interrupt(d, &d->slots[s], &r);
  }
  return HATO_OK;
}

static hato_status on_take(daemon_state *d, const net_frame *f, hato_error *err) {
  uint32_t count;
  hato_status rc = proto_take_decode(&count, f->body, f->len, err);
  if (rc == HATO_OK) daemon_take(d, count);
  return rc;
}

/* Input for a task that runs; of one that is over it is dropped. */
static hato_status on_piece(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_piece m;
  hato_status rc = proto_piece_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  daemon_stream *s = daemon_stream_find(d, m.task, m.attempt);
  if (s && m.channel == PROTO_CH_IN && !d->slots[s->slot].ended) daemon_slot_piece(d, &d->slots[s->slot], f);
  return HATO_OK;
}

static hato_status on_credit(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_credit m;
  hato_status rc = proto_credit_decode(&m, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  daemon_stream *s = daemon_stream_find(d, m.task, m.attempt);
  if (s && m.channel != PROTO_CH_IN) proto_credit_encode(daemon_slot_out(d, &d->slots[s->slot]), &m);
  return HATO_OK;
}

static hato_status handle(daemon_state *d, const net_frame *f, hato_error *err) {
  switch (f->type) {
  case PROTO_ASSIGN:
    return daemon_assign(d, f, err);
  case PROTO_PIECE:
    return on_piece(d, f, err);
  case PROTO_CREDIT:
    return on_credit(d, f, err);
  case PROTO_SPEC:
    return daemon_spec_part(d, f, err);
  case PROTO_SPEC_DROP:
    return daemon_spec_gone(d, f, err);
  case PROTO_TAKE:
    return on_take(d, f, err);
  case PROTO_INTERRUPT:
    return on_interrupt(d, f, err);
  case PROTO_DRAIN:
    return on_drain(d, f, err);
  case PROTO_ENLISTED:
    return on_enlisted(d, f, err);
  case PROTO_GOODBYE:
    return on_goodbye(d, f, err);
  case PROTO_HEARTBEAT:
    return HATO_OK;
  default:
    return hato__fail(err, HATO_PROTOCOL, "%s (%u) is not for a daemon", proto_type_name(f->type), f->type);
  }
}

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)c;
  daemon_state *d = owner;
  atomic_store_explicit(&d->heard, true, memory_order_relaxed);
  if (f->type == PROTO_OBJECT) return daemon_object_part(d, f, err); /* file I/O: without the lock */
  daemon_lock(d);
  hato_status rc = handle(d, f, err);
  pthread_mutex_unlock(&d->lock);
  return rc;
}

static void on_batch(void *owner, net_conn *c) {
  (void)c;
  daemon_state *d = owner;
  daemon_lock(d);
  daemon_hand_out(d);
  daemon_settle(d);
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)c;
  daemon_state *d = owner;
  daemon_lock(d);
  d->closed = true;
  if (d->goodbye >= 2) daemon_end(d, DAEMON_EXIT_OK, HATO_OK, "the dispatcher let it go");
  daemon_end(d, DAEMON_EXIT_LOST, why == HATO_OK ? HATO_CLOSED : why,
             "lost the connection to the dispatcher: %s", words ? words : hato_strerror(why));
  daemon_nudge(d);
  pthread_mutex_unlock(&d->lock);
}

const net_ops daemon_ops = {
    .frame = on_frame, .batch = on_batch, .fill = daemon_fill, .sent = daemon_sent, .closed = on_closed};

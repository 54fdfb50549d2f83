/* What goes to the dispatcher: control frames, results, the ranges that started, and
 * pieces by reference. A fill takes all of the first and a few pieces. */
#include "daemon/state.h"
#include <stdlib.h>

void daemon_lock(daemon_state *d) { pthread_mutex_lock(&d->lock); }

void daemon_settle(daemon_state *d) {
  hato__link *l;
  while ((l = hato__list_pop(&d->flush))) daemon_slot_flush(d, HATO__ENTRY(l, daemon_slot, flush));
  bool wake = d->wake && d->conn && !d->closed;
  d->wake = false;
  net_conn *conn = d->conn;
  pthread_mutex_unlock(&d->lock);
  if (wake) net_wake(conn);
}

static void end_results(daemon_state *d) {
  if (!d->results_open) return;
  proto_results_end(&d->results);
  d->results_open = false;
}

/* A RESULTS frame at the end of the outbox with room for len bytes more. */
static proto_results_writer *results(daemon_state *d, uint32_t len) {
  if (d->results_open && !proto_results_room(&d->results, len)) end_results(d);
  if (!d->results_open) {
    proto_results_begin(&d->results, &d->out);
    d->results_open = true;
  }
  d->wake = true;
  return &d->results;
}

hato__buf *daemon_control(daemon_state *d) {
  end_results(d);
  d->wake = true;
  return &d->out;
}

void daemon_started(daemon_state *d, uint64_t first, uint32_t count, uint32_t attempt) {
  d->wake = true;
  if (d->n_started > 0) {
    proto_run *last = &d->started[d->n_started - 1];
    if (last->attempt == attempt && last->first + last->count == first && last->count <= UINT32_MAX - count) {
      last->count += count;
      return;
    }
  }
  if (d->n_started == d->cap_started) {
    unsigned cap = d->cap_started ? 2 * d->cap_started : 64;
    proto_run *grown = realloc(d->started, cap * sizeof *grown);
    if (!grown) {
      daemon_no_memory(d);
      return;
    }
    d->started = grown;
    d->cap_started = cap;
  }
  d->started[d->n_started++] = (proto_run){.first = first, .count = count, .attempt = attempt};
}

void daemon_result(daemon_state *d, const proto_result *r) {
  proto_results_add(results(d, proto_result_size(r)), r);
}

void daemon_results_raw(daemon_state *d, const uint8_t *records, uint32_t len, uint32_t count) {
  proto_results_writer *w = results(d, len);
  proto_results_add_raw(w, records, len);
  w->count += count - 1;
}

void daemon_results_after(daemon_state *d, const uint8_t *record, uint32_t len) {
  if (hato__list_empty(&d->pieces)) {
    daemon_results_raw(d, record, len, 1);
    return;
  }
  hato__buf frame = {0};
  proto_results_writer w;
  proto_results_begin(&w, &frame);
  proto_results_add_raw(&w, record, len);
  proto_results_end(&w);
  if (frame.failed)
    daemon_no_memory(d);
  else
    daemon_piece_up(d, NULL, frame.data, frame.len);
  hato__buf_free(&frame);
}

void daemon_error_results(daemon_state *d, uint64_t first, uint32_t count, uint32_t attempt, int value,
                          const char *words) {
  proto_result r = {
      .attempt = attempt, .error = (uint16_t)value, .words = words, .words_len = (uint32_t)strlen(words)};
  for (uint32_t i = 0; i < count; i++) {
    r.task = first + i;
    daemon_result(d, &r);
  }
}

daemon_piece *daemon_piece_new(daemon_state *d, net_data *data, const uint8_t *at, size_t len) {
  hato__link *l = hato__list_pop(&d->free_pieces);
  daemon_piece *p = l ? HATO__ENTRY(l, daemon_piece, link) : malloc(sizeof *p);
  net_data *copy = NULL;
  if (p && !data) {
    uint8_t *bytes;
    copy = net_data_new(len, &bytes);
    if (copy) {
      memcpy(bytes, at, len);
      at = bytes;
    }
  }
  if (!p || (!data && !copy)) {
    free(p);
    daemon_no_memory(d);
    return NULL;
  }
  *p = (daemon_piece){.data = data ? net_data_ref(data) : copy, .at = at, .len = len};
  return p;
}

void daemon_piece_free(daemon_state *d, daemon_piece *p) {
  net_data_unref(p->data);
  hato__list_push_front(&d->free_pieces, &p->link);
}

void daemon_piece_up(daemon_state *d, net_data *data, const uint8_t *frame, size_t len) {
  d->wake = true;
  if (!data && hato__list_empty(&d->pieces)) { /* nothing it could overtake */
    hato__buf_append(daemon_control(d), frame, len);
    return;
  }
  daemon_piece *p = daemon_piece_new(d, data, frame, len);
  if (p) hato__list_push(&d->pieces, &p->link);
}

bool daemon_outbox_empty(const daemon_state *d) {
  return d->out.len == 0 && d->n_started == 0 && hato__list_empty(&d->pieces) && !d->in_flight;
}

/* The started ranges, before anything that was queued after them. */
static void encode_started(daemon_state *d) {
  for (unsigned i = 0; i < d->n_started;) {
    unsigned n = d->n_started - i < 10000 ? d->n_started - i : 10000;
    proto_runs_encode(daemon_control(d), PROTO_STARTED, d->started + i, n);
    i += n;
  }
  d->n_started = 0;
}

/* Staged bytes whose tasks this fill reports go with its end. With nothing to
 * report they were reported before, and go now. */
static void cover_staged(daemon_state *d, bool sending) {
  hato__link *l;
  while ((l = hato__list_pop(&d->needs))) {
    daemon_slot *s = HATO__ENTRY(l, daemon_slot, needs);
    s->need = false;
    if (sending) {
      s->covered = s->staged.len;
      hato__list_push(&d->covers, &s->covers);
    } else {
      daemon_slot_release(d, s, true);
    }
  }
}

void daemon_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  daemon_state *d = owner;
  daemon_lock(d);
  d->wake = false;
  encode_started(d);
  end_results(d);
  if (d->out.failed) daemon_no_memory(d);
  if (out->bytes.len == 0) { /* the connection's empty buffer for our full one: no copy */
    hato__buf theirs = out->bytes;
    out->bytes = d->out;
    d->out = theirs;
  } else {
    hato__buf_append(&out->bytes, d->out.data, d->out.len);
  }
  hato__buf_clear(&d->out);
  while (out->n_refs < NET_REFS && !hato__list_empty(&d->pieces)) {
    daemon_piece *p = HATO__ENTRY(hato__list_pop(&d->pieces), daemon_piece, link);
    out->refs[out->n_refs].data = net_data_ref(p->data);
    out->refs[out->n_refs].at = p->at;
    out->refs[out->n_refs++].len = p->len;
    daemon_piece_free(d, p);
  }
  d->in_flight = out->bytes.len > 0 || out->n_refs > 0;
  if (d->goodbye == 1 && d->in_flight) d->goodbye = 2;
  cover_staged(d, d->in_flight);
  daemon_settle(d);
}

void daemon_sent(void *owner, net_conn *c) {
  (void)c;
  daemon_state *d = owner;
  daemon_lock(d);
  d->in_flight = false;
  if (d->goodbye == 2) d->goodbye = 3;
  hato__link *l;
  while ((l = hato__list_pop(&d->covers))) {
    daemon_slot *s = HATO__ENTRY(l, daemon_slot, covers);
    daemon_slot_release(d, s, !s->need);
  }
  if (d->draining) daemon_nudge(d);
  daemon_settle(d);
}

/* Payloads in pieces. Frames are forwarded as they came, by reference, in either
 * direction: the credit that bounds them goes from end to end. Only what is kept for
 * a detached task ends here, in the spool. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

static stream_key key_of(uint64_t task, uint32_t attempt, uint32_t channel) {
  stream_key k;
  memset(&k, 0, sizeof k);
  k.task = task;
  k.attempt = attempt;
  k.channel = channel;
  return k;
}

static void forward(peer *to, const net_frame *f) {
  if (f->data) {
    dispatcher_outbox_piece(to, f->data, f->header, PROTO_HEADER + f->len);
    return;
  }
  uint8_t *bytes;
  net_data *copy = net_data_new(PROTO_HEADER + f->len, &bytes);
  if (!copy) return;
  memcpy(bytes, f->header, PROTO_HEADER + f->len);
  dispatcher_outbox_piece(to, copy, bytes, PROTO_HEADER + f->len);
  net_data_unref(copy);
}

static void put_credit(peer *to, const stream_key *k, uint64_t bytes) {
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(to, &begun);
  proto_credit c = {.task = k->task, .attempt = k->attempt, .channel = (uint8_t)k->channel, .bytes = bytes};
  proto_credit_encode(b, &c);
  dispatcher_outbox_done(to, begun);
}

/* ---- arguments: client to daemon ---- */

static chunk *spooling_find(dispatcher *d, const client *c, uint64_t task) {
  for (hato__link *l = d->spooling.next; l != &d->spooling; l = l->next) {
    chunk *k = HATO__ENTRY(l, chunk, link);
    if (k->first == task && k->sub->client == c) return k;
  }
  return NULL;
}

/* A detached argument on its way into the spool: written without the lock. Only its client's
 * connection ends the entry, and that does so after this. */
static void spool_argument(client *c, chunk *k, const proto_piece *m) {
  dispatcher *d = c->peer.d;
  hato_error err = {0};
  k->refs++;
  dispatcher_unlock(d);
  hato_status st = m->status;
  if (st) hato__fail(&err, st, "its client gave up sending the argument");
  if (!st && m->len) st = hato__spool_write(k->spooling, m->data, m->len, &err);
  if (!st && hato__spool_size(k->spooling) > PROTO_PAYLOAD_MAX)
    st = hato__fail(&err, HATO_TOO_LARGE, "the argument is larger than the limit of 16 GiB");
  dispatcher_lock(d);
  if (st || m->last) {
    dispatcher_submit_spooled(k, st, err.text);
  } else {
    stream_key key = key_of(m->task, m->attempt, m->channel);
    k->credit += m->len;
    put_credit(&c->peer, &key, m->len);
  }
  dispatcher_chunk_unref(k);
}

/* More than was granted would have to be held, without a limit: whoever sends it is closed. */
static hato_status beyond(const proto_piece *m, uint64_t credit, hato_error *err) {
  return hato__fail(err, HATO_PROTOCOL, "PIECE: task %llu: %u bytes, where %llu more were granted",
                    (unsigned long long)m->task, m->len, (unsigned long long)credit);
}

/* The chunk is its task's; of its current attempt, or being spooled. */
static hato_status spend(chunk *k, const proto_piece *m, hato_error *err) {
  uint64_t credit = k->credit_attempt == m->attempt ? k->credit : 0;
  if (m->len > credit) return beyond(m, credit, err);
  if (m->len) k->credit -= m->len;
  return HATO_OK;
}

hato_status dispatcher_streams_piece_in(client *c, const net_frame *f, const proto_piece *m, hato_error *err) {
  dispatcher *d = c->peer.d;
  hato_status st = HATO_OK;
  dispatcher_lock(d);
  chunk *k = spooling_find(d, c, m->task);
  if (k) {
    st = spend(k, m, err);
    if (!st) spool_argument(c, k, m);
  } else {
    sched_task_info t = sched_find(d->sched, m->task);
    worker *w = NULL;
    if (t.daemon && t.attempt == m->attempt && t.owner == c->owner)
      HASH_FIND(hh, d->workers, &t.daemon, sizeof t.daemon, w);
    k = t.data;
    if (w) st = spend(k, m, err);
    if (w && !st && k->large && (m->len || m->last)) forward(&w->peer, f);
  }
  dispatcher_unlock(d);
  return st;
}

static void grant_argument(chunk *k, const stream_key *key, uint64_t bytes) {
  if (k->credit_attempt != key->attempt) k->credit = 0; /* it begins anew */
  k->credit_attempt = key->attempt;
  k->credit = bytes < UINT64_MAX - k->credit ? k->credit + bytes : UINT64_MAX;
  put_credit(&k->sub->client->peer, key, bytes);
}

void dispatcher_streams_credit_worker(worker *w, const proto_credit *m) {
  dispatcher *d = w->peer.d;
  stream_key key = key_of(m->task, m->attempt, m->channel);
  dispatcher_lock(d);
  sched_task_info t = sched_find(d->sched, m->task);
  if (m->channel == PROTO_CH_IN && t.daemon == w->handle && t.attempt == m->attempt) {
    chunk *k = t.data;
    if (k->spooled.len || (k->sub->detached && k->large)) {
      if (!dispatcher_spooled_credit(&w->peer, &key, m->bytes)) {
        dispatcher_spooled_send(&w->peer, &key, k->spooled, HATO_OK);
        dispatcher_spooled_credit(&w->peer, &key, m->bytes);
      }
    } else if (k->sub->client && k->large) {
      grant_argument(k, &key, m->bytes);
    }
  }
  dispatcher_unlock(d);
}

/* ---- output: daemon to client or spool ---- */

static stream *stream_find(dispatcher *d, const stream_key *k) {
  stream *s = NULL;
  HASH_FIND(hh, d->streams, k, sizeof *k, s);
  return s;
}

static stream *stream_open(worker *w, const stream_key *k, client *to, submission *sub) {
  stream *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  dispatcher *d = w->peer.d;
  s->key = *k;
  s->from = w;
  s->to = to;
  s->credit = PROTO_WINDOW;
  if (to) to->peer.refs++;
  if (!to && sub && sub->detached) {
    s->sub = sub;
    sub->chunks++; /* it stays while its output comes */
  }
  HASH_ADD(hh, d->streams, key, sizeof s->key, s);
  hato__list_push(&w->streams, &s->link);
  return s;
}

static void give(stream *s, uint64_t bytes) {
  if (bytes == 0) return;
  s->credit += bytes;
  put_credit(&s->from->peer, &s->key, bytes);
}

/* What its client granted goes on a window at a time, while the client reads: it may grant far more than it will
 * ever take. */
static void pass_credit(stream *s) {
  uint64_t n = s->credit < PROTO_WINDOW ? PROTO_WINDOW - s->credit : 0;
  if (n > s->spare) n = s->spare;
  if (s->to->paused) return;
  s->spare -= n;
  give(s, n);
}

static void stream_close(stream *s) {
  dispatcher *d = s->from->peer.d;
  HASH_DEL(d->streams, s);
  hato__list_remove(&s->link);
  hato__spool_abort(s->entry);
  free(s->held);
  free(s->why);
  submission *sub = s->sub;
  client *to = s->to;
  free(s);
  if (sub) {
    sub->chunks--;
    dispatcher_submission_settle(sub);
  }
  if (to) dispatcher_peer_unref(&to->peer);
}

/* It ends early; the first cause counts. */
static void blame(stream *s, uint16_t status, const char *why) {
  if (s->status || !status) return;
  s->status = status;
  s->why = why ? hato__printf("%s", why) : NULL;
}

/* The record waits for the pieces of both streams; the last to come keeps it. */
static void keep(stream *s) {
  dispatcher *d = s->from->peer.d;
  uint8_t *held = s->held;
  uint32_t len = s->held_len;
  s->held = NULL;
  stream_key other = s->key;
  other.channel = s->key.channel == PROTO_CH_OUT ? PROTO_CH_ERR : PROTO_CH_OUT;
  stream *o = stream_find(d, &other);
  if (o && !o->last) {
    if (held) o->held = held;
    if (held) o->held_len = len;
    blame(o, s->status, s->why);
    return;
  }
  proto_result r;
  if (held && proto_result_decode(&r, held, len, NULL) == HATO_OK) {
    int error = r.error ? r.error : s->status;
    dispatcher_kept_record(s->sub, &r, error, s->why);
    dispatcher_work_account(s->sub, r.task, 1, error || r.wait_status);
  }
  free(held);
}

static void end_entry(stream *s) {
  hato__spool_ref ref = {0};
  hato_error err;
  if (dispatcher_kept_brief(s->sub, s->key.task, NULL).resolved) { /* it was cancelled meanwhile: nothing of it is wanted */
    hato__spool_abort(s->entry);
    s->entry = NULL;
    return;
  }
  hato_status st = s->entry ? hato__spool_end(s->entry, &ref, &err) : HATO_OK;
  s->entry = NULL;
  if (st) {
    blame(s, (uint16_t)st, err.text);
    ref = (hato__spool_ref){0};
    hato__error(&s->from->peer.d->log, "RESULT-LOST", "task %llu: %s", (unsigned long long)s->key.task,
                err.text);
  }
  if (ref.len || s->status) dispatcher_kept_rest(s->sub, &s->key, ref, s->status);
}

static void stream_ended(stream *s, uint16_t status) {
  s->last = true;
  blame(s, status, NULL);
  if (s->sub) end_entry(s);
  if (!s->record) return;
  if (s->sub) keep(s);
  stream_close(s);
}

/* Into the spool, without the lock: only its daemon's connection writes or ends the entry. */
static void spool_output(stream *s, const proto_piece *m) {
  dispatcher *d = s->from->peer.d;
  hato_error err = {0};
  hato_status st = s->status;
  dispatcher_unlock(d);
  if (!st && !s->entry) st = hato__spool_begin(d->spool, &s->entry, &err);
  if (!st && m->len) st = hato__spool_write(s->entry, m->data, m->len, &err);
  dispatcher_lock(d);
  if (st && !s->status) {
    blame(s, (uint16_t)st, err.text);
    hato__spool_abort(s->entry); /* what there is of it must not hold up others */
    s->entry = NULL;
    hato__error(&d->log, "RESULT-LOST", "task %llu: its output is cut: %s", (unsigned long long)m->task,
                err.text);
  }
  give(s, m->len);
}

static stream *stream_for_piece(worker *w, const stream_key *key) {
  dispatcher *d = w->peer.d;
  stream *s = stream_find(d, key);
  if (s) return s->from == w ? s : NULL;
  sched_task_info t = sched_find(d->sched, key->task);
  if (t.daemon != w->handle || t.attempt != key->attempt || !t.data) return NULL;
  submission *sub = ((chunk *)t.data)->sub;
  return stream_open(w, key, sub->detached ? NULL : sub->client, sub);
}

hato_status dispatcher_streams_piece_out(worker *w, const net_frame *f, const proto_piece *m, hato_error *err) {
  dispatcher *d = w->peer.d;
  stream_key key = key_of(m->task, m->attempt, m->channel);
  hato_status st = HATO_OK;
  dispatcher_lock(d);
  stream *s = stream_for_piece(w, &key);
  if (!s) { /* of a task that was resolved meanwhile: thrown away, but its sender must not wait */
    if (m->len && !m->last) put_credit(&w->peer, &key, m->len);
  } else if (m->len > s->credit) {
    st = beyond(m, s->credit, err);
  } else {
    s->credit -= m->len;
    if (s->sub) {
      spool_output(s, m);
    } else if (s->to && !s->to->peer.closed) {
      if (m->len || m->last) forward(&s->to->peer, f);
      pass_credit(s);
    } else {
      give(s, m->len);
    }
    if (m->last) stream_ended(s, m->status);
  }
  dispatcher_unlock(d);
  return st;
}

void dispatcher_streams_credit_client(client *c, const proto_credit *m) {
  dispatcher *d = c->peer.d;
  stream_key key = key_of(m->task, m->attempt, m->channel);
  dispatcher_lock(d);
  if (!dispatcher_spooled_credit(&c->peer, &key, m->bytes)) {
    stream *s = stream_find(d, &key);
    if (s && s->to == c) {
      s->spare = m->bytes < UINT64_MAX - s->spare ? s->spare + m->bytes : UINT64_MAX;
      pass_credit(s);
    }
  }
  dispatcher_unlock(d);
}

void dispatcher_streams_resumed(client *c) {
  stream *s, *next;
  HASH_ITER(hh, c->peer.d->streams, s, next) {
    if (s->to == c) pass_credit(s);
  }
}

/* One channel of an accepted record; false: its pieces are still to come. */
static bool note_record(worker *w, const proto_result *r, uint32_t channel, client *to, submission *sub,
                        stream **open) {
  dispatcher *d = w->peer.d;
  stream_key key = key_of(r->task, r->attempt, channel);
  stream *s = stream_find(d, &key);
  bool more = r->flags & (channel == PROTO_CH_OUT ? PROTO_RESULT_OUT_MORE : PROTO_RESULT_ERR_MORE);
  *open = NULL;
  if (!s && !more) return true;
  if (!s) s = stream_open(w, &key, to, sub);
  if (!s) return true;
  s->record = true;
  *open = s;
  return s->last;
}

/* The record of a task whose output came in pieces: it is kept when all are there. A record
 * without pieces is kept at once. Of a resolved task (to and sub NULL) its streams are closed. */
void dispatcher_streams_record(worker *w, const proto_result *r, client *to, submission *sub) {
  stream *open[2];
  bool out = note_record(w, r, PROTO_CH_OUT, to, sub, &open[0]);
  bool err = note_record(w, r, PROTO_CH_ERR, to, sub, &open[1]);
  bool kept_now = sub && sub->detached && out && err;
  stream *wait = !out ? open[0] : !err ? open[1] : NULL;
  if (wait && sub && sub->detached) {
    wait->held = malloc(r->raw_len);
    if (wait->held) memcpy(wait->held, r->raw, r->raw_len);
    wait->held_len = r->raw_len;
    const stream *other = wait == open[0] ? open[1] : open[0];
    if (other) blame(wait, other->status, other->why);
  }
  if (kept_now) {
    int error = r->error;
    const char *why = NULL;
    for (int i = 0; i < 2; i++) {
      if (!open[i] || error) continue;
      error = open[i]->status;
      why = open[i]->why;
    }
    dispatcher_kept_record(sub, r, error, why);
    dispatcher_work_account(sub, r->task, 1, error || r->wait_status);
  }
  if (open[0] && out) stream_close(open[0]);
  if (open[1] && err) stream_close(open[1]);
}

void dispatcher_streams_worker_gone(worker *w) {
  while (!hato__list_empty(&w->streams)) {
    stream *s = HATO__ENTRY(w->streams.next, stream, link);
    if (!s->last && s->to && !s->to->peer.closed && s->record) {
      size_t begun;
      hato__buf *b = dispatcher_outbox_bytes(&s->to->peer, &begun);
      proto_piece m = {.task = s->key.task,
                       .attempt = s->key.attempt,
                       .channel = (uint8_t)s->key.channel,
                       .last = true,
                       .status = HATO_RESET};
      proto_piece_encode(b, &m);
      dispatcher_outbox_done(&s->to->peer, begun);
    }
    if (s->record) {
      stream_ended(s, HATO_RESET);
    } else {
      stream_close(s);
    }
  }
}

/* Its streams go on to nowhere: their senders are given credit until they end. */
void dispatcher_streams_client_gone(client *c) {
  stream *s, *next;
  HASH_ITER(hh, c->peer.d->streams, s, next) {
    if (s->to != c) continue;
    s->to = NULL;
    give(s, PROTO_WINDOW);
    dispatcher_peer_unref(&c->peer);
  }
}

/* What waits to be sent. Actions join a peer's outbox under the lock, in order;
 * its connection's writer takes all of them when its previous send has ended and
 * encodes them without the lock. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

#define FILL_AIM (256u * 1024u)
/* A client whose outbox is over the first mark does not read: its queue rests, and nothing that
 * would be answered is read from it, until the outbox is under the second. */
#define CLIENT_PAUSE (8u << 20)
#define CLIENT_RESUME (1u << 20)
/* What may wait for something to go with waits for so long. */
#define LATER_NS (2 * HATO__MS)

static out_item *list_add(out_list *l) {
  if (l->n == l->cap) {
    uint32_t cap = l->cap ? l->cap * 2 : 4;
    out_item *items = realloc(l->items, cap * sizeof *items);
    if (!items) return NULL;
    l->items = items;
    l->cap = cap;
  }
  return &l->items[l->n++];
}

static void list_free(out_list *l) {
  free(l->items);
  *l = (out_list){0};
}

/* Without memory for a frame the peer can no longer be told the truth: it is closed. */
static void out_of_memory(peer *p) { net_close(p->conn, HATO_NO_MEMORY, "out of memory"); }

/* Daemons first: while they work there is time to wake the others. */
static void make_dirty(peer *p) {
  if (p->later) {
    p->later = false;
    hato__list_remove(&p->dirty);
  } else if (hato__linked(&p->dirty)) {
    return;
  } else {
    p->refs++;
  }
  if (p->kind == PEER_WORKER) {
    hato__list_push_front(&p->d->dirty, &p->dirty);
  } else {
    hato__list_push(&p->d->dirty, &p->dirty);
  }
}

static void make_dirty_later(peer *p) {
  dispatcher *d = p->d;
  if (hato__linked(&p->dirty)) return;
  p->refs++;
  p->later = true;
  if (hato__list_empty(&d->later)) d->later_at = hato__now() + LATER_NS;
  hato__list_push(&d->later, &p->dirty);
  dispatcher_clock_soon(d);
}

void dispatcher_outbox_now(dispatcher *d) {
  while (!hato__list_empty(&d->later)) make_dirty(HATO__ENTRY(d->later.next, peer, dirty));
}

static void touched(peer *p, uint64_t bytes) {
  p->out.waiting += bytes;
  make_dirty(p);
  if (p->kind != PEER_CLIENT || p->out.waiting + p->out.waiting_pieces < CLIENT_PAUSE) return;
  client *c = client_of(p);
  if (c->paused || !c->owner) return;
  c->paused = true;
  sched_owner_pause(p->d->sched, c->owner, true);
  net_pause(p->conn, true);
}

void dispatcher_outbox_wake(peer *p) { make_dirty(p); }

hato__buf *dispatcher_outbox_bytes(peer *p, size_t *begun) {
  *begun = p->out.bytes.len;
  return &p->out.bytes;
}

static void done(peer *p, size_t begun, bool later) {
  outbox *o = &p->out;
  if (o->bytes.failed) {
    out_of_memory(p);
    return;
  }
  size_t len = o->bytes.len - begun;
  if (len == 0) return;
  if (p->closed) {
    o->bytes.len = begun;
    return;
  }
  out_item *last = o->control.n ? &o->control.items[o->control.n - 1] : NULL;
  if (last && last->kind == OUT_BYTES) {
    last->len += (uint32_t)len;
  } else {
    out_item *i = list_add(&o->control);
    if (!i) {
      o->bytes.len = begun;
      out_of_memory(p);
      return;
    }
    *i = (out_item){.kind = OUT_BYTES, .len = (uint32_t)len};
  }
  if (later) {
    o->waiting += len;
    make_dirty_later(p);
  } else {
    touched(p, len);
  }
}

void dispatcher_outbox_done(peer *p, size_t begun) { done(p, begun, false); }
void dispatcher_outbox_done_later(peer *p, size_t begun) { done(p, begun, true); }

void dispatcher_outbox_failure(peer *p, uint64_t task, int error, const char *words) {
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(p, &begun);
  proto_result r = {.task = task, .error = (uint16_t)error, .words = words, .words_len = (uint32_t)strlen(words)};
  proto_results_writer w;
  proto_results_begin(&w, b);
  proto_results_add(&w, &r);
  proto_results_end(&w);
  dispatcher_outbox_done(p, begun);
}

void dispatcher_outbox_data(peer *p, net_data *data, const uint8_t *at, uint32_t len) {
  if (p->closed) return;
  out_item *i = list_add(&p->out.control);
  if (!i) {
    out_of_memory(p);
    return;
  }
  *i = (out_item){.kind = OUT_DATA, .len = len, .u.data = {net_data_ref(data), at}};
  touched(p, len);
}

void dispatcher_outbox_piece(peer *p, net_data *data, const uint8_t *at, uint32_t len) {
  if (p->closed) return;
  out_item *i = list_add(&p->out.pieces);
  if (!i) {
    out_of_memory(p);
    return;
  }
  *i = (out_item){.kind = OUT_DATA, .len = len, .u.data = {net_data_ref(data), at}};
  p->out.waiting_pieces += len;
  touched(p, 0);
}

void dispatcher_outbox_assign(peer *p, chunk *c, uint64_t first, uint32_t count, uint32_t attempt) {
  if (p->closed) return;
  out_item *i = list_add(&p->out.control);
  if (!i) {
    out_of_memory(p);
    return;
  }
  c->refs++;
  *i = (out_item){.kind = OUT_ASSIGN, .u.assign = {c, first, count, attempt}};
  touched(p, 64);
}

void dispatcher_outbox_spec(peer *p, spec *s) {
  if (p->closed) return;
  out_item *i = list_add(&p->out.control);
  if (!i) {
    out_of_memory(p);
    return;
  }
  s->refs++;
  *i = (out_item){.kind = OUT_SPEC, .u.spec = s};
  touched(p, s->len);
}

void dispatcher_outbox_object(peer *p, object *o) {
  if (p->closed) return;
  out_item *i = list_add(&p->out.control);
  if (!i) {
    out_of_memory(p);
    return;
  }
  o->refs++;
  *i = (out_item){.kind = OUT_OBJECT, .u.object = o};
  touched(p, 64);
}

static void item_release(dispatcher *d, out_item *i) {
  switch (i->kind) {
  case OUT_DATA:
    net_data_unref(i->u.data.data);
    break;
  case OUT_SPEC:
    dispatcher_spec_unref(d, i->u.spec);
    break;
  case OUT_OBJECT:
    dispatcher_object_unref(d, i->u.object);
    break;
  case OUT_ASSIGN:
    dispatcher_chunk_unref(i->u.assign.chunk);
    break;
  default:
    break;
  }
}

static void list_release(dispatcher *d, out_list *l) {
  for (; l->at < l->n; l->at++) item_release(d, &l->items[l->at]);
  list_free(l);
}

void dispatcher_outbox_free(peer *p) {
  outbox *o = &p->out;
  list_release(p->d, &o->control);
  list_release(p->d, &o->pieces);
  list_release(p->d, &o->taken);
  hato__buf_free(&o->bytes);
  hato__buf_free(&o->taken_bytes);
}

/* ---- the writer ---- */

static void encode_assign(const out_item *i, hato__buf *out) {
  const chunk *c = i->u.assign.chunk;
  const submission *s = c->sub;
  uint64_t index = i->u.assign.first - s->first;
  proto_assign m = {.spec = s->spec->number,
                    .args = s->args,
                    .large = c->large,
                    .first = i->u.assign.first,
                    .index = (uint32_t)index,
                    .attempt = i->u.assign.attempt,
                    .count = i->u.assign.count,
                    .start = s->start + (int64_t)index * s->step,
                    .step = s->step,
                    .total = c->total,
                    .block = c->block};
  proto_assign_encode(out, &m, (uint32_t)(i->u.assign.first - c->first));
}

/* One frame of an object a fill, so that it delays nothing for long; false: there is more of it. */
static bool encode_object(outbox *o, const out_item *i, hato__buf *out) {
  const object *ob = i->u.object;
  uint64_t left = ob->total - o->object_at;
  uint32_t room = PROTO_PIECE_DATA - 32;
  proto_object m = {.total = ob->total,
                    .offset = o->object_at,
                    .data = ob->bytes + o->object_at,
                    .len = left < room ? (uint32_t)left : room};
  memcpy(m.hash, ob->hash, sizeof m.hash);
  proto_object_encode(out, &m);
  o->object_at += m.len;
  if (o->object_at < ob->total) return false;
  o->object_at = 0;
  return true;
}

static bool encode(outbox *o, const out_item *i, hato__buf *out) {
  switch (i->kind) {
  case OUT_BYTES:
    hato__buf_append(out, o->taken_bytes.data + o->taken_at, i->len);
    o->taken_at += i->len;
    return true;
  case OUT_DATA:
    hato__buf_append(out, i->u.data.at, i->len);
    return true;
  case OUT_SPEC:
    proto_spec_send(out, i->u.spec->number, i->u.spec->bytes, i->u.spec->len);
    return true;
  case OUT_ASSIGN:
    encode_assign(i, out);
    return true;
  default:
    return encode_object(o, i, out);
  }
}

/* Takes what waits. With the lock. */
static void take(peer *p) {
  outbox *o = &p->out;
  if (o->control.n == 0 && p->kind == PEER_CLIENT && o->pieces.n == o->pieces.at)
    dispatcher_tasks_more(client_of(p));
  if (o->control.n == 0) return;
  o->taken = o->control;
  o->control = (out_list){0};
  o->taken_bytes = o->bytes;
  o->bytes = (hato__buf){0};
  o->taken_at = 0;
  o->waiting = 0;
}

static void take_pieces(outbox *o, net_out *out) {
  out_list *l = &o->pieces;
  size_t bytes = 0;
  while (l->at < l->n && out->n_refs < NET_REFS && bytes < 2 * FILL_AIM) {
    out_item *i = &l->items[l->at++];
    out->refs[out->n_refs].data = i->u.data.data;
    out->refs[out->n_refs].at = i->u.data.at;
    out->refs[out->n_refs++].len = i->len;
    bytes += i->len;
  }
  o->waiting_pieces -= bytes;
  if (l->at == l->n) list_free(l);
}

/* True when its client was paused and reads again. */
static bool resumed(peer *p) {
  if (p->kind != PEER_CLIENT) return false;
  client *c = client_of(p);
  if (!c->paused || p->out.waiting + p->out.waiting_pieces > CLIENT_RESUME) return false;
  c->paused = false;
  dispatcher_streams_resumed(c);
  if (c->owner) sched_owner_pause(p->d->sched, c->owner, false);
  return true;
}

/* The last that a client hears whose credential was revoked, whatever else waits for it. */
static void last_words(peer *p, net_out *out) {
  if (!p->told)
    proto_words_encode(&out->bytes, PROTO_GOODBYE, HATO_PEER_AUTH,
                       "this client is not admitted any more: its credential was revoked");
  p->told = true;
}

void dispatcher_outbox_fill(void *owner, net_conn *conn, net_out *out) {
  peer *p = owner;
  outbox *o = &p->out;
  bool more = false;
  if (p->dismissed) {
    last_words(p, out);
    return;
  }
  uint32_t from = o->taken.at;
  if (o->taken.at == o->taken.n) {
    dispatcher_lock(p->d);
    take(p);
    dispatcher_unlock(p->d);
    from = 0;
  }
  while (o->taken.at < o->taken.n && out->bytes.len < FILL_AIM) {
    if (!encode(o, &o->taken.items[o->taken.at], &out->bytes)) break;
    o->taken.at++;
  }
  dispatcher_lock(p->d);
  for (uint32_t i = from; i < o->taken.at; i++) item_release(p->d, &o->taken.items[i]);
  bool all = o->taken.at == o->taken.n;
  if (all) {
    list_free(&o->taken);
    hato__buf_free(&o->taken_bytes);
    more = o->pieces.n == 0 && dispatcher_spooled_more(p);
    take_pieces(o, out);
  }
  bool again = all && resumed(p);
  dispatcher_unlock(p->d);
  if (again) {
    net_pause(conn, false);
    dispatcher_work_pump(p->d);
  }
  if (more) dispatcher_flush(p->d);
}

void dispatcher_flush(dispatcher *d) {
  enum { BATCH = 64 };
  peer *woken[BATCH];
  for (;;) {
    size_t n = 0;
    dispatcher_lock(d);
    while (n < BATCH) {
      hato__link *l = hato__list_pop(&d->dirty);
      if (!l) break;
      woken[n++] = HATO__ENTRY(l, peer, dirty);
    }
    dispatcher_unlock(d);
    if (n == 0) return;
    for (size_t i = 0; i < n; i++) net_wake(woken[i]->conn);
    dispatcher_lock(d);
    for (size_t i = 0; i < n; i++) dispatcher_peer_unref(woken[i]);
    dispatcher_unlock(d);
  }
}

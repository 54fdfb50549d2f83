/*
 * What waits to be sent. Submitters append items under the lock; the connection's writer
 * takes as many as make a send, and encodes them outside it. While submissions are under
 * way, single tasks of one specification gather in the last item: a submission that is
 * answered lets the next one go, so that they go in groups under load and at once without.
 */
#include "client/internal.h"

#include <string.h>

#define SMALL_ARGS (16u * 1024u) /* a frame up to this is copied rather than sent by reference */

void client_outbox_init(outbox *o) {
  o->head = NULL;
  o->tail = &o->head;
  hato__list_init(&o->senders);
}

item *client_outbox_item(item_kind kind, uint32_t size) {
  item *i = calloc(1, sizeof *i);
  if (!i) return NULL;
  i->kind = kind;
  i->size = size;
  i->heap = true;
  return i;
}

/* With the lock. */
static void item_release(hato_pool *p, item *i) {
  switch (i->kind) {
    case ITEM_BYTES: hato__buf_free(&i->u.bytes); break;
    case ITEM_SPEC: client_spec_drop_locked(i->u.spec); break;
    case ITEM_OBJECT: client_object_unref(p, i->u.object); break;
    case ITEM_ARGS:
    case ITEM_PIECE:
      net_data_unref(i->u.args.data);
      client_sub_unref(i->u.args.sub);
      break;
    case ITEM_SUB: client_sub_unref(i->u.sub); return; /* the item lies in it */
    case ITEM_END: break;
  }
  free(i);
}

void client_outbox_push(hato_pool *p, item *i) {
  outbox *o = &p->out;
  if (p->state == POOL_GONE) {
    item_release(p, i);
    return;
  }
  i->next = NULL;
  *o->tail = i;
  o->tail = &i->next;
  o->waiting += i->size;
  o->open = NULL;
}

void client_outbox_drop(hato_pool *p) {
  outbox *o = &p->out;
  o->open = NULL;
  while (o->head) {
    item *i = o->head;
    o->head = i->next;
    item_release(p, i);
  }
  o->tail = &o->head;
  o->waiting = 0;
  hato__buf_free(&o->urgent);
}

hato_status client_outbox_cancel(hato_pool *p, uint64_t seq, uint64_t first, uint64_t last) {
  item *i = client_outbox_item(ITEM_BYTES, 40);
  if (i) proto_cancel_encode(&i->u.bytes, &(proto_cancel){.by_seq = 1, .seq = seq, .first = first, .last = last});
  if (!i || i->u.bytes.failed) {
    free(i);
    return HATO_NO_MEMORY;
  }
  pool_lock(p);
  bool open = p->state == POOL_OPEN;
  if (open) {
    client_outbox_push(p, i); /* behind what it cancels, wherever that is */
  } else {
    item_release(p, i);
  }
  pool_unlock(p);
  if (open) net_wake(p->conn);
  return HATO_OK;
}

/* ---- the writer ---- */

static bool by_reference(const item *i) { return (i->kind == ITEM_ARGS || i->kind == ITEM_PIECE) && i->size > SMALL_ARGS; }

/* Single tasks go on gathering while answers are due. */
static bool gathers(const hato_pool *p, const item *i) {
  const outbox *o = &p->out;
  return i->kind == ITEM_SUB && o->open == i->u.sub && o->unanswered >= UNANSWERED_MAX && p->state == POOL_OPEN;
}

/* Takes what one send holds: bytes, then stretches by reference. With the lock. */
static item *take(hato_pool *p) {
  outbox *o = &p->out;
  item *list = NULL, **end = &list;
  size_t bytes = 0;
  unsigned refs = 0;
  while (o->head && bytes < FILL_AIM) {
    item *i = o->head;
    if (gathers(p, i)) break;
    if (by_reference(i) ? refs == NET_REFS : refs > 0) break;
    if (by_reference(i)) {
      refs++;
    } else {
      bytes += i->size;
    }
    o->head = i->next;
    if (!o->head) o->tail = &o->head;
    if (i->kind == ITEM_SUB) {
      if (o->open == i->u.sub) o->open = NULL;
      if (!i->attached || p->state == POOL_OPEN) {
        o->unanswered++;
        i->u.sub->sent = true;
        hato__list_push(&p->unanswered, &i->u.sub->answer);
      }
    }
    i->next = NULL;
    *end = i;
    end = &i->next;
    if (i->kind == ITEM_OBJECT) break;
  }
  return list;
}

static void encode_object(object *o, hato__buf *out) {
  while (o->at < o->size && out->len < FILL_AIM) {
    uint32_t room = PROTO_PIECE_DATA - 32;
    uint64_t left = o->size - o->at;
    proto_object m = {.total = o->size, .offset = o->at, .data = o->bytes + o->at, .len = left < room ? (uint32_t)left : room};
    memcpy(m.hash, o->hash, sizeof m.hash);
    proto_object_encode(out, &m);
    o->at += m.len;
  }
}

static void encode_block(const sub *s, hato__buf *out) {
  if (s->ends.failed || s->data.failed) {
    out->failed = true;
    return;
  }
  size_t begun = proto_begin(out, PROTO_ARGS);
  hato__buf_u64(out, s->seq);
  hato__buf_u32(out, 0);
  hato__buf_u32(out, (uint32_t)s->count);
  hato__buf_append(out, s->ends.data, s->ends.len);
  hato__buf_append(out, s->data.data, s->data.len);
  proto_end(out, begun);
}

static void encode_sub(const sub *s, hato__buf *out) {
  proto_submit m = {.seq = s->seq,
                    .spec = s->spec->number,
                    .args = s->args,
                    .flags = s->flags,
                    .count = s->count,
                    .start = s->start,
                    .step = s->step};
  bool block = s->futures && s->args == PROTO_ARGS_EXPLICIT && s->n_larges == 0;
  if (block && s->data.len == 0) {
    m.args = PROTO_ARGS_NONE;
    block = false;
  }
  proto_submit_encode(out, &m);
  if (block) encode_block(s, out);
  if (s->futures && s->n_larges > 0) proto_args_large_encode(out, s->seq, s->larges[0]->size);
}

static void encode(hato_pool *p, item *i, net_out *out) {
  if (i->attached && pool_gone(p)) return; /* it would be cancelled at once */
  switch (i->kind) {
    case ITEM_BYTES: hato__buf_append(&out->bytes, i->u.bytes.data, i->u.bytes.len); break;
    case ITEM_SPEC: proto_spec_send(&out->bytes, i->u.spec->number, i->u.spec->bytes.data, (uint32_t)i->u.spec->bytes.len); break;
    case ITEM_OBJECT: encode_object(i->u.object, &out->bytes); break;
    case ITEM_SUB: encode_sub(i->u.sub, &out->bytes); break;
    case ITEM_END: proto_words_encode(&out->bytes, PROTO_GOODBYE, 0, NULL); break;
    case ITEM_ARGS:
    case ITEM_PIECE: {
      net_data *d = i->u.args.data;
      const uint8_t *at = i->bytes_at;
      if (by_reference(i)) {
        out->refs[out->n_refs].data = net_data_ref(d);
        out->refs[out->n_refs].at = at;
        out->refs[out->n_refs++].len = i->size;
      } else {
        hato__buf_append(&out->bytes, at, i->size);
      }
    }
  }
}

/* What was encoded. An object that has more to send goes on first. With the lock. */
static void release(hato_pool *p, item *i) {
  outbox *o = &p->out;
  o->waiting -= i->size;
  switch (i->kind) {
    case ITEM_OBJECT:
      if (i->u.object->at < i->u.object->size) {
        if (!o->head) o->tail = &i->next;
        i->next = o->head;
        o->head = i;
        o->waiting += i->size;
        return;
      }
      i->u.object->sent = true;
      free(i->u.object->bytes);
      i->u.object->bytes = NULL;
      break;
    case ITEM_SUB: client_sub_sent(i->u.sub); break;
    case ITEM_ARGS:
      i->u.args.sub->unsent--;
      client_sub_handed_over(i->u.args.sub);
      break;
    case ITEM_END: o->end_taken = true; break;
    default: break;
  }
  item_release(p, i);
}

void client_outbox_fill(void *pool, net_conn *c, net_out *out) {
  hato_pool *p = pool;
  outbox *o = &p->out;
  (void)c;
  pool_lock(p);
  if (o->urgent.len > 0) {
    hato__buf_append(&out->bytes, o->urgent.data, o->urgent.len);
    hato__buf_free(&o->urgent);
  }
  item *list = take(p);
  bool more = o->head != NULL && !gathers(p, o->head);
  if (!list && !more) client_larges_fill(p, out);
  pool_unlock(p);
  if (!list) return;
  for (item *i = list; i; i = i->next) encode(p, i, out);
  pool_lock(p);
  while (list) {
    item *i = list;
    list = i->next;
    release(p, i);
  }
  if (o->waiting < QUEUED_MAX) client_pool_changed(p);
  if (!more && out->n_refs == 0) client_larges_fill(p, out);
  pool_unlock(p);
}

void client_outbox_sent(void *pool, net_conn *c) {
  hato_pool *p = pool;
  (void)c;
  if (!p->out.end_taken) return; /* the writer's own */
  pool_lock(p);
  p->out.end_sent = true;
  client_pool_changed(p);
  pool_unlock(p);
}

/*
 * Large arguments stay where the caller has them, and are sent in pieces by reference when
 * the dispatcher asks for them. `hold` wraps the caller's memory: each piece that net has to
 * send holds it. So a task that resolves before its argument was sent is published only when
 * `hold` is gone, and the caller may free the memory then.
 */
#include "client/internal.h"

#include <string.h>

static void give_back(job *j) {
  large *l = HATO__ENTRY(j, large, job);
  hato_pool *p = l->pool;
  l->release(l->data);
  free(l);
  client_pool_unref(p);
}

static void large_unref(large *l) {
  if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1) return;
  hato_pool *p = l->pool;
  if (l->release) {
    l->job.run = give_back;
    if (!client_helper_add(p, &l->job)) give_back(&l->job);
    return;
  }
  free(l);
  client_pool_unref(p);
}

/* Nothing reads the argument any more. */
static void hold_gone(void *arg) {
  large *l = arg;
  /* Output that is still handed on comes before its end. */
  if (l->future && !(l->future->live && client_live_resolve(l->future, l->cell, l->number)))
    client_publish_future(l->future, l->cell, l->number, NULL);
  if (l->array) {
    client_publish_array(l->array, l->index, l->cell, NULL);
    client_array_unref(l->array, 1);
  }
  large_unref(l);
}

large *client_larges_add(sub *s, uint32_t index, const hato_argument *a, void (*release)(void *)) {
  if ((s->n_larges & (s->n_larges - 1)) == 0) { /* a power of two: full */
    large **all = realloc(s->larges, (s->n_larges ? 2 * (size_t)s->n_larges : 1) * sizeof(large *));
    if (!all) return NULL;
    s->larges = all;
  }
  large *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  l->hold = net_data_wrap(a->data, a->size, hold_gone, l);
  if (!l->hold) {
    free(l);
    return NULL;
  }
  atomic_init(&l->refs, 2);
  l->pool = client_pool_ref(s->pool);
  l->sub = s;
  l->index = index;
  l->size = a->size;
  l->data = (void *)(uintptr_t)a->data;
  l->release = release;
  hato__list_init(&l->link);
  s->larges[s->n_larges++] = l;
  return l;
}

large *client_larges_find(const sub *s, uint64_t index) {
  size_t low = 0, high = s->n_larges;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (s->larges[mid]->index < index) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low < s->n_larges && s->larges[low]->index == index ? s->larges[low] : NULL;
}

/* ---- sending ---- */

bool client_larges_credit(sub *s, uint64_t index, const proto_credit *m) {
  hato_pool *p = s->pool;
  large *l = client_larges_find(s, index);
  if (!l) return true;
  if (l->in) return client_input_credit(l->in, m);
  pool_lock(p);
  if (!l->asked || l->attempt != m->attempt) { /* another attempt begins at the beginning */
    l->asked = true;
    l->task = m->task;
    l->attempt = m->attempt;
    l->at = l->credit = 0;
  }
  l->credit += m->bytes;
  bool send = !l->over && l->credit > 0 && l->at < l->size;
  if (send && !hato__linked(&l->link)) hato__list_push(&p->out.senders, &l->link);
  pool_unlock(p);
  if (send) net_wake(p->conn);
  return true;
}

static bool add_ref(net_out *out, net_data *d, const uint8_t *at, size_t len) {
  out->refs[out->n_refs].data = d;
  out->refs[out->n_refs].at = at;
  out->refs[out->n_refs++].len = len;
  return true;
}

/* The head of a piece: in the bytes, while nothing follows them. False: no memory. */
static bool put_head(net_out *out, const proto_piece *m) {
  if (out->n_refs == 0) {
    proto_piece_head_encode(&out->bytes, m);
    return !out->bytes.failed;
  }
  uint8_t *bytes;
  hato__buf b = {0};
  net_data *d = net_data_new(PROTO_PIECE_HEAD, &bytes);
  proto_piece_head_encode(&b, m);
  if (!d || b.failed) {
    net_data_unref(d);
    hato__buf_free(&b);
    return false;
  }
  memcpy(bytes, b.data, PROTO_PIECE_HEAD);
  hato__buf_free(&b);
  return add_ref(out, d, bytes, PROTO_PIECE_HEAD);
}

/* Off the senders; hold is the caller's to give back, without the lock. */
static net_data *end(large *l) {
  l->over = true;
  if (hato__linked(&l->link)) hato__list_remove(&l->link);
  net_data *hold = l->hold;
  l->hold = NULL;
  return hold;
}

/* All of it is with net. An attached one may be asked for again; of a detached one this was it. */
static void sent(large *l) {
  sub *s = l->sub;
  if (!(s->flags & PROTO_SUBMIT_DETACHED) || l->over) return;
  net_data_unref(end(l)); /* the piece holds it, too, so it does not end here */
  s->unsent--;
  client_sub_handed_over(s);
}

void client_larges_fill(hato_pool *p, net_out *out) {
  while (!hato__list_empty(&p->out.senders) && out->n_refs + (out->n_refs ? 2 : 1) <= NET_REFS) {
    large *l = HATO__ENTRY(hato__list_pop(&p->out.senders), large, link);
    uint64_t n = l->size - l->at;
    if (n > l->credit) n = l->credit;
    if (n > PROTO_PIECE_DATA) n = PROTO_PIECE_DATA;
    proto_piece m = {.task = l->task,
                     .attempt = l->attempt,
                     .channel = PROTO_CH_IN,
                     .last = l->at + n == l->size,
                     .len = (uint32_t)n};
    if (!put_head(out, &m)) {
      net_close(p->conn, HATO_NO_MEMORY, "no memory for a piece");
      return;
    }
    add_ref(out, net_data_ref(l->hold), (const uint8_t *)l->data + l->at, (size_t)n);
    l->at += n;
    l->credit -= n;
    if (l->at == l->size) {
      sent(l);
    } else if (l->credit > 0) {
      hato__list_push(&p->out.senders, &l->link);
    }
  }
}

/* ---- the end ---- */

bool client_larges_resolved(const sub *s, uint64_t index) {
  const large *l = client_larges_find(s, index);
  return l && l->over;
}

bool client_larges_resolve(sub *s, uint64_t index, cell c) {
  hato_pool *p = s->pool;
  large *l = client_larges_find(s, index);
  if (!l) return false;
  l->cell = c;
  l->number = s->first ? s->first + index : 0;
  if (s->futures) {
    l->future = s->futures[index];
    s->futures[index] = NULL;
  } else {
    l->array = s->array;
    client_array_ref(l->array, 1);
  }
  pool_lock(p);
  net_data *hold = end(l);
  pool_unlock(p);
  if (l->in) client_input_drop(l->in);
  net_data_unref(hold);
  return true;
}

void client_larges_refused(sub *s, uint64_t index) {
  hato_pool *p = s->pool;
  large *l = client_larges_find(s, index);
  net_data *hold = NULL;
  pool_lock(p);
  if (l && !l->over) {
    hold = end(l);
    s->unsent--;
    client_sub_handed_over(s);
  }
  pool_unlock(p);
  net_data_unref(hold);
}

void client_larges_sub_gone(sub *s) {
  for (uint32_t i = 0; i < s->n_larges; i++)
    if (hato__linked(&s->larges[i]->link)) hato__list_remove(&s->larges[i]->link);
}

void client_larges_free(sub *s) {
  for (uint32_t i = 0; i < s->n_larges; i++) {
    large *l = s->larges[i];
    if (!l->over) net_data_unref(end(l));
    large_unref(l);
  }
  free(s->larges);
}

/* A future's handle. */
#include "client/internal.h"

hato_future *client_future_new(hato_pool *p, hato_queue *q) {
  hato_future *f = calloc(1, sizeof *f);
  if (!f) return NULL;
  atomic_init(&f->refs, 1);
  f->pool = client_pool_ref(p);
  f->queue = q;
  if (q) client_queue_ref(q);
  return f;
}

void client_future_ref(hato_future *f) { atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed); }

void client_future_unref(hato_future *f) {
  if (atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) != 1) return;
  client_result_free(atomic_load_explicit(&f->cell, memory_order_relaxed));
  if (f->live) client_live_unref(f->live);
  hato_queue *q = f->queue;
  hato_pool *p = f->pool;
  free(f);
  if (q) client_queue_unref(q);
  client_pool_unref(p);
}

void hato_future_release(hato_future *f) {
  if (!f || forked(f->pool)) return;
  atomic_store_explicit(&f->released, true, memory_order_release);
  client_future_unref(f);
}

static bool is_resolved(hato_future *f) {
  return (atomic_load_explicit(&f->word, memory_order_acquire) & WORD_RESOLVED) != 0;
}

bool hato_future_resolved(hato_future *f) { return f && !forked(f->pool) && is_resolved(f); }

hato_status hato_future_result(hato_future *f, hato_result *result) {
  if (!f || !result) return HATO_INVALID;
  if (forked(f->pool)) return HATO_STATE;
  if (!is_resolved(f)) return HATO_AGAIN;
  client_result_view(atomic_load_explicit(&f->cell, memory_order_relaxed), result);
  if (result->task == 0) result->task = f->task;
  return HATO_OK;
}

/* Its submission is named by seq, so that its number need not be known yet. */
hato_status hato_future_cancel(hato_future *f) {
  if (!f) return HATO_INVALID;
  hato_pool *p = f->pool;
  if (forked(p)) return HATO_STATE;
  if (is_resolved(f) || f->seq == 0) return HATO_OK;
  return client_outbox_cancel(p, f->seq, f->index, f->index);
}

void hato_future_set_tag(hato_future *f, void *tag) {
  if (f && !forked(f->pool)) atomic_store_explicit(&f->tag, tag, memory_order_release);
}

void *hato_future_tag(const hato_future *f) {
  return f && !forked(f->pool) ? atomic_load_explicit(&f->tag, memory_order_acquire) : NULL;
}

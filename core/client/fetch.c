/* Kept results by number. Two fetches of one task take turns, for their answers look alike. */
#include "client/internal.h"

struct fetch {
  uint64_t task;
  hato_future *future; /* holds a reference */
  fetch *next;         /* of the same task, to be asked for when this is answered */
  UT_hash_handle hh;
};

/* With the lock. */
static void ask(hato_pool *p, fetch *f) {
  HASH_ADD(hh, p->fetches, task, sizeof f->task, f);
  atomic_fetch_add_explicit(&p->n_fetches, 1, memory_order_relaxed);
  proto_fetch_encode(outbox_urgent(p), f->task);
}

fetch *client_fetch_find(hato_pool *p, uint64_t task) {
  if (atomic_load_explicit(&p->n_fetches, memory_order_relaxed) == 0) return NULL;
  fetch *f = NULL;
  pool_lock(p);
  HASH_FIND(hh, p->fetches, &task, sizeof task, f);
  pool_unlock(p);
  return f;
}

uint64_t client_fetch_next(hato_pool *p, uint64_t task) {
  uint64_t least = 0;
  if (atomic_load_explicit(&p->n_fetches, memory_order_relaxed) == 0) return 0;
  fetch *f, *next;
  pool_lock(p);
  HASH_ITER(hh, p->fetches, f, next) {
    if (f->task >= task && (least == 0 || f->task < least)) least = f->task;
  }
  pool_unlock(p);
  return least;
}

void client_fetch_resolve(hato_pool *p, fetch *f, cell c) {
  pool_lock(p);
  HASH_DEL(p->fetches, f);
  atomic_fetch_sub_explicit(&p->n_fetches, 1, memory_order_relaxed);
  fetch *next = f->next;
  if (next && p->state == POOL_OPEN) ask(p, next);
  bool gone = next && p->state != POOL_OPEN;
  if (gone) { /* they end with those that were asked for */
    HASH_ADD(hh, p->fetches, task, sizeof next->task, next);
    atomic_fetch_add_explicit(&p->n_fetches, 1, memory_order_relaxed);
  }
  pool_unlock(p);
  if (next && !gone) net_wake(p->conn);
  client_publish_future(f->future, c ? c : client_result_error(HATO_NO_MEMORY, WORDS_MEMORY, 0), f->task, &p->pending);
  free(f);
}

void client_fetch_close(hato_pool *p) {
  while (p->fetches)
    client_fetch_resolve(p, p->fetches,
                  client_result_error(p->gone_error, p->gone_error == HATO_CLOSED ? WORDS_CLOSED : WORDS_GONE, 0));
}

hato_status hato_fetch(hato_pool *p, uint64_t task, hato_queue *queue, hato_future **future, hato_error *err) {
  hato__error_clear(err);
  if (future) *future = NULL;
  if (!p || !future || task == 0) return hato__fail(err, HATO_INVALID, "hato_fetch: a NULL argument or task 0");
  if (forked(p)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  if (queue && queue->pool != p) return hato__fail(err, HATO_INVALID, "the queue is another pool's");
  hato_future *h = client_future_new(p, queue);
  fetch *f = h ? calloc(1, sizeof *f) : NULL;
  if (!f) {
    if (h) client_future_unref(h);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a future");
  }
  f->task = h->task = task;
  f->future = h;
  fetch *before = NULL;
  pool_lock(p);
  bool open = p->state == POOL_OPEN;
  if (open) {
    client_future_ref(h);
    HASH_FIND(hh, p->fetches, &task, sizeof task, before);
    if (before) {
      while (before->next) before = before->next;
      before->next = f;
    } else {
      ask(p, f);
    }
  }
  pool_unlock(p);
  if (!open) {
    client_future_unref(h);
    free(f);
    return hato__fail(err, HATO_CLOSED, "the dispatcher is gone");
  }
  *future = h;
  if (!before) net_wake(p->conn);
  return HATO_OK;
}

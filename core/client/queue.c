/* Completion queues. */
#include "client/internal.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

void client_queue_ref(hato_queue *q) { atomic_fetch_add_explicit(&q->refs, 1, memory_order_relaxed); }

static void drop(completion c) {
  if (c.of & 1u) {
    client_array_unref((hato_array *)(c.of & ~(uintptr_t)1), 1);
  } else {
    client_future_unref((hato_future *)c.of);
  }
}

void client_queue_unref(hato_queue *q) {
  if (atomic_fetch_sub_explicit(&q->refs, 1, memory_order_acq_rel) != 1) return;
  hato_pool *p = q->pool;
  if (q->fd >= 0) close(q->fd);
  pthread_mutex_destroy(&q->lock);
  pthread_cond_destroy(&q->some);
  free(q->ring);
  free(q);
  client_pool_unref(p);
}

hato_status hato_queue_create(hato_pool *p, hato_queue **queue) {
  if (queue) *queue = NULL;
  if (!p || !queue) return HATO_INVALID;
  if (forked(p)) return HATO_STATE;
  hato_queue *q = calloc(1, sizeof *q);
  if (!q) return HATO_NO_MEMORY;
  atomic_init(&q->refs, 1);
  q->pool = client_pool_ref(p);
  q->fd = -1;
  pthread_mutex_init(&q->lock, NULL);
  client_pool_cond_init(&q->some);
  pool_lock(p);
  hato__list_push(&p->queues, &q->link);
  q->closed = p->ended;
  pool_unlock(p);
  *queue = q;
  return HATO_OK;
}

static bool grow(hato_queue *q, size_t n) {
  size_t cap = q->cap ? q->cap : 64;
  while (cap < q->n + n) cap *= 2;
  if (cap == q->cap) return true;
  completion *ring = malloc(cap * sizeof *ring);
  if (!ring) return false;
  for (size_t i = 0; i < q->n; i++) ring[i] = q->ring[(q->head + i) & (q->cap - 1)];
  free(q->ring);
  q->ring = ring;
  q->cap = cap;
  q->head = 0;
  return true;
}

static void signal_fd(int fd) {
  uint64_t one = 1;
  ssize_t n = write(fd, &one, sizeof one);
  (void)n; /* full: it is readable already */
}

void client_queue_push(hato_queue *q, const completion *c, size_t n) {
  pthread_mutex_lock(&q->lock);
  bool ok = !q->released && grow(q, n);
  if (ok) {
    bool was_empty = q->n == 0;
    for (size_t i = 0; i < n; i++) q->ring[(q->head + q->n++) & (q->cap - 1)] = c[i];
    if (was_empty && q->fd >= 0) signal_fd(q->fd);
    if (q->waiters > 0) pthread_cond_broadcast(&q->some);
  }
  pthread_mutex_unlock(&q->lock);
  /* Released, or no memory for eight bytes of a ring: who waits would learn nothing of it anyway. */
  for (size_t i = 0; !ok && i < n; i++) drop(c[i]);
}

void client_queues_close(hato_pool *p) {
  pool_lock(p);
  for (hato__link *l = p->queues.next; l != &p->queues; l = l->next) {
    hato_queue *q = HATO__ENTRY(l, hato_queue, link);
    pthread_mutex_lock(&q->lock);
    q->closed = true;
    pthread_cond_broadcast(&q->some);
    if (q->fd >= 0) signal_fd(q->fd);
    pthread_mutex_unlock(&q->lock);
  }
  pool_unlock(p);
}

/* What its user released meanwhile is passed over. With the lock; a reference to keep is in *c. */
static bool pop(hato_queue *q, completion *c) {
  *c = q->ring[q->head & (q->cap - 1)];
  q->head = (q->head + 1) & (q->cap - 1);
  q->n--;
  if (c->of & 1u) return !atomic_load(&((hato_array *)(c->of & ~(uintptr_t)1))->released);
  return !atomic_load(&((hato_future *)c->of)->released);
}

/* Waits until there is something; with the lock. */
static hato_status await_some(hato_queue *q, uint64_t until) {
  struct timespec ts = {.tv_sec = (time_t)(until / HATO__SEC), .tv_nsec = (long)(until % HATO__SEC)};
  while (q->n == 0) {
    if (q->closed) return HATO_CLOSED;
    if (until != UINT64_MAX && hato__now() >= until) return HATO_TIMED_OUT;
    q->waiters++;
    if (until == UINT64_MAX) {
      pthread_cond_wait(&q->some, &q->lock);
    } else {
      pthread_cond_timedwait(&q->some, &q->lock, &ts);
    }
    q->waiters--;
  }
  return HATO_OK;
}

hato_status hato_queue_next(hato_queue *q, hato_completion *completions, size_t max, int timeout_ms, size_t *got) {
  if (got) *got = 0;
  if (!q || !completions || !got || max == 0) return HATO_INVALID;
  if (forked(q->pool)) return HATO_STATE;
  uint64_t until = client_wait_until(timeout_ms);
  hato_status st = HATO_OK;
  while (*got == 0 && st == HATO_OK) {
    completion dropped[64];
    size_t n_dropped = 0, n = 0;
    pthread_mutex_lock(&q->lock);
    st = await_some(q, until);
    while (st == HATO_OK && q->n > 0 && n < max && n_dropped < 64) {
      completion c;
      if (pop(q, &c)) {
        bool array = c.of & 1u;
        completions[n++] = (hato_completion){.future = array ? NULL : (hato_future *)c.of,
                                             .array = array ? (hato_array *)(c.of & ~(uintptr_t)1) : NULL,
                                             .index = c.index};
      } else {
        dropped[n_dropped++] = c;
      }
    }
    if (q->n == 0 && q->fd >= 0 && st == HATO_OK) {
      uint64_t value;
      ssize_t r = read(q->fd, &value, sizeof value);
      (void)r;
    }
    pthread_mutex_unlock(&q->lock);
    for (size_t i = 0; i < n_dropped; i++) drop(dropped[i]);
    /* The user's own reference keeps them from here on. */
    for (size_t i = 0; i < n; i++)
      drop((completion){.of = completions[i].array ? (uintptr_t)completions[i].array | 1u
                                                   : (uintptr_t)completions[i].future});
    *got = n;
  }
  return st;
}

int hato_queue_fd(hato_queue *q) {
  if (!q || forked(q->pool)) return -1;
  pthread_mutex_lock(&q->lock);
  if (q->fd < 0) {
    q->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->fd >= 0 && q->n > 0) signal_fd(q->fd);
  }
  int fd = q->fd;
  pthread_mutex_unlock(&q->lock);
  return fd;
}

void hato_queue_release(hato_queue *q) {
  if (!q || forked(q->pool)) return;
  pool_lock(q->pool);
  hato__list_remove(&q->link);
  pool_unlock(q->pool);
  pthread_mutex_lock(&q->lock);
  q->released = true;
  pthread_mutex_unlock(&q->lock);
  /* Nobody adds to it any more, and its reference keeps it while its contents go. */
  while (q->n > 0) {
    completion c;
    (void)pop(q, &c);
    drop(c);
  }
  client_queue_unref(q);
}

/* Output as it comes, for HATO_COMMAND_LIVE: pieces are held until there is a function for
 * them, handed on by the helper one at a time, and acknowledged when it returned, so that a
 * function that blocks holds the task back as a pipe does. */
#include "client/internal.h"

#include <string.h>

#define AT_ONCE 16 /* pieces before another future has its turn */

typedef struct held {
  struct held *next;
  proto_piece piece; /* data within `data`, or in the bytes that follow */
  net_data *data;
  uint8_t bytes[];
} held;

struct live {
  job job; /* first, for the helper */
  atomic_uint refs;
  hato_pool *pool;
  pthread_mutex_t lock;
  void (*callback)(void *, int, const void *, size_t);
  void *arg;
  held *first, **last;
  bool busy; /* with the helper, or a caller of on_output */
  bool over; /* its task has resolved */
  hato_future *future; /* to be published then, with what follows */
  cell cell;
  uint64_t task;
};

static void run(job *j);

live *client_live_new(hato_pool *p) {
  live *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  l->job.run = run;
  atomic_init(&l->refs, 1);
  l->pool = p; /* its future holds the pool */
  pthread_mutex_init(&l->lock, NULL);
  l->last = &l->first;
  return l;
}

static void held_free(held *h) {
  net_data_unref(h->data);
  free(h);
}

void client_live_unref(live *l) {
  if (atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1) return;
  while (l->first) {
    held *h = l->first;
    l->first = h->next;
    held_free(h);
  }
  pthread_mutex_destroy(&l->lock);
  free(l);
}

static held *take(live *l) {
  held *h = l->first;
  if (h && (l->first = h->next) == NULL) l->last = &l->first;
  return h;
}

/* With its lock: the helper gets it unless it has it. */
static void want_run(live *l) {
  if (l->busy || !l->callback || !l->first) return;
  atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
  l->busy = client_helper_add(l->pool, &l->job);
  if (!l->busy) atomic_fetch_sub_explicit(&l->refs, 1, memory_order_relaxed);
}

void client_live_piece(live *l, const proto_piece *m, net_data *data) {
  held *h = malloc(sizeof *h + (data ? 0 : m->len));
  if (!h) return; /* it is as good as cut: the pool has other troubles now */
  *h = (held){.piece = *m, .data = data ? net_data_ref(data) : NULL};
  if (!data) {
    memcpy(h->bytes, m->data, m->len);
    h->piece.data = h->bytes;
  }
  pthread_mutex_lock(&l->lock);
  *l->last = h;
  l->last = &h->next;
  want_run(l);
  pthread_mutex_unlock(&l->lock);
}

bool client_live_resolve(hato_future *f, cell c, uint64_t task) {
  live *l = f->live;
  pthread_mutex_lock(&l->lock);
  l->over = true;
  bool later = l->busy;
  if (later) {
    l->future = f;
    l->cell = c;
    l->task = task;
  }
  pthread_mutex_unlock(&l->lock);
  return later;
}

/* One piece, without its lock. */
static void hand_on(live *l, held *h) {
  l->callback(l->arg, h->piece.channel, h->piece.data, h->piece.len);
  client_credit_give(l->pool, &h->piece, h->piece.len);
  held_free(h);
}

static void run(job *j) {
  live *l = (live *)j;
  pthread_mutex_lock(&l->lock);
  held *h;
  for (int i = 0; i < AT_ONCE && (h = take(l)) != NULL; i++) {
    pthread_mutex_unlock(&l->lock);
    hand_on(l, h);
    pthread_mutex_lock(&l->lock);
  }
  l->busy = false;
  want_run(l);
  hato_future *f = l->busy ? NULL : l->future;
  if (f) l->future = NULL;
  pthread_mutex_unlock(&l->lock);
  if (f) client_publish_future(f, l->cell, l->task, NULL);
  client_live_unref(l);
}

/* Of a task that is over, on the caller's thread: so it has all of it when this returns. */
static void hand_over(live *l) {
  held *h;
  while ((h = take(l)) != NULL) {
    pthread_mutex_unlock(&l->lock);
    hand_on(l, h);
    pthread_mutex_lock(&l->lock);
  }
}

hato_status hato_future_on_output(hato_future *f,
                                  void (*callback)(void *arg, int stream, const void *data, size_t size), void *arg) {
  if (!f || !callback) return HATO_INVALID;
  if (forked(f->pool) || !f->live) return HATO_STATE;
  live *l = f->live;
  pthread_mutex_lock(&l->lock);
  bool first = l->callback == NULL;
  if (first) {
    l->callback = callback;
    l->arg = arg;
    if (l->over) {
      hand_over(l);
    } else {
      want_run(l);
    }
  }
  pthread_mutex_unlock(&l->lock);
  return first ? HATO_OK : HATO_STATE;
}

/* hato_pool_dispatch: callbacks that are due run when the host calls for them. */
#include "client/internal.h"

#include <sys/eventfd.h>
#include <unistd.h>

static void signal_due(hato_pool *p) {
  uint64_t one = 1;
  if (p->due_fd < 0) return;
  ssize_t n = write(p->due_fd, &one, sizeof one);
  (void)n;
}

void client_callbacks_due(hato_future *f) {
  hato_pool *p = f->pool;
  client_future_ref(f);
  pthread_mutex_lock(&p->due_lock);
  bool was_empty = p->due == NULL;
  f->next_due = NULL;
  *p->due_tail = f;
  p->due_tail = &f->next_due;
  if (was_empty) signal_due(p);
  pthread_mutex_unlock(&p->due_lock);
}

hato_status hato_future_on_resolved(hato_future *f, void (*callback)(hato_future *, void *arg), void *arg) {
  if (!f || !callback) return HATO_INVALID;
  hato_pool *p = f->pool;
  if (forked(p)) return HATO_STATE;
  pthread_mutex_lock(&p->due_lock);
  bool first = f->callback == NULL;
  if (first) {
    f->callback = callback;
    f->callback_arg = arg;
  }
  pthread_mutex_unlock(&p->due_lock);
  if (!first) return HATO_STATE;
  /* Whoever sees the other's bit makes it due: this, or the result. */
  if (atomic_fetch_or_explicit(&f->word, WORD_CALLBACK, memory_order_acq_rel) & WORD_RESOLVED) client_callbacks_due(f);
  return HATO_OK;
}

static hato_future *take(hato_pool *p) {
  pthread_mutex_lock(&p->due_lock);
  hato_future *list = p->due;
  p->due = NULL;
  p->due_tail = &p->due;
  if (list && p->due_fd >= 0) {
    uint64_t value;
    ssize_t n = read(p->due_fd, &value, sizeof value);
    (void)n;
  }
  pthread_mutex_unlock(&p->due_lock);
  return list;
}

int hato_pool_dispatch(hato_pool *p) {
  if (!p || forked(p)) return 0;
  int n = 0;
  hato_future *f = take(p);
  while (f) {
    hato_future *next = f->next_due;
    f->callback(f, f->callback_arg);
    client_future_unref(f);
    f = next;
    n++;
  }
  return n;
}

int hato_pool_fd(hato_pool *p) {
  if (!p || forked(p)) return -1;
  pthread_mutex_lock(&p->due_lock);
  if (p->due_fd < 0) {
    p->due_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (p->due) signal_due(p);
  }
  int fd = p->due_fd;
  pthread_mutex_unlock(&p->due_lock);
  return fd;
}

void client_callbacks_close(hato_pool *p) {
  hato_future *f = take(p);
  while (f) {
    hato_future *next = f->next_due;
    client_future_unref(f);
    f = next;
  }
}

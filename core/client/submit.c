/* Single tasks. Those of one specification that are submitted while others are under way
 * share a submission; each has a future of its own. */
#include "client/internal.h"

#include <string.h>

#define BLOCK_ROOM (PROTO_BODY_MAX - 16u) /* of ends and data in a frame of arguments */

static bool fits(const sub *s, size_t size) { return s->ends.len + 4 + s->data.len + size <= BLOCK_ROOM; }

/* Adds a place for a future; false: no memory. */
static bool add_future(sub *s, hato_future *f) {
  if (s->count == s->cap) {
    uint32_t cap = s->cap ? s->cap * 2 : 2;
    hato_future **all = realloc(s->futures, cap * sizeof(hato_future *));
    if (!all) return false;
    s->futures = all;
    s->cap = cap;
  }
  f->index = (uint32_t)s->count;
  f->seq = s->seq;
  client_future_ref(f);
  s->futures[s->count++] = f;
  s->left++;
  return true;
}

/* With the lock: a submission of its own, the last item of the outbox. Takes the caller's reference. */
static void queue_sub(hato_pool *p, sub *s) {
  client_spec_queue(p, s->spec);
  s->item = (item){.kind = ITEM_SUB, .size = 64, .attached = true, .u.sub = s};
  client_outbox_push(p, &s->item);
}

/* With the lock. */
static hato_status join_or_open(hato_pool *p, hato_spec *spec, hato_argument a, hato_future *f) {
  sub *s = p->out.open;
  if (!s || s->spec != spec || !fits(s, a.size)) {
    s = client_sub_new(p, spec, 0, PROTO_ARGS_EXPLICIT, 0);
    if (!s) return HATO_NO_MEMORY;
    client_sub_add(s);
    queue_sub(p, s);
    p->out.open = s;
  }
  uint32_t index = (uint32_t)s->count;
  if (!add_future(s, f)) return HATO_NO_MEMORY;
  hato__buf_append(&s->data, a.data, a.size);
  hato__buf_u32(&s->ends, (uint32_t)s->data.len);
  if (s->data.failed || s->ends.failed) { /* as it was */
    s->data.failed = s->ends.failed = false;
    s->ends.len = 4 * (size_t)index;
    s->count--;
    s->left--;
    client_future_unref(f);
    f->seq = 0;
    return HATO_NO_MEMORY;
  }
  uint32_t size = (uint32_t)a.size + 8;
  s->item.size += size;
  p->out.waiting += size;
  return HATO_OK;
}

/* With the lock: a large argument, or a stream, has a submission of its own. */
static hato_status open_alone(hato_pool *p, sub *s, hato_future *f) {
  client_sub_add(s);
  if (!add_future(s, f)) { /* nothing was sent of it */
    client_sub_settle(s);
    client_sub_unref(s);
    return HATO_NO_MEMORY;
  }
  queue_sub(p, s);
  return HATO_OK;
}

/* Joins the outbox when there is room; *wake says whether the connection must hear of it. */
static hato_status put(hato_pool *p, hato_spec *spec, sub *alone, hato_argument a, hato_future *f, bool *wake) {
  pool_lock(p);
  while (p->out.waiting >= QUEUED_MAX && p->state == POOL_OPEN) client_pool_await(p, UINT64_MAX);
  hato_status st = p->state == POOL_OPEN ? HATO_OK : HATO_CLOSED;
  if (st == HATO_OK) {
    st = alone ? open_alone(p, alone, f) : join_or_open(p, spec, a, f);
  } else if (alone) {
    client_sub_unref(alone);
  }
  *wake = !p->out.open || p->out.unanswered < UNANSWERED_MAX;
  pool_unlock(p);
  return st;
}

static hato_status submit(hato_pool *p, hato_spec *spec, sub *alone, hato_argument a, hato_future *f,
                          hato_future **future, hato_error *err) {
  bool wake;
  if (spec->live) f->live = client_live_new(p);
  hato_status st = put(p, spec, alone, a, f, &wake);
  if (st) {
    client_future_unref(f);
    return hato__fail(err, st, st == HATO_CLOSED ? "the dispatcher is gone" : "no memory for a task");
  }
  atomic_fetch_add_explicit(&p->submitted, 1, memory_order_relaxed);
  *future = f;
  if (wake) net_wake(p->conn);
  return HATO_OK;
}

static hato_status check(hato_pool *p, hato_spec *spec, hato_queue *q, hato_future **future, hato_error *err) {
  hato__error_clear(err);
  if (future) *future = NULL;
  if (!p || !spec || !future) return hato__fail(err, HATO_INVALID, "a task needs a pool, a specification and a future");
  if (forked(p)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  if (spec->pool != p || (q && q->pool != p))
    return hato__fail(err, HATO_INVALID, "the specification or the queue is another pool's");
  return HATO_OK;
}

hato_status hato_submit(hato_pool *p, hato_spec *spec, hato_argument argument, void (*release)(void *data),
                        hato_queue *queue, hato_future **future, hato_error *err) {
  hato_status st = check(p, spec, queue, future, err);
  if (st) return st;
  if (!argument.data && argument.size > 0) return hato__fail(err, HATO_INVALID, "the argument is NULL");
  bool borrowed = argument.size > PROTO_INLINE_ARG;
  hato_future *f = client_future_new(p, queue);
  sub *alone = f && borrowed ? client_sub_new(p, spec, 0, PROTO_ARGS_EXPLICIT, 0) : NULL;
  bool ok = f && (!borrowed || (alone && client_larges_add(alone, 0, &argument, release)));
  if (!ok) {
    if (alone) {
      pool_lock(p);
      client_sub_unref(alone);
      pool_unlock(p);
    }
    if (f) client_future_unref(f);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a task");
  }
  st = submit(p, spec, alone, argument, f, future, err);
  if (st == HATO_OK && release && !borrowed) client_helper_release(p, (void *)(uintptr_t)argument.data, release);
  return st;
}

hato_status hato_submit_stream(hato_pool *p, hato_spec *spec, int read_fd, hato_queue *queue, hato_future **future,
                               hato_error *err) {
  hato_status st = check(p, spec, queue, future, err);
  if (st) return st;
  if (read_fd < 0 || !spec->takes_input)
    return hato__fail(err, HATO_INVALID, "a stream needs a descriptor and a command of HATO_STDIN_ARGUMENT");
  hato_future *f = client_future_new(p, queue);
  sub *s = f ? client_sub_new(p, spec, 0, PROTO_ARGS_EXPLICIT, 0) : NULL;
  large *l = s ? client_larges_add(s, 0, &(hato_argument){.size = SIZE_MAX}, NULL) : NULL;
  if (l) l->in = client_input_new(l, s, read_fd);
  if (!l || !l->in) {
    if (s) {
      pool_lock(p);
      client_sub_unref(s);
      pool_unlock(p);
    }
    if (f) client_future_unref(f);
    return hato__fail(err, HATO_NO_MEMORY, "no memory or no thread for a stream");
  }
  return submit(p, spec, s, (hato_argument){0}, f, future, err);
}

/* Arrays: submitting them, and their handle. */
#include "client/internal.h"

#include <string.h>

#define ARGS_HEAD (PROTO_HEADER + 12u + 4u) /* frame header, seq and flags, count */

void client_array_ref(hato_array *a, unsigned n) { atomic_fetch_add_explicit(&a->refs, n, memory_order_relaxed); }

void client_array_unref(hato_array *a, unsigned n) {
  if (atomic_fetch_sub_explicit(&a->refs, n, memory_order_acq_rel) != n) return;
  for (size_t i = 0; !a->detached && i < a->count; i++)
    client_result_free(atomic_load_explicit(&a->cells[i], memory_order_relaxed));
  hato_queue *q = a->queue;
  hato_pool *p = a->pool;
  free(a->refusal_words);
  free(a);
  if (q) client_queue_unref(q);
  client_pool_unref(p);
}

void client_array_done(hato_array *a, size_t n) {
  size_t done = atomic_fetch_add_explicit(&a->done, n, memory_order_acq_rel) + n;
  if (atomic_load(&a->at_waiters) > 0) {
    atomic_fetch_add_explicit(&a->some, 1, memory_order_release);
    client_word_wake(&a->some);
  }
  if (done == a->count) {
    atomic_store_explicit(&a->all, 1, memory_order_release);
    client_word_wake(&a->all);
  }
}

void client_array_handed_over(hato_array *a) {
  atomic_store_explicit(&a->all, 1, memory_order_release);
  client_word_wake(&a->all);
}

void client_array_answered(hato_array *a, uint64_t first, hato_status status, const char *words, size_t len) {
  if (atomic_load_explicit(&a->answered, memory_order_relaxed)) return;
  a->refusal = status;
  a->refusal_words = words && len ? hato__strndup(words, len) : NULL;
  atomic_store_explicit(&a->first, first, memory_order_relaxed);
  atomic_store_explicit(&a->answered, 1, memory_order_release);
  client_word_wake(&a->answered);
}

/* ---- submitting ---- */

static hato_array *array_new(hato_pool *p, hato_queue *q, size_t count, bool detached) {
  if (count > (SIZE_MAX - sizeof(hato_array)) / sizeof(cell)) return NULL;
  hato_array *a = calloc(1, sizeof *a + (detached ? 0 : count * sizeof(cell)));
  if (!a) return NULL;
  atomic_init(&a->refs, 1);
  a->pool = client_pool_ref(p);
  a->queue = q;
  if (q) client_queue_ref(q);
  a->count = count;
  a->detached = detached;
  return a;
}

/* With the lock: its SPEC if need be, and its SUBMIT. */
static void queue_sub(hato_pool *p, sub *s) {
  client_spec_queue(p, s->spec);
  s->item = (item){.kind = ITEM_SUB, .size = 64, .attached = !(s->flags & PROTO_SUBMIT_DETACHED), .u.sub = s};
  s->refs++;
  client_outbox_push(p, &s->item);
  for (uint32_t i = 0; i < s->n_larges && (s->flags & PROTO_SUBMIT_DETACHED); i++)
    s->unsent += s->larges[i]->size <= PROTO_PAYLOAD_MAX; /* a larger one is not asked for */
  if (s->n_larges > 0 && (s->flags & PROTO_SUBMIT_DETACHED)) {
    p->uploads++;
    s->uploading = true;
  }
}

/* A frame of arguments joins the outbox; the caller waits while too much is there. */
static hato_status queue_args(sub *s, net_data *d, const uint8_t *at, size_t len) {
  hato_pool *p = s->pool;
  item *i = client_outbox_item(ITEM_ARGS, (uint32_t)len);
  if (!i) {
    net_data_unref(d);
    return HATO_NO_MEMORY;
  }
  i->u.args.data = d;
  i->u.args.sub = s;
  i->bytes_at = at;
  i->attached = !(s->flags & PROTO_SUBMIT_DETACHED);
  pool_lock(p);
  while (p->out.waiting >= QUEUED_MAX && p->state == POOL_OPEN) client_pool_await(p, UINT64_MAX);
  bool open = p->state == POOL_OPEN;
  if (open) {
    s->refs++;
    client_outbox_push(p, i);
  }
  pool_unlock(p);
  if (open) {
    net_wake(p->conn);
  } else { /* its tasks have been resolved, or are about to be */
    net_data_unref(d);
    free(i);
  }
  return HATO_OK;
}

/* How many of args[from, n) a frame holds, and their bytes. */
static size_t frame_fit(const hato_argument *args, size_t from, size_t n, size_t *bytes) {
  size_t room = PROTO_HEADER + PROTO_BODY_MAX - ARGS_HEAD, at = from, data = 0;
  while (at < n && args[at].size <= PROTO_INLINE_ARG && args[at].size + 4 <= room) {
    room -= args[at].size + 4;
    data += args[at++].size;
  }
  *bytes = data;
  return at - from;
}

static net_data *encode_args(const sub *s, const hato_argument *args, size_t n, size_t bytes, const uint8_t **at) {
  uint8_t *b;
  size_t len = ARGS_HEAD + 4 * n + bytes;
  net_data *d = net_data_new(len, &b);
  if (!d) return NULL;
  *at = b;
  hato__buf h = {.data = b, .cap = len};
  size_t begun = proto_begin(&h, PROTO_ARGS);
  hato__buf_u64(&h, s->seq);
  hato__buf_u32(&h, 0);
  hato__buf_u32(&h, (uint32_t)n);
  uint8_t *ends = b + h.len, *data = ends + 4 * n;
  uint32_t end = 0;
  for (size_t i = 0; i < n; i++) {
    end += (uint32_t)args[i].size;
    uint32_t le = htole32(end);
    memcpy(ends + 4 * i, &le, 4);
    if (args[i].size) memcpy(data, args[i].data, args[i].size);
    data += args[i].size;
  }
  h.len = len;
  proto_end(&h, begun);
  return d;
}

static net_data *encode_large(const sub *s, uint64_t total, const uint8_t **at, size_t *len) {
  hato__buf b = {0};
  proto_args_large_encode(&b, s->seq, total);
  uint8_t *bytes;
  net_data *d = b.failed ? NULL : net_data_new(b.len, &bytes);
  if (d) {
    memcpy(bytes, b.data, b.len);
    *at = bytes;
    *len = b.len;
  }
  hato__buf_free(&b);
  return d;
}

/* The arguments, a frame at a time: the first go out while the next are copied. Without memory
 * the array stands with what was sent, so the pool is closed: the tasks resolve to that. */
static void send_args(sub *s, const hato_argument *args, size_t n) {
  hato_status st = HATO_OK;
  for (size_t from = 0; from < n && st == HATO_OK;) {
    const uint8_t *at = NULL;
    size_t len = 0, bytes, fit = frame_fit(args, from, n, &bytes);
    net_data *d;
    if (fit > 0) {
      len = ARGS_HEAD + 4 * fit + bytes;
      d = encode_args(s, args + from, fit, bytes, &at);
      from += fit;
    } else {
      d = encode_large(s, args[from].size, &at, &len);
      from++;
    }
    st = d ? queue_args(s, d, at, len) : HATO_NO_MEMORY;
  }
  if (st) net_close(s->pool->conn, HATO_NO_MEMORY, "no memory for arguments");
}

/* What send_args will queue, so that a detached one is not taken for handed over before. */
static uint64_t count_frames(const hato_argument *args, size_t n) {
  uint64_t frames = 0;
  for (size_t from = 0; from < n; frames++) {
    size_t bytes, fit = frame_fit(args, from, n, &bytes);
    from += fit > 0 ? fit : 1;
  }
  return frames;
}

static hato_status prepare(hato_pool *p, hato_spec *spec, const hato_argument *args, size_t count, uint8_t kind,
                           unsigned flags, hato_queue *q, sub **sp, hato_array **ap, hato_error *err) {
  bool detached = (flags & HATO_DETACHED) != 0;
  hato_array *a = array_new(p, q, count, detached);
  sub *s = a ? client_sub_new(p, spec, count, kind, detached ? PROTO_SUBMIT_DETACHED : 0) : NULL;
  bool ok = s != NULL;
  for (size_t i = 0; ok && args && i < count; i++)
    if (args[i].size > PROTO_INLINE_ARG) ok = client_larges_add(s, (uint32_t)i, &args[i], NULL);
  if (!ok) {
    if (s) {
      pool_lock(p);
      client_sub_unref(s);
      pool_unlock(p);
    }
    if (a) client_array_unref(a, 1);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for an array of %zu tasks", count);
  }
  if (args) s->unsent = count_frames(args, count);
  *sp = s;
  *ap = a;
  return HATO_OK;
}

static hato_status submit(hato_pool *p, sub *s, hato_array *a, const hato_argument *args, size_t count,
                          hato_array **out, hato_error *err) {
  pool_lock(p);
  while (p->out.waiting >= QUEUED_MAX && p->state == POOL_OPEN) client_pool_await(p, UINT64_MAX);
  bool open = p->state == POOL_OPEN;
  if (open) {
    s->array = a;
    client_array_ref(a, 1);
    client_sub_add(s);
    a->seq = s->seq;
    queue_sub(p, s);
  }
  pool_unlock(p);
  if (open) {
    atomic_fetch_add_explicit(&p->submitted, count, memory_order_relaxed);
    net_wake(p->conn);
    if (args) send_args(s, args, count);
    *out = a;
  }
  pool_lock(p);
  client_sub_unref(s);
  pool_unlock(p);
  if (open) return HATO_OK;
  client_array_unref(a, 1);
  return hato__fail(err, HATO_CLOSED, "the dispatcher is gone");
}

static hato_status check(hato_pool *p, hato_spec *spec, size_t count, unsigned flags, hato_queue *q, hato_array **array,
                         hato_error *err) {
  hato__error_clear(err);
  if (array) *array = NULL;
  if (!p || !spec || !array || count == 0 || count > PROTO_TASKS_MAX)
    return hato__fail(err, HATO_INVALID, "an array needs a pool, a specification, a place for its handle and 1 to %u "
                      "tasks, not %zu", PROTO_TASKS_MAX, count);
  if (forked(p)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  if (flags & ~HATO_DETACHED) return hato__fail(err, HATO_INVALID, "unknown flag bits 0x%x", flags & ~HATO_DETACHED);
  if (spec->pool != p || (q && q->pool != p))
    return hato__fail(err, HATO_INVALID, "the specification or the queue is another pool's");
  if ((flags & HATO_DETACHED) && p->embedded)
    return hato__fail(err, HATO_NOT_SUPPORTED, "an embedded dispatcher ends with its pool: nothing can outlive it");
  return HATO_OK;
}

hato_status hato_submit_array(hato_pool *p, hato_spec *spec, const hato_argument *arguments, size_t count,
                              unsigned flags, hato_queue *queue, hato_array **array, hato_error *err) {
  sub *s;
  hato_array *a;
  hato_status st = check(p, spec, count, flags, queue, array, err);
  for (size_t i = 0; st == HATO_OK && arguments && i < count; i++)
    if (!arguments[i].data && arguments[i].size > 0) st = hato__fail(err, HATO_INVALID, "argument %zu is NULL", i);
  if (st) return st;
  st = prepare(p, spec, arguments, count, arguments ? PROTO_ARGS_EXPLICIT : PROTO_ARGS_NONE, flags, queue, &s, &a, err);
  return st ? st : submit(p, s, a, arguments, count, array, err);
}

hato_status hato_submit_counted(hato_pool *p, hato_spec *spec, int64_t start, int64_t step, size_t count,
                                unsigned flags, hato_queue *queue, hato_array **array, hato_error *err) {
  sub *s;
  hato_array *a;
  int64_t last;
  hato_status st = check(p, spec, count, flags, queue, array, err);
  if (st) return st;
  if (__builtin_mul_overflow((int64_t)(count - 1), step, &last) || __builtin_add_overflow(start, last, &last))
    return hato__fail(err, HATO_INVALID, "%zu numbers from %lld in steps of %lld pass 64 bits", count, (long long)start,
                      (long long)step);
  st = prepare(p, spec, NULL, count, PROTO_ARGS_COUNTED, flags, queue, &s, &a, err);
  if (st) return st;
  s->start = start;
  s->step = step;
  return submit(p, s, a, NULL, count, array, err);
}

/* ---- the handle ---- */

size_t hato_array_count(const hato_array *a) { return a && !forked(a->pool) ? a->count : 0; }

size_t hato_array_resolved(hato_array *a) {
  return a && !forked(a->pool) ? atomic_load_explicit(&a->done, memory_order_acquire) : 0;
}

hato_status hato_array_first_task(hato_array *a, int timeout_ms, uint64_t *task, hato_error *err) {
  hato__error_clear(err);
  if (task) *task = 0;
  if (!a || !task) return hato__fail(err, HATO_INVALID, "hato_array_first_task: a NULL argument");
  if (forked(a->pool)) return hato__fail(err, HATO_STATE, "the pool belongs to the process that opened it");
  uint64_t until = client_wait_until(timeout_ms);
  while (!atomic_load_explicit(&a->answered, memory_order_acquire))
    if (!client_word_wait(&a->answered, 0, until)) return hato__fail(err, HATO_TIMED_OUT, "not accepted in %d ms", timeout_ms);
  if (a->refusal) return hato__fail(err, a->refusal, "%s", a->refusal_words ? a->refusal_words : hato_strerror(a->refusal));
  *task = atomic_load_explicit(&a->first, memory_order_relaxed);
  return HATO_OK;
}

hato_status hato_array_wait(hato_array *a, int timeout_ms) {
  if (!a) return HATO_INVALID;
  if (forked(a->pool)) return HATO_STATE;
  uint64_t until = client_wait_until(timeout_ms);
  while (!atomic_load_explicit(&a->all, memory_order_acquire))
    if (!client_word_wait(&a->all, 0, until)) return HATO_TIMED_OUT;
  return HATO_OK;
}

static hato_status at(hato_array *a, size_t index) {
  if (!a || (!forked(a->pool) && index >= a->count)) return HATO_INVALID;
  if (forked(a->pool)) return HATO_STATE;
  return a->detached ? HATO_NOT_SUPPORTED : HATO_OK;
}

hato_status hato_array_wait_at(hato_array *a, size_t index, int timeout_ms) {
  hato_status st = at(a, index);
  if (st) return st;
  uint64_t until = client_wait_until(timeout_ms);
  if (atomic_load_explicit(&a->cells[index], memory_order_acquire)) return HATO_OK;
  atomic_fetch_add(&a->at_waiters, 1);
  for (;;) {
    uint32_t seen = atomic_load(&a->some);
    if (atomic_load_explicit(&a->cells[index], memory_order_acquire)) break;
    if (atomic_load_explicit(&a->all, memory_order_acquire)) break;
    if (!client_word_wait(&a->some, seen, until)) {
      st = HATO_TIMED_OUT;
      break;
    }
  }
  atomic_fetch_sub(&a->at_waiters, 1);
  return st;
}

#define FORGOTTEN ((cell)2) /* error value 0: an empty result */

hato_status hato_array_result(hato_array *a, size_t index, hato_result *result) {
  hato_status st = at(a, index);
  if (st) return st;
  if (!result) return HATO_INVALID;
  cell c = atomic_load_explicit(&a->cells[index], memory_order_acquire);
  if (c == 0) return HATO_AGAIN;
  client_result_view(c, result);
  uint64_t first = atomic_load_explicit(&a->first, memory_order_relaxed);
  if (result->task == 0 && first) result->task = first + index;
  return c == FORGOTTEN ? HATO_NOT_FOUND : HATO_OK;
}

hato_status hato_array_forget(hato_array *a, size_t index) {
  hato_status st = at(a, index);
  if (st) return st;
  cell c = atomic_load_explicit(&a->cells[index], memory_order_acquire);
  if (c == 0) return HATO_AGAIN;
  if (atomic_compare_exchange_strong(&a->cells[index], &c, FORGOTTEN)) client_result_free(c);
  return HATO_OK;
}

hato_status hato_array_cancel(hato_array *a, size_t first, size_t last) {
  if (!a) return HATO_INVALID;
  if (forked(a->pool)) return HATO_STATE;
  if (first > last || last >= a->count) return HATO_INVALID;
  return client_outbox_cancel(a->pool, a->seq, first, last);
}

void hato_array_set_tag(hato_array *a, void *tag) {
  if (a && !forked(a->pool)) atomic_store_explicit(&a->tag, tag, memory_order_release);
}

void *hato_array_tag(const hato_array *a) {
  return a && !forked(a->pool) ? atomic_load_explicit(&a->tag, memory_order_acquire) : NULL;
}

void hato_array_release(hato_array *a) {
  if (!a || forked(a->pool)) return;
  atomic_store_explicit(&a->released, true, memory_order_release);
  client_array_unref(a, 1);
}

/* What the dispatcher says, and tasks that resolve by it. */
#include "client/internal.h"

#include <string.h>

/* ---- publishing ---- */

/* Counted before it is queued: whoever took the last completion finds the array resolved. */
void client_pending_flush(pending *to) {
  hato_array *a = to->array;
  unsigned n = to->n;
  to->n = 0;
  to->array = NULL;
  if (a) {
    client_array_done(a, to->done);
    client_array_unref(a, 1);
  }
  to->done = 0;
  if (n > 0) client_queue_push(to->queue, to->at, n);
}

static void complete(pending *to, hato_queue *q, completion c) {
  if (!to) {
    client_queue_push(q, &c, 1);
    return;
  }
  if (to->n == PENDING_MAX || (to->n > 0 && to->queue != q)) client_pending_flush(to);
  to->queue = q;
  to->at[to->n++] = c;
}

void client_publish_future(hato_future *f, cell c, uint64_t task, pending *to) {
  f->task = task;
  atomic_store_explicit(&f->cell, c, memory_order_relaxed);
  uint32_t old = atomic_fetch_or_explicit(&f->word, WORD_RESOLVED, memory_order_acq_rel);
  if (old & WORD_CALLBACK) client_callbacks_due(f);
  if (old & WORD_WATCHED) client_watch_fire(f);
  if (old & WORD_WAITERS) client_word_wake(&f->word);
  if (f->queue) {
    complete(to, f->queue, (completion){.of = (uintptr_t)f});
  } else {
    client_future_unref(f);
  }
}

void client_publish_array(hato_array *a, size_t index, cell c, pending *to) {
  completion done = {.of = (uintptr_t)a | 1u, .index = index};
  atomic_store_explicit(&a->cells[index], c, memory_order_release);
  if (a->queue) client_array_ref(a, 1);
  if (!to) {
    client_array_done(a, 1);
    if (a->queue) client_queue_push(a->queue, &done, 1);
    return;
  }
  if (to->array != a) {
    if (to->array) client_pending_flush(to);
    client_array_ref(a, 1);
    to->array = a;
  }
  to->done++;
  if (a->queue) complete(to, a->queue, done);
}

/* ---- resolving ---- */

/* Not of a detached submission, which has no cells. */
bool client_resolved_already(const sub *s, uint64_t index) {
  if (s->futures) return s->futures[index] == NULL;
  if (!s->array || atomic_load_explicit(&s->array->cells[index], memory_order_relaxed) != 0) return true;
  return s->n_larges > 0 && client_larges_resolved(s, index);
}

static void finish(sub *s) {
  hato_pool *p = s->pool;
  client_table_remove(&p->table, s);
  pool_lock(p);
  client_sub_settle(s);
  pool_unlock(p);
}

void client_resolve(sub *s, uint64_t index, cell c) {
  hato_pool *p = s->pool;
  if (c == 0) c = client_result_error(HATO_NO_MEMORY, WORDS_MEMORY, 0);
  atomic_store_explicit(&p->resolved, atomic_load_explicit(&p->resolved, memory_order_relaxed) + 1,
                        memory_order_relaxed);
  s->left--;
  if (s->n_larges > 0 && client_larges_resolve(s, index, c)) {
    /* published when nothing reads its argument any more */
  } else if (s->futures) {
    hato_future *f = s->futures[index];
    uint64_t task = s->first ? s->first + index : 0;
    s->futures[index] = NULL;
    if (!f->live || !client_live_resolve(f, c, task)) client_publish_future(f, c, task, &p->pending);
  } else {
    client_publish_array(s->array, index, c, &p->pending);
  }
  if (s->left == 0) finish(s);
}

static void resolve_all(sub *s, cell c) {
  uint64_t n = s->count;
  for (uint64_t i = 0; i < n && s->left > 0; i++)
    if (!client_resolved_already(s, i)) client_resolve(s, i, c);
}

/* ---- frames ---- */

static hato_status on_accepted(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_accepted m;
  hato_status st = proto_accepted_decode(&m, f->body, f->len, err);
  if (st) return st;
  pool_lock(p);
  sub *s = client_sub_answered(p, m.seq);
  bool held = p->out.head != NULL;
  if (s && m.count != s->count) {
    pool_unlock(p);
    return hato__fail(err, HATO_PROTOCOL, "ACCEPTED: %llu tasks of %llu", (unsigned long long)m.count,
                      (unsigned long long)s->count);
  }
  if (s && !client_table_fits(&p->table, m.first, m.count)) {
    pool_unlock(p);
    return hato__fail(err, HATO_PROTOCOL, "ACCEPTED: %llu tasks from %llu on, which are numbers of others",
                      (unsigned long long)m.count, (unsigned long long)m.first);
  }
  if (s) {
    s->first = m.first;
    s->accepted = true;
    if (s->array) client_array_answered(s->array, m.first, HATO_OK, NULL, 0);
    if (s->flags & PROTO_SUBMIT_DETACHED) {
      if (s->n_larges > 0) {
        s->in_table = client_table_add(&p->table, s);
        s->refs += s->in_table;
        if (!s->in_table) st = HATO_NO_MEMORY;
      }
      client_sub_handed_over(s);
    } else if (!client_table_add(&p->table, s)) {
      st = HATO_NO_MEMORY;
    }
  }
  pool_unlock(p);
  if (held) net_wake(p->conn);
  return st ? hato__fail(err, st, "no memory for a submission") : HATO_OK;
}

static hato_status on_rejected(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_rejected m;
  hato_status st = proto_rejected_decode(&m, f->body, f->len, err);
  if (st) return st;
  if (m.why.status == 0) return hato__fail(err, HATO_PROTOCOL, "REJECTED: status: 0 is none");
  pool_lock(p);
  sub *s = client_sub_answered(p, m.seq);
  if (s) s->refs++;
  bool held = p->out.head != NULL;
  pool_unlock(p);
  if (held) net_wake(p->conn);
  if (!s) return HATO_OK;
  bool detached = (s->flags & PROTO_SUBMIT_DETACHED) != 0;
  s->rejected = true;
  if (s->array) client_array_answered(s->array, 0, m.why.status, m.why.words, m.why.words_len);
  if (!detached) {
    own *o = client_own_error(m.why.status, m.why.words, m.why.words_len, (unsigned)s->count);
    resolve_all(s, o ? result_own(o) : client_result_error(m.why.status, WORDS_NONE, 0));
  }
  pool_lock(p);
  if (detached && s->array) client_array_handed_over(s->array);
  client_sub_settle(s);
  client_sub_unref(s);
  pool_unlock(p);
  return HATO_OK;
}

/* The submission of an attached task that is unresolved, else NULL. */
sub *client_task_find(hato_pool *p, uint64_t task) {
  sub *s = client_table_find(&p->table, task);
  if (!s || (s->flags & PROTO_SUBMIT_DETACHED) || client_resolved_already(s, task - s->first)) return NULL;
  return s;
}

static hato_status on_results(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_results_reader reader;
  proto_result r;
  hato_status st = proto_results_decode(&reader, f->body, f->len, err);
  if (st) return st;
  for (;;) {
    int more = proto_results_next(&reader, &r, err);
    if (more <= 0) return more == 0 ? HATO_OK : HATO_PROTOCOL;
    fetch *fetched = client_fetch_find(p, r.task);
    sub *s = fetched ? NULL : client_task_find(p, r.task);
    if (!fetched && !s) continue;
    if (((r.flags & (PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE)) || p->incoming) &&
        client_stream_record(p, s, fetched, &r))
      continue;
    if (fetched) {
      client_fetch_resolve(p, fetched, client_result_keep(p, &r));
    } else {
      client_resolve(s, r.task - s->first, client_result_keep(p, &r));
    }
  }
}

static void resolve_one(hato_pool *p, uint64_t task, cell c) {
  fetch *fetched = client_fetch_find(p, task);
  if (fetched) {
    client_fetch_resolve(p, fetched, c);
    return;
  }
  sub *s = client_table_find(&p->table, task);
  if (s && (s->flags & PROTO_SUBMIT_DETACHED)) {
    client_larges_refused(s, task - s->first);
    return;
  }
  if (!s || client_resolved_already(s, task - s->first)) return;
  client_stream_forget(p, task);
  client_resolve(s, task - s->first, c);
}

/* The next number from task on that somebody here waits for, or 0: a run may name any. */
static uint64_t next_known(hato_pool *p, uint64_t task, uint64_t last) {
  if (task == last || client_table_find(&p->table, task) || client_fetch_find(p, task)) return task;
  uint64_t one = client_table_next(&p->table, task), other = client_fetch_next(p, task);
  return one == 0 || (other != 0 && other < one) ? other : one;
}

static void resolve_run(hato_pool *p, const proto_run *run) {
  cell c = client_result_error(run->value, WORDS_NONE, run->attempt);
  uint64_t more = run->count - 1, last = more > UINT64_MAX - run->first ? UINT64_MAX : run->first + more;
  for (uint64_t task = run->first;; task++) {
    task = next_known(p, task, last);
    if (task == 0 || task > last) return;
    resolve_one(p, task, c);
    if (task == last) return; /* after it there may be none */
  }
}

static hato_status on_resolved(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_runs m;
  hato_status st = proto_runs_decode(&m, f->body, f->len, err);
  if (st) return st;
  for (uint32_t i = 0; i < m.n; i++) {
    proto_run run = proto_run_at(&m, i);
    if (run.value == 0) return hato__fail(err, HATO_PROTOCOL, "RESOLVED: value: 0 is no error value");
    resolve_run(p, &run);
  }
  return HATO_OK;
}

static hato_status on_credit(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_credit m;
  hato_status st = proto_credit_decode(&m, f->body, f->len, err);
  if (st) return st;
  sub *s = client_table_find(&p->table, m.task);
  if (m.channel != PROTO_CH_IN || !s || s->n_larges == 0) return HATO_OK;
  uint64_t index = m.task - s->first;
  bool detached = (s->flags & PROTO_SUBMIT_DETACHED) != 0;
  if ((!detached && client_resolved_already(s, index)) || client_larges_credit(s, index, &m)) return HATO_OK;
  client_outbox_cancel(p, s->seq, index, index);
  client_resolve(s, index, client_result_error(HATO_RESET, WORDS_REPEAT, m.attempt));
  return HATO_OK;
}

static hato_status on_goodbye(hato_pool *p, const net_frame *f, hato_error *err) {
  proto_words m;
  hato_status st = proto_words_decode(&m, f->body, f->len, err);
  if (st) return st;
  pool_lock(p);
  if (!p->gone_reason && m.words_len > 0) p->gone_reason = hato__strndup(m.words, m.words_len);
  pool_unlock(p);
  net_close(p->conn, HATO_CLOSED, "the dispatcher said goodbye");
  return HATO_OK;
}

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  hato_pool *p = owner;
  (void)c;
  switch (f->type) {
    case PROTO_RESULTS: return on_results(p, f, err);
    case PROTO_ACCEPTED: return on_accepted(p, f, err);
    case PROTO_REJECTED: return on_rejected(p, f, err);
    case PROTO_RESOLVED: return on_resolved(p, f, err);
    case PROTO_PIECE: return client_stream_piece(p, f, err);
    case PROTO_CREDIT: return on_credit(p, f, err);
    case PROTO_REPLY: return client_control_reply_frame(p, f, err);
    case PROTO_GOODBYE: return on_goodbye(p, f, err);
    case PROTO_HEARTBEAT: return HATO_OK;
    default: return hato__fail(err, HATO_PROTOCOL, "the dispatcher sent %s", proto_type_name(f->type));
  }
}

static uint8_t *on_place(void *owner, net_conn *c, const uint8_t *body, uint32_t len) {
  (void)c;
  return client_stream_place(owner, body, len);
}

static void on_batch(void *owner, net_conn *c) {
  hato_pool *p = owner;
  (void)c;
  if (p->pending.n > 0 || p->pending.array) client_pending_flush(&p->pending);
}

/* ---- the end ---- */

/* Why everything that is unresolved resolves: a cell that is its own reference. */
static cell end_cell(const hato_pool *p, uint64_t refs) {
  if (p->gone_error == HATO_CLOSED || !p->gone_reason)
    return client_result_error(p->gone_error, p->gone_error == HATO_CLOSED ? WORDS_CLOSED : WORDS_GONE, 0);
  own *o = client_own_error(p->gone_error, p->gone_reason, strlen(p->gone_reason), (unsigned)refs);
  return o ? result_own(o) : client_result_error(p->gone_error, WORDS_GONE, 0);
}

static void end_sub(hato_pool *p, sub *s) {
  const char *words = p->gone_error == HATO_CLOSED ? "the pool was closed" : "the dispatcher is gone";
  if (s->array) client_array_answered(s->array, 0, HATO_CLOSED, words, strlen(words));
  if (s->flags & PROTO_SUBMIT_DETACHED) {
    pool_lock(p);
    if (s->array) client_array_handed_over(s->array);
    pool_unlock(p);
  } else if (s->left > 0) {
    resolve_all(s, end_cell(p, s->left));
  }
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  hato_pool *p = owner;
  (void)c; /* its reference is given back with the pool, for others may be waking it */
  pool_lock(p);
  bool ours = p->state != POOL_OPEN;
  p->gone_error = ours ? HATO_CLOSED : HATO_RESET;
  p->state = POOL_GONE;
  client_outbox_drop(p);
  pool_unlock(p);
  if (!ours)
    hato__warn(&p->log, "DISPATCHER-GONE", "%s: %s", p->url ? p->url : "", why == HATO_OK ? "it hung up" : words);
  pool_lock(p);
  while (!hato__list_empty(&p->subs)) {
    sub *s = HATO__ENTRY(p->subs.next, sub, link);
    s->refs++;
    pool_unlock(p);
    end_sub(p, s);
    pool_lock(p);
    client_sub_settle(s);
    client_sub_unref(s);
  }
  for (size_t i = 0; i < p->table.n; i++) {
    sub *s = p->table.at[i].sub;
    if (!s || !s->in_table) continue;
    p->table.at[i].sub = NULL;
    client_sub_unref(s);
  }
  pool_unlock(p);
  client_stream_close(p);
  client_fetch_close(p);
  client_control_close(p);
  client_pending_flush(&p->pending);
  client_slab_close(p);
  pool_lock(p);
  p->ended = true;
  pthread_cond_broadcast(&p->changed);
  pool_unlock(p);
  client_queues_close(p);
  client_pool_unref(p);
}

const net_ops client_ops = {
    .frame = on_frame, .place = on_place, .batch = on_batch, .fill = client_outbox_fill, .sent = client_outbox_sent,
    .closed = on_closed};

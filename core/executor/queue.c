/* The queue of assigned tasks: ASSIGN messages as they came, and how far each was taken. */
#include "base/error.h"
#include "executor/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

static void batch_destroy(executor *x, executor_batch *b) {
  executor_spec_unref(x, b->spec);
  if (--b->message->refs == 0) free(b->message);
  free(b);
}

bool executor_queue_add(executor *x, const uint8_t *body, size_t n, hato_error *err) {
  executor_batch *b = calloc(1, sizeof *b);
  executor_message *m = malloc(sizeof *m + n);
  if (b == NULL || m == NULL) {
    free(b);
    free(m);
    (void)hato__fail(err, HATO_NO_MEMORY, "out of memory for assigned tasks");
    return false;
  }
  memcpy(m->body, body, n);
  m->refs = 1;
  if (proto_assign_decode(&m->m, m->body, n, err) == HATO_OK) {
    HASH_FIND(hh, x->specs, &m->m.spec, sizeof m->m.spec, b->spec);
    if (b->spec == NULL || b->spec->status == HATO_STATE) {
      (void)hato__fail(err, HATO_PROTOCOL, "ASSIGN: spec: %u was not sent", m->m.spec);
      b->spec = NULL;
    }
  }
  if (b->spec == NULL) {
    free(b);
    free(m);
    return false;
  }
  b->spec->refs++;
  b->message = m;
  b->end = m->m.count;
  hato__list_push(&x->queue, &b->link);
  return true;
}

static void set_argument(executor_task *t, const proto_assign *m, uint32_t i) {
  t->has_arg = m->args != PROTO_ARGS_NONE;
  t->large = m->large;
  t->total = m->total;
  t->arg = (const uint8_t *)"";
  t->arg_len = 0;
  if (m->args == PROTO_ARGS_COUNTED) {
    int len = snprintf(t->number, sizeof t->number, "%" PRId64, m->start + (int64_t)i * m->step);
    t->arg = (const uint8_t *)t->number;
    t->arg_len = (uint32_t)len;
  } else if (m->args == PROTO_ARGS_EXPLICIT && !m->large) {
    t->arg = proto_block_arg(&m->block, i, &t->arg_len);
  }
}

bool executor_queue_empty(const executor *x) {
  return (x->begun == NULL || x->begun->at == x->begun->end) && hato__list_empty(&x->queue);
}

bool executor_queue_next(executor *x) {
  executor_batch *b = x->begun;
  if (b == NULL || b->at == b->end) {
    if (b != NULL) batch_destroy(x, b);
    x->begun = b = NULL;
    hato__link *first = hato__list_pop(&x->queue);
    if (first == NULL) return false;
    x->begun = b = HATO__ENTRY(first, executor_batch, link);
  }
  const proto_assign *m = &b->message->m;
  executor_task *t = &x->task;
  uint32_t i = b->at++;
  t->active = true;
  t->value = 0;
  t->id = m->first + i;
  t->attempt = m->attempt;
  t->index = m->index + i;
  t->spec = b->spec;
  t->batch = b;
  set_argument(t, m, i);
  x->error = 0;
  x->words[0] = 0;
  x->credit[0] = x->credit[1] = PROTO_WINDOW;
  return true;
}

/* Tasks of the batch behind `from`, as a batch of their own. */
static bool split(executor_batch *b, uint32_t from) {
  executor_batch *rest = malloc(sizeof *rest);
  if (rest == NULL) return false;
  *rest = *b;
  rest->at = from;
  rest->spec->refs++;
  rest->message->refs++;
  b->end = from;
  hato__list_init(&rest->link);
  rest->link.prev = &b->link;
  rest->link.next = b->link.next;
  b->link.next->prev = &rest->link;
  b->link.next = &rest->link;
  return true;
}

static void report_range(executor *x, const executor_batch *b, uint32_t from, uint32_t to, uint16_t value) {
  const proto_assign *m = &b->message->m;
  for (uint32_t i = from; i < to; i++) executor_report_error(x, m->first + i, m->attempt, value, NULL);
}

/* The part [at, end) of the batch that the run covers is taken out and reported. */
static void cut(executor *x, executor_batch *b, const proto_run *run) {
  const proto_assign *m = &b->message->m;
  if (m->attempt != run->attempt || b->at == b->end) return;
  uint64_t low = m->first + b->at, high = m->first + (b->end - 1); /* inclusive: no overflow */
  uint64_t last = run->first + (run->count - 1);
  if (run->first > high || last < low) return;
  uint32_t from = run->first <= low ? b->at : (uint32_t)(run->first - m->first);
  uint32_t to = last >= high ? b->end : (uint32_t)(last - m->first) + 1;
  if (to < b->end && from > b->at && !split(b, to)) return; /* no memory: they run */
  report_range(x, b, from, to, run->value);
  if (from > b->at)
    b->end = from;
  else
    b->at = to;
}

/* The batch that is begun is in no list; a split of it must come first in the queue. */
static void cut_begun(executor *x, const proto_run *run) {
  executor_batch *b = x->begun;
  if (b == NULL) return;
  hato__list_push_front(&x->queue, &b->link);
  cut(x, b, run);
  hato__list_remove(&b->link);
}

void executor_queue_interrupt(executor *x, const proto_run *run) {
  executor_task *t = &x->task;
  uint16_t value = run->value ? run->value : (uint16_t)HATO_CANCELLED;
  proto_run r = *run;
  r.value = value;
  if (t->active && t->attempt == r.attempt && t->id >= r.first && t->id - r.first < r.count && t->value == 0)
    t->value = value;
  cut_begun(x, &r);
  for (hato__link *l = x->queue.next, *next; l != &x->queue; l = next) {
    next = l->next;
    cut(x, HATO__ENTRY(l, executor_batch, link), &r);
  }
  for (hato__link *l = x->queue.next, *next; l != &x->queue; l = next) {
    next = l->next;
    executor_batch *b = HATO__ENTRY(l, executor_batch, link);
    if (b->at < b->end) continue;
    hato__list_remove(l);
    batch_destroy(x, b);
  }
}

executor_batch *executor_queue_find_large(executor *x, uint64_t task, uint32_t attempt) {
  for (hato__link *l = x->queue.next; l != &x->queue; l = l->next) {
    executor_batch *b = HATO__ENTRY(l, executor_batch, link);
    const proto_assign *m = &b->message->m;
    if (m->large && m->first == task && m->attempt == attempt) return b;
  }
  return NULL;
}

void executor_queue_free(executor *x) {
  if (x->begun != NULL) batch_destroy(x, x->begun);
  x->begun = NULL;
  for (hato__link *l = hato__list_pop(&x->queue); l != NULL; l = hato__list_pop(&x->queue))
    batch_destroy(x, HATO__ENTRY(l, executor_batch, link));
}

/* Runs of tasks: the queue, cutting it, giving back from its end. */
#include "base/error.h"
#include "daemon/state.h"
#include <stdlib.h>

static daemon_tasks *tasks_new(daemon_state *d) {
  hato__link *l = hato__list_pop(&d->free_tasks);
  if (l) return HATO__ENTRY(l, daemon_tasks, link);
  daemon_tasks *t = malloc(sizeof *t);
  if (!t) daemon_no_memory(d);
  return t;
}

static void args_unref(daemon_args *a) {
  if (!a || --a->refs > 0) return;
  net_data_unref(a->data);
  free(a);
}

void daemon_tasks_free(daemon_state *d, daemon_tasks *t) {
  args_unref(t->args);
  t->spec->runs--;
  daemon_spec_unref(d, t->spec);
  hato__list_push_front(&d->free_tasks, &t->link);
}

void daemon_tasks_skip(daemon_tasks *t, uint32_t n) {
  t->a.first += n;
  t->a.index += n;
  t->a.count -= n;
  t->from += n;
  /* Never overflows: the decoder has checked the whole range. */
  if (t->a.args == PROTO_ARGS_COUNTED) t->a.start += (int64_t)n * t->a.step;
}

daemon_tasks *daemon_tasks_cut(daemon_state *d, daemon_tasks *t, uint32_t n) {
  daemon_tasks *head = tasks_new(d);
  if (!head) return NULL;
  *head = *t;
  head->a.count = n;
  hato__list_init(&head->link);
  if (head->args) head->args->refs++;
  head->spec->runs++;
  daemon_tasks_skip(t, n);
  return head;
}

/* Keeps the block of an ASSIGN: by reference when it came in a buffer of its own. */
static bool keep_args(daemon_state *d, daemon_tasks *t, const net_frame *f) {
  t->args = NULL;
  if (t->a.args != PROTO_ARGS_EXPLICIT || t->a.large) return true;
  size_t ends = (size_t)t->a.block.count * 4, len = f->data ? 0 : ends + t->a.block.len;
  daemon_args *a = malloc(sizeof *a + len);
  if (!a) {
    daemon_no_memory(d);
    return false;
  }
  *a = (daemon_args){.refs = 1, .data = f->data ? net_data_ref(f->data) : NULL};
  if (!f->data) {
    memcpy(a->bytes, t->a.block.ends, ends);
    if (t->a.block.len) memcpy(a->bytes + ends, t->a.block.data, t->a.block.len);
    t->a.block.ends = a->bytes;
    t->a.block.data = a->bytes + ends;
  }
  t->args = a;
  return true;
}

hato_status daemon_assign(daemon_state *d, const net_frame *f, hato_error *err) {
  proto_assign a;
  hato_status rc = proto_assign_decode(&a, f->body, f->len, err);
  if (rc != HATO_OK) return rc;
  daemon_spec *spec = daemon_spec_find(d, a.spec);
  if (!spec || !spec->complete)
    return hato__fail(err, HATO_PROTOCOL, "ASSIGN: spec: no specification %u was sent", a.spec);
  if (a.count > DAEMON_QUEUE_MAX - d->queued)
    return hato__fail(err, HATO_PROTOCOL, "ASSIGN: count: %u tasks for %u slots that have %llu", a.count,
                      d->n_slots, (unsigned long long)d->queued);
  if (d->draining) { /* it crossed our DRAIN */
    proto_run r = {.first = a.first, .count = a.count, .attempt = a.attempt};
    proto_runs_encode(daemon_control(d), PROTO_TAKEN, &r, 1);
    return HATO_OK;
  }
  if (spec->failed) {
    daemon_started(d, a.first, a.count, a.attempt);
    daemon_error_results(d, a.first, a.count, a.attempt, spec->failed, spec->why ? spec->why : "");
    return HATO_OK;
  }
  daemon_tasks *t = tasks_new(d);
  if (!t) return HATO_OK;
  *t = (daemon_tasks){.spec = spec, .a = a};
  t->a.spec = spec->local;
  if (!keep_args(d, t, f)) {
    free(t);
    return HATO_OK;
  }
  spec->runs++;
  hato__list_push(&d->queue, &t->link);
  d->queued += a.count;
  d->idle_since = 0;
  return HATO_OK;
}

void daemon_take(daemon_state *d, uint32_t count) {
  enum { MOST = 1000 };
  proto_run runs[MOST];
  unsigned n = 0;
  while (count > 0 && n < MOST && !hato__list_empty(&d->queue)) {
    daemon_tasks *t = HATO__ENTRY(d->queue.prev, daemon_tasks, link);
    uint32_t take = t->a.count < count ? t->a.count : count;
    runs[n++] = (proto_run){
        .first = t->a.first + (t->a.count - take), .count = take, .attempt = t->a.attempt};
    t->a.count -= take;
    count -= take;
    d->queued -= take;
    if (t->a.count > 0) continue;
    hato__list_remove(&t->link);
    daemon_tasks_free(d, t);
  }
  proto_runs_encode(daemon_control(d), PROTO_TAKEN, runs, n);
}

void daemon_return_all(daemon_state *d) {
  while (!hato__list_empty(&d->queue)) daemon_take(d, UINT32_MAX);
}

bool daemon_tasks_meet(const daemon_tasks *t, const proto_run *r, uint64_t *first, uint32_t *count) {
  if (t->a.attempt != r->attempt) return false;
  uint64_t from = t->a.first > r->first ? t->a.first : r->first;
  uint64_t t_last = t->a.first + (t->a.count - 1), r_last = r->first + (r->count - 1);
  uint64_t last = t_last < r_last ? t_last : r_last;
  if (from > last) return false;
  *first = from;
  *count = (uint32_t)(last - from + 1);
  return true;
}

void daemon_interrupt_queued(daemon_state *d, const proto_run *r) {
  for (hato__link *l = d->queue.next, *next; l != &d->queue; l = next) {
    next = l->next;
    daemon_tasks *t = HATO__ENTRY(l, daemon_tasks, link);
    uint64_t first;
    uint32_t count;
    if (!daemon_tasks_meet(t, r, &first, &count)) continue;
    uint32_t before = (uint32_t)(first - t->a.first);
    if (before > 0) { /* what stands before stays in the queue as a run of its own */
      daemon_tasks *head = daemon_tasks_cut(d, t, before);
      if (!head) return;
      hato__list_push(&t->link, &head->link);
    }
    daemon_error_results(d, first, count, r->attempt, r->value, "");
    d->queued -= count;
    if (count < t->a.count) {
      daemon_tasks_skip(t, count);
    } else {
      hato__list_remove(&t->link);
      daemon_tasks_free(d, t);
    }
  }
}

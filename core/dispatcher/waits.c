/* Who waits for which detached tasks. */
#include "dispatcher/internal.h"

#include <stdlib.h>

typedef struct tally {
  uint64_t tasks, resolved, failed;
} tally;

static void tally_part(tally *t, const submission *s, uint64_t first, uint64_t last) {
  if (first == s->first && last == s->first + s->count - 1) {
    t->tasks += s->count;
    t->resolved += s->count - s->unresolved;
    t->failed += s->failed;
    return;
  }
  t->tasks += last - first + 1;
  for (uint64_t k = first, n; k <= last; k += n) {
    brief b = dispatcher_kept_brief(s, k, &n);
    if (n > last - k) n = last - k + 1;
    if (!b.resolved) continue;
    t->resolved += n;
    if (b.error || b.wait_status) t->failed += n;
  }
}

static tally tally_of(dispatcher *d, const hato__range *ranges, size_t n) {
  tally t = {0};
  for (size_t r = 0; r < n; r++) {
    for (size_t i = dispatcher_kept_from(d, ranges[r].first); i < d->n_detached; i++) {
      const submission *s = d->detached[i];
      if (s->first > ranges[r].last) break;
      uint64_t last = s->first + s->count - 1;
      tally_part(&t, s, ranges[r].first > s->first ? ranges[r].first : s->first,
                 ranges[r].last < last ? ranges[r].last : last);
    }
  }
  return t;
}

static int by_first(const void *a, const void *b) {
  const hato__range *x = a, *y = b;
  return x->first < y->first ? -1 : x->first > y->first;
}

/* Sorts ranges and joins those that overlap, so that no task counts twice. */
static size_t merge(hato__range *r, size_t n) {
  if (n == 0) return 0;
  qsort(r, n, sizeof *r, by_first);
  size_t at = 0;
  for (size_t i = 1; i < n; i++) {
    if (r[i].first > r[at].last) {
      r[++at] = r[i];
    } else if (r[i].last > r[at].last) {
      r[at].last = r[i].last;
    }
  }
  return at + 1;
}

uint64_t dispatcher_waits_unresolved(dispatcher *d, hato__range *ranges, size_t n) {
  tally t = tally_of(d, ranges, merge(ranges, n));
  return t.tasks - t.resolved;
}

static void answer(waiting *w) {
  tally t = tally_of(w->client->peer.d, w->ranges, w->n);
  dispatcher_control_reply(w->client, w->token,
                           json_pack("{s:I,s:I,s:I}", "tasks", (json_int_t)t.tasks, "resolved",
                                     (json_int_t)t.resolved, "failed", (json_int_t)t.failed));
}

#define WAITS_MAX 1000 /* of a client */

static void waiting_free(waiting *w) {
  w->client->n_waits--;
  hato__list_remove(&w->all);
  hato__list_remove(&w->of);
  free(w->ranges);
  free(w);
}

void dispatcher_waits_begin(client *c, uint32_t token, hato__range *ranges, size_t n, bool any) {
  dispatcher *d = c->peer.d;
  waiting *w = c->n_waits < WAITS_MAX ? calloc(1, sizeof *w) : NULL;
  if (!w) {
    free(ranges);
    if (c->n_waits < WAITS_MAX)
      dispatcher_control_fail(c, token, HATO_NO_MEMORY, "no memory to wait");
    else
      dispatcher_control_fail(c, token, HATO_BUSY, "this client waits %u times already, and may no more", c->n_waits);
    return;
  }
  n = merge(ranges, n);
  for (size_t i = 0; i < n; i++) /* tasks that are submitted later are not waited for */
    if (ranges[i].last >= d->next_task) ranges[i].last = d->next_task - 1;
  tally t = tally_of(d, ranges, n);
  *w = (waiting){
      .client = c, .token = token, .any = any, .ranges = ranges, .n = n, .left = t.tasks - t.resolved};
  c->n_waits++;
  hato__list_push(&d->waits, &w->all);
  hato__list_push(&c->waits, &w->of);
  if (w->left > 0 && !(any && t.resolved > 0)) return;
  answer(w);
  waiting_free(w);
}

/* How many of the tasks [first, first + count) it waits for. */
static uint64_t concerned(const waiting *w, uint64_t first, uint64_t count) {
  uint64_t last = first + count - 1, n = 0;
  for (size_t r = 0; r < w->n; r++) {
    uint64_t from = w->ranges[r].first > first ? w->ranges[r].first : first;
    uint64_t to = w->ranges[r].last < last ? w->ranges[r].last : last;
    if (from <= to) n += to - from + 1;
  }
  return n;
}

void dispatcher_waits_resolved(submission *s, uint64_t first, uint64_t count) {
  dispatcher *d = s->d;
  for (hato__link *l = d->waits.next; l != &d->waits;) {
    waiting *w = HATO__ENTRY(l, waiting, all);
    l = l->next;
    uint64_t n = concerned(w, first, count);
    if (n == 0) continue;
    w->left -= n;
    if (w->left > 0 && !w->any) continue;
    answer(w);
    waiting_free(w);
  }
}

void dispatcher_waits_client_gone(client *c) {
  while (!hato__list_empty(&c->waits)) waiting_free(HATO__ENTRY(c->waits.next, waiting, of));
}

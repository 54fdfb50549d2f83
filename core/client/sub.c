/* Submissions, and the table by which task numbers are found. */
#include "client/internal.h"

#include <string.h>

sub *client_sub_new(hato_pool *p, hato_spec *spec, uint64_t count, uint8_t args, uint8_t flags) {
  sub *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->pool = p;
  s->refs = 1; /* the caller's */
  s->spec = client_spec_ref(spec);
  s->count = s->left = count;
  s->args = args;
  s->flags = flags;
  hato__list_init(&s->link);
  hato__list_init(&s->answer);
  return s;
}

void client_sub_unref(sub *s) {
  if (--s->refs > 0) return;
  if (s->spec) client_spec_drop_locked(s->spec);
  client_larges_free(s);
  hato__buf_free(&s->ends);
  hato__buf_free(&s->data);
  free(s->futures);
  free(s);
}

void client_sub_add(sub *s) {
  s->seq = atomic_fetch_add_explicit(&s->pool->next_seq, 1, memory_order_relaxed);
  s->refs++;
  hato__list_push(&s->pool->subs, &s->link);
}

void client_sub_settle(sub *s) {
  if (s->settled) return;
  s->settled = true;
  hato__list_remove(&s->link);
  hato__list_remove(&s->answer);
  if (s->array) {
    hato_array *a = s->array;
    s->array = NULL;
    client_array_unref(a, 1);
  }
  client_larges_sub_gone(s);
  if (s->uploading) {
    s->pool->uploads--;
    client_pool_changed(s->pool);
  }
  client_sub_unref(s);
}

void client_sub_sent(sub *s) {
  hato__buf_free(&s->ends);
  hato__buf_free(&s->data);
  if (s->spec) client_spec_drop_locked(s->spec);
  s->spec = NULL;
}

void client_sub_handed_over(sub *s) {
  if (!(s->flags & PROTO_SUBMIT_DETACHED) || !s->accepted || s->unsent > 0 || s->settled) return;
  if (s->array) client_array_handed_over(s->array);
  client_sub_settle(s);
}

/* Answers come in the order of submissions, so it is the first as a rule. */
sub *client_sub_answered(hato_pool *p, uint64_t seq) {
  for (hato__link *l = p->unanswered.next; l != &p->unanswered; l = l->next) {
    sub *s = HATO__ENTRY(l, sub, answer);
    if (s->seq != seq) continue;
    hato__list_remove(&s->answer);
    p->out.unanswered--;
    return s;
  }
  return NULL;
}

/* ---- the table ---- */

static void table_compact(table *t) {
  size_t n = 0;
  for (size_t i = 0; i < t->n; i++)
    if (t->at[i].sub) t->at[n++] = t->at[i];
  t->n = n;
  t->dead = 0;
  t->hit = 0;
}

bool client_table_add(table *t, sub *s) {
  if (t->dead > 16 && t->dead > t->n / 2) table_compact(t);
  if (t->n == t->cap) {
    size_t cap = t->cap ? t->cap * 2 : 64;
    table_entry *at = realloc(t->at, cap * sizeof *at);
    if (!at) return false;
    t->at = at;
    t->cap = cap;
  }
  size_t i = t->n++;
  /* Numbers are given in order; were they not, this would keep them so. */
  for (; i > 0 && t->at[i - 1].first > s->first; i--) t->at[i] = t->at[i - 1];
  t->at[i] = (table_entry){.first = s->first, .last = s->first + s->count - 1, .sub = s};
  return true;
}

/* The place of the first that reaches as far as task. */
static size_t table_from(const table *t, uint64_t task) {
  size_t low = 0, high = t->n;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    if (t->at[mid].last < task) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

bool client_table_fits(const table *t, uint64_t first, uint64_t count) {
  if (first == 0 || count == 0 || count - 1 > UINT64_MAX - first) return false;
  size_t i = table_from(t, first);
  return i == t->n || t->at[i].first > first + (count - 1);
}

uint64_t client_table_next(const table *t, uint64_t task) {
  size_t i = table_from(t, task);
  while (i < t->n && !t->at[i].sub) i++;
  if (i == t->n) return 0;
  return t->at[i].first > task ? t->at[i].first : task;
}

static size_t table_search(table *t, uint64_t task) {
  if (t->hit < t->n && t->at[t->hit].first <= task && task <= t->at[t->hit].last) return t->hit;
  if (t->hit + 1 < t->n && t->at[t->hit + 1].first <= task && task <= t->at[t->hit + 1].last) return ++t->hit;
  size_t low = table_from(t, task);
  if (low == t->n || t->at[low].first > task) return t->n;
  return t->hit = low;
}

sub *client_table_find(table *t, uint64_t task) {
  size_t i = table_search(t, task);
  return i < t->n ? t->at[i].sub : NULL;
}

void client_table_remove(table *t, const sub *s) {
  size_t i = s->first ? table_search(t, s->first) : t->n;
  if (i == t->n || t->at[i].sub != s) return;
  t->at[i].sub = NULL;
  t->dead++;
  if (t->dead == t->n) t->n = t->dead = t->hit = 0;
}

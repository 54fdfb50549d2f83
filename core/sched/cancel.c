/* Resolving unresolved tasks by number: what cancels, and what a lost owner leaves. */
#include "sched/internal.h"

void sched_cancel(sched *s, uint64_t now, uint64_t first, uint64_t last, sched_owner owner, int value) {
  sched__clock(s, now);
  if (last < first) return;
  s_cell *c = sched__pool_get(&s->cell_pool), *spare = c ? sched__pool_get(&s->cell_pool) : NULL;
  if (!spare) {
    if (c) sched__pool_put(&s->cell_pool, c);
    return;
  }
  c->cancel = (s_cancel){.cursor = first,
                         .last = last,
                         .serial = s->serial,
                         .owner = owner,
                         .value = value,
                         .spare = &spare->seg};
  hato__list_push(&s->cancels, &c->cancel.link);
}

/* One run of flights from f on, of the same daemon and attempt: to be resolved and ended. */
static uint64_t cancel_flights(sched *s, s_out *e, s_flight *f, uint64_t to, int value) {
  s_daemon *d = f->daemon;
  s_range *r = f->range;
  uint64_t first = f->task;
  uint32_t attempt = f->attempt, n = 0;
  do {
    if (d->lost)
      sched__flight_free(s, f);
    else
      sched__flight_zombie(s, f, value);
    n++;
    f = first + n <= to && n < e->work ? sched__flight_of(s, d, first + n, attempt) : NULL;
  } while (f && f->range == r);
  sched_action a = {.type = SCHED_INTERRUPT,
                    .daemon = d->handle,
                    .count = n,
                    .attempt = attempt,
                    .value = value,
                    .first = first};
  if (!d->lost && !d->disconnected) sched__emit(s, e, &a);
  a.type = SCHED_RESOLVE;
  a.daemon = 0;
  a.attempt = 0;
  a.owner = r->owner->handle;
  a.data = r->data;
  sched__emit(s, e, &a);
  sched__resolved(s, r, n);
  sched__settle(s, d);
  sched__spend(e, n);
  return first + n;
}

/* Resolves the first unresolved run of r within [from, to]; returns where to go on,
 * to + 1 when there is none. */
uint64_t sched__cancel_at(sched *s, s_out *e, s_range *r, uint64_t from, uint64_t to, int value,
                          s_seg **spare) {
  s_seg *g = sched__seg_next(s, r, from);
  s_flight *f = sched__map_next(&s->flights, from);
  if (g && g->first > to) g = NULL;
  if (f && f->task > to) f = NULL;
  sched__spend(e, 1);
  if (f && (!g || f->task < g->first)) return f->range ? cancel_flights(s, e, f, to, value) : f->task + 1;
  if (!g) return to + 1;
  uint64_t a = g->first > from ? g->first : from, b = sched__seg_last(g) < to ? sched__seg_last(g) : to;
  sched__seg_cut(s, g, a, b, spare);
  uint32_t n = (uint32_t)(b - a + 1);
  sched__emit(s, e,
              &(sched_action){.type = SCHED_RESOLVE,
                              .owner = r->owner->handle,
                              .count = n,
                              .value = value,
                              .first = a,
                              .data = r->data});
  sched__resolved(s, r, n);
  return b + 1;
}

/* The range that has the task, or the next one. */
static s_range *range_from(sched *s, uint64_t task) {
  s_range *r = sched__range_of(s, task);
  return r ? r : sched__map_next(&s->ranges, task);
}

bool sched__cancel_step(sched *s, s_out *e) {
  while (!hato__list_empty(&s->cancels)) {
    s_cancel *c = HATO__ENTRY(s->cancels.next, s_cancel, link);
    s_range *r = range_from(s, c->cursor);
    if (sched__full(e)) return true;
    if (!r || r->first > c->last) {
      hato__list_remove(&c->link);
      if (c->spare) sched__pool_put(&s->cell_pool, c->spare);
      sched__pool_put(&s->cell_pool, c);
      continue;
    }
    uint64_t end = sched__range_last(r), to = end < c->last ? end : c->last;
    if (c->cursor < r->first) c->cursor = r->first;
    if (r->unresolved == 0 || r->serial > c->serial || (c->owner && c->owner != r->owner->handle)) {
      sched__spend(e, 1);
      c->cursor = end + 1;
    } else {
      c->cursor = sched__cancel_at(s, e, r, c->cursor, to, c->value, &c->spare);
    }
    if (c->cursor > c->last) c->last = 0; /* done: no range begins before 1 */
  }
  return false;
}

/* What daemons report: started, finished, given back. */
#include "sched/internal.h"

/* A report may name any numbers. One that names more than the daemon holds is answered
 * by what it holds, so that a wrong count costs no more than a right one. */
static bool names_too_many(const s_daemon *d, uint32_t count) {
  return count > (uint64_t)d->sent_n + d->zombie_sent_n;
}

static bool start_listed(sched *s, hato__link *list, uint64_t first, uint32_t count, uint32_t attempt) {
  hato__link *next;
  bool any = false;
  for (hato__link *l = list->next; l != list; l = next) {
    next = l->next;
    s_flight *f = sched__flight(l);
    if (f->task < first || f->task - first >= count || f->attempt != attempt) continue;
    sched__flight_start(s, f);
    any = true;
  }
  return any;
}

void sched_started(sched *s, uint64_t now, sched_daemon handle, uint64_t first, uint32_t count,
                   uint32_t attempt) {
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  if (!d) return;
  bool any = false;
  if (names_too_many(d, count)) {
    any |= start_listed(s, &d->sent, first, count, attempt);
    any |= start_listed(s, &d->zombies, first, count, attempt);
    any |= start_listed(s, &d->due, first, count, attempt);
  } else {
    for (uint32_t i = 0; i < count; i++) {
      s_flight *f = sched__flight_of(s, d, first + i, attempt);
      if (f) sched__flight_start(s, f);
      any |= f != NULL;
    }
  }
  if (any) sched__progress(s, d);
}

bool sched_finished(sched *s, uint64_t now, sched_daemon handle, uint64_t task, uint32_t attempt,
                    uint64_t duration_ns, sched_owner *owner, void **data) {
  if (owner) *owner = 0;
  if (data) *data = NULL;
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  s_flight *f = d ? sched__flight_of(s, d, task, attempt) : NULL;
  if (!f) return false;
  s_range *r = f->range;
  sched__flight_free(s, f);
  if (r) {
    if (owner) *owner = r->owner->handle;
    if (data) *data = r->data;
    sched__spec_learn(r->spec, duration_ns);
    sched__resolved(s, r, 1);
  }
  sched__progress(s, d);
  return r != NULL;
}

/* A run that goes back to the queue together. */
typedef struct back {
  s_range *range;
  uint64_t first;
  uint32_t count, attempt;
} back;

static void back_flush(sched *s, s_daemon *d, back *b) {
  if (b->count == 0) return;
  sched__requeue(s, b->range, b->first, b->count, b->attempt + 1);
  d->take_got += b->count;
  b->count = 0;
}

/* The flights are freed before the seg is made: that is why there is memory for it. */
static void back_add(sched *s, s_daemon *d, back *b, s_flight *f) {
  if (f->state == FLIGHT_ZOMBIE_SENT) {
    sched__flight_free(s, f);
    return;
  }
  if (f->state != FLIGHT_SENT) return; /* it said that it started this: nonsense */
  if (b->count && (b->range != f->range || b->first + b->count != f->task)) back_flush(s, d, b);
  if (b->count == 0) *b = (back){.range = f->range, .first = f->task, .attempt = f->attempt};
  b->count++;
  sched__flight_free(s, f);
}

static void back_listed(sched *s, s_daemon *d, hato__link *list, uint64_t first, uint32_t count,
                        uint32_t attempt, back *b) {
  hato__link *next;
  for (hato__link *l = list->next; l != list; l = next) {
    next = l->next;
    s_flight *f = sched__flight(l);
    if (f->task >= first && f->task - first < count && f->attempt == attempt) back_add(s, d, b, f);
  }
}

void sched_returned(sched *s, uint64_t now, sched_daemon handle, uint64_t first, uint32_t count,
                    uint32_t attempt) {
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  if (!d) return;
  back b = {0};
  if (names_too_many(d, count)) {
    back_listed(s, d, &d->sent, first, count, attempt, &b);
    back_listed(s, d, &d->zombies, first, count, attempt, &b);
    back_listed(s, d, &d->due, first, count, attempt, &b);
  } else {
    for (uint32_t i = 0; i < count; i++) {
      s_flight *f = sched__flight_of(s, d, first + i, attempt);
      if (f) back_add(s, d, &b, f);
    }
  }
  back_flush(s, d, &b);
  sched__settle(s, d);
}

void sched_take_answered(sched *s, uint64_t now, sched_daemon handle) {
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  if (!d || !d->taking) return;
  d->taking = false;
  d->take_vain = d->take_got == 0 && d->take_still;
  d->take_got = 0;
  s->takes--;
  sched__settle(s, d);
}

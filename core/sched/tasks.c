/* Ranges and flights: what a task is now. */
#include "sched/internal.h"

s_range *sched__range_of(sched *s, uint64_t task) {
  s_range *r = s->last_range;
  if (r && task >= r->first && task - r->first < r->count) return r;
  r = sched__map_floor(&s->ranges, task);
  if (!r || task - r->first >= r->count) return NULL;
  s->last_range = r;
  return r;
}

static hato_status range_ok(sched *s, const sched_range *in) {
  if (in->count == 0 || in->first == 0 || in->first > UINT64_MAX - in->count) return HATO_INVALID;
  const s_owner *o = sched__owner(s, in->owner);
  if (!o) return HATO_INVALID;
  if (o->lost) return HATO_CLOSED;
  const s_range *below = sched__map_floor(&s->ranges, in->first + (in->count - 1));
  if (below && sched__range_last(below) >= in->first) return HATO_EXISTS;
  return HATO_OK;
}

hato_status sched_submit(sched *s, uint64_t now, const sched_range *in) {
  sched__clock(s, now);
  hato_status bad = range_ok(s, in);
  if (bad) return bad;
  s_spec *p = sched__spec_get(s, in->spec);
  if (!p) return HATO_NO_MEMORY;
  s_range *r = sched__pool_get(&s->range_pool);
  if (!r) goto no_memory;
  *r = (s_range){.first = in->first,
                 .serial = ++s->serial,
                 .count = in->count,
                 .unresolved = in->count,
                 .owner = sched__owner(s, in->owner),
                 .spec = p,
                 .limit_ns = in->limit_ns,
                 .data = in->data};
  if (!sched__map_set(&s->ranges, r->first, r)) {
    sched__pool_put(&s->range_pool, r);
    goto no_memory;
  }
  hato__list_push(&r->owner->ranges, &r->link);
  r->owner->unresolved += r->count;
  r->owner->kept++;
  sched__enqueue(s, r);
  return HATO_OK;
no_memory:
  sched__spec_put(s, p);
  return HATO_NO_MEMORY;
}

void sched__resolved(sched *s, s_range *r, uint32_t n) {
  r->unresolved -= n;
  r->owner->unresolved -= n;
  s->resolved += n;
  if (r->unresolved > 0) return;
  hato__list_remove(&r->link);
  hato__list_push(&s->releases, &r->link);
}

void sched__range_release(sched *s, s_range *r) {
  hato__list_remove(&r->link);
  r->owner->kept--;
  sched__map_del(&s->ranges, r->first);
  if (s->last_range == r) s->last_range = NULL;
  sched__spec_put(s, r->spec);
  sched__pool_put(&s->range_pool, r);
}

/* ---- flights ---- */

s_flight *sched__flight_of(sched *s, const s_daemon *d, uint64_t task, uint32_t attempt) {
  s_flight *f = sched__map_get(&s->flights, task);
  return f && f->daemon == d && f->attempt == attempt ? f : NULL;
}

bool sched__flight_new(sched *s, s_daemon *d, s_range *r, uint64_t task, uint32_t attempt,
                       uint32_t expect_ns) {
  s_flight *f = sched__pool_get(&s->cell_pool);
  if (!f) return false;
  if (!sched__map_set(&s->flights, task, f)) {
    sched__pool_put(&s->cell_pool, f);
    return false;
  }
  f->range = r;
  f->daemon = d;
  f->task = task;
  f->started_ns = 0;
  f->attempt = attempt;
  f->expect_ns = expect_ns;
  f->heap = 0;
  f->state = FLIGHT_SENT;
  f->limited = r->limit_ns != 0;
  f->value = 0;
  s->limited += f->limited;
  hato__list_push(&d->sent, &f->link);
  d->sent_n++;
  d->backlog_ns += expect_ns;
  s->sent++;
  return true;
}

/* Takes it out of the counts of its state. */
static void uncount(sched *s, s_flight *f) {
  s_daemon *d = f->daemon;
  switch ((s_flight_state)f->state) {
  case FLIGHT_SENT:
    d->sent_n--;
    d->backlog_ns -= f->expect_ns;
    s->sent--;
    break;
  case FLIGHT_RUNNING:
    d->running_n--;
    s->running--;
    break;
  case FLIGHT_ZOMBIE_SENT:
    d->zombie_sent_n--;
    break;
  case FLIGHT_ZOMBIE_RUNNING:
    d->zombie_running_n--;
    s->zombies_running--;
    break;
  }
}

void sched__flight_start(sched *s, s_flight *f) {
  s_daemon *d = f->daemon;
  if (f->state == FLIGHT_SENT) {
    uncount(s, f);
    f->state = FLIGHT_RUNNING;
    f->started_ns = s->now;
    hato__list_remove(&f->link);
    hato__list_push(&d->running, &f->link);
    d->running_n++;
    s->running++;
    if (f->limited)
      sched__deadline_set(
          s, f->range->limit_ns < UINT64_MAX - s->now ? s->now + f->range->limit_ns : UINT64_MAX, f, false);
  } else if (f->state == FLIGHT_ZOMBIE_SENT) { /* it started before our INTERRUPT came */
    uncount(s, f);
    f->state = FLIGHT_ZOMBIE_RUNNING;
    d->zombie_running_n++;
    s->zombies_running++;
  }
}

static void unlimit(sched *s, s_flight *f) {
  if (f->heap) sched__deadline_drop(s, f->heap);
  s->limited -= f->limited;
  f->limited = false;
}

void sched__flight_zombie(sched *s, s_flight *f, int value) {
  s_daemon *d = f->daemon;
  bool ran = f->state == FLIGHT_RUNNING;
  uncount(s, f);
  unlimit(s, f);
  f->range = NULL;
  f->value = (int16_t)value;
  f->state = ran ? FLIGHT_ZOMBIE_RUNNING : FLIGHT_ZOMBIE_SENT;
  if (ran) {
    d->zombie_running_n++;
    s->zombies_running++;
  } else {
    d->zombie_sent_n++;
  }
  hato__list_remove(&f->link);
  hato__list_push(d->disconnected ? &d->due : &d->zombies, &f->link);
}

void sched__flight_free(sched *s, s_flight *f) {
  uncount(s, f);
  unlimit(s, f);
  hato__list_remove(&f->link);
  sched__map_del(&s->flights, f->task);
  sched__pool_put(&s->cell_pool, f);
}

/* ---- what is known ---- */

sched_task_info sched_find(const sched *s, uint64_t task) {
  sched_task_info i = {0};
  const s_range *r = sched__map_floor(&s->ranges, task);
  if (!r || task - r->first >= r->count) return i;
  i = (sched_task_info){
      .state = SCHED_RESOLVED, .owner = r->owner->handle, .spec = (uint32_t)r->spec->number, .data = r->data};
  const s_flight *f = sched__map_get(&s->flights, task);
  const s_seg *g = sched__seg_next(s, r, task);
  if (f && f->range) {
    i.state = f->state == FLIGHT_SENT ? SCHED_SENT : SCHED_RUNNING;
    i.daemon = f->daemon->handle;
    i.attempt = f->attempt;
    i.started_ns = f->started_ns;
  } else if (g && g->first <= task) {
    i.state = SCHED_QUEUED;
    i.attempt = g->attempt;
  }
  return i;
}

uint64_t sched_alike(const sched *s, uint64_t task) {
  const s_range *r = sched__map_floor(&s->ranges, task);
  if (!r || task - r->first >= r->count) {
    r = sched__map_next(&s->ranges, task);
    return r ? r->first - task : UINT64_MAX - task;
  }
  const s_flight *f = sched__map_get(&s->flights, task);
  if (f && f->range) return 1;
  const s_seg *g = sched__seg_next(s, r, task);
  if (g && g->first <= task) return sched__seg_last(g) - task + 1;
  uint64_t end = g ? g->first : sched__range_last(r) + 1;
  f = sched__map_next(&s->flights, task + 1);
  return (f && f->task < end ? f->task : end) - task;
}

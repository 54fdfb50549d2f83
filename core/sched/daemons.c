/* Daemons: they come, drain, go; and the lists that they stand in. */
#include "sched/internal.h"

s_daemon *sched__daemon(const sched *s, sched_daemon handle) {
  s_daemon *d = sched__table_get(&s->daemons, handle);
  return d && !d->lost ? d : NULL;
}

/* ---- the lists ---- */

/* 1 to 8: an eighth to all of its slots are free. */
uint8_t sched__free_level(const s_daemon *d) {
  uint32_t held = sched__in_slots(d);
  if (!sched__usable(d) || held >= d->slots) return 0;
  return (uint8_t)(1 + ((uint64_t)(d->slots - held) * 8 - 1) / d->slots);
}

/* By powers of two of the backlog a slot, for those from whom tasks may be taken. */
uint8_t sched__backlog_level(const s_daemon *d) {
  if (d->disconnected || d->lost || d->taking || d->take_vain || sched__ahead(d) == 0) return 0;
  uint64_t each = d->slots == 1 ? d->backlog_ns : d->backlog_ns / d->slots;
  return (uint8_t)(64 - __builtin_clzll(each | 1));
}

static void place_free(sched *s, s_daemon *d) {
  uint8_t level = sched__free_level(d);
  uint32_t n = level ? d->slots - sched__in_slots(d) : 0;
  s->free_slots = s->free_slots - d->free + n;
  d->free = n;
  if (level == d->free_level) return;
  if (d->free_level) {
    hato__list_remove(&d->free_link);
    if (hato__list_empty(&s->free_at[d->free_level])) s->free_mask &= ~(1u << d->free_level);
    s->free_daemons--;
  }
  if (level) {
    hato__list_push(&s->free_at[level], &d->free_link);
    s->free_mask |= 1u << level;
    s->free_daemons++;
  }
  d->free_level = level;
}

static void place_backlog(sched *s, s_daemon *d) {
  uint8_t level = sched__backlog_level(d);
  if (level == d->backlog_level) return;
  if (d->backlog_level) {
    uint8_t was = (uint8_t)(d->backlog_level - 1);
    hato__list_remove(&d->backlog_link);
    if (hato__list_empty(&s->backlog_at[was])) s->backlog_mask &= ~((uint64_t)1 << was);
  } else {
    d->since_ns = s->now;
    hato__list_push(&s->stalling, &d->stall_link);
  }
  if (level) {
    hato__list_push(&s->backlog_at[level - 1], &d->backlog_link);
    s->backlog_mask |= (uint64_t)1 << (level - 1);
  } else {
    hato__list_remove(&d->stall_link);
  }
  d->backlog_level = level;
}

void sched__settle(sched *s, s_daemon *d) {
  place_free(s, d);
  place_backlog(s, d);
  if (hato__linked(&d->hungry_link) && !sched__usable(d)) hato__list_remove(&d->hungry_link);
}

void sched__progress(sched *s, s_daemon *d) {
  d->progress_ns = s->now;
  d->take_vain = d->take_still = false;
  sched__settle(s, d);
  if (d->backlog_level) {
    d->since_ns = s->now;
    hato__list_remove(&d->stall_link);
    hato__list_push(&s->stalling, &d->stall_link);
  }
  if (sched__usable(d) && sched__in_slots(d) <= d->low && !hato__linked(&d->hungry_link))
    hato__list_push(&s->hungry, &d->hungry_link);
}

/* ---- they come and go ---- */

static void count_daemon(sched *s, const s_daemon *d, int64_t n) {
  s->daemons_n += (uint64_t)n;
  s->daemon_slots += (uint64_t)(n * d->slots);
}

static void count_usable(sched *s, const s_daemon *d, int64_t n) {
  s->usable_daemons += (uint64_t)n;
  s->usable_slots += (uint64_t)(n * d->slots);
}

hato_status sched_daemon_joined(sched *s, uint64_t now, uint32_t slots, sched_daemon *out) {
  *out = 0;
  sched__clock(s, now);
  if (slots == 0 || slots > 1u << 20) return HATO_INVALID;
  s_daemon *d = sched__pool_get(&s->daemon_pool);
  if (!d) return HATO_NO_MEMORY;
  uint32_t handle = sched__deadline_reserve(s, 1) ? sched__table_add(&s->daemons, d) : 0;
  if (!handle) {
    sched__pool_put(&s->daemon_pool, d);
    return HATO_NO_MEMORY;
  }
  *d = (s_daemon){.handle = handle, .slots = slots, .low = slots, .progress_ns = s->now, .since_ns = s->now};
  hato__link *links[] = {&d->free_link, &d->hungry_link, &d->backlog_link, &d->stall_link, &d->work_link,
                         &d->sent,      &d->running,     &d->zombies,      &d->due};
  for (size_t i = 0; i < sizeof links / sizeof *links; i++) hato__list_init(links[i]);
  count_daemon(s, d, 1);
  count_usable(s, d, 1);
  sched__settle(s, d);
  *out = handle;
  return HATO_OK;
}

void sched_daemon_draining(sched *s, uint64_t now, sched_daemon handle) {
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  if (!d || d->draining) return;
  if (sched__usable(d)) count_usable(s, d, -1);
  d->draining = true;
  s->draining_n++;
  sched__settle(s, d);
}

static void take_over(sched *s, s_daemon *d) {
  s->takes -= d->taking;
  d->taking = false;
  d->take_got = 0;
}

void sched__daemon_lose(sched *s, s_daemon *d) {
  if (sched__usable(d)) count_usable(s, d, -1);
  count_daemon(s, d, -1);
  s->draining_n -= d->draining;
  d->lost = true;
  if (d->heap) sched__deadline_drop(s, d->heap);
  take_over(s, d);
  sched__settle(s, d);
  hato__list_remove(&d->work_link);
  hato__list_push(&s->losing, &d->work_link);
}

void sched_daemon_disconnected(sched *s, uint64_t now, sched_daemon handle) {
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  if (!d || d->disconnected) return;
  if (s->cfg.daemon_grace_ns == 0) {
    sched__daemon_lose(s, d);
    return;
  }
  if (sched__usable(d)) count_usable(s, d, -1);
  d->disconnected = true;
  take_over(s, d);
  sched__settle(s, d);
  hato__list_remove(&d->work_link); /* what is due waits for its return */
  sched__deadline_set(s, s->now + s->cfg.daemon_grace_ns, d, true);
}

/* Its tasks' INTERRUPTs may have been lost with the connection, so they are said again. */
bool sched_daemon_reconnected(sched *s, uint64_t now, sched_daemon handle) {
  sched__clock(s, now);
  s_daemon *d = sched__daemon(s, handle);
  if (!d) return false;
  if (!d->disconnected) return true;
  d->disconnected = false;
  if (d->heap) sched__deadline_drop(s, d->heap);
  if (sched__usable(d)) count_usable(s, d, 1);
  if (!hato__list_empty(&d->zombies)) { /* all of them before what is due */
    hato__link *first = d->zombies.next, *last = d->zombies.prev;
    hato__list_init(&d->zombies);
    first->prev = &d->due;
    last->next = d->due.next;
    d->due.next->prev = last;
    d->due.next = first;
  }
  if (!hato__list_empty(&d->due)) hato__list_push(&s->interrupting, &d->work_link);
  sched__progress(s, d);
  return true;
}

/* ---- the steps ---- */

bool sched__interrupting_step(sched *s, s_out *e) {
  while (!hato__list_empty(&s->interrupting)) {
    s_daemon *d = HATO__ENTRY(s->interrupting.next, s_daemon, work_link);
    while (!hato__list_empty(&d->due)) {
      if (sched__full(e)) return true;
      s_flight *f = sched__flight(hato__list_pop(&d->due));
      hato__list_push(&d->zombies, &f->link);
      sched__spend(e, 1);
      sched__emit(s, e,
                  &(sched_action){.type = SCHED_INTERRUPT,
                                  .daemon = d->handle,
                                  .count = 1,
                                  .attempt = f->attempt,
                                  .value = f->value,
                                  .first = f->task});
    }
    hato__list_remove(&d->work_link);
  }
  return false;
}

/* Started tasks of a lost daemon: one run of them resolves with 19. */
static void lose_running(sched *s, s_out *e, s_daemon *d) {
  s_flight *f = sched__flight(d->running.next);
  s_range *r = f->range;
  uint64_t first = f->task;
  uint32_t n = 0;
  do {
    sched__flight_free(s, f);
    n++;
    f = sched__flight(d->running.next);
  } while (d->running.next != &d->running && f->range == r && f->task == first + n && n < e->work);
  sched__emit(s, e,
              &(sched_action){.type = SCHED_RESOLVE,
                              .owner = r->owner->handle,
                              .count = n,
                              .value = HATO_RESET,
                              .first = first,
                              .data = r->data});
  sched__resolved(s, r, n);
  sched__spend(e, n);
}

/* From the last back, so that at the front of the queue they stand in their order. */
static void lose_sent(sched *s, s_daemon *d) {
  s_flight *f = sched__flight(d->sent.prev);
  s_range *r = f->range;
  uint64_t task = f->task;
  uint32_t attempt = f->attempt + 1;
  sched__flight_free(s, f);
  sched__requeue(s, r, task, 1, attempt);
}

bool sched__losing_step(sched *s, s_out *e) {
  while (!hato__list_empty(&s->losing)) {
    s_daemon *d = HATO__ENTRY(s->losing.next, s_daemon, work_link);
    for (;;) {
      if (sched__full(e)) return true;
      sched__spend(e, 1);
      if (!hato__list_empty(&d->sent))
        lose_sent(s, d);
      else if (!hato__list_empty(&d->running))
        lose_running(s, e, d);
      else if (!hato__list_empty(&d->zombies))
        sched__flight_free(s, sched__flight(d->zombies.next));
      else if (!hato__list_empty(&d->due))
        sched__flight_free(s, sched__flight(d->due.next));
      else
        break;
    }
    hato__list_remove(&d->work_link);
    sched__table_remove(&s->daemons, d->handle);
    sched__pool_put(&s->daemon_pool, d);
  }
  return false;
}

bool sched_daemon_find(const sched *s, sched_daemon handle, sched_daemon_info *out) {
  *out = (sched_daemon_info){0};
  const s_daemon *d = sched__daemon(s, handle);
  if (!d) return false;
  *out = (sched_daemon_info){.slots = d->slots,
                             .sent = d->sent_n,
                             .running = d->running_n,
                             .draining = d->draining,
                             .disconnected = d->disconnected};
  return true;
}

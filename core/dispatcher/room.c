/* Room for what is kept of detached tasks: when there is little of it they wait, and what ended
 * meanwhile is held in memory. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

/* With less room than this in the spool, detached tasks are not started. */
static uint64_t low_water(dispatcher *d) {
  uint64_t part = hato__spool_limit(d->spool) / 16;
  return part < (64u << 20) ? part : (64u << 20);
}

void dispatcher_room_check(dispatcher *d) {
  bool low = !hato__list_empty(&d->unkept) || !hato__spool_has_room(d->spool, low_water(d));
  if (low == d->spool_paused) return;
  d->spool_paused = low;
  sched_owner_pause(d->sched, SCHED_SHARED_OWNER, low);
  if (low) {
    hato__warn(&d->log, "SPOOL-FULL",
               "the spool in %s is nearly full: detached tasks wait until results are forgotten",
               d->local_dir);
  } else {
    hato__notice(&d->log, "SPOOL-ROOM", "the spool in %s has room again", d->local_dir);
  }
}

#define SUBMIT_ROOM (UINT64_C(1) << 20) /* with less, no further detached submission is taken */

bool dispatcher_room_full(dispatcher *d, hato_error *why) {
  uint64_t limit = hato__spool_limit(d->spool), used = hato__spool_used(d->spool);
  uint64_t room = limit / 8 < SUBMIT_ROOM ? limit / 8 : SUBMIT_ROOM;
  bool unkept = !hato__list_empty(&d->unkept);
  if (!unkept && hato__spool_has_room(d->spool, room)) return false;
  hato__fail(why, HATO_NO_SPACE,
             "the spool in %s is full: %s%llu of %llu MiB are used; `hato forget` gives space back",
             d->local_dir, unkept && used + room < limit ? "its disk has no more room; " : "",
             (unsigned long long)(used >> 20), (unsigned long long)(limit >> 20));
  return true;
}

/* A record that there was no room for. Its task ran, so it is held in memory and put away when there is
 * room; meanwhile no detached task is started, so that these are few. */
typedef struct unkept {
  hato__link link; /* d->unkept */
  uint64_t task;
  brief *brief;
  uint32_t len;
  uint8_t bytes[];
} unkept;

#define RETRY_NS (2 * HATO__SEC)

static unkept *find(dispatcher *d, uint64_t task) {
  for (hato__link *l = d->unkept.next; l != &d->unkept; l = l->next) {
    unkept *u = HATO__ENTRY(l, unkept, link);
    if (u->task == task) return u;
  }
  return NULL;
}

static void unkept_free(unkept *u) {
  hato__list_remove(&u->link);
  free(u);
}

static void unkept_add(submission *s, uint64_t task, brief *b, const void *record, uint32_t len,
                       const char *why) {
  dispatcher *d = s->d;
  unkept *u = malloc(sizeof *u + len);
  if (!u) {
    if (b->error == 0) b->error = HATO_NO_SPACE;
    hato__error(&d->log, "RESULT-LOST", "task %llu: its result could not be kept: %s",
                (unsigned long long)task, why);
    return;
  }
  if (hato__list_empty(&d->unkept)) hato__warn(&d->log, "SPOOL-FULL", "%s", why);
  hato__list_init(&u->link);
  u->task = task;
  u->brief = b;
  u->len = len;
  memcpy(u->bytes, record, len);
  hato__list_push(&d->unkept, &u->link);
  d->next_retry = hato__now() + RETRY_NS;
  pthread_cond_signal(&d->tick);
}

void dispatcher_room_put_away(dispatcher *d) {
  hato_error err;
  while (!hato__list_empty(&d->unkept)) {
    unkept *u = HATO__ENTRY(d->unkept.next, unkept, link);
    if (hato__spool_put(d->spool, u->bytes, u->len, &u->brief->record, &err)) return;
    unkept_free(u);
  }
}

uint64_t dispatcher_room_retry(dispatcher *d, uint64_t now) {
  if (hato__list_empty(&d->unkept)) return UINT64_MAX;
  if (now >= d->next_retry) {
    dispatcher_room_put_away(d);
    dispatcher_room_check(d);
    d->next_retry = now + RETRY_NS;
  }
  return hato__list_empty(&d->unkept) ? UINT64_MAX : d->next_retry;
}

void dispatcher_room_drop(dispatcher *d) {
  while (!hato__list_empty(&d->unkept)) unkept_free(HATO__ENTRY(d->unkept.next, unkept, link));
}

void dispatcher_room_put(submission *s, uint64_t task, brief *b, const void *record, uint32_t len) {
  hato_error err;
  if (hato__spool_put(s->d->spool, record, len, &b->record, &err)) {
    b->record = (hato__spool_ref){0};
    unkept_add(s, task, b, record, len, err.text);
  }
  dispatcher_room_check(s->d);
}

const uint8_t *dispatcher_room_held(dispatcher *d, uint64_t task, uint32_t *len) {
  const unkept *u = find(d, task);
  if (!u) return NULL;
  *len = u->len;
  return u->bytes;
}

void dispatcher_room_forget(dispatcher *d, uint64_t task) {
  unkept *u = find(d, task);
  if (u) unkept_free(u);
}

/* Launches: daemons that a launcher starts, until the last has ended: their memory, and what is noted of them. */
#include "dispatcher/launch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define OVER_MAX 200 /* launches that are over and still told of */

launch *dispatcher_launch_find(dispatcher *d, uint64_t id) {
  launch *l = NULL;
  HASH_FIND(hh, d->launches, &id, sizeof id, l);
  return l;
}

/* ---- what was asked for ---- */

asked *dispatcher_asked_new(void) {
  asked *a = calloc(1, sizeof *a);
  if (a) a->crash_limit = UINT_MAX; /* not said */
  return a;
}

void dispatcher_asked_free(asked *a) {
  if (!a) return;
  free(a->launcher);
  free(a->profile);
  free(a->bind);
  hato__texts_free(a->options);
  hato__texts_free(a->argv);
  free(a);
}

void dispatcher_asked_unref(asked *a) {
  if (--a->refs == 0) dispatcher_asked_free(a);
}

/* ---- its memory ---- */

void dispatcher_launch_replace_text(char **to, const char *text) {
  free(*to);
  *to = text && *text ? hato__printf("%s", text) : NULL;
}

launch *dispatcher_launch_add(dispatcher *d, asked *a) {
  launch *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  l->d = d;
  l->asked = a;
  a->refs++;
  l->id = l->line = ++d->next_launch;
  l->asked_wall = hato__wall_now();
  snprintf(l->tag, sizeof l->tag, "hato-%08x-%llu", (unsigned)d->id, (unsigned long long)l->id);
  HASH_ADD(hh, d->launches, id, sizeof l->id, l);
  return l;
}

void dispatcher_launch_drop(launch *l) {
  HASH_DEL(l->d->launches, l);
  if (l->waiter) dispatcher_peer_unref(&l->waiter->peer);
  for (unsigned i = 0; l->members && i < l->count; i++) {
    free(l->members[i].why);
    free(l->members[i].reason);
    free(l->members[i].host);
    free(l->members[i].job);
    free(l->members[i].log_tail);
  }
  free(l->members);
  free(l->words);
  free(l->trouble);
  json_decref(l->leftover);
  dispatcher_asked_unref(l->asked);
  free(l);
}

static bool may_be_forgotten(const launch *l) {
  return l->over && !l->waiter && !l->recorded && !sched_launches_lives(l->d->life, l->id);
}

/* Of those that are over only the last are remembered. */
void dispatcher_launch_forget_old(dispatcher *d) {
  unsigned over = 0;
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) over += may_be_forgotten(l);
  HASH_ITER(hh, d->launches, l, next) {
    if (over <= OVER_MAX) return;
    if (!may_be_forgotten(l)) continue;
    dispatcher_launch_drop(l);
    over--;
  }
}

/* ---- what becomes of it ---- */

sched_member_state dispatcher_launch_state(const launch *l, unsigned member) {
  if (l->over || !l->lived) return l->over ? SCHED_MEMBER_ENDED : SCHED_MEMBER_ASKED;
  return sched_launches_state(l->d->life, l->id, member);
}

/* Nothing of it is on its way any more, or only what a scheduler keeps waiting for longer than was asked for. */
static bool settled(const launch *l, uint64_t now) {
  if (l->over) return true;
  sched_launch_counts n;
  if (!l->submitted || !sched_launches_count(l->d->life, l->id, &n)) return false;
  uint32_t held = n.by_state[SCHED_MEMBER_SUBMITTED] + n.by_state[SCHED_MEMBER_QUEUED];
  uint32_t coming = n.by_state[SCHED_MEMBER_ASKED] + (l->asked->argv ? 0 : n.by_state[SCHED_MEMBER_STARTING]);
  return coming <= l->n_ending && (held + l->n_ending == 0 || now >= l->wait_until);
}

void dispatcher_launch_answer(launch *l, uint64_t now) {
  if (!l->waiter || !settled(l, now)) return;
  client *c = l->waiter;
  l->waiter = NULL;
  dispatcher_control_reply(c, l->token, dispatcher_launch_one_json(l));
  dispatcher_peer_unref(&c->peer);
}

/* The clock looks at launches when something may be due. */
void dispatcher_launch_soon(dispatcher *d) {
  d->launch_tick = 0;
  dispatcher_clock_soon(d);
}

void dispatcher_launch_note(launch *l, unsigned member) {
  launch_member *m = &l->members[member];
  uint8_t state = (uint8_t)dispatcher_launch_state(l, member);
  if (state == m->shown && m->since_wall) return;
  m->shown = state;
  m->since_wall = hato__wall_now();
}

void dispatcher_launch_note_all(launch *l) {
  for (unsigned i = 0; i < l->count; i++) dispatcher_launch_note(l, i);
}

void dispatcher_launch_over(launch *l) {
  l->over = true;
  dispatcher_credentials_end(l->d, l->id);
  dispatcher_launch_note_all(l);
  dispatcher_launch_answer(l, hato__now());
}

/* It never came to be. */
void dispatcher_launch_failed(launch *l, hato_status status, const char *words) {
  dispatcher *d = l->d;
  bool passing = status != HATO_NOT_SUPPORTED && status != HATO_CLOSED && !l->cancelled;
  /* Of a dispatcher that ends it is no news, nor of what was cancelled. */
  hato__log_level level = d->asked_stop || l->cancelled ? HATO__LOG_INFO : HATO__LOG_ERROR;
  hato__log_msg(&d->log, level, "LAUNCH-FAILED", "launch %llu (%s): %s", (unsigned long long)l->id,
                l->asked->launcher, words);
  if (!l->cancelled) dispatcher_launch_replace_text(&l->words, words);
  l->recorded = false;
  /* Whoever asked is told, and asks again or not. What replaces others could be had once, and is asked for
   * again, up to the crash limit: a host boots, a partition is down. */
  if (l->lived) {
    if (l->cancelled) sched_launches_cancelled(d->life, hato__now(), l->id);
    sched_launches_failed(d->life, hato__now(), l->id, passing && l->line != l->id);
    dispatcher_launch_soon(d);
  } else {
    dispatcher_launch_over(l);
  }
}

/* ---- its credential is renewed or revoked ---- */

static hato_status has_ended(dispatcher *d, uint64_t id, hato_error *err) {
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) {
    if (l->line == id && l->id != id && !l->over)
      return hato__fail(err, HATO_STATE, "launch %llu has ended, and its credential with it; launch %llu is in its place",
                        (unsigned long long)id, (unsigned long long)l->id);
  }
  return hato__fail(err, HATO_STATE, "launch %llu has ended, and its credential with it", (unsigned long long)id);
}

hato_status dispatcher_launch_check(dispatcher *d, uint64_t id, hato_error *err) {
  const launch *l = dispatcher_launch_find(d, id);
  unsigned long long n = id, last = d->next_launch;
  if (id == 0 || id > d->next_launch)
    return last ? hato__fail(err, HATO_NOT_FOUND, "no launch %llu: this session's are 1-%llu", n, last)
                : hato__fail(err, HATO_NOT_FOUND, "no launch %llu: this session has none yet", n);
  if (!l || l->over || l->leftover) return has_ended(d, id, err);
  if (l->asked->argv)
    return hato__fail(err, HATO_STATE, "launch %llu starts another system's workers, which have no credential", n);
  if (l->cancelled) return hato__fail(err, HATO_STATE, "launch %llu is ending, and its credential is revoked", n);
  return HATO_OK;
}

void dispatcher_launch_revoked(dispatcher *d, uint64_t id) {
  launch *l = dispatcher_launch_find(d, id);
  l->cancelled = true;
  dispatcher_launch_replace_text(&l->words, "its credential was revoked");
  if (l->lived) sched_launches_cancelled(d->life, hato__now(), id);
}

void dispatcher_launch_end(dispatcher *d, uint64_t id) {
  const launch *l = dispatcher_launch_find(d, id);
  if (l && l->lived && d->launchers) launchers_cancel(d->launchers, id, NULL); /* else its plan is thrown away */
  dispatcher_launch_soon(d);
}

const char *dispatcher_launch_launcher(dispatcher *d, uint64_t id) {
  const launch *l = dispatcher_launch_find(d, id);
  return l ? l->asked->launcher : NULL;
}

/* ---- members that are to be ended ---- */

void dispatcher_launch_set_ending(launch *l, launch_member *m, bool ending) {
  if (m->ending != ending) l->n_ending += ending ? 1u : UINT_MAX; /* one more, or one less */
  m->ending = ending;
}

/* A launcher that ends whole launches only does so when no member is left that is not to be ended. */
void dispatcher_launch_end_whole(launch *l) {
  sched_launch_counts n;
  if (!l->whole_due || l->n_ending == 0 || l->cancelled || !sched_launches_count(l->d->life, l->id, &n)) return;
  if (n.by_state[SCHED_MEMBER_ENDED] + l->n_ending < l->count) return;
  l->whole_due = false;
  if (l->d->launchers) launchers_cancel(l->d->launchers, l->id, NULL);
}

/* What launchers and the connections of daemons tell of launches; and the life of the launchers' host. */
#include "dispatcher/launch.h"

#include <stdlib.h>
#include <string.h>

#define STOP_GRACE_MS 5000

/* ---- what launchers tell ---- */

static void end_words(const launch_member *m, char *out, size_t n) {
  if (m->exit_known && m->signal) {
    snprintf(out, n, "ended by signal %d (%s)", m->signal, strsignal(m->signal));
  } else if (m->exit_known) {
    snprintf(out, n, "ended with exit status %d", m->exit_code);
  } else {
    snprintf(out, n, "ended");
  }
}

static void member_event(launch *l, const launchers_member *e) {
  static const uint8_t states[] = {
      [HATO_MEMBER_ASKED] = SCHED_MEMBER_ASKED,       [HATO_MEMBER_SUBMITTED] = SCHED_MEMBER_SUBMITTED,
      [HATO_MEMBER_QUEUED] = SCHED_MEMBER_QUEUED,     [HATO_MEMBER_STARTING] = SCHED_MEMBER_STARTING,
      [HATO_MEMBER_RUNNING] = SCHED_MEMBER_STARTING, [HATO_MEMBER_ENDED] = SCHED_MEMBER_ENDED};
  dispatcher *d = l->d;
  if (e->number >= l->count || (unsigned)e->state >= sizeof states) return;
  launch_member *m = &l->members[e->number];
  bool ended = e->state == HATO_MEMBER_ENDED, connected = dispatcher_launch_state(l, e->number) == SCHED_MEMBER_CONNECTED;
  if (connected && !ended) { /* the daemon itself is the better witness, but for the batch job that it is */
    if (*e->job) dispatcher_launch_replace_text(&m->job, e->job);
    return;
  }
  m->exit_known = e->exit_known;
  m->exit_code = e->exit_code;
  m->signal = e->signal;
  dispatcher_launch_replace_text(&m->reason, e->reason);
  if (*e->host) dispatcher_launch_replace_text(&m->host, e->host);
  dispatcher_launch_replace_text(&m->job, e->job);
  if (ended) dispatcher_launch_replace_text(&m->log_tail, e->log_tail);
  if (ended) dispatcher_launch_set_ending(l, m, false);
  sched_launches_told(d->life, hato__now(), l->id, e->number, (sched_member_state)states[e->state],
                      (e->cancelled ? SCHED_MEMBER_CANCELLED : 0u) | (e->never ? SCHED_MEMBER_NEVER : 0u));
  dispatcher_launch_note(l, e->number);
  if (ended && !connected) dispatcher_launch_end_whole(l); /* else its connection's going does */
  if (!ended || m->came || d->asked_stop || l->cancelled || l->asked->argv) return;
  char how[128];
  end_words(m, how, sizeof how);
  hato__warn(&d->log, "DAEMON-NEVER-CAME", "launch %llu, member %u (%s %s): %s before it dialled back%s%s%s%s",
             (unsigned long long)l->id, e->number, l->asked->launcher, m->job ? m->job : "-", how,
             m->reason ? ": " : "", m->reason ? m->reason : "", m->log_tail ? "; its log ends: " : "",
             m->log_tail ? m->log_tail : "");
}

static void whole_event(launch *l, const launchers_event *e) {
  dispatcher *d = l->d;
  switch (e->type) {
  case LAUNCHERS_SUBMITTED:
    l->submitted = true;
    if (e->record_len <= sizeof l->record) {
      memcpy(l->record, e->record, e->record_len);
      l->record_len = e->record_len;
    }
    sched_launches_submitted(d->life, hato__now(), l->id);
    dispatcher_launch_note_all(l);
    break;
  case LAUNCHERS_FAILED:
    dispatcher_launch_failed(l, e->status, e->text);
    break;
  case LAUNCHERS_ENDED:
    l->recorded = false;
    break;
  case LAUNCHERS_TROUBLE:
    hato__warn(&d->log, "LAUNCHER-TROUBLE", "%s: %s", l->asked->launcher, e->text);
    dispatcher_launch_replace_text(&l->trouble, e->text);
    break;
  case LAUNCHERS_ANSWERS:
    dispatcher_launch_replace_text(&l->trouble, NULL);
    break;
  case LAUNCHERS_NEWS:
    hato__info(&d->log, "LAUNCHER-NEWS", "%s: %s", l->asked->launcher, e->text);
    break;
  default:
    break;
  }
}

static void on_event(void *arg, const launchers_event *e) {
  dispatcher *d = arg;
  bool write = e->type == LAUNCHERS_SUBMITTED || e->type == LAUNCHERS_FAILED || e->type == LAUNCHERS_ENDED;
  if (e->type == LAUNCHERS_PLANNED) dispatcher_launch_planned(d, e);
  dispatcher_lock(d);
  launch *l = dispatcher_launch_find(d, e->launch);
  write = write && l && l->recorded;
  if (l && l->leftover) {
    dispatcher_launch_leftover_event(l, e);
  } else if (l && e->type == LAUNCHERS_MEMBER) {
    member_event(l, e->member);
  } else if (l) {
    whole_event(l, e);
  }
  if (l) dispatcher_launch_soon(d); /* the clock looks, once for many events */
  dispatcher_unlock(d);
  if (write) dispatcher_launch_write(d);
  dispatcher_flush(d);
}

/* ---- what connections tell ---- */

static launch_member *member_of(const worker *w, launch **launch_out, unsigned *number) {
  launch *l = w->launch ? dispatcher_launch_find(w->peer.d, w->launch) : NULL;
  if (!l || w->member < l->member_first || w->member - l->member_first >= l->count) return NULL;
  *launch_out = l;
  *number = w->member - l->member_first;
  return &l->members[*number];
}

/* A daemon that was not told which member it is stands for one that has not come yet. */
static void number_daemon(worker *w) {
  launch *l = w->launch ? dispatcher_launch_find(w->peer.d, w->launch) : NULL;
  uint32_t number;
  if (!l || l->numbered || !sched_launches_vacant(w->peer.d->life, l->id, &number)) return;
  w->member = l->member_first + number;
}

void dispatcher_launch_joined(worker *w) {
  launch *l;
  unsigned number;
  if (!w->peer.d->life) return;
  number_daemon(w);
  launch_member *m = member_of(w, &l, &number);
  if (!m) return;
  m->came = true;
  dispatcher_launch_replace_text(&m->why, NULL);
  dispatcher_launch_set_ending(l, m, false);
  dispatcher_launch_replace_text(&m->host, w->host);
  dispatcher_launch_replace_text(&m->reason, NULL);
  sched_launches_joined(l->d->life, hato__now(), l->id, number);
  dispatcher_launch_note(l, number);
  if (l->d->launchers) launchers_member_known(l->d->launchers, l->id, number, true);
  dispatcher_launch_soon(l->d); /* it answers whoever waits */
}

void dispatcher_launch_left(worker *w) {
  launch *l;
  unsigned number;
  if (!w->peer.d->life || !member_of(w, &l, &number)) return;
  sched_launches_left(l->d->life, hato__now(), l->id, number, w->orderly || l->d->asked_stop);
  dispatcher_launch_note(l, number);
  if (l->d->launchers) launchers_member_known(l->d->launchers, l->id, number, false);
  dispatcher_launch_end_whole(l);
  dispatcher_launch_soon(l->d);
}

void dispatcher_launch_worked(worker *w) {
  if (w->launch && w->peer.d->life) sched_launches_worked(w->peer.d->life, w->launch);
}

/* ---- the host's life ---- */

hato_status dispatcher_launch_open(dispatcher *d, hato_error *err) {
  launchers_options o = {.hato_binary = d->hato_binary, .event = on_event, .arg = d, .log = d->log};
  d->launch_tick = UINT64_MAX;
  d->life = sched_launches_create();
  if (!d->life) return hato__fail(err, HATO_NO_MEMORY, "no memory for a dispatcher");
  return launchers_create(&o, &d->launchers, err);
}

static void cancel_all(dispatcher *d) {
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) {
    if (l->over || l->cancelled) continue;
    l->cancelled = true;
    if (l->lived) sched_launches_cancelled(d->life, hato__now(), l->id);
    if (d->launchers) launchers_cancel(d->launchers, l->id, NULL);
  }
}

void dispatcher_launch_close(dispatcher *d) {
  launch *l, *next;
  dispatcher_lock(d);
  while (d->errands > 0) pthread_cond_wait(&d->end, &d->lock);
  launchers *h = d->launchers;
  cancel_all(d);
  d->launchers = NULL; /* connections that end meanwhile tell it nothing more */
  dispatcher_unlock(d);
  launchers_destroy(h, STOP_GRACE_MS);
  dispatcher_launch_write(d); /* what has not ended is found by the next dispatcher */
  dispatcher_lock(d);
  HASH_ITER(hh, d->launches, l, next) dispatcher_launch_drop(l);
  sched_launches_destroy(d->life);
  d->life = NULL;
  dispatcher_unlock(d);
}

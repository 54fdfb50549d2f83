/* What sched has to say of launches (sched/launches.h), carried out. */
#include "dispatcher/launch.h"

#include <stdlib.h>

#define ENDING_NS (10 * HATO__SEC) /* how long whoever asked waits for the end of what is to be ended */

/* In words, since what the launcher says of its end will only be that it was cancelled. */
static void say_why(const launch *l, unsigned member, launch_member *m) {
  char never[300];
  const char *why = m->came ? "its connection ended, and it neither ended nor came back in time"
                            : "it did not connect in time after it began";
  if (dispatcher_launch_state(l, member) == SCHED_MEMBER_QUEUED) {
    snprintf(never, sizeof never, "it can never run%s%s", m->reason ? ": " : "", m->reason ? m->reason : "");
    why = never;
  }
  dispatcher_launch_replace_text(&m->why, why);
}

static void end_member(dispatcher *d, const sched_launch_action *a) {
  launch *l = dispatcher_launch_find(d, a->launch);
  if (!l || a->member >= l->count) return;
  launch_member *m = &l->members[a->member];
  hato_error err = {0};
  say_why(l, a->member, m);
  dispatcher_launch_set_ending(l, m, true);
  uint64_t until = hato__now() + ENDING_NS;
  if (l->wait_until < until) l->wait_until = until;
  hato__warn(&d->log, "LAUNCH-MEMBER-ENDED", "launch %llu, member %u (%s %s): it is ended: %s",
             (unsigned long long)l->id, a->member, l->asked->launcher, m->job ? m->job : "-",
             m->why ? m->why : "");
  /* Of members that do not know their numbers none can be meant alone. */
  bool alone = l->numbered && (l->plan_flags & HATO_LAUNCHER_CANCELS_MEMBERS) != 0;
  hato_status st = alone ? launchers_cancel_member(d->launchers, l->id, a->member, &err) : HATO_NOT_SUPPORTED;
  if (st != HATO_NOT_SUPPORTED) return;
  l->whole_due = true;
  dispatcher_launch_end_whole(l);
}

static void give_up(dispatcher *d, const sched_launch_action *a) {
  launch *l, *next;
  const char *why = NULL;
  HASH_ITER(hh, d->launches, l, next) { /* the last that failed says it best */
    if (l->line != a->launch) continue;
    for (unsigned i = 0; l->members && i < l->count; i++) {
      const launch_member *m = &l->members[i];
      if (m->why || m->reason) why = m->why ? m->why : m->reason;
    }
    if (l->words) why = l->words; /* it was not even submitted */
  }
  l = dispatcher_launch_find(d, a->launch);
  if (!l) return;
  char *words = hato__printf("given up after %u failure%s%s%s", a->count, a->count == 1 ? "" : "s in a row", why ? ": " : "", why ? why : "");
  if (words)
    hato__error(&d->log, "LAUNCH-GIVEN-UP", "launch %llu (%s): %s", (unsigned long long)a->launch, l->asked->launcher,
                words);
  free(l->words);
  l->words = words;
}

static void is_over(dispatcher *d, const sched_launch_action *a) {
  launch *l = dispatcher_launch_find(d, a->launch);
  if (!l) return;
  dispatcher_launch_over(l);
  dispatcher_launch_forget_old(d);
}

/* A replacement is begun without the lock; all else is done under it. */
static void replace_members(dispatcher *d, const sched_launch_action *a) {
  hato_error err = {0};
  uint64_t id = 0;
  dispatcher_lock(d);
  launch *l = dispatcher_launch_find(d, a->launch);
  asked *again = l ? l->asked : NULL;
  if (l)
    hato__notice(&d->log, "LAUNCH-AGAIN", "launch %llu (%s): %u daemon%s started in the place of those that failed",
                 (unsigned long long)a->launch, l->asked->launcher, a->count, a->count == 1 ? " is" : "s are");
  if (again) again->refs++;
  dispatcher_unlock(d);
  if (!again) return;
  (void)dispatcher_launch_begin(d, again, a->launch, a->count, NULL, 0, 0, &id, &err);
  dispatcher_lock(d);
  dispatcher_asked_unref(again);
  dispatcher_unlock(d);
}

void dispatcher_launch_look(dispatcher *d, uint64_t now) {
  sched_launch_action a[16];
  uint32_t n;
  bool written = false;
  dispatcher_lock(d);
  while ((n = sched_launches_next(d->life, now, a, 16)) > 0) {
    for (uint32_t i = 0; i < n; i++) {
      if (a[i].type == SCHED_LAUNCH_END_MEMBER) end_member(d, &a[i]);
      if (a[i].type == SCHED_LAUNCH_GIVE_UP) give_up(d, &a[i]);
      if (a[i].type == SCHED_LAUNCH_OVER) is_over(d, &a[i]);
      written |= a[i].type == SCHED_LAUNCH_OVER;
    }
    dispatcher_unlock(d);
    for (uint32_t i = 0; i < n; i++)
      if (a[i].type == SCHED_LAUNCH_REPLACE) replace_members(d, &a[i]);
    dispatcher_lock(d);
  }
  /* The lock was not let go since nothing was due: whoever waits for a launch is told what followed of its end, too. */
  uint64_t at = sched_launches_wake(d->life);
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) {
    dispatcher_launch_answer(l, now);
    if (l->waiter && l->wait_until > now && l->wait_until < at) at = l->wait_until;
  }
  d->launch_tick = at;
  dispatcher_unlock(d);
  if (written) dispatcher_launch_write(d);
  dispatcher_credentials_sweep(d);
}

/*
 * The life of launches: asked, submitted, queued, starting, connected, ended. A
 * deterministic state machine like sched's, and driven in the same way: what
 * launchers and connections tell goes in, what is to be done comes out of
 * sched_launches_next. No I/O, no thread, no clock (time is an argument, in
 * nanoseconds of any monotonic clock, never decreasing), no global, no randomness.
 * Not thread safe; no call blocks.
 *
 * A launch that is asked for begins a line. Members that fail are replaced by a new
 * launch of the same line, after a back-off that doubles with each round of
 * failures, until crash_limit rounds failed in a row: then the line is given up. A
 * member fails when it ends before it connected, or does not connect in time after
 * it began, or when its connection is lost without an orderly end. It does not fail
 * when it ended in order (drained, idle, its time limit near), when it was
 * cancelled, or when the launch was. A member of the line that finished a task ends
 * the row of failures. All that fail until a back-off has passed are one round.
 *
 * What launchers do not know is no news: a member has ENDED when its launcher says so
 * and not before. A member that is connected stays connected whatever the launcher
 * says, but for `ended`; and when its connection goes, with a goodbye or without, it is
 * STARTING again and followed: it may be requeued, connect again, hang. If it neither
 * ends nor connects within connect_ns, it is to be ended. One that is told ended before
 * its connection went has ENDED, but its launch is not over until the connection's
 * going (sched_launches_left, which must come) has said whether it failed. A member's
 * failure is counted once, whatever comes after it; one that connects after it was
 * counted is one more than was asked for.
 */
#ifndef HATO_SCHED_LAUNCHES_H
#define HATO_SCHED_LAUNCHES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct sched_launches sched_launches;

typedef enum sched_member_state {
  SCHED_MEMBER_ASKED,
  SCHED_MEMBER_SUBMITTED,
  SCHED_MEMBER_QUEUED,
  SCHED_MEMBER_STARTING, /* it runs, and has not connected (yet, or any more) */
  SCHED_MEMBER_CONNECTED,
  SCHED_MEMBER_ENDED, /* for good */
} sched_member_state;

typedef struct sched_launch_rules {
  bool dial_in;            /* members are daemons, which connect; else none is awaited and none replaced */
  uint64_t connect_ns;     /* the launch time-out: from STARTING until connected; 0: 120 s */
  uint64_t backoff_ns;     /* before the first replacement; 0: 1 s */
  uint64_t backoff_max_ns; /* 0: 300 s */
  uint32_t crash_limit;    /* rounds of failures in a row; 0: none is replaced, and none given up */
} sched_launch_rules;

typedef enum sched_launch_action_type {
  /* launch: the line's first (it may be over); count: make a new launch of so many and sched_launches_add it
   * to the line, which waits for that; one that cannot be made is added and failed. */
  SCHED_LAUNCH_REPLACE = 1,
  SCHED_LAUNCH_END_MEMBER, /* member of launch is to be ended: it did not connect in time, or can never run */
  SCHED_LAUNCH_GIVE_UP, /* launch: the line's first; count: rounds that failed. No other member is replaced */
  SCHED_LAUNCH_OVER,    /* launch: all its members have ended; it is forgotten with this action */
} sched_launch_action_type;

typedef struct sched_launch_action {
  sched_launch_action_type type;
  uint64_t launch;
  uint32_t member;
  uint32_t count;
} sched_launch_action;

/* What is known of the whole. */
typedef struct sched_launch_counts {
  uint32_t by_state[SCHED_MEMBER_ENDED + 1];
} sched_launch_counts;

sched_launches *sched_launches_create(void);      /* NULL: out of memory */
void sched_launches_destroy(sched_launches *l);   /* NULL is fine; emits nothing */

/* A launch was asked for: count members from 0. Ids are the caller's, unique for ever, not 0. line: 0, or
 * the first launch of the line whose members it replaces (then rules are that line's and NULL is fine; a
 * line that has ended begins anew with this launch). False: out of memory (or the id is 0 or known). */
bool sched_launches_add(sched_launches *l, uint64_t now, uint64_t id, uint32_t count, uint64_t line,
                        const sched_launch_rules *rules);
/* The launcher took it. */
void sched_launches_submitted(sched_launches *l, uint64_t now, uint64_t id);
/* It never came to be: its members have ended. passing: asking again may help (the scheduler did not answer),
 * so they failed; else no replacement can do better and its line is given up, without an action. */
void sched_launches_failed(sched_launches *l, uint64_t now, uint64_t id, bool passing);
/* What the launcher says of a member. RUNNING of launchers is STARTING here. ASKED and CONNECTED are
 * ignored, SUBMITTED too of a member that was further; QUEUED after STARTING is a job requeued. */
enum {
  SCHED_MEMBER_CANCELLED = 1, /* ENDED: it was somebody's wish: not a failure */
  SCHED_MEMBER_NEVER = 2,     /* QUEUED, for good: to be ended, and nothing put in its place */
};
void sched_launches_told(sched_launches *l, uint64_t now, uint64_t id, uint32_t member,
                         sched_member_state state, unsigned flags);
/* The connection of a member came, or went; orderly: it said goodbye. */
void sched_launches_joined(sched_launches *l, uint64_t now, uint64_t id, uint32_t member);
void sched_launches_left(sched_launches *l, uint64_t now, uint64_t id, uint32_t member, bool orderly);
/* A member finished a task: the row of failures of its line ends. O(1), and cheap: called for each batch of
 * results. */
void sched_launches_worked(sched_launches *l, uint64_t id);
/* The launch is to end (its owner tells the launcher): none of its members is a failure from now on, those
 * that failed and were not replaced yet are not replaced, and none is awaited: no END_MEMBER. */
void sched_launches_cancelled(sched_launches *l, uint64_t now, uint64_t id);

/* SCHED_MEMBER_ENDED for what is not known. */
sched_member_state sched_launches_state(const sched_launches *l, uint64_t id, uint32_t member);
/* When the member came into its state; 0: not known. */
uint64_t sched_launches_since(const sched_launches *l, uint64_t id, uint32_t member);
/* Some launchers do not tell their members which they are. A member for a daemon of such a launch to join
 * (and leave) as: one that is neither connected nor ended, of those likest to connect. What the launcher says
 * of a member may then be another daemon's: no single one may be ended. False: there is none. O(members). */
bool sched_launches_vacant(const sched_launches *l, uint64_t id, uint32_t *member);
/* False: no such launch. */
bool sched_launches_count(const sched_launches *l, uint64_t id, sched_launch_counts *out);
/* Rounds that failed in a row, and when the next replacement is due (0: none), of the line that launch id
 * belongs to. */
uint32_t sched_launches_crashes(const sched_launches *l, uint64_t id, uint64_t *due);
/* The line of this first launch is alive: it has launches, or a replacement of its members is to come. */
bool sched_launches_lives(const sched_launches *l, uint64_t line);

/* At most max actions of what is due at now; call until it gives fewer. */
uint32_t sched_launches_next(sched_launches *l, uint64_t now, sched_launch_action *out, uint32_t max);
/* When sched_launches_next will have something if nothing else happens: the last event's time or an earlier
 * one when it has so already; UINT64_MAX: never. */
uint64_t sched_launches_wake(const sched_launches *l);

/* ---- for tests ---- */
/* Checks every invariant, slowly. NULL, or words that say what broke. */
const char *sched_launches_check(const sched_launches *l);

#endif

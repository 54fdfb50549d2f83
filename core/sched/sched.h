/*
 * sched - the scheduler: a deterministic state machine.
 *
 * Events go in by the functions below, actions come out of sched_next. There is
 * no I/O, no thread, no clock (time is an argument, in nanoseconds of any
 * monotonic clock, never decreasing), no global, no randomness. Not thread safe:
 * its owner calls it under one lock. No call blocks. Every call is O(1) or
 * O(log n) in daemons and tasks; what concerns many (cancel a range, lose an
 * owner with a million tasks, lose a daemon) is remembered by the event and done
 * in steps by sched_next, at most `max` actions a call.
 *
 * So an event that concerns many takes effect as sched_next carries it out: a task
 * that finishes between sched_cancel and the RESOLVE of it has finished, and its
 * result is taken. Nothing that a cancel concerns is sent after the cancel.
 *
 * Tasks are numbered by the caller, contiguously a range. A range is one record
 * (some 150 bytes with its place in the index), whatever its length. Besides, only
 * tasks that are at a daemon have state of their own, and runs of tasks that went
 * back to the queue: nothing is kept of what is resolved. Memory that was used once
 * is used again, and is given back by sched_destroy.
 */
#ifndef HATO_SCHED_H
#define HATO_SCHED_H

#include "hato/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct sched sched;

/* Handles; 0 is none. A handle is not reused for a later daemon or owner until
 * all that concerned the old one has been handed out. */
typedef uint32_t sched_daemon;
typedef uint32_t sched_owner;
#define SCHED_SHARED_OWNER 1u /* the queue of all detached submissions; always open */

typedef struct sched_config {
  uint64_t long_task_ns;    /* tasks of at least this mean duration are never sent ahead; default 5 ms */
  uint64_t ahead_ns;        /* work sent ahead of each slot, in mean durations; default 2 ms */
  uint32_t ahead_max;       /* tasks sent ahead of a slot at most; default 1024 */
  uint64_t daemon_grace_ns; /* disconnected -> lost; default 0: at once */
} sched_config;

/* cfg NULL or a zero field: the default. NULL: out of memory. */
sched *sched_create(const sched_config *cfg);
void sched_destroy(sched *s); /* NULL is fine; emits nothing */

/* ---- owners: who submitted; each has its own first-in first-out queue and
 * owners take turns, so that none starves another. ---- */
hato_status sched_owner_open(sched *s, sched_owner *out);
/* A paused owner's queue is not served (its client does not read); what was sent goes on. */
void sched_owner_pause(sched *s, sched_owner o, bool paused);
/* The owner is gone: its unresolved tasks resolve with `value`; running ones are
 * interrupted. The handle dies once all of that was handed out. */
void sched_owner_lost(sched *s, uint64_t now, sched_owner o, int value); /* not SCHED_SHARED_OWNER: ignored */

/* ---- tasks ---- */
typedef struct sched_range {
  uint64_t first; /* task number of the first, from 1; ranges never overlap; need not come in order */
  uint32_t count; /* >= 1 */
  sched_owner owner;
  uint32_t spec;     /* the specification's number: durations are learned for each */
  uint64_t limit_ns; /* time limit of one task from its start; 0: none */
  void *data;        /* the caller's; comes back in SEND, RESOLVE and RELEASE */
} sched_range;
/* HATO_INVALID: no such owner, no task, or number 0; HATO_CLOSED: the owner is lost;
 * HATO_EXISTS: a range that is still kept has one of the numbers; HATO_NO_MEMORY. */
hato_status sched_submit(sched *s, uint64_t now, const sched_range *range);
/* Resolve the unresolved among [first, last] with `value` (20 cancelled, 19 reset);
 * numbers that do not exist or are resolved are passed over. Queued and sent-but-
 * not-started ones resolve at once; so do running ones, which are interrupted too
 * (their slot stays occupied until the daemon says finished). A daemon answers for an
 * interrupted task as for every other: finished, or returned if it never started; the
 * answer is stale, but the record of the task goes only with it. Tasks submitted later
 * are not concerned. owner 0: any owner's, else only that owner's. */
void sched_cancel(sched *s, uint64_t now, uint64_t first, uint64_t last, sched_owner owner, int value);

/* ---- daemons ---- */
hato_status sched_daemon_joined(sched *s, uint64_t now, uint32_t slots, sched_daemon *out);
/* It takes no more: nothing further is sent; what it has may finish or be returned. */
void sched_daemon_draining(sched *s, uint64_t now, sched_daemon d);
/* Its connection is gone: lost after the grace. Not started: queued again, at the
 * front, with the next attempt. Started: resolved with 19. */
void sched_daemon_disconnected(sched *s, uint64_t now, sched_daemon d);
/* It is back within the grace, by the same handle: as before. false: already lost. */
bool sched_daemon_reconnected(sched *s, uint64_t now, sched_daemon d);

/* What a daemon reports. `attempt` is that of the SEND (1 is the first); a report about an older
 * attempt, another daemon's task or a resolved one is stale and changes nothing
 * but the occupancy of that daemon's slots. */
/* A task may be reported finished without having been reported started, if its daemon
 * keeps the promise that what may have run is reported started before it can be lost. */
void sched_started(sched *s, uint64_t now, sched_daemon d, uint64_t first, uint32_t count, uint32_t attempt);
/* true: accepted, the task is now resolved and its result is the caller's to
 * deliver (owner and data are filled if not NULL). false: stale, drop the result. */
bool sched_finished(sched *s, uint64_t now, sched_daemon d, uint64_t task, uint32_t attempt,
                    uint64_t duration_ns, sched_owner *owner, void **data);
/* Tasks given back unstarted (the answer to TAKE, or of a draining daemon): queued
 * again at the front with the next attempt. The answer to a TAKE names only those
 * given back; sched_take_answered ends that TAKE, after the returns of its answer. */
void sched_returned(sched *s, uint64_t now, sched_daemon d, uint64_t first, uint32_t count, uint32_t attempt);
void sched_take_answered(sched *s, uint64_t now, sched_daemon d);

/* ---- time ---- */
/* Time limits and graces that have passed, and backlogs that stand still: sched_next then
 * says what follows. */
void sched_tick(sched *s, uint64_t now);
/* When sched_tick has something to do, as far as is known now; UINT64_MAX: never. Every
 * event may move it either way; while tasks go ahead of busy slots it moves on with each
 * report. A tick too early does nothing, so a timer need not follow a deadline that went
 * up: let it fire, tick, and ask again. */
uint64_t sched_deadline(const sched *s);

/* ---- actions ---- */
typedef enum sched_action_type {
  SCHED_SEND,      /* send tasks [first, first+count) of one range to daemon, as `attempt` */
  SCHED_TAKE,      /* ask daemon to give back up to `count` tasks not started (the last sent, best) */
  SCHED_INTERRUPT, /* task(s) [first, first+count) as `attempt` on daemon: end them; `value` says why */
  SCHED_RESOLVE,   /* tasks [first, first+count) resolve with error value `value`, without a result */
  SCHED_RELEASE,   /* every task of the range of `data` is resolved; it will not be spoken of again */
  SCHED_OWNER_END, /* a lost owner's last task is resolved; the handle is dead */
} sched_action_type;

typedef struct sched_action {
  sched_action_type type;
  sched_daemon daemon;
  sched_owner owner; /* SEND, RESOLVE, RELEASE, OWNER_END */
  uint32_t count;
  uint32_t attempt;
  int value;
  uint64_t first;
  void *data;
} sched_action;

/* Fills at most max actions, in the order they are to be carried out, and returns
 * how many; *more says that there is more to do now (the work of one call is bounded
 * too, so fewer than max may come). The order keeps: SEND of a task before its
 * INTERRUPT, that before its RESOLVE, RESOLVE of a range's last task before its RELEASE. */
size_t sched_next(sched *s, uint64_t now, sched_action *out, size_t max, bool *more);

/* ---- what is known ---- */
typedef enum sched_state {
  SCHED_UNKNOWN,
  SCHED_QUEUED,
  SCHED_SENT,
  SCHED_RUNNING,
  SCHED_RESOLVED
} sched_state;
typedef struct sched_task_info {
  sched_state state; /* UNKNOWN: no such number in a range that is still kept */
  sched_daemon daemon;
  sched_owner owner;
  uint32_t attempt; /* of a queued task: the one it will be sent as */
  uint32_t spec;
  uint64_t started_ns;
  void *data;
} sched_task_info;
sched_task_info sched_find(const sched *s, uint64_t task);
/* At least so many tasks from this one on are in its state, 1 or more: lists pass over many at once. */
uint64_t sched_alike(const sched *s, uint64_t task);

typedef struct sched_counts {
  uint64_t queued, sent, running; /* now */
  uint64_t resolved;              /* ever */
  uint64_t daemons, slots, busy_slots, draining;
  uint64_t owners, ranges;
} sched_counts;
sched_counts sched_count(const sched *s);
typedef struct sched_daemon_info {
  uint32_t slots, sent, running; /* sent: not yet started */
  bool draining, disconnected;
} sched_daemon_info;
bool sched_daemon_find(const sched *s, sched_daemon d, sched_daemon_info *out);
uint64_t sched_owner_unresolved(const sched *s, sched_owner o);

/* ---- for tests ---- */
/* Checks every invariant (or, with a task or daemon other than 0, those of it):
 * every accepted task in exactly one state, nothing beyond a daemon's slots and
 * what may be sent ahead, counts that agree. NULL, or words that say what broke. */
const char *sched_check(const sched *s);
const char *sched_check_task(const sched *s, uint64_t task);
const char *sched_check_daemon(const sched *s, sched_daemon d);

#endif

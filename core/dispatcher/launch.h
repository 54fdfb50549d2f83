/*
 * What the files about launches share.
 *
 *   launch_ask.c      requests: read, resolved with their profile, answered
 *   profile.c         profiles of the configuration files
 *   launch_plan.c     a launch's beginning: plan, credential, the launcher is asked
 *   launch_command.c  the words of a daemon's command
 *   launch_told.c     what launchers and connections tell
 *   launch_due.c      what sched has to say of launches
 *   launch_json.c     what is told of launches
 *   launch_record.c   launches on record, and the end of what a killed dispatcher left
 *   launch.c          a launch's memory, and what is noted of it
 *   where.c           where daemons dial
 *
 * All of it is guarded by the dispatcher's lock, but for `asked`, which does not change once it
 * is made.
 */
#ifndef HATO_DISPATCHER_LAUNCH_H
#define HATO_DISPATCHER_LAUNCH_H

#include "dispatcher/internal.h"
#include "launchers/host.h"
#include "sched/launches.h"

/* What was asked for; shared by the launches of a line. */
typedef struct asked {
  unsigned refs; /* under the lock */
  char *launcher, *profile;
  char *bind;         /* auto, core, none; NULL: auto */
  char **options;     /* key=value, NULL-terminated; NULL: none */
  char **argv;        /* another system's workers; NULL: daemons of hato */
  unsigned n, slots;  /* 0: not said */
  unsigned crash_limit;
  uint64_t connect_ns; /* the launch time-out */
} asked;
#define CRASH_LIMIT 5u
#define CONNECT_NS (120 * HATO__SEC)

typedef struct launch_member {
  uint8_t shown; /* the state last told, for … */
  uint64_t since_wall;
  bool exit_known, came; /* came: it was connected once */
  bool ending;           /* it was to be ended, and has not yet */
  int exit_code, signal;
  char *reason, *host, *job, *log_tail; /* NULL: none */
  char *why; /* why we ended it ourselves; NULL: we did not */
} launch_member;

struct launch {
  dispatcher *d;
  uint64_t id, line; /* line: the first launch of those that replace one another's members */
  asked *asked;
  unsigned wanted;     /* members asked for; 0: not said */
  unsigned count;      /* that it has; 0 before the plan */
  unsigned n_ending;   /* members that are `ending` */
  bool whole_due;      /* and wait for the others to end, since its launcher ends whole launches only */
  unsigned plan_flags; /* HATO_LAUNCHER_* */
  unsigned member_first;
  launch_member *members;
  char tag[HATO_TAG_MAX + 1];
  uint64_t asked_wall;
  char *words; /* why it failed, or was given up; NULL */
  char *trouble; /* why its launcher does not say what becomes of it now; NULL */
  bool numbered; /* its members know their numbers */
  bool submitted, over, cancelled, lived; /* lived: d->life knows it */
  bool recorded;                          /* stands in the file of launches */
  json_t *leftover; /* its record, by a dispatcher that was killed: it is only to be ended; NULL: it is our own */
  uint8_t record[HATO_RECORD_MAX];
  size_t record_len;
  client *waiter; /* answered when it has settled, holds a reference */
  uint32_t token;
  uint64_t wait_until; /* what a scheduler keeps waiting is waited for until then */
  UT_hash_handle hh;   /* d->launches, by id, in order */
};

/* ---- profile.c ---- */
/* Completes what was asked for (profile NULL: "default", which need not be there) with its profile, and makes
 * options of what the files and the request say, the request's first in rank. Blocks: reads files, and may
 * load a launcher's module. */
hato_status dispatcher_profile_resolve(dispatcher *d, asked *a, hato_error *err);

/* ---- launch.c ---- */
asked *dispatcher_asked_new(void);
void dispatcher_asked_free(asked *a); /* NULL is fine; refs is not looked at */
void dispatcher_asked_unref(asked *a);
launch *dispatcher_launch_find(dispatcher *d, uint64_t id);
/* A launch that is to be followed, in d->launches. NULL: no memory. */
launch *dispatcher_launch_add(dispatcher *d, asked *a);
void dispatcher_launch_drop(launch *l);
void dispatcher_launch_forget_old(dispatcher *d); /* of those that are over only the last are remembered */
sched_member_state dispatcher_launch_state(const launch *l, unsigned member);
void dispatcher_launch_note(launch *l, unsigned member); /* since when it is in its state */
void dispatcher_launch_note_all(launch *l);
void dispatcher_launch_replace_text(char **to, const char *text); /* "" and NULL: none */
void dispatcher_launch_set_ending(launch *l, launch_member *m, bool ending);
void dispatcher_launch_end_whole(launch *l); /* if no member is left that is not to be ended */
void dispatcher_launch_answer(launch *l, uint64_t now); /* whoever waits for it, if it has settled */
void dispatcher_launch_over(launch *l);
void dispatcher_launch_failed(launch *l, hato_status status, const char *words); /* it never came to be */
void dispatcher_launch_soon(dispatcher *d); /* the clock looks at launches */

/* ---- launch_plan.c ---- */
/* Makes the launch of what was asked for and has it planned: what follows comes as events. Takes a reference of
 * `a` in any case. line: 0, or the launch whose members these `count` replace. Without the lock. */
hato_status dispatcher_launch_begin(dispatcher *d, asked *a, uint64_t line, unsigned count, client *waiter,
                                    uint32_t token, uint64_t wait_ns, uint64_t *id, hato_error *err);
/* The plan has come, or why there is none. On a thread of the launcher's host, without the lock. */
void dispatcher_launch_planned(dispatcher *d, const launchers_event *e);

/* ---- launch_command.c ---- */
typedef struct launch_command { /* the words of `hato daemon` */
  char *words[48];
  unsigned n, dial_arg;
  bool failed;
} launch_command;
/* credential: "-", a path, or NULL when none is handed over so. */
void dispatcher_launch_command(const dispatcher *d, const asked *a, unsigned flags, const char *member_env,
                               unsigned count, char *const *urls, const char *credential, launch_command *c);
void dispatcher_launch_command_free(launch_command *c);

/* ---- launch_json.c ---- */
json_t *dispatcher_launch_one_json(const launch *l);

/* ---- launch_record.c ---- */
/* The file of launches is to be written again. Without the lock; writes a file. */
void dispatcher_launch_write(dispatcher *d);
/* A leftover's events. With the lock. */
void dispatcher_launch_leftover_event(launch *l, const launchers_event *e);

#endif

/*
 * The plugin host: finds launcher modules, checks them, runs their operations and
 * follows up what they launched.
 *
 * - `local` is compiled in and runs on a thread of the host. Every other module is a
 *   shared object hato_launcher_NAME.so and runs in a process of its own, `hato
 *   launcher-host`; a crash or a missed deadline ends that process, which is started
 *   again and adopts its launches. Threads and processes start with the first launch.
 * - Nothing here blocks unless its comment says so. All functions may be called from
 *   any thread, from the event callback too, unless said otherwise.
 * - Events come from threads of the host, one at a time a launcher, with no lock held
 *   and all signals blocked.
 * - A host that has nothing to follow up (no launch, or all members connected, or a
 *   launcher that tells of changes itself, as `local` does) wakes up for nothing.
 */
#ifndef HATO_LAUNCHERS_HOST_H
#define HATO_LAUNCHERS_HOST_H

#include "base/buf.h"
#include "base/log.h"
#include "hato/launcher.h"
#include "hato/status.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct launchers launchers;

/* ---- events -------------------------------------------------------------- */

typedef enum launchers_event_type {
  LAUNCHERS_SUBMITTED, /* the launcher took it; record is set. What it said of members meanwhile comes before */
  LAUNCHERS_FAILED,  /* it never came to be, or could not be adopted: status, text. Last event of a launch */
  LAUNCHERS_MEMBER,  /* something of one member changed; all of `member` as it is known now */
  LAUNCHERS_TROUBLE, /* the launcher is silent, or its process was restarted: text. Nothing ended by it */
  LAUNCHERS_NEWS,    /* progress in words: text */
  LAUNCHERS_ENDED,   /* every member has ended. Last event of a launch: the host forgets it */
  LAUNCHERS_ANSWERS, /* after TROUBLE: its launcher answers again */
  LAUNCHERS_PLANNED, /* answer to launchers_plan: plan, or status and text when it failed */
} launchers_event_type;

typedef struct launchers_member {
  uint32_t number; /* from 0 */
  hato_member_state state;
  bool exit_known;       /* exit_code and signal say something */
  bool cancelled;        /* ENDED: by somebody's wish */
  bool never;            /* QUEUED: for a reason that will not pass */
  int exit_code, signal; /* signal 0: it exited */
  const char *reason;    /* the scheduler's words; "" */
  const char *host;      /* where it runs; "" */
  const char *job;       /* batch job id, or process id; "" */
  const char *log_path;  /* "" */
  const char *log_tail;  /* last lines of its log; "" unless it ended */
} launchers_member;

typedef struct launchers_plan_result {
  uint32_t count;         /* daemons that this launch will have */
  uint32_t flags;         /* HATO_LAUNCHER_*, of this launch */
  uint32_t secret_ways;   /* HATO_SECRET_*, of this launch */
  const char *member_env; /* the variable that tells a daemon its number; NULL: none */
  uint32_t member_first;  /* its value for member 0 */
} launchers_plan_result;

typedef struct launchers_event { /* all of it borrowed for the call */
  launchers_event_type type;
  uint64_t launch; /* the caller's id */
  const char *launcher;
  hato_status status;    /* FAILED, PLANNED */
  const char *text;      /* never NULL */
  const uint8_t *record; /* SUBMITTED: by which launchers_adopt finds the launch again */
  size_t record_len;     /* at most HATO_RECORD_MAX */
  const launchers_member *member;
  const launchers_plan_result *plan;
} launchers_event;

/* ---- the host ------------------------------------------------------------ */

typedef struct launchers_options {
  /* Folders of modules, searched in order, the first that has a name wins; NULL-terminated; NULL:
   * launchers_default_folders. */
  const char *const *folders;
  const char *hato_binary; /* for `hato launcher-host`; NULL: modules of folders cannot be run */
  void (*event)(void *arg, const launchers_event *e); /* NULL: none */
  void *arg;
  hato__log log;
  /* Of the tests; 0: 1,000 and what the launcher states. */
  uint32_t first_poll_ms, interval_ms;
} launchers_options;

/* All of options is copied. Starts nothing. */
hato_status launchers_create(const launchers_options *o, launchers **out, hato_error *err);
/* Carries out cancels asked for before, waits until the members of cancelled launches ended, at
 * most grace_ms in all, and frees. What was not cancelled stays. Blocks; not from a callback.
 * No event after its return. NULL is fine. */
void launchers_destroy(launchers *h, uint32_t grace_ms);

/* ---- what there is -------------------------------------------------------- */

/* $HATO_LAUNCHERS_PATH (colon-separated), then ../lib/hato/launchers beside the binary's folder,
 * where both the installed and the build tree have them. Malloc'd, freed by launchers_folders_free. */
char **launchers_default_folders(const char *hato_binary);
void launchers_folders_free(char **folders);

/* Of the descriptor of a launcher, its probe and where it was found. */
typedef struct launchers_info {
  char *name, *version, *description;
  char *path;           /* of the shared object; NULL: compiled in */
  uint32_t flags;       /* HATO_LAUNCHER_* */
  uint32_t secret_ways; /* HATO_SECRET_*, any of them may be used */
  char *member_env;     /* NULL: none */
  uint32_t member_first;
  uint32_t interval_ms; /* 0: it tells of changes itself and is not polled */
  uint32_t launch_deadline_ms, poll_deadline_ms, other_deadline_ms;
  bool usable;             /* its probe succeeded */
  char *trouble;           /* why it is not usable, or not a launcher at all; NULL */
  struct hato__conf *conf; /* its option rows, without values; NULL of one that could not be loaded */
} launchers_info;

/* One launcher by name, its shared object loaded in a process of its own. Blocks, at most about
 * 15 s. A launcher that is there but broken is HATO_OK with `trouble`. NOT_FOUND: no such
 * launcher; the text has the nearest name. */
hato_status launchers_describe(launchers *h, const char *name, launchers_info **out, hato_error *err);
/* The same of a compiled-in launcher or one described before, from memory: never blocks. AGAIN:
 * there is one, not described yet; NOT_FOUND as above (reads folders). Borrowed; valid until destroy. */
hato_status launchers_known(launchers *h, const char *name, const launchers_info **out, hato_error *err);
void launchers_info_free(launchers_info *info); /* NULL is fine */
/* {"name","version","description","path","usable","trouble","flags":[..],"secrets":[..],
 *  "interval_ms", "options":[{"name","type","default","min","max","values","help"},..]}; new. */
json_t *launchers_info_json(const launchers_info *info);
/* The names of all launchers, sorted, each once; malloc'd as folders are. Reads folders. */
char **launchers_names(launchers *h);

/* ---- launching ------------------------------------------------------------ */

typedef struct launchers_request {
  uint64_t id; /* the caller's; unique among live launches; events carry it */
  const char *launcher;
  const char *const *options;   /* "key=value", NULL-terminated; NULL: none */
  const char *const *argv;      /* the words of a daemon's command, NULL-terminated */
  uint32_t count;               /* 1 to HATO_LAUNCH_MAX */
  bool dial_in;                 /* they are daemons of hato, which will connect */
  uint32_t dial_arg;            /* index in argv of the word that holds the urls, for tunnels; 0: none */
  const char *const *dial_urls; /* where the dispatcher listens, NULL-terminated; NULL: none */
  const char *tag;              /* unique, 1 to 63 of [A-Za-z0-9_.-]: in the names of jobs and logs */
  uint32_t secret_way;          /* one HATO_SECRET_* that the launcher offers; 0: nothing is handed over */
  const void *secret;           /* STDIN: the bytes for standard input. ENVIRONMENT: the value */
  size_t secret_len;            /* at most HATO_SECRET_MAX */
  const char *secret_env;       /* ENVIRONMENT: the variable; NULL: HATO_CREDENTIAL */
  const char *secret_file;      /* FILE: it is there, 0600; its path also stands in argv */
  const char *const *env;       /* "NAME=VALUE" added to a daemon's environment; NULL: none */
  uint32_t cores;               /* wanted for each daemon; 0: as the launcher and its options say */
  const char *log_dir;          /* members' logs; NULL: the launcher's own place or nowhere */
} launchers_request;

/* Checks at once: an unknown launcher is NOT_FOUND with the nearest name, a bad option INVALID or
 * NOT_FOUND with the nearest key, a bad request INVALID; EXISTS: the id is in use. Options of a
 * module that was not described yet are checked on the way and come as FAILED with the same words.
 * Then SUBMITTED or FAILED follows. Everything is copied. May read folders. */
hato_status launchers_launch(launchers *h, const launchers_request *r, hato_error *err);
/* What a launch with these options would need and be (r->argv, tag, secret_* and urls are not
 * looked at; count 0: as the options say). Answered by one PLANNED event with r->id, from a host thread. */
hato_status launchers_plan(launchers *h, const launchers_request *r, hato_error *err);
/* Takes up a launch of an earlier dispatcher, by the record of its SUBMITTED event, or without
 * (record_len 0) by its tag; launcher, options, count, tag and dial_in of r are used. Answered by
 * SUBMITTED (the record may be another) or FAILED (NOT_FOUND: nothing of it exists any more). */
hato_status launchers_adopt(launchers *h, const launchers_request *r, const void *record, size_t record_len,
                            hato_error *err);
/* Ends all members. Idempotent; may come before SUBMITTED. ENDED follows when they have, or FAILED
 * when it had not come to be. NOT_FOUND: no such live launch. */
hato_status launchers_cancel(launchers *h, uint64_t launch, hato_error *err);
/* The same of one member (a daemon that hangs). NOT_SUPPORTED: the launcher ends whole launches only. */
hato_status launchers_cancel_member(launchers *h, uint64_t launch, uint32_t member, hato_error *err);
/* A member is connected, or no longer: a launch whose members are all connected or ended is not
 * polled. Losing one has it polled soon, so that its end is known. Unknown ids are ignored. */
void launchers_member_known(launchers *h, uint64_t launch, uint32_t member, bool connected);
/* Poll that launch's launcher soon (a second after its last poll at the earliest). */
void launchers_poll_now(launchers *h, uint64_t launch);

/* ---- entries for the command line ------------------------------------------ */

/* The body of `hato launcher-host`: serves requests on the socket fd (3) until its end closes.
 * Returns the exit code. Owns the process. */
int launchers_host_main(int fd);
/* The descriptor that `hato launcher-host` gets its socket on. */
#define LAUNCHERS_HOST_FD 3

/* The conformance suite of `hato launchers test`: name of a launcher, or the path of a shared
 * object. It launches `sleep` a few times with these options. report is called once a check, in
 * order. Blocks. OK: all checks passed or were left out; ABORTED: one failed; otherwise it could
 * not be run. */
typedef enum launchers_verdict {
  LAUNCHERS_PASSED,
  LAUNCHERS_FAILED_CHECK,
  LAUNCHERS_LEFT_OUT
} launchers_verdict;
typedef struct launchers_conformance {
  const char *const *options; /* key=value, for its launches; NULL: none */
  uint32_t patience_ms;       /* how long to wait for a launch to run or end; 0: 60,000 */
  /* Seen by members' machines, too. NULL: a folder made and removed, in the current one, or in /tmp
   * when members run on this machine. */
  const char *log_dir;
  void (*report)(void *arg, const char *check, launchers_verdict verdict, const char *words);
  /* Asked now and then: true gives up, with INTERRUPTED; what was launched is cancelled. NULL: never. */
  bool (*stop)(void *arg);
  void *arg;
} launchers_conformance;
hato_status launchers_conform(launchers *h, const char *name_or_path, const launchers_conformance *c,
                              hato_error *err);

#endif

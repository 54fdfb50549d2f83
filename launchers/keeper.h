/* A keeper: the thread of one launcher, its line to the module, the launches it follows. */
#ifndef HATO_LAUNCHERS_KEEPER_H
#define HATO_LAUNCHERS_KEEPER_H

#include "base/list.h"
#include "launchers/internal.h"
#include <pthread.h>
#include <stdatomic.h>

typedef struct launchers__keeper launchers__keeper;

/* What the interface knows of a live launch. In launchers.entries, under its lock; removed and
 * freed by the keeper's thread alone. */
typedef struct launchers__entry {
  UT_hash_handle hh;
  uint64_t id;
  uint32_t count;
  launchers__keeper *keeper;
  atomic_bool cancelled;
} launchers__entry;

typedef struct launchers__known { /* a description, kept */
  UT_hash_handle hh;
  launchers_info *info;
} launchers__known;

struct launchers {
  launchers_options o; /* folders and hato_binary are ours */
  char **folders;
  char *hato_binary;
  pthread_mutex_t lock; /* of all below */
  launchers__keeper *keepers;
  launchers__entry *entries;
  launchers__known *known;
  atomic_bool stopping;
  uint64_t stop_by; /* ns; set before stopping */
};

typedef enum launchers__job_type {
  LAUNCHERS__JOB_LAUNCH,
  LAUNCHERS__JOB_ADOPT,
  LAUNCHERS__JOB_PLAN,
  LAUNCHERS__JOB_CANCEL,
  LAUNCHERS__JOB_CANCEL_MEMBER,
  LAUNCHERS__JOB_KNOWN,
  LAUNCHERS__JOB_POLL,
} launchers__job_type;

typedef struct launchers__kept launchers__kept; /* a launch as the keeper follows it (follow.c) */

typedef struct launchers__job {
  hato__link link;
  launchers__job_type type;
  uint64_t id;
  uint32_t member;
  bool connected;
  launchers__kept *kept; /* LAUNCH, ADOPT, PLAN: taken over */
} launchers__job;

typedef struct launchers__kept_member {
  hato_member_state state;
  bool exit_known, cancelled, never, connected, untold;
  int exit_code, signal;
  char *reason, *host, *job, *log_path, *log_tail; /* NULL: not known */
} launchers__kept_member;

struct launchers__kept {
  UT_hash_handle hh;
  uint64_t id;
  launchers__entry *entry; /* NULL of a plan */
  launchers_request r;     /* in mem */
  launchers__arena mem;
  uint8_t record[HATO_RECORD_MAX];
  size_t record_len;
  bool submitted;                /* made or adopted, and told */
  bool lost;                     /* the process that made it ended: to be adopted */
  bool cancel_due;               /* the launcher has to be told */
  uint32_t n_ended, n_connected; /* connected and not ended */
  launchers__kept_member *members;
};

struct launchers__keeper {
  UT_hash_handle hh;
  launchers *h;
  char *name, *path;
  const hato_launcher *builtin;
  pthread_t thread;
  int wake_fd, abort_fd; /* eventfds: a job or the end; an operation may have to be aborted */
  hato__link jobs;       /* under h->lock */
  /* Of the thread alone. */
  launchers__line *line;
  launchers_info *info; /* of its module, once the line was open */
  launchers__kept *live;
  launchers__kept *current;      /* whose launch is being made */
  bool abortable;                /* the operation at hand may be given up when the host ends */
  bool poll_wanted;              /* by someone; else only while something has to be followed */
  uint64_t next_poll, last_poll; /* ns */
  unsigned failures, restarts, cancel_failures;
  uint64_t restart_at, cancel_at; /* ns; 0: not due */
};

/* keeper.c */
launchers__keeper *launchers__keeper_create(launchers *h, const char *name, const char *path,
                                            const hato_launcher *builtin, hato_error *err);
void launchers__keeper_join(launchers__keeper *k); /* after stopping was set */
void launchers__keeper_free(launchers__keeper *k); /* after it was joined */
void launchers__keeper_wake(launchers__keeper *k, bool abort);

/* follow.c: launches and their members */
launchers__kept *launchers__kept_create(const launchers_request *r, const void *record, size_t record_len);
void launchers__kept_free(launchers__kept *t);       /* not its entry */
bool launchers__kept_open(const launchers__kept *t); /* has members that polling would tell something of */
void launchers__emit(launchers__keeper *k, const launchers_event *e);
void launchers__tell(launchers__keeper *k, const launchers__kept *t, launchers_event_type type,
                     hato_status status, const char *text);
/* What the module said of members; told at once when the launch was. */
void launchers__apply(launchers__keeper *k, uint64_t id, uint32_t first, uint32_t count,
                      const launchers_member *m);
void launchers__tell_submitted(launchers__keeper *k, launchers__kept *t);
void launchers__all_ended(launchers__keeper *k, launchers__kept *t, const char *reason);
void launchers__connected(launchers__kept *t, uint32_t member, bool connected);

/* host.c */
void launchers__remember(launchers *h, const launchers_info *info);
void launchers__entry_remove(launchers *h, launchers__entry *e);
launchers_info *launchers__info_clone(const launchers_info *info); /* info.c */

#endif

/*
 * slurm: daemons as Slurm jobs, in one of three layouts.
 *
 *   array       as few job arrays as Slurm's limits allow, a daemon a task; a plain job for one alone
 *   job         one job with several nodes, and one srun in it that starts all daemons
 *   allocation  inside a job already (SLURM_JOB_ID): one srun on what was granted
 *
 * Who does what. Jobs are submitted by sbatch, of which verbatim directives, a site's cli_filter and SPANK
 * options are a part that libslurm's submit knows nothing of; its own words for what it refuses are the
 * ones that users know. All that is asked and ended goes through libslurm: one query answers for all jobs,
 * one message ends a whole array. srun starts what runs inside an allocation and tells in its log what
 * became of each task, which no query does.
 *
 * libslurm ends the process, or blocks for a minute, when Slurm is not configured: before its first call
 * `scontrol ping` has found out, in a process of its own (contact.c).
 *
 * A daemon finds its number in HATO_MEMBER, set by the job's script: array task ids end at MaxArraySize and
 * begin again in the next array.
 */
#ifndef HATO_SLURM_INTERNAL_H
#define HATO_SLURM_INTERNAL_H

#include <hato/launcher.h>

#include <slurm/slurm.h>
#include <slurm/slurm_errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/types.h>

#define SL_MEMBER_VARIABLE "HATO_MEMBER"

typedef enum sl_layout { SL_ARRAY, SL_JOB, SL_ALLOCATION } sl_layout;

/* What was last told of a member. */
typedef struct sl_member {
  uint8_t state; /* hato_member_state */
  bool seen;     /* in the answer at hand */
  uint32_t job_state, reason;
} sl_member;

/* One job or job array: members first … first + count - 1 are its tasks from 0. */
typedef struct sl_chunk {
  uint32_t job, first, count;
} sl_chunk;

typedef struct sl_launch {
  struct sl_launch *next;
  uint64_t id;
  uint32_t count;
  sl_layout layout;
  bool cancelled; /* by cancel, so that an end for another reason is still no failure */
  char *tag, *log_dir;
  char *log; /* the user's pattern; NULL: ours */
  sl_chunk *chunks;
  uint32_t n_chunks;
  sl_member *members;
  /* Of an allocation: its srun. */
  pid_t pid;   /* 0: it has ended, or is none of this layout */
  int pidfd;   /* -1: none */
  bool child;  /* ours, not adopted: to be reaped */
  uint64_t kill_at; /* ns of the monotonic clock when what SIGTERM did not end is killed; 0: never */
} sl_launch;

typedef struct sl_state {
  int epoll, timer; /* of the sruns */
  bool answering;   /* the last call did not fail: no ping before the next */
  uint32_t max_array; /* tasks of an array; 0: not asked yet */
  uint32_t kill_wait_s;
  char cluster[64];
  uint64_t asked_at; /* ns: when jobs were last queried; 0: something is new */
  sl_launch *launches;
} sl_state;

/* The options of one launch, read once. */
typedef struct sl_settings {
  sl_layout layout;
  const char *partition, *account, *qos, *time, *gres, *constraint, *reservation, *dependency, *job_name, *log;
  uint32_t nodes, cpus; /* 0: not said */
  uint64_t mem, mem_per_cpu, warning_ms;
  const char *const *directives, *const *srun;
} sl_settings;

/* ---- options.c ---- */
#define SL_OPTIONS 18
extern const hato_option_row sl_options[SL_OPTIONS];
/* HATO_OK, or refused with words. */
int sl_settings_read(const hato_host *h, const hato_launcher_options *o, sl_settings *out);
/* Minutes of a time limit in Slurm's notation, rounded up; 0: no limit; -1: it is none. */
int64_t sl_time_minutes(const char *text);

/* ---- contact.c: whether Slurm answers ---- */
/* Safe at any time; loads nothing of libslurm. */
int sl_find_slurm(const hato_host *h);
int sl_start_libslurm(const hato_host *h);
/* To be called before a call of libslurm that may block: after a failure it asks whether anybody is there. */
int sl_reach(sl_state *s, const hato_host *h);
/* HATO_AGAIN with libslurm's words for its error. */
int sl_silent(sl_state *s, const hato_host *h, const char *what, int error);
/* Fills max_array, kill_wait_s, cluster. */
int sl_limits(sl_state *s, const hato_host *h);
uint64_t sl_now(void);

/* ---- words.c: what Slurm's states mean here ---- */
typedef struct sl_told {
  hato_member_state state;
  uint32_t flags;
  int32_t exit_code, signal;
  char reason[400];
} sl_told;
void sl_describe(const slurm_job_info_t *job, bool cancelled, sl_told *out);

/* ---- launches.c: those that are followed, and their logs ---- */
sl_launch *sl_launch_find(const sl_state *s, uint64_t id);
/* NULL: no memory. */
sl_launch *sl_launch_make(sl_state *s, uint64_t id, uint32_t count, const char *tag, const char *log_dir,
                          const char *log, sl_layout layout);
void sl_launch_drop(sl_state *s, sl_launch *l);
bool sl_launch_add_chunk(sl_launch *l, uint32_t job, uint32_t first, uint32_t count);
/* Reports members first … first + count - 1, host, job and log path given or NULL; remembers their state. */
void sl_tell(const hato_host *h, sl_launch *l, uint32_t first, uint32_t count, const sl_told *t,
             const char *host, const char *job, const char *log_path);
/* The log of a member by our own pattern. False: it has none that we know. */
bool sl_log_path(const sl_launch *l, const sl_chunk *c, uint32_t task, char *out, size_t n);
/* What srun itself says, in a job or an allocation. */
bool sl_srun_log_path(const sl_launch *l, char *out, size_t n);

/* ---- submit.c ---- */
int sl_submit(sl_state *s, const hato_host *h, const hato_launch_request *r, const sl_settings *set,
              hato_launch_record *record);
/* A path in which Slurm expands nothing. */
char *sl_log_pattern(const hato_host *h, const char *dir, const char *tag, const char *rest);
/* After the tag in each job's comment, by which it is found: layout, first member, count. */
#define SL_COMMENT "%s %u %u"
/* "slurm 1 UID CLUSTER LAYOUT JOB:FIRST:COUNT …", as many jobs as fit: the rest is found by the tag. */
void sl_record_write(const sl_state *s, const sl_launch *l, hato_launch_record *record);

/* ---- srun.c: the words that start tasks, and what was granted to them ---- */
const char **sl_srun_words(const hato_host *h, const hato_launch_request *r, const sl_settings *set,
                           uint32_t cpus, const char *output, uint32_t nodes);
#define SL_KINDS 64
typedef struct sl_grant {
  uint32_t job, nodes, cpus;
  struct {
    uint32_t nodes, cpus;
  } kinds[SL_KINDS]; /* so many nodes with so many CPUs each */
  uint32_t n_kinds;
  bool in_step; /* we run in a step ourselves, whose CPUs are taken */
} sl_grant;
bool sl_granted(sl_grant *out); /* false: we are in no allocation */
/* HATO_OK and the CPUs of each of count members; or refused with words. */
int sl_share(const hato_host *h, const sl_grant *g, const sl_settings *set, uint32_t count, uint32_t cores,
             uint32_t *cpus);

/* ---- srunlog.c ---- */
/* Reports what srun's log says of members; whether it waits. What it said of itself, an error, goes to
 * *last (NULL: nothing). */
typedef struct sl_srun_said {
  bool started, cancelled;
  uint32_t step; /* NO_VAL: not known yet */
  char waits[200]; /* why its step cannot begin; "": it does not wait */
  char error[300]; /* the last error of its own */
} sl_srun_said;
void sl_read_srun(const hato_host *h, sl_launch *l, const char *job, sl_srun_said *said);
/* Only said->step, and nothing is reported. */
void sl_read_step(const hato_host *h, const sl_launch *l, sl_srun_said *said);
/* Ranges of "[0-2,5]", "0-2,5%3", "0-8:2", "7": *at moves on. False: no more. */
typedef struct sl_range {
  uint32_t first, last, step;
} sl_range;
bool sl_next_range(const char **at, sl_range *out);

/* ---- allocation.c: one srun inside an allocation ---- */
int sl_run(sl_state *s, const hato_host *h, const hato_launch_request *r, const sl_settings *set,
           hato_launch_record *record);
bool sl_find_srun(sl_state *s, sl_launch *l);
void sl_follow_srun(sl_state *s, const hato_host *h, sl_launch *l);
int sl_cancel_srun(sl_state *s, const hato_host *h, sl_launch *l);
void sl_arm(sl_state *s);

/* ---- query.c: one query for all jobs of this user ---- */
int sl_query(sl_state *s, const hato_host *h);
/* Jobs with the launch's tag become its chunks, and what is known of them is told. */
int sl_find_jobs(sl_state *s, const hato_host *h, sl_launch *l);

/* ---- cancel.c ---- */
int sl_cancel(sl_state *s, const hato_host *h, sl_launch *l, const uint32_t *members, uint32_t n);

/* ---- adopt.c ---- */
int sl_adopt(sl_state *s, const hato_host *h, const hato_launch *launch, hato_launch_record *record);

#endif

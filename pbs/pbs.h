/*
 * What the files of the launcher pbs share. Everything that an operation allocates is the host's and ends
 * with the operation; what outlives it is in struct pbs alone, and a launch's record says the rest.
 */
#ifndef PBS_H
#define PBS_H

#include <hato/launcher.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Whose commands qsub, qstat and qdel are. In the order of the option's values. */
typedef enum pbs_dialect {
  PBS_AUTO = 0,
  PBS_PRO = 1,    /* PBS Pro, OpenPBS */
  PBS_TORQUE = 2, /* Torque */
  PBS_SLURM = 3,  /* Torque's commands as Slurm imitates them */
} pbs_dialect;

/* What this server's qstat was found not to have. */
typedef struct pbs {
  pbs_dialect found; /* PBS_AUTO: not looked yet */
  bool no_json, no_history, no_subjobs;
} pbs;

const char *pbs_dialect_name(pbs_dialect d);
/* The dialect of a launch with these options. */
int pbs_dialect_of(pbs *p, const hato_host *h, const hato_launcher_options *o, pbs_dialect *out);
int pbs_find_dialect(pbs *p, const hato_host *h, pbs_dialect *out);

/* ---- running its commands (run.c) ---- */

/* HATO_AGAIN when it does not answer in time; words are set. */
int pbs_run(const hato_host *h, hato_run *run);
/* What a command complained of, on one line. */
const char *pbs_words(const hato_host *h, const hato_run *run);
/* The server was not reached: nothing is concluded. */
bool pbs_unreachable(const hato_run *run);

/* ---- jobs as qstat tells of them ---- */

enum { PBS_PLAIN = -1, PBS_PARENT = -2 };

typedef struct pbs_job {
  const char *id, *name, *owner, *comment, *hold; /* NULL: not told */
  const char *host;                               /* exec_host */
  const char *walltime, *began, *ended;           /* Slurm's: Resource_List.walltime, mtime, ctime */
  uint64_t seq;
  int64_t index; /* in its array; PBS_PLAIN, PBS_PARENT */
  int64_t exit_status;
  int substate; /* 0: not told */
  bool exit_known;
  char state; /* 0: not told */
} pbs_job;

typedef struct pbs_jobs {
  pbs_job *at;
  size_t n, room;
  bool failed; /* no memory */
} pbs_jobs;

/* "18[2].pbs1" is 18, 2, ".pbs1"; false: it is no id. */
bool pbs_parse_id(const char *id, uint64_t *seq, int64_t *index, const char **suffix);
pbs_job *pbs_add_job(const hato_host *h, pbs_jobs *jobs, const char *id);
void pbs_sort(pbs_jobs *jobs);
/* Of sorted ones; NULL: it is not among them. */
const pbs_job *pbs_find(const pbs_jobs *jobs, uint64_t seq, int64_t index);
/* One attribute of qstat -f, in any letter case; others are passed over. */
void pbs_attribute(pbs_job *j, const char *name, const char *value);
/* The output of qstat -f; jobs point into it. */
void pbs_parse_text(const hato_host *h, char *text, pbs_jobs *jobs);
/* The output of qstat -f -F json. False: that it is not. */
bool pbs_parse_json(const hato_host *h, const char *text, size_t len, pbs_jobs *jobs);

typedef struct pbs_answer {
  pbs_jobs jobs;      /* sorted */
  uint64_t *unknown;  /* those asked for that the server said it has not */
  size_t n_unknown;
  bool none_known;    /* it said so of all without naming them */
} pbs_answer;

/* Asks once; ids NULL: for all jobs there are. */
int pbs_ask(pbs *p, const hato_host *h, pbs_dialect d, const char *const *ids, uint32_t n, pbs_answer *a);
bool pbs_is_unknown(const pbs_answer *a, uint64_t seq);

/* ---- a launch and its batch jobs (record.c) ---- */

#define PBS_JOBS_MAX 20

/* Member i is of job i / size; a job of one member is no array. */
typedef struct pbs_record {
  pbs_dialect dialect;
  uint32_t size, n;
  char suffix[80];            /* ".server", or empty */
  uint64_t seq[PBS_JOBS_MAX]; /* 0: not known, it has ended */
} pbs_record;

/* False: it does not fit. */
bool pbs_write_record(const pbs_record *r, hato_launch_record *out);
bool pbs_read_record(const unsigned char *bytes, uint32_t len, uint32_t count, pbs_record *r);
/* The members of job k of a launch of `count`. */
uint32_t pbs_members_of(const pbs_record *r, uint32_t k, uint32_t count);
/* Divides a launch into jobs. */
int pbs_divide(const hato_host *h, const hato_launcher_options *o, pbs_dialect d, uint32_t count,
               pbs_record *r);
/* As qstat and qdel take them. */
char *pbs_job_id(const hato_host *h, const pbs_record *r, uint32_t k, uint32_t count);
char *pbs_member_id(const hato_host *h, const pbs_record *r, uint32_t member, uint32_t count);
/* The name of job k; `brief`: of at most 15 letters, for servers that take no more. */
char *pbs_job_name(const hato_host *h, const hato_launcher_options *o, const char *tag, uint32_t k,
                   bool brief);
/* By what the jobs of a launch are known among all that there are. */
typedef struct pbs_names {
  uint32_t n;
  const char *whole[PBS_JOBS_MAX], *brief[PBS_JOBS_MAX], *user; /* NULL: no memory; of user: not known */
} pbs_names;
pbs_names pbs_names_of(const hato_host *h, const hato_launch *l, uint32_t n);
/* Is this job, of whatever state, of that launch and our own? k: which of its jobs. */
bool pbs_is_ours(const pbs_names *names, const pbs_job *j, uint32_t *k);

/* ---- what the script of a job notes down (note.c) ---- */

typedef struct pbs_note {
  char job[64], host[128];
  bool there; /* it has begun */
  bool told;  /* it was sent SIGTERM */
  bool ended;
  int32_t code;
} pbs_note;

/* NULL: none is kept. */
const char *pbs_log_dir(const hato_host *h, const hato_launcher_options *o, const char *log_dir);
char *pbs_log_path(const hato_host *h, const char *dir, const char *tag, uint32_t member);
/* Makes an NFS client look again at what the folder holds. */
void pbs_notes_refresh(const char *dir);
pbs_note pbs_read_note(const hato_host *h, const char *dir, const char *tag, uint32_t member);

/* ---- what a job's state is to hato (meaning.c) ---- */

void pbs_meaning(const hato_host *h, const pbs_job *j, hato_member *m);
/* As a shell reports it: 128 + the signal. */
void pbs_exit(hato_member *m, int32_t code);
bool pbs_is_live(const pbs_job *j);

/* ---- operations ---- */

int pbs_check(const hato_host *h, const hato_launcher_options *o, pbs_dialect d);
int pbs_launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *out);
int pbs_poll(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n);
int pbs_cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members, uint32_t n);
int pbs_adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *out);
/* The script of one job; `first`: the member that it, or the first of its array, is. */
char *pbs_script(const hato_host *h, const hato_launch_request *r, pbs_dialect d, uint32_t first,
                 bool array);
/* The words of qsub, but for the script. */
const char *const *pbs_qsub(const hato_host *h, const hato_launch_request *r, pbs_dialect d, const char *name,
                            uint32_t members);
/* Tells the server to end these; unknown and ended ones are no error. */
int pbs_qdel(const hato_host *h, const char *const *ids, uint32_t n);
/* Slurm's imitation tells no array index: members are told by what their scripts noted down. */
void pbs_report_slurm(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a);
/* The ids of live jobs of a launch by their names; NULL: no memory. */
const char **pbs_live_ids(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a,
                          uint32_t *n);
/* Hands over a run of members; those that say the same as the ones before join them. */
typedef struct pbs_teller {
  const hato_host *h;
  const hato_launch *l;
  const char *dir;
  hato_member run; /* count 0: none */
} pbs_teller;
void pbs_tell(pbs_teller *t, uint32_t member, hato_member *m);
void pbs_tell_rest(pbs_teller *t);

#endif

/* Shared by the files of the module `command` only.
 *
 *   command_options.c the options, the descriptor
 *   command_plan.c    which options make which launch
 *   command.c         launches, from open to close
 *   command_lines.c   the lines of the configuration: templates filled in, run by sh
 *   command_submit.c  launching
 *   command_status.c  one question for all launches that share a status line
 *   command_rows.c    reading the answer, and ids (pure, without the host)
 *   command_cancel.c  ending
 *   command_hold.c    submit commands that live as long as their daemon
 *   command_record.c  finding a launch again
 */
#ifndef HATO_LAUNCHERS_MODULES_COMMAND_H
#define HATO_LAUNCHERS_MODULES_COMMAND_H

#include <hato/launcher.h>

#include <regex.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#define COMMAND_MEMBER_ENV "HATO_MEMBER" /* of a member that has a submit of its own */
#define COMMAND_ID_MAX 200               /* bytes of an id */

typedef enum command_mode {
  COMMAND_ARRAY = 'a', /* one submit makes all members */
  COMMAND_EACH = 'e',  /* a submit, and an id, a member */
  COMMAND_HOLD = 'h',  /* the same, and the submit command lives as long as its daemon */
} command_mode;

typedef struct command_member {
  char *id;                /* NULL: the job's */
  bool seen;               /* by a status output */
  bool cancelled;          /* and its scheduler was told so */
  bool ended;              /* and that was reported */
  uint8_t missed;          /* status outputs that lacked it before it was seen */
  bool killed;             /* HOLD, from here */
  bool reaped, exit_known; /* the leader of its group has ended */
  int exit_code, signal;
  pid_t pid;        /* 0: none */
  int pidfd;        /* -1: none */
  uint64_t started; /* clock ticks since the boot, with the pid unique */
  uint64_t kill_at; /* ns of the monotonic clock when SIGKILL is due; 0: never */
} command_member;

typedef struct command_job { /* a launch */
  struct command_job *next;
  uint64_t id;
  uint32_t count;
  command_mode mode;
  char *tag, *log_dir;
  char *whole; /* the id of all members; NULL: each has its own */
  command_member *members;
  unsigned cancel_failures;
  /* Asking: not before ask_at (ns); failures in a row. */
  uint64_t ask_at;
  unsigned failures;
} command_job;

typedef struct command {
  int epoll, timer; /* of HOLD */
  command_job *jobs;
} command;

/* ---- command.c ---- */

uint64_t hato__command_now(void); /* ns */
command_job *hato__command_find(const command *c, uint64_t id);
/* Members without ids yet. NULL: no memory, said. */
command_job *hato__command_make(command *c, const hato_host *h, uint64_t id, uint32_t count,
                                command_mode mode, const char *tag, const char *log_dir);
void hato__command_drop(command *c, command_job *j);
/* Reports members first … first + count - 1 and notes an end. */
void hato__command_tell(const hato_host *h, const hato_launcher_options *o, command_job *j, uint32_t first,
                        uint32_t count, hato_member m);
/* That all are submitted, and their ids; flags: HATO_LAUNCH_*. */
void hato__command_tell_submitted(const hato_host *h, const hato_launcher_options *o, uint32_t flags,
                                  command_job *j);
const char *hato__command_id(const command_job *j, uint32_t i); /* "": none yet */
int hato__command_open(const hato_host *h, void **state);
int hato__command_poll(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n);
void hato__command_forget(void *state, const hato_host *h, const hato_launch *launch);
int hato__command_watch(void *state, const hato_host *h);
void hato__command_close(void *state, const hato_host *h);

/* ---- command_plan.c ---- */

int hato__command_plan(void *state, const hato_host *h, const hato_launcher_options *o,
                       hato_launch_plan *plan);
int hato__command_mode(const hato_host *h, const hato_launcher_options *o, command_mode *mode);

/* ---- command_lines.c ---- */

/* True when a template has {name} or {name:q}. */
bool hato__command_mentions(const char *text, const char *name);
/* The lines of the option `script` as one text, or NULL. */
const char *hato__command_script(const hato_host *h, const hato_launcher_options *o);
/* Runs a line by sh. HATO_OK when it exited with 0, or with another code that allowed names (numbers between
 * blanks; NULL: none). Else its status with words: what the line is (`name`), how it ended, what it said. */
int hato__command_run(const hato_host *h, const char *name, const char *line, const char *allowed,
                      hato_run *run);
/* Fills `name`d option, a template of ids, in and runs it: once for all ids, or, when it has {id}, once for
 * each. Outputs are appended to *out when that is not NULL. */
int hato__command_run_ids(const hato_host *h, const hato_launcher_options *o, const char *name,
                          const char *tag, const char *const *ids, uint32_t n, const char *allowed,
                          char **out);
/* The log of a member, or, of an array's number -1, what its scheduler makes that of. NULL: none. */
const char *hato__command_log(const hato_host *h, const hato_launcher_options *o, const command_job *j,
                              int64_t i);

/* ---- command_submit.c, command_cancel.c, command_status.c ---- */

int hato__command_launch(void *state, const hato_host *h, const hato_launch_request *r,
                         hato_launch_record *record);
int hato__command_cancel(void *state, const hato_host *h, const hato_launch *launch, const uint32_t *members,
                         uint32_t n);
/* Asks for all launches that have a status line and are due; `now_for`: that one in any case. */
int hato__command_ask(command *c, const hato_host *h, const hato_launch *const *launches, uint32_t n,
                      const command_job *now_for);

/* ---- command_rows.c ---- */

enum {
  COMMAND_ID,
  COMMAND_STATE,
  COMMAND_MEMBER,
  COMMAND_REASON,
  COMMAND_HOST,
  COMMAND_EXIT,
  COMMAND_FIELDS
};
#define COMMAND_GROUPS 10 /* of an expression, with the whole match */
#define COMMAND_PATTERNS 4

typedef struct command_patterns {
  uint32_t n;
  struct {
    regex_t re;
    int group[COMMAND_FIELDS]; /* 0: none */
  } row[COMMAND_PATTERNS];
} command_patterns;

typedef struct command_text {
  const char *at; /* NULL: not there */
  size_t len;
} command_text;

/* Compiles rows (extended regular expressions) and their fields (names between blanks or commas, one a
 * group). False: words has why. */
bool hato__command_compile(const char *const *rows, const char *const *fields, command_patterns *out,
                           char *words, size_t n);
void hato__command_patterns_free(command_patterns *p);
/* The next line of *text that a pattern matches; false: there is none. *text moves on; its line ends are
 * overwritten. */
bool hato__command_next_row(const command_patterns *p, char **text, command_text out[COMMAND_FIELDS]);
/* "1-6:2,9" of at most `count` members whose first number is `first`: calls with each. False: it is not such.
 */
bool hato__command_numbers(command_text text, uint32_t first, uint32_t count,
                           void (*found)(void *arg, uint32_t member), void *arg);
/* True when a word matches one of the patterns (as of file names) that stand between blanks or commas. */
bool hato__command_in(const char *patterns, const char *word);
/* Ids as `matches` of an expression (NULL: the first word) in an output, at most max; how many there are.
 * Each is found in text, which is cut up. */
uint32_t hato__command_ids(const char *expression, char *text, const char **ids, uint32_t max);
/* Numbers in a row as "12..15", all else as it stands, between blanks. False: it does not fit. */
bool hato__command_pack(const char *const *ids, uint32_t n, char *out, size_t max);
/* The reverse: how many ids it has, at most n, each strdup'ed. 0: none, or it is not such. */
uint32_t hato__command_unpack(const char *text, char **ids, uint32_t n);

/* ---- command_hold.c ---- */

int hato__command_hold(command *c, const hato_host *h, const hato_launch_request *r, command_job *j,
                       uint32_t i, const char *line);
void hato__command_hold_close(command *c, command_member *m);
void hato__command_hold_poll(command *c, const hato_host *h, const hato_launch *l, command_job *j);
void hato__command_hold_cancel(command *c, const hato_host *h, const hato_launch *l, command_job *j,
                               uint32_t i);
void hato__command_hold_kill(command *c, command_job *j); /* all, at once, and waits */
void hato__command_hold_arm(command *c);
void hato__command_hold_due(command *c);
bool hato__command_hold_adopt(command *c, command_member *m, const char *id); /* "PID:STARTED" */

/* ---- command_record.c ---- */

/* Member i (of an array: all) is submitted: its id goes to the launch's file, when there is a folder. */
int hato__command_note(const hato_host *h, const command_job *j, uint32_t i);
void hato__command_record(const command_job *j, hato_launch_record *record);
void hato__command_unkeep(const command_job *j); /* its files */
int hato__command_adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record);

#endif

/*
 * hato/launcher.h - the ABI of launcher plugins.
 *
 * A launcher starts daemons somewhere: on this machine, over SSH, by a batch system.
 * A module is one shared object, hato_launcher_NAME.so, that includes this header,
 * links nothing of hato and exports one symbol:
 *
 *   #include <hato/launcher.h>
 *   const hato_launcher hato_launcher_module = {
 *       HATO_LAUNCHER_HEAD, .name = "site", .version = "1.0", .description = "…",
 *       .launch = launch, .poll = poll_all, .cancel = cancel, .adopt = adopt};
 *   cc -shared -fPIC -o hato_launcher_site.so site.c
 *
 * It is found in $HATO_LAUNCHERS_PATH and in lib/hato/launchers of the installation.
 *
 * Where it runs. In a process of its own (`hato launcher-host`), one module each, so
 * that it may block, crash or exit without harm to the dispatcher: its process is then
 * started again, and every launch is adopted. State that has to outlive the process
 * belongs in the record of a launch, or must be findable by its tag.
 *
 * Threads. All operations are called from one thread, one at a time, with all signals
 * blocked. Services may be called during an operation only, from its thread only.
 * None of hato's locks is held.
 *
 * Time. Operations may block, up to their deadlines (below); one that misses its
 * deadline has its process killed. should_abort says when the answer is no longer
 * wanted. `run` gives up by itself then.
 *
 * Results. An operation returns HATO_OK or a status of hato/status.h, with words by
 * `fail`: return host->fail(host, HATO_NOT_FOUND, "no partition '%s'", name). Words
 * should name the thing, the value found and the value wanted; they are shown to users.
 * HATO_AGAIN says that a scheduler does not answer now: nothing is concluded from it.
 *
 * Memory. What the host passes is valid during the operation, options and strings
 * too. What a module passes to a service is copied. What a service returns is freed
 * by the host when the operation returns; so is what `alloc` gave.
 *
 * Secrets. What a daemon needs to authenticate comes in request->secret, to be handed
 * over by request->secret_way alone: never in an argument, a batch script, a log or
 * the environment that a scheduler shows to others.
 * The host wipes what it passed and what `alloc` gave when the operation returns; of what
 * `format` makes copies may stay behind, so put a secret into a text by copying its bytes.
 *
 * The ABI. Every struct begins with its size, as known to whoever filled it; fields
 * are only ever appended, and zero is what a missing one means. A module must accept
 * a host's struct that is longer than it knows, and check `size` (HATO_HAS) before it
 * reads a field or calls a service newer than minor 0. The minor number counts such
 * additions; the major one changes when that cannot be kept, and then host and module
 * refuse each other.
 */
#ifndef HATO_LAUNCHER_H
#define HATO_LAUNCHER_H

#include "hato/status.h"
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HATO_LAUNCHER_MAGIC 0x6f746148u /* "Hato" in memory of a little-endian machine */
#define HATO_LAUNCHER_ABI_MAJOR 1
#define HATO_LAUNCHER_ABI_MINOR 0

#define HATO_RECORD_MAX 256    /* bytes of a launch's record */
#define HATO_LAUNCH_MAX 100000 /* members of a launch */
#define HATO_SECRET_MAX 4096   /* bytes of a secret */
#define HATO_TAG_MAX 63        /* letters of a tag */

#if defined(__GNUC__)
#define HATO_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))
#else
#define HATO_PRINTF(format_at, args_at)
#endif

/* True when a struct of the other side reaches as far as this field. */
#define HATO_HAS(type, object, field) ((object)->size >= offsetof(type, field) + sizeof((object)->field))

typedef struct hato_host hato_host;
/* The option values of one launch; read by the getters of hato_host. Never NULL. */
typedef struct hato_launcher_options hato_launcher_options;

/* ---- options --------------------------------------------------------------- */

typedef enum hato_option_type {
  HATO_OPTION_BOOL = 0,
  HATO_OPTION_INT = 1,
  HATO_OPTION_SIZE = 2,     /* 10, 4K, 1.5G: bytes */
  HATO_OPTION_DURATION = 3, /* 10, 1.5s, 5m, 1:30:00: milliseconds */
  HATO_OPTION_STRING = 4,
  HATO_OPTION_ENUM = 5, /* one of `values` */
  HATO_OPTION_LIST = 6, /* strings; the option may be repeated */
} hato_option_type;

#define HATO_OPTION_REQUIRED 1u
#define HATO_OPTION_HIDDEN 2u /* not in help and manual */

/* One option: parses `-o name=value` and the configuration file, prints help and
 * manual. Zero is a fit value for all fields but name. */
typedef struct hato_option_row {
  /* [a-z0-9-]+; not launcher, daemons, slots, bind, crash-limit or launch-timeout: those are hato's own
   * keys of a profile, beside which these stand. */
  const char *name;
  uint32_t type;    /* hato_option_type */
  uint32_t flags;   /* HATO_OPTION_* */
  const char *def;  /* default, as it would be typed; NULL: none. Not of a list */
  /* INT, SIZE (bytes), DURATION (ms): inclusive; both 0: no limits; max below min: no upper one. */
  int64_t min, max;
  const char *const *values; /* ENUM: NULL-terminated */
  const char *metavar;       /* for help, as "N"; NULL: one that fits the type */
  const char *help;          /* a sentence or some */
} hato_option_row;

/* ---- a launch ---------------------------------------------------------------- */

/* How a daemon gets its secret. */
#define HATO_SECRET_STDIN 1u /* request->secret on its standard input, then end of file */
#define HATO_SECRET_FILE 2u  /* it reads secret_file itself: its machine sees our files. Nothing to do */
#define HATO_SECRET_ENVIRONMENT 4u /* request->secret in the variable secret_env, unseen by others */

/* Of a launcher (hato_launcher.flags) or, where `plan` says otherwise, of a launch. */
#define HATO_LAUNCHER_SHARES_HOST 1u /* members run on this machine: the dispatcher deals them its cores */
#define HATO_LAUNCHER_NEEDS_LISTEN 2u /* daemons dial from other machines: loopback will not do */
#define HATO_LAUNCHER_CANCELS_MEMBERS 4u /* cancel can end some members of a launch */
#define HATO_LAUNCHER_DEFAULT_COUNT 8u   /* a launch may leave the count to `plan` */

#define HATO_LAUNCH_DIAL_IN 1u /* the command is a hato daemon, which connects to the dispatcher */

typedef struct hato_launch_request {
  uint32_t size;
  uint32_t count; /* members to start, from 1 to HATO_LAUNCH_MAX; they are numbered from 0 */
  uint64_t id;    /* of the launch, while the dispatcher lives */
  /* Unique for ever, [A-Za-z0-9_.-]{1,63}: for job names and logs; adopt may have nothing else. */
  const char *tag;
  uint32_t flags; /* HATO_LAUNCH_* */
  uint32_t argc;
  /* The words to run, NULL-terminated. argv[0] is a path or to be looked up there; of DIAL_IN this
   * machine's hato by its absolute path. */
  const char *const *argv;
  /* argv[dial_arg] is dial_urls joined by commas: a launcher that tunnels puts its own end of the
   * tunnel there, as tcp://127.0.0.1:PORT (with the scheme of what the tunnel leads to: tcp or tls+tcp) or,
   * where that is tcp, ipc://PATH. 0: no such word. */
  uint32_t dial_arg;
  uint32_t cores;               /* wanted for each member; 0: as the options say, else one */
  const char *const *dial_urls; /* where the dispatcher listens, NULL-terminated; never NULL */
  const char *const *env;       /* NAME=VALUE to add, NULL-terminated, never NULL. Not secret */
  uint32_t secret_way;          /* one HATO_SECRET_*, of those offered; 0: nothing to hand over */
  uint32_t secret_len;
  const void *secret;      /* STDIN, ENVIRONMENT: the bytes; also NUL-terminated */
  const char *secret_env;  /* ENVIRONMENT: the variable's name; else NULL */
  const char *secret_file; /* FILE: its path, which argv names already; else NULL */
  const char *log_dir;     /* an existing folder for members' logs, TAG.NUMBER.log say; NULL: none */
  const hato_launcher_options *options;
} hato_launch_request;

/* What a launcher needs to find its launch again: job ids, process ids. At most
 * HATO_RECORD_MAX bytes, kept on disk by the dispatcher. No secret in it. */
typedef struct hato_launch_record {
  uint32_t size; /* of this struct */
  uint32_t len;
  unsigned char bytes[HATO_RECORD_MAX];
} hato_launch_record;

/* A launch that was made, in poll, cancel, adopt and forget. */
typedef struct hato_launch {
  uint32_t size;
  uint32_t count;
  uint64_t id;
  const char *tag;
  /* As launch or adopt filled it; of length 0: unknown (adopt: find it by tag). */
  const unsigned char *record;
  uint32_t record_len;
  uint32_t flags; /* HATO_LAUNCH_* */
  const char *log_dir;
  const hato_launcher_options *options;
} hato_launch;

typedef enum hato_member_state {
  HATO_MEMBER_ASKED = 0,     /* the launch was asked for; nothing else is known */
  HATO_MEMBER_SUBMITTED = 1, /* the scheduler has it */
  HATO_MEMBER_QUEUED = 2,    /* it waits, for `reason` */
  HATO_MEMBER_STARTING = 3,
  HATO_MEMBER_RUNNING = 4,
  HATO_MEMBER_ENDED = 5, /* for good: no later state is accepted. Others may go back (a job requeued) */
} hato_member_state;

#define HATO_MEMBER_EXIT_KNOWN 1u /* exit_code and signal say something */
#define HATO_MEMBER_CANCELLED 2u  /* ENDED: somebody cancelled it, so that no other is started in its place */
#define HATO_MEMBER_NEVER 4u      /* QUEUED, for a reason that will not pass: it is cancelled and reported */

/* The state of members first … first + count - 1. Strings may be NULL: not known. */
typedef struct hato_member {
  uint32_t size;
  uint32_t first, count;
  uint32_t state; /* hato_member_state */
  uint32_t flags; /* HATO_MEMBER_* */
  int32_t exit_code;
  int32_t signal;       /* that ended it; 0: it exited */
  const char *reason;   /* the scheduler's own words: why it waits, why it ended */
  const char *host;     /* where it runs or ran */
  const char *job;      /* its batch job or process */
  const char *log_path; /* on this machine: of members that ended the host reads the last lines */
  const char *log_tail; /* the last lines, when the launcher has them itself */
} hato_member;

/* What a launch would be: filled by the host from the descriptor, changed by `plan`. */
typedef struct hato_launch_plan {
  uint32_t size;
  uint32_t count;       /* in: asked for, 0: as the options say; out: members that it will have */
  uint32_t flags;       /* HATO_LAUNCHER_* */
  uint32_t secret_ways; /* HATO_SECRET_*, any of them */
  const char *member_env;
  uint32_t member_first;
} hato_launch_plan;

/* ---- services of the host ----------------------------------------------------- */

/* A command to run to its end. Zero is a fit value for all fields but size, argv. */
typedef struct hato_run {
  uint32_t size;
  uint32_t timeout_ms;     /* 0: until the operation's deadline */
  const char *const *argv; /* looked up in PATH; no shell */
  const char *const *env;  /* NAME=VALUE to add; NULL: none */
  const char *cwd;         /* NULL: as the dispatcher's */
  const void *input;       /* its standard input; NULL: empty */
  size_t input_len;
  size_t output_max; /* bytes kept of each stream, the last ones; 0: 16 MiB */
  /* Results. The texts are NUL-terminated and never NULL. */
  int32_t exit_code; /* -1: it did not exit, or (with signal 0) others in the process reaped it */
  int32_t signal;    /* 0: none */
  char *out, *err;
  size_t out_len, err_len;
} hato_run;

/* A process to start and leave running, in a session of its own, with default
 * signals and no other descriptors. */
typedef struct hato_spawn {
  uint32_t size;
  uint32_t input_len;      /* at most HATO_SECRET_MAX */
  const char *const *argv; /* looked up in PATH; no shell */
  const char *const *env;  /* NAME=VALUE to add; NULL: none */
  const char *cwd;         /* NULL: as the dispatcher's */
  const void *input;       /* its standard input, then end of file; NULL: /dev/null */
  const char *log_path;    /* its output is appended to this file, created 0600; NULL: /dev/null */
  /* Results. */
  int32_t pid;
  /* The module closes it; readable when the process ended. -1: it has ended and others reaped it. */
  int32_t pidfd;
} hato_spawn;

typedef struct hato_template_value {
  const char *name, *value;
} hato_template_value;

enum {
  HATO_LEVEL_ERROR = 0,
  HATO_LEVEL_WARN = 1,
  HATO_LEVEL_NOTICE = 2,
  HATO_LEVEL_INFO = 3,
  HATO_LEVEL_DEBUG = 4
};

/* The table of services. Each is there (not NULL); those of a later minor are behind
 * HATO_HAS. None may be called outside an operation, nor from another thread. */
struct hato_host {
  uint32_t size;
  uint16_t abi_major, abi_minor;
  void *ctx; /* the host's own */

  /* A line for hato's log; level: HATO_LEVEL_*. */
  void (*log)(const hato_host *host, int level, const char *format, ...) HATO_PRINTF(3, 4);
  /* The words of this operation's failure; returns status. The last call counts. */
  int (*fail)(const hato_host *host, int status, const char *format, ...) HATO_PRINTF(3, 4);
  /* What a long operation is at, for a person who waits. */
  void (*progress)(const hato_host *host, const char *format, ...) HATO_PRINTF(2, 3);
  /* Not 0: give up and return HATO_INTERRUPTED, leaving nothing behind that adopt does not find. */
  int (*should_abort)(const hato_host *host);
  /* What became of members of a launch; in poll, launch, cancel and adopt. What did not change
   * may be left out or repeated. */
  void (*member)(const hato_host *host, uint64_t launch, const hato_member *member);

  /* Zeroed memory until the operation returns. NULL: there is none. */
  void *(*alloc)(const hato_host *host, size_t size);
  /* Text until the operation returns. NULL: no memory, or as told; `fail` was called. */
  char *(*format)(const hato_host *host, const char *format, ...) HATO_PRINTF(2, 3);
  /* One word, or words joined by blanks, as a POSIX shell reads them. */
  char *(*quote)(const hato_host *host, const char *word);
  char *(*quote_words)(const hato_host *host, const char *const *words);
  /* Words as one argument of ssh, that any login shell (sh, csh, fish) hands on unchanged. */
  char *(*quote_ssh)(const hato_host *host, const char *const *words);
  /* "{name}" becomes its value, "{name:q}" its value as one quoted word, "{{" a brace; names are of
   * [a-z0-9_-], other braces stand for themselves, so that ${HOME} may be written. A name that
   * is not there fails, with the nearest. */
  char *(*expand)(const hato_host *host, const char *text, const hato_template_value *values, uint32_t n);

  /* Runs a command to its end; blocks. HATO_OK whatever its exit; HATO_NOT_FOUND: no such program;
   * HATO_TIMED_OUT and HATO_INTERRUPTED: it was killed with its children. Words are set. Once should_abort says so
   * each command has two seconds left, for what was begun to come to its end and what was made to be undone. */
  int (*run)(const hato_host *host, hato_run *run);
  /* Starts a process; does not wait for it. */
  int (*spawn)(const hato_host *host, hato_spawn *spawn);

  /* Values of options, by name. A name or type that the rows lack is the module's mistake: 0 or
   * NULL, logged. Texts as of alloc. */
  /* By a user, not by default. */
  int (*option_is_set)(const hato_host *host, const hato_launcher_options *o, const char *name);
  int (*option_bool)(const hato_host *host, const hato_launcher_options *o, const char *name);
  int64_t (*option_int)(const hato_host *host, const hato_launcher_options *o, const char *name);
  /* Bytes. */
  uint64_t (*option_size)(const hato_host *host, const hato_launcher_options *o, const char *name);
  /* Milliseconds. */
  uint64_t (*option_duration)(const hato_host *host, const hato_launcher_options *o, const char *name);
  /* NULL: none. */
  const char *(*option_string)(const hato_host *host, const hato_launcher_options *o, const char *name);
  /* The index in its values; -1: none. */
  int (*option_enum)(const hato_host *host, const hato_launcher_options *o, const char *name);
  /* NULL-terminated, never NULL. */
  const char *const *(*option_list)(const hato_host *host, const hato_launcher_options *o, const char *name);
};

/* ---- the descriptor ------------------------------------------------------------ */

typedef struct hato_launcher {
  /* The head, checked before anything else is read: HATO_LAUNCHER_HEAD. */
  uint32_t magic;
  uint16_t abi_major, abi_minor;
  uint32_t size;

  uint32_t flags;          /* HATO_LAUNCHER_* */
  const char *name;        /* [a-z0-9_-]+, as in the file's name hato_launcher_NAME.so */
  const char *version;     /* of the module */
  const char *description; /* one line */

  const hato_option_row *options; /* NULL: none */
  uint32_t option_count;
  uint32_t option_size; /* sizeof(hato_option_row) */

  uint32_t secret_ways; /* HATO_SECRET_*, any of them; 0: none is safe here */
  /* The variable that tells a member its number, and its value for member 0, as
   * SLURM_ARRAY_TASK_ID from 1. NULL: members are not told apart. */
  const char *member_env;
  uint32_t member_first;
  /* Milliseconds between polls; 0: 30,000, or, with `watch`, never. The first poll comes a second
   * after a launch. While poll fails, up to 16 times that. */
  uint32_t interval_ms;
  /* Deadlines in ms; 0: launch 120,000, poll 60,000, each other operation 30,000. */
  uint32_t launch_deadline_ms, poll_deadline_ms, other_deadline_ms;
  uint32_t reserved; /* 0 */

  /* Can it work here: is there the program, does the scheduler answer? Optional (then yes).
   * Idempotent; called without open. May block. */
  int (*probe)(const hato_host *host);

  /* Called once before all that follow; *state is passed to them. Optional. May block. A failure
   * fails the launch it was called for and is tried again with the next. */
  int (*open)(const hato_host *host, void **state);

  /* What a launch with these options will be: its count, where its daemons dial from, how they get
   * their secret, their number. Checks what rows cannot (options that exclude each other, a host
   * list). Optional. Idempotent, submits nothing, should not block for long. */
  int (*plan)(void *state, const hato_host *host, const hato_launcher_options *options,
              hato_launch_plan *plan);

  /* Starts request->count members and fills record (size is set, len is 0). Required. May block,
   * until they are submitted, not until they run. All or none: on failure nothing is left
   * running. Never called again for the same id, but after a deadline or a crash in the
   * middle adopt asks for its tag. */
  int (*launch)(void *state, const hato_host *host, const hato_launch_request *request,
                hato_launch_record *record);

  /* Reports, by the service `member`, the members of all n launches: one query to the scheduler
   * for all, never one each. Required. Idempotent. A launch that the scheduler forgot has ended, for
   * the reason "forgotten by …". HATO_AGAIN or another status: it could not be asked; then nothing
   * is concluded, and it is asked again later and later. n may be 0 after `watch` told of something. */
  int (*poll)(void *state, const hato_host *host, const hato_launch *const *launches, uint32_t n);

  /* Ends members (n_members 0: all) of a launch, queued or running; those that ended are no error,
   * and a launch that is over is HATO_OK. Required. Idempotent. May block until that was told to the
   * scheduler; the end itself is reported by poll. n_members above 0 only with CANCELS_MEMBERS. */
  int (*cancel)(void *state, const hato_host *host, const hato_launch *launch, const uint32_t *members,
                uint32_t n_members);

  /* Takes up a launch that another process made: by its record, or by its tag when record_len is
   * 0; fills record. HATO_NOT_FOUND: nothing of it is queued or running. Required. Idempotent. */
  int (*adopt)(void *state, const hato_host *host, const hato_launch *launch, hato_launch_record *record);

  /* The launch is over, or no longer followed: memory for it may go. No later call names it. Ends
   * nothing. Optional. Must not block. */
  void (*forget)(void *state, const hato_host *host, const hato_launch *launch);

  /* A descriptor that polls readable when poll would have something new; asked for once, after
   * open; the module keeps and closes it. -1: none. Optional. */
  int (*watch)(void *state, const hato_host *host);

  /* Frees state. Ends no member. Optional. Must not block. Not called when the process is killed. */
  void (*close)(void *state, const hato_host *host);
} hato_launcher;

#define HATO_LAUNCHER_HEAD                                                                                  \
  .magic = HATO_LAUNCHER_MAGIC, .abi_major = HATO_LAUNCHER_ABI_MAJOR, .abi_minor = HATO_LAUNCHER_ABI_MINOR, \
  .size = (uint32_t)sizeof(hato_launcher), .option_size = (uint32_t)sizeof(hato_option_row)

/* What the module exports. */
extern HATO_API const hato_launcher hato_launcher_module;

#ifdef __cplusplus
}
#endif
#endif

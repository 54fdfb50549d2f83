/*
 * hato/hato.h - libhato: asynchronous, parallel evaluation of commands and
 * native functions on any number of machines.
 *
 *   hato_pool        a connection to a dispatcher, or one of its own (embedded)
 *   hato_spec        what tasks share: a command or a function and its limits
 *   hato_future      one task:   unresolved, then resolved to a result or an error value
 *   hato_array       many tasks that share a specification and differ by their argument
 *   hato_queue       completion queue: futures and array elements as they resolve
 *
 * Threads. Every function may be called from any thread, on the same handles at
 * once, except that a handle must not be used while or after it is released.
 * The library has threads of its own, which block all signals; it never exits,
 * prints or changes a signal handler. Callbacks run only inside
 * hato_pool_dispatch, on the thread that calls it.
 *
 * Fork. A handle that a child inherited by fork is unusable there: every function
 * but the release functions returns HATO_STATE and touches nothing; releasing it
 * frees nothing.
 *
 * Errors. Functions return hato_status. Where a hato_error pointer is taken it may
 * be NULL; else it is filled on failure with words that name the thing, what was
 * found and what was wanted. An error value of a future (hato_result.error) is
 * data, not a failure of the call that gets it.
 *
 * Structs that callers fill begin with their size (set it with the *_INIT macro):
 * fields are only ever appended, so that older callers go on working.
 *
 * Every function may return HATO_INVALID (a NULL or out-of-range argument, an
 * unknown flag bit), HATO_NO_MEMORY and HATO_STATE (after fork, after close)
 * besides what its comment names.
 */
#ifndef HATO_HATO_H
#define HATO_HATO_H

#include "hato/status.h"
#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* "0.1.0". Static. */
HATO_API const char *hato_version(void);

typedef struct hato_pool hato_pool;
typedef struct hato_spec hato_spec;
typedef struct hato_future hato_future;
typedef struct hato_array hato_array;
typedef struct hato_queue hato_queue;

#define HATO_FOREVER (-1) /* a timeout in milliseconds that never passes; 0 polls */

/* ------------------------------------------------------------------ pools */

typedef enum hato_log_level {
  HATO_LOG_ERROR = 0,
  HATO_LOG_WARN = 1,
  HATO_LOG_NOTICE = 2,
  HATO_LOG_INFO = 3,
  HATO_LOG_DEBUG = 4
} hato_log_level;

typedef enum hato_pool_mode {
  HATO_POOL_AUTO = 0,     /* the session that is up, else an embedded dispatcher */
  HATO_POOL_SESSION = 1,  /* the session; HATO_NOT_FOUND when none is up */
  HATO_POOL_EMBEDDED = 2, /* a dispatcher of its own in this process, with local daemons */
  HATO_POOL_URL = 3       /* a dispatcher by url and credential_file */
} hato_pool_mode;

typedef struct hato_pool_options {
  size_t size;
  hato_pool_mode mode;
  const char *session;         /* name or path; NULL: HATO_SESSION, else "default" */
  const char *url;             /* HATO_POOL_URL */
  const char *credential_file; /* HATO_POOL_URL over anything but a Unix socket; else NULL */
  /* embedded: how many daemons on this machine and how many slots each.
   * Both 0: one daemon with a slot for every core this process may use. daemons > 0
   * and slots 0: one slot each, on disjoint cores. daemons -1: none (others dial in). */
  int daemons;
  int slots;
  const char *listen;      /* embedded: also listen there (tls+tcp://host:port, or tcp:// without encryption); NULL: only
                              this machine */
  const char *hato_binary; /* embedded: the program daemons are started from; NULL: HATO_BINARY, else beside
                              libhato (../bin/hato), else on PATH */
  int connect_timeout_ms;  /* 0: 10,000 */
  /* Log messages of the library (and of the embedded dispatcher), from any thread; NULL: none. */
  void (*log)(void *arg, hato_log_level level, const char *id, const char *text);
  void *log_arg;
  hato_log_level log_level;
  /* embedded, with TLS: a CA's certificate, with those that lead to it, and its private key, both PEM; tls_ca: the
   * CA's own when it does not follow there. tls_certificate NULL: one made for this pool alone. tls_pass is called, on
   * the thread of hato_pool_open, when the key is encrypted: it writes the pass phrase and its zero into buf, of size
   * bytes, which is wiped later, and returns 0; anything else fails the open. */
  const char *tls_certificate, *tls_key, *tls_ca;
  int (*tls_pass)(void *arg, char *buf, size_t size);
  void *tls_pass_arg;
} hato_pool_options;
#define HATO_POOL_OPTIONS_INIT { sizeof(hato_pool_options), HATO_POOL_AUTO, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, HATO_LOG_WARN, 0, 0, 0, 0, 0 }

/* Opens a pool. options may be NULL (auto). Blocks until connected (embedded: until the
 * dispatcher listens; daemons may still be starting) or the connect timeout.
 * HATO_NOT_FOUND no session, HATO_REFUSED / HATO_UNREACHABLE / HATO_TIMED_OUT nobody answers,
 * HATO_PEER_AUTH not admitted, HATO_PROTOCOL another version, HATO_NOT_FOUND no hato binary,
 * HATO_PERMISSION no credential that can be used: its file is missing, another's, open to others, or holds none of a
 * client's. */
HATO_API hato_status hato_pool_open(const hato_pool_options *options, hato_pool **pool, hato_error *err);

/* Ends a pool: attached tasks that are unresolved are cancelled, their futures resolve with 7
 * (closed); an embedded dispatcher ends with its daemons. Futures, arrays and queues
 * stay readable until released. Blocks for at most 10 s. NULL is fine. */
HATO_API void hato_pool_close(hato_pool *pool);

/* Runs callbacks that are due, on this thread, and returns how many. Does not block. Not from
 * within a callback. */
HATO_API int hato_pool_dispatch(hato_pool *pool);
/* A descriptor that polls readable while hato_pool_dispatch has something to do. Owned by the
 * pool; do not read or close it. -1 when none could be made. */
HATO_API int hato_pool_fd(hato_pool *pool);

typedef struct hato_pool_info {
  size_t size;
  bool embedded;
  const char *url; /* of the dispatcher; until close */
  uint64_t submitted, resolved; /* by this pool */
  bool connected;
} hato_pool_info;
HATO_API hato_status hato_pool_get_info(hato_pool *pool, hato_pool_info *info);

/* What hato_pool_launch starts. The zero of a field: as the profile says. */
typedef struct hato_daemons {
  size_t size;
  const char *profile;        /* [profile NAME] of the configuration files; NULL: default, if it is there */
  const char *launcher;       /* NULL: the profile's, else local */
  int count;                  /* daemons, at most 100,000; 0: the profile's, else as the launcher's options say, else 1 */
  int slots;                  /* of each */
  const char *const *options; /* NULL-terminated "key=value" of the launcher, over those of the profile; or NULL */
  const char *const *argv;    /* NULL-terminated: run this instead of daemons, another system's workers; or NULL */
  int timeout_ms;  /* the launch time-out: from a daemon's start until it is connected; 0: the profile's, else 120,000 */
  int crash_limit; /* attempts to replace those that fail; -1: none is replaced; 0: the profile's, else 5 */
  int wait_ms;     /* -1: return when it is asked for; else wait until all are connected (or ended), but for those that
                      a batch system has not started only so long; 0: 10,000 */
} hato_daemons;
#define HATO_DAEMONS_INIT { sizeof(hato_daemons), 0, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Starts daemons for the pool's dispatcher. *launch (may be NULL) is the launch's number, by which the request
 * {"op":"status"} tells of it; *connected (may be NULL) how many of its daemons are. OK also when some
 * wait in a batch system's queue. Both are 0 when there is no launch. HATO_NOT_FOUND: no such launcher, profile or
 * option; HATO_INVALID: a bad value; the launcher's own status; HATO_RESET: one ended before it connected: err says
 * why. Blocks as wait_ms says. */
HATO_API hato_status hato_pool_launch(hato_pool *pool, const hato_daemons *daemons, uint64_t *launch, int *connected,
                                      hato_error *err);

/* A request to the dispatcher in JSON (docs/protocol.md, CONTROL) and its answer, JSON lines,
 * given to `line` one at a time (terminated, borrowed) on the calling thread. Blocks until the
 * answer ends, the timeout passes (HATO_TIMED_OUT) or line returns false (HATO_INTERRUPTED).
 * While line is slower than a long answer comes nothing further is read for the pool, so that
 * it costs no memory: do not wait for tasks of the pool in it.
 * The dispatcher's refusal is returned as its status with its words in err. */
HATO_API hato_status hato_pool_control(hato_pool *pool, const char *json, int timeout_ms,
                                       bool (*line)(void *arg, const char *json_line), void *arg, hato_error *err);

/* --------------------------------------------------------- specifications */

typedef enum hato_stdin {
  HATO_STDIN_NULL = 0,    /* /dev/null */
  HATO_STDIN_FILE = 1,    /* stdin_path, opened where the task runs */
  HATO_STDIN_ARGUMENT = 2 /* the task's argument is its standard input */
} hato_stdin;

#define HATO_COMMAND_SUBSTITUTE 1u /* {} in argv stands for the task's argument */
#define HATO_COMMAND_SHELL 2u      /* {} in the last word of argv is quoted for sh */
#define HATO_COMMAND_LIVE 4u       /* output is handed on as it comes: hato_future_on_output */
#define HATO_COMMAND_MERGE 8u      /* standard error joins standard output */

typedef struct hato_command {
  size_t size;
  const char *const *argv; /* NULL-terminated; argv[0] is looked up where the task runs */
  const char *const *env;  /* NULL-terminated NAME=value; NULL: this process's, less hato's credentials */
  const char *cwd;         /* NULL: this process's */
  hato_stdin stdin_kind;
  const char *stdin_path;
  const char *output_to; /* files on the daemon's machine instead of returning output; NULL: return it */
  uint64_t limit_ms;     /* time limit from the start of a task; 0: none. Past it: error value 5 */
  uint64_t output_limit; /* bytes of each stream; 0: 16 GiB. Past it: ended, error value 17 */
  unsigned flags;
} hato_command;
#define HATO_COMMAND_INIT { sizeof(hato_command), 0, 0, 0, HATO_STDIN_NULL, 0, 0, 0, 0, 0 }

typedef struct hato_function {
  size_t size;
  const char *object_path; /* a shared object on the daemon's machine (absolute, or made so) … */
  const void *content;     /* … or its content, sent once to a daemon and kept by its hash (copied) */
  size_t content_size;     /* at most 1 GiB */
  const char *symbol;      /* int symbol(hato_call *), hato/function.h */
  uint64_t limit_ms;
} hato_function;
#define HATO_FUNCTION_INIT { sizeof(hato_function), 0, 0, 0, 0, 0 }

/* Make a specification; all is copied. One may be used for any number of submissions of its
 * pool, and be released while they run. Does not block. HATO_TOO_LARGE: over 8 MiB encoded. */
HATO_API hato_status hato_spec_command(hato_pool *pool, const hato_command *command, hato_spec **spec, hato_error *err);
HATO_API hato_status hato_spec_function(hato_pool *pool, const hato_function *function, hato_spec **spec,
                                        hato_error *err);
HATO_API void hato_spec_release(hato_spec *spec); /* NULL is fine */

/* ------------------------------------------------------------- submitting */

/* Submissions are attached: they end with the pool. With this flag they outlive it, and their
 * results are kept by the session (hato_fetch). The array then only says whether it was accepted
 * (hato_array_first_task); hato_array_wait returns when all its arguments are with the
 * dispatcher, which hato_pool_close waits for, too, within its time; asking for an element
 * is HATO_NOT_SUPPORTED; no queue gets anything. Not embedded: HATO_NOT_SUPPORTED. */
#define HATO_DETACHED 1u

typedef struct hato_argument {
  const void *data;
  size_t size; /* at most 16 GiB, else the task resolves with 17 */
} hato_argument;

/* Submits one task. The argument is copied when it is at most 64 KiB; a larger one is borrowed
 * until the future resolves, or, with `release`, until that is called. release (may be NULL) is called exactly
 * once for each task that was accepted here, on a library thread, also for an argument that was copied. Does not
 * block, except for memory: when more than 64 MiB of submissions wait to be sent it waits until
 * the dispatcher has taken some. queue (may be NULL) gets the future when it resolves.
 * An argument over 16 GiB: the future resolves with 17. HATO_CLOSED: the dispatcher is gone. */
HATO_API hato_status hato_submit(hato_pool *pool, hato_spec *spec, hato_argument argument,
                                 void (*release)(void *data), hato_queue *queue, hato_future **future, hato_error *err);

/* An array of count tasks, all with explicit arguments (arguments may be NULL: none). Copied as above;
 * arguments over 64 KiB are borrowed until their task resolves. */
HATO_API hato_status hato_submit_array(hato_pool *pool, hato_spec *spec, const hato_argument *arguments, size_t count,
                                       unsigned flags, hato_queue *queue, hato_array **array, hato_error *err);
/* An array whose arguments are the decimals start, start + step, … : costs the same for a million. */
HATO_API hato_status hato_submit_counted(hato_pool *pool, hato_spec *spec, int64_t start, int64_t step, size_t count,
                                         unsigned flags, hato_queue *queue, hato_array **array, hato_error *err);

/* Standard input of unknown length for a HATO_STDIN_ARGUMENT command: read_fd (a pipe or a
 * terminal; stays the caller's, must outlive the future) is read by the library as the task takes it. */
HATO_API hato_status hato_submit_stream(hato_pool *pool, hato_spec *spec, int read_fd, hato_queue *queue,
                                        hato_future **future, hato_error *err);

/* ---------------------------------------------------------------- results */

typedef struct hato_result {
  int error;         /* 0: there is a result; else the error value: 1, 5, 7, 12, 16, 17, 19, 20, … */
  const char *words; /* of an error value or a failed function: terminated, "" when there are none */
  int wait_status;   /* of a command, as waitpid gives it: 0 is success. Of a function its return value << 8 */
  const void *out;   /* standard output, or the function's result bytes */
  size_t out_size;
  const void *err; /* standard error, or what a function printed */
  size_t err_size;
  double wall_s, user_s, system_s;
  uint64_t peak_kib;
  uint64_t task;    /* its number in the session; 0: not accepted yet */
  uint32_t attempt; /* from 1; 0: it was given to no daemon */
} hato_result;

/* All pointers of a result live until its future or array is released (or hato_array_forget of it). */

HATO_API bool hato_future_resolved(hato_future *future);
/* Waits until resolved. HATO_TIMED_OUT. */
HATO_API hato_status hato_future_wait(hato_future *future, int timeout_ms);
/* HATO_AGAIN while unresolved. */
HATO_API hato_status hato_future_result(hato_future *future, hato_result *result);
/* Cancels: the future resolves with 20 unless it was resolved, then or before the dispatcher
 * hears of it. OK also when there is nothing to cancel. Does not block. */
HATO_API hato_status hato_future_cancel(hato_future *future);
/* Waits for all, or for any (the race): *first is an index of a resolved one. */
HATO_API hato_status hato_wait_all(hato_future *const *futures, size_t count, int timeout_ms);
HATO_API hato_status hato_wait_any(hato_future *const *futures, size_t count, int timeout_ms, size_t *first);
/* A callback, run once inside hato_pool_dispatch after the future resolved (also if it is
 * already). One for each future, else HATO_STATE; the future is kept alive until it ran.
 * What was not dispatched when the pool closes does not run. */
HATO_API hato_status hato_future_on_resolved(hato_future *future, void (*callback)(hato_future *, void *arg), void *arg);
/* For HATO_COMMAND_LIVE: output as it comes, on a library thread, one call at a time; stream 1
 * out, 2 err. Call it directly after submit; what came before is handed over then, and of a
 * task that has resolved already within this call, on this thread. The future resolves after its
 * last output was handed on. The callback may block: the task is then held back as on a
 * pipe (and with it other output and releases of this pool). Such output is not in the result. Without this
 * call a task that writes more than 2 MiB waits for it. Of an array's tasks and of hato_fetch the
 * output is in the result as usual. HATO_STATE: not LIVE, or called before. */
HATO_API hato_status hato_future_on_output(hato_future *future, void (*callback)(void *arg, int stream, const void *data, size_t size),
                                           void *arg);
HATO_API void hato_future_set_tag(hato_future *future, void *tag); /* the caller's own pointer */
HATO_API void *hato_future_tag(const hato_future *future);
/* Gives the handle back; a task that runs goes on (cancel it first to end it). NULL is fine. */
HATO_API void hato_future_release(hato_future *future);

HATO_API size_t hato_array_count(const hato_array *array);
HATO_API size_t hato_array_resolved(hato_array *array);
/* The number of its first task in the session; waits until accepted. HATO_TIMED_OUT; the
 * dispatcher's refusal with its words. */
HATO_API hato_status hato_array_first_task(hato_array *array, int timeout_ms, uint64_t *task, hato_error *err);
/* Waits until all (or one) are resolved. */
HATO_API hato_status hato_array_wait(hato_array *array, int timeout_ms);
HATO_API hato_status hato_array_wait_at(hato_array *array, size_t index, int timeout_ms);
/* HATO_AGAIN while that one is unresolved; HATO_NOT_FOUND when it was forgotten. */
HATO_API hato_status hato_array_result(hato_array *array, size_t index, hato_result *result);
/* Frees one result's memory early. */
HATO_API hato_status hato_array_forget(hato_array *array, size_t index);
HATO_API hato_status hato_array_cancel(hato_array *array, size_t first, size_t last); /* inclusive */
HATO_API void hato_array_set_tag(hato_array *array, void *tag);
HATO_API void *hato_array_tag(const hato_array *array);
HATO_API void hato_array_release(hato_array *array); /* NULL is fine */

/* ------------------------------------------------------- completion queues */

typedef struct hato_completion {
  hato_future *future; /* or NULL */
  hato_array *array;   /* or NULL */
  size_t index;        /* of the array */
} hato_completion;

HATO_API hato_status hato_queue_create(hato_pool *pool, hato_queue **queue);
/* Takes up to max completions, in the order they resolved; waits for the first. *got is how
 * many. HATO_TIMED_OUT with *got 0. HATO_CLOSED: the pool is closed and the queue empty. */
HATO_API hato_status hato_queue_next(hato_queue *queue, hato_completion *completions, size_t max, int timeout_ms,
                                     size_t *got);
/* Polls readable while the queue is not empty. Owned by the queue. */
HATO_API int hato_queue_fd(hato_queue *queue);
HATO_API void hato_queue_release(hato_queue *queue); /* after its futures and arrays. NULL is fine */

/* --------------------------------------------------------- kept results */

/* A kept result of a detached task, by number; resolved future on return of the wait. A task
 * that is not known: the future resolves with 12; not resolved yet: with 11. */
HATO_API hato_status hato_fetch(hato_pool *pool, uint64_t task, hato_queue *queue, hato_future **future,
                                hato_error *err);

#ifdef __cplusplus
}
#endif
#endif

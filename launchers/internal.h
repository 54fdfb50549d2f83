/* Shared by the files of this layer only.
 *
 *   host.c     the interface: names to keepers, requests to jobs
 *   keeper.c   a thread a launcher: does jobs, polls, tells events
 *   line.c     one module at the end of a line: in this thread, or in a process with a deadline
 *   runner.c   executes operations of a module (in the thread, or in the process)
 *   child.c    the process: frames in, runner, frames out
 */
#ifndef HATO_LAUNCHERS_INTERNAL_H
#define HATO_LAUNCHERS_INTERNAL_H

#include "base/buf.h"
#include "conf/conf.h"
#include "launchers/host.h"
#include <uthash.h>

/* ---- memory until an end (arena.c) ----------------------------------------- */

typedef struct launchers__block launchers__block;
typedef struct launchers__arena {
  launchers__block *head;
} launchers__arena;
void *launchers__alloc(launchers__arena *a, size_t n); /* zeroed; NULL: no memory */
char *launchers__dup(launchers__arena *a, const void *s, size_t n);
char *launchers__dup_secret(launchers__arena *a, const void *s, size_t n); /* in secret memory */
/* The buffer's text moves into the arena; the buffer is freed. NULL when it had failed. */
char *launchers__take(launchers__arena *a, hato__buf *b);
void launchers__arena_free(launchers__arena *a);

/* ---- a module (module.c) ----------------------------------------------------- */

/* Checks a descriptor before anything of it is called, and copies as much as it has; the rest of
 * copy is zero. name: what the file's name says; NULL: any. */
hato_status launchers__check(const hato_launcher *found, const char *path, const char *name,
                             hato_launcher *copy, hato_error *err);
/* dlopen and launchers__check. The handle is never closed: libraries leave threads and handlers. */
hato_status launchers__load(const char *path, hato_launcher *copy, hato_error *err);
/* "slurm" of ".../hato_launcher_slurm.so", or NULL; n: its length. */
const char *launchers__name_of(const char *path, size_t *n);
/* An option row of a descriptor, whatever size its rows have. */
hato_option_row launchers__row(const hato_launcher *m, uint32_t i);
/* Option rows as a conf. */
hato_status launchers__conf(const char *name, const hato_option_row *rows, size_t n, hato__conf **out,
                            hato_error *err);
/* Sets "key=value" words and checks what is required. */
hato_status launchers__set(hato__conf *c, const char *const *words, hato_error *err);

/* ---- calls and their replies (call.c) ------------------------------------------ */

typedef enum launchers__op {
  LAUNCHERS__LOAD = 1, /* path; the reply has info */
  LAUNCHERS__PROBE,
  LAUNCHERS__PLAN,   /* request */
  LAUNCHERS__LAUNCH, /* request */
  LAUNCHERS__ADOPT,  /* request, record */
  LAUNCHERS__POLL,
  LAUNCHERS__CANCEL, /* id, members */
  LAUNCHERS__FORGET, /* id */
  LAUNCHERS__CLOSE,
} launchers__op;

typedef struct launchers__call {
  launchers__op op;
  uint64_t id;
  uint32_t deadline_ms; /* of the operation */
  const char *path;
  const launchers_request *request;
  const uint8_t *record;
  size_t record_len;
  const uint32_t *members;
  uint32_t n_members;
  bool grown; /* structs are passed longer than they are, as by a later hato: for the conformance suite */
} launchers__call;

typedef struct launchers__reply {
  hato_status status;
  char text[512];
  uint8_t record[HATO_RECORD_MAX];
  size_t record_len;
  launchers_plan_result plan;
  char member_env[128]; /* of plan */
  launchers_info *info; /* LOAD; the taker frees it */
} launchers__reply;

void launchers__put_request(hato__buf *b, const launchers_request *r);
/* Strings and lists in the arena, lists never NULL. */
bool launchers__get_request(hato__reader *in, launchers__arena *a, launchers_request *r);
void launchers__put_call(hato__buf *b, const launchers__call *c);
bool launchers__get_call(hato__reader *in, launchers__arena *a, launchers__call *c);
void launchers__put_reply(hato__buf *b, const launchers__reply *r, const hato_launcher *described);
bool launchers__get_reply(hato__reader *in, launchers__reply *r, hato_error *err);
void launchers__put_member(hato__buf *b, uint64_t launch, uint32_t first, uint32_t count,
                           const launchers_member *m);
bool launchers__get_member(hato__reader *in, launchers__arena *a, uint64_t *launch, uint32_t *first,
                           uint32_t *count, launchers_member *m);
launchers_info *launchers__info_of(const hato_launcher *m, hato_error *err);

/* ---- executing operations (runner.c, services.c, process.c) ---------------------- */

typedef struct launchers__sink {
  void *arg;
  void (*log)(void *arg, hato__log_level level, const char *text);
  void (*progress)(void *arg, const char *text);
  void (*member)(void *arg, uint64_t launch, uint32_t first, uint32_t count, const launchers_member *m);
  bool (*abort)(void *arg);
} launchers__sink;

typedef struct launchers__made { /* a launch that the module made or adopted */
  UT_hash_handle hh;
  hato_launch launch;
  uint8_t record[HATO_RECORD_MAX];
  hato__conf *values;
  launchers__arena mem;
} launchers__made;

#define LAUNCHERS__GROWTH 64
typedef struct launchers__runner {
  hato_launcher module; /* a checked copy */
  launchers__sink sink;
  void *state;
  bool opened;
  int watch_fd; /* -1: none; the module's */
  launchers__made *made;
  /* Of the operation that runs. */
  hato_host host;
  unsigned char later[LAUNCHERS__GROWTH]; /* behind host: what a later hato may have there */
  bool grown;
  launchers__arena scratch;
  uint64_t deadline; /* ns */
  hato_status failed;
  char words[512];
} launchers__runner;

void launchers__runner_init(launchers__runner *r, const hato_launcher *module, const launchers__sink *sink);
void launchers__runner_call(launchers__runner *r, const launchers__call *c, launchers__reply *out);
void launchers__runner_end(launchers__runner *r); /* closes the module, frees all */
void launchers__services(launchers__runner *r);   /* fills r->host */
void launchers__services_text(hato_host *h);      /* formats, quotes, templates (text.c) */
void launchers__services_options(hato_host *h);   /* options.c */
static inline launchers__runner *launchers__runner_of(const hato_host *h) { return h->ctx; }
void launchers__runner_log(launchers__runner *r, hato__log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* A process: what hato_spawn says, and a socket for descriptor 3 or -1, and, when out or err are
 * not -1, those as its output. */
typedef struct launchers__process {
  const char *const *argv, *const *env;
  const char *cwd, *log_path;
  const void *input;
  size_t input_len;
  int in, out, err, fd3; /* borrowed; -1: none */
  bool session;          /* of its own; else a process group of its own */
} launchers__process;
#define LAUNCHERS__NO_FDS .in = -1, .out = -1, .err = -1, .fd3 = -1
hato_status launchers__spawn(const launchers__process *p, pid_t *pid, int *pidfd, hato_error *err);
/* What a process that ended left, when it was ours to ask. False: it runs, or others reaped it. */
bool launchers__reap(int pidfd, int *exit_code, int *signal);
hato_status launchers__run(launchers__runner *r, hato_run *run, hato_error *err);
/* The last lines of a file, at most 10 and 4 KiB; "" when it cannot be read. */
char *launchers__tail(launchers__arena *a, const char *path);

/* ---- a line to a module (line.c) --------------------------------------------------- */

typedef struct launchers__line launchers__line;
typedef struct launchers__line_options {
  const char *name; /* for words and log */
  const char *path; /* NULL: builtin */
  const hato_launcher *builtin;
  const char *hato_binary;
  launchers__sink sink;
  int wake_fd;                       /* readable: sink.abort or limit may have changed; -1: none */
  uint64_t (*limit)(void *sink_arg); /* by when any operation has to end, ns; 0: its deadline. NULL: none */
} launchers__line_options;

/* Starts the process and loads the module, or takes the compiled-in one. info: what LOAD said;
 * the caller frees it. Blocks. */
hato_status launchers__line_open(const launchers__line_options *o, launchers__line **out,
                                 launchers_info **info, hato_error *err);
/* One operation; blocks until its end or its deadline. OK: reply is filled, whatever it says. Else
 * the line is broken, its process ended: RESET, or TIMED_OUT by its deadline; words in err. */
hato_status launchers__line_call(launchers__line *l, const launchers__call *c, launchers__reply *r,
                                 hato_error *err);
/* Descriptors to wait on between calls; at most 2. */
int launchers__line_fds(const launchers__line *l, int fds[2]);
typedef enum launchers__line_news {
  LAUNCHERS__QUIET,
  LAUNCHERS__NEWS,
  LAUNCHERS__BROKEN
} launchers__line_news;
/* After one of them was readable: has the module something to poll for, or is it gone (words)? */
launchers__line_news launchers__line_ready(launchers__line *l, hato_error *err);
bool launchers__line_pending(launchers__line *l); /* there is something for line_ready already */
bool launchers__line_watches(const launchers__line *l); /* the module tells of changes itself */
void launchers__line_close(launchers__line *l, bool gently);

/* Frames between host and process: u32 length of what follows, u8 type, body. */
#define LAUNCHERS__PROTOCOL 1u /* raise on any change: host and process may be of different versions */
#define LAUNCHERS__FRAME_MAX (64u << 20)
typedef enum launchers__frame {
  LAUNCHERS__F_CALL = 1, /* u32 protocol, call */
  LAUNCHERS__F_ABORT,
  LAUNCHERS__F_REPLY,    /* u8 watches, reply */
  LAUNCHERS__F_LOG,      /* u8 level, text */
  LAUNCHERS__F_PROGRESS, /* text */
  LAUNCHERS__F_MEMBER,
  LAUNCHERS__F_NEWS,
} launchers__frame;
/* A frame in b: begin, append the body, end. */
void launchers__frame_begin(hato__buf *b, launchers__frame type);
void launchers__frame_end(hato__buf *b);
/* The next whole frame of what was received. 0: not yet; -1: malformed. */
int launchers__frame_next(hato__buf *in, launchers__frame *type, hato__reader *body, size_t *whole);
/* Blocks until all is written. */
bool launchers__send(int fd, const hato__buf *b);
/* Appends what can be read. False: the other side is gone. */
bool launchers__receive(int fd, hato__buf *in, bool wait);

/* ---- compiled-in modules and folders (find.c) ------------------------------------------ */

const hato_launcher *launchers__builtin(const char *name);
const hato_launcher *const *launchers__builtins(void); /* NULL-terminated */
/* The path of a module of that name in the folders; malloc'd; NULL: none. */
char *launchers__find(char *const *folders, const char *name);
/* The names of all, sorted, each once. */
char **launchers__names(char *const *folders);
char **launchers__strings_copy(const char *const *list); /* NULL without memory */

#endif

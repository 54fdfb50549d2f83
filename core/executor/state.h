/* The whole state of an executor. All of it belongs to the main thread but where said. */
#ifndef HATO_EXECUTOR_STATE_H
#define HATO_EXECUTOR_STATE_H

#include "base/blob.h"
#include "executor/executor.h"
#include "executor/link.h"
#include "executor/process.h"
#include "executor/task.h"
#include <sys/stat.h>
#include <time.h>

/* One output stream of the command that runs. */
typedef struct executor_stream {
  uint8_t channel;
  int fd;          /* our end of the pipe; -1: none */
  int child;       /* the command's end, kept until it ended so that only data wake us */
  hato__buf head;  /* the bytes for the record; its memory is kept from task to task */
  uint64_t total;  /* bytes taken: in head and in pieces */
  uint64_t pieces; /* of these, in pieces */
} executor_stream;

/* Standard input of the command that runs, or an argument that comes in pieces and is wanted whole. */
typedef struct executor_input {
  int fd;         /* our end of the command's pipe; -1: none, or closed */
  int child;      /* the command's end, until it was started */
  hato__buf wait; /* bytes the pipe did not take yet: [at, len) */
  size_t at;
  bool over;        /* the last piece came */
  uint16_t value;   /* with which the sender gave up */
  uint64_t owed;    /* bytes taken, but not granted anew */
  hato__blob *blob; /* a function's, or for a command line: they are collected here */
} executor_input;

typedef struct executor_command {
  pid_t pid;   /* 0: none runs */
  int signals; /* signalfd for SIGCHLD */
  executor_report *report;
  executor_stream out, err;
  bool ended, killed;
  int status;
  struct rusage usage;
  uint64_t begun, wall_ns;
  uint64_t kill_at;       /* SIGKILL follows; 0: not asked to end */
  hato__buf text;         /* words of argv that differ by task (prepare.c) */
  char **argv, **tries;   /* of this task, when they differ by task; else NULL */
  char id[40], index[40]; /* HATO_TASK_ID=…, HATO_TASK_INDEX=… */
} executor_command;

/* Function calls. `call` is first: a function gives it back to the services. */
typedef struct executor_caller {
  hato_call call;
  struct executor *x;
  bool ready;      /* output is captured, crashes are handled, the flusher runs */
  int printed;     /* what is on descriptors 1 and 2: a memory file */
  hato__buf out;   /* the result, or of a large one what was not sent yet */
  uint64_t passed; /* bytes of it that were sent in pieces */
  size_t reserved; /* bytes that commit may append */
  uint64_t limit;  /* of the result, in bytes */
  uint16_t over;   /* NO_MEMORY or TOO_LARGE: the result could not be held */
  hato__buf input; /* aligned, terminated copy of the argument */
  hato__buf print; /* what was printed */
  char words[PROTO_RESULT_WORDS_MAX];
  uint64_t clock;      /* when the last call ended, while nothing else was done since; else 0 */
  uint64_t first;      /* when the first result came that was not sent; 0: none */
  uint64_t looked;     /* when the socket was last read for call->cancelled */
  executor_spec *spec; /* that calls are set up for */
  void *stack;         /* of the crash handler */
  pthread_t flusher;
  bool flushing;
} executor_caller;

/* A shared object that was loaded; it stays for as long as the process. (object.c) */
typedef struct executor_object {
  struct executor_object *next;
  char *path;
  bool fixed; /* given by content: its file does not change */
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec changed;
  void *handle;
  void *state; /* the object's own */
  void (*destroy)(void *state);
} executor_object;

typedef struct executor {
  executor_options opts;
  char node[256];
  pid_t pid;
  int log; /* where words about the executor itself go */
  executor_link link;
  int exit;
  bool functions; /* a function ran: descriptors may not be close-on-exec */
  bool calling;   /* signals are as functions want them, or as one left them */
  executor_object *objects;
  executor_spec *specs;
  hato__link queue;
  executor_batch *begun; /* the batch of the current task */
  executor_task task;
  uint16_t error; /* the error value that the task resolves to, with words */
  char words[PROTO_RESULT_WORDS_MAX];
  uint64_t credit[2]; /* for pieces of the task's output, its error output */
  executor_input input;
  executor_command command;
  executor_caller caller;
} executor;

/* Reads what the daemon sent and handles whole frames; `wait` blocks until something came.
 * Never runs a task nor sends. (receive.c) */
void executor_receive(executor *x, bool wait);
/* Sends everything, receiving meanwhile, so that two full sockets cannot block each other. */
void executor_flush(executor *x);
/* Ends the session with this exit code; tasks that have no record get none. */
void executor_stop(executor *x, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* A record without output: an error value with words (NULL: none). */
void executor_report_error(executor *x, uint64_t task, uint32_t attempt, uint16_t value, const char *words);
/* Credit for the current task's argument. */
void executor_grant(executor *x, uint64_t bytes);

/* Commands. */
bool executor_command_open(executor *x);
void executor_command_run(executor *x);
void executor_command_interrupt(executor *x); /* a value came for the task: end its command */
void executor_command_end(executor *x);       /* kills it and all its descendants */
void executor_command_free(executor *x);
/* argv, environment and paths of the current task. False: x->error says why. (prepare.c) */
bool executor_prepare(executor *x, executor_plan *plan);
size_t executor_word_max(void); /* bytes of an argument or variable that exec takes (explain.c) */
void executor_prepare_end(executor *x);
/* x->error and words for a step that failed with errno e. `what`: the path. (explain.c) */
void executor_explain(executor *x, executor_step step, int e, const char *what);
void executor_explain_exec(executor *x, const executor_plan *plan);
void executor_refuse(executor *x, hato_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The path as the task would see it: below its working folder. Appended with its NUL. */
void executor_path(const executor *x, hato__buf *out, const char *path);

/* Output of the command. (output.c) */
bool executor_output_open(executor *x, executor_plan *plan);
bool executor_output_wants(executor *x, const executor_stream *s); /* may be read now */
void executor_output_read(executor *x, executor_stream *s);        /* does not block when it has data */
bool executor_output_drain(executor *x, executor_stream *s);       /* after the end; true: all was taken */
void executor_output_close(executor *x);
void executor_output_last(executor *x, const executor_stream *s); /* the last piece, when there were any */
/* Files of output_to. (files.c) */
bool executor_files_open(executor *x, executor_plan *plan);

/* Input. (input.c) */
bool executor_input_open(executor *x, executor_plan *plan); /* of a command */
/* Collects a large argument in x->input.blob, until it ends or has more than `most` bytes. False: it does not
 * come to be: x->error says why, or the task was interrupted, or the daemon is gone. */
bool executor_input_collect(executor *x, uint64_t most);
void executor_input_piece(executor *x, const proto_piece *piece);
/* Where the data of a piece may be put, then it is `placed`. NULL: they go through executor_input_piece. */
uint8_t *executor_input_room(executor *x, const proto_piece *piece);
void executor_input_placed(executor *x, const proto_piece *piece);
void executor_input_write(executor *x); /* what waits, as far as the pipe takes it */
void executor_input_close(executor *x);

/* Functions. (call.c) */
void executor_call_run(executor *x);
void executor_call_free(executor *x);
/* Sends n bytes in pieces under credit; `last`: nothing follows in this channel. Returns how many went: fewer when the
 * task was interrupted or the daemon is gone. (large.c) */
uint64_t executor_send_large(executor *x, uint8_t channel, const uint8_t *data, uint64_t n, bool last);
/* The specification's function. False: x->error says why. (object.c) */
bool executor_object_resolve(executor *x, executor_spec *s);
bool executor_object_changed(const executor_object *o);
void executor_objects_free(executor *x); /* calls the destructors of states */
/* From now on a crash first writes the results that wait. (crash.c) */
bool executor_crash_handle(executor *x);
void executor_crash_ignore(executor *x);
/* The thread that sends results behind a long call. (flusher.c) */
bool executor_flusher_start(executor *x);
void executor_flusher_stop(executor *x);

#endif

/* A rig that plays the daemon of an executor in a forked child, over a socket pair. */
#ifndef HATO_TESTS_HELP_EXECUTOR_H
#define HATO_TESTS_HELP_EXECUTOR_H

#include "executor/executor.h"
#include "proto/message.h"
#include "proto/spec.h"
#include <sys/types.h>

#define RIG_TASKS 64

/* What is known of a task (numbers from 1). */
typedef struct rig_task {
  bool done;
  proto_result r;     /* of the record; without pointers */
  char words[600];    /* of an error value */
  hato__buf out, err; /* bytes of the record and of its pieces; terminated by a NUL beyond len */
  uint64_t pieces[3]; /* bytes that came in pieces, by channel */
  bool last[3];
  uint64_t credit_in; /* granted for its input */
  unsigned order;     /* of its record, from 1 */
} rig_task;

typedef struct rig {
  int fd;
  pid_t pid;
  bool sending;
  bool gone;  /* the executor closed the socket */
  int status; /* its wait status, once gone */
  hato__buf in, out;
  uint32_t specs;
  unsigned records;
  bool stingy; /* grants no credit by itself */
  rig_task task[RIG_TASKS + 1];
} rig;

/* Starts and ends an executor. `opts` may be NULL. */
rig *rig_start(const executor_options *opts);
void rig_stop(rig *g); /* closes the socket; the executor must exit with 0 */

/* Sending. A spec gets a number; a command's env and cwd are set when they are NULL. */
proto_spec rig_shell(const char *line);                          /* sh -c line, its memory static */
proto_spec rig_function(const char *object, const char *symbol); /* of tests/functions */
uint32_t rig_spec(rig *g, const proto_spec *s);
void rig_assign(rig *g, uint32_t spec, uint64_t first, uint32_t count); /* without arguments */
void rig_assign_arg(rig *g, uint32_t spec, uint64_t task, const void *arg, size_t n);
void rig_assign_counted(rig *g, uint32_t spec, uint64_t first, uint32_t count, int64_t start);
void rig_assign_large(rig *g, uint32_t spec, uint64_t task, uint64_t total);
void rig_interrupt(rig *g, uint64_t first, uint32_t count, uint16_t value);
void rig_piece(rig *g, uint64_t task, const void *data, size_t n, bool last, uint16_t status);
void rig_credit(rig *g, uint64_t task, uint8_t channel, uint64_t bytes);
void rig_send(rig *g); /* what was encoded to g->out */

/* Handles what comes until the condition holds; fails the test after rig_deadline. */
bool rig_look(rig *g, int timeout_ms); /* one wait; false: nothing came */
void rig_hear(rig *g);                 /* one wait, for something that will come */
rig_task *rig_wait(rig *g, uint64_t task);
void rig_wait_all(rig *g, uint64_t first, uint64_t last);
void rig_wait_gone(rig *g);
uint64_t rig_deadline(void);

/* A spec, one task of it, its result. */
rig_task *rig_run(rig *g, const proto_spec *s);

/* Files of tests: a fresh folder below /tmp, for unit_remove_folder. */
const char *rig_folder(void);
bool rig_file_says(const char *path, const char *text);
bool rig_process_gone(pid_t pid);     /* waits for it */
char rig_process_state(pid_t pid);    /* as in /proc; 0: there is none */
pid_t rig_read_pid(const char *path); /* waits for a file with a process id and a newline */

#endif

/* Child processes: starting one, and ending them all. */
#ifndef HATO_EXECUTOR_PROCESS_H
#define HATO_EXECUTOR_PROCESS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

typedef enum executor_step {
  EXECUTOR_STEP_NONE = 0,
  EXECUTOR_STEP_CHDIR,
  EXECUTOR_STEP_STDIN,
  EXECUTOR_STEP_OUTPUT,
  EXECUTOR_STEP_EXEC,
} executor_step;

/* In memory shared with the child, which writes it: why it did not come to be the program. */
typedef struct executor_report {
  int step, error; /* executor_step, errno */
  unsigned tried;  /* index of the path that was executed, or of the one that error is about */
} executor_report;

typedef struct executor_plan {
  char *const *tries; /* paths to execute, NULL-terminated, at least one */
  unsigned hint;      /* which of them first */
  char *const *argv;
  char *const *env;
  const char *cwd;  /* NULL: as it is */
  int in, out, err; /* above 2, or -1: as it is */
  pid_t parent;
  bool close_all; /* there may be descriptors that are not close-on-exec */
  sigset_t mask;  /* the child's */
  executor_report *report;
} executor_plan;

/* The child's number, or -1 with errno. That exec failed is said in the report once the child
 * has ended: it exits with 127. Call from the main thread only, whose end kills the child. */
pid_t executor_spawn_plan(const executor_plan *p);

/* SIGCHLD blocked and a signalfd for it; for each task after functions ran, which may change signals. */
int executor_children_watch(void);
void executor_children_mask(void);
/* Kills every descendant and reaps them. False: some had not gone by the time given. */
bool executor_children_end(uint64_t ns);

#endif

/* Specifications and the queue of assigned tasks. */
#ifndef HATO_EXECUTOR_TASK_H
#define HATO_EXECUTOR_TASK_H

#include "base/list.h"
#include "hato/function.h"
#include "proto/message.h"
#include "proto/spec.h"
#include <uthash.h>

struct executor;
struct executor_object;

typedef struct executor_spec {
  uint32_t number;
  unsigned refs; /* the table's and one for each batch of tasks */
  hato__buf parts;
  proto_spec s;
  hato_status status; /* of decoding; STATE until the last part came */
  char *words;        /* why it is no good */
  /* command (prepare.c) */
  char **env;    /* the task's environment with two places for what differs by task */
  size_t env_n;  /* without those */
  char **tries;  /* paths the program may be at, NULL-terminated; NULL: differs by task */
  unsigned hint; /* which of them it was at */
  /* function (object.c) */
  struct executor_object *object;
  hato_function *function;
  UT_hash_handle hh;
} executor_spec;

/* Tasks [at, end) of one ASSIGN message that are not begun. Batches that an INTERRUPT cut
 * apart share the message. */
typedef struct executor_message {
  unsigned refs;
  proto_assign m;
  uint8_t body[];
} executor_message;

typedef struct executor_batch {
  hato__link link;
  executor_spec *spec;
  executor_message *message;
  uint32_t at, end;
  bool looked;       /* at the function's object: once a batch */
  bool in_over;      /* an argument in pieces ended before it was asked for: it is empty … */
  uint16_t in_value; /* … or, with a value, was given up */
} executor_batch;

/* The task that is run. */
typedef struct executor_task {
  bool active;
  uint64_t id;
  uint32_t attempt, index;
  executor_spec *spec;
  executor_batch *batch;
  bool has_arg, large;
  const uint8_t *arg; /* not large; borrowed from the message or `number` */
  uint32_t arg_len;
  uint64_t total; /* large; UINT64_MAX: unknown */
  char number[24];
  uint16_t value; /* an error value that it resolves to whatever comes: it was interrupted */
} executor_task;

void executor_spec_part(struct executor *x, const proto_part *part);
void executor_spec_drop(struct executor *x, uint32_t number);
void executor_spec_unref(struct executor *x, executor_spec *s);
void executor_specs_free(struct executor *x);

/* Queues the tasks of an ASSIGN body. False: an unknown specification, no memory (err). */
bool executor_queue_add(struct executor *x, const uint8_t *body, size_t n, hato_error *err);
/* The next task becomes x->task; false when there is none. What the last one borrowed is freed. */
bool executor_queue_next(struct executor *x);
bool executor_queue_empty(const struct executor *x);
/* Takes tasks of a run out of the queue and reports them; notes the value when one is running. */
void executor_queue_interrupt(struct executor *x, const proto_run *run);
/* The batch of a queued task with a large argument, or NULL. */
executor_batch *executor_queue_find_large(struct executor *x, uint64_t task, uint32_t attempt);
void executor_queue_free(struct executor *x);

#endif

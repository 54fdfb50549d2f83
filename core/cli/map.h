/* Inside `hato map`. map.c is the verb, map_work.c its loop, map_print.c what it says. */
#ifndef HATO_CLI_MAP_H
#define HATO_CLI_MAP_H

#include "cli/emit.h"
#include "cli/lines.h"
#include "cli/progress.h"
#include "cli/signals.h"
#include "cli/spill.h"
#include "cli/task.h"

enum {
  MAP_WINDOW = 100000,      /* tasks beyond the next to be printed, at most */
  MAP_WINDOW_FIRST = 16384, /* as long as nothing is known of their output */
  MAP_WINDOW_LEAST = 256,
  MAP_NAMED = 5, /* failed tasks that are named */
};
#define MAP_MEMORY (64u << 20)       /* bytes of output that are held back in memory; more goes to a file */
#define MAP_HELD (UINT64_C(1) << 30) /* bytes of output held back that stop submitting */
#define MAP_INPUTS (64u << 20)       /* bytes of inputs, read ahead or submitted, at most */

/* The inputs of one submission. */
typedef struct batch {
  struct batch *next;
  hato_array *array;
  char *text;
  hato_argument *inputs;
  bool *seen;     /* which came from the queue: only what was counted is printed */
  spilled **disk; /* those that wait on disk; NULL: none does */
  size_t count, printed;
  uint64_t bytes; /* of its inputs */
} batch;

typedef struct map {
  cli *c;
  signals signals;
  lines in;
  emit emit;
  progress progress;
  task_command command;
  hato_pool *pool;
  hato_spec *spec;
  hato_queue *queue;
  bool embedded;
  bool whole; /* one submission of all inputs: {#} in --output-to counts within a submission */
  batch *head, *tail;
  uint64_t submitted, resolved, printed, failed, failed_printed;
  uint64_t held;   /* bytes of output that are resolved and not printed, */
  uint64_t memory; /* of which in memory */
  spill spill;
  uint64_t output;      /* bytes of output of all that are resolved */
  uint64_t pending;     /* bytes of inputs that are submitted and not printed */
  uint64_t last_result; /* clock: ns */
  bool gather;          /* results have just come */
  int signal;
} map;

/* Runs all inputs; returns an exit code, having said what was wrong. */
int cli_map_work(map *m);
/* Prints results in order as far as they are there. */
void cli_map_print(map *m);
void cli_map_progress(map *m);
/* A line on standard error, "hato map: text", beside the output. */
void cli_map_say(map *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void cli_map_batch_free(map *m, batch *b);

#endif

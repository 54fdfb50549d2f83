/* The line of progress: done, failed, rate, time left. */
#ifndef HATO_CLI_PROGRESS_H
#define HATO_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct progress {
  bool on;
  uint64_t began, next; /* clock: ns */
  double rate;          /* tasks a second of late; 0: not known yet */
  uint64_t at, at_done; /* when the rate was taken, and of how many */
} progress;

#define PROGRESS_NS UINT64_C(100000000)

/* The line for a terminal so many columns wide; total 0: not known yet. */
void cli_progress_text(progress *p, uint64_t now, uint64_t done, uint64_t failed, uint64_t total,
                       unsigned columns, char *out, size_t n);
unsigned cli_progress_columns(void); /* of the terminal that standard error is */

#endif

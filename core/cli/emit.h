/* What a verb writes of its tasks: their output, whole and in order, beside a line of progress
 * that never tears it. */
#ifndef HATO_CLI_EMIT_H
#define HATO_CLI_EMIT_H

#include "base/buf.h"
#include <stdbool.h>

typedef enum emit_state {
  EMIT_OK,
  EMIT_STOPPED, /* the stop descriptor polled readable while a write had to wait */
  EMIT_GONE,    /* nobody reads standard output any more */
  EMIT_FAILED   /* error has an errno */
} emit_state;

typedef struct emit {
  int stop_fd;      /* -1: none */
  emit_state state; /* once it is not EMIT_OK, nothing is written */
  int error;
  hato__buf held; /* of standard output, to be written in one go */
  bool fast[3];   /* by descriptor: writes never wait (a regular file) */
  bool terminal[3];
  bool bar;      /* the line of progress stands there */
  bool mid_line; /* an unfinished line of output stands on the terminal */
} emit;

void cli_emit_init(emit *e, int stop_fd);
void cli_emit_free(emit *e);
void cli_emit_out(emit *e, const void *data, size_t n); /* buffered */
void cli_emit_err(emit *e, const void *data, size_t n); /* after all of standard output so far */
void cli_emit_flush(emit *e);
/* Draws the line of progress (text fits the terminal), or takes it away (NULL). */
void cli_emit_bar(emit *e, const char *text);

#endif

/* The signals that end a verb, read from a descriptor. */
#ifndef HATO_CLI_SIGNALS_H
#define HATO_CLI_SIGNALS_H

#include <signal.h>
#include <stdbool.h>

typedef struct signals {
  int fd; /* polls readable when one has come */
  sigset_t before;
} signals;

/* SIGINT, SIGTERM and SIGHUP wait to be taken from here on, those that are not ignored. */
bool cli_signals_catch(signals *s);
/* One that has come, or 0. Does not block. */
int cli_signals_take(signals *s);
/* As before: one that comes now ends the process. */
void cli_signals_release(signals *s);

#endif

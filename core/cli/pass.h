/* Where a pass phrase comes from. */
#ifndef HATO_CLI_PASS_H
#define HATO_CLI_PASS_H

#include "hato/status.h"

#include <stddef.h>

typedef struct cli_pass_source {
  const char *file; /* its first line; NULL: the terminal is asked */
  const char *key;  /* for the question */
  int fd;           /* >= 0: a descriptor that gives it, instead of both */
} cli_pass_source;

/* As net_identity_files wants it; arg: a source. Blocks. */
hato_status cli_pass(void *arg, char *buf, size_t n, hato_error *err);

#endif

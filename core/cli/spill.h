/* Output that waits for its turn, on disk when there is much of it. */
#ifndef HATO_CLI_SPILL_H
#define HATO_CLI_SPILL_H

#include "base/buf.h"
#include "hato/hato.h"

typedef struct spill { /* zero-initialise */
  int fd;              /* + 1; 0: not opened yet, -1: it cannot be */
  uint64_t end, left;  /* of the file; entries that are to be read */
  hato__buf buf;       /* what was read last */
} spill;

typedef struct spilled spilled; /* one result */

/* Writes a result's output to an unlinked file; NULL: there is no room, it stays where it is. */
spilled *cli_spill_put(spill *s, const hato_result *r);
/* Reads it back; what r points to lives until the next call. False: with errno. */
bool cli_spill_get(spill *s, const spilled *p, hato_result *r);
void cli_spill_free(spill *s, spilled *p); /* NULL is fine */
void cli_spill_close(spill *s);

#endif

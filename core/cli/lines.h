/* Inputs, a line each, as they come from a descriptor. */
#ifndef HATO_CLI_LINES_H
#define HATO_CLI_LINES_H

#include "base/buf.h"
#include "hato/hato.h"

typedef struct lines {
  int fd;
  const char *name; /* of what is read, for people; borrowed */
  bool opened; /* to be closed */
  bool eof;
  char end;     /* what ends a line */
  size_t ahead; /* bytes read before they are taken, at most */
  hato__buf buf;
  size_t start;   /* of what is not taken */
  size_t scanned; /* where the search for the next end of a line goes on */
  size_t ready;   /* whole lines that are not taken */
} lines;

#define LINES_LONGEST (64u << 20)

/* path NULL or "-": standard input. */
hato_status cli_lines_open(lines *l, const char *path, char end, hato_error *err);
void cli_lines_close(lines *l);
/* Worth polling for. */
bool cli_lines_wanted(const lines *l);
/* Reads what there is, once; blocks when there is nothing. TOO_LARGE: a line without an end. */
hato_status cli_lines_read(lines *l, hato_error *err);
/* Takes up to max lines, and no further ones beyond `bytes`: their text, and each one's place in it.
 * malloc'd, the caller's. Returns how many. */
size_t cli_lines_take(lines *l, size_t max, size_t bytes, char **text, hato_argument **inputs);

#endif

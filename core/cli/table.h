/* Aligned columns. */
#ifndef HATO_CLI_TABLE_H
#define HATO_CLI_TABLE_H

#include <stddef.h>

typedef struct cli_table {
  size_t columns; /* set by its owner; the rest is zero at first */
  char **cells;   /* row by row; NULL: no memory, shown as nothing */
  size_t n, cap;
} cli_table;

/* The next cell, row by row. */
void cli_table_add(cli_table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Prints and empties it. The last column is not filled up. */
void cli_table_print(cli_table *t);

#endif

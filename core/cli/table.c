#include "base/str.h"
#include "cli/table.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void cli_table_add(cli_table *t, const char *fmt, ...) {
  va_list args;
  if (t->n == t->cap) {
    size_t cap = t->cap ? 2 * t->cap : 64;
    char **more = realloc(t->cells, cap * sizeof *more);
    if (!more) return;
    t->cells = more;
    t->cap = cap;
  }
  va_start(args, fmt);
  if (vasprintf(&t->cells[t->n], fmt, args) < 0) t->cells[t->n] = NULL;
  va_end(args);
  if (t->cells[t->n]) hato__clean(t->cells[t->n], false); /* daemons and clients say who they are themselves */
  t->n++;
}

static const char *cell(const cli_table *t, size_t i) { return t->cells[i] ? t->cells[i] : ""; }

static int width(const cli_table *t, size_t column) {
  size_t most = 0;
  for (size_t i = column; i < t->n; i += t->columns)
    if (strlen(cell(t, i)) > most) most = strlen(cell(t, i));
  return (int)most;
}

void cli_table_print(cli_table *t) {
  int widths[16];
  for (size_t i = 0; i < t->columns; i++) widths[i] = width(t, i);
  for (size_t i = 0; i < t->n; i++) {
    size_t column = i % t->columns;
    if (column + 1 == t->columns)
      printf("%s\n", cell(t, i));
    else
      printf("%-*s  ", widths[column], cell(t, i));
  }
  for (size_t i = 0; i < t->n; i++) free(t->cells[i]);
  free(t->cells);
  *t = (cli_table){.columns = t->columns};
}

/* Memory that is freed all at once: the strings of a message, what an operation was given. */
#include "launchers/internal.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct launchers__block {
  launchers__block *next;
  alignas(max_align_t) unsigned char bytes[];
};

void *launchers__alloc(launchers__arena *a, size_t n) {
  if (n > SIZE_MAX - sizeof(launchers__block)) return NULL;
  launchers__block *b = calloc(1, sizeof *b + n);
  if (b == NULL) return NULL;
  b->next = a->head;
  a->head = b;
  return b->bytes;
}

char *launchers__dup(launchers__arena *a, const void *s, size_t n) {
  char *copy = launchers__alloc(a, n + 1);
  if (copy != NULL && n > 0) memcpy(copy, s, n);
  return copy;
}

char *launchers__take(launchers__arena *a, hato__buf *b) {
  const char *text = hato__buf_text(b);
  char *copy = text != NULL ? launchers__dup(a, text, b->len) : NULL;
  hato__buf_free(b);
  return copy;
}

void launchers__arena_free(launchers__arena *a) {
  while (a->head != NULL) {
    launchers__block *b = a->head;
    a->head = b->next;
    free(b);
  }
}

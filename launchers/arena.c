/* Memory that is freed all at once: the strings of a message, what an operation was given. Wiped, as a module
 * makes what it likes of a secret. */
#include "launchers/internal.h"
#include "base/secret.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

struct launchers__block {
  launchers__block *next;
  size_t size;
  bool secret;
  alignas(max_align_t) unsigned char bytes[];
};

static void *add(launchers__arena *a, size_t n, bool secret) {
  if (n > SIZE_MAX - sizeof(launchers__block)) return NULL;
  size_t size = sizeof(launchers__block) + n;
  launchers__block *b = secret ? hato__secret_alloc(size) : calloc(1, size);
  if (b == NULL) return NULL;
  b->size = size;
  b->secret = secret;
  b->next = a->head;
  a->head = b;
  return b->bytes;
}

void *launchers__alloc(launchers__arena *a, size_t n) { return add(a, n, false); }

char *launchers__dup(launchers__arena *a, const void *s, size_t n) {
  char *copy = launchers__alloc(a, n + 1);
  if (copy != NULL && n > 0) memcpy(copy, s, n);
  return copy;
}

char *launchers__dup_secret(launchers__arena *a, const void *s, size_t n) {
  char *copy = add(a, n + 1, true);
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
    if (b->secret) {
      hato__secret_free(b, b->size);
      continue;
    }
    explicit_bzero(b, b->size);
    free(b);
  }
}

/* What the fuzz targets share. A target has LLVMFuzzerTestOneInput: libFuzzer calls it, or driver.c. */
#ifndef HATO_TESTS_FUZZ_H
#define HATO_TESTS_FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must hold whatever the input is. */
#define require(holds)                                                              \
  do {                                                                              \
    if (!(holds)) {                                                                 \
      fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);    \
      abort();                                                                      \
    }                                                                               \
  } while (0)

/* A text of its own, up to the first zero byte. */
static inline char *fuzz_text(const uint8_t *data, size_t size) {
  char *text = malloc(size + 1);
  require(text != NULL);
  size_t n = strnlen((const char *)data, size);
  if (n > 0) memcpy(text, data, n);
  text[n] = 0;
  return text;
}

/* The input as texts, one up to each zero byte; the last may be NULL where there are fewer. They lie in *room. */
static inline size_t fuzz_texts(const uint8_t *data, size_t size, const char **texts, size_t max, char **room) {
  char *at = *room = malloc(size + 1);
  require(at != NULL);
  if (size > 0) memcpy(at, data, size);
  at[size] = 0;
  size_t n = 0;
  for (const char *end = at + size; n < max && at <= end; at += strlen(at) + 1) texts[n++] = at;
  return n;
}

#endif

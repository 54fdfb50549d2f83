/* Bytes that grow, and the clock. */
#include "ssh.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

uint64_t ssh_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* By copying, so that nothing of a secret stays in memory that was freed. */
static bool grow(ssh_text *t, size_t need) {
  if (need <= t->max) return true;
  size_t max = t->max > 0 ? t->max : 512;
  while (max < need) max *= 2;
  char *data = malloc(max);
  t->failed = data == NULL;
  if (data == NULL) return false;
  if (t->len > 0) memcpy(data, t->data, t->len);
  if (t->data != NULL) explicit_bzero(t->data, t->max);
  free(t->data);
  t->data = data;
  t->max = max;
  return true;
}

void ssh_put(ssh_text *t, const void *bytes, size_t n) {
  if (n == 0 || t->failed || !grow(t, t->len + n + 1)) return;
  memcpy(t->data + t->len, bytes, n);
  t->len += n;
  t->data[t->len] = 0;
}

void ssh_puts(ssh_text *t, const char *text) { ssh_put(t, text, strlen(text)); }

void ssh_putf(ssh_text *t, const char *format, ...) {
  va_list ap;
  char *text = NULL;
  va_start(ap, format);
  int n = vasprintf(&text, format, ap);
  va_end(ap);
  t->failed |= n < 0;
  if (n >= 0) ssh_put(t, text, (size_t)n);
  if (n >= 0) free(text);
}

void ssh_cut(ssh_text *t, size_t n) {
  if (n == 0) return;
  memmove(t->data, t->data + n, t->len - n);
  explicit_bzero(t->data + t->len - n, n);
  t->len -= n;
  t->data[t->len] = 0;
}

void ssh_text_free(ssh_text *t) {
  if (t->data != NULL) explicit_bzero(t->data, t->max);
  free(t->data);
  *t = (ssh_text){0};
}

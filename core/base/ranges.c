#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool number(const char **s, uint64_t *out) {
  const char *end = *s;
  while (*end >= '0' && *end <= '9') end++;
  size_t n = (size_t)(end - *s);
  char digits[24];
  if (n == 0 || n >= sizeof digits) return false;
  memcpy(digits, *s, n);
  digits[n] = 0;
  *s = end;
  return hato__parse_u64(digits, out);
}

hato_status hato__ranges_parse(const char *text, hato__range **ranges, size_t *n, hato_error *err) {
  hato__error_clear(err);
  size_t before = *n;
  const char *at = text;
  for (;;) {
    hato__range r = {0};
    bool ok = number(&at, &r.first);
    r.last = r.first;
    if (ok && *at == '-') {
      at++;
      ok = number(&at, &r.last);
    }
    if (!ok || (*at != ',' && *at != 0)) {
      *n = before;
      return hato__fail(err, HATO_INVALID, "'%s' is not a list of task numbers such as 3, 1-10 or 1-3,7",
                        text);
    }
    if (r.first > r.last) {
      *n = before;
      return hato__fail(err, HATO_INVALID, "'%s': the range %llu-%llu ends before it begins", text,
                        (unsigned long long)r.first, (unsigned long long)r.last);
    }
    hato__range *grown = reallocarray(*ranges, *n + 1, sizeof **ranges);
    if (grown == NULL) {
      *n = before;
      return hato__fail(err, HATO_NO_MEMORY, "no memory for the ranges of '%s'", text);
    }
    grown[(*n)++] = r;
    *ranges = grown;
    if (*at++ == 0) return HATO_OK;
  }
}

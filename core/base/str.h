/* Strings, shell quoting, numbers and sizes in words. */
#ifndef HATO_BASE_STR_H
#define HATO_BASE_STR_H

#include "hato/status.h"
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

char *hato__printf(const char *fmt, ...) __attribute__((format(printf, 1, 2))); /* malloc'd or NULL */
char *hato__strndup(const char *s, size_t n);
/* Frees a NULL-terminated list of malloc'd texts, and them. NULL is fine. */
void hato__texts_free(char **texts);
/* One POSIX-shell word for s: unchanged when it has only safe characters, else
 * in single quotes. Appended to out. */
void hato__sh_quote(hato__buf *out, const char *s, size_t n);
/* True when a word has blanks or characters that a shell would interpret. */
bool hato__sh_special(const char *s);
/* '?' for what is no UTF-8 and for control characters; lines: but for ends of lines and tabs. */
void hato__clean(char *text, bool lines);
/* Whole-string parses; false when anything else stands in s. */
bool hato__parse_u64(const char *s, uint64_t *out);
bool hato__parse_i64(const char *s, int64_t *out);
bool hato__parse_size(const char *s, uint64_t *out); /* 10, 4K, 16M, 2G (powers of 1024) -> bytes */
bool hato__parse_duration(
    const char *s,
    uint64_t *ns); /* 10, 1.5, 200ms, 30s, 5m, 2h, 1d, 1:30:00 -> ns; plain numbers are seconds */
/* The nearest of names (NULL-terminated) by edit distance, or NULL when none is near. */
const char *hato__nearest(const char *word, const char *const *names);
void hato__hex(char *out, const void *data, size_t n);  /* 2n+1 bytes */
void hato__base64(char *out, const void *data, size_t n); /* with =; (n + 2) / 3 * 4 + 1 bytes */
bool hato__unhex(void *out, size_t n, const char *hex); /* exactly 2n digits */
bool hato__unhex_n(void *out, size_t n, const char *hex, size_t len); /* the same of a text that does not end with zero */

/* A list of task-number ranges: "3", "1-10", "1-3,7", several joined. */
typedef struct hato__range {
  uint64_t first, last; /* inclusive, first <= last */
} hato__range;
/* Appends to a malloc'd array. Bad text: HATO_INVALID with words. */
hato_status hato__ranges_parse(const char *text, hato__range **ranges, size_t *n, hato_error *err);

#endif

#include "base/str.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *hato__printf(const char *fmt, ...) {
  char *out = NULL;
  va_list ap;
  va_start(ap, fmt);
  int n = vasprintf(&out, fmt, ap);
  va_end(ap);
  return n < 0 ? NULL : out;
}

char *hato__strndup(const char *s, size_t n) { return strndup(s, n); }

/* Bytes above 127 are letters of some script; every POSIX shell takes them as they are. */
static bool sh_safe(unsigned char c) {
  if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c >= 128) return true;
  return c != 0 && strchr("_-./:=@%+,", c) != NULL;
}

void hato__texts_free(char **texts) {
  for (char **t = texts; t && *t; t++) free(*t);
  free(texts);
}

void hato__sh_quote(hato__buf *out, const char *s, size_t n) {
  bool safe = n > 0;
  for (size_t i = 0; i < n && safe; i++) safe = sh_safe((unsigned char)s[i]);
  if (safe) {
    hato__buf_append(out, s, n);
    return;
  }
  hato__buf_u8(out, '\'');
  for (size_t i = 0; i < n; i++) {
    if (s[i] == '\'')
      hato__buf_append(out, "'\\''", 4);
    else
      hato__buf_u8(out, (uint8_t)s[i]);
  }
  hato__buf_u8(out, '\'');
}

bool hato__sh_special(const char *s) { return strpbrk(s, " \t\n|&;<>()$`\\\"'*?[]#~!{}") != NULL; }

void hato__hex(char *out, const void *data, size_t n) {
  static const char digits[] = "0123456789abcdef";
  const uint8_t *at = data;
  for (size_t i = 0; i < n; i++) {
    out[2 * i] = digits[at[i] >> 4];
    out[2 * i + 1] = digits[at[i] & 15];
  }
  out[2 * n] = 0;
}

void hato__base64(char *out, const void *data, size_t n) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const uint8_t *at = data;
  for (; n > 0; at += 3, out += 4) {
    size_t k = n < 3 ? n : 3;
    uint32_t word = (uint32_t)at[0] << 16 | (k > 1 ? (uint32_t)at[1] << 8 : 0) | (k > 2 ? at[2] : 0u);
    for (size_t i = 0; i < 4; i++) out[i] = i <= k ? digits[word >> (18 - 6 * i) & 63] : '=';
    n -= k;
  }
  *out = 0;
}

static int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool hato__unhex(void *out, size_t n, const char *hex) { return hato__unhex_n(out, n, hex, strlen(hex)); }

bool hato__unhex_n(void *out, size_t n, const char *hex, size_t len) {
  uint8_t *at = out;
  if (len % 2 != 0 || len / 2 != n) return false;
  for (size_t i = 0; i < n; i++) {
    int hi = hex_digit(hex[2 * i]);
    int lo = hi < 0 ? -1 : hex_digit(hex[2 * i + 1]);
    if (lo < 0) return false;
    at[i] = (uint8_t)(hi << 4 | lo);
  }
  return true;
}

#define LONGEST_WORD 64

static size_t min2(size_t a, size_t b) { return a < b ? a : b; }

/* Optimal string alignment: insert, delete, replace, swap of neighbours. */
static size_t edit_distance(const char *a, size_t na, const char *b, size_t nb) {
  size_t rows[3][LONGEST_WORD + 1];
  for (size_t j = 0; j <= nb; j++) rows[0][j] = j;
  for (size_t i = 1; i <= na; i++) {
    size_t *row = rows[i % 3], *up = rows[(i + 2) % 3], *up2 = rows[(i + 1) % 3];
    row[0] = i;
    for (size_t j = 1; j <= nb; j++) {
      size_t d = min2(up[j] + 1, row[j - 1] + 1);
      d = min2(d, up[j - 1] + (a[i - 1] != b[j - 1]));
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) d = min2(d, up2[j - 2] + 1);
      row[j] = d;
    }
  }
  return rows[na % 3][nb];
}

const char *hato__nearest(const char *word, const char *const *names) {
  size_t n = strlen(word);
  const char *best = NULL;
  size_t best_d = SIZE_MAX;
  if (n == 0 || n > LONGEST_WORD) return NULL;
  for (; *names != NULL; names++) {
    size_t m = strlen(*names);
    if (m == 0 || m > LONGEST_WORD) continue;
    size_t longer = n > m ? n : m;
    size_t d = edit_distance(word, n, *names, m);
    /* A beginning of the name is as near as one slip. */
    if (n >= 2 && n < m && memcmp(word, *names, n) == 0) d = 1;
    if (d > (longer + 2) / 3 || d >= longer || d >= best_d) continue;
    best = *names;
    best_d = d;
  }
  return best;
}

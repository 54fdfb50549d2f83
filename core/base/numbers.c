/* Numbers, sizes and durations from words; whole strings or nothing. */
#include "base/clock.h"
#include "base/str.h"

#include <string.h>

/* Digits at *s; false when there is none or the number does not fit. */
static bool digits(const char **s, uint64_t *out) {
  uint64_t v = 0;
  const char *at = *s;
  if (*at < '0' || *at > '9') return false;
  for (; *at >= '0' && *at <= '9'; at++) {
    if (__builtin_mul_overflow(v, (uint64_t)10, &v)) return false;
    if (__builtin_add_overflow(v, (uint64_t)(*at - '0'), &v)) return false;
  }
  *s = at;
  *out = v;
  return true;
}

/* A number with an optional fraction, as whole and billionths. Not strtod: that
 * obeys the host program's locale. */
typedef struct decimal {
  uint64_t whole;
  uint64_t nano;
} decimal;

static bool parse_decimal(const char **s, decimal *out) {
  const char *at = *s;
  *out = (decimal){0};
  if (*at != '.' && !digits(&at, &out->whole)) return false;
  if (*at == '.') {
    at++;
    if (*at < '0' || *at > '9') return false;
    uint64_t unit = HATO__SEC / 10;
    for (; *at >= '0' && *at <= '9'; at++, unit /= 10) out->nano += unit * (uint64_t)(*at - '0');
  }
  *s = at;
  return true;
}

/* d * unit, rounded down; false when it does not fit. */
static bool scale(decimal d, uint64_t unit, uint64_t *out) {
  unsigned __int128 v = (unsigned __int128)d.whole * unit;
  v += (unsigned __int128)d.nano * unit / HATO__SEC;
  if (v > UINT64_MAX) return false;
  *out = (uint64_t)v;
  return true;
}

bool hato__parse_u64(const char *s, uint64_t *out) {
  uint64_t v;
  if (!digits(&s, &v) || *s != 0) return false;
  *out = v;
  return true;
}

bool hato__parse_i64(const char *s, int64_t *out) {
  bool negative = *s == '-';
  uint64_t v;
  if (*s == '-' || *s == '+') s++;
  if (!hato__parse_u64(s, &v)) return false;
  if (v > (uint64_t)INT64_MAX + negative) return false;
  *out = negative ? (int64_t)(0 - v) : (int64_t)v;
  return true;
}

bool hato__parse_size(const char *s, uint64_t *out) {
  static const char units[] = "KMGTPE";
  decimal d;
  uint64_t unit = 1;
  if (!parse_decimal(&s, &d)) return false;
  if (*s != 0 && *s != 'B' && *s != 'b') {
    const char *u = strchr(units, *s >= 'a' && *s <= 'z' ? *s - 'a' + 'A' : *s);
    if (u == NULL) return false;
    unit = UINT64_C(1) << (10 * (u - units + 1));
    s++;
    if (*s == 'i' && (s[1] == 'B' || s[1] == 'b')) s++;
  } else if (d.nano != 0) {
    return false; /* no fractions of a byte */
  }
  if (*s == 'B' || *s == 'b') s++;
  return *s == 0 && scale(d, unit, out);
}

/* The unit at *s in ns; seconds when the text ends; 0 when unknown. */
static uint64_t duration_unit(const char **s) {
  static const struct {
    const char *name;
    uint64_t ns;
  } units[] = {{"ns", 1},
               {"us", HATO__US},
               {"ms", HATO__MS},
               {"s", HATO__SEC},
               {"m", 60 * HATO__SEC},
               {"min", 60 * HATO__SEC},
               {"h", 3600 * HATO__SEC},
               {"d", 86400 * HATO__SEC}};
  size_t n = strcspn(*s, "0123456789.");
  if (n == 0) return **s == 0 ? HATO__SEC : 0;
  for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
    if (strlen(units[i].name) != n || strncmp(*s, units[i].name, n) != 0) continue;
    *s += n;
    return units[i].ns;
  }
  return 0;
}

/* M:S, H:M:S and D-H:M:S, the last part with a fraction if need be. */
static bool parse_clock(const char *s, uint64_t *ns) {
  uint64_t total = 0, days = 0;
  const char *dash = strchr(s, '-');
  if (dash != NULL) {
    if (!digits(&s, &days) || s != dash) return false;
    s++;
  }
  for (int part = 0; part < 3; part++) {
    decimal d;
    uint64_t v;
    if (!parse_decimal(&s, &d) || (part > 0 && d.whole > 59)) return false;
    if (*s == ':' && d.nano != 0) return false;
    if (!scale(d, HATO__SEC, &v)) return false;
    if (__builtin_mul_overflow(total, (uint64_t)60, &total)) return false;
    if (__builtin_add_overflow(total, v, &total)) return false;
    if (*s == 0) {
      if (part == 0 || (dash != NULL && part != 2)) return false;
      uint64_t d_ns;
      if (__builtin_mul_overflow(days, 86400 * HATO__SEC, &d_ns)) return false;
      return !__builtin_add_overflow(total, d_ns, ns);
    }
    if (*s++ != ':') return false;
  }
  return false;
}

bool hato__parse_duration(const char *s, uint64_t *ns) {
  uint64_t total = 0;
  if (strchr(s, ':') != NULL) {
    uint64_t v;
    if (!parse_clock(s, &v)) return false;
    *ns = v;
    return true;
  }
  /* 1h30m is the sum of its parts; only a lone number may go without unit. */
  for (int parts = 0;; parts++) {
    decimal d;
    uint64_t v;
    if (!parse_decimal(&s, &d)) return false;
    if (*s == 0 && parts > 0) return false;
    uint64_t unit = duration_unit(&s);
    if (unit == 0 || !scale(d, unit, &v)) return false;
    if (__builtin_add_overflow(total, v, &total)) return false;
    if (*s == 0) break;
  }
  *ns = total;
  return true;
}

/* Reading what schedulers print: rows of a status output, ids, numbers of members, words of states. Without
 * the host, so that any bytes can be tried on it. */
#include "command.h"

#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

static const char *const field_names[COMMAND_FIELDS] = {"id", "state", "member", "reason", "host", "exit"};

#define BLANKS " ,\t"

/* ---- patterns ---- */

static bool fields_of(const char *text, size_t groups, int group[COMMAND_FIELDS], char *words, size_t n) {
  size_t k = 0;
  for (const char *at = text + strspn(text, BLANKS); *at != 0; at += strspn(at, BLANKS)) {
    size_t len = strcspn(at, BLANKS), f = 0;
    while (f < COMMAND_FIELDS && (strlen(field_names[f]) != len || memcmp(field_names[f], at, len) != 0)) f++;
    bool skipped = len == 1 && *at == '-';
    if (f == COMMAND_FIELDS && !skipped) {
      (void)snprintf(words, n,
                     "status-fields has '%.*s', expected id, state, member, reason, host, exit or -",
                     (int)(len < 40 ? len : 40), at);
      return false;
    }
    k++;
    if (k > groups || k >= COMMAND_GROUPS) {
      (void)snprintf(words, n, "status-fields '%s' names more groups than the %zu that its status-row has",
                     text, groups);
      return false;
    }
    if (!skipped) group[f] = (int)k;
    at += len;
  }
  return true;
}

bool hato__command_compile(const char *const *rows, const char *const *fields, command_patterns *out,
                           char *words, size_t n) {
  static const char *const any_row[] = {"^[[:blank:]]*([^[:blank:]]+)[[:blank:]]+([^[:blank:]]+)", NULL};
  const char *names = "id state";
  bool state = false;
  *out = (command_patterns){0};
  if (rows[0] == NULL) rows = any_row;
  for (uint32_t i = 0; rows[i] != NULL; i++) {
    if (i == COMMAND_PATTERNS) {
      (void)snprintf(words, n, "status-row is given more than %d times", COMMAND_PATTERNS);
      goto fail;
    }
    int e = regcomp(&out->row[i].re, rows[i], REG_EXTENDED);
    if (e != 0) {
      char why[100];
      (void)regerror(e, &out->row[i].re, why, sizeof why);
      (void)snprintf(words, n, "status-row '%s' is no extended regular expression: %s", rows[i], why);
      goto fail;
    }
    out->n = i + 1;
    if (*fields != NULL) names = *fields++; /* the last one stands for all that follow */
    if (!fields_of(names, out->row[i].re.re_nsub, out->row[i].group, words, n)) goto fail;
    if (out->row[i].group[COMMAND_ID] == 0) {
      (void)snprintf(words, n, "status-fields '%s' has no id", names);
      goto fail;
    }
    state |= out->row[i].group[COMMAND_STATE] != 0;
  }
  if (state && *fields == NULL) return true;
  (void)snprintf(
      words, n, state ? "status-fields is given more often than status-row" : "no status-fields has a state");
fail:
  hato__command_patterns_free(out);
  return false;
}

void hato__command_patterns_free(command_patterns *p) {
  for (uint32_t i = 0; i < p->n; i++) regfree(&p->row[i].re);
  p->n = 0;
}

/* The next line, ended by a NUL, without what ends lines elsewhere. */
static char *next_line(char **text) {
  char *line = *text, *end = strchr(line, '\n');
  if (*line == 0) return NULL;
  *text = end != NULL ? end + 1 : line + strlen(line);
  if (end != NULL) *end = 0;
  size_t n = strlen(line);
  if (n > 0 && line[n - 1] == '\r') line[n - 1] = 0;
  return line;
}

bool hato__command_next_row(const command_patterns *p, char **text, command_text out[COMMAND_FIELDS]) {
  for (char *line; (line = next_line(text)) != NULL;) {
    for (uint32_t i = 0; i < p->n; i++) {
      regmatch_t m[COMMAND_GROUPS];
      if (regexec(&p->row[i].re, line, COMMAND_GROUPS, m, 0) != 0) continue;
      for (int f = 0; f < COMMAND_FIELDS; f++) {
        const regmatch_t *g = &m[p->row[i].group[f]];
        bool there = p->row[i].group[f] != 0 && g->rm_so >= 0 && g->rm_eo > g->rm_so;
        out[f] = there ? (command_text){line + g->rm_so, (size_t)(g->rm_eo - g->rm_so)} : (command_text){0};
      }
      if (out[COMMAND_ID].at != NULL) return true;
    }
  }
  return false;
}

/* ---- numbers ---- */

static bool number(const char **at, const char *end, uint64_t *out) {
  const char *from = *at;
  *out = 0;
  for (; *at < end && **at >= '0' && **at <= '9' && *at - from < 10; (*at)++)
    *out = *out * 10 + (uint64_t)(**at - '0');
  return *at > from;
}

bool hato__command_numbers(command_text text, uint32_t first, uint32_t count,
                           void (*found)(void *arg, uint32_t member), void *arg) {
  const char *at = text.at, *end = text.at + text.len;
  for (;;) {
    uint64_t from, to, step = 1;
    if (!number(&at, end, &from)) return false;
    to = from;
    if (at < end && *at == '-') {
      at++;
      if (!number(&at, end, &to)) return false;
    }
    if (at < end && (*at == ':' || *at == '/')) {
      at++;
      if (!number(&at, end, &step) || step == 0) return false;
    }
    if (from < first) from += (first - from + step - 1) / step * step;
    uint64_t last = (uint64_t)first + count - 1;
    for (uint64_t i = from; i <= to && i <= last; i += step) found(arg, (uint32_t)(i - first));
    if (at < end && *at == '%') at = end; /* "1-50%5": how many at once */
    if (at == end) return true;
    if (*at++ != ',') return false;
  }
}

/* ---- words ---- */

bool hato__command_in(const char *patterns, const char *word) {
  for (const char *at = patterns; at != NULL && *(at += strspn(at, BLANKS)) != 0;) {
    char one[64];
    size_t n = strcspn(at, BLANKS);
    (void)snprintf(one, sizeof one, "%.*s", (int)(n < sizeof one ? n : sizeof one - 1), at);
    if (fnmatch(one, word, 0) == 0) return true;
    at += n;
  }
  return false;
}

/* ---- ids ---- */

static bool usable(const char *s) {
  size_t n = 0;
  for (; s[n] != 0; n++) {
    if ((unsigned char)s[n] <= ' ' || s[n] == 0x7f) return false;
  }
  return n > 0 && n <= COMMAND_ID_MAX;
}

uint32_t hato__command_ids(const char *expression, char *text, const char **ids, uint32_t max) {
  regex_t re;
  uint32_t n = 0;
  if (regcomp(&re, expression != NULL ? expression : "([^[:space:]]+)", REG_EXTENDED) != 0) return 0;
  for (char *line; (line = next_line(&text)) != NULL;) {
    regmatch_t m[2];
    if (regexec(&re, line, 2, m, 0) != 0) continue;
    const regmatch_t *g = m[1].rm_so >= 0 ? &m[1] : &m[0];
    line[g->rm_eo] = 0;
    if (!usable(line + g->rm_so)) continue;
    if (n < max) ids[n] = line + g->rm_so;
    n++;
    if (expression == NULL) break;
  }
  regfree(&re);
  return n;
}

/* A number that is written as it would be printed. */
static bool plain(const char *s, uint64_t *out) {
  size_t n = strspn(s, "0123456789");
  if (n == 0 || n > 18 || s[n] != 0 || (s[0] == '0' && n > 1)) return false;
  *out = strtoull(s, NULL, 10);
  return true;
}

bool hato__command_pack(const char *const *ids, uint32_t n, char *out, size_t max) {
  size_t len = 0;
  out[0] = 0;
  for (uint32_t i = 0; i < n;) {
    uint64_t from, next;
    uint32_t k = i + 1;
    if (plain(ids[i], &from)) {
      while (k < n && plain(ids[k], &next) && next == from + (k - i)) k++;
    }
    const char *gap = i > 0 ? " " : "";
    int w = k - i > 1 ? snprintf(out + len, max - len, "%s%s..%s", gap, ids[i], ids[k - 1])
                      : snprintf(out + len, max - len, "%s%s", gap, ids[i]);
    if (w < 0 || (size_t)w >= max - len) return false;
    len += (size_t)w;
    i = k;
  }
  return true;
}

static uint32_t unpack_word(const char *word, char **ids, uint32_t room) {
  char copy[COMMAND_ID_MAX + 1], one[24];
  uint64_t from, to;
  (void)snprintf(copy, sizeof copy, "%s", word);
  char *dots = strstr(copy, "..");
  if (dots != NULL) *dots = 0;
  if (dots == NULL || !plain(copy, &from) || !plain(dots + 2, &to)) {
    ids[0] = room > 0 ? strdup(word) : NULL;
    return room > 0 && ids[0] != NULL ? 1 : 0;
  }
  if (to <= from || to - from >= room) return 0;
  for (uint64_t i = from; i <= to; i++) {
    (void)snprintf(one, sizeof one, "%llu", (unsigned long long)i);
    ids[i - from] = strdup(one);
    if (ids[i - from] == NULL) return 0;
  }
  return (uint32_t)(to - from + 1);
}

uint32_t hato__command_unpack(const char *text, char **ids, uint32_t n) {
  uint32_t k = 0;
  bool fine = true;
  memset(ids, 0, n * sizeof *ids);
  while (fine && *(text += strspn(text, " \n")) != 0) {
    char word[COMMAND_ID_MAX + 1];
    size_t len = strcspn(text, " \n");
    fine = len < sizeof word && k < n;
    if (!fine) break;
    memcpy(word, text, len);
    word[len] = 0;
    text += len;
    uint32_t got = usable(word) ? unpack_word(word, ids + k, n - k) : 0;
    fine = got > 0;
    k += got;
  }
  if (fine) return k;
  for (uint32_t i = 0; i < n; i++) {
    free(ids[i]);
    ids[i] = NULL;
  }
  return 0;
}

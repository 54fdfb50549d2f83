/* Words that people, files and other programs give: numbers, sizes, durations, ranges of tasks, hexadecimal digits,
 * quoting for a shell, texts that are shown. The first byte says which. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "fuzz/fuzz.h"

#include <inttypes.h>

static void numbers(const char *text) {
  uint64_t u = 0, size = 0, ns = 0;
  int64_t i = 0;
  char again[32];
  if (hato__parse_u64(text, &u)) {
    uint64_t same = 0;
    (void)snprintf(again, sizeof again, "%" PRIu64, u);
    require(hato__parse_u64(again, &same) && same == u);
    require(hato__parse_size(text, &size) && size == u);
    bool fits = u <= UINT64_MAX / HATO__SEC;
    require(hato__parse_duration(text, &ns) == fits && (!fits || ns == u * HATO__SEC));
    require(hato__parse_i64(text, &i) == (u <= INT64_MAX) && (u > INT64_MAX || i == (int64_t)u));
  }
  if (hato__parse_i64(text, &i)) {
    int64_t same = 0;
    (void)snprintf(again, sizeof again, "%" PRId64, i);
    require(hato__parse_i64(again, &same) && same == i);
  }
  if (hato__parse_size(text, &size)) {
    (void)snprintf(again, sizeof again, "%" PRIu64, size);
    require(hato__parse_size(again, &u) && u == size);
  }
  if (hato__parse_duration(text, &ns)) {
    (void)snprintf(again, sizeof again, "%" PRIu64 "ns", ns);
    require(hato__parse_duration(again, &u) && u == ns);
  }
}

/* Written again a list is read as the same; a bad one leaves what was there before. */
static void ranges(const char *text) {
  hato__range *r = NULL, *again = NULL;
  size_t n = 0, m = 0;
  hato_error err;
  require(hato__ranges_parse("7-8", &r, &n, &err) == HATO_OK && n == 1);
  hato_status st = hato__ranges_parse(text, &r, &n, &err);
  require(r[0].first == 7 && r[0].last == 8);
  if (st != HATO_OK) {
    require(st == HATO_INVALID && n == 1 && err.text[0] != 0);
  } else {
    require(n > 1 && n - 1 <= strlen(text) / 2 + 1);
    hato__buf b = {0};
    for (size_t i = 1; i < n; i++) {
      require(r[i].first <= r[i].last);
      hato__buf_printf(&b, "%s%" PRIu64 "-%" PRIu64, i > 1 ? "," : "", r[i].first, r[i].last);
    }
    require(hato__ranges_parse(hato__buf_text(&b), &again, &m, &err) == HATO_OK && m == n - 1);
    require(memcmp(again, r + 1, m * sizeof *r) == 0);
    hato__buf_free(&b);
  }
  free(r);
  free(again);
}

/* What a shell takes for one word, taken back; NULL: it is none, or more. */
static char *unquote(const char *word, size_t n) {
  char *out = malloc(n + 1);
  size_t len = 0;
  bool inside = false, ok = n > 0;
  require(out != NULL);
  for (size_t i = 0; i < n && ok; i++) {
    if (word[i] == '\'')
      inside = !inside;
    else if (inside)
      out[len++] = word[i];
    else if (word[i] == '\\' && i + 1 < n)
      out[len++] = word[++i];
    else if (strchr(" \t\n|&;<>()$`\\\"*?[]#~!{}^", word[i]) == NULL)
      out[len++] = word[i];
    else
      ok = false;
  }
  out[len] = 0;
  if (ok && !inside) return out;
  free(out);
  return NULL;
}

static void quoted(const char *text) {
  hato__buf b = {0};
  hato__sh_quote(&b, text, strlen(text));
  require(!b.failed && b.len <= 4 * strlen(text) + 2);
  char *back = unquote((const char *)b.data, b.len);
  require(back != NULL && strcmp(back, text) == 0);
  free(back);
  hato__buf_free(&b);
}

/* Shown texts have no control characters and are UTF-8, and cleaning them again changes nothing. */
static void cleaned(char *text, bool lines) {
  size_t before = strlen(text);
  hato__clean(text, lines);
  require(strlen(text) <= before);
  for (const unsigned char *c = (const unsigned char *)text; *c != 0; c++)
    require((*c >= 0x20 && *c != 0x7f) || (lines && (*c == '\n' || *c == '\t')));
  char *again = strdup(text);
  require(again != NULL);
  hato__clean(again, lines);
  require(strcmp(again, text) == 0);
  free(again);
}

static void digits(const char *text) {
  uint8_t bytes[32];
  char again[65];
  if (hato__unhex(bytes, sizeof bytes, text)) {
    hato__hex(again, bytes, sizeof bytes);
    require(strlen(text) == 64 && strcasecmp(text, again) == 0);
  }
  static const char *const names[] = {"slots", "memory", "launcher", "a-name-that-is-quite-long", "", NULL};
  const char *near = hato__nearest(text, names);
  for (size_t i = 0; near != NULL && names[i] != near; i++) require(names[i] != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  char *text = fuzz_text(data + 1, size - 1);
  switch (data[0]) {
  case 'n': numbers(text); break;
  case 'r': ranges(text); break;
  case 'q': quoted(text); break;
  case 'c': cleaned(text, false); break;
  case 'l': cleaned(text, true); break;
  default: digits(text);
  }
  free(text);
  return 0;
}

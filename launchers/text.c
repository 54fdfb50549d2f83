/* Services that make text: formats, shell words, templates. */
#include "launchers/internal.h"
#include "base/error.h"
#include "base/str.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static char *take(const hato_host *h, hato__buf *b) {
  char *s = launchers__take(&launchers__runner_of(h)->scratch, b);
  if (s == NULL) (void)h->fail(h, HATO_NO_MEMORY, "no memory for a text");
  return s;
}

static char *__attribute__((format(printf, 2, 3))) do_format(const hato_host *h, const char *fmt, ...) {
  char *text = NULL;
  va_list ap;
  va_start(ap, fmt);
  int n = vasprintf(&text, fmt, ap);
  va_end(ap);
  hato__buf b = {.failed = n < 0};
  if (n >= 0) {
    hato__buf_append(&b, text, (size_t)n);
    free(text);
  }
  return take(h, &b);
}

static void quote_all(hato__buf *out, const char *const *words) {
  for (size_t i = 0; words[i] != NULL; i++) {
    if (i > 0) hato__buf_u8(out, ' ');
    hato__sh_quote(out, words[i], strlen(words[i]));
  }
}

static char *do_quote(const hato_host *h, const char *word) {
  hato__buf b = {0};
  hato__sh_quote(&b, word, strlen(word));
  return take(h, &b);
}

static char *do_quote_words(const hato_host *h, const char *const *words) {
  hato__buf b = {0};
  quote_all(&b, words);
  return take(h, &b);
}

/* sh -c '…' in a form that sh, csh and fish read alike: inside single quotes csh takes a "!" and
 * fish a "\" as special, so those stand outside of them, behind a "\". */
static char *do_quote_ssh(const hato_host *h, const char *const *words) {
  hato__buf inner = {0}, b = {0};
  quote_all(&inner, words);
  hato__buf_append(&b, "exec sh -c '", 12);
  for (size_t i = 0; i < inner.len; i++) {
    uint8_t c = inner.data[i];
    if (c == '\'' || c == '\\' || c == '!') {
      hato__buf_append(&b, "'\\", 2);
      hato__buf_u8(&b, c);
      hato__buf_u8(&b, '\'');
    } else {
      hato__buf_u8(&b, c);
    }
  }
  hato__buf_u8(&b, '\'');
  b.failed |= inner.failed;
  hato__buf_free(&inner);
  return take(h, &b);
}

/* ---- templates ---- */

static const char *value_of(const char *name, size_t n, const hato_template_value *values, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    if (strlen(values[i].name) == n && memcmp(values[i].name, name, n) == 0)
      return values[i].value != NULL ? values[i].value : "";
  }
  return NULL;
}

static void unknown(const hato_host *h, const char *name, size_t n, const hato_template_value *values,
                    uint32_t count) {
  const char **names = calloc((size_t)count + 1, sizeof *names);
  char word[80];
  (void)snprintf(word, sizeof word, "%.*s", (int)(n < sizeof word ? n : sizeof word - 1), name);
  for (uint32_t i = 0; names != NULL && i < count; i++) names[i] = values[i].name;
  const char *near = names != NULL ? hato__nearest(word, names) : NULL;
  if (near != NULL)
    (void)h->fail(h, HATO_INVALID, "the template has {%s}, which is not known; did you mean {%s}?", word,
                  near);
  else
    (void)h->fail(h, HATO_INVALID, "the template has {%s}, which is not known", word);
  free(names);
}

/* At a brace: what stands in it goes out; returns how far the template was read, 0: it failed. */
static size_t expand_one(const hato_host *h, const char *at, const hato_template_value *values,
                         uint32_t count, hato__buf *out) {
  if (at[1] == '{') {
    hato__buf_u8(out, '{');
    return 2;
  }
  size_t n = strspn(at + 1, "abcdefghijklmnopqrstuvwxyz0123456789_-");
  bool quoted = strncmp(at + 1 + n, ":q}", 3) == 0;
  if (n == 0 || (!quoted && at[1 + n] != '}')) {
    hato__buf_u8(out, '{');
    return 1;
  }
  const char *value = value_of(at + 1, n, values, count);
  if (value == NULL) {
    unknown(h, at + 1, n, values, count);
    return 0;
  }
  if (quoted)
    hato__sh_quote(out, value, strlen(value));
  else
    hato__buf_append(out, value, strlen(value));
  return n + (quoted ? 4 : 2);
}

static char *do_expand(const hato_host *h, const char *text, const hato_template_value *values, uint32_t n) {
  hato__buf b = {0};
  while (*text != 0) {
    if (*text != '{') {
      hato__buf_u8(&b, (uint8_t)*text++);
      continue;
    }
    size_t read = expand_one(h, text, values, n, &b);
    if (read == 0) {
      hato__buf_free(&b);
      return NULL;
    }
    text += read;
  }
  return take(h, &b);
}

void launchers__services_text(hato_host *h) {
  h->format = do_format;
  h->quote = do_quote;
  h->quote_words = do_quote_words;
  h->quote_ssh = do_quote_ssh;
  h->expand = do_expand;
}

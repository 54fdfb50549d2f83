/* Templates of the launchers ({name}, {name:q}) and the quoting of words for sh and for any login shell behind ssh:
 * what is quoted is read back as the same words. An input is a template and words, parted by zero bytes. */
#include "launchers/internal.h"
#include "base/str.h"
#include "fuzz/fuzz.h"

static int fail(const hato_host *h, int status, const char *format, ...) {
  (void)h;
  (void)format;
  return status;
}

/* One word as sh reads it, from *at on; what it says in out. */
static bool sh_word(const char **at, char *out) {
  bool inside = false;
  const char *s = *at;
  for (; *s != 0 && (inside || *s != ' '); s++) {
    if (*s == '\'')
      inside = !inside;
    else if (!inside && *s == '\\')
      *out++ = *++s;
    else if (inside || strchr("\t\n|&;<>()$`\"*?[]#~!{}^", *s) == NULL)
      *out++ = *s;
    else
      return false;
  }
  *out = 0;
  *at = *s == ' ' ? s + 1 : s;
  return !inside;
}

static void words_are(const char *text, const char *const *words) {
  char *word = malloc(strlen(text) + 1);
  require(word != NULL);
  for (; *words != NULL; words++) require(sh_word(&text, word) && strcmp(word, *words) == 0);
  require(*text == 0);
  free(word);
}

/* Without the login shell's layer, of which csh and fish read no more than these: '…', and \ before ' \ and !. */
static void login_shell(const char *text, const char *const *words) {
  static const char begin[] = "exec sh -c ";
  char *inner = malloc(strlen(text) + 1), *to = inner;
  bool inside = false;
  require(inner != NULL && strncmp(text, begin, strlen(begin)) == 0);
  for (const char *s = text + strlen(begin); *s != 0; s++) {
    if (*s == '\'') {
      inside = !inside;
    } else if (*s == '\\') {
      require(!inside && strchr("'\\!", s[1]) != NULL && s[1] != 0);
      *to++ = *++s;
    } else {
      require(inside && *s != '!');
      *to++ = *s;
    }
  }
  *to = 0;
  require(!inside);
  words_are(inner, words);
  free(inner);
}

/* A template of our own reading: the same but slowly. */
static bool expected(const char *t, const hato_template_value *v, uint32_t n, hato__buf *out) {
  while (*t != 0) {
    const char *close = strchr(t, '}');
    if (t[0] == '{' && t[1] == '{') {
      hato__buf_u8(out, '{');
      t += 2;
      continue;
    }
    size_t len = *t == '{' ? strspn(t + 1, "abcdefghijklmnopqrstuvwxyz0123456789_-") : 0;
    bool quoted = len > 0 && strncmp(t + 1 + len, ":q}", 3) == 0;
    if (len == 0 || close == NULL || (!quoted && t[1 + len] != '}')) {
      hato__buf_u8(out, (uint8_t)*t++);
      continue;
    }
    uint32_t i = 0;
    while (i < n && (strlen(v[i].name) != len || strncmp(v[i].name, t + 1, len) != 0)) i++;
    if (i == n) return false;
    const char *value = v[i].value != NULL ? v[i].value : "";
    if (quoted)
      hato__sh_quote(out, value, strlen(value));
    else
      hato__buf_append(out, value, strlen(value));
    t = close + 1;
  }
  return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  enum { MOST = 8 };
  const char *texts[MOST + 2] = {NULL};
  char *room;
  launchers__runner r = {0};
  hato_host h = {.size = sizeof h, .ctx = &r, .fail = fail};
  launchers__services_text(&h);
  size_t n = fuzz_texts(data, size, texts, MOST, &room);
  const hato_template_value values[] = {{"daemon", n > 1 ? texts[1] : NULL}, {"n", "12"}, {"log_dir", "/tmp/a b"}, {"id", n > 2 ? texts[2] : ""}};
  hato__buf want = {0};
  char *got = h.expand(&h, texts[0], values, 4);
  require(expected(texts[0], values, 4, &want) == (got != NULL));
  if (got != NULL) require(strlen(got) == want.len && memcmp(got, want.data != NULL ? want.data : (uint8_t *)got, want.len) == 0);
  if (n > 1) {
    words_are(h.quote_words(&h, texts + 1), texts + 1);
    login_shell(h.quote_ssh(&h, texts + 1), texts + 1);
    words_are(h.quote(&h, texts[1]), (const char *const[]){texts[1], NULL});
  }
  hato__buf_free(&want);
  launchers__arena_free(&r.scratch);
  free(room);
  return 0;
}

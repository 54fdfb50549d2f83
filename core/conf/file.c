/* The configuration file, over libinih. Its reader is called a line at a time,
 * which is how we know the line of each value; and since it says nothing of what
 * it drops (an unknown section without keys, the tail of a long line), the
 * reader here looks at each line first and refuses what would be lost. */
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "conf/internal.h"

#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST_FILE (1u << 20)
#define LONGEST_SECTION 120

typedef struct ini_text {
  const char *path;
  const hato__conf_sections *sections;
  hato_error *err;
  hato_status rc;

  const char *at, *end; /* what is not yet read */
  unsigned line;
  hato__buf text; /* the line in hand, less comments and blanks around it */
  size_t sent;    /* of text */
  bool continues; /* it continues the value above */
  bool glued;     /* what is given now is a further piece of a long line */
  size_t indent;  /* of the key above */

  hato__conf *conf; /* of the section we are in */
  char *key;        /* whose value is being gathered; NULL: none */
  hato__buf value;
  unsigned key_line;
} ini_text;

static bool blank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f' || c == '\r'; }

static bool alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

#define FAIL(t, ...) ((t)->rc = hato__fail((t)->err, HATO_INVALID, __VA_ARGS__))

static bool in_list(const char *const *names, const char *word) {
  for (; *names != NULL; names++) {
    if (strcmp(*names, word) == 0) return true;
  }
  return false;
}

static void open_section(ini_text *t, const char *kind, const char *name) {
  const char *gap = name[0] ? " " : "";
  t->conf = NULL;
  if (!in_list(t->sections->kinds, kind)) {
    const char *near = hato__nearest(kind, t->sections->kinds);
    if (near != NULL) {
      FAIL(t, "%s:%u: there is no section [%s%s%s]; did you mean [%s%s%s]?", t->path, t->line, kind, gap,
           name, near, gap, name);
    } else {
      FAIL(t, *kind ? "%s:%u: there is no section [%s%s%s]" : "%s:%u: a key before any [section]%s%s%s", t->path,
           t->line, kind, gap, name);
    }
    return;
  }
  hato_error why = {0};
  t->conf = t->sections->open(t->sections->arg, kind, name, &why);
  if (t->conf != NULL) return;
  FAIL(t, "%s:%u: [%s%s%s]: %s", t->path, t->line, kind, gap, name,
       why.text[0] ? why.text : "not allowed here");
}

/* "[kind name]" in t->text. */
static void read_section(ini_text *t) {
  char *s = hato__buf_text(&t->text);
  size_t n = t->text.len;
  if (s == NULL || n > LONGEST_SECTION || s[n - 1] != ']') {
    FAIL(t, "%s:%u: found '%.60s', wanted a section such as [profile NAME]", t->path, t->line, s ? s : "");
    return;
  }
  char copy[LONGEST_SECTION + 1];
  memcpy(copy, s + 1, n - 2);
  copy[n - 2] = 0;
  char *kind = copy;
  while (blank(*kind)) kind++;
  char *tail = kind + strlen(kind);
  while (tail > kind && blank(tail[-1])) *--tail = 0;
  char *name = kind;
  while (*name != 0 && !blank(*name)) name++;
  if (*name != 0) *name++ = 0;
  while (blank(*name)) name++;
  if (*kind == 0)
    FAIL(t, "%s:%u: the section has no name, wanted one such as [profile NAME]", t->path, t->line);
  else
    open_section(t, kind, name);
}

/* "\"a b\"" to "a b", in place; false when the quote is not closed. */
static bool unquote(char *s) {
  if (s[0] != '"') return true;
  char *out = s;
  for (const char *at = s + 1; *at != 0; at++) {
    if (*at == '"') {
      *out = 0;
      return at[1] == 0;
    }
    if (*at == '\\' && (at[1] == '"' || at[1] == '\\')) at++;
    *out++ = *at;
  }
  return false;
}

/* "key =" alone, of a list whose items are on the lines below. */
static bool no_item(const ini_text *t) {
  const hato__conf_row *row = t->conf != NULL ? hato__conf_find(t->conf, t->key) : NULL;
  return row != NULL && row->type == HATO__CONF_LIST && t->value.len == 0;
}

/* The value that was gathered goes to its row. */
static void flush(ini_text *t) {
  if (t->key == NULL) return;
  char *text = hato__buf_text(&t->value);
  char *where = hato__printf("%s:%u", t->path, t->key_line);
  if (t->rc != HATO_OK || no_item(t)) {
    /* The first error stands; an item that is none is passed over. */
  } else if (text == NULL || where == NULL) {
    t->rc = hato__fail(t->err, HATO_NO_MEMORY, "%s: no memory", t->path);
  } else if (!unquote(text)) {
    FAIL(t, "%s: %s: the value has no closing quote (a blank and ';' begin a comment)", where, t->key);
  } else {
    hato__conf_source source = t->sections->source ? t->sections->source : HATO__CONF_FROM_FILE;
    t->rc = hato__conf_set(t->conf, source, where, t->key, text, t->err);
    if (t->rc == HATO_NOT_FOUND) { /* that is for a file that is not there */
      t->rc = HATO_INVALID;
      if (t->err != NULL) t->err->status = HATO_INVALID;
    }
  }
  free(where);
  free(t->key);
  t->key = NULL;
  hato__buf_clear(&t->value);
}

static void begin_value(ini_text *t, const char *key) {
  flush(t);
  t->key = strdup(key);
  t->key_line = t->line;
  if (t->key == NULL) {
    t->rc = hato__fail(t->err, HATO_NO_MEMORY, "%s: no memory", t->path);
    return;
  }
  for (char *c = t->key; *c != 0; c++) {
    if (*c == '_') *c = '-';
  }
}

/* libinih's call for each value and for each line that continues one. */
static int on_value(void *user, const char *section, const char *name, const char *value) {
  ini_text *t = user;
  (void)section;
  if (t->rc != HATO_OK) return 0;
  if (t->glued) {
    hato__buf_append(&t->value, value, strlen(value));
  } else if (t->continues && t->key != NULL) {
    const hato__conf_row *row = hato__conf_find(t->conf, t->key);
    if (row != NULL && row->type == HATO__CONF_LIST) {
      char *key = strdup(t->key);
      if (key != NULL)
        begin_value(t, key);
      else
        t->rc = hato__fail(t->err, HATO_NO_MEMORY, "%s: no memory", t->path);
      free(key);
    } else if (t->value.len > 0) {
      hato__buf_u8(&t->value, ' ');
    }
    hato__buf_append(&t->value, value, strlen(value));
  } else {
    if (t->conf == NULL) open_section(t, "", "");
    if (t->rc != HATO_OK) return 0;
    begin_value(t, name);
    hato__buf_append(&t->value, value, strlen(value));
  }
  return t->rc == HATO_OK;
}

/* The next line into t->text without its comment and the blanks around it;
 * returns how many of those stood in front. */
static size_t take_line(ini_text *t) {
  const char *nl = memchr(t->at, '\n', (size_t)(t->end - t->at));
  const char *s = t->at, *e = nl ? nl : t->end;
  t->at = nl ? nl + 1 : t->end;
  t->line++;
  size_t indent = 0;
  while (s < e && blank(*s)) s++, indent++;
  if (s < e && (*s == '#' || *s == ';')) e = s;
  for (const char *c = s; c + 1 < e; c++) {
    if (blank(c[0]) && c[1] == ';') e = c;
  }
  while (e > s && blank(e[-1])) e--;
  hato__buf_clear(&t->text);
  hato__buf_append(&t->text, s, (size_t)(e - s));
  t->sent = 0;
  return indent;
}

/* Where to cut a line of which at most max bytes fit: between two letters or
 * digits, which libinih does not strip, and behind the '='. 0: nowhere. */
static size_t cut_at(const ini_text *t, size_t max) {
  const char *s = (const char *)t->text.data + t->sent;
  const char *from = s;
  if (t->sent == 0 && !t->continues) {
    from = memchr(s, '=', t->text.len);
    if (from == NULL) return 0;
  }
  for (size_t k = max; s + k > from + 1; k--) {
    if (alnum(s[k]) && alnum(s[k - 1])) return k;
  }
  return 0;
}

/* Gives libinih what is next of t->text. */
static char *give(ini_text *t, char *out, size_t room) {
  bool indented = t->continues || t->sent > 0;
  size_t left = t->text.len - t->sent, max = room - 2 - indented;
  t->glued = t->sent > 0;
  size_t n = left <= max ? left : cut_at(t, max);
  if (n == 0 && left > 0) {
    FAIL(t, "%s:%u: the line has %zu bytes without a place to cut it; continue it on an indented line",
         t->path, t->line, t->text.len);
    return NULL;
  }
  char *at = out;
  if (indented) *at++ = ' ';
  if (n > 0) memcpy(at, t->text.data + t->sent, n);
  at[n] = '\n';
  at[n + 1] = 0;
  t->sent += n;
  return out;
}

/* What kind of line is in t->text; its indent has been taken off. */
static void classify(ini_text *t, size_t indent) {
  const char *s = (const char *)t->text.data;
  t->continues = t->key != NULL && indent > t->indent;
  if (t->continues) return;
  flush(t);
  if (t->rc != HATO_OK) return;
  if (s[0] == '[') {
    read_section(t);
    return;
  }
  t->indent = indent;
  size_t n = t->text.len, key = 0;
  while (key < n && s[key] != '=' && s[key] != ':') key++;
  if (key == n || key == 0) {
    FAIL(t, "%s:%u: found '%.*s', wanted key = value", t->path, t->line, (int)(n < 60 ? n : 60), s);
  }
}

static char *next_line(char *out, int room, void *stream) {
  ini_text *t = stream;
  if (t->rc != HATO_OK || room < 64) return NULL;
  if (t->sent < t->text.len) return give(t, out, (size_t)room);
  if (t->at == t->end) return NULL;
  size_t indent = take_line(t);
  if (t->text.failed) {
    t->rc = hato__fail(t->err, HATO_NO_MEMORY, "%s: no memory", t->path);
    return NULL;
  }
  if (t->text.len > 0) classify(t, indent);
  return t->rc == HATO_OK ? give(t, out, (size_t)room) : NULL;
}

hato_status hato__conf_read_text(const char *path, const char *text, size_t n, const hato__conf_sections *s,
                                 hato_error *err) {
  hato__error_clear(err);
  ini_text t = {.path = path, .sections = s, .err = err, .at = text, .end = text + n};
  if (n >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) t.at += 3;
  const char *nul = n > 0 ? memchr(text, 0, n) : NULL;
  if (nul != NULL) {
    return hato__fail(err, HATO_INVALID, "%s: byte %zu is NUL, wanted a text", path, (size_t)(nul - text));
  }
  int bad = ini_parse_stream(next_line, &t, on_value, &t);
  flush(&t);
  if (bad < 0 && t.rc == HATO_OK) t.rc = hato__fail(err, HATO_NO_MEMORY, "%s: no memory", path);
  if (bad > 0 && t.rc == HATO_OK) FAIL(&t, "%s:%d: found no key = value", path, bad);
  hato__buf_free(&t.text);
  hato__buf_free(&t.value);
  return t.rc;
}

hato_status hato__conf_read_file(const char *path, const hato__conf_sections *s, hato_error *err) {
  hato__buf text = {0};
  hato_status rc = hato__read_file(path, LARGEST_FILE, &text, err);
  if (rc == HATO_OK)
    rc = hato__conf_read_text(path, text.len ? (const char *)text.data : "", text.len, s, err);
  hato__buf_free(&text);
  return rc;
}

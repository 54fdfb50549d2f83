/* Where the inputs go in a shell line.
 *
 * An input is put in as one quoted word. That is safe wherever a word may stand, and nowhere
 * else: within quotes its own quotes would close them, and what an input contains would be
 * executed. So a {} within quotes is moved out of them ("a {}" becomes "a "{}""), and one in
 * a place with other rules (backquotes, comments, here-documents, ${...}, $((...))) is refused. */
#include "cli/task.h"

#include <string.h>

enum { DEPTH = 32 };
typedef enum context {
  PLAIN,
  SINGLE,
  DOUBLE,
  PAREN,
  SUBSHELL,
  BACKQUOTE,
  BRACE,
  ARITHMETIC,
  COMMENT
} context;

typedef struct scan {
  const char *at;
  context stack[DEPTH];
  int depth;
  bool word_begins; /* a # would begin a comment */
  const char *odd;  /* from here on a {} cannot be understood: why */
  hato__buf *out;
} scan;

static bool push(scan *s, context c) {
  if (s->depth + 1 >= DEPTH) return false;
  s->stack[++s->depth] = c;
  return true;
}

static void take(scan *s, size_t n) {
  hato__buf_append(s->out, s->at, n);
  s->at += n;
}

static const char *refusal(const scan *s) {
  for (int i = 0; i <= s->depth; i++) {
    switch (s->stack[i]) {
    case BACKQUOTE:
      return "in backquotes; $(...) can have it";
    case BRACE:
      return "in ${...}";
    case ARITHMETIC:
      return "in ((...))";
    case COMMENT:
      return "in a comment";
    default:
      break;
    }
  }
  return s->odd;
}

static hato_status braces(scan *s, hato_error *err) {
  const char *where = refusal(s), *quote = "";
  if (where)
    return hato__fail(err, HATO_INVALID, "{} stands %s, where an input cannot be quoted safely", where);
  if (s->stack[s->depth] == SINGLE) quote = "'";
  if (s->stack[s->depth] == DOUBLE) quote = "\"";
  hato__buf_printf(s->out, "%s{}%s", quote, quote);
  s->at += 2;
  return HATO_OK;
}

/* ${} and \{} are no {}, but what puts the inputs in does not know it, and behind these two a word in quotes is
 * none: what it has would be executed. */
static bool unquotes(const scan *s) {
  context c = s->stack[s->depth];
  return c != SINGLE && c != COMMENT && (*s->at == '$' || *s->at == '\\') && strncmp(s->at + 1, "{}", 2) == 0;
}

/* What begins with $ or a backquote, in double quotes too. False: none of these. */
static bool expansion(scan *s, bool *deep) {
  context begins;
  size_t n;
  if (strncmp(s->at, "$((", 3) == 0) {
    begins = ARITHMETIC, n = 3;
  } else if (strncmp(s->at, "$(", 2) == 0) {
    begins = SUBSHELL, n = 2;
  } else if (strncmp(s->at, "${", 2) == 0) {
    begins = BRACE, n = 2;
  } else if (*s->at == '`') {
    begins = BACKQUOTE, n = 1;
  } else {
    return false;
  }
  *deep = !push(s, begins);
  take(s, n);
  return true;
}

/* The end of the innermost context, if it is one. */
static bool closes(scan *s) {
  context c = s->stack[s->depth];
  size_t n = 1;
  bool ends = false;
  switch (c) {
  case PLAIN:
    return false;
  case SINGLE:
    ends = *s->at == '\'';
    break;
  case DOUBLE:
    ends = *s->at == '"';
    break;
  case PAREN:
  case SUBSHELL:
    ends = *s->at == ')';
    break;
  case BACKQUOTE:
    ends = *s->at == '`';
    break;
  case BRACE:
    ends = *s->at == '}';
    break;
  case COMMENT:
    ends = *s->at == '\n';
    break;
  case ARITHMETIC:
    ends = strncmp(s->at, "))", n = 2) == 0;
    break;
  }
  if (!ends) return false;
  s->depth--;
  take(s, n);
  return true;
}

static bool opens(scan *s, bool *deep) {
  context c = s->stack[s->depth];
  if (c == SINGLE || c == COMMENT) return false;
  if (expansion(s, deep)) return true;
  if (c == DOUBLE) {
    if (*s->at == '\\' && s->at[1]) return take(s, 2), true;
    return false;
  }
  if (*s->at == '\\' && s->at[1]) return take(s, 2), true;
  context begins;
  switch (*s->at) {
  case '\'':
    begins = SINGLE;
    break;
  case '"':
    begins = DOUBLE;
    break;
  case '(':
    begins = s->at[1] == '(' ? ARITHMETIC : PAREN;
    break;
  case '#':
    if (!s->word_begins) return false;
    begins = COMMENT;
    break;
  default:
    return false;
  }
  *deep = !push(s, begins);
  take(s, begins == ARITHMETIC ? 2 : 1);
  return true;
}

static void plain(scan *s) {
  context c = s->stack[s->depth];
  if (c != SINGLE && c != DOUBLE && c != COMMENT) {
    if (strncmp(s->at, "<<", 2) == 0) s->odd = "after a here-document's <<";
    if (strncmp(s->at, "$'", 2) == 0) s->odd = "after $'";
    /* Its patterns' parentheses do not pair. */
    if (strncmp(s->at, "esac", 4) == 0 || strncmp(s->at, "case ", 5) == 0) s->odd = "in or after a case";
  }
  s->word_begins = strchr(" \t\n;&|()<>", *s->at) != NULL;
  take(s, 1);
}

hato_status cli_task_shell_line(const char *line, bool append, hato__buf *out, bool *found, hato_error *err) {
  scan s = {.at = line, .word_begins = true, .out = out};
  *found = false;
  while (*s.at) {
    bool deep = false;
    if (unquotes(&s))
      return hato__fail(err, HATO_INVALID, "{} stands behind a %c, where an input cannot be quoted safely", *s.at);
    if (strncmp(s.at, "{}", 2) == 0) {
      hato_status st = braces(&s, err);
      if (st) return st;
      *found = true;
      s.word_begins = false;
    } else if (closes(&s) || opens(&s, &deep)) {
      char last = s.at[-1];
      s.word_begins = last == '(' || last == ')' || last == '\n';
      if (deep) return hato__fail(err, HATO_INVALID, "the shell line nests deeper than %d", DEPTH);
    } else {
      plain(&s);
    }
  }
  if (*found || !append) return HATO_OK;
  if (s.depth == 0 && !s.odd) {
    hato__buf_printf(out, " {}");
    *found = true;
    return HATO_OK;
  }
  return hato__fail(err, HATO_INVALID,
                    "the input cannot be appended to a shell line that ends in a quote, a comment, a case or "
                    "a here-document: "
                    "say with {} where it belongs");
}

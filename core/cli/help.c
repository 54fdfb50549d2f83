/* Help and manual pages, made from the tables. */
#include "cli/verbs.h"

#include "base/version.h"
#include <stdlib.h>
#include <string.h>

#define COLUMNS 79u

static const char about[] =
    "hato runs commands and native functions in parallel, asynchronously, on any number of machines.\n";

static void print(hato__buf *b, FILE *to) {
  if (!b->failed) fwrite(b->data, 1, b->len, to);
  hato__buf_free(b);
}

static int help_all(FILE *to) {
  fprintf(to, "%s\nUsage: hato VERB [options]\n\n", about);
  for (const cli_verb *const *v = cli_verbs; *v; v++)
    if (!((*v)->flags & CLI_HIDDEN)) fprintf(to, "  %-12s %s\n", (*v)->name, (*v)->summary);
  fprintf(to, "\n`hato help VERB` says more of one; `hato --version` prints the version.\n"
              "A first job:\n\n  ls *.txt | hato map sha256sum {}\n");
  return to == stdout ? CLI_OK : CLI_USAGE;
}

/* Paragraphs, wrapped for a terminal. */
static void help_text(const char *text, hato__buf *b) {
  size_t column = 0;
  while (*text) {
    size_t blanks = strspn(text, " \n"), n;
    bool paragraph = memchr(text, '\n', blanks) != NULL;
    text += blanks;
    n = strcspn(text, " \n");
    if (n == 0) break;
    if (paragraph && column) hato__buf_printf(b, "\n\n");
    if (paragraph) column = 0;
    if (column && column + 1 + n > COLUMNS) {
      hato__buf_printf(b, "\n");
      column = 0;
    }
    hato__buf_printf(b, "%s%.*s", column ? " " : "", (int)n, text);
    column += n + (column > 0);
    text += n;
  }
  hato__buf_printf(b, "\n");
}

static void help_examples(const char *text, hato__buf *b) {
  while (*text) {
    size_t n = strcspn(text, "\n");
    const char *tab = memchr(text, '\t', n);
    size_t words = tab ? (size_t)(tab - text) : n;
    hato__buf_printf(b, "  %.*s\n", (int)words, text);
    if (tab) hato__buf_printf(b, "      %.*s\n", (int)(n - words - 1), tab + 1);
    text += n + (text[n] == '\n');
  }
}

int cli_help(const cli_verb *v, FILE *to) {
  if (!v) return help_all(to);
  hato__buf b = {0};
  hato__conf *conf = cli_conf_of(v);
  if (!conf) return CLI_FAILED;
  hato__buf_printf(&b, "hato %s: %s\n\nUsage: hato %s [options]%s%s\n\n", v->name, v->summary, v->name,
                   *v->operands ? " " : "", v->operands);
  hato__conf_help(conf, &b);
  if (v->text && *v->text) {
    hato__buf_printf(&b, "\n");
    help_text(v->text, &b);
  }
  if (v->examples && *v->examples) {
    hato__buf_printf(&b, "\nExamples:\n");
    help_examples(v->examples, &b);
  }
  hato__conf_destroy(conf);
  print(&b, to);
  return CLI_OK;
}

/* ---- manual pages ---- */

/* Text for roff: backslashes and what would be a request at the start of a line. */
static void roff(hato__buf *b, const char *text, size_t n) {
  bool start = true;
  for (size_t i = 0; i < n; i++) {
    char c = text[i];
    if (start && (c == '.' || c == '\'')) hato__buf_printf(b, "\\&");
    if (c == '\\') {
      hato__buf_printf(b, "\\e");
    } else if (c == '-') {
      hato__buf_printf(b, "\\-");
    } else {
      hato__buf_u8(b, (uint8_t)c);
    }
    start = c == '\n';
  }
}

static void roff_text(hato__buf *b, const char *text) {
  while (*text) {
    const char *end = strstr(text, "\n\n");
    size_t n = end ? (size_t)(end - text) : strlen(text);
    hato__buf_printf(b, ".PP\n");
    roff(b, text, n);
    if (n && text[n - 1] != '\n') hato__buf_printf(b, "\n");
    text += n;
    while (*text == '\n') text++;
  }
}

static void roff_examples(hato__buf *b, const char *text) {
  hato__buf_printf(b, ".SH EXAMPLES\n");
  while (*text) {
    size_t n = strcspn(text, "\n");
    const char *tab = memchr(text, '\t', n);
    size_t words = tab ? (size_t)(tab - text) : n;
    hato__buf_printf(b, ".TP\n.B ");
    roff(b, text, words);
    hato__buf_printf(b, "\n");
    if (tab) roff(b, tab + 1, n - words - 1);
    hato__buf_printf(b, "\n");
    text += n + (text[n] == '\n');
  }
}

static void manual_verb(const cli_verb *v, hato__buf *b) {
  hato__conf *conf = cli_conf_of(v);
  hato__buf_printf(b, ".TH HATO\\-%s 1 \"\" \"hato %s\" \"hato\"\n.SH NAME\nhato\\-%s \\- %s\n", v->name,
                   HATO__VERSION, v->name, v->summary);
  hato__buf_printf(b, ".SH SYNOPSIS\n.B hato %s\n[options] ", v->name);
  roff(b, v->operands, strlen(v->operands));
  hato__buf_printf(b, "\n");
  if (v->text && *v->text) {
    hato__buf_printf(b, ".SH DESCRIPTION\n");
    roff_text(b, v->text);
  }
  hato__buf_printf(b, ".SH OPTIONS\n");
  if (conf) hato__conf_roff(conf, b);
  hato__conf_destroy(conf);
  if (v->examples && *v->examples) roff_examples(b, v->examples);
  hato__buf_printf(b, ".SH SEE ALSO\n.BR hato (1)\n");
}

static void manual_all(hato__buf *b) {
  hato__buf_printf(b, ".TH HATO 1 \"\" \"hato %s\" \"hato\"\n.SH NAME\nhato \\- ", HATO__VERSION);
  hato__buf_printf(b, "run commands and native functions in parallel on any number of machines\n");
  hato__buf_printf(b, ".SH SYNOPSIS\n.B hato\nVERB [options]\n.SH VERBS\n");
  for (const cli_verb *const *v = cli_verbs; *v; v++)
    if (!((*v)->flags & CLI_HIDDEN))
      hato__buf_printf(b, ".TP\n.BR hato\\-%s (1)\n%s\n", (*v)->name, (*v)->summary);
  hato__buf_printf(
      b, ".SH EXIT STATUS\n0 all well; 1 a task failed (of \\fBrun\\fR, the task's own status); 2 bad usage; "
         "3 no session or no connection; 4 another failure; 128 + n ended by signal n.\n");
  hato__buf_printf(
      b,
      ".SH ENVIRONMENT\n.TP\n.B HATO_SESSION\nThe session's name or path.\n"
      ".TP\n.B HATO_LOCAL_DIR\nWhere sockets and spools lie, instead of $TMPDIR and /tmp.\n"
      ".TP\n.B HATO_LAUNCHERS_PATH\nFolders of launcher modules, colon\\-separated.\n"
      ".TP\n.B XDG_STATE_HOME\nThe folder that sessions lie under, in hato/; ~/.local/state by default.\n");
}

int cli_manual(const char *name, FILE *to) {
  hato__buf b = {0};
  if (strcmp(name, "hato") == 0) {
    manual_all(&b);
  } else {
    const cli_verb *v = cli_find_verb(name);
    if (!v) return CLI_USAGE;
    manual_verb(v, &b);
  }
  print(&b, to);
  return CLI_OK;
}

/* ---- the verbs ---- */

static int run_help(cli *c) {
  if (c->n_words == 0) return cli_help(NULL, stdout);
  const cli_verb *v = cli_find_verb(c->words[0]);
  if (v) return cli_help(v, stdout);
  const char *near = cli_nearest_verb(c->words[0]);
  return cli_fail(c, CLI_USAGE, "no verb '%s'%s%s%s", c->words[0], near ? "; did you mean '" : "",
                  near ? near : "", near ? "'?" : "");
}

static const hato__conf_row help_rows[] = {
    {.name = "verb",
     .type = HATO__CONF_OPERANDS,
     .metavar = "VERB",
     .min = 0,
     .max = 1,
     .help = "The verb to explain."},
};
const cli_verb cli_help_verb = {.name = "help",
                                .summary = "explain hato, or one verb",
                                .operands = "[VERB]",
                                .rows = help_rows,
                                .n_rows = 1,
                                .flags = CLI_NO_SESSION_ROWS,
                                .run = run_help};

static int run_manual(cli *c) {
  if (c->n_words == 1) {
    int code = cli_manual(c->words[0], stdout);
    return code ? cli_fail(c, code, "no verb '%s'", c->words[0]) : CLI_OK;
  }
  for (const cli_verb *const *v = cli_verbs; *v; v++)
    if (!((*v)->flags & CLI_HIDDEN)) printf("%s\n", (*v)->name);
  return CLI_OK;
}

const cli_verb cli_manual_verb = {.name = "manual",
                                  .summary = "print a verb's manual page, or the names of all that have one",
                                  .operands = "[VERB]",
                                  .rows = help_rows,
                                  .n_rows = 1,
                                  .flags = CLI_NO_SESSION_ROWS | CLI_HIDDEN,
                                  .run = run_manual};

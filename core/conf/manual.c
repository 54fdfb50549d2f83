/* The rows as manual source: man(7) and Markdown. */
#include "conf/internal.h"

#include <string.h>

static void roff_text(hato__buf *out, const char *s) {
  /* A line that begins with '.' or '\'' would be a request. */
  if (*s == '.' || *s == '\'') hato__buf_printf(out, "\\&");
  for (; *s != 0; s++) {
    if (*s == '\\')
      hato__buf_printf(out, "\\e");
    else if (*s == '-')
      hato__buf_printf(out, "\\-");
    else
      hato__buf_u8(out, (uint8_t)*s);
  }
}

static void metavar_text(const hato__conf_row *r, hato__buf *scratch) {
  hato__buf_clear(scratch);
  conf__metavar(scratch, r);
  if (r->type == HATO__CONF_OPERANDS && (!conf__has_max(r) || r->max > 1)) hato__buf_printf(scratch, "...");
  (void)hato__buf_text(scratch);
}

static void notes_text(const hato__conf_row *r, hato__buf *scratch) {
  hato__buf_clear(scratch);
  conf__notes(scratch, r);
  (void)hato__buf_text(scratch);
}

static const char *text_of(hato__buf *b) {
  const char *s = hato__buf_text(b);
  return s ? s : "";
}

static void roff_row(hato__buf *out, const hato__conf_row *r, bool pairs, hato__buf *scratch) {
  hato__buf_printf(out, ".TP\n");
  if (r->type != HATO__CONF_OPERANDS) {
    if (r->short_name != 0 && !pairs) hato__buf_printf(out, "\\fB\\-%c\\fR, ", r->short_name);
    hato__buf_printf(out, pairs ? "\\fB" : "\\fB\\-\\-");
    roff_text(out, r->name);
    hato__buf_printf(out, "\\fR");
  }
  if (r->type != HATO__CONF_BOOL) {
    metavar_text(r, scratch);
    hato__buf_printf(out, r->type == HATO__CONF_OPERANDS ? "\\fI" : pairs ? "=\\fI" : " \\fI");
    roff_text(out, text_of(scratch));
    hato__buf_printf(out, "\\fR");
  }
  hato__buf_u8(out, '\n');
  roff_text(out, r->help ? r->help : "");
  notes_text(r, scratch);
  if (scratch->len > 0) {
    hato__buf_printf(out, " (");
    roff_text(out, text_of(scratch));
    hato__buf_u8(out, ')');
  }
  hato__buf_u8(out, '\n');
}

static void put_rows(const hato__conf *c, bool pairs, hato__buf *out) {
  hato__buf scratch = {0};
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (r->flags & HATO__CONF_HIDDEN) continue;
    if (r->type == HATO__CONF_HEADING) {
      hato__buf_printf(out, ".SS ");
      roff_text(out, r->help ? r->help : "");
      hato__buf_u8(out, '\n');
    } else {
      roff_row(out, r, pairs, &scratch);
    }
  }
  hato__buf_free(&scratch);
}

void hato__conf_roff(const hato__conf *c, hato__buf *out) { put_rows(c, false, out); }
void hato__conf_roff_pairs(const hato__conf *c, hato__buf *out) { put_rows(c, true, out); }

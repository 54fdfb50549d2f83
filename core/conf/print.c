/* The help, from the rows. */
#include "conf/internal.h"

#include <stdio.h>
#include <string.h>

#define WIDTH 80
#define LEFT_MOST 30 /* an option wider than this has its text on the next line */

/* Columns of a UTF-8 text, to the accuracy that help needs. */
static size_t columns(const char *s, size_t n) {
  size_t w = 0;
  for (size_t i = 0; i < n; i++) w += ((unsigned char)s[i] & 0xc0) != 0x80;
  return w;
}

static void spaces(hato__buf *out, size_t n) {
  while (n-- > 0) hato__buf_u8(out, ' ');
}

/* Words of s wrapped between the columns indent and WIDTH; *at is where we are. */
static void wrap(hato__buf *out, const char *s, size_t indent, size_t *at) {
  while (*s != 0) {
    s += strspn(s, " \n");
    size_t n = strcspn(s, " \n");
    if (n == 0) break;
    size_t w = columns(s, n);
    bool fresh = *at <= indent;
    if (!fresh && *at + 1 + w > WIDTH) {
      hato__buf_u8(out, '\n');
      *at = 0;
      fresh = true;
    }
    if (*at < indent) {
      spaces(out, indent - *at);
      *at = indent;
    } else if (!fresh) {
      hato__buf_u8(out, ' ');
      *at += 1;
    }
    hato__buf_append(out, s, n);
    *at += w;
    s += n;
  }
}

void conf__metavar(hato__buf *out, const hato__conf_row *r) {
  if (r->metavar != NULL) {
    hato__buf_printf(out, "%s", r->metavar);
    return;
  }
  switch (r->type) {
  case HATO__CONF_INT:
    hato__buf_printf(out, "N");
    break;
  case HATO__CONF_SIZE:
    hato__buf_printf(out, "SIZE");
    break;
  case HATO__CONF_DURATION:
    hato__buf_printf(out, "TIME");
    break;
  case HATO__CONF_ENUM:
    for (size_t i = 0; r->names[i] != NULL; i++) hato__buf_printf(out, "%s%s", i ? "|" : "", r->names[i]);
    break;
  case HATO__CONF_OPERANDS:
    hato__buf_printf(out, "OPERAND");
    break;
  default:
    hato__buf_printf(out, "TEXT");
    break;
  }
}

static void put_range(hato__buf *out, const hato__conf_row *r) {
  bool low = conf__has_min(r) && r->min != INT64_MIN && (r->min != 0 || r->type == HATO__CONF_INT);
  bool high = conf__has_max(r) && r->max != INT64_MAX;
  if (r->type == HATO__CONF_DURATION && r->min == 1) low = false;
  if (!low && !high) return;
  if (out->len > 0) hato__buf_printf(out, "; ");
  if (!low) hato__buf_printf(out, "at most ");
  if (!high) hato__buf_printf(out, "at least ");
  if (low) conf__format(out, r->type, r->min);
  if (low && high) hato__buf_printf(out, " to ");
  if (high) conf__format(out, r->type, r->max);
}

void conf__notes(hato__buf *out, const hato__conf_row *r) {
  if (r->type == HATO__CONF_LIST) hato__buf_printf(out, "may be repeated");
  if (r->type == HATO__CONF_INT || r->type == HATO__CONF_SIZE || r->type == HATO__CONF_DURATION)
    put_range(out, r);
  if (r->unit != NULL) hato__buf_printf(out, "%sin %s", out->len ? "; " : "", r->unit);
  if (r->type == HATO__CONF_ENUM && r->metavar != NULL) {
    hato__buf_printf(out, "%sone of ", out->len ? "; " : "");
    for (size_t i = 0; r->names[i] != NULL; i++) hato__buf_printf(out, "%s%s", i ? ", " : "", r->names[i]);
  }
  bool plain_no = r->type == HATO__CONF_BOOL && r->def != NULL && (strcmp(r->def, "no") == 0);
  if (r->def != NULL && r->def[0] != 0 && !plain_no) {
    hato__buf_printf(out, "%sdefault %s", out->len ? "; " : "", r->def);
  }
  if ((r->flags & HATO__CONF_REQUIRED) && conf__is_option(r)) {
    hato__buf_printf(out, "%srequired", out->len ? "; " : "");
  }
}

static bool on_by_default(const hato__conf_row *r) {
  return r->type == HATO__CONF_BOOL && r->def != NULL && strcmp(r->def, "yes") == 0;
}

static void put_operand(hato__buf *out, const hato__conf_row *r) {
  bool many = !conf__has_max(r) || r->max > 1;
  bool must = r->min > 0;
  if (!must) hato__buf_u8(out, '[');
  conf__metavar(out, r);
  if (many) hato__buf_printf(out, "...");
  if (!must) hato__buf_u8(out, ']');
}

static void put_left(hato__buf *out, const hato__conf_row *r, bool pairs) {
  if (r->type == HATO__CONF_OPERANDS) {
    put_operand(out, r);
    return;
  }
  if (pairs) {
    hato__buf_printf(out, "%s", r->name);
    if (r->type == HATO__CONF_BOOL) return;
    hato__buf_u8(out, '=');
    conf__metavar(out, r);
    return;
  }
  if (r->short_name != 0)
    hato__buf_printf(out, "-%c, ", r->short_name);
  else
    hato__buf_printf(out, "    ");
  hato__buf_printf(out, on_by_default(r) ? "--[no-]%s" : "--%s", r->name);
  if (r->type == HATO__CONF_BOOL) return;
  hato__buf_u8(out, ' ');
  conf__metavar(out, r);
}

static size_t left_width(const hato__conf *c, bool pairs) {
  size_t widest = 0;
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (r->type == HATO__CONF_HEADING || (r->flags & HATO__CONF_HIDDEN)) continue;
    hato__buf left = {0};
    put_left(&left, r, pairs);
    size_t w = columns((const char *)left.data, left.len);
    if (w <= LEFT_MOST && w > widest) widest = w;
    hato__buf_free(&left);
  }
  return widest;
}

static void put_row(hato__buf *out, const hato__conf_row *r, size_t width, bool pairs) {
  hato__buf left = {0}, notes = {0}, aside = {0};
  size_t indent = 2 + width + 2;
  put_left(&left, r, pairs);
  size_t at = 2 + columns((const char *)left.data, left.len);
  spaces(out, 2);
  hato__buf_append(out, left.data, left.len);
  if (at + 2 > indent) {
    hato__buf_u8(out, '\n');
    at = 0;
  }
  wrap(out, r->help ? r->help : "", indent, &at);
  conf__notes(&notes, r);
  if (notes.len > 0 && hato__buf_text(&notes) != NULL) {
    hato__buf_printf(&aside, "(%s)", (const char *)notes.data);
    const char *text = hato__buf_text(&aside);
    wrap(out, text ? text : "", indent, &at);
  }
  if (at > 0) hato__buf_u8(out, '\n');
  hato__buf_free(&left);
  hato__buf_free(&notes);
  hato__buf_free(&aside);
}

static void put_help(const hato__conf *c, hato__buf *out, bool pairs) {
  size_t width = left_width(c, pairs);
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (r->flags & HATO__CONF_HIDDEN) continue;
    if (r->type == HATO__CONF_HEADING) {
      hato__buf_printf(out, "%s%s:\n", out->len ? "\n" : "", r->help ? r->help : "");
    } else {
      put_row(out, r, width, pairs);
    }
  }
}

void hato__conf_help(const hato__conf *c, hato__buf *out) { put_help(c, out, false); }
void hato__conf_help_pairs(const hato__conf *c, hato__buf *out) { put_help(c, out, true); }

void hato__conf_usage(const hato__conf *c, size_t indent, hato__buf *out) {
  size_t at = indent;
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if ((r->flags & HATO__CONF_HIDDEN) || r->type == HATO__CONF_HEADING) continue;
    hato__buf one = {0};
    bool must = (r->flags & HATO__CONF_REQUIRED) != 0;
    if (r->type == HATO__CONF_OPERANDS) {
      put_operand(&one, r);
    } else {
      if (!must) hato__buf_u8(&one, '[');
      if (r->short_name != 0)
        hato__buf_printf(&one, "-%c", r->short_name);
      else
        hato__buf_printf(&one, "--%s%s", on_by_default(r) ? "[no-]" : "", r->name);
      /* A no-break of our own: an option and its value stay on one line. */
      if (r->type != HATO__CONF_BOOL) {
        hato__buf_u8(&one, '\x01');
        conf__metavar(&one, r);
      }
      if (!must) hato__buf_u8(&one, ']');
    }
    const char *text = hato__buf_text(&one);
    if (text != NULL) wrap(out, text, indent, &at);
    hato__buf_free(&one);
  }
  for (size_t i = 0; i < out->len; i++) {
    if (out->data[i] == '\x01') out->data[i] = ' ';
  }
  hato__buf_u8(out, '\n');
}

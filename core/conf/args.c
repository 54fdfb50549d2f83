/* Rows over a command line and over key=value pairs. */
#include "base/error.h"
#include "base/str.h"
#include "conf/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

hato_status hato__conf_set(hato__conf *c, hato__conf_source source, const char *where, const char *name,
                           const char *text, hato_error *err) {
  hato__error_clear(err);
  const char *context = where ? where : c->what;
  conf_item *it = conf__item(c, name);
  bool in_file = source == HATO__CONF_FROM_FILE || source == HATO__CONF_FROM_SITE;
  if (it != NULL && in_file && (it->row.flags & HATO__CONF_NO_FILE)) {
    return hato__fail(err, HATO_INVALID, "%s: %s is an option of the command line, not of the file", context,
                      name);
  }
  if (it == NULL && c->passes_unknown) return HATO_OK;
  if (it == NULL) return conf__unknown(c, context, "", name, in_file, err);
  conf_origin o = {.source = source, .context = context, .label = name, .where = where ? where : name};
  return conf__assign(it, &o, text, err);
}

hato_status hato__conf_set_pair(hato__conf *c, hato__conf_source source, const char *pair, hato_error *err) {
  hato__error_clear(err);
  size_t n = strcspn(pair, "=");
  char *name = hato__strndup(pair, n);
  if (name == NULL) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", c->what);
  hato_status rc;
  const conf_item *it = conf__item(c, name);
  if (pair[n] == '=') {
    rc = hato__conf_set(c, source, NULL, name, pair + n + 1, err);
  } else if (it == NULL) {
    rc = conf__unknown(c, c->what, "", name, false, err);
  } else if (it->row.type == HATO__CONF_BOOL) {
    rc = hato__conf_set(c, source, NULL, name, "yes", err);
  } else {
    rc = hato__fail(err, HATO_INVALID, "%s: %s has no value, wanted %s=VALUE", c->what, name, name);
  }
  free(name);
  return rc;
}

typedef struct parser {
  hato__conf *c;
  int argc, at;
  char *const *argv;
  bool stop_at_operand;
  hato_error *err;
} parser;

static hato_status assign(parser *p, conf_item *it, const char *label, const char *text) {
  conf_origin o = {.source = HATO__CONF_FROM_ARGS, .context = p->c->what, .label = label, .where = label};
  return conf__assign(it, &o, text, p->err);
}

/* The value that stands in the next argument. */
static hato_status assign_next(parser *p, conf_item *it, const char *label) {
  if (p->at < p->argc) return assign(p, it, label, p->argv[p->at++]);
  hato__buf want = {0};
  conf__wanted(&want, &it->row);
  const char *words = hato__buf_text(&want);
  hato_status rc = hato__fail(p->err, HATO_INVALID, "%s: %s has no value, wanted %s", p->c->what, label,
                              words ? words : "one");
  hato__buf_free(&want);
  return rc;
}

static hato_status parse_long(parser *p, const char *arg) {
  size_t n = strcspn(arg, "=");
  const char *value = arg[n] == '=' ? arg + n + 1 : NULL;
  char *label = hato__strndup(arg, n);
  if (label == NULL) return hato__fail(p->err, HATO_NO_MEMORY, "%s: no memory", p->c->what);
  const char *name = label + 2;
  conf_item *it = conf__item(p->c, name);
  conf_item *denied = it == NULL && strncmp(name, "no-", 3) == 0 ? conf__item(p->c, name + 3) : NULL;
  hato_status rc;
  if (denied != NULL && denied->row.type == HATO__CONF_BOOL) {
    if (value == NULL)
      rc = assign(p, denied, label, "no");
    else
      rc = hato__fail(p->err, HATO_INVALID, "%s: %s takes no value, found '%.80s'", p->c->what, label, value);
  } else if (it == NULL) {
    rc = conf__unknown(p->c, p->c->what, "--", name, false, p->err);
  } else if (value != NULL) {
    rc = assign(p, it, label, value);
  } else if (it->row.type == HATO__CONF_BOOL) {
    rc = assign(p, it, label, "yes");
  } else {
    rc = assign_next(p, it, label);
  }
  free(label);
  return rc;
}

/* A letter that no row has: a long name with one hyphen is the usual slip. */
static hato_status unknown_letter(parser *p, const char *arg, char letter) {
  size_t n = strcspn(arg + 1, "=");
  char *word = hato__strndup(arg + 1, n);
  const conf_item *it = word != NULL && n > 1 ? conf__item(p->c, word) : NULL;
  free(word);
  if (it != NULL) {
    return hato__fail(p->err, HATO_NOT_FOUND, "%s: there is no option -%c; did you mean --%s?", p->c->what,
                      letter, it->row.name);
  }
  hato__buf all = {0};
  for (size_t i = 0; i < p->c->n; i++) {
    const hato__conf_row *r = &p->c->items[i].row;
    if (!conf__is_option(r) || r->short_name == 0 || (r->flags & HATO__CONF_HIDDEN)) continue;
    hato__buf_printf(&all, "%s-%c", all.len ? ", " : "", r->short_name);
  }
  const char *letters = all.len > 0 ? hato__buf_text(&all) : "none";
  hato_status rc = hato__fail(p->err, HATO_NOT_FOUND,
                              "%s: there is no option -%c (in %.80s); the letters are: %s", p->c->what,
                              letter, arg, letters ? letters : "");
  hato__buf_free(&all);
  return rc;
}

static hato_status parse_short(parser *p, const char *arg) {
  for (const char *s = arg + 1; *s != 0; s++) {
    char label[3] = {'-', *s, 0};
    conf_item *it = conf__item_short(p->c, *s);
    if (it == NULL) return unknown_letter(p, arg, *s);
    if (it->row.type != HATO__CONF_BOOL) {
      return s[1] != 0 ? assign(p, it, label, s + 1) : assign_next(p, it, label);
    }
    hato_status rc = assign(p, it, label, "yes");
    if (rc != HATO_OK) return rc;
  }
  return HATO_OK;
}

/* How many operands the rows together want; max -1: no limit. */
static bool operand_limits(const hato__conf *c, int64_t *min, int64_t *max) {
  bool any = false;
  *min = *max = 0;
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (r->type != HATO__CONF_OPERANDS) continue;
    any = true;
    *min += r->min;
    if (!conf__has_max(r))
      *max = -1;
    else if (*max >= 0)
      *max += r->max;
  }
  return any;
}

static const char *operand_name(const hato__conf *c) {
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (r->type == HATO__CONF_OPERANDS && r->min > 0 && r->metavar != NULL) return r->metavar;
  }
  return "operand";
}

static hato_status check_operands(const hato__conf *c, hato_error *err) {
  int64_t min, max;
  bool any = operand_limits(c, &min, &max);
  if (!any && c->n_operands == 0) return HATO_OK;
  if (!any || (max >= 0 && c->n_operands > (size_t)max)) {
    return hato__fail(err, HATO_INVALID, "%s: found '%.80s', wanted %s", c->what,
                      c->operands[any ? (size_t)max : 0], any ? "nothing more" : "only options");
  }
  if (c->n_operands < (size_t)min) {
    return hato__fail(err, HATO_INVALID, "%s: %s is missing", c->what, operand_name(c));
  }
  return HATO_OK;
}

static void take_operand(parser *p) { p->c->operands[p->c->n_operands++] = p->argv[p->at++]; }

static hato_status parse_all(parser *p) {
  hato_status rc = HATO_OK;
  while (rc == HATO_OK && p->at < p->argc) {
    const char *arg = p->argv[p->at];
    if (strcmp(arg, "--") == 0) {
      p->at++;
      p->c->dashes = true;
      p->c->before_dashes = p->c->n_operands;
      while (p->at < p->argc) take_operand(p);
    } else if (arg[0] != '-' || arg[1] == 0) {
      take_operand(p);
      while (p->stop_at_operand && p->at < p->argc) take_operand(p);
    } else {
      p->at++;
      rc = arg[1] == '-' ? parse_long(p, arg) : parse_short(p, arg);
    }
  }
  return rc;
}

hato_status hato__conf_parse(hato__conf *c, int argc, char *const *argv, unsigned flags, hato_error *err) {
  hato__error_clear(err);
  if (flags & ~(unsigned)HATO__CONF_STOP_AT_OPERAND) {
    return hato__fail(err, HATO_INVALID, "%s: unknown flags 0x%x", c->what, flags);
  }
  char **operands = calloc((size_t)argc + 1, sizeof *operands);
  if (operands == NULL) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", c->what);
  free(c->operands);
  c->operands = operands;
  c->n_operands = c->before_dashes = 0;
  c->dashes = false;
  parser p = {.c = c, .argc = argc, .argv = argv, .err = err};
  p.stop_at_operand = (flags & HATO__CONF_STOP_AT_OPERAND) != 0;
  hato_status rc = parse_all(&p);
  return rc != HATO_OK ? rc : check_operands(c, err);
}

char *const *hato__conf_operands(const hato__conf *c, size_t *n) {
  static char *const none[] = {NULL};
  if (n != NULL) *n = c->n_operands;
  return c->operands != NULL ? c->operands : none;
}

bool hato__conf_dashes(const hato__conf *c, size_t *before) {
  if (before != NULL) *before = c->dashes ? c->before_dashes : c->n_operands;
  return c->dashes;
}

hato_status hato__conf_check(const hato__conf *c, hato_error *err) {
  hato__error_clear(err);
  for (size_t i = 0; i < c->n; i++) {
    const conf_item *it = &c->items[i];
    if (!(it->row.flags & HATO__CONF_REQUIRED) || !conf__is_option(&it->row) || it->value.present) continue;
    hato__buf want = {0};
    conf__wanted(&want, &it->row);
    const char *words = hato__buf_text(&want);
    hato_status rc = hato__fail(err, HATO_INVALID, "%s: the option %s is missing, wanted %s", c->what,
                                it->row.name, words ? words : "it");
    hato__buf_free(&want);
    return rc;
  }
  return HATO_OK;
}

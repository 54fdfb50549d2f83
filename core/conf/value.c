/* One value: from text to its type, with words when it is not what the row wants. */
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"
#include "conf/internal.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void conf__clear_value(conf_value *v) {
  free(v->where);
  free(v->text);
  for (size_t i = 0; i < v->n; i++) free(v->list[i]);
  free(v->list);
  *v = (conf_value){0};
}

static void format_steps(hato__buf *out, uint64_t v, const uint64_t *units, const char *const *names,
                         size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (v == 0 || v % units[i] != 0) continue;
    hato__buf_printf(out, "%" PRIu64 "%s", v / units[i], names[i]);
    return;
  }
  hato__buf_printf(out, "%" PRIu64, v);
}

void conf__format(hato__buf *out, hato__conf_type type, int64_t v) {
  static const uint64_t sizes[] = {UINT64_C(1) << 40, UINT64_C(1) << 30, UINT64_C(1) << 20,
                                   UINT64_C(1) << 10};
  static const char *const size_names[] = {"T", "G", "M", "K"};
  static const uint64_t times[] = {
      86400 * HATO__SEC, 3600 * HATO__SEC, 60 * HATO__SEC, HATO__SEC, HATO__MS, HATO__US, 1};
  static const char *const time_names[] = {"d", "h", "m", "s", "ms", "us", "ns"};
  if (type == HATO__CONF_SIZE && v >= 0)
    format_steps(out, (uint64_t)v, sizes, size_names, 4);
  else if (type == HATO__CONF_DURATION && v >= 0)
    format_steps(out, (uint64_t)v, times, time_names, 7);
  else
    hato__buf_printf(out, "%" PRId64, v);
}

static void put_limits(hato__buf *out, const hato__conf_row *r) {
  bool low = conf__has_min(r) && r->min != INT64_MIN, high = conf__has_max(r) && r->max != INT64_MAX;
  if (low && high) {
    hato__buf_printf(out, " from ");
    conf__format(out, r->type, r->min);
    hato__buf_printf(out, " to ");
    conf__format(out, r->type, r->max);
  } else if (low && r->type == HATO__CONF_DURATION && r->min == 1) { /* nobody means a nanosecond */
    hato__buf_printf(out, " of more than 0");
  } else if (low && !(r->type != HATO__CONF_INT && r->min == 0)) {
    hato__buf_printf(out, " of at least ");
    conf__format(out, r->type, r->min);
  } else if (high) {
    hato__buf_printf(out, " of at most ");
    conf__format(out, r->type, r->max);
  }
}

void conf__wanted(hato__buf *out, const hato__conf_row *r) {
  switch (r->type) {
  case HATO__CONF_BOOL:
    hato__buf_printf(out, "yes or no");
    break;
  case HATO__CONF_INT:
    hato__buf_printf(out, "a whole number");
    put_limits(out, r);
    break;
  case HATO__CONF_SIZE:
    hato__buf_printf(out, "a size");
    put_limits(out, r);
    hato__buf_printf(out, ", such as 512K or 2G");
    break;
  case HATO__CONF_DURATION:
    hato__buf_printf(out, "a duration");
    put_limits(out, r);
    hato__buf_printf(out, ", such as 30s, 5m or 1:30:00");
    break;
  case HATO__CONF_ENUM:
    hato__buf_printf(out, "one of ");
    for (size_t i = 0; r->names[i] != NULL; i++) hato__buf_printf(out, "%s%s", i ? ", " : "", r->names[i]);
    break;
  default:
    hato__buf_printf(out, "a text");
    break;
  }
}

static hato_status refuse(const conf_item *it, const conf_origin *o, const char *text, hato_error *err) {
  hato__buf want = {0};
  conf__wanted(&want, &it->row);
  if (it->row.type == HATO__CONF_ENUM) {
    const char *near = hato__nearest(text, it->row.names);
    if (near != NULL) hato__buf_printf(&want, "; did you mean %s?", near);
  }
  const char *words = hato__buf_text(&want);
  hato_status rc = hato__fail(err, HATO_INVALID, "%s: %s: found '%.80s', wanted %s", o->context, o->label,
                              text, words ? words : "another value");
  hato__buf_free(&want);
  return rc;
}

static bool parse_bool(const char *text, bool *out) {
  static const char *const words[] = {"no", "yes", "false", "true", "off", "on", "0", "1"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    if (strcasecmp(text, words[i]) != 0) continue;
    *out = i % 2 == 1;
    return true;
  }
  return false;
}

static bool within(const hato__conf_row *r, int64_t v) {
  return (!conf__has_min(r) || v >= r->min) && (!conf__has_max(r) || v <= r->max);
}

static bool parse_quantity(const hato__conf_row *r, const char *text, uint64_t *out) {
  bool ok = r->type == HATO__CONF_SIZE ? hato__parse_size(text, out) : hato__parse_duration(text, out);
  return ok && *out <= INT64_MAX && within(r, (int64_t)*out);
}

static bool parse_typed(const hato__conf_row *r, const char *text, conf_value *v) {
  switch (r->type) {
  case HATO__CONF_BOOL:
    return parse_bool(text, &v->as.flag);
  case HATO__CONF_INT:
    return hato__parse_i64(text, &v->as.num) && within(r, v->as.num);
  case HATO__CONF_SIZE:
  case HATO__CONF_DURATION:
    return parse_quantity(r, text, &v->as.quantity);
  case HATO__CONF_ENUM:
    for (int i = 0; r->names[i] != NULL; i++) {
      if (strcmp(r->names[i], text) != 0) continue;
      v->as.index = i;
      return true;
    }
    return false;
  default:
    return true;
  }
}

static bool append(conf_value *v, const char *text) {
  char **list = reallocarray(v->list, v->n + 2, sizeof *list);
  if (list == NULL) return false;
  v->list = list;
  list[v->n] = strdup(text);
  if (list[v->n] == NULL) return false;
  list[++v->n] = NULL;
  return true;
}

hato_status conf__assign(conf_item *it, const conf_origin *o, const char *text, hato_error *err) {
  conf_value fresh = {.present = true, .source = o->source};
  if (!parse_typed(&it->row, text, &fresh)) return refuse(it, o, text, err);
  if (it->value.present && it->value.source > o->source) return HATO_OK;
  fresh.where = o->where ? strdup(o->where) : NULL;
  bool ok = o->where == NULL || fresh.where != NULL;
  if (it->row.type == HATO__CONF_LIST) {
    if (it->value.present && it->value.source == o->source) { /* one more of the same rank */
      fresh.list = it->value.list;
      fresh.n = it->value.n;
      it->value.list = NULL;
      it->value.n = 0;
    }
    ok = append(&fresh, text) && ok;
  } else {
    fresh.text = strdup(text);
    ok = fresh.text != NULL && ok;
  }
  conf__clear_value(&it->value);
  if (ok) {
    it->value = fresh;
    return HATO_OK;
  }
  conf__clear_value(&fresh);
  return hato__fail(err, HATO_NO_MEMORY, "%s: %s: no memory for its value", o->context, o->label);
}

hato_status conf__apply_default(conf_item *it, hato_error *err) {
  if (!conf__is_option(&it->row) || it->row.def == NULL) return HATO_OK;
  conf_origin o = {.source = HATO__CONF_FROM_DEFAULT, .context = "default", .label = it->row.name};
  return conf__assign(it, &o, it->row.def, err);
}

hato_status conf__unknown(const hato__conf *c, const char *context, const char *dashes, const char *name,
                          bool in_file, hato_error *err) {
  const char **names = calloc(c->n + 1, sizeof *names);
  if (names == NULL) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", context);
  size_t n = 0;
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (!conf__is_option(r) || (in_file && (r->flags & HATO__CONF_NO_FILE))) continue;
    if (!(r->flags & HATO__CONF_HIDDEN)) names[n++] = r->name;
  }
  const char *near = hato__nearest(name, names);
  hato_status rc;
  if (near != NULL) {
    rc = hato__fail(err, HATO_NOT_FOUND, "%s: there is no option %s%.80s; did you mean %s%s?", context,
                    dashes, name, dashes, near);
  } else {
    hato__buf all = {0};
    for (size_t i = 0; i < n; i++) hato__buf_printf(&all, "%s%s%s", i ? ", " : "", dashes, names[i]);
    const char *list = n > 0 ? hato__buf_text(&all) : "none";
    rc = hato__fail(err, HATO_NOT_FOUND, "%s: there is no option %s%.80s; the options are: %s", context,
                    dashes, name, list ? list : "");
    hato__buf_free(&all);
  }
  free(names);
  return rc;
}

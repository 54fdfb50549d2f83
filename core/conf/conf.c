#include "conf/conf.h"
#include "base/error.h"
#include "base/str.h"
#include "conf/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

hato__conf *hato__conf_create(const char *what) {
  hato__conf *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  c->what = strdup(what ? what : "");
  if (c->what != NULL) return c;
  free(c);
  return NULL;
}

static void free_row(hato__conf_row *r) {
  free((char *)r->name);
  free((char *)r->def);
  free((char *)r->unit);
  free((char *)r->metavar);
  free((char *)r->help);
  for (size_t i = 0; r->names != NULL && r->names[i] != NULL; i++) free((char *)r->names[i]);
  free((void *)r->names);
  *r = (hato__conf_row){0};
}

void hato__conf_destroy(hato__conf *c) {
  if (c == NULL) return;
  for (size_t i = 0; i < c->n; i++) {
    conf__clear_value(&c->items[i].value);
    free_row(&c->items[i].row);
  }
  free(c->items);
  free(c->operands);
  free(c->what);
  free(c);
}

static bool copy_text(const char **out, const char *s) {
  *out = s ? strdup(s) : NULL;
  return s == NULL || *out != NULL;
}

static bool copy_names(const char *const **out, const char *const *names) {
  *out = NULL;
  if (names == NULL) return true;
  size_t n = 0;
  while (names[n] != NULL) n++;
  const char **copy = calloc(n + 1, sizeof *copy);
  if (copy == NULL) return false;
  *out = copy;
  for (size_t i = 0; i < n; i++) {
    if (!copy_text(&copy[i], names[i])) return false;
  }
  return true;
}

static bool copy_row(hato__conf_row *out, const hato__conf_row *r) {
  *out = *r;
  out->name = out->def = out->unit = out->metavar = out->help = NULL;
  bool ok = copy_names(&out->names, r->names);
  ok = copy_text(&out->name, r->name) && ok;
  ok = copy_text(&out->def, r->def) && ok;
  ok = copy_text(&out->unit, r->unit) && ok;
  ok = copy_text(&out->metavar, r->metavar) && ok;
  return copy_text(&out->help, r->help) && ok;
}

static bool name_ok(const char *name) {
  if (name[0] == 0 || name[0] == '-') return false;
  for (; *name != 0; name++) {
    bool word = (*name >= 'a' && *name <= 'z') || (*name >= '0' && *name <= '9') || *name == '-';
    if (!word) return false;
  }
  return true;
}

static hato_status check_row(const hato__conf *c, const hato__conf_row *r, hato_error *err) {
  if ((unsigned)r->type > HATO__CONF_HEADING) {
    return hato__fail(err, HATO_INVALID, "%s: the option '%s' has the unknown type %d", c->what,
                      r->name ? r->name : "", (int)r->type);
  }
  if (!conf__is_option(r)) return HATO_OK;
  if (r->name == NULL || !name_ok(r->name)) {
    return hato__fail(err, HATO_INVALID,
                      "%s: '%s' cannot be an option's name: wanted lower-case letters, digits and '-'",
                      c->what, r->name ? r->name : "");
  }
  if (conf__item(c, r->name) != NULL) {
    return hato__fail(err, HATO_INVALID, "%s: two options are called %s", c->what, r->name);
  }
  char s = r->short_name;
  if (s != 0 && !((s >= 'a' && s <= 'z') || (s >= 'A' && s <= 'Z') || (s >= '0' && s <= '9'))) {
    return hato__fail(err, HATO_INVALID, "%s: the option %s has a short name that is no letter or digit",
                      c->what, r->name);
  }
  const conf_item *other = s != 0 ? conf__item_short(c, s) : NULL;
  if (other != NULL) {
    return hato__fail(err, HATO_INVALID, "%s: the options %s and %s share the letter %c", c->what,
                      other->row.name, r->name, s);
  }
  if (r->type == HATO__CONF_ENUM && (r->names == NULL || r->names[0] == NULL)) {
    return hato__fail(err, HATO_INVALID, "%s: the option %s has no names to choose from", c->what, r->name);
  }
  if (r->type == HATO__CONF_LIST && r->def != NULL) {
    return hato__fail(err, HATO_INVALID, "%s: the list %s cannot have a default", c->what, r->name);
  }
  return HATO_OK;
}

static hato_status add_row(hato__conf *c, const hato__conf_row *row, hato_error *err) {
  hato_status rc = check_row(c, row, err);
  if (rc != HATO_OK) return rc;
  conf_item *items = reallocarray(c->items, c->n + 1, sizeof *items);
  if (items == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for the options of %s", c->what);
  c->items = items;
  conf_item *it = &items[c->n];
  *it = (conf_item){0};
  if (!copy_row(&it->row, row)) {
    free_row(&it->row);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for the options of %s", c->what);
  }
  rc = conf__apply_default(it, err);
  if (rc != HATO_OK) {
    conf__clear_value(&it->value);
    free_row(&it->row);
    return rc;
  }
  c->n++;
  return HATO_OK;
}

hato_status hato__conf_add(hato__conf *c, const hato__conf_row *rows, size_t n, hato_error *err) {
  hato__error_clear(err);
  for (size_t i = 0; i < n; i++) {
    hato_status rc = add_row(c, &rows[i], err);
    if (rc != HATO_OK) return rc;
  }
  return HATO_OK;
}

void hato__conf_pass_unknown(hato__conf *c) { c->passes_unknown = true; }

void hato__conf_reset(hato__conf *c) {
  for (size_t i = 0; i < c->n; i++) {
    conf__clear_value(&c->items[i].value);
    (void)conf__apply_default(&c->items[i], NULL); /* was accepted when the row was added */
  }
  free(c->operands);
  c->operands = NULL;
  c->n_operands = 0;
  c->dashes = false;
}

conf_item *conf__item(const hato__conf *c, const char *name) {
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (conf__is_option(r) && strcmp(r->name, name) == 0) return &c->items[i];
  }
  return NULL;
}

conf_item *conf__item_short(const hato__conf *c, char letter) {
  for (size_t i = 0; i < c->n; i++) {
    const hato__conf_row *r = &c->items[i].row;
    if (conf__is_option(r) && r->short_name == letter) return &c->items[i];
  }
  return NULL;
}

/* The value of a name; NULL when it has none. type < 0: of any type. */
static const conf_value *value_of(const hato__conf *c, const char *name, int type) {
  const conf_item *it = conf__item(c, name);
  assert(it != NULL && (type < 0 || (int)it->row.type == type));
  if (it == NULL || (type >= 0 && (int)it->row.type != type) || !it->value.present) return NULL;
  return &it->value;
}

bool hato__conf_is_set(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, -1);
  return v != NULL && v->source != HATO__CONF_FROM_DEFAULT;
}

bool hato__conf_has_value(const hato__conf *c, const char *name) { return value_of(c, name, -1) != NULL; }

bool hato__conf_get_bool(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, HATO__CONF_BOOL);
  return v != NULL && v->as.flag;
}

int64_t hato__conf_get_int(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, HATO__CONF_INT);
  return v != NULL ? v->as.num : 0;
}

uint64_t hato__conf_get_size(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, HATO__CONF_SIZE);
  return v != NULL ? v->as.quantity : 0;
}

uint64_t hato__conf_get_duration(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, HATO__CONF_DURATION);
  return v != NULL ? v->as.quantity : 0;
}

const char *hato__conf_get_str(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, HATO__CONF_STRING);
  return v != NULL ? v->text : NULL;
}

int hato__conf_get_enum(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, HATO__CONF_ENUM);
  return v != NULL ? v->as.index : -1;
}

const char *const *hato__conf_get_list(const hato__conf *c, const char *name, size_t *n) {
  static const char *const none[] = {NULL};
  const conf_value *v = value_of(c, name, HATO__CONF_LIST);
  bool some = v != NULL && v->list != NULL;
  if (n != NULL) *n = some ? v->n : 0;
  return some ? (const char *const *)v->list : none;
}

const char *hato__conf_get_text(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, -1);
  if (v == NULL) return NULL;
  return v->list != NULL ? v->list[v->n - 1] : v->text;
}

const char *hato__conf_where(const hato__conf *c, const char *name) {
  const conf_value *v = value_of(c, name, -1);
  return v != NULL && v->where != NULL ? v->where : "default";
}

size_t hato__conf_count(const hato__conf *c) { return c->n; }

const hato__conf_row *hato__conf_row_at(const hato__conf *c, size_t i) {
  return i < c->n ? &c->items[i].row : NULL;
}

const hato__conf_row *hato__conf_find(const hato__conf *c, const char *name) {
  const conf_item *it = conf__item(c, name);
  return it != NULL ? &it->row : NULL;
}

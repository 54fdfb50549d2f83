/* Descriptions of launchers: copies, words, JSON. */
#include "launchers/keeper.h"
#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

void launchers_info_free(launchers_info *info) {
  if (info == NULL) return;
  free(info->name);
  free(info->version);
  free(info->description);
  free(info->path);
  free(info->member_env);
  free(info->trouble);
  hato__conf_destroy(info->conf);
  free(info);
}

static bool copy_text(char **out, const char *s) {
  *out = s != NULL ? strdup(s) : NULL;
  return s == NULL || *out != NULL;
}

static hato__conf *copy_rows(const char *name, const hato__conf *from) {
  char what[96];
  (void)snprintf(what, sizeof what, "launcher %.70s", name);
  hato__conf *c = hato__conf_create(what);
  for (size_t i = 0; c != NULL && i < hato__conf_count(from); i++) {
    if (hato__conf_add(c, hato__conf_row_at(from, i), 1, NULL) == HATO_OK) continue;
    hato__conf_destroy(c);
    c = NULL;
  }
  return c;
}

launchers_info *launchers__info_clone(const launchers_info *info) {
  launchers_info *c = calloc(1, sizeof *c);
  if (c == NULL) return NULL;
  *c = *info;
  c->name = c->version = c->description = c->path = c->member_env = c->trouble = NULL;
  c->conf = info->conf != NULL ? copy_rows(info->name, info->conf) : NULL;
  bool ok = copy_text(&c->name, info->name) && copy_text(&c->version, info->version) &&
            copy_text(&c->description, info->description) && copy_text(&c->path, info->path) &&
            copy_text(&c->member_env, info->member_env) && copy_text(&c->trouble, info->trouble);
  if (ok && (info->conf == NULL || c->conf != NULL)) return c;
  launchers_info_free(c);
  return NULL;
}

/* ---- JSON ---- */

typedef struct bit_name {
  uint32_t bit;
  const char *name;
} bit_name;

static json_t *names_of(uint32_t bits, const bit_name *names, size_t n) {
  json_t *list = json_array();
  for (size_t i = 0; i < n; i++) {
    if (bits & names[i].bit) (void)json_array_append_new(list, json_string(names[i].name));
  }
  return list;
}

/* Text of a module need not be UTF-8. */
static json_t *text(const char *s) {
  if (s == NULL) return json_null();
  json_t *j = json_string(s);
  return j != NULL ? j : json_string("(not UTF-8)");
}

static const char *type_name(hato__conf_type type) {
  static const char *const names[] = {"bool", "int", "size", "duration", "string", "enum", "list"};
  return (size_t)type < sizeof names / sizeof *names ? names[type] : "string";
}

static json_t *limit_json(const hato__conf_row *r, int64_t v) {
  if (r->type == HATO__CONF_DURATION) return json_real((double)v / (double)HATO__SEC);
  return json_integer(v);
}

static json_t *row_json(const hato__conf_row *r) {
  json_t *o = json_pack("{s:s, s:s, s:o, s:o, s:b}", "name", r->name, "type", type_name(r->type), "default",
                        text(r->def), "help", text(r->help), "required",
                        (r->flags & HATO__CONF_REQUIRED) != 0);
  if (o == NULL) return NULL;
  if (r->min != 0 || r->max != 0) {
    (void)json_object_set_new(o, "min", limit_json(r, r->min));
    if (r->max >= r->min) (void)json_object_set_new(o, "max", limit_json(r, r->max));
  }
  if (r->type == HATO__CONF_ENUM && r->names != NULL) {
    json_t *values = json_array();
    for (size_t i = 0; r->names[i] != NULL; i++) (void)json_array_append_new(values, text(r->names[i]));
    (void)json_object_set_new(o, "values", values);
  }
  return o;
}

json_t *launchers_info_json(const launchers_info *info) {
  static const bit_name flags[] = {{HATO_LAUNCHER_SHARES_HOST, "shares-host"},
                                   {HATO_LAUNCHER_NEEDS_LISTEN, "needs-listen"},
                                   {HATO_LAUNCHER_CANCELS_MEMBERS, "cancels-members"},
                                   {HATO_LAUNCHER_DEFAULT_COUNT, "default-count"}};
  static const bit_name ways[] = {
      {HATO_SECRET_STDIN, "stdin"}, {HATO_SECRET_FILE, "file"}, {HATO_SECRET_ENVIRONMENT, "environment"}};
  json_t *options = json_array();
  for (size_t i = 0; info->conf != NULL && i < hato__conf_count(info->conf); i++) {
    const hato__conf_row *r = hato__conf_row_at(info->conf, i);
    if ((r->flags & HATO__CONF_HIDDEN) == 0) (void)json_array_append_new(options, row_json(r));
  }
  return json_pack("{s:o, s:o, s:o, s:o, s:b, s:o, s:o, s:o, s:I, s:o}", "name", text(info->name), "version",
                   text(info->version), "description", text(info->description), "path", text(info->path),
                   "usable", (int)info->usable, "trouble", text(info->trouble), "flags",
                   names_of(info->flags, flags, sizeof flags / sizeof *flags), "secrets",
                   names_of(info->secret_ways, ways, sizeof ways / sizeof *ways), "interval_ms",
                   (json_int_t)info->interval_ms, "options", options);
}

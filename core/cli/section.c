/* The section [session] of the configuration files. */
#include "cli/serve.h"

#include <string.h>

static const hato__conf_row rows[] = {SERVE_ROWS};

typedef struct reading {
  hato__conf *session, *others;
} reading;

static hato__conf *open_section(void *arg, const char *kind, const char *name, hato_error *err) {
  reading *r = arg;
  if (strcmp(kind, "session") != 0) return r->others;
  if (!*name) return r->session;
  (void)hato__fail(err, HATO_INVALID, "the section [session] holds for all sessions and has no name");
  return NULL;
}

static hato_status set(hato__conf *to, const hato__conf *from, const char *name, const char *value, hato_error *err) {
  return hato__conf_set(to, HATO__CONF_FROM_FILE, hato__conf_where(from, name), name, value, err);
}

/* What the files set, and the command line does not. */
static hato_status take(hato__conf *to, const hato__conf *from, hato_error *err) {
  for (size_t i = 0; i < hato__conf_count(from); i++) {
    const hato__conf_row *row = hato__conf_row_at(from, i);
    hato_status st = HATO_OK;
    if (!hato__conf_is_set(from, row->name)) continue;
    if (row->type != HATO__CONF_LIST) {
      st = set(to, from, row->name, hato__conf_get_text(from, row->name), err);
    } else {
      for (const char *const *v = hato__conf_get_list(from, row->name, NULL); *v && !st; v++)
        st = set(to, from, row->name, *v, err);
    }
    if (st) return st;
  }
  return HATO_OK;
}

int cli_read_session_section(cli *c) {
  static const char *const kinds[] = {"profile", "session", NULL};
  hato_error err = {0};
  reading r = {.session = hato__conf_create("session"), .others = hato__conf_create("")};
  hato__conf_sections s = {.kinds = kinds, .open = open_section, .arg = &r};
  hato_status st = r.session && r.others ? hato__conf_add(r.session, CLI_ROWS(rows), &err)
                                         : hato__fail(&err, HATO_NO_MEMORY, "no memory for the configuration");
  if (!st) hato__conf_pass_unknown(r.others);
  if (!st) st = hato__conf_read_all(&s, &err);
  if (!st) st = take(c->conf, r.session, &err);
  hato__conf_destroy(r.session);
  hato__conf_destroy(r.others);
  return st ? cli_fail(c, CLI_USAGE, "%s", err.text) : CLI_OK;
}

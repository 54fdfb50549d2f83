/* Profiles: sections [profile NAME] of the site's file and the user's, with hato's own keys and the options
 * of their launcher side by side. */
#include "dispatcher/launch.h"

#include "conf/conf.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static const hato__conf_row own_rows[] = {
    {.name = "launcher", .type = HATO__CONF_STRING},
    {.name = "daemons", .type = HATO__CONF_INT, .min = 1, .max = HATO_LAUNCH_MAX},
    {.name = "slots", .type = HATO__CONF_INT, .min = 0, .max = 65536},
    {.name = "bind", .type = HATO__CONF_ENUM, .names = (const char *const[]){"auto", "core", "none", NULL}},
    {.name = "crash-limit", .type = HATO__CONF_INT, .min = 0, .max = 1000000},
    {.name = "launch-timeout", .type = HATO__CONF_DURATION, .min = HATO__MS, .max = INT64_MAX},
};
#define N_OWN (sizeof own_rows / sizeof *own_rows)

typedef struct reading {
  const char *profile;
  hato__conf *values; /* of the profile asked for */
  hato__conf *others; /* for all else */
  bool found;
  char **names; /* of all profiles, for the nearest; NULL-terminated */
  size_t n;
} reading;

static hato__conf *open_section(void *arg, const char *kind, const char *name, hato_error *err) {
  reading *r = arg;
  if (strcmp(kind, "profile") != 0) return r->others;
  if (!*name) {
    (void)hato__fail(err, HATO_INVALID, "the profile has no name, wanted one such as [profile gpu]");
    return NULL;
  }
  if (strcmp(name, r->profile) == 0) {
    r->found = true;
    return r->values;
  }
  char **all = realloc(r->names, (r->n + 2) * sizeof *all);
  if (all) {
    r->names = all;
    all[r->n] = hato__printf("%s", name);
    if (all[r->n]) r->n++;
    all[r->n] = NULL;
  }
  return r->others;
}

/* Reads the profile's values into `values`. */
static hato_status read_profile(const char *profile, hato__conf *values, hato_error *err) {
  static const char *const kinds[] = {"profile", "session", NULL};
  reading r = {.profile = profile, .values = values, .others = hato__conf_create("")};
  if (!r.others) return hato__fail(err, HATO_NO_MEMORY, "no memory for the configuration");
  hato__conf_pass_unknown(r.others);
  hato__conf_sections s = {.kinds = kinds, .open = open_section, .arg = &r};
  hato_status st = hato__conf_read_all(&s, err);
  if (!st && !r.found && strcmp(profile, "default") != 0) {
    const char *near = r.names ? hato__nearest(profile, (const char *const *)r.names) : NULL;
    char user[4096] = "";
    (void)hato__conf_path(HATO__CONF_FROM_FILE, user, sizeof user);
    st = hato__fail(err, HATO_NOT_FOUND, "there is no profile '%s' in %s or the site's file%s%s%s", profile,
                    user, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
  }
  hato__texts_free(r.names);
  hato__conf_destroy(r.others);
  return st;
}

/* Which launcher the profile names, if any. */
static hato_status launcher_of(const char *profile, char **launcher, char **origin, hato_error *err) {
  hato__conf *c = hato__conf_create("");
  hato_status st = c ? hato__conf_add(c, own_rows, 1, err)
                     : hato__fail(err, HATO_NO_MEMORY, "no memory for the configuration");
  if (!st) hato__conf_pass_unknown(c);
  if (!st) st = read_profile(profile, c, err);
  if (!st && hato__conf_get_str(c, "launcher")) {
    *launcher = hato__printf("%s", hato__conf_get_str(c, "launcher"));
    *origin = hato__printf("%s: ", hato__conf_where(c, "launcher"));
    if (!*launcher || !*origin) st = hato__fail(err, HATO_NO_MEMORY, "no memory for the configuration");
  }
  hato__conf_destroy(c);
  return st;
}

/* A launcher's description, loaded when it was not yet, which blocks. Borrowed. */
static hato_status describe(dispatcher *d, const char *name, const launchers_info **info, hato_error *err) {
  hato_status st = launchers_known(d->launchers, name, info, err);
  if (st != HATO_AGAIN) return st;
  launchers_info *fresh = NULL;
  st = launchers_describe(d->launchers, name, &fresh, err);
  if (!st && fresh->trouble)
    st = hato__fail(err, HATO_NOT_SUPPORTED, "launcher %s: %s", name, fresh->trouble);
  launchers_info_free(fresh);
  return st ? st : launchers_known(d->launchers, name, info, err);
}

/* The launcher's rows, added to c. */
static hato_status add_rows(hato__conf *c, const launchers_info *info, hato_error *err) {
  for (size_t i = 0; info->conf && i < hato__conf_count(info->conf); i++) {
    hato_status st = hato__conf_add(c, hato__conf_row_at(info->conf, i), 1, err);
    if (st) return st;
  }
  return HATO_OK;
}

static void take_own(const hato__conf *c, asked *a) {
  if (hato__conf_is_set(c, "daemons") && a->n == 0) a->n = (unsigned)hato__conf_get_int(c, "daemons");
  if (hato__conf_is_set(c, "slots") && a->slots == 0) a->slots = (unsigned)hato__conf_get_int(c, "slots");
  if (hato__conf_is_set(c, "bind") && !a->bind) a->bind = hato__printf("%s", hato__conf_get_text(c, "bind"));
  if (hato__conf_is_set(c, "crash-limit") && a->crash_limit == UINT_MAX)
    a->crash_limit = (unsigned)hato__conf_get_int(c, "crash-limit");
  if (hato__conf_is_set(c, "launch-timeout") && a->connect_ns == 0)
    a->connect_ns = hato__conf_get_duration(c, "launch-timeout");
}

static bool add_pair(char ***pairs, size_t *n, const char *name, const char *value) {
  char **all = realloc(*pairs, (*n + 2) * sizeof *all);
  if (!all) return false;
  *pairs = all;
  all[*n] = hato__printf("%s=%s", name, value);
  all[*n + 1] = NULL;
  return all[(*n)++] != NULL;
}

/* All values of the launcher's rows, as its options. */
static hato_status take_options(const hato__conf *c, const launchers_info *info, asked *a, hato_error *err) {
  char **pairs = NULL;
  size_t n = 0;
  bool ok = true;
  for (size_t i = 0; info->conf && i < hato__conf_count(info->conf); i++) {
    const hato__conf_row *row = hato__conf_row_at(info->conf, i);
    if (!hato__conf_is_set(c, row->name)) continue;
    if (row->type == HATO__CONF_LIST) {
      for (const char *const *v = hato__conf_get_list(c, row->name, NULL); *v; v++)
        ok = ok && add_pair(&pairs, &n, row->name, *v);
    } else {
      ok = ok && add_pair(&pairs, &n, row->name, hato__conf_get_text(c, row->name));
    }
  }
  hato__texts_free(a->options);
  a->options = pairs;
  return ok ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
}

/* The request's own options: of the launcher's rows only. */
static hato_status set_options(hato__conf *c, const launchers_info *info, const asked *a, hato_error *err) {
  for (char **o = a->options; o && *o; o++) {
    char *name = hato__strndup(*o, strcspn(*o, "="));
    bool own = name && (!info->conf || !hato__conf_find(info->conf, name)) && hato__conf_find(c, name);
    hato_status st = HATO_OK;
    if (own)
      st = hato__fail(err, HATO_INVALID, "'%s' is no option of launcher %s but has one of its own: --%s", name,
                      a->launcher, name);
    free(name);
    if (!st) st = hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, *o, err);
    if (st) return st;
  }
  return HATO_OK;
}

hato_status dispatcher_profile_resolve(dispatcher *d, asked *a, hato_error *err) {
  const char *profile = a->profile ? a->profile : "default";
  char *named = NULL, *origin = NULL;
  const launchers_info *info = NULL;
  hato_error why = {0};
  hato_status st = launcher_of(profile, &named, &origin, err);
  if (!st && !a->launcher) {
    a->launcher = named ? named : hato__printf("local");
    named = NULL;
    if (!a->launcher) st = hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  } else {
    free(origin);
    origin = NULL;
  }
  if (!st) {
    st = describe(d, a->launcher, &info, &why);
    if (st) (void)hato__fail(err, st, "%s%s", origin ? origin : "", why.text);
  }
  /* A launcher that the request names gets its values from a profile only if that is the profile's launcher. */
  bool theirs = !named || (a->launcher && strcmp(named, a->launcher) == 0);
  char what[96];
  snprintf(what, sizeof what, "launcher %s", a->launcher ? a->launcher : "");
  hato__conf *c = st ? NULL : hato__conf_create(what);
  if (!st && !c) st = hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  if (!st) st = hato__conf_add(c, own_rows, N_OWN, err);
  if (!st) st = add_rows(c, info, err);
  if (!st && (theirs || a->profile)) st = read_profile(profile, c, err);
  if (!st) take_own(c, a);
  if (!st) st = set_options(c, info, a, err);
  if (!st) st = hato__conf_check(c, err);
  if (!st) st = take_options(c, info, a, err);
  if (a->crash_limit == UINT_MAX) a->crash_limit = CRASH_LIMIT;
  if (a->connect_ns == 0) a->connect_ns = CONNECT_NS;
  hato__conf_destroy(c);
  free(named);
  free(origin);
  return st;
}

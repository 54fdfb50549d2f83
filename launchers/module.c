/* Modules: loaded, checked before any call into them, their options as typed rows. */
#include "launchers/internal.h"
#include "base/clock.h"
#include "base/error.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#define SYMBOL "hato_launcher_module"
#define OPTIONS_MAX 1000

/* As far as minor 0 reaches. */
#define LAUNCHER_LEAST (offsetof(hato_launcher, close) + sizeof(((hato_launcher *)0)->close))
#define ROW_LEAST (offsetof(hato_option_row, help) + sizeof(const char *))
#define KNOWN_FLAGS                                                                         \
  (HATO_LAUNCHER_SHARES_HOST | HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_CANCELS_MEMBERS | \
   HATO_LAUNCHER_DEFAULT_COUNT)
#define KNOWN_WAYS (HATO_SECRET_STDIN | HATO_SECRET_FILE | HATO_SECRET_ENVIRONMENT)

const char *launchers__name_of(const char *path, size_t *n) {
  static const char front[] = "hato_launcher_", back[] = ".so";
  const char *file = strrchr(path, '/');
  file = file != NULL ? file + 1 : path;
  size_t len = strlen(file);
  if (len <= sizeof front - 1 + sizeof back - 1 || strncmp(file, front, sizeof front - 1) != 0) return NULL;
  if (strcmp(file + len - (sizeof back - 1), back) != 0) return NULL;
  *n = len - (sizeof front - 1) - (sizeof back - 1);
  return file + sizeof front - 1;
}

static hato_status check_head(const hato_launcher *m, const char *path, hato_error *err) {
  if (m->magic != HATO_LAUNCHER_MAGIC)
    return hato__fail(err, HATO_INVALID, "%s is not a launcher: " SYMBOL " begins with 0x%08x, not 0x%08x",
                      path, m->magic, HATO_LAUNCHER_MAGIC);
  if (m->abi_major != HATO_LAUNCHER_ABI_MAJOR)
    return hato__fail(err, HATO_NOT_SUPPORTED, "%s is built for launcher ABI %u.%u, this hato has %u.%u",
                      path, m->abi_major, m->abi_minor, HATO_LAUNCHER_ABI_MAJOR, HATO_LAUNCHER_ABI_MINOR);
  if (m->size < LAUNCHER_LEAST || m->size > 1u << 16)
    return hato__fail(err, HATO_INVALID, "%s: its descriptor says it has %u bytes, expected at least %zu",
                      path, m->size, LAUNCHER_LEAST);
  return HATO_OK;
}

static hato_status check_name(const hato_launcher *m, const char *path, const char *name, hato_error *err) {
  if (m->name == NULL || m->version == NULL || m->description == NULL)
    return hato__fail(err, HATO_INVALID, "%s: its descriptor has no %s", path,
                      m->name == NULL      ? "name"
                      : m->version == NULL ? "version"
                                           : "description");
  size_t n = strlen(m->name);
  if (n == 0 || n > 63 || strspn(m->name, "abcdefghijklmnopqrstuvwxyz0123456789_-") != n)
    return hato__fail(err, HATO_INVALID,
                      "%s: '%.80s' is no name for a launcher, expected 1 to 63 of a-z, 0-9, _ and -", path,
                      m->name);
  if (name != NULL && strcmp(m->name, name) != 0)
    return hato__fail(err, HATO_INVALID, "%s: the launcher calls itself '%s', expected '%s'", path, m->name,
                      name);
  return HATO_OK;
}

static hato_status check_operations(const hato_launcher *m, const char *path, hato_error *err) {
  const char *lacks = m->launch == NULL   ? "launch"
                      : m->poll == NULL   ? "poll"
                      : m->cancel == NULL ? "cancel"
                      : m->adopt == NULL  ? "adopt"
                                          : NULL;
  if (lacks != NULL)
    return hato__fail(err, HATO_INVALID, "%s: the required operation '%s' is NULL, expected a function", path,
                      lacks);
  if (m->abi_minor > HATO_LAUNCHER_ABI_MINOR) return HATO_OK; /* bits of its time */
  if ((m->flags & ~KNOWN_FLAGS) != 0 || (m->secret_ways & ~KNOWN_WAYS) != 0)
    return hato__fail(err, HATO_INVALID,
                      "%s: its flags 0x%x or secret ways 0x%x have bits that ABI %u.%u does not know", path,
                      m->flags, m->secret_ways, m->abi_major, m->abi_minor);
  return HATO_OK;
}

/* A profile of the configuration file has these keys beside the launcher's options. */
static bool is_reserved(const char *name) {
  static const char *const names[] = {"launcher", "daemons",     "slots",
                                      "bind",     "crash-limit", "launch-timeout"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (name != NULL && strcmp(name, names[i]) == 0) return true;
  }
  return false;
}

hato_option_row launchers__row(const hato_launcher *m, uint32_t i) {
  hato_option_row row = {0};
  size_t n = m->option_size < sizeof row ? m->option_size : sizeof row;
  memcpy(&row, (const unsigned char *)m->options + (size_t)i * m->option_size, n);
  return row;
}

static hato_status check_options(const hato_launcher *m, const char *path, hato_error *err) {
  if (m->option_count == 0) return HATO_OK;
  if (m->options == NULL || m->option_count > OPTIONS_MAX || m->option_size < ROW_LEAST ||
      m->option_size > 4096)
    return hato__fail(err, HATO_INVALID,
                      "%s: %u option rows of %u bytes at %p, expected at most %d of at least %zu", path,
                      m->option_count, m->option_size, (const void *)m->options, OPTIONS_MAX, ROW_LEAST);
  hato_option_row *rows = calloc(m->option_count, sizeof *rows);
  if (rows == NULL) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory for its options", path);
  const char *reserved = NULL;
  for (uint32_t i = 0; i < m->option_count; i++) {
    rows[i] = launchers__row(m, i);
    if (is_reserved(rows[i].name)) reserved = rows[i].name;
  }
  hato__conf *conf = NULL;
  hato_error why;
  hato_status rc = launchers__conf(m->name, rows, m->option_count, &conf, &why);
  hato__conf_destroy(conf);
  free(rows);
  if (rc != HATO_OK) return hato__fail(err, rc, "%s: %s", path, why.text);
  if (reserved == NULL) return HATO_OK;
  return hato__fail(err, HATO_INVALID, "%s: its option '%s' has the name of a key that every profile has", path,
                    reserved);
}

hato_status launchers__check(const hato_launcher *found, const char *path, const char *name,
                             hato_launcher *copy, hato_error *err) {
  memset(copy, 0, sizeof *copy);
  hato_status rc = check_head(found, path, err);
  if (rc != HATO_OK) return rc;
  memcpy(copy, found, found->size < sizeof *copy ? found->size : sizeof *copy);
  rc = check_name(copy, path, name, err);
  if (rc == HATO_OK) rc = check_operations(copy, path, err);
  if (rc == HATO_OK) rc = check_options(copy, path, err);
  return rc;
}

hato_status launchers__load(const char *path, hato_launcher *copy, hato_error *err) {
  void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (object == NULL) {
    const char *why = dlerror();
    return hato__fail(err, HATO_INVALID, "%s cannot be loaded: %s", path,
                      why != NULL ? why : "unknown reason");
  }
  const hato_launcher *found = dlsym(object, SYMBOL);
  if (found == NULL) {
    (void)dlclose(object);
    return hato__fail(err, HATO_INVALID, "%s is not a launcher: it exports no '" SYMBOL "'", path);
  }
  size_t n = 0;
  const char *at = launchers__name_of(path, &n);
  char name[64] = "";
  if (at != NULL && n < sizeof name) memcpy(name, at, n);
  return launchers__check(found, path, at != NULL ? name : NULL, copy, err);
}

/* ---- options ---- */

static hato__conf_type type_of(uint32_t type) {
  switch (type) {
  case HATO_OPTION_BOOL:
    return HATO__CONF_BOOL;
  case HATO_OPTION_INT:
    return HATO__CONF_INT;
  case HATO_OPTION_SIZE:
    return HATO__CONF_SIZE;
  case HATO_OPTION_DURATION:
    return HATO__CONF_DURATION;
  case HATO_OPTION_ENUM:
    return HATO__CONF_ENUM;
  case HATO_OPTION_LIST:
    return HATO__CONF_LIST;
  default:
    return HATO__CONF_STRING;
  }
}

/* Milliseconds of the ABI are nanoseconds in conf. */
static int64_t limit(const hato_option_row *row, int64_t v) {
  const int64_t ms = (int64_t)HATO__MS;
  if (row->type != HATO_OPTION_DURATION) return v;
  return v > INT64_MAX / ms ? INT64_MAX : v < INT64_MIN / ms ? INT64_MIN : v * ms;
}

hato_status launchers__conf(const char *name, const hato_option_row *rows, size_t n, hato__conf **out,
                            hato_error *err) {
  char what[96];
  (void)snprintf(what, sizeof what, "launcher %.70s", name);
  hato__conf *c = hato__conf_create(what);
  *out = NULL;
  if (c == NULL) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", what);
  for (size_t i = 0; i < n; i++) {
    const hato_option_row *r = &rows[i];
    hato_status rc = HATO_OK;
    if (r->name == NULL || r->type > HATO_OPTION_LIST || (r->type == HATO_OPTION_ENUM && r->values == NULL)) {
      rc = hato__fail(err, HATO_INVALID,
                      "option row %zu ('%.40s', type %u) lacks a name, a known type or its values", i,
                      r->name != NULL ? r->name : "", r->type);
    } else {
      hato__conf_row row = {.name = r->name,
                            .type = type_of(r->type),
                            .def = r->def,
                            .min = limit(r, r->min),
                            .max = limit(r, r->max),
                            .names = r->values,
                            .metavar = r->metavar,
                            .help = r->help != NULL ? r->help : "",
                            .flags = (r->flags & HATO_OPTION_REQUIRED ? HATO__CONF_REQUIRED : 0u) |
                                     (r->flags & HATO_OPTION_HIDDEN ? HATO__CONF_HIDDEN : 0u)};
      rc = hato__conf_add(c, &row, 1, err);
    }
    if (rc == HATO_OK) continue;
    hato__conf_destroy(c);
    return rc;
  }
  *out = c;
  return HATO_OK;
}

hato_status launchers__set(hato__conf *c, const char *const *words, hato_error *err) {
  hato__conf_reset(c);
  for (size_t i = 0; words != NULL && words[i] != NULL; i++) {
    hato_status rc = hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, words[i], err);
    if (rc != HATO_OK) return rc;
  }
  return hato__conf_check(c, err);
}

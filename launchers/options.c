/* Services that read the options of a launch. The handle a module gets is the conf itself. */
#include "launchers/internal.h"
#include "base/clock.h"

#include <string.h>

/* The values when there is such an option of such a type; NULL, said in the log, when the module errs. */
static const hato__conf *values(const hato_host *h, const hato_launcher_options *o, const char *name,
                                int type) {
  const hato__conf *c = (const hato__conf *)(const void *)o;
  const hato__conf_row *row = c != NULL && name != NULL ? hato__conf_find(c, name) : NULL;
  if (row != NULL && (type < 0 || (int)row->type == type)) return c;
  launchers__runner_log(
      launchers__runner_of(h), HATO__LOG_ERROR, "asked for option '%s', %s", name != NULL ? name : "(null)",
      row == NULL ? "which its descriptor does not have" : "which its descriptor has in another type");
  return NULL;
}

static int do_is_set(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, -1);
  return c != NULL && hato__conf_is_set(c, name);
}

static int do_bool(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, HATO__CONF_BOOL);
  return c != NULL && hato__conf_get_bool(c, name);
}

static int64_t do_int(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, HATO__CONF_INT);
  return c != NULL ? hato__conf_get_int(c, name) : 0;
}

static uint64_t do_size(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, HATO__CONF_SIZE);
  return c != NULL ? hato__conf_get_size(c, name) : 0;
}

static uint64_t do_duration(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, HATO__CONF_DURATION);
  return c != NULL ? hato__conf_get_duration(c, name) / HATO__MS : 0;
}

static const char *do_string(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, HATO__CONF_STRING);
  return c != NULL ? hato__conf_get_str(c, name) : NULL;
}

static int do_enum(const hato_host *h, const hato_launcher_options *o, const char *name) {
  const hato__conf *c = values(h, o, name, HATO__CONF_ENUM);
  return c != NULL ? hato__conf_get_enum(c, name) : -1;
}

static const char *const *do_list(const hato_host *h, const hato_launcher_options *o, const char *name) {
  static const char *const none[] = {NULL};
  const hato__conf *c = values(h, o, name, HATO__CONF_LIST);
  return c != NULL ? hato__conf_get_list(c, name, &(size_t){0}) : none;
}

void launchers__services_options(hato_host *h) {
  h->option_is_set = do_is_set;
  h->option_bool = do_bool;
  h->option_int = do_int;
  h->option_size = do_size;
  h->option_duration = do_duration;
  h->option_string = do_string;
  h->option_enum = do_enum;
  h->option_list = do_list;
}

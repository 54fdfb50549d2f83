/* The configuration file's parser on any bytes: it may refuse, not fall. A value
 * that was accepted must read back within its row's limits. */
#include "conf/conf.h"
#include "fuzz/fuzz.h"

static const char *const binds[] = {"auto", "core", "none", NULL};
static const hato__conf_row rows[] = {
    {.name = "slots", .type = HATO__CONF_INT, .def = "4", .min = 1, .max = 64},
    {.name = "json", .type = HATO__CONF_BOOL},
    {.name = "memory", .type = HATO__CONF_SIZE, .min = 1024, .max = 1 << 30},
    {.name = "idle", .type = HATO__CONF_DURATION, .min = 1},
    {.name = "launcher", .type = HATO__CONF_STRING},
    {.name = "bind", .type = HATO__CONF_ENUM, .def = "auto", .names = binds},
    {.name = "option", .type = HATO__CONF_LIST},
    {.name = "url", .type = HATO__CONF_STRING, .flags = HATO__CONF_NO_FILE},
};

static hato__conf *open_section(void *arg, const char *kind, const char *name, hato_error *err) {
  (void)err;
  return kind[0] == 0 || name[0] != 0 ? arg : NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static const char *const kinds[] = {"", "profile", NULL};
  hato_error err;
  hato__conf *c = hato__conf_create("fuzz");
  require(c != NULL && hato__conf_add(c, rows, sizeof rows / sizeof *rows, &err) == HATO_OK);
  hato__conf_sections s = {.kinds = kinds, .open = open_section, .arg = c};
  hato_status rc = hato__conf_read_text("fuzz.conf", (const char *)data, size, &s, &err);
  require(rc == HATO_OK || (rc == HATO_INVALID && strncmp(err.text, "fuzz.conf", 9) == 0));
  require(hato__conf_get_int(c, "slots") >= 1 && hato__conf_get_int(c, "slots") <= 64);
  require(hato__conf_get_size(c, "memory") <= 1 << 30);
  require(hato__conf_get_enum(c, "bind") >= 0 && hato__conf_get_enum(c, "bind") < 3);
  require(!hato__conf_is_set(c, "url"));
  size_t n;
  const char *const *list = hato__conf_get_list(c, "option", &n);
  for (size_t i = 0; i < n; i++) require(strlen(list[i]) <= size);
  require(list[n] == NULL);
  hato__conf_destroy(c);
  return 0;
}

/* Where the configuration files are. */
#include "conf/conf.h"

#include <stdio.h>
#include <stdlib.h>

#define SITE_FILE "/etc/hato/hato.conf"

static bool fits(int n, size_t max) { return n > 0 && (size_t)n < max; }

bool hato__conf_path(hato__conf_source source, char *out, size_t n) {
  if (source == HATO__CONF_FROM_SITE) {
    const char *site = getenv("HATO_SITE_CONFIG");
    return fits(snprintf(out, n, "%s", site ? site : SITE_FILE), n);
  }
  const char *user = getenv("HATO_CONFIG"), *xdg = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  if (user) return fits(snprintf(out, n, "%s", user), n);
  if (xdg && *xdg == '/') return fits(snprintf(out, n, "%s/hato/hato.conf", xdg), n);
  return home && *home == '/' && fits(snprintf(out, n, "%s/.config/hato/hato.conf", home), n);
}

hato_status hato__conf_read_all(hato__conf_sections *s, hato_error *err) {
  static const hato__conf_source sources[] = {HATO__CONF_FROM_SITE, HATO__CONF_FROM_FILE};
  for (size_t i = 0; i < 2; i++) {
    char path[4096];
    s->source = sources[i];
    if (!hato__conf_path(s->source, path, sizeof path) || path[0] == 0) continue;
    hato_status st = hato__conf_read_file(path, s, err);
    if (st != HATO_OK && st != HATO_NOT_FOUND) return st;
  }
  return HATO_OK;
}

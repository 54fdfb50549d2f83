#include "cli/serve.h"

#include <string.h>

static bool parse(const char *text, uint16_t *low, uint16_t *high) {
  char first[8] = "";
  uint64_t a, b;
  size_t n = strcspn(text, "-");
  if (n >= sizeof first) return false;
  memcpy(first, text, n);
  if (!hato__parse_u64(first, &a) || a < 1 || a > 65535) return false;
  b = a;
  if (text[n] == '-' && (!hato__parse_u64(text + n + 1, &b) || b < a || b > 65535)) return false;
  *low = (uint16_t)a;
  *high = (uint16_t)b;
  return true;
}

int cli_ports(cli *c, uint16_t *low, uint16_t *high) {
  const char *text = hato__conf_get_str(c->conf, "port");
  *low = *high = 0;
  if (!text || parse(text, low, high)) return CLI_OK;
  return cli_fail(c, CLI_USAGE, "--port is \"%s\"; a port of 1 to 65535 or a range of them, as 6000-6010, was wanted", text);
}

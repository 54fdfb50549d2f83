/* What a dispatcher's options say of networks. */
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

static int check_certificate(cli *c) {
  const char *certificate = hato__conf_get_str(c->conf, "tls-certificate"), *key = hato__conf_get_str(c->conf, "tls-key"),
             *ca = hato__conf_get_str(c->conf, "tls-ca");
  bool pass = hato__conf_get_str(c->conf, "tls-pass-file") != NULL;
  if (!certificate && (key || ca || pass))
    return cli_fail(c, CLI_USAGE, "--%s needs --tls-certificate: the certificate that it is of",
                    key ? "tls-key" : ca ? "tls-ca" : "tls-pass-file");
  if (certificate && !key)
    return cli_fail(c, CLI_USAGE, "--tls-certificate needs --tls-key: the file with its private key");
  return CLI_OK;
}

net_munge cli_munge(const cli *c) {
  static const net_munge munge[] = {NET_MUNGE_AUTO, NET_MUNGE_REQUIRE, NET_MUNGE_OFF};
  return munge[hato__conf_get_enum(c->conf, "munge")];
}

int cli_network(cli *c, dispatcher_network *n) {
  static const dispatcher_tls tls[] = {DISPATCHER_TLS_AUTO, DISPATCHER_TLS_ALWAYS, DISPATCHER_TLS_NEVER};
  const char *text = hato__conf_get_str(c->conf, "port");
  *n = (dispatcher_network){.dial_hosts = hato__conf_get_list(c->conf, "dial-host", NULL),
                            .interfaces = hato__conf_get_list(c->conf, "interface", NULL),
                            .munge = cli_munge(c),
                            .tls = tls[hato__conf_get_enum(c->conf, "tls")]};
  if (!text || parse(text, &n->port_low, &n->port_high)) return check_certificate(c);
  return cli_fail(c, CLI_USAGE, "--port is \"%s\"; a port of 1 to 65535 or a range of them, as 6000-6010, was wanted", text);
}

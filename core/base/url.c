#include "base/url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

hato__scheme hato__url_scheme(const char *url) {
  static const struct {
    const char *name;
    hato__scheme scheme;
  } known[] = {{"ipc", HATO__SCHEME_SOCKET},       {"unix", HATO__SCHEME_SOCKET},     {"abstract", HATO__SCHEME_SOCKET},
               {"tcp", HATO__SCHEME_TCP},          {"tcp4", HATO__SCHEME_TCP},        {"tcp6", HATO__SCHEME_TCP},
               {"ws", HATO__SCHEME_WS},            {"tls+tcp", HATO__SCHEME_TLS},     {"tls+tcp4", HATO__SCHEME_TLS},
               {"tls+tcp6", HATO__SCHEME_TLS},     {"wss", HATO__SCHEME_WSS}};
  for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
    size_t n = strlen(known[i].name);
    if (strncmp(url, known[i].name, n) == 0 && strncmp(url + n, "://", 3) == 0) return known[i].scheme;
  }
  return HATO__SCHEME_NONE;
}

static bool is_loopback_six(const char *address) {
  struct in6_addr a;
  if (inet_pton(AF_INET6, address, &a) != 1) return false;
  return IN6_IS_ADDR_LOOPBACK(&a) || (IN6_IS_ADDR_V4MAPPED(&a) && a.s6_addr[12] == IN_LOOPBACKNET);
}

bool hato__is_loopback(const char *host) {
  char text[64];
  struct in_addr a;
  bool six = *host == '[';
  if (six) host++;
  size_t n = strcspn(host, six ? "]" : ":/");
  if (n >= sizeof text) return false; /* longer than an address may be */
  memcpy(text, host, n);
  text[n] = 0;
  if (six) return host[n] == ']' && is_loopback_six(text);
  if (strcasecmp(text, "localhost") == 0) return true;
  /* As whoever dials it reads it, "127.1" too; a name may begin with 127. */
  return isdigit((unsigned char)*text) && !strpbrk(text, " \t\n\v\f\r") && inet_aton(text, &a) != 0 &&
         ntohl(a.s_addr) >> 24 == IN_LOOPBACKNET;
}

bool hato__url_is_local(const char *url) {
  hato__scheme s = hato__url_scheme(url);
  return s == HATO__SCHEME_SOCKET || (s != HATO__SCHEME_NONE && hato__is_loopback(strstr(url, "://") + 3));
}

bool hato__url_is_encrypted(const char *url) { return hato__scheme_is_encrypted(hato__url_scheme(url)); }

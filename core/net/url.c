/* The URLs we take. What NNG would call an invalid address is said in words here. */
#include "net/internal.h"
#include "base/str.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>

static hato_status check_six(const char *url, const char *from, const char *to, hato_error *err) {
  char text[INET6_ADDRSTRLEN + 32];
  struct in6_addr a;
  size_t n = (size_t)(to - from);
  if (n >= sizeof text) n = sizeof text - 1;
  memcpy(text, from, n);
  text[n] = 0;
  char *scope = strchr(text, '%');
  if (scope != NULL) *scope = 0;
  if (inet_pton(AF_INET6, text, &a) != 1)
    return hato__fail(err, HATO_ADDRESS_INVALID, "%s: \"%s\" is not an IPv6 address", url, text);
  if (scope != NULL || IN6_IS_ADDR_LINKLOCAL(&a))
    return hato__fail(err, HATO_ADDRESS_INVALID,
                      "%s: an address of one link means another thing on each machine; want the host's name or "
                      "another of its addresses",
                      url);
  return HATO_OK;
}

/* The host; *rest is what follows it. */
static hato_status check_host(const char *url, const char **rest, hato_error *err) {
  const char *host = strstr(url, "://") + 3;
  if (*host == '[') {
    const char *end = strchr(host, ']');
    if (end == NULL) return hato__fail(err, HATO_ADDRESS_INVALID, "%s: the ] of its address is missing", url);
    *rest = end + 1;
    return check_six(url, host + 1, end, err);
  }
  *rest = host + strcspn(host, ":/");
  const char *colon = **rest == ':' ? strchr(*rest + 1, ':') : NULL;
  if (colon != NULL)
    return hato__fail(err, HATO_ADDRESS_INVALID, "%s: an IPv6 address stands in brackets, as in tcp://[::1]:5555",
                      url);
  return HATO_OK;
}

/* What may follow the host of a WebSocket is a port and a path. */
static hato_status check_tcp(const char *url, hato_error *err) {
  const char *rest;
  char number[8] = ""; /* as much of it as tells that it is too long */
  uint64_t port;
  hato_status st = check_host(url, &rest, err);
  if (st != HATO_OK || *rest == 0) return st;
  if (*rest == ':') snprintf(number, sizeof number, "%.*s", (int)strcspn(rest + 1, "/"), rest + 1);
  if (*rest != ':' || !hato__parse_u64(number, &port) || port > 65535 || strlen(number) > 5)
    return hato__fail(err, HATO_ADDRESS_INVALID, "%s: \"%s\" follows the host, want a colon and a port of 0 to 65535",
                      url, rest);
  return HATO_OK;
}

hato_status net__url_names_port(const char *url, hato__scheme kind, hato_error *err) {
  const char *rest;
  uint64_t port = 0;
  if (kind == HATO__SCHEME_SOCKET) return HATO_OK;
  hato_status st = check_host(url, &rest, err);
  if (st != HATO_OK) return st;
  if (*rest == ':') port = strtoull(rest + 1, NULL, 10);
  return port != 0 ? HATO_OK : hato__fail(err, HATO_ADDRESS_INVALID, "%s: names no port to dial", url);
}

static hato_status check_path(const char *url, hato_error *err) {
  const char *path = strstr(url, "://") + 3;
  size_t n = strlen(path), most = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;
  if (n == 0) return hato__fail(err, HATO_ADDRESS_INVALID, "%s: names no socket", url);
  if (n > most)
    return hato__fail(err, HATO_ADDRESS_INVALID,
                      "%s: the path of a socket has at most %zu bytes, this one %zu", url, most, n);
  return HATO_OK;
}

hato_status net__url_check(const char *url, hato__scheme *kind, hato_error *err) {
  *kind = HATO__SCHEME_NONE;
  if (url == NULL) return hato__fail(err, HATO_INVALID, "no URL");
  *kind = hato__url_scheme(url);
  if (*kind == HATO__SCHEME_SOCKET) return check_path(url, err);
  if (*kind != HATO__SCHEME_NONE) return check_tcp(url, err);
  return hato__fail(err, HATO_ADDRESS_INVALID,
                    "%s: not a URL hato knows, want ipc, abstract, tcp, tls+tcp, ws or wss", url);
}

#include "dispatcher/addresses.h"
#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RANK_NAMED, RANK_ROUTED, RANK_OTHER };

static bool host_of(const struct sockaddr *sa, address *a) {
  char text[INET6_ADDRSTRLEN];
  const void *raw;
  a->six = sa->sa_family == AF_INET6;
  if (a->six) {
    raw = &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
    if (IN6_IS_ADDR_LINKLOCAL((const struct in6_addr *)raw)) return false;
  } else {
    const struct in_addr *in = &((const struct sockaddr_in *)(const void *)sa)->sin_addr;
    if ((ntohl(in->s_addr) >> 16) == 0xa9fe) return false; /* 169.254.0.0/16 */
    raw = in;
  }
  if (!inet_ntop(sa->sa_family, raw, text, sizeof text)) return false;
  snprintf(a->host, sizeof a->host, a->six ? "[%s]" : "%s", text);
  return true;
}

static bool is_ip(const struct sockaddr *sa) {
  return sa && (sa->sa_family == AF_INET || sa->sa_family == AF_INET6);
}

static bool listed(const char *const *names, const char *name) {
  for (; *names; names++)
    if (strcmp(*names, name) == 0) return true;
  return false;
}

/* Without IFF_RUNNING nothing is at the other end: an unplugged card, a bridge of no container. */
static bool wanted(const struct ifaddrs *i, const char *const *interfaces) {
  if (!is_ip(i->ifa_addr)) return false;
  if (interfaces) return listed(interfaces, i->ifa_name);
  return (i->ifa_flags & IFF_UP) && (i->ifa_flags & IFF_RUNNING) && !(i->ifa_flags & IFF_LOOPBACK);
}

/* ---- the order ---- */

static void promote(address *all, size_t n, const char *host, unsigned rank) {
  for (size_t i = 0; i < n; i++)
    if (strcmp(all[i].host, host) == 0 && all[i].rank > rank) all[i].rank = rank;
}

static void promote_named(address *all, size_t n) {
  char name[256];
  struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *list = NULL;
  hato__hostname(name, sizeof name);
  if (getaddrinfo(name, NULL, &hints, &list) != 0) return;
  for (struct addrinfo *i = list; i; i = i->ai_next) {
    address a;
    if (is_ip(i->ai_addr) && host_of(i->ai_addr, &a)) promote(all, n, a.host, RANK_NAMED);
  }
  freeaddrinfo(list);
}

/* To connect a datagram socket sends nothing: it looks up the route, and so the address we would have there. */
static void promote_routed(address *all, size_t n, const struct sockaddr *far, socklen_t len) {
  struct sockaddr_in6 mine; /* the larger of the two */
  socklen_t size = sizeof mine;
  address a;
  int fd = socket(far->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  struct sockaddr *sa = (struct sockaddr *)(void *)&mine;
  if (connect(fd, far, len) == 0 && getsockname(fd, sa, &size) == 0 && host_of(sa, &a))
    promote(all, n, a.host, RANK_ROUTED);
  close(fd);
}

/* Some address of the world, of the ranges that are for documentation: nobody has it. */
static void promote_default_routes(address *all, size_t n) {
  struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(9)};
  struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(9)};
  inet_pton(AF_INET, "198.51.100.1", &four.sin_addr);
  inet_pton(AF_INET6, "2001:db8::1", &six.sin6_addr);
  promote_routed(all, n, (const struct sockaddr *)(const void *)&four, sizeof four);
  promote_routed(all, n, (const struct sockaddr *)(const void *)&six, sizeof six);
}

static bool before(const address *a, const address *b) {
  return a->rank != b->rank ? a->rank < b->rank : a->six < b->six;
}

/* Keeps the system's order of equals; there are few. */
static void sort(address *all, size_t n) {
  for (size_t i = 1; i < n; i++) {
    address a = all[i];
    size_t at = i;
    for (; at > 0 && before(&a, &all[at - 1]); at--) all[at] = all[at - 1];
    all[at] = a;
  }
}

/* ---- */

static bool usable(const struct ifaddrs *i) {
  address a;
  return is_ip(i->ifa_addr) && host_of(i->ifa_addr, &a);
}

static const struct ifaddrs *first_usable(const struct ifaddrs *list, const char *name) {
  while (list && !(usable(list) && strcmp(list->ifa_name, name) == 0)) list = list->ifa_next;
  return list;
}

static bool there_is(const struct ifaddrs *list, const char *name) {
  while (list && strcmp(list->ifa_name, name) != 0) list = list->ifa_next;
  return list != NULL;
}

static hato_status not_found(const struct ifaddrs *list, const char *name, hato_error *err) {
  hato__buf have = {0};
  for (const struct ifaddrs *i = list; i; i = i->ifa_next)
    if (first_usable(list, i->ifa_name) == i)
      hato__buf_printf(&have, "%s%s", have.len ? ", " : "", i->ifa_name);
  const char *text = have.len ? hato__buf_text(&have) : NULL;
  hato__fail(err, HATO_NOT_FOUND, "network interface \"%s\" %s; there are: %s", name,
             there_is(list, name) ? "has no address that other machines could dial" : "is not there",
             text ? text : "none");
  hato__buf_free(&have);
  return HATO_NOT_FOUND;
}

hato_status dispatcher_addresses(const char *const *interfaces, address **out, size_t *n, hato_error *err) {
  struct ifaddrs *list = NULL;
  size_t most = 0;
  *out = NULL;
  *n = 0;
  if (interfaces && !*interfaces) interfaces = NULL;
  if (getifaddrs(&list) != 0) return hato__fail_errno(err, "cannot list this machine's addresses");
  for (const struct ifaddrs *i = list; i; i = i->ifa_next) most++;
  hato_status st = HATO_OK;
  for (const char *const *i = interfaces; !st && i && *i; i++)
    if (!first_usable(list, *i)) st = not_found(list, *i, err);
  address *all = st ? NULL : calloc(most + 1, sizeof *all);
  if (!st && !all) st = hato__fail(err, HATO_NO_MEMORY, "no memory for this machine's addresses");
  for (const struct ifaddrs *i = list; all && i; i = i->ifa_next) {
    if (!wanted(i, interfaces) || !host_of(i->ifa_addr, &all[*n])) continue;
    all[(*n)++].rank = RANK_OTHER;
  }
  freeifaddrs(list);
  if (!st && *n > 1) {
    promote_default_routes(all, *n);
    promote_named(all, *n);
    sort(all, *n);
  }
  *out = all;
  return st;
}

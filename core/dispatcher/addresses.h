/* The addresses of this machine that peers elsewhere can dial. */
#ifndef HATO_DISPATCHER_ADDRESSES_H
#define HATO_DISPATCHER_ADDRESSES_H

#include "hato/status.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct address {
  char host[INET6_ADDRSTRLEN + 2]; /* as in a url: an IPv6 one in brackets */
  bool six;
  unsigned rank; /* the lower the likelier to be reached */
} address;

/* interfaces: NULL or empty: all that are up, but loopback. Else exactly these (NULL-terminated), loopback
 * too if it is named. Link-local addresses are left out: they mean something only with the name of an
 * interface, and the peer's is its own. The best first: what this machine's name says, what its default
 * routes use, the others; of each IPv4 first. *n may be 0 without interfaces, else NOT_FOUND, with the names
 * of those that there are. May block on looking up this machine's name. Free *out. */
hato_status dispatcher_addresses(const char *const *interfaces, address **out, size_t *n, hato_error *err);

#endif

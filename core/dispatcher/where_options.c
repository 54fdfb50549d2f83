/* What the options say of where daemons dial. */
#include "base/str.h"
#include "dispatcher/addresses.h"
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

/* A host goes into urls: an IPv6 address in brackets, and no port. NULL: it is no host. */
static const char *form_of(const char *h) {
  const char *first = strchr(h, ':');
  bool bare6 = *h != '[' && first && first != strrchr(h, ':');
  const char *after = *h == '[' ? strchr(h, ']') : h;
  bool port = !bare6 && after && strchr(after, ':');
  if (*h == 0 || port || !after || strpbrk(h, "/, \t")) return NULL;
  return bare6 ? "[" : "";
}

static hato_status copy(char ***to, const char *const *from, bool hosts, hato_error *err) {
  size_t n = 0;
  while (from && from[n]) n++;
  if (n == 0) return HATO_OK;
  *to = calloc(n + 1, sizeof **to);
  for (size_t i = 0; *to && i < n; i++) {
    const char *open = hosts ? form_of(from[i]) : "";
    if (!open)
      return hato__fail(err, HATO_INVALID,
                        "host to dial \"%s\": the name or address of a host was wanted, without a port",
                        from[i]);
    (*to)[i] = hato__printf("%s%s%s", open, from[i], *open ? "]" : "");
    if (!(*to)[i]) return hato__fail(err, HATO_NO_MEMORY, "no memory for a dispatcher");
  }
  return *to ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a dispatcher");
}

hato_status dispatcher_where_open(dispatcher *d, const dispatcher_options *o, hato_error *err) {
  where *w = &d->where;
  address *addresses = NULL;
  size_t n;
  pthread_mutex_init(&w->lock, NULL);
  w->open = true;
  w->listening = o->listening;
  w->arg = o->listening_arg;
  w->port_low = o->network.port_low;
  w->port_high = o->network.port_high ? o->network.port_high : o->network.port_low;
  if (w->port_high < w->port_low || (w->port_low == 0 && w->port_high != 0))
    return hato__fail(err, HATO_INVALID, "ports %u-%u: the first was wanted to be the lower", w->port_low,
                      w->port_high);
  hato_status st = copy(&w->hosts, o->network.dial_hosts, true, err);
  if (!st) st = copy(&w->interfaces, o->network.interfaces, false, err);
  if (st || !w->interfaces) return st;
  st = dispatcher_addresses(o->network.interfaces, &addresses, &n, err); /* a wrong name is said at once */
  free(addresses);
  return st;
}

void dispatcher_where_close(dispatcher *d) {
  dispatcher_where_free(d->where.hosts);
  dispatcher_where_free(d->where.interfaces);
  if (d->where.open) pthread_mutex_destroy(&d->where.lock);
}

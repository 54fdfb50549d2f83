/* Listening for daemons: the hosts and the port that the options allow. */
#include "base/io.h"
#include "base/str.h"
#include "base/url.h"
#include "dispatcher/internal.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ANY_PORT_TRIES 20 /* a free port of one address may be taken on another */

static const char *scheme_for(const dispatcher *d, const char *host) {
  bool encrypt = d->tls == DISPATCHER_TLS_ALWAYS || (d->tls == DISPATCHER_TLS_AUTO && !hato__is_loopback(host));
  return encrypt ? "tls+tcp" : "tcp";
}

void dispatcher_ports_say(dispatcher *d, const char *url) {
  if (!hato__url_is_encrypted(url) && !hato__url_is_local(url))
    hato__warn(&d->log, "LISTENING-PLAIN",
               "listens at %s, where nothing is encrypted: who is on the way reads all but the credentials", url);
  else
    hato__info(&d->log, "LISTENING", "listens at %s for daemons", url);
}

/* All hosts on one port, or none; port 0: one that is free. */
hato_status dispatcher_ports_listen_at(dispatcher *d, char *const *hosts, unsigned port, hato_error *err) {
  net_listener *l[32];
  unsigned n = 0;
  hato_status st = dispatcher_credentials_publish(d, err);
  for (; !st && *hosts && n < sizeof l / sizeof *l; hosts++) {
    char *url = hato__printf("%s://%s:%u", scheme_for(d, *hosts), *hosts, port);
    st = url ? net_listen(url, &d->guard, &d->log, dispatcher_peers_admitted, d, &l[n], err)
             : hato__fail(err, HATO_NO_MEMORY, "no memory for a listener");
    free(url);
    if (!st && port == 0) port = (unsigned)atoi(strrchr(net_listener_url(l[n]), ':') + 1);
    if (!st) n++;
  }
  if (!st) st = dispatcher_listeners_add(d, l, n, err);
  for (unsigned i = 0; i < n; i++) {
    if (st) {
      net_listener_close(l[i]);
    } else {
      dispatcher_ports_say(d, net_listener_url(l[i]));
    }
  }
  return st;
}

hato_status dispatcher_ports_listen(dispatcher *d, char *const *hosts, hato_error *err) {
  const where *w = &d->where;
  hato_status st = HATO_ADDRESS_IN_USE;
  if (w->port_low == 0) {
    for (int i = 0; i < ANY_PORT_TRIES && st == HATO_ADDRESS_IN_USE; i++) st = dispatcher_ports_listen_at(d, hosts, 0, err);
    return st;
  }
  for (unsigned port = w->port_low; port <= w->port_high && st == HATO_ADDRESS_IN_USE; port++)
    st = dispatcher_ports_listen_at(d, hosts, port, err);
  if (st != HATO_ADDRESS_IN_USE) return st;
  if (w->port_low == w->port_high)
    return hato__fail(err, st, "cannot listen for daemons on other machines: port %u is in use", w->port_low);
  return hato__fail(err, st, "cannot listen for daemons on other machines: all ports of %u-%u are in use",
                    w->port_low, w->port_high);
}

/* The system has IPv6, and of a socket of both families ([::]) the IPv4 half too. */
static bool has_six(bool *dual) {
  char text[8] = "";
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return false;
  close(fd);
  fd = open("/proc/sys/net/ipv6/bindv6only", O_RDONLY | O_CLOEXEC);
  *dual = fd < 0 || read(fd, text, sizeof text - 1) <= 0 || text[0] != '1';
  if (fd >= 0) close(fd);
  return true;
}

hato_status dispatcher_ports_everywhere(dispatcher *d, hato_error *err) {
  char six[] = "[::]", four[] = "0.0.0.0";
  bool dual = true, have = has_six(&dual);
  hato_status st = HATO_NOT_SUPPORTED;
  if (have) st = dispatcher_ports_listen(d, (char *[]){six, dual ? NULL : four, NULL}, err);
  if (!st || st == HATO_ADDRESS_IN_USE || st == HATO_PERMISSION) return st;
  return dispatcher_ports_listen(d, (char *[]){four, NULL}, err);
}

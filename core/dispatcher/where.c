#include "base/buf.h"
#include "base/str.h"
#include "base/url.h"
#include "dispatcher/addresses.h"
#include "dispatcher/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct list { /* of texts; NULL-terminated when it was asked for */
  char **at;
  size_t n;
  bool failed;
} list;

void dispatcher_where_free(char **urls) { hato__texts_free(urls); }

/* Takes text; each once. */
static void put(list *l, char *text) {
  for (size_t i = 0; text && i < l->n; i++)
    if (strcmp(l->at[i], text) == 0) {
      free(text);
      return;
    }
  char **more = text ? realloc(l->at, (l->n + 2) * sizeof *more) : NULL;
  if (!more) {
    l->failed = true;
    free(text);
    return;
  }
  l->at = more;
  more[l->n++] = text;
  more[l->n] = NULL;
}

static hato_status give(list *l, hato_status st, char ***urls, hato_error *err) {
  if (!st && l->failed) st = hato__fail(err, HATO_NO_MEMORY, "no memory for where to dial");
  if (!st && l->n == 0) st = hato__fail(err, HATO_STATE, "the dispatcher listens nowhere yet");
  if (st) {
    dispatcher_where_free(l->at);
  } else {
    *urls = l->at;
  }
  return st;
}

/* ---- urls ---- */

typedef struct place { /* a url of a network, in its parts */
  bool encrypted;
  char scheme[12], host[256];
  const char *rest; /* from the colon of the port on */
} place;

/* False: a socket of this machine only. */
static bool parse(const char *url, place *p) {
  const char *host = strstr(url, "://");
  hato__scheme kind = hato__url_scheme(url);
  p->encrypted = hato__scheme_is_encrypted(kind);
  if (kind == HATO__SCHEME_NONE || kind == HATO__SCHEME_SOCKET) return false;
  size_t scheme = (size_t)(host - url);
  host += 3;
  const char *end = *host == '[' ? strchr(host, ']') : host;
  const char *colon = end ? strchr(end, ':') : NULL;
  if (!colon || scheme >= sizeof p->scheme || (size_t)(colon - host) >= sizeof p->host) return false;
  snprintf(p->scheme, sizeof p->scheme, "%.*s", (int)scheme, url);
  snprintf(p->host, sizeof p->host, "%.*s", (int)(colon - host), host);
  p->rest = colon;
  return true;
}

static bool all_of_four(const char *host) {
  return *host == 0 || strcmp(host, "*") == 0 || strcmp(host, "0.0.0.0") == 0;
}
static bool all_of_both(const char *host) { return strcmp(host, "[::]") == 0; }

static void put_url(list *l, const place *p, const char *host) {
  put(l, hato__printf("%s://%s%s", p->scheme, host, p->rest));
}

/* The urls of what is listened at, copied: a listener may come meanwhile. */
static void listened(dispatcher *d, list *l) {
  dispatcher_lock(d);
  for (unsigned i = 0; i < d->n_listeners; i++)
    put(l, hato__printf("%s", net_listener_url(d->listeners[i])));
  dispatcher_unlock(d);
}

/* ---- beyond this machine ---- */

typedef struct beyond {
  dispatcher *d;
  address *addresses; /* the interfaces' */
  size_t n;
} beyond;

static bool of_interfaces(const beyond *b, const char *host) {
  for (size_t i = 0; i < b->n; i++)
    if (strcmp(b->addresses[i].host, host) == 0) return true;
  return false;
}

/* Daemons elsewhere may use this listener. */
static bool reaches(const beyond *b, const char *url, const place *p) {
  if (all_of_four(p->host) || all_of_both(p->host)) return true;
  return b->d->where.interfaces ? of_interfaces(b, p->host) : !hato__url_is_local(url);
}

/* As daemons dial a listener: all addresses of this machine become each of them. */
static void expand(const beyond *b, const place *p, list *l) {
  bool four = all_of_four(p->host), both = all_of_both(p->host);
  char **host = b->d->where.hosts;
  if (host) {
    for (; *host; host++) put_url(l, p, *host);
  } else if (four || both) {
    for (size_t i = 0; i < b->n; i++)
      if (both || !b->addresses[i].six) put_url(l, p, b->addresses[i].host);
  } else {
    put_url(l, p, p->host);
  }
}

/* Daemons may dial it as it is: that somebody listens for plain clients says nothing of them. */
static bool may_be_plain(const beyond *b, const char *url) {
  return b->d->tls == DISPATCHER_TLS_NEVER || (b->d->tls == DISPATCHER_TLS_AUTO && hato__url_is_local(url));
}

/* What is listened at, as daemons elsewhere dial it. Where something is encrypted, nothing else. */
static void reachable(const beyond *b, list *l) {
  list all = {0};
  place p;
  listened(b->d, &all);
  for (int encrypted = 1; encrypted >= 0 && l->n == 0; encrypted--)
    for (size_t i = 0; i < all.n; i++)
      if (parse(all.at[i], &p) && p.encrypted == encrypted && (encrypted || may_be_plain(b, all.at[i])) &&
          reaches(b, all.at[i], &p))
        expand(b, &p, l);
  l->failed |= all.failed;
  dispatcher_where_free(all.at);
}

/* ---- listening when it is needed ---- */

/* One port for all daemons, on the interfaces that were named, else on all. */
static hato_status listen_beyond(const beyond *b, hato_error *err) {
  list hosts = {0};
  if (!b->d->where.interfaces) return dispatcher_ports_everywhere(b->d, err);
  for (size_t i = 0; i < b->n; i++) put(&hosts, hato__printf("%s", b->addresses[i].host));
  hato_status st = hosts.failed || !hosts.at ? hato__fail(err, HATO_NO_MEMORY, "no memory for where to dial")
                                             : dispatcher_ports_listen(b->d, hosts.at, err);
  dispatcher_where_free(hosts.at);
  return st;
}

static hato_status where_beyond(dispatcher *d, list *l, bool *fresh, hato_error *err) {
  beyond b = {.d = d};
  const char *const *interfaces = (const char *const *)d->where.interfaces;
  hato_status st = dispatcher_addresses(interfaces, &b.addresses, &b.n, err);
  if (st) return st;
  reachable(&b, l);
  if (l->n == 0 && !l->failed) {
    st = listen_beyond(&b, err);
    *fresh = !st;
    if (!st) reachable(&b, l);
    if (!st && l->n == 0 && !l->failed)
      st = hato__fail(err, HATO_UNREACHABLE, "this machine has no address beyond loopback for daemons to dial");
  }
  free(b.addresses);
  return st;
}

/* ---- on this machine ---- */

static void on_loopback(dispatcher *d, list *l) {
  list all = {0};
  place p;
  listened(d, &all);
  for (size_t i = 0; i < all.n; i++) {
    /* The near end of a tunnel, which encrypts itself. */
    if (!parse(all.at[i], &p) || p.encrypted != (d->tls == DISPATCHER_TLS_ALWAYS)) continue;
    if (all_of_four(p.host) || all_of_both(p.host)) {
      put_url(l, &p, "127.0.0.1");
    } else if (hato__url_is_local(all.at[i])) {
      put_url(l, &p, p.host);
    }
  }
  l->failed |= all.failed;
  dispatcher_where_free(all.at);
}

static hato_status where_loopback(dispatcher *d, list *l, bool *fresh, hato_error *err) {
  char four[] = "127.0.0.1", six[] = "[::1]";
  hato_status st = HATO_OK;
  on_loopback(d, l);
  if (l->n > 0 || l->failed) return HATO_OK;
  st = dispatcher_ports_listen_at(d, (char *[]){four, NULL}, 0, err);
  if (st == HATO_ADDRESS_INVALID) st = dispatcher_ports_listen_at(d, (char *[]){six, NULL}, 0, err);
  *fresh = !st;
  if (!st) on_loopback(d, l);
  return st;
}

/* ---- */

hato_status dispatcher_where(dispatcher *d, where_kind kind, char ***urls, hato_error *err) {
  list l = {0};
  hato_status st = HATO_OK;
  bool fresh = false;
  *urls = NULL;
  pthread_mutex_lock(&d->where.lock);
  switch (kind) {
  case WHERE_HERE:
    listened(d, &l);
    while (l.n > 1) free(l.at[--l.n]), l.at[l.n] = NULL;
    break;
  case WHERE_LOOPBACK:
    st = where_loopback(d, &l, &fresh, err);
    break;
  case WHERE_BEYOND:
    st = where_beyond(d, &l, &fresh, err);
    break;
  }
  pthread_mutex_unlock(&d->where.lock);
  if (fresh && d->where.listening) d->where.listening(d->where.arg);
  return give(&l, st, urls, err);
}

hato_status dispatcher_reach(dispatcher *d, char ***urls, hato_error *err) {
  beyond b = {.d = d};
  list l = {0}, all = {0};
  place p;
  *urls = NULL;
  pthread_mutex_lock(&d->where.lock);
  hato_status st = dispatcher_addresses((const char *const *)d->where.interfaces, &b.addresses, &b.n, err);
  listened(d, &all);
  for (size_t i = 0; !st && i < all.n; i++)
    if (parse(all.at[i], &p) && reaches(&b, all.at[i], &p)) {
      expand(&b, &p, &l);
    } else {
      put(&l, hato__printf("%s", all.at[i]));
    }
  pthread_mutex_unlock(&d->where.lock);
  l.failed |= all.failed;
  dispatcher_where_free(all.at);
  free(b.addresses);
  return give(&l, st, urls, err);
}

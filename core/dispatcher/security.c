/* Who is admitted how, who was, and by what: told, and credentials renewed and revoked. */
#include "dispatcher/internal.h"

#include "base/url.h"

#include <stdlib.h>
#include <string.h>

static const char *const tls_names[] = {
    [DISPATCHER_TLS_AUTO] = "auto", [DISPATCHER_TLS_ALWAYS] = "always", [DISPATCHER_TLS_NEVER] = "never"};
static const char *const munge_names[] = {
    [NET_MUNGE_AUTO] = "auto", [NET_MUNGE_REQUIRE] = "require", [NET_MUNGE_OFF] = "off"};

/* ---- told ---- */

json_t *dispatcher_listeners_json(dispatcher *d) {
  json_t *list = json_array();
  for (unsigned i = 0; i < d->n_listeners; i++) {
    const char *url = net_listener_url(d->listeners[i]);
    net_asks asks = net_listener_asks(d->listeners[i]);
    json_array_append_new(list, json_pack("{s:s,s:s,s:b,s:b,s:s,s:s}", "url", url, "reach",
                                          hato__url_is_local(url) ? "machine" : "network", "encrypted",
                                          asks.encrypted, "peer_uid", asks.local, "secret",
                                          asks.local ? "daemons" : "all", "munge", munge_names[asks.munge]));
  }
  return list;
}

/* null: there is none yet. */
static json_t *certificate_json(dispatcher *d) {
  hato__certificate c;
  bool made;
  char hex[2 * HATO__FINGERPRINT_BYTES + 1];
  if (!dispatcher_credentials_certificate(d, &c, &made)) return json_null();
  hato__hex(hex, c.fingerprint, sizeof c.fingerprint);
  return json_pack("{s:s,s:s,s:b}", "name", c.name, "fingerprint", hex, "made", made);
}

/* munged is asked when it is begun to listen on a network: before that nobody knows whether it answers. */
static json_t *munge_json(const dispatcher *d) {
  bool answered = false, asked = false;
  for (unsigned i = 0; i < d->n_listeners; i++) {
    net_asks asks = net_listener_asks(d->listeners[i]);
    asked |= !asks.local && d->guard.munge != NET_MUNGE_OFF;
    answered |= asks.munge_answered;
  }
  json_t *o = json_pack("{s:s}", "policy", munge_names[d->guard.munge]);
  if (asked) json_object_set_new(o, "answered", json_boolean(answered));
  return o;
}

static json_t *peer_json(peer *p) {
  const net_peer *n = net_peer_of(p->conn);
  json_t *o = json_pack("{s:s,s:s,s:f,s:b,s:b,s:b,s:b,s:b}", "role",
                        p->kind == PEER_CLIENT ? "client" : "daemon", "address", n->address, "since",
                        (double)p->since_wall / 1e9, "local", n->local, "encrypted", n->encrypted, "peer_uid",
                        n->peer_uid, "secret", n->secret, "munge", n->munge);
  if (n->secret) json_object_set_new(o, "credential", json_integer((json_int_t)n->id));
  if (p->introduced && p->kind == PEER_CLIENT) {
    json_object_set_new(o, "label", json_string(client_of(p)->label));
  } else if (p->introduced) {
    const worker *w = worker_of(p);
    json_object_set_new(o, "daemon", json_integer(w->number));
    json_object_set_new(o, "host", json_string(w->host));
    json_object_set_new(o, "pid", json_integer(w->pid));
    json_object_set_new(o, "launch", json_integer((json_int_t)w->launch));
  }
  return o;
}

json_t *dispatcher_security_json(dispatcher *d) {
  char host[256];
  hato__hostname(host, sizeof host);
  json_t *peers = json_array();
  for (hato__link *at = d->peers.next; at != &d->peers; at = at->next)
    json_array_append_new(peers, peer_json(HATO__ENTRY(at, peer, link)));
  return json_pack("{s:s,s:s,s:s,s:o,s:o,s:o,s:o,s:o}", "session", d->session ? d->session : "", "host", host, "tls",
                   tls_names[d->tls], "certificate", certificate_json(d), "munge", munge_json(d), "listeners",
                   dispatcher_listeners_json(d), "credentials", dispatcher_credentials_json(d), "connected", peers);
}

/* ---- credentials: listed, renewed, revoked ---- */

typedef struct keeping {
  errand errand;
  bool revoke;
  proto_role role;
  uint64_t number;
} keeping;

/* Whether there is what is asked for. A launch that is revoked ends with its credential: its daemons could never come
 * again, and what a scheduler keeps for it would run for nothing. */
static hato_status prepare(dispatcher *d, const keeping *k, hato_error *err) {
  hato_status st = HATO_OK;
  dispatcher_lock(d);
  if (k->number) st = dispatcher_launch_check(d, k->number, err);
  if (!st && k->number && k->revoke) dispatcher_launch_revoked(d, k->number);
  dispatcher_unlock(d);
  return st;
}

static hato_status change(dispatcher *d, const keeping *k, unsigned *gone, hato_error *err) {
  if (!k->revoke) return dispatcher_credentials_renew(d, k->role, k->number, err);
  hato_status st = dispatcher_credentials_revoke(d, k->role, k->number, &k->errand.client->peer, gone, err);
  if (k->number == 0) return st;
  dispatcher_lock(d);
  dispatcher_launch_end(d, k->number);
  dispatcher_unlock(d);
  return HATO_OK; /* one that has no credential yet gets none */
}

static void answer(dispatcher *d, const keeping *k, unsigned gone) {
  const char *role = hato__role_name((hato__role)k->role), *label = k->errand.client->label;
  char whose[64];
  snprintf(whose, sizeof whose, k->number ? "launch %llu" : k->role == PROTO_ROLE_CLIENT ? "clients" : "daemons started by hand",
           (unsigned long long)k->number);
  hato__notice(&d->log, k->revoke ? "CREDENTIAL-REVOKED" : "CREDENTIAL-RENEWED", "the credential of %s, by %s", whose,
               label ? label : "a client");
  dispatcher_lock(d);
  json_t *o = dispatcher_credentials_one_json(d, k->role, k->number);
  if (!o) o = json_pack("{s:s,s:I,s:b}", "role", role, "number", (json_int_t)k->number, "revoked", k->revoke);
  if (k->revoke) {
    json_object_set_new(o, "sent_away", json_integer(gone));
    json_object_del(o, "connected"); /* they are on their way out */
  }
  dispatcher_control_reply(k->errand.client, k->errand.token, o);
  dispatcher_unlock(d);
}

static void carry_out(errand *e) {
  keeping *k = HATO__ENTRY(e, keeping, errand);
  dispatcher *d = e->client->peer.d;
  hato_error err = {0};
  unsigned gone = 0;
  hato_status st = prepare(d, k, &err);
  if (!st) st = change(d, k, &gone, &err);
  if (st) {
    dispatcher_errand_fail(e, &err);
  } else {
    answer(d, k, gone);
  }
}

static void free_keeping(errand *e) { free(HATO__ENTRY(e, keeping, errand)); }

/* Which one is meant. */
static hato_status read_request(keeping *k, const json_t *q, hato_error *err) {
  const char *what = json_string_value(json_object_get(q, "do"));
  const char *role = json_string_value(json_object_get(q, "role"));
  const json_t *number = json_object_get(q, "number");
  if (!what || (strcmp(what, "renew") != 0 && strcmp(what, "revoke") != 0))
    return hato__fail(err, HATO_INVALID, "\"do\" is \"%s\"; list, renew or revoke was wanted", what ? what : "");
  if (!role || (strcmp(role, "client") != 0 && strcmp(role, "daemon") != 0))
    return hato__fail(err, HATO_INVALID, "\"role\" is \"%s\"; client or daemon was wanted", role ? role : "");
  k->revoke = strcmp(what, "revoke") == 0;
  k->role = *role == 'c' ? PROTO_ROLE_CLIENT : PROTO_ROLE_DAEMON;
  if (number && (!json_is_integer(number) || json_integer_value(number) < 0))
    return hato__fail(err, HATO_INVALID, "\"number\" is no launch's number");
  k->number = (uint64_t)json_integer_value(number);
  if (k->number && k->role == PROTO_ROLE_CLIENT)
    return hato__fail(err, HATO_INVALID, "clients have one credential, number 0");
  return HATO_OK;
}

static void list(client *c, uint32_t token) {
  dispatcher *d = c->peer.d;
  dispatcher_lock(d);
  dispatcher_control_reply(c, token, json_pack("{s:o}", "credentials", dispatcher_credentials_json(d)));
  dispatcher_unlock(d);
}

void dispatcher_security_asked(client *c, uint32_t token, const json_t *request) {
  const char *what = json_string_value(json_object_get(request, "do"));
  hato_error err = {0};
  if (!what || strcmp(what, "list") == 0) {
    list(c, token);
    return;
  }
  keeping *k = calloc(1, sizeof *k);
  hato_status st = k ? read_request(k, request, &err) : hato__fail(&err, HATO_NO_MEMORY, "no memory for a request");
  if (!st) {
    k->errand.run = carry_out;
    k->errand.free = free_keeping;
    if (!dispatcher_errand_open(&k->errand, c, token)) {
      free(k);
    } else {
      dispatcher_errand_go(&k->errand);
    }
    return;
  }
  free(k);
  dispatcher_lock(c->peer.d);
  dispatcher_control_fail(c, token, st, "%s", err.text);
  dispatcher_unlock(c->peer.d);
}

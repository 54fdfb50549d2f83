/* Credentials: the session's clients', that of daemons started by hand, and one of each launch's own. */
#include "dispatcher/internal.h"

#include "base/secret.h"
#include "session/session.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct issued {
  struct {
    uint64_t id;
    uint64_t role;
  } key;
  hato__credential *it;
  char *file; /* where it can be read; NULL: nowhere */
  uint64_t making; /* another with each secret */
  bool revoked, ended; /* ended: with its launch; to be dropped */
  uint64_t since_wall;
  unsigned connected; /* who proved it, when they were counted */
  UT_hash_handle hh; /* d->credentials.all */
};

/* The table has a lock of its own, taken after the dispatcher's: it is asked on threads of NNG for every peer. */
static void lock(dispatcher *d) { pthread_mutex_lock(&d->credentials.lock); }
static void unlock(dispatcher *d) { pthread_mutex_unlock(&d->credentials.lock); }

static issued *find(dispatcher *d, proto_role role, uint64_t id) {
  issued *c, probe = {.key = {id, role}};
  HASH_FIND(hh, d->credentials.all, &probe.key, sizeof probe.key, c);
  return c;
}

static void drop(dispatcher *d, issued *c) {
  HASH_DEL(d->credentials.all, c);
  hato__credential_free(c->it);
  free(c->file);
  free(c);
}

bool dispatcher_credentials_secret(void *arg, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES],
                                   uint64_t *making) {
  dispatcher *d = arg;
  lock(d);
  const issued *c = find(d, role, id);
  bool valid = c && !c->revoked;
  if (valid) memcpy(secret, c->it->secret, HATO__SECRET_BYTES);
  if (valid) *making = c->making;
  unlock(d);
  return valid;
}

bool dispatcher_credentials_hold(dispatcher *d, const net_peer *n) {
  lock(d);
  const issued *c = n->secret ? find(d, n->role, n->id) : NULL;
  bool holds = !n->secret || (c && !c->revoked && c->making == n->making);
  unlock(d);
  return holds;
}

/* ---- making ---- */

static char *file_of(const dispatcher *d, proto_role role, uint64_t id) {
  const char *dir = d->credentials.dir;
  if (role == PROTO_ROLE_CLIENT) return hato__printf("%s/" HATO__CLIENT_CREDENTIAL, dir);
  if (id == 0) return hato__printf("%s/" HATO__DAEMON_CREDENTIAL, dir);
  return hato__printf("%s/launch-%llu.credential", dir, (unsigned long long)id);
}

static hato_status add(dispatcher *d, proto_role role, uint64_t id, hato_error *err) {
  issued *c = calloc(1, sizeof *c);
  if (c) c->it = hato__credential_new((hato__role)role, id, NULL);
  if (!c || !c->it) {
    free(c);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  }
  c->key.role = role;
  c->key.id = id;
  c->since_wall = hato__wall_now();
  lock(d);
  c->it->certificate = d->credentials.certificate;
  c->making = ++d->credentials.makings;
  HASH_ADD(hh, d->credentials.all, key, sizeof c->key, c);
  unlock(d);
  return HATO_OK;
}

/* Writes one where it can be read. With `files` and without `lock`, so that what was made last stands. */
static hato_status write_file(dispatcher *d, proto_role role, uint64_t id, hato_error *err) {
  char *path = file_of(d, role, id);
  hato__credential *copy = hato__secret_alloc(sizeof *copy);
  hato_status st = path && copy ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  lock(d);
  issued *c = st ? NULL : find(d, role, id);
  if (c && !c->revoked) *copy = *c->it;
  if (!st && (!c || c->revoked))
    st = id ? hato__fail(err, HATO_CANCELLED, "its credential was revoked, or it has ended")
            : hato__fail(err, HATO_STATE, "the credential of %s was revoked; `hato credentials renew %s` makes a new one",
                         role == PROTO_ROLE_CLIENT ? "clients" : "daemons started by hand",
                         hato__role_name((hato__role)role));
  unlock(d);
  if (!st) st = hato__credential_write(path, copy, err);
  lock(d);
  c = st ? NULL : find(d, role, id); /* if it ended meanwhile it is still there, marked */
  if (c && !c->file) {
    c->file = path;
    path = NULL;
  }
  unlock(d);
  free(path);
  hato__secret_free(copy, sizeof *copy);
  return st;
}

hato_status dispatcher_credentials_open(dispatcher *d, const dispatcher_options *o, hato_error *err) {
  d->guard = (net_guard){.find = dispatcher_credentials_secret, .arg = d, .munge = o->network.munge};
  d->guard.identity = o->network.identity;
  d->tls = o->network.tls;
  d->credentials.shared = o->credential_dir != NULL;
  d->credentials.dir = hato__printf("%s", o->credential_dir ? o->credential_dir : o->local_dir);
  if (!d->credentials.dir) return hato__fail(err, HATO_NO_MEMORY, "no memory for credentials");
  hato_status st = add(d, PROTO_ROLE_CLIENT, 0, err);
  if (!st) st = add(d, PROTO_ROLE_DAEMON, 0, err);
  return st;
}

/* Makes the certificate, unless it was given, and writes it into all that there is. */
static hato_status have_identity(dispatcher *d, hato_error *err) {
  net_identity *own = NULL;
  hato_status st = d->guard.identity ? HATO_OK : net_identity_make(&own, err);
  if (st) return st;
  lock(d);
  if (own) d->guard.identity = d->credentials.own = own;
  d->credentials.certificate = *net_identity_certificate(d->guard.identity);
  for (issued *c = d->credentials.all; c; c = c->hh.next) c->it->certificate = d->credentials.certificate;
  unlock(d);
  return HATO_OK;
}

hato_status dispatcher_credentials_publish(dispatcher *d, hato_error *err) {
  hato_status st = HATO_OK;
  pthread_mutex_lock(&d->credentials.files);
  if (!d->credentials.published) st = have_identity(d, err);
  if (!st && !d->credentials.published) st = write_file(d, PROTO_ROLE_CLIENT, 0, err);
  if (!st && !d->credentials.published) st = write_file(d, PROTO_ROLE_DAEMON, 0, err);
  d->credentials.published = !st;
  pthread_mutex_unlock(&d->credentials.files);
  return st;
}

hato_status dispatcher_credentials_add(dispatcher *d, uint64_t id, hato_error *err) {
  return add(d, PROTO_ROLE_DAEMON, id, err);
}

hato_status dispatcher_credentials_file(dispatcher *d, proto_role role, uint64_t id, char **path, hato_error *err) {
  pthread_mutex_lock(&d->credentials.files);
  hato_status st = write_file(d, role, id, err);
  pthread_mutex_unlock(&d->credentials.files);
  *path = st ? NULL : file_of(d, role, id);
  return st ? st : *path ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
}

bool dispatcher_credentials_text(dispatcher *d, uint64_t id, char *text) {
  lock(d);
  const issued *c = find(d, PROTO_ROLE_DAEMON, id);
  if (c) hato__credential_text(c->it, text);
  unlock(d);
  return c != NULL;
}

/* ---- their end ---- */

void dispatcher_credentials_end(dispatcher *d, uint64_t id) {
  lock(d);
  issued *c = find(d, PROTO_ROLE_DAEMON, id);
  if (c) {
    c->revoked = c->ended = true;
    d->credentials.swept = false;
  }
  unlock(d);
}

void dispatcher_credentials_sweep(dispatcher *d) {
  issued *c, *next;
  lock(d);
  bool swept = d->credentials.swept;
  unlock(d);
  if (swept) return;
  pthread_mutex_lock(&d->credentials.files);
  lock(d);
  d->credentials.swept = true;
  HASH_ITER(hh, d->credentials.all, c, next) {
    if (!c->ended) continue;
    char *file = c->file;
    c->file = NULL;
    drop(d, c);
    unlock(d);
    if (file) (void)unlink(file);
    free(file);
    lock(d);
    next = d->credentials.all; /* it may have changed meanwhile: from the start */
  }
  unlock(d);
  pthread_mutex_unlock(&d->credentials.files);
}

void dispatcher_credentials_close(dispatcher *d) {
  issued *c, *next;
  HASH_ITER(hh, d->credentials.all, c, next) {
    if (c->file) (void)unlink(c->file);
    drop(d, c);
  }
  free(d->credentials.dir);
  net_identity_free(d->credentials.own);
  pthread_mutex_destroy(&d->credentials.lock);
  pthread_mutex_destroy(&d->credentials.files);
}

/* ---- told ---- */

/* With both locks. */
static void count_peers(dispatcher *d) {
  for (issued *c = d->credentials.all; c; c = c->hh.next) c->connected = 0;
  for (hato__link *at = d->peers.next; at != &d->peers; at = at->next) {
    const net_peer *n = net_peer_of(HATO__ENTRY(at, peer, link)->conn);
    issued *c = n->secret ? find(d, n->role, n->id) : NULL;
    if (c) c->connected++;
  }
}

static json_t *issued_json(dispatcher *d, const issued *c) {
  proto_role role = (proto_role)c->key.role;
  json_t *o = json_pack("{s:s,s:I,s:f,s:b,s:i}", "role", hato__role_name((hato__role)role), "number",
                        (json_int_t)c->key.id, "since", (double)c->since_wall / 1e9, "revoked", c->revoked, "connected",
                        (int)c->connected);
  const char *launcher = c->key.id ? dispatcher_launch_launcher(d, c->key.id) : NULL;
  if (launcher) json_object_set_new(o, "launcher", json_string(launcher));
  if (c->file) json_object_set_new(o, "file", json_string(c->file));
  return o;
}

json_t *dispatcher_credentials_one_json(dispatcher *d, proto_role role, uint64_t id) {
  lock(d);
  count_peers(d);
  const issued *c = find(d, role, id);
  json_t *o = c ? issued_json(d, c) : NULL;
  unlock(d);
  return o;
}

json_t *dispatcher_credentials_json(dispatcher *d) {
  json_t *list = json_array();
  lock(d);
  count_peers(d);
  for (const issued *c = d->credentials.all; c; c = c->hh.next)
    if (!c->ended) json_array_append_new(list, issued_json(d, c));
  unlock(d);
  return list;
}

bool dispatcher_credentials_certificate(dispatcher *d, hato__certificate *out, bool *made) {
  lock(d);
  *made = d->credentials.own != NULL;
  *out = d->credentials.certificate;
  unlock(d);
  return *out->name != 0;
}

/* ---- renewed and revoked ---- */

hato_status dispatcher_credentials_renew(dispatcher *d, proto_role role, uint64_t id, hato_error *err) {
  uint8_t secret[HATO__SECRET_BYTES];
  hato_status st = HATO_OK;
  hato_error why = {0};
  hato__random(secret, sizeof secret);
  pthread_mutex_lock(&d->credentials.files);
  lock(d);
  issued *c = find(d, role, id);
  bool there = c && !c->ended && !(c->revoked && id), on_file = there && (c->file || id == 0);
  if (there) {
    memcpy(c->it->secret, secret, sizeof secret);
    c->making = ++d->credentials.makings;
    c->revoked = false;
    c->since_wall = hato__wall_now();
  }
  unlock(d);
  explicit_bzero(secret, sizeof secret);
  if (!there) st = hato__fail(err, HATO_STATE, "launch %llu has no credential, or no longer", (unsigned long long)id);
  if (on_file && (id != 0 || d->credentials.published)) st = write_file(d, role, id, &why);
  pthread_mutex_unlock(&d->credentials.files);
  if (st && there)
    return hato__fail(err, st, "it is renewed and the old secret admits nobody, but its file could not be written: %s",
                      why.text);
  return st;
}

/* Whoever proved it is sent away, but for the one who asks. With the dispatcher's lock. */
static unsigned close_peers(dispatcher *d, proto_role role, uint64_t id, const peer *but) {
  unsigned n = 0;
  for (hato__link *at = d->peers.next; at != &d->peers; at = at->next) {
    peer *p = HATO__ENTRY(at, peer, link);
    const net_peer *who = net_peer_of(p->conn);
    if (p == but || !who->secret || who->role != role || who->id != id) continue;
    dispatcher_peers_dismiss(p);
    n++;
  }
  return n;
}

hato_status dispatcher_credentials_revoke(dispatcher *d, proto_role role, uint64_t id, const peer *but, unsigned *gone,
                                          hato_error *err) {
  char *file = NULL;
  pthread_mutex_lock(&d->credentials.files);
  dispatcher_lock(d);
  lock(d);
  issued *c = find(d, role, id);
  bool there = c && !c->ended;
  if (there) {
    c->revoked = true;
    file = c->file;
    c->file = NULL;
  }
  unlock(d);
  *gone = there ? close_peers(d, role, id, but) : 0;
  dispatcher_unlock(d);
  if (file) (void)unlink(file);
  free(file);
  pthread_mutex_unlock(&d->credentials.files);
  return there ? HATO_OK : hato__fail(err, HATO_STATE, "launch %llu has no credential", (unsigned long long)id);
}

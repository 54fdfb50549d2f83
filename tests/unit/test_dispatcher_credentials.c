/* Credentials that are revoked and renewed as a peer comes, and clients that do not go when they are sent away. */
#include "unit/net_help.h"

#include "dispatcher/internal.h"
#include "session/session.h"

typedef enum meanwhile { NOTHING, REVOKED, REVOKED_AND_RENEWED, RENEWED } meanwhile;

typedef struct served {
  char dir[64], url[128];
  dispatcher *d;
  net_listener *l;
  meanwhile what;
  atomic_bool done; /* the first peer has come, and what was to happen has */
  hato__credential *client, *daemon;
} served;

static void revoke_it(served *v, proto_role role) {
  unsigned gone;
  hato_error err = {0};
  if (dispatcher_credentials_revoke(v->d, role, 0, NULL, &gone, &err)) ck_abort_msg("%s", err.text);
  dispatcher_flush(v->d);
}

static void renew_it(served *v, proto_role role) {
  hato_error err = {0};
  if (dispatcher_credentials_renew(v->d, role, 0, &err)) ck_abort_msg("%s", err.text);
}

/* Between net's admission of a peer and the dispatcher's. */
static void window(void *arg, net_conn *c) {
  served *v = arg;
  proto_role role = net_peer_of(c)->role;
  if (v->what == REVOKED || v->what == REVOKED_AND_RENEWED) revoke_it(v, role);
  if (v->what == RENEWED || v->what == REVOKED_AND_RENEWED) renew_it(v, role);
  dispatcher_peers_admitted(v->d, c);
  v->done = true;
}

static hato__credential *read_one(served *v, const char *name) {
  char path[160];
  hato_error err = {0};
  hato__credential *k;
  snprintf(path, sizeof path, "%s/%s", v->dir, name);
  if (hato__credential_read(path, &k, &err)) ck_abort_msg("%s", err.text);
  return k;
}

static void serve(served *v, meanwhile what) {
  hato_error err = {0};
  *v = (served){.what = what};
  strcpy(v->dir, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(v->dir));
  dispatcher_options o = {.local_dir = v->dir, .credential_dir = v->dir, .hato_binary = HATO_BUILD_DIR "/bin/hato", .network.munge = NET_MUNGE_OFF};
  if (dispatcher_create(&o, &v->d, &err)) ck_abort_msg("%s", err.text);
  if (dispatcher_credentials_publish(v->d, &err)) ck_abort_msg("%s", err.text);
  if (net_listen("tcp://127.0.0.1:0", &v->d->guard, NULL, window, v, &v->l, &err)) ck_abort_msg("%s", err.text);
  v->client = read_one(v, HATO__CLIENT_CREDENTIAL);
  v->daemon = read_one(v, HATO__DAEMON_CREDENTIAL);
}

static void unserve(served *v) {
  net_listener_close(v->l);
  dispatcher_destroy(v->d);
  hato__credential_free(v->client);
  hato__credential_free(v->daemon);
  unit_remove_folder(v->dir);
}

static unsigned peers(served *v) {
  dispatcher_lock(v->d);
  unsigned n = v->d->n_peers;
  dispatcher_unlock(v->d);
  return n;
}

/* What the other end sees. */
typedef struct seen {
  pthread_mutex_t lock;
  net_conn *c;
  char words[512]; /* of GOODBYE */
  hato_status status;
  atomic_bool closed, goodbye;
  bool stays; /* though it was told to go */
} seen;

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  seen *s = owner;
  proto_words m;
  if (f->type != PROTO_GOODBYE) return HATO_OK;
  ck_assert_int_eq(proto_words_decode(&m, f->body, f->len, err), HATO_OK);
  s->status = (hato_status)m.status;
  snprintf(s->words, sizeof s->words, "%.*s", (int)m.words_len, m.words);
  s->goodbye = true;
  if (!s->stays) net_close(c, HATO_CLOSED, "goodbye");
  return HATO_OK;
}
static void on_fill(void *owner, net_conn *c, net_out *out) { (void)owner, (void)c, (void)out; }
static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)c, (void)why, (void)words;
  ((seen *)owner)->closed = true;
}
static const net_ops seen_ops = {.frame = on_frame, .fill = on_fill, .closed = on_closed};

static void dial(served *v, proto_role role, seen *s) {
  hato_error err = {0};
  net_auth auth = {.credential = role == PROTO_ROLE_CLIENT ? v->client : v->daemon};
  if (net_dial(net_listener_url(v->l), role, &auth, 10000, 0, &s->c, &err)) ck_abort_msg("%s", err.text);
  net_start(s->c, &seen_ops, s);
}

/* Whether it stays. */
static bool enlisted(meanwhile what, proto_role role) {
  static served v;
  seen s = {0};
  serve(&v, what);
  dial(&v, role, &s);
  WAIT_FOR(v.done);
  bool stays = peers(&v) == 1;
  if (!stays) WAIT_FOR(s.closed);
  ck_assert(stays || peers(&v) == 0);
  net_close(s.c, HATO_OK, "done");
  WAIT_FOR(s.closed);
  net_release(s.c);
  unserve(&v);
  return stays;
}

UNIT_TEST(of_what_was_proved_before_it_was_revoked_nobody_is_enlisted) {
  for (int role = PROTO_ROLE_CLIENT; role <= PROTO_ROLE_DAEMON; role++) {
    ck_assert(enlisted(NOTHING, (proto_role)role));
    ck_assert(!enlisted(REVOKED, (proto_role)role));
    ck_assert(!enlisted(REVOKED_AND_RENEWED, (proto_role)role));
    ck_assert(!enlisted(RENEWED, (proto_role)role)); /* it was not connected yet */
  }
}

UNIT_TEST(a_client_is_told_why_it_is_sent_away) {
  static served v;
  seen s = {0};
  serve(&v, NOTHING);
  dial(&v, PROTO_ROLE_CLIENT, &s);
  WAIT_FOR(peers(&v) == 1);
  renew_it(&v, PROTO_ROLE_CLIENT); /* who is connected stays */
  ck_assert_uint_eq(peers(&v), 1);
  revoke_it(&v, PROTO_ROLE_CLIENT);
  WAIT_FOR(s.closed);
  ck_assert(s.goodbye);
  ck_assert_int_eq(s.status, HATO_PEER_AUTH);
  ck_assert_str_eq(s.words, "this client is not admitted any more: its credential was revoked");
  WAIT_FOR(peers(&v) == 0);
  net_release(s.c);
  unserve(&v);
}

UNIT_TEST(a_client_that_does_not_go_is_cut_off) {
  static served v;
  seen s = {.stays = true};
  serve(&v, NOTHING);
  dial(&v, PROTO_ROLE_CLIENT, &s);
  WAIT_FOR(peers(&v) == 1);
  revoke_it(&v, PROTO_ROLE_CLIENT);
  WAIT_FOR(s.closed);
  ck_assert(s.goodbye);
  WAIT_FOR(peers(&v) == 0);
  net_release(s.c);
  unserve(&v);
}

UNIT_MAIN("dispatcher_credentials")

/* MUNGE inside the handshake: credentials that are somebody else's, old, used, of another key or over something else,
 * on either side; and munged itself gone, or silent, in the middle of it. */
#include "unit/munged.h"
#include "unit/net_stage.h"

/* A PROOF with this credential, over which its MAC is right. */
static void talk_munge(talk *t, const char *credential) {
  talk_proves(t, credential, strlen(credential));
  talk_prove(t);
}

static void make(char credential[NET_MUNGE_ROOM], bool welcome, const uint8_t said[32], int ttl, long only) {
  uint8_t payload[NET_MUNGE_PAYLOAD];
  talk_payload(payload, welcome, said);
  munge_make(credential, payload, NET_MUNGE_PAYLOAD, ttl, only);
}

/* ---- with it and without ---- */

static void admits(stage *s, net_munge policy, bool munge) {
  net_conn *c;
  hato_error err;
  unsigned at = s->h.admitted;
  net_auth auth = {.credential = s->h.auth.credential, .munge = policy};
  hato_status st = stage_dial(s, NULL, &auth, 10000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  WAIT_FOR(s->h.admitted == at + 1);
  ck_assert(net_peer_of(c)->munge == munge && net_peer_of(c)->secret);
  ck_assert(net_peer_of(s->h.ends[at].c)->munge == munge && net_peer_of(s->h.ends[at].c)->secret);
  net_release(c);
}

static void on_both_ends(const char *scheme) {
  static stage s;
  munged m;
  munged_open(&m);
  for (int policy = NET_MUNGE_AUTO; policy <= NET_MUNGE_REQUIRE; policy++) {
    stage_open(&s, scheme, (net_munge)policy);
    admits(&s, NET_MUNGE_AUTO, true);
    admits(&s, NET_MUNGE_REQUIRE, true);
    talk t;
    char theirs[TALK_BODY];
    uint8_t payload[NET_MUNGE_PAYLOAD];
    char c[NET_MUNGE_ROOM];
    stage_challenged(&s, &t, HATO__ROLE_DAEMON); /* by the book */
    ck_assert_uint_eq(t.challenge[1], policy == NET_MUNGE_AUTO ? 3 : 4);
    make(c, false, t.said, 0, (long)geteuid());
    talk_munge(&t, c);
    talk_welcomed(&t, theirs);
    talk_payload(payload, true, t.said);
    ck_assert_int_eq(net__munge_decode(theirs, payload, NULL), HATO_OK);
    WAIT_FOR(s.h.admitted == 3);
    close(t.fd);
    stage_close(&s, 0);
  }
  stage_open(&s, scheme, NET_MUNGE_OFF);
  admits(&s, NET_MUNGE_AUTO, false);
  stage_close(&s, 0);
  munged_close(&m);
}
OVER_BOTH(on_both_ends, 20)

static void dial_fails(stage *s, net_munge policy, const char *words) {
  net_conn *c;
  hato_error err;
  net_auth auth = {.credential = s->h.auth.credential, .munge = policy};
  hato_status st = stage_dial(s, NULL, &auth, 10000, &c, &err);
  ck_assert_msg(st == HATO_PEER_AUTH && strstr(err.text, words), "%d %s", (int)st, err.text);
}

/* Who comes without is told in the log where it may, and refused where it may not. */
static void on_one_end(const char *scheme) {
  static stage s;
  munged m;
  talk t;
  munged_open(&m);
  stage_open(&s, scheme, NET_MUNGE_AUTO);
  admits(&s, NET_MUNGE_OFF, false);
  WAIT_FOR(s.h.without == 1);
  ck_assert(host_last(&s.h, "admitted by its secret alone: it has no MUNGE"));
  setenv("HATO_MUNGE_SOCKET", "/nowhere/munge", 1);
  admits(&s, NET_MUNGE_AUTO, false);
  WAIT_FOR(s.h.without == 2);
  dial_fails(&s, NET_MUNGE_REQUIRE, "requires MUNGE, which fails here: munged does not answer at /nowhere/munge");
  WAIT_FOR(s.h.left == 1);
  stage_close(&s, 3);
  setenv("HATO_MUNGE_SOCKET", m.socket, 1);

  stage_open(&s, scheme, NET_MUNGE_REQUIRE);
  stage_challenged(&s, &t, HATO__ROLE_CLIENT);
  talk_prove(&t);
  stage_refuses(&s, &t, 1, "came without a MUNGE credential, which is required");
  dial_fails(&s, NET_MUNGE_OFF, "requires MUNGE, which is off here");
  setenv("HATO_MUNGE_SOCKET", "/nowhere/munge", 1);
  dial_fails(&s, NET_MUNGE_AUTO, "requires MUNGE, which fails here");
  WAIT_FOR(s.h.left == 2);
  ck_assert_uint_eq(s.h.admitted, 0);
  stage_close(&s, 3);
  setenv("HATO_MUNGE_SOCKET", m.socket, 1);

  stage_open(&s, scheme, NET_MUNGE_OFF);
  dial_fails(&s, NET_MUNGE_REQUIRE, "asks for no MUNGE, which is required here");
  WAIT_FOR(s.h.left == 1);
  stage_close(&s, 1);
  munged_close(&m);
}
OVER_BOTH(on_one_end, 20)

UNIT_TEST(nobody_listens_who_requires_it_and_has_none) {
  host h = {0};
  hato_error err;
  host_guard(&h);
  h.guard.munge = NET_MUNGE_REQUIRE;
  setenv("HATO_MUNGE_SOCKET", "/nowhere/munge", 1);
  ck_assert_int_eq(net_listen("tcp://127.0.0.1:0", &h.guard, NULL, host_admitted, &h, &h.l, &err), HATO_UNREACHABLE);
  ck_assert_ptr_nonnull(strstr(err.text, "MUNGE is required"));
  host_close(&h);
}

/* ---- credentials of a peer that are wrong; its secret is right, and so is the MAC over them ---- */

/* What is sent has no falling back to the secret alone, whether MUNGE must be or may. */
static void wrong_credentials(const char *scheme, net_munge policy) {
  static stage s;
  munged m, elsewhere, ahead;
  talk t;
  char c[NET_MUNGE_ROOM], used[NET_MUNGE_ROOM];
  uint8_t payload[NET_MUNGE_PAYLOAD], before[32];
  unsigned n = 0;
  munged_open(&elsewhere);
  munged_open(&m);
  munged_open_ahead(&ahead, &m);
  setenv("HATO_MUNGE_SOCKET", m.socket, 1);
  stage_open(&s, scheme, policy);
#define REFUSED(credential, reason)                \
  do {                                             \
    talk_munge(&t, (credential));                  \
    stage_refuses(&s, &t, ++n, (reason));          \
  } while (0)
  if (geteuid() == 0) { /* another user, who knows the secret */
    stage_challenged(&s, &t, HATO__ROLE_DAEMON);
    talk_payload(payload, false, t.said);
    munge_make_as_nobody(c, payload);
    REFUSED(c, "made by user 65534, not by ours (user 0)");
  }
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  make(c, false, t.said, 0, geteuid() == NOBODY ? 0 : (long)NOBODY);
  REFUSED(c, "restricted to another user");
  stage_challenged(&s, &t, HATO__ROLE_DAEMON); /* what the dispatcher would send */
  make(c, true, t.said, 0, -1);
  REFUSED(c, "made for something else than this connection");
  memcpy(before, t.said, sizeof before);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON); /* of another connection */
  make(c, false, before, 0, -1);
  REFUSED(c, "made for something else than this connection");
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  make(used, false, t.said, 0, -1);
  talk_payload(payload, false, t.said);
  ck_assert_int_eq(net__munge_decode(used, payload, NULL), HATO_OK);
  REFUSED(used, "replayed");
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  REFUSED("hato", "malformed");
  char lengthy[PROTO_MUNGE_MAX + 1];
  memset(lengthy, 'A', PROTO_MUNGE_MAX);
  lengthy[PROTO_MUNGE_MAX] = 0;
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  REFUSED(lengthy, "malformed");
  memcpy(lengthy, "MUNGE:", 6);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  REFUSED(lengthy, "the MUNGE credential is");
  stage_challenged(&s, &t, HATO__ROLE_DAEMON); /* one that somebody put in: the MAC is over none */
  make(c, false, t.said, 0, -1);
  proto_proof p = {.munge = c, .munge_len = (uint32_t)strlen(c)};
  hato__buf b = {0};
  memcpy(p.mac, t.proof + PROTO_HEADER + 8, sizeof p.mac);
  proto_proof_encode(&b, &p);
  raw_write(t.fd, b.data, b.len);
  hato__buf_free(&b);
  stage_refuses(&s, &t, ++n, "its proof is wrong");
  stage_talk(&s, &t, HATO__ROLE_DAEMON); /* the right user, without the secret */
  t.secret[5] ^= 1;
  talk_challenged(&t);
  make(c, false, t.said, 0, -1);
  REFUSED(c, "its proof is wrong");
  ck_assert_int_eq(net__munge_decode(c, (talk_payload(payload, false, t.said), payload), NULL), HATO_OK); /* unasked */
  setenv("HATO_MUNGE_SOCKET", elsewhere.socket, 1);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  make(c, false, t.said, 0, -1);
  setenv("HATO_MUNGE_SOCKET", m.socket, 1);
  REFUSED(c, "made with another key");
  setenv("HATO_MUNGE_SOCKET", ahead.socket, 1);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  make(c, false, t.said, 0, -1);
  setenv("HATO_MUNGE_SOCKET", m.socket, 1);
  REFUSED(c, "rewound");
  stage_challenged(&s, &t, HATO__ROLE_DAEMON); /* the last, as an admission has ten seconds */
  make(c, false, t.said, 1, -1);
  time_t made = time(NULL);
  WAIT_FOR(time(NULL) > made + 1);
  REFUSED(c, "expired");
  /* Not even text: refused before any of it is looked at. */
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  make(c, false, t.said, 0, -1);
  talk_proves(&t, c, strlen(c) + 1); /* with its end */
  talk_prove(&t);
  expect_refused(t.fd, &s.h, ++n, HATO_PROTOCOL, "PROOF", "PROOF");
  char beyond[PROTO_MUNGE_MAX + 1];
  memset(beyond, 'A', sizeof beyond);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  talk_proves(&t, beyond, sizeof beyond);
  talk_prove(&t);
  expect_refused(t.fd, &s.h, ++n, HATO_PROTOCOL, "PROOF", "PROOF");
  ck_assert_uint_eq(s.h.admitted, 0);
  stage_close(&s, n);
  munged_close(&m);
  munged_close(&elsewhere);
  munged_close(&ahead);
}
static void wrong_where_it_may_be(const char *scheme) { wrong_credentials(scheme, NET_MUNGE_AUTO); }
static void wrong_where_it_must_be(const char *scheme) { wrong_credentials(scheme, NET_MUNGE_REQUIRE); }
OVER_BOTH(wrong_where_it_may_be, 20)
OVER_BOTH(wrong_where_it_must_be, 20)

/* ---- a dispatcher that knows the secret, and whose MUNGE credential is wrong ---- */

typedef enum credential_kind { GOOD, NONE, OURS_BACK, OF_PROOF, BY_NOBODY, OF_NO_FORM } credential_kind;

typedef struct listens {
  int l;
  char url[64];
  const uint8_t *secret;
  uint8_t method;
  credential_kind kind;
  pthread_t thread;
} listens;

static void their_credential(const listens *d, const uint8_t said[32], const uint8_t *proof, uint32_t len,
                             char out[NET_MUNGE_ROOM]) {
  uint8_t payload[NET_MUNGE_PAYLOAD];
  out[0] = 0;
  if (d->kind == GOOD || d->kind == OF_PROOF) make(out, d->kind == GOOD, said, 0, (long)geteuid());
  if (d->kind == OURS_BACK) snprintf(out, NET_MUNGE_ROOM, "%.*s", (int)(len - 44), (const char *)proof + 44);
  if (d->kind == OF_NO_FORM) strcpy(out, "MUNGE:hato:");
  if (d->kind != BY_NOBODY) return;
  talk_payload(payload, true, said);
  munge_make_as_nobody(out, payload);
}

static void *listen_once(void *arg) {
  listens *d = arg;
  uint8_t hello[TALK_BODY], proof[TALK_BODY], said[32];
  uint32_t len;
  char munge[NET_MUNGE_ROOM];
  hato__buf b = {0};
  int fd = accept(d->l, NULL, NULL);
  ck_assert_uint_eq(raw_read_frame(fd, hello, &len), PROTO_HELLO);
  proto_challenge_encode(&b, &(proto_challenge){.version = PROTO_VERSION, .method = d->method, .nonce = {7}});
  raw_write(fd, b.data, b.len);
  talk_transcript(said, NULL, hello, b.data + PROTO_HEADER);
  hato__buf_clear(&b);
  if (raw_read_frame(fd, proof, &len) == PROTO_PROOF) {
    proto_proof m = {.munge = munge};
    their_credential(d, said, proof, len, munge);
    m.munge_len = (uint32_t)strlen(munge);
    talk_welcome_mac(m.mac, d->secret, said, proof + 8, munge, m.munge_len);
    proto_welcome_encode(&b, &m);
    raw_write(fd, b.data, b.len);
    while (raw_read_frame(fd, proof, &len) != 0) {}
  }
  hato__buf_free(&b);
  close(fd);
  return NULL;
}

/* words: of the refusal; NULL: it is believed, and proved itself by MUNGE or did not. */
static void dispatcher_is(uint8_t method, credential_kind kind, net_munge policy, const char *words, bool munge) {
  listens d = {.method = method, .kind = kind};
  hato__credential *k = hato__credential_new(HATO__ROLE_DAEMON, 3, NULL);
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof sa;
  net_conn *c;
  hato_error err;
  d.secret = k->secret;
  d.l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq(bind(d.l, (struct sockaddr *)&sa, sizeof sa), 0);
  ck_assert_int_eq(listen(d.l, 1), 0);
  getsockname(d.l, (struct sockaddr *)&sa, &n);
  snprintf(d.url, sizeof d.url, "tcp://127.0.0.1:%d", ntohs(sa.sin_port));
  pthread_create(&d.thread, NULL, listen_once, &d);
  hato_status st = net_dial(d.url, PROTO_ROLE_DAEMON, &(net_auth){.credential = k, .munge = policy}, 10000, 0, &c, &err);
  if (words == NULL) {
    ck_assert_msg(st == HATO_OK, "%s", err.text);
    ck_assert(net_peer_of(c)->munge == munge);
    net_release(c);
  } else {
    ck_assert_msg(st == HATO_PEER_AUTH && strstr(err.text, words) != NULL, "%d %s", (int)st, err.text);
    ck_assert_ptr_null(c);
  }
  pthread_join(d.thread, NULL);
  close(d.l);
  hato__credential_free(k);
}

UNIT_TEST_LIMIT(a_dispatcher_of_another_user, 20) {
  munged m;
  munged_open(&m);
  for (uint8_t method = PROTO_METHOD_MAY_MUNGE; method <= PROTO_METHOD_MUNGE; method++)
    for (int policy = NET_MUNGE_AUTO; policy <= NET_MUNGE_REQUIRE; policy++) {
      bool must = policy == NET_MUNGE_REQUIRE;
      dispatcher_is(method, GOOD, (net_munge)policy, NULL, true);
      dispatcher_is(method, NONE, (net_munge)policy, must ? "does not prove itself by MUNGE, which is required" : NULL,
                    false);
      dispatcher_is(method, OURS_BACK, (net_munge)policy, "made for something else than this connection", false);
      dispatcher_is(method, OF_PROOF, (net_munge)policy, "made for something else than this connection", false);
      dispatcher_is(method, OF_NO_FORM, (net_munge)policy, "does not prove itself by MUNGE: ", false);
      if (geteuid() == 0)
        dispatcher_is(method, BY_NOBODY, (net_munge)policy, "made by user 65534, not by ours (user 0)", false);
    }
  munged_close(&m);
}

/* ---- munged in the middle of it ---- */

static void killed(const char *scheme) {
  static stage s;
  munged m;
  talk t;
  char c[NET_MUNGE_ROOM];
  for (int policy = NET_MUNGE_AUTO; policy <= NET_MUNGE_REQUIRE; policy++) {
    munged_open(&m);
    stage_open(&s, scheme, (net_munge)policy);
    stage_challenged(&s, &t, HATO__ROLE_CLIENT);
    make(c, false, t.said, 0, -1);
    munged_stop(&m, SIGKILL);
    talk_munge(&t, c);
    if (policy == NET_MUNGE_AUTO) { /* as who came without: known by its secret, and said */
      talk_welcomed(&t, NULL);
      WAIT_FOR(s.h.without == 1 && s.h.admitted == 1);
      ck_assert(host_last(&s.h, "admitted by its secret alone: munged does not answer"));
      ck_assert(!net_peer_of(s.h.ends[0].c)->munge);
      close(t.fd);
    } else {
      stage_refuses(&s, &t, 1, "munged does not answer");
    }
    stage_close(&s, 1);
    munged_close(&m);
  }
}
OVER_BOTH(killed, 20)

/* One that takes what is asked, and never answers. */
typedef struct mute {
  char dir[32], path[64];
  int l, asked[16], n;
} mute;

static void mute_open(mute *m) {
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  *m = (mute){.dir = "/tmp/hato-mute-XXXXXX"};
  ck_assert_ptr_nonnull(mkdtemp(m->dir));
  snprintf(m->path, sizeof m->path, "%s/socket", m->dir);
  strcpy(sa.sun_path, m->path);
  m->l = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq(bind(m->l, (struct sockaddr *)&sa, sizeof sa), 0);
  ck_assert_int_eq(listen(m->l, 16), 0);
  setenv("HATO_MUNGE_SOCKET", m->path, 1);
}

static void mute_is_asked(mute *m) {
  struct pollfd p = {.fd = m->l, .events = POLLIN};
  ck_assert_int_eq(poll(&p, 1, UNIT_WAIT_MS), 1);
  m->asked[m->n++] = accept(m->l, NULL, NULL);
}

static void mute_close(mute *m) {
  for (int i = 0; i < m->n; i++) close(m->asked[i]);
  close(m->l);
  unlink(m->path);
  rmdir(m->dir);
}

/* A listener that found munged when it began, and asks one that is mute now. */
static void silent_open(stage *s, const char *scheme, net_munge policy, munged *m, mute *u) {
  munged_open(m);
  stage_open(s, scheme, policy);
  mute_open(u);
}

/* Those that wait for it are told in seconds; others do not wait for them. */
static void silent(const char *scheme) {
  static stage s;
  munged m;
  mute u;
  talk t[4], other;
  silent_open(&s, scheme, NET_MUNGE_AUTO, &m, &u);
  stage_challenged(&s, &other, HATO__ROLE_CLIENT);
  for (int i = 0; i < 4; i++) stage_challenged(&s, &t[i], HATO__ROLE_DAEMON);
  for (int i = 0; i < 4; i++) talk_munge(&t[i], "MUNGE:whatever:");
  for (unsigned i = 0; i < NET_MUNGE_DESK_THREADS; i++) mute_is_asked(&u);
  talk_prove(&other); /* before two seconds are over */
  talk_welcomed(&other, NULL);
  WAIT_FOR(s.h.admitted > 0);
  ck_assert_int_eq(net_peer_of(s.h.ends[0].c)->role, PROTO_ROLE_CLIENT);
  for (int i = 0; i < 4; i++) {
    talk_welcomed(&t[i], NULL);
    close(t[i].fd);
  }
  close(other.fd);
  WAIT_FOR(s.h.admitted == 5);
  ck_assert_uint_eq(s.h.without, 5);
  stage_close(&s, 5);
  mute_close(&u);
  munged_close(&m);
}
OVER_BOTH(silent, 30)

static void silent_where_it_must_be(const char *scheme) {
  static stage s;
  munged m;
  mute u;
  talk t;
  silent_open(&s, scheme, NET_MUNGE_REQUIRE, &m, &u);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  talk_munge(&t, "MUNGE:whatever:");
  mute_is_asked(&u);
  stage_refuses(&s, &t, 1, "munged does not answer");
  stage_close(&s, 1);
  mute_close(&u);
  munged_close(&m);
}
OVER_BOTH(silent_where_it_must_be, 20)

/* Who goes meanwhile is let go, one who sends meanwhile is not heard before the answer. */
static void gone_meanwhile(const char *scheme) {
  static stage s;
  munged m;
  mute u;
  talk t, eager;
  silent_open(&s, scheme, NET_MUNGE_REQUIRE, &m, &u);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  talk_munge(&t, "MUNGE:whatever:");
  mute_is_asked(&u);
  close(t.fd);
  stage_challenged(&s, &eager, HATO__ROLE_DAEMON);
  talk_munge(&eager, "MUNGE:whatever:");
  for (int i = 0; i < 20; i++) raw_write(eager.fd, "HT\2\10\0\0\0\0", 8);
  mute_is_asked(&u);
  uint8_t body[TALK_BODY];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(eager.fd, body, &len), PROTO_REFUSED);
  close(eager.fd);
  WAIT_FOR(s.h.refused == 2);
  ck_assert_uint_eq(s.h.admitted, 0);
  stage_close(&s, 2);
  mute_close(&u);
  munged_close(&m);
}
OVER_BOTH(gone_meanwhile, 20)

static void listener_closed_meanwhile(const char *scheme) {
  static stage s;
  munged m;
  mute u;
  talk t[5];
  silent_open(&s, scheme, NET_MUNGE_AUTO, &m, &u);
  for (int i = 0; i < 5; i++) {
    stage_challenged(&s, &t[i], HATO__ROLE_DAEMON);
    talk_munge(&t[i], "MUNGE:whatever:");
  }
  mute_is_asked(&u);
  net_listener_close(s.h.l);
  s.h.l = NULL;
  for (int i = 0; i < 5; i++) {
    uint8_t body[TALK_BODY];
    uint32_t len;
    while (raw_read_frame(t[i].fd, body, &len) != 0) {}
    close(t[i].fd);
  }
  ck_assert_uint_eq(s.h.admitted, 0);
  stage_close(&s, ANY_LINES);
  mute_close(&u);
  munged_close(&m);
}
OVER_BOTH(listener_closed_meanwhile, 20)

UNIT_MAIN("net_attacks_munge")

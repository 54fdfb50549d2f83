/* Who lies in the handshake, repeats one, stands between two honest ends, or listens: refused, with one line in the log
 * that says why, and nothing to the peer of which part was right. */
#include "unit/net_stage.h"

/* ---- proofs that are none ---- */

/* Each is answered byte for byte alike (stage_refuses). */
static void wrong_proofs(const char *scheme) {
  static stage s;
  talk t;
  uint8_t other[HATO__SECRET_BYTES];
  unsigned n = 0;
  stage_open(&s, scheme, NET_MUNGE_OFF);
  for (int role = HATO__ROLE_CLIENT; role <= HATO__ROLE_DAEMON; role++) {
    stage_talk(&s, &t, (hato__role)role); /* a wrong secret */
    t.secret[0] ^= 0x80;
    talk_challenged(&t);
    talk_prove(&t);
    stage_refuses(&s, &t, ++n, "its proof is wrong");
    stage_talk(&s, &t, (hato__role)role); /* the other role's secret: a daemon's does not submit */
    memcpy(other, s.h.credentials[3 - role]->secret, sizeof other);
    memcpy(t.secret, other, sizeof other);
    talk_challenged(&t);
    talk_prove(&t);
    stage_refuses(&s, &t, ++n, "its proof is wrong");
    stage_talk(&s, &t, (hato__role)role); /* a number that there is not, with a secret that there is */
    t.id = UINT64_C(0x1700000001);
    talk_challenged(&t);
    talk_prove(&t);
    stage_refuses(&s, &t, ++n, "is not or no longer known here");
    stage_challenged(&s, &t, (hato__role)role); /* made for a HELLO of the other role */
    t.hello[PROTO_HEADER] = (uint8_t)(3 - role);
    talk_transcript(t.said, t.fingerprint, t.hello + PROTO_HEADER, t.challenge);
    talk_proves(&t, NULL, 0);
    talk_prove(&t);
    stage_refuses(&s, &t, ++n, "its proof is wrong");
    stage_challenged(&s, &t, (hato__role)role); /* of another number than it says */
    t.proof[PROTO_HEADER] = 1;
    talk_prove(&t);
    stage_refuses(&s, &t, ++n, "is not or no longer known here");
  }
  ck_assert_uint_eq(s.h.admitted, 0);
  stage_close(&s, n);
}
OVER_BOTH(wrong_proofs, 10)

/* What was made for a plain connection is of no use over TLS, nor the other way round. */
static void another_channel(const char *scheme) {
  static stage s;
  static const uint8_t some[32] = {1};
  talk t;
  stage_open(&s, scheme, NET_MUNGE_OFF);
  stage_talk(&s, &t, HATO__ROLE_CLIENT);
  t.fingerprint = t.fingerprint == NULL ? some : NULL;
  talk_challenged(&t);
  talk_prove(&t);
  stage_refuses(&s, &t, 1, "its proof is wrong");
  stage_talk(&s, &t, HATO__ROLE_CLIENT);
  t.fingerprint = some;
  talk_challenged(&t);
  talk_prove(&t);
  stage_refuses(&s, &t, 2, "its proof is wrong");
  stage_close(&s, 2);
}
OVER_BOTH(another_channel, 10)

/* ---- what was heard, said again ---- */

static void replayed(const char *scheme) {
  static stage s;
  talk t, again;
  stage_open(&s, scheme, NET_MUNGE_OFF);
  stage_challenged(&s, &t, HATO__ROLE_DAEMON);
  talk_prove(&t);
  talk_welcomed(&t, NULL);
  WAIT_FOR(s.h.admitted == 1);
  close(t.fd);
  again = t; /* the very HELLO, then the very PROOF */
  talk_challenged(&again);
  ck_assert_mem_ne(again.challenge, t.challenge, sizeof t.challenge);
  raw_write(again.fd, t.proof, t.proof_len);
  stage_refuses(&s, &again, 1, "its proof is wrong");
  again.fd = raw_connect_to(t.url); /* all at once, as a recording is played */
  raw_write(again.fd, t.hello, sizeof t.hello);
  raw_write(again.fd, t.proof, t.proof_len);
  uint8_t body[TALK_BODY];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(again.fd, body, &len), PROTO_CHALLENGE);
  stage_refuses(&s, &again, 2, "its proof is wrong");
  ck_assert_uint_eq(s.h.admitted, 1);
  stage_close(&s, 2);
}
OVER_BOTH(replayed, 10)

/* The listener's own bytes are no proof of anybody. */
static void reflected(const char *scheme) {
  static stage s;
  talk t, good;
  stage_open(&s, scheme, NET_MUNGE_OFF);
  stage_challenged(&s, &t, HATO__ROLE_CLIENT); /* its nonce */
  memcpy(t.proof + PROTO_HEADER + 8, t.challenge + 4, 16);
  memcpy(t.proof + PROTO_HEADER + 24, t.challenge + 4, 16);
  talk_prove(&t);
  stage_refuses(&s, &t, 1, "its proof is wrong");
  stage_challenged(&s, &good, HATO__ROLE_CLIENT); /* its WELCOME on another connection */
  talk_prove(&good);
  uint8_t body[TALK_BODY];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(good.fd, body, &len), PROTO_WELCOME);
  stage_challenged(&s, &t, HATO__ROLE_CLIENT);
  memcpy(t.proof + PROTO_HEADER + 8, body, 32);
  talk_prove(&t);
  stage_refuses(&s, &t, 2, "its proof is wrong");
  WAIT_FOR(s.h.admitted == 1);
  close(good.fd);
  stage_close(&s, 2);
}
OVER_BOTH(reflected, 10)

/* Who listens and plays what a dispatcher once said. */
typedef struct player {
  int l;
  uint8_t challenge[28], welcome[44];
} player;

static void *play(void *arg) {
  player *p = arg;
  uint8_t body[TALK_BODY];
  uint32_t len;
  int fd = accept(p->l, NULL, NULL);
  raw_write(fd, p->challenge, sizeof p->challenge);
  raw_write(fd, p->welcome, sizeof p->welcome);
  while (raw_read_frame(fd, body, &len) != 0) {}
  close(fd);
  return NULL;
}

UNIT_TEST(a_recorded_dispatcher) {
  static stage s;
  man m;
  player p;
  pthread_t thread;
  char url[64];
  hato_error err;
  net_conn *c;
  stage_open(&s, "tcp", NET_MUNGE_OFF);
  man_open(&m, s.h.url, false, NULL, NULL);
  stage_admits(&s, m.url);
  WAIT_FOR(man_over(&m) == 1);
  ck_assert_uint_eq(m.said[MAN_DOWN].len, sizeof p.challenge + sizeof p.welcome);
  memcpy(p.challenge, m.said[MAN_DOWN].data, sizeof p.challenge);
  memcpy(p.welcome, m.said[MAN_DOWN].data + sizeof p.challenge, sizeof p.welcome);
  man_close(&m);
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof sa;
  p.l = socket(AF_INET, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(p.l, (struct sockaddr *)&sa, sizeof sa), 0);
  ck_assert_int_eq(listen(p.l, 4), 0);
  getsockname(p.l, (struct sockaddr *)&sa, &n);
  snprintf(url, sizeof url, "tcp://127.0.0.1:%d", ntohs(sa.sin_port));
  pthread_create(&thread, NULL, play, &p);
  ck_assert_int_eq(stage_dial(&s, url, &s.h.auth, 10000, &c, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "does not hold the session's secret"));
  pthread_join(thread, NULL);
  close(p.l);
  stage_close(&s, 0);
}

/* ---- out of order ---- */

static void out_of_order(const char *scheme) {
  static stage s;
  talk t, spare;
  uint8_t body[TALK_BODY], many[4096] = {0};
  uint32_t len;
  unsigned n = 0;
  stage_open(&s, scheme, NET_MUNGE_OFF);
  stage_challenged(&s, &spare, HATO__ROLE_CLIENT);
  stage_talk(&s, &t, HATO__ROLE_CLIENT);
  int fd = raw_connect_to(t.url);
  raw_write(fd, spare.proof, spare.proof_len);
  raw_write(fd, spare.hello, sizeof spare.hello);
  expect_refused(fd, &s.h, ++n, HATO_PROTOCOL, "PROOF before admission, want HELLO", "PROOF before admission");
  stage_challenged(&s, &t, HATO__ROLE_CLIENT);
  raw_write(t.fd, t.hello, sizeof t.hello);
  talk_prove(&t);
  expect_refused(t.fd, &s.h, ++n, HATO_PROTOCOL, "HELLO before admission, want PROOF", "HELLO before admission");
  static const int from_a_dispatcher[] = {PROTO_WELCOME, PROTO_CHALLENGE, PROTO_REFUSED};
  for (size_t i = 0; i < 3; i++) {
    uint8_t frame[8] = {'H', 'T', PROTO_VERSION, (uint8_t)from_a_dispatcher[i]};
    fd = raw_connect_to(t.url);
    raw_write(fd, frame, sizeof frame);
    expect_refused(fd, &s.h, ++n, HATO_PROTOCOL, "before admission, want HELLO", "before admission");
    stage_challenged(&s, &t, HATO__ROLE_CLIENT);
    raw_write(t.fd, frame, sizeof frame);
    talk_prove(&t);
    expect_refused(t.fd, &s.h, ++n, HATO_PROTOCOL, "before admission, want PROOF", "before admission");
  }
  /* Who was refused is not heard any more, whatever he says, and goes when he says too much. */
  stage_challenged(&s, &t, HATO__ROLE_CLIENT);
  t.proof[PROTO_HEADER + 8] ^= 1;
  talk_prove(&t);
  ck_assert_uint_eq(raw_read_frame(t.fd, body, &len), PROTO_REFUSED);
  t.proof[PROTO_HEADER + 8] ^= 1; /* the right one, too late */
  talk_prove(&t);
  talk_prove(&t);
  for (int i = 0; i < 4096 && send(t.fd, many, sizeof many, MSG_NOSIGNAL) > 0; i++) {}
  while (recv(t.fd, body, sizeof body, 0) > 0) {}
  close(t.fd);
  WAIT_FOR(s.h.refused == ++n);
  close(spare.fd);
  ck_assert_uint_eq(s.h.admitted, 0);
  WAIT_FOR(s.h.left == 1); /* the spare one */
  stage_close(&s, n + 1);
}
OVER_BOTH(out_of_order, 20)

static void count_frames(void *arg, net_conn *c) {
  static const net_ops ops = {.frame = end_frame_plain, .fill = end_fill, .closed = end_closed};
  host *h = arg;
  end *e = &h->ends[h->admitted];
  end_init(e);
  e->c = c;
  h->admitted++;
  net_start(c, &ops, e);
}

/* A second PROOF is no part of the admission any more: it goes to who owns the connection. */
static void proof_twice(const char *scheme) {
  static stage s;
  talk t;
  stage_open_with(&s, scheme, NET_MUNGE_OFF, count_frames);
  stage_challenged(&s, &t, HATO__ROLE_CLIENT);
  talk_prove(&t);
  talk_prove(&t);
  talk_welcomed(&t, NULL);
  WAIT_FOR(s.h.admitted == 1 && s.h.ends[0].frames == 1);
  ck_assert_uint_eq(s.h.refused, 0);
  close(t.fd);
  stage_close(&s, 0);
}
OVER_BOTH(proof_twice, 10)

/* ---- a man between the two who alters, or cuts ---- */

#define UP_BYTES 80   /* HELLO, PROOF */
#define CHALLENGE_BYTES 28
#define DOWN_BYTES 72 /* CHALLENGE, WELCOME */

/* Whom the listener admitted, which is little to it when the dialler does not admit him. */
static atomic_uint came;
static void count_and_part(void *arg, net_conn *c) {
  (void)arg;
  came++;
  net_release(c);
}

static void good_one(stage *s, man *m, unsigned so_far) {
  net_conn *c;
  hato_error err;
  man_plans(m, (man_plan){0});
  unsigned over = man_over(m);
  hato_status st = stage_dial(s, m->url, &s->h.auth, 10000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  WAIT_FOR(came > so_far);
  net_release(c);
  WAIT_FOR(man_over(m) > over);
}

/* Not admitted at the dialler. The time is that of those that wait for bytes which do not come. */
static void man_is_noticed(stage *s, man *m, man_plan plan) {
  net_conn *c = NULL;
  hato_error err = {0};
  man_plans(m, plan);
  hato_status st = stage_dial(s, m->url, &s->h.auth, 300, &c, &err);
  ck_assert_msg(st != HATO_OK, "byte %zu of way %d, bits %x", plan.at, plan.way, plan.bits);
  ck_assert_ptr_null(c);
  ck_assert(err.text[0] != 0);
}

static void in_between(int what, uint8_t bits) {
  static stage s;
  man m;
  stage_open_with(&s, "tcp", NET_MUNGE_OFF, count_and_part);
  man_open(&m, s.h.url, false, NULL, NULL);
  good_one(&s, &m, 0);
  ck_assert_uint_eq(m.said[MAN_UP].len, UP_BYTES);
  ck_assert_uint_eq(m.said[MAN_DOWN].len, DOWN_BYTES);
  for (size_t at = 0; at < UP_BYTES; at++) man_is_noticed(&s, &m, (man_plan){what, MAN_UP, at, bits});
  for (size_t at = 0; at < CHALLENGE_BYTES; at++) man_is_noticed(&s, &m, (man_plan){what, MAN_DOWN, at, bits});
  man_close(&m);
  man_open(&m, s.h.url, false, NULL, NULL);
  ck_assert_uint_eq(came, 1);
  /* Only when it is WELCOME does the listener believe in what the dialler does not. */
  for (size_t at = CHALLENGE_BYTES; at < DOWN_BYTES; at++)
    man_is_noticed(&s, &m, (man_plan){what, MAN_DOWN, at, bits});
  ck_assert_uint_le(came, 1 + DOWN_BYTES - CHALLENGE_BYTES);
  good_one(&s, &m, came);
  man_close(&m);
  ck_assert_uint_le(s.h.lines, UP_BYTES + DOWN_BYTES);
  stage_close(&s, ANY_LINES);
}
UNIT_TEST_LIMIT(a_flipped_bit, 60) { in_between(MAN_FLIPS, 0x01); }
UNIT_TEST_LIMIT(flipped_bits, 60) { in_between(MAN_FLIPS, 0x82); }
UNIT_TEST_LIMIT(cut_off, 60) { in_between(MAN_CUTS, 0); }

#define RECORD_HEADER 5u
#define GOODBYE_BYTES 19u /* of TLS 1.3: two of an alert, one that says so, 16 that guard them */

/* The next record that is no goodbye; 0: there is none. */
static size_t record_at(const hato__buf *said, size_t at) {
  if (at + RECORD_HEADER > said->len) return 0;
  size_t n = said->data[at + 3] * 256u + said->data[at + 4];
  return n == GOODBYE_BYTES ? 0 : RECORD_HEADER + n;
}

/* Of TLS it is the records that are changed. (The version in the header of a record that is not yet encrypted may be
 * another, and means nothing; where a header is moves by some bytes, as signatures are not all of one length.) */
UNIT_TEST_LIMIT(a_flipped_bit_of_tls, 120) {
  static stage s;
  man m;
  stage_open_with(&s, "tls+tcp", NET_MUNGE_OFF, count_and_part);
  man_open(&m, s.h.url, false, NULL, NULL);
  good_one(&s, &m, 0);
  hato__buf said[2] = {m.said[MAN_UP], m.said[MAN_DOWN]};
  memset(m.said, 0, sizeof m.said);
  for (int way = MAN_UP; way <= MAN_DOWN; way++) {
    for (size_t at = 0, n; (n = record_at(&said[way], at)) != 0; at += n)
      for (size_t i = RECORD_HEADER + 4; i + 4 < n; i += 21)
        man_is_noticed(&s, &m, (man_plan){MAN_FLIPS, way, at + i, 1});
    hato__buf_free(&said[way]);
    if (way == MAN_UP) ck_assert_uint_eq(came, 1);
  }
  man_close(&m);
  stage_close(&s, ANY_LINES);
}

/* ---- a relay that ends the TLS between two honest ends ---- */

static void relay_refused(stage *s, man *m, const hato__certificate *believed, hato_status want, const char *words) {
  net_conn *c = NULL;
  hato_error err;
  hato__credential *k = hato__credential_new(HATO__ROLE_CLIENT, 0, believed);
  memcpy(k->secret, s->h.auth.credential->secret, sizeof k->secret); /* both ends are honest */
  hato_status st = stage_dial(s, m->url, &(net_auth){.credential = k, .munge = NET_MUNGE_OFF}, 10000, &c, &err);
  hato__credential_free(k);
  ck_assert_msg(st == want && strstr(err.text, words) != NULL, "%d %s", (int)st, err.text);
  ck_assert_uint_eq(s->h.admitted, 0);
}

static void certificate_of(hato__certificate *out, const cert *c, const cert *anchor, const char *name) {
  memset(out, 0, sizeof *out);
  unsigned char *at = out->anchor;
  ck_assert_int_le(i2d_X509(anchor->x, NULL), (int)sizeof out->anchor);
  out->anchor_len = (size_t)i2d_X509(anchor->x, &at);
  ck_assert_int_eq(X509_digest(c->x, EVP_sha256(), out->fingerprint, NULL), 1);
  snprintf(out->name, sizeof out->name, "%s", name);
}

UNIT_TEST_LIMIT(a_relay_with_a_certificate_of_its_own, 20) {
  static stage s;
  man m;
  cert own;
  hato__certificate mixed, its;
  stage_open(&s, "tls+tcp", NET_MUNGE_OFF);
  const hato__certificate *ours = net_identity_certificate(s.id);
  cert_make(&own, &(cert_spec){.cn = ours->name, .dns = ours->name, .ca = true}, NULL);
  certificate_of(&its, &own, &own, ours->name);
  man_open(&m, s.h.url, true, &own, NULL);
  relay_refused(&s, &m, ours, HATO_PEER_AUTH, "another certificate than the dispatcher");
  /* Were the dialler made to believe in the relay's name and anchor, the fingerprint would still be wanted. */
  mixed = its;
  memcpy(mixed.fingerprint, ours->fingerprint, sizeof mixed.fingerprint);
  relay_refused(&s, &m, &mixed, HATO_PEER_AUTH, "another certificate than the dispatcher");
  mixed = *ours; /* and the other way round */
  memcpy(mixed.fingerprint, its.fingerprint, sizeof mixed.fingerprint);
  relay_refused(&s, &m, &mixed, HATO_PEER_AUTH, "another certificate than the dispatcher");
  ck_assert_uint_eq(s.h.refused, 0);
  /* Were it made to believe all that the relay is, the listener would not: it proved itself to another certificate. */
  relay_refused(&s, &m, &its, HATO_PEER_AUTH, "refused: not admitted");
  WAIT_FOR(s.h.refused == 1);
  ck_assert(host_last(&s.h, "its proof is wrong"));
  WAIT_FOR(man_over(&m) == 4);
  ck_assert(!man_saw(&m, s.h.auth.credential->secret, 32));
  man_close(&m);
  cert_free(&own);
  stage_close(&s, 1);
}

/* Another certificate that the dispatcher's own CA made for the dispatcher's own name: one before it, or a neighbour's
 * on the same host. Nothing but the fingerprint tells them apart. */
UNIT_TEST_LIMIT(a_relay_with_a_certificate_of_the_same_ca, 20) {
  static stage s;
  man m;
  cert root, leaf, again;
  cert_dir d;
  hato_error err;
  cert_make(&root, &(cert_spec){.cn = "root", .ca = true}, NULL);
  cert_make(&leaf, &(cert_spec){.cn = "x", .dns = "hub.example.org"}, &root);
  cert_make(&again, &(cert_spec){.cn = "x", .dns = "hub.example.org"}, &root);
  cert_dir_open(&d);
  net_identity_files f = {.certificate = cert_file(&d, 0644, leaf.pem, root.pem, NULL),
                          .key = cert_file(&d, 0600, leaf.key_pem, NULL, NULL)};
  memset(&s, 0, sizeof s);
  ck_assert_int_eq(net_identity_load(&f, &s.id, &err), HATO_OK);
  s.h.guard.identity = s.id;
  s.h.guard.munge = NET_MUNGE_OFF;
  host_listen(&s.h, "tls+tcp");
  man_open(&s.m, s.h.url, true, NULL, NULL);
  man_open(&m, s.h.url, true, &again, &root);
  relay_refused(&s, &m, net_identity_certificate(s.id), HATO_PEER_AUTH, "another certificate than the dispatcher");
  man_close(&m);
  man_open(&m, s.h.url, true, &leaf, &root); /* who has the dispatcher's key is the dispatcher */
  stage_admits(&s, m.url);
  man_close(&m);
  cert_dir_close(&d);
  cert_free(&root);
  cert_free(&leaf);
  cert_free(&again);
  stage_close(&s, 0);
}

/* ---- who listens on the wire ---- */

static void overheard(const char *scheme) {
  static const char marker[] = "what nobody else may read";
  static stage s;
  man m;
  net_conn *c;
  hato_error err;
  end e;
  stage_open_with(&s, scheme, NET_MUNGE_OFF, count_frames);
  man_open(&m, s.h.url, false, NULL, NULL);
  ck_assert_int_eq(stage_dial(&s, m.url, &s.h.auth, 10000, &c, &err), HATO_OK);
  end_init(&e);
  size_t at = proto_begin(&e.box, PROTO_PIECE);
  hato__buf_append(&e.box, marker, sizeof marker);
  proto_end(&e.box, at);
  end_start(&e, c);
  net_wake(c);
  WAIT_FOR(s.h.admitted == 1 && s.h.ends[0].frames == 1);
  net_close(c, HATO_OK, "done");
  end_free(&e);
  WAIT_FOR(man_over(&m) == 1);
  ck_assert(man_saw(&m, marker, sizeof marker) == (s.id == NULL));
  for (int role = HATO__ROLE_CLIENT; role <= HATO__ROLE_DAEMON; role++)
    for (size_t i = 0; i + 8 <= HATO__SECRET_BYTES; i++)
      ck_assert(!man_saw(&m, s.h.credentials[role]->secret + i, 8));
  man_close(&m);
  stage_close(&s, 0);
}
OVER_BOTH(overheard, 10)

UNIT_MAIN("net_attacks")

/* A listener with credentials and a log that is counted, over TCP or TLS, for peers of bytes and for dials. Peers of
 * bytes speak through a man that ends the TLS for them. */
#ifndef HATO_TESTS_NET_STAGE_H
#define HATO_TESTS_NET_STAGE_H

#include "unit/net_man.h"
#include "unit/net_talk.h"

typedef struct stage {
  host h;
  net_identity *id; /* NULL: plain */
  man m;
} stage;

static inline void stage_open_with(stage *s, const char *scheme, net_munge munge, net_admitted *admitted) {
  hato_error err;
  bool tls = strcmp(scheme, "tcp") != 0;
  memset(s, 0, sizeof *s);
  if (tls) ck_assert_int_eq(net_identity_make(&s->id, &err), HATO_OK);
  s->h.guard.identity = s->id;
  s->h.guard.munge = munge;
  host_listen_with(&s->h, scheme, admitted);
  if (tls) man_open(&s->m, s->h.url, true, NULL, NULL);
}
static inline void stage_open(stage *s, const char *scheme, net_munge munge) {
  stage_open_with(s, scheme, munge, host_admitted);
}

/* Nothing else was logged. */
#define ANY_LINES UINT_MAX
static inline void stage_close(stage *s, unsigned lines) {
  if (s->id != NULL) man_close(&s->m);
  net_listener_close(s->h.l);
  for (unsigned i = 0; i < s->h.admitted; i++) {
    net_close(s->h.ends[i].c, HATO_OK, "done");
    end_free(&s->h.ends[i]);
  }
  ck_assert_msg(lines == ANY_LINES || s->h.lines == lines, "%u lines, the last: %s", s->h.lines, s->h.last);
  for (int role = HATO__ROLE_CLIENT; role <= HATO__ROLE_DAEMON; role++) hato__credential_free(s->h.credentials[role]);
  net_identity_free(s->id);
}

/* A peer that has yet to say HELLO. */
static inline void stage_talk(stage *s, talk *t, hato__role role) {
  *t = (talk){.url = s->id != NULL ? s->m.url : s->h.url, .role = (uint8_t)role};
  if (s->id != NULL) t->fingerprint = net_identity_fingerprint(s->id);
  memcpy(t->secret, s->h.credentials[role]->secret, sizeof t->secret);
  talk_hello(t);
}
static inline void stage_challenged(stage *s, talk *t, hato__role role) {
  stage_talk(s, t, role);
  talk_challenged(t);
}

static inline hato_status stage_dial(stage *s, const char *url, const net_auth *auth, unsigned ms, net_conn **out,
                                     hato_error *err) {
  proto_role role = (proto_role)(auth->credential ? auth->credential->role : HATO__ROLE_CLIENT);
  return net_dial(url != NULL ? url : s->h.url, role, auth, ms, 0, out, err);
}

/* Both ends believe each other. */
static inline void stage_admits(stage *s, const char *url) {
  net_conn *c;
  hato_error err;
  unsigned before = s->h.admitted;
  hato_status st = stage_dial(s, url, &s->h.auth, 10000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  WAIT_FOR(s->h.admitted == before + 1);
  net_release(c);
}

/* Both words and status of a refusal are these, whatever its reason. */
static inline void stage_refuses(stage *s, talk *t, unsigned refused, const char *reason) {
  static const uint8_t head[] = {HATO_PEER_AUTH & 0xff, HATO_PEER_AUTH >> 8, sizeof NOT_ADMITTED - 1, 0, 0, 0};
  uint8_t body[TALK_BODY];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(t->fd, body, &len), PROTO_REFUSED);
  ck_assert_uint_eq(len, sizeof head + sizeof NOT_ADMITTED - 1);
  ck_assert_mem_eq(body, head, sizeof head);
  ck_assert_mem_eq(body + sizeof head, NOT_ADMITTED, sizeof NOT_ADMITTED - 1);
  WAIT_FOR(s->h.refused == refused);
  ck_assert_msg(host_last(&s->h, reason), "%s", s->h.last);
  close(t->fd);
}

/* A test over each. */
#define OVER_BOTH(name, seconds)                                     \
  UNIT_TEST_LIMIT(name##_over_tcp, (seconds)) { name("tcp"); }     \
  UNIT_TEST_LIMIT(name##_over_tls, (seconds)) { name("tls+tcp"); }

#endif

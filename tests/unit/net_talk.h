/* Peers of bytes that say their handshake by the book (docs/protocol.md, Admission), which is written here a second
 * time; each part can be changed before it is sent. */
#ifndef HATO_TESTS_NET_TALK_H
#define HATO_TESTS_NET_TALK_H

#include "unit/net_help.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#define TALK_BODY 1024u /* of a frame, at most */

typedef struct talk {
  const char *url; /* where it connects; over TLS who stands before the listener ends it */
  uint8_t role;
  uint64_t id;
  uint8_t secret[HATO__SECRET_BYTES];
  const uint8_t *fingerprint; /* of the listener's certificate; NULL: plain */

  int fd;
  uint8_t hello[28], challenge[20]; /* the frame, the body */
  uint8_t said[32];                 /* T */
  uint8_t proof[PROTO_HEADER + TALK_BODY];   /* the frame */
  size_t proof_len;
} talk;

static inline void talk_sha256(uint8_t out[32], const void *text, size_t n) {
  EVP_Q_digest(NULL, "SHA256", NULL, text, n, out, NULL);
}
static inline void talk_hmac(uint8_t out[32], const uint8_t *secret, const void *text, size_t n) {
  HMAC(EVP_sha256(), secret, 32, text, n, out, NULL);
}

static inline void talk_transcript(uint8_t said[32], const uint8_t *fingerprint, const uint8_t hello[20],
                                   const uint8_t challenge[20]) {
  uint8_t text[17 + 33 + 20 + 20] = "hato-2 transcript";
  text[17] = fingerprint != NULL;
  if (fingerprint != NULL) memcpy(text + 18, fingerprint, 32);
  memcpy(text + 50, hello, 20);
  memcpy(text + 70, challenge, 20);
  talk_sha256(said, text, sizeof text);
}

static inline void talk_payload(uint8_t payload[32], bool welcome, const uint8_t said[32]) {
  const char *label = welcome ? "hato-2 munge welcome" : "hato-2 munge proof";
  uint8_t text[20 + 32];
  size_t n = strlen(label);
  memcpy(text, label, n);
  memcpy(text + n, said, 32);
  talk_sha256(payload, text, n + 32);
}

static inline void talk_proof_mac(uint8_t mac[32], const uint8_t *secret, const uint8_t said[32], uint64_t id,
                                  const void *munge, size_t n) {
  uint8_t text[12 + 32 + 8 + TALK_BODY] = "hato-2 proof";
  memcpy(text + 12, said, 32);
  for (int i = 0; i < 8; i++) text[44 + i] = (uint8_t)(id >> 8 * i);
  if (n > 0) memcpy(text + 52, munge, n);
  talk_hmac(mac, secret, text, 52 + n);
}

static inline void talk_welcome_mac(uint8_t mac[32], const uint8_t *secret, const uint8_t said[32],
                                    const uint8_t proof[32], const void *munge, size_t n) {
  uint8_t text[14 + 32 + 32 + TALK_BODY] = "hato-2 welcome";
  memcpy(text + 14, said, 32);
  memcpy(text + 46, proof, 32);
  if (n > 0) memcpy(text + 78, munge, n);
  talk_hmac(mac, secret, text, 78 + n);
}

/* The PROOF that is sent next, with these bytes for a MUNGE credential. */
static inline void talk_proves(talk *t, const void *munge, size_t n) {
  proto_proof m = {.id = t->id, .munge = munge, .munge_len = (uint32_t)n};
  talk_proof_mac(m.mac, t->secret, t->said, t->id, munge, n);
  hato__buf b = {0};
  proto_proof_encode(&b, &m);
  ck_assert_uint_le(b.len, sizeof t->proof);
  memcpy(t->proof, b.data, b.len);
  t->proof_len = b.len;
  hato__buf_free(&b);
}

static inline void talk_hello(talk *t) {
  proto_hello m = {.role = t->role, .version_low = PROTO_VERSION, .version_high = PROTO_VERSION};
  hato__random(m.nonce, sizeof m.nonce);
  hato__buf b = {0};
  proto_hello_encode(&b, &m);
  ck_assert_uint_eq(b.len, sizeof t->hello);
  memcpy(t->hello, b.data, b.len);
  hato__buf_free(&b);
}

/* Says the HELLO that is there, and has a PROOF without MUNGE ready when it is challenged. */
static inline void talk_challenged(talk *t) {
  uint8_t body[TALK_BODY];
  uint32_t len;
  t->fd = raw_connect_to(t->url);
  raw_write(t->fd, t->hello, sizeof t->hello);
  ck_assert_uint_eq(raw_read_frame(t->fd, body, &len), PROTO_CHALLENGE);
  ck_assert_uint_eq(len, sizeof t->challenge);
  memcpy(t->challenge, body, len);
  talk_transcript(t->said, t->fingerprint, t->hello + PROTO_HEADER, t->challenge);
  talk_proves(t, NULL, 0);
}

/* With the host's credential of that role. */
static inline void talk_open(talk *t, const host *h, hato__role role) {
  *t = (talk){.url = h->url, .role = (uint8_t)role};
  memcpy(t->secret, h->credentials[role]->secret, sizeof t->secret);
  talk_hello(t);
  talk_challenged(t);
}

static inline void talk_prove(talk *t) { raw_write(t->fd, t->proof, t->proof_len); }

/* The listener proves itself, too. munge: its credential with an end, TALK_BODY bytes; may be NULL. */
static inline void talk_welcomed(talk *t, char *munge) {
  uint8_t body[TALK_BODY], want[32];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(t->fd, body, &len), PROTO_WELCOME);
  ck_assert_uint_ge(len, 36);
  talk_welcome_mac(want, t->secret, t->said, t->proof + PROTO_HEADER + 8, body + 36, len - 36);
  ck_assert_mem_eq(body, want, 32);
  if (munge != NULL) snprintf(munge, TALK_BODY, "%.*s", (int)(len - 36), (const char *)body + 36);
}

static inline void expect_refused(int fd, host *h, unsigned refused, int status, const char *words,
                                  const char *reason) {
  uint8_t body[TALK_BODY];
  uint32_t len;
  hato_error err;
  proto_words w;
  ck_assert_uint_eq(raw_read_frame(fd, body, &len), PROTO_REFUSED);
  ck_assert_int_eq(proto_words_decode(&w, body, len, &err), HATO_OK);
  ck_assert_int_eq(w.status, status);
  char text[512];
  snprintf(text, sizeof text, "%.*s", (int)w.words_len, w.words);
  ck_assert_msg(strstr(text, words) != NULL, "%s", text);
  WAIT_FOR(h->refused == refused);
  ck_assert_msg(host_last(h, reason), "%s", h->last);
  close(fd);
}

#endif

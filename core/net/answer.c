/* The dialler's side of a challenge: our proof, and the listener's, each with a MUNGE credential where that is asked
 * for. */
#include "net/dial.h"
#include "net/munge.h"

#include <stdio.h>
#include <string.h>

typedef struct answer {
  net__dial *d;
  const hato__credential *credential;
  net_munge policy;
  proto_challenge challenge;
  uint8_t transcript[32];
  proto_proof proof;
  char munge[NET_MUNGE_ROOM]; /* ours; "" when there is none */
} answer;

/* We hold what is asked for. */
static hato_status can_answer(const answer *a, hato_error *err) {
  const net__dial *d = a->d;
  const char *role = hato__role_name((hato__role)d->role);
  if (a->challenge.version != PROTO_VERSION)
    return hato__fail(err, HATO_PROTOCOL, "%s: answers in version %u of the protocol, we have %d", d->url,
                      a->challenge.version, PROTO_VERSION);
  if (a->credential == NULL)
    return hato__fail(err, HATO_PEER_AUTH, "%s: wants proof of a %s's credential, there is none here", d->url, role);
  if ((int)a->credential->role != (int)d->role)
    return hato__fail(err, HATO_PEER_AUTH, "%s: the credential here is a %s's; wanted a %s's", d->url,
                      hato__role_name(a->credential->role), role);
  if (a->challenge.method == PROTO_METHOD_SECRET && d->kind != HATO__SCHEME_SOCKET && a->policy == NET_MUNGE_REQUIRE)
    return hato__fail(err, HATO_PEER_AUTH, "%s: asks for no MUNGE, which is required here", d->url);
  return HATO_OK;
}

/* Where the listener would have it and this machine has none, it is left out; the listener says so. */
static hato_status add_munge(answer *a, hato_error *err) {
  uint8_t payload[NET_MUNGE_PAYLOAD];
  hato_error why = {0};
  bool must = a->challenge.method == PROTO_METHOD_MUNGE || a->policy == NET_MUNGE_REQUIRE;
  if (a->challenge.method == PROTO_METHOD_SECRET || (!must && a->policy == NET_MUNGE_OFF)) return HATO_OK;
  if (a->policy == NET_MUNGE_OFF)
    return hato__fail(err, HATO_PEER_AUTH, "%s: requires MUNGE, which is off here", a->d->url);
  hato_status st = net__munge_payload(payload, false, a->transcript)
                       ? net__munge_encode(payload, a->munge, sizeof a->munge, &why)
                       : hato__fail(&why, HATO_NO_MEMORY, "no memory");
  if (st != HATO_OK && must)
    return hato__fail(err, HATO_PEER_AUTH, "%s: requires MUNGE, which fails here: %s", a->d->url, why.text);
  a->proof.munge = a->munge;
  a->proof.munge_len = (uint32_t)strlen(a->munge);
  return HATO_OK;
}

static hato_status prove(answer *a, hato_error *err) {
  hato__buf b = {0};
  if (!net__proof_mac(a->proof.mac, a->credential->secret, a->transcript, &a->proof))
    return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", a->d->url);
  proto_proof_encode(&b, &a->proof);
  hato_status st = net__dial_send(a->d, &b, err);
  hato__buf_free(&b);
  return st;
}

/* The listener's MUNGE credential answers ours; it may have had to do without, which only `require` refuses. */
static hato_status check_munge(answer *a, const proto_proof *welcome, hato_error *err) {
  uint8_t payload[NET_MUNGE_PAYLOAD];
  char credential[PROTO_MUNGE_MAX + 1];
  hato_error why = {0};
  if (welcome->munge_len == 0) {
    if (a->policy == NET_MUNGE_REQUIRE && a->d->kind != HATO__SCHEME_SOCKET)
      return hato__fail(err, HATO_PEER_AUTH, "%s: does not prove itself by MUNGE, which is required here", a->d->url);
    return HATO_OK;
  }
  snprintf(credential, sizeof credential, "%.*s", (int)welcome->munge_len, welcome->munge);
  if (!net__munge_payload(payload, true, a->transcript))
    return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", a->d->url);
  if (net__munge_decode(credential, payload, &why) != HATO_OK)
    return hato__fail(err, HATO_PEER_AUTH, "%s: does not prove itself by MUNGE: %s", a->d->url, why.text);
  a->d->munge = true;
  return HATO_OK;
}

/* The listener's own proof, which must be there and right. */
static hato_status check_welcome(answer *a, hato_error *err) {
  net__dial *d = a->d;
  uint8_t type, want[32];
  uint32_t len;
  proto_proof welcome;
  hato_status st = net__dial_read(d, PROTO_WELCOME, PROTO_WELCOME, &type, &len, err);
  if (st == HATO_OK) st = proto_welcome_decode(&welcome, d->body, len, err);
  if (st != HATO_OK) return st;
  if (!net__welcome_mac(want, a->credential->secret, a->transcript, a->proof.mac, &welcome))
    return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", d->url);
  if (!net__mac_equal(welcome.mac, want))
    return hato__fail(err, HATO_PEER_AUTH, "%s: does not hold the session's secret", d->url);
  d->secret = true;
  return check_munge(a, &welcome, err);
}

hato_status net__answer_challenge(net__dial *d, uint32_t len, hato_error *err) {
  answer a = {.d = d,
              .credential = d->auth ? d->auth->credential : NULL,
              .policy = d->auth ? d->auth->munge : NET_MUNGE_AUTO};
  hato_status st = proto_challenge_decode(&a.challenge, d->body, len, err);
  if (st == HATO_OK) st = can_answer(&a, err);
  if (st != HATO_OK) return st;
  a.proof.id = a.credential->id;
  if (!net__transcript(a.transcript, hato__scheme_is_encrypted(d->kind) ? a.credential->certificate.fingerprint : NULL,
                       d->hello + PROTO_HEADER, d->body))
    return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", d->url);
  st = add_munge(&a, err);
  if (st == HATO_OK) st = prove(&a, err);
  return st == HATO_OK ? check_welcome(&a, err) : st;
}

/* Who is at the other end: proofs over a credential's secret, and the kernel's word. */
#include "net/crypto.h"
#include "net/internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LABEL(text) {(void *)(uintptr_t)(text), sizeof(text) - 1}
#define PART(bytes, n) {(void *)(uintptr_t)(bytes), (n)}

/* SHA-256 of the parts one after the other; with a secret HMAC of it. They are no secrets themselves. */
static bool digest(uint8_t out[32], const uint8_t *secret, const nng_iov *parts, size_t n) {
  uint8_t text[128 + NET_ADMISSION_BODY];
  size_t len = 0;
  memset(out, 0, 32);
  for (size_t i = 0; i < n; i++) {
    if (parts[i].iov_len > sizeof text - len) return false;
    memcpy(text + len, parts[i].iov_buf, parts[i].iov_len);
    len += parts[i].iov_len;
  }
  return secret != NULL ? net__hmac(out, secret, text, len) : net_sha256(out, text, len);
}

bool net__transcript(uint8_t t[32], const uint8_t *fingerprint, const uint8_t hello[NET_HELLO_BODY],
                     const uint8_t challenge[NET_CHALLENGE_BODY]) {
  static const uint8_t none[HATO__FINGERPRINT_BYTES];
  const uint8_t channel = fingerprint != NULL;
  const nng_iov parts[] = {LABEL("hato-2 transcript"), PART(&channel, 1),
                           PART(fingerprint ? fingerprint : none, sizeof none), PART(hello, NET_HELLO_BODY),
                           PART(challenge, NET_CHALLENGE_BODY)};
  return digest(t, NULL, parts, 5);
}

bool net__proof_mac(uint8_t mac[32], const uint8_t secret[32], const uint8_t t[32], const proto_proof *p) {
  const uint64_t id = htole64(p->id);
  const nng_iov parts[] = {LABEL("hato-2 proof"), PART(t, 32), PART(&id, sizeof id), PART(p->munge, p->munge_len)};
  return digest(mac, secret, parts, p->munge_len > 0 ? 4 : 3);
}

bool net__welcome_mac(uint8_t mac[32], const uint8_t secret[32], const uint8_t t[32], const uint8_t proof[32],
                      const proto_proof *w) {
  const nng_iov parts[] = {LABEL("hato-2 welcome"), PART(t, 32), PART(proof, 32), PART(w->munge, w->munge_len)};
  return digest(mac, secret, parts, w->munge_len > 0 ? 4 : 3);
}

bool net__munge_payload(uint8_t payload[32], bool welcome, const uint8_t t[32]) {
  const nng_iov proof_parts[] = {LABEL("hato-2 munge proof"), PART(t, 32)};
  const nng_iov welcome_parts[] = {LABEL("hato-2 munge welcome"), PART(t, 32)};
  return digest(payload, NULL, welcome ? welcome_parts : proof_parts, 2);
}

bool net__mac_equal(const uint8_t a[32], const uint8_t b[32]) { return CRYPTO_memcmp(a, b, 32) == 0; }

bool net__peer_is_self(nng_stream *s, uint64_t *uid) {
  *uid = UINT64_MAX;
  return nng_stream_get_uint64(s, NNG_OPT_IPC_PEER_UID, uid) == 0 && *uid == (uint64_t)geteuid();
}

void net__peer_address(nng_stream *s, bool local, char *out, size_t n) {
  nng_sockaddr sa;
  char ip[64] = "?";
  if (local) {
    uint64_t pid = 0;
    if (nng_stream_get_uint64(s, NNG_OPT_IPC_PEER_PID, &pid) == 0)
      snprintf(out, n, "process %" PRIu64, pid);
    else
      snprintf(out, n, "a process of this host");
  } else if (nng_stream_get_addr(s, NNG_OPT_REMADDR, &sa) != 0) {
    snprintf(out, n, "a peer of unknown address");
  } else if (sa.s_family == NNG_AF_INET) {
    inet_ntop(AF_INET, &sa.s_in.sa_addr, ip, sizeof ip);
    snprintf(out, n, "%s:%u", ip, ntohs(sa.s_in.sa_port));
  } else if (sa.s_family == NNG_AF_INET6) {
    inet_ntop(AF_INET6, sa.s_in6.sa_addr, ip, sizeof ip);
    snprintf(out, n, "[%s]:%u", ip, ntohs(sa.s_in6.sa_port));
  } else {
    snprintf(out, n, "a peer of unknown address");
  }
}

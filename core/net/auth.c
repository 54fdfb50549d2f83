/* Who is at the other end: proofs over the session's secret, and the kernel's word. */
#include "net/internal.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <mbedtls/constant_time.h>
#include <mbedtls/md.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* HMAC-SHA256 of a label and up to three parts. */
static bool mac(uint8_t out[32], const uint8_t secret[32], const char *label, const nng_iov *parts,
                size_t n) {
  uint8_t text[32 + NET_HELLO_BODY + NET_CHALLENGE_BODY + 32];
  size_t len = strlen(label);
  memcpy(text, label, len);
  for (size_t i = 0; i < n; i++) {
    memcpy(text + len, parts[i].iov_buf, parts[i].iov_len);
    len += parts[i].iov_len;
  }
  memset(out, 0, 32);
  return mbedtls_md_hmac(mbedtls_md_info_from_type(MBEDTLS_MD_SHA256), secret, 32, text, len, out) == 0;
}

/* The labels and the role keep one proof from passing for another. */
bool net__mac_proof(uint8_t out[32], const uint8_t secret[32], const uint8_t hello[NET_HELLO_BODY],
                    const uint8_t challenge[NET_CHALLENGE_BODY]) {
  const nng_iov parts[] = {
      {(void *)hello, 1}, {(void *)hello, NET_HELLO_BODY}, {(void *)challenge, NET_CHALLENGE_BODY}};
  return mac(out, secret, "hato-1 proof", parts, 3);
}

bool net__mac_welcome(uint8_t out[32], const uint8_t secret[32], const uint8_t hello[NET_HELLO_BODY],
                      const uint8_t challenge[NET_CHALLENGE_BODY], const uint8_t proof[32]) {
  const nng_iov parts[] = {
      {(void *)hello, NET_HELLO_BODY}, {(void *)challenge, NET_CHALLENGE_BODY}, {(void *)proof, 32}};
  return mac(out, secret, "hato-1 welcome", parts, 3);
}

bool net__mac_equal(const uint8_t a[32], const uint8_t b[32]) { return mbedtls_ct_memcmp(a, b, 32) == 0; }

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

/* NNG's configurations for TLS, and what became of a handshake in words. */
#include "net/tls.h"
#include "base/io.h"
#include "base/str.h"

#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/error.h>
#include <mbedtls/oid.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int net__random(void *unused, unsigned char *out, size_t n) {
  (void)unused;
  hato__random(out, n);
  return 0;
}

hato_status net__fail_mbedtls(hato_error *err, hato_status status, int rv, const char *fmt, ...) {
  char what[512], why[128];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(what, sizeof what, fmt, ap) < 0) what[0] = 0;
  va_end(ap);
  mbedtls_strerror(rv, why, sizeof why);
  return hato__fail(err, status, "%s: %s", what, why);
}

bool net__pem_block(const char *what, const uint8_t *der, size_t n, char *out) {
  size_t got = 0;
  int head = sprintf(out, "-----BEGIN %s-----\n", what);
  if (mbedtls_base64_encode((unsigned char *)out + head, n / 3 * 4 + 8, &got, der, n) != 0) return false;
  sprintf(out + head + got, "\n-----END %s-----\n", what);
  return true;
}

/* The length of the first of them, header included; 0: there is none. */
static size_t first_der(const uint8_t *der, size_t n) {
  unsigned char *at = (unsigned char *)der;
  size_t body = 0;
  if (mbedtls_asn1_get_tag(&at, der + n, &body, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0) return 0;
  return (size_t)(at - der) + body;
}

char *net__pem_certificates(const uint8_t *der, size_t n) {
  /* Each has 4 bytes at least, so that no number of them is beyond this. */
  char *pem = malloc(NET__PEM_ROOM(n) + n / 64 * 128), *at = pem;
  if (pem == NULL) return NULL;
  *pem = 0;
  while (n > 0) {
    size_t one = first_der(der, n);
    if (one < 64 || !net__pem_block("CERTIFICATE", der, one, at)) break; /* what is no certificate is left out */
    at += strlen(at);
    der += one;
    n -= one;
  }
  return pem;
}

bool net__certificate_name(const mbedtls_x509_crt *crt, char *out, size_t n) {
  const mbedtls_x509_buf *name = NULL;
  if (crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME)
    for (const mbedtls_x509_sequence *s = &crt->subject_alt_names; s != NULL && name == NULL; s = s->next)
      if ((s->buf.tag & MBEDTLS_ASN1_TAG_VALUE_MASK) == MBEDTLS_X509_SAN_DNS_NAME) name = &s->buf;
  if (name == NULL && (crt->ext_types & MBEDTLS_X509_EXT_SUBJECT_ALT_NAME) == 0)
    for (const mbedtls_x509_name *s = &crt->subject; s != NULL && name == NULL; s = s->next)
      if (MBEDTLS_OID_CMP(MBEDTLS_OID_AT_CN, &s->oid) == 0) name = &s->val;
  if (name == NULL || name->len == 0 || name->len >= n) return false;
  for (size_t i = 0; i < name->len; i++) /* it goes into credentials, whose parts a colon parts */
    if (name->p[i] <= ' ' || name->p[i] >= 0x7f || name->p[i] == ':') return false;
  memcpy(out, name->p, name->len);
  out[name->len] = 0;
  return true;
}

/* TLS 1.2 is the newest that mbedTLS 2.28 speaks. */
static int config_new(nng_tls_mode mode, nng_tls_config **out) {
  int rv = net__tls_engine();
  if (rv == 0) rv = nng_tls_config_alloc(out, mode);
  return rv != 0 ? rv : nng_tls_config_version(*out, NNG_TLS_1_2, NNG_TLS_1_3);
}

hato_status net__tls_server(const char *chain, const char *key, const char *pass, nng_tls_config **out,
                            hato_error *err) {
  nng_tls_config *tls = NULL;
  *out = NULL;
  hato_status st = net_init(err);
  if (st != HATO_OK) return st;
  int rv = config_new(NNG_TLS_MODE_SERVER, &tls);
  if (rv == 0) rv = nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_NONE); /* peers prove themselves inside */
  if (rv == 0) rv = nng_tls_config_own_cert(tls, chain, key, pass);
  if (rv == 0) {
    *out = tls;
    return HATO_OK;
  }
  if (tls != NULL) nng_tls_config_free(tls);
  return net__fail_nng(err, rv, "a TLS configuration");
}

hato_status net__tls_client(const char *url, const hato__certificate *certificate, nng_tls_config **out,
                            hato_error *err) {
  nng_tls_config *tls = NULL;
  char name[sizeof certificate->name + 1 + 2 * HATO__FINGERPRINT_BYTES + 1];
  *out = NULL;
  if (certificate == NULL || certificate->name[0] == 0)
    return hato__fail(err, HATO_PEER_AUTH, "%s: the credential names no certificate, so that nobody who speaks TLS "
                                           "there can be believed", url);
  int head = snprintf(name, sizeof name, "%s%c", certificate->name, NET__PIN_MARK);
  hato__hex(name + head, certificate->fingerprint, sizeof certificate->fingerprint);
  char *anchor = net__pem_certificates(certificate->anchor, certificate->anchor_len);
  int rv = anchor == NULL ? NNG_ENOMEM : config_new(NNG_TLS_MODE_CLIENT, &tls);
  if (rv == 0) rv = nng_tls_config_auth_mode(tls, NNG_TLS_AUTH_MODE_REQUIRED);
  if (rv == 0) rv = nng_tls_config_ca_chain(tls, anchor, NULL);
  if (rv == 0) rv = nng_tls_config_server_name(tls, name);
  free(anchor);
  if (rv == 0) {
    *out = tls;
    return HATO_OK;
  }
  if (tls != NULL) nng_tls_config_free(tls);
  if (rv == NNG_ECRYPTO)
    return hato__fail(err, HATO_INVALID, "%s: the certificate in the credential cannot be read", url);
  return net__fail_nng(err, rv, "%s", url);
}

hato_status net__tls_refused(const char *url, const hato__certificate *certificate, int nng, hato_error *err) {
  char digits[2 * HATO__FINGERPRINT_BYTES + 1];
  if (nng != NNG_EPEERAUTH)
    return hato__fail(err, HATO_PROTOCOL, "%s: who answers there does not speak TLS 1.2", url);
  hato__hex(digits, certificate->fingerprint, HATO__FINGERPRINT_BYTES);
  return hato__fail(err, HATO_PEER_AUTH,
                    "%s: who answers there has another certificate than the dispatcher, or one that is not valid "
                    "today; wanted %s, SHA-256 %s",
                    url, certificate->name, digits);
}

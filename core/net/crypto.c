#include "net/crypto.h"
#include "net/net.h"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Room for the keys that a thousand threads and as many handshakes need at once: OpenSSL fails when it is full. */
#define HIDDEN_BYTES (4u << 20)
#define HIDDEN_LEAST 32

static pthread_once_t openssl_once = PTHREAD_ONCE_INIT, hidden_once = PTHREAD_ONCE_INIT;
static OSSL_LIB_CTX *openssl_context;

/* NNG's threads run on while a process exits: where we are the first to use it, OpenSSL is not taken down before. */
static void begin(void) {
  (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_LOAD_CRYPTO_STRINGS, NULL);
  openssl_context = OSSL_LIB_CTX_new();
}

OSSL_LIB_CTX *net__openssl(void) {
  pthread_once(&openssl_once, begin);
  return openssl_context;
}

static void hide(void) {
#if !defined(__SANITIZE_ADDRESS__) /* LeakSanitizer does not see there either what still has a pointer to it */
  if (!CRYPTO_secure_malloc_initialized()) (void)CRYPTO_secure_malloc_init(HIDDEN_BYTES, HIDDEN_LEAST);
#endif
}

void net__openssl_hides_keys(void) {
  if (net__openssl() != NULL) pthread_once(&hidden_once, hide);
}

void net_process_is_ours(void) {
  (void)OPENSSL_init_crypto(OPENSSL_INIT_NO_ATEXIT | OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
}

/* Without a context of ours they would fall back to the process's. */
bool net_sha256(uint8_t out[32], const void *bytes, size_t n) {
  size_t len = 32;
  if (net__openssl() != NULL && EVP_Q_digest(net__openssl(), "SHA256", NULL, bytes, n, out, &len)) return true;
  ERR_clear_error();
  memset(out, 0, 32);
  return false;
}

bool net__hmac(uint8_t out[32], const uint8_t secret[32], const void *bytes, size_t n) {
  size_t len = 0;
  if (net__openssl() != NULL &&
      EVP_Q_mac(net__openssl(), "HMAC", NULL, "SHA256", NULL, secret, 32, bytes, n, out, 32, &len) != NULL)
    return true;
  ERR_clear_error();
  memset(out, 0, 32);
  return false;
}

bool net__fingerprint(uint8_t out[32], X509 *certificate) {
  unsigned char *der = NULL;
  int n = i2d_X509(certificate, &der);
  bool ok = n > 0 && net_sha256(out, der, (size_t)n);
  OPENSSL_free(der);
  return ok;
}

/* Whether nothing more is there, and not that it is no certificate. */
static bool at_end(void) {
  unsigned long e = ERR_peek_last_error();
  return ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;
}

STACK_OF(X509) *net__certificates(const char *pem) {
  BIO *in = BIO_new_mem_buf(pem, -1);
  STACK_OF(X509) *all = sk_X509_new_null();
  bool ok = in != NULL && all != NULL && net__openssl() != NULL;
  ERR_clear_error();
  while (ok) {
    X509 *one = X509_new_ex(net__openssl(), NULL);
    if (one != NULL && PEM_read_bio_X509(in, &one, NULL, (void *)(uintptr_t)"") != NULL) {
      ok = sk_X509_push(all, one) > 0;
      if (ok) continue;
    }
    ok = ok && one != NULL && at_end();
    X509_free(one);
    break;
  }
  BIO_free(in);
  if (ok) {
    ERR_clear_error();
    return all;
  }
  net__certificates_free(all);
  return NULL;
}

void net__certificates_free(STACK_OF(X509) *all) { sk_X509_pop_free(all, X509_free); }

hato_status net__fail_openssl(hato_error *err, hato_status status, const char *fmt, ...) {
  char what[512];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(what, sizeof what, fmt, ap) < 0) what[0] = 0;
  va_end(ap);
  const char *why = ERR_reason_error_string(ERR_peek_error()); /* the first is where it began */
  ERR_clear_error();
  return hato__fail(err, status, "%s: %s", what, why != NULL ? why : "OpenSSL says no more");
}

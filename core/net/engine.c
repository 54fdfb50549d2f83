/*
 * TLS for NNG's streams by OpenSSL, in the place of NNG's own engine, whose mbedTLS 2.28 nobody mends any more. It took
 * 9 ms of processor time a handshake and 2.8 s a GB at each end, and called a certificate that is refused, a peer that
 * speaks no TLS and one that hung up by one and the same name.
 *
 * An engine serves all of a process. In a program that uses NNG's TLS itself this one takes what NNG's own does, but
 * for TLS before 1.2; connections of ours (net__tls_ours) agree on fewer ciphers.
 */
#include "net/tls.h"

#include <nng/supplemental/tls/engine.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

#define OUR_SUITES \
  "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE+CHACHA20:ECDHE+AESGCM" /* of TLS 1.2 */
#define OUR_SUITES_13 "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256:TLS_AES_256_GCM_SHA384"
#define GROUPS "P-256:X25519:P-384:P-521"
/* The authentication level 2 of OpenSSL: keys and hashes that are worth 112 bits. */
#define LEVEL 2
#define RECORD_BYTES (16384 / 2 - 32) /* so that two of them, with what TLS adds, fill NNG's buffer */

const char net__tls_ours[] = "hato";

struct nng_tls_engine_config {
  SSL_CTX *ctx;
  BIO_METHOD *bio;
  bool server, ours; /* ours: with a certificate of net__tls_own */
  char *name; /* of the peer, for its SNI */
  uint8_t pin[HATO__FINGERPRINT_BYTES]; /* of ours: the peer's certificate is this very one */
};

struct nng_tls_engine_conn {
  SSL *ssl;
  void *tls;
  bool ours;  /* a server's, of net__tls_own */
  int failed; /* for good */
};

/* ---- errors ---- */

/* What a peer's alert says of certificates; others are of versions, ciphers and bytes. */
static bool is_of_certificates(int alert) {
  switch (alert) {
  case SSL_AD_BAD_CERTIFICATE:
  case SSL_AD_UNSUPPORTED_CERTIFICATE:
  case SSL_AD_CERTIFICATE_REVOKED:
  case SSL_AD_CERTIFICATE_EXPIRED:
  case SSL_AD_CERTIFICATE_UNKNOWN:
  case SSL_AD_UNKNOWN_CA:
  case SSL_AD_ACCESS_DENIED:
  case SSL_AD_CERTIFICATE_REQUIRED:
    return true;
  default:
    return false;
  }
}

/* EPEERAUTH: a certificate was refused, by us or by the peer. ENOTSUP: both speak TLS, and have no version or cipher in
 * common. ECRYPTO: what came is no TLS, or not what was sent. */
static int error_of_reason(int reason) {
  switch (reason) {
  case SSL_R_CERTIFICATE_VERIFY_FAILED:
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    return NNG_EPEERAUTH;
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_VERSION_TOO_LOW:
  case SSL_R_VERSION_TOO_HIGH:
  case SSL_R_WRONG_SSL_VERSION:
  case SSL_R_NO_SHARED_CIPHER:
  case SSL_R_NO_SHARED_GROUPS:
  case SSL_R_NO_SUITABLE_KEY_SHARE:
  case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
  case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
  case SSL_AD_REASON_OFFSET + SSL_AD_HANDSHAKE_FAILURE:
  case SSL_AD_REASON_OFFSET + SSL_AD_PROTOCOL_VERSION:
  case SSL_AD_REASON_OFFSET + SSL_AD_INSUFFICIENT_SECURITY:
    return NNG_ENOTSUP;
  default:
    return is_of_certificates(reason - SSL_AD_REASON_OFFSET) ? NNG_EPEERAUTH : NNG_ECRYPTO;
  }
}

static int error_of(nng_tls_engine_conn *c, int rv) {
  unsigned long e = ERR_peek_error();
  switch (SSL_get_error(c->ssl, rv)) {
  case SSL_ERROR_WANT_READ:
  case SSL_ERROR_WANT_WRITE:
    return NNG_EAGAIN;
  case SSL_ERROR_ZERO_RETURN:
    return NNG_ECONNSHUT;
  case SSL_ERROR_SSL:
    c->failed = ERR_GET_REASON(e) == ERR_R_MALLOC_FAILURE ? NNG_ENOMEM : error_of_reason(ERR_GET_REASON(e));
    return c->failed;
  default:
    return NNG_ECLOSED;
  }
}

/* ---- the bytes of a connection, to and from NNG ---- */

static int to_peer(BIO *b, const char *bytes, int len) {
  size_t n = (size_t)len;
  BIO_clear_retry_flags(b);
  int rv = nng_tls_engine_send(BIO_get_data(b), (const uint8_t *)bytes, &n);
  if (rv == NNG_EAGAIN) BIO_set_retry_write(b);
  return rv == 0 ? (int)n : -1;
}

static int from_peer(BIO *b, char *bytes, int len) {
  size_t n = (size_t)len;
  BIO_clear_retry_flags(b);
  int rv = nng_tls_engine_recv(BIO_get_data(b), (uint8_t *)bytes, &n);
  if (rv == NNG_EAGAIN) BIO_set_retry_read(b);
  return rv == 0 ? (int)n : -1;
}

static long control(BIO *b, int what, long n, void *at) {
  (void)b;
  (void)n;
  (void)at;
  return what == BIO_CTRL_FLUSH; /* NNG does, and knows of nothing else */
}

static BIO_METHOD *bio_method(void) {
  BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "hato");
  if (m != NULL && BIO_meth_set_write(m, to_peer) && BIO_meth_set_read(m, from_peer) && BIO_meth_set_ctrl(m, control))
    return m;
  BIO_meth_free(m);
  return NULL;
}

/* ---- connections; under NNG's lock of each. OpenSSL tells why by a thread's queue of errors, which is empty then ---- */

static int conn_init(nng_tls_engine_conn *c, void *tls, nng_tls_engine_config *cfg) {
  ERR_clear_error();
  c->tls = tls;
  c->ours = cfg->server && cfg->ours;
  c->ssl = SSL_new(cfg->ctx);
  BIO *b = BIO_new(cfg->bio);
  if (c->ssl == NULL || b == NULL) {
    BIO_free(b);
    return NNG_ENOMEM;
  }
  BIO_set_data(b, tls);
  BIO_set_init(b, 1);
  SSL_set_bio(c->ssl, b, b);
  if (cfg->server) {
    SSL_set_accept_state(c->ssl);
    return 0;
  }
  SSL_set_connect_state(c->ssl);
  return cfg->name == NULL || SSL_set_tlsext_host_name(c->ssl, cfg->name) == 1 ? 0 : NNG_EINVAL;
}

static void conn_fini(nng_tls_engine_conn *c) { SSL_free(c->ssl); }

static void conn_close(nng_tls_engine_conn *c) {
  if (c->failed != 0 || !SSL_is_init_finished(c->ssl)) return;
  (void)SSL_shutdown(c->ssl);
  ERR_clear_error();
}

/* A peer that speaks no TLS may know these bytes, and say so. OpenSSL says nothing to one. */
static void say_tls(nng_tls_engine_conn *c) {
  static const uint8_t unexpected_message[] = {SSL3_RT_ALERT, 3, 3, 0, 2, SSL3_AL_FATAL, SSL_AD_UNEXPECTED_MESSAGE};
  size_t n = sizeof unexpected_message;
  if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_WRONG_VERSION_NUMBER)
    (void)nng_tls_engine_send(c->tls, unexpected_message, &n);
}

static int conn_handshake(nng_tls_engine_conn *c) {
  if (c->failed != 0) return c->failed;
  ERR_clear_error();
  int rv = SSL_do_handshake(c->ssl);
  if (rv == 1) return 0;
  rv = error_of(c, rv);
  if (rv == NNG_ECRYPTO) say_tls(c);
  ERR_clear_error();
  return rv;
}

/* As much as is there: each return wakes a thread. What ends it is told when nothing came. */
static int conn_recv(nng_tls_engine_conn *c, uint8_t *out, size_t *n) {
  size_t got = 0, one;
  int rv = 1;
  if (c->failed != 0) return c->failed;
  ERR_clear_error();
  while (got < *n && (rv = SSL_read_ex(c->ssl, out + got, *n - got, &one)) == 1) got += one;
  int e = rv == 1 ? 0 : error_of(c, rv);
  ERR_clear_error();
  if (got == 0) return e;
  *n = got;
  return 0;
}

/* As many records as there is room for. One that was begun is offered again, as OpenSSL wants it. */
static int conn_send(nng_tls_engine_conn *c, const uint8_t *bytes, size_t *n) {
  size_t done = 0, one;
  int rv = 1;
  if (c->failed != 0) return c->failed;
  ERR_clear_error();
  while (done < *n && (rv = SSL_write_ex(c->ssl, bytes + done, *n - done, &one)) == 1) done += one;
  int e = rv == 1 ? 0 : error_of(c, rv);
  ERR_clear_error();
  if (done == 0) return e;
  *n = done;
  return 0;
}

/* Of a server of ours, which asks its peers for no certificate: whether a ClientHello came. NNG asks for nothing else
 * that an engine could tell of one connection. */
static bool conn_verified(nng_tls_engine_conn *c) {
  if (c->ours) return c->failed == 0 && SSL_get_state(c->ssl) != TLS_ST_BEFORE;
  return SSL_get0_peer_certificate(c->ssl) != NULL && SSL_get_verify_result(c->ssl) == X509_V_OK;
}

/* ---- configurations ---- */

static int none_but(int ok) {
  ERR_clear_error();
  return ok ? 0 : NNG_ECRYPTO;
}

/* No resumption, by tickets or otherwise: each connection is verified. Buffers are held while there is something in
 * them: NNG has 32 KB besides. */
static bool config_set(SSL_CTX *ctx) {
  SSL_CTX_set_security_level(ctx, LEVEL);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  return SSL_CTX_set_num_tickets(ctx, 0) && SSL_CTX_set_max_send_fragment(ctx, RECORD_BYTES) &&
         SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) && SSL_CTX_set_max_proto_version(ctx, 0) &&
         SSL_CTX_set_cipher_list(ctx, OUR_SUITES ":DEFAULT") && SSL_CTX_set_ciphersuites(ctx, OUR_SUITES_13) &&
         SSL_CTX_set1_groups_list(ctx, GROUPS);
}

static void config_fini(nng_tls_engine_config *cfg) {
  SSL_CTX_free(cfg->ctx);
  BIO_meth_free(cfg->bio);
  free(cfg->name);
}

static int config_init(nng_tls_engine_config *cfg, nng_tls_mode mode) {
  OSSL_LIB_CTX *lib = net__openssl();
  cfg->server = mode == NNG_TLS_MODE_SERVER;
  cfg->bio = bio_method();
  cfg->ctx = lib == NULL ? NULL : SSL_CTX_new_ex(lib, NULL, cfg->server ? TLS_server_method() : TLS_client_method());
  bool ok = cfg->bio != NULL && cfg->ctx != NULL && config_set(cfg->ctx);
  if (ok && !cfg->server) SSL_CTX_set_verify(cfg->ctx, SSL_VERIFY_PEER, NULL);
  if (!ok) config_fini(cfg);
  ERR_clear_error();
  return ok ? 0 : NNG_ENOMEM;
}

static int config_server(nng_tls_engine_config *cfg, const char *name) {
  char *copy = strdup(name);
  if (copy == NULL || !X509_VERIFY_PARAM_set1_host(SSL_CTX_get0_param(cfg->ctx), name, 0)) {
    free(copy);
    return NNG_ENOMEM;
  }
  free(cfg->name);
  cfg->name = copy;
  return 0;
}

static int config_auth(nng_tls_engine_config *cfg, nng_tls_auth_mode mode) {
  static const int modes[] = {[NNG_TLS_AUTH_MODE_NONE] = SSL_VERIFY_NONE,
                              [NNG_TLS_AUTH_MODE_OPTIONAL] = SSL_VERIFY_PEER,
                              [NNG_TLS_AUTH_MODE_REQUIRED] = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT};
  if ((unsigned)mode >= sizeof modes / sizeof modes[0]) return NNG_EINVAL;
  bool must = cfg->server || mode != NNG_TLS_AUTH_MODE_OPTIONAL; /* of a client PEER alone would be REQUIRED */
  SSL_CTX_set_verify(cfg->ctx, must ? modes[mode] : SSL_VERIFY_NONE, NULL);
  return 0;
}

bool net__tls_judge(X509_VERIFY_PARAM *p, const char *name) {
  X509_VERIFY_PARAM_set_auth_level(p, LEVEL);
  return X509_VERIFY_PARAM_set1_host(p, name, 0) && X509_VERIFY_PARAM_set_flags(p, X509_V_FLAG_PARTIAL_CHAIN);
}

/* Besides what OpenSSL verifies: a CA may have certified others for the same name. */
static int is_pinned(X509_STORE_CTX *s, void *config) {
  const nng_tls_engine_config *cfg = config;
  uint8_t found[HATO__FINGERPRINT_BYTES];
  if (X509_verify_cert(s) <= 0) return 0;
  X509 *leaf = X509_STORE_CTX_get0_cert(s);
  if (net__fingerprint(found, leaf) && CRYPTO_memcmp(found, cfg->pin, sizeof found) == 0) return 1;
  X509_STORE_CTX_set_error(s, X509_V_ERR_CERT_REJECTED);
  return 0;
}

static bool believe(nng_tls_engine_config *cfg, const hato__certificate *c) {
  const unsigned char *at = c->anchor;
  X509 *anchor = X509_new_ex(net__openssl(), NULL);
  bool ok = anchor != NULL && d2i_X509(&anchor, &at, (long)c->anchor_len) != NULL && at == c->anchor + c->anchor_len &&
            X509_STORE_add_cert(SSL_CTX_get_cert_store(cfg->ctx), anchor) &&
            net__tls_judge(SSL_CTX_get0_param(cfg->ctx), c->name) && SSL_CTX_set_cipher_list(cfg->ctx, OUR_SUITES);
  X509_free(anchor);
  memcpy(cfg->pin, c->fingerprint, sizeof cfg->pin);
  SSL_CTX_set_cert_verify_callback(cfg->ctx, is_pinned, cfg);
  return ok;
}

static int config_ca_chain(nng_tls_engine_config *cfg, const char *certs, const char *crl) {
  X509_STORE *store = SSL_CTX_get_cert_store(cfg->ctx);
  if (certs == net__tls_ours) return none_but(believe(cfg, (const hato__certificate *)(const void *)crl));
  STACK_OF(X509) *all = net__certificates(certs);
  bool ok = all != NULL && sk_X509_num(all) > 0;
  for (int i = 0; ok && i < sk_X509_num(all); i++) ok = X509_STORE_add_cert(store, sk_X509_value(all, i));
  net__certificates_free(all);
  if (ok && crl != NULL) {
    BIO *in = BIO_new_mem_buf(crl, -1);
    X509_CRL *list = in != NULL ? PEM_read_bio_X509_CRL(in, NULL, NULL, NULL) : NULL;
    ok = list != NULL && X509_STORE_add_crl(store, list) && X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    X509_CRL_free(list);
    BIO_free(in);
  }
  return none_but(ok);
}

static int given(char *buf, int n, int writing, void *pass) {
  (void)writing;
  size_t len = pass != NULL ? strlen(pass) : SIZE_MAX;
  if (len > (size_t)n) return -1;
  memcpy(buf, pass, len);
  return (int)len;
}

static int config_own_cert(nng_tls_engine_config *cfg, const char *cert, const char *key, const char *pass) {
  if (cert == net__tls_ours) {
    const net__tls_own *own = (const net__tls_own *)(const void *)key;
    cfg->ours = true;
    return none_but(SSL_CTX_use_cert_and_key(cfg->ctx, own->leaf, own->key, own->rest, 1) &&
                    SSL_CTX_set_cipher_list(cfg->ctx, OUR_SUITES));
  }
  BIO *in = BIO_new_mem_buf(key, -1);
  EVP_PKEY *k = in != NULL ? PEM_read_bio_PrivateKey_ex(in, NULL, given, (void *)(uintptr_t)pass, net__openssl(), NULL) : NULL;
  STACK_OF(X509) *rest = net__certificates(cert);
  X509 *leaf = rest != NULL ? sk_X509_shift(rest) : NULL;
  bool ok = k != NULL && leaf != NULL && SSL_CTX_use_cert_and_key(cfg->ctx, leaf, k, rest, 1);
  X509_free(leaf);
  net__certificates_free(rest);
  EVP_PKEY_free(k);
  BIO_free(in);
  return none_but(ok);
}

/* NNG's numbers are those on the wire. */
static int config_version(nng_tls_engine_config *cfg, nng_tls_version low, nng_tls_version high) {
  if (low > high || low < NNG_TLS_1_0 || high < NNG_TLS_1_2 || high > NNG_TLS_1_3) return NNG_ENOTSUP;
  if (low < NNG_TLS_1_2) low = NNG_TLS_1_2;
  return none_but(SSL_CTX_set_min_proto_version(cfg->ctx, (int)low) && SSL_CTX_set_max_proto_version(cfg->ctx, (int)high));
}

/* ---- NNG's view ---- */

static const nng_tls_engine_config_ops config_ops = {.size = sizeof(struct nng_tls_engine_config),
                                                     .init = config_init,
                                                     .fini = config_fini,
                                                     .server = config_server,
                                                     .auth = config_auth,
                                                     .ca_chain = config_ca_chain,
                                                     .own_cert = config_own_cert,
                                                     .version = config_version};

static const nng_tls_engine_conn_ops conn_ops = {.size = sizeof(struct nng_tls_engine_conn),
                                                 .init = conn_init,
                                                 .fini = conn_fini,
                                                 .close = conn_close,
                                                 .handshake = conn_handshake,
                                                 .recv = conn_recv,
                                                 .send = conn_send,
                                                 .verified = conn_verified};

static const nng_tls_engine engine = {.version = NNG_TLS_ENGINE_VERSION,
                                      .config_ops = (nng_tls_engine_config_ops *)&config_ops,
                                      .conn_ops = (nng_tls_engine_conn_ops *)&conn_ops,
                                      .name = "hato",
                                      .description = "OpenSSL, for hato"};

/* NNG keeps nothing but the pointer, so that it does no harm to say it again, on several threads. Configurations
 * keep the engine that they were made by. */
int net__tls_engine(void) {
  return strcmp(nng_tls_engine_name(), engine.name) == 0 ? 0 : nng_tls_engine_register(&engine);
}

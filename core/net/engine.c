/*
 * TLS for NNG's streams, by the same mbedTLS as NNG's own engine, which is not used for these reasons, each measured
 * with NNG 1.5.2 and mbedTLS 2.28:
 *
 *   a dial costs both ends 16-22 ms of CPU together, for it agrees on the largest curve there is; on P-256 9 ms;
 *   a connection costs 70 KB once full records went both ways; with records of 2 KB it is 55, at about the same rate;
 *   it prefers a cipher that the processor does not help with;
 *   it calls a certificate that is refused, a peer that speaks no TLS and one that hung up by one and the same name.
 *
 * An engine serves all of a process. In a program that uses NNG's TLS itself this one offers and takes all that NNG's
 * own does, in another order.
 */
#include "net/tls.h"
#include "base/io.h"
#include "base/str.h"

#include <mbedtls/constant_time.h>
#include <mbedtls/net_sockets.h>
#include <mbedtls/sha256.h>
#include <mbedtls/ssl.h>
#include <mbedtls/ssl_ciphersuites.h>
#include <nng/supplemental/tls/engine.h>
#include <string.h>

#define SUITES_MOST 256
#define CURVES_MOST 32
#define RECORD_BYTES 2048u

typedef struct own {
  struct own *next;
  mbedtls_x509_crt chain;
  mbedtls_pk_context key;
} own;

struct nng_tls_engine_config {
  mbedtls_ssl_config ssl;
  mbedtls_x509_crt ca;
  mbedtls_x509_crl crl;
  char *server_name;
  bool pinned; /* the peer's certificate must be this very one */
  uint8_t fingerprint[HATO__FINGERPRINT_BYTES];
  own *owns;
  int suites[SUITES_MOST]; /* in our order, 0 after the last */
  mbedtls_ecp_group_id curves[CURVES_MOST];
};

struct nng_tls_engine_conn {
  mbedtls_ssl_context ssl;
  size_t begun; /* bytes of a record that mbedTLS holds and has not wholly sent */
};

/* ---- errors ---- */

/* EPEERAUTH: a certificate was refused, by us or by the peer. ECRYPTO: what came is no TLS, or not what was sent. */
static int error_of(int rv) {
  switch (rv) {
  case MBEDTLS_ERR_SSL_WANT_READ:
  case MBEDTLS_ERR_SSL_WANT_WRITE:
    return NNG_EAGAIN;
  case MBEDTLS_ERR_X509_CERT_VERIFY_FAILED:
  case MBEDTLS_ERR_SSL_PEER_VERIFY_FAILED:
  case MBEDTLS_ERR_SSL_NO_CLIENT_CERTIFICATE:
  case MBEDTLS_ERR_SSL_CA_CHAIN_REQUIRED:
  case MBEDTLS_ERR_SSL_BAD_HS_CERTIFICATE:
  case MBEDTLS_ERR_SSL_FATAL_ALERT_MESSAGE:
    return NNG_EPEERAUTH;
  case MBEDTLS_ERR_SSL_PEER_CLOSE_NOTIFY:
  case MBEDTLS_ERR_SSL_CONN_EOF:
    return NNG_ECONNSHUT;
  case MBEDTLS_ERR_NET_SEND_FAILED:
  case MBEDTLS_ERR_NET_RECV_FAILED:
    return NNG_ECLOSED;
  case MBEDTLS_ERR_SSL_ALLOC_FAILED:
  case MBEDTLS_ERR_X509_ALLOC_FAILED:
  case MBEDTLS_ERR_PK_ALLOC_FAILED:
    return NNG_ENOMEM;
  default:
    return NNG_ECRYPTO;
  }
}

/* ---- connections; under NNG's lock of each ---- */

static int to_peer(void *tls, const unsigned char *bytes, size_t n) {
  int rv = nng_tls_engine_send(tls, bytes, &n);
  return rv == 0 ? (int)n : rv == NNG_EAGAIN ? MBEDTLS_ERR_SSL_WANT_WRITE : MBEDTLS_ERR_NET_SEND_FAILED;
}

static int from_peer(void *tls, unsigned char *bytes, size_t n) {
  int rv = nng_tls_engine_recv(tls, bytes, &n);
  return rv == 0 ? (int)n : rv == NNG_EAGAIN ? MBEDTLS_ERR_SSL_WANT_READ : MBEDTLS_ERR_NET_RECV_FAILED;
}

static int conn_init(nng_tls_engine_conn *c, void *tls, nng_tls_engine_config *cfg) {
  mbedtls_ssl_init(&c->ssl);
  mbedtls_ssl_set_bio(&c->ssl, tls, to_peer, from_peer, NULL);
  int rv = mbedtls_ssl_setup(&c->ssl, &cfg->ssl);
  if (rv == 0 && cfg->server_name != NULL) rv = mbedtls_ssl_set_hostname(&c->ssl, cfg->server_name);
  return rv == 0 ? 0 : error_of(rv);
}

static void conn_fini(nng_tls_engine_conn *c) { mbedtls_ssl_free(&c->ssl); }
static void conn_close(nng_tls_engine_conn *c) { (void)mbedtls_ssl_close_notify(&c->ssl); }

static int conn_handshake(nng_tls_engine_conn *c) {
  int rv = mbedtls_ssl_handshake(&c->ssl);
  if (rv == 0) return 0;
  int e = error_of(rv);
  if (e == NNG_ECRYPTO) /* a peer that speaks no TLS may know these bytes, and say so */
    (void)mbedtls_ssl_send_alert_message(&c->ssl, MBEDTLS_SSL_ALERT_LEVEL_FATAL, MBEDTLS_SSL_ALERT_MSG_UNEXPECTED_MESSAGE);
  return e;
}

/* As much as is there: each return wakes a thread. */
static int conn_recv(nng_tls_engine_conn *c, uint8_t *out, size_t *n) {
  size_t got = 0;
  int rv = 0;
  while (got < *n) {
    rv = mbedtls_ssl_read(&c->ssl, out + got, *n - got);
    if (rv <= 0) break;
    got += (size_t)rv;
  }
  if (got == 0) return rv == 0 ? NNG_ECONNSHUT : error_of(rv);
  *n = got; /* what ended it comes again */
  return 0;
}

/* As many records as there is room for. One that was begun is offered again, as mbedTLS wants it. */
static int conn_send(nng_tls_engine_conn *c, const uint8_t *bytes, size_t *n) {
  size_t done = 0;
  int rv = 0;
  if (c->begun > *n) return NNG_ECRYPTO; /* who sends went on to something else */
  while (done < *n) {
    size_t rest = *n - done, one = c->begun > 0 ? c->begun : rest < RECORD_BYTES ? rest : RECORD_BYTES;
    rv = mbedtls_ssl_write(&c->ssl, bytes + done, one);
    if (rv == MBEDTLS_ERR_SSL_WANT_WRITE && c->ssl.state == MBEDTLS_SSL_HANDSHAKE_OVER) c->begun = one;
    if (rv <= 0) break;
    c->begun = 0;
    done += (size_t)rv;
  }
  if (done == 0) return error_of(rv);
  *n = done;
  return 0;
}

static bool conn_verified(nng_tls_engine_conn *c) { return mbedtls_ssl_get_verify_result(&c->ssl) == 0; }

/* ---- configurations ---- */

/* With AES in the processor, CCM is what mbedTLS 2.28 does fastest: 2.8 s a GB, where ChaCha20-Poly1305 takes 4.0
 * and GCM 5.4. There is none for RSA; ChaCha20 comes next. */
static bool fast_aes(void) {
#if defined __x86_64__ || defined __i386__
  return __builtin_cpu_supports("aes") != 0;
#else
  return false;
#endif
}

static void order_suites(nng_tls_engine_config *cfg) {
  const int first = MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_CCM;
  size_t n = 0;
  if (fast_aes()) cfg->suites[n++] = first;
  for (const int *s = mbedtls_ssl_list_ciphersuites(); *s != 0 && n < SUITES_MOST - 1; s++)
    if (n == 0 || *s != cfg->suites[0]) cfg->suites[n++] = *s;
  mbedtls_ssl_conf_ciphersuites(&cfg->ssl, cfg->suites);
}

static void order_curves(nng_tls_engine_config *cfg) {
  static const mbedtls_ecp_group_id first[] = {MBEDTLS_ECP_DP_SECP256R1, MBEDTLS_ECP_DP_CURVE25519};
  size_t n = 0, k = sizeof first / sizeof first[0];
  for (; n < k; n++) cfg->curves[n] = first[n];
  for (const mbedtls_ecp_group_id *g = mbedtls_ecp_grp_id_list(); *g != MBEDTLS_ECP_DP_NONE && n < CURVES_MOST - 1; g++)
    if (*g != first[0] && *g != first[1]) cfg->curves[n++] = *g;
  mbedtls_ssl_conf_curves(&cfg->ssl, cfg->curves);
}

static int config_init(nng_tls_engine_config *cfg, nng_tls_mode mode) {
  bool server = mode == NNG_TLS_MODE_SERVER;
  mbedtls_ssl_config_init(&cfg->ssl);
  mbedtls_x509_crt_init(&cfg->ca);
  mbedtls_x509_crl_init(&cfg->crl);
  int rv = mbedtls_ssl_config_defaults(&cfg->ssl, server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                       MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT);
  if (rv == 0) rv = mbedtls_ssl_conf_max_frag_len(&cfg->ssl, MBEDTLS_SSL_MAX_FRAG_LEN_2048);
  if (rv != 0) {
    mbedtls_ssl_config_free(&cfg->ssl);
    return error_of(rv);
  }
  order_suites(cfg);
  order_curves(cfg);
  mbedtls_ssl_conf_authmode(&cfg->ssl, server ? MBEDTLS_SSL_VERIFY_NONE : MBEDTLS_SSL_VERIFY_REQUIRED);
  mbedtls_ssl_conf_min_version(&cfg->ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
  mbedtls_ssl_conf_max_version(&cfg->ssl, MBEDTLS_SSL_MAJOR_VERSION_3, MBEDTLS_SSL_MINOR_VERSION_3);
  if (!server) mbedtls_ssl_conf_session_tickets(&cfg->ssl, MBEDTLS_SSL_SESSION_TICKETS_DISABLED);
  mbedtls_ssl_conf_rng(&cfg->ssl, net__random, NULL);
  return 0;
}

static void own_free(own *o) {
  mbedtls_x509_crt_free(&o->chain);
  mbedtls_pk_free(&o->key);
  free(o);
}

static void config_fini(nng_tls_engine_config *cfg) {
  mbedtls_ssl_config_free(&cfg->ssl);
  mbedtls_x509_crt_free(&cfg->ca);
  mbedtls_x509_crl_free(&cfg->crl);
  free(cfg->server_name);
  while (cfg->owns != NULL) {
    own *o = cfg->owns;
    cfg->owns = o->next;
    own_free(o);
  }
}

/* Besides what mbedTLS verifies: a CA may have certified others for the same name. */
static int is_pinned(void *config, mbedtls_x509_crt *crt, int depth, uint32_t *flags) {
  const nng_tls_engine_config *cfg = config;
  uint8_t found[HATO__FINGERPRINT_BYTES];
  if (depth > 0) return 0;
  if (mbedtls_sha256_ret(crt->raw.p, crt->raw.len, found, 0) != 0 ||
      mbedtls_ct_memcmp(found, cfg->fingerprint, sizeof found) != 0)
    *flags |= MBEDTLS_X509_BADCERT_OTHER;
  return 0;
}

/* What NNG has no setting for comes with the name (tls.h); no host's name has a colon and that many digits. */
static int config_server(nng_tls_engine_config *cfg, const char *name) {
  const char *pin = strrchr(name, NET__PIN_MARK);
  cfg->pinned = pin != NULL && hato__unhex(cfg->fingerprint, sizeof cfg->fingerprint, pin + 1);
  mbedtls_ssl_conf_verify(&cfg->ssl, cfg->pinned ? is_pinned : NULL, cfg);
  char *copy = cfg->pinned ? strndup(name, (size_t)(pin - name)) : strdup(name);
  if (copy == NULL) return NNG_ENOMEM;
  free(cfg->server_name);
  cfg->server_name = copy;
  return 0;
}

static int config_auth(nng_tls_engine_config *cfg, nng_tls_auth_mode mode) {
  static const int modes[] = {[NNG_TLS_AUTH_MODE_NONE] = MBEDTLS_SSL_VERIFY_NONE,
                              [NNG_TLS_AUTH_MODE_OPTIONAL] = MBEDTLS_SSL_VERIFY_OPTIONAL,
                              [NNG_TLS_AUTH_MODE_REQUIRED] = MBEDTLS_SSL_VERIFY_REQUIRED};
  if ((unsigned)mode >= sizeof modes / sizeof modes[0]) return NNG_EINVAL;
  mbedtls_ssl_conf_authmode(&cfg->ssl, modes[mode]);
  return 0;
}

static int config_ca_chain(nng_tls_engine_config *cfg, const char *certs, const char *crl) {
  int rv = mbedtls_x509_crt_parse(&cfg->ca, (const uint8_t *)certs, strlen(certs) + 1);
  if (rv == 0 && crl != NULL) rv = mbedtls_x509_crl_parse(&cfg->crl, (const uint8_t *)crl, strlen(crl) + 1);
  if (rv != 0) return rv < 0 ? error_of(rv) : NNG_ECRYPTO;
  mbedtls_ssl_conf_ca_chain(&cfg->ssl, &cfg->ca, &cfg->crl);
  return 0;
}

/* mbedTLS keeps with an EC key, on its first use, a table that it guards by no lock: so that is here. */
static int use_once(mbedtls_pk_context *key) {
  uint8_t hash[32] = {0}, sig[MBEDTLS_PK_SIGNATURE_MAX_SIZE];
  size_t n = 0;
  return mbedtls_pk_sign(key, MBEDTLS_MD_SHA256, hash, sizeof hash, sig, &n, net__random, NULL);
}

static int config_own_cert(nng_tls_engine_config *cfg, const char *cert, const char *key, const char *pass) {
  own *o = calloc(1, sizeof *o);
  if (o == NULL) return NNG_ENOMEM;
  mbedtls_x509_crt_init(&o->chain);
  mbedtls_pk_init(&o->key);
  int rv = mbedtls_x509_crt_parse(&o->chain, (const uint8_t *)cert, strlen(cert) + 1);
  if (rv == 0)
    rv = mbedtls_pk_parse_key(&o->key, (const uint8_t *)key, strlen(key) + 1, (const uint8_t *)pass,
                              pass != NULL ? strlen(pass) : 0);
  if (rv == 0) rv = use_once(&o->key);
  if (rv == 0) rv = mbedtls_ssl_conf_own_cert(&cfg->ssl, &o->chain, &o->key);
  if (rv != 0) {
    own_free(o);
    return rv < 0 ? error_of(rv) : NNG_ECRYPTO;
  }
  o->next = cfg->owns;
  cfg->owns = o;
  return 0;
}

static int config_version(nng_tls_engine_config *cfg, nng_tls_version low, nng_tls_version high) {
  if (low > high || low < NNG_TLS_1_0 || low > NNG_TLS_1_2 || high > NNG_TLS_1_3) return NNG_ENOTSUP;
  int top = high > NNG_TLS_1_2 ? NNG_TLS_1_2 : high; /* the newest that mbedTLS 2.28 speaks */
  mbedtls_ssl_conf_min_version(&cfg->ssl, MBEDTLS_SSL_MAJOR_VERSION_3, (int)low & 0xff);
  mbedtls_ssl_conf_max_version(&cfg->ssl, MBEDTLS_SSL_MAJOR_VERSION_3, top & 0xff);
  return 0;
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
                                      .description = "mbed TLS, for hato"};

/* NNG keeps nothing but the pointer, so that it does no harm to say it again, on several threads. Configurations
 * keep the engine that they were made by. */
int net__tls_engine(void) {
  return strcmp(nng_tls_engine_name(), engine.name) == 0 ? 0 : nng_tls_engine_register(&engine);
}

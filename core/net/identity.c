/* What a dispatcher proves over TLS that it is: a certificate made for one session, or one of a CA. */
#include "net/tls.h"
#include "base/io.h"
#include "base/secret.h"
#include "base/str.h"

#include <fcntl.h>
#include <inttypes.h>
#include <mbedtls/asn1write.h>
#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pem.h>
#include <mbedtls/pkcs5.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/sha256.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define KEY_MOST 65536u         /* bytes of a key's file; in secret memory */
#define CERTIFICATES_MOST 262144u
#define PASS_MOST 1024u
#define DAY 86400
#define LIFE_DAYS 3650

static void fingerprint(uint8_t out[HATO__FINGERPRINT_BYTES], const uint8_t *der, size_t n) {
  (void)mbedtls_sha256_ret(der, n, out, 0);
}

/* ---- made ---- */

/* The same name as DNS name: what verifies looks there first. */
static int add_name(mbedtls_x509write_cert *w, const char *name) {
  uint8_t value[64];
  size_t n = strlen(name);
  value[0] = MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE;
  value[1] = (uint8_t)(n + 2);
  value[2] = MBEDTLS_ASN1_CONTEXT_SPECIFIC | MBEDTLS_X509_SAN_DNS_NAME;
  value[3] = (uint8_t)n;
  memcpy(value + 4, name, n);
  return mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                             MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, value, n + 4);
}

/* From a day ago, for hosts whose clock is late. */
static int set_validity(mbedtls_x509write_cert *w) {
  char from[32], to[32];
  time_t now = time(NULL), a = now - DAY, b = now + (time_t)LIFE_DAYS * DAY;
  struct tm t;
  strftime(from, sizeof from, "%Y%m%d%H%M%S", gmtime_r(&a, &t));
  strftime(to, sizeof to, "%Y%m%d%H%M%S", gmtime_r(&b, &t));
  return mbedtls_x509write_crt_set_validity(w, from, to);
}

/* A certificate of key by itself, at the end of out. Its length, or an error below zero. */
static int self_signed(mbedtls_pk_context *key, const char *name, uint8_t *out, size_t room) {
  mbedtls_x509write_cert w;
  mbedtls_mpi serial;
  char subject[64];
  uint8_t number[16];
  hato__random(number, sizeof number);
  number[0] = (uint8_t)((number[0] & 0x7f) | 0x40); /* positive, and of full length */
  snprintf(subject, sizeof subject, "CN=%.48s", name);
  mbedtls_x509write_crt_init(&w);
  mbedtls_mpi_init(&serial);
  mbedtls_x509write_crt_set_version(&w, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
  mbedtls_x509write_crt_set_subject_key(&w, key);
  mbedtls_x509write_crt_set_issuer_key(&w, key);
  int rv = mbedtls_mpi_read_binary(&serial, number, sizeof number);
  if (rv == 0) rv = mbedtls_x509write_crt_set_serial(&w, &serial);
  if (rv == 0) rv = mbedtls_x509write_crt_set_subject_name(&w, subject);
  if (rv == 0) rv = mbedtls_x509write_crt_set_issuer_name(&w, subject);
  if (rv == 0) rv = set_validity(&w);
  if (rv == 0) rv = mbedtls_x509write_crt_set_basic_constraints(&w, 0, -1); /* vouches for no other */
  if (rv == 0) rv = mbedtls_x509write_crt_set_key_usage(&w, MBEDTLS_X509_KU_DIGITAL_SIGNATURE);
  if (rv == 0) rv = add_name(&w, name);
  if (rv == 0) rv = mbedtls_x509write_crt_der(&w, out, room, net__random, NULL);
  mbedtls_mpi_free(&serial);
  mbedtls_x509write_crt_free(&w);
  return rv;
}

/* Secret memory for the key on its way into NNG. */
typedef struct bench {
  uint8_t der[256];
  char pem[NET__PEM_ROOM(256)];
} bench;

static int key_pem(mbedtls_pk_context *key, bench *b) {
  int n = mbedtls_pk_write_key_der(key, b->der, sizeof b->der); /* at the end */
  if (n < 0) return n;
  return net__pem_block("EC PRIVATE KEY", b->der + sizeof b->der - n, (size_t)n, b->pem) ? 0
                                                                                         : MBEDTLS_ERR_PEM_BAD_INPUT_DATA;
}

static hato_status make(net_identity *id, mbedtls_pk_context *key, bench *b, hato_error *err) {
  uint8_t der[1024], dice[8];
  char digits[2 * sizeof dice + 1];
  hato__certificate *c = &id->certificate;
  hato__random(dice, sizeof dice);
  hato__hex(digits, dice, sizeof dice);
  snprintf(c->name, sizeof c->name, "hato-%s", digits);
  int rv = mbedtls_pk_setup(key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY));
  if (rv == 0) rv = mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(*key), net__random, NULL);
  int n = rv == 0 ? self_signed(key, c->name, der, sizeof der) : rv;
  rv = n < 0 ? n : key_pem(key, b);
  if (rv != 0) return net__fail_mbedtls(err, HATO_INTERNAL, rv, "cannot make a certificate");
  const uint8_t *at = der + sizeof der - n;
  c->anchor_len = (size_t)n;
  memcpy(c->anchor, at, (size_t)n);
  fingerprint(c->fingerprint, at, (size_t)n);
  char *chain = net__pem_certificates(at, (size_t)n);
  if (chain == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for a certificate");
  hato_status st = net__tls_server(chain, b->pem, NULL, &id->tls, err);
  free(chain);
  return st;
}

static hato_status finish(net_identity *id, hato_status st, net_identity **out) {
  if (st == HATO_OK)
    *out = id;
  else
    net_identity_free(id);
  return st;
}

hato_status net_identity_make(net_identity **out, hato_error *err) {
  mbedtls_pk_context key;
  *out = NULL;
  hato__error_clear(err);
  net_identity *id = calloc(1, sizeof *id);
  bench *b = hato__secret_alloc(sizeof *b);
  mbedtls_pk_init(&key);
  hato_status st = id != NULL && b != NULL ? make(id, &key, b, err)
                                           : hato__fail(err, HATO_NO_MEMORY, "no memory for a certificate");
  mbedtls_pk_free(&key); /* wipes it */
  hato__secret_free(b, sizeof *b);
  return finish(id, st, out);
}

/* ---- read ---- */

typedef struct reading {
  const net_identity_files *f;
  char *key; /* PEM, KEY_MOST bytes; and pass, PASS_MOST: secret memory */
  char *pass;
  bool asked;
  hato__buf chain;
  mbedtls_x509_crt certificates, ca;
  mbedtls_pk_context pk;
} reading;

static hato_status read_key_file(const char *path, char *text, hato_error *err) {
  /* O_NONBLOCK: a fifo in its place must not hang us. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return hato__fail_errno(err, "cannot open the key %s", path);
  struct stat file;
  hato_status st = hato__check_secret_file(fd, "the key ", path, &file, err);
  if (st == HATO_OK && file.st_size >= (off_t)KEY_MOST)
    st = hato__fail(err, HATO_TOO_LARGE, "the key %s has %jd bytes, want less than %u", path, (intmax_t)file.st_size, KEY_MOST);
  if (st == HATO_OK && hato__read_upto(fd, text, KEY_MOST - 1, false) < 0)
    st = hato__fail_errno(err, "cannot read the key %s", path);
  close(fd);
  return st;
}

/* All that is after the first error is passed over. */
static int parse_key(reading *r) {
  mbedtls_pk_free(&r->pk);
  mbedtls_pk_init(&r->pk);
  return mbedtls_pk_parse_key(&r->pk, (const unsigned char *)r->key, strlen(r->key) + 1,
                              r->asked ? (const unsigned char *)r->pass : NULL, r->asked ? strlen(r->pass) : 0);
}

static hato_status read_key(reading *r, hato_error *err) {
  const char *path = r->f->key;
  hato_status st = read_key_file(path, r->key, err);
  if (st != HATO_OK) return st;
  if (strstr(r->key, "-----BEGIN ") == NULL || strstr(r->key, "PRIVATE KEY-----") == NULL)
    return hato__fail(err, HATO_INVALID, "the key %s holds no private key in PEM: -----BEGIN … PRIVATE KEY-----", path);
  int rv = parse_key(r);
  if (rv == MBEDTLS_ERR_PK_PASSWORD_REQUIRED) {
    if (r->f->pass == NULL)
      return hato__fail(err, HATO_INVALID, "the key %s is encrypted, and there is no pass phrase", path);
    st = r->f->pass(r->f->pass_arg, r->pass, PASS_MOST, err);
    if (st != HATO_OK) return st;
    r->asked = true;
    rv = parse_key(r);
    if (rv == MBEDTLS_ERR_PKCS5_FEATURE_UNAVAILABLE && (rv = net__pkcs8_open(r->key, KEY_MOST, r->pass)) == 0) {
      rv = parse_key(r);
      if (rv != 0) rv = MBEDTLS_ERR_PK_PASSWORD_MISMATCH; /* one in 256 wrong ones looks right until here */
    }
  }
  if (rv == 0) return HATO_OK;
  if (r->asked && rv == MBEDTLS_ERR_PK_PASSWORD_MISMATCH)
    return hato__fail(err, HATO_PERMISSION, "the key %s: that is not its pass phrase", path);
  return net__fail_mbedtls(err, HATO_INVALID, rv, "the key %s cannot be read", path);
}

static hato_status read_certificates(const char *what, const char *path, hato__buf *text, mbedtls_x509_crt *out,
                                     hato_error *err) {
  hato_status st = hato__read_file(path, CERTIFICATES_MOST, text, err);
  if (st != HATO_OK) return st;
  char *pem = hato__buf_text(text);
  if (pem == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for %s", path);
  if (strstr(pem, "-----BEGIN CERTIFICATE-----") == NULL)
    return hato__fail(err, HATO_INVALID, "the %s %s holds no certificate in PEM: -----BEGIN CERTIFICATE-----", what, path);
  int rv = mbedtls_x509_crt_parse(out, text->data, text->len + 1);
  if (rv == 0) return HATO_OK;
  if (rv > 0)
    return hato__fail(err, HATO_INVALID, "the %s %s: %d of its certificates cannot be read", what, path, rv);
  return net__fail_mbedtls(err, HATO_INVALID, rv, "the %s %s cannot be read", what, path);
}

static void day(char out[32], const mbedtls_x509_time *t) {
  snprintf(out, 32, "%04d-%02d-%02d %02d:%02d UTC", t->year, t->mon, t->day, t->hour, t->min);
}

/* What would have every peer refuse it, whoever signed it. */
static hato_status check_leaf(const mbedtls_x509_crt *leaf, const char *path, char *name, size_t n, hato_error *err) {
  char when[32];
  if (mbedtls_x509_time_is_past(&leaf->valid_to)) {
    day(when, &leaf->valid_to);
    return hato__fail(err, HATO_INVALID, "the certificate %s expired on %s", path, when);
  }
  if (mbedtls_x509_time_is_future(&leaf->valid_from)) {
    day(when, &leaf->valid_from);
    return hato__fail(err, HATO_INVALID, "the certificate %s is not valid before %s", path, when);
  }
  if (!net__certificate_name(leaf, name, n))
    return hato__fail(err, HATO_INVALID,
                      "the certificate %s has no name that peers could look for: neither a DNS name nor, without "
                      "other names, a common name",
                      path);
  if (mbedtls_x509_crt_check_key_usage(leaf, MBEDTLS_X509_KU_DIGITAL_SIGNATURE) != 0 ||
      mbedtls_x509_crt_check_extended_key_usage(leaf, MBEDTLS_OID_SERVER_AUTH,
                                                MBEDTLS_OID_SIZE(MBEDTLS_OID_SERVER_AUTH)) != 0)
    return hato__fail(err, HATO_INVALID, "the certificate %s is not for servers: its use of keys says otherwise", path);
  return HATO_OK;
}

/* Whether who believes in that one alone believes the chain. */
static bool vouches(reading *r, const mbedtls_x509_crt *anchor, const char *name, uint32_t *flags) {
  mbedtls_x509_crt one;
  mbedtls_x509_crt_init(&one);
  bool yes = mbedtls_x509_crt_parse_der(&one, anchor->raw.p, anchor->raw.len) == 0 &&
             mbedtls_x509_crt_verify(&r->certificates, &one, NULL, name, flags, NULL, NULL) == 0;
  mbedtls_x509_crt_free(&one);
  return yes;
}

static bool self_issued(const mbedtls_x509_crt *c) {
  return c->issuer_raw.len == c->subject_raw.len && memcmp(c->issuer_raw.p, c->subject_raw.p, c->issuer_raw.len) == 0;
}

static hato_status no_anchor(reading *r, uint32_t flags, hato_error *err) {
  char why[256] = "";
  const char *path = r->f->certificate;
  if (r->f->ca == NULL && r->certificates.next == NULL && !self_issued(&r->certificates))
    return hato__fail(err, HATO_INVALID,
                      "the certificate %s stands alone and is not its own: want those of its CA behind it, or in a "
                      "file of their own",
                      path);
  mbedtls_x509_crt_verify_info(why, sizeof why, "", flags);
  why[strcspn(why, "\n")] = 0;
  return hato__fail(err, HATO_INVALID, "the certificate %s: none of those in %s vouches for it: %s", path,
                    r->f->ca != NULL ? r->f->ca : "the same file", why);
}

/* The one certificate that peers are to believe in: of the CA's file, or the next in the chain, or the only one. */
static hato_status find_anchor(reading *r, hato__certificate *c, hato_error *err) {
  uint32_t flags = 0;
  const mbedtls_x509_crt *at = r->certificates.next;
  if (r->f->ca != NULL)
    at = &r->ca;
  else if (at == NULL)
    at = self_issued(&r->certificates) ? &r->certificates : NULL;
  while (at != NULL && !vouches(r, at, c->name, &flags)) at = at->next;
  if (at == NULL) return no_anchor(r, flags, err);
  if (at->raw.len > sizeof c->anchor)
    return hato__fail(err, HATO_TOO_LARGE,
                      "the certificate of the CA behind %s has %zu bytes, at most %zu fit into a credential",
                      r->f->certificate, at->raw.len, sizeof c->anchor);
  c->anchor_len = at->raw.len;
  memcpy(c->anchor, at->raw.p, at->raw.len);
  return HATO_OK;
}

static hato_status load(reading *r, net_identity *id, hato_error *err) {
  hato__certificate *c = &id->certificate;
  const mbedtls_x509_crt *leaf = &r->certificates;
  hato__buf ca = {0};
  hato_status st = read_certificates("certificate", r->f->certificate, &r->chain, &r->certificates, err);
  if (st == HATO_OK) st = check_leaf(leaf, r->f->certificate, c->name, sizeof c->name, err);
  if (st == HATO_OK && r->f->ca != NULL) st = read_certificates("CA's certificate", r->f->ca, &ca, &r->ca, err);
  hato__buf_free(&ca);
  if (st == HATO_OK) st = find_anchor(r, c, err);
  if (st == HATO_OK) st = read_key(r, err);
  if (st != HATO_OK) return st;
  fingerprint(c->fingerprint, leaf->raw.p, leaf->raw.len);
  if (mbedtls_pk_check_pair(&leaf->pk, &r->pk) != 0)
    return hato__fail(err, HATO_INVALID, "the key %s is not that of the certificate %s", r->f->key, r->f->certificate);
  return net__tls_server((const char *)r->chain.data, r->key, r->asked ? r->pass : NULL, &id->tls, err);
}

hato_status net_identity_load(const net_identity_files *f, net_identity **out, hato_error *err) {
  reading r = {.f = f};
  *out = NULL;
  hato__error_clear(err);
  if (f->certificate == NULL || f->key == NULL)
    return hato__fail(err, HATO_INVALID, "a certificate and its key go together: %s is missing",
                      f->certificate == NULL ? "the certificate" : "the key");
  net_identity *id = calloc(1, sizeof *id);
  r.key = hato__secret_alloc(KEY_MOST);
  r.pass = hato__secret_alloc(PASS_MOST);
  mbedtls_x509_crt_init(&r.certificates);
  mbedtls_x509_crt_init(&r.ca);
  mbedtls_pk_init(&r.pk);
  hato_status st = id != NULL && r.key != NULL && r.pass != NULL
                       ? load(&r, id, err)
                       : hato__fail(err, HATO_NO_MEMORY, "no memory for a certificate");
  mbedtls_pk_free(&r.pk);
  mbedtls_x509_crt_free(&r.ca);
  mbedtls_x509_crt_free(&r.certificates);
  hato__buf_free(&r.chain);
  hato__secret_free(r.pass, PASS_MOST);
  hato__secret_free(r.key, KEY_MOST);
  return finish(id, st, out);
}

const hato__certificate *net_identity_certificate(const net_identity *id) { return &id->certificate; }
const char *net_identity_name(const net_identity *id) { return id->certificate.name; }
const uint8_t *net_identity_fingerprint(const net_identity *id) { return id->certificate.fingerprint; }
const uint8_t *net_identity_anchor(const net_identity *id, size_t *n) {
  *n = id->certificate.anchor_len;
  return id->certificate.anchor;
}

void net_identity_free(net_identity *id) {
  if (id == NULL) return;
  if (id->tls != NULL) nng_tls_config_free(id->tls);
  free(id);
}

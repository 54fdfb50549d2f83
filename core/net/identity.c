/* What a dispatcher proves over TLS that it is: a certificate made for one session, or one of a CA. */
#include "net/tls.h"
#include "base/io.h"
#include "base/secret.h"
#include "base/str.h"

#include <fcntl.h>
#include <inttypes.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
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

/* Whom peers are to believe in. False: its DER does not fit. */
static bool set_anchor(hato__certificate *c, X509 *anchor, int *n) {
  unsigned char *at = c->anchor;
  *n = i2d_X509(anchor, NULL);
  if (*n <= 0 || (size_t)*n > sizeof c->anchor) return false;
  c->anchor_len = (size_t)i2d_X509(anchor, &at);
  return true;
}

/* ---- made ---- */

static bool extend(X509 *x, int what, const char *value) {
  X509V3_CTX ctx;
  X509V3_set_ctx(&ctx, x, x, NULL, NULL, 0);
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, &ctx, what, value);
  bool ok = e != NULL && X509_add_ext(x, e, -1);
  X509_EXTENSION_free(e);
  return ok;
}

/* A certificate of key by itself, which vouches for no other. The name stands there as DNS name, too: what verifies
 * looks there first. Valid from a day ago, for hosts whose clock is late. */
static X509 *self_signed(EVP_PKEY *key, const char *name) {
  char dns[64];
  uint8_t number[16];
  X509 *x = X509_new_ex(net__openssl(), NULL);
  if (x == NULL) return NULL;
  snprintf(dns, sizeof dns, "DNS:%s", name);
  hato__random(number, sizeof number);
  number[0] = (uint8_t)((number[0] & 0x7f) | 0x40); /* positive, and of full length */
  if (X509_set_version(x, X509_VERSION_3) && ASN1_STRING_set(X509_get_serialNumber(x), number, sizeof number) &&
      X509_gmtime_adj(X509_getm_notBefore(x), -DAY) &&
      X509_time_adj_ex(X509_getm_notAfter(x), LIFE_DAYS, 0, NULL) &&
      X509_NAME_add_entry_by_txt(X509_get_subject_name(x), "CN", MBSTRING_ASC, (const uint8_t *)name, -1, -1, 0) &&
      X509_set_issuer_name(x, X509_get_subject_name(x)) && X509_set_pubkey(x, key) &&
      extend(x, NID_basic_constraints, "critical,CA:FALSE") &&
      extend(x, NID_key_usage, "critical,digitalSignature") && extend(x, NID_subject_alt_name, dns) &&
      X509_sign(x, key, EVP_sha256()) > 0)
    return x;
  X509_free(x);
  return NULL;
}

static hato_status make(net_identity *id, net__tls_own *own, hato_error *err) {
  uint8_t dice[8];
  char digits[2 * sizeof dice + 1];
  int n;
  hato__certificate *c = &id->certificate;
  hato__random(dice, sizeof dice);
  hato__hex(digits, dice, sizeof dice);
  snprintf(c->name, sizeof c->name, "hato-%s", digits);
  own->key = net__openssl() != NULL ? EVP_PKEY_Q_keygen(net__openssl(), NULL, "EC", "P-256") : NULL;
  own->leaf = own->key != NULL ? self_signed(own->key, c->name) : NULL;
  if (own->leaf == NULL || !set_anchor(c, own->leaf, &n) || !net__fingerprint(c->fingerprint, own->leaf))
    return net__fail_openssl(err, HATO_INTERNAL, "cannot make a certificate");
  return net__tls_server(own, &id->tls, err);
}

/* What NNG's configuration keeps of it is counted. */
static void own_free(net__tls_own *own) {
  net__certificates_free(own->rest);
  X509_free(own->leaf);
  EVP_PKEY_free(own->key);
}

static hato_status finish(net_identity *id, hato_status st, net_identity **out) {
  if (st == HATO_OK)
    *out = id;
  else
    net_identity_free(id);
  return st;
}

hato_status net_identity_make(net_identity **out, hato_error *err) {
  net__tls_own own = {0};
  *out = NULL;
  hato__error_clear(err);
  net__openssl_hides_keys();
  net_identity *id = calloc(1, sizeof *id);
  hato_status st = id != NULL ? make(id, &own, err) : hato__fail(err, HATO_NO_MEMORY, "no memory for a certificate");
  own_free(&own);
  return finish(id, st, out);
}

/* ---- read ---- */

typedef struct reading {
  const net_identity_files *f;
  char *key; /* PEM, KEY_MOST bytes; and pass, PASS_MOST: secret memory */
  char *pass;
  bool asked;
  hato_status answered; /* to that */
  hato_error *err;
  net__tls_own own; /* rest: of the certificate's file */
  STACK_OF(X509) *ca;
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

/* OpenSSL asks when the key is encrypted, perhaps more than once. */
static int pass_phrase(char *buf, int n, int writing, void *arg) {
  reading *r = arg;
  (void)writing;
  if (!r->asked && r->f->pass == NULL)
    r->answered = hato__fail(r->err, HATO_INVALID, "the key %s is encrypted, and there is no pass phrase", r->f->key);
  else if (!r->asked)
    r->answered = r->f->pass(r->f->pass_arg, r->pass, PASS_MOST, r->err);
  r->asked = true;
  size_t len = strlen(r->pass);
  if (r->answered != HATO_OK || len > (size_t)n) return -1;
  memcpy(buf, r->pass, len);
  return (int)len;
}

/* A wrong pass phrase comes as one of many errors: of the padding, or of what is no key then. */
static bool is_unsupported(void) {
  for (unsigned long e; (e = ERR_get_error()) != 0;)
    if (ERR_GET_REASON(e) == ERR_R_UNSUPPORTED && ERR_GET_LIB(e) == ERR_LIB_EVP) return true;
  return false;
}

static hato_status read_key(reading *r) {
  const char *path = r->f->key;
  hato_status st = read_key_file(path, r->key, r->err);
  if (st != HATO_OK) return st;
  if (strstr(r->key, "-----BEGIN ") == NULL || strstr(r->key, "PRIVATE KEY-----") == NULL)
    return hato__fail(r->err, HATO_INVALID, "the key %s holds no private key in PEM: -----BEGIN … PRIVATE KEY-----", path);
  ERR_clear_error();
  BIO *in = BIO_new_mem_buf(r->key, -1);
  r->own.key = in != NULL ? PEM_read_bio_PrivateKey_ex(in, NULL, pass_phrase, r, net__openssl(), NULL) : NULL;
  BIO_free(in);
  if (r->own.key != NULL) return HATO_OK;
  if (r->answered != HATO_OK) return r->answered;
  if (r->asked && !is_unsupported())
    return hato__fail(r->err, HATO_PERMISSION, "the key %s: that is not its pass phrase", path);
  return net__fail_openssl(r->err, HATO_INVALID, "the key %s cannot be read", path);
}

static hato_status read_certificates(const char *what, const char *path, STACK_OF(X509) **out, hato_error *err) {
  hato__buf text = {0};
  hato_status st = hato__read_file(path, CERTIFICATES_MOST, &text, err);
  char *pem = st == HATO_OK ? hato__buf_text(&text) : NULL;
  if (st == HATO_OK && pem == NULL) st = hato__fail(err, HATO_NO_MEMORY, "no memory for %s", path);
  if (st == HATO_OK && strstr(pem, "-----BEGIN CERTIFICATE-----") == NULL)
    st = hato__fail(err, HATO_INVALID, "the %s %s holds no certificate in PEM: -----BEGIN CERTIFICATE-----", what, path);
  if (st == HATO_OK && sk_X509_num(*out = net__certificates(pem)) < 1)
    st = net__fail_openssl(err, HATO_INVALID, "the %s %s cannot be read", what, path);
  hato__buf_free(&text);
  return st;
}

static hato_status out_of_time(const char *path, const char *how, const ASN1_TIME *t, hato_error *err) {
  char when[64] = "?";
  struct tm tm;
  if (ASN1_TIME_to_tm(t, &tm)) strftime(when, sizeof when, "%Y-%m-%d %H:%M UTC", &tm);
  return hato__fail(err, HATO_INVALID, "the certificate %s %s %s", path, how, when);
}

/* The name that peers are to find: the first DNS name or, without other names, the common name. False: there is none.
 * It goes into credentials, whose parts a colon parts. */
static bool name_of(X509 *x, char *out, size_t n) {
  GENERAL_NAMES *others = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
  const ASN1_STRING *name = NULL;
  for (int i = 0; name == NULL && i < sk_GENERAL_NAME_num(others); i++) {
    const GENERAL_NAME *one = sk_GENERAL_NAME_value(others, i);
    if (one->type == GEN_DNS) name = one->d.dNSName;
  }
  int at = others == NULL ? X509_NAME_get_index_by_NID(X509_get_subject_name(x), NID_commonName, -1) : -1;
  if (at >= 0) name = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(X509_get_subject_name(x), at));
  size_t len = name != NULL ? (size_t)ASN1_STRING_length(name) : 0;
  bool ok = len > 0 && len < n;
  for (size_t i = 0; ok && i < len; i++) {
    out[i] = (char)ASN1_STRING_get0_data(name)[i];
    ok = out[i] > ' ' && out[i] < 0x7f && out[i] != ':';
  }
  out[ok ? len : 0] = 0;
  GENERAL_NAMES_free(others);
  return ok;
}

/* What would have every peer refuse it, whoever signed it. */
static hato_status check_leaf(X509 *leaf, const char *path, char *name, size_t n, hato_error *err) {
  if (X509_cmp_current_time(X509_get0_notAfter(leaf)) <= 0)
    return out_of_time(path, "expired on", X509_get0_notAfter(leaf), err);
  if (X509_cmp_current_time(X509_get0_notBefore(leaf)) > 0)
    return out_of_time(path, "is not valid before", X509_get0_notBefore(leaf), err);
  if (!name_of(leaf, name, n))
    return hato__fail(err, HATO_INVALID,
                      "the certificate %s has no name that peers could look for: neither a DNS name nor, without "
                      "other names, a common name",
                      path);
  if (X509_check_purpose(leaf, X509_PURPOSE_SSL_SERVER, 0) != 1 ||
      (X509_get_key_usage(leaf) & KU_DIGITAL_SIGNATURE) == 0)
    return hato__fail(err, HATO_INVALID, "the certificate %s is not for servers: its use of keys says otherwise", path);
  return HATO_OK;
}

/* X509_V_OK: who believes in that one alone believes the chain, as peers judge it. */
static int vouches(const reading *r, X509 *anchor, const char *name) {
  X509_STORE *store = X509_STORE_new();
  X509_STORE_CTX *s = X509_STORE_CTX_new_ex(net__openssl(), NULL);
  int why = X509_V_ERR_OUT_OF_MEM;
  if (store != NULL && s != NULL && X509_STORE_add_cert(store, anchor) &&
      X509_STORE_CTX_init(s, store, r->own.leaf, r->own.rest) && X509_STORE_CTX_set_default(s, "ssl_server") &&
      net__tls_judge(X509_STORE_CTX_get0_param(s), name))
    why = X509_verify_cert(s) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(s);
  X509_STORE_CTX_free(s);
  X509_STORE_free(store);
  ERR_clear_error();
  return why;
}

static bool self_issued(X509 *c) { return X509_NAME_cmp(X509_get_issuer_name(c), X509_get_subject_name(c)) == 0; }

static hato_status no_anchor(const reading *r, int why) {
  const char *path = r->f->certificate;
  if (r->f->ca == NULL && sk_X509_num(r->own.rest) == 0 && !self_issued(r->own.leaf))
    return hato__fail(r->err, HATO_INVALID,
                      "the certificate %s stands alone and is not its own: want those of its CA behind it, or in a "
                      "file of their own",
                      path);
  return hato__fail(r->err, HATO_INVALID, "the certificate %s: none of those in %s vouches for it: %s", path,
                    r->f->ca != NULL ? r->f->ca : "the same file", X509_verify_cert_error_string(why));
}

/* The one certificate that peers are to believe in: of the CA's file, or the next in the chain, or the only one. */
static hato_status find_anchor(reading *r, hato__certificate *c) {
  const STACK_OF(X509) *from = r->ca != NULL ? r->ca : r->own.rest;
  X509 *anchor = NULL;
  int why = X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, n = 0;
  for (int i = 0; anchor == NULL && i < sk_X509_num(from); i++)
    if ((why = vouches(r, sk_X509_value(from, i), c->name)) == X509_V_OK) anchor = sk_X509_value(from, i);
  if (r->ca == NULL && sk_X509_num(from) == 0 && self_issued(r->own.leaf) &&
      (why = vouches(r, r->own.leaf, c->name)) == X509_V_OK)
    anchor = r->own.leaf;
  if (anchor == NULL) return no_anchor(r, why);
  if (set_anchor(c, anchor, &n)) return HATO_OK;
  return hato__fail(r->err, HATO_TOO_LARGE,
                    "the certificate of the CA behind %s has %d bytes, at most %zu fit into a credential",
                    r->f->certificate, n, sizeof c->anchor);
}

static hato_status load(reading *r, net_identity *id) {
  hato__certificate *c = &id->certificate;
  const char *path = r->f->certificate;
  hato_status st = read_certificates("certificate", path, &r->own.rest, r->err);
  if (st != HATO_OK) return st;
  r->own.leaf = sk_X509_shift(r->own.rest);
  st = check_leaf(r->own.leaf, path, c->name, sizeof c->name, r->err);
  if (st == HATO_OK && r->f->ca != NULL) st = read_certificates("CA's certificate", r->f->ca, &r->ca, r->err);
  if (st == HATO_OK) st = find_anchor(r, c);
  if (st == HATO_OK) st = read_key(r);
  if (st != HATO_OK) return st;
  if (X509_check_private_key(r->own.leaf, r->own.key) != 1) {
    ERR_clear_error();
    return hato__fail(r->err, HATO_INVALID, "the key %s is not that of the certificate %s", r->f->key, path);
  }
  if (!net__fingerprint(c->fingerprint, r->own.leaf)) return hato__fail(r->err, HATO_NO_MEMORY, "no memory for a certificate");
  return net__tls_server(&r->own, &id->tls, r->err);
}

hato_status net_identity_load(const net_identity_files *f, net_identity **out, hato_error *err) {
  reading r = {.f = f, .err = err};
  *out = NULL;
  hato__error_clear(err);
  if (f->certificate == NULL || f->key == NULL)
    return hato__fail(err, HATO_INVALID, "a certificate and its key go together: %s is missing",
                      f->certificate == NULL ? "the certificate" : "the key");
  net__openssl_hides_keys();
  net_identity *id = calloc(1, sizeof *id);
  r.key = hato__secret_alloc(KEY_MOST);
  r.pass = hato__secret_alloc(PASS_MOST);
  hato_status st = id != NULL && r.key != NULL && r.pass != NULL && net__openssl() != NULL
                       ? load(&r, id)
                       : hato__fail(err, HATO_NO_MEMORY, "no memory for a certificate");
  net__certificates_free(r.ca);
  own_free(&r.own);
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

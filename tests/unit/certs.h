/* Certificates for tests, made with OpenSSL: whoever signs whom, for what names and times. */
#ifndef HATO_TESTS_CERTS_H
#define HATO_TESTS_CERTS_H

#include "unit/unit.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct cert {
  EVP_PKEY *key;
  X509 *x;
  char pem[2048], key_pem[512];
} cert;

typedef struct cert_spec {
  const char *cn;
  const char *dns;     /* NULL: without other names */
  int from, to;        /* days from now; 0, 0: from yesterday for a month */
  bool ca;
  const char *key_pem; /* a key there is already, */
  const char *pass;    /* and its pass phrase */
  const char *use;     /* of the key: the extended one; NULL: none is said */
} cert_spec;

static inline EVP_PKEY *cert_key(const cert_spec *s) {
  if (s->key_pem == NULL) return EVP_EC_gen("P-256");
  BIO *in = BIO_new_mem_buf(s->key_pem, -1);
  EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, (void *)(uintptr_t)s->pass);
  BIO_free(in);
  return key;
}

static inline void cert_extend(X509 *x, int what, const char *value) {
  X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL, what, value);
  ck_assert_ptr_nonnull(e);
  ck_assert_int_eq(X509_add_ext(x, e, -1), 1);
  X509_EXTENSION_free(e);
}

static inline void cert_text(BIO *from, char *out, size_t n) {
  int len = BIO_read(from, out, (int)n - 1);
  ck_assert_int_gt(len, 0);
  out[len] = 0;
  BIO_free(from);
}

/* Signed by another; by itself when that is NULL. */
static inline void cert_make(cert *c, const cert_spec *s, cert *signer) {
  char dns[128];
  bool month = s->from == 0 && s->to == 0;
  memset(c, 0, sizeof *c);
  c->key = cert_key(s);
  c->x = X509_new();
  ck_assert_ptr_nonnull(c->key);
  if (signer == NULL) signer = c;
  X509_set_version(c->x, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(c->x), 1000000 + rand());
  X509_time_adj_ex(X509_getm_notBefore(c->x), month ? -1 : s->from, 0, NULL);
  X509_time_adj_ex(X509_getm_notAfter(c->x), month ? 30 : s->to, 0, NULL);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(c->x), "CN", MBSTRING_UTF8, (const uint8_t *)s->cn, -1, -1, 0);
  X509_set_issuer_name(c->x, X509_get_subject_name(signer->x));
  X509_set_pubkey(c->x, c->key);
  cert_extend(c->x, NID_basic_constraints, s->ca ? "critical,CA:TRUE" : "CA:FALSE");
  snprintf(dns, sizeof dns, "DNS:%s", s->dns != NULL ? s->dns : "");
  if (s->dns != NULL) cert_extend(c->x, NID_subject_alt_name, dns);
  if (s->use != NULL) cert_extend(c->x, NID_ext_key_usage, s->use);
  ck_assert_int_gt(X509_sign(c->x, signer->key, EVP_sha256()), 0);
  BIO *pem = BIO_new(BIO_s_mem()), *key_pem = BIO_new(BIO_s_mem());
  ck_assert_int_eq(PEM_write_bio_X509(pem, c->x), 1);
  ck_assert_int_eq(PEM_write_bio_PrivateKey(key_pem, c->key, NULL, NULL, 0, NULL, NULL), 1);
  cert_text(pem, c->pem, sizeof c->pem);
  cert_text(key_pem, c->key_pem, sizeof c->key_pem);
}

static inline void cert_free(cert *c) {
  X509_free(c->x);
  EVP_PKEY_free(c->key);
}

/* A folder for their files. */
typedef struct cert_dir {
  char path[64];
  char names[16][80];
  unsigned n;
} cert_dir;

static inline void cert_dir_open(cert_dir *d) {
  memset(d, 0, sizeof *d);
  strcpy(d->path, "/tmp/hato-tls-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(d->path));
}

/* A file of these parts (NULL at most twice), and its path. */
static inline const char *cert_file(cert_dir *d, mode_t mode, const char *a, const char *b, const char *c) {
  ck_assert_uint_lt(d->n, 16);
  char *path = d->names[d->n];
  strcpy(path, d->path);
  sprintf(path + strlen(path), "/%u.pem", d->n);
  d->n++;
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fprintf(f, "%s%s%s", a, b ? b : "", c ? c : "");
  fclose(f);
  chmod(path, mode);
  return path;
}

static inline void cert_dir_close(cert_dir *d) {
  for (unsigned i = 0; i < d->n; i++) unlink(d->names[i]);
  rmdir(d->path);
}

#endif

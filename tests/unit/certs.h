/* Certificates for tests, made with mbedTLS: whoever signs whom, for what names and times. */
#ifndef HATO_TESTS_CERTS_H
#define HATO_TESTS_CERTS_H

#include "unit/unit.h"

#include "base/io.h"

#include <mbedtls/ecp.h>
#include <mbedtls/oid.h>
#include <mbedtls/pk.h>
#include <mbedtls/x509_crt.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

typedef struct cert {
  mbedtls_pk_context key;
  char cn[64];
  char pem[2048], key_pem[512];
} cert;

typedef struct cert_spec {
  const char *cn;
  const char *dns;     /* NULL: without other names */
  int from, to;        /* days from now; 0, 0: from yesterday for a month */
  bool ca;
  const char *key_pem; /* a key there is already, */
  const char *pass;    /* and its pass phrase */
} cert_spec;

static inline int cert_random(void *unused, unsigned char *out, size_t n) {
  (void)unused;
  hato__random(out, n);
  return 0;
}

static inline void cert_day(char out[32], int days) {
  time_t at = time(NULL) + (time_t)days * 86400;
  struct tm t;
  strftime(out, 32, "%Y%m%d%H%M%S", gmtime_r(&at, &t));
}

static inline void cert_dns(mbedtls_x509write_cert *w, const char *dns) {
  uint8_t value[128];
  size_t n = strlen(dns);
  value[0] = 0x30;
  value[1] = (uint8_t)(n + 2);
  value[2] = 0x82;
  value[3] = (uint8_t)n;
  memcpy(value + 4, dns, n);
  ck_assert_int_eq(mbedtls_x509write_crt_set_extension(w, MBEDTLS_OID_SUBJECT_ALT_NAME,
                                                       MBEDTLS_OID_SIZE(MBEDTLS_OID_SUBJECT_ALT_NAME), 0, value, n + 4),
                   0);
}

static inline void cert_key(cert *c, const cert_spec *s) {
  mbedtls_pk_init(&c->key);
  if (s->key_pem != NULL) {
    ck_assert_int_eq(mbedtls_pk_parse_key(&c->key, (const unsigned char *)s->key_pem, strlen(s->key_pem) + 1,
                                          (const unsigned char *)s->pass, s->pass ? strlen(s->pass) : 0),
                     0);
    return;
  }
  ck_assert_int_eq(mbedtls_pk_setup(&c->key, mbedtls_pk_info_from_type(MBEDTLS_PK_ECKEY)), 0);
  ck_assert_int_eq(mbedtls_ecp_gen_key(MBEDTLS_ECP_DP_SECP256R1, mbedtls_pk_ec(c->key), cert_random, NULL), 0);
}

/* Signed by another; by itself when that is NULL. */
static inline void cert_make(cert *c, const cert_spec *s, cert *signer) {
  mbedtls_x509write_cert w;
  mbedtls_mpi serial;
  char subject[80], issuer[80], from[32], to[32];
  memset(c, 0, sizeof *c);
  cert_key(c, s);
  snprintf(c->cn, sizeof c->cn, "%s", s->cn);
  if (signer == NULL) signer = c;
  snprintf(subject, sizeof subject, "CN=%s", c->cn);
  snprintf(issuer, sizeof issuer, "CN=%s", signer->cn);
  cert_day(from, s->from == 0 && s->to == 0 ? -1 : s->from);
  cert_day(to, s->from == 0 && s->to == 0 ? 30 : s->to);
  mbedtls_x509write_crt_init(&w);
  mbedtls_mpi_init(&serial);
  mbedtls_x509write_crt_set_version(&w, MBEDTLS_X509_CRT_VERSION_3);
  mbedtls_x509write_crt_set_md_alg(&w, MBEDTLS_MD_SHA256);
  mbedtls_x509write_crt_set_subject_key(&w, &c->key);
  mbedtls_x509write_crt_set_issuer_key(&w, &signer->key);
  ck_assert_int_eq(mbedtls_mpi_fill_random(&serial, 8, cert_random, NULL), 0);
  ck_assert_int_eq(mbedtls_x509write_crt_set_serial(&w, &serial), 0);
  ck_assert_int_eq(mbedtls_x509write_crt_set_subject_name(&w, subject), 0);
  ck_assert_int_eq(mbedtls_x509write_crt_set_issuer_name(&w, issuer), 0);
  ck_assert_int_eq(mbedtls_x509write_crt_set_validity(&w, from, to), 0);
  ck_assert_int_eq(mbedtls_x509write_crt_set_basic_constraints(&w, s->ca, -1), 0);
  if (s->dns != NULL) cert_dns(&w, s->dns);
  ck_assert_int_eq(
      mbedtls_x509write_crt_pem(&w, (unsigned char *)c->pem, sizeof c->pem, cert_random, NULL), 0);
  ck_assert_int_eq(mbedtls_pk_write_key_pem(&c->key, (unsigned char *)c->key_pem, sizeof c->key_pem), 0);
  mbedtls_mpi_free(&serial);
  mbedtls_x509write_crt_free(&w);
}

static inline void cert_free(cert *c) { mbedtls_pk_free(&c->key); }

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

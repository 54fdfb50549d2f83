/* Private keys as openssl has encrypted them since its version 3: PKCS #8 with PBES2 and AES, which mbedTLS 2.28 does
 * not read (it knows DES there). RFC 8018. */
#include "net/tls.h"
#include "base/secret.h"

#include <mbedtls/aes.h>
#include <mbedtls/asn1.h>
#include <mbedtls/base64.h>
#include <mbedtls/oid.h>
#include <mbedtls/pkcs5.h>
#include <string.h>

#define DER_MOST 16384u
#define AES_CBC "\x60\x86\x48\x01\x65\x03\x04\x01" /* and a byte for the size of the key */

typedef struct wrapped {
  mbedtls_asn1_buf salt, iv, data;
  int iterations;
  size_t key_bytes;
  mbedtls_md_type_t prf;
} wrapped;

/* Secret memory. */
typedef struct unwrapping {
  uint8_t key[32];
  uint8_t der[DER_MOST]; /* encrypted, then not */
  uint8_t plain[DER_MOST];
} unwrapping;

static bool octets(unsigned char **at, const unsigned char *end, mbedtls_asn1_buf *out) {
  if (mbedtls_asn1_get_tag(at, end, &out->len, MBEDTLS_ASN1_OCTET_STRING) != 0) return false;
  out->p = *at;
  *at += out->len;
  return true;
}

static bool sequence(unsigned char **at, const unsigned char *end, const unsigned char **inner) {
  size_t n;
  if (mbedtls_asn1_get_tag(at, end, &n, MBEDTLS_ASN1_CONSTRUCTED | MBEDTLS_ASN1_SEQUENCE) != 0) return false;
  *inner = *at + n;
  return true;
}

/* PBKDF2: salt, iterations, perhaps the length of the key, perhaps the function. */
static bool parse_kdf(wrapped *w, mbedtls_asn1_buf *params) {
  unsigned char *at = params->p;
  const unsigned char *end = params->p + params->len;
  mbedtls_asn1_buf prf, none;
  int ignored;
  if (!octets(&at, end, &w->salt) || mbedtls_asn1_get_int(&at, end, &w->iterations) != 0 || w->iterations < 1)
    return false;
  if (at < end && *at == MBEDTLS_ASN1_INTEGER && mbedtls_asn1_get_int(&at, end, &ignored) != 0) return false;
  w->prf = MBEDTLS_MD_SHA1;
  if (at == end) return true;
  return mbedtls_asn1_get_alg(&at, end, &prf, &none) == 0 && mbedtls_oid_get_md_hmac(&prf, &w->prf) == 0;
}

static bool parse_cipher(wrapped *w, const mbedtls_asn1_buf *oid, const mbedtls_asn1_buf *params) {
  w->iv = *params;
  if (oid->len != sizeof AES_CBC || memcmp(oid->p, AES_CBC, sizeof AES_CBC - 1) != 0) return false;
  switch (oid->p[sizeof AES_CBC - 1]) {
  case 0x02: w->key_bytes = 16; break;
  case 0x16: w->key_bytes = 24; break;
  case 0x2a: w->key_bytes = 32; break;
  default: return false;
  }
  return params->tag == MBEDTLS_ASN1_OCTET_STRING && params->len == 16;
}

static bool parse(wrapped *w, uint8_t *der, size_t n) {
  unsigned char *at = der;
  const unsigned char *end, *algorithm, *inner;
  mbedtls_asn1_buf oid, kdf, kdf_params, cipher, cipher_params;
  if (!sequence(&at, der + n, &end) || !sequence(&at, end, &algorithm)) return false;
  if (mbedtls_asn1_get_tag(&at, algorithm, &oid.len, MBEDTLS_ASN1_OID) != 0) return false;
  oid.p = at;
  at += oid.len;
  if (MBEDTLS_OID_CMP(MBEDTLS_OID_PKCS5_PBES2, &oid) != 0 || !sequence(&at, algorithm, &inner)) return false;
  if (mbedtls_asn1_get_alg(&at, inner, &kdf, &kdf_params) != 0 ||
      mbedtls_asn1_get_alg(&at, inner, &cipher, &cipher_params) != 0)
    return false;
  if (MBEDTLS_OID_CMP(MBEDTLS_OID_PKCS5_PBKDF2, &kdf) != 0 || !parse_kdf(w, &kdf_params) ||
      !parse_cipher(w, &cipher, &cipher_params))
    return false;
  at = (unsigned char *)algorithm;
  return octets(&at, end, &w->data) && w->data.len > 0 && w->data.len % 16 == 0;
}

static bool derive(const wrapped *w, const char *pass, uint8_t *key) {
  mbedtls_md_context_t md;
  mbedtls_md_init(&md);
  bool ok = mbedtls_md_setup(&md, mbedtls_md_info_from_type(w->prf), 1) == 0 &&
            mbedtls_pkcs5_pbkdf2_hmac(&md, (const uint8_t *)pass, strlen(pass), w->salt.p, w->salt.len,
                                      (unsigned)w->iterations, (uint32_t)w->key_bytes, key) == 0;
  mbedtls_md_free(&md);
  return ok;
}

/* The length without its padding; 0: the pass phrase is another. */
static size_t decrypt(const wrapped *w, const uint8_t *key, uint8_t *plain) {
  mbedtls_aes_context aes;
  uint8_t iv[16];
  size_t n = w->data.len;
  memcpy(iv, w->iv.p, sizeof iv);
  mbedtls_aes_init(&aes);
  bool ok = mbedtls_aes_setkey_dec(&aes, key, (unsigned)w->key_bytes * 8) == 0 &&
            mbedtls_aes_crypt_cbc(&aes, MBEDTLS_AES_DECRYPT, n, iv, w->data.p, plain) == 0;
  mbedtls_aes_free(&aes);
  uint8_t pad = ok ? plain[n - 1] : 0;
  ok = pad >= 1 && pad <= 16;
  for (size_t i = 1; ok && i <= pad; i++) ok = plain[n - i] == pad;
  return ok ? n - pad : 0;
}

/* Between the lines of the block. */
static size_t decode(const char *pem, uint8_t *der) {
  static const char begin[] = "-----BEGIN ENCRYPTED PRIVATE KEY-----", end[] = "-----END ENCRYPTED PRIVATE KEY-----";
  const char *from = strstr(pem, begin), *to = from != NULL ? strstr(from, end) : NULL;
  size_t n = 0;
  if (to == NULL) return 0;
  from += sizeof begin - 1;
  while (*from == '\r' || *from == '\n') from++;
  return mbedtls_base64_decode(der, DER_MOST, &n, (const uint8_t *)from, (size_t)(to - from)) == 0 ? n : 0;
}

int net__pkcs8_open(char *pem, size_t room, const char *pass) {
  unwrapping *u = hato__secret_alloc(sizeof *u);
  wrapped w = {0};
  int rv = MBEDTLS_ERR_PK_ALLOC_FAILED;
  if (u == NULL) return rv;
  size_t n = decode(pem, u->der);
  rv = MBEDTLS_ERR_PK_FEATURE_UNAVAILABLE;
  if (n == 0 || !parse(&w, u->der, n) || !derive(&w, pass, u->key)) goto done;
  rv = MBEDTLS_ERR_PK_PASSWORD_MISMATCH;
  n = decrypt(&w, u->key, u->plain);
  if (n == 0) goto done;
  rv = NET__PEM_ROOM(n) <= room && net__pem_block("PRIVATE KEY", u->plain, n, pem) ? 0 : MBEDTLS_ERR_PK_ALLOC_FAILED;
done:
  hato__secret_free(u, sizeof *u);
  return rv;
}

/* TLS inside net: the configurations that NNG's streams take, and what certificates are made and read with. */
#ifndef HATO_NET_TLS_H
#define HATO_NET_TLS_H

#include "base/credential.h"
#include "net/internal.h"

#include <mbedtls/x509_crt.h>
#include <nng/supplemental/tls/tls.h>

/* The key is in tls alone: what it was read from or made in is wiped. */
struct net_identity {
  nng_tls_config *tls;
  hato__certificate certificate;
};

/* ---- engine.c ---- */
/* Has NNG make its next configurations of our engine. 0 or NNG's error. NNG is started. */
int net__tls_engine(void);

/* ---- tls.c ---- */
/* What an identity's listeners speak with. chain: PEM; key: PEM in secret memory; pass: of the key, or NULL. */
hato_status net__tls_server(const char *chain, const char *key, const char *pass, nng_tls_config **out,
                            hato_error *err);
/* For who dials: believes nobody but who holds the very certificate, and only while the anchor vouches for it by that
 * name. Its fingerprint goes to our engine behind the name and a mark, in hexadecimal digits. */
#define NET__PIN_MARK ':'
hato_status net__tls_client(const char *url, const hato__certificate *certificate, nng_tls_config **out,
                            hato_error *err);
/* Words for what a TLS handshake failed with; the connection was dialled. */
hato_status net__tls_refused(const char *url, const hato__certificate *certificate, int nng, hato_error *err);
static inline bool net__tls_failure(hato__scheme kind, int nng) {
  return hato__scheme_is_encrypted(kind) && (nng == NNG_EPEERAUTH || nng == NNG_ECRYPTO);
}

/* DER, one or several certificates behind each other, as PEM. NULL: no memory. To be freed. */
char *net__pem_certificates(const uint8_t *der, size_t n);
/* One block of PEM; out has NET__PEM_ROOM(n) bytes. False: it is no DER of that size. */
#define NET__PEM_ROOM(n) ((n) / 3 * 4 + 128)
bool net__pem_block(const char *what, const uint8_t *der, size_t n, char *out);
/* For mbedTLS: the kernel's random bytes. */
int net__random(void *unused, unsigned char *out, size_t n);
/* Appends mbedTLS's words. */
hato_status net__fail_mbedtls(hato_error *err, hato_status status, int rv, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The name that peers are to find in a certificate: its first DNS name, else its common name. False: it has none. */
bool net__certificate_name(const mbedtls_x509_crt *crt, char *out, size_t n);

/* ---- pkcs8.c ---- */
/* In the place of a key that is encrypted by PKCS #8 with AES it puts the key. 0, or an error of mbedTLS's pk. */
int net__pkcs8_open(char *pem, size_t room, const char *pass);

#endif

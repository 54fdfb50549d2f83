/* OpenSSL as net uses it: hashes, certificates as PEM has them, and its errors in words. */
#ifndef HATO_NET_CRYPTO_H
#define HATO_NET_CRYPTO_H

#include "base/error.h"

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A library context of ours, one a process, made when first asked for: what a program around us has set in its own is
 * nothing to us, nor ours to it. NULL: no memory. Any thread. */
OSSL_LIB_CTX *net__openssl(void);
/* From now on OpenSSL keeps private keys, as far as it knows which they are, in memory that no dump has. For who
 * holds one for long: it is all of the process's OpenSSL that does so. */
void net__openssl_hides_keys(void);

/* HMAC-SHA256. False, and zeros: no memory. */
bool net__hmac(uint8_t out[32], const uint8_t secret[32], const void *bytes, size_t n);
/* SHA-256 of its DER. False: no memory. */
bool net__fingerprint(uint8_t out[32], X509 *certificate);
/* All there are in a text; NULL: what begins as one cannot be read, OpenSSL has the reason. */
STACK_OF(X509) *net__certificates(const char *pem);
void net__certificates_free(STACK_OF(X509) *all);

/* Appends OpenSSL's words for what this thread's last call failed with. */
hato_status net__fail_openssl(hato_error *err, hato_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* TLS inside net: the configurations that NNG's streams take, and what certificates are made and read with. */
#ifndef HATO_NET_TLS_H
#define HATO_NET_TLS_H

#include "base/credential.h"
#include "net/crypto.h"
#include "net/internal.h"

#include <nng/supplemental/tls/tls.h>

/* The key is in tls alone. */
struct net_identity {
  nng_tls_config *tls;
  hato__certificate certificate;
};

/* ---- engine.c ---- */
/* Has NNG make its next configurations of our engine. 0 or NNG's error. NNG is started. */
int net__tls_engine(void);

/* NNG hands the texts of a configuration to its engine as they are. Where the first is this one, by its address, the
 * second is no text: of nng_tls_config_own_cert a net__tls_own, of nng_tls_config_ca_chain a hato__certificate, both
 * for the call. So keys are never written out, and what NNG has no setting for is said. */
extern const char net__tls_ours[];
typedef struct net__tls_own {
  X509 *leaf;
  STACK_OF(X509) *rest; /* NULL: none */
  EVP_PKEY *key;
} net__tls_own;

/* By what a certificate is judged, here and when it is read: it has this name, and what vouches for it need not be a
 * root. */
bool net__tls_judge(X509_VERIFY_PARAM *p, const char *name);

/* ---- tls.c ---- */
/* Whether the peer of a connection that a listener of ours accepted has begun to speak TLS. Any thread; does not block. */
bool net__tls_begun(nng_stream *s);
/* What an identity's listeners speak with. */
hato_status net__tls_server(const net__tls_own *own, nng_tls_config **out, hato_error *err);
/* For who dials: believes nobody but who holds the very certificate, and only while the anchor vouches for it by that
 * name. */
hato_status net__tls_client(const char *url, const hato__certificate *certificate, nng_tls_config **out,
                            hato_error *err);
/* Words for what a TLS handshake failed with; the connection was dialled. */
hato_status net__tls_refused(const char *url, const hato__certificate *certificate, int nng, hato_error *err);
/* What engine.c calls a handshake's failures. */
static inline bool net__tls_failure(hato__scheme kind, int nng) {
  return hato__scheme_is_encrypted(kind) && (nng == NNG_EPEERAUTH || nng == NNG_ECRYPTO || nng == NNG_ENOTSUP);
}

#endif

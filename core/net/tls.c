/* NNG's configurations for TLS, and what became of a handshake in words. */
#include "net/tls.h"
#include "base/str.h"

static int config_new(nng_tls_mode mode, nng_tls_config **out) {
  int rv = net__tls_engine();
  return rv != 0 ? rv : nng_tls_config_alloc(out, mode);
}

hato_status net__tls_server(const net__tls_own *own, nng_tls_config **out, hato_error *err) {
  nng_tls_config *tls = NULL;
  *out = NULL;
  hato_status st = net_init(err);
  if (st != HATO_OK) return st;
  int rv = config_new(NNG_TLS_MODE_SERVER, &tls); /* which asks for no certificate: peers prove themselves inside */
  if (rv == 0) rv = nng_tls_config_own_cert(tls, net__tls_ours, (const char *)(const void *)own, NULL);
  if (rv == 0) {
    *out = tls;
    return HATO_OK;
  }
  if (tls != NULL) nng_tls_config_free(tls);
  return net__fail_nng(err, rv, "a TLS configuration");
}

bool net__tls_begun(nng_stream *s) {
  bool begun = false;
  return nng_stream_get_bool(s, NNG_OPT_TLS_VERIFIED, &begun) == 0 && begun; /* what our engine makes of it */
}

hato_status net__tls_client(const char *url, const hato__certificate *certificate, nng_tls_config **out,
                            hato_error *err) {
  nng_tls_config *tls = NULL;
  *out = NULL;
  if (certificate == NULL || certificate->name[0] == 0)
    return hato__fail(err, HATO_PEER_AUTH, "%s: the credential names no certificate, so that nobody who speaks TLS "
                                           "there can be believed", url);
  int rv = config_new(NNG_TLS_MODE_CLIENT, &tls);
  if (rv == 0) rv = nng_tls_config_ca_chain(tls, net__tls_ours, (const char *)(const void *)certificate);
  if (rv == 0) {
    *out = tls;
    return HATO_OK;
  }
  if (tls != NULL) nng_tls_config_free(tls);
  if (rv == NNG_ECRYPTO)
    return hato__fail(err, HATO_INVALID, "%s: the certificate in the credential cannot be read", url);
  return net__fail_nng(err, rv, "%s", url);
}

hato_status net__tls_refused(const char *url, const hato__certificate *certificate, int nng, hato_error *err) {
  char digits[2 * HATO__FINGERPRINT_BYTES + 1];
  if (nng == NNG_ENOTSUP)
    return hato__fail(err, HATO_PROTOCOL, "%s: who answers there speaks TLS, but neither TLS 1.2 nor 1.3 with a cipher "
                                          "of ours", url);
  if (nng != NNG_EPEERAUTH)
    return hato__fail(err, HATO_PROTOCOL, "%s: who answers there does not speak TLS, or its bytes were changed on the "
                                          "way", url);
  hato__hex(digits, certificate->fingerprint, HATO__FINGERPRINT_BYTES);
  return hato__fail(err, HATO_PEER_AUTH,
                    "%s: who answers there has another certificate than the dispatcher, or one that is not valid "
                    "today; wanted %s, SHA-256 %s",
                    url, certificate->name, digits);
}

/* Starting NNG, and its errors as ours. */
#include "net/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>

hato_status net_init(hato_error *err) {
  hato__error_clear(err);
  /* NNG's threads inherit this mask: the handlers of a host never run on them. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  nng_aio *aio = NULL;
  int rv = nng_aio_alloc(&aio, NULL, NULL);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  nng_aio_free(aio);
  return rv == 0 ? HATO_OK : net__fail_nng(err, rv, "NNG does not start");
}

hato_status net__status(int nng) {
  if (nng >= 0 && nng <= NNG_EEXIST) return (hato_status)nng; /* the same numbers */
  if (nng & NNG_ESYSERR) return hato__status_of_errno(nng & ~NNG_ESYSERR);
  switch (nng) {
  case NNG_ECONNSHUT:
    return HATO_CLOSED;
  case NNG_EPEERAUTH:
  case NNG_ECRYPTO:
    return HATO_PEER_AUTH;
  case NNG_EAMBIGUOUS:
  case NNG_ENOARG:
  case NNG_EBADTYPE:
    return HATO_INVALID;
  case NNG_EINTERNAL:
    return HATO_INTERNAL;
  default:
    return HATO_SYSTEM;
  }
}

hato_status net__fail_nng(hato_error *err, int nng, const char *fmt, ...) {
  hato_status status = net__status(nng);
  if (err == NULL) return status;
  char what[sizeof err->text];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(what, sizeof what, fmt, ap) < 0) what[0] = 0;
  va_end(ap);
  return hato__fail(err, status, "%s: %s", what, nng_strerror(nng));
}

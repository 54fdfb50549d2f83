/* Finding the dispatcher of a session, or one by url, and dialling it. */
#include "client/internal.h"

#include "session/session.h"
#include <limits.h>
#include <string.h>

#define PATIENT_MS 1000u /* for a dispatcher that has just published its address */

static hato_status dial(hato_pool *p, const char *url, const net_auth *auth, const hato_pool_options *o,
                        hato_error *err) {
  unsigned timeout = (unsigned)o->connect_timeout_ms;
  p->url = hato__printf("%s", url);
  if (!p->url) return hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  return net_dial(url, PROTO_ROLE_CLIENT, auth, timeout, timeout < PATIENT_MS ? timeout : PATIENT_MS, &p->conn, err);
}

hato_status client_connect_url(hato_pool *p, const hato_pool_options *o, hato_error *err) {
  net_auth auth = {0};
  if (o->credential_file) {
    hato_status st = hato__secret_read(o->credential_file, auth.secret, err);
    if (st) return st;
    auth.have_secret = true;
  }
  hato_status st = dial(p, o->url, &auth, o, err);
  memset(&auth, 0, sizeof auth);
  return st;
}

/* A session on another host is reached over a network, where its secret is asked for. */
static hato_status dial_session(hato_pool *p, hato__session *s, const hato__address *a, const hato_pool_options *o,
                                hato_error *err) {
  char path[PATH_MAX];
  net_auth auth = {0};
  const char *url = hato__address_url(a);
  if (!url)
    return hato__fail(err, HATO_UNREACHABLE, "%s, and listens there only for local clients: run this on %s, or start it "
                      "with `hato up --listen tcp://0.0.0.0:0`", a->words, a->process.host);
  if (hato__session_path(s, "secret", path, sizeof path) && hato__secret_read(path, auth.secret, NULL) == HATO_OK)
    auth.have_secret = true;
  hato_status st = dial(p, url, &auth, o, err);
  memset(&auth, 0, sizeof auth);
  return st;
}

hato_status client_connect_session(hato_pool *p, const hato_pool_options *o, bool *none, hato_error *err) {
  hato__session *s = NULL;
  hato__address a = {0};
  *none = false;
  hato_status st = hato__session_open(o->session, false, &s, err);
  if (st == HATO_NOT_FOUND) *none = true;
  if (st) return st;
  st = hato__session_read(s, &a, err);
  if (st == HATO_OK) {
    if (a.verdict == HATO__SESSION_LIVE || a.verdict == HATO__SESSION_OTHER_HOST) {
      st = dial_session(p, s, &a, o, err);
    } else {
      *none = true;
      st = hato__fail(err, HATO_NOT_FOUND, "%s: start it with `hato up`", a.words);
    }
  }
  hato__address_free(&a);
  hato__session_close(s);
  return st;
}

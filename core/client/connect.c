/* Finding the dispatcher of a session, or one by url, and dialling it. */
#include "client/internal.h"

#include "base/url.h"
#include "session/session.h"
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define PATIENT_MS 1000u /* for a dispatcher that has just published its address */

static hato_status dial(hato_pool *p, const char *url, const net_auth *auth, const hato_pool_options *o,
                        hato_error *err) {
  unsigned timeout = (unsigned)o->connect_timeout_ms;
  p->url = hato__printf("%s", url);
  if (!p->url) return hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  return net_dial(url, PROTO_ROLE_CLIENT, auth, timeout, timeout < PATIENT_MS ? timeout : PATIENT_MS, &p->conn, err);
}

/* Of another host's addresses the first where we are admitted; where some are encrypted, of these: else who can keep
 * us from them would have us speak in the clear. */
static hato_status dial_any(hato_pool *p, const hato__address *a, const net_auth *auth, const hato_pool_options *o,
                            hato_error *err) {
  unsigned timeout = (unsigned)o->connect_timeout_ms;
  net_dialling d = {.role = PROTO_ROLE_CLIENT,
                    .auth = auth,
                    .timeout_ms = timeout,
                    .patient_ms = timeout < PATIENT_MS ? timeout : PATIENT_MS,
                    .give_up_fd = -1};
  size_t all = 0;
  while (a->urls[all]) all++;
  const char **urls = calloc(all + 1, sizeof *urls);
  if (!urls) return hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  for (int encrypted = 1; encrypted >= 0 && d.n == 0; encrypted--)
    for (size_t i = 0; i < all; i++)
      if (!hato__url_is_local(a->urls[i]) && hato__url_is_encrypted(a->urls[i]) == encrypted) urls[d.n++] = a->urls[i];
  d.urls = urls;
  hato_status st = net_dial_any(&d, &p->conn, err);
  if (!st) p->url = hato__printf("%s", net_peer_of(p->conn)->address);
  free(urls);
  return st;
}

/* Whatever is wrong with the file, it is one failure: here is no credential that can be used. */
static hato_status read_credential(const char *path, hato__credential **out, hato_error *err) {
  hato_error why = {0};
  hato_status st = hato__credential_read(path, out, &why);
  if (!st && !(st = hato__credential_check(*out, HATO__ROLE_CLIENT, path, &why))) return HATO_OK;
  hato__credential_free(*out);
  *out = NULL;
  return hato__fail(err, st == HATO_NO_MEMORY ? st : HATO_PERMISSION, "%s", why.text);
}

hato_status client_connect_url(hato_pool *p, const hato_pool_options *o, hato_error *err) {
  hato__credential *k = NULL;
  hato_status st = o->credential_file ? read_credential(o->credential_file, &k, err) : HATO_OK;
  if (!st) st = dial(p, o->url, &(net_auth){.credential = k}, o, err);
  hato__credential_free(k);
  return st;
}

/* A session on another host is reached over a network, where its credential is asked for. */
static hato_status dial_session(hato_pool *p, hato__session *s, const hato__address *a, const hato_pool_options *o,
                                hato_error *err) {
  char path[PATH_MAX];
  hato__credential *k = NULL;
  const char *url = hato__address_url(a);
  if (!url)
    return hato__fail(err, HATO_UNREACHABLE, "%s, and listens there only for local clients: run this on %s, or start it "
                      "with `hato up --listen tls+tcp://0.0.0.0:0`", a->words, a->process.host);
  if (a->verdict != HATO__SESSION_OTHER_HOST) return dial(p, url, &(net_auth){0}, o, err);
  hato_status st = hato__session_path(s, HATO__CLIENT_CREDENTIAL, path, sizeof path)
                       ? read_credential(path, &k, err)
                       : hato__fail(err, HATO_INVALID, "the session's folder has too long a path");
  if (!st) st = dial_any(p, a, &(net_auth){.credential = k}, o, err);
  hato__credential_free(k);
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

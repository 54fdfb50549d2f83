/* The session's secret: from a file, standard input or the environment, never from
 * an argument list. */
#include "base/error.h"
#include "base/str.h"
#include "daemon/state.h"
#include "session/session.h"
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static hato_status of_text(const char *text, const char *where, net_auth *auth, hato_error *err) {
  char hex[65];
  while (isspace((unsigned char)*text)) text++;
  size_t n = strcspn(text, " \t\r\n");
  if (n == 64 && text[n + strspn(text + n, " \t\r\n")] == '\0') {
    memcpy(hex, text, 64);
    hex[64] = '\0';
    if (hato__unhex(auth->secret, sizeof auth->secret, hex)) {
      auth->have_secret = true;
      return HATO_OK;
    }
  }
  return hato__fail(err, HATO_INVALID, "the credential of %s is not 64 hexadecimal digits", where);
}

static hato_status of_input(net_auth *auth, hato_error *err) {
  char text[256] = "";
  size_t len = 0;
  while (len < sizeof text - 1 && !memchr(text, '\n', len)) {
    ssize_t n = read(STDIN_FILENO, text + len, sizeof text - 1 - len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return hato__fail_errno(err, "the credential of standard input");
    if (n == 0) break;
    len += (size_t)n;
  }
  text[len] = '\0';
  return of_text(text, "standard input", auth, err);
}

hato_status daemon_credential(const daemon_options *o, net_auth *auth, hato_error *err) {
  *auth = (net_auth){0};
  if (!o->credential) {
    bool local = true; /* a dispatcher of this machine needs none, whatever lies in our environment */
    for (size_t i = 0; i < o->n_urls; i++) local = local && hato__url_is_local(o->urls[i]) && strncmp(o->urls[i], "tcp", 3) != 0;
    const char *text = local ? NULL : getenv("HATO_CREDENTIAL");
    return text && *text ? of_text(text, "HATO_CREDENTIAL", auth, err) : HATO_OK;
  }
  if (strcmp(o->credential, "-") == 0) return of_input(auth, err);
  hato_status rc = hato__secret_read(o->credential, auth->secret, err);
  auth->have_secret = rc == HATO_OK;
  return rc == HATO_NOT_FOUND ? HATO_AGAIN : rc; /* NFS caches absence */
}

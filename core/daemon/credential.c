/* The daemon's credential: from a file, standard input or the environment, never from
 * an argument list. */
#include "base/error.h"
#include "base/io.h"
#include "base/secret.h"
#include "daemon/state.h"
#include "session/session.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Up to the end of a line: who hands it over may keep the other end open. */
static hato_status of_input(const char *where, hato__credential **out, hato_error *err) {
  char *text = hato__secret_alloc(HATO__CREDENTIAL_TEXT);
  if (!text) return hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  ssize_t n = hato__read_upto(STDIN_FILENO, text, HATO__CREDENTIAL_TEXT, true);
  hato_status st = n < 0 ? hato__fail_errno(err, "the credential of %s", where)
                         : hato__credential_parse(text, (size_t)n, where, out, err);
  hato__secret_free(text, HATO__CREDENTIAL_TEXT);
  return st;
}

static hato_status of_environment(const char *where, hato__credential **out, hato_error *err) {
  const char *text = getenv(where);
  if (!text || !*text) return HATO_OK;
  return hato__credential_parse(text, strlen(text), where, out, err);
}

hato_status daemon_credential(const daemon_options *o, hato__credential **out, hato_error *err) {
  const char *where = o->credential;
  hato_status rc;
  *out = NULL;
  if (!where)
    rc = of_environment(where = "HATO_CREDENTIAL", out, err);
  else if (strcmp(where, "-") == 0)
    rc = of_input(where = "standard input", out, err);
  else
    rc = hato__credential_read(where, out, err);
  if (rc == HATO_OK && *out && (rc = hato__credential_check(*out, HATO__ROLE_DAEMON, where, err)) != HATO_OK) {
    hato__credential_free(*out);
    *out = NULL;
  }
  return rc == HATO_NOT_FOUND ? HATO_AGAIN : rc; /* NFS caches absence */
}

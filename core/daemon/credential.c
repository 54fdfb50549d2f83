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
static hato_status of_input(hato__credential **out, hato_error *err) {
  char *text = hato__secret_alloc(HATO__CREDENTIAL_TEXT);
  if (!text) return hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  ssize_t n = hato__read_upto(STDIN_FILENO, text, HATO__CREDENTIAL_TEXT, true);
  hato_status st = n < 0 ? hato__fail_errno(err, "the credential of standard input")
                         : hato__credential_parse(text, (size_t)n, "standard input", out, err);
  hato__secret_free(text, HATO__CREDENTIAL_TEXT);
  return st;
}

static hato_status of_environment(hato__credential **out, hato_error *err) {
  const char *text = getenv("HATO_CREDENTIAL");
  if (!text || !*text) return HATO_OK;
  return hato__credential_parse(text, strlen(text), "HATO_CREDENTIAL", out, err);
}

hato_status daemon_credential(const daemon_options *o, hato__credential **out, hato_error *err) {
  *out = NULL;
  if (!o->credential) return of_environment(out, err);
  if (strcmp(o->credential, "-") == 0) return of_input(out, err);
  hato_status rc = hato__credential_read(o->credential, out, err);
  return rc == HATO_NOT_FOUND ? HATO_AGAIN : rc; /* NFS caches absence */
}

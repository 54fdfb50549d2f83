/* The text of a credential, from a file, standard input or a variable: what is taken is written as it was, but for
 * blanks around it and letters' case, and what is amiss is said without saying what it is. */
#include "base/credential.h"
#include "base/error.h"
#include "fuzz/fuzz.h"

#include <ctype.h>
#include <stdbool.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  hato__credential *c = NULL, *again = NULL;
  hato_error err = {0};
  hato_status st = hato__credential_parse((const char *)data, size, "the file", &c, &err);
  if (st != HATO_OK) {
    require(st == HATO_INVALID && c == NULL && strncmp(err.text, "the file", 8) == 0);
    for (const char *s = err.text; *s != 0; s++) require(isprint((unsigned char)*s));
    return 0;
  }
  char text[HATO__CREDENTIAL_TEXT];
  const hato__certificate *k = &c->certificate;
  require(c->role == HATO__ROLE_CLIENT || c->role == HATO__ROLE_DAEMON);
  require((k->name[0] != 0) == (k->anchor_len > 0) && k->anchor_len <= HATO__ANCHOR_MAX);
  hato__credential_text(c, text);
  size_t n = strlen(text);
  require(n < HATO__CREDENTIAL_TEXT && n <= size);
  require(hato__credential_parse(text, n, "the file", &again, &err) == HATO_OK);
  require(memcmp(c, again, sizeof *c) == 0);
  hato__credential_free(c);
  hato__credential_free(again);
  return 0;
}

/* URLs that people name, that stand in a session's address, and that a dispatcher hands to its daemons: what one
 * reader takes, the others understand alike. */
#include "dispatcher/where.c"
#include "net/internal.h"

#include "fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  char *url = fuzz_text(data, size);
  hato__scheme kind;
  hato_error err = {0};
  place p;
  hato_status st = net__url_check(url, &kind, &err);
  bool local = hato__url_is_local(url), parsed = parse(url, &p);
  require(st == HATO_OK || (st == HATO_ADDRESS_INVALID && err.text[0] != 0));
  if (st == HATO_OK && kind == HATO__SCHEME_SOCKET) require(local && !parsed);
  if (st == HATO_OK && kind != HATO__SCHEME_SOCKET) {
    st = net__url_names_port(url, kind, &err);
    require(st == HATO_OK || st == HATO_ADDRESS_INVALID);
    /* With a port it has the parts that daemons' urls are made of. */
    if (st == HATO_OK && strlen(url) < 200) {
      require(parsed && *p.rest == ':' && p.encrypted == hato__scheme_is_encrypted(kind));
      const char *digits = p.rest + 1;
      size_t n = strspn(digits, "0123456789");
      require(n > 0 && n <= 5 && atoi(digits) > 0 && atoi(digits) <= 65535 && (digits[n] == 0 || digits[n] == '/'));
    }
  }
  if (parsed) {
    char *again = hato__printf("%s://%s%s", p.scheme, p.host, p.rest);
    require(again != NULL && strcmp(again, url) == 0);
    free(again);
  }
  free(url);
  return 0;
}

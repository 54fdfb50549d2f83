/* Lists of hosts for the launcher ssh: node[01-16],ssh://user@host:2222,[::1]. Whatever is accepted is fit to stand
 * on the command line of the client, and read again one by one it is the same hosts. An input is lists, parted by
 * zero bytes. */
#include "fuzz/host.h"
#include "ssh/ssh.h"

#include <ctype.h>

static void check_word(const char *s) {
  require(*s != 0 && *s != '-');
  for (; *s != 0; s++) require(isgraph((unsigned char)*s) && strchr("'\"`$;&|<>()*?#~!{}", *s) == NULL);
}

static bool same(const char *a, const char *b) { return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0; }

/* One of many: a list of a hundred thousand is not read a hundred thousand times. */
static void read_again(fuzz_host *f, const ssh_host *h) {
  const char *const one[] = {h->text, NULL};
  const fuzz_option options[] = {{.name = "host", .list = one}, {.name = NULL}};
  const fuzz_option *before = f->options;
  ssh_hosts again;
  f->options = options;
  require(ssh_hosts_read(&f->host, NULL, &again) == HATO_OK && again.n == 1);
  require(same(again.hosts[0].name, h->name) && same(again.hosts[0].user, h->user) && same(again.hosts[0].port, h->port));
  ssh_hosts_free(&again);
  f->options = before;
}

/* At most so many hosts, roughly: the limit of a launch is a unit test's, and takes its time. */
static bool modest(const uint8_t *data, size_t size) {
  double hosts = 1;
  for (size_t i = 0, run = 0, inside = 0, longest = 0; i < size; i++) {
    if (data[i] == '[') inside++;
    run = isdigit(data[i]) ? run + 1 : 0;
    if (inside > 0 && run > longest) longest = run;
    if (data[i] != ']' && i + 1 < size) continue;
    for (; longest > 0; longest--) hosts *= 10;
  }
  return hosts <= 2000;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  enum { MOST = 8 };
  const char *lists[MOST + 1] = {NULL};
  char *room;
  fuzz_host f;
  ssh_hosts hosts;
  if (!modest(data, size)) return 0;
  fuzz_host_begin(&f);
  (void)fuzz_texts(data, size, lists, MOST, &room);
  const fuzz_option options[] = {{.name = "host", .list = lists}, {.name = NULL}};
  f.options = options;
  int rc = ssh_hosts_read(&f.host, NULL, &hosts);
  if (rc != HATO_OK) require((rc == HATO_INVALID || rc == HATO_TOO_LARGE) && f.words[0] != 0 && hosts.hosts == NULL);
  uint32_t listings = 0;
  for (uint32_t i = 0; i < hosts.n; i++) {
    const ssh_host *h = &hosts.hosts[i];
    check_word(h->name);
    if (h->user != NULL) check_word(h->user);
    require(h->port == NULL || (atoi(h->port) >= 1 && atoi(h->port) <= 65535 && strlen(h->port) == strspn(h->port, "0123456789")));
    require(h->listings >= 1);
    listings += h->listings;
    if (i < 4) read_again(&f, h);
  }
  require(listings == hosts.listings && listings <= HATO_LAUNCH_MAX);
  ssh_hosts_free(&hosts);
  free(room);
  fuzz_host_end(&f);
  return 0;
}

/* `hato status --security`: what listens where, with what method, and who is connected. */
#include "cli/security.h"
#include "cli/table.h"

#include "base/clock.h"
#include "base/url.h"

#include <string.h>

static bool yes(const json_t *o, const char *key) { return json_is_true(json_object_get(o, key)); }
static bool is(const json_t *o, const char *key, const char *value) { return strcmp(cli_text(o, key), value) == 0; }

static const char *since(const json_t *o, char *out, size_t n) {
  return cli_seconds((double)hato__wall_now() / 1e9 - json_number_value(json_object_get(o, "since")), out, n);
}

/* ---- listeners ---- */

const char *cli_encryption(const json_t *l) {
  return yes(l, "encrypted") ? ", encrypted" : is(l, "reach", "network") ? ", NOT ENCRYPTED" : "";
}

static const char *asked_for(const json_t *l) {
  if (yes(l, "peer_uid")) return "the same user; daemons' credentials besides";
  if (is(l, "munge", "require")) return "a credential, and MUNGE";
  return is(l, "munge", "auto") ? "a credential, and MUNGE where they have it" : "a credential";
}

static void print_listeners(const json_t *o) {
  cli_table t = {.columns = 4};
  size_t i;
  const json_t *l;
  cli_table_add(&t, "listens at");
  cli_table_add(&t, "reached from");
  cli_table_add(&t, "encrypted");
  cli_table_add(&t, "who comes proves");
  json_array_foreach(json_object_get(o, "listeners"), i, l) {
    bool beyond = is(l, "reach", "network");
    cli_table_add(&t, "%s", cli_text(l, "url"));
    cli_table_add(&t, "%s", beyond ? "networks" : "this machine");
    cli_table_add(&t, "%s", yes(l, "encrypted") ? "TLS" : beyond ? "NOT ENCRYPTED" : yes(l, "peer_uid") ? "-" : "no");
    cli_table_add(&t, "%s", asked_for(l));
  }
  printf("\n");
  cli_table_print(&t);
}

/* ---- credentials ---- */

static void credential_name(const json_t *k, char *out, size_t n) {
  if (cli_number(k, "number"))
    snprintf(out, n, "launch %lld", (long long)cli_number(k, "number"));
  else
    snprintf(out, n, "%s", cli_text(k, "role"));
}

static void add_file(cli_table *t, const json_t *k) {
  if (yes(k, "revoked"))
    cli_table_add(t, "revoked");
  else if (*cli_text(k, "file"))
    cli_table_add(t, "on file: %s", cli_text(k, "file"));
  else
    cli_table_add(t, cli_number(k, "number") ? "on no file: handed over as they started" : "on no file");
}

void cli_print_credentials(const json_t *list) {
  cli_table t = {.columns = 5};
  size_t i;
  const json_t *k;
  char name[40], s[32];
  cli_table_add(&t, "credential");
  cli_table_add(&t, "of");
  cli_table_add(&t, "since");
  cli_table_add(&t, "connected");
  cli_table_add(&t, "state");
  json_array_foreach(list, i, k) {
    credential_name(k, name, sizeof name);
    cli_table_add(&t, "%s", name);
    if (cli_number(k, "number"))
      cli_table_add(&t, "daemons by %s", cli_text(k, "launcher"));
    else
      cli_table_add(&t, "%s", is(k, "role", "client") ? "clients over networks" : "daemons by hand");
    cli_table_add(&t, "%s", since(k, s, sizeof s));
    cli_table_add(&t, "%lld", (long long)cli_number(k, "connected"));
    add_file(&t, k);
  }
  cli_table_print(&t);
}

/* ---- who is connected ---- */

static void add_who(cli_table *t, const json_t *p) {
  if (is(p, "role", "client"))
    cli_table_add(t, "client %s", cli_text(p, "label"));
  else
    cli_table_add(t, "daemon %lld on %s, process %lld", (long long)cli_number(p, "daemon"), cli_text(p, "host"),
                  (long long)cli_number(p, "pid"));
}

static void add_proof(cli_table *t, const json_t *p) {
  char credential[64] = "";
  const char *munge = yes(p, "munge") ? ", MUNGE" : "";
  bool user = yes(p, "peer_uid");
  if (yes(p, "secret") && cli_number(p, "credential"))
    snprintf(credential, sizeof credential, "the credential of launch %lld", (long long)cli_number(p, "credential"));
  else if (yes(p, "secret"))
    snprintf(credential, sizeof credential, "the %s credential", is(p, "role", "client") ? "clients'" : "daemons'");
  cli_table_add(t, "%s%s%s%s", user ? "the same user" : "", user && *credential ? ", " : "", credential, munge);
}

static void print_connected(const json_t *o) {
  cli_table t = {.columns = 5};
  size_t i;
  const json_t *p;
  char s[32];
  cli_table_add(&t, "connected");
  cli_table_add(&t, "from");
  cli_table_add(&t, "since");
  cli_table_add(&t, "encrypted");
  cli_table_add(&t, "proved");
  json_array_foreach(json_object_get(o, "connected"), i, p) {
    add_who(&t, p);
    cli_table_add(&t, "%s", cli_text(p, "address"));
    cli_table_add(&t, "%s", since(p, s, sizeof s));
    cli_table_add(&t, "%s", yes(p, "encrypted") ? "TLS" : yes(p, "local") ? "-" : hato__is_loopback(cli_text(p, "address")) ? "no" : "NOT ENCRYPTED");
    add_proof(&t, p);
  }
  printf("\n");
  cli_table_print(&t);
}

/* ---- all of it ---- */

/* Of what launched daemons dial; --listen says it itself. */
static const char *tls_words(const json_t *o) {
  if (is(o, "tls", "never")) return "only where --listen says so";
  return is(o, "tls", "always") ? "wherever launched daemons dial over a network"
                                : "wherever launched daemons dial over a network, but for this machine and ssh's tunnels";
}

static void print_munge(const json_t *m) {
  const json_t *answered = json_object_get(m, "answered");
  const char *state = !answered ? "" : json_is_true(answered) ? "; munged answers here" : "; no munged answers here";
  if (is(m, "policy", "off"))
    printf("MUNGE: not asked for\n");
  else
    printf("MUNGE: asked for over networks, %s%s\n", is(m, "policy", "require") ? "and required" : "where both ends have it",
           state);
}

int cli_print_security(cli *c, json_t *o, void *unused) {
  (void)unused;
  if (c->json) {
    cli_print_json(o);
    return CLI_OK;
  }
  const json_t *k = json_object_get(o, "certificate");
  printf("session %s on %s\n", cli_text(o, "session"), cli_text(o, "host"));
  if (json_is_object(k))
    printf("certificate: %s, %s; SHA-256 %s\n", cli_text(k, "name"),
           yes(k, "made") ? "made for this session alone" : "a CA's", cli_text(k, "fingerprint"));
  else
    printf("certificate: none yet\n");
  printf("TLS: %s\n", tls_words(o));
  print_munge(json_object_get(o, "munge"));
  print_listeners(o);
  printf("\n");
  cli_print_credentials(json_object_get(o, "credentials"));
  print_connected(o);
  return CLI_OK;
}

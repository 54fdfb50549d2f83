/* The credentials of a session: listed, renewed, revoked. */
#include "cli/security.h"
#include "cli/verbs.h"

#include <string.h>

static const hato__conf_row rows[] = {
    {.name = "credentials", .type = HATO__CONF_OPERANDS, .metavar = "WHAT", .min = 0, .max = -1,
     .help = "list, renew or revoke; then which: client, daemon, or the numbers of launches."},
};

/* ---- list ---- */

static bool is_named(const json_t *k, const char *word) {
  uint64_t n;
  if (hato__parse_u64(word, &n)) return n == (uint64_t)cli_number(k, "number");
  return cli_number(k, "number") == 0 && strcmp(word, cli_text(k, "role")) == 0;
}

/* Those that words name are appended to `list`. */
static int select_named(cli *c, json_t *all, json_t *list) {
  int code = CLI_OK;
  size_t i;
  json_t *k;
  for (size_t w = 1; w < c->n_words; w++) {
    size_t before = json_array_size(list);
    json_array_foreach(all, i, k) {
      if (is_named(k, c->words[w])) json_array_append(list, k);
    }
    if (json_array_size(list) == before)
      code = cli_fail(c, CLI_FAILED, "launch %s has no credential: it has ended, or never was", c->words[w]);
  }
  return code;
}

static int print_list(cli *c, json_t *o, void *unused) {
  size_t i;
  json_t *k, *all = json_object_get(o, "credentials"), *list = json_array();
  (void)unused;
  int code = c->n_words > 1 ? select_named(c, all, list) : CLI_OK;
  if (c->n_words <= 1) json_array_extend(list, all);
  if (c->json) {
    json_array_foreach(list, i, k) cli_print_json(k);
  } else if (json_array_size(list)) {
    cli_print_credentials(list);
  }
  json_decref(list);
  return code;
}

/* ---- renew, revoke ---- */

static int print_changed(cli *c, json_t *o, void *unused) {
  char whose[64];
  long long gone = (long long)cli_number(o, "sent_away"), stay = (long long)cli_number(o, "connected");
  (void)unused;
  if (c->json) {
    cli_print_json(o);
    return CLI_OK;
  }
  if (cli_number(o, "number"))
    snprintf(whose, sizeof whose, "of launch %lld", (long long)cli_number(o, "number"));
  else
    snprintf(whose, sizeof whose, "of %s", strcmp(cli_text(o, "role"), "client") == 0 ? "clients" : "daemons by hand");
  if (json_is_true(json_object_get(o, "revoked")))
    printf("the credential %s is revoked; %lld sent away\n", whose, gone);
  else
    printf("the credential %s is renewed%s%s; %lld connected\n", whose, *cli_text(o, "file") ? ", on file in " : "",
           cli_text(o, "file"), stay);
  return CLI_OK;
}

/* One that is named, as the dispatcher knows it; false: it is no name of one. */
static bool add_one(json_t *q, const char *word) {
  uint64_t number = 0;
  bool is_launch = hato__parse_u64(word, &number) && number > 0 && number < INT64_MAX;
  if (!is_launch && strcmp(word, "client") != 0 && strcmp(word, "daemon") != 0) return false;
  json_object_set_new(q, "role", json_string(is_launch ? "daemon" : word));
  json_object_set_new(q, "number", json_integer((json_int_t)number));
  return true;
}

static int unknown(const cli *c, const char *word, const char *wanted_words, const char *const *names) {
  const char *near = hato__nearest(word, names);
  return cli_fail(c, CLI_USAGE, "'%s' is none; %s was wanted%s%s%s", word, wanted_words, near ? ": did you mean '" : "",
                  near ? near : "", near ? "'?" : "");
}

static int check_words(const cli *c) {
  static const char *const whats[] = {"list", "renew", "revoke", NULL}, *const roles[] = {"client", "daemon", NULL};
  int code = CLI_OK;
  if (c->n_words == 0) return CLI_OK;
  bool known = false;
  for (const char *const *w = whats; *w; w++) known |= strcmp(*w, c->words[0]) == 0;
  if (!known) return unknown(c, c->words[0], "list, renew or revoke", whats);
  for (size_t i = 1; !code && i < c->n_words; i++) {
    json_t *q = json_object();
    if (!add_one(q, c->words[i])) code = unknown(c, c->words[i], "client, daemon or the number of a launch", roles);
    json_decref(q);
  }
  if (!code && c->n_words == 1 && strcmp(c->words[0], "list") != 0)
    return cli_fail(c, CLI_USAGE, "%s which? client, daemon or the numbers of launches were wanted", c->words[0]);
  return code;
}

static int run(cli *c) {
  hato_pool *pool;
  const char *what = c->n_words ? c->words[0] : "list";
  int code = check_words(c);
  if (!code) code = cli_connect(c, &pool);
  if (code) return code;
  if (strcmp(what, "list") == 0)
    code = cli_request(c, pool, json_pack("{s:s,s:s}", "op", "credentials", "do", what), print_list, NULL);
  for (size_t i = 1; strcmp(what, "list") != 0 && i < c->n_words; i++) { /* the others, though one of them fails */
    json_t *q = json_pack("{s:s,s:s}", "op", "credentials", "do", what);
    (void)add_one(q, c->words[i]);
    int one = cli_request(c, pool, q, print_changed, NULL);
    if (!code) code = one;
  }
  hato_pool_close(pool);
  return code;
}

const cli_verb cli_credentials = {
    .name = "credentials",
    .summary = "list, renew or revoke what clients and daemons prove themselves by",
    .operands = "[list | renew WHICH... | revoke WHICH...]",
    .text = "Whoever connects over a network, and every daemon, proves that it holds a credential of the session: "
            "client is that of clients on other machines, daemon that of daemons started by hand, and each launch has "
            "one of its own, named by the launch's number and ended with it. One is renewed or revoked without the "
            "others. Clients on this machine that connect by the session's socket need none.\n\n"
            "renew makes a new secret and writes its file anew. The old one admits nobody any more; who is connected "
            "stays. Daemons of a launch that got the old one as they were submitted (by their standard input or their "
            "environment) and have not started yet are refused when they come, and count as failed: what replaces them "
            "has a credential of its own.\n\n"
            "revoke admits nobody any more, removes the file and sends away whoever is connected by it, but for the one "
            "who asks: tasks that a daemon ran resolve with error value 19, those it had not begun go to others, and a "
            "client's attached tasks are cancelled. A launch ends with its credential: its batch jobs are cancelled "
            "and its daemons are not replaced. After revoke, renew makes another credential for client and daemon; "
            "of a launch it is final.\n",
    .examples = "hato credentials\tall that there are\n"
                "hato credentials renew client\ta copy of client.credential got into wrong hands\n"
                "hato credentials revoke 3\tlaunch 3 is not to be trusted any more: it ends\n"
                "hato status --security\twho is connected, and by what\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .flags = CLI_REPORTS,
    .run = run};

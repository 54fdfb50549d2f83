/* Starting a session in the background. */
#include "cli/security.h"
#include "cli/serve.h"
#include "cli/verbs.h"

#include "base/clock.h"
#include "dispatcher/dispatcher.h"

#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#define OTHER_NS (10 * HATO__SEC)

static const hato__conf_row up_rows[] = {
    LAUNCH_ROWS(0, "How many daemons to start; 0: none."),
    {.name = "reset",
     .type = HATO__CONF_BOOL,
     .help = "End the session that is up first: what is unresolved there resolves with 19."},
    SERVE_ROWS,
};

/* ---- reporting ---- */

static int print_status(cli *c, json_t *o, void *arg) {
  bool fresh = *(bool *)arg;
  const char *state = fresh ? "is up" : "was up already: nothing is changed";
  if (c->json) {
    json_object_set_new(o, "started", json_boolean(fresh));
    cli_print_json(o);
    return CLI_OK;
  }
  printf("session %s %s (process %lld on %s)\n", json_string_value(json_object_get(o, "session")), state,
         (long long)json_integer_value(json_object_get(o, "pid")),
         json_string_value(json_object_get(o, "host")));
  size_t i;
  json_t *l;
  json_array_foreach(json_object_get(o, "listeners"), i, l) if (i > 0)
      printf("listens at %s%s\n", cli_text(l, "url"), cli_encryption(l));
  size_t daemons = json_array_size(json_object_get(o, "daemons"));
  printf("%zu daemon%s, %lld slot%s\n", daemons, daemons == 1 ? "" : "s",
         (long long)json_integer_value(json_object_get(o, "slots")),
         json_integer_value(json_object_get(o, "slots")) == 1 ? "" : "s");
  return CLI_OK;
}

static int report_session(cli *c, hato_pool *pool, bool fresh) {
  return cli_request(c, pool, json_pack("{s:s}", "op", "status"), print_status, &fresh);
}

/* ---- up ---- */

/* Another start won: until its session is up. False: it does not come. */
static bool await_other(hato__session *s) {
  uint64_t until = hato__now() + OTHER_NS;
  bool up = false;
  while (!up && hato__now() < until) {
    hato__address a = {0};
    up = hato__session_read(s, &a, NULL) == HATO_OK && a.verdict == HATO__SESSION_LIVE;
    hato__address_free(&a);
    if (!up) poll(NULL, 0, 20);
  }
  return up;
}

static int bring_up(cli *c, hato__session *s, const hato__address *a) {
  hato_error err;
  hato_pool *pool;
  bool fresh = a->verdict == HATO__SESSION_NONE || a->verdict == HATO__SESSION_STALE ||
               hato__conf_get_bool(c->conf, "force");
  if (a->verdict == HATO__SESSION_STALE) fprintf(stderr, "hato up: %s; starting anew\n", a->words);
  if (fresh) {
    int pass, code = cli_pass_phrase(c, &pass);
    if (code) return code;
    hato_status st = cli_start_dispatcher(c, s, pass, &err);
    if (pass >= 0) close(pass);
    if (st == HATO_BUSY && await_other(s)) {
      fresh = false;
    } else if (st) {
      return cli_fail(c, cli_code(st), "%s", err.text);
    }
  }
  int code = cli_connect(c, &pool);
  if (code) return code;
  if (fresh) code = cli_launch_daemons(c, pool);
  int said = report_session(c, pool, fresh);
  hato_pool_close(pool);
  return code ? code : said;
}

static int run_up(cli *c) {
  hato__session *s;
  hato__address a;
  json_int_t unresolved;
  dispatcher_network network; /* looked at only for what is wrong in it */
  if (hato__conf_get_str(c->conf, "url"))
    return cli_fail(c, CLI_USAGE, "--url names a dispatcher that is up; --session names one to start");
  int code = cli_read_session_section(c);
  if (!code) code = cli_network(c, &network);
  if (!code) code = cli_find_session(c, true, &s, &a);
  if (code) return code;
  if (hato__conf_get_bool(c->conf, "reset") && a.verdict == HATO__SESSION_LIVE) {
    code = cli_end_session(c, &a, "reset", &unresolved);
    if (!code)
      fprintf(stderr, "hato up: the session that was up is ended; %lld of its tasks were unresolved\n",
              (long long)unresolved);
    a.verdict = HATO__SESSION_NONE;
  }
  if (!code) code = bring_up(c, s, &a);
  hato__address_free(&a);
  hato__session_close(s);
  return code;
}

const cli_verb cli_up = {
    .name = "up",
    .summary = "start a session: a dispatcher in the background, and its daemons",
    .operands = "",
    .text = "A session outlives the shell that started it. Its folder lies under the user's state directory, "
            "so that clients on "
            "any host that shares the home folder find it. Where one is up, nothing is changed. A session "
            "whose process is dead, or "
            "whose host was rebooted, is recognised and replaced.\n",
    .examples = "hato up -n 4\tfour daemons on this machine, a slot each\n"
                "hato up --listen tls+tcp://0.0.0.0:0 -n 0\tno daemons yet; others will dial in\n"
                "hato up --idle 10m --while $$\tends with this shell, or when unused\n",
    .rows = up_rows,
    .n_rows = sizeof up_rows / sizeof *up_rows,
    .flags = CLI_REPORTS,
    .run = run_up};

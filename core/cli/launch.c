/* Starting daemons for a session. */
#include "cli/serve.h"
#include "cli/verbs.h"

#include <string.h>

static int launch_answer(cli *c, json_t *o, void *arg) {
  (void)arg;
  json_int_t ended = json_integer_value(json_object_get(o, "ended"));
  const char *error = json_string_value(json_object_get(o, "error"));
  if (error) return cli_fail(c, CLI_FAILED, "the launch failed: %s", error);
  if (ended == 0) return CLI_OK;
  size_t i;
  json_t *m;
  json_array_foreach(json_object_get(o, "members"), i, m) {
    if (strcmp(json_string_value(json_object_get(m, "state")), "ended") != 0) continue;
    const char *reason = json_string_value(json_object_get(m, "reason"));
    const char *log = json_string_value(json_object_get(m, "log"));
    cli_fail(c, CLI_FAILED, "a daemon ended before it dialled back (exit status %lld)%s%s%s%s",
             (long long)json_integer_value(json_object_get(m, "exit")), reason ? ": " : "",
             reason ? reason : "", log ? "; its log ends:\n" : "", log ? log : "");
    break;
  }
  return cli_fail(c, CLI_FAILED, "%lld of %lld daemons did not come", (long long)ended,
                  (long long)json_integer_value(json_object_get(o, "count")));
}

int cli_launch_daemons(cli *c, hato_pool *pool) {
  bool counted = hato__conf_is_set(c->conf, "daemons");
  int64_t n = counted ? hato__conf_get_int(c->conf, "daemons") : 0;
  if (counted && n == 0) return CLI_OK;
  json_t *options = json_array();
  size_t count;
  const char *const *o = hato__conf_get_list(c->conf, "option", &count);
  for (size_t i = 0; i < count; i++) json_array_append_new(options, json_string(o[i]));
  json_t *q = json_pack("{s:s,s:s,s:I,s:I,s:s,s:b,s:o}", "op", "launch", "launcher",
                        hato__conf_get_str(c->conf, "launcher"), "n", (json_int_t)n, "slots",
                        (json_int_t)hato__conf_get_int(c->conf, "slots"), "bind",
                        hato__conf_get_text(c->conf, "bind"), "wait", 1, "options", options);
  return cli_request(c, pool, q, launch_answer, NULL);
}

static const hato__conf_row launch_rows[] = {LAUNCH_ROWS(1, "How many to start.")};

static int run_launch(cli *c) {
  hato_pool *pool;
  int code = cli_connect(c, &pool);
  if (code) return code;
  code = cli_launch_daemons(c, pool);
  hato_pool_close(pool);
  return code;
}

const cli_verb cli_launch = {
    .name = "launch",
    .summary = "start more daemons for the session that is up",
    .operands = "",
    .text = "Returns when they are connected, or says what became of those that are not.\n",
    .examples = "hato launch -n 2 --slots 4\ttwo more on this machine\n",
    .rows = launch_rows,
    .n_rows = sizeof launch_rows / sizeof *launch_rows,
    .run = run_launch};

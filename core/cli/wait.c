#include "cli/verbs.h"

static const hato__conf_row rows[] = {
    {.name = "all", .type = HATO__CONF_BOOL, .help = "All detached tasks of the session."},
    {.name = "any", .type = HATO__CONF_BOOL, .help = "Until one of them is resolved."},
    {.name = "tasks", .type = HATO__CONF_OPERANDS, .metavar = "IDS", .min = 0, .max = -1,
     .help = "Task numbers, ranges and lists of them: 17, 1-1000, 3,5,9-12."},
};

static int answer(cli *c, json_t *o, void *arg) {
  (void)c;
  *(json_int_t *)arg = json_integer_value(json_object_get(o, "failed"));
  if (c->json) {
    cli_print_json(o);
  }
  return CLI_OK;
}

static int run(cli *c) {
  json_int_t failed = 0;
  json_t *q = json_pack("{s:s,s:b}", "op", "wait", "any", hato__conf_get_bool(c->conf, "any"));
  int code = cli_request_tasks(c, q, answer, &failed);
  if (!code && failed && !c->json) fprintf(stderr, "%lld failed\n", (long long)failed);
  return code ? code : failed ? CLI_TASK_FAILED : CLI_OK;
}

const cli_verb cli_wait = {.name = "wait",
                           .summary = "wait until tasks are resolved",
                           .operands = "IDS... | --all",
                           .text = "The exit status is 0 when all of them succeeded, 1 when one failed.\n",
                           .examples = "hato wait 1-1000\tuntil a thousand tasks are resolved\n"
                                       "hato wait --all\tuntil all are\n",
                           .rows = rows,
                           .n_rows = sizeof rows / sizeof *rows,
                           .flags = CLI_REPORTS,
                           .run = run};

#include "cli/verbs.h"

static int answer_cancel(cli *c, json_t *o, void *arg) {
  (void)arg;
  if (c->json) {
    cli_print_json(o);
  }
  return CLI_OK;
}

static int run_cancel(cli *c) {
  return cli_request_tasks(c, json_pack("{s:s}", "op", "cancel"), answer_cancel, NULL);
}

static int answer_forget(cli *c, json_t *o, void *arg) {
  if (c->json) return answer_cancel(c, o, arg);
  printf("%lld forgotten\n", (long long)json_integer_value(json_object_get(o, "forgotten")));
  return CLI_OK;
}

static int run_forget(cli *c) {
  return cli_request_tasks(c, json_pack("{s:s}", "op", "forget"), answer_forget, NULL);
}

static const hato__conf_row rows[] = {
    {.name = "all", .type = HATO__CONF_BOOL, .help = "All tasks of the session."},
    {.name = "tasks", .type = HATO__CONF_OPERANDS, .metavar = "IDS", .min = 0, .max = -1,
     .help = "Task numbers, ranges and lists of them: 17, 1-1000, 3,5,9-12."},
};

const cli_verb cli_cancel = {.name = "cancel",
                             .summary = "cancel tasks",
                             .operands = "IDS... | --all",
                             .text = "Unresolved tasks resolve with error value 20. Those that run get SIGTERM, all processes "
                                     "of their group, and SIGKILL five seconds later. Resolved ones are passed over.\n",
                             .examples = "hato cancel 40-80\tthose of an array that are not wanted any more\n",
                             .rows = rows,
                             .n_rows = 2,
                             .flags = CLI_REPORTS,
                             .run = run_cancel};
const cli_verb cli_forget = {.name = "forget",
                             .summary = "forget the kept results of tasks",
                             .operands = "IDS... | --all",
                             .text = "Gives their place in the spool back. Tasks that are not resolved are passed over.\n",
                             .examples = "hato forget 1-1000\twhen their output was read\n",
                             .rows = rows,
                             .n_rows = 2,
                             .flags = CLI_REPORTS,
                             .run = run_forget};

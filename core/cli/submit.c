/* hato submit: tasks that outlive this client. */
#include "cli/lines.h"
#include "cli/task.h"
#include "cli/verbs.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const hato__conf_row rows[] = {
    COMMAND_ROW("What to run."),
    {.name = "array",
     .type = HATO__CONF_STRING,
     .metavar = "FIRST-LAST[:STEP]",
     .help = "One task for each number of a range; {} in the command stands for it."},
    {.name = "arg-file",
     .short_name = 'a',
     .type = HATO__CONF_STRING,
     .metavar = "FILE",
     .help = "One task for each line of a file, or of standard input when it is -; {} stands for the line."},
    {.name = "null",
     .short_name = '0',
     .type = HATO__CONF_BOOL,
     .help = "Of --arg-file: inputs end with a zero byte."},
    {.name = "stdin",
     .type = HATO__CONF_STRING,
     .metavar = "FILE",
     .help = "Standard input of the tasks, a file where they run. Default: /dev/null."},
    TASK_ROWS,
};

typedef struct range {
  int64_t start, step;
  size_t count;
} range;

/* FIRST-LAST[:STEP]; numbers may be negative. */
static bool parse_range(const char *text, range *r) {
  int64_t last;
  int at = -1;
  r->step = 1;
  int n = sscanf(text, "%" SCNd64 "-%" SCNd64 "%n:%" SCNd64 "%n", &r->start, &last, &at, &r->step, &at);
  if (n < 2 || at < 0 || text[at] != 0 || r->step < 1 || last < r->start) return false;
  uint64_t span = (uint64_t)last - (uint64_t)r->start;
  uint64_t count = span / (uint64_t)r->step + 1;
  if (count > UINT32_MAX) return false;
  r->count = (size_t)count;
  return true;
}

typedef struct submission {
  hato_spec *spec;
  hato_array *array;
  char *text;
  hato_argument *inputs;
  size_t count;
} submission;

static int read_inputs(cli *c, submission *s, const char *path) {
  hato_error err;
  lines l;
  int code = CLI_OK;
  if (cli_lines_open(&l, path, hato__conf_get_bool(c->conf, "null") ? '\0' : '\n', &err))
    return cli_fail(c, CLI_USAGE, "%s", err.text);
  while (!code && !l.eof)
    if (cli_lines_read(&l, &err)) code = cli_fail(c, CLI_FAILED, "%s", err.text);
  size_t ready = l.ready;
  if (!code) s->count = cli_lines_take(&l, ready, SIZE_MAX, &s->text, &s->inputs);
  if (!code && s->count < ready) code = cli_fail(c, CLI_FAILED, "out of memory");
  if (!code && ready == 0) code = cli_fail(c, CLI_USAGE, "%s has no lines: there is nothing to submit", path);
  cli_lines_close(&l);
  return code;
}

static int report(cli *c, submission *s) {
  hato_error err;
  uint64_t first;
  hato_status st = hato_array_first_task(s->array, HATO_FOREVER, &first, &err);
  /* Until all arguments are with the dispatcher, that nothing is lost when this client leaves. */
  if (!st) st = hato_array_wait(s->array, HATO_FOREVER);
  if (st) return cli_fail(c, cli_code(st), "%s", *err.text ? err.text : hato_strerror(st));
  unsigned long long a = first, z = first + s->count - 1;
  if (c->json) {
    printf("{\"first\":%llu,\"last\":%llu,\"count\":%zu}\n", a, z, s->count);
  } else if (s->count > 1) {
    printf("%llu-%llu\n", a, z);
  } else {
    printf("%llu\n", a);
  }
  return CLI_OK;
}

static int submit(cli *c, hato_pool *pool, task_command *command, submission *s, const range *r) {
  hato_error err;
  const char *in = hato__conf_get_str(c->conf, "stdin");
  if (in) {
    command->command.stdin_kind = HATO_STDIN_FILE;
    command->command.stdin_path = in;
  }
  hato_status st = hato_spec_command(pool, &command->command, &s->spec, &err);
  if (st) return cli_fail(c, cli_code(st), "%s", err.text);
  if (r->count) {
    s->count = r->count;
    st = hato_submit_counted(pool, s->spec, r->start, r->step, r->count, HATO_DETACHED, NULL, &s->array,
                             &err);
  } else {
    if (s->count == 0) s->count = 1;
    st = hato_submit_array(pool, s->spec, s->inputs, s->count, HATO_DETACHED, NULL, &s->array, &err);
  }
  if (st) return cli_fail(c, cli_code(st), "%s", err.text);
  return report(c, s);
}

static int run(cli *c) {
  const char *array = hato__conf_get_str(c->conf, "array"), *file = hato__conf_get_str(c->conf, "arg-file");
  hato_pool *pool = NULL;
  task_command command;
  submission s = {0};
  range r = {0};
  if (array && file) return cli_fail(c, CLI_USAGE, "--array and --arg-file: one of them was wanted");
  if (array && !parse_range(array, &r))
    return cli_fail(c, CLI_USAGE, "--array: found '%s', wanted FIRST-LAST or FIRST-LAST:STEP, as 1-1000",
                    array);
  int code = cli_task_command_make(c, &command,
                                   file    ? TASK_TAKES_INPUT
                                   : array ? TASK_MAY_INPUT
                                           : TASK_NO_INPUT);
  if (code) return code;
  if (file) code = read_inputs(c, &s, file);
  if (!code) code = cli_connect(c, &pool);
  if (!code) code = submit(c, pool, &command, &s, &r);
  hato_array_release(s.array);
  hato_spec_release(s.spec);
  hato_pool_close(pool);
  free(s.text);
  free(s.inputs);
  cli_task_command_free(&command);
  return code;
}

const cli_verb cli_submit = {
    .name = "submit",
    .summary = "submit tasks to the session and leave; prints their numbers",
    .operands = "[--] COMMAND...",
    .text = "Their results are kept by the session until `hato forget`, or for the days that `hato up "
            "--keep` said. The numbers "
            "that are printed are what wait, output, tasks, cancel and forget take.\n\n"
            "A command of several words is executed as it stands; one single word with blanks or shell "
            "characters is a line "
            "for /bin/sh. Tasks of an array find their place, from 1, in HATO_TASK_INDEX, and their number "
            "in HATO_TASK_ID.\n",
    .examples = "hato submit -- make test\tprints 17\n"
                "hato submit --array 1-1000 -- ./simulate --seed {}\tprints 18-1017\n"
                "ls *.gz | hato submit -a - -- gunzip\ta task for each line\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .flags = CLI_COMMAND | CLI_REPORTS,
    .run = run};

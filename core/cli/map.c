/* hato map: a command for every line of input. */
#include "cli/map.h"
#include "cli/verbs.h"

#include "base/clock.h"
#include <string.h>
#include <unistd.h>

static const hato__conf_row rows[] = {
    COMMAND_ROW("What to run; {} stands for the input."),
    {.name = "arg-file",
     .short_name = 'a',
     .type = HATO__CONF_STRING,
     .metavar = "FILE",
     .help = "Read the inputs from a file. Default: standard input."},
    {.name = "null",
     .short_name = '0',
     .type = HATO__CONF_BOOL,
     .help = "Inputs end with a zero byte, as `find -print0` has it, instead of a line's end."},
    {.name = "progress",
     .type = HATO__CONF_ENUM,
     .def = "auto",
     .metavar = "WHEN",
     .names = (const char *const[]){"auto", "always", "never", NULL},
     .help = "The line of progress on standard error: auto draws it on a terminal."},
    TASK_ROWS,
    EMBEDDED_ROWS,
    {.name = "jobs",
     .short_name = 'j',
     .type = HATO__CONF_INT,
     .min = 1,
     .max = 65536,
     .metavar = "N",
     .help = "So many tasks at a time: one daemon with N slots."},
};

static bool progress_wanted(const map *m) {
  static const char *const names[] = {"auto", "always", "never"};
  const char *when = names[hato__conf_get_enum(m->c->conf, "progress")];
  if (strcmp(when, "auto") != 0) return strcmp(when, "always") == 0;
  /* Where inputs are typed a line of progress would stand in the way. */
  return m->emit.terminal[STDERR_FILENO] && !isatty(m->in.fd);
}

static int prepare(map *m) {
  cli *c = m->c;
  hato_error err;
  char end = hato__conf_get_bool(c->conf, "null") ? '\0' : '\n';
  if (cli_lines_open(&m->in, hato__conf_get_str(c->conf, "arg-file"), end, &err))
    return cli_fail(c, CLI_USAGE, "%s", err.text);
  m->progress.on = progress_wanted(m);
  m->progress.began = hato__now();
  const char *pattern = m->command.output_to;
  m->whole = pattern && strstr(pattern, "{#}");
  /* How many there are is known the sooner the more is read ahead. */
  if (m->progress.on) m->in.ahead = MAP_INPUTS;
  if (m->whole) m->in.ahead = SIZE_MAX;
  int code = cli_task_pool_open(c, &m->pool, &m->embedded);
  if (code) return code;
  hato_status st = hato_spec_command(m->pool, &m->command.command, &m->spec, &err);
  if (st) return cli_fail(c, cli_code(st), "%s", err.text);
  st = hato_queue_create(m->pool, &m->queue);
  return st ? cli_fail(c, cli_code(st), "%s", hato_strerror(st)) : CLI_OK;
}

static int run(cli *c) {
  map m = {.c = c, .in.fd = -1};
  int code = cli_task_command_make(c, &m.command, TASK_TAKES_INPUT);
  if (code) return code;
  if (!cli_signals_catch(&m.signals)) return cli_fail(c, CLI_FAILED, "no signals can be taken");
  cli_emit_init(&m.emit, m.signals.fd);
  code = prepare(&m);
  if (!code) code = cli_map_work(&m);
  cli_signals_release(&m.signals); /* a second Ctrl-C ends it at once */
  hato_spec_release(m.spec);
  hato_pool_close(m.pool);
  while (m.head) {
    batch *b = m.head;
    m.head = b->next;
    cli_map_batch_free(&m, b);
  }
  hato_queue_release(m.queue);
  cli_spill_close(&m.spill);
  cli_lines_close(&m.in);
  cli_emit_free(&m.emit);
  cli_task_command_free(&m.command);
  return code;
}

const cli_verb cli_map = {
    .name = "map",
    .summary = "run a command for every line of input, in parallel",
    .operands = "[--] COMMAND...",
    .text = "Each line of standard input is an input; every {} in the command stands for it, and without one "
            "it is appended "
            "as the last word. Tasks run in parallel; their output is printed whole and in the order of the "
            "inputs, as soon "
            "as that order permits. Empty lines are inputs too.\n\n"
            "A command of several words is executed as it stands, with no shell. One single word with blanks "
            "or shell "
            "characters is a line for /bin/sh, and inputs are quoted into it.\n\n"
            "The session that is up is used; without one, daemons are started on this machine and gone at "
            "the end.\n\n"
            "Tasks that failed are named on standard error, the first few, then counted. Ctrl-C cancels what "
            "is left.\n\n"
            "Exit status: 0 when all tasks succeeded, 1 when one failed, 130 after Ctrl-C, 143 after "
            "SIGTERM, 141 when "
            "nobody reads the output any more.\n",
    .examples = "find . -type f | hato map sha256sum {} > sums.txt\tthe checksum of every file\n"
                "ls *.gz | hato map 'zcat {} | wc -l'\ta shell line for each\n"
                "find . -print0 | hato map -0 -j 4 gzip\tfour at a time, any name is safe\n"
                "seq 1000 | hato map --json ./simulate --seed {}\tan object a line, with times and memory\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .flags = CLI_COMMAND | CLI_REPORTS,
    .run = run};

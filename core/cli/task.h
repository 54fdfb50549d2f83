/* What the verbs that submit tasks share: their options, their command, their pool, and the
 * words for how a task ended. */
#ifndef HATO_CLI_TASK_H
#define HATO_CLI_TASK_H

#include "cli/cli.h"

/* The first of the rows of a verb that makes tasks. */
#define COMMAND_ROW(what) \
  {.name = "command", .type = HATO__CONF_OPERANDS, .metavar = "COMMAND", .min = 1, .max = -1, .help = what}

#define TASK_ROWS                                                                                           \
  {.type = HATO__CONF_HEADING, .help = "Tasks"},                                                            \
      {.name = "timeout",                                                                                   \
       .type = HATO__CONF_DURATION,                                                                         \
       .min = 1000000,                                                                                      \
       .max = INT64_MAX,                                                                                    \
       .metavar = "T",                                                                                      \
       .help = "Time limit of each task, from its start; past it, it is ended with error value 5."},        \
      {.name = "cwd",                                                                                       \
       .type = HATO__CONF_STRING,                                                                           \
       .metavar = "DIR",                                                                                    \
       .help = "Working folder of the tasks. Default: this one."},                                          \
      {.name = "env",                                                                                       \
       .type = HATO__CONF_LIST,                                                                             \
       .metavar = "NAME=VALUE",                                                                             \
       .help = "A variable of the tasks, besides this shell's or instead of its own of that name."},        \
  {                                                                                                         \
    .name = "output-to", .type = HATO__CONF_STRING, .metavar = "PATTERN",                                   \
    .help = "Write output to files where the task runs and send none. In the pattern {} is the input, {#} " \
            "its place "                                                                                    \
            "from 1, {id} the task's number, {stream} out or err."                                          \
  }

/* Of verbs that fall back on a dispatcher of their own. */
#define EMBEDDED_ROWS                                                                                     \
  {.type = HATO__CONF_HEADING, .help = "Without a session"},                                              \
      {.name = "embedded",                                                                                \
       .type = HATO__CONF_BOOL,                                                                           \
       .help = "Use daemons of its own on this machine, though a session be up."},                        \
      {.name = "daemons",                                                                                 \
       .short_name = 'n',                                                                                 \
       .type = HATO__CONF_INT,                                                                            \
       .min = 1,                                                                                          \
       .max = 65536,                                                                                      \
       .metavar = "N",                                                                                    \
       .help = "So many daemons, one slot each unless --slots says otherwise. Default: one, with a slot " \
               "for every "                                                                               \
               "core."},                                                                                  \
      {.name = "slots",                                                                                   \
       .type = HATO__CONF_INT,                                                                            \
       .min = 1,                                                                                          \
       .max = 65536,                                                                                      \
       .metavar = "S",                                                                                    \
       .help = "Slots of each daemon."},                                                                  \
  {                                                                                                       \
    .name = "bind", .type = HATO__CONF_ENUM, .def = "auto",                                               \
    .names = (const char *const[]){"auto", "core", "none", NULL},                                         \
    .help = "Whether slots are bound to cores."                                                           \
  }

typedef enum task_input {
  TASK_NO_INPUT,    /* {} is a word like any other */
  TASK_MAY_INPUT,   /* {} stands for the input; without one the words stay as they are */
  TASK_TAKES_INPUT, /* the same; without one it is appended */
} task_input;

typedef struct task_command {
  hato_command command;
  const char **argv;
  const char **env;
  char *cwd, *output_to;
  hato__buf line; /* the shell's */
} task_command;

/* The command that the verb's operands and options describe. Returns an exit code, having
 * said what was wrong. */
int cli_task_command_make(cli *c, task_command *t, task_input input);
void cli_task_command_free(task_command *t);

/* A shell line in which every {} stands outside of quotes, where the quoted input is one
 * word; without a {} it is appended when `append`. *found: there was one. INVALID: a {} stands
 * where no quoting can make it safe. */
hato_status cli_task_shell_line(const char *line, bool append, hato__buf *out, bool *found, hato_error *err);

/* The session that is up, --url's dispatcher, or one of its own. Returns an exit code. */
int cli_task_pool_open(cli *c, hato_pool **pool, bool *embedded);
/* Of an embedded pool, now and then: a failure when no daemon is there, nor will come. */
int cli_task_look(cli *c, hato_pool *pool);
enum { CLI_TASK_LOOK_MS = 2000 };

/* ---- how a task ended (outcome.c) ---- */
bool cli_task_failed(const hato_result *r);
/* "exit status 3", "ended by signal 9 (KILL)", an error value's words. */
void cli_task_outcome(const hato_result *r, char *out, size_t n);
/* Its object; the caller may add to it and releases it. NULL: no memory. */
json_t *cli_task_json(const hato_result *r);
/* Bytes as text, or where they are no UTF-8 as base64 in `key`_base64. */
void cli_task_json_bytes(json_t *o, const char *key, const void *data, size_t n);

#endif

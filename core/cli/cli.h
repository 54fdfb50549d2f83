/*
 * The `hato` command: a file and a const table a verb. A verb's rows parse its options
 * and print its help and its manual page; its run function gets them parsed.
 *
 * Exit codes: 0 all well, 1 a task failed (or, of `run`, the task's own), 2 bad
 * usage, 3 no session or no connection, 4 another failure, 128 + n ended by signal n.
 */
#ifndef HATO_CLI_H
#define HATO_CLI_H

#include "base/error.h"
#include "base/io.h"
#include "base/log.h"
#include "base/str.h"
#include "conf/conf.h"
#include "hato/hato.h"
#include "net/net.h"
#include <jansson.h>
#include <stdio.h>

enum { CLI_OK = 0, CLI_TASK_FAILED = 1, CLI_USAGE = 2, CLI_NO_SESSION = 3, CLI_FAILED = 4 };

typedef struct cli cli;
typedef struct cli_verb {
  const char *name;
  const char *summary;  /* one line, without a full stop */
  const char *operands; /* for the synopsis: "IDS...", "[--] COMMAND..."; "" when it takes none */
  const char *text;     /* paragraphs of the manual, after the options */
  const char *examples; /* lines "command<TAB># what it does" */
  const hato__conf_row *rows;
  size_t n_rows;
  unsigned flags;
  int (*run)(cli *c);
} cli_verb;
enum {
  CLI_HIDDEN = 1,       /* in no help */
  CLI_COMMAND = 2,      /* the first operand ends the options: a command follows */
  CLI_NO_SESSION_ROWS = 4, /* takes no --session and the like */
  CLI_REPORTS = 8,      /* has --json */
};

struct cli {
  const cli_verb *verb;
  hato__conf *conf;
  char *const *words; /* operands, NULL-terminated */
  size_t n_words;
  bool json;
  unsigned verbose;
  hato__log log;
  int log_fd;
};

extern const cli_verb *const cli_verbs[]; /* NULL-terminated (verbs.c) */
const cli_verb *cli_find_verb(const char *name);
const char *cli_nearest_verb(const char *name);

/* help.c */
int cli_help(const cli_verb *verb, FILE *to); /* NULL: of hato itself */
int cli_manual(const char *name, FILE *to);   /* roff of a verb's page, or of "hato" */
hato__conf *cli_conf_of(const cli_verb *verb); /* its rows and the common ones */

/* common.c */
/* Prints "hato VERB: text" on standard error and returns code. */
int cli_fail(const cli *c, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int cli_code(hato_status status); /* the exit code for a failed call */
void cli_pool_options(cli *c, hato_pool_options *o);
/* Connects to the session (or --url); on failure says why and returns the exit code. */
int cli_connect(cli *c, hato_pool **pool);
/* One request, and every line of its answer to `line` (NULL: printed as it is). Takes q's
 * reference. Returns the exit code; a refusal is said on standard error. */
int cli_request(cli *c, hato_pool *pool, json_t *q, int (*line)(cli *c, json_t *object, void *arg), void *arg);
/* What the row --munge says, of verbs that have it; its words, in the order that this reads. */
#define CLI_MUNGE_WORDS ((const char *const[]){"auto", "require", "off", NULL})
net_munge cli_munge(const cli *c);
/* Of an answer: a whole number, 0 when there is none; a text, "" when there is none, borrowed. */
json_int_t cli_number(const json_t *o, const char *key);
const char *cli_text(const json_t *o, const char *key);
/* An object on a line of standard output. */
void cli_print_json(const json_t *o);
/* For a request whose answer says nothing. */
int cli_ignore_answer(cli *c, json_t *object, void *arg);
/* "tasks" or "all" of the operands and --all, added to q. False: neither was given, said. */
bool cli_add_tasks(cli *c, json_t *q);
/* Adds them, connects and makes the request; as cli_request. */
int cli_request_tasks(cli *c, json_t *q, int (*line)(cli *c, json_t *object, void *arg), void *arg);
/* "1.2 s", "3 min 4 s" into out. */
const char *cli_seconds(double s, char *out, size_t n);
/* Path of the running hato, for daemons. */
const char *cli_binary(char *out, size_t n);

#define CLI_ROWS(rows) (rows), sizeof(rows) / sizeof *(rows)

#endif

/* Which launchers there are, one in full, and the conformance suite. */
#include "launchers/host.h"
#include "base/clock.h"
#include "cli/signals.h"
#include "cli/verbs.h"

#include <string.h>

static const hato__conf_row rows[] = {
    {.name = "option", .short_name = 'o', .type = HATO__CONF_LIST, .metavar = "KEY=VALUE",
     .help = "Of test: an option for its launches."},
    {.name = "patience",
     .type = HATO__CONF_DURATION,
     .def = "1m",
     .min = (int64_t)HATO__SEC,
     .max = 24 * 3600 * (int64_t)HATO__SEC,
     .help = "Of test: how long a launch may take to run, and how long to end, before that is a failure. A "
             "queue may need more."},
    {.name = "log-dir", .metavar = "DIR", .type = HATO__CONF_STRING,
     .help = "Of test: a folder for members' logs that their machines see, too. By default one is made in the "
             "current folder, or in /tmp for a launcher whose members run on this machine, and removed."},
    {.name = "what", .type = HATO__CONF_OPERANDS, .metavar = "show NAME | test NAME-OR-PATH | manual NAME", .min = 0, .max = 2,
     .help = "Show one launcher with its options, run the conformance suite on one, a site's own too, or print its manual page."},
};

static int print_json(json_t *o) {
  if (!o) return CLI_FAILED;
  cli_print_json(o);
  json_decref(o);
  return CLI_OK;
}

static int list(cli *c, launchers *h) {
  hato_error err;
  char **names = launchers_names(h);
  int code = CLI_OK;
  for (char **n = names; n && *n; n++) {
    launchers_info *i = NULL;
    if (launchers_describe(h, *n, &i, &err)) {
      code = cli_fail(c, CLI_FAILED, "%s: %s", *n, err.text);
    } else if (c->json) {
      code = print_json(launchers_info_json(i));
    } else {
      printf("%-10s %s%s%s\n", i->name, i->trouble ? "cannot be used: " : i->description ? i->description : "",
             i->trouble ? i->trouble : "", i->path ? "" : " (built in)");
    }
    launchers_info_free(i);
  }
  launchers_folders_free(names);
  return code;
}

static int show(cli *c, launchers *h, const char *name) {
  hato_error err;
  launchers_info *i = NULL;
  if (launchers_describe(h, name, &i, &err)) return cli_fail(c, CLI_USAGE, "%s", err.text);
  int code = i->trouble ? CLI_FAILED : CLI_OK;
  if (c->json) {
    print_json(launchers_info_json(i));
  } else {
    hato__buf b = {0};
    printf("%s %s: %s\n%s\n", i->name, i->version ? i->version : "", i->description ? i->description : "",
           i->path ? i->path : "built in");
    if (i->trouble) printf("cannot be used: %s\n", i->trouble);
    if (i->conf) hato__conf_help_pairs(i->conf, &b);
    if (b.len && !b.failed) printf("\nOptions, as -o key=value:\n%.*s", (int)b.len, (const char *)b.data);
    hato__buf_free(&b);
  }
  launchers_info_free(i);
  return code;
}

/* Its page of the manual, hato-launcher-NAME(7). */
static int manual(cli *c, launchers *h, const char *name) {
  hato_error err;
  launchers_info *i = NULL;
  hato__buf b = {0};
  if (launchers_describe(h, name, &i, &err)) return cli_fail(c, CLI_USAGE, "%s", err.text);
  int code = CLI_OK;
  if (!i->conf) {
    code = cli_fail(c, CLI_FAILED, "%s", i->trouble ? i->trouble : "it tells nothing of itself");
  } else {
    hato__conf_roff_pairs(i->conf, &b);
    printf(".TH HATO\\-LAUNCHER\\-%s 7 \"\" \"hato %s\" \"hato\"\n.SH NAME\nhato\\-launcher\\-%s \\- %s\n", i->name,
           hato_version(), i->name, i->description ? i->description : "a launcher of hato");
    printf(".SH SYNOPSIS\n.B hato up \\-\\-launcher %s\n[\\fB\\-n\\fR \\fIN\\fR] [\\fB\\-o\\fR "
           "\\fIkey\\fR=\\fIvalue\\fR]...\n", i->name);
    printf(".SH OPTIONS\nEach is given as \\fB\\-o\\fR \\fIkey\\fR=\\fIvalue\\fR, or as a line of a profile of the "
           "configuration file.\n");
    if (b.len && !b.failed) fwrite(b.data, 1, b.len, stdout);
    printf(".SH SEE ALSO\n.BR hato\\-launch (1),\n.BR hato\\-launchers (1)\n");
  }
  hato__buf_free(&b);
  launchers_info_free(i);
  return code;
}

typedef struct tally {
  cli *c;
  unsigned passed, failed, left_out;
  signals signals;
  int signal; /* that interrupted it; 0: none */
} tally;

static void report(void *arg, const char *check, launchers_verdict v, const char *words) {
  tally *t = arg;
  static const char *const names[] = {"passed", "FAILED", "left out"};
  t->passed += v == LAUNCHERS_PASSED;
  t->failed += v == LAUNCHERS_FAILED_CHECK;
  t->left_out += v == LAUNCHERS_LEFT_OUT;
  if (t->c->json) {
    print_json(json_pack("{s:s,s:s,s:s}", "check", check, "verdict", names[v], "words", words ? words : ""));
  } else {
    printf("%-8s %s%s%s\n", names[v], check, words && *words ? ": " : "", words ? words : "");
  }
  fflush(stdout);
}

/* Whatever was launched is cancelled first; a second Ctrl-C does not wait for that. */
static bool stop(void *arg) {
  tally *t = arg;
  if (t->signal == 0) t->signal = cli_signals_take(&t->signals);
  if (t->signal != 0) cli_signals_release(&t->signals);
  return t->signal != 0;
}

static int test(cli *c, launchers *h, const char *name) {
  hato_error err;
  tally t = {.c = c};
  launchers_conformance q = {.options = hato__conf_get_list(c->conf, "option", NULL),
                             .patience_ms = (uint32_t)(hato__conf_get_duration(c->conf, "patience") / HATO__MS),
                             .log_dir = hato__conf_get_str(c->conf, "log-dir"),
                             .report = report,
                             .stop = stop,
                             .arg = &t};
  if (!cli_signals_catch(&t.signals)) return cli_fail(c, CLI_FAILED, "signals cannot be caught");
  hato_status st = launchers_conform(h, name, &q, &err);
  cli_signals_release(&t.signals);
  if (!c->json && (st == HATO_OK || st == HATO_ABORTED))
    printf("%u passed, %u failed, %u left out\n", t.passed, t.failed, t.left_out);
  if (st == HATO_ABORTED) return CLI_TASK_FAILED;
  if (t.signal != 0) {
    (void)cli_fail(c, CLI_FAILED, "%s", err.text);
    return 128 + t.signal;
  }
  return st ? cli_fail(c, cli_code(st), "%s", err.text) : CLI_OK;
}

static int run(cli *c) {
  char binary[4096];
  hato_error err;
  launchers *h = NULL;
  launchers_options o = {.hato_binary = cli_binary(binary, sizeof binary), .log = c->log};
  if (launchers_create(&o, &h, &err)) return cli_fail(c, CLI_FAILED, "%s", err.text);
  int code;
  if (c->n_words == 0) {
    code = list(c, h);
  } else if (c->n_words == 2 && strcmp(c->words[0], "show") == 0) {
    code = show(c, h, c->words[1]);
  } else if (c->n_words == 2 && strcmp(c->words[0], "manual") == 0) {
    code = manual(c, h, c->words[1]);
  } else if (c->n_words == 2 && strcmp(c->words[0], "test") == 0) {
    code = test(c, h, c->words[1]);
  } else {
    code = cli_fail(c, CLI_USAGE, "'%s': nothing, show NAME, test NAME-OR-PATH or manual NAME was wanted", c->words[0]);
  }
  launchers_destroy(h, 5000);
  return code;
}

const cli_verb cli_launchers = {.name = "launchers",
                                .summary = "list what can start daemons; show one, or test one",
                                .operands = "[show NAME | test NAME-OR-PATH]",
                                .text = "Modules are looked for in HATO_LAUNCHERS_PATH and in lib/hato/launchers beside hato.\n",
                                .examples = "hato launchers show local\tits options\n"
                                            "hato launchers test ./mine.so -o queue=short\tdoes a site's own launcher keep the contract?\n",
                                .rows = rows,
                                .n_rows = sizeof rows / sizeof *rows,
                                .flags = CLI_NO_SESSION_ROWS | CLI_REPORTS,
                                .run = run};

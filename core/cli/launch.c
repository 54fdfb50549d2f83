/* Starting daemons for a session. */
#include "cli/serve.h"
#include "cli/verbs.h"

#include <string.h>

/* ---- what became of it ---- */

/* The first member in a state; NULL: none is. */
static const json_t *first_in(const json_t *o, const char *state) {
  size_t i;
  const json_t *m;
  json_array_foreach(json_object_get(o, "members"), i, m) {
    if (strcmp(cli_text(m, "state"), state) == 0) return m;
  }
  return NULL;
}

static int say_ended(cli *c, const json_t *o) {
  const json_t *m = first_in(o, "ended");
  char how[64] = "";
  if (json_object_get(m, "signal")) snprintf(how, sizeof how, " (signal %lld)", (long long)cli_number(m, "signal"));
  if (json_object_get(m, "exit")) snprintf(how, sizeof how, " (exit status %lld)", (long long)cli_number(m, "exit"));
  bool workers = json_object_get(o, "running") != NULL;
  cli_fail(c, CLI_FAILED, "%s%s%s%s%s%s%s%s%s%s", workers ? "a worker ended" : "a daemon ended before it dialled back", how,
           *cli_text(m, "job") ? ", " : "", cli_text(m, "job"), *cli_text(m, "host") ? " on " : "", cli_text(m, "host"),
           *cli_text(m, "reason") ? ": " : "", cli_text(m, "reason"), *cli_text(m, "log") ? "; its log ends:\n" : "",
           cli_text(m, "log"));
  return cli_fail(c, CLI_FAILED, workers ? "%lld of %lld workers ended" : "%lld of %lld daemons did not come",
                  (long long)cli_number(o, "ended"), (long long)cli_number(o, "count"));
}

/* Those that a scheduler keeps waiting are no failure: it is said what they wait for. */
static void say_waiting(const json_t *o) {
  json_int_t waiting = cli_number(o, "queued") + cli_number(o, "submitted");
  const json_t *m = first_in(o, "queued");
  const char *why = *cli_text(o, "trouble") ? cli_text(o, "trouble") : m ? cli_text(m, "reason") : "";
  if (waiting == 0) return;
  fprintf(stderr, "launch %lld: %lld of %lld not running yet%s%s; `hato status` tells of them\n",
          (long long)cli_number(o, "launch"), (long long)waiting, (long long)cli_number(o, "count"),
          *why ? ": " : "", why);
}

static int launch_answer(cli *c, json_t *o, void *arg) {
  bool tells = arg != NULL; /* `launch` does, `up` tells of the whole session */
  const char *error = json_string_value(json_object_get(o, "error"));
  if (tells && c->json) {
    cli_print_json(o);
  }
  if (error) {
    const char *log = cli_text(first_in(o, "ended"), "log");
    return cli_fail(c, CLI_FAILED, "the launch failed: %s%s%s", error, *log ? "; the log of a daemon ends:\n" : "", log);
  }
  bool workers = json_object_get(o, "running") != NULL;
  if (cli_number(o, "ended") > 0 && !(workers && cli_number(first_in(o, "ended"), "exit") == 0)) return say_ended(c, o);
  if (c->json) return CLI_OK;
  say_waiting(o);
  if (!tells) return CLI_OK;
  json_int_t here = workers ? cli_number(o, "running") : cli_number(o, "connected");
  printf("launch %lld by %s: %lld %s\n", (long long)cli_number(o, "launch"), cli_text(o, "launcher"), (long long)here,
         workers ? "running" : "connected");
  return CLI_OK;
}

/* ---- asking ---- */

/* A request is JSON, which has no other text: a word must not be left out in silence. */
static json_t *word(cli *c, int *code, const char *what, const char *s) {
  json_t *j = json_string(s);
  if (j) return j;
  char *shown = hato__printf("%s", s);
  if (shown) hato__clean(shown, false);
  *code = cli_fail(c, CLI_USAGE, "%s: '%s' is not UTF-8", what, shown ? shown : "");
  free(shown);
  return json_null();
}

static void put_set_text(cli *c, int *code, json_t *q, const char *row, const char *key) {
  if (!hato__conf_is_set(c->conf, row)) return;
  json_object_set_new(q, key, word(c, code, row, hato__conf_get_text(c->conf, row)));
}
static void put_set_int(cli *c, json_t *q, const char *row, const char *key) {
  if (hato__conf_is_set(c->conf, row)) json_object_set_new(q, key, json_integer(hato__conf_get_int(c->conf, row)));
}
static void put_set_time(cli *c, json_t *q, const char *row, const char *key) {
  if (hato__conf_is_set(c->conf, row))
    json_object_set_new(q, key, json_real((double)hato__conf_get_duration(c->conf, row) / 1e9));
}

/* What the verb's options ask for; what is not said is the profile's to say. */
static int request(cli *c, json_t **out) {
  int code = CLI_OK;
  json_t *q = json_pack("{s:s,s:b}", "op", "launch", "wait", 1), *options = json_array(), *argv = json_array();
  for (const char *const *o = hato__conf_get_list(c->conf, "option", NULL); *o; o++)
    json_array_append_new(options, word(c, &code, "option", *o));
  json_object_set_new(q, "options", options);
  for (size_t i = 0; i < c->n_words; i++) json_array_append_new(argv, word(c, &code, "the command", c->words[i]));
  if (c->n_words) json_object_set(q, "argv", argv);
  json_decref(argv);
  put_set_text(c, &code, q, "profile", "profile");
  put_set_text(c, &code, q, "launcher", "launcher");
  put_set_text(c, &code, q, "bind", "bind");
  put_set_int(c, q, "daemons", "n");
  put_set_int(c, q, "slots", "slots");
  put_set_int(c, q, "crash-limit", "crash_limit");
  put_set_time(c, q, "launch-timeout", "launch_timeout");
  put_set_time(c, q, "wait", "wait_for");
  *out = q;
  if (code) json_decref(q);
  return code;
}

int cli_launch_daemons(cli *c, hato_pool *pool) {
  if (hato__conf_is_set(c->conf, "daemons") && hato__conf_get_int(c->conf, "daemons") == 0) return CLI_OK;
  json_t *q;
  int code = request(c, &q);
  return code ? code : cli_request(c, pool, q, launch_answer, NULL);
}

/* ---- launch ---- */

static const hato__conf_row launch_rows[] = {
    LAUNCH_ROWS(1, "How many to start."),
    {.name = "print", .type = HATO__CONF_BOOL,
     .help = "Start nothing: print the commands that start a daemon by hand, one for a machine that shares the home "
             "folder and one for elsewhere. Neither shows the credential."},
    {.name = "command", .type = HATO__CONF_OPERANDS, .metavar = "COMMAND", .min = 0, .max = -1,
     .help = "After --: what to start instead of daemons, such as the workers of another system."},
};

static int print_commands(cli *c, json_t *o, void *arg) {
  (void)arg;
  if (c->json) {
    cli_print_json(o);
    return CLI_OK;
  }
  printf("# on a machine that shares the home folder:\n%s\n\n# elsewhere, from here, where hato is installed on HOST:\n%s\n",
         cli_text(o, "shared"), cli_text(o, "elsewhere"));
  return CLI_OK;
}

static int run_launch(cli *c) {
  hato_pool *pool;
  size_t before = 0;
  if (c->n_words && (!hato__conf_dashes(c->conf, &before) || before > 0))
    return cli_fail(c, CLI_USAGE, "'%s' is no option; a command of other workers follows --", c->words[0]);
  json_t *q;
  bool print = hato__conf_get_bool(c->conf, "print");
  int code = request(c, &q);
  if (code) return code;
  if (print) json_object_set_new(q, "print", json_true());
  code = cli_connect(c, &pool);
  if (code) {
    json_decref(q);
    return code;
  }
  code = cli_request(c, pool, q, print ? print_commands : launch_answer, c);
  hato_pool_close(pool);
  return code;
}

const cli_verb cli_launch = {
    .name = "launch",
    .summary = "start more daemons for the session that is up, on this machine or elsewhere",
    .operands = "[-- COMMAND...]",
    .text = "Returns when they are connected, or says what became of those that are not; daemons that a batch system "
            "keeps waiting are waited for as long as --wait says.\n\n"
            "A profile is a section [profile NAME] of the configuration file (~/.config/hato/hato.conf, and the "
            "site's /etc/hato/hato.conf, over which the user's wins): the launcher, its options, and the long names of "
            "the options above as keys, a line each. The profile `default` holds when none is named.\n\n"
            "Daemons that fail are replaced, after a pause that doubles from a second to five minutes.\n",
    .examples = "hato launch -n 2 --slots 4\ttwo more on this machine\n"
                "hato launch --launcher slurm -n 32 -o partition=short -o time=2:00:00\tdaemons as Slurm jobs\n"
                "hato launch --profile gpu -o gres=gpu:1\tas the configuration file says, and one more option\n"
                "hato launch --print\tcommands to paste on other machines\n"
                "hato launch --launcher slurm -n 4 -- Rscript -e 'mirai::daemon(\"tcp://login:5555\")'\tanother system's "
                "workers\n",
    .rows = launch_rows,
    .n_rows = sizeof launch_rows / sizeof *launch_rows,
    .flags = CLI_COMMAND | CLI_REPORTS,
    .run = run_launch};

#include "cli/task.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* ---- the command's words ---- */

static bool has_braces(const char *const *words) {
  for (; *words; words++)
    if (strstr(*words, "{}")) return true;
  return false;
}

/* One word that a shell would take apart is a line for it; {} alone does not make it one. */
static bool is_shell_line(const cli *c, task_input input) {
  if (c->n_words != 1) return false;
  if (input == TASK_NO_INPUT) return hato__sh_special(c->words[0]);
  char *rest = strdup(c->words[0]);
  if (!rest) return false;
  for (char *at = rest; (at = strstr(at, "{}")) != NULL;) memmove(at, at + 2, strlen(at + 2) + 1);
  bool special = hato__sh_special(rest);
  free(rest);
  return special;
}

static int shell_words(cli *c, task_command *t, task_input input) {
  hato_error err;
  bool found = false;
  t->argv[0] = "/bin/sh";
  t->argv[1] = "-c";
  t->argv[2] = c->words[0];
  if (input == TASK_NO_INPUT) return CLI_OK;
  if (cli_task_shell_line(c->words[0], input == TASK_TAKES_INPUT, &t->line, &found, &err))
    return cli_fail(c, CLI_USAGE, "%s", err.text);
  t->argv[2] = hato__buf_text(&t->line);
  if (!t->argv[2]) return cli_fail(c, CLI_FAILED, "out of memory");
  if (found) t->command.flags |= HATO_COMMAND_SUBSTITUTE | HATO_COMMAND_SHELL;
  return CLI_OK;
}

static int words(cli *c, task_command *t, task_input input) {
  t->argv = calloc(c->n_words + 4, sizeof *t->argv);
  if (!t->argv) return cli_fail(c, CLI_FAILED, "out of memory");
  t->command.argv = t->argv;
  if (is_shell_line(c, input)) return shell_words(c, t, input);
  for (size_t i = 0; i < c->n_words; i++) t->argv[i] = c->words[i];
  if (input == TASK_NO_INPUT) return CLI_OK;
  bool found = has_braces(t->argv);
  if (!found && input == TASK_TAKES_INPUT) t->argv[c->n_words] = "{}";
  if (found || input == TASK_TAKES_INPUT) t->command.flags |= HATO_COMMAND_SUBSTITUTE;
  return CLI_OK;
}

/* ---- its options ---- */

static bool same_name(const char *a, const char *b) {
  size_t n = strcspn(a, "=");
  return strncmp(a, b, n + 1) == 0;
}

/* Of two --env with one name the later stands. hato's own credentials are not for tasks. */
static bool replaced(const char *variable, const char *const *by, size_t n) {
  if (same_name("HATO_CREDENTIAL=", variable)) return true;
  for (size_t i = 0; i < n; i++)
    if (same_name(by[i], variable)) return true;
  return false;
}

static int environment(cli *c, task_command *t) {
  size_t n, own = 0, m = 0;
  const char *const *more = hato__conf_get_list(c->conf, "env", &n);
  if (n == 0) return CLI_OK;
  for (size_t i = 0; i < n; i++)
    if (!strchr(more[i], '=') || more[i][0] == '=')
      return cli_fail(c, CLI_USAGE, "--env: found '%s', wanted NAME=VALUE", more[i]);
  while (environ[own]) own++;
  t->env = calloc(own + n + 1, sizeof *t->env);
  if (!t->env) return cli_fail(c, CLI_FAILED, "out of memory");
  for (size_t i = 0; i < own; i++)
    if (!replaced(environ[i], more, n)) t->env[m++] = environ[i];
  for (size_t i = 0; i < n; i++)
    if (!replaced(more[i], more + i + 1, n - i - 1)) t->env[m++] = more[i];
  t->command.env = t->env;
  return CLI_OK;
}

/* A path of ours as the daemon will understand it. */
static char *absolute(const char *path) {
  char here[4096];
  if (path[0] == '/') return strdup(path);
  return getcwd(here, sizeof here) ? hato__printf("%s/%s", here, path) : NULL;
}

static int options(cli *c, task_command *t) {
  const char *cwd = hato__conf_get_str(c->conf, "cwd"), *to = hato__conf_get_str(c->conf, "output-to");
  if (hato__conf_is_set(c->conf, "timeout"))
    t->command.limit_ms = hato__conf_get_duration(c->conf, "timeout") / 1000000;
  if (cwd) {
    t->cwd = absolute(cwd);
    if (!t->cwd) return cli_fail(c, CLI_FAILED, "--cwd %s: %s", cwd, strerror(errno));
    t->command.cwd = t->cwd;
  }
  if (to) {
    t->output_to = absolute(to);
    if (!t->output_to) return cli_fail(c, CLI_FAILED, "--output-to %s: %s", to, strerror(errno));
    t->command.output_to = t->output_to;
  }
  return environment(c, t);
}

int cli_task_command_make(cli *c, task_command *t, task_input input) {
  *t = (task_command){.command = HATO_COMMAND_INIT};
  if (c->n_words == 0 || !*c->words[0]) return cli_fail(c, CLI_USAGE, "which command? found none");
  int code = words(c, t, input);
  if (!code) code = options(c, t);
  if (code) cli_task_command_free(t);
  return code;
}

void cli_task_command_free(task_command *t) {
  free(t->argv);
  free(t->env);
  free(t->cwd);
  free(t->output_to);
  hato__buf_free(&t->line);
  *t = (task_command){0};
}

/* ---- the pool ---- */

/* --bind has no place in the pool's options: the daemons are asked for by a request. */
static int launch_bound(cli *c, hato_pool *pool, int daemons, int slots) {
  if (daemons == 0 && slots > 0) daemons = 1;
  return cli_request(c, pool,
                     json_pack("{s:s,s:s,s:i,s:i,s:s}", "op", "launch", "launcher", "local", "n", daemons,
                               "slots", slots, "bind", hato__conf_get_text(c->conf, "bind")),
                     cli_ignore_answer, NULL);
}

static void warn_of_ignored(cli *c) {
  static const char *const names[] = {"jobs", "daemons", "slots", "bind"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    if (!hato__conf_find(c->conf, names[i]) || !hato__conf_is_set(c->conf, names[i])) continue;
    cli_fail(c, CLI_OK,
             "%s is passed over: the session that is up has daemons of its own (--embedded starts others)",
             hato__conf_where(c->conf, names[i]));
  }
}

int cli_task_pool_open(cli *c, hato_pool **pool, bool *embedded) {
  char binary[4096];
  hato_pool_options o;
  hato_error err;
  hato_pool_info info = {.size = sizeof info};
  cli_pool_options(c, &o);
  bool own = hato__conf_get_bool(c->conf, "embedded"), bound = hato__conf_is_set(c->conf, "bind");
  if (own && o.url) return cli_fail(c, CLI_USAGE, "--embedded and --url: one of them was wanted");
  if (o.mode != HATO_POOL_URL) o.mode = own ? HATO_POOL_EMBEDDED : HATO_POOL_AUTO;
  int daemons = (int)hato__conf_get_int(c->conf, "daemons"),
      slots = (int)hato__conf_get_int(c->conf, "slots");
  if (hato__conf_find(c->conf, "jobs") && hato__conf_is_set(c->conf, "jobs")) {
    if (daemons || slots)
      return cli_fail(c, CLI_USAGE, "-j says the slots of one daemon: -n and --slots cannot stand beside it");
    slots = (int)hato__conf_get_int(c->conf, "jobs");
  }
  o.daemons = bound ? -1 : daemons;
  o.slots = bound ? 0 : slots;
  o.hato_binary = cli_binary(binary, sizeof binary);
  hato_status st = hato_pool_open(&o, pool, &err);
  if (st) return cli_fail(c, st == HATO_NOT_FOUND ? CLI_FAILED : cli_code(st), "%s", err.text);
  hato_pool_get_info(*pool, &info);
  *embedded = info.embedded;
  int code = CLI_OK;
  if (!info.embedded) {
    warn_of_ignored(c);
  } else if (bound) {
    code = launch_bound(c, *pool, daemons, slots);
  }
  if (code) {
    hato_pool_close(*pool);
    *pool = NULL;
  }
  return code;
}

/* ---- an embedded pool that lost all its daemons ---- */

static int look_at_daemons(cli *c, json_t *o, void *arg) {
  char *words = arg;
  size_t i, k;
  json_t *l, *member;
  (void)c;
  if (json_array_size(json_object_get(o, "daemons")) > 0) return CLI_OK;
  json_array_foreach(json_object_get(o, "launches"), i, l) {
    const char *error = json_string_value(json_object_get(l, "error"));
    if (!json_is_true(json_object_get(l, "over")) || json_object_get(l, "next_in")) return CLI_OK;
    if (error) snprintf(words, 600, "%s", error);
    json_array_foreach(json_object_get(l, "members"), k, member) {
      const char *reason = json_string_value(json_object_get(member, "reason"));
      const char *log = json_string_value(json_object_get(member, "log"));
      if (reason || log)
        snprintf(words, 600, "%s%s%s", reason ? reason : "", reason && log ? ": " : "", log ? log : "");
    }
  }
  if (!*words) snprintf(words, 600, "they have ended");
  return CLI_OK;
}

int cli_task_look(cli *c, hato_pool *pool) {
  char words[600] = "";
  int code = cli_request(c, pool, json_pack("{s:s}", "op", "status"), look_at_daemons, words);
  if (code || !*words) return code;
  return cli_fail(c, CLI_FAILED, "no daemon is left to execute tasks: %s", words);
}

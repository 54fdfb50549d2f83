/* The session at a glance, and its tasks one by one. */
#include "cli/security.h"
#include "cli/verbs.h"

#include "base/clock.h"

#include <string.h>

/* ---- status ---- */

static void print_daemons(const json_t *o) {
  size_t i;
  json_t *d;
  const json_t *list = json_object_get(o, "daemons");
  if (json_array_size(list)) printf("\n%-7s %-20s %8s %6s %8s %10s  %s\n", "daemon", "host", "process", "slots", "running", "done", "state");
  json_array_foreach(list, i, d)
      printf("%-7lld %-20s %8lld %6lld %8lld %10lld  %s\n", (long long)cli_number(d, "daemon"), cli_text(d, "host"),
             (long long)cli_number(d, "pid"), (long long)cli_number(d, "slots"), (long long)cli_number(d, "running"),
             (long long)cli_number(d, "done"), cli_text(d, "state"));
}

/* ---- launches ---- */

#define SHOWN 20 /* lines of members, a launch */

static bool alike(const json_t *a, const json_t *b) {
  static const char *const keys[] = {"state", "reason", "host", "log", NULL};
  for (const char *const *k = keys; *k; k++)
    if (strcmp(cli_text(a, *k), cli_text(b, *k)) != 0) return false;
  return cli_number(a, "exit") == cli_number(b, "exit") && cli_number(a, "signal") == cli_number(b, "signal");
}

static void print_members(const json_t *m, const json_t *last, double now) {
  char since[32];
  bool several = m != last, ended = strcmp(cli_text(m, "state"), "ended") == 0;
  printf("  member%s %lld", several ? "s" : "", (long long)cli_number(m, "member"));
  if (several) printf("-%lld", (long long)cli_number(last, "member"));
  printf(" %s", cli_text(m, "state"));
  if (json_object_get(m, "since"))
    printf(" %s%s", cli_seconds(now - json_number_value(json_object_get(m, "since")), since, sizeof since),
           ended ? " ago" : "");
  if (*cli_text(m, "job")) printf(", %s", cli_text(m, "job"));
  if (several && *cli_text(last, "job") && strcmp(cli_text(m, "job"), cli_text(last, "job")) != 0) printf(" to %s", cli_text(last, "job"));
  if (*cli_text(m, "host")) printf(" on %s", cli_text(m, "host"));
  if (json_object_get(m, "signal")) printf(", signal %lld", (long long)cli_number(m, "signal"));
  if (json_object_get(m, "exit")) printf(", exit status %lld", (long long)cli_number(m, "exit"));
  if (*cli_text(m, "reason")) printf(": %s", cli_text(m, "reason"));
  printf("\n");
  for (const char *line = cli_text(m, "log"); *line; line += strcspn(line, "\n"), line += *line == '\n')
    printf("    | %.*s\n", (int)strcspn(line, "\n"), line);
}

static bool at_work(const json_t *m) {
  return strcmp(cli_text(m, "state"), "connected") == 0 || strcmp(cli_text(m, "state"), "running") == 0;
}

/* Those that are at work, or all others, alike ones together. */
static void print_some(const json_t *members, bool working, double now) {
  size_t n = json_array_size(members), lines = 0, i = 0;
  while (i < n) {
    const json_t *m = json_array_get(members, i), *last = m;
    size_t to = i + 1;
    while (to < n && alike(m, json_array_get(members, to))) last = json_array_get(members, to++);
    if (at_work(m) == working && lines++ < SHOWN) print_members(m, last, now);
    i = to;
  }
  if (lines > SHOWN) printf("  and %zu more; --json tells of all\n", lines - SHOWN);
}

static void print_launches(const json_t *o, double now) {
  static const char *const states[] = {"connected", "running", "starting", "queued", "submitted", "asked", "ended", NULL};
  size_t i;
  json_t *l;
  char s[32];
  json_array_foreach(json_object_get(o, "launches"), i, l) {
    const char *comma = ": ";
    printf("\nlaunch %lld by %s", (long long)cli_number(l, "launch"), cli_text(l, "launcher"));
    if (*cli_text(l, "profile")) printf(", profile %s", cli_text(l, "profile"));
    printf(", %s ago", cli_seconds(now - json_number_value(json_object_get(l, "since")), s, sizeof s));
    if (cli_number(l, "replaces")) printf(", in the place of daemons of launch %lld", (long long)cli_number(l, "replaces"));
    for (const char *const *state = states; *state; state++) {
      if (cli_number(l, *state) == 0) continue;
      printf("%s%lld %s", comma, (long long)cli_number(l, *state), *state);
      comma = ", ";
    }
    printf("%s\n", *comma == ':' && *cli_text(l, "error") ? ": failed" : "");
    if (*cli_text(l, "error")) printf("  %s\n", cli_text(l, "error"));
    if (*cli_text(l, "trouble")) printf("  as last known: %s\n", cli_text(l, "trouble"));
    if (json_object_get(l, "next_in")) {
      printf("  those that failed are replaced in %s",
             cli_seconds(json_number_value(json_object_get(l, "next_in")), s, sizeof s));
      if (cli_number(l, "crashes")) printf(", after %lld attempts that failed", (long long)cli_number(l, "crashes"));
      printf("\n");
    }
    print_some(json_object_get(l, "members"), false, now);
    print_some(json_object_get(l, "members"), true, now);
  }
}

static int print_status(cli *c, json_t *o, void *arg) {
  char up[32];
  size_t i;
  json_t *u;
  (void)arg;
  if (c->json) {
    cli_print_json(o);
    return CLI_OK;
  }
  const json_t *t = json_object_get(o, "tasks"), *spool = json_object_get(o, "spool");
  printf("session %s on %s, process %lld, up for %s\n", cli_text(o, "session"), cli_text(o, "host"), (long long)cli_number(o, "pid"),
         cli_seconds(json_number_value(json_object_get(o, "uptime")), up, sizeof up));
  json_array_foreach(json_object_get(o, "listeners"), i, u)
      printf("listens at %s%s\n", cli_text(u, "url"), cli_encryption(u));
  printf("tasks: %lld queued, %lld sent, %lld running, %lld done, %lld failed\n", (long long)cli_number(t, "queued"),
         (long long)cli_number(t, "sent"), (long long)cli_number(t, "running"), (long long)cli_number(t, "done"),
         (long long)cli_number(t, "failed"));
  printf("slots: %lld of %lld busy; clients: %zu\n", (long long)cli_number(o, "busy"), (long long)cli_number(o, "slots"),
         json_array_size(json_object_get(o, "clients")));
  if (json_is_true(json_object_get(spool, "full")))
    printf("the spool in %s is nearly full: detached tasks wait; `hato forget` gives space back\n", cli_text(spool, "folder"));
  print_daemons(o);
  print_launches(o, (double)hato__wall_now() / 1e9);
  return CLI_OK;
}

static const hato__conf_row status_rows[] = {
    {.name = "security", .type = HATO__CONF_BOOL,
     .help = "Show instead who is admitted where, by what, and who is connected."},
};

static int run_status(cli *c) {
  hato_pool *pool;
  bool security = hato__conf_get_bool(c->conf, "security");
  int code = cli_connect(c, &pool);
  if (code) return code;
  code = cli_request(c, pool, json_pack("{s:s}", "op", security ? "security" : "status"),
                     security ? cli_print_security : print_status, NULL);
  hato_pool_close(pool);
  return code;
}

const cli_verb cli_status = {.name = "status",
                             .summary = "show the session: its tasks, daemons and launches",
                             .operands = "",
                             .text = "Where the session listens it is said whether what comes and goes there is encrypted; "
                                     "no word stands beside addresses that only this machine can reach.\n",
                             .examples = "hato status\tfor people\nhato status --json\tone object\n"
                                         "hato status --security\twhat listens where, and who proved what\n",
                             .rows = status_rows,
                             .n_rows = sizeof status_rows / sizeof *status_rows,
                             .flags = CLI_REPORTS,
                             .run = run_status};

/* ---- tasks ---- */

static const hato__conf_row task_rows[] = {
    {.name = "state", .type = HATO__CONF_ENUM, .names = (const char *const[]){"queued", "sent", "running", "done", "failed", NULL},
     .metavar = "STATE", .help = "Only tasks in this state: queued, sent, running, done or failed."},
    {.name = "tasks", .type = HATO__CONF_OPERANDS, .metavar = "IDS", .min = 0, .max = -1,
     .help = "Task numbers, ranges and lists of them; without, all that are known."},
};

static void how_it_went(const json_t *o, char *out, size_t n) {
  char s[32];
  const char *state = cli_text(o, "state");
  if (json_object_get(o, "error")) {
    snprintf(out, n, "%s: %s", state, cli_text(o, "words"));
  } else if (json_object_get(o, "signal")) {
    snprintf(out, n, "%s: signal %lld", state, (long long)cli_number(o, "signal"));
  } else if (cli_number(o, "exit")) {
    snprintf(out, n, "%s: exit %lld", state, (long long)cli_number(o, "exit"));
  } else if (strcmp(state, "running") == 0) {
    snprintf(out, n, "running %s", cli_seconds(json_number_value(json_object_get(o, "running_for")), s, sizeof s));
  } else {
    snprintf(out, n, "%s", state);
  }
}

static int print_task(cli *c, json_t *o, void *arg) {
  char how[128], index[32] = "";
  bool *head = arg;
  (void)c;
  if (!*head) printf("%-10s %-24s %-8s %s\n", "task", "state", "index", "command");
  *head = true;
  how_it_went(o, how, sizeof how);
  if (json_object_get(o, "index")) snprintf(index, sizeof index, "%lld", (long long)cli_number(o, "index"));
  return printf("%-10lld %-24s %-8s %s\n", (long long)cli_number(o, "task"), how, index, cli_text(o, "command")) < 0 ? CLI_FAILED : CLI_OK;
}

static int run_tasks(cli *c) {
  hato_pool *pool;
  bool head = false;
  json_t *q = json_pack("{s:s}", "op", "tasks");
  if (hato__conf_is_set(c->conf, "state"))
    json_object_set_new(q, "state", json_string(hato__conf_get_text(c->conf, "state")));
  if (c->n_words) {
    hato__buf b = {0};
    for (size_t i = 0; i < c->n_words; i++) hato__buf_printf(&b, "%s%s", i ? "," : "", c->words[i]);
    if (hato__buf_text(&b)) json_object_set_new(q, "tasks", json_string(hato__buf_text(&b)));
    hato__buf_free(&b);
  }
  int code = cli_connect(c, &pool);
  if (code) {
    json_decref(q);
    return code;
  }
  code = cli_request(c, pool, q, c->json ? NULL : print_task, &head);
  hato_pool_close(pool);
  return code;
}

const cli_verb cli_tasks = {.name = "tasks",
                            .summary = "list tasks",
                            .operands = "[IDS...]",
                            .text = "Detached tasks are listed until they are forgotten, attached ones until they are resolved. "
                                    "The list is streamed, however long it is.\n",
                            .examples = "hato tasks --state failed\twhich went wrong\n"
                                        "hato tasks --json 1-1000\tan object a line\n",
                            .rows = task_rows,
                            .n_rows = 2,
                            .flags = CLI_REPORTS,
                            .run = run_tasks};

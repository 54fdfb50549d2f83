/* hato output: what tasks wrote, as the session keeps it. */
#include "cli/emit.h"
#include "cli/signals.h"
#include "cli/task.h"
#include "cli/verbs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const hato__conf_row rows[] = {
    {.name = "all", .type = HATO__CONF_BOOL, .help = "All tasks of the session that are resolved."},
    {.name = "err", .type = HATO__CONF_BOOL, .help = "Standard error, instead of standard output."},
    {.name = "both",
     .type = HATO__CONF_BOOL,
     .help = "Standard output to standard output, and standard error to standard error."},
    {.name = "tasks",
     .type = HATO__CONF_OPERANDS,
     .metavar = "IDS",
     .min = 0,
     .max = -1,
     .help = "Task numbers, ranges and lists of them: 17, 1-1000, 3,5,9-12."},
};

enum { IN_FLIGHT = 64 };

typedef struct output {
  cli *c;
  hato_pool *pool;
  emit emit;
  hato__range *ranges;
  size_t n, at;
  uint64_t next; /* to be asked for, of ranges[at] */
  hato_future *ring[IN_FLIGHT];
  uint64_t task[IN_FLIGHT];
  size_t first, count; /* of the ring */
  uint64_t failed;
} output;

/* ---- which ---- */

static bool add_range(output *o, uint64_t task) {
  if (o->n && o->ranges[o->n - 1].last + 1 == task) {
    o->ranges[o->n - 1].last++;
    return true;
  }
  hato__range *grown = reallocarray(o->ranges, o->n + 1, sizeof *grown);
  if (!grown) return false;
  o->ranges = grown;
  o->ranges[o->n++] = (hato__range){task, task};
  return true;
}

static int listed(cli *c, json_t *t, void *arg) {
  const char *state = json_string_value(json_object_get(t, "state"));
  bool resolved = state && (strcmp(state, "done") == 0 || strcmp(state, "failed") == 0);
  if (!resolved || add_range(arg, (uint64_t)json_integer_value(json_object_get(t, "task")))) return CLI_OK;
  return cli_fail(c, CLI_FAILED, "out of memory");
}

static int which(output *o) {
  cli *c = o->c;
  hato_error err;
  if (hato__conf_get_bool(c->conf, "all")) {
    if (c->n_words) return cli_fail(c, CLI_USAGE, "--all and '%s': one of them was wanted", c->words[0]);
    return cli_request(c, o->pool, json_pack("{s:s}", "op", "tasks"), listed, o);
  }
  for (size_t i = 0; i < c->n_words; i++)
    if (hato__ranges_parse(c->words[i], &o->ranges, &o->n, &err))
      return cli_fail(c, CLI_USAGE, "%s", err.text);
  return CLI_OK;
}

/* ---- fetching ---- */

static int ask(output *o) {
  hato_error err;
  while (o->count < IN_FLIGHT && o->at < o->n) {
    size_t slot = (o->first + o->count) % IN_FLIGHT;
    o->task[slot] = o->next;
    hato_status st = hato_fetch(o->pool, o->next, NULL, &o->ring[slot], &err);
    if (st) return cli_fail(o->c, cli_code(st), "%s", err.text);
    o->count++;
    if (o->next++ < o->ranges[o->at].last) continue;
    if (++o->at < o->n) o->next = o->ranges[o->at].first;
  }
  return CLI_OK;
}

static void say(output *o, uint64_t task, const char *words) {
  hato__buf b = {0};
  hato__buf_printf(&b, "hato output: task %llu: %s\n", (unsigned long long)task, words);
  if (!b.failed) cli_emit_err(&o->emit, b.data, b.len);
  hato__buf_free(&b);
  o->failed++;
}

static void print_json(output *o, uint64_t task, const hato_result *r) {
  json_t *j = cli_task_json(r);
  if (j) json_object_set_new(j, "task", json_integer((json_int_t)task));
  char *text = j ? json_dumps(j, JSON_COMPACT) : NULL;
  json_decref(j);
  if (text) {
    cli_emit_out(&o->emit, text, strlen(text));
    cli_emit_out(&o->emit, "\n", 1);
  }
  free(text);
  o->failed += r->error != 0;
}

static void print(output *o, uint64_t task, const hato_result *r) {
  char how[700];
  bool err = hato__conf_get_bool(o->c->conf, "err"), both = hato__conf_get_bool(o->c->conf, "both");
  if (o->c->json) {
    print_json(o, task, r);
    return;
  }
  if (both || !err) cli_emit_out(&o->emit, r->out, r->out_size);
  if (both) cli_emit_err(&o->emit, r->err, r->err_size);
  if (err && !both) cli_emit_out(&o->emit, r->err, r->err_size);
  if (!r->error) return;
  cli_task_outcome(r, how, sizeof how);
  if (r->error == HATO_STATE)
    snprintf(how, sizeof how, "it is not resolved yet; `hato wait %llu` waits for it",
             (unsigned long long)task);
  if (r->error == HATO_NOT_FOUND && !*r->words)
    snprintf(how, sizeof how, "there is none, or nothing is kept of it any more");
  say(o, task, how);
}

static int fetch_all(output *o) {
  int code = CLI_OK;
  if (o->n) o->next = o->ranges[0].first;
  while (!code && o->emit.state == EMIT_OK) {
    code = ask(o);
    if (code || o->count == 0) break;
    hato_result r;
    hato_future *f = o->ring[o->first];
    hato_status st = hato_future_wait(f, HATO_FOREVER);
    if (!st) st = hato_future_result(f, &r);
    if (st)
      return cli_fail(o->c, cli_code(st), "task %llu: %s", (unsigned long long)o->task[o->first],
                      hato_strerror(st));
    print(o, o->task[o->first], &r);
    hato_future_release(f);
    o->first = (o->first + 1) % IN_FLIGHT;
    o->count--;
  }
  cli_emit_flush(&o->emit);
  return code;
}

static int ended(output *o) {
  if (o->emit.state == EMIT_GONE) return 128 + SIGPIPE;
  if (o->emit.state == EMIT_FAILED)
    return cli_fail(o->c, CLI_FAILED, "cannot write: %s", strerror(o->emit.error));
  return o->failed ? CLI_TASK_FAILED : CLI_OK;
}

static int run(cli *c) {
  output o = {.c = c};
  if (!hato__conf_get_bool(c->conf, "all") && c->n_words == 0)
    return cli_fail(c, CLI_USAGE, "which tasks? their numbers, or --all, were wanted");
  int code = cli_connect(c, &o.pool);
  if (code) return code;
  cli_emit_init(&o.emit, -1);
  code = which(&o);
  if (!code) code = fetch_all(&o);
  if (!code) code = ended(&o);
  for (size_t i = 0; i < o.count; i++) hato_future_release(o.ring[(o.first + i) % IN_FLIGHT]);
  hato_pool_close(o.pool);
  cli_emit_free(&o.emit);
  free(o.ranges);
  return code;
}

const cli_verb cli_output = {
    .name = "output",
    .summary = "print the kept output of tasks, in order",
    .operands = "IDS... | --all",
    .text = "Reading consumes nothing: `hato forget` does. A task without a result (cancelled, out of time, "
            "not resolved yet, "
            "forgotten) is said on standard error, and the exit status is then 1.\n",
    .examples = "hato output 17\twhat task 17 wrote\n"
                "hato output --err 1-1000\twhat a thousand wrote to standard error\n"
                "hato output --all --json\tan object a line, with exit status and times\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .flags = CLI_REPORTS,
    .run = run};

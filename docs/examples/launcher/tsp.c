/* A launcher in full: daemons as jobs of Task Spooler, a user's own queue on one machine (`tsp`, Debian's
 * task-spooler). docs/launchers.md goes through it; `make test` builds it and runs the conformance suite.
 *
 * A member of a launch is a job with the label TAG.NUMBER. So the queue's own list is all the state
 * there is, and adopt needs nothing but the tag. */
#include <hato/launcher.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VARIABLE "HATO_TSP_MEMBER" /* tells a member its number */
#define TSP(h, ...) run_tsp(h, (const char *const[]){"tsp", __VA_ARGS__, NULL}, NULL)

/* What tsp printed; NULL: `fail` has said why not. */
static const char *run_tsp(const hato_host *h, const char *const *argv, const char *const *env) {
  hato_run run = {.size = sizeof run, .argv = argv, .env = env};
  if (h->run(h, &run) != HATO_OK) return NULL;
  if (run.exit_code == 0) return run.out;
  (void)h->fail(h, HATO_AGAIN, "tsp %s exited with %d: %s", argv[1], run.exit_code, run.err);
  return NULL;
}

typedef struct job {
  char id[16], state[16];
  unsigned member;
  int code; /* -1: it was killed, or could not be started */
} job;

/* The next job of a launch in the list, whose lines are ID STATE OUTPUT [CODE TIMES] [LABEL]COMMAND. */
static int next(const char **list, const char *tag, job *j) {
  while (**list != 0) {
    const char *line = *list, *label = strchr(line, '['), *end = strchr(line, '\n');
    size_t n = strlen(tag);
    *list = end != NULL ? end + 1 : line + strlen(line);
    j->code = -1;
    if (label != NULL && strncmp(label + 1, tag, n) == 0 && sscanf(label + 1 + n, ".%u]", &j->member) == 1 &&
        sscanf(line, "%15s %15s %*s %d", j->id, j->state, &j->code) >= 2)
      return 1;
  }
  return 0;
}

static int probe(const hato_host *h) { return TSP(h, "-V") != NULL ? HATO_OK : HATO_NOT_FOUND; }

/* For a moment after its start a job has no process group yet, and `tsp -k` would end nothing. */
static void end_job(const hato_host *h, const char *id) {
  for (int i = 0; i < 1000; i++) {
    const char *state = TSP(h, "-s", id), *pid = NULL;
    if (state == NULL || strncmp(state, "finished", 8) == 0) return; /* NULL: it was removed */
    if (strncmp(state, "running", 7) != 0 && TSP(h, "-r", id) != NULL) return;
    if ((pid = TSP(h, "-p", id)) != NULL && atoi(pid) > 0 && kill(-atoi(pid), SIGTERM) == 0) return;
  }
}

static int cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members,
                  uint32_t n) {
  const char *list = TSP(h, "-l");
  (void)state;
  if (list == NULL) return HATO_AGAIN;
  for (job j; next(&list, l->tag, &j);) {
    uint32_t k = 0;
    while (k < n && members[k] != j.member) k++;
    if (n == 0 || k < n) end_job(h, j.id);
  }
  return HATO_OK;
}

/* "NAME=SECRET", in memory that the host wipes: what `format` makes is not. */
static const char *secret_variable(const hato_host *h, const hato_launch_request *r) {
  size_t name = strlen(r->secret_env);
  char *text = h->alloc(h, name + 1 + r->secret_len + 1);
  if (text == NULL) return NULL;
  memcpy(text, r->secret_env, name);
  text[name] = '=';
  memcpy(text + name + 1, r->secret, r->secret_len);
  text[name + 1 + r->secret_len] = '\0';
  return text;
}

static int submit(const hato_host *h, const hato_launch_request *r, uint32_t i) {
  static const char script[] = "log=$1; shift; exec \"$@\" >>\"$log\" 2>&1 </dev/null";
  const char *log = r->log_dir != NULL ? h->format(h, "%s/%s.%u.log", r->log_dir, r->tag, i) : "/dev/null";
  const char *weight = h->format(h, "%d", (int)h->option_int(h, r->options, "weight"));
  const char *label = h->format(h, "%s.%u", r->tag, i);
  const char *head[] = {"tsp", "-n", "-N", weight, "-L", label, "sh", "-c", script, "sh", log};
  uint32_t words = sizeof head / sizeof *head, n = 0;
  while (r->env[n] != NULL) n++;
  const char **argv = h->alloc(h, (words + r->argc + 1) * sizeof *argv);
  const char **env = h->alloc(h, (n + 3) * sizeof *env);
  if (argv == NULL || env == NULL || log == NULL || weight == NULL || label == NULL) return HATO_NO_MEMORY;
  memcpy(argv, head, sizeof head);
  memcpy(argv + words, r->argv, r->argc * sizeof *argv);
  memcpy(env, r->env, n * sizeof *env);
  env[n++] = h->format(h, VARIABLE "=%u", i);
  /* A job has tsp's environment; `tsp -l` and `tsp -i` do not show it. */
  if (r->secret_way == HATO_SECRET_ENVIRONMENT && (env[n] = secret_variable(h, r)) == NULL) return HATO_NO_MEMORY;
  return run_tsp(h, argv, env) != NULL ? HATO_OK : HATO_SYSTEM;
}

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  hato_launch made = {.size = sizeof made, .count = r->count, .id = r->id, .tag = r->tag};
  int rc = HATO_OK;
  record->len = (uint32_t)snprintf((char *)record->bytes, sizeof record->bytes, "tsp 1");
  for (uint32_t i = 0; i < r->count && rc == HATO_OK; i++)
    rc = h->should_abort(h) ? h->fail(h, HATO_INTERRUPTED, "given up after %u jobs", i) : submit(h, r, i);
  if (rc != HATO_OK) (void)cancel(state, h, &made, NULL, 0); /* all or none */
  return rc;
}

static void tell(const hato_host *h, const hato_launch *l, const job *j) {
  hato_member m = {.size = sizeof m, .first = j->member, .count = 1, .state = HATO_MEMBER_RUNNING};
  m.job = j->id;
  if (l->log_dir != NULL) m.log_path = h->format(h, "%s/%s.%u.log", l->log_dir, l->tag, j->member);
  if (strcmp(j->state, "finished") == 0) {
    m.state = HATO_MEMBER_ENDED;
    m.flags = j->code >= 0 ? HATO_MEMBER_EXIT_KNOWN : 0;
    m.exit_code = j->code;
    m.reason = j->code >= 0 ? h->format(h, "exited with %d", j->code) : "killed, or could not be started";
  } else if (strcmp(j->state, "running") != 0) {
    m.state = HATO_MEMBER_QUEUED;
    m.reason = "all slots of tsp are taken (tsp -S N gives it more)";
  }
  h->member(h, l->id, &m);
}

/* One question for all launches. What is not in the list any more was removed from it. */
static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  const char *list = TSP(h, "-l");
  (void)state;
  if (list == NULL) return HATO_AGAIN;
  for (uint32_t k = 0; k < n; k++) {
    const hato_launch *l = launches[k];
    const char *at = list;
    char *there = h->alloc(h, l->count);
    if (there == NULL) return HATO_NO_MEMORY;
    for (job j; next(&at, l->tag, &j);) {
      if (j.member >= l->count) continue;
      there[j.member] = 1;
      tell(h, l, &j);
    }
    hato_member gone = {.size = sizeof gone, .count = 1, .state = HATO_MEMBER_ENDED};
    gone.reason = "forgotten by tsp";
    for (gone.first = 0; gone.first < l->count; gone.first++)
      if (!there[gone.first]) h->member(h, l->id, &gone);
  }
  return HATO_OK;
}

static int adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
  const char *list = TSP(h, "-l");
  (void)state;
  if (list == NULL) return HATO_AGAIN;
  record->len = (uint32_t)snprintf((char *)record->bytes, sizeof record->bytes, "tsp 1");
  for (job j; next(&list, l->tag, &j);)
    if (strcmp(j.state, "finished") != 0) return HATO_OK;
  return h->fail(h, HATO_NOT_FOUND, "no job of launch %s is in the queue of tsp", l->tag);
}

static const hato_option_row options[] = {
    {.name = "weight", .type = HATO_OPTION_INT, .def = "1", .min = 1, .max = 99, .help = "Slots of each."}};

const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .name = "tsp",
    .version = "1.0",
    .description = "daemons as jobs of Task Spooler on this machine",
    .flags = HATO_LAUNCHER_SHARES_HOST | HATO_LAUNCHER_CANCELS_MEMBERS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .secret_ways = HATO_SECRET_ENVIRONMENT | HATO_SECRET_FILE,
    .member_env = VARIABLE,
    .interval_ms = 1000,
    .probe = probe,
    .launch = launch,
    .poll = poll_all,
    .cancel = cancel,
    .adopt = adopt,
};

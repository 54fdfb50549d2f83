/* Function tasks over libhato, as a user's program has them, timed from the first submit
 * call to the last result held.
 *
 *   tasks array   [-n TASKS]      one array of empty functions
 *   tasks single  [-n TASKS]      as many single submits, all outstanding
 *   tasks trips   [-n TRIPS]      one at a time; the median
 *   tasks bytes   [-m MEGABYTES]  one function with as much in and out
 *   tasks pareto  [-n TASKS] [--slots N]  sleeps of very unequal length beside list scheduling
 *   tasks queued  [-n TASKS]      arguments of 16 bytes, with nobody to run them
 *   tasks waiting [-m MEGABYTES] [--detached]  one argument, with nobody to run it
 *   tasks hold    [-n TASKS]      until standard input ends, tasks that daemons never end
 *
 * --object FILE holds the functions (tests/functions/bench.c). The session of HATO_SESSION
 * runs them, or the dispatcher of --url URL and --credential FILE, or with --embedded BINARY this
 * process and a daemon with --slots N (2).
 * --watch PID tells what became of a process's memory: the dispatcher's. */
#include "bench/floor.h"
#include "bench/memory.h"
#include "hato/hato.h"

#include <inttypes.h>
#include <math.h>

typedef struct bench {
  const char *object, *embedded, *url, *credential;
  size_t n, mb;
  int slots;
  long watch;
  bool detached;
  hato_pool *pool;
} bench;

static void check(hato_status st, const char *what, const hato_error *err) {
  if (st == HATO_OK) return;
  fprintf(stderr, "tasks: %s: %s\n", what, err && *err->text ? err->text : hato_strerror((int)st));
  exit(1);
}

static void open_pool(bench *b) {
  hato_error err = {0};
  hato_pool_options o = HATO_POOL_OPTIONS_INIT;
  o.mode = b->embedded ? HATO_POOL_EMBEDDED : b->url ? HATO_POOL_URL : HATO_POOL_SESSION;
  o.url = b->url;
  o.credential_file = b->credential;
  o.hato_binary = b->embedded;
  o.daemons = b->embedded ? 1 : 0;
  o.slots = b->embedded ? b->slots : 0;
  check(hato_pool_open(&o, &b->pool, &err), "opening a pool", &err);
}

static hato_spec *function(bench *b, const char *symbol) {
  hato_error err = {0};
  hato_spec *spec;
  hato_function f = HATO_FUNCTION_INIT;
  f.object_path = b->object;
  f.symbol = symbol;
  check(hato_spec_function(b->pool, &f, &spec, &err), symbol, &err);
  return spec;
}

static void is_well(const hato_result *r) {
  if (r->error == 0 && r->wait_status == 0) return;
  fprintf(stderr, "tasks: error value %d, wait status %d: %s\n", r->error, r->wait_status, r->words);
  exit(1);
}

static void all_well(hato_array *a) {
  for (size_t i = 0; i < hato_array_count(a); i++) {
    hato_result r;
    check(hato_array_result(a, i, &r), "a result", NULL);
    is_well(&r);
  }
}

/* Executors are started and the object is loaded: that is no part of a rate. */
static void warm_up(bench *b, hato_spec *spec, size_t n) {
  hato_error err = {0};
  hato_array *a;
  check(hato_submit_array(b->pool, spec, NULL, n, 0, NULL, &a, &err), "submit", &err);
  check(hato_array_wait(a, 60000), "wait", NULL);
  all_well(a);
  hato_array_release(a);
}

static int rate(const char *row, size_t n, uint64_t ns) {
  printf("{\"row\":\"%s\",\"n\":%zu,\"seconds\":%.4f,\"per_s\":%.0f}\n", row, n, (double)ns / 1e9,
         (double)n * 1e9 / (double)ns);
  return 0;
}

static int run_array(bench *b) {
  hato_error err = {0};
  hato_array *a;
  hato_spec *spec = function(b, "empty");
  warm_up(b, spec, 1000);
  uint64_t begun = now_ns();
  check(hato_submit_array(b->pool, spec, NULL, b->n, 0, NULL, &a, &err), "submit", &err);
  check(hato_array_wait(a, HATO_FOREVER), "wait", NULL);
  uint64_t ns = now_ns() - begun;
  all_well(a);
  hato_array_release(a);
  return rate("array", b->n, ns);
}

static int run_single(bench *b) {
  hato_error err = {0};
  hato_spec *spec = function(b, "empty");
  hato_future **futures = calloc(b->n, sizeof(hato_future *));
  warm_up(b, spec, 1000);
  uint64_t begun = now_ns();
  for (size_t i = 0; i < b->n; i++)
    check(hato_submit(b->pool, spec, (hato_argument){0}, NULL, NULL, &futures[i], &err), "submit", &err);
  check(hato_wait_all(futures, b->n, HATO_FOREVER), "wait", NULL);
  uint64_t ns = now_ns() - begun;
  for (size_t i = 0; i < b->n; i++) {
    hato_result r;
    check(hato_future_result(futures[i], &r), "a result", NULL);
    is_well(&r);
    hato_future_release(futures[i]);
  }
  free(futures);
  return rate("single", b->n, ns);
}

static int run_trips(bench *b) {
  enum { WARM = 500 };
  hato_error err = {0};
  hato_spec *spec = function(b, "empty");
  uint64_t *t = calloc(b->n, sizeof *t);
  for (size_t i = 0; i < b->n + WARM; i++) {
    hato_future *f;
    hato_result r;
    uint64_t begun = now_ns();
    check(hato_submit(b->pool, spec, (hato_argument){0}, NULL, NULL, &f, &err), "submit", &err);
    check(hato_future_wait(f, HATO_FOREVER), "wait", NULL);
    check(hato_future_result(f, &r), "a result", NULL);
    if (i >= WARM) t[i - WARM] = now_ns() - begun;
    is_well(&r);
    hato_future_release(f);
  }
  uint64_t m = median(t, b->n);
  printf("{\"row\":\"trips\",\"n\":%zu,\"median_ns\":%" PRIu64 ",\"p10_ns\":%" PRIu64 ",\"p90_ns\":%" PRIu64 "}\n", b->n,
         m, t[b->n / 10], t[b->n * 9 / 10]);
  free(t);
  return 0;
}

static int run_bytes(bench *b) {
  hato_error err = {0};
  hato_spec *spec = function(b, "echo");
  warm_up(b, spec, 16);
  size_t total = b->mb * 1000000;
  unsigned char *payload = malloc(total);
  for (size_t i = 0; i < total; i++) payload[i] = (unsigned char)(i * 2654435761u >> 13);
  uint64_t before = memory_peak_restart(b->watch);
  hato_future *f;
  hato_result r;
  uint64_t begun = now_ns();
  check(hato_submit(b->pool, spec, (hato_argument){payload, total}, NULL, NULL, &f, &err), "submit", &err);
  check(hato_future_wait(f, HATO_FOREVER), "wait", NULL);
  check(hato_future_result(f, &r), "the result", NULL);
  uint64_t ns = now_ns() - begun;
  is_well(&r);
  if (r.out_size != total || memcmp(r.out, payload, total) != 0) {
    fprintf(stderr, "tasks: %zu bytes came back, not the same as the %zu sent\n", r.out_size, total);
    return 1;
  }
  printf("{\"row\":\"bytes\",\"mb\":%zu,\"mb_s\":%.0f,\"grew\":%" PRIu64 "}\n", b->mb, 2.0 * (double)total * 1e3 / (double)ns,
         memory_of(b->watch, "VmHWM") - before);
  hato_future_release(f);
  free(payload);
  return 0;
}

/* ---- sleeps of very unequal length ---- */

/* Pareto, shape 1.1, the same in every run; scaled so that they last 36 s in all, none over 4.5 % of it. */
static void pareto(uint64_t *ns, size_t n) {
  double total = 36e9, sum = 0, seed = 0.5;
  double *w = calloc(n, sizeof *w);
  for (size_t i = 0; i < n; i++) {
    seed = fmod(seed + 0.6180339887498949, 1); /* a sequence that fills the interval evenly */
    w[i] = pow(1 - seed * 0.9999, -1 / 1.1);
    sum += w[i];
  }
  double spare = 0;
  for (size_t i = 0; i < n; i++) {
    w[i] *= total / sum;
    if (w[i] > total * 0.045) spare += w[i] - total * 0.045, w[i] = total * 0.045;
  }
  for (size_t i = 0; i < n; i++) ns[i] = (uint64_t)(w[i] + (w[i] < total * 0.02 ? spare / (double)n : 0));
  free(w);
}

/* Each task in turn to the slot that is free first. */
static uint64_t list_schedule(const uint64_t *ns, size_t n, int slots) {
  uint64_t *end = calloc((size_t)slots, sizeof *end), last = 0;
  for (size_t i = 0; i < n; i++) {
    int first = 0;
    for (int k = 1; k < slots; k++)
      if (end[k] < end[first]) first = k;
    end[first] += ns[i];
    if (end[first] > last) last = end[first];
  }
  free(end);
  return last;
}

static int run_pareto(bench *b) {
  hato_error err = {0};
  hato_array *a;
  hato_spec *spec = function(b, "nap"), *warm = function(b, "empty");
  uint64_t *ns = calloc(b->n, sizeof *ns), total = 0, longest = 0;
  hato_argument *args = calloc(b->n, sizeof *args);
  pareto(ns, b->n);
  for (size_t i = 0; i < b->n; i++) {
    args[i] = (hato_argument){&ns[i], sizeof *ns};
    total += ns[i];
    if (ns[i] > longest) longest = ns[i];
  }
  warm_up(b, warm, 1000);
  uint64_t begun = now_ns();
  check(hato_submit_array(b->pool, spec, args, b->n, 0, NULL, &a, &err), "submit", &err);
  check(hato_array_wait(a, HATO_FOREVER), "wait", NULL);
  uint64_t took = now_ns() - begun;
  all_well(a);
  hato_array_release(a);
  printf("{\"row\":\"pareto\",\"n\":%zu,\"slots\":%d,\"total_s\":%.2f,\"longest_s\":%.3f,\"makespan_s\":%.4f,"
         "\"list_s\":%.4f}\n",
         b->n, b->slots, (double)total / 1e9, (double)longest / 1e9, (double)took / 1e9,
         (double)list_schedule(ns, b->n, b->slots) / 1e9);
  free(ns);
  free(args);
  return 0;
}

/* ---- what is queued ---- */

typedef struct counted { /* of the status object, a number */
  const char *name;
  uint64_t n;
} counted;

static bool find_number(void *arg, const char *line) {
  counted *c = arg;
  const char *at = strstr(line, c->name);
  if (at) c->n = strtoull(at + strcspn(at, "0123456789"), NULL, 10);
  return true;
}

static uint64_t tasks_that_are(bench *b, const char *name) {
  hato_error err = {0};
  counted c = {.name = name};
  check(hato_pool_control(b->pool, "{\"op\":\"status\"}", 60000, find_number, &c, &err), "status", &err);
  return c.n;
}

static void await_tasks(bench *b, const char *name, uint64_t n) {
  for (int i = 0; tasks_that_are(b, name) < n; i++) {
    if (i == 6000) check(HATO_TIMED_OUT, "waiting for the queue", NULL);
    nng_msleep(10);
  }
}

static int run_queued(bench *b) {
  hato_error err = {0};
  hato_array *a;
  hato_spec *spec = function(b, "empty");
  hato_argument *args = calloc(b->n, sizeof *args);
  char *text = calloc(b->n, 24);
  for (size_t i = 0; i < b->n; i++) {
    snprintf(text + 24 * i, 24, "%016zu", i);
    args[i] = (hato_argument){text + 24 * i, 16};
  }
  uint64_t before = memory_of(b->watch, "VmRSS");
  check(hato_submit_array(b->pool, spec, args, b->n, 0, NULL, &a, &err), "submit", &err);
  await_tasks(b, "\"queued\"", b->n);
  uint64_t grew = memory_of(b->watch, "VmRSS") - before;
  printf("{\"row\":\"queued\",\"n\":%zu,\"grew\":%" PRIu64 ",\"bytes_each\":%.1f}\n", b->n, grew,
         (double)grew / (double)b->n);
  free(args);
  free(text);
  return 0;
}

static int run_waiting(bench *b) {
  hato_error err = {0};
  hato_array *a;
  hato_spec *spec = function(b, "echo");
  size_t total = b->mb * 1000000;
  char *payload = malloc(total);
  memset(payload, 1, total);
  hato_argument arg = {payload, total};
  uint64_t before = memory_peak_restart(b->watch), task;
  check(hato_submit_array(b->pool, spec, &arg, 1, b->detached ? HATO_DETACHED : 0, NULL, &a, &err), "submit", &err);
  check(hato_array_first_task(a, 60000, &task, &err), "accepted", &err);
  await_tasks(b, "\"queued\"", 1);
  for (int i = 0; i < 300; i++) nng_msleep(10); /* it may take all it wants */
  printf("{\"row\":\"waiting\",\"mb\":%zu,\"detached\":%d,\"grew\":%" PRIu64 "}\n", b->mb, b->detached,
         memory_of(b->watch, "VmHWM") - before);
  hato_array_cancel(a, 0, 0);
  hato_pool_close(b->pool);
  b->pool = NULL;
  hato_array_release(a);
  free(payload);
  return 0;
}

/* Occupies daemons that end nothing, until standard input ends. */
static int run_hold(bench *b) {
  hato_error err = {0};
  hato_array *a;
  char byte;
  check(hato_submit_array(b->pool, function(b, "empty"), NULL, b->n, 0, NULL, &a, &err), "submit", &err);
  await_tasks(b, "\"running\"", b->n);
  printf("{\"row\":\"hold\",\"n\":%zu}\n", b->n);
  fflush(stdout);
  while (read(STDIN_FILENO, &byte, 1) > 0) {}
  _exit(0); /* the dispatcher cancels what it held */
}

static const struct {
  const char *name;
  int (*run)(bench *b);
  size_t n;
} rows[] = {
    {"array", run_array, 1000000}, {"single", run_single, 200000}, {"trips", run_trips, 20000}, {"bytes", run_bytes, 0},
    {"pareto", run_pareto, 2000},  {"queued", run_queued, 1000000}, {"waiting", run_waiting, 0},
    {"hold", run_hold, 1},
};

static bool read_options(bench *b, int argc, char **argv) {
  for (int i = 2; i < argc; i++) {
    const char *word = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
    if (strcmp(word, "--detached") == 0) {
      b->detached = true;
      continue;
    }
    if (value == NULL) return false;
    i++;
    if (strcmp(word, "-n") == 0)
      b->n = strtoull(value, NULL, 10);
    else if (strcmp(word, "-m") == 0)
      b->mb = strtoull(value, NULL, 10);
    else if (strcmp(word, "--slots") == 0)
      b->slots = atoi(value);
    else if (strcmp(word, "--object") == 0)
      b->object = value;
    else if (strcmp(word, "--embedded") == 0)
      b->embedded = value;
    else if (strcmp(word, "--url") == 0)
      b->url = value;
    else if (strcmp(word, "--credential") == 0)
      b->credential = value;
    else if (strcmp(word, "--watch") == 0)
      b->watch = atol(value);
    else
      return false;
  }
  return b->object != NULL && b->n > 0;
}

int main(int argc, char **argv) {
  for (size_t i = 0; argc > 1 && i < sizeof rows / sizeof *rows; i++) {
    if (strcmp(argv[1], rows[i].name) != 0) continue;
    bench b = {.n = rows[i].n ? rows[i].n : 1, .mb = 100, .slots = 2, .watch = (long)getpid()};
    if (!read_options(&b, argc, argv)) break;
    open_pool(&b);
    int code = rows[i].run(&b);
    fflush(stdout);
    hato_pool_close(b.pool);
    return code;
  }
  fprintf(stderr, "usage: tasks array|single|trips|bytes|pareto|queued|waiting|hold --object FILE [-n N] [-m MB] [--slots N]\n"
                  "             [--embedded HATO | --url URL --credential FILE] [--watch PID] [--detached]\n");
  return 2;
}

/*
 * Native functions: a race of one function from several starts, and an array whose
 * results arrive in the program's own event loop.
 *
 *   cc -std=c17 race_functions.c -o race_functions $(pkg-config --cflags --libs hato)
 *   ./race_functions
 *
 * The functions stand at the end of this file, under FUNCTIONS. They go into a shared object
 * that needs hato/function.h and links nothing; this program builds it from this file.
 * Daemons elsewhere are given its content, so no file need be copied to them.
 */
#define _POSIX_C_SOURCE 200809L

#ifndef FUNCTIONS

#include <hato/hato.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RACERS 4
#define PARTS 1000

static int failed(const char *what, const hato_error *err) {
  fprintf(stderr, "%s: %s\n", what, err->text);
  return EXIT_FAILURE;
}

/* ---- the shared object ---- */

/* Builds it in dir and reads it; the caller frees *content. */
static int build(const char *dir, void **content, size_t *size) {
  char object[64], line[1024];
  snprintf(object, sizeof object, "%s/functions.so", dir);
  snprintf(line, sizeof line, "${CC:-cc} -std=c17 -O2 -shared -fPIC -DFUNCTIONS $(pkg-config --cflags hato 2>/dev/null) -o '%s' '%s'",
           object, __FILE__);
  if (system(line) != 0) return EXIT_FAILURE;
  FILE *f = fopen(object, "rb");
  if (!f) return EXIT_FAILURE;
  fseek(f, 0, SEEK_END);
  *size = (size_t)ftell(f);
  rewind(f);
  *content = malloc(*size);
  int ok = *content && fread(*content, 1, *size, f) == *size;
  fclose(f);
  remove(object);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static hato_status function(hato_pool *pool, const void *content, size_t size, const char *symbol, hato_spec **spec,
                            hato_error *err) {
  hato_function f = HATO_FUNCTION_INIT;
  f.content = content;
  f.content_size = size;
  f.symbol = symbol;
  return hato_spec_function(pool, &f, spec, err);
}

/* ---- the race ---- */

/* The first that resolves wins, and the others are cancelled: `find` asks whether it was. */
static int race(hato_pool *pool, hato_spec *find, hato_error *err) {
  static const char *const starts[RACERS] = {"1", "400000", "800000", "999000"};
  hato_future *racers[RACERS];
  for (int i = 0; i < RACERS; i++) {
    hato_argument start = {starts[i], strlen(starts[i])};
    if (hato_submit(pool, find, start, NULL, NULL, &racers[i], err) != HATO_OK) return failed("submit", err);
  }
  size_t first;
  hato_result result;
  if (hato_wait_any(racers, RACERS, HATO_FOREVER, &first) != HATO_OK) return EXIT_FAILURE;
  hato_future_result(racers[first], &result);
  printf("from %s: %.*s\n", starts[first], (int)result.out_size, (const char *)result.out);
  for (int i = 0; i < RACERS; i++) {
    hato_future_cancel(racers[i]); /* of the winner: nothing is left to cancel */
    hato_future_release(racers[i]);
  }
  return result.error == 0 && result.wait_status == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* ---- the event loop ---- */

typedef struct state {
  double sum;
  size_t parts, failures;
  int finished;
} state;

/* Runs inside hato_pool_dispatch, on the thread that calls it: no locking is needed. */
static void last_resolved(hato_future *future, void *arg) {
  state *s = arg;
  hato_result result;
  hato_future_result(future, &result);
  s->finished = 1;
  printf("a single task said: %.*s\n", (int)result.out_size, (const char *)result.out);
}

static void take_parts(hato_queue *queue, state *s) {
  hato_completion done[128];
  size_t got;
  while (hato_queue_next(queue, done, 128, 0, &got) == HATO_OK) {
    for (size_t i = 0; i < got; i++) {
      hato_result result;
      double part = 0;
      hato_array_result(done[i].array, done[i].index, &result);
      if (result.error == 0 && result.out_size == sizeof part) {
        memcpy(&part, result.out, sizeof part);
      } else {
        s->failures++;
      }
      s->sum += part;
      hato_array_forget(done[i].array, done[i].index); /* its memory is not needed any more */
    }
    s->parts += got;
  }
}

/* A program's own loop: hato's descriptors stand among its others. */
static int loop(hato_pool *pool, hato_queue *queue, state *s) {
  struct pollfd fds[] = {{.fd = hato_pool_fd(pool), .events = POLLIN}, {.fd = hato_queue_fd(queue), .events = POLLIN}};
  while (s->parts < PARTS || !s->finished) {
    if (poll(fds, 2, 30000) <= 0) return EXIT_FAILURE;
    if (fds[0].revents) hato_pool_dispatch(pool);
    if (fds[1].revents) take_parts(queue, s);
  }
  printf("pi is about %.6f\n", s->sum);
  return s->failures == 0 && s->sum > 3.14159 && s->sum < 3.1416 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int integrate(hato_pool *pool, hato_spec *pi, hato_error *err) {
  hato_queue *queue;
  hato_array *parts;
  hato_future *last;
  state s = {0};
  if (hato_queue_create(pool, &queue) != HATO_OK) return EXIT_FAILURE;
  if (hato_submit_counted(pool, pi, 0, 1, PARTS, 0, queue, &parts, err) != HATO_OK) return failed("submit", err);
  if (hato_submit(pool, pi, (hato_argument){"who", 3}, NULL, NULL, &last, err) != HATO_OK) return failed("submit", err);
  hato_future_on_resolved(last, last_resolved, &s);
  int status = loop(pool, queue, &s);
  hato_future_release(last);
  hato_array_release(parts);
  hato_queue_release(queue);
  return status;
}

int main(void) {
  char dir[] = "/tmp/race_functions-XXXXXX";
  void *content = NULL;
  size_t size = 0;
  if (!mkdtemp(dir) || build(dir, &content, &size) != EXIT_SUCCESS) return EXIT_FAILURE;
  rmdir(dir);

  hato_error err;
  hato_pool *pool;
  hato_spec *find = NULL, *pi = NULL;
  hato_pool_options options = HATO_POOL_OPTIONS_INIT;
  options.slots = RACERS; /* of an embedded dispatcher: more than there may be cores */
  if (hato_pool_open(&options, &pool, &err) != HATO_OK) return failed("no pool", &err);
  int status = EXIT_FAILURE;
  if (function(pool, content, size, "find", &find, &err) != HATO_OK ||
      function(pool, content, size, "pi", &pi, &err) != HATO_OK) {
    failed("the functions", &err);
  } else {
    status = race(pool, find, &err);
    if (status == EXIT_SUCCESS) status = integrate(pool, pi, &err);
  }
  free(content);
  hato_spec_release(find);
  hato_spec_release(pi);
  hato_pool_close(pool);
  return status;
}

#else /* the shared object */

#include <hato/function.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The first number from a start on whose Collatz sequence has 500 steps or more. */
int find(hato_call *call) {
  char text[80];
  for (unsigned long long n = strtoull(call->input, NULL, 10);; n++) {
    unsigned steps = 0;
    for (unsigned long long x = n; x != 1; steps++) x = x % 2 ? 3 * x + 1 : x / 2;
    if (steps >= 500) {
      int len = snprintf(text, sizeof text, "%llu takes %u steps", n, steps);
      return call->write(call, text, (size_t)len);
    }
    if (n % 256 == 0 && call->cancelled(call)) return 1; /* another was faster */
  }
}

/* The k-th thousandth of the integral of 4 / (1 + x²) from 0 to 1, as a double. What is
 * counted in *call->state lives as long as the slot's executor. */
int pi(hato_call *call) {
  enum { STEPS = 1000, PARTS = 1000 };
  int *calls = *call->state;
  if (!calls) {
    *call->state = calls = calloc(1, sizeof *calls);
    call->keep(call, free); /* called when the executor ends */
  }
  if (!calls) return 1;
  ++*calls;
  if (strcmp(call->input, "who") == 0) {
    char text[300];
    int len = snprintf(text, sizeof text, "on %.200s, in a process that answered %d calls", call->node, *calls);
    return call->write(call, text, (size_t)len);
  }
  double k = strtod(call->input, NULL), width = 1.0 / PARTS / STEPS, sum = 0;
  for (int i = 0; i < STEPS; i++) {
    double x = k / PARTS + (i + 0.5) * width;
    sum += 4 / (1 + x * x) * width;
  }
  return call->write(call, &sum, sizeof sum);
}

#endif

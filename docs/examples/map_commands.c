/*
 * Commands over a pool, taken from a completion queue as they end.
 *
 *   cc -std=c17 map_commands.c -o map_commands $(pkg-config --cflags --libs hato)
 *   ./map_commands 1 2 3 4        the squares of its arguments, in the order they are ready
 *
 * It uses the session that is up (`hato up`), else a dispatcher of its own with
 * daemons on this machine. Nothing in it changes when the session's daemons run on
 * a hundred nodes.
 */
#include <hato/hato.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 64 /* completions taken at a time */

/* A failure of the library: words are in err. */
static int failed(const char *what, const hato_error *err) {
  fprintf(stderr, "%s: %s\n", what, err->text);
  return EXIT_FAILURE;
}

/* One command that ended. A task that could not run has an error value and words; one that ran
 * has its exit status. Returns 1 when it did not end well. */
static int report(const char *input, hato_future *task) {
  hato_result result;
  hato_future_result(task, &result);
  if (result.error != 0) {
    fprintf(stderr, "%s: %s: %s\n", input, hato_strerror(result.error), result.words);
  } else if (result.wait_status != 0) {
    fprintf(stderr, "%s: wait status %d: %.*s", input, result.wait_status, (int)result.err_size,
            (const char *)result.err);
  } else {
    printf("%s squared is %.*s", input, (int)result.out_size, (const char *)result.out);
    return 0;
  }
  return 1;
}

/* All inputs are submitted at once; the dispatcher gives them to daemons as slots become free. */
static int submit_all(hato_pool *pool, hato_spec *spec, hato_queue *queue, char **inputs, int n, hato_error *err) {
  for (int i = 0; i < n; i++) {
    hato_future *task;
    hato_argument argument = {inputs[i], strlen(inputs[i])};
    if (hato_submit(pool, spec, argument, NULL, queue, &task, err) != HATO_OK) return failed("submit", err);
    hato_future_set_tag(task, inputs[i]); /* how it will be known again */
  }
  return EXIT_SUCCESS;
}

static int collect(hato_queue *queue, int n) {
  int bad = 0;
  while (n > 0) {
    hato_completion done[WINDOW];
    size_t got;
    hato_status status = hato_queue_next(queue, done, WINDOW, HATO_FOREVER, &got);
    if (status != HATO_OK) {
      fprintf(stderr, "the queue: %s\n", hato_strerror(status));
      return EXIT_FAILURE;
    }
    for (size_t i = 0; i < got; i++) {
      bad += report(hato_future_tag(done[i].future), done[i].future);
      hato_future_release(done[i].future);
    }
    n -= (int)got;
  }
  return bad == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(hato_pool *pool, char **inputs, int n, hato_error *err) {
  /* {} stands for the input, quoted for the shell where it is replaced. */
  const char *const argv[] = {"sh", "-c", "expr {} '*' {}", NULL};
  hato_command command = HATO_COMMAND_INIT;
  command.argv = argv;
  command.flags = HATO_COMMAND_SUBSTITUTE | HATO_COMMAND_SHELL;
  command.limit_ms = 60000;

  hato_spec *spec;
  hato_queue *queue;
  if (hato_spec_command(pool, &command, &spec, err) != HATO_OK) return failed("the command", err);
  if (hato_queue_create(pool, &queue) != HATO_OK) {
    hato_spec_release(spec);
    return EXIT_FAILURE;
  }
  int status = submit_all(pool, spec, queue, inputs, n, err);
  if (status == EXIT_SUCCESS) status = collect(queue, n);
  hato_queue_release(queue);
  hato_spec_release(spec);
  return status;
}

int main(int argc, char **argv) {
  char *some[] = {"3", "4", "5", "12", "13"};
  char **inputs = argc > 1 ? argv + 1 : some;
  int n = argc > 1 ? argc - 1 : (int)(sizeof some / sizeof *some);
  hato_error err;
  hato_pool *pool;
  if (hato_pool_open(NULL, &pool, &err) != HATO_OK) return failed("no pool", &err);
  int status = run(pool, inputs, n, &err);
  hato_pool_close(pool);
  return status;
}

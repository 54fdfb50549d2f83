/* libhato: large arguments and output, standard input from a descriptor, output as it
 * comes, functions by content, detached tasks, and dispatchers that go away. */
#include "help_pool.h"

#include "dispatcher/dispatcher.h"
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static uint8_t *pattern(size_t n) {
  uint8_t *b = malloc(n);
  ck_assert_ptr_nonnull(b);
  for (size_t i = 0; i < n; i++) b[i] = (uint8_t)(i * 7 + i / 251);
  return b;
}

static atomic_int released;
static void give_back(void *data) {
  free(data);
  released++;
}

UNIT_TEST_LIMIT(large_arguments_and_results, 20) {
  enum { N = 5 << 20 };
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  uint8_t *bytes = pattern(N), *same = pattern(N);
  hato_future *f;
  OK(hato_submit(p, s, (hato_argument){bytes, N}, give_back, NULL, &f, e));
  hato_result r = result_of(f);
  ck_assert_msg(r.error == 0 && r.out_size == N, "error %d %s, %zu bytes", r.error, r.words, r.out_size);
  ck_assert(memcmp(r.out, same, N) == 0);
  WAIT_FOR(released == 1);
  hato_future_release(f);
  OK(hato_submit(p, s, (hato_argument){strdup("small"), 5}, give_back, NULL, &f, e));
  r = result_of(f);
  ck_out(r, "small");
  WAIT_FOR(released == 2);
  hato_future_release(f);
  hato_spec_release(s);
  hato_pool_close(p);
  free(same);
}

UNIT_TEST_LIMIT(an_array_with_arguments_of_all_sizes, 20) {
  static const size_t sizes[] = {0, 1, 65536, 65537, 100, 3 << 20, 40000, 262128, 70000, 5};
  enum { N = sizeof sizes / sizeof *sizes };
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  uint8_t *bytes = pattern(3 << 20);
  hato_argument args[N];
  for (size_t i = 0; i < N; i++) args[i] = (hato_argument){bytes + i, sizes[i] > i ? sizes[i] - i : sizes[i]};
  hato_queue *q;
  ck_assert_int_eq(hato_queue_create(p, &q), HATO_OK);
  hato_array *a;
  OK(hato_submit_array(p, s, args, N, 0, q, &a, e));
  hato_completion c[N];
  for (size_t n = 0, got; n < N; n += got) ck_assert_int_eq(hato_queue_next(q, c, N, UNIT_WAIT_MS, &got), HATO_OK);
  for (size_t i = 0; i < N; i++) {
    hato_result r = element(a, i);
    ck_assert_msg(r.error == 0 && r.out_size == args[i].size, "%zu: error %d %s, %zu bytes", i, r.error, r.words,
                  r.out_size);
    ck_assert(memcmp(r.out, args[i].data, r.out_size) == 0);
  }
  ck_assert_int_eq(hato_array_wait(a, 0), HATO_OK);
  hato_array_release(a);
  hato_queue_release(q);
  hato_spec_release(s);
  hato_pool_close(p);
  free(bytes);
}

static bool all(const void *bytes, size_t n, int value) {
  const char *at = bytes;
  for (size_t i = 0; i < n; i++)
    if (at[i] != value) return false;
  return true;
}

UNIT_TEST_LIMIT(both_streams_of_a_command, 20) {
  hato_pool *p = pool_open();
  hato_spec *s = shell(p, "head -c 3000000 /dev/zero; head -c 2000001 /dev/zero | tr '\\0' x >&2");
  hato_future *f = submit(p, s, "");
  hato_result r = result_of(f);
  ck_assert_msg(r.error == 0, "%d %s", r.error, r.words);
  ck_assert_uint_eq(r.out_size, 3000000);
  ck_assert_uint_eq(r.err_size, 2000001);
  ck_assert(all(r.out, r.out_size, 0) && all(r.err, r.err_size, 'x'));
  hato_future_release(f);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST_LIMIT(input_that_nobody_reads, 20) {
  enum { N = 20 << 20 };
  hato_pool *p = pool_open();
  hato_spec *s = command_with(p, (const char *const[]){"sh", "-c", "head -c 10 | wc -c", NULL}, HATO_STDIN_ARGUMENT, 0);
  uint8_t *bytes = pattern(N);
  hato_future *f;
  OK(hato_submit(p, s, (hato_argument){bytes, N}, NULL, NULL, &f, e));
  hato_result r = result_of(f);
  memset(bytes, 0, N); /* borrowed until then */
  free(bytes);
  ck_out(r, "10\n");
  hato_future_release(f);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST(an_argument_past_the_limit_is_17) {
  size_t n = (size_t)17 << 30;
  void *map = mmap(NULL, n, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (map == MAP_FAILED) return;
  hato_pool *p = pool_open_with(-1, 0);
  hato_spec *s = function(p, "echo");
  hato_future *f;
  OK(hato_submit(p, s, (hato_argument){map, n}, NULL, NULL, &f, e));
  ck_assert_int_eq(result_of(f).error, HATO_TOO_LARGE);
  hato_future_release(f);
  hato_spec_release(s);
  hato_pool_close(p);
}

static void *writer(void *arg) {
  int fd = *(int *)arg;
  char block[5000];
  memset(block, 'y', sizeof block);
  for (int i = 0; i < 1000; i++)
    for (size_t at = 0; at < sizeof block;) {
      ssize_t n = write(fd, block + at, sizeof block - at);
      ck_assert_int_gt(n, 0);
      at += (size_t)n;
    }
  close(fd);
  return NULL;
}

UNIT_TEST_LIMIT(standard_input_from_a_pipe, 20) {
  hato_pool *p = pool_open();
  hato_spec *s = command_with(p, (const char *const[]){"wc", "-c", NULL}, HATO_STDIN_ARGUMENT, 0);
  hato_spec *no = command_with(p, (const char *const[]){"wc", "-c", NULL}, HATO_STDIN_NULL, 0);
  int fd[2], silent[2];
  ck_assert_int_eq(pipe(fd), 0);
  ck_assert_int_eq(pipe(silent), 0);
  pthread_t t;
  pthread_create(&t, NULL, writer, &fd[1]);
  hato_future *f, *g;
  hato_error err;
  ck_assert_int_eq(hato_submit_stream(p, no, fd[0], NULL, &f, &err), HATO_INVALID);
  OK(hato_submit_stream(p, s, fd[0], NULL, &f, e));
  OK(hato_submit_stream(p, s, silent[0], NULL, &g, e));
  hato_result r = result_of(f);
  ck_out(r, "5000000\n");
  pthread_join(t, NULL);
  ck_assert_int_eq(hato_future_cancel(g), HATO_OK); /* while it is being waited for input */
  ck_assert_int_eq(result_of(g).error, HATO_CANCELLED);
  hato_future_release(f);
  hato_future_release(g);
  OK(hato_submit_stream(p, s, silent[0], NULL, &g, e));
  hato_spec_release(s);
  hato_spec_release(no);
  hato_pool_close(p);
  ck_assert_int_eq(result_of(g).error, HATO_CLOSED);
  hato_future_release(g);
}

typedef struct listener {
  _Atomic size_t bytes[3];
  atomic_int calls;
  atomic_bool hold;
} listener;

static void on_output(void *arg, int stream, const void *data, size_t size) {
  listener *l = arg;
  ck_assert(stream == 1 || stream == 2);
  ck_assert_ptr_nonnull(data);
  l->bytes[stream] += size;
  l->calls++;
  while (l->hold) nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL);
}

UNIT_TEST_LIMIT(output_as_it_comes, 20) {
  hato_pool *p = pool_open();
  hato_spec *s = command_with(p, (const char *const[]){"sh", "-c", "echo first; {}; echo last >&2", NULL}, HATO_STDIN_NULL,
                              HATO_COMMAND_LIVE | HATO_COMMAND_SUBSTITUTE);
  listener a = {0}, b = {0}, c = {0};
  hato_future *f = submit(p, s, "head -c 9000000 /dev/zero");
  ck_assert_int_eq(hato_future_on_output(f, on_output, &a), HATO_OK);
  ck_assert_int_eq(hato_future_on_output(f, on_output, &a), HATO_STATE);
  hato_result r = result_of(f);
  ck_assert_msg(r.error == 0, "%d %s", r.error, r.words);
  ck_assert_uint_eq(r.out_size, 0); /* it was handed on, all of it before the future resolved */
  ck_assert_uint_eq(a.bytes[1], 9000006);
  ck_assert_uint_eq(a.bytes[2], 5);
  hato_future_release(f);

  f = submit(p, s, ":"); /* over before anyone listens */
  result_of(f);
  ck_assert_int_eq(hato_future_on_output(f, on_output, &b), HATO_OK);
  ck_assert_uint_eq(b.bytes[1], 6);
  ck_assert_uint_eq(b.bytes[2], 5);
  hato_future_release(f);

  c.hold = true; /* the task is held back */
  f = submit(p, s, "head -c 9000000 /dev/zero");
  ck_assert_int_eq(hato_future_on_output(f, on_output, &c), HATO_OK);
  WAIT_FOR(c.calls == 1);
  ck_assert_int_eq(hato_future_wait(f, 50), HATO_TIMED_OUT);
  c.hold = false;
  result_of(f);
  ck_assert_uint_eq(c.bytes[1], 9000006);
  hato_future_release(f);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST_LIMIT(a_function_by_its_content, 20) {
  hato_pool *p = pool_open();
  int fd = open(SAMPLES, O_RDONLY | O_CLOEXEC);
  off_t size = lseek(fd, 0, SEEK_END);
  void *map = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
  ck_assert(map != MAP_FAILED);
  hato_function fn = HATO_FUNCTION_INIT;
  fn.content = map;
  fn.content_size = (size_t)size;
  fn.symbol = "echo";
  hato_spec *s, *t;
  OK(hato_spec_function(p, &fn, &s, e));
  fn.symbol = "sum";
  OK(hato_spec_function(p, &fn, &t, e));
  munmap(map, (size_t)size);
  close(fd);
  hato_future *f = submit(p, s, "content"), *g = submit(p, t, "\1\2");
  hato_result r = result_of(f);
  ck_out(r, "content");
  r = result_of(g);
  ck_out(r, "2 3");
  hato_future_release(f);
  hato_future_release(g);
  hato_spec_release(s);
  hato_spec_release(t);
  hato_pool_close(p);
}

/* ---- a dispatcher that is not ours ---- */

typedef struct served {
  char dir[64], url[128];
  dispatcher *d;
} served;

static void serve(served *v, int daemons) {
  strcpy(v->dir, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(v->dir));
  snprintf(v->url, sizeof v->url, "ipc://%s/s", v->dir);
  dispatcher_options o = {.local_dir = v->dir, .hato_binary = HATO_BUILD_DIR "/bin/hato"};
  OK(dispatcher_create(&o, &v->d, e));
  OK(dispatcher_listen(v->d, v->url, e));
  dispatcher_launch_request r = {.launcher = "local", .n = daemons, .slots = 1};
  uint64_t number;
  if (daemons > 0) OK(dispatcher_launch(v->d, &r, &number, e));
}

static void unserve(served *v) {
  dispatcher_destroy(v->d);
  unit_remove_folder(v->dir);
}

static hato_pool *dial(const served *v) {
  hato_pool *p = NULL;
  hato_pool_options o = HATO_POOL_OPTIONS_INIT;
  o.mode = HATO_POOL_URL;
  o.url = v->url;
  OK(hato_pool_open(&o, &p, e));
  return p;
}

static bool count_line(void *arg, const char *line) {
  (void)line;
  ++*(int *)arg;
  return true;
}

UNIT_TEST_LIMIT(detached_tasks_outlive_their_pool, 20) {
  enum { LARGE = 3 << 20 };
  served v;
  serve(&v, 1);
  hato_pool *p = dial(&v);
  hato_spec *s = function(p, "echo");
  uint8_t *bytes = pattern(LARGE);
  hato_argument args[] = {arg("one"), {bytes, LARGE}, arg("three")};
  hato_array *a;
  hato_result r;
  uint64_t first;
  OK(hato_submit_array(p, s, args, 3, HATO_DETACHED, NULL, &a, e));
  OK(hato_array_first_task(a, UNIT_WAIT_MS, &first, e));
  ck_assert_uint_eq(first, 1);
  ck_assert_int_eq(hato_array_wait(a, UNIT_WAIT_MS), HATO_OK); /* all of it is with the dispatcher */
  ck_assert_int_eq(hato_array_result(a, 0, &r), HATO_NOT_SUPPORTED);
  hato_array_release(a);
  hato_spec_release(s);
  hato_pool_close(p);

  p = dial(&v);
  int lines = 0;
  OK(hato_pool_control(p, "{\"op\":\"wait\",\"tasks\":\"1-3\"}", UNIT_WAIT_MS, count_line, &lines, e));
  ck_assert_int_eq(lines, 1);
  hato_future *f[5];
  for (uint64_t i = 0; i < 4; i++) OK(hato_fetch(p, i + 1, NULL, &f[i], e));
  OK(hato_fetch(p, 2, NULL, &f[4], e)); /* again, while it is under way */
  r = result_of(f[0]);
  ck_out(r, "one");
  ck_assert_uint_eq(r.task, 1);
  for (int i = 1; i < 5; i += 3) {
    r = result_of(f[i]);
    ck_assert_msg(r.error == 0 && r.out_size == LARGE, "%d %s, %zu bytes", r.error, r.words, r.out_size);
    ck_assert(memcmp(r.out, bytes, LARGE) == 0);
  }
  r = result_of(f[2]);
  ck_out(r, "three");
  ck_assert_int_eq(result_of(f[3]).error, HATO_NOT_FOUND);
  for (int i = 0; i < 5; i++) hato_future_release(f[i]);
  lines = 0;
  OK(hato_pool_control(p, "{\"op\":\"tasks\",\"tasks\":\"1-3\"}", UNIT_WAIT_MS, count_line, &lines, e));
  ck_assert_int_eq(lines, 3);
  hato_pool_close(p);
  unserve(&v);
  free(bytes);
}

UNIT_TEST_LIMIT(closing_sends_what_is_detached_first, 20) {
  enum { N = 200000 };
  served v;
  serve(&v, 0);
  hato_pool *p = dial(&v);
  hato_spec *s = function(p, "echo");
  hato_argument *args = calloc(N, sizeof *args);
  for (int i = 0; i < N; i++) args[i] = arg("sixteen bytes...");
  hato_array *a;
  OK(hato_submit_array(p, s, args, N, HATO_DETACHED, NULL, &a, e));
  hato_pool_close(p);
  free(args);
  hato_array_release(a);
  hato_spec_release(s);
  p = dial(&v);
  char text[8192] = "";
  int lines = 0;
  OK(hato_pool_control(p, "{\"op\":\"tasks\",\"tasks\":\"200000\",\"state\":\"queued\"}", UNIT_WAIT_MS, count_line, &lines, e));
  ck_assert_int_eq(lines, 1);
  ck_assert_str_eq(text, "");
  hato_pool_close(p);
  unserve(&v);
}

static bool is_closed(hato_pool *p, hato_spec *s) {
  hato_future *f = NULL;
  hato_error err;
  hato_status st = hato_submit(p, s, arg("late"), NULL, NULL, &f, &err);
  hato_future_release(f);
  return st == HATO_CLOSED;
}

UNIT_TEST_LIMIT(a_dispatcher_that_ends_resolves_the_rest_to_19, 20) {
  served v;
  serve(&v, 0);
  hato_pool *p = dial(&v);
  hato_spec *s = function(p, "echo");
  hato_queue *q;
  ck_assert_int_eq(hato_queue_create(p, &q), HATO_OK);
  hato_future *f = submit_to(p, s, "x", q);
  hato_array *a;
  OK(hato_submit_counted(p, s, 0, 1, 1000, 0, q, &a, e));
  uint64_t first;
  OK(hato_array_first_task(a, UNIT_WAIT_MS, &first, e));
  unserve(&v);
  hato_result r = result_of(f);
  ck_assert(r.error == HATO_RESET || r.error == HATO_CLOSED);
  ck_assert_int_eq(hato_array_wait(a, UNIT_WAIT_MS), HATO_OK);
  hato_error err;
  WAIT_FOR(is_closed(p, s));
  ck_assert_int_eq(hato_pool_control(p, "{\"op\":\"status\"}", UNIT_WAIT_MS, NULL, NULL, &err), HATO_CLOSED);
  size_t got, n = 0;
  hato_completion c[64];
  while (hato_queue_next(q, c, 64, UNIT_WAIT_MS, &got) == HATO_OK) n += got;
  ck_assert_uint_eq(n, 1001);
  hato_pool_info i = {.size = sizeof i};
  ck_assert_int_eq(hato_pool_get_info(p, &i), HATO_OK);
  ck_assert(!i.connected);
  hato_future_release(f);
  hato_array_release(a);
  hato_queue_release(q);
  hato_spec_release(s);
  hato_pool_close(p);
}

/* kill -9 of a dispatcher: nothing is said, the connection just ends. */
UNIT_TEST_LIMIT(a_dispatcher_that_is_killed_resolves_the_rest_to_19, 20) {
  char dir[] = "/tmp/hato-test-XXXXXX", ready[64];
  ck_assert_ptr_nonnull(mkdtemp(dir));
  snprintf(ready, sizeof ready, "%s/ready", dir);
  pid_t pid = fork();
  if (pid == 0) { /* forked before NNG was used here */
    dispatcher *d = NULL;
    hato_error err;
    char url[100];
    snprintf(url, sizeof url, "ipc://%s/s", dir);
    dispatcher_options o = {.local_dir = dir, .hato_binary = HATO_BUILD_DIR "/bin/hato"};
    if (dispatcher_create(&o, &d, &err) || dispatcher_listen(d, url, &err)) _exit(1);
    close(open(ready, O_CREAT | O_WRONLY, 0600));
    for (;;) pause();
  }
  WAIT_FOR(access(ready, F_OK) == 0);
  served v;
  snprintf(v.url, sizeof v.url, "ipc://%s/s", dir);
  hato_pool *p = dial(&v);
  hato_spec *s = function(p, "echo");
  hato_future *f = submit(p, s, "x");
  uint64_t first;
  hato_array *a;
  OK(hato_submit_counted(p, s, 0, 1, 10, 0, NULL, &a, e));
  OK(hato_array_first_task(a, UNIT_WAIT_MS, &first, e));
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  hato_result r = result_of(f);
  ck_assert_int_eq(r.error, HATO_RESET);
  ck_assert_str_ne(r.words, "");
  ck_assert_int_eq(element(a, 9).error, HATO_RESET);
  hato_future_release(f);
  hato_array_release(a);
  hato_spec_release(s);
  hato_pool_close(p);
  unit_remove_folder(dir);
}

UNIT_MAIN("client_large")

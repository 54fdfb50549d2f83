/* libhato over its embedded dispatcher and real daemons: tasks, arrays, waits, queues. */
#include "help_pool.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

UNIT_TEST(a_command_and_its_result) {
  hato_pool *p = pool_open();
  hato_spec *s = shell(p, "echo {}; echo wrong >&2; exit 3");
  hato_future *f = submit(p, s, "it's");
  hato_spec_release(s);
  hato_result r = result_of(f);
  ck_out(r, "it's\n");
  ck_assert_int_eq(WEXITSTATUS(r.wait_status), 3);
  ck_assert_uint_eq(r.err_size, 6);
  ck_assert(memcmp(r.err, "wrong\n", 6) == 0);
  ck_assert_uint_eq(r.task, 1);
  ck_assert_uint_eq(r.attempt, 1);
  ck_assert(r.wall_s > 0);
  ck_assert_str_eq(r.words, "");
  ck_assert(hato_future_resolved(f));
  hato_pool_info i = {.size = sizeof i};
  ck_assert_int_eq(hato_pool_get_info(p, &i), HATO_OK);
  ck_assert(i.embedded && i.connected);
  ck_assert_uint_eq(i.submitted, 1);
  ck_assert_uint_eq(i.resolved, 1);
  ck_assert(strncmp(i.url, "ipc://", 6) == 0);
  hato_pool_close(p);
  r = result_of(f); /* readable after */
  ck_out(r, "it's\n");
  hato_future_release(f);
}

UNIT_TEST(error_values_have_words) {
  hato_pool *p = pool_open();
  hato_spec *none = command_with(p, (const char *const[]){"no-such-program-here", NULL}, HATO_STDIN_NULL, 0);
  hato_spec *symbol = function(p, "no_such_symbol");
  hato_spec *crash = function(p, "die");
  hato_spec *fail = function(p, "fail");
  hato_future *f[] = {submit(p, none, ""), submit(p, symbol, ""), submit(p, crash, "9"), submit(p, fail, "7")};
  hato_result r = result_of(f[0]);
  ck_assert_int_eq(r.error, HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(r.words, "no-such-program-here"));
  r = result_of(f[1]);
  ck_assert_int_eq(r.error, HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(r.words, "no_such_symbol"));
  r = result_of(f[2]);
  ck_assert_int_eq(r.error, HATO_RESET);
  ck_assert_msg(strstr(r.words, "signal 9") != NULL, "%s", r.words);
  r = result_of(f[3]);
  ck_assert_int_eq(r.error, 0);
  ck_assert_int_eq(r.wait_status, 7 << 8);
  ck_assert_str_eq(r.words, "no such luck");
  for (int i = 0; i < 4; i++) hato_future_release(f[i]);
  hato_spec_release(none);
  hato_spec_release(symbol);
  hato_spec_release(crash);
  hato_spec_release(fail);
  hato_pool_close(p);
}

UNIT_TEST(arrays_by_index) {
  enum { N = 5000 };
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  hato_argument *args = calloc(N, sizeof *args);
  char(*text)[24] = calloc(N, sizeof *text);
  for (int i = 0; i < N; i++) {
    snprintf(text[i], sizeof text[i], "number %d", i);
    args[i] = arg(text[i]);
  }
  hato_array *a, *b, *c;
  OK(hato_submit_array(p, s, args, N, 0, NULL, &a, e));
  free(args); /* what is small was copied */
  OK(hato_submit_counted(p, s, -10, 5, 100, 0, NULL, &b, e));
  OK(hato_submit_array(p, s, NULL, 10, 0, NULL, &c, e));
  hato_result r = element(a, N - 1);
  ck_out(r, "number 4999");
  ck_assert_int_eq(hato_array_wait(a, UNIT_WAIT_MS), HATO_OK);
  ck_assert_uint_eq(hato_array_resolved(a), N);
  uint64_t first;
  OK(hato_array_first_task(a, UNIT_WAIT_MS, &first, e));
  for (size_t i = 0; i < N; i++) {
    r = element(a, i);
    ck_out(r, text[i]);
    ck_assert_uint_eq(r.task, first + i);
  }
  r = element(b, 0);
  ck_out(r, "-10");
  r = element(b, 99);
  ck_out(r, "485");
  r = element(c, 3);
  ck_out(r, "");
  ck_assert_int_eq(hato_array_forget(a, 7), HATO_OK);
  ck_assert_int_eq(hato_array_result(a, 7, &r), HATO_NOT_FOUND);
  ck_assert_int_eq(hato_array_result(a, N, &r), HATO_INVALID);
  ck_assert_uint_eq(hato_array_count(a), N);
  hato_array_set_tag(a, text);
  ck_assert_ptr_eq(hato_array_tag(a), text);
  free(text);
  hato_array_release(a);
  hato_array_release(b);
  hato_array_release(c);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST(many_single_tasks) {
  enum { N = 20000 };
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  hato_future **f = calloc(N, sizeof *f);
  char text[16];
  for (int i = 0; i < N; i++) {
    snprintf(text, sizeof text, "%d", i);
    f[i] = submit(p, s, i % 3 ? text : "");
  }
  ck_assert_int_eq(hato_wait_all(f, N, UNIT_WAIT_MS), HATO_OK);
  for (int i = 0; i < N; i++) {
    hato_result r = result_of(f[i]);
    snprintf(text, sizeof text, "%d", i);
    ck_out(r, i % 3 ? text : "");
    hato_future_release(f[i]);
  }
  free(f);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST(queues_give_what_resolves) {
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  hato_queue *q;
  ck_assert_int_eq(hato_queue_create(p, &q), HATO_OK);
  hato_completion c[64];
  size_t got;
  ck_assert_int_eq(hato_queue_next(q, c, 64, 0, &got), HATO_TIMED_OUT);
  struct pollfd fd = {.fd = hato_queue_fd(q), .events = POLLIN};
  ck_assert_int_eq(poll(&fd, 1, 0), 0);
  hato_future *f = submit_to(p, s, "one", q);
  hato_array *a;
  OK(hato_submit_counted(p, s, 0, 1, 1000, 0, q, &a, e));
  hato_future *gone = submit_to(p, s, "released before it resolved", q);
  hato_future_release(gone);
  ck_assert_int_eq(poll(&fd, 1, UNIT_WAIT_MS), 1);
  bool seen[1000] = {0}, one = false;
  for (size_t n = 0; n < 1001;) {
    ck_assert_int_eq(hato_queue_next(q, c, 64, UNIT_WAIT_MS, &got), HATO_OK);
    ck_assert_uint_ge(got, 1);
    for (size_t i = 0; i < got; i++, n++) {
      if (c[i].future) {
        ck_assert_ptr_eq(c[i].future, f);
        ck_assert(!one);
        one = true;
      } else {
        ck_assert_ptr_eq(c[i].array, a);
        ck_assert(!seen[c[i].index]);
        seen[c[i].index] = true;
      }
    }
  }
  hato_future_release(f);
  hato_array_release(a);
  hato_spec_release(s);
  hato_pool_close(p);
  ck_assert_int_eq(hato_queue_next(q, c, 64, UNIT_WAIT_MS, &got), HATO_CLOSED);
  hato_queue_release(q);
}

UNIT_TEST(a_queue_is_released_with_what_is_in_it) {
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  hato_queue *q;
  ck_assert_int_eq(hato_queue_create(p, &q), HATO_OK);
  hato_array *a;
  OK(hato_submit_counted(p, s, 0, 1, 300, 0, q, &a, e));
  ck_assert_int_eq(hato_array_wait(a, UNIT_WAIT_MS), HATO_OK);
  hato_array_release(a);
  hato_queue_release(q);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST(the_first_of_a_race) {
  hato_pool *p = pool_open_with(1, 3);
  hato_spec *s = shell(p, "exec sleep {}");
  hato_future *f[] = {submit(p, s, "60"), submit(p, s, "0.1"), submit(p, s, "60")};
  size_t first = 9;
  ck_assert_int_eq(hato_wait_any(f, 3, UNIT_WAIT_MS, &first), HATO_OK);
  ck_assert_uint_eq(first, 1);
  ck_assert_int_eq(hato_wait_any(f, 3, 0, &first), HATO_OK); /* it is over already */
  ck_assert_uint_eq(first, 1);
  hato_future *rest[] = {f[0], f[2]};
  ck_assert_int_eq(hato_wait_any(rest, 2, 20, &first), HATO_TIMED_OUT);
  ck_assert_int_eq(hato_wait_all(f, 3, 20), HATO_TIMED_OUT);
  ck_assert_int_eq(hato_future_cancel(f[0]), HATO_OK);
  ck_assert_int_eq(hato_future_cancel(f[2]), HATO_OK);
  ck_assert_int_eq(hato_wait_all(f, 3, UNIT_WAIT_MS), HATO_OK);
  ck_assert_int_eq(result_of(f[0]).error, HATO_CANCELLED);
  ck_assert_int_eq(result_of(f[1]).error, 0);
  for (int i = 0; i < 3; i++) hato_future_release(f[i]);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST(part_of_an_array_is_cancelled) {
  hato_pool *p = pool_open_with(-1, 0); /* nobody to run it */
  hato_spec *s = function(p, "echo");
  hato_array *a;
  hato_result r;
  OK(hato_submit_counted(p, s, 0, 1, 1000, 0, NULL, &a, e));
  ck_assert_int_eq(hato_array_cancel(a, 10, 1000), HATO_INVALID);
  ck_assert_int_eq(hato_array_cancel(a, 10, 19), HATO_OK);
  for (size_t i = 10; i < 20; i++) ck_assert_int_eq(element(a, i).error, HATO_CANCELLED);
  ck_assert_uint_eq(element(a, 12).task, 13);
  ck_assert_int_eq(hato_array_result(a, 9, &r), HATO_AGAIN);
  ck_assert_int_eq(hato_array_wait_at(a, 20, 10), HATO_TIMED_OUT);
  ck_assert_int_eq(hato_array_wait(a, 10), HATO_TIMED_OUT);
  ck_assert_uint_eq(hato_array_resolved(a), 10);
  hato_array_release(a); /* they go on without a handle */
  hato_spec_release(s);
  hato_pool_close(p);
}

static void note(hato_future *f, void *arg) {
  hato_result r;
  ck_assert_int_eq(hato_future_result(f, &r), HATO_OK);
  *(int *)arg += 1;
}

UNIT_TEST(callbacks_run_in_dispatch) {
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  struct pollfd fd = {.fd = hato_pool_fd(p), .events = POLLIN};
  int ran = 0;
  hato_future *early = submit(p, s, "a"), *late = submit(p, s, "b");
  ck_assert_int_eq(hato_future_on_resolved(early, note, &ran), HATO_OK);
  ck_assert_int_eq(hato_future_on_resolved(early, note, &ran), HATO_STATE);
  hato_future_release(early); /* kept alive for it */
  result_of(late);
  ck_assert_int_eq(hato_future_on_resolved(late, note, &ran), HATO_OK);
  while (ran < 2) {
    ck_assert_int_eq(poll(&fd, 1, UNIT_WAIT_MS), 1);
    hato_pool_dispatch(p);
  }
  ck_assert_int_eq(ran, 2);
  ck_assert_int_eq(poll(&fd, 1, 0), 0);
  ck_assert_int_eq(hato_pool_dispatch(p), 0);
  hato_future_set_tag(late, &ran);
  ck_assert_ptr_eq(hato_future_tag(late), &ran);
  hato_future_release(late);
  hato_spec_release(s);
  hato_pool_close(p);
}

UNIT_TEST_LIMIT(closing_resolves_the_rest_to_7, 20) {
  hato_pool *p = pool_open();
  hato_spec *s = shell(p, "exec sleep {}");
  hato_queue *q;
  ck_assert_int_eq(hato_queue_create(p, &q), HATO_OK);
  hato_future *f = submit_to(p, s, "60", q);
  hato_array *a;
  int ran = 0;
  ck_assert_int_eq(hato_future_on_resolved(f, note, &ran), HATO_OK);
  OK(hato_submit_counted(p, s, 60, 1, 100, 0, q, &a, e));
  uint64_t t = hato__now();
  hato_pool_close(p);
  ck_assert_uint_lt(hato__now() - t, 40 * HATO__SEC); /* those sleep for 60 */
  hato_result r = result_of(f);
  ck_assert_int_eq(r.error, HATO_CLOSED);
  ck_assert_str_ne(r.words, "");
  ck_assert_int_eq(element(a, 99).error, HATO_CLOSED);
  ck_assert_int_eq(hato_array_wait(a, 0), HATO_OK);
  size_t got, n = 0;
  hato_completion c[64];
  while (hato_queue_next(q, c, 64, UNIT_WAIT_MS, &got) == HATO_OK) n += got;
  ck_assert_uint_eq(n, 101);
  hato_future *after = NULL;
  ck_assert_int_eq(hato_future_cancel(f), HATO_OK);
  ck_assert_ptr_null(after);
  hato_future_release(f);
  hato_array_release(a);
  hato_spec_release(s);
  hato_queue_release(q);
}

UNIT_TEST(after_fork_nothing_is_touched) {
  hato_pool *p = pool_open();
  hato_spec *s = function(p, "echo");
  hato_future *f = submit(p, s, "x");
  result_of(f);
  hato_queue *q;
  ck_assert_int_eq(hato_queue_create(p, &q), HATO_OK);
  pid_t pid = fork();
  if (pid == 0) {
    hato_result r;
    hato_future *g = NULL;
    size_t got;
    hato_completion c;
    hato_pool_info info = {.size = sizeof info};
    bool right = hato_future_result(f, &r) == HATO_STATE && hato_future_wait(f, -1) == HATO_STATE &&
                 hato_submit(p, s, arg("y"), NULL, NULL, &g, NULL) == HATO_STATE && g == NULL &&
                 hato_queue_next(q, &c, 1, -1, &got) == HATO_STATE && hato_pool_get_info(p, &info) == HATO_STATE &&
                 hato_pool_fd(p) == -1 && hato_pool_dispatch(p) == 0 && !hato_future_resolved(f) &&
                 hato_pool_control(p, "{}", -1, NULL, NULL, NULL) == HATO_STATE;
    hato_future_release(f);
    hato_spec_release(s);
    hato_queue_release(q);
    hato_pool_close(p);
    _exit(right ? 0 : 1);
  }
  int status;
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_int_eq(status, 0);
  hato_result r = result_of(f); /* here all is as it was */
  ck_out(r, "x");
  hato_future *g = submit(p, s, "y");
  r = result_of(g);
  ck_out(r, "y");
  hato_future_release(f);
  hato_future_release(g);
  hato_queue_release(q);
  hato_spec_release(s);
  hato_pool_close(p);
}

typedef struct crowd {
  hato_pool *p;
  hato_spec *s;
} crowd;

static void *worker_thread(void *arg_) {
  crowd *c = arg_;
  for (int i = 0; i < 200; i++) {
    hato_future *f = submit(c->p, c->s, "thread");
    if (i % 7 == 0) hato_future_cancel(f);
    hato_result r = result_of(f);
    if (r.error != HATO_CANCELLED) ck_out(r, "thread");
    hato_future_release(f);
    if (i % 50) continue;
    hato_array *a;
    OK(hato_submit_counted(c->p, c->s, 0, 1, 500, 0, NULL, &a, e));
    ck_assert_int_eq(hato_array_wait(a, UNIT_WAIT_MS), HATO_OK);
    hato_array_release(a);
  }
  return NULL;
}

UNIT_TEST_LIMIT(many_threads_share_a_pool, 20) {
  crowd c = {.p = pool_open()};
  c.s = function(c.p, "echo");
  pthread_t t[4];
  for (int i = 0; i < 4; i++) ck_assert_int_eq(pthread_create(&t[i], NULL, worker_thread, &c), 0);
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  hato_spec_release(c.s);
  hato_pool_close(c.p);
}

static bool keep_line(void *arg, const char *line) {
  strncat(arg, line, 4000);
  return true;
}
static bool stop_at_once(void *arg, const char *line) {
  (void)arg;
  (void)line;
  return false;
}

UNIT_TEST(requests_in_json) {
  hato_pool *p = pool_open();
  char text[8192] = "";
  hato_error err;
  OK(hato_pool_control(p, "{\"op\":\"status\"}", UNIT_WAIT_MS, keep_line, text, e));
  ck_assert(text[0] == '{');
  ck_assert_int_eq(hato_pool_control(p, "{\"op\":\"stats\"}", UNIT_WAIT_MS, keep_line, text, &err), HATO_NOT_SUPPORTED);
  ck_assert_ptr_nonnull(strstr(err.text, "status"));
  ck_assert_int_eq(hato_pool_control(p, "{\"op\":", UNIT_WAIT_MS, NULL, NULL, &err), HATO_INVALID);
  ck_assert_int_eq(hato_pool_control(p, "{\"op\":\"status\"}", UNIT_WAIT_MS, stop_at_once, NULL, &err), HATO_INTERRUPTED);
  hato_pool_close(p);
}

UNIT_TEST_LIMIT(daemons_are_launched_through_a_pool, 20) {
  static const struct {
    const char *launcher, *profile, *option, *word;
    int count;
    hato_status status;
    const char *words;
  } bad[] = {
      {NULL, NULL, NULL, NULL, -1, HATO_INVALID, "count: found -1"},
      {NULL, NULL, NULL, NULL, 100001, HATO_INVALID, "100001"},
      {"nosuch", NULL, NULL, NULL, 1, HATO_NOT_FOUND, "there is no launcher 'nosuch'"},
      {NULL, "nosuch", NULL, NULL, 1, HATO_NOT_FOUND, "there is no profile 'nosuch'"},
      {NULL, NULL, "nosuch=1", NULL, 1, HATO_NOT_FOUND, "there is no option nosuch"},
      {NULL, NULL, "grace=x", NULL, 1, HATO_INVALID, "grace: found 'x'"},
      {"\xff", NULL, NULL, NULL, 1, HATO_INVALID, "launcher: '?' is not UTF-8"},
      {NULL, NULL, "grace=\xff", NULL, 1, HATO_INVALID, "options: 'grace=?' is not UTF-8"},
      {NULL, NULL, NULL, "\xc3", 1, HATO_INVALID, "argv: '?' is not UTF-8"},
  };
  hato_pool *p = pool_open();
  hato_error err;
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    const char *const options[] = {bad[i].option, NULL}, *const argv[] = {"true", bad[i].word, NULL};
    hato_daemons d = HATO_DAEMONS_INIT;
    d.launcher = bad[i].launcher;
    d.profile = bad[i].profile;
    d.options = options;
    d.argv = bad[i].word ? argv : NULL;
    d.count = bad[i].count;
    uint64_t launch = 7;
    int connected = 7;
    ck_assert_int_eq(hato_pool_launch(p, &d, &launch, &connected, &err), bad[i].status);
    ck_assert_msg(strstr(err.text, bad[i].words) != NULL, "%s", err.text);
    ck_assert_uint_eq(launch, 0);
    ck_assert_int_eq(connected, 0);
    ck_assert_int_eq(hato_pool_launch(p, &d, NULL, NULL, NULL), bad[i].status);
  }
  hato_daemons two = HATO_DAEMONS_INIT;
  two.count = 2;
  uint64_t launch = 0;
  int connected = 0;
  ck_assert_msg(hato_pool_launch(p, &two, &launch, &connected, &err) == HATO_OK, "%s", err.text);
  ck_assert_uint_gt(launch, 0);
  ck_assert_int_eq(connected, 2);
  two.size = 0;
  ck_assert_int_eq(hato_pool_launch(p, &two, NULL, NULL, &err), HATO_INVALID);
  hato_pool_close(p);
}

UNIT_TEST(wrong_calls_are_refused_with_words) {
  hato_error err;
  hato_pool *p = NULL, *q = pool_open_with(-1, 0);
  hato_pool_options o = HATO_POOL_OPTIONS_INIT;
  o.hato_binary = "/no/such/hato";
  o.mode = HATO_POOL_EMBEDDED;
  ck_assert_int_eq(hato_pool_open(&o, &p, &err), HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(err.text, "/no/such/hato"));
  o.size = 0;
  ck_assert_int_eq(hato_pool_open(&o, &p, &err), HATO_INVALID);
  o.size = sizeof o;
  o.mode = (hato_pool_mode)9;
  ck_assert_int_eq(hato_pool_open(&o, &p, &err), HATO_INVALID);
  o.mode = HATO_POOL_URL;
  o.url = "ipc:///no/such/socket";
  o.connect_timeout_ms = 100;
  ck_assert_int_ne(hato_pool_open(&o, &p, &err), HATO_OK);
  ck_assert_ptr_null(p);
  hato_command c = HATO_COMMAND_INIT;
  hato_spec *s;
  ck_assert_int_eq(hato_spec_command(q, &c, &s, &err), HATO_INVALID);
  c.argv = (const char *const[]){"true", NULL};
  c.flags = 1u << 30;
  ck_assert_int_eq(hato_spec_command(q, &c, &s, &err), HATO_INVALID);
  c.flags = 0;
  OK(hato_spec_command(q, &c, &s, e));
  hato_array *a;
  ck_assert_int_eq(hato_submit_array(q, s, NULL, 0, 0, NULL, &a, &err), HATO_INVALID);
  ck_assert_int_eq(hato_submit_array(q, s, NULL, 1, 8, NULL, &a, &err), HATO_INVALID);
  ck_assert_int_eq(hato_submit_array(q, s, NULL, 1, HATO_DETACHED, NULL, &a, &err), HATO_NOT_SUPPORTED);
  ck_assert_int_eq(hato_submit_counted(q, s, INT64_MAX, 1, 2, 0, NULL, &a, &err), HATO_INVALID);
  char *big = malloc(9u << 20);
  memset(big, 'x', 9u << 20);
  big[(9u << 20) - 1] = 0;
  hato_spec *t;
  c.argv = (const char *const[]){"true", big, NULL};
  ck_assert_int_eq(hato_spec_command(q, &c, &t, &err), HATO_TOO_LARGE);
  free(big);
  hato_spec_release(s);
  hato_pool_close(q);
}

/* A host that ends without closing: it ends at once, in peace, and its daemons with it. */
UNIT_TEST(a_pool_that_was_never_closed_does_not_hold_up_exit) {
  pid_t pid = fork(); /* before NNG was used here */
  if (pid == 0) {
    signal(SIGPIPE, SIG_DFL);
    hato_pool *p = pool_open();
    hato_spec *s = shell(p, "exec sleep {}");
    hato_future *busy = submit(p, s, "60"), *f = submit(p, s, "0");
    bool right = result_of(f).error == 0 && !hato_future_resolved(busy);
    hato_spec_release(s);
    exit(right ? 0 : 1);
  }
  int status = -1;
  WAIT_FOR(waitpid(pid, &status, WNOHANG) == pid);
  ck_assert_int_eq(status, 0);
}

UNIT_TEST(null_handles_are_harmless) {
  hato_pool_close(NULL);
  hato_spec_release(NULL);
  hato_future_release(NULL);
  hato_array_release(NULL);
  hato_queue_release(NULL);
  ck_assert_int_eq(hato_future_wait(NULL, 0), HATO_INVALID);
  ck_assert(!hato_future_resolved(NULL));
  ck_assert_str_eq(hato_version(), "0.1.0");
}

UNIT_MAIN("client")

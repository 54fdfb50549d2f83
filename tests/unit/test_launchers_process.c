/* Modules as shared objects, each in a process of its own: in order, faulty, and misused. */
#include "launchers.h"
#include "launchers/fake.h"

static const char *const *fault(const char *name) {
  static char word[64];
  static const char *words[] = {word, NULL};
  (void)snprintf(word, sizeof word, "fault=%s", name);
  return words;
}

static void end(bench *b, uint64_t id) {
  ck_assert_int_eq(launchers_cancel(b->h, id, NULL), HATO_OK);
  must(b, LAUNCHERS_ENDED, id, -1, -1);
}

UNIT_TEST_LIMIT(life_of_a_launch, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 3, NULL, "sh", "-c", "echo I am $HATO_FAKE_TASK; exit $((HATO_FAKE_TASK - 1))");
  kept_event *e = must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  ck_assert(e->record_len > 5 && memcmp(e->record, "fake ", 5) == 0);
  must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_SUBMITTED);
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_QUEUED)->reason, "Priority");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_STARTING)->reason, "");
  for (int i = 0; i < 3; i++) {
    e = must(b, LAUNCHERS_MEMBER, 1, i, HATO_MEMBER_ENDED);
    ck_assert(e->exit_known && e->exit_code == i);
    char words[32];
    snprintf(words, sizeof words, "I am %d", i + 1);
    ck_assert_str_eq(e->log_tail, words);
    ck_assert_str_eq(e->reason, i == 0 ? "COMPLETED" : "FAILED");
    ck_assert_str_eq(e->host, "fakenode");
  }
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(options_are_checked_before_anything_is_launched, 20) {
  bench *b = bench_start(0, 0);
  hato_error err;
  LAUNCH(b, 1, "fake", 1, WORDS("partion=short"), "true"); /* not described yet: comes later */
  HAS(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, "partition");
  ck_assert_int_eq(launch_words(b, 2, "fake", 1, WORDS("partion=short"), WORDS("true"), &err),
                   HATO_NOT_FOUND);
  HAS(err.text, "partition");
  ck_assert_int_eq(launch_words(b, 2, "fake", 1, WORDS("mem=12"), WORDS("true"), &err), HATO_INVALID);
  ck_assert_int_eq(launch_words(b, 2, "fake", 1, WORDS("time=0.5s"), WORDS("true"), &err), HATO_INVALID);
  HAS(err.text, "1s");
  ck_assert_int_eq(launch_words(b, 2, "fake", 1, WORDS("fault=odd"), WORDS("true"), &err), HATO_INVALID);
  LAUNCH(b, 2, "fake", 1, WORDS("mem=1M", "time=1:00", "partition=a b"), "true");
  must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  end(b, 2);
  bench_end(b);
}

UNIT_TEST_LIMIT(refused_by_the_scheduler, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, fault("launch-fail"), "true");
  kept_event *e = must(b, LAUNCHERS_FAILED, 1, -1, -1);
  ck_assert_int_eq(e->status, HATO_NOT_FOUND);
  ck_assert_str_eq(e->text, "there is no partition 'shrt'");
  bench_end(b);
}

UNIT_TEST_LIMIT(a_launch_that_crashes_fails_with_the_cause, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, NULL, "sleep", "100");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  LAUNCH(b, 2, "fake", 1, fault("launch-crash"), "true");
  kept_event *e = must(b, LAUNCHERS_FAILED, 2, -1, -1);
  HAS(e->text, "signal 6");
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "signal 6");
  LAUNCH(b, 3, "fake", 1, fault("launch-exit"), "true");
  HAS(must(b, LAUNCHERS_FAILED, 3, -1, -1)->text, "exited with 1: fatal: there is no configuration");
  LAUNCH(b, 4, "fake", 1, NULL, "true"); /* and works again */
  must(b, LAUNCHERS_ENDED, 4, -1, -1);
  end(b, 1); /* which was adopted */
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_FAILED, 1), 0);
  bench_end(b);
}

UNIT_TEST_LIMIT(submitted_before_the_crash_is_found_by_its_tag, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 2, fault("launch-crash-after"), "sleep", "100");
  ck_assert(must(b, LAUNCHERS_SUBMITTED, 1, -1, -1)->record_len > 0);
  must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  end(b, 1);
  bench_end(b);
}

UNIT_TEST_LIMIT(a_launch_that_hangs_is_killed, 30) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, fault("launch-hang"), "true");
  char words[64];
  (void)snprintf(words, sizeof words, "did not answer within %d s", FAKE_DEADLINE);
  HAS(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, words);
  LAUNCH(b, 2, "fake", 1, fault("launch-hang-after"), "sleep", "100");
  must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  end(b, 2);
  bench_end(b);
}

UNIT_TEST_LIMIT(a_poll_that_crashes_or_hangs_loses_nothing, 30) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, fault("poll-crash"), "sleep", "100");
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "signal 6");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  LAUNCH(b, 2, "fake", 1, fault("poll-hang"), "sleep", "100");
  HAS(must(b, LAUNCHERS_TROUBLE, 2, -1, -1)->text, "did not answer");
  must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_ENDED, 1) + bench_count(b, LAUNCHERS_ENDED, 2), 0);
  end(b, 1);
  end(b, 2);
  bench_end(b);
}

UNIT_TEST_LIMIT(a_scheduler_that_is_silent_has_ended_nothing, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, WORDS("fault=poll-fail", "fault-times=3"), "sleep", "100");
  kept_event *e = must(b, LAUNCHERS_TROUBLE, 1, -1, -1);
  ck_assert_int_eq(e->status, HATO_AGAIN);
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_TROUBLE, 1), 1); /* said once */
  ck_assert(bench_logged(b, "LAUNCHER-ANSWERS"));
  end(b, 1);
  bench_end(b);
}

UNIT_TEST_LIMIT(a_cancel_that_fails_is_repeated, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, fault("cancel-fail"), "sleep", "100");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  end(b, 1);
  must(b, LAUNCHERS_TROUBLE, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(a_forgotten_job_has_ended, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 2, fault("forgotten"), "true");
  HAS(must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED)->reason, "forgotten");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(lies_are_not_believed, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 2, WORDS("fault=lie", "fault-times=0"), "sleep", "100");
  must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  ck_assert(bench_logged(b, "LAUNCHER-LIES"));
  ck_assert(bench_logged(b, "reported a member of 4 bytes"));
  end(b, 1);
  bench_end(b);
}

UNIT_TEST_LIMIT(cancelled_in_the_middle_of_a_launch, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, fault("launch-wait"), "true");
  ck_assert_str_eq(must(b, LAUNCHERS_NEWS, 1, -1, -1)->text, "waiting for the fake controller");
  LAUNCH(b, 2, "fake", 1, NULL, "true"); /* waits behind it */
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(must(b, LAUNCHERS_FAILED, 1, -1, -1)->status, HATO_CANCELLED);
  ck_assert_int_eq(must(b, LAUNCHERS_FAILED, 2, -1, -1)->status, HATO_CANCELLED);
  bench_end(b);
}

UNIT_TEST_LIMIT(adopted_by_another_process, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 2, NULL, "sleep", "100");
  kept_event made = *must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  launchers_destroy(b->h, 2000);
  b->h = NULL;
  char dir[64], tag[64];
  snprintf(dir, sizeof dir, "%s", b->dir);
  snprintf(tag, sizeof tag, "t%d.1", (int)getpid());
  bench *c = bench_start(0, 0);
  setenv("HATO_FAKE_DIR", dir, 1);
  launchers_request r = {.id = 9, .launcher = "fake", .count = 2, .tag = tag, .log_dir = dir};
  ck_assert_int_eq(launchers_adopt(c->h, &r, made.record, made.record_len, NULL), HATO_OK);
  must(c, LAUNCHERS_SUBMITTED, 9, -1, -1);
  must(c, LAUNCHERS_MEMBER, 9, 1, HATO_MEMBER_RUNNING);
  end(c, 9);
  r.id = 10;
  r.tag = "never-heard-of";
  ck_assert_int_eq(launchers_adopt(c->h, &r, NULL, 0, NULL), HATO_OK);
  ck_assert_int_eq(must(c, LAUNCHERS_FAILED, 10, -1, -1)->status, HATO_NOT_FOUND);
  bench_end(c);
  bench_end(b);
}

UNIT_TEST_LIMIT(polls_stop_when_all_are_connected, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 2, NULL, "sh", "-c", "while [ ! -e $HATO_FAKE_DIR/end ]; do sleep 0.05; done");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  launchers_member_known(b->h, 1, 0, true);
  launchers_member_known(b->h, 1, 1, true);
  launchers_member_known(b->h, 1, 7, true);  /* ignored */
  launchers_member_known(b->h, 77, 0, true); /* ignored */
  launchers_request r = {.id = 2, .launcher = "fake", .options = WORDS("host=a")};
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  must(b, LAUNCHERS_PLANNED, 2, -1, -1); /* behind a poll that was under way */
  char path[128];
  snprintf(path, sizeof path, "%s/end", b->dir);
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fclose(f);
  /* Both end, and nobody asks for them until their connections are lost. */
  ck_assert_ptr_null(bench_wait_s(b, (wanted){LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED}, 1));
  launchers_member_known(b->h, 1, 1, false);
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(poll_now, 20) {
  bench *b = bench_start(600000, 600000);
  LAUNCH(b, 1, "fake", 1, WORDS("queue-polls=0"), "true");
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  for (int i = 0; i < 10 && bench_count(b, LAUNCHERS_ENDED, 1) == 0; i++) {
    launchers_poll_now(b->h, 1);
    (void)bench_wait_s(b, (wanted){LAUNCHERS_ENDED, 1, -1, -1}, 1);
  }
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(plans_of_a_module, 20) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1, .launcher = "fake", .options = WORDS("host=a", "host=b", "tunnel=yes")};
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  kept_event *e = must(b, LAUNCHERS_PLANNED, 1, -1, -1);
  ck_assert_uint_eq(e->plan.count, 2);
  ck_assert_uint_eq(e->plan.flags & HATO_LAUNCHER_NEEDS_LISTEN, 0);
  ck_assert_uint_eq(e->plan.member_first, 1);
  r.id = 2;
  r.options = WORDS("host=a", "partition=b");
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  e = must(b, LAUNCHERS_PLANNED, 2, -1, -1);
  ck_assert_int_eq(e->status, HATO_INVALID);
  HAS(e->text, "exclude");
  bench_end(b);
}

UNIT_TEST_LIMIT(an_open_that_fails, 20) {
  setenv("HATO_FAKE_OPEN", "fail", 1);
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, NULL, "true");
  ck_assert_str_eq(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, "the fake does not open");
  bench_end(b);
}

UNIT_TEST_LIMIT(a_module_of_a_later_minor_works, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "grown", 3, WORDS("first=x"), "true");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_ENDED)->reason, "as it should");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(a_way_for_secrets_that_is_not_offered, 20) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1,
                         .launcher = "grown",
                         .argv = WORDS("true"),
                         .count = 1,
                         .tag = "t",
                         .secret = "x",
                         .secret_len = 1,
                         .secret_way = HATO_SECRET_STDIN};
  ck_assert_int_eq(launchers_launch(b->h, &r, NULL), HATO_OK);
  ck_assert_int_eq(must(b, LAUNCHERS_FAILED, 1, -1, -1)->status, HATO_NOT_SUPPORTED);
  bench_end(b);
}

UNIT_TEST_LIMIT(the_end_of_the_host_is_bounded_by_a_hanging_module, 30) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, NULL, "sleep", "1000");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  LAUNCH(b, 2, "fake", 1, fault("launch-wait"), "true");
  must(b, LAUNCHERS_NEWS, 2, -1, -1);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  uint64_t t = hato__now();
  launchers_destroy(b->h, 8000);
  b->h = NULL;
  ck_assert_uint_lt((hato__now() - t) / HATO__MS, (uint64_t)(8000 + 5000 * UNIT_PATIENCE));
  ck_assert_ptr_nonnull(bench_find(b, (wanted){LAUNCHERS_FAILED, 2, -1, -1}));
  ck_assert_ptr_nonnull(bench_find(b, (wanted){LAUNCHERS_ENDED, 1, -1, -1}));
  bench_end(b);
}

/* The pid of the fake's process, of which the log told last. */
static pid_t fake_process(bench *b) {
  pid_t pid = 0;
  pthread_mutex_lock(&b->lock);
  for (const char *at = hato__buf_text(&b->log); (at = strstr(at, "fake: process ")) != NULL; at++)
    pid = atoi(at + 14);
  pthread_mutex_unlock(&b->lock);
  ck_assert_int_gt(pid, 0);
  return pid;
}

UNIT_TEST_LIMIT(a_process_killed_while_idle_is_started_again, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, NULL, "sleep", "100");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  launchers_member_known(b->h, 1, 0, true);
  pid_t first = fake_process(b);
  ck_assert_int_eq(kill(first, SIGKILL), 0);
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "signal 9");
  end(b, 1);
  ck_assert_int_ne(fake_process(b), first);
  ck_assert(kill(first, 0) < 0); /* and reaped */
  bench_end(b);
}

UNIT_TEST_LIMIT(a_process_that_is_killed_again_and_again_is_left_for_a_while, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "fake", 1, WORDS("fault=adopt-crash", "fault-times=2"), "sleep", "100");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(kill(fake_process(b), SIGKILL), 0);
  must(b, LAUNCHERS_TROUBLE, 1, -1, -1);
  end(b, 1); /* two adoptions crash, the third, seconds later, does not */
  bench_end(b);
}

UNIT_TEST_LIMIT(the_process_ends_with_a_host_that_is_killed, 20) {
  int fds[2];
  ck_assert_int_eq(pipe(fds), 0);
  pid_t host = fork();
  if (host == 0) {
    bench *b = bench_start(0, 0);
    LAUNCH(b, 1, "fake", 1, NULL, "sleep", "1");
    must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
    pid_t pid = fake_process(b);
    if (write(fds[1], &pid, sizeof pid) != sizeof pid) abort();
    if (write(fds[1], b->dir, sizeof b->dir) != sizeof b->dir) abort();
    (void)pause();
  }
  pid_t pid = 0;
  char dir[sizeof((bench *)0)->dir];
  ck_assert_int_eq(read(fds[0], &pid, sizeof pid), sizeof pid);
  ck_assert_int_eq(read(fds[0], dir, sizeof dir), sizeof dir);
  ck_assert_int_eq(kill(pid, 0), 0);
  kill(host, SIGKILL);
  waitpid(host, NULL, 0);
  char path[64], state[64] = "";
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  uint64_t until = hato__now() + (uint64_t)(WAIT_SECONDS * 1e9);
  for (FILE *f; (f = fopen(path, "r")) != NULL;) { /* gone, or a zombie that nobody reaps */
    bool read_it = fscanf(f, "%*d (%*[^)]) %63s", state) == 1;
    fclose(f);
    if (!read_it || state[0] == 'Z') break;
    ck_assert_msg(hato__now() < until, "process %d has not ended: %s", (int)pid, state);
    usleep(2000);
  }
  close(fds[0]);
  close(fds[1]);
  unit_remove_folder(dir);
}

/* ---- misuse ---- */

static void misused(const char *name, const char *words, const char *more) {
  bench *b = bench_start(0, 0);
  launchers_info *info = NULL;
  hato_error err;
  ck_assert_msg(launchers_describe(b->h, name, &info, &err) == HATO_OK, "%s", err.text);
  ck_assert(!info->usable && info->trouble != NULL);
  HAS(info->trouble, words);
  HAS(info->trouble, more);
  json_t *j = launchers_info_json(info);
  ck_assert_ptr_nonnull(j);
  ck_assert(json_is_false(json_object_get(j, "usable")));
  json_decref(j);
  launchers_info_free(info);
  LAUNCH(b, 1, name, 1, NULL, "true");
  HAS(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, words);
  bench_end(b);
}

UNIT_TEST_LIMIT(wrong_magic, 20) { misused("bad_magic", "hato_launcher_bad_magic.so", "0x00001234"); }
UNIT_TEST_LIMIT(wrong_major, 20) { misused("bad_major", "launcher ABI 2.7", "this hato has 1.0"); }
UNIT_TEST_LIMIT(wrong_size, 20) { misused("bad_size", "40 bytes", "expected at least"); }
UNIT_TEST_LIMIT(missing_symbol, 20) {
  misused("bad_symbol", "exports no 'hato_launcher_module'", "hato_launcher_bad_symbol.so");
}
UNIT_TEST_LIMIT(missing_operation, 20) {
  misused("bad_operation", "'cancel' is NULL", "hato_launcher_bad_operation.so");
}
UNIT_TEST_LIMIT(wrong_name, 20) { misused("bad_name", "calls itself 'slurm'", "expected 'bad_name'"); }
UNIT_TEST_LIMIT(wrong_option, 20) { misused("bad_option", "many", "nodes"); }
UNIT_TEST_LIMIT(reserved_option, 20) { misused("bad_reserved", "'slots'", "every profile"); }
UNIT_TEST_LIMIT(crash_when_loaded, 20) { misused("bad_crash", "signal 6", "bad_crash"); }
UNIT_TEST_LIMIT(exit_when_loaded, 20) { misused("bad_exit", "exited with 1", "fatal: no configuration"); }

UNIT_TEST_LIMIT(a_probe_that_fails, 20) {
  bench *b = bench_start(0, 0);
  launchers_info *info = NULL;
  ck_assert_int_eq(launchers_describe(b->h, "bad_probe", &info, NULL), HATO_OK);
  ck_assert(!info->usable);
  ck_assert_str_eq(info->trouble, "there is no qsub in PATH");
  ck_assert_str_eq(info->description, "a misuse");
  launchers_info_free(info);
  bench_end(b);
}

UNIT_TEST_LIMIT(no_object_at_all, 20) {
  static const char *folders[] = {NULL, NULL};
  bench *b = bench_start(0, 0);
  char path[128], self[4096];
  snprintf(path, sizeof path, "%s/hato_launcher_text.so", b->dir);
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fputs("not an object\n", f);
  fclose(f);
  folders[0] = b->dir;
  ck_assert(hato__self_exe(self, sizeof self));
  launchers *h = NULL;
  hato_error err;
  ck_assert_int_eq(launchers_create(&(launchers_options){.folders = folders, .hato_binary = self}, &h, &err),
                   HATO_OK);
  launchers_info *info = NULL;
  ck_assert_int_eq(launchers_describe(h, "text", &info, &err), HATO_OK);
  HAS(info->trouble, path);
  launchers_info_free(info);
  launchers_destroy(h, 0);
  /* Without a program for its process. */
  ck_assert_int_eq(launchers_create(&(launchers_options){.folders = folders}, &h, &err), HATO_OK);
  launchers_request r = {.id = 1, .launcher = "text", .argv = WORDS("true"), .count = 1, .tag = "t"};
  ck_assert_int_eq(launchers_launch(h, &r, &err), HATO_NOT_SUPPORTED);
  launchers_destroy(h, 0);
  /* A program that is something else. */
  ck_assert_int_eq(
      launchers_create(&(launchers_options){.folders = folders, .hato_binary = "/bin/true"}, &h, &err),
      HATO_OK);
  ck_assert_int_eq(launchers_describe(h, "text", &info, &err), HATO_OK);
  HAS(info->trouble, "exited with 0");
  launchers_info_free(info);
  launchers_destroy(h, 0);
  bench_end(b);
}

UNIT_TEST_LIMIT(names_of_all, 20) {
  bench *b = bench_start(0, 0);
  char **names = launchers_names(b->h);
  size_t locals = 0, fakes = 0;
  for (size_t i = 0; names[i] != NULL; i++) {
    locals += strcmp(names[i], "local") == 0;
    fakes += strcmp(names[i], "fake") == 0;
    if (i > 0) ck_assert_int_lt(strcmp(names[i - 1], names[i]), 0);
  }
  ck_assert_uint_eq(locals, 1);
  ck_assert_uint_eq(fakes, 1);
  launchers_folders_free(names);
  const launchers_info *info;
  ck_assert_int_eq(launchers_known(b->h, "fake", &info, NULL), HATO_AGAIN);
  bench_end(b);
}

LAUNCHERS_MAIN("launchers_process")

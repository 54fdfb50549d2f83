/* The host with `local` compiled in. */
#include "launchers.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>

static const char *read_text(const char *path) {
  static char text[65536];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return "";
  size_t n = 0;
  for (ssize_t got; (got = read(fd, text + n, sizeof text - 1 - n)) > 0;) n += (size_t)got;
  close(fd);
  text[n] = 0;
  return text;
}

UNIT_TEST(one_that_exits) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 1, NULL, "sh", "-c", "echo first; echo last words >&2; exit 7");
  kept_event *e = must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  ck_assert(e->record_len > 0 && e->record_len <= HATO_RECORD_MAX);
  e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert(atoi(e->job) > 0 && e->host[0] != 0);
  e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  ck_assert(e->exit_known && e->exit_code == 7 && e->signal == 0);
  ck_assert_str_eq(e->log_tail, "first\nlast words");
  ck_assert_str_eq(e->reason, "exited with 7");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  /* By the time it is submitted its state is known. */
  ck_assert(b->events[0].type == LAUNCHERS_MEMBER && b->events[0].state == HATO_MEMBER_RUNNING);
  ck_assert(b->events[1].type == LAUNCHERS_SUBMITTED && b->events[b->n - 1].type == LAUNCHERS_ENDED);
  bench_end(b);
}

UNIT_TEST(several_know_their_number_and_have_their_own_session) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 5, NULL, "sh", "-c",
         "echo $HATO_MEMBER $HATO_LAUNCH_TAG; ps -o sid= -p $$; ls /proc/self/fd; echo $$");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  for (int i = 0; i < 5; i++) {
    kept_event *e = must(b, LAUNCHERS_MEMBER, 1, i, HATO_MEMBER_ENDED);
    char first[64];
    snprintf(first, sizeof first, "%d t%d.1\n", i, (int)getpid());
    ck_assert_msg(strncmp(e->log_tail, first, strlen(first)) == 0, "%s", e->log_tail);
    int sid = -1, pid = -2;
    ck_assert_int_eq(sscanf(e->log_tail + strlen(first), "%d", &sid), 1);
    pid = atoi(strrchr(e->log_tail, '\n') + 1);
    ck_assert_int_eq(sid, pid);
    HAS(e->log_tail, "\n0\n1\n2\n3\n"); /* 3 is ls's own */
    ck_assert_ptr_null(strstr(e->log_tail, "\n4\n"));
  }
  bench_end(b);
}

UNIT_TEST(cancel_asks_then_kills) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 2, WORDS("grace=200ms"), "sleep", "100");
  LAUNCH(b, 2, "local", 1, WORDS("grace=200ms"), "sh", "-c",
         "trap '' TERM; echo ready; while :; do sleep 0.05; done");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  WAIT_FOR(strcmp(read_text(e->log_path), "ready\n") == 0);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL) & ~HATO_NOT_FOUND, HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  e = must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED);
  ck_assert_int_eq(e->signal, SIGTERM);
  ck_assert_str_eq(e->reason, "cancelled");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  e = must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_ENDED);
  ck_assert_int_eq(e->signal, SIGKILL);
  must(b, LAUNCHERS_ENDED, 2, -1, -1);
  hato_error err;
  ck_assert_int_eq(launchers_cancel(b->h, 1, &err), HATO_NOT_FOUND);
  HAS(err.text, "1");
  bench_end(b);
}

UNIT_TEST(cancel_one_member) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 3, NULL, "sleep", "100");
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  hato_error err;
  ck_assert_int_eq(launchers_cancel_member(b->h, 1, 3, &err), HATO_INVALID);
  ck_assert_int_eq(launchers_cancel_member(b->h, 1, 1, &err), HATO_OK);
  must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_MEMBER, 1), 4);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST(bad_requests_are_refused_at_once) {
  bench *b = bench_start(0, 0);
  hato_error err;
  ck_assert_int_eq(launch_words(b, 1, "locl", 1, NULL, WORDS("true"), &err), HATO_NOT_FOUND);
  HAS(err.text, "did you mean 'local'");
  ck_assert_int_eq(launch_words(b, 1, "nothing-like-it", 1, NULL, WORDS("true"), &err), HATO_NOT_FOUND);
  HAS(err.text, "local");
  ck_assert_int_eq(launch_words(b, 1, "../local", 1, NULL, WORDS("true"), &err), HATO_NOT_FOUND);
  ck_assert_int_eq(launch_words(b, 1, "local", 0, NULL, WORDS("true"), &err), HATO_INVALID);
  HAS(err.text, "0 daemons");
  ck_assert_int_eq(launch_words(b, 1, "local", (uint32_t)-1, NULL, WORDS("true"), &err), HATO_INVALID);
  HAS(err.text, "-1 daemons");
  ck_assert_int_eq(launch_words(b, 1, "local", 1, WORDS("grce=1"), WORDS("true"), &err), HATO_NOT_FOUND);
  HAS(err.text, "grace");
  ck_assert_int_eq(launch_words(b, 1, "local", 1, WORDS("grace=soon"), WORDS("true"), &err), HATO_INVALID);
  HAS(err.text, "soon");
  ck_assert_int_eq(launch_words(b, 1, "local", 1, NULL, WORDS(NULL), &err), HATO_INVALID);
  HAS(err.text, "command");
  launchers_request r = {.id = 1, .launcher = "local", .argv = WORDS("true"), .count = 1, .tag = "a b"};
  ck_assert_int_eq(launchers_launch(b->h, &r, &err), HATO_INVALID);
  HAS(err.text, "a b");
  LAUNCH(b, 1, "local", 1, NULL, "sleep", "100");
  ck_assert_int_eq(launch_words(b, 1, "local", 1, NULL, WORDS("true"), &err), HATO_EXISTS);
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST(no_such_program_is_said_so) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 3, NULL, "no-such-program-here");
  kept_event *e = must(b, LAUNCHERS_FAILED, 1, -1, -1);
  ck_assert_int_eq(e->status, HATO_NOT_FOUND);
  HAS(e->text, "no-such-program-here");
  LAUNCH(b, 1, "local", 1, NULL, "/etc"); /* the id is free again */
  WAIT_FOR(bench_count(b, LAUNCHERS_FAILED, 1) == 2);
  HAS(b->events[b->n - 1].text, "/etc");
  bench_end(b);
}

UNIT_TEST(a_log_folder_that_is_not_there) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1,
                         .launcher = "local",
                         .argv = WORDS("true"),
                         .count = 1,
                         .tag = "t",
                         .log_dir = "/nowhere/at/all"};
  ck_assert_int_eq(launchers_launch(b->h, &r, NULL), HATO_OK);
  HAS(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, "/nowhere/at/all");
  bench_end(b);
}

UNIT_TEST(secrets_by_standard_input_and_environment) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1,
                         .launcher = "local",
                         .argv = WORDS("sh", "-c", "cat; echo; echo ${X-none}"),
                         .count = 2,
                         .tag = "secret",
                         .log_dir = b->dir,
                         .secret_way = HATO_SECRET_STDIN,
                         .secret = "s3cr3t",
                         .secret_len = 6};
  hato_error err;
  ck_assert_msg(launchers_launch(b->h, &r, &err) == HATO_OK, "%s", err.text);
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED)->log_tail, "s3cr3t\nnone");
  r.id = 2;
  r.tag = "secret2";
  r.secret_way = HATO_SECRET_ENVIRONMENT;
  r.secret_env = "X";
  r.env = WORDS("Y=1", "HOME=/elsewhere");
  r.argv = WORDS("sh", "-c", "cat; echo $X $Y $HOME");
  ck_assert_msg(launchers_launch(b->h, &r, &err) == HATO_OK, "%s", err.text);
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_ENDED)->log_tail, "s3cr3t 1 /elsewhere");
  r.id = 3;
  r.secret_way = 64;
  ck_assert_int_eq(launchers_launch(b->h, &r, &err), HATO_INVALID);
  r.secret_way = HATO_SECRET_STDIN;
  r.secret_len = HATO_SECRET_MAX + 1;
  ck_assert_int_eq(launchers_launch(b->h, &r, &err), HATO_INVALID);
  bench_end(b);
}

UNIT_TEST(a_host_program_that_reaps_all_children) {
  bench *b = bench_start(0, 0);
  struct sigaction ignore = {.sa_handler = SIG_IGN};
  ck_assert_int_eq(sigaction(SIGCHLD, &ignore, NULL), 0);
  LAUNCH(b, 1, "local", 3, NULL, "sh", "-c", "exit 3");
  LAUNCH(b, 2, "local", 1, NULL, "sleep", "100");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  ck_assert(!must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_ENDED)->exit_known);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  must(b, LAUNCHERS_ENDED, 2, -1, -1);
  ignore.sa_handler = SIG_DFL;
  ck_assert_int_eq(sigaction(SIGCHLD, &ignore, NULL), 0);
  bench_end(b);
}

static void count_signal(int sig) {
  (void)sig;
  abort();
}

UNIT_TEST(signals_of_the_host_program_stay_with_it) {
  struct sigaction act = {.sa_handler = count_signal};
  sigset_t usr1;
  sigemptyset(&usr1);
  sigaddset(&usr1, SIGUSR1);
  ck_assert_int_eq(sigaction(SIGUSR1, &act, NULL), 0);
  ck_assert_int_eq(pthread_sigmask(SIG_BLOCK, &usr1, NULL), 0);
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 1, NULL, "sh", "-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status");
  kill(getpid(), SIGUSR1); /* would run on any thread that does not block it */
  const char *masks = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED)->log_tail;
  HAS(masks, "SigBlk:\t0000000000000000");
  const char *ignored = strstr(masks, "SigIgn:\t");
  ck_assert_ptr_nonnull(ignored);
  ck_assert_uint_eq(strtoull(ignored + 8, NULL, 16) & 0x7fffffff, 0); /* 32 and 33 are the C library's */
  bench_end(b);
}

UNIT_TEST(adopted_by_another_host) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 7, "local", 3, NULL, "sh", "-c", "sleep 100 & wait");
  kept_event *made = must(b, LAUNCHERS_SUBMITTED, 7, -1, -1);
  must(b, LAUNCHERS_MEMBER, 7, 2, HATO_MEMBER_RUNNING);
  char tag[64];
  snprintf(tag, sizeof tag, "t%d.7", (int)getpid());
  launchers_destroy(b->h, 2000); /* what was not cancelled stays */
  ck_assert(alive(must(b, LAUNCHERS_MEMBER, 7, 2, HATO_MEMBER_RUNNING)->job));
  bench *c = bench_start(0, 0);
  b->h = NULL;
  launchers_request r = {.id = 1, .launcher = "local", .count = 3, .tag = tag, .log_dir = c->dir};
  ck_assert_int_eq(launchers_adopt(c->h, &r, made->record, made->record_len, NULL), HATO_OK);
  must(c, LAUNCHERS_SUBMITTED, 1, -1, -1);
  for (int i = 0; i < 3; i++)
    ck_assert_str_eq(must(c, LAUNCHERS_MEMBER, 1, i, HATO_MEMBER_RUNNING)->job,
                     must(b, LAUNCHERS_MEMBER, 7, i, HATO_MEMBER_RUNNING)->job);
  ck_assert_int_eq(launchers_cancel(c->h, 1, NULL), HATO_OK);
  must(c, LAUNCHERS_ENDED, 1, -1, -1);
  r.id = 2;
  ck_assert_int_eq(launchers_adopt(c->h, &r, NULL, 0, NULL), HATO_OK);
  ck_assert_int_eq(must(c, LAUNCHERS_FAILED, 2, -1, -1)->status, HATO_NOT_FOUND);
  r.id = 3;
  ck_assert_int_eq(launchers_adopt(c->h, &r, "local 1 another-boot", 20, NULL), HATO_OK);
  HAS(must(c, LAUNCHERS_FAILED, 3, -1, -1)->text, "before");
  bench_end(c);
  bench_end(b);
}

/* Voluntary context switches of all threads. */
static long switches(void) {
  char command[160], text[64] = "";
  snprintf(command, sizeof command, "cat /proc/%d/task/*/status | awk '/^voluntary/ {n += $2} END {print n}'",
           (int)getpid());
  FILE *f = popen(command, "r");
  ck_assert_ptr_nonnull(f);
  ck_assert_ptr_nonnull(fgets(text, sizeof text, f));
  pclose(f);
  return atol(text);
}

UNIT_TEST(an_idle_host_wakes_up_for_nothing) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 4, NULL, "sleep", "100");
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  long before = switches(), alone = 0; /* what counting costs: at times less, as what is waited for is there already */
  for (int i = 0; i < 4; i++) {
    long now = switches();
    if (now - before > alone) alone = now - before;
    before = now;
  }
  usleep(1000000);
  long idle = switches() - before;
#ifdef HATO_SANITIZED
  idle -= 100; /* the sanitizer has a thread of its own */
#endif
  ck_assert_msg(idle <= alone + 5, "%ld switches idle, %ld alone", idle, alone); /* polls would be 20 */
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST(a_large_parent_spawns_fast) {
  size_t n = (size_t)256 << 20;
  char *big = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert(big != MAP_FAILED);
  for (size_t i = 0; i < n; i += 4096) big[i] = 1;
  bench *b = bench_start(0, 0);
  uint64_t t = hato__now();
  LAUNCH(b, 1, "local", 20, NULL, "true");
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  uint64_t ms = (hato__now() - t) / HATO__MS;
#ifndef HATO_SANITIZED /* there a vfork is a fork */
  ck_assert_uint_lt(ms, (uint64_t)(1000 * UNIT_PATIENCE));
#else
  printf("%llu ms\n", (unsigned long long)ms);
#endif
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
  munmap(big, n);
}

static bool any_child(void) { return waitpid(-1, NULL, WNOHANG) >= 0; }

UNIT_TEST(without_descriptors_none_is_left_running) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 1, NULL, "true");
  must(b, LAUNCHERS_ENDED, 1, -1, -1);
  struct rlimit old, few;
  ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &old), 0);
  few = old;
  int next = dup(0);
  ck_assert_int_ge(next, 0);
  few.rlim_cur = (rlim_t)next + 6;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &few), 0);
  LAUNCH(b, 2, "local", 20, NULL, "sleep", "100");
  kept_event *e = must(b, LAUNCHERS_FAILED, 2, -1, -1);
  ck_assert_int_eq(e->status, HATO_NO_FILES);
  ck_assert(!any_child());
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
  LAUNCH(b, 2, "local", 20, NULL, "true");
  must(b, LAUNCHERS_ENDED, 2, -1, -1);
  close(next);
  bench_end(b);
}

UNIT_TEST(destroy_ends_what_was_cancelled) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 2, NULL, "sleep", "100");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  launchers_destroy(b->h, 5000);
  b->h = NULL;
  ck_assert(!alive(e->job));
  ck_assert_ptr_nonnull(bench_find(b, (wanted){LAUNCHERS_ENDED, 1, -1, -1}));
  bench_end(b);
}

UNIT_TEST(destroy_is_bounded) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "local", 1, WORDS("grace=1h"), "sh", "-c", "trap '' TERM; while :; do sleep 0.1; done");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  uint64_t t = hato__now();
  launchers_destroy(b->h, 300);
  ck_assert_uint_lt((hato__now() - t) / HATO__MS, (uint64_t)(2000 * UNIT_PATIENCE));
  b->h = NULL;
  kill(-atoi(e->job), SIGKILL);
  bench_end(b);
}

UNIT_TEST(plans) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 5, .launcher = "local", .count = 4};
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  kept_event *e = must(b, LAUNCHERS_PLANNED, 5, -1, -1);
  ck_assert_uint_eq(e->plan.count, 4);
  ck_assert(e->plan.flags & HATO_LAUNCHER_SHARES_HOST);
  r.id = 6;
  r.count = 0;
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  ck_assert_int_eq(must(b, LAUNCHERS_PLANNED, 6, -1, -1)->status, HATO_INVALID);
  bench_end(b);
}

UNIT_TEST(described) {
  bench *b = bench_start(0, 0);
  const launchers_info *known = NULL;
  hato_error err;
  ck_assert_msg(launchers_known(b->h, "local", &known, &err) == HATO_OK, "%s", err.text);
  ck_assert_str_eq(known->name, "local");
  ck_assert_str_eq(known->member_env, "HATO_MEMBER");
  ck_assert_uint_eq(known->interval_ms, 0);
  launchers_info *info = NULL;
  ck_assert_int_eq(launchers_describe(b->h, "local", &info, &err), HATO_OK);
  ck_assert(info->usable && info->path == NULL && info->trouble == NULL);
  json_t *j = launchers_info_json(info);
  ck_assert_str_eq(
      json_string_value(json_object_get(json_array_get(json_object_get(j, "options"), 0), "name")), "grace");
  json_decref(j);
  launchers_info_free(info);
  ck_assert_int_eq(launchers_describe(b->h, "lokal", &info, &err), HATO_NOT_FOUND);
  HAS(err.text, "local");
  char **names = launchers_names(b->h);
  bool found = false;
  for (int i = 0; names[i] != NULL; i++) found |= strcmp(names[i], "local") == 0;
  ck_assert(found);
  launchers_folders_free(names);
  bench_end(b);
}

UNIT_TEST(default_folders) {
  setenv("HATO_LAUNCHERS_PATH", "/a:/b::/c", 1);
  char **folders = launchers_default_folders("/bin/sh");
  ck_assert_str_eq(folders[0], "/a");
  ck_assert_str_eq(folders[2], "/c");
  HAS(folders[3], "/../lib/hato/launchers");
  ck_assert_ptr_null(folders[4]);
  launchers_folders_free(folders);
}

LAUNCHERS_MAIN("launchers")

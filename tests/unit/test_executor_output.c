/* Output of commands: inline, in pieces under credit, live, merged, in files, past its limit. */
#include "unit.h"

#include "base/clock.h"
#include "help_executor.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text(const hato__buf *b) { return b->data ? (const char *)b->data : ""; }

static void ck_exit(const rig_task *t, int status) {
  ck_assert_msg(t->r.error == 0, "error value %d: %s", t->r.error, t->words);
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), status);
}

/* Lines of a counter: no two places are alike. */
#define LINES "seq -w 0 9999999 2>/dev/null | head -c "

static void ck_lines(const hato__buf *b, size_t n) {
  ck_assert_uint_eq(b->len, n);
  char line[32];
  for (size_t i = 0; i + 8 <= n; i += 8) {
    snprintf(line, sizeof line, "%07zu\n", i / 8);
    if (memcmp(b->data + i, line, 8) != 0) ck_abort_msg("byte %zu is wrong", i);
  }
}

UNIT_TEST(sizes_around_the_inline_part) {
  static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 131072, 1000000};
  rig *g = rig_start(NULL);
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char line[100];
    snprintf(line, sizeof line, LINES "%zu", sizes[i]);
    proto_spec s = rig_shell(line);
    rig_task *t = rig_run(g, &s);
    ck_exit(t, 0);
    ck_lines(&t->out, sizes[i]);
    ck_assert_uint_eq(t->pieces[PROTO_CH_OUT], sizes[i] > 65536 ? sizes[i] - 65536 : 0);
    ck_assert_uint_eq(t->r.flags & PROTO_RESULT_OUT_MORE, sizes[i] > 65536 ? PROTO_RESULT_OUT_MORE : 0);
  }
  rig_stop(g);
}

UNIT_TEST(both_streams_at_once) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell(LINES "300000 & { " LINES "400000; } >&2; wait");
  rig_task *t = rig_run(g, &s);
  ck_exit(t, 0);
  ck_lines(&t->out, 300000);
  ck_lines(&t->err, 400000);
  rig_stop(g);
}

/* 10 MB in the time that the receiver takes; nothing is sent beyond its credit. */
UNIT_TEST_LIMIT(a_slow_receiver_holds_the_command, 20) {
  rig *g = rig_start(NULL);
  size_t n = 10000000, granted = PROTO_WINDOW;
  g->stingy = true;
  proto_spec s = rig_shell(LINES "10000000");
  rig_assign(g, rig_spec(g, &s), 1, 1);
  rig_task *t = &g->task[1];
  while (!t->done) {
    while (t->pieces[PROTO_CH_OUT] < granted && !t->done) rig_hear(g);
    ck_assert_uint_le(t->pieces[PROTO_CH_OUT], granted);
    if (granted == PROTO_WINDOW) ck_assert(!rig_look(g, 100));
    granted += 777777;
    rig_credit(g, 1, PROTO_CH_OUT, 777777);
  }
  ck_exit(t, 0);
  ck_lines(&t->out, n);
  rig_stop(g);
}

UNIT_TEST(a_receiver_that_stopped_does_not_hold_a_cancelled_task) {
  rig *g = rig_start(NULL);
  g->stingy = true;
  proto_spec s = rig_shell("exec cat /dev/zero");
  rig_assign(g, rig_spec(g, &s), 1, 1);
  while (g->task[1].pieces[PROTO_CH_OUT] < PROTO_WINDOW) rig_hear(g);
  rig_interrupt(g, 1, 1, 20);
  ck_assert_int_eq(rig_wait(g, 1)->r.error, 20);
  ck_assert_uint_eq(g->task[1].out.len, PROTO_WINDOW + PROTO_INLINE_OUT);
  /* One that ended by itself, with output left in its pipe. */
  s = rig_shell("head -c 2200000 /dev/zero");
  rig_assign(g, rig_spec(g, &s), 2, 1);
  while (g->task[2].pieces[PROTO_CH_OUT] < PROTO_WINDOW) rig_hear(g);
  ck_assert(!rig_look(g, 50));
  rig_credit(g, 2, PROTO_CH_OUT, PROTO_WINDOW);
  ck_exit(rig_wait(g, 2), 0);
  ck_assert_uint_eq(g->task[2].out.len, 2200000);
  rig_stop(g);
}

UNIT_TEST(live_output_comes_while_the_command_runs) {
  const char *folder = rig_folder();
  char line[200], file[100];
  snprintf(file, sizeof file, "%s/go", folder);
  snprintf(line, sizeof line,
           "printf now; printf e >&2; while ! test -e %s; do sleep 0.01; done; printf ' then'", file);
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell(line);
  s.flags = PROTO_SPEC_LIVE;
  rig_assign(g, rig_spec(g, &s), 1, 1);
  rig_task *t = &g->task[1];
  while (t->out.len < 3 || t->err.len < 1) rig_hear(g);
  ck_assert(!t->done);
  close(open(file, O_CREAT | O_WRONLY, 0600));
  rig_wait(g, 1);
  ck_assert_str_eq(text(&t->out), "now then");
  ck_assert_str_eq(text(&t->err), "e");
  ck_assert_uint_eq(t->pieces[PROTO_CH_OUT], 8);
  s = rig_shell(":"); /* nothing at all */
  s.flags = PROTO_SPEC_LIVE;
  rig_assign(g, rig_spec(g, &s), 2, 1);
  ck_assert_uint_eq(rig_wait(g, 2)->r.flags, PROTO_RESULT_USAGE);
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(merged_streams_keep_their_order) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo a; echo b >&2; echo c");
  s.flags = PROTO_SPEC_MERGE;
  rig_task *t = rig_run(g, &s);
  ck_assert_str_eq(text(&t->out), "a\nb\nc\n");
  ck_assert_uint_eq(t->err.len, 0);
  rig_stop(g);
}

UNIT_TEST(a_task_past_its_limit_is_ended) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("printf 12345");
  s.output_limit = 5;
  rig_assign(g, rig_spec(g, &s), 1, 1);
  ck_exit(rig_wait(g, 1), 0);
  s = rig_shell("printf 123456");
  s.output_limit = 5;
  rig_assign(g, rig_spec(g, &s), 2, 1);
  rig_task *t = rig_wait(g, 2);
  ck_assert_int_eq(t->r.error, HATO_TOO_LARGE);
  ck_assert_str_eq(t->words, "node3: ended: more than 5 bytes on its standard output");
  ck_assert_str_eq(text(&t->out), "12345");
  s = rig_shell("trap 'echo bye >&2; exit 1' TERM; while :; do echo 0123456789; done");
  s.output_limit = 100000;
  rig_assign(g, rig_spec(g, &s), 3, 1);
  t = rig_wait(g, 3);
  ck_assert_int_eq(t->r.error, HATO_TOO_LARGE);
  ck_assert_uint_eq(t->out.len, 100000);
  ck_assert_str_eq(text(&t->err), "bye\n");
  rig_stop(g);
}

/* What the command left in its pipe when it was gone already. */
UNIT_TEST(the_last_words_of_a_command_are_taken) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("head -c 60000 /dev/zero; kill -9 $$");
  rig_task *t = rig_run(g, &s);
  ck_assert(WIFSIGNALED(t->r.wait_status));
  ck_assert_uint_eq(t->out.len, 60000);
  rig_stop(g);
}

UNIT_TEST(output_goes_to_files) {
  const char *folder = rig_folder();
  char pattern[200], path[300];
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo out {}; echo err >&2");
  s.flags = PROTO_SPEC_SUBSTITUTE | PROTO_SPEC_SHELL;
  s.umask = 077;
  s.cwd = (char *)(uintptr_t)folder;
  s.output_to = pattern;
  snprintf(pattern, sizeof pattern, "new/{id}/n{#}-{}.{stream}");
  uint32_t spec = rig_spec(g, &s);
  rig_assign_arg(g, spec, 1, "a/../b c", 8);
  rig_task *t = rig_wait(g, 1);
  ck_exit(t, 0);
  ck_assert_uint_eq(t->out.len + t->err.len, 0);
  snprintf(path, sizeof path, "%s/new/1/n1-a_.._b c.out", folder);
  ck_assert(rig_file_says(path, "out a/../b c\n"));
  struct stat st;
  ck_assert_int_eq(stat(path, &st), 0);
  ck_assert_int_eq(st.st_mode & 0777, 0600);
  snprintf(path, sizeof path, "%s/new/1/n1-a_.._b c.err", folder);
  ck_assert(rig_file_says(path, "err\n"));
  snprintf(pattern, sizeof pattern, "%s/both-{#}", folder);
  spec = rig_spec(g, &s);
  rig_assign_arg(g, spec, 2, "x", 1);
  ck_exit(rig_wait(g, 2), 0);
  snprintf(path, sizeof path, "%s/both-2", folder);
  ck_assert(rig_file_says(path, "out x\nerr\n"));
  snprintf(pattern, sizeof pattern, "%s/in/{}/out", folder); /* an argument is a name, and leads nowhere */
  spec = rig_spec(g, &s);
  rig_assign_arg(g, spec, 3, "..", 2);
  ck_exit(rig_wait(g, 3), 0);
  snprintf(path, sizeof path, "%s/in/__/out", folder);
  ck_assert(rig_file_says(path, "out ..\nerr\n"));
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(files_that_cannot_be_written) {
  const char *folder = rig_folder();
  char pattern[200], want[300];
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo out");
  s.output_to = pattern;
  snprintf(pattern, sizeof pattern, "%s", folder);
  rig_task *t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, HATO_PERMISSION);
  snprintf(want, sizeof want, "node3: cannot write %s: it is a folder", folder);
  ck_assert_str_eq(t->words, want);
  snprintf(pattern, sizeof pattern, "/proc/none/{#}");
  t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, HATO_NOT_FOUND);
  ck_assert_str_eq(t->words, "node3: no such file: /proc/none/2");
  snprintf(pattern, sizeof pattern, "/dev/full");
  ck_exit(rig_run(g, &s), 1); /* the command's own affair */
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_MAIN("executor_output")

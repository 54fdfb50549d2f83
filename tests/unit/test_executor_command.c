/* Commands: what they are started with, how they end, why they cannot start. */
#include "unit.h"

#include "help_executor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void ck_error(const rig_task *t, int error, const char *words) {
  ck_assert_msg(t->r.error == error, "error value %d: %s", t->r.error, t->words);
  ck_assert_str_eq(t->words, words);
  ck_assert_uint_eq(t->r.flags, 0);
}

static void ck_exit(const rig_task *t, int status) {
  ck_assert_msg(t->r.error == 0, "error value %d: %s", t->r.error, t->words);
  ck_assert_uint_eq(t->r.flags & PROTO_RESULT_USAGE, PROTO_RESULT_USAGE);
  ck_assert(WIFEXITED(t->r.wait_status));
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), status);
}

static const char *text(const hato__buf *b) { return b->data ? (const char *)b->data : ""; }

UNIT_TEST(output_and_status_come_back) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo out; echo err >&2; exit 3");
  rig_task *t = rig_run(g, &s);
  ck_exit(t, 3);
  ck_assert_str_eq(text(&t->out), "out\n");
  ck_assert_str_eq(text(&t->err), "err\n");
  ck_assert_uint_gt(t->r.wall_ns, 0);
  ck_assert_uint_gt(t->r.peak_kib, 100);
  s = rig_shell("kill -SEGV $$");
  t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, 0);
  ck_assert(WIFSIGNALED(t->r.wait_status));
  ck_assert_int_eq(WTERMSIG(t->r.wait_status), SIGSEGV);
  rig_stop(g);
}

UNIT_TEST(tasks_run_in_order_with_their_numbers) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo $HATO_TASK_ID $HATO_TASK_INDEX");
  uint32_t spec = rig_spec(g, &s);
  rig_assign(g, spec, 1, 20);
  rig_wait_all(g, 1, 20);
  for (unsigned i = 1; i <= 20; i++) {
    char want[32];
    snprintf(want, sizeof want, "%u %u\n", i, i);
    ck_exit(&g->task[i], 0);
    ck_assert_uint_eq(g->task[i].order, i);
    ck_assert_str_eq(text(&g->task[i].out), want);
  }
  rig_stop(g);
}

UNIT_TEST(the_environment_is_the_submitters_without_secrets) {
  rig *g = rig_start(NULL);
  char *env[] = {
      "PATH=/usr/bin:/bin", "A=b c", "HATO_CREDENTIAL_FILE=x", "HATO_SECRET=y", "HATO_TASK_ID=nonsense",
      "HATO_SESSION=s",     NULL};
  char *argv[] = {"env", NULL};
  proto_spec s = {.kind = PROTO_COMMAND, .argv = argv, .env = env, .cwd = "/", .umask = 022};
  rig_task *t = rig_run(g, &s);
  ck_exit(t, 0);
  ck_assert_str_eq(text(&t->out),
                   "PATH=/usr/bin:/bin\nA=b c\nHATO_SESSION=s\nHATO_TASK_ID=1\nHATO_TASK_INDEX=1\n");
  rig_stop(g);
}

UNIT_TEST(folder_umask_group_mask_and_descriptors) {
  const char *folder = rig_folder();
  executor_options opts = {.node = "node3", .nofile_soft = 200};
  int leak = open("/dev/null", O_RDONLY); /* inherited by the executor: not by tasks */
  ck_assert_int_ge(leak, 3);
  rig *g = rig_start(&opts);
  close(leak);
  proto_spec s = rig_shell(
      "pwd; umask; ulimit -n; echo /proc/self/fd/*; "
      "grep -E '^Sig(Blk|Ign)' /proc/self/status; ps -o pgid= -p $$; echo $$; readlink /proc/$$/fd/0");
  s.cwd = (char *)(uintptr_t)folder;
  s.umask = 027;
  rig_task *t = rig_run(g, &s);
  ck_exit(t, 0);
  char cwd[100], mask[8], limit[8], fds[200], blocked[64], ignored[64], null[64];
  int group, pid;
  ck_assert_int_eq(sscanf(text(&t->out), "%99s %7s %7s %199[^\n] SigBlk:\t%63s SigIgn:\t%63s %d %d %63s", cwd,
                          mask, limit, fds, blocked, ignored, &group, &pid, null),
                   9);
  ck_assert_str_eq(cwd, folder);
  ck_assert_str_eq(mask, "0027");
  ck_assert_str_eq(limit, "200");
  ck_assert_ptr_nonnull(strstr(fds, "/proc/self/fd/2"));
  ck_assert_ptr_null(strstr(fds, "/proc/self/fd/4")); /* 3 is the shell's own, of the folder */
  ck_assert_str_eq(blocked, "0000000000000000");
  ck_assert_str_eq(ignored, "0000000000000000");
  ck_assert_int_eq(group, pid);
  ck_assert_str_eq(null, "/dev/null");
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(arguments_stand_for_braces) {
  rig *g = rig_start(NULL);
  char *argv[] = {"/usr/bin/printf", "%s|", "{}", "a{}b{}", "-", NULL};
  char *env[] = {NULL};
  proto_spec s = {
      .kind = PROTO_COMMAND, .flags = PROTO_SPEC_SUBSTITUTE, .argv = argv, .env = env, .cwd = "/"};
  uint32_t spec = rig_spec(g, &s);
  rig_assign_arg(g, spec, 1, "x y", 3);
  ck_exit(rig_wait(g, 1), 0);
  ck_assert_str_eq(text(&g->task[1].out), "x y|ax ybx y|-|");
  rig_assign(g, spec, 2, 1); /* none to stand there */
  ck_assert_str_eq(text(&rig_wait(g, 2)->out), "{}|a{}b{}|-|");
  rig_assign_counted(g, spec, 3, 3, -1);
  rig_wait_all(g, 3, 5);
  ck_assert_str_eq(text(&g->task[3].out), "-1|a-1b-1|-|");
  ck_assert_str_eq(text(&g->task[5].out), "1|a1b1|-|");
  rig_assign_arg(g, spec, 6, "a\0b", 3);
  ck_assert_int_eq(rig_wait(g, 6)->r.error, HATO_INVALID);
  rig_stop(g);
}

/* What comes in pieces stands there as what comes in a block does. */
UNIT_TEST(large_arguments_stand_for_braces) {
  rig *g = rig_start(NULL);
  const size_t most = 32 * (size_t)sysconf(_SC_PAGESIZE) - 1;
  char *arg = malloc(most + 1), want[200];
  memset(arg, 'x', most + 1);
  char *argv[] = {"/usr/bin/printf", "%s", "{}", NULL};
  char *env[] = {NULL};
  proto_spec s = {
      .kind = PROTO_COMMAND, .flags = PROTO_SPEC_SUBSTITUTE, .argv = argv, .env = env, .cwd = "/"};
  uint32_t spec = rig_spec(g, &s);
  uint64_t task = 1;
  for (int known = 0; known < 2; known++, task++) {
    rig_assign_large(g, spec, task, known ? most : UINT64_MAX);
    while (g->task[task].credit_in == 0) rig_hear(g);
    rig_piece(g, task, arg, 70000, false, 0);
    rig_piece(g, task, arg, most - 70000, true, 0);
    ck_exit(rig_wait(g, task), 0);
    ck_assert_uint_eq(g->task[task].out.len, most);
    ck_assert_int_eq(memcmp(g->task[task].out.data, arg, most), 0);
  }
  rig_assign_large(g, spec, task, most + 1);
  snprintf(want, sizeof want, "node3: an argument of %zu bytes is too long for a command line: a word of it has at most %zu",
           most + 1, most);
  ck_error(rig_wait(g, task), 17, want);
  ck_assert_uint_eq(g->task[task++].credit_in, 0); /* nothing of it is asked for */
  rig_assign_large(g, spec, task, UINT64_MAX);
  while (g->task[task].credit_in == 0) rig_hear(g);
  rig_piece(g, task, arg, most + 1, false, 0);
  snprintf(want, sizeof want,
           "node3: an argument of at least %zu bytes is too long for a command line: a word of it has at most %zu", most + 1,
           most);
  ck_error(rig_wait(g, task++), 17, want);
  rig_assign_large(g, spec, task, 70000);
  while (g->task[task].credit_in == 0) rig_hear(g);
  rig_interrupt(g, task, 1, 20);
  ck_assert_int_eq(rig_wait(g, task)->r.error, 20);
  rig_assign_large(g, spec, ++task, 70000);
  while (g->task[task].credit_in == 0) rig_hear(g);
  memset(arg + 69000, 0, 1);
  rig_piece(g, task, arg, 70000, true, 0);
  ck_error(rig_wait(g, task++), 3, "node3: an argument with a NUL byte cannot stand on a command line");
  rig_assign_arg(g, spec, task, "small", 5);
  ck_assert_str_eq(text(&rig_wait(g, task)->out), "small");
  free(arg);
  rig_stop(g);
}

UNIT_TEST(arguments_are_quoted_into_a_shell_line) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("printf '%s|' {} b");
  s.flags = PROTO_SPEC_SUBSTITUTE | PROTO_SPEC_SHELL;
  uint32_t spec = rig_spec(g, &s);
  const char *nasty = "a'b; echo $HOME \"`id`\"\n*";
  rig_assign_arg(g, spec, 1, nasty, strlen(nasty));
  ck_exit(rig_wait(g, 1), 0);
  char want[64];
  snprintf(want, sizeof want, "%s|b|", nasty);
  ck_assert_str_eq(text(&g->task[1].out), want);
  rig_stop(g);
}

static rig_task *run_argv(rig *g, const char *program, const char *cwd, const char *path) {
  char *argv[] = {(char *)(uintptr_t)program, NULL};
  char *env[] = {(char *)(uintptr_t)path, NULL};
  proto_spec s = {
      .kind = PROTO_COMMAND, .argv = argv, .env = env, .cwd = (char *)(uintptr_t)cwd, .umask = 022};
  return rig_run(g, &s);
}

static void put_file(const char *folder, const char *name, const char *content, mode_t mode) {
  char path[200];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *f = fopen(path, "w");
  ck_assert_ptr_nonnull(f);
  fputs(content, f);
  fclose(f);
  ck_assert_int_eq(chmod(path, mode), 0);
}

UNIT_TEST(what_cannot_be_executed_is_said_in_words) {
  const char *folder = rig_folder();
  char path[200], want[400], file[200];
  rig *g = rig_start(NULL);
  ck_error(run_argv(g, "no-such-x", "/tmp", "PATH=/usr/bin:/bin"), 12,
           "node3: no such program: no-such-x (looked in /usr/bin:/bin)");
  ck_error(run_argv(g, "./no-such-x", "/tmp", "A="), 12, "node3: no such program: ./no-such-x (in /tmp)");
  ck_error(run_argv(g, "/no/such", "/tmp", "A="), 12, "node3: no such program: /no/such");
  ck_error(run_argv(g, "/usr", "/tmp", "A="), 16, "node3: cannot execute /usr: it is a folder");
  ck_error(run_argv(g, "true", "/no/folder", "PATH=/bin"), 12, "node3: no such folder: /no/folder");
  ck_error(run_argv(g, "true", "/bin/true", "PATH=/bin"), 12, "node3: /bin/true is not a folder");
  put_file(folder, "plain", "echo hello\n", 0644);
  put_file(folder, "bare", "echo hello\n", 0755);
  put_file(folder, "lost", "#!/no/interpreter\n", 0755);
  ck_error(run_argv(g, "./plain", folder, "A="), 16, "node3: no permission to execute ./plain");
  ck_error(
      run_argv(g, "./bare", folder, "A="), 9,
      "node3: cannot execute ./bare: neither a program for this machine nor a script that begins with #!");
  ck_error(run_argv(g, "./lost", folder, "A="), 12,
           "node3: ./lost is there, but not the interpreter or loader that it names");
  snprintf(path, sizeof path, "PATH=/nowhere:%s:/bin", folder);
  snprintf(want, sizeof want, "node3: no permission to execute %s/plain", folder);
  ck_error(run_argv(g, "plain", "/tmp", path), 16, want);
  snprintf(file, sizeof file, "%s/out", folder);
  ck_exit(run_argv(g, "true", "/tmp", path), 0); /* and it goes on working */
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(arguments_past_the_kernels_limit) {
  rig *g = rig_start(NULL);
  size_t n = 60000; /* three of them in one word */
  char *arg = malloc(n);
  memset(arg, 'x', n);
  char *argv[] = {"/bin/echo", "{}{}{}", NULL};
  char *env[] = {NULL};
  proto_spec s = {
      .kind = PROTO_COMMAND, .flags = PROTO_SPEC_SUBSTITUTE, .argv = argv, .env = env, .cwd = "/"};
  rig_assign_arg(g, rig_spec(g, &s), 1, arg, n);
  char want[200];
  snprintf(want, sizeof want, "node3: cannot execute /bin/echo: a word of its command line has %zu bytes, at most %zu are taken",
           3 * n, 32 * (size_t)sysconf(_SC_PAGESIZE) - 1);
  ck_error(rig_wait(g, 1), 17, want);
  free(arg);
  rig_stop(g);
}

/* The place where a program was found is remembered, but not believed for ever. */
UNIT_TEST(a_program_that_moves_is_found_again) {
  const char *folder = rig_folder();
  char a[200], b[200], path[500];
  snprintf(a, sizeof a, "%s/a", folder);
  snprintf(b, sizeof b, "%s/b", folder);
  ck_assert_int_eq(mkdir(a, 0700) | mkdir(b, 0700), 0);
  put_file(b, "tool", "#!/bin/sh\necho b\n", 0755);
  snprintf(path, sizeof path, "PATH=%s:%s:", a, b);
  char *argv[] = {"tool", NULL};
  char *env[] = {path, NULL};
  proto_spec s = {.kind = PROTO_COMMAND, .argv = argv, .env = env, .cwd = (char *)(uintptr_t)folder};
  rig *g = rig_start(NULL);
  uint32_t spec = rig_spec(g, &s);
  rig_assign(g, spec, 1, 1);
  ck_assert_str_eq(text(&rig_wait(g, 1)->out), "b\n");
  put_file(a, "tool", "#!/bin/sh\necho a\n", 0755);
  snprintf(path, sizeof path, "%s/tool", b);
  ck_assert_int_eq(unlink(path), 0);
  rig_assign(g, spec, 2, 1);
  ck_assert_str_eq(text(&rig_wait(g, 2)->out), "a\n");
  snprintf(path, sizeof path, "%s/tool", a);
  ck_assert_int_eq(unlink(path), 0);
  put_file(folder, "tool", "#!/bin/sh\necho here\n", 0755); /* the empty entry at the end */
  rig_assign(g, spec, 3, 1);
  ck_assert_str_eq(text(&rig_wait(g, 3)->out), "here\n");
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(specifications_are_dropped_and_wrong_ones_reported) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo x");
  uint32_t spec = rig_spec(g, &s);
  rig_assign(g, spec, 1, 3);
  proto_spec_drop_encode(&g->out, spec); /* the queued ones still have it */
  rig_send(g);
  rig_wait_all(g, 1, 3);
  ck_exit(&g->task[3], 0);
  proto_spec_send(&g->out, 77, "\x01\x00\x01\x00\x00\x00\x09", 7); /* kind 9 */
  rig_assign(g, 77, 4, 1);
  rig_task *t = rig_wait(g, 4);
  ck_assert_int_ne(t->r.error, 0);
  ck_assert_int_gt(strlen(t->words), 0);
  rig_stop(g);
}

UNIT_TEST(what_is_no_frame_ends_the_executor) {
  rig *g = rig_start(NULL);
  hato__buf_append(&g->out, "garbage garbage", 15);
  rig_send(g);
  rig_wait_gone(g);
  ck_assert(WIFEXITED(g->status));
  ck_assert_int_eq(WEXITSTATUS(g->status), EXECUTOR_EXIT_PROTOCOL);
  rig_stop(g);
  g = rig_start(NULL);
  rig_assign(g, 5, 1, 1); /* a specification that it was not sent */
  rig_wait_gone(g);
  ck_assert_int_eq(WEXITSTATUS(g->status), EXECUTOR_EXIT_PROTOCOL);
  rig_stop(g);
}

/* A child's peak begins at its parent's: the executor has to be small for it to mean something. */
UNIT_TEST(the_peak_is_the_commands_own) {
#ifndef HATO_SANITIZED
  rig *g = rig_start(NULL);
  ck_assert_uint_lt(run_argv(g, "/bin/true", "/", "A=")->r.peak_kib, 8192);
  rig_stop(g);
#endif
}

UNIT_MAIN("executor_command")

/* Function tasks. */
#include "unit.h"

#include "base/clock.h"
#include "help_executor.h"

#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text(const hato__buf *b) { return b->data ? (const char *)b->data : ""; }

static void ck_result(const rig_task *t, const char *out) {
  ck_assert_msg(t->r.error == 0 && t->r.wait_status == 0, "error value %d, status %x: %s", t->r.error,
                t->r.wait_status, t->words);
  ck_assert_str_eq(text(&t->out), out);
}

static uint32_t spec_of(rig *g, const char *symbol) {
  proto_spec s = rig_function("samples", symbol);
  return rig_spec(g, &s);
}

static rig_task *call_with(rig *g, const char *symbol, uint64_t task, const char *arg) {
  rig_assign_arg(g, spec_of(g, symbol), task, arg, strlen(arg));
  return rig_wait(g, task);
}

UNIT_TEST(bytes_in_and_bytes_out) {
  rig *g = rig_start(NULL);
  ck_result(call_with(g, "echo", 1, "hello"), "hello");
  ck_assert_uint_gt(g->task[1].r.wall_ns, 0);
  ck_assert_uint_eq(g->task[1].r.flags, 0);
  ck_result(call_with(g, "echo_reserved", 2, "in place"), "in place");
  ck_result(call_with(g, "empty", 3, "x"), "");
  ck_result(call_with(g, "describe", 4, "x"), "4 1 3 node3 1 1 1");
  rig_assign(g, spec_of(g, "echo"), 5, 1); /* no argument */
  ck_result(rig_wait(g, 5), "");
  rig_stop(g);
}

UNIT_TEST(an_array_in_one_message) {
  rig *g = rig_start(NULL);
  rig_assign_counted(g, spec_of(g, "echo"), 1, 64, -3);
  rig_wait_all(g, 1, 64);
  for (int i = 1; i <= 64; i++) {
    char want[16];
    snprintf(want, sizeof want, "%d", i - 4);
    ck_result(&g->task[i], want);
    ck_assert_uint_eq(g->task[i].order, (unsigned)i);
  }
  rig_stop(g);
}

UNIT_TEST(state_persists_and_is_destroyed) {
  const char *folder = rig_folder();
  char file[200];
  snprintf(file, sizeof file, "%s/count", folder);
  rig *g = rig_start(NULL);
  ck_result(call_with(g, "count", 1, file), "1");
  ck_result(call_with(g, "count", 2, file), "2"); /* another specification of the same object */
  ck_result(call_with(g, "empty", 3, ""), "");
  ck_result(call_with(g, "count", 4, file), "3");
  rig_stop(g);
  ck_assert(rig_file_says(file, "3\n"));
  unit_remove_folder(folder);
}

/* A specification that comes to lie where another one was. */
UNIT_TEST(specifications_come_and_go) {
  rig *g = rig_start(NULL);
  for (uint64_t task = 1; task <= 60; task++) {
    uint32_t spec = spec_of(g, task % 2 ? "echo" : "describe");
    rig_assign_arg(g, spec, task, "x", 1);
    proto_spec_drop_encode(&g->out, spec);
    rig_send(g);
    rig_task *t = rig_wait(g, task);
    ck_assert_int_eq(t->r.error, 0);
    if (task % 2)
      ck_assert_str_eq(text(&t->out), "x");
    else
      ck_assert_uint_gt(t->out.len, 10);
  }
  rig_stop(g);
}

UNIT_TEST(failures_have_status_words_and_bytes) {
  rig *g = rig_start(NULL);
  rig_task *t = call_with(g, "fail", 1, "7");
  ck_assert_int_eq(t->r.error, 0);
  ck_assert_uint_eq(t->r.flags, PROTO_RESULT_USAGE);
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), 7);
  ck_assert_str_eq(t->words, "no such luck");
  ck_assert_str_eq(text(&t->out), "so far");
  t = call_with(g, "fail", 2, "512"); /* its low byte is 0, but it failed */
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), 1);
  ck_result(call_with(g, "fail", 3, "0"), "so far");
  ck_assert_str_eq(g->task[3].words, "");
  rig_stop(g);
}

UNIT_TEST(what_is_printed_belongs_to_its_task) {
  rig *g = rig_start(NULL);
  rig_assign_arg(g, spec_of(g, "print"), 1, "one", 3);
  rig_assign_arg(g, spec_of(g, "empty"), 2, "", 0);
  rig_assign_arg(g, spec_of(g, "print"), 3, "two", 3);
  rig_wait_all(g, 1, 3);
  ck_assert_str_eq(text(&g->task[1].err), "printed one\non stderr\nlogged\nnot flushed");
  ck_assert_str_eq(text(&g->task[2].err), "");
  ck_assert_str_eq(text(&g->task[3].err), "printed two\non stderr\nlogged\nnot flushed");
  rig_task *t = call_with(g, "print_many", 4, "300000");
  ck_assert_uint_eq(t->err.len, 300000);
  ck_assert_uint_eq(t->pieces[PROTO_CH_ERR], 300000 - PROTO_INLINE_OUT);
  for (size_t i = 0; i < t->err.len; i++)
    if (t->err.data[i] != 'a' + (int)(i % 26)) ck_abort_msg("byte %zu is wrong", i);
  ck_result(call_with(g, "empty", 5, ""), "");
  ck_assert_uint_eq(g->task[5].err.len, 0);
  rig_stop(g);
}

static void ck_pattern(const hato__buf *b, size_t n) {
  ck_assert_uint_eq(b->len, n);
  for (size_t i = 0; i < n; i++) {
    if (b->data[i] != (unsigned char)(i * 7 + i / 251)) ck_abort_msg("byte %zu is wrong", i);
  }
}

UNIT_TEST(results_around_the_inline_size) {
  rig *g = rig_start(NULL);
  static const size_t sizes[] = {0, 1, 65535, 65536, 65537, 300000, 3000000};
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    char arg[32];
    snprintf(arg, sizeof arg, "%zu", sizes[i]);
    rig_task *t = call_with(g, "many", i + 1, arg);
    ck_assert_int_eq(t->r.error, 0);
    ck_pattern(&t->out, sizes[i]);
    ck_assert_uint_eq(t->pieces[PROTO_CH_OUT], sizes[i] > 65536 ? sizes[i] : 0);
  }
  rig_stop(g);
}

UNIT_TEST(a_large_result_waits_for_credit) {
  rig *g = rig_start(NULL);
  g->stingy = true;
  rig_assign_arg(g, spec_of(g, "many"), 1, "5000000", 7);
  rig_task *t = &g->task[1];
  while (t->pieces[PROTO_CH_OUT] < PROTO_WINDOW) rig_hear(g);
  ck_assert(!rig_look(g, 50)); /* nothing without credit */
  ck_assert_uint_eq(t->pieces[PROTO_CH_OUT], PROTO_WINDOW);
  rig_credit(g, 1, PROTO_CH_OUT, 1);
  while (t->pieces[PROTO_CH_OUT] < PROTO_WINDOW + 1) rig_hear(g);
  rig_credit(g, 1, PROTO_CH_ERR, 1000); /* another stream's */
  rig_credit(g, 2, PROTO_CH_OUT, 1000); /* another task's */
  ck_assert(!rig_look(g, 50));
  rig_credit(g, 1, PROTO_CH_OUT, 10000000);
  ck_pattern(&rig_wait(g, 1)->out, 5000000);
  /* Interrupted while it waits: what went, stays. */
  rig_assign_arg(g, spec_of(g, "many"), 2, "5000000", 7);
  t = &g->task[2];
  while (t->pieces[PROTO_CH_OUT] < PROTO_WINDOW) rig_hear(g);
  rig_interrupt(g, 2, 1, 20);
  ck_assert_int_eq(rig_wait(g, 2)->r.error, 20);
  ck_assert_uint_eq(t->out.len, PROTO_WINDOW);
  rig_stop(g);
}

UNIT_TEST(a_large_result_is_sent_while_the_function_runs) {
  rig *g = rig_start(NULL);
  rig_assign_arg(g, spec_of(g, "many_and_wait"), 1, "1500000", 7);
  rig_task *t = &g->task[1];
  while (t->pieces[PROTO_CH_OUT] < 1500000) rig_hear(g);
  ck_assert(!t->done && !t->last[PROTO_CH_OUT]);
  rig_interrupt(g, 1, 1, 20);
  ck_assert_int_eq(rig_wait(g, 1)->r.error, 20);
  ck_pattern(&t->out, 1500000);
  ck_assert(t->last[PROTO_CH_OUT]);
  t = call_with(g, "many_in_parts", 2, "5000000");
  ck_assert_int_eq(t->r.error, 0);
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), 7);
  ck_pattern(&t->out, 5000000);
  proto_spec s = rig_function("samples", "many_in_parts");
  s.output_limit = 1500000;
  rig_assign_arg(g, rig_spec(g, &s), 3, "5000000", 7);
  t = rig_wait(g, 3);
  ck_assert_int_eq(t->r.error, HATO_TOO_LARGE);
  ck_assert_uint_le(t->out.len, 1500000);
  ck_result(call_with(g, "echo", 4, "still here"), "still here");
  rig_stop(g);
}

static void send_large(rig *g, uint64_t task, size_t n, uint64_t total) {
  static uint8_t block[100000];
  for (size_t i = 0; i < sizeof block; i++) block[i] = (uint8_t)i;
  size_t sent = 0;
  rig_assign_large(g, spec_of(g, "sum"), task, total);
  uint64_t until = rig_deadline();
  while (sent < n) {
    size_t part = n - sent < sizeof block ? n - sent : sizeof block;
    if (g->task[task].credit_in < sent + part) {
      (void)rig_look(g, 100);
      ck_assert_msg(hato__now() < until, "no credit after %zu", sent);
      continue;
    }
    rig_piece(g, task, block, part, false, 0);
    sent += part;
  }
  rig_piece(g, task, NULL, 0, true, 0);
}

static void ck_sum(const rig_task *t, size_t n) {
  unsigned long long total = 0;
  for (size_t i = 0; i < n; i++) total += (uint8_t)(i % 100000);
  char want[64];
  snprintf(want, sizeof want, "%zu %llu", n, total);
  ck_result(t, want);
}

UNIT_TEST_LIMIT(large_arguments, 20) {
  executor_options opts = {.node = "node3", .spool = "/tmp", .memory_payload = 1 << 20};
  rig *g = rig_start(&opts);
  static const size_t sizes[] = {0, 1, 100000, 1 << 20, 5000000};
  uint64_t task = 1;
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    send_large(g, task, sizes[i], sizes[i]);
    ck_sum(rig_wait(g, task++), sizes[i]);
    send_large(g, task, sizes[i], UINT64_MAX);
    ck_sum(rig_wait(g, task++), sizes[i]);
  }
  rig_assign_large(g, spec_of(g, "sum"), task, 1000); /* its sender gives up */
  rig_piece(g, task, "abc", 3, true, HATO_CLOSED);
  ck_assert_int_eq(rig_wait(g, task++)->r.error, HATO_CLOSED);
  rig_assign_large(g, spec_of(g, "sum"), task, 1000); /* cancelled before it was complete */
  rig_interrupt(g, task, 1, 20);
  ck_assert_int_eq(rig_wait(g, task++)->r.error, 20);
  ck_result(call_with(g, "echo", task, "still here"), "still here");
  rig_stop(g);
}

#ifdef __SANITIZE_THREAD__ /* each byte that is made or compared takes it a hundred times as long */
#define HUNDRED_MEGABYTES 10000000
#else
#define HUNDRED_MEGABYTES 100000000
#endif

UNIT_TEST_LIMIT(a_hundred_megabytes_each_way, 60) {
  rig *g = rig_start(NULL);
  size_t n = HUNDRED_MEGABYTES;
  char count[16];
  snprintf(count, sizeof count, "%zu", n);
  send_large(g, 1, n, n);
  ck_sum(rig_wait(g, 1), n);
  ck_pattern(&call_with(g, "many", 2, count)->out, n);
  rig_stop(g);
}

UNIT_TEST(results_past_the_limit) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_function("samples", "echo");
  s.output_limit = 4;
  uint32_t spec = rig_spec(g, &s);
  rig_assign_arg(g, spec, 1, "four", 4);
  ck_result(rig_wait(g, 1), "four");
  rig_assign_arg(g, spec, 2, "fives", 5);
  ck_assert_int_eq(rig_wait(g, 2)->r.error, HATO_TOO_LARGE);
  ck_assert_str_eq(g->task[2].words, "node3: a result of more than 4 bytes");
  s = rig_function("samples", "print");
  s.output_limit = 4;
  rig_assign_arg(g, rig_spec(g, &s), 3, "x", 1);
  ck_assert_int_eq(rig_wait(g, 3)->r.error, HATO_TOO_LARGE);
  ck_assert_str_eq(text(&g->task[3].err), "prin");
  rig_stop(g);
}

/* ---- ends ---- */

static void crash_after(const char *symbol, const char *arg, int sig) {
  rig *g = rig_start(NULL);
  uint32_t good = spec_of(g, "echo"), bad = spec_of(g, symbol);
  rig_assign_counted(g, good, 1, 20, 1);
  rig_assign_arg(g, bad, 21, arg, strlen(arg));
  rig_assign_counted(g, good, 22, 10, 1);
  rig_wait_gone(g);
  for (int i = 1; i <= 20; i++) ck_assert_msg(g->task[i].done, "the result of task %d is lost", i);
  for (int i = 21; i <= 31; i++) ck_assert_msg(!g->task[i].done, "task %d has a result", i);
  if (sig > 0) {
    ck_assert_msg(WIFSIGNALED(g->status) && WTERMSIG(g->status) == sig, "status %x", g->status);
  } else {
    ck_assert(WIFEXITED(g->status));
  }
  rig_stop(g);
}

UNIT_TEST(a_crash_takes_no_results_with_it) {
  crash_after("die", "11", SIGSEGV);
  crash_after("die", "6", SIGABRT);
  crash_after("die", "8", SIGFPE);
  crash_after("die", "7", SIGBUS);
  crash_after("die", "4", SIGILL);
}

UNIT_TEST(nor_does_exit) { crash_after("die", "1000", 0); }

UNIT_TEST(nor_does_an_endless_recursion) {
#ifndef HATO_SANITIZED
  crash_after("overflow_the_stack", "", SIGSEGV);
#endif
}

UNIT_TEST(a_large_result_from_nowhere_is_a_crash) {
#ifndef HATO_SANITIZED
  crash_after("many_from_nowhere", "", SIGSEGV);
#endif
}

UNIT_TEST(results_do_not_wait_behind_a_long_call) {
  const char *folder = rig_folder();
  char file[200];
  snprintf(file, sizeof file, "%s/go", folder);
  rig *g = rig_start(NULL);
  ck_result(call_with(g, "empty", 1, ""), "");
  uint32_t echo = spec_of(g, "echo"), wait = spec_of(g, "wait_file");
  rig_assign_counted(g, echo, 2, 5, 1);
  rig_assign_arg(g, wait, 7, file, strlen(file));
  rig_wait_all(g, 2, 6);
  ck_assert(!g->task[7].done);
  close(open(file, O_CREAT | O_WRONLY, 0600));
  ck_result(rig_wait(g, 7), "");
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(a_function_that_asks_is_cancelled) {
  rig *g = rig_start(NULL);
  rig_assign(g, spec_of(g, "wait_cancelled"), 1, 5);
  rig_interrupt(g, 3, 1, 20);
  rig_wait_all(g, 3, 3); /* while the first runs */
  rig_interrupt(g, 1, 1, 5);
  rig_wait_all(g, 1, 1);
  ck_assert_int_eq(g->task[1].r.error, 5);
  ck_assert_int_eq(g->task[3].r.error, 20);
  ck_assert(!g->task[2].done);
  rig_interrupt(g, 2, 4, 20);
  rig_wait_all(g, 1, 5);
  for (int i = 2; i <= 5; i++) ck_assert_int_eq(g->task[i].r.error, 20);
  ck_result(call_with(g, "echo", 6, "x"), "x");
  rig_stop(g);
}

/* A daemon that was killed cannot end a function that is busy: the executor sees that it has gone. */
UNIT_TEST(the_end_of_the_daemon_ends_a_busy_function_and_its_children) {
  const char *folder = rig_folder();
  char file[200];
  snprintf(file, sizeof file, "%s/pid", folder);
  rig *g = rig_start(NULL);
  ck_result(call_with(g, "leave_child", 1, file), "");
  pid_t child = rig_read_pid(file);
  ck_assert_int_eq(kill(child, 0), 0);
  rig_assign_arg(g, spec_of(g, "wait_file"), 2, "/no/such/file", 13);
  ck_assert(!rig_look(g, 20));
  rig_stop(g);
  ck_assert(rig_process_gone(child));
  unit_remove_folder(folder);
}

UNIT_TEST(commands_and_functions_take_turns) {
  rig *g = rig_start(NULL);
  proto_spec shell = rig_shell("grep SigBlk /proc/self/status; echo err >&2");
  uint32_t command = rig_spec(g, &shell);
  proto_spec s = rig_function("samples", "look_around");
  s.cwd = "/usr";
  uint32_t around = rig_spec(g, &s), print = spec_of(g, "print");
  for (unsigned i = 0; i < 4; i++) {
    rig_assign(g, command, 3 * i + 1, 1);
    rig_assign(g, around, 3 * i + 2, 1);
    rig_assign_arg(g, print, 3 * i + 3, "x", 1);
  }
  rig_wait_all(g, 1, 12);
  for (unsigned i = 0; i < 4; i++) {
    ck_result(&g->task[3 * i + 1], "SigBlk:\t0000000000000000\n");
    ck_assert_str_eq(text(&g->task[3 * i + 1].err), "err\n");
    ck_result(&g->task[3 * i + 2], "/usr 0");
    ck_assert_str_eq(text(&g->task[3 * i + 3].err), "printed x\non stderr\nlogged\nnot flushed");
  }
  rig_stop(g);
}

/* ---- objects ---- */

static void ck_error(rig *g, uint64_t task, const proto_spec *s, int error, const char *words) {
  rig_assign(g, rig_spec(g, s), task, 1);
  rig_task *t = rig_wait(g, task);
  ck_assert_msg(t->r.error == error, "error value %d: %s", t->r.error, t->words);
  if (strcmp(t->words, words) != 0) ck_assert_msg(strstr(t->words, words) != NULL, "%s", t->words);
}

static void copy(const char *from, const char *to, size_t at, unsigned char byte) {
  hato__buf line = {0};
  hato__buf_printf(&line, "cp '%s' '%s.new'", from, to);
  ck_assert_int_eq(system(hato__buf_text(&line)), 0);
  hato__buf_clear(&line);
  hato__buf_printf(&line, "%s.new", to);
  if (at > 0) {
    int fd = open(hato__buf_text(&line), O_WRONLY);
    ck_assert_int_eq(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
  }
  ck_assert_int_eq(rename(hato__buf_text(&line), to), 0);
  hato__buf_free(&line);
}

UNIT_TEST(objects_that_cannot_be_loaded) {
  const char *folder = rig_folder();
  char path[200], words[300];
  rig *g = rig_start(NULL);
  proto_spec s = rig_function("samples", "no_such_symbol");
  snprintf(words, sizeof words, "node3: no symbol no_such_symbol in %s", s.object_path);
  ck_error(g, 1, &s, 12, words);
  s.object_path = "/no/such.so";
  ck_error(g, 2, &s, 12, "node3: no such shared object: /no/such.so");
  s.object_path = "such.so";
  s.cwd = "/no";
  ck_error(g, 3, &s, 12, "node3: no such shared object: /no/such.so");
  s = rig_function("samples", "echo");
  s.cwd = "/no/folder";
  ck_error(g, 4, &s, 12, "node3: no such folder: /no/folder");
  proto_spec real = rig_function("samples", "echo");
  s = real;
  s.object_path = path;
  snprintf(path, sizeof path, "%s/32.so", folder);
  copy(real.object_path, path, EI_CLASS, ELFCLASS32);
  ck_error(g, 5, &s, 9, "is for another architecture: 32-bit");
  snprintf(path, sizeof path, "%s/machine.so", folder);
  copy(real.object_path, path, 18, 0xf3);
  ck_error(g, 6, &s, 9, "is for another architecture: 64-bit, ELF machine 243, where");
  snprintf(path, sizeof path, "%s/none.so", folder);
  copy("/etc/passwd", path, 0, 0);
  ck_error(g, 7, &s, 9, "is not a shared object (no ELF header)");
  snprintf(path, sizeof path, "/bin");
  ck_error(g, 8, &s, 16, "node3: cannot load /bin: it is a folder");
  rig_assign(g, rig_spec(g, &real), 9, 1);
  ck_result(rig_wait(g, 9), "");
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(a_file_that_changed_wants_another_executor) {
  const char *folder = rig_folder();
  char path[200];
  proto_spec real = rig_function("samples", "echo");
  snprintf(path, sizeof path, "%s/o.so", folder);
  copy(real.object_path, path, 0, 0);
  proto_spec s = real;
  s.object_path = path;
  rig *g = rig_start(NULL);
  uint32_t spec = rig_spec(g, &s);
  rig_assign_counted(g, spec, 1, 3, 0);
  rig_wait_all(g, 1, 3);
  copy(real.object_path, path, 0, 0);
  rig_assign_counted(g, spec, 4, 3, 0);
  rig_wait_gone(g);
  ck_assert(WIFEXITED(g->status));
  ck_assert_int_eq(WEXITSTATUS(g->status), EXECUTOR_EXIT_RESTART);
  ck_assert(!g->task[4].done);
  rig_stop(g);
  /* One that is known by its content is not looked at again. */
  s.has_hash = true;
  g = rig_start(NULL);
  spec = rig_spec(g, &s);
  rig_assign_counted(g, spec, 1, 3, 0);
  rig_wait_all(g, 1, 3);
  copy(real.object_path, path, 0, 0);
  rig_assign_counted(g, spec, 4, 3, 0);
  rig_wait_all(g, 4, 6);
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_MAIN("executor_function")

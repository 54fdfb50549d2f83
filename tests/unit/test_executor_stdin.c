/* Standard input of commands. */
#include "unit.h"

#include "base/clock.h"
#include "help_executor.h"

#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text(const hato__buf *b) { return b->data ? (const char *)b->data : ""; }

static void ck_exit(const rig_task *t, int status) {
  ck_assert_msg(t->r.error == 0, "error value %d: %s", t->r.error, t->words);
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), status);
}

static uint32_t spec_of(rig *g, const char *line) {
  proto_spec s = rig_shell(line);
  s.stdin_kind = PROTO_STDIN_ARG;
  return rig_spec(g, &s);
}

UNIT_TEST(an_argument_is_the_standard_input) {
  rig *g = rig_start(NULL);
  uint32_t spec = spec_of(g, "cat");
  rig_assign_arg(g, spec, 1, "hello\0there", 11);
  ck_exit(rig_wait(g, 1), 0);
  ck_assert_uint_eq(g->task[1].out.len, 11);
  rig_assign_arg(g, spec, 2, "", 0);
  ck_exit(rig_wait(g, 2), 0);
  rig_assign_counted(g, spec, 3, 1, 42);
  ck_assert_str_eq(text(&rig_wait(g, 3)->out), "42");
  rig_assign(g, spec, 4, 1); /* none: /dev/null */
  ck_exit(rig_wait(g, 4), 0);
  static uint8_t full[PROTO_INLINE_ARG];
  rig_assign_arg(g, spec, 5, full, sizeof full);
  ck_assert_uint_eq(rig_wait(g, 5)->out.len, sizeof full);
  rig_assign_arg(g, spec_of(g, "true"), 6, full, sizeof full); /* that reads none of it */
  ck_exit(rig_wait(g, 6), 0);
  rig_stop(g);
}

UNIT_TEST(a_file_is_the_standard_input) {
  const char *folder = rig_folder();
  char path[100];
  snprintf(path, sizeof path, "%s/in", folder);
  FILE *f = fopen(path, "w");
  fputs("content", f);
  fclose(f);
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("cat");
  s.stdin_kind = PROTO_STDIN_FILE;
  s.cwd = (char *)(uintptr_t)folder;
  s.stdin_path = "in";
  ck_assert_str_eq(text(&rig_run(g, &s)->out), "content");
  s.stdin_path = path;
  ck_assert_str_eq(text(&rig_run(g, &s)->out), "content");
  s.stdin_path = "absent";
  rig_task *t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, HATO_NOT_FOUND);
  snprintf(path, sizeof path, "node3: no such file: %s/absent", folder);
  ck_assert_str_eq(t->words, path);
  s.stdin_path = "/usr";
  t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, HATO_PERMISSION);
  ck_assert_str_eq(t->words, "node3: cannot read /usr: it is a folder");
  s.stdin_path = "in";
  s.cwd = "/no/folder";
  t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, HATO_NOT_FOUND);
  ck_assert_str_eq(t->words, "node3: no such folder: /no/folder");
  rig_stop(g);
  unit_remove_folder(folder);
}

/* Sends n bytes within the credit that came; returns what was sent when the task was done before. */
static size_t feed(rig *g, uint64_t task, size_t n) {
  static uint8_t block[50000];
  size_t sent = 0;
  uint64_t until = rig_deadline();
  for (size_t i = 0; i < sizeof block; i++) block[i] = (uint8_t)i;
  while (sent < n && !g->task[task].done) {
    size_t part = n - sent < sizeof block ? n - sent : sizeof block;
    if (g->task[task].credit_in < sent + part) {
      (void)rig_look(g, 50);
      ck_assert_msg(hato__now() < until, "no credit after %zu", sent);
      continue;
    }
    rig_piece(g, task, block, part, false, 0);
    sent += part;
  }
  if (sent == n) rig_piece(g, task, NULL, 0, true, 0);
  return sent;
}

static void ck_fed(const hato__buf *b, size_t n) {
  ck_assert_uint_eq(b->len, n);
  for (size_t i = 0; i < n; i++) {
    if (b->data[i] != (uint8_t)(i % 50000)) ck_abort_msg("byte %zu is wrong", i);
  }
}

UNIT_TEST(input_in_pieces_of_known_and_unknown_length) {
  static const size_t sizes[] = {0, 1, 70000, 5000000};
  rig *g = rig_start(NULL);
  uint32_t spec = spec_of(g, "cat");
  uint64_t task = 1;
  for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
    for (int known = 0; known < 2; known++, task++) {
      rig_assign_large(g, spec, task, known ? sizes[i] : UINT64_MAX);
      ck_assert_uint_eq(feed(g, task, sizes[i]), sizes[i]);
      ck_exit(rig_wait(g, task), 0);
      ck_fed(&g->task[task].out, sizes[i]);
    }
  }
  rig_stop(g);
}

UNIT_TEST(credit_follows_what_the_command_reads) {
  rig *g = rig_start(NULL);
  static uint8_t window[PROTO_WINDOW];
  rig_assign_large(g, spec_of(g, "sleep 1000"), 1, 100 << 20);
  while (g->task[1].credit_in == 0) rig_hear(g);
  ck_assert_uint_eq(g->task[1].credit_in, PROTO_WINDOW);
  rig_piece(g, 1, window, sizeof window, false, 0);
  while (rig_look(g, 50)) {
  }
  ck_assert_uint_lt(g->task[1].credit_in, PROTO_WINDOW + (100 << 10)); /* a pipe's worth at most */
  rig_interrupt(g, 1, 1, 20);
  ck_assert_int_eq(rig_wait(g, 1)->r.error, 20);
  rig_stop(g);
}

UNIT_TEST(a_command_that_closes_its_input_is_no_error) {
  rig *g = rig_start(NULL);
  rig_assign_large(g, spec_of(g, "head -c 3"), 1, 100 << 20);
  size_t sent = feed(g, 1, 100 << 20);
  ck_exit(rig_wait(g, 1), 0);
  ck_assert_uint_eq(g->task[1].out.len, 3);
  ck_assert_uint_lt(sent, 10 << 20); /* what it did not want was not asked for */
  rig_assign_large(g, spec_of(g, "exec 0<&-; sleep 0.05; echo done"), 2, UINT64_MAX);
  (void)feed(g, 2, 100 << 20);
  ck_assert_str_eq(text(&rig_wait(g, 2)->out), "done\n");
  rig_assign_arg(g, spec_of(g, "cat"), 3, "still here", 10);
  ck_assert_str_eq(text(&rig_wait(g, 3)->out), "still here");
  rig_stop(g);
}

UNIT_TEST(input_that_is_given_up_ends_the_command) {
  rig *g = rig_start(NULL);
  uint32_t spec = spec_of(g, "cat");
  rig_assign_large(g, spec, 1, UINT64_MAX);
  rig_piece(g, 1, "some", 4, false, 0);
  rig_piece(g, 1, NULL, 0, true, HATO_CLOSED);
  rig_task *t = rig_wait(g, 1);
  ck_assert_int_eq(t->r.error, HATO_CLOSED);
  ck_assert_str_eq(t->words, "node3: its input did not come to an end");
  /* Before it began, behind another task. */
  rig_assign_arg(g, spec_of(g, "sleep 0.1"), 2, "", 0);
  rig_assign_large(g, spec, 3, UINT64_MAX);
  rig_piece(g, 3, NULL, 0, true, HATO_CLOSED);
  rig_assign_large(g, spec, 4, UINT64_MAX);
  rig_piece(g, 4, NULL, 0, true, 0);
  ck_assert_int_eq(rig_wait(g, 3)->r.error, HATO_CLOSED);
  ck_exit(rig_wait(g, 4), 0);
  ck_assert_uint_eq(g->task[4].out.len, 0);
  rig_stop(g);
}

UNIT_MAIN("executor_stdin")

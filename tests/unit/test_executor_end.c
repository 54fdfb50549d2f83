/* Ends: interruption, what commands leave behind, the end of the daemon and of the executor. */
#include "unit.h"

#include "base/clock.h"
#include "help_executor.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *text(const hato__buf *b) { return b->data ? (const char *)b->data : ""; }

/* Waits until a live task has said so much. */
static void hear(rig *g, uint64_t task, const char *what) {
  while (g->task[task].out.len < strlen(what)) rig_hear(g);
  ck_assert_int_eq(memcmp(g->task[task].out.data, what, strlen(what)), 0);
}

static uint32_t live(rig *g, const char *line) {
  proto_spec s = rig_shell(line);
  s.flags = PROTO_SPEC_LIVE;
  return rig_spec(g, &s);
}

UNIT_TEST(an_interrupted_command_gets_term_and_the_value) {
  rig *g = rig_start(NULL);
  rig_assign(g, live(g, "trap 'echo term; exit 4' TERM; echo up; while :; do sleep 0.01; done"), 1, 1);
  hear(g, 1, "up\n");
  rig_interrupt(g, 1, 1, 5);
  rig_task *t = rig_wait(g, 1);
  ck_assert_int_eq(t->r.error, 5);
  ck_assert_str_eq(text(&t->out), "up\nterm\n");
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), 4);
  rig_assign(g, live(g, "echo up; exec sleep 1000"), 2, 1);
  hear(g, 2, "up\n");
  rig_interrupt(g, 2, 1, 20);
  ck_assert_int_eq(rig_wait(g, 2)->r.error, 20);
  ck_assert_int_eq(WTERMSIG(g->task[2].r.wait_status), SIGTERM);
  rig_stop(g);
}

UNIT_TEST(a_stopped_command_is_woken_to_end) {
  const char *folder = rig_folder();
  char line[200], file[100];
  snprintf(file, sizeof file, "%s/pid", folder);
  snprintf(line, sizeof line, "trap 'exit 4' TERM; echo $$ > %s; kill -STOP $$; sleep 1000", file);
  rig *g = rig_start(NULL);
  rig_assign(g, live(g, line), 1, 1);
  pid_t pid = rig_read_pid(file);
  WAIT_FOR(rig_process_state(pid) == 'T');
  rig_interrupt(g, 1, 1, 20);
  rig_task *t = rig_wait(g, 1);
  ck_assert_int_eq(t->r.error, 20);
  ck_assert(WIFEXITED(t->r.wait_status) && WEXITSTATUS(t->r.wait_status) == 4); /* and not by the SIGKILL of later */
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST_LIMIT(one_that_ignores_term_is_killed_with_all_its_kin, 20) {
  const char *folder = rig_folder();
  char line[400], file[100];
  snprintf(file, sizeof file, "%s/pid", folder);
  /* A grandchild in a session of its own, deaf too. */
  snprintf(line, sizeof line,
           "trap '' TERM; setsid sh -c 'trap \"\" TERM; echo $$ > %s; while :; do sleep 0.1; done' & "
           "while ! test -s %s; do sleep 0.01; done; echo up; while :; do sleep 0.1; done",
           file, file);
  rig *g = rig_start(NULL);
  rig_assign(g, live(g, line), 1, 1);
  hear(g, 1, "up\n");
  pid_t kin = rig_read_pid(file);
  uint64_t began = hato__now();
  rig_interrupt(g, 1, 1, 20);
  rig_interrupt(g, 1, 1, 5); /* the first counts */
  rig_task *t = rig_wait(g, 1);
  uint64_t took = hato__now() - began;
  ck_assert_int_eq(t->r.error, 20);
  ck_assert_int_eq(WTERMSIG(t->r.wait_status), SIGKILL);
  ck_assert_uint_ge(took, EXECUTOR_GRACE_NS - HATO__SEC / 10);
  ck_assert(rig_process_gone(kin));
  rig_stop(g);
  unit_remove_folder(folder);
}

UNIT_TEST(queued_tasks_are_taken_out_at_once) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo ran");
  uint32_t quick = rig_spec(g, &s);
  rig_assign(g, live(g, "echo up; exec sleep 1000"), 1, 1);
  hear(g, 1, "up\n");
  rig_assign(g, quick, 2, 10);
  rig_assign_counted(g, quick, 12, 5, 0);
  rig_interrupt(g, 4, 2, 20);  /* inside a message */
  rig_interrupt(g, 2, 1, 5);   /* its beginning */
  rig_interrupt(g, 10, 4, 20); /* across two */
  rig_interrupt(g, 50, 9, 20); /* nobody */
  rig_wait_all(g, 10, 13);
  rig_wait_all(g, 4, 5);
  rig_wait_all(g, 2, 2);
  ck_assert(!g->task[1].done);
  ck_assert(!g->task[3].done);
  rig_interrupt(g, 1, 1, 20);
  rig_wait_all(g, 1, 16);
  for (uint64_t i = 1; i <= 16; i++) {
    bool cut = i == 1 || i == 4 || i == 5 || (i >= 10 && i <= 13);
    ck_assert_msg(g->task[i].r.error == (i == 2 ? 5
                                         : cut  ? 20
                                                : 0),
                  "task %d: %d", (int)i, g->task[i].r.error);
    if (g->task[i].r.error == 0) ck_assert_str_eq(text(&g->task[i].out), "ran\n");
  }
  rig_stop(g);
}

UNIT_TEST(an_interrupt_of_another_attempt_does_nothing) {
  rig *g = rig_start(NULL);
  rig_assign(g, live(g, "echo up; sleep 0.1"), 1, 2);
  hear(g, 1, "up\n");
  proto_run run = {.first = 1, .count = 2, .attempt = 2, .value = 20};
  proto_runs_encode(&g->out, PROTO_INTERRUPT, &run, 1);
  rig_send(g);
  rig_wait_all(g, 1, 2);
  ck_assert_int_eq(g->task[1].r.error, 0);
  ck_assert_int_eq(g->task[2].r.error, 0);
  rig_stop(g);
}

/* The end of the main process is the end of the task; nothing it left stays, nor holds it. */
UNIT_TEST(what_a_command_leaves_is_killed) {
  const char *folder = rig_folder();
  char line[800], a[100], b[100];
  snprintf(a, sizeof a, "%s/a", folder);
  snprintf(b, sizeof b, "%s/b", folder);
  snprintf(line, sizeof line,
           "sh -c 'echo $$ > %s; exec sleep 1000' & setsid sh -c 'echo $$ > %s; exec sleep 1000' & "
           "while ! test -s %s || ! test -s %s; do sleep 0.01; done; echo end",
           a, b, a, b);
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell(line);
  rig_task *t = rig_run(g, &s);
  ck_assert_int_eq(t->r.error, 0);
  ck_assert_str_eq(text(&t->out), "end\n");
  ck_assert_int_ne(kill(rig_read_pid(a), 0), 0); /* before the record, not some time */
  ck_assert_int_ne(kill(rig_read_pid(b), 0), 0);
  rig_stop(g);
  unit_remove_folder(folder);
}

static void daemon_goes(bool kill_executor) {
  const char *folder = rig_folder();
  char line[500], a[100], b[100], c[100];
  snprintf(a, sizeof a, "%s/a", folder);
  snprintf(b, sizeof b, "%s/b", folder);
  snprintf(c, sizeof c, "%s/c", folder);
  snprintf(line, sizeof line,
           "trap '' TERM HUP; echo $$ > %s; setsid sh -c 'echo $$ > %s; "
           "setsid sh -c \"echo \\$\\$ > %s; exec sleep 1000\" & sleep 1000' & "
           "while :; do sleep 1; done",
           a, c, b);
  rig *g = rig_start(NULL);
  rig_assign(g, live(g, line), 1, 1);
  pid_t main_pid = rig_read_pid(a), kin = rig_read_pid(b), between = rig_read_pid(c);
  ck_assert_int_eq(kill(main_pid, 0) | kill(kin, 0), 0);
  if (kill_executor) {
    kill(g->pid, SIGKILL);
    rig_wait_gone(g);
    ck_assert(rig_process_gone(main_pid)); /* by PR_SET_PDEATHSIG; the daemon has to end the kin */
    kill(kin, SIGKILL);
    kill(-between, SIGKILL);
  }
  rig_stop(g);
  ck_assert(rig_process_gone(main_pid));
  ck_assert(rig_process_gone(kin));
  ck_assert(rig_process_gone(between));
  unit_remove_folder(folder);
}

UNIT_TEST(everything_ends_with_the_daemon) { daemon_goes(false); }
UNIT_TEST(the_command_ends_with_a_killed_executor) { daemon_goes(true); }

UNIT_TEST(signals_do_not_end_the_executor) {
  rig *g = rig_start(NULL);
  rig_assign(g, live(g, "echo up; sleep 0.2; echo end"), 1, 1);
  hear(g, 1, "up\n");
  static const int sigs[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGUSR1, SIGCHLD};
  for (unsigned i = 0; i < sizeof sigs / sizeof *sigs; i++) kill(g->pid, sigs[i]);
  ck_assert_str_eq(text(&rig_wait(g, 1)->out), "up\nend\n");
  rig_stop(g);
}

/* Orphans that end while the command runs are reaped, and are not taken for it. */
UNIT_TEST(orphans_are_reaped_meanwhile) {
  rig *g = rig_start(NULL);
  char line[300];
  snprintf(line, sizeof line,
           "for i in 1 2 3 4 5; do (true & exec true); done; "
           "while ps -o stat= --ppid %d | grep -q Z; do sleep 0.01; done; echo end; exit 6",
           (int)g->pid);
  proto_spec s = rig_shell(line);
  rig_task *t = rig_run(g, &s);
  ck_assert_str_eq(text(&t->out), "end\n");
  ck_assert_int_eq(WEXITSTATUS(t->r.wait_status), 6);
  rig_stop(g);
}

UNIT_TEST(frames_in_crumbs_and_a_reader_that_is_late) {
  rig *g = rig_start(NULL);
  proto_spec s = rig_shell("echo $HATO_TASK_ID");
  hato__buf bytes = {0}, frames = {0};
  proto_spec_encode(&bytes, &s);
  proto_spec_send(&frames, 1, bytes.data, (uint32_t)bytes.len);
  proto_assign m = {.spec = 1, .args = PROTO_ARGS_NONE, .first = 1, .attempt = 1, .count = 3};
  proto_assign_encode(&frames, &m, 0);
  for (size_t i = 0; i < frames.len; i++) {
    hato__buf_append(&g->out, frames.data + i, 1);
    rig_send(g);
  }
  hato__buf_free(&bytes);
  hato__buf_free(&frames);
  rig_wait_all(g, 1, 3);
  ck_assert_str_eq(text(&g->task[3].out), "3\n");
  rig_stop(g);
}

UNIT_MAIN("executor_end")

/* The life of launches of `command`: asked about, ended, held, taken up again. */
#include "help_spool.h"

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* A shell's line: this, and then it waits for the file `told`, so that it is seen running. */
static const char *until_told(bench *b, const char *first) {
  static char line[256];
  (void)snprintf(line, sizeof line, "%swhile [ ! -e %s/s/told ]; do sleep 0.02; done", first, b->dir);
  return line;
}

/* ---- asking ---- */

UNIT_TEST(one_run_of_status_asks_for_all_launches) {
  bench *b = bench_start(0, 0);
  spool_touch(b, "hold");
  const char *const *options = spool(b, true, NULL);
  LAUNCH(b, 1, "command", 2, options, "sleep", "600");
  LAUNCH(b, 2, "command", 1, options, "sleep", "600");
  (void)must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_QUEUED);
  (void)must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_QUEUED);
  spool_remove(b, "hold");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  (void)must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  ck_assert_str_eq(e->host, "node1");
  ck_assert_str_eq(e->job, "7");
  const char *asked = spool_read(b, "s/asked");
  HAS(asked, "7 8\n");
  ck_assert_ptr_null(strstr(asked, "8 7"));
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  (void)must(b, LAUNCHERS_ENDED, 2, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(status_that_fails_ends_nothing, 20) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "command", 1, spool(b, false, OPTIONS("timeout=4s")), "sleep", "600");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  spool_touch(b, "stat.fail");
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "status exited with 3: no master");
  size_t before = bench_count(b, LAUNCHERS_TROUBLE, 1);
  spool_touch(b, "stat.hang");
  spool_remove(b, "stat.fail");
  LAUNCH(b, 2, "command", 1, spool(b, false, OPTIONS("timeout=4s")), "sleep", "600");
  (void)must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  spool_remove(b, "stat.hang");
  (void)must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  ck_assert_uint_ge(bench_count(b, LAUNCHERS_TROUBLE, 1), before);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_ENDED, 1), 0);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  (void)must(b, LAUNCHERS_ENDED, 2, -1, -1);
  bench_end(b);
}

UNIT_TEST(status_that_hangs_is_killed) {
  bench *b = bench_start(0, 0);
  spool_touch(b, "stat.hang");
  LAUNCH(b, 1, "command", 1, spool(b, false, OPTIONS("timeout=3s")), "sleep", "600");
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "status did not end in time");
  spool_remove(b, "stat.hang");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST(an_id_that_status_lacks_has_ended) {
  bench *b = bench_start(0, 0);
  spool_touch(b, "forgetful");
  LAUNCH(b, 1, "command", 1, spool(b, false, NULL), "sh", "-c", until_told(b, "echo last words; "));
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  spool_touch(b, "told");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  HAS(e->reason, "forgotten by ");
  HAS(e->reason, "/spool: it ended, or somebody removed it");
  HAS(e->log_tail, "last words");
  /* Never seen: after so many outputs, and not before. */
  char status[128];
  (void)snprintf(status, sizeof status, "status=echo x >>%s/asks", b->dir);
  LAUNCH(b, 2, "command", 1, OPTIONS("submit=echo 5", "interval=50ms", "missing=4", status), "x");
  HAS(must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_ENDED)->reason,
      "forgotten by echo: it was submitted and never seen");
  ck_assert_str_eq(spool_read(b, "asks"), "x\nx\nx\nx\n");
  bench_end(b);
}

/* Recorded lines of Grid Engine's qstat, and reasons behind them. */
UNIT_TEST(rows_of_arrays_and_reasons) {
  static const char text[] =
      "job-ID  prior   name       user         state submit/start at     queue                          "
      "slots ja-task-ID\n"
      "---------------------------------------------------------------------------------------------------\n"
      "      7 0.25000 hato-cmd-x hatou        r     11/21/2026 15:33:58 all.q@vm                           "
      "1 1\n"
      "      7 0.25000 hato-cmd-x hatou        t     11/21/2026 15:33:58 all.q@vm                           "
      "1 2\n"
      "     70 0.25000 other      hatou        r     11/21/2026 15:33:58 all.q@vm                           "
      "1 5\n"
      "      7 0.25000 hato-cmd-x hatou        qw    11/21/2026 15:33:58                                    "
      "1 3-5:2\n"
      "      7 0.25000 hato-cmd-x hatou        Eqw   11/21/2026 15:33:58                                   "
      "99 4,6,999\n"
      "      7 0.25000 hato-cmd-x hatou        zz    11/21/2026 15:33:58                                    "
      "1 7-7:1\n"
      "reason 7  queue is full\nreason 7 4 cannot open output file\nreason 8 1 of another\nreason x\n";
  bench *b = bench_start(0, 0);
  char path[128], next[160], status[160];
  (void)snprintf(path, sizeof path, "%s/qstat", b->dir);
  (void)snprintf(next, sizeof next, "%s.new", path);
  FILE *f = fopen(path, "w");
  ck_assert(f != NULL && fputs(text, f) >= 0 && fclose(f) == 0);
  (void)snprintf(status, sizeof status, "status=cat %s", path);
  LAUNCH(b, 1, "command", 7,
         OPTIONS("submit=echo 7.1-7:1; : {n}", "id=^([0-9]+)", "interval=50ms", status,
                 "status-row=^ *([0-9]+) +[0-9.]+ +[^ ]+ +[^ ]+ +([A-Za-z]+) +[^ ]+ +[^ ]+ +([^ ]+@([^ ]+))? "
                 "+[0-9]+( +([0-9][0-9,:-]*))? *$",
                 "status-row=^reason ([0-9]+) ([0-9]*) (.*)$", "status-fields=id state - host - member",
                 "status-fields=id member reason", "never=E*", "queued=*q*", "starting=t", "running=r"),
         "x");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_str_eq(e->host, "vm");
  ck_assert_str_eq(e->reason, "");
  (void)must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_STARTING);
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_QUEUED)->reason, "queue is full");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 3, HATO_MEMBER_QUEUED)->reason, "cannot open output file");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 4, HATO_MEMBER_QUEUED)->reason, "queue is full");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 5, HATO_MEMBER_QUEUED)->reason, "queue is full");
  HAS(must(b, LAUNCHERS_MEMBER, 1, 6, HATO_MEMBER_SUBMITTED)->job, "7");
  f = fopen(next, "w"); /* all gone but one */
  ck_assert(f != NULL && fputs("7 0.2 x u r 1 2 a@vm 1 2\n", f) >= 0 && fclose(f) == 0);
  ck_assert_int_eq(rename(next, path), 0); /* it is never empty */
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  (void)must(b, LAUNCHERS_MEMBER, 1, 6, HATO_MEMBER_ENDED);
  (void)must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  bench_end(b);
}

UNIT_TEST(words_of_states) {
  bench *b = bench_start(0, 0);
  char path[128], status[160];
  (void)snprintf(path, sizeof path, "%s/stat", b->dir);
  FILE *f = fopen(path, "w");
  ck_assert(f != NULL && fputs("a PD\nb RUN\nc DONE:0\nd FAILED\ne REMOVED x\n\nf ?\n", f) >= 0 &&
            fclose(f) == 0);
  (void)snprintf(status, sizeof status, "status=cat %s", path);
  LAUNCH(b, 1, "command", 6,
         OPTIONS("submit=for x in a b c d e f; do echo $x; done; : {n}", "id=.", "interval=50ms", status,
                 "queued=PD, Q", "running=RUN*", "ended=DONE*", "failed=FAIL*", "cancelled=REMOVED"),
         "x");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_QUEUED);
  (void)must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_RUNNING);
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_ENDED)->reason, "state DONE:0");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 3, HATO_MEMBER_ENDED)->reason, "state FAILED");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 4, HATO_MEMBER_ENDED)->reason, "state REMOVED");
  bench_end(b);
}

/* ---- ending ---- */

UNIT_TEST(one_member_is_cancelled) {
  bench *b = bench_start(0, 0);
  char member[512];
  hato_error err;
  (void)snprintf(member, sizeof member, "cancel-member=%s/spool %s/s del {id}.{index}", b->dir, b->dir);
  LAUNCH(b, 1, "command", 3, spool(b, true, OPTIONS(member)), "sleep", "600");
  (void)must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_RUNNING);
  ck_assert_msg(launchers_cancel_member(b->h, 1, 2, &err) == HATO_OK, "%s", err.text);
  (void)must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_ENDED);
  ck_assert_str_eq(spool_read(b, "s/deleted"), "7.3\n");
  LAUNCH(b, 2, "command", 3, spool(b, true, NULL), "sleep", "600");
  (void)must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  ck_assert_int_eq(launchers_cancel_member(b->h, 2, 2, &err), HATO_OK);
  HAS(must(b, LAUNCHERS_TROUBLE, 2, -1, -1)->text, "cancel-member");
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  (void)must(b, LAUNCHERS_ENDED, 2, -1, -1);
  bench_end(b);
}

/* That cancel fails for what is gone is no failure; while it is there, it is tried again. */
UNIT_TEST(cancel_that_fails) {
  bench *b = bench_start(0, 0);
  char flag[128], cancel[512];
  (void)snprintf(flag, sizeof flag, "%s/s/broken", b->dir);
  spool_touch(b, "broken");
  (void)snprintf(cancel, sizeof cancel,
                 "cancel=[ ! -e %s ] || { echo no master >&2; exit 9; }; %s/spool %s/s del {ids}", flag,
                 b->dir, b->dir);
  LAUNCH(b, 1, "command", 1, spool(b, false, OPTIONS(cancel)), "sleep", "600");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "cancel exited with 9: no master");
  spool_remove(b, "broken");
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  spool_touch(b, "forgetful");
  spool_touch(b, "broken");
  LAUNCH(b, 2, "command", 1, spool(b, false, OPTIONS(cancel)), "sh", "-c", until_told(b, ""));
  (void)must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  spool_touch(b, "told");
  (void)must(b, LAUNCHERS_ENDED, 2, -1, -1);
  bench_end(b);
}

/* A submission under way when its launch is cancelled still says its id, and what was submitted is cancelled. */
UNIT_TEST(cancelled_while_it_is_submitted) {
  bench *b = bench_start(0, 0);
  char submit[256], cancel[128];
  (void)snprintf(submit, sizeof submit, "submit=echo >%s/begun; sleep 0.3; echo job-{i}", b->dir);
  (void)snprintf(cancel, sizeof cancel, "cancel=echo {ids} >%s/gone", b->dir);
  LAUNCH(b, 1, "command", 10, OPTIONS(submit, cancel), "x");
  WAIT_FOR(*spool_read(b, "begun") != 0);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_FAILED, 1, -1, -1);
  HAS(spool_read(b, "gone"), "job-0");
  bench_end(b);
}

UNIT_TEST(without_a_status_line) {
  bench *b = bench_start(0, 0);
  char cancel[128];
  (void)snprintf(cancel, sizeof cancel, "cancel=echo {ids} {tag} >%s/gone", b->dir);
  LAUNCH(b, 1, "command", 2, OPTIONS("submit=echo job-{i}", cancel), "x");
  LAUNCH(b, 2, "command", 1, OPTIONS("submit=echo 3"), "x");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_SUBMITTED)->job, "job-1");
  (void)must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  HAS(must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED)->reason, "no status line");
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  HAS(spool_read(b, "gone"), "job-0 job-1 t");
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  HAS(must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_ENDED)->reason, "neither a cancel nor a status line");
  bench_end(b);
}

/* ---- held commands ---- */

UNIT_TEST(held_commands_get_secrets_by_standard_input) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1,
                         .launcher = "command",
                         .options = OPTIONS("submit={daemon}", "hold=yes", "secret=stdin"),
                         .argv = WORDS("sh", "-c", "read x; echo got $x $HATO_MEMBER; exit 3"),
                         .count = 2,
                         .tag = "held",
                         .secret_way = HATO_SECRET_STDIN,
                         .secret = "abc\n",
                         .secret_len = 4,
                         .log_dir = b->dir};
  ck_assert_int_eq(launchers_launch(b->h, &r, NULL), HATO_OK);
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED);
  ck_assert_int_eq(e->exit_code, 3);
  ck_assert_str_eq(e->log_tail, "got abc 1");
  ck_assert_str_eq(e->reason, "submit exited with 3");
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  ck_assert_str_eq(spool_read(b, "held.ids"), ""); /* it is forgotten */
  bench_end(b);
}

/* Until it connects, for all that is known, it waits; others never say that they wait no more. */
UNIT_TEST(a_held_daemon_that_may_wait_is_submitted) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1,
                         .launcher = "command",
                         .options = OPTIONS("submit=exec {daemon}", "hold=yes", "waits=yes"),
                         .argv = WORDS("sleep", "600"),
                         .count = 2,
                         .dial_in = true,
                         .tag = "waits",
                         .log_dir = b->dir};
  ck_assert_int_eq(launchers_launch(b->h, &r, NULL), HATO_OK);
  kept_event *made = must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  ck_assert(alive(must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_SUBMITTED)->job));
  r.id = 2;
  bench *later = bench_start(0, 0); /* and so when it is taken up */
  ck_assert_int_eq(launchers_adopt(later->h, &r, made->record, made->record_len, NULL), HATO_OK);
  (void)must(later, LAUNCHERS_SUBMITTED, 2, -1, -1);
  (void)must(later, LAUNCHERS_MEMBER, 2, 1, HATO_MEMBER_SUBMITTED);
  bench_end(later);
  r.id = 3;
  r.tag = "workers";
  r.dial_in = false;
  ck_assert_int_eq(launchers_launch(b->h, &r, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_MEMBER, 3, 1, HATO_MEMBER_RUNNING);
  for (uint64_t id = 1; id <= 3; id += 2) {
    ck_assert_int_eq(launchers_cancel(b->h, id, NULL), HATO_OK);
    (void)must(b, LAUNCHERS_ENDED, id, -1, -1);
  }
  ck_assert_ptr_null(bench_find(b, (wanted){LAUNCHERS_MEMBER, 1, -1, HATO_MEMBER_RUNNING}));
  bench_end(b);
}

UNIT_TEST(a_held_command_that_ignores_sigterm_is_killed) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "command", 1, OPTIONS("submit=exec {daemon}", "hold=yes", "grace=100ms"), "sh", "-c",
         "trap '' TERM; echo up; while :; do sleep 1; done");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  char log[100], job[64];
  (void)snprintf(job, sizeof job, "%s", e->job);
  (void)snprintf(log, sizeof log, "t%d.1.0.log", (int)getpid());
  WAIT_FOR(strcmp(spool_read(b, log), "up\n") == 0);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  ck_assert_int_eq(e->signal, SIGKILL);
  HAS(e->reason, "killed, as it did not end");
  ck_assert(!alive(job));
  bench_end(b);
}

/* The shell dies at once; what it waited for takes its time, and only that is the end. */
UNIT_TEST(a_held_command_has_ended_when_all_of_it_has) {
  bench *b = bench_start(0, 0);
  char file[256];
  (void)snprintf(
      file, sizeof file,
      "sh -c 'trap \"sleep 0.4; echo done >%s/late; exit\" TERM; echo up; while :; do sleep 0.1; done'; true",
      b->dir);
  LAUNCH(b, 1, "command", 1, OPTIONS("submit={daemon}; true", "hold=yes"), "sh", "-c", file);
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  char log[100];
  (void)snprintf(log, sizeof log, "t%d.1.0.log", (int)getpid());
  WAIT_FOR(strcmp(spool_read(b, log), "up\n") == 0);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  ck_assert_str_eq(spool_read(b, "late"), "done\n");
  bench_end(b);
}

/* ---- taking up ---- */

/* By another host, as a dispatcher that starts again. */
static void adopted(const char *const *options, uint32_t n, bool by_record, const char *const *argv) {
  bench *b = bench_start(0, 0), *later = bench_start(0, 0);
  hato_error err;
  ck_assert_int_eq(launch_words(b, 1, "command", n, options, argv, &err), HATO_OK);
  (void)must(b, LAUNCHERS_MEMBER, 1, n - 1, HATO_MEMBER_RUNNING);
  kept_event *made = must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  char tag[64];
  (void)snprintf(tag, sizeof tag, "t%d.1", (int)getpid());
  launchers_request r = {
      .id = 5, .launcher = "command", .options = options, .count = n, .tag = tag, .log_dir = b->dir};
  hato_status rc = launchers_adopt(later->h, &r, made->record, by_record ? made->record_len : 0, &err);
  ck_assert_msg(rc == HATO_OK, "%s", err.text);
  kept_event *e = must(later, LAUNCHERS_SUBMITTED, 5, -1, -1);
  ck_assert_uint_eq(e->record_len, made->record_len);
  ck_assert_int_eq(memcmp(e->record, made->record, made->record_len), 0);
  (void)must(later, LAUNCHERS_MEMBER, 5, n - 1, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(later->h, 5, NULL), HATO_OK);
  (void)must(later, LAUNCHERS_ENDED, 5, -1, -1);
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  r.id = 6;
  ck_assert_int_eq(launchers_adopt(later->h, &r, made->record, made->record_len, &err), HATO_OK);
  e = must(later, LAUNCHERS_FAILED, 6, -1, -1);
  ck_assert_int_eq(e->status, HATO_NOT_FOUND);
  bench_end(later);
  bench_end(b);
}

UNIT_TEST_LIMIT(taken_up_by_record_and_by_tag, 30) {
  for (int by_record = 0; by_record < 2; by_record++) {
    /* 12 of "PID:STARTED" are more than a record holds: it says that they are in the file. */
    adopted(OPTIONS("submit=exec {daemon}", "hold=yes"), 12, by_record == 1, WORDS("sleep", "600"));
    adopted(OPTIONS("submit=exec {daemon}", "hold=yes"), 2, by_record == 1, WORDS("sleep", "600"));
  }
}

UNIT_TEST_LIMIT(taken_up_from_a_batch_system, 30) {
  for (int by_record = 0; by_record < 2; by_record++) {
    bench *b = bench_start(0, 0); /* where the batch system is */
    adopted(spool(b, true, NULL), 3, by_record == 1, WORDS("sleep", "600"));
    adopted(spool(b, false, NULL), 3, by_record == 1, WORDS("sleep", "600"));
    bench_end(b);
  }
}

LAUNCHERS_MAIN("launchers_command_life")

/* The launcher `command` on a batch system of a shell script. */
#include "help_spool.h"

#define OPTIONS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* ---- the conformance suite ---- */

typedef struct counted {
  int passed, left_out;
  char words[4096];
} counted;

static void count(void *arg, const char *check, launchers_verdict verdict, const char *words) {
  counted *c = arg;
  c->passed += verdict == LAUNCHERS_PASSED;
  c->left_out += verdict == LAUNCHERS_LEFT_OUT;
  if (verdict == LAUNCHERS_PASSED) return;
  size_t n = strlen(c->words);
  (void)snprintf(c->words + n, sizeof c->words - n, "%s: %s\n", check, words);
}

/* left_out: both secrets that it does not offer, and those. */
static void conforms(bench *b, const char *what, const char *const *options, int left_out) {
  counted n = {0};
  hato_error err;
  launchers_conformance c = {.log_dir = b->dir,
                             .options = options,
                             .patience_ms = (uint32_t)(10000 * UNIT_PATIENCE),
                             .report = count,
                             .arg = &n};
  hato_status rc = launchers_conform(b->h, what, &c, &err);
  ck_assert_msg(rc == HATO_OK, "%d: %s\n%s", rc, err.text, n.words);
  ck_assert_msg(n.left_out == 2 + left_out, "%s", n.words);
}

UNIT_TEST_LIMIT(an_array_conforms, 60) {
  bench *b = bench_start(0, 0);
  char member[512];
  (void)snprintf(member, sizeof member, "cancel-member=%s/spool %s/s del {id}.{index}", b->dir, b->dir);
  conforms(b, INSTALLED "/hato_launcher_command.so", spool(b, true, OPTIONS(member)), 1); /* exit codes by number */
  conforms(b, "command", spool(b, true, NULL), 3); /* and one member of it, and adopting */
  bench_end(b);
}

UNIT_TEST_LIMIT(a_submit_a_member_conforms, 60) {
  bench *b = bench_start(0, 0);
  conforms(b, INSTALLED "/hato_launcher_command.so", spool(b, false, NULL), 0);
  bench_end(b);
}

UNIT_TEST_LIMIT(held_commands_conform, 60) {
  bench *b = bench_start(0, 0);
  conforms(b, INSTALLED "/hato_launcher_command.so", OPTIONS("hold=yes", "submit={daemon}"), 0);
  conforms(b, "command", OPTIONS("hold=yes", "submit={daemon}; x=$?; exit $x"), 1);
  bench_end(b);
}

/* ---- submitting ---- */

static void fails(bench *b, uint64_t id, uint32_t n, const char *const *options, hato_status status, const char *words) {
  hato_error err;
  hato_status rc = launch_words(b, id, "command", n, options, WORDS("sleep", "600"), &err);
  ck_assert_msg(rc == HATO_OK, "%s", err.text);
  kept_event *e = must(b, LAUNCHERS_FAILED, id, -1, -1);
  HAS(e->text, words);
  ck_assert_msg(e->status == status, "%d: %s", e->status, e->text);
}

UNIT_TEST(a_submit_that_fails_is_quoted) {
  bench *b = bench_start(0, 0);
  fails(b, 1, 1, OPTIONS("submit=echo out; echo 'no queue xyz' >&2; exit 3"), HATO_SYSTEM, "submit exited with 3: no queue xyz");
  fails(b, 2, 1, OPTIONS("submit=echo 'only out'; exit 1"), HATO_SYSTEM, "submit exited with 1: only out");
  fails(b, 3, 1, OPTIONS("submit=no-such-qsub {daemon}"), HATO_SYSTEM, "no-such-qsub");
  fails(b, 4, 1, OPTIONS("submit=kill -9 $$"), HATO_SYSTEM, "killed by signal 9");
  fails(b, 5, 1, OPTIONS("submit=exit 5"), HATO_SYSTEM, "submit exited with 5: it said nothing");
  fails(b, 6, 1, OPTIONS("submit=echo queued your thing", "id=job ([0-9]+)"), HATO_PROTOCOL, "'queued your thing");
  fails(b, 7, 1, OPTIONS("submit=true"), HATO_PROTOCOL, "no id");
  fails(b, 8, 3, OPTIONS("submit=echo 1; echo 2; : {n}", "id=([0-9])"), HATO_PROTOCOL, "printed 2 ids, expected one");
  bench_end(b);
}

UNIT_TEST(all_or_none_is_submitted) {
  bench *b = bench_start(0, 0);
  spool_touch(b, "sub.fail.3");
  fails(b, 1, 4, spool(b, false, NULL), HATO_SYSTEM, "over the quota");
  ck_assert_str_eq(spool_read(b, "s/deleted"), "7 8\n");
  bench_end(b);
}

/* What the lines get: words with blanks and quotes, numbers, the log, standard input or a file. */
UNIT_TEST(templates_are_filled_in) {
  bench *b = bench_start(0, 0);
  char submit[256];
  (void)snprintf(submit, sizeof submit,
                 "submit=cat {script} >%s/{i}.sh; printf '%%s\\n' {daemon:q} {index} {tag} {cores} {log:q} '{{i}' >%s/{i}; "
                 "echo 9", b->dir, b->dir);
  LAUNCH(b, 1, "command", 2, OPTIONS(submit, "script=#!/bin/dash", "script=#$ -N {tag}", "script={daemon}"), "echo",
         "a b", "it's", "$HOME");
  (void)must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  char expected[512];
  (void)snprintf(expected, sizeof expected,
                 "env HATO_MEMBER=1 echo 'a b' 'it'\\''s' '$HOME'\n1\nt%d.1\n1\n%s/t%d.1.1.log\n{i}\n",
                 (int)getpid(), b->dir, (int)getpid());
  ck_assert_str_eq(spool_read(b, "1"), expected);
  (void)snprintf(expected, sizeof expected,
                 "#!/bin/dash\n#$ -N t%d.1\nenv HATO_MEMBER=1 echo 'a b' 'it'\\''s' '$HOME'\n", (int)getpid());
  ck_assert_str_eq(spool_read(b, "1.sh"), expected);
  bench_end(b);
}

static void refused(bench *b, uint64_t id, const char *const *options, const char *words) {
  launchers_request r = {.id = id, .launcher = "command", .options = options, .count = 2};
  hato_error err;
  ck_assert_msg(launchers_plan(b->h, &r, &err) == HATO_OK, "%s", err.text);
  kept_event *e = must(b, LAUNCHERS_PLANNED, id, -1, -1);
  ck_assert_int_eq(e->status, HATO_INVALID);
  HAS(e->text, words);
}

UNIT_TEST(options_that_do_not_go_together) {
  bench *b = bench_start(0, 0);
  hato_error err;
  ck_assert_int_eq(launch_words(b, 99, "command", 1, NULL, WORDS("x"), &err), HATO_INVALID);
  HAS(err.text, "submit");
  refused(b, 1, OPTIONS("submit=x {deamon}"), "{deamon}, which is not known; did you mean {daemon}?");
  refused(b, 2, OPTIONS("submit=x", "array=yes", "each=yes"), "array=yes and each=yes");
  refused(b, 3, OPTIONS("submit=x {i}", "array=yes"), "{i}");
  refused(b, 4, OPTIONS("submit=x", "hold=yes", "status=y"), "hold=yes and status");
  refused(b, 5, OPTIONS("submit=x", "hold=yes", "script=y"), "{script}");
  refused(b, 6, OPTIONS("submit=x", "secret=stdin"), "needs hold=yes");
  refused(b, 7, OPTIONS("submit=x", "status-row=(a"), "(a");
  refused(b, 8, OPTIONS("submit=x", "id=["), "id '['");
  refused(b, 9, OPTIONS("submit=x", "status-fields=id stat"), "'stat'");
  refused(b, 10, OPTIONS("submit=x", "status-fields=id reason"), "no status-fields has a state");
  refused(b, 11, OPTIONS("submit=x", "status-fields=id state host"), "more groups than the 2");
  refused(b, 12, OPTIONS("submit=x", "status=y {idz}"), "{idz}");
  refused(b, 13, OPTIONS("submit=x", "status-fields=id state", "status-fields=id"), "more often");
  bench_end(b);
}

UNIT_TEST(plans) {
  bench *b = bench_start(0, 0);
  launchers_request r = {.id = 1, .launcher = "command", .options = OPTIONS("submit=x {n}", "count-default=5")};
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  launchers_plan_result p = must(b, LAUNCHERS_PLANNED, 1, -1, -1)->plan;
  ck_assert_uint_eq(p.count, 5);
  ck_assert_uint_eq(p.member_first, 1);
  ck_assert_uint_eq(p.secret_ways, HATO_SECRET_FILE);
  ck_assert(p.flags & HATO_LAUNCHER_NEEDS_LISTEN);
  ck_assert(!(p.flags & HATO_LAUNCHER_CANCELS_MEMBERS));
  r = (launchers_request){.id = 2,
                          .launcher = "command",
                          .options = OPTIONS("submit=x", "hold=yes", "secret=stdin", "needs-listen=no"),
                          .count = 3};
  ck_assert_int_eq(launchers_plan(b->h, &r, NULL), HATO_OK);
  p = must(b, LAUNCHERS_PLANNED, 2, -1, -1)->plan;
  ck_assert_uint_eq(p.count, 3);
  ck_assert_uint_eq(p.secret_ways, HATO_SECRET_STDIN);
  ck_assert_uint_eq(p.flags & (HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_CANCELS_MEMBERS),
                    HATO_LAUNCHER_CANCELS_MEMBERS);
  bench_end(b);
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
  LAUNCH(b, 1, "command", 1, spool(b, false, OPTIONS("timeout=300ms")), "sleep", "600");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  spool_touch(b, "stat.fail");
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "status exited with 3: no master");
  size_t before = bench_count(b, LAUNCHERS_TROUBLE, 1);
  spool_touch(b, "stat.hang");
  spool_remove(b, "stat.fail");
  LAUNCH(b, 2, "command", 1, spool(b, false, OPTIONS("timeout=300ms")), "sleep", "600");
  (void)must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  spool_remove(b, "stat.hang");
  (void)must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  ck_assert_uint_ge(bench_count(b, LAUNCHERS_TROUBLE, 1), before);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_ENDED, 1), 0);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST(status_that_hangs_is_killed) {
  bench *b = bench_start(0, 0);
  spool_touch(b, "stat.hang");
  LAUNCH(b, 1, "command", 1, spool(b, false, OPTIONS("timeout=200ms")), "sleep", "600");
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
  LAUNCH(b, 1, "command", 1, spool(b, false, NULL), "sh", "-c", "echo last words; sleep 0.3");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  HAS(e->reason, "forgotten by ");
  HAS(e->reason, "/spool: it ended, or somebody removed it");
  HAS(e->log_tail, "last words");
  /* Never seen: after so many outputs, and not before. */
  char status[128];
  (void)snprintf(status, sizeof status, "status=echo x >>%s/asks", b->dir);
  LAUNCH(b, 2, "command", 1, OPTIONS("submit=echo 5", "interval=50ms", "missing=4", status), "x");
  HAS(must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_ENDED)->reason, "forgotten by echo: it was submitted and never seen");
  ck_assert_str_eq(spool_read(b, "asks"), "x\nx\nx\nx\n");
  bench_end(b);
}

/* Recorded lines of Grid Engine's qstat, and reasons behind them. */
UNIT_TEST(rows_of_arrays_and_reasons) {
  static const char text[] =
      "job-ID  prior   name       user         state submit/start at     queue                          slots ja-task-ID\n"
      "---------------------------------------------------------------------------------------------------\n"
      "      7 0.25000 hato-cmd-x hatou        r     11/21/2026 15:33:58 all.q@vm                           1 1\n"
      "      7 0.25000 hato-cmd-x hatou        t     11/21/2026 15:33:58 all.q@vm                           1 2\n"
      "     70 0.25000 other      hatou        r     11/21/2026 15:33:58 all.q@vm                           1 5\n"
      "      7 0.25000 hato-cmd-x hatou        qw    11/21/2026 15:33:58                                    1 3-5:2\n"
      "      7 0.25000 hato-cmd-x hatou        Eqw   11/21/2026 15:33:58                                   99 4,6,999\n"
      "      7 0.25000 hato-cmd-x hatou        zz    11/21/2026 15:33:58                                    1 7-7:1\n"
      "reason 7  queue is full\nreason 7 4 cannot open output file\nreason 8 1 of another\nreason x\n";
  bench *b = bench_start(0, 0);
  char path[128], status[160];
  (void)snprintf(path, sizeof path, "%s/qstat", b->dir);
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
  f = fopen(path, "w"); /* all gone but one */
  ck_assert(f != NULL && fputs("7 0.2 x u r 1 2 a@vm 1 2\n", f) >= 0 && fclose(f) == 0);
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
  ck_assert(f != NULL && fputs("a PD\nb RUN\nc DONE:0\nd FAILED\ne REMOVED x\n\nf ?\n", f) >= 0 && fclose(f) == 0);
  (void)snprintf(status, sizeof status, "status=cat %s", path);
  LAUNCH(b, 1, "command", 6,
         OPTIONS("submit=for x in a b c d e f; do echo $x; done; : {n}", "id=.", "interval=50ms", status, "queued=PD, Q",
                 "running=RUN*", "ended=DONE*", "failed=FAIL*", "cancelled=REMOVED"),
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
  (void)snprintf(cancel, sizeof cancel, "cancel=[ ! -e %s ] || { echo no master >&2; exit 9; }; %s/spool %s/s del {ids}",
                 flag, b->dir, b->dir);
  LAUNCH(b, 1, "command", 1, spool(b, false, OPTIONS(cancel)), "sleep", "600");
  (void)must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  HAS(must(b, LAUNCHERS_TROUBLE, 1, -1, -1)->text, "cancel exited with 9: no master");
  spool_remove(b, "broken");
  (void)must(b, LAUNCHERS_ENDED, 1, -1, -1);
  spool_touch(b, "forgetful");
  spool_touch(b, "broken");
  LAUNCH(b, 2, "command", 1, spool(b, false, OPTIONS(cancel)), "sh", "-c", "sleep 0.5");
  (void)must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_RUNNING);
  ck_assert_int_eq(launchers_cancel(b->h, 2, NULL), HATO_OK);
  (void)must(b, LAUNCHERS_ENDED, 2, -1, -1);
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

UNIT_TEST(a_held_command_that_ignores_sigterm_is_killed) {
  bench *b = bench_start(0, 0);
  LAUNCH(b, 1, "command", 1, OPTIONS("submit={daemon}", "hold=yes", "grace=100ms"), "sh", "-c",
         "trap '' TERM; echo up; while :; do sleep 1; done");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING);
  char log[100], job[64];
  (void)snprintf(job, sizeof job, "%s", e->job);
  (void)snprintf(log, sizeof log, "t%d.1.0.log", (int)getpid());
  for (uint64_t until = hato__now() + 5 * HATO__SEC; strcmp(spool_read(b, log), "up\n") != 0 && hato__now() < until;)
    (void)usleep(2000);
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  e = must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED);
  ck_assert_int_eq(e->signal, SIGKILL);
  HAS(e->reason, "killed, as it did not end");
  ck_assert(!alive(job));
  bench_end(b);
}

LAUNCHERS_MAIN("launchers_command")

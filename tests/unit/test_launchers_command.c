/* The launcher `command` on a batch system of a shell script: the conformance suite, submitting, its options. */
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
  conforms(b, INSTALLED "/hato_launcher_command.so", spool(b, true, OPTIONS(member)),
           1);                                     /* exit codes by number */
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

static void fails(bench *b, uint64_t id, uint32_t n, const char *const *options, hato_status status,
                  const char *words) {
  hato_error err;
  hato_status rc = launch_words(b, id, "command", n, options, WORDS("sleep", "600"), &err);
  ck_assert_msg(rc == HATO_OK, "%s", err.text);
  kept_event *e = must(b, LAUNCHERS_FAILED, id, -1, -1);
  HAS(e->text, words);
  ck_assert_msg(e->status == status, "%d: %s", e->status, e->text);
}

UNIT_TEST(a_submit_that_fails_is_quoted) {
  bench *b = bench_start(0, 0);
  fails(b, 1, 1, OPTIONS("submit=echo out; echo 'no queue xyz' >&2; exit 3"), HATO_SYSTEM,
        "submit exited with 3: no queue xyz");
  fails(b, 2, 1, OPTIONS("submit=echo 'only out'; exit 1"), HATO_SYSTEM, "submit exited with 1: only out");
  fails(b, 3, 1, OPTIONS("submit=no-such-qsub {daemon}"), HATO_SYSTEM, "no-such-qsub");
  fails(b, 4, 1, OPTIONS("submit=kill -9 $$"), HATO_SYSTEM, "killed by signal 9");
  fails(b, 5, 1, OPTIONS("submit=exit 5"), HATO_SYSTEM, "submit exited with 5: it said nothing");
  fails(b, 6, 1, OPTIONS("submit=echo queued your thing", "id=job ([0-9]+)"), HATO_PROTOCOL,
        "'queued your thing");
  fails(b, 7, 1, OPTIONS("submit=true"), HATO_PROTOCOL, "no id");
  fails(b, 8, 3, OPTIONS("submit=echo 1; echo 2; : {n}", "id=([0-9])"), HATO_PROTOCOL,
        "printed 2 ids, expected one");
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
                 "submit=cat {script} >%s/{i}.sh; printf '%%s\\n' {daemon:q} {index} {tag} {cores} {log:q} "
                 "'{{i}' >%s/{i}; "
                 "echo 9",
                 b->dir, b->dir);
  LAUNCH(b, 1, "command", 2, OPTIONS(submit, "script=#!/bin/dash", "script=#$ -N {tag}", "script={daemon}"),
         "echo", "a b", "it's", "$HOME");
  (void)must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  char expected[512];
  (void)snprintf(expected, sizeof expected,
                 "env HATO_MEMBER=1 echo 'a b' 'it'\\''s' '$HOME'\n1\nt%d.1\n1\n%s/t%d.1.1.log\n{i}\n",
                 (int)getpid(), b->dir, (int)getpid());
  ck_assert_str_eq(spool_read(b, "1"), expected);
  (void)snprintf(expected, sizeof expected,
                 "#!/bin/dash\n#$ -N t%d.1\nenv HATO_MEMBER=1 echo 'a b' 'it'\\''s' '$HOME'\n",
                 (int)getpid());
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
  refused(b, 13, OPTIONS("submit=x", "waits=yes"), "needs hold=yes");
  refused(b, 14, OPTIONS("submit=x", "status-fields=id state", "status-fields=id"), "more often");
  bench_end(b);
}

UNIT_TEST(plans) {
  bench *b = bench_start(0, 0);
  launchers_request r = {
      .id = 1, .launcher = "command", .options = OPTIONS("submit=x {n}", "count-default=5")};
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

LAUNCHERS_MAIN("launchers_command")

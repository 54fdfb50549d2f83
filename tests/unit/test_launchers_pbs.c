/*
 * The launcher pbs against outputs recorded from a real PBS Pro server, which is not here: its commands are
 * scripts that write what the server wrote. What only a real one can show is tested on the cluster,
 * with Torque's commands.
 */
#include "launchers.h"

#include <fcntl.h>

#define RECORDED HATO_SOURCE_DIR "/tests/fixtures/pbspro/"
#define NONE ((const char *const[]){NULL})
/* What comes from a .stderr file, which ends with the exit code. */
#define FAILS_AS(name)                                                                                         \
  "sed '$d' " RECORDED name ".stderr >&2; exit $(sed -n '$s/rc //p' " RECORDED name ".stderr)\n"

/* A command of that name. Every call of it is noted down in the file calls. */
static void command(bench *b, const char *name, const char *body) {
  char path[256], temporary[300];
  (void)snprintf(path, sizeof path, "%s/bin/%s", b->dir, name);
  (void)snprintf(temporary, sizeof temporary, "%s.new", path);
  FILE *f = fopen(temporary, "w");
  ck_assert_ptr_nonnull(f);
  fprintf(f, "#!/bin/sh\necho \"%s $*\" >>%s/calls\nD=%s\n%s", name, b->dir, b->dir, body);
  ck_assert_int_eq(fclose(f), 0);
  ck_assert_int_eq(chmod(temporary, 0755), 0);
  ck_assert_int_eq(rename(temporary, path), 0); /* one that runs is left as it is */
}

/* The ids that qsub tells stand in the file ids, one a line. */
#define QSUB \
  "cat >$D/script; id=$(sed -n 1p $D/ids); [ -n \"$id\" ] || exit 9; sed -i 1d $D/ids; echo $id\n"
#define VERSION "case $1 in --version) echo pbs_version = 23.06.06; exit;; esac\n"
#define TEXT_ONLY \
  "case \"$*\" in *-F*) echo 'qstat: invalid option -- F' >&2; echo 'usage: qstat [-f] [-J]' >&2; exit 2;; esac\n"

static void ids(bench *b, const char *lines) {
  char path[256];
  (void)snprintf(path, sizeof path, "%s/ids", b->dir);
  FILE *f = fopen(path, "w");
  ck_assert(f != NULL && fputs(lines, f) >= 0 && fclose(f) == 0);
}

static bench *begin(const char *qstat) {
  bench *b = bench_start(0, 0);
  char path[4096];
  (void)snprintf(path, sizeof path, "%s/bin", b->dir);
  ck_assert_int_eq(mkdir(path, 0755), 0);
  (void)snprintf(path, sizeof path, "%s/bin:%s", b->dir, getenv("PATH"));
  setenv("PATH", path, 1);
  command(b, "qsub", QSUB);
  command(b, "qdel", "exit 0\n");
  command(b, "qstat", qstat);
  return b;
}

static const char *file(bench *b, const char *name) {
  static char text[65536];
  char path[256];
  (void)snprintf(path, sizeof path, "%s/%s", b->dir, name);
  int fd = open(path, O_RDONLY);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
  if (fd >= 0) close(fd);
  text[n > 0 ? n : 0] = 0;
  return text;
}

/* The jobs of the recording: launch 18 is the array, the others have the numbers of their jobs. */
static void launch_recorded(bench *b) {
  ids(b, "16.pbs1\n18[].pbs1\n17.pbs1\n19.pbs1\n14.pbs1\n20.pbs1\n21.pbs1\n");
  static const int launches[] = {16, 18, 17, 19, 14, 20, 21};
  for (size_t i = 0; i < sizeof launches / sizeof *launches; i++)
    LAUNCH(b, (uint64_t)launches[i], "pbs", launches[i] == 18 ? 4 : 1, NONE, "sleep", "600");
}

static void check_recorded(bench *b) {
  kept_event *e = must(b, LAUNCHERS_MEMBER, 17, 0, HATO_MEMBER_QUEUED);
  ck_assert_str_eq(e->reason, "Can Never Run: Insufficient amount of resource: ncpus (R: 64 A: 8 T: 8)");
  ck_assert(e->never);
  e = must(b, LAUNCHERS_MEMBER, 19, 0, HATO_MEMBER_QUEUED);
  ck_assert_str_eq(e->reason, "held (Hold_Types u)");
  ck_assert(!e->never);
  e = must(b, LAUNCHERS_MEMBER, 14, 0, HATO_MEMBER_ENDED);
  HAS(e->reason, "and exceeded resource walltime");
  ck_assert(!e->exit_known && !e->cancelled);
  ck_assert_str_eq(e->host, "pbs1");
  e = must(b, LAUNCHERS_MEMBER, 20, 0, HATO_MEMBER_ENDED);
  ck_assert(e->exit_known && e->exit_code == 7 && !e->cancelled);
  HAS(e->reason, "and failed");
  e = must(b, LAUNCHERS_MEMBER, 21, 0, HATO_MEMBER_ENDED);
  ck_assert(e->exit_known && e->exit_code == 254 && e->signal == 0);
}

static void check_array(bench *b, int state) {
  for (int i = 0; i < 4; i++) {
    char job[32];
    (void)snprintf(job, sizeof job, "18[%d].pbs1", i);
    kept_event *e = must(b, LAUNCHERS_MEMBER, 18, i, state);
    ck_assert_str_eq(e->job, job);
    ck_assert_str_eq(e->host, "pbs1");
  }
}

static void check_deleted(bench *b) {
  kept_event *e = must(b, LAUNCHERS_MEMBER, 16, 0, HATO_MEMBER_ENDED);
  ck_assert(e->cancelled && e->exit_known && e->signal == 15);
  HAS(e->reason, "and terminated by alice@pbs1");
}

UNIT_TEST_LIMIT(json_of_a_real_server, 20) {
  bench *b = begin(VERSION "cat " RECORDED "qstat-mixed.json\n");
  launch_recorded(b);
  check_recorded(b);
  check_array(b, HATO_MEMBER_STARTING); /* substate 41 */
  must(b, LAUNCHERS_MEMBER, 16, 0, HATO_MEMBER_STARTING);
  HAS(file(b, "calls"), "qstat -x -t -f -F json 16.pbs1");
  command(b, "qstat", VERSION "cat " RECORDED "qstat-after-qdel.json\n");
  check_deleted(b);
  ck_assert_ptr_null(bench_find(b, (wanted){LAUNCHERS_MEMBER, 18, -1, HATO_MEMBER_ENDED}));
  bench_end(b);
}

UNIT_TEST_LIMIT(text_of_a_real_server, 20) {
  bench *b = begin(VERSION TEXT_ONLY "cat " RECORDED "qstat-mixed.txt\n");
  launch_recorded(b);
  check_recorded(b);
  check_array(b, HATO_MEMBER_RUNNING);
  must(b, LAUNCHERS_MEMBER, 16, 0, HATO_MEMBER_RUNNING);
  HAS(file(b, "calls"), "qstat -x -t -f 16.pbs1");
  bench_end(b);
}

UNIT_TEST_LIMIT(json_that_is_none_is_asked_for_as_text, 20) {
  bench *b = begin(VERSION "case \"$*\" in *-F*) sed 's/\"workq\"/\"a\"quote\"/' " RECORDED
                           "qstat-mixed.json; exit;; esac; cat " RECORDED "qstat-mixed.txt\n");
  launch_recorded(b);
  check_recorded(b);
  ck_assert(bench_logged(b, "did not write JSON"));
  bench_end(b);
}

UNIT_TEST_LIMIT(one_query_for_all_launches, 20) {
  bench *b = begin(VERSION "cat " RECORDED "qstat-mixed.json\n");
  launch_recorded(b);
  check_recorded(b);
  check_array(b, HATO_MEMBER_STARTING);
  must(b, LAUNCHERS_ENDED, 14, -1, -1);
  must(b, LAUNCHERS_ENDED, 20, -1, -1);
  must(b, LAUNCHERS_ENDED, 21, -1, -1);
  ids(b, "15.pbs1\n");
  LAUNCH(b, 15, "pbs", 1, NONE, "sleep", "600");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 15, 0, HATO_MEMBER_ENDED);
  ck_assert(e->exit_known && e->exit_code == 0);
  const char *all = strstr(file(b, "calls"), "15.pbs1"), *line = all; /* the query that said so */
  while (line > file(b, "calls") && line[-1] != '\n') line--;
  char words[256];
  (void)snprintf(words, sizeof words, "%.*s", (int)strcspn(line, "\n"), line);
  HAS(words, "qstat -x -t -f -F json ");
  HAS(words, " 16.pbs1");
  HAS(words, " 17.pbs1");
  HAS(words, " 18[].pbs1");
  HAS(words, " 19.pbs1");
  ck_assert_ptr_null(strstr(words, " 20.pbs1")); /* it has ended */
  bench_end(b);
}

UNIT_TEST_LIMIT(an_unknown_job_is_forgotten_the_others_live, 20) {
  bench *b = begin(VERSION "cat " RECORDED "qstat-mixed.json; sed '$d' " RECORDED "qstat-unknown.stderr >&2; exit 153\n");
  ids(b, "16.pbs1\n9999.pbs1\n");
  LAUNCH(b, 1, "pbs", 1, NONE, "sleep", "600");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_STARTING);
  LAUNCH(b, 2, "pbs", 1, NONE, "sleep", "600");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 2, 0, HATO_MEMBER_ENDED)->reason, "forgotten by PBS");
  must(b, LAUNCHERS_ENDED, 2, -1, -1);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_ENDED, 1), 0);
  bench_end(b);
}

UNIT_TEST_LIMIT(nothing_but_unknown_jobs, 20) {
  bench *b = begin(VERSION "cat " RECORDED "qstat-unknown.json\n" FAILS_AS("qstat-unknown"));
  ids(b, "9999.pbs1\n");
  LAUNCH(b, 1, "pbs", 1, NONE, "sleep", "600");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED)->reason, "forgotten by PBS");
  bench_end(b);
}

UNIT_TEST_LIMIT(a_server_without_history, 20) {
  bench *b = begin(VERSION "case \"$*\" in *-x*) echo 'qstat: PBS job history is not enabled' >&2; exit 38;; esac\n"
                           "echo 'qstat: 20.pbs1 Job has finished, use -x or -H to obtain historical job information' >&2\n"
                           "exit 35\n");
  ids(b, "20.pbs1\n");
  LAUNCH(b, 1, "pbs", 1, NONE, "sleep", "600");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_ENDED)->reason, "forgotten by PBS");
  bench_end(b);
}

/* Also when it prints nothing and fails for a reason of its own: no job has ended by that. */
UNIT_TEST_LIMIT(a_silent_server_has_ended_nothing, 20) {
  bench *b = begin(VERSION "echo 'qstat: cannot connect to server pbs1 (errno=15010)' >&2; exit 1\n");
  ids(b, "16.pbs1\n");
  LAUNCH(b, 1, "pbs", 1, NONE, "sleep", "600");
  kept_event *e = must(b, LAUNCHERS_TROUBLE, 1, -1, -1);
  ck_assert_int_eq(e->status, HATO_AGAIN);
  HAS(e->text, "cannot connect to server pbs1");
  command(b, "qstat", VERSION "cat " RECORDED "qstat-mixed.json\n");
  must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_STARTING);
  ck_assert_uint_eq(bench_count(b, LAUNCHERS_ENDED, 1), 0);
  bench_end(b);
}

/* ---- submitting ---- */

static void refused(bench *b, uint64_t id, const char *qsub, const char *const *options, hato_status status,
                    const char *words) {
  command(b, "qsub", qsub);
  LAUNCH(b, id, "pbs", 1, options, "true");
  kept_event *e = must(b, LAUNCHERS_FAILED, id, -1, -1);
  ck_assert_msg((int)e->status == (int)status, "%d: %s", (int)e->status, e->text);
  HAS(e->text, words);
  ck_assert_ptr_null(strstr(e->text, "usage"));
}

UNIT_TEST_LIMIT(refusals_are_said_in_words, 20) {
  bench *b = begin(VERSION "exit 0\n");
  refused(b, 1, FAILS_AS("qsub-bad-queue"), WORDS("queue=work"), HATO_NOT_FOUND, "no queue 'work' here");
  refused(b, 2, FAILS_AS("qsub-bad-resource"), WORDS("resource=nosuch=1"), HATO_INVALID, "Unknown resource: nosuch");
  refused(b, 3, FAILS_AS("qsub-array-of-one"), NONE, HATO_INVALID, "illegal -J value");
  refused(b, 4, QSUB, WORDS("select=1:ncpus=2", "ncpus=2"), HATO_INVALID, "exclude each other");
  refused(b, 5, QSUB, WORDS("directive=-m n\n-q other"), HATO_INVALID, "one line");
  refused(b, 6, "echo welcome\n", NONE, HATO_PROTOCOL, "told no job's id but 'welcome");
  bench_end(b);
}

UNIT_TEST_LIMIT(one_daemon_is_no_array, 20) {
  bench *b = begin(VERSION "cat " RECORDED "qstat-mixed.json\n");
  ids(b, "16.pbs1\n18[].pbs1\n");
  LAUNCH(b, 1, "pbs", 1, WORDS("queue=work", "walltime=90m", "ncpus=4", "mem=1.5G", "directive=#PBS -m n"), "echo", "it's");
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  HAS(file(b, "calls"), "-q work -l select=1:ncpus=4:mem=1536mb -l walltime=01:30:00");
  ck_assert_ptr_null(strstr(file(b, "calls"), "-J"));
  HAS(file(b, "script"), "#!/bin/sh\n#PBS -m n\nHATO_PBS_MEMBER=0\n");
  LAUNCH(b, 2, "pbs", 4, WORDS("select=1:ncpus=8:mpiprocs=8", "place=excl", "account=a1"), "true");
  must(b, LAUNCHERS_SUBMITTED, 2, -1, -1);
  HAS(file(b, "calls"), "-A a1 -l select=1:ncpus=8:mpiprocs=8 -l place=excl -J 0-3");
  HAS(file(b, "script"), "HATO_PBS_MEMBER=$((0 + $PBS_ARRAY_INDEX))\n");
  bench_end(b);
}

/* More than an array may have are several, the last of one a plain job; one that is refused takes the others along. */
UNIT_TEST_LIMIT(a_large_launch_is_several_arrays, 20) {
  bench *b = begin(VERSION "exit 0\n");
  ids(b, "1[].pbs1\n2[].pbs1\n3.pbs1\n4[].pbs1\n");
  LAUNCH(b, 1, "pbs", 21, WORDS("array-size=10"), "true");
  kept_event *e = must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  ck_assert_int_eq(strncmp((char *)e->record, "pbs 1 1 10 .pbs1 1 2 3", e->record_len), 0);
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 20, HATO_MEMBER_SUBMITTED)->job, "3.pbs1");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 10, HATO_MEMBER_SUBMITTED)->job, "2[].pbs1");
  ck_assert_int_eq(launchers_cancel(b->h, 1, NULL), HATO_OK);
  LAUNCH(b, 2, "pbs", 21, WORDS("array-size=10"), "true");
  must(b, LAUNCHERS_FAILED, 2, -1, -1);
  HAS(file(b, "calls"), "qdel 1[].pbs1 2[].pbs1 3.pbs1\n");
  HAS(file(b, "calls"), "qdel 4[].pbs1\n");
  LAUNCH(b, 3, "pbs", 100, WORDS("array-size=2"), "true");
  HAS(must(b, LAUNCHERS_FAILED, 3, -1, -1)->text, "at most 20 arrays");
  bench_end(b);
}

UNIT_TEST_LIMIT(a_name_that_is_too_long_is_shortened, 20) {
  bench *b = begin(VERSION "exit 0\n");
  command(b, "qsub", "[ ${#2} -le 15 ] || { echo 'qsub: illegal -N value' >&2; exit 2; }\n" QSUB);
  ids(b, "7.pbs1\n");
  LAUNCH(b, 1, "pbs", 1, WORDS("job-name=a-name-of-many-letters"), "true");
  must(b, LAUNCHERS_SUBMITTED, 1, -1, -1);
  bench_end(b);
}

UNIT_TEST_LIMIT(commands_that_are_not_there, 20) {
  char *path = strdup(getenv("PATH"));
  bench *b = begin("");
  setenv("PATH", "/nowhere", 1);
  LAUNCH(b, 1, "pbs", 1, NONE, "true");
  HAS(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, "no qstat in PATH");
  LAUNCH(b, 2, "pbs", 1, WORDS("dialect=pbspro"), "true");
  HAS(must(b, LAUNCHERS_FAILED, 2, -1, -1)->text, "no qsub in PATH");
  setenv("PATH", path, 1); /* for rm */
  free(path);
  bench_end(b);
}

UNIT_TEST_LIMIT(commands_of_another_system, 20) {
  bench *b = begin("echo 'SGE 8.1.9'; echo 'invalid option argument \"--version\"'; exit 1\n");
  LAUNCH(b, 1, "pbs", 1, NONE, "true");
  HAS(must(b, LAUNCHERS_FAILED, 1, -1, -1)->text, "Grid Engine");
  bench_end(b);
}

/* ---- Torque, whose own server is not here: as its manual says ---- */

#define TORQUE "case $1 in --version) echo 'Version: 6.1.2' >&2; echo 'Commit: 0' >&2; exit;; esac\n"

UNIT_TEST_LIMIT(torque_as_its_manual_has_it, 20) {
  bench *b = begin(TORQUE
                   "cat <<'E'\n"
                   "Job Id: 7[0].torque.site\n    Job_Name = x\n    job_state = R\n    exec_host = n1/0+n1/1\n\n"
                   "Job Id: 7[1].torque.site\n    job_state = C\n    exec_host = n2/0\n    exit_status = 271\n\n"
                   "Job Id: 7[2].torque.site\n    job_state = Q\n    comment = Not Running: no\n\tde is free\n\n"
                   "E\n");
  ids(b, "7[].torque.site\n");
  LAUNCH(b, 1, "pbs", 3, WORDS("ncpus=2", "gpus=1", "walltime=60"), "true");
  HAS(must(b, LAUNCHERS_MEMBER, 1, 2, HATO_MEMBER_QUEUED)->reason, "Not Running: node is free");
  ck_assert_str_eq(must(b, LAUNCHERS_MEMBER, 1, 0, HATO_MEMBER_RUNNING)->host, "n1");
  kept_event *e = must(b, LAUNCHERS_MEMBER, 1, 1, HATO_MEMBER_ENDED);
  ck_assert(e->cancelled && e->signal == 15);
  HAS(file(b, "calls"), "-l nodes=1:ppn=2:gpus=1 -l walltime=00:01:00 -t 0-2");
  HAS(file(b, "calls"), "qstat -t -f 7[].torque.site");
  HAS(file(b, "script"), "$PBS_ARRAYID");
  LAUNCH(b, 2, "pbs", 1, WORDS("select=1:ncpus=2"), "true");
  HAS(must(b, LAUNCHERS_FAILED, 2, -1, -1)->text, "select= is PBS Pro's");
  bench_end(b);
}

/* ---- the whole contract ---- */

static void check_passed(void *arg, const char *check, launchers_verdict verdict, const char *words) {
  int *passed = arg;
  *passed += verdict == LAUNCHERS_PASSED;
  ck_assert_msg(verdict != LAUNCHERS_FAILED_CHECK, "%s: %s", check, words);
}

/* With a stand-in whose jobs are processes here, as there is no PBS Pro to be had. */
UNIT_TEST_LIMIT(conforms_in_the_dialect_of_pbs_pro, 150) {
  bench *b = begin("");
  char body[1024], python[512] = "";
  /* Itself, once: what is found in PATH may be a script that looks for it, which takes its time. */
  FILE *p = popen("python3 -c 'import sys; print(sys.executable)'", "r");
  ck_assert(p != NULL && fscanf(p, "%511s", python) == 1 && pclose(p) == 0);
  static const char *const names[] = {"qsub", "qstat", "qdel"};
  setenv("HATO_STANDIN", b->dir, 1);
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
    (void)snprintf(body, sizeof body, "exec %s -IS " RECORDED "standin.py %s \"$@\"\n", python, names[i]);
    command(b, names[i], body);
  }
  int passed = 0;
  launchers_conformance c = {
      .log_dir = b->dir, .patience_ms = (uint32_t)(30000 * UNIT_PATIENCE), .report = check_passed, .arg = &passed};
  hato_error err;
  hato_status rc = launchers_conform(b->h, "pbs", &c, &err);
  ck_assert_msg(rc == HATO_OK, "%s", err.text);
  ck_assert_int_eq(passed, 18); /* all but the secrets' ways that it does not offer */
  bench_end(b);
}

LAUNCHERS_MAIN("launchers_pbs")

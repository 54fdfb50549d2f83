/* MUNGE credentials, of a munged that the test starts. */
#include "unit/munged.h"

static const uint8_t payload[NET_MUNGE_PAYLOAD] = "what both ends of this know";
static const uint8_t other_payload[NET_MUNGE_PAYLOAD] = "what both ends of that know";

static void make(char credential[NET_MUNGE_ROOM]) {
  hato_error err;
  hato_status st = net__munge_encode(payload, credential, NET_MUNGE_ROOM, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
}

/* Refused, with these words. */
static void refused_as(const char *credential, hato_status status, const char *words) {
  hato_error err;
  ck_assert_int_eq(net__munge_decode(credential, payload, &err), status);
  ck_assert_int_eq(err.status, status);
  ck_assert_msg(strstr(err.text, words) != NULL, "\"%s\" is not in \"%s\"", words, err.text);
  if (credential[0] != 0) ck_assert_ptr_null(strstr(err.text, credential));
}
static void refused(const char *credential, const char *words) {
  refused_as(credential, HATO_PEER_AUTH, words);
}

UNIT_TEST(a_good_one_is_admitted) {
  munged m;
  char c[NET_MUNGE_ROOM];
  hato_error err;
  munged_open(&m);
  make(c);
  ck_assert_uint_lt(strlen(c), 200);
  ck_assert_int_eq(net__munge_decode(c, payload, &err), HATO_OK);
  ck_assert_int_eq(err.status, HATO_OK);
  make(c);
  ck_assert_int_eq(net__munge_decode(c, payload, NULL), HATO_OK); /* words are not needed */
  munged_close(&m);
}

UNIT_TEST(one_over_another_payload_is_refused) {
  munged m;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  ck_assert_int_eq(net__munge_encode(other_payload, c, sizeof c, NULL), HATO_OK);
  refused(c, "something else");
  munge_make(c, payload, NET_MUNGE_PAYLOAD - 1, 0, -1); /* the beginning only */
  refused(c, "something else");
  munge_make(c, NULL, 0, 0, -1);
  refused(c, "something else");
  munged_close(&m);
}

/* Each character changed on its own: none is admitted, whatever munged calls it. But for the last
 * of the base64, of which some bits do not count. */
UNIT_TEST_LIMIT(one_that_was_altered_is_refused, 30) {
  munged m;
  char c[NET_MUNGE_ROOM];
  hato_error err;
  munged_open(&m);
  make(c);
  size_t n = strlen(c), altered = 0;
  for (size_t i = 0; i < n - 5; i++) {
    char was = c[i];
    c[i] = was == 'A' ? 'B' : 'A';
    hato_status st = net__munge_decode(c, payload, &err);
    ck_assert_msg(st == HATO_PEER_AUTH, "character %zu of %zu: %d %s", i, n, (int)st, err.text);
    if (strstr(err.text, "altered") != NULL) altered++;
    c[i] = was;
  }
  ck_assert_uint_gt(altered, n / 2);
  ck_assert_int_eq(net__munge_decode(c, payload, &err), HATO_OK); /* none of those used it up */
  munged_close(&m);
}

UNIT_TEST(what_is_no_credential_is_refused) {
  munged m;
  char c[NET_MUNGE_ROOM], *large = malloc(2000001);
  munged_open(&m);
  refused("", "malformed");
  refused("hato", "malformed");
  refused("MUNGE::", "malformed");
  refused("MUNGE:AwQDAAB=:", "malformed");
  make(c);
  c[strlen(c) / 2] = 0;
  refused(c, "malformed");
  memset(large, 'A', 2000000);
  large[2000000] = 0;
  refused(large, "malformed");
  free(large);
  munged_close(&m);
}

UNIT_TEST(one_that_comes_again_is_refused) {
  munged m;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  make(c);
  ck_assert_int_eq(net__munge_decode(c, payload, NULL), HATO_OK);
  refused(c, "replayed");
  refused(c, "replayed");
  munged_close(&m);
}

/* Two seconds have to pass on the clock that munged reads, too. */
UNIT_TEST_LIMIT(one_that_has_expired_is_refused, 20) {
  munged m;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  munge_make(c, payload, NET_MUNGE_PAYLOAD, 1, -1);
  time_t made = time(NULL);
  WAIT_FOR(time(NULL) > made + 1);
  refused(c, "expired");
  refused(c, "good for 1 s");
  munged_close(&m);
}

/* Made where the clock is ahead by more than it lives, by 1000 s. */
UNIT_TEST(one_that_is_rewound_is_refused) {
  munged m, ahead;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  munged_open_ahead(&ahead, &m);
  make(c);
  setenv("HATO_MUNGE_SOCKET", m.socket, 1);
  refused(c, "the MUNGE credential is rewound: by this host's clock it is made in ");
  make(c); /* there is nothing else amiss */
  ck_assert_int_eq(net__munge_decode(c, payload, NULL), HATO_OK);
  munged_close(&ahead);
  munged_close(&m);
}

UNIT_TEST(one_for_another_user_is_refused) {
  munged m;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  munge_make(c, payload, NET_MUNGE_PAYLOAD, 0, geteuid() == NOBODY ? 0 : (long)NOBODY);
  refused(c, "restricted to another user");
  munged_close(&m);
}

UNIT_TEST(one_by_another_user_is_refused) {
  if (geteuid() != 0) UNIT_LEFT_OUT("only root can be another user, too");
  munged m;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  munge_make_as_nobody(c, payload);
  refused(c, "made by user 65534, not by ours (user 0)");
  munged_close(&m);
}

UNIT_TEST(ours_are_for_ourselves_alone) {
  if (geteuid() != 0) UNIT_LEFT_OUT("only root can be another user, too");
  munged m;
  char c[NET_MUNGE_ROOM];
  munged_open(&m);
  make(c);
  int how;
  pid_t pid = fork();
  if (pid == 0) {
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) _exit(1);
    refused(c, "restricted to another user");
    _exit(0);
  }
  ck_assert_int_eq(waitpid(pid, &how, 0), pid);
  ck_assert_int_eq(how, 0);
  ck_assert_int_eq(net__munge_decode(c, payload, NULL), HATO_OK); /* nobody has used it up */
  munged_close(&m);
}

UNIT_TEST(one_of_another_realm_is_refused) {
  munged here, there;
  char c[NET_MUNGE_ROOM];
  munged_open(&there);
  make(c);
  munged_open(&here);
  refused(c, "another key");
  setenv("HATO_MUNGE_SOCKET", there.socket, 1);
  ck_assert_int_eq(net__munge_decode(c, payload, NULL), HATO_OK);
  munged_close(&here);
  munged_close(&there);
}

UNIT_TEST(one_that_is_too_long_is_not_cut) {
  munged m;
  char c[NET_MUNGE_ROOM];
  hato_error err;
  munged_open(&m);
  make(c);
  size_t n = strlen(c);
  c[0] = 'x';
  ck_assert_int_eq(net__munge_encode(payload, c, n, &err), HATO_TOO_LARGE);
  ck_assert_ptr_nonnull(strstr(err.text, "at most"));
  ck_assert_str_eq(c, "");
  ck_assert_int_eq(net__munge_encode(payload, c, n + 1, &err), HATO_OK);
  munged_close(&m);
}

/* Nothing there, a file, a socket of something else, a path too long, a name without a path. */
UNIT_TEST(without_munged_nobody_is_admitted) {
  char dir[] = "/tmp/hato-munge-XXXXXX", path[64], lengthy[200], c[NET_MUNGE_ROOM];
  hato_error err;
  ck_assert_ptr_nonnull(mkdtemp(dir));
  snprintf(path, sizeof path, "%s/socket", dir);
  memset(lengthy, 'a', sizeof lengthy);
  lengthy[0] = '/';
  lengthy[sizeof lengthy - 1] = 0;
  int other = socket(AF_UNIX, SOCK_DGRAM, 0);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  snprintf(at.sun_path, sizeof at.sun_path, "%s/datagrams", dir);
  ck_assert_int_eq(bind(other, (struct sockaddr *)&at, sizeof at), 0);
  const char *const where[] = {path, dir, "/dev/null", at.sun_path, lengthy, "socket"};
  for (size_t i = 0; i < sizeof where / sizeof *where; i++) {
    setenv("HATO_MUNGE_SOCKET", where[i], 1);
    ck_assert(!net__munge_runs());
    ck_assert_int_eq(net__munge_encode(payload, c, sizeof c, &err), HATO_UNREACHABLE);
    ck_assert_ptr_nonnull(strstr(err.text, where[i]));
    refused_as("MUNGE:AwQDAAB=:", HATO_UNREACHABLE, where[i]);
  }
  close(other);
  unlink(at.sun_path);
  rmdir(dir);
}

UNIT_TEST(one_that_was_killed_is_known_at_once_and_its_successor_used) {
  munged m;
  char c[NET_MUNGE_ROOM], before[NET_MUNGE_ROOM];
  hato_error err;
  munged_open(&m);
  make(before);
  munged_stop(&m, SIGKILL); /* its socket is still there */
  ck_assert_int_eq(access(m.socket, F_OK), 0);
  ck_assert(!net__munge_runs());
  ck_assert_int_eq(net__munge_encode(payload, c, sizeof c, &err), HATO_UNREACHABLE);
  refused_as(before, HATO_UNREACHABLE, "Connection refused");
  munged_start(&m);
  ck_assert_int_eq(net__munge_decode(before, payload, NULL), HATO_OK);
  munged_close(&m);
}

/* libmunge alone would take ten seconds for each of three. */
UNIT_TEST_LIMIT(one_that_hangs_is_not_waited_for, 20) {
  munged m;
  char c[NET_MUNGE_ROOM];
  hato_error err;
  munged_open(&m);
  make(c);
  kill(m.pid, SIGSTOP);
  uint64_t stopped = hato__now();
  ck_assert(!net__munge_runs());
  refused_as(c, HATO_UNREACHABLE, "does not answer");
  char none[NET_MUNGE_ROOM];
  ck_assert_int_eq(net__munge_encode(payload, none, sizeof none, &err), HATO_UNREACHABLE);
  ck_assert_uint_lt(hato__now() - stopped, 25 * HATO__SEC);
  kill(m.pid, SIGCONT);
  WAIT_FOR(net__munge_runs());
  make(c);
  ck_assert_int_eq(net__munge_decode(c, payload, NULL), HATO_OK);
  munged_close(&m);
}

/* ------------------------------------------------------------------ the desk */
typedef struct counted {
  net__munge_job job;
  char credential[NET_MUNGE_ROOM];
  atomic_uint done;
} counted;

static void count(net__munge_job *job) {
  counted *c = job->arg;
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  ck_assert(sigismember(&mask, SIGTERM) && sigismember(&mask, SIGPIPE) && sigismember(&mask, SIGINT));
  atomic_fetch_add(&c->done, 1);
}

static void prepare(counted *c, bool decode, bool encode) {
  memset(c, 0, sizeof *c);
  c->job.done = count;
  c->job.arg = c;
  c->job.encode = encode;
  memcpy(c->job.payload_in, payload, sizeof payload);
  memcpy(c->job.payload_out, payload, sizeof payload);
  if (!decode) return;
  make(c->credential);
  c->job.credential = c->credential;
}

UNIT_TEST(a_desk_decodes_and_then_makes_the_answer) {
  munged m;
  counted both, decoding, encoding, wrong;
  munged_open(&m);
  net__munge_desk *desk = net__munge_desk_create();
  prepare(&both, true, true);
  prepare(&decoding, true, false);
  prepare(&encoding, false, true);
  prepare(&wrong, true, true);
  memcpy(wrong.job.payload_in, other_payload, sizeof other_payload);
  ck_assert(net__munge_post(desk, &both.job) && net__munge_post(desk, &decoding.job));
  ck_assert(net__munge_post(desk, &encoding.job) && net__munge_post(desk, &wrong.job));
  WAIT_FOR(both.done + decoding.done + encoding.done + wrong.done == 4);
  ck_assert_int_eq(both.job.err.status, HATO_OK);
  ck_assert_int_eq(net__munge_decode(both.job.answer, payload, NULL), HATO_OK);
  ck_assert_int_eq(decoding.job.err.status, HATO_OK);
  ck_assert_str_eq(decoding.job.answer, "");
  ck_assert_int_eq(encoding.job.err.status, HATO_OK);
  ck_assert_int_eq(net__munge_decode(encoding.job.answer, payload, NULL), HATO_OK);
  ck_assert_int_eq(wrong.job.err.status, HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(wrong.job.err.text, "something else"));
  ck_assert_str_eq(wrong.job.answer, "");
  prepare(&both, true, true); /* a job may be used again */
  ck_assert(net__munge_post(desk, &both.job));
  WAIT_FOR(both.done == 1);
  ck_assert_int_eq(both.job.err.status, HATO_OK);
  net__munge_desk_destroy(desk);
  munged_close(&m);
}

UNIT_TEST(a_desk_without_jobs_and_none_are_taken_down) {
  net__munge_desk_destroy(net__munge_desk_create());
  net__munge_desk_destroy(NULL);
}

#define POSTERS 8
#define EACH 50
typedef struct poster {
  net__munge_desk *desk;
  counted *jobs;
  pthread_t thread;
} poster;

static void *post_each(void *arg) {
  poster *p = arg;
  for (int i = 0; i < EACH; i++) {
    prepare(&p->jobs[i], false, true);
    ck_assert(net__munge_post(p->desk, &p->jobs[i].job));
  }
  return NULL;
}

/* Of 400, from eight threads: each comes back once, and no two are alike. */
UNIT_TEST_LIMIT(a_desk_serves_many_threads, 30) {
  munged m;
  poster posters[POSTERS];
  counted *jobs = calloc(POSTERS * EACH, sizeof *jobs);
  munged_open(&m);
  net__munge_desk *desk = net__munge_desk_create();
  for (int i = 0; i < POSTERS; i++) {
    posters[i] = (poster){.desk = desk, .jobs = jobs + i * EACH};
    ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, post_each, &posters[i]), 0);
  }
  for (int i = 0; i < POSTERS; i++) pthread_join(posters[i].thread, NULL);
  for (int i = 0; i < POSTERS * EACH; i++) {
    WAIT_FOR(jobs[i].done > 0);
    if (jobs[i].job.err.status == HATO_AGAIN) continue; /* a machine with more to do */
    ck_assert_msg(jobs[i].job.err.status == HATO_OK, "%s", jobs[i].job.err.text);
    if (i > 0) ck_assert_str_ne(jobs[i].job.answer, jobs[i - 1].job.answer);
  }
  net__munge_desk_destroy(desk);
  for (int i = 0; i < POSTERS * EACH; i++) ck_assert_uint_eq(jobs[i].done, 1);
  free(jobs);
  munged_close(&m);
}

/* With munged stopped: two are under way, 512 wait, no more are taken. Taken down, the two
 * come back as not answered, the others as cancelled, and none is forgotten. */
UNIT_TEST_LIMIT(a_desk_gives_back_all_that_it_took, 20) {
  munged m;
  size_t full = NET_MUNGE_DESK_ROOM + NET_MUNGE_DESK_THREADS, most = 2 * full, taken = 0, cancelled = 0;
  counted *jobs = calloc(most, sizeof *jobs);
  munged_open(&m);
  net__munge_desk *desk = net__munge_desk_create();
  kill(m.pid, SIGSTOP);
  for (size_t i = 0; i < most; i++) prepare(&jobs[i], false, true);
  while (taken < most && net__munge_post(desk, &jobs[taken].job)) taken++;
  ck_assert_uint_ge(taken, NET_MUNGE_DESK_ROOM);
  ck_assert_uint_lt(taken, most);
  for (; taken < full; taken++) WAIT_FOR(net__munge_post(desk, &jobs[taken].job));
  net__munge_desk_destroy(desk);
  for (size_t i = 0; i < most; i++) {
    ck_assert_uint_eq(jobs[i].done, i < taken ? 1 : 0);
    if (i >= taken) continue;
    hato_status st = jobs[i].job.err.status;
    ck_assert(st == HATO_CANCELLED || (i < taken - NET_MUNGE_DESK_ROOM && st == HATO_UNREACHABLE));
    ck_assert_str_eq(jobs[i].job.answer, "");
    if (st == HATO_CANCELLED) cancelled++;
  }
  ck_assert_uint_ge(cancelled, NET_MUNGE_DESK_ROOM - NET_MUNGE_DESK_THREADS);
  free(jobs);
  munged_close(&m);
}

/* Those that waited for a munged that hangs are not asked one after the other. */
UNIT_TEST_LIMIT(a_desk_holds_nobody_up_for_a_munged_that_hangs, 20) {
  munged m;
  counted jobs[40];
  unsigned again = 0;
  munged_open(&m);
  net__munge_desk *desk = net__munge_desk_create();
  kill(m.pid, SIGSTOP);
  for (int i = 0; i < 40; i++) prepare(&jobs[i], false, true);
  for (int i = 0; i < 40; i++) ck_assert(net__munge_post(desk, &jobs[i].job));
  for (int i = 0; i < 40; i++) {
    WAIT_FOR(jobs[i].done == 1);
    hato_status st = jobs[i].job.err.status;
    ck_assert(st == HATO_AGAIN || st == HATO_UNREACHABLE);
    if (st == HATO_AGAIN) again++;
  }
  ck_assert_uint_gt(again, 20);
  kill(m.pid, SIGCONT);
  WAIT_FOR(net__munge_runs());
  prepare(&jobs[0], true, true);
  ck_assert(net__munge_post(desk, &jobs[0].job));
  WAIT_FOR(jobs[0].done == 1);
  ck_assert_int_eq(jobs[0].job.err.status, HATO_OK);
  net__munge_desk_destroy(desk);
  munged_close(&m);
}

UNIT_MAIN("net munge")

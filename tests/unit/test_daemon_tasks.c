/* What a daemon does with tasks. */
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "daemon/state.h"
#include "executor/executor.h"
#include "help_fake.h"
#include "help_standin.h"
#include "unit.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

_Static_assert(DAEMON_EXECUTOR_RESTART == EXECUTOR_EXIT_RESTART, "the executor's contract");
_Static_assert(DAEMON_EXECUTOR_GRACE_NS == EXECUTOR_GRACE_NS, "the executor's contract");

static uint32_t batch_after(daemon_spec *s, unsigned n, uint64_t ns) {
  while (n-- > 0) daemon_learn(s, ns);
  return daemon_batch(s);
}

UNIT_TEST(batches) {
  daemon_spec f = {.kind = PROTO_FUNCTION}, c = {.kind = PROTO_COMMAND}, limited = {.one_by_one = true};
  ck_assert_uint_eq(daemon_batch(&f), 1);          /* nothing is known */
  ck_assert_uint_eq(batch_after(&f, 10, 100), 10); /* no more than were seen */
  ck_assert_uint_eq(batch_after(&f, 1000, 100), DAEMON_BATCH_MAX);
  ck_assert_uint_eq(batch_after(&f, 1, 8000000), 1);              /* one long one: careful, */
  ck_assert_uint_eq(batch_after(&f, 100, 100), DAEMON_BATCH_MAX); /* not for long */
  ck_assert_uint_eq(batch_after(&f, 5, 8000000), 1);              /* several: some of the next may be, */
  ck_assert_uint_eq(batch_after(&f, 100, 100), 1);                /* so none waits behind another */
  ck_assert_uint_eq(batch_after(&f, 2000, 600000), 2);
  ck_assert_uint_eq(batch_after(&f, 100, 2000000), 1);
  ck_assert_uint_eq(batch_after(&c, 100, 1000), DAEMON_BATCH_COMMANDS);
  ck_assert_uint_eq(batch_after(&c, 100, 400000), DAEMON_BATCH_COMMANDS);
  ck_assert_uint_eq(batch_after(&c, 200, 2000000), 4);
  ck_assert_uint_eq(batch_after(&c, 20, 10000000), 1);                    /* those last too long, */
  ck_assert_uint_eq(batch_after(&c, 200, 400000), DAEMON_BATCH_COMMANDS); /* but are not long ones */
  ck_assert_uint_eq(batch_after(&c, 5, 30000000), 1);
  ck_assert_uint_eq(batch_after(&c, 100, 400000), 1);
  ck_assert_uint_eq(batch_after(&limited, 1000, 100), 1);
}

UNIT_TEST(a_task_and_back) {
  struct fake *f = fake_start(2, 10000, 0);
  fake_spec(f, 7, PROTO_FUNCTION, "echo");
  fake_counted(f, 7, 100, 1);
  const struct result *r = fake_result(f, 100);
  ck_assert_int_eq(r->r.error, 0);
  ck_assert_str_eq((char *)r->out, "100");
  ck_assert(LOCKED(f, fake_running(f, 100)));
  fake_letters(f, 7, 200, "abc");
  ck_assert_str_eq((char *)fake_result(f, 201)->out, "b");
  ck_assert_str_eq((char *)fake_result(f, 202)->out, "c");
  SEND(f, proto_words_encode(out, PROTO_GOODBYE, 0, "enough"));
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  fake_finish(f);
}

UNIT_TEST(one_at_a_time_is_one_slot) {
  struct fake *f = fake_start(4, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "pid");
  char first[32];
  for (uint64_t i = 1; i <= 20; i++) {
    fake_counted(f, 1, i, 1);
    const struct result *r = fake_result(f, i);
    if (i == 1) strcpy(first, (char *)r->out);
    ck_assert_str_eq((char *)r->out, first);
  }
  fake_finish(f);
}

UNIT_TEST_LIMIT(many_tasks_in_order, 20) {
  struct fake *f = fake_start(2, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "echo");
  enum { N = 20000 };
  for (uint64_t i = 0; i < N; i += 500) fake_counted(f, 1, i, 500);
  WAIT(f, f->n_results == N || f->closed);
  static bool seen[N];
  for (unsigned i = 0; i < N; i++) {
    const struct result *r = LOCKED(f, f->results[i]);
    char want[16];
    snprintf(want, sizeof want, "%u", (unsigned)r->r.task);
    ck_assert_str_eq((char *)r->out, want);
    ck_assert(!seen[r->r.task]);
    seen[r->r.task] = true;
  }
  ck_assert_uint_eq(LOCKED(f, fake_total(f->started, f->n_started)), N);
  fake_finish(f);
}

UNIT_TEST(a_crash_is_one_tasks) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "crash_on_x");
  fake_letters(f, 1, 1, "aaaaaaaaaa"); /* so that a batch is handed out */
  fake_result(f, 10);
  fake_letters(f, 1, 11, "aaxbbbxc");
  const struct result *r = fake_result(f, 13);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "ended by signal 6 (Aborted) in crash_on_x"), "%s", r->words);
  ck_assert_ptr_nonnull(strstr(r->words, "executor on "));
  ck_assert_int_eq(fake_result(f, 17)->r.error, HATO_RESET);
  static const char want[] = "aaxbbbxc";
  for (unsigned i = 0; i < 8; i++) {
    r = fake_result(f, 11 + i);
    if (want[i] != 'x') ck_assert_int_eq(r->out[0], want[i]);
  }
  ck_assert_uint_eq(LOCKED(f, f->n_results), 18);
  ck_assert_uint_eq(LOCKED(f, fake_total(f->started, f->n_started)), 18); /* each reported once */
  fake_finish(f);
}

UNIT_TEST(a_killed_executor_leaves_nothing) {
  struct fake *f = fake_start(2, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "pid");
  fake_counted(f, 1, 1, 1);
  pid_t pid = atoi((char *)fake_result(f, 1)->out);
  fake_spec(f, 2, PROTO_COMMAND, "family");
  fake_counted(f, 2, 2, 1);
  fake_wait_alive(f, 1 + 1 + 4);
  kill(pid, SIGKILL);
  const struct result *r = fake_result(f, 2);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_ptr_nonnull(strstr(r->words, "ended by signal 9 (Killed) while it ran family"));
  ck_assert_uint_eq(fake_alive(f), 1); /* dead before it is reported */
  fake_counted(f, 1, 3, 1);
  ck_assert_int_ne(atoi((char *)fake_result(f, 3)->out), pid);
  fake_finish(f);
}

UNIT_TEST(take_gives_back_the_end) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "wait");
  fake_counted(f, 1, 1, 10);
  WAIT(f, fake_running(f, 1));
  SEND(f, proto_take_encode(out, 3));
  WAIT(f, f->n_taken_frames == 1);
  ck_assert_uint_eq(LOCKED(f, fake_total(f->taken, f->n_taken)), 3);
  ck_assert(LOCKED(f, fake_in_runs(f->taken, f->n_taken, 8) && fake_in_runs(f->taken, f->n_taken, 10)));
  SEND(f, proto_take_encode(out, 100));
  WAIT(f, f->n_taken_frames == 2);
  ck_assert_uint_eq(LOCKED(f, fake_total(f->taken, f->n_taken)), 9); /* not the one that runs */
  ck_assert(!LOCKED(f, fake_in_runs(f->taken, f->n_taken, 1)));
  SEND(f, proto_take_encode(out, 1));
  WAIT(f, f->n_taken_frames == 3);
  ck_assert_uint_eq(LOCKED(f, fake_total(f->taken, f->n_taken)), 9);
  fake_finish(f);
}

UNIT_TEST(interrupts) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "wait");
  fake_spec(f, 2, PROTO_FUNCTION, "echo");
  fake_counted(f, 1, 1, 1);
  fake_counted(f, 2, 2, 9);
  WAIT(f, fake_running(f, 1));
  fake_runs(f, PROTO_INTERRUPT, 4, 3, HATO_CANCELLED); /* queued, from the middle */
  ck_assert_int_eq(fake_result(f, 5)->r.error, HATO_CANCELLED);
  ck_assert(!LOCKED(f, fake_running(f, 5)));
  fake_runs(f, PROTO_INTERRUPT, 1, 1, HATO_TIMED_OUT); /* running */
  ck_assert_int_eq(fake_result(f, 1)->r.error, HATO_TIMED_OUT);
  ck_assert_str_eq((char *)fake_result(f, 10)->out, "10");
  ck_assert_str_eq((char *)fake_result(f, 3)->out, "3");
  ck_assert_str_eq((char *)fake_result(f, 7)->out, "7");
  ck_assert_uint_eq(LOCKED(f, f->n_results), 10);
  fake_runs(f, PROTO_INTERRUPT, 1, 100, HATO_CANCELLED); /* all over */
  fake_counted(f, 2, 11, 1);
  fake_result(f, 11);
  ck_assert_uint_eq(LOCKED(f, f->n_results), 11);
  fake_finish(f);
}

UNIT_TEST(a_deaf_function_loses_its_executor) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "deaf");
  fake_spec(f, 2, PROTO_FUNCTION, "echo");
  fake_counted(f, 1, 1, 1);
  fake_counted(f, 2, 2, 2);
  WAIT(f, fake_running(f, 1));
  uint64_t t = hato__now();
  fake_runs(f, PROTO_INTERRUPT, 1, 1, HATO_CANCELLED);
  ck_assert_int_eq(fake_result(f, 1)->r.error, HATO_CANCELLED);
  ck_assert_uint_ge(hato__now() - t, DAEMON_FUNCTION_GRACE_NS / 2);
  ck_assert_str_eq((char *)fake_result(f, 3)->out, "3");
  fake_finish(f);
}

UNIT_TEST(a_changed_object_restarts_the_executor) {
  char dir[] = "/tmp/hato-restart-XXXXXX";
  ck_assert_ptr_nonnull(mkdtemp(dir));
  ck_assert_int_eq(chdir(dir), 0); /* where the executor leaves its mark */
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "restart");
  fake_letters(f, 1, 1, "r");
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, 0);
  ck_assert_int_eq(unlink("r"), 0);
  ck_assert_int_eq(chdir("/"), 0);
  ck_assert_int_eq(rmdir(dir), 0);
  fake_spec(f, 2, PROTO_FUNCTION, "restart_always");
  fake_counted(f, 2, 2, 1);
  r = fake_result(f, 2);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "exited with 75"), "%s", r->words);
  fake_finish(f);
}

UNIT_TEST(garbage_of_an_executor) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "garbage");
  fake_counted(f, 1, 1, 1);
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "ended by signal 9"), "%s", r->words);
  fake_finish(f);
}

/* An object by content: part by part, kept, its specification told where it is. */
static void send_object(struct fake *f, const uint8_t hash[32], const char *content, uint32_t cut) {
  proto_object m = {.total = strlen(content), .data = (const uint8_t *)content, .len = cut};
  memcpy(m.hash, hash, 32);
  SEND(f, proto_object_encode(out, &m));
  m.offset = cut;
  m.data += cut;
  m.len = (uint32_t)(m.total - cut);
  SEND(f, proto_object_encode(out, &m));
}

static void object_spec(struct fake *f, uint32_t number, const uint8_t hash[32]) {
  proto_spec s = {.kind = PROTO_FUNCTION, .symbol = "object", .object_path = "mine.so", .has_hash = true};
  memcpy(s.hash, hash, 32);
  hato__buf b = {0};
  proto_spec_encode(&b, &s);
  SEND(f, proto_spec_send(out, number, b.data, (uint32_t)b.len));
  hato__buf_free(&b);
}

UNIT_TEST(objects_by_content) {
  struct fake *f = fake_start(1, 10000, 0);
  uint8_t hash[32], other[32] = {1};
  ck_assert(hato__unhex(hash, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  send_object(f, hash, "abc", 2);
  object_spec(f, 1, hash);
  fake_counted(f, 1, 1, 1);
  char want[256];
  snprintf(want, sizeof want,
           "%s/objects/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.so", f->dir);
  ck_assert_str_eq((char *)fake_result(f, 1)->out, want);
  hato__buf b = {0};
  ck_assert_int_eq(hato__read_file(want, 100, &b, NULL), HATO_OK);
  ck_assert_str_eq(hato__buf_text(&b), "abc");
  hato__buf_free(&b);
  send_object(f, hash, "abc", 2); /* again */
  object_spec(f, 2, other);       /* never sent */
  fake_counted(f, 2, 2, 1);
  const struct result *r = fake_result(f, 2);
  ck_assert_int_eq(r->r.error, HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(r->words, "mine.so"));
  send_object(f, other, "abc", 1); /* not what it says it is */
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_LOST);
  fake_finish(f);
}

UNIT_TEST_LIMIT(pieces_both_ways, 20) {
  struct fake *f = fake_start(2, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "pieces");
  enum { PART = 200 * 1024, N = 50 };
  const uint64_t size = (uint64_t)PART * N;
  proto_assign a = {.spec = 1,
                    .args = PROTO_ARGS_EXPLICIT,
                    .large = true,
                    .first = 1,
                    .count = 1,
                    .attempt = 1,
                    .total = size};
  SEND(f, proto_assign_encode(out, &a, 0));
  uint64_t sent = 0;
  for (unsigned i = 0; i < N; i++) {
    WAIT(f, f->credit >= sent + PART && f->n_refs < 60);
    uint8_t *bytes;
    net_data *d = net_data_new(PROTO_PIECE_HEAD + PART, &bytes);
    proto_piece p = {.task = 1, .attempt = 1, .channel = PROTO_CH_IN, .len = PART, .last = i == N - 1};
    hato__buf head = {0};
    proto_piece_head_encode(&head, &p);
    memcpy(bytes, head.data, head.len);
    hato__buf_free(&head);
    memset(bytes + PROTO_PIECE_HEAD, 3, PART);
    pthread_mutex_lock(&f->lock);
    f->refs[f->n_refs].data = d;
    f->refs[f->n_refs].at = bytes;
    f->refs[f->n_refs++].len = PROTO_PIECE_HEAD + PART;
    pthread_mutex_unlock(&f->lock);
    net_wake(f->conn);
    sent += PART;
  }
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, 0);
  uint64_t words[2];
  memcpy(words, r->err, sizeof words);
  ck_assert_uint_eq(words[0], size);
  ck_assert_uint_eq(words[1], size * 3);
  WAIT(f, f->out_last);
  ck_assert_uint_eq(LOCKED(f, f->out_bytes), size);
  ck_assert_uint_eq(LOCKED(f, f->out_sum), size * 7);
  fake_finish(f);
}

UNIT_TEST(a_dead_stream_is_ended) {
  struct fake *f = fake_start(1, 10000, 0);
  f->grant = false; /* its output stays stuck */
  fake_spec(f, 1, PROTO_FUNCTION, "pieces");
  proto_assign a = {
      .spec = 1, .args = PROTO_ARGS_EXPLICIT, .large = true, .first = 1, .count = 1, .attempt = 1};
  SEND(f, proto_assign_encode(out, &a, 0));
  static uint8_t data[PROTO_PIECE_DATA];
  for (int i = 0; i < 12; i++) {
    proto_piece p = {.task = 1, .attempt = 1, .data = data, .len = sizeof data, .last = i == 11};
    WAIT(f, f->credit >= (uint64_t)(i + 1) * sizeof data);
    SEND(f, proto_piece_encode(out, &p));
  }
  WAIT(f, f->out_bytes >= PROTO_WINDOW - sizeof data);
  fake_runs(f, PROTO_INTERRUPT, 1, 1, HATO_CANCELLED);
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, HATO_CANCELLED);
  ck_assert_uint_eq(r->r.out_total, LOCKED(f, f->out_bytes));
  ck_assert(r->r.flags & PROTO_RESULT_OUT_MORE);
  WAIT(f, f->out_last);
  fake_finish(f);
}

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "executor") == 0) stand_in();
  if (argc >= 8 && strcmp(argv[1], "--daemon") == 0) return fake_daemon(argv + 2);
  return unit_main("daemon_tasks", argc, argv);
}

/* How a daemon connects, lives and ends. */
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "daemon/daemon.h"
#include "help_fake.h"
#include "help_standin.h"
#include "unit.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

UNIT_TEST(heartbeats_both_ways) {
  struct fake *f = fake_start(1, 1000, 0); /* of three it has to hear one */
  WAIT(f, f->n_beats >= 5);
  ck_assert(!LOCKED(f, f->closed));
  fake_finish(f);
}

UNIT_TEST(a_silent_dispatcher_is_left) {
  struct fake *f = fake_start(1, 50, 0); /* 50: it does not answer */
  fake_spec(f, 1, PROTO_FUNCTION, "family");
  fake_counted(f, 1, 1, 1);
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_LOST);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(a_lost_connection_ends_it_and_its_tasks) {
  struct fake *f = fake_start(2, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "family");
  fake_counted(f, 1, 1, 2);
  fake_wait_alive(f, 1 + 2 + 2 * 4);
  net_close(f->conn, HATO_OK, "");
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_LOST);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(goodbye_ends_it_and_its_tasks) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "family");
  fake_counted(f, 1, 1, 1);
  fake_wait_alive(f, 1 + 1 + 4);
  SEND(f, proto_words_encode(out, PROTO_GOODBYE, 0, "enough"));
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(nobody_there) {
  struct fake f = {.slots = 1, .dir = "/tmp"};
  pthread_mutex_init(&f.lock, NULL);
  fake_run(&f, "ipc:///tmp/hato-nobody-is-here", 300);
  ck_assert_int_eq(fake_wait_daemon(&f), DAEMON_EXIT_NEVER);
  f.credential = "/tmp/hato-no-such-credential";
  fake_run(&f, "ipc:///tmp/hato-nobody-is-here", 300);
  ck_assert_int_eq(fake_wait_daemon(&f), DAEMON_EXIT_REFUSED);
}

static void never(void *arg, net_conn *c) {
  (void)arg, (void)c;
  ck_abort_msg("admitted");
}

static bool knows_none(void *arg, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES], uint64_t *making) {
  (void)arg, (void)role, (void)id, (void)secret, (void)making;
  return false;
}

UNIT_TEST(a_wrong_secret) {
  net_listener *l;
  net_guard guard = {.find = knows_none};
  ck_assert_int_eq(net_listen("tcp://127.0.0.1:0", &guard, NULL, never, NULL, &l, NULL), HATO_OK);
  struct fake f = {.slots = 1, .dir = "/tmp"};
  pthread_mutex_init(&f.lock, NULL);
  setenv("HATO_CREDENTIAL", "hato1:daemon:0:0200000000000000000000000000000000000000000000000000000000000000:-:-:-", 1);
  fake_run(&f, net_listener_url(l), 5000);
  ck_assert_int_eq(fake_wait_daemon(&f), DAEMON_EXIT_REFUSED);
  setenv("HATO_CREDENTIAL", "zz", 1);
  fake_run(&f, net_listener_url(l), 5000);
  ck_assert_int_eq(fake_wait_daemon(&f), DAEMON_EXIT_REFUSED);
  net_listener_close(l);
}

UNIT_TEST(garbage_ends_the_connection) {
  struct fake *f = fake_start(1, 10000, 0);
  SEND(f, hato__buf_append(out, "garbage, garbage", 16));
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_LOST);
  fake_finish(f);
  f = fake_start(1, 10000, 0);
  fake_counted(f, 9, 1, 1); /* of no specification */
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_LOST);
  fake_finish(f);
}

UNIT_TEST(a_killed_daemon_leaves_nothing) {
  struct fake *f = fake_start(2, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "deaf");
  fake_counted(f, 1, 1, 2);
  fake_wait_alive(f, 3);
  kill(f->pid, SIGKILL);
  ck_assert_int_eq(fake_wait_daemon(f), -SIGKILL);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(a_signal_drains) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "wait");
  fake_counted(f, 1, 1, 10);
  WAIT(f, fake_running(f, 1));
  kill(f->pid, SIGTERM);
  ck_assert_int_eq(fake_result(f, 1)->r.error, HATO_INTERRUPTED);
  WAIT(f, f->n_drain == 1 && f->n_goodbye == 1);
  ck_assert_uint_eq(LOCKED(f, fake_total(f->taken, f->n_taken)), 9);
  ck_assert(!LOCKED(f, fake_in_runs(f->taken, f->n_taken, 1)));
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(a_second_signal_ends_at_once) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_COMMAND, "deaf"); /* for a command its executor has longer */
  fake_counted(f, 1, 1, 1);
  WAIT(f, fake_running(f, 1));
  kill(f->pid, SIGTERM);
  WAIT(f, f->n_drain == 1);
  kill(f->pid, SIGTERM);
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(the_dispatcher_drains) {
  struct fake *f = fake_start(1, 10000, 0);
  fake_spec(f, 1, PROTO_FUNCTION, "echo");
  fake_counted(f, 1, 1, 100);
  SEND(f, proto_drain_encode(out, false));
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  WAIT(f, f->n_goodbye == 1);
  ck_assert_uint_eq(LOCKED(f, f->n_results + fake_total(f->taken, f->n_taken)), 100);
  ck_assert_uint_eq(LOCKED(f, f->n_results), 100);
  fake_finish(f);
}

UNIT_TEST(idle_for_long_enough) {
  struct fake *f = fake_start(1, 10000, 3000); /* in which it gets its task */
  fake_spec(f, 1, PROTO_FUNCTION, "echo");
  fake_counted(f, 1, 1, 1);
  fake_result(f, 1);
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  WAIT(f, f->n_goodbye == 1);
  fake_finish(f);
}

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "executor") == 0) stand_in();
  if (argc >= 8 && strcmp(argv[1], "--daemon") == 0) return fake_daemon(argv + 2);
  return unit_main("daemon", argc, argv);
}

/* A daemon with real executors: commands and functions, and what is left of them. */
#include "base/clock.h"
#include "daemon/daemon.h"
#include "executor/executor.h"
#include "help_fake.h"
#include "unit.h"
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void shell(struct fake *f, uint32_t number, const char *line) {
  char path[512];
  snprintf(path, sizeof path, "PATH=%s", getenv("PATH"));
  char *argv[] = {"sh", "-c", (char *)line, NULL}, *env[] = {path, f->mark, NULL};
  proto_spec s = {.kind = PROTO_COMMAND, .argv = argv, .env = env, .cwd = f->dir, .umask = 022};
  fake_send_spec(f, number, &s);
}

static void function(struct fake *f, uint32_t number, const char *symbol) {
  proto_spec s = {.kind = PROTO_FUNCTION,
                  .symbol = (char *)symbol,
                  .object_path = HATO_BUILD_DIR "/tests/functions/samples.so"};
  fake_send_spec(f, number, &s);
}

UNIT_TEST(a_command) {
  struct fake *f = fake_start(2, 10000, 0);
  shell(f, 1, "echo out; echo err >&2; exit 3");
  fake_counted(f, 1, 1, 1);
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, 0);
  ck_assert(WIFEXITED(r->r.wait_status) && WEXITSTATUS(r->r.wait_status) == 3);
  ck_assert_str_eq((char *)r->out, "out\n");
  ck_assert_mem_eq(r->err, "err\n", 4);
  fake_finish(f);
}

UNIT_TEST(an_executor_is_bound) {
  setenv("TEST_BIND", "core", 1);
  setenv("HATO_CREDENTIAL", "hato1:daemon:0:5555555555555555555555555555555555555555555555555555555555555555:-:-:-", 1);
  struct fake *f = fake_start(1000, 10000, 0); /* more than there are cores: one core each */
  shell(f, 1, "nproc");
  shell(f, 2, "tr '\\0' '\\n' </proc/$PPID/environ | grep -c '^HATO_CREDENTIAL=\\|^TEST_BIND='");
  fake_counted(f, 1, 1, 1);
  topo *t;
  topo_set core;
  ck_assert_int_eq(topo_probe(NULL, &t, NULL), HATO_OK);
  ck_assert(topo_slot(t, TOPO_BIND_CORE, 0, 1000, &core));
  ck_assert_int_eq(atoi((char *)fake_result(f, 1)->out), CPU_COUNT_S(core.size, core.set));
  topo_set_free(&core);
  topo_destroy(t);
  fake_counted(f, 2, 2, 1);
  ck_assert_str_eq((char *)fake_result(f, 2)->out, "1\n"); /* but the credential */
  fake_finish(f);
}

UNIT_TEST_LIMIT(many_commands, 20) {
  struct fake *f = fake_start(2, 10000, 0);
  shell(f, 1, "echo $$");
  fake_counted(f, 1, 1, 200);
  WAIT(f, f->n_results == 200);
  for (unsigned i = 0; i < 200; i++) ck_assert_int_eq(LOCKED(f, f->results[i]->r.error), 0);
  fake_finish(f);
}

UNIT_TEST(a_function_crashes) {
  struct fake *f = fake_start(1, 10000, 0);
  function(f, 1, "die");
  function(f, 2, "echo");
  fake_letters(f, 1, 1, "66");
  fake_letters(f, 2, 3, "ab");
  ck_assert_int_eq(fake_result(f, 1)->r.error, HATO_RESET);
  const struct result *r = fake_result(f, 2);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "ended by signal"), "%s", r->words);
  ck_assert_msg(strstr(r->words, "in die"), "%s", r->words);
  ck_assert_mem_eq(fake_result(f, 4)->out, "b", 1);
  fake_finish(f);
}

#define FAMILY "setsid sleep 1000 & (trap '' TERM; sleep 1000 & exec sleep 1000) & wait"

static void wait_family(struct fake *f, unsigned slots) {
  fake_wait_alive(f, 1 + slots * 5); /* executor, shell and three sleeps each slot */
}

UNIT_TEST(an_executor_is_killed) {
  struct fake *f = fake_start(1, 10000, 0);
  shell(f, 1, "echo $PPID");
  fake_counted(f, 1, 1, 1);
  pid_t executor = atoi((char *)fake_result(f, 1)->out);
  shell(f, 2, FAMILY);
  fake_counted(f, 2, 2, 1);
  wait_family(f, 1);
  kill(executor, SIGKILL);
  const struct result *r = fake_result(f, 2);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "ended by signal 9 (Killed) while it ran sh"), "%s", r->words);
  ck_assert_uint_eq(fake_alive(f), 1);
  fake_counted(f, 1, 3, 1);
  ck_assert_int_ne(atoi((char *)fake_result(f, 3)->out), executor);
  fake_finish(f);
}

UNIT_TEST(the_daemon_is_killed) {
  struct fake *f = fake_start(2, 10000, 0);
  shell(f, 1, FAMILY);
  fake_counted(f, 1, 1, 2);
  wait_family(f, 2);
  kill(f->pid, SIGKILL);
  fake_wait_alive(f, 0);
  ck_assert_int_eq(fake_wait_daemon(f), -SIGKILL);
  fake_finish(f);
}

UNIT_TEST(the_dispatcher_is_gone) {
  struct fake *f = fake_start(2, 10000, 0);
  shell(f, 1, FAMILY);
  fake_counted(f, 1, 1, 2);
  wait_family(f, 2);
  net_close(f->conn, HATO_OK, "");
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_LOST);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST(a_signal_is_passed_on) {
  struct fake *f = fake_start(1, 10000, 0);
  shell(f, 1, "trap 'echo saved; exit 0' TERM; echo up; sleep 1000 & wait");
  fake_counted(f, 1, 1, 3);
  WAIT(f, fake_running(f, 1));
  fake_wait_alive(f, 4);
  kill(f->pid, SIGTERM);
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, HATO_INTERRUPTED);
  ck_assert_msg(strstr((char *)r->out, "saved"), "%s", (char *)r->out);
  ck_assert_int_eq(fake_wait_daemon(f), DAEMON_EXIT_OK);
  WAIT(f, f->n_goodbye == 1);
  ck_assert_uint_eq(LOCKED(f, fake_total(f->taken, f->n_taken)), 2);
  fake_wait_alive(f, 0);
  fake_finish(f);
}

UNIT_TEST_LIMIT(one_that_ignores_sigterm, 20) {
  struct fake *f = fake_start(1, 10000, 0);
  shell(f, 1, "trap '' TERM; echo up; sleep 1000; sleep 1000");
  fake_counted(f, 1, 1, 1);
  fake_wait_alive(f, 4);
  uint64_t from = hato__now();
  fake_runs(f, PROTO_INTERRUPT, 1, 1, HATO_CANCELLED);
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, HATO_CANCELLED);
  ck_assert_uint_ge(hato__now() - from, EXECUTOR_GRACE_NS / 2);
  fake_wait_alive(f, 2);
  fake_finish(f);
}

UNIT_TEST(a_function_that_hears_of_its_cancel) {
  struct fake *f = fake_start(1, 10000, 0);
  function(f, 1, "wait_cancelled");
  fake_counted(f, 1, 1, 1);
  WAIT(f, fake_running(f, 1));
  fake_runs(f, PROTO_INTERRUPT, 1, 1, HATO_CANCELLED);
  ck_assert_int_eq(fake_result(f, 1)->r.error, HATO_CANCELLED);
  fake_finish(f);
}

UNIT_TEST_LIMIT(large_output, 20) {
  struct fake *f = fake_start(1, 10000, 0);
  shell(f, 1, "head -c 10000000 /dev/zero | tr '\\0' x");
  fake_counted(f, 1, 1, 1);
  const struct result *r = fake_result(f, 1);
  ck_assert_int_eq(r->r.error, 0);
  ck_assert_uint_eq(r->r.out_total, 10000000);
  WAIT(f, f->out_last);
  ck_assert_uint_eq(LOCKED(f, f->out_bytes) + r->r.out_len, 10000000);
  fake_finish(f);
}

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "executor") == 0) return executor_main(3, NULL);
  if (argc >= 8 && strcmp(argv[1], "--daemon") == 0) return fake_daemon(argv + 2);
  return unit_main("slots", argc, argv);
}

/* The conformance suite, on every launcher that the tests have. */
#include "launchers.h"

typedef struct counted {
  int passed, failed, left_out;
  char words[4096];
} counted;

static void count(void *arg, const char *check, launchers_verdict verdict, const char *words) {
  counted *c = arg;
  c->passed += verdict == LAUNCHERS_PASSED;
  c->failed += verdict == LAUNCHERS_FAILED_CHECK;
  c->left_out += verdict == LAUNCHERS_LEFT_OUT;
  if (verdict == LAUNCHERS_PASSED) return;
  size_t n = strlen(c->words);
  (void)snprintf(c->words + n, sizeof c->words - n, "%s: %s\n", check, words);
}

static counted conform(bench *b, const char *what, hato_status expected) {
  counted n = {0};
  launchers_conformance c = {
      .log_dir = b->dir, .patience_ms = (uint32_t)(10000 * UNIT_PATIENCE), .report = count, .arg = &n};
  hato_error err;
  hato_status rc = launchers_conform(b->h, what, &c, &err);
  ck_assert_msg(rc == expected, "%d: %s\n%s", rc, err.text, n.words);
  return n;
}

UNIT_TEST_LIMIT(local_compiled_in, 30) {
  bench *b = bench_start(0, 0);
  counted n = conform(b, "local", HATO_OK);
  ck_assert_msg(n.left_out == 1, "%s", n.words); /* adopting from a process that is gone */
  bench_end(b);
}

UNIT_TEST_LIMIT(local_as_a_shared_object, 30) {
  bench *b = bench_start(0, 0);
  counted n = conform(b, INSTALLED "/hato_launcher_local.so", HATO_OK);
  ck_assert_msg(n.left_out == 0, "%s", n.words);
  bench_end(b);
}

UNIT_TEST_LIMIT(fake, 40) {
  bench *b = bench_start(0, 0);
  counted n = conform(b, "fake", HATO_OK);
  ck_assert_msg(n.left_out == 1, "%s", n.words); /* it ends whole launches only */
  bench_end(b);
}

UNIT_TEST_LIMIT(what_does_not_conform_is_named, 30) {
  bench *b = bench_start(0, 0);
  counted n = conform(b, "bad_major", HATO_ABORTED);
  ck_assert_int_eq(n.failed, 1);
  HAS(n.words, "loads: ");
  n = conform(b, "grown", HATO_ABORTED); /* it says that all ends at once, and gives nobody a number */
  ck_assert_int_ge(n.failed, 1);
  HAS(n.words, "launch of 1 runs and is cancelled: `sleep 600` ended at once");
  bench_end(b);
}

UNIT_TEST(what_is_not_there) {
  bench *b = bench_start(0, 0);
  launchers_conformance c = {0};
  hato_error err;
  ck_assert_int_eq(launchers_conform(b->h, "fak", &c, &err), HATO_NOT_FOUND);
  HAS(err.text, "fake");
  ck_assert_int_eq(launchers_conform(b->h, "/nowhere/x.so", &c, &err), HATO_NOT_FOUND);
  HAS(err.text, "/nowhere/x.so");
  bench_end(b);
}

LAUNCHERS_MAIN("launchers_conform")

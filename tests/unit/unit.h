/* Unit tests over Check. A file tests/unit/test_<layer>[_<what>].c is one
 * program; it links the layer its name begins with and what that layer knows
 * (all layers when it names none). In it:
 *
 *   UNIT_TEST(grows_by_doubling) { ck_assert_uint_eq(...); }
 *   UNIT_TEST_LIMIT(many_threads, 30) { ... }       seconds, instead of 10; times UNIT_PATIENCE
 *   UNIT_MAIN("buf")                                last line; the suite's name
 *
 * A test that cannot be run here says why: if (…) UNIT_LEFT_OUT("only root can …");
 *
 * Tests register themselves: none can be forgotten. Check runs each in a process
 * of its own, ctest runs each as one of its tests. `--list` prints the names;
 * a name as argument runs that test alone; -n runs it without fork, for gdb. */
#ifndef HATO_TESTS_UNIT_H
#define HATO_TESTS_UNIT_H

#include "base/clock.h"

#include <check.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct unit_test {
  const char *name;
  const TTest *test;
  double limit;
};

/* All limits are for what hangs: beside other tests, on a machine with more to do, each takes several times its time
 * alone. Sanitized code is several times slower besides. */
#ifdef HATO_SANITIZED
#define UNIT_PATIENCE 8.0
#else
#define UNIT_PATIENCE 4.0
#endif
#define UNIT_WAIT_MS ((int)(8000 * UNIT_PATIENCE)) /* no wait of a test is longer */

static inline void unit_nap(void) { nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); }

/* Polls until what holds, or fails the test. */
#define WAIT_FOR(what)                                                                      \
  do {                                                                                      \
    uint64_t until_ = hato__now() + (uint64_t)UNIT_WAIT_MS * HATO__MS;                      \
    while (!(what)) {                                                                       \
      if (hato__now() > until_) ck_abort_msg("waited in vain for %s", #what);               \
      unit_nap();                                                                           \
    }                                                                                       \
  } while (0)

#define UNIT_TEST(name) UNIT_TEST_LIMIT(name, 10)
#define UNIT_TEST_LIMIT(name_, seconds)                                                     \
  static void name_##_fn(int _i);                                                           \
  static const TTest name_##_ttest = {"" #name_, name_##_fn, __FILE__, __LINE__};           \
  static const struct unit_test name_##_unit                                                \
      __attribute__((used, aligned(sizeof(void *)), section("unit_tests"))) = {             \
          #name_, &name_##_ttest, (seconds)};                                               \
  static void name_##_fn(int _i CK_ATTRIBUTE_UNUSED)

/* A folder that a test made goes, with all in it, also while a process that was just ended still writes there. */
void unit_remove_folder(const char *folder);

/* The linker names the ends of the section. */
extern const struct unit_test __start_unit_tests[], __stop_unit_tests[];

static inline int unit_main(const char *suite_name, int argc, char **argv) {
  const char *only = NULL;
  enum fork_status fork_mode = CK_FORK;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--list") == 0) {
      for (const struct unit_test *t = __start_unit_tests; t < __stop_unit_tests; t++)
        printf("%s %.0f\n", t->name, t->limit * UNIT_PATIENCE + 5);
      return 0;
    }
    if (strcmp(argv[i], "-n") == 0) fork_mode = CK_NOFORK;
    else only = argv[i];
  }
  Suite *suite = suite_create(suite_name);
  int found = 0;
  for (const struct unit_test *t = __start_unit_tests; t < __stop_unit_tests; t++) {
    if (only && strcmp(only, t->name) != 0) continue;
    TCase *tc = tcase_create(t->name);
    tcase_set_timeout(tc, t->limit * UNIT_PATIENCE);
    tcase_add_test(tc, t->test);
    suite_add_tcase(suite, tc);
    found++;
  }
  /* What a test tells Check goes through a file there. Of a disk that is full for a moment it notices nothing, and
   * takes what follows for garbage ("Bad message type"). */
  if (access("/dev/shm", W_OK) == 0) setenv("TEMP", "/dev/shm", 0);
  SRunner *runner = srunner_create(suite);
  srunner_set_fork_status(runner, fork_mode);
  srunner_run_all(runner, CK_NORMAL);
  int failed = srunner_ntests_failed(runner);
  srunner_free(runner);
  if (!found) fprintf(stderr, "%s: no test named %s\n", suite_name, only ? only : "anything");
  return failed == 0 && found > 0 ? 0 : 1;
}

#define UNIT_LEFT_OUT(why)          \
  do {                              \
    printf("\nleft out: %s\n", why); \
    fflush(stdout);                 \
    return;                         \
  } while (0)

#define UNIT_MAIN(suite) \
  int main(int argc, char **argv) { return unit_main(suite, argc, argv); }

#endif

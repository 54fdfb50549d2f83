/* The life of launches: each rule of sched/launches.h. */
#include "sched/launches.h"
#include "unit.h"

#define S UINT64_C(1000000000)

struct life {
  sched_launches *l;
  uint64_t now;
  sched_launch_action a[64]; /* of the last `next` */
  uint32_t n;
};

static const sched_launch_rules rules = {
    .dial_in = true, .connect_ns = 120 * S, .backoff_ns = S, .backoff_max_ns = 5 * S, .crash_limit = 5};

static void check(struct life *f) {
  const char *bad = sched_launches_check(f->l);
  ck_assert_msg(bad == NULL, "%s", bad);
}

static void begin(struct life *f) {
  *f = (struct life){.l = sched_launches_create(), .now = S};
  ck_assert_ptr_nonnull(f->l);
}

static void finish(struct life *f) {
  check(f);
  sched_launches_destroy(f->l);
}

static void add(struct life *f, uint64_t id, uint32_t count, uint64_t line) {
  ck_assert(sched_launches_add(f->l, f->now, id, count, line, line ? NULL : &rules));
  sched_launches_submitted(f->l, f->now, id);
}

static uint32_t next(struct life *f) {
  check(f);
  f->n = sched_launches_next(f->l, f->now, f->a, 64);
  check(f);
  ck_assert_uint_lt(f->n, 64);
  ck_assert_uint_gt(sched_launches_wake(f->l), f->now);
  return f->n;
}

/* Nothing until the next wake; then time is at it. */
static uint32_t wake(struct life *f) {
  uint64_t at = sched_launches_wake(f->l);
  ck_assert_uint_ne(at, UINT64_MAX);
  ck_assert_uint_gt(at, f->now);
  f->now = at - 1;
  ck_assert_uint_eq(next(f), 0);
  f->now = at;
  return next(f);
}

static void told(struct life *f, uint64_t id, uint32_t m, sched_member_state state, unsigned flags) {
  sched_launches_told(f->l, f->now, id, m, state, flags);
  check(f);
}

static void joined(struct life *f, uint64_t id, uint32_t m) {
  sched_launches_joined(f->l, f->now, id, m);
  check(f);
}

static void left(struct life *f, uint64_t id, uint32_t m, bool orderly) {
  sched_launches_left(f->l, f->now, id, m, orderly);
  check(f);
}

static sched_member_state state(struct life *f, uint64_t id, uint32_t m) {
  return sched_launches_state(f->l, id, m);
}

static void is(const struct life *f, uint32_t i, sched_launch_action_type type, uint64_t launch,
               uint32_t member, uint32_t count) {
  ck_assert_uint_lt(i, f->n);
  ck_assert_int_eq(f->a[i].type, type);
  ck_assert_uint_eq(f->a[i].launch, launch);
  ck_assert_uint_eq(f->a[i].member, member);
  ck_assert_uint_eq(f->a[i].count, count);
}

UNIT_TEST(a_member_goes_through_its_states) {
  struct life f;
  begin(&f);
  ck_assert(sched_launches_add(f.l, f.now, 7, 2, 0, &rules));
  ck_assert_int_eq(state(&f, 7, 0), SCHED_MEMBER_ASKED);
  sched_launches_submitted(f.l, ++f.now, 7);
  ck_assert_int_eq(state(&f, 7, 0), SCHED_MEMBER_SUBMITTED);
  f.now++;
  told(&f, 7, 0, SCHED_MEMBER_QUEUED, 0);
  ck_assert_int_eq(state(&f, 7, 0), SCHED_MEMBER_QUEUED);
  ck_assert_int_eq(state(&f, 7, 1), SCHED_MEMBER_SUBMITTED);
  f.now++;
  told(&f, 7, 0, SCHED_MEMBER_STARTING, 0);
  ck_assert_uint_eq(sched_launches_since(f.l, 7, 0), f.now);
  f.now++;
  told(&f, 7, 0, SCHED_MEMBER_STARTING, 0); /* no news */
  ck_assert_uint_eq(sched_launches_since(f.l, 7, 0), f.now - 1);
  joined(&f, 7, 0);
  ck_assert_int_eq(state(&f, 7, 0), SCHED_MEMBER_CONNECTED);
  sched_launch_counts c;
  ck_assert(sched_launches_count(f.l, 7, &c));
  ck_assert_uint_eq(c.by_state[SCHED_MEMBER_CONNECTED], 1);
  ck_assert_uint_eq(c.by_state[SCHED_MEMBER_SUBMITTED], 1);
  ck_assert_uint_eq(next(&f), 0);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(a_member_that_ends_before_it_connected_is_replaced_after_the_back_off) {
  struct life f;
  begin(&f);
  add(&f, 1, 3, 0);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  uint64_t at = f.now + S, due;
  ck_assert_uint_eq(sched_launches_crashes(f.l, 1, &due), 1);
  ck_assert_uint_eq(due, at);
  f.now += S / 2;
  told(&f, 1, 1, SCHED_MEMBER_ENDED, 0); /* of the same round */
  ck_assert_uint_eq(wake(&f), 1);
  ck_assert_uint_eq(f.now, at);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 2);
  ck_assert_uint_eq(sched_launches_crashes(f.l, 1, &due), 1);
  ck_assert_uint_eq(due, 0);
  finish(&f);
}

UNIT_TEST(the_back_off_doubles_up_to_its_limit_and_the_line_is_given_up) {
  struct life f;
  begin(&f);
  add(&f, 1, 1, 0);
  static const uint64_t waits[] = {1, 2, 4, 5};
  for (uint64_t id = 1; id <= 4; id++) {
    uint64_t before = f.now;
    told(&f, id, 0, SCHED_MEMBER_ENDED, 0);
    ck_assert_uint_eq(next(&f), 1);
    is(&f, 0, SCHED_LAUNCH_OVER, id, 0, 1);
    ck_assert_uint_eq(wake(&f), 1);
    ck_assert_uint_eq(f.now, before + waits[id - 1] * S);
    is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
    ck_assert(sched_launches_lives(f.l, 1)); /* though it has no launch now */
    ck_assert_uint_eq(sched_launches_crashes(f.l, 1, NULL), id);
    add(&f, id + 1, 1, 1);
  }
  told(&f, 5, 0, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 2);
  is(&f, 0, SCHED_LAUNCH_GIVE_UP, 1, 0, 5);
  is(&f, 1, SCHED_LAUNCH_OVER, 5, 0, 1);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  ck_assert(!sched_launches_lives(f.l, 1));
  finish(&f);
}

UNIT_TEST(a_line_given_up_says_so_once_and_replaces_nothing) {
  struct life f;
  begin(&f);
  sched_launch_rules one = rules;
  one.crash_limit = 1;
  ck_assert(sched_launches_add(f.l, f.now, 1, 3, 0, &one));
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_GIVE_UP, 1, 0, 1);
  sched_launches_worked(f.l, 1); /* too late */
  told(&f, 1, 1, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 0);
  ck_assert_uint_eq(sched_launches_crashes(f.l, 1, NULL), 1);
  told(&f, 1, 2, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 3);
  finish(&f);
}

UNIT_TEST(without_a_crash_limit_none_is_replaced) {
  struct life f;
  begin(&f);
  sched_launch_rules none = rules;
  none.crash_limit = 0;
  ck_assert(sched_launches_add(f.l, f.now, 1, 2, 0, &none));
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  told(&f, 1, 1, SCHED_MEMBER_STARTING, 0);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 1, 1);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(a_finished_task_ends_the_row_of_failures) {
  struct life f;
  begin(&f);
  add(&f, 1, 10, 0);
  for (uint32_t m = 0; m < 9; m++) {
    uint64_t before = f.now;
    told(&f, 1, m, SCHED_MEMBER_ENDED, 0);
    ck_assert_uint_eq(wake(&f), 1);
    is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
    ck_assert_uint_eq(f.now, before + (m % 2 ? 2 : 1) * S);
    add(&f, 2 + m, 1, 1);
    joined(&f, 2 + m, 0);
    if (m % 2) sched_launches_worked(f.l, 2 + m); /* of any launch of the line */
  }
  finish(&f);
}

UNIT_TEST(who_does_not_connect_in_time_is_ended_and_replaced) {
  struct life f;
  begin(&f);
  add(&f, 1, 3, 0);
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  f.now += S;
  told(&f, 1, 1, SCHED_MEMBER_STARTING, 0);
  told(&f, 1, 2, SCHED_MEMBER_QUEUED, 0); /* waiting is for ever */
  joined(&f, 1, 1);
  uint64_t began = f.now - S;
  ck_assert_uint_eq(wake(&f), 1);
  ck_assert_uint_eq(f.now, began + rules.connect_ns);
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 0, 1);
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_STARTING);
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0); /* it does so once */
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0); /* that is no other failure */
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(a_late_comer_is_connected_unless_it_ended) {
  struct life f;
  begin(&f);
  add(&f, 1, 2, 0);
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  told(&f, 1, 1, SCHED_MEMBER_ENDED, 0);
  joined(&f, 1, 1);
  ck_assert_int_eq(state(&f, 1, 1), SCHED_MEMBER_ENDED);
  left(&f, 1, 1, false);
  wake(&f);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 0, 1);
  joined(&f, 1, 0);
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_CONNECTED);
  wake(&f);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1); /* one more than was asked for */
  left(&f, 1, 0, false);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0); /* its failure was counted already */
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 2);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(a_daemon_may_come_before_its_launcher_tells) {
  struct life f;
  begin(&f);
  ck_assert(sched_launches_add(f.l, f.now, 1, 1, 0, &rules));
  joined(&f, 1, 0);
  sched_launches_submitted(f.l, f.now, 1);
  told(&f, 1, 0, SCHED_MEMBER_SUBMITTED, 0);
  told(&f, 1, 0, SCHED_MEMBER_QUEUED, SCHED_MEMBER_NEVER);
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_CONNECTED);
  ck_assert_uint_eq(next(&f), 0);
  finish(&f);
}

UNIT_TEST(a_lost_connection_is_a_failure_at_once_and_the_member_followed) {
  struct life f;
  begin(&f);
  add(&f, 1, 1, 0);
  joined(&f, 1, 0);
  left(&f, 1, 0, false);
  uint64_t lost = f.now;
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_STARTING);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
  told(&f, 1, 0, SCHED_MEMBER_SUBMITTED, 0); /* says nothing */
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 0, 1);
  ck_assert_uint_eq(f.now, lost + rules.connect_ns);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 1);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(an_orderly_end_is_no_failure) {
  struct life f;
  begin(&f);
  add(&f, 1, 3, 0);
  for (uint32_t m = 0; m < 3; m++) joined(&f, 1, m);
  left(&f, 1, 0, true);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  told(&f, 1, 1, SCHED_MEMBER_ENDED, 0); /* the launcher was the faster */
  left(&f, 1, 1, true);
  left(&f, 1, 2, true);
  ck_assert_uint_eq(wake(&f), 1); /* it does not end */
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 2, 1);
  told(&f, 1, 2, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 3);
  ck_assert(!sched_launches_lives(f.l, 1));
  finish(&f);
}

UNIT_TEST(one_that_said_goodbye_and_came_again_may_fail) {
  struct life f;
  begin(&f);
  add(&f, 1, 1, 0);
  joined(&f, 1, 0);
  left(&f, 1, 0, true); /* preempted, say, and requeued */
  told(&f, 1, 0, SCHED_MEMBER_QUEUED, 0);
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_QUEUED);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  joined(&f, 1, 0);
  left(&f, 1, 0, false);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
  finish(&f);
}

UNIT_TEST(ended_while_connected_waits_for_the_connection_to_go) {
  struct life f;
  begin(&f);
  add(&f, 1, 1, 0);
  joined(&f, 1, 0);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_ENDED);
  ck_assert_uint_eq(next(&f), 0);
  joined(&f, 1, 0);
  left(&f, 1, 0, false); /* it died */
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 1);
  left(&f, 1, 0, false);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
  finish(&f);
}

UNIT_TEST(who_was_cancelled_is_not_replaced) {
  struct life f;
  begin(&f);
  add(&f, 1, 2, 0);
  joined(&f, 1, 1);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, SCHED_MEMBER_CANCELLED);
  told(&f, 1, 1, SCHED_MEMBER_ENDED, SCHED_MEMBER_CANCELLED);
  left(&f, 1, 1, false);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 2);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(what_can_never_run_is_ended_once_and_not_replaced) {
  struct life f;
  begin(&f);
  add(&f, 1, 3, 0);
  told(&f, 1, 2, SCHED_MEMBER_QUEUED, 0);
  f.now += S;
  told(&f, 1, 2, SCHED_MEMBER_QUEUED, SCHED_MEMBER_NEVER);
  told(&f, 1, 0, SCHED_MEMBER_QUEUED, SCHED_MEMBER_NEVER);
  told(&f, 1, 1, SCHED_MEMBER_QUEUED, SCHED_MEMBER_NEVER);
  told(&f, 1, 1, SCHED_MEMBER_ENDED, 0); /* it was quicker */
  ck_assert_uint_le(sched_launches_wake(f.l), f.now);
  ck_assert_uint_eq(next(&f), 2);
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 2, 1);
  is(&f, 1, SCHED_LAUNCH_END_MEMBER, 1, 0, 1);
  told(&f, 1, 0, SCHED_MEMBER_QUEUED, SCHED_MEMBER_NEVER);
  ck_assert_uint_eq(next(&f), 0);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  told(&f, 1, 2, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 3);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(a_requeued_member_has_its_time_again) {
  struct life f;
  begin(&f);
  add(&f, 1, 2, 0);
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  told(&f, 1, 1, SCHED_MEMBER_STARTING, 0);
  f.now += 100 * S;
  told(&f, 1, 0, SCHED_MEMBER_QUEUED, 0);
  joined(&f, 1, 1);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  f.now += 100 * S;
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  ck_assert_uint_eq(sched_launches_wake(f.l), f.now + rules.connect_ns);
  finish(&f);
}

UNIT_TEST(a_cancelled_launch_has_no_failures) {
  struct life f;
  begin(&f);
  add(&f, 1, 3, 0);
  add(&f, 2, 1, 1);
  joined(&f, 1, 1);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0); /* forgotten with the cancel */
  told(&f, 2, 0, SCHED_MEMBER_ENDED, 0); /* another launch's is not */
  told(&f, 1, 2, SCHED_MEMBER_STARTING, 0);
  sched_launches_cancelled(f.l, f.now, 1);
  sched_launches_cancelled(f.l, f.now, 1);
  left(&f, 1, 1, false);
  told(&f, 1, 1, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 2, 0, 1);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 1);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  told(&f, 1, 2, SCHED_MEMBER_QUEUED, 0);
  told(&f, 1, 2, SCHED_MEMBER_STARTING, 0);
  told(&f, 1, 2, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 3);
  add(&f, 3, 1, 1);
  sched_launches_cancelled(f.l, f.now, 3);
  told(&f, 3, 0, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  ck_assert(!sched_launches_lives(f.l, 1));
  finish(&f);
}

UNIT_TEST(a_round_that_was_cancelled_wholly_is_not_due) {
  struct life f;
  begin(&f);
  add(&f, 1, 2, 0);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  sched_launches_cancelled(f.l, f.now, 1);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  finish(&f);
}

UNIT_TEST(a_launch_that_failed_in_passing_is_asked_for_again) {
  struct life f;
  begin(&f);
  ck_assert(sched_launches_add(f.l, f.now, 1, 100, 0, &rules));
  sched_launches_failed(f.l, f.now, 1, true);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 100);
  sched_launches_failed(f.l, f.now, 1, true);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, 100);
  ck_assert(sched_launches_add(f.l, f.now, 2, 100, 1, NULL));
  sched_launches_failed(f.l, f.now, 2, false); /* a wrong option: no sense in another */
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 2, 0, 100);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  ck_assert(!sched_launches_lives(f.l, 1));
  finish(&f);
}

UNIT_TEST(other_systems_workers_are_not_awaited_nor_replaced) {
  struct life f;
  begin(&f);
  ck_assert(sched_launches_add(f.l, f.now, 1, 3, 0, NULL));
  told(&f, 1, 0, SCHED_MEMBER_STARTING, 0);
  ck_assert_uint_eq(sched_launches_wake(f.l), UINT64_MAX);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, 0);
  told(&f, 1, 1, SCHED_MEMBER_QUEUED, SCHED_MEMBER_NEVER);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_END_MEMBER, 1, 1, 1);
  sched_launches_failed(f.l, f.now, 1, true);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 3);
  finish(&f);
}

UNIT_TEST(a_hundred_thousand_time_out_in_steps) {
  struct life f;
  begin(&f);
  enum { N = 100000 };
  add(&f, 1, N, 0);
  for (uint32_t m = 0; m < N; m++) sched_launches_told(f.l, f.now, 1, m, SCHED_MEMBER_STARTING, 0);
  check(&f);
  f.now = sched_launches_wake(f.l);
  uint32_t ended = 0;
  while (ended < N) {
    uint32_t n = sched_launches_next(f.l, f.now, f.a, 50);
    ck_assert_uint_eq(n, 50);
    for (uint32_t i = 0; i < n; i++) {
      ck_assert_int_eq(f.a[i].type, SCHED_LAUNCH_END_MEMBER);
      ck_assert_uint_eq(f.a[i].member, ended + i);
    }
    ended += n;
  }
  ck_assert_uint_eq(sched_launches_next(f.l, f.now, f.a, 50), 0);
  ck_assert_uint_eq(wake(&f), 1);
  is(&f, 0, SCHED_LAUNCH_REPLACE, 1, 0, N); /* one round */
  finish(&f);
}

UNIT_TEST(many_launches_time_out_in_the_order_of_their_time) {
  struct life f;
  begin(&f);
  for (uint64_t id = 1; id <= 2000; id++) {
    sched_launch_rules r = rules;
    r.crash_limit = 0;
    r.connect_ns = (1 + id * 7919 % 2003) * S;
    ck_assert(sched_launches_add(f.l, f.now, id, 1, 0, &r));
    sched_launches_told(f.l, f.now, id, 0, SCHED_MEMBER_STARTING, 0);
  }
  for (uint64_t id = 3; id <= 2000; id += 3) sched_launches_joined(f.l, f.now, id, 0);
  check(&f);
  uint32_t ended = 0;
  while (sched_launches_wake(f.l) != UINT64_MAX) {
    f.now = sched_launches_wake(f.l);
    ck_assert_uint_eq(sched_launches_next(f.l, f.now, f.a, 64), 1);
    ck_assert_int_eq(f.a[0].type, SCHED_LAUNCH_END_MEMBER);
    ck_assert_uint_ne(f.a[0].launch % 3, 0);
    ended++;
  }
  ck_assert_uint_eq(ended, 2000 - 666);
  finish(&f);
}

UNIT_TEST(what_is_not_known_is_ignored) {
  struct life f;
  begin(&f);
  add(&f, 1, 2, 0);
  ck_assert(!sched_launches_add(f.l, f.now, 1, 2, 0, &rules));
  ck_assert(!sched_launches_add(f.l, f.now, 0, 2, 0, &rules));
  for (uint64_t id = 1; id <= 2; id++) {
    uint32_t m = id == 1 ? 2 : 0;
    told(&f, id, m, SCHED_MEMBER_ENDED, 0);
    joined(&f, id, m);
    left(&f, id, m, false);
    ck_assert_int_eq(state(&f, id, m), SCHED_MEMBER_ENDED);
    ck_assert_uint_eq(sched_launches_since(f.l, id, m), 0);
  }
  sched_launches_submitted(f.l, f.now, 2);
  sched_launches_failed(f.l, f.now, 2, true);
  sched_launches_cancelled(f.l, f.now, 2);
  sched_launches_worked(f.l, 2);
  left(&f, 1, 0, false); /* it never came */
  told(&f, 1, 0, SCHED_MEMBER_ASKED, 0);
  told(&f, 1, 0, SCHED_MEMBER_CONNECTED, 0);
  told(&f, 1, 0, (sched_member_state)99, 0xff);
  ck_assert_int_eq(state(&f, 1, 0), SCHED_MEMBER_SUBMITTED);
  sched_launch_counts c;
  ck_assert(!sched_launches_count(f.l, 2, &c));
  uint64_t due = 1;
  ck_assert_uint_eq(sched_launches_crashes(f.l, 2, &due), 0);
  ck_assert_uint_eq(due, 0);
  ck_assert_uint_eq(next(&f), 0);
  add(&f, 3, 1, 2); /* a line that is not there: its own, by its own rules */
  told(&f, 3, 0, SCHED_MEMBER_ENDED, 0);
  ck_assert_uint_eq(next(&f), 1);
  sched_launches_destroy(NULL);
  finish(&f);
}

UNIT_TEST(a_daemon_that_cannot_tell_its_number_joins_as_one_that_is_awaited) {
  struct life f;
  uint32_t m;
  begin(&f);
  add(&f, 1, 4, 0);
  told(&f, 1, 3, SCHED_MEMBER_STARTING, 0);
  told(&f, 1, 2, SCHED_MEMBER_QUEUED, 0);
  told(&f, 1, 0, SCHED_MEMBER_ENDED, SCHED_MEMBER_CANCELLED);
  static const uint32_t order[] = {3, 2, 1};
  for (uint32_t i = 0; i < 3; i++) {
    ck_assert(sched_launches_vacant(f.l, 1, &m));
    ck_assert_uint_eq(m, order[i]);
    joined(&f, 1, m);
  }
  ck_assert(!sched_launches_vacant(f.l, 1, &m));
  ck_assert(!sched_launches_vacant(f.l, 2, &m));
  finish(&f);
}

UNIT_TEST(a_launch_of_nobody_is_over) {
  struct life f;
  begin(&f);
  add(&f, 1, 0, 0);
  ck_assert_uint_le(sched_launches_wake(f.l), f.now);
  ck_assert_uint_eq(next(&f), 1);
  is(&f, 0, SCHED_LAUNCH_OVER, 1, 0, 0);
  finish(&f);
}

UNIT_MAIN("sched_launches")

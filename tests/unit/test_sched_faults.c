/* Cancels, time limits, losses, late reports. */
#include "sched_drive.h"

UNIT_TEST(cancel_in_every_state) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 2);
  submit(&d, SCHED_SHARED_OWNER, 1, 10, 1);
  next(&d);
  start(&d, h, 1); /* 1 runs, 2 is sent, 3 to 10 are queued */
  sched_cancel(d.s, d.now, 1, 5, 0, HATO_CANCELLED);
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_INTERRUPT), 1);
  ck_assert_uint_eq(the(&d, SCHED_INTERRUPT).count, 2);
  ck_assert_int_eq(the(&d, SCHED_INTERRUPT).value, HATO_CANCELLED);
  uint32_t resolved = 0;
  for (size_t i = 0; i < d.n; i++)
    if (d.a[i].type == SCHED_RESOLVE) resolved += d.a[i].count;
  ck_assert_uint_eq(resolved, 5);
  ck_assert_uint_eq(sched_count(d.s).busy_slots, 1);
  /* the slot of 2, which had not started, is free for 6; that of 1 when it ends */
  ck_assert_uint_eq(count_of(&d, SCHED_SEND), 1);
  ck_assert_uint_eq(the(&d, SCHED_SEND).first, 6);
  ck_assert(!sched_finished(d.s, d.now, h, 1, 1, MS, NULL, NULL));
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_SEND).first, 7);
  drive_close(&d);
}

UNIT_TEST(cancel_in_the_middle_of_a_queue) {
  struct drive d;
  drive_open(&d, NULL);
  submit(&d, SCHED_SHARED_OWNER, 1, 1000, 1);
  sched_cancel(d.s, d.now, 40, 80, 0, HATO_CANCELLED);
  next(&d);
  ck_assert_uint_eq(d.n, 1);
  ck_assert_uint_eq(d.a[0].first, 40);
  ck_assert_uint_eq(d.a[0].count, 41);
  ck_assert_int_eq(state(&d, 39), SCHED_QUEUED);
  ck_assert_int_eq(state(&d, 40), SCHED_RESOLVED);
  ck_assert_int_eq(state(&d, 80), SCHED_RESOLVED);
  ck_assert_int_eq(state(&d, 81), SCHED_QUEUED);
  join(&d, 60);
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_SEND), 2);
  ck_assert_uint_eq(d.a[0].count, 39);
  ck_assert_uint_eq(d.a[1].first, 81);
  drive_close(&d);
}

UNIT_TEST(cancel_of_one_owners_tasks_only_and_of_older_ones_only) {
  struct drive d;
  drive_open(&d, NULL);
  sched_owner a = owner(&d), b = owner(&d);
  submit(&d, a, 1, 10, 1);
  submit(&d, b, 11, 10, 1);
  sched_cancel(d.s, d.now, 0, UINT64_MAX, a, HATO_CANCELLED);
  submit(&d, a, 21, 10, 1);
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_RESOLVE).count, 10);
  ck_assert_uint_eq(count_of(&d, SCHED_RESOLVE), 1);
  ck_assert_uint_eq(sched_owner_unresolved(d.s, a), 10);
  ck_assert_uint_eq(sched_owner_unresolved(d.s, b), 10);
  drive_close(&d);
}

UNIT_TEST(what_concerns_many_is_done_in_steps) {
  struct drive d;
  drive_open(&d, NULL);
  for (uint64_t t = 1; t <= 1000; t++) submit(&d, SCHED_SHARED_OWNER, t, 1, 1);
  sched_cancel(d.s, d.now, 1, 1000, 0, HATO_CANCELLED);
  bool more = true;
  size_t resolved = 0, released = 0, calls = 0;
  for (; more; calls++) {
    sched_action a[10];
    size_t n = sched_next(d.s, d.now, a, 10, &more);
    ck_assert_uint_le(n, 10);
    for (size_t i = 0; i < n; i++) {
      resolved += a[i].type == SCHED_RESOLVE;
      released += a[i].type == SCHED_RELEASE;
    }
    drive_check(&d);
  }
  ck_assert_uint_eq(resolved, 1000);
  ck_assert_uint_eq(released, 1000);
  ck_assert_uint_ge(calls, 200);
  drive_close(&d);
}

UNIT_TEST(a_lost_owner_ends_when_all_of_his_is_resolved) {
  struct drive d;
  drive_open(&d, NULL);
  sched_owner a = owner(&d);
  sched_daemon h = join(&d, 1);
  submit(&d, a, 1, 5, 1);
  submit(&d, a, 10, 1, 1);
  next(&d);
  start(&d, h, 1);
  sched_owner_lost(d.s, d.now, a, HATO_RESET);
  sched_range r = {.first = 50, .count = 1, .owner = a};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_CLOSED);
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_INTERRUPT), 1);
  ck_assert_uint_eq(count_of(&d, SCHED_RELEASE), 2);
  ck_assert_int_eq(d.a[d.n - 1].type, SCHED_OWNER_END);
  ck_assert_uint_eq(d.a[d.n - 1].owner, a);
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_INVALID);
  ck_assert_uint_ne(owner(&d), a);
  ck_assert(!sched_finished(d.s, d.now, h, 1, 1, MS, NULL, NULL));
  ck_assert_uint_eq(sched_count(d.s).busy_slots, 0);
  drive_close(&d);
}

UNIT_TEST(a_lost_daemons_tasks) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 4);
  submit(&d, SCHED_SHARED_OWNER, 1, 10, 1);
  next(&d);
  sched_started(d.s, d.now, h, 1, 2, 1); /* 1, 2 run; 3, 4 are sent */
  sched_daemon_disconnected(d.s, d.now, h);
  next(&d);
  ck_assert_uint_eq(d.n, 1);
  ck_assert_int_eq(d.a[0].type, SCHED_RESOLVE);
  ck_assert_int_eq(d.a[0].value, HATO_RESET);
  ck_assert_uint_eq(d.a[0].count, 2);
  ck_assert_int_eq(state(&d, 3), SCHED_QUEUED);
  ck_assert(!sched_finished(d.s, d.now, h, 3, 1, MS, NULL, NULL));
  sched_daemon g = join(&d, 4);
  ck_assert_uint_ne(g, h);
  next(&d);
  ck_assert_uint_eq(d.a[0].first, 3);
  ck_assert_uint_eq(d.a[0].count, 2);
  ck_assert_uint_eq(d.a[0].attempt, 2);
  ck_assert_uint_eq(d.a[1].first, 5);
  ck_assert_uint_eq(d.a[1].attempt, 1);
  ck_assert(!sched_finished(d.s, d.now, g, 3, 1, MS, NULL, NULL)); /* an older attempt */
  ck_assert_int_eq(state(&d, 3), SCHED_SENT);
  drive_close(&d);
}

UNIT_TEST(a_lost_daemons_tasks_keep_their_order) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 40);
  for (uint64_t t = 1; t <= 50; t++) submit(&d, SCHED_SHARED_OWNER, 100 - t, 1, 1);
  next(&d);
  sched_daemon_disconnected(d.s, d.now, h);
  next(&d);
  join(&d, 50);
  next(&d);
  ck_assert_uint_eq(d.n, 50);
  for (uint64_t t = 1; t <= 50; t++) ck_assert_uint_eq(d.a[t - 1].first, 100 - t);
  drive_close(&d);
}

UNIT_TEST(a_daemon_that_is_back_within_its_grace) {
  struct drive d;
  sched_config cfg = {.daemon_grace_ns = 10 * MS};
  drive_open(&d, &cfg);
  sched_daemon h = join(&d, 2);
  submit(&d, SCHED_SHARED_OWNER, 1, 10, 1);
  next(&d);
  sched_started(d.s, d.now, h, 1, 2, 1);
  sched_daemon_disconnected(d.s, d.now, h);
  ck_assert_uint_eq(next(&d), 0);
  ck_assert_uint_eq(sched_deadline(d.s), d.now + 10 * MS);
  sched_cancel(d.s, d.now, 1, 1, 0, HATO_CANCELLED);
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_INTERRUPT), 0);
  d.now += 9 * MS;
  ck_assert(sched_daemon_reconnected(d.s, d.now, h));
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_INTERRUPT).first, 1);
  ck_assert(finish(&d, h, 2, MS));
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_SEND).daemon, h);
  drive_close(&d);
}

UNIT_TEST(a_daemon_that_is_not_back_within_its_grace) {
  struct drive d;
  sched_config cfg = {.daemon_grace_ns = 10 * MS};
  drive_open(&d, &cfg);
  sched_daemon h = join(&d, 1);
  submit(&d, SCHED_SHARED_OWNER, 1, 1, 1);
  next(&d);
  start(&d, h, 1);
  sched_daemon_disconnected(d.s, d.now, h);
  d.now += 10 * MS;
  sched_tick(d.s, d.now);
  next(&d);
  ck_assert_int_eq(the(&d, SCHED_RESOLVE).value, HATO_RESET);
  ck_assert(!sched_daemon_reconnected(d.s, d.now, h));
  ck_assert_uint_eq(sched_count(d.s).daemons, 0);
  drive_close(&d);
}

UNIT_TEST(a_time_limit_passes) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  sched_range r = {.first = 1, .count = 2, .owner = SCHED_SHARED_OWNER, .limit_ns = 10 * MS};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_OK);
  next(&d);
  d.now += 50 * MS; /* the limit is of running, not of waiting */
  ck_assert_uint_eq(sched_deadline(d.s), UINT64_MAX);
  start(&d, h, 1);
  ck_assert_uint_eq(sched_deadline(d.s), d.now + 10 * MS);
  d.now += 10 * MS - 1;
  sched_tick(d.s, d.now);
  ck_assert_uint_eq(next(&d), 0);
  d.now++;
  sched_tick(d.s, d.now);
  ck_assert_uint_eq(next(&d), 2);
  ck_assert_int_eq(d.a[0].type, SCHED_INTERRUPT);
  ck_assert_int_eq(d.a[0].value, HATO_TIMED_OUT);
  ck_assert_int_eq(d.a[1].type, SCHED_RESOLVE);
  ck_assert_int_eq(d.a[1].value, HATO_TIMED_OUT);
  ck_assert_uint_eq(sched_count(d.s).busy_slots, 1);
  ck_assert(!sched_finished(d.s, d.now, h, 1, 1, 11 * MS, NULL, NULL));
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_SEND).first, 2);
  drive_close(&d);
}

UNIT_TEST(reports_of_anything_change_nothing) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1), g = join(&d, 1);
  submit(&d, SCHED_SHARED_OWNER, 1, 2, 1);
  next(&d);
  start(&d, h, 1);
  sched_started(d.s, d.now, g, 0, UINT32_MAX, 9);
  sched_returned(d.s, d.now, g, 0, UINT32_MAX, 9);
  sched_returned(d.s, d.now, h, 0, UINT32_MAX, 1); /* it runs: no going back */
  sched_take_answered(d.s, d.now, g);
  sched_daemon_disconnected(d.s, d.now, 12345);
  ck_assert(!sched_finished(d.s, d.now, g, 1, 1, MS, NULL, NULL));
  ck_assert(!sched_finished(d.s, d.now, h, 2, 1, MS, NULL, NULL));
  ck_assert(!sched_finished(d.s, d.now, 77, 1, 1, MS, NULL, NULL));
  ck_assert_int_eq(state(&d, 1), SCHED_RUNNING);
  ck_assert_int_eq(state(&d, 2), SCHED_SENT);
  ck_assert_uint_eq(next(&d), 0);
  drive_close(&d);
}

UNIT_MAIN("sched_faults")

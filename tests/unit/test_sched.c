/* The ordinary life of tasks: submitted, sent, started, finished, released. */
#include "sched_drive.h"

UNIT_TEST(a_task_from_submit_to_release) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  ck_assert_uint_eq(next(&d), 0);
  submit(&d, SCHED_SHARED_OWNER, 1, 1, 7);
  ck_assert_int_eq(state(&d, 1), SCHED_QUEUED);
  ck_assert_uint_eq(next(&d), 1);
  ck_assert_int_eq(d.a[0].type, SCHED_SEND);
  ck_assert_uint_eq(d.a[0].daemon, h);
  ck_assert_uint_eq(d.a[0].first, 1);
  ck_assert_uint_eq(d.a[0].count, 1);
  ck_assert_uint_eq(d.a[0].attempt, 1);
  ck_assert_ptr_eq(d.a[0].data, (void *)1);
  ck_assert_int_eq(state(&d, 1), SCHED_SENT);
  d.now += MS;
  sched_started(d.s, d.now, h, 1, 1, 1);
  sched_task_info i = sched_find(d.s, 1);
  ck_assert_int_eq(i.state, SCHED_RUNNING);
  ck_assert_uint_eq(i.daemon, h);
  ck_assert_uint_eq(i.spec, 7);
  ck_assert_uint_eq(i.started_ns, d.now);
  sched_owner o = 0;
  void *data = NULL;
  ck_assert(sched_finished(d.s, d.now, h, 1, 1, MS, &o, &data));
  ck_assert_uint_eq(o, SCHED_SHARED_OWNER);
  ck_assert_ptr_eq(data, (void *)1);
  ck_assert_int_eq(state(&d, 1), SCHED_RESOLVED);
  ck_assert(!sched_finished(d.s, d.now, h, 1, 1, MS, &o, &data));
  ck_assert_uint_eq(o, 0);
  ck_assert_uint_eq(next(&d), 1);
  ck_assert_int_eq(d.a[0].type, SCHED_RELEASE);
  ck_assert_int_eq(state(&d, 1), SCHED_UNKNOWN);
  drive_close(&d);
}

UNIT_TEST(counts_follow) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 4);
  submit(&d, SCHED_SHARED_OWNER, 1, 10, 1);
  next(&d);
  start(&d, h, 1);
  sched_counts c = sched_count(d.s);
  ck_assert_uint_eq(c.queued, 6);
  ck_assert_uint_eq(c.sent, 3);
  ck_assert_uint_eq(c.running, 1);
  ck_assert_uint_eq(c.busy_slots, 1);
  ck_assert_uint_eq(c.slots, 4);
  ck_assert_uint_eq(c.ranges, 1);
  ck_assert_uint_eq(c.owners, 1);
  ck_assert_uint_eq(sched_owner_unresolved(d.s, SCHED_SHARED_OWNER), 10);
  sched_daemon_info i;
  ck_assert(sched_daemon_find(d.s, h, &i));
  ck_assert_uint_eq(i.sent, 3);
  ck_assert_uint_eq(i.running, 1);
  ck_assert(!sched_daemon_find(d.s, h + 1, &i));
  drive_close(&d);
}

UNIT_TEST(submit_refuses_what_cannot_be) {
  struct drive d;
  drive_open(&d, NULL);
  submit(&d, SCHED_SHARED_OWNER, 100, 50, 1);
  sched_range r = {.first = 149, .count = 1, .owner = SCHED_SHARED_OWNER};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_EXISTS);
  r = (sched_range){.first = 90, .count = 11, .owner = SCHED_SHARED_OWNER};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_EXISTS);
  r = (sched_range){.first = 50, .count = 200, .owner = SCHED_SHARED_OWNER};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_EXISTS);
  r = (sched_range){.first = 1, .count = 0, .owner = SCHED_SHARED_OWNER};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_INVALID);
  r = (sched_range){.first = 0, .count = 1, .owner = SCHED_SHARED_OWNER};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_INVALID);
  r = (sched_range){.first = UINT64_MAX - 3, .count = 5, .owner = SCHED_SHARED_OWNER};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_INVALID);
  r = (sched_range){.first = 1, .count = 1, .owner = 99};
  ck_assert_int_eq(sched_submit(d.s, d.now, &r), HATO_INVALID);
  submit(&d, SCHED_SHARED_OWNER, 50, 50, 1);
  submit(&d, SCHED_SHARED_OWNER, UINT64_MAX - 10, 10, 1);
  ck_assert_int_eq(state(&d, UINT64_MAX - 1), SCHED_QUEUED);
  ck_assert_int_eq(state(&d, 150), SCHED_UNKNOWN);
  drive_close(&d);
}

UNIT_TEST(first_in_first_out_also_when_numbers_come_out_of_order) {
  struct drive d;
  drive_open(&d, NULL);
  submit(&d, SCHED_SHARED_OWNER, 100, 2, 1);
  submit(&d, SCHED_SHARED_OWNER, 1, 2, 1);
  sched_daemon h = join(&d, 3);
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_SEND), 2);
  ck_assert_uint_eq(d.a[0].first, 100);
  ck_assert_uint_eq(d.a[0].count, 2);
  ck_assert_uint_eq(d.a[1].first, 1);
  ck_assert_uint_eq(d.a[1].count, 1);
  start(&d, h, 100);
  drive_close(&d);
}

UNIT_TEST(few_tasks_spread_over_daemons) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h[4];
  for (int i = 0; i < 4; i++) h[i] = join(&d, 8);
  submit(&d, SCHED_SHARED_OWNER, 1, 8, 1);
  next(&d);
  for (uint64_t t = 10; t < 18; t++) { /* and singly */
    submit(&d, SCHED_SHARED_OWNER, t, 1, 1);
    next(&d);
  }
  for (int i = 0; i < 4; i++) {
    sched_daemon_info info;
    ck_assert(sched_daemon_find(d.s, h[i], &info));
    ck_assert_uint_eq(info.sent, 4);
  }
  drive_close(&d);
}

UNIT_TEST(owners_take_turns) {
  struct drive d;
  drive_open(&d, NULL);
  sched_owner a = owner(&d), b = owner(&d);
  submit(&d, a, 1, 1000000, 1);
  submit(&d, b, 2000001, 1000000, 1);
  sched_daemon h = join(&d, 1);
  uint64_t got[2] = {0};
  for (int i = 0; i < 100; i++) {
    next(&d);
    sched_action s = the(&d, SCHED_SEND);
    ck_assert_uint_eq(s.count, 1);
    got[s.owner == b]++;
    start(&d, h, s.first);
    ck_assert(finish(&d, h, s.first, 10 * MS));
  }
  ck_assert_uint_eq(got[0], 50);
  ck_assert_uint_eq(got[1], 50);
  drive_close(&d);
}

UNIT_TEST(a_paused_owner_is_not_served) {
  struct drive d;
  drive_open(&d, NULL);
  sched_owner a = owner(&d), b = owner(&d);
  sched_owner_pause(d.s, a, true);
  submit(&d, a, 1, 2, 1);
  submit(&d, b, 3, 1, 1);
  join(&d, 4);
  next(&d);
  ck_assert_uint_eq(d.n, 1);
  ck_assert_uint_eq(d.a[0].first, 3);
  sched_owner_pause(d.s, a, false);
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_SEND).count, 2);
  drive_close(&d);
}

UNIT_TEST(a_draining_daemon_gets_nothing_more) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 2);
  submit(&d, SCHED_SHARED_OWNER, 1, 10, 1);
  next(&d);
  sched_daemon_draining(d.s, d.now, h);
  start(&d, h, 1);
  ck_assert(finish(&d, h, 1, MS));
  ck_assert_uint_eq(next(&d), 0);
  sched_returned(d.s, d.now, h, 2, 1, 1);
  ck_assert_int_eq(state(&d, 2), SCHED_QUEUED);
  ck_assert_uint_eq(sched_find(d.s, 2).attempt, 2);
  ck_assert_uint_eq(sched_count(d.s).draining, 1);
  sched_daemon g = join(&d, 1);
  next(&d);
  sched_action s = the(&d, SCHED_SEND);
  ck_assert_uint_eq(s.daemon, g);
  ck_assert_uint_eq(s.first, 2);
  ck_assert_uint_eq(s.attempt, 2);
  drive_close(&d);
}

UNIT_TEST(a_million_queued_tasks_are_one_record) {
  struct drive d;
  drive_open(&d, NULL);
  submit(&d, SCHED_SHARED_OWNER, 1, 4000000000u, 1);
  ck_assert_uint_eq(sched_count(d.s).queued, 4000000000u);
  ck_assert_int_eq(state(&d, 3999999999u), SCHED_QUEUED);
  sched_cancel(d.s, d.now, 1, UINT64_MAX, 0, HATO_CANCELLED);
  ck_assert_uint_eq(next(&d), 2);
  ck_assert_int_eq(d.a[0].type, SCHED_RESOLVE);
  ck_assert_uint_eq(d.a[0].count, 4000000000u);
  ck_assert_int_eq(d.a[1].type, SCHED_RELEASE);
  drive_close(&d);
}

UNIT_TEST(tasks_in_a_row_are_alike) {
  const uint32_t all = INT32_MAX;
  struct drive d;
  drive_open(&d, NULL);
  submit(&d, SCHED_SHARED_OWNER, 101, all, 7);
  ck_assert_uint_eq(sched_alike(d.s, 1), 100);
  ck_assert_uint_eq(sched_alike(d.s, 101), all);
  ck_assert_uint_eq(sched_alike(d.s, 100 + (uint64_t)all), 1);
  ck_assert_uint_gt(sched_alike(d.s, 101 + (uint64_t)all), UINT64_C(1) << 60);
  sched_daemon h = join(&d, 2);
  next(&d);
  start(&d, h, 101);
  ck_assert_uint_eq(sched_alike(d.s, 101), 1);
  ck_assert_uint_eq(sched_alike(d.s, 102), 1);
  ck_assert_uint_eq(sched_alike(d.s, 103), all - 2);
  sched_cancel(d.s, d.now, 201, 1000000200, 0, HATO_CANCELLED);
  sched_cancel(d.s, d.now, 102, 102, 0, HATO_CANCELLED);
  ck_assert_uint_lt(next(&d), 10); /* actions, for a billion */
  ck_assert_int_eq(state(&d, 102), SCHED_RESOLVED); /* but its daemon has yet to answer */
  ck_assert_uint_eq(sched_alike(d.s, 102), 1);
  ck_assert_int_eq(state(&d, 103), SCHED_SENT); /* in its place */
  ck_assert_uint_eq(sched_alike(d.s, 104), 97);
  ck_assert_uint_eq(sched_alike(d.s, 201), 1000000000);
  ck_assert_int_eq(state(&d, 1000000200), SCHED_RESOLVED);
  ck_assert_uint_eq(sched_alike(d.s, 1000000201), all - 1000000100);
  drive_close(&d);
}

UNIT_MAIN("sched")

/* What is sent ahead of busy slots, and what is taken back. */
#include "sched_drive.h"

static uint32_t held(struct drive *d, sched_daemon h) {
  sched_daemon_info i;
  ck_assert(sched_daemon_find(d->s, h, &i));
  return i.sent + i.running;
}

UNIT_TEST(nothing_goes_ahead_of_unknown_or_long_tasks) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 2);
  submit(&d, SCHED_SHARED_OWNER, 1, 100, 1);
  next(&d);
  ck_assert_uint_eq(held(&d, h), 2);
  sched_started(d.s, d.now, h, 1, 2, 1);
  ck_assert(finish(&d, h, 1, 6 * MS));
  next(&d);
  ck_assert_uint_eq(held(&d, h), 2);
  drive_close(&d);
}

UNIT_TEST(short_tasks_go_ahead_by_their_duration) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 2);
  teach(&d, h, 1, 1, 100 * US); /* 2 ms ahead of each slot: 20 */
  submit(&d, SCHED_SHARED_OWNER, 10, 1000, 1);
  next(&d);
  ck_assert_uint_eq(held(&d, h), 2 + 40);
  drive_close(&d);
}

UNIT_TEST(tiny_tasks_go_ahead_in_large_batches) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  teach(&d, h, 1, 1, 0);
  submit(&d, SCHED_SHARED_OWNER, 10, 100000, 1);
  next(&d);
  ck_assert_uint_eq(held(&d, h), 1 + 1024);
  for (uint64_t t = 10; t < 10 + 511; t++) {
    start(&d, h, t);
    ck_assert(finish(&d, h, t, 500));
    ck_assert_uint_eq(next(&d), 0); /* until half is gone */
  }
  start(&d, h, 521);
  ck_assert(finish(&d, h, 521, 500));
  ck_assert_uint_eq(next(&d), 1);
  ck_assert_uint_eq(d.a[0].count, 512);
  drive_close(&d);
}

UNIT_TEST(single_short_tasks_fill_a_batch_too) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  teach(&d, h, 1, 1, 100 * US);
  for (uint64_t t = 10; t < 200; t++) submit(&d, SCHED_SHARED_OWNER, t, 1, 1);
  ck_assert_uint_eq(next(&d), 21);
  ck_assert_uint_eq(held(&d, h), 21);
  drive_close(&d);
}

UNIT_TEST(a_short_queue_is_not_all_sent_to_one) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  teach(&d, h, 1, 1, 10 * US);
  sched_daemon g = join(&d, 1);
  submit(&d, SCHED_SHARED_OWNER, 10, 100, 1);
  next(&d);
  ck_assert_uint_ge(held(&d, h), 25);
  ck_assert_uint_ge(held(&d, g), 25);
  drive_close(&d);
}

/* h has 1 running and 199 ahead of 10 us each; nothing is queued. */
static sched_daemon loaded(struct drive *d) {
  drive_open(d, NULL);
  sched_daemon h = join(d, 1);
  teach(d, h, 1, 1, 10 * US);
  submit(d, SCHED_SHARED_OWNER, 10, 200, 1);
  next(d);
  start(d, h, 10);
  ck_assert_uint_eq(sched_count(d->s).queued, 0);
  ck_assert_uint_eq(next(d), 0);
  return h;
}

UNIT_TEST(an_idle_daemon_is_given_half_of_anothers_backlog) {
  struct drive d;
  sched_daemon h = loaded(&d), g = join(&d, 1);
  next(&d);
  sched_action t = the(&d, SCHED_TAKE);
  ck_assert_uint_eq(t.daemon, h);
  ck_assert_uint_eq(t.count, 100);
  d.now += MS;
  ck_assert_uint_eq(next(&d), 0); /* one at a time */
  sched_returned(d.s, d.now, h, 110, 100, 1);
  sched_take_answered(d.s, d.now, h);
  next(&d);
  ck_assert_uint_eq(held(&d, h), 100);
  ck_assert_uint_gt(held(&d, g), 1);
  sched_action s = the(&d, SCHED_SEND);
  ck_assert_uint_eq(s.daemon, g);
  ck_assert_uint_eq(s.first, 110);
  ck_assert_uint_eq(s.attempt, 2);
  drive_close(&d);
}

UNIT_TEST(a_small_backlog_is_left_unless_it_stands_still) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  teach(&d, h, 1, 1, 10 * US);
  submit(&d, SCHED_SHARED_OWNER, 10, 6, 1);
  next(&d);
  start(&d, h, 10);
  join(&d, 1);
  ck_assert_uint_eq(next(&d), 0); /* 50 us of work */
  uint64_t deadline = sched_deadline(d.s);
  ck_assert_uint_le(deadline, d.now + 2 * MS);
  d.now = deadline;
  sched_tick(d.s, d.now);
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_TAKE).count, 5);
  drive_close(&d);
}

UNIT_TEST(a_take_in_vain_is_not_repeated_at_once) {
  struct drive d;
  sched_daemon h = loaded(&d);
  join(&d, 1);
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_TAKE), 1);
  sched_take_answered(d.s, d.now, h);
  ck_assert_uint_eq(next(&d), 0);
  ck_assert_uint_eq(sched_deadline(d.s), UINT64_MAX);
  ck_assert(finish(&d, h, 10, 10 * US));
  next(&d);
  ck_assert_uint_eq(count_of(&d, SCHED_TAKE), 1);
  drive_close(&d);
}

/* What was sent while a TAKE was on its way is not known to its answer. */
UNIT_TEST(a_take_in_vain_says_nothing_of_what_was_sent_since) {
  struct drive d;
  sched_daemon h = loaded(&d), g = join(&d, 1);
  next(&d);
  for (uint64_t t = 10; t < 209; t++) { /* all but the last end meanwhile */
    if (t > 10) start(&d, h, t);
    ck_assert(finish(&d, h, t, 10 * US));
  }
  start(&d, h, 209);
  submit(&d, SCHED_SHARED_OWNER, 500, 20, 1);
  next(&d);
  start(&d, g, 500);
  ck_assert_uint_gt(held(&d, h), 1);
  sched_take_answered(d.s, d.now, h);
  while (held(&d, g) > 0) {
    for (uint64_t t = 500; t < 520; t++) {
      if (sched_find(d.s, t).daemon != g) continue;
      start(&d, g, t);
      ck_assert(finish(&d, g, t, 10 * US));
    }
    next(&d);
  }
  d.now = sched_deadline(d.s);
  sched_tick(d.s, d.now);
  next(&d);
  ck_assert_uint_eq(the(&d, SCHED_TAKE).daemon, h);
  drive_close(&d);
}

/* While others work, tasks must not stay behind one that turns out to be long. */
UNIT_TEST(a_backlog_that_stands_still_goes_back_to_the_queue) {
  struct drive d;
  drive_open(&d, NULL);
  sched_daemon h = join(&d, 1);
  teach(&d, h, 1, 1, 100 * US);
  sched_daemon g = join(&d, 1);
  submit(&d, SCHED_SHARED_OWNER, 10, 1000, 1);
  next(&d);
  sched_action to_h = {0}, to_g = {0};
  for (size_t i = 0; i < d.n; i++) *(d.a[i].daemon == h ? &to_h : &to_g) = d.a[i];
  ck_assert_uint_eq(held(&d, h), 21);
  start(&d, h, 10);
  start(&d, h, 11);
  for (uint64_t limit = d.now + 100 * MS; count_of(&d, SCHED_TAKE) == 0;) {
    ck_assert_uint_lt(d.now, limit);
    d.now = sched_deadline(d.s);
    sched_tick(d.s, d.now);
    next(&d);
  }
  ck_assert_uint_gt(sched_count(d.s).queued, 0);
  (void)g;
  drive_close(&d);
}

UNIT_MAIN("sched_ahead")

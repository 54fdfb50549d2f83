/* Driving the scheduler a line at a time. */
#ifndef HATO_TESTS_SCHED_DRIVE_H
#define HATO_TESTS_SCHED_DRIVE_H

#include "sched/sched.h"
#include "unit.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

struct drive {
  sched *s;
  uint64_t now;
  sched_action a[4096]; /* of the last `next` */
  size_t n;
};

static inline void drive_check(struct drive *d) {
  const char *bad = sched_check(d->s);
  ck_assert_msg(bad == NULL, "%s", bad);
}

static inline void drive_open(struct drive *d, const sched_config *cfg) {
  *d = (struct drive){.s = sched_create(cfg), .now = MS};
  ck_assert_ptr_nonnull(d->s);
}

static inline void drive_close(struct drive *d) {
  drive_check(d);
  sched_destroy(d->s);
}

/* All that is to be done now. */
static inline size_t next(struct drive *d) {
  bool more = true;
  d->n = 0;
  while (more) {
    d->n += sched_next(d->s, d->now, d->a + d->n, 4096 - d->n, &more);
    ck_assert_uint_lt(d->n, 4095);
    drive_check(d);
  }
  return d->n;
}

static inline size_t count_of(const struct drive *d, sched_action_type type) {
  size_t n = 0;
  for (size_t i = 0; i < d->n; i++) n += d->a[i].type == type;
  return n;
}

/* The first action of a type; there must be one. */
static inline sched_action the(const struct drive *d, sched_action_type type) {
  for (size_t i = 0; i < d->n; i++)
    if (d->a[i].type == type) return d->a[i];
  ck_abort_msg("no action of type %d among %zu", (int)type, d->n);
}

static inline sched_daemon join(struct drive *d, uint32_t slots) {
  sched_daemon h;
  ck_assert_int_eq(sched_daemon_joined(d->s, d->now, slots, &h), HATO_OK);
  return h;
}

static inline sched_owner owner(struct drive *d) {
  sched_owner o;
  ck_assert_int_eq(sched_owner_open(d->s, &o), HATO_OK);
  return o;
}

/* data is the number of the range's first task */
static inline void submit(struct drive *d, sched_owner o, uint64_t first, uint32_t count, uint32_t spec) {
  sched_range r = {
      .first = first, .count = count, .owner = o, .spec = spec, .data = (void *)(uintptr_t)first};
  ck_assert_int_eq(sched_submit(d->s, d->now, &r), HATO_OK);
}

static inline void start(struct drive *d, sched_daemon h, uint64_t task) {
  sched_started(d->s, d->now, h, task, 1, sched_find(d->s, task).attempt);
}

static inline bool finish(struct drive *d, sched_daemon h, uint64_t task, uint64_t ns) {
  return sched_finished(d->s, d->now, h, task, sched_find(d->s, task).attempt, ns, NULL, NULL);
}

static inline sched_state state(struct drive *d, uint64_t task) { return sched_find(d->s, task).state; }

/* Teaches the scheduler how long tasks of a specification take, with a task of its own. */
static inline void teach(struct drive *d, sched_daemon h, uint64_t task, uint32_t spec, uint64_t ns) {
  submit(d, SCHED_SHARED_OWNER, task, 1, spec);
  next(d);
  start(d, h, task);
  ck_assert(finish(d, h, task, ns));
  next(d);
}

#endif

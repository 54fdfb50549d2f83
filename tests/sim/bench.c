/* What the scheduler costs for one task: driven with nothing else in the loop. */
#include "sim.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double clock_now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

typedef struct load {
  sched *s;
  uint64_t now;
  uint64_t done, sends;
  uint32_t burst; /* reports before the scheduler is asked again */
} load;

typedef struct run {
  uint64_t first;
  uint32_t count, attempt;
  sched_daemon daemon;
} run;

/* Daemons answer at once, in turns of `burst`, from a ring of what they were sent. */
static void drive(load *l) {
  enum { RING = 1 << 21 };
  run *ring = malloc(RING * sizeof *ring);
  sched_action out[1000];
  uint64_t head = 0, tail = 0;
  for (;;) {
    bool more = true;
    while (more) {
      size_t n = sched_next(l->s, l->now, out, 1000, &more);
      for (size_t i = 0; i < n; i++)
        if (out[i].type == SCHED_SEND) {
          l->sends++;
          ring[tail++ % RING] = (run){out[i].first, out[i].count, out[i].attempt, out[i].daemon};
        }
    }
    if (head == tail) break;
    for (uint32_t b = 0; b < l->burst && head < tail; b++) {
      run *r = &ring[head % RING];
      sched_started(l->s, l->now, r->daemon, r->first, 1, r->attempt);
      l->done += sched_finished(l->s, l->now, r->daemon, r->first, r->attempt, 400, NULL, NULL);
      l->now += 500;
      r->first++;
      if (--r->count == 0) head++;
    }
  }
  free(ring);
}

static void row(const char *name, int daemons, uint32_t slots, uint64_t tasks, uint32_t each,
                uint32_t burst) {
  load l = {.s = sched_create(NULL), .now = 1, .burst = burst};
  for (int i = 0; i < daemons; i++) {
    sched_daemon d;
    if (sched_daemon_joined(l.s, 1, slots, &d)) abort();
  }
  double start = clock_now();
  for (uint64_t t = 1; t <= tasks; t += each) {
    sched_range r = {.first = t, .count = each, .owner = SCHED_SHARED_OWNER, .spec = 1};
    if (sched_submit(l.s, 1, &r)) abort();
  }
  double submitted = clock_now();
  drive(&l);
  double end = clock_now();
  printf("%-44s %7.1f ns/task submit, %7.1f in all, %6.2f M tasks/s, %.1f tasks a SEND%s\n", name,
         (submitted - start) / (double)tasks, (end - start) / (double)tasks,
         (double)tasks * 1e3 / (end - start), (double)tasks / (double)l.sends,
         l.done == tasks ? "" : "  INCOMPLETE");
  sched_destroy(l.s);
}

static size_t used(void) {
  struct mallinfo2 m = mallinfo2();
  return m.uordblks + m.hblkhd;
}

static void memory(uint64_t ranges) {
  size_t before = used();
  sched *s = sched_create(NULL);
  for (uint64_t t = 1; t <= ranges; t++) {
    sched_range r = {.first = t, .count = 1, .owner = SCHED_SHARED_OWNER, .spec = 1};
    if (sched_submit(s, 1, &r)) abort();
  }
  printf("%-44s %7.1f bytes each\n", "queued ranges of 1", (double)(used() - before) / (double)ranges);
  sched_destroy(s);
}

int sim_bench(void) {
  row("one range of 10M, 1 daemon x 2, burst 64", 1, 2, 10000000, 10000000, 64);
  row("one range of 10M, 2 daemons x 1, burst 64", 2, 1, 10000000, 10000000, 64);
  row("one range of 10M, 2 daemons x 1, burst 1", 2, 1, 10000000, 10000000, 1);
  row("ranges of 1,000, 2 daemons x 1, burst 64", 2, 1, 10000000, 1000, 64);
  row("1M ranges of 1, 2 daemons x 1, burst 64", 2, 1, 1000000, 1, 64);
  row("1M ranges of 1, 1 daemon x 8, burst 1", 1, 8, 1000000, 1, 1);
  row("one range of 10M, 5,000 daemons x 1, burst 64", 5000, 1, 10000000, 10000000, 64);
  memory(1000000);
  return 0;
}

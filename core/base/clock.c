#include "base/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t id) {
  struct timespec t = {0};
  (void)clock_gettime(id, &t);
  return (uint64_t)t.tv_sec * HATO__SEC + (uint64_t)t.tv_nsec;
}

uint64_t hato__now(void) { return read_clock(CLOCK_MONOTONIC); }
uint64_t hato__wall_now(void) { return read_clock(CLOCK_REALTIME); }

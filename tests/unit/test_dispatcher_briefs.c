/* What is remembered of a detached submission's tasks, beside an array that says the same. */
#include "dispatcher/briefs.h"
#include "unit.h"

#include <stdlib.h>

static uint64_t dice(uint64_t *seed) {
  *seed = *seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  return *seed >> 20;
}

static bool same(const brief *a, const brief *b) {
  return a->resolved == b->resolved && a->collected == b->collected && a->forgotten == b->forgotten && a->error == b->error &&
         a->wait_status == b->wait_status && a->record.len == b->record.len;
}

/* What it says is right, and what it says to be alike is. */
static void agree(const briefs *b, const brief *model) {
  for (uint64_t i = 0, n; i < b->count; i += n) {
    brief at = dispatcher_briefs_at(b, i, &n);
    if (n == 0) ck_abort_msg("none is like itself");
    if (n > b->count - i) n = b->count - i;
    for (uint64_t k = 0; k < n; k++)
      if (!same(&at, &model[i + k])) ck_abort_msg("place %zu of %zu", (size_t)(i + k), (size_t)b->count);
  }
}

UNIT_TEST(it_agrees_with_an_array) {
  static const uint64_t counts[] = {1, 2, 255, 256, 257, 1000, 65536, 65537, 70000};
  uint64_t seed = 1;
  for (unsigned c = 0; c < sizeof counts / sizeof *counts; c++) {
    uint64_t count = counts[c];
    brief *model = calloc(count, sizeof *model);
    briefs b;
    dispatcher_briefs_init(&b, count);
    for (int i = 0; i < 40; i++) {
      uint64_t first = dice(&seed) % count, last = first + dice(&seed) % (count - first);
      if (dice(&seed) % 8 == 0) first = 0;
      if (dice(&seed) % 8 == 0) last = count - 1;
      if (i % 3 == 0) last = first + (last - first) % 10;
      if (i % 2) {
        brief like = {.resolved = true, .error = (uint16_t)dice(&seed), .forgotten = dice(&seed) & 1, .collected = dice(&seed) & 1};
        ck_assert(dispatcher_briefs_fill(&b, first, last, &like));
        for (uint64_t k = first; k <= last; k++) model[k] = like;
      } else {
        brief *own = dispatcher_briefs_own(&b, first);
        own->wait_status = model[first].wait_status = (uint32_t)dice(&seed);
        own->record.len = model[first].record.len = 7;
      }
      agree(&b, model);
    }
    dispatcher_briefs_free(&b);
    free(model);
  }
}

UNIT_TEST(a_brief_stays_where_it_is) {
  briefs b;
  dispatcher_briefs_init(&b, 100000);
  const brief *own = dispatcher_briefs_own(&b, 777);
  ck_assert(dispatcher_briefs_fill(&b, 0, 99999, &(brief){.resolved = true, .error = 20}));
  ck_assert_ptr_eq(dispatcher_briefs_own(&b, 777), own);
  ck_assert_uint_eq(own->error, 20);
  dispatcher_briefs_free(&b);
}

/* Billions cost what was done with them. */
UNIT_TEST(billions_cost_little) {
  const uint64_t count = UINT32_MAX;
  uint64_t n;
  briefs b;
  dispatcher_briefs_init(&b, count);
  ck_assert(!dispatcher_briefs_at(&b, count - 1, &n).resolved);
  ck_assert_uint_ge(n, 1);
  ck_assert(dispatcher_briefs_fill(&b, 0, count - 1, &(brief){.resolved = true, .error = 20}));
  ck_assert_uint_eq(b.root & 1, 1); /* one word for all */
  ck_assert_uint_eq(dispatcher_briefs_at(&b, 0, &n).error, 20);
  ck_assert_uint_ge(n, count);
  dispatcher_briefs_own(&b, 3000000000)->collected = true;
  ck_assert(dispatcher_briefs_fill(&b, 1000000001, 2000000002, &(brief){.resolved = true, .forgotten = true}));
  unsigned looks = 0;
  uint64_t forgotten = 0;
  for (uint64_t i = 0; i < count; i += n, looks++) {
    bool is = dispatcher_briefs_at(&b, i, &n).forgotten;
    if (n > count - i) n = count - i;
    forgotten += is ? n : 0;
  }
  ck_assert_uint_eq(forgotten, 1000000002);
  ck_assert_uint_lt(looks, 6000);
  dispatcher_briefs_free(&b);
}

UNIT_MAIN("dispatcher_briefs")

/* The ordered map beside a sorted array that does the same slowly. */
#include "sched/map.h"
#include "unit.h"

enum { KEYS = 3000 };

static uint64_t seed = 42;
static uint64_t rnd(void) { return seed = seed * 6364136223846793005u + 1442695040888963407u, seed >> 11; }

static uint64_t keys[KEYS];
static bool in[KEYS];

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

static void check_around(const s_map *m, uint64_t key) {
  uint64_t *floor = NULL, *at = NULL, *above = NULL;
  for (int i = 0; i < KEYS; i++) {
    if (!in[i]) continue;
    if (keys[i] <= key) floor = &keys[i];
    if (keys[i] == key) at = &keys[i];
    if (keys[i] >= key && !above) above = &keys[i];
  }
  ck_assert_ptr_eq(sched__map_get(m, key), at);
  ck_assert_ptr_eq(sched__map_floor(m, key), floor);
  ck_assert_ptr_eq(sched__map_next(m, key), above);
}

/* bits: how wide the keys are */
static void compare(unsigned bits) {
  s_map m;
  sched__map_init(&m);
  memset(in, 0, sizeof in);
  uint64_t mask = bits == 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1, count = 0;
  for (int i = 0; i < KEYS; i++) keys[i] = (rnd() << 40 ^ rnd() << 20 ^ rnd()) & mask;
  qsort(keys, KEYS, sizeof *keys, by_value);
  for (int i = 0; i < 20000; i++) {
    int k = (int)(rnd() % KEYS);
    if ((k > 0 && keys[k] == keys[k - 1])) continue;
    if (in[k])
      sched__map_del(&m, keys[k]);
    else
      ck_assert(sched__map_set(&m, keys[k], &keys[k]));
    in[k] = !in[k];
    count += in[k] ? 1 : (uint64_t)-1;
    ck_assert_uint_eq(m.count, count);
    if (i % 20 == 0) check_around(&m, i % 40 ? keys[rnd() % KEYS] : rnd() & mask);
  }
  for (int k = 0; k < KEYS; k++)
    if (in[k]) sched__map_del(&m, keys[k]);
  ck_assert_uint_eq(m.count, 0);
  ck_assert_ptr_null(m.root);
  sched__map_fini(&m);
}

UNIT_TEST(dense_keys) { compare(12); }
UNIT_TEST(sparse_keys) { compare(40); }
UNIT_TEST(keys_of_all_bits) { compare(64); }

UNIT_MAIN("sched_map")

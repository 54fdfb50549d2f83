/* The spool, driven by an input as a list of steps beside a model of it in memory: what an entry holds is read back
 * the same, at any offset and by whatever neighbours it was packed and freed with, and its limit holds.
 *
 * A step is three bytes: what, which entry, how much. */
#include "base/error.h"
#include "session/spool.h"
#include "fuzz/fuzz.h"

#include <sys/stat.h>
#include <unistd.h>

enum { ENTRIES = 8, MOST = 120 * 1024, STEPS = 100, LIMIT = 1 << 20 };

typedef struct entry {
  hato__spool_entry *open;
  bool ended;
  hato__spool_ref ref;
  uint8_t seed;
  size_t len;
} entry;

typedef struct model {
  hato__spool *sp;
  entry at[ENTRIES];
} model;

static uint8_t back[MOST], ramp[MOST + 256];

/* What the entry has from its i-th byte on. */
static const uint8_t *bytes_of(const entry *e, size_t i) { return ramp + e->seed + i; }

static size_t amount(uint8_t b) {
  return b < 128 ? b : b < 224 ? (size_t)(b - 127) * 300 : (size_t)(b - 223) * 3500;
}

static void compare(model *m, entry *e, uint8_t how) {
  hato_error err;
  size_t offset = how % 3 == 0 ? 0 : e->len * how / 255, got = 0;
  hato_status st = e->open != NULL ? hato__spool_peek(e->open, offset, back, MOST, &got, &err)
                                   : hato__spool_read(m->sp, e->ref, offset, back, MOST, &got, &err);
  require(st == HATO_OK && got == (e->len > offset ? e->len - offset : 0));
  require(got == 0 || memcmp(back, bytes_of(e, offset), got) == 0);
}

static void append(entry *e, size_t n) {
  hato_error err;
  if (e->len + n > MOST) return;
  hato_status st = hato__spool_write(e->open, bytes_of(e, e->len), n, &err);
  require(st == HATO_OK || st == HATO_NO_SPACE);
  if (st == HATO_OK) e->len += n;
  require(hato__spool_size(e->open) == e->len);
}

static void drop(model *m, entry *e) {
  if (e->open != NULL) hato__spool_abort(e->open);
  if (e->ended) hato__spool_free(m->sp, &e->ref);
  *e = (entry){0};
}

static void put(model *m, entry *e, uint8_t seed, size_t n) {
  hato_error err;
  drop(m, e);
  e->seed = seed;
  hato_status st = hato__spool_put(m->sp, bytes_of(e, 0), n, &e->ref, &err);
  require(st == HATO_OK || st == HATO_NO_SPACE);
  e->ended = st == HATO_OK;
  e->len = e->ended ? n : 0;
  if (!e->ended) *e = (entry){0};
}

static void end(entry *e) {
  hato_error err;
  hato_status st = hato__spool_end(e->open, &e->ref, &err);
  require(st == HATO_OK || st == HATO_NO_SPACE);
  e->open = NULL;
  e->ended = st == HATO_OK;
  if (e->ended) require(e->ref.len == e->len);
  if (!e->ended) *e = (entry){0};
}

static void step(model *m, const uint8_t *s) {
  entry *e = &m->at[s[1] % ENTRIES];
  hato_error err;
  switch (s[0] % 8) {
  case 0:
  case 1: put(m, e, s[2], amount(s[2])); break;
  case 2:
    drop(m, e);
    e->seed = s[2];
    require(hato__spool_begin(m->sp, &e->open, &err) == HATO_OK);
    break;
  case 3:
  case 4:
    if (e->open != NULL) append(e, amount(s[2]));
    break;
  case 5:
    if (e->open != NULL) end(e);
    break;
  case 6: drop(m, e); break;
  default:
    if (e->open != NULL || e->ended) compare(m, e, s[2]);
  }
  require(hato__spool_used(m->sp) <= hato__spool_limit(m->sp));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  model m = {0};
  hato_error err;
  for (size_t i = 0; ramp[2] == 0 && i < sizeof ramp; i++) ramp[i] = (uint8_t)(i + i / 251);
  const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  char name[40];
  (void)snprintf(name, sizeof name, "hato-fuzz-%d", (int)getpid());
  require(hato__spool_open(dir, name, LIMIT, &m.sp, &err) == HATO_OK);
  for (size_t i = 0; i + 3 <= size && i < 3 * STEPS; i += 3) step(&m, data + i);
  for (unsigned i = 0; i < ENTRIES; i++) {
    if (m.at[i].open != NULL || m.at[i].ended) compare(&m, &m.at[i], 0);
    drop(&m, &m.at[i]);
  }
  hato__spool_close(m.sp);
  return 0;
}

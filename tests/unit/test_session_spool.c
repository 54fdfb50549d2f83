/* The spool. */
#include "unit.h"

#include "session/blocks.h"
#include "session/spool.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define HAS(text, words) ck_assert_msg(strstr(text, words) != NULL, "'%s' lacks '%s'", text, words)
#define OK(call) ck_assert_msg((call) == HATO_OK, "%s", err.text)
#define KB UINT64_C(1024)

static char dir[64];

static hato__spool *fresh(uint64_t limit) {
  hato_error err;
  hato__spool *sp;
  (void)snprintf(dir, sizeof dir, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(dir));
  OK(hato__spool_open(dir, "default", limit, &sp, &err));
  return sp;
}

static void done(hato__spool *sp) {
  hato__spool_close(sp);
  ck_assert_int_eq(rmdir(dir), 0); /* the file went with it */
}

/* Byte i of entry seed. */
static uint8_t byte_of(uint64_t seed, uint64_t i) {
  return (uint8_t)((seed * 131 + i * 7 + (i >> 8) * 13) & 0xff);
}

static void fill(uint8_t *out, uint64_t seed, uint64_t from, size_t n) {
  for (size_t i = 0; i < n; i++) out[i] = byte_of(seed, from + i);
}

static void check(hato__spool *sp, hato__spool_ref ref, uint64_t seed, uint64_t len) {
  static __thread uint8_t got[70000];
  hato_error err;
  ck_assert(ref.len == len);
  for (uint64_t at = 0; at <= len;) {
    size_t n;
    OK(hato__spool_read(sp, ref, at, got, sizeof got, &n, &err));
    ck_assert(n == (len - at < sizeof got ? len - at : sizeof got));
    size_t same = 0; /* an assertion a byte would be slow */
    while (same < n && got[same] == byte_of(seed, at + same)) same++;
    ck_assert_msg(same == n, "byte %zu of entry %zu", (size_t)at + same, (size_t)seed);
    if (n == 0) break;
    at += n;
  }
}

static hato__spool_ref put(hato__spool *sp, uint64_t seed, size_t len, size_t piece) {
  hato_error err;
  hato__spool_entry *e;
  hato__spool_ref ref;
  uint8_t *data = malloc(piece);
  OK(hato__spool_begin(sp, &e, &err));
  for (size_t at = 0; at < len; at += piece) {
    size_t n = len - at < piece ? len - at : piece;
    fill(data, seed, at, n);
    OK(hato__spool_write(e, data, n, &err));
  }
  ck_assert(hato__spool_size(e) == len);
  OK(hato__spool_end(e, &ref, &err));
  free(data);
  return ref;
}

UNIT_TEST(entries_of_every_length_come_back) {
  static const size_t lens[] = {0, 1, 100, 16383, 16384, 16385, 65536, 65537, 200000, 3000000};
  static const size_t pieces[] = {1000, 16384, 100000, 4000000};
  hato__spool *sp = fresh(1 << 28);
  hato__spool_ref refs[40];
  size_t n = 0;
  for (size_t i = 0; i < 10; i++) {
    for (size_t k = 0; k < 4; k++, n++) refs[n] = put(sp, n, lens[i], pieces[k]);
  }
  for (size_t i = 0; i < n; i++) check(sp, refs[i], i, lens[i / 4]);
  for (size_t i = 0; i < n; i += 2) hato__spool_free(sp, &refs[i]);
  for (size_t i = 1; i < n; i += 2) check(sp, refs[i], i, lens[i / 4]);
  for (size_t i = 0; i < n; i++) hato__spool_free(sp, &refs[i]);
  ck_assert(hato__spool_used(sp) <= SPOOL_BLOCK); /* the block that is being packed */
  done(sp);
}

UNIT_TEST(small_entries_are_packed) {
  enum { N = 100000 };
  ck_assert_uint_le(sizeof(hato__spool_ref), 16);
  hato__spool *sp = fresh(1 << 28);
  hato_error err;
  hato__spool_ref *refs = calloc(N, sizeof *refs);
  uint8_t data[100];
  int failed = 0;
  for (size_t i = 0; i < N; i++) {
    fill(data, i, 0, sizeof data);
    failed += hato__spool_put(sp, data, sizeof data, &refs[i], &err) != HATO_OK;
  }
  ck_assert_int_eq(failed, 0);
  ck_assert(hato__spool_used(sp) <= 100 * N + SPOOL_BLOCK);
  for (size_t i = 0; i < N; i += 97) check(sp, refs[i], i, sizeof data);
  struct stat st;
  char path[128];
  (void)snprintf(path, sizeof path, "%s/default.spool", dir);
  ck_assert_int_eq(stat(path, &st), 0);
  ck_assert_uint_eq(st.st_mode & 07777, 0600);
  for (size_t i = 0; i < N - 10; i++) hato__spool_free(sp, &refs[i]);
  ck_assert(hato__spool_used(sp) <= 3 * SPOOL_BLOCK);
  for (size_t i = N - 10; i < N; i++) check(sp, refs[i], i, sizeof data);
  free(refs);
  done(sp);
}

static uint64_t on_disk(void) {
  struct stat st;
  char path[128];
  (void)snprintf(path, sizeof path, "%s/default.spool", dir);
  ck_assert_int_eq(stat(path, &st), 0);
  return (uint64_t)st.st_blocks * 512;
}

/* Many small ones, the last of them kept: holes. Then that too: the file's end. */
UNIT_TEST_LIMIT(the_disk_has_it_back, 30) {
  enum { N = 80, LEN = 1 << 20 };
  hato__spool *sp = fresh(1 << 28);
  hato_error err;
  hato__spool_ref refs[N];
  uint8_t *data = calloc(1, LEN);
  for (int i = 0; i < N; i++) OK(hato__spool_put(sp, data, LEN, &refs[i], &err));
  uint64_t full = on_disk();
  ck_assert(full >= (uint64_t)N * LEN);
  for (int i = 0; i < N - 1; i++) hato__spool_free(sp, &refs[i]);
  ck_assert(on_disk() <= full - 60 * KB * KB);
  size_t got;
  OK(hato__spool_read(sp, refs[N - 1], 5, data, LEN, &got, &err));
  ck_assert_uint_eq(got, LEN - 5);
  hato__spool_free(sp, &refs[N - 1]);
  ck_assert(on_disk() == 0 && hato__spool_used(sp) == 0);
  free(data);
  done(sp);
}

UNIT_TEST(writers_take_turns) {
  enum { W = 5, ROUNDS = 40 };
  hato__spool *sp = fresh(1 << 28);
  hato_error err;
  hato__spool_entry *e[W];
  hato__spool_ref refs[W];
  uint64_t len[W] = {0};
  static uint8_t data[50000];
  for (int w = 0; w < W; w++) OK(hato__spool_begin(sp, &e[w], &err));
  for (int r = 0; r < ROUNDS; r++) {
    for (int w = 0; w < W; w++) {
      size_t n = (size_t)(1 + (r * 7919 + w * 104729) % (int)sizeof data);
      fill(data, (uint64_t)w, len[w], n);
      OK(hato__spool_write(e[w], data, n, &err));
      len[w] += n;
    }
  }
  size_t got;
  OK(hato__spool_peek(e[2], len[2] - 10, data, 100, &got, &err));
  ck_assert_uint_eq(got, 10);
  for (size_t i = 0; i < got; i++) ck_assert_uint_eq(data[i], byte_of(2, len[2] - 10 + i));
  for (int w = 0; w < W; w++) OK(hato__spool_end(e[w], &refs[w], &err));
  for (int w = 0; w < W; w++) check(sp, refs[w], (uint64_t)w, len[w]);
  for (int w = 0; w < W; w++) hato__spool_free(sp, &refs[w]);
  ck_assert(hato__spool_used(sp) == 0);
  done(sp);
}

UNIT_TEST(a_full_spool_says_so_and_keeps_what_it_has) {
  hato__spool *sp = fresh(256 * KB);
  hato_error err;
  static uint8_t data[300000];
  ck_assert(hato__spool_limit(sp) == 256 * KB && hato__spool_has_room(sp, 256 * KB) &&
            !hato__spool_has_room(sp, 256 * KB + 1));
  hato__spool_ref a = put(sp, 1, 100000, 1000);
  hato__spool_entry *e;
  OK(hato__spool_begin(sp, &e, &err));
  fill(data, 2, 0, 30000);
  OK(hato__spool_write(e, data, 30000, &err));
  uint64_t used = hato__spool_used(sp);
  ck_assert_int_eq(hato__spool_write(e, data, sizeof data, &err), HATO_NO_SPACE);
  HAS(err.text, dir);
  HAS(err.text, "its limit is 256 KB");
  ck_assert(hato__spool_size(e) == 30000 && hato__spool_used(sp) <= used);
  fill(data, 2, 30000, 5000);
  OK(hato__spool_write(e, data, 5000, &err)); /* what fits still does */
  hato__spool_ref b, c, d;
  OK(hato__spool_end(e, &b, &err));
  check(sp, b, 2, 35000);
  check(sp, a, 1, 100000);
  /* An entry that outgrows memory with nothing left keeps what it had. */
  OK(hato__spool_begin(sp, &e, &err));
  fill(data, 3, 0, 10000);
  OK(hato__spool_write(e, data, 10000, &err));
  ck_assert_int_eq(hato__spool_write(e, data, sizeof data, &err), HATO_NO_SPACE);
  ck_assert(hato__spool_size(e) == 10000);
  OK(hato__spool_end(e, &c, &err));
  check(sp, c, 3, 10000);
  hato_status rc = HATO_OK;
  int n = 0;
  for (; rc == HATO_OK; n++) rc = hato__spool_put(sp, data, 1000, &d, &err);
  ck_assert_int_eq(rc, HATO_NO_SPACE);
  ck_assert(d.at == 0 && d.len == 0);
  ck_assert_int_ge(n, 50);
  hato__spool_free(sp, &a);
  OK(hato__spool_put(sp, data, 1000, &d, &err)); /* room again */
  OK(hato__spool_begin(sp, &e, &err));
  OK(hato__spool_write(e, data, 60000, &err));
  used = hato__spool_used(sp);
  hato__spool_abort(e);
  ck_assert(hato__spool_used(sp) < used);
  hato__spool_abort(NULL);
  check(sp, c, 3, 10000);
  done(sp);
}

UNIT_TEST(a_place_that_cannot_be) {
  hato_error err;
  hato__spool *sp;
  ck_assert_int_eq(hato__spool_open("/nowhere", "x", 1 << 20, &sp, &err), HATO_NOT_FOUND);
  ck_assert_ptr_null(sp);
  HAS(err.text, "/nowhere/x.spool");
  hato__spool_close(NULL);
}

/* A disk that is really full: a tmpfs of our own, which needs root. */
UNIT_TEST(a_full_disk_is_told_from_the_limit) {
  hato__spool *sp = fresh(1 << 20);
  hato_error err;
  hato__spool_close(sp);
  if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
      mount("hato", dir, "tmpfs", 0, "size=256k") < 0) {
    rmdir(dir);
    return;
  }
  OK(hato__spool_open(dir, "default", 1 << 30, &sp, &err));
  static uint8_t data[1 << 20];
  hato__spool_ref a = put(sp, 1, 50000, 10000), b;
  hato__spool_entry *e;
  OK(hato__spool_begin(sp, &e, &err));
  ck_assert_int_eq(hato__spool_write(e, data, sizeof data, &err), HATO_NO_SPACE);
  HAS(err.text, "the disk is full");
  HAS(err.text, dir);
  hato__spool_abort(e);
  hato_status rc = HATO_OK;
  int n = 0;
  for (; rc == HATO_OK; n++) rc = hato__spool_put(sp, data, 4000, &b, &err);
  ck_assert_int_eq(rc, HATO_NO_SPACE);
  HAS(err.text, "the disk is full");
  ck_assert_int_ge(n, 40);
  check(sp, a, 1, 50000);
  hato__spool_free(sp, &a);
  a = put(sp, 2, 40000, 10000);
  check(sp, a, 2, 40000);
  hato__spool_close(sp);
  umount(dir);
  rmdir(dir);
}

struct worker {
  hato__spool *sp;
  uint64_t seed;
};

static void *work(void *arg) {
  struct worker *w = arg;
  enum { KEPT = 16 };
  hato__spool_ref kept[KEPT] = {0};
  uint64_t seeds[KEPT] = {0}, lens[KEPT] = {0}, x = w->seed;
  for (int i = 0; i < 300; i++) {
    x = x * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    size_t k = (x >> 33) % KEPT, len = (x >> 40) % ((i % 10) ? 3000 : 200000);
    if (kept[k].len > 0) check(w->sp, kept[k], seeds[k], lens[k]);
    hato__spool_free(w->sp, &kept[k]);
    seeds[k] = x;
    lens[k] = len;
    kept[k] = put(w->sp, x, len, 30000);
  }
  for (int k = 0; k < KEPT; k++) {
    check(w->sp, kept[k], seeds[k], lens[k]);
    hato__spool_free(w->sp, &kept[k]);
  }
  return NULL;
}

UNIT_TEST_LIMIT(threads_share_it, 30) {
  hato__spool *sp = fresh(1 << 26);
  pthread_t t[4];
  struct worker w[4];
  for (uint64_t i = 0; i < 4; i++) {
    w[i] = (struct worker){.sp = sp, .seed = i + 1};
    ck_assert_int_eq(pthread_create(&t[i], NULL, work, &w[i]), 0);
  }
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  ck_assert(hato__spool_used(sp) <= SPOOL_BLOCK);
  done(sp);
}

UNIT_MAIN("session_spool")

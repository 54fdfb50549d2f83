/* Buffers, readers and blobs. */
#include "unit.h"

#include "base/blob.h"
#include "base/buf.h"
#include "base/env.h"

#include <dirent.h>
#include <unistd.h>

/* Whether any of the bytes there is not zero. */
static bool has_anything(const uint8_t *at, size_t n) {
  for (size_t i = 0; i < n; i++)
    if (at[i] != 0) return true;
  return false;
}

UNIT_TEST(a_secret_buffer_keeps_nothing_that_went) {
  hato__buf b = {.secret = true};
  for (int i = 0; i < 5000; i++) hato__buf_u8(&b, 's');
  ck_assert(!b.failed);
  ck_assert_uint_eq(b.len, 5000);
  for (size_t i = 0; i < b.len; i++) ck_assert_uint_eq(b.data[i], 's');
  hato__buf_consume(&b, 4000);
  ck_assert_uint_eq(b.len, 1000);
  ck_assert(!has_anything(b.data + 1000, b.cap - 1000));
  hato__buf_consume(&b, 1000);
  ck_assert(!has_anything(b.data, b.cap));
  hato__buf_append(&b, "secret", 6);
  hato__buf_clear(&b);
  ck_assert(!has_anything(b.data, b.cap));
  hato__buf_free(&b);
  ck_assert_ptr_null(b.data);
  ck_assert(b.secret);
}

UNIT_TEST(a_wiped_variable_is_gone_from_where_it_stood) {
  char given[] = "HATO_TEST_SECRET=abc", twice[] = "HATO_TEST_SECRET=again", longer[] = "HATO_TEST_SECRETS=kept";
  char *mine[] = {given, longer, twice, NULL}, **before = environ;
  environ = mine;
  hato__env_wipe("HATO_TEST_SECRET");
  ck_assert_ptr_null(getenv("HATO_TEST_SECRET"));
  ck_assert_str_eq(getenv("HATO_TEST_SECRETS"), "kept");
  ck_assert(!has_anything((const uint8_t *)given + 17, 4));
  ck_assert(!has_anything((const uint8_t *)twice + 17, 6));
  environ = before;
  hato__env_wipe("HATO_TEST_SECRET"); /* that is not there */
}

UNIT_TEST(integers_are_little_endian) {
  hato__buf b = {0};
  hato__buf_u8(&b, 0x01);
  hato__buf_u16(&b, 0x0302);
  hato__buf_u32(&b, 0x07060504);
  hato__buf_u64(&b, UINT64_C(0x0f0e0d0c0b0a0908));
  ck_assert_uint_eq(b.len, 15);
  for (size_t i = 0; i < b.len; i++) ck_assert_uint_eq(b.data[i], i + 1);
  hato__reader r = hato__reader_of(b.data, b.len);
  ck_assert_uint_eq(hato__read_u8(&r), 0x01);
  ck_assert_uint_eq(hato__read_u16(&r), 0x0302);
  ck_assert_uint_eq(hato__read_u32(&r), 0x07060504);
  ck_assert(hato__read_u64(&r) == UINT64_C(0x0f0e0d0c0b0a0908));
  ck_assert(!r.failed);
  ck_assert_uint_eq(hato__reader_left(&r), 0);
  ck_assert_uint_eq(hato__read_u8(&r), 0);
  ck_assert(r.failed);
  hato__buf_free(&b);
}

UNIT_TEST(reading_never_passes_the_end) {
  hato__buf b = {0};
  hato__buf_bytes(&b, "abc", 3);
  hato__buf_str(&b, NULL);
  for (size_t cut = 0; cut < b.len; cut++) {
    uint32_t n, m;
    hato__reader r = hato__reader_of(b.data, cut);
    const uint8_t *first = hato__read_bytes(&r, &n);
    const uint8_t *second = hato__read_bytes(&r, &m);
    ck_assert(r.failed);
    ck_assert(cut >= 7 ? first != NULL && n == 3 : first == NULL && n == 0);
    ck_assert(second == NULL && m == 0);
  }
  hato__reader whole = hato__reader_of(b.data, b.len);
  uint32_t n;
  ck_assert_mem_eq(hato__read_bytes(&whole, &n), "abc", 3);
  ck_assert(hato__read_bytes(&whole, &n) != NULL && n == 0);
  ck_assert(!whole.failed);
  hato__buf_free(&b);
}

UNIT_TEST(strings_have_no_nul_and_a_limit) {
  hato__buf b = {0};
  hato__buf_bytes(&b, "a\0b", 3);
  hato__reader r = hato__reader_of(b.data, b.len);
  uint32_t n = 9;
  ck_assert_ptr_null(hato__read_str(&r, 10, &n));
  ck_assert(r.failed && n == 0);
  hato__buf_clear(&b);
  hato__buf_str(&b, "abcd");
  r = hato__reader_of(b.data, b.len);
  ck_assert_ptr_null(hato__read_str(&r, 3, &n));
  r = hato__reader_of(b.data, b.len);
  ck_assert_mem_eq(hato__read_str(&r, 4, &n), "abcd", 4);
  ck_assert_uint_eq(n, 4);
  hato__buf_free(&b);
}

UNIT_TEST(nothing_is_a_reader_too) {
  hato__reader r = hato__reader_of(NULL, 0);
  ck_assert(!r.failed);
  ck_assert_uint_eq(hato__reader_left(&r), 0);
  ck_assert_ptr_nonnull(hato__read_raw(&r, 0));
  r = hato__reader_of(NULL, 3);
  (void)hato__read_u8(&r);
  ck_assert(r.failed);
}

UNIT_TEST(a_buffer_grows_and_is_consumed) {
  hato__buf b = {0};
  for (uint32_t i = 0; i < 10000; i++) hato__buf_u32(&b, i);
  ck_assert_uint_eq(b.len, 40000);
  hato__buf_consume(&b, 4 * 9999);
  ck_assert_uint_eq(b.len, 4);
  hato__reader r = hato__reader_of(b.data, b.len);
  ck_assert_uint_eq(hato__read_u32(&r), 9999);
  hato__buf_consume(&b, 100);
  ck_assert_uint_eq(b.len, 0);
  hato__buf_printf(&b, "%s-%d", "x", 7);
  ck_assert_str_eq(hato__buf_text(&b), "x-7");
  ck_assert_uint_eq(b.len, 3);
  char long_text[500];
  memset(long_text, 'y', sizeof long_text - 1);
  long_text[sizeof long_text - 1] = 0;
  hato__buf_printf(&b, "%s", long_text);
  ck_assert_uint_eq(b.len, 3 + 499);
  ck_assert_str_eq(hato__buf_text(&b) + 3, long_text);
  hato__buf_free(&b);
  ck_assert_ptr_null(b.data);
}

UNIT_TEST(a_failed_buffer_stays_failed_until_cleared) {
  hato__buf b = {0};
  hato__buf_u8(&b, 1);
  ck_assert(!hato__buf_reserve(&b, SIZE_MAX));
  hato__buf_u8(&b, 2);
  ck_assert(b.failed);
  ck_assert_uint_eq(b.len, 1);
  ck_assert_ptr_null(hato__buf_grow(&b, 1));
  ck_assert_ptr_null(hato__buf_text(&b));
  hato__buf_clear(&b);
  hato__buf_u8(&b, 3);
  ck_assert(!b.failed && b.len == 1 && b.data[0] == 3);
  hato__buf_free(&b);
}

static size_t files_in(const char *dir) {
  size_t n = 0;
  DIR *d = opendir(dir);
  for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) n += e->d_name[0] != '.';
  if (d != NULL) closedir(d);
  return n;
}

UNIT_TEST(a_blob_moves_to_a_file_past_its_threshold) {
  char dir[] = "/tmp/hato-test-XXXXXX";
  ck_assert_ptr_nonnull(mkdtemp(dir));
  hato_error err;
  hato__blob *b = hato__blob_create(dir, 1000);
  ck_assert_ptr_nonnull(hato__blob_data(b, &err));
  uint8_t piece[300];
  for (int i = 0; i < 10; i++) {
    memset(piece, i, sizeof piece);
    ck_assert_int_eq(hato__blob_append(b, piece, sizeof piece, &err), HATO_OK);
    const uint8_t *all = hato__blob_data(b, &err);
    ck_assert_ptr_nonnull(all);
    for (int k = 0; k <= i; k++) ck_assert(all[300 * k] == k && all[300 * k + 299] == k);
  }
  ck_assert(hato__blob_size(b) == 3000);
  ck_assert_uint_eq(files_in(dir), 0); /* it has no name */
  hato__blob_destroy(b);
  hato__blob_destroy(NULL);
  ck_assert_int_eq(rmdir(dir), 0);
}

static void fill_blob(hato__blob *b, size_t pieces, size_t *at) {
  hato_error err;
  static uint8_t piece[65536];
  for (size_t i = 0; i < pieces; i++, *at += sizeof piece) {
    memset(piece, (int)(*at / sizeof piece), sizeof piece);
    if (i % 2 == 0) {
      ck_assert_int_eq(hato__blob_append(b, piece, sizeof piece, &err), HATO_OK);
      continue;
    }
    uint8_t *room = hato__blob_room(b, sizeof piece);
    if (room == NULL) {
      ck_assert_int_eq(hato__blob_append(b, piece, sizeof piece, &err), HATO_OK);
    } else {
      memcpy(room, piece, sizeof piece);
      hato__blob_filled(b, sizeof piece);
    }
  }
}

static void check_blob(hato__blob *b, size_t n) {
  hato_error err;
  ck_assert(hato__blob_size(b) == n);
  const uint8_t *all = hato__blob_data(b, &err);
  ck_assert_ptr_nonnull(all);
  for (size_t i = 0; i < n; i += 65536) {
    uint8_t want = (uint8_t)(i >> 16);
    ck_assert(all[i] == want && all[i + 65535] == want);
  }
}

UNIT_TEST(a_large_blob_stays_where_it_is_until_it_goes_to_its_file) {
  hato_error err;
  for (int expected = 0; expected < 2; expected++) {
    hato__blob *b = hato__blob_create(NULL, 16u << 20);
    size_t n = 0;
    if (expected) ck_assert_int_eq(hato__blob_expect(b, 12u << 20, &err), HATO_OK);
    fill_blob(b, 96, &n); /* 6 MiB */
    check_blob(b, n);
    const uint8_t *at = hato__blob_data(b, &err);
    ck_assert_ptr_nonnull(hato__blob_room(b, 1));
    ck_assert_int_eq(hato__blob_patch(b, 0, "\0", 1, &err), HATO_OK);
    fill_blob(b, 160, &n); /* to the last byte in memory */
    check_blob(b, n);
    ck_assert_ptr_eq(hato__blob_data(b, &err), at);
    ck_assert_ptr_null(hato__blob_room(b, 1));
    fill_blob(b, 16, &n);
    check_blob(b, n);
    hato__blob_destroy(b);
  }
}

UNIT_TEST(a_blob_says_early_that_there_is_no_room) {
  hato_error err;
  hato__blob *b = hato__blob_create("/dev/shm", 1000);
  ck_assert_int_eq(hato__blob_expect(b, 500, &err), HATO_OK);
  ck_assert_int_eq(hato__blob_append(b, "abc", 3, &err), HATO_OK);
  hato_status rc = hato__blob_expect(b, UINT64_C(1) << 50, &err);
  ck_assert_int_ne(rc, HATO_OK);
  ck_assert_ptr_nonnull(strstr(err.text, "/dev/shm"));
  ck_assert_mem_eq(hato__blob_data(b, &err), "abc", 3);
  hato__blob_destroy(b);
  b = hato__blob_create("/nowhere", 2);
  ck_assert_int_eq(hato__blob_append(b, "abc", 3, &err), HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(err.text, "/nowhere"));
  hato__blob_destroy(b);
}

UNIT_MAIN("base_buf")

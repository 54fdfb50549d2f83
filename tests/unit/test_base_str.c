/* Strings, numbers, quoting, names that are near, ranges, errors, log. */
#include "unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/str.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

UNIT_TEST(sizes) {
  static const struct {
    const char *text;
    uint64_t want;
  } good[] = {{"0", 0},
              {"10", 10},
              {"4K", 4096},
              {"4k", 4096},
              {"1.5M", 1572864},
              {"2G", 2147483648},
              {"2GiB", 2147483648},
              {"1GB", 1073741824},
              {"12B", 12},
              {"15E", UINT64_C(15) << 60},
              {".5K", 512}};
  static const char *const bad[] = {"",    " 1",  "1 ",  "-1",    "K",   "1Q",
                                    "1.5", "1KK", "16E", "1..5K", "1.K", "99999999999999999999"};
  uint64_t v;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    ck_assert_msg(hato__parse_size(good[i].text, &v) && v == good[i].want, "%s", good[i].text);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ck_assert_msg(!hato__parse_size(bad[i], &v), "%s", bad[i]);
}

UNIT_TEST(durations) {
  static const struct {
    const char *text;
    uint64_t want;
  } good[] = {{"0", 0},
              {"10", 10 * HATO__SEC},
              {"1.5", 1500 * HATO__MS},
              {"200ms", 200 * HATO__MS},
              {"0.5us", 500},
              {"7ns", 7},
              {"30s", 30 * HATO__SEC},
              {"5m", 300 * HATO__SEC},
              {"5min", 300 * HATO__SEC},
              {"2h", 7200 * HATO__SEC},
              {"1d", 86400 * HATO__SEC},
              {"1h30m", 5400 * HATO__SEC},
              {"1:30:00", 5400 * HATO__SEC},
              {"90:00", 5400 * HATO__SEC},
              {"0:01.5", 1500 * HATO__MS},
              {"1-00:00:01", 86401 * HATO__SEC}};
  static const char *const bad[] = {
      "",        "s",   "1x",     "-1",      "1h30", "1:60",         "1:",   ":1",
      "1:2:3:4", "1 s", "1.5:00", "1-00:00", "1e3",  "99999999999d", "1::2", "600000000000"};
  uint64_t v;
  for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
    ck_assert_msg(hato__parse_duration(good[i].text, &v) && v == good[i].want, "%s", good[i].text);
  }
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    ck_assert_msg(!hato__parse_duration(bad[i], &v), "%s", bad[i]);
}

UNIT_TEST(whole_numbers) {
  uint64_t u;
  int64_t i;
  ck_assert(hato__parse_u64("18446744073709551615", &u) && u == UINT64_MAX);
  ck_assert(!hato__parse_u64("18446744073709551616", &u));
  ck_assert(!hato__parse_u64("+1", &u) && !hato__parse_u64("", &u) && !hato__parse_u64("1a", &u));
  ck_assert(hato__parse_i64("-9223372036854775808", &i) && i == INT64_MIN);
  ck_assert(hato__parse_i64("9223372036854775807", &i) && i == INT64_MAX);
  ck_assert(!hato__parse_i64("9223372036854775808", &i) && !hato__parse_i64("-9223372036854775809", &i));
  ck_assert(hato__parse_i64("+5", &i) && i == 5);
  ck_assert(!hato__parse_i64("--5", &i) && !hato__parse_i64("-", &i));
}

/* What a shell makes of a quoted word is the word. */
UNIT_TEST(the_shell_reads_back_what_was_quoted) {
  static const char *const words[] = {"plain", "a b",   "",     "it's", "$HOME `x` \"y\" \\",
                                      "*?[a]", "~",     "a\nb", "-n",   "é",
                                      "#",     "a=b;c", "!x",   "''"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    hato__buf cmd = {0};
    hato__buf_printf(&cmd, "printf %%s ");
    hato__sh_quote(&cmd, words[i], strlen(words[i]));
    hato__buf_printf(&cmd, "; printf .");
    FILE *p = popen(hato__buf_text(&cmd), "r");
    char got[64] = "";
    size_t n = fread(got, 1, sizeof got - 1, p);
    pclose(p);
    ck_assert_uint_ge(n, 1);
    got[n - 1] = 0;
    ck_assert_str_eq(got, words[i]);
    hato__buf_free(&cmd);
  }
  ck_assert(hato__sh_special("a b") && hato__sh_special("x|y") && hato__sh_special("$x"));
  ck_assert(!hato__sh_special("/bin/true") && !hato__sh_special("a=b"));
}

UNIT_TEST(the_nearest_name) {
  static const char *const names[] = {"slots", "session", "status", "submit", "cancel", "n", NULL};
  ck_assert_str_eq(hato__nearest("slot", names), "slots");
  ck_assert_str_eq(hato__nearest("sltos", names), "slots");
  ck_assert_str_eq(hato__nearest("sess", names), "session");
  ck_assert_str_eq(hato__nearest("cancle", names), "cancel");
  ck_assert_str_eq(hato__nearest("stats", names), "status");
  ck_assert_ptr_null(hato__nearest("frobnicate", names));
  ck_assert_ptr_null(hato__nearest("", names));
  ck_assert_ptr_null(hato__nearest("x", names));
  char huge[1000];
  memset(huge, 'a', sizeof huge - 1);
  huge[sizeof huge - 1] = 0;
  ck_assert_ptr_null(hato__nearest(huge, names));
}

UNIT_TEST(base64) {
  static const char *const wants[] = {"", "/w==", "/wA=", "/wBh", "/wBhPg==", "/wBhPj8=", "/wBhPj96"};
  char text[16];
  for (size_t n = 0; n < 7; n++) {
    hato__base64(text, "\xff\0a>?z", n);
    ck_assert_str_eq(text, wants[n]);
  }
}

UNIT_TEST(hexadecimal) {
  char hex[9];
  uint8_t back[4];
  hato__hex(hex, "\x00\x7f\xff\x10", 4);
  ck_assert_str_eq(hex, "007fff10");
  ck_assert(hato__unhex(back, 4, "007FfF10") && memcmp(back, "\x00\x7f\xff\x10", 4) == 0);
  ck_assert(!hato__unhex(back, 4, "007fff1") && !hato__unhex(back, 4, "007fff100") &&
            !hato__unhex(back, 4, "007fff1g"));
}

UNIT_TEST(ranges_of_tasks) {
  hato__range *r = NULL;
  size_t n = 0;
  hato_error err;
  ck_assert_int_eq(hato__ranges_parse("3", &r, &n, &err), HATO_OK);
  ck_assert_int_eq(hato__ranges_parse("1-10,7,18446744073709551615", &r, &n, &err), HATO_OK);
  ck_assert_uint_eq(n, 4);
  ck_assert(r[0].first == 3 && r[0].last == 3 && r[1].first == 1 && r[1].last == 10);
  ck_assert(r[3].last == UINT64_MAX);
  static const char *const bad[] = {
      "", ",", "1,", "a", "1-", "-1", "5-3", "1 2", "1--2", "18446744073709551616", "1-2-3"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ck_assert_msg(hato__ranges_parse(bad[i], &r, &n, &err) == HATO_INVALID, "%s", bad[i]);
    ck_assert_uint_eq(n, 4);
    ck_assert_ptr_nonnull(strstr(err.text, bad[i]));
  }
  free(r);
}

UNIT_TEST(errors_have_words) {
  hato_error err;
  ck_assert_str_eq(hato_strerror(HATO_RESET), "connection reset");
  ck_assert_str_eq(hato_strerror(-5), "unknown error");
  errno = ENOSPC;
  ck_assert_int_eq(hato__fail_errno(&err, "cannot write %s", "x"), HATO_NO_SPACE);
  ck_assert_int_eq(errno, ENOSPC);
  ck_assert_str_eq(err.text, "cannot write x: No space left on device");
  ck_assert_int_eq(err.status, HATO_NO_SPACE);
  char longer[2000];
  memset(longer, 'z', sizeof longer - 1);
  longer[sizeof longer - 1] = 0;
  errno = ENOENT;
  (void)hato__fail_errno(&err, "%s", longer);
  ck_assert_ptr_nonnull(strstr(err.text, ": No such file or directory")); /* the reason survives */
  ck_assert_int_eq(hato__fail(&err, HATO_INVALID, "again: %s", err.text), HATO_INVALID); /* its own text */
  ck_assert_int_eq(hato__fail(NULL, HATO_BUSY, "nobody"), HATO_BUSY);
  hato__error_clear(&err);
  ck_assert(err.status == HATO_OK && err.text[0] == 0);
}

UNIT_TEST(the_log_writes_one_line_a_message) {
  int fds[2];
  ck_assert_int_eq(pipe(fds), 0);
  hato__log log = {.level = HATO__LOG_INFO, .write = hato__log_to_fd, .arg = &fds[1]};
  hato__warn(&log, "PEER-REFUSED", "it said %s", "two\nlines");
  hato__debug(&log, "NOT-SHOWN", "x");
  hato__error(NULL, "NOWHERE", "x");
  close(fds[1]);
  char got[256] = "";
  ssize_t n = read(fds[0], got, sizeof got - 1);
  ck_assert_int_gt(n, 30);
  ck_assert_str_eq(strchr(got, 'Z'), "Z warn PEER-REFUSED it said two lines\n");
  ck_assert_uint_eq(strchr(got, 'Z') - got, strlen("2026-11-21T10:00:00.123"));
  hato__log_level level;
  ck_assert(hato__log_level_parse("debug", &level) && level == HATO__LOG_DEBUG);
  ck_assert(!hato__log_level_parse("loud", &level));
}

UNIT_MAIN("base_str")

/* What the launcher `command` reads: numbers, words, ids, records. */
#include "unit.h"

#include "launchers/modules/command.h"

static void note(void *arg, uint32_t member) {
  char *at = (char *)arg + strlen(arg);
  (void)sprintf(at, "%u ", member);
}

static const char *numbers(const char *text, uint32_t first, uint32_t count) {
  static char out[1000];
  out[0] = 0;
  return hato__command_numbers((command_text){text, strlen(text)}, first, count, note, out) ? out : NULL;
}

UNIT_TEST(numbers_of_members) {
  ck_assert_str_eq(numbers("1", 1, 3), "0 ");
  ck_assert_str_eq(numbers("0", 0, 3), "0 ");
  ck_assert_str_eq(numbers("2-6:2,9", 1, 20), "1 3 5 8 ");
  ck_assert_str_eq(numbers("1-1000000000", 1, 3), "0 1 2 ");
  ck_assert_str_eq(numbers("1-9:3", 2, 9), "2 5 "); /* 1, 4, 7: what is below the first is no member */
  ck_assert_str_eq(numbers("1-4%2", 1, 9), "0 1 2 3 ");
  ck_assert_str_eq(numbers("7,0", 1, 3), "");
  static const char *const wrong[] = {"",    "x",     "1-",  "1,",    "-1",
                                      "1:0", "1-3:0", "1 2", "1-2-3", "99999999999"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    ck_assert_msg(numbers(wrong[i], 1, 3) == NULL, "%s", wrong[i]);
}

UNIT_TEST(words_of_states) {
  ck_assert(hato__command_in("a, b* ,[xy]z", "bcd"));
  ck_assert(hato__command_in("a,b*,[xy]z", "yz"));
  ck_assert(!hato__command_in("a,b*,[xy]z", "ab"));
  ck_assert(!hato__command_in("", ""));
  ck_assert(!hato__command_in(NULL, "a"));
}

static const char *ids(const char *expression, const char *text, uint32_t max) {
  static char out[300];
  char copy[300];
  const char *found[8];
  (void)snprintf(copy, sizeof copy, "%s", text);
  uint32_t n = hato__command_ids(expression, copy, found, max);
  (void)snprintf(out, sizeof out, "%u", n);
  for (uint32_t i = 0; i < n && i < max; i++) (void)sprintf(out + strlen(out), " %s", found[i]);
  return out;
}

UNIT_TEST(ids_in_outputs) {
  ck_assert_str_eq(ids(NULL, "\n  12.pbs and more\n13\n", 8), "1 12.pbs");
  ck_assert_str_eq(ids(NULL, "", 8), "0");
  ck_assert_str_eq(ids("<([0-9]+)>", "Job <5> is submitted to queue <n>.\r\nJob <6>", 8), "2 5 6");
  ck_assert_str_eq(ids("JOB_ID=.*", "x\nJOB_ID=4", 8), "1 JOB_ID=4");
  ck_assert_str_eq(ids("[0-9]", "1\n2\n3\n", 2), "3 1 2");
  ck_assert_str_eq(ids("^()", "1\n", 2), "0");
  ck_assert_str_eq(ids("(a b)", "a b\n", 2), "0"); /* no id has a blank */
  ck_assert_str_eq(ids("(", "a b\n", 2), "0");
}

static void there_and_back(const char *packed, const char *const *list, uint32_t n) {
  char text[HATO_RECORD_MAX];
  char *back[8];
  ck_assert(hato__command_pack(list, n, text, sizeof text));
  ck_assert_str_eq(text, packed);
  ck_assert_uint_eq(hato__command_unpack(text, back, 8), n);
  for (uint32_t i = 0; i < n; i++) {
    ck_assert_str_eq(back[i], list[i]);
    free(back[i]);
  }
}

UNIT_TEST(records) {
  there_and_back("2", (const char *const[]){"2"}, 1);
  there_and_back("98..101 7", (const char *const[]){"98", "99", "100", "101", "7"}, 5);
  there_and_back("09 10 12.a f..g", (const char *const[]){"09", "10", "12.a", "f..g"}, 4);
  there_and_back("999999999999999999 1000000000000000000",
                 (const char *const[]){"999999999999999999", "1000000000000000000"}, 2);
  char text[20], *back[8];
  ck_assert(!hato__command_pack((const char *const[]){"abcdefghijk", "abcdefghijk"}, 2, text, sizeof text));
  static const char *const wrong[] = {
      "", "1..9", "5..4", "3..3", "1 2 3 4 5 6 7 8 9", "1..18446744073709551617", "\001"};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
    uint32_t n = hato__command_unpack(wrong[i], back, 8);
    for (uint32_t k = 0; k < n; k++) free(back[k]);
    ck_assert_msg(n == 0 || i == 5, "%s", wrong[i]);
  }
}

UNIT_TEST(a_thousand_ids_in_a_row_fit_a_record) {
  enum { N = 1000 };
  char text[N][12], packed[HATO_RECORD_MAX];
  const char *list[N];
  char *back[N];
  for (int i = 0; i < N; i++) {
    (void)snprintf(text[i], sizeof text[i], "%d", 99500 + i);
    list[i] = text[i];
  }
  ck_assert(hato__command_pack(list, N, packed, sizeof packed));
  ck_assert_str_eq(packed, "99500..100499");
  ck_assert_uint_eq(hato__command_unpack(packed, back, N), N);
  for (int i = 0; i < N; i++) {
    ck_assert_str_eq(back[i], list[i]);
    free(back[i]);
  }
}

UNIT_MAIN("launchers_command_rows")

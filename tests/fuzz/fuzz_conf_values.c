/* Values of options of every type, as a command line or `-o name=value` has them: what is accepted keeps its row's
 * limits, and written as help writes it is the same. The first byte says how the rest comes: p a pair, a
 * arguments parted by zero bytes. */
#include "conf/internal.h"
#include "fuzz/fuzz.h"

#include "base/error.h"

static const char *const binds[] = {"auto", "core", "none", NULL};
static const hato__conf_row rows[] = {
    {.help = "Things", .type = HATO__CONF_HEADING},
    {.name = "slots", .short_name = 'n', .type = HATO__CONF_INT, .def = "4", .min = 1, .max = 64},
    {.name = "any", .type = HATO__CONF_INT},
    {.name = "least", .type = HATO__CONF_INT, .min = -5, .max = -6},
    {.name = "json", .short_name = 'j', .type = HATO__CONF_BOOL},
    {.name = "quiet", .short_name = 'q', .type = HATO__CONF_BOOL},
    {.name = "memory", .short_name = 'm', .type = HATO__CONF_SIZE, .min = 1024, .max = 1 << 30},
    {.name = "space", .type = HATO__CONF_SIZE},
    {.name = "idle", .short_name = 't', .type = HATO__CONF_DURATION, .min = 1},
    {.name = "grace", .type = HATO__CONF_DURATION, .min = 1000000, .max = INT64_C(3600000000000)},
    {.name = "launcher", .short_name = 'L', .type = HATO__CONF_STRING},
    {.name = "bind", .type = HATO__CONF_ENUM, .def = "auto", .names = binds},
    {.name = "option", .short_name = 'o', .type = HATO__CONF_LIST},
    {.name = "words", .metavar = "WORD", .type = HATO__CONF_OPERANDS, .min = 0, .max = 6},
};

/* An accepted number, size or duration is within its row's limits, and the same when it is read from the words
 * that stand for it in help. */
static void number(hato__conf *c, const hato__conf_row *r, int64_t v) {
  hato_error err;
  if (conf__has_min(r)) require(v >= r->min);
  if (conf__has_max(r)) require(v <= r->max);
  hato__buf b = {0};
  conf__format(&b, r->type, v);
  const char *text = hato__buf_text(&b);
  require(hato__conf_set(c, HATO__CONF_FROM_ARGS, NULL, r->name, text, &err) == HATO_OK);
  if (r->type == HATO__CONF_INT) require(hato__conf_get_int(c, r->name) == v);
  if (r->type == HATO__CONF_SIZE) require(hato__conf_get_size(c, r->name) == (uint64_t)v);
  if (r->type == HATO__CONF_DURATION && v % 1000000000 == 0) require(hato__conf_get_duration(c, r->name) == (uint64_t)v);
  hato__buf_free(&b);
}

static void check(hato__conf *c, size_t size) {
  for (size_t i = 0; i < hato__conf_count(c); i++) {
    const hato__conf_row *r = hato__conf_row_at(c, i);
    if (!conf__is_option(r) || !hato__conf_is_set(c, r->name)) continue;
    require(hato__conf_where(c, r->name)[0] != 0);
    require(hato__conf_get_text(c, r->name) != NULL && strlen(hato__conf_get_text(c, r->name)) <= size + 4);
    if (r->type == HATO__CONF_INT) number(c, r, hato__conf_get_int(c, r->name));
    if (r->type == HATO__CONF_SIZE && hato__conf_get_size(c, r->name) <= INT64_MAX)
      number(c, r, (int64_t)hato__conf_get_size(c, r->name));
    if (r->type == HATO__CONF_DURATION && hato__conf_get_duration(c, r->name) <= INT64_MAX)
      number(c, r, (int64_t)hato__conf_get_duration(c, r->name));
    if (r->type == HATO__CONF_ENUM) require(hato__conf_get_enum(c, r->name) >= 0 && hato__conf_get_enum(c, r->name) < 3);
  }
  size_t n;
  const char *const *list = hato__conf_get_list(c, "option", &n);
  for (size_t i = 0; i < n; i++) require(strlen(list[i]) <= size);
  require(list[n] == NULL);
}

static void arguments(hato__conf *c, const uint8_t *data, size_t size) {
  enum { MOST = 64 };
  const char *words[MOST + 1] = {NULL};
  char *room;
  hato_error err = {0};
  size_t n = fuzz_texts(data + 1, size - 1, words, MOST, &room), operands;
  hato_status st = hato__conf_parse(c, (int)n, (char *const *)words, data[0] == 'A' ? HATO__CONF_STOP_AT_OPERAND : 0, &err);
  require(st == HATO_OK || ((st == HATO_INVALID || st == HATO_NOT_FOUND) && err.text[0] != 0));
  char *const *left = hato__conf_operands(c, &operands);
  require(operands <= n && (st != HATO_OK || operands <= 6));
  for (size_t i = 0; i < operands; i++) require(strlen(left[i]) < size);
  check(c, size);
  free(room);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  hato_error err = {0};
  hato__conf *c = hato__conf_create("fuzz");
  require(c != NULL && hato__conf_add(c, rows, sizeof rows / sizeof *rows, &err) == HATO_OK);
  if (data[0] == 'a' || data[0] == 'A') {
    arguments(c, data, size);
  } else {
    char *pair = fuzz_text(data + 1, size - 1);
    hato_status st = hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, pair, &err);
    require(st == HATO_OK || ((st == HATO_INVALID || st == HATO_NOT_FOUND) && err.text[0] != 0));
    check(c, size);
    free(pair);
  }
  hato__conf_destroy(c);
  return 0;
}

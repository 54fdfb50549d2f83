/* Typed option rows: command line, pairs, file, help and manual. */
#include "unit.h"

#include "base/clock.h"
#include "conf/conf.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *const binds[] = {"auto", "core", "none", NULL};
static const hato__conf_row rows[] = {
    {.name = "slots",
     .short_name = 'n',
     .type = HATO__CONF_INT,
     .def = "4",
     .min = 1,
     .max = 64,
     .help = "Slots."},
    {.name = "json", .short_name = 'j', .type = HATO__CONF_BOOL, .help = "Report as JSON."},
    {.name = "progress", .short_name = 'p', .type = HATO__CONF_BOOL, .def = "yes", .help = "Show a bar."},
    {.name = "memory", .type = HATO__CONF_SIZE, .min = 1024, .max = 1 << 30, .help = "Memory."},
    {.name = "idle", .type = HATO__CONF_DURATION, .min = 1, .help = "How long."},
    {.name = "profile", .type = HATO__CONF_STRING, .def = "default", .metavar = "NAME", .help = "Profile."},
    {.name = "bind", .type = HATO__CONF_ENUM, .def = "auto", .names = binds, .help = "Binding."},
    {.name = "option",
     .short_name = 'o',
     .type = HATO__CONF_LIST,
     .metavar = "KEY=VALUE",
     .help = "For the launcher."},
    {.name = "url", .type = HATO__CONF_STRING, .flags = HATO__CONF_NO_FILE, .help = "Where."},
    {.name = "secret-door", .type = HATO__CONF_BOOL, .flags = HATO__CONF_HIDDEN},
    {.type = HATO__CONF_OPERANDS, .metavar = "COMMAND", .min = 1, .help = "What to run."},
};
#define ROWS (sizeof rows / sizeof *rows)

static hato__conf *make(void) {
  hato_error err;
  hato__conf *c = hato__conf_create("hato map");
  ck_assert_ptr_nonnull(c);
  ck_assert_msg(hato__conf_add(c, rows, ROWS, &err) == HATO_OK, "%s", err.text);
  return c;
}

static hato_status parse(hato__conf *c, unsigned flags, hato_error *err, char *const *argv) {
  int argc = 0;
  while (argv[argc] != NULL) argc++;
  return hato__conf_parse(c, argc, argv, flags, err);
}
#define PARSE(c, flags, err, ...) parse(c, flags, err, (char *[]){__VA_ARGS__ __VA_OPT__(, ) NULL})
#define HAS(err, words) ck_assert_msg(strstr((err).text, words) != NULL, "'%s' lacks '%s'", (err).text, words)

UNIT_TEST(defaults) {
  hato__conf *c = make();
  ck_assert_int_eq(hato__conf_get_int(c, "slots"), 4);
  ck_assert(!hato__conf_is_set(c, "slots") && hato__conf_has_value(c, "slots"));
  ck_assert(hato__conf_get_bool(c, "progress") && !hato__conf_get_bool(c, "json"));
  ck_assert_str_eq(hato__conf_get_str(c, "profile"), "default");
  ck_assert_ptr_null(hato__conf_get_str(c, "url"));
  ck_assert_int_eq(hato__conf_get_enum(c, "bind"), 0);
  size_t n = 7;
  ck_assert_ptr_null(hato__conf_get_list(c, "option", &n)[0]);
  ck_assert_uint_eq(n, 0);
  ck_assert_str_eq(hato__conf_where(c, "slots"), "default");
  hato__conf_destroy(c);
  hato__conf_destroy(NULL);
}

UNIT_TEST(every_way_to_give_a_value) {
  hato__conf *c = make();
  hato_error err;
  ck_assert_msg(PARSE(c, 0, &err, "-jn8", "--memory=2M", "--idle", "1h30m", "x", "-o", "a=1", "-ob=2",
                      "--bind", "none", "--no-progress", "--profile", "", "--", "-j", "--x") == HATO_OK,
                "%s", err.text);
  ck_assert(hato__conf_get_bool(c, "json"));
  ck_assert_int_eq(hato__conf_get_int(c, "slots"), 8);
  ck_assert(hato__conf_get_size(c, "memory") == 2 << 20);
  ck_assert(hato__conf_get_duration(c, "idle") == 5400 * HATO__SEC);
  ck_assert_int_eq(hato__conf_get_enum(c, "bind"), 2);
  ck_assert(!hato__conf_get_bool(c, "progress") && hato__conf_is_set(c, "progress"));
  ck_assert_str_eq(hato__conf_get_str(c, "profile"), "");
  ck_assert_str_eq(hato__conf_where(c, "slots"), "-n");
  ck_assert_str_eq(hato__conf_get_text(c, "memory"), "2M");
  size_t n, before;
  const char *const *list = hato__conf_get_list(c, "option", &n);
  ck_assert_uint_eq(n, 2);
  ck_assert_str_eq(list[0], "a=1");
  ck_assert_str_eq(list[1], "b=2");
  ck_assert_str_eq(hato__conf_get_text(c, "option"), "b=2");
  char *const *operands = hato__conf_operands(c, &n);
  ck_assert_uint_eq(n, 3);
  ck_assert_str_eq(operands[0], "x");
  ck_assert_str_eq(operands[1], "-j");
  ck_assert_ptr_null(operands[3]);
  ck_assert(hato__conf_dashes(c, &before) && before == 1);
  hato__conf_reset(c);
  ck_assert_int_eq(hato__conf_get_int(c, "slots"), 4);
  ck_assert(!hato__conf_is_set(c, "json"));
  ck_assert_ptr_null(hato__conf_operands(c, &n)[0]);
  hato__conf_destroy(c);
}

UNIT_TEST(options_end_at_the_command) {
  hato__conf *c = make();
  hato_error err;
  size_t n;
  ck_assert_int_eq(PARSE(c, HATO__CONF_STOP_AT_OPERAND, &err, "-j", "ls", "-l", "--", "x"), HATO_OK);
  char *const *operands = hato__conf_operands(c, &n);
  ck_assert_uint_eq(n, 4);
  ck_assert_str_eq(operands[2], "--");
  ck_assert(!hato__conf_dashes(c, NULL));
  ck_assert_int_eq(PARSE(c, 0, &err, "ls", "-j", "-"), HATO_OK);
  (void)hato__conf_operands(c, &n);
  ck_assert_uint_eq(n, 2);
  ck_assert_int_eq(PARSE(c, 64, &err, "ls"), HATO_INVALID);
  hato__conf_destroy(c);
}

UNIT_TEST(mistakes_are_named) {
  hato__conf *c = make();
  hato_error err;
  ck_assert_int_eq(PARSE(c, 0, &err, "--slts", "4", "x"), HATO_NOT_FOUND);
  HAS(err, "hato map: there is no option --slts; did you mean --slots?");
  ck_assert_int_eq(PARSE(c, 0, &err, "--frobnicate"), HATO_NOT_FOUND);
  HAS(err, "the options are: --slots, --json");
  ck_assert_ptr_null(strstr(err.text, "secret-door"));
  ck_assert_int_eq(PARSE(c, 0, &err, "--slots", "x"), HATO_INVALID);
  ck_assert_str_eq(err.text, "hato map: --slots: found 'x', wanted a whole number from 1 to 64");
  ck_assert_int_eq(PARSE(c, 0, &err, "-n65"), HATO_INVALID);
  ck_assert_str_eq(err.text, "hato map: -n: found '65', wanted a whole number from 1 to 64");
  ck_assert_int_eq(PARSE(c, 0, &err, "-n"), HATO_INVALID);
  ck_assert_str_eq(err.text, "hato map: -n has no value, wanted a whole number from 1 to 64");
  ck_assert_int_eq(PARSE(c, 0, &err, "--memory", "1"), HATO_INVALID);
  HAS(err, "wanted a size from 1K to 1G, such as");
  ck_assert_int_eq(PARSE(c, 0, &err, "--idle=0"), HATO_INVALID);
  HAS(err, "wanted a duration of more than 0, such as");
  ck_assert_int_eq(PARSE(c, 0, &err, "--idle=1parsec"), HATO_INVALID);
  ck_assert_int_eq(PARSE(c, 0, &err, "--bind", "cores"), HATO_INVALID);
  HAS(err, "wanted one of auto, core, none; did you mean core?");
  ck_assert_int_eq(PARSE(c, 0, &err, "--json=maybe"), HATO_INVALID);
  HAS(err, "wanted yes or no");
  ck_assert_int_eq(PARSE(c, 0, &err, "--no-json=yes"), HATO_INVALID);
  ck_assert_int_eq(PARSE(c, 0, &err, "--no-slots"), HATO_NOT_FOUND);
  ck_assert_int_eq(PARSE(c, 0, &err, "-q"), HATO_NOT_FOUND);
  HAS(err, "the letters are: -n, -j");
  ck_assert_int_eq(PARSE(c, 0, &err, "-url", "x"), HATO_NOT_FOUND);
  HAS(err, "did you mean --url?");
  ck_assert_int_eq(PARSE(c, 0, &err, "-j"), HATO_INVALID);
  ck_assert_str_eq(err.text, "hato map: COMMAND is missing");
  ck_assert(hato__conf_get_bool(c, "json")); /* what came before a mistake stands */
  ck_assert_int_eq(PARSE(c, 0, NULL, "--slts"), HATO_NOT_FOUND);
  hato__conf_destroy(c);
}

UNIT_TEST(operands_are_counted) {
  hato_error err;
  hato__conf *c = hato__conf_create("hato wait");
  ck_assert_int_eq(PARSE(c, 0, &err, "1"), HATO_INVALID);
  ck_assert_str_eq(err.text, "hato wait: found '1', wanted only options");
  hato__conf_row two = {.type = HATO__CONF_OPERANDS, .metavar = "ID", .max = 2};
  ck_assert_int_eq(hato__conf_add(c, &two, 1, &err), HATO_OK);
  ck_assert_int_eq(PARSE(c, 0, &err), HATO_OK);
  ck_assert_int_eq(PARSE(c, 0, &err, "1", "2"), HATO_OK);
  ck_assert_int_eq(PARSE(c, 0, &err, "1", "2", "3"), HATO_INVALID);
  ck_assert_str_eq(err.text, "hato wait: found '3', wanted nothing more");
  hato__conf_destroy(c);
}

UNIT_TEST(rows_that_cannot_be_are_refused) {
  static const hato__conf_row bad[] = {
      {.name = NULL, .type = HATO__CONF_INT},
      {.name = "Upper", .type = HATO__CONF_INT},
      {.name = "--x", .type = HATO__CONF_INT},
      {.name = "slots", .type = HATO__CONF_INT},
      {.name = "other", .short_name = 'n', .type = HATO__CONF_INT},
      {.name = "other", .short_name = '-', .type = HATO__CONF_INT},
      {.name = "other", .type = HATO__CONF_INT, .def = "x"},
      {.name = "other", .type = HATO__CONF_INT, .def = "9", .min = 1, .max = 3},
      {.name = "other", .type = HATO__CONF_ENUM},
      {.name = "other", .type = HATO__CONF_LIST, .def = "a"},
      {.name = "other", .type = (hato__conf_type)99},
  };
  hato__conf *c = make();
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    hato_error err;
    ck_assert_msg(hato__conf_add(c, &bad[i], 1, &err) == HATO_INVALID, "row %zu", i);
    ck_assert_uint_gt(strlen(err.text), 10);
    ck_assert_uint_eq(hato__conf_count(c), ROWS);
  }
  hato__conf_destroy(c);
}

UNIT_TEST(rows_may_be_built_at_run_time) {
  hato_error err;
  hato__conf *c = hato__conf_create("launcher slurm");
  char name[] = "partition", def[] = "main", help[] = "Where.";
  char *names[] = {name, NULL};
  hato__conf_row r = {
      .name = name, .type = HATO__CONF_STRING, .def = def, .help = help, .names = (const char *const *)names};
  ck_assert_int_eq(hato__conf_add(c, &r, 1, &err), HATO_OK);
  memset(name, 'x', sizeof name - 1);
  memset(def, 'x', sizeof def - 1);
  ck_assert_str_eq(hato__conf_get_str(c, "partition"), "main");
  ck_assert_int_eq(hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, "partition=long=x", &err), HATO_OK);
  ck_assert_str_eq(hato__conf_get_str(c, "partition"), "long=x");
  ck_assert_int_eq(hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, "partition", &err), HATO_INVALID);
  ck_assert_str_eq(err.text, "launcher slurm: partition has no value, wanted partition=VALUE");
  ck_assert_int_eq(hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, "partiton=a", &err), HATO_NOT_FOUND);
  ck_assert_str_eq(err.text, "launcher slurm: there is no option partiton; did you mean partition?");
  ck_assert_int_eq(hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, "zz", &err), HATO_NOT_FOUND);
  hato__conf_row flag = {.name = "exclusive", .type = HATO__CONF_BOOL};
  hato__conf_row must = {.name = "account", .type = HATO__CONF_STRING, .flags = HATO__CONF_REQUIRED};
  ck_assert_int_eq(hato__conf_add(c, &flag, 1, &err), HATO_OK);
  ck_assert_int_eq(hato__conf_add(c, &must, 1, &err), HATO_OK);
  ck_assert_int_eq(hato__conf_set_pair(c, HATO__CONF_FROM_ARGS, "exclusive", &err), HATO_OK);
  ck_assert(hato__conf_get_bool(c, "exclusive"));
  ck_assert_int_eq(hato__conf_check(c, &err), HATO_INVALID);
  HAS(err, "launcher slurm: the option account is missing");
  ck_assert_int_eq(hato__conf_set(c, HATO__CONF_FROM_ENV, "SLURM_ACCOUNT", "account", "me", &err), HATO_OK);
  ck_assert_int_eq(hato__conf_check(c, &err), HATO_OK);
  ck_assert_str_eq(hato__conf_where(c, "account"), "SLURM_ACCOUNT");
  hato__conf_destroy(c);
}

/* ---- the file ------------------------------------------------------------- */

struct files {
  hato__conf *top, *big;
  char opened[256];
};

static hato__conf *open_section(void *arg, const char *kind, const char *name, hato_error *err) {
  struct files *f = arg;
  size_t n = strlen(f->opened);
  (void)snprintf(f->opened + n, sizeof f->opened - n, "[%s|%s]", kind, name);
  if (kind[0] == 0) return f->top;
  if (strcmp(name, "big") == 0) return f->big;
  err->status = HATO_INVALID;
  (void)snprintf(err->text, sizeof err->text, "no such profile");
  return NULL;
}

static const char *const kinds[] = {"", "profile", NULL};

static hato_status read_text(struct files *f, const char *text, hato_error *err) {
  hato__conf_sections s = {.kinds = kinds, .open = open_section, .arg = f};
  f->opened[0] = 0;
  return hato__conf_read_text("hato.conf", text, strlen(text), &s, err);
}

static struct files files_new(void) { return (struct files){.top = make(), .big = make()}; }
static void files_free(struct files *f) {
  hato__conf_destroy(f->top);
  hato__conf_destroy(f->big);
}

UNIT_TEST(the_file_sets_what_the_command_line_did_not) {
  struct files f = files_new();
  hato_error err;
  ck_assert_int_eq(PARSE(f.big, 0, &err, "--slots", "3", "-o", "from=args", "x"), HATO_OK);
  hato_status rc = read_text(&f,
                             "\xef\xbb\xbf# a comment\n"
                             "json = yes\r\n"
                             "\n"
                             "[profile big]   ; another\n"
                             "  slots = 7\n"
                             "  memory: 2M ; as much\n"
                             "  profile = \"a \\\"b\\\" \\\\ # c\"\n"
                             "  option = a=1\n"
                             "      b=2\n"
                             "  idle = 5m",
                             &err);
  ck_assert_msg(rc == HATO_OK, "%s", err.text);
  ck_assert_str_eq(f.opened, "[|][profile|big]");
  ck_assert(hato__conf_get_bool(f.top, "json"));
  ck_assert_int_eq(hato__conf_get_int(f.big, "slots"), 3);
  ck_assert(hato__conf_get_size(f.big, "memory") == 2 << 20);
  ck_assert_str_eq(hato__conf_get_str(f.big, "profile"), "a \"b\" \\ # c");
  ck_assert_str_eq(hato__conf_where(f.big, "memory"), "hato.conf:6");
  ck_assert(hato__conf_get_duration(f.big, "idle") == 300 * HATO__SEC);
  size_t n;
  (void)hato__conf_get_list(f.big, "option", &n);
  ck_assert_uint_eq(n, 1);
  hato__conf_reset(f.big);
  ck_assert_int_eq(read_text(&f, "[profile big]\noption =\n a=1\n b=2\noption=c\nprofile = one\n  two\n", &err),
                   HATO_OK);
  ck_assert_str_eq(hato__conf_get_list(f.big, "option", &n)[1], "b=2");
  ck_assert_uint_eq(n, 3);
  ck_assert_str_eq(hato__conf_get_str(f.big, "profile"), "one two");
  files_free(&f);
}

UNIT_TEST(names_may_have_underscores_in_the_file) {
  struct files f = files_new();
  hato_error err;
  ck_assert_int_eq(read_text(&f, "secret_door = on\n", &err), HATO_OK);
  ck_assert(hato__conf_get_bool(f.top, "secret-door"));
  files_free(&f);
}

UNIT_TEST(mistakes_in_the_file_have_a_line) {
  static const struct {
    const char *text, *words;
  } bad[] = {
      {"\nslts = 4\n", "hato.conf:2: there is no option slts; did you mean slots?"},
      {"slots = many\n", "hato.conf:1: slots: found 'many', wanted a whole number from 1 to 64"},
      {"[profil big]\n", "hato.conf:1: there is no section [profil big]; did you mean [profile big]?"},
      {"[profile small]\n", "hato.conf:1: [profile small]: no such profile"},
      {"[profile big\n", "hato.conf:1: found '[profile big', wanted a section"},
      {"[profile big] x\n", "wanted a section"},
      {"[]\n", "hato.conf:1: the section has no name"},
      {"# x\njson\n", "hato.conf:2: found 'json', wanted key = value"},
      {"= 5\n", "hato.conf:1: found '= 5', wanted key = value"},
      {"url = tcp://x\n", "hato.conf:1: url is an option of the command line"},
      {"profile = \"open\n", "hato.conf:1: profile: the value has no closing quote"},
      {"profile = \"a ; b\"\n", "a blank and ';' begin a comment"},
      {"\n\njson = yes\n  no\n", "hato.conf:3: json: found 'yes no'"},
  };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    struct files f = files_new();
    hato_error err;
    ck_assert_msg(read_text(&f, bad[i].text, &err) == HATO_INVALID, "%s", bad[i].text);
    ck_assert_int_eq(err.status, HATO_INVALID);
    HAS(err, bad[i].words);
    files_free(&f);
  }
  struct files f = files_new();
  hato_error err;
  hato__conf_sections s = {.kinds = kinds, .open = open_section, .arg = &f};
  ck_assert_int_eq(hato__conf_read_text("hato.conf", "a\0b", 3, &s, &err), HATO_INVALID);
  HAS(err, "NUL");
  ck_assert_int_eq(hato__conf_read_file("/nowhere/hato.conf", &s, &err), HATO_NOT_FOUND);
  files_free(&f);
}

UNIT_TEST(long_lines) {
  struct files f = files_new();
  hato_error err;
  char text[5000], value[3000];
  size_t n = 0;
  while (n < sizeof value - 10) n += (size_t)snprintf(value + n, sizeof value - n, "word%zu, ", n);
  n -= 2;
  value[n] = 0;
  (void)snprintf(text, sizeof text, "profile = %s ; comment\njson = yes\n", value);
  ck_assert_msg(read_text(&f, text, &err) == HATO_OK, "%s", err.text);
  ck_assert_str_eq(hato__conf_get_str(f.top, "profile"), value);
  ck_assert(hato__conf_get_bool(f.top, "json"));
  memset(value, '-', n);
  (void)snprintf(text, sizeof text, "json = yes\nprofile = %s\n", value);
  ck_assert_int_eq(read_text(&f, text, &err), HATO_INVALID);
  HAS(err, "hato.conf:2: the line has");
  memset(text, '#', 4000);
  text[4000] = 0;
  ck_assert_int_eq(read_text(&f, text, &err), HATO_OK);
  files_free(&f);
}

UNIT_TEST(a_file_on_disk) {
  char path[] = "/tmp/hato-conf-XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  ck_assert_int_eq(write(fd, "slots=9\n", 8), 8);
  close(fd);
  struct files f = files_new();
  hato_error err;
  hato__conf_sections s = {.kinds = kinds, .open = open_section, .arg = &f};
  ck_assert_int_eq(hato__conf_read_file(path, &s, &err), HATO_OK);
  ck_assert_int_eq(hato__conf_get_int(f.top, "slots"), 9);
  unlink(path);
  ck_assert_int_eq(mkfifo(path, 0600), 0); /* nobody waits for who might write to it */
  ck_assert_int_eq(hato__conf_read_file(path, &s, &err), HATO_INVALID);
  HAS(err, "is a pipe");
  unlink(path);
  files_free(&f);
}

/* ---- printing ------------------------------------------------------------- */

UNIT_TEST(help_is_aligned_and_wrapped) {
  hato__conf *c = make();
  hato_error err;
  hato__conf_row more[] = {
      {.type = HATO__CONF_HEADING, .help = "Other options"},
      {.name = "a-very-long-name-of-an-option",
       .type = HATO__CONF_STRING,
       .metavar = "SOMETHING",
       .help = "A text that is long enough to be wrapped more than once, since it goes on and on and says "
               "little."},
  };
  ck_assert_int_eq(hato__conf_add(c, more, 2, &err), HATO_OK);
  hato__buf out = {0};
  hato__conf_help(c, &out);
  char *text = hato__buf_text(&out);
  ck_assert_ptr_nonnull(strstr(text, "  -n, --slots N              Slots. (1 to 64; default 4)\n"));
  ck_assert_ptr_nonnull(strstr(text, "  -p, --[no-]progress        Show a bar. (default yes)\n"));
  ck_assert_ptr_nonnull(strstr(text, "      --memory SIZE          Memory. (1K to 1G)\n"));
  ck_assert_ptr_nonnull(strstr(text, "  COMMAND...                 What to run.\n"));
  ck_assert_ptr_nonnull(strstr(text, "\nOther options:\n"));
  ck_assert_ptr_null(strstr(text, "secret-door"));
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    ck_assert_msg(strlen(line) <= 80, "%s", line);
    ck_assert_msg(line[strlen(line) - 1] != ' ', "%s", line);
  }
  hato__buf_clear(&out);
  hato__conf_usage(c, 9, &out);
  text = hato__buf_text(&out);
  ck_assert_ptr_nonnull(strstr(text, "[-n N] [-j]"));
  ck_assert_ptr_nonnull(strstr(text, "COMMAND..."));
  for (char *line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
    ck_assert_msg(strlen(line) <= 80, "%s", line);
  }
  hato__buf_clear(&out);
  hato__conf_help_pairs(c, &out);
  ck_assert_ptr_nonnull(strstr(hato__buf_text(&out), "  slots=N "));
  hato__buf_free(&out);
  hato__conf_destroy(c);
}

UNIT_TEST(manual_sources) {
  hato__conf *c = hato__conf_create("x");
  hato_error err;
  hato__conf_row r[] = {
      {.type = HATO__CONF_HEADING, .help = "Options"},
      {.name = "dry-run", .short_name = 'y', .type = HATO__CONF_BOOL, .help = ".hidden \\ *star*"},
      {.name = "to", .type = HATO__CONF_STRING, .metavar = "FILE", .help = "Target."},
      {.type = HATO__CONF_OPERANDS, .metavar = "ID", .help = "Which."},
  };
  ck_assert_int_eq(hato__conf_add(c, r, 4, &err), HATO_OK);
  hato__buf out = {0};
  hato__conf_roff(c, &out);
  ck_assert_str_eq(hato__buf_text(&out), ".SS Options\n"
                                         ".TP\n\\fB\\-y\\fR, \\fB\\-\\-dry\\-run\\fR\n\\&.hidden \\e *star*\n"
                                         ".TP\n\\fB\\-\\-to\\fR \\fIFILE\\fR\nTarget.\n"
                                         ".TP\n\\fIID...\\fR\nWhich.\n");
  hato__buf_clear(&out);
  hato__conf_roff_pairs(c, &out);
  ck_assert_str_eq(hato__buf_text(&out), ".SS Options\n"
                                         ".TP\n\\fBdry\\-run\\fR\n\\&.hidden \\e *star*\n"
                                         ".TP\n\\fBto\\fR=\\fIFILE\\fR\nTarget.\n"
                                         ".TP\n\\fIID...\\fR\nWhich.\n");
  hato__buf_free(&out);
  hato__conf_destroy(c);
}

UNIT_MAIN("conf")

/* What the host does for a module: text, templates, options, commands. */
#include "base/str.h"
#include "launchers.h"

#include "launchers/internal.h"

typedef struct tried {
  launchers__runner runner;
  hato__conf *conf;
  bool abort;
  char log[1024];
} tried;

static void keep_log(void *arg, hato__log_level level, const char *text) {
  tried *t = arg;
  (void)level;
  (void)snprintf(t->log, sizeof t->log, "%s", text);
}
static void no_progress(void *arg, const char *text) { (void)arg, (void)text; }
static void no_member(void *arg, uint64_t l, uint32_t f, uint32_t n, const launchers_member *m) {
  (void)arg, (void)l, (void)f, (void)n, (void)m;
}
static bool asked(void *arg) { return ((tried *)arg)->abort; }

static tried *begin(void) {
  tried *t = calloc(1, sizeof *t);
  ck_assert_ptr_nonnull(t);
  hato_launcher m = {.name = "tried"};
  launchers__runner_init(&t->runner, &m, &(launchers__sink){t, keep_log, no_progress, no_member, asked});
  launchers__services(&t->runner);
  t->runner.deadline = hato__now() + 20 * HATO__SEC;
  return t;
}

static void finish(tried *t) {
  launchers__runner_end(&t->runner);
  hato__conf_destroy(t->conf);
  free(t);
}

static const char *shell(const char *command) {
  static char out[4096];
  FILE *f = popen(command, "r");
  ck_assert_ptr_nonnull(f);
  size_t n = fread(out, 1, sizeof out - 1, f);
  out[n] = 0;
  pclose(f);
  return out;
}

static const char *const hard[] = {"printf",  "<%s>\\n", "a b", "it's", "$HOME", "`id`", "\\",
                                   "\\n\\\\", "!!",      "\"",  "é;|&", "",      "*",    NULL};
#define HARD_OUT "<a b>\n<it's>\n<$HOME>\n<`id`>\n<\\>\n<\\n\\\\>\n<!!>\n<\">\n<é;|&>\n<>\n<*>\n"

UNIT_TEST(words_survive_a_shell) {
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  ck_assert_str_eq(shell(h->quote_words(h, hard)), HARD_OUT);
  ck_assert_str_eq(h->quote(h, "it's"), "'it'\\''s'");
  ck_assert_str_eq(h->quote(h, ""), "''");
  ck_assert_str_eq(h->quote(h, "plain/word-1"), "plain/word-1");
  finish(t);
}

UNIT_TEST(words_survive_ssh) {
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  const char *line = h->quote_ssh(h, hard);
  ck_assert_str_eq(shell(line), HARD_OUT);
  /* Other login shells where they are there. */
  static const char *const shells[] = {"bash", "dash", "zsh", "fish", "tcsh", "csh", "ksh"};
  for (size_t i = 0; i < sizeof shells / sizeof *shells; i++) {
    char test[64];
    snprintf(test, sizeof test, "command -v %s >/dev/null", shells[i]);
    if (system(test) != 0) continue;
    char *command = hato__printf("%s -c %s", shells[i], h->quote(h, line));
    ck_assert_str_eq(shell(command), HARD_OUT);
    free(command);
  }
  finish(t);
}

UNIT_TEST(templates) {
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  const hato_template_value v[] = {{"daemon", "hato daemon 'a b'"}, {"i", "3"}, {"none", NULL}};
  ck_assert_str_eq(h->expand(h, "qsub -t {i} {daemon} {daemon:q}{none}", v, 3),
                   "qsub -t 3 hato daemon 'a b' 'hato daemon '\\''a b'\\'''");
  ck_assert_str_eq(h->expand(h, "${HOME} {{i} awk '{print $1}' { } {", v, 3),
                   "${HOME} {i} awk '{print $1}' { } {");
  ck_assert_str_eq(h->expand(h, "", NULL, 0), "");
  ck_assert_ptr_null(h->expand(h, "x {deamon}", v, 3));
  HAS(t->runner.words, "{daemon}");
  ck_assert_int_eq(t->runner.failed, HATO_INVALID);
  ck_assert_ptr_null(h->expand(h, "x {zzzzzzz:q}", v, 3));
  ck_assert_str_eq(h->format(h, "%s-%d", "a", 7), "a-7");
  finish(t);
}

UNIT_TEST(words_of_a_failure) { /* Check has a macro of that name */
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  ck_assert_int_eq((h->fail)(h, HATO_NOT_FOUND, "no partition '%s'", "x"), HATO_NOT_FOUND);
  ck_assert_int_eq((h->fail)(h, HATO_NOT_FOUND, "%s at all", t->runner.words), HATO_NOT_FOUND);
  ck_assert_str_eq(t->runner.words, "no partition 'x' at all");
  ck_assert_int_eq((h->fail)(h, HATO_OK, "it is none"), HATO_INTERNAL); /* a failure is never OK */
  h->log(h, 99, "%d", 5);
  ck_assert_str_eq(t->log, "5");
  finish(t);
}

UNIT_TEST(options) {
  static const char *const colours[] = {"red", "green", NULL};
  static const hato_option_row rows[] = {
      {.name = "flag", .type = HATO_OPTION_BOOL},
      {.name = "n", .type = HATO_OPTION_INT, .def = "4", .min = 1, .max = 9},
      {.name = "mem", .type = HATO_OPTION_SIZE},
      {.name = "time", .type = HATO_OPTION_DURATION, .min = 1000, .max = -1},
      {.name = "name", .type = HATO_OPTION_STRING},
      {.name = "colour", .type = HATO_OPTION_ENUM, .values = colours},
      {.name = "line", .type = HATO_OPTION_LIST},
      {.name = "must", .type = HATO_OPTION_STRING, .flags = HATO_OPTION_REQUIRED},
  };
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  hato_error err;
  ck_assert_msg(launchers__conf("tried", rows, 8, &t->conf, &err) == HATO_OK, "%s", err.text);
  ck_assert_int_eq(launchers__set(t->conf, WORDS("flag=yes"), &err), HATO_INVALID);
  HAS(err.text, "must");
  ck_assert_int_eq(launchers__set(t->conf, WORDS("must=1", "time=0.2s"), &err), HATO_INVALID);
  ck_assert_msg(launchers__set(
                    t->conf,
                    WORDS("must=1", "flag=yes", "mem=2G", "time=1:30:00", "line=a", "line=b", "colour=green"),
                    &err) == HATO_OK,
                "%s", err.text);
  const hato_launcher_options *o = (const void *)t->conf;
  ck_assert(h->option_bool(h, o, "flag") && h->option_is_set(h, o, "flag") && !h->option_is_set(h, o, "n"));
  ck_assert_int_eq(h->option_int(h, o, "n"), 4);
  ck_assert(h->option_size(h, o, "mem") == UINT64_C(2) << 30);
  ck_assert_uint_eq(h->option_duration(h, o, "time"), 5400000);
  ck_assert_ptr_null(h->option_string(h, o, "name"));
  ck_assert_int_eq(h->option_enum(h, o, "colour"), 1);
  ck_assert_str_eq(h->option_list(h, o, "line")[1], "b");
  ck_assert_ptr_null(h->option_list(h, o, "line")[2]);
  ck_assert_str_eq(t->log, "");
  /* A module's mistakes are not a crash. */
  ck_assert_int_eq(h->option_int(h, o, "m"), 0);
  HAS(t->log, "option 'm'");
  ck_assert_ptr_null(h->option_string(h, o, "n"));
  HAS(t->log, "another type");
  ck_assert_ptr_null(h->option_list(h, o, "n")[0]);
  ck_assert_int_eq(h->option_int(h, NULL, "n"), 0);
  finish(t);
}

UNIT_TEST(commands) {
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  hato_run r = {.size = sizeof r,
                .argv = WORDS("sh", "-c", "tr a-z A-Z; echo oops >&2; pwd; echo $X; exit 5"),
                .input = "words\n",
                .input_len = 6,
                .cwd = "/usr",
                .env = WORDS("X=yes")};
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert_int_eq(r.exit_code, 5);
  ck_assert_str_eq(r.out, "WORDS\n/usr\nyes\n");
  ck_assert_str_eq(r.err, "oops\n");
  ck_assert_uint_eq(r.out_len, strlen(r.out));
  r = (hato_run){.size = sizeof r, .argv = WORDS("sh", "-c", "kill -9 $$")};
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert(r.exit_code == -1 && r.signal == SIGKILL);
  r = (hato_run){.size = sizeof r, .argv = WORDS("no-such-command")};
  ck_assert_int_eq(h->run(h, &r), HATO_NOT_FOUND);
  HAS(t->runner.words, "no-such-command");
  r = (hato_run){.size = sizeof r, .argv = WORDS("true"), .cwd = "/no/such/folder"};
  ck_assert_int_ne(h->run(h, &r), HATO_OK);
  HAS(t->runner.words, "/no/such/folder");
  r = (hato_run){.size = 8, .argv = WORDS("true")};
  ck_assert_int_eq(h->run(h, &r), HATO_INVALID);
  r = (hato_run){.size = sizeof r};
  ck_assert_int_eq(h->run(h, &r), HATO_INVALID);
  finish(t);
}

UNIT_TEST(commands_with_much_input_and_output) {
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  size_t n = (size_t)3 << 20;
  char *big = malloc(n);
  for (size_t i = 0; i < n; i++) big[i] = (char)('a' + i % 26);
  hato_run r = {.size = sizeof r, .argv = WORDS("cat"), .input = big, .input_len = n};
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert(r.out_len == n && memcmp(r.out, big, n) == 0);
  r = (hato_run){.size = sizeof r, .argv = WORDS("cat"), .input = big, .input_len = n, .output_max = 1000};
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert(r.out_len == 1000 && memcmp(r.out, big + n - 1000, 1000) == 0);
  r = (hato_run){
      .size = sizeof r, .argv = WORDS("true"), .input = big, .input_len = n}; /* which reads nothing */
  sigset_t pipe_signal;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, NULL); /* as on the host's threads */
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert_int_eq(r.exit_code, 0);
  free(big);
  finish(t);
}

UNIT_TEST(commands_that_take_too_long) {
  tried *t = begin();
  const hato_host *h = &t->runner.host;
  hato_run r = {.size = sizeof r, .argv = WORDS("sh", "-c", "echo so far; sleep 100"), .timeout_ms = 3000};
  ck_assert_int_eq(h->run(h, &r), HATO_TIMED_OUT);
  ck_assert_str_eq(r.out, "so far\n");
  ck_assert_int_eq(r.signal, SIGKILL);
  /* What a grandchild keeps open is not waited for. */
  r = (hato_run){.size = sizeof r, .argv = WORDS("sh", "-c", "sleep 1000 & echo $!")};
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert_int_eq(kill(atoi(r.out), SIGKILL), 0);
  /* Not wanted any more: a command may end, but not go on. */
  t->abort = true;
  r = (hato_run){.size = sizeof r, .argv = WORDS("sh", "-c", "sleep 0.2; echo 7")};
  ck_assert_int_eq(h->run(h, &r), HATO_OK);
  ck_assert_str_eq(r.out, "7\n");
  r = (hato_run){.size = sizeof r, .argv = WORDS("sleep", "100")};
  ck_assert_int_eq(h->run(h, &r), HATO_INTERRUPTED);
  ck_assert(h->should_abort(h));
  finish(t);
}

UNIT_TEST(last_lines) {
  launchers__arena a = {0};
  char path[] = "/tmp/hato-tail-XXXXXX";
  int fd = mkstemp(path);
  ck_assert_int_ge(fd, 0);
  ck_assert_str_eq(launchers__tail(&a, path), "");
  for (int i = 0; i < 5000; i++) dprintf(fd, "line %d\n", i);
  ck_assert_str_eq(launchers__tail(&a, path),
                   "line 4990\nline 4991\nline 4992\nline 4993\nline 4994\nline 4995\n"
                   "line 4996\nline 4997\nline 4998\nline 4999");
  char *wide = calloc(1, 9000);
  memset(wide, 'x', 8999);
  dprintf(fd, "%s\n\n", wide);
  ck_assert_uint_eq(strlen(launchers__tail(&a, path)), 4094);
  ck_assert_str_eq(launchers__tail(&a, "/nowhere"), "");
  free(wide);
  close(fd);
  unlink(path);
  launchers__arena_free(&a);
}

UNIT_TEST(messages_survive_the_way) {
  launchers_request q = {.id = 7,
                         .launcher = "x",
                         .options = WORDS("a=1"),
                         .argv = WORDS("p", "", "\xff\xfe"),
                         .count = 3,
                         .dial_in = true,
                         .dial_arg = 1,
                         .dial_urls = WORDS("tcp://a:1", "ipc:///b"),
                         .tag = "t",
                         .secret_way = 1,
                         .secret = "s\0t",
                         .secret_len = 3,
                         .env = WORDS("A=b"),
                         .cores = 2};
  const uint32_t members[] = {1, 2};
  launchers__call c = {.op = LAUNCHERS__ADOPT,
                       .id = 9,
                       .deadline_ms = 5,
                       .path = "/x",
                       .request = &q,
                       .record = (const uint8_t *)"rec",
                       .record_len = 3,
                       .members = members,
                       .n_members = 2,
                       .grown = true};
  hato__buf b = {0};
  launchers__put_call(&b, &c);
  for (size_t cut = 0; cut <= b.len; cut++) { /* cut anywhere it is refused, whole it is the same */
    launchers__arena a = {0};
    launchers__call d;
    hato__reader in = hato__reader_of(b.data, cut);
    bool whole = launchers__get_call(&in, &a, &d);
    ck_assert(whole == (cut == b.len));
    if (whole) {
      ck_assert(d.op == c.op && d.id == 9 && d.grown && d.n_members == 2 && d.members[1] == 2 &&
                d.record_len == 3);
      ck_assert_str_eq(d.request->argv[2], "\xff\xfe");
      ck_assert_str_eq(d.request->dial_urls[1], "ipc:///b");
      ck_assert(memcmp(d.request->secret, "s\0t", 3) == 0 && d.request->log_dir == NULL);
    }
    launchers__arena_free(&a);
  }
  hato__buf_free(&b);
}

UNIT_TEST(texts_of_others_are_made_fit_to_be_shown) {
  static const struct {
    const char *given;
    bool lines;
    const char *shown;
  } rows[] = {
      {"", true, ""},
      {"plain words, \xc3\xa9, \xe9\xb3\xa9, \xf0\x9f\x95\x8a", false, "plain words, \xc3\xa9, \xe9\xb3\xa9, \xf0\x9f\x95\x8a"},
      {"\033[2J\a\x7f", true, "?[2J??"},
      {"a\n\tb\r", true, "a\n\tb?"},
      {"a\n\tb\r", false, "a??b?"},
      {"\x80 \xff \xc3", false, "? ? ?"},                     /* cut in the middle, at either end */
      {"\xc0\xaf \xe0\x80\xaf \xf0\x80\x80\xaf", false, "?? ??? ????"}, /* overlong */
      {"\xed\xa0\x80 \xf4\x90\x80\x80", false, "??? ????"},       /* a surrogate, beyond the last */
      {"\xc2\x9b" "31m", false, "??31m"},                      /* a control character of 8 bits */
  };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    char text[64];
    (void)snprintf(text, sizeof text, "%s", rows[i].given);
    hato__clean(text, rows[i].lines);
    ck_assert_str_eq(text, rows[i].shown);
  }
}

LAUNCHERS_MAIN("launchers_services")

/* Which options make which launch, and what of them does not go together. */
#include "command.h"

#include <string.h>

/* ---- modes ---- */

static bool uses(const char *submit, const char *script, const char *name) {
  return hato__command_mentions(submit, name) || hato__command_mentions(script, name);
}

int hato__command_mode(const hato_host *h, const hato_launcher_options *o, command_mode *mode) {
  const char *submit = h->option_string(h, o, "submit"), *script = hato__command_script(h, o);
  bool hold = h->option_bool(h, o, "hold"), array = h->option_bool(h, o, "array");
  bool each = h->option_bool(h, o, "each");
  if (array && (hold || each))
    return h->fail(h, HATO_INVALID, "array=yes and %s=yes exclude each other", hold ? "hold" : "each");
  bool number = uses(submit, script, "i") || uses(submit, script, "index");
  if (array && number)
    return h->fail(h, HATO_INVALID,
                   "array=yes and {i} or {index} exclude each other: an array has one submit for "
                   "all its members");
  if (!array && !hold && !each && !number && !h->option_is_set(h, o, "array"))
    array = uses(submit, script, "n") || uses(submit, script, "last");
  *mode = hold ? COMMAND_HOLD : array ? COMMAND_ARRAY : COMMAND_EACH;
  return HATO_OK;
}

/* ---- what belongs together ---- */

static int check_hold(const hato_host *h, const hato_launcher_options *o) {
  static const char *const unfit[] = {"status", "cancel", "cancel-member", "id"};
  for (size_t i = 0; i < sizeof unfit / sizeof *unfit; i++) {
    if (h->option_is_set(h, o, unfit[i]))
      return h->fail(h, HATO_INVALID,
                     "hold=yes and %s exclude each other: the process of submit is the state and "
                     "is what is ended",
                     unfit[i]);
  }
  if (hato__command_script(h, o) != NULL &&
      !hato__command_mentions(h->option_string(h, o, "submit"), "script"))
    return h->fail(h, HATO_INVALID, "with hold=yes a script is a file: submit lacks {script}");
  return HATO_OK;
}

static int check_expressions(const hato_host *h, const hato_launcher_options *o) {
  command_patterns p;
  char words[300];
  regex_t re;
  if (!hato__command_compile(h->option_list(h, o, "status-row"), h->option_list(h, o, "status-fields"), &p,
                             words, sizeof words))
    return h->fail(h, HATO_INVALID, "%s", words);
  hato__command_patterns_free(&p);
  const char *id = h->option_string(h, o, "id");
  int e = id != NULL ? regcomp(&re, id, REG_EXTENDED) : 0;
  if (e != 0) {
    (void)regerror(e, &re, words, sizeof words);
    return h->fail(h, HATO_INVALID, "id '%s' is no extended regular expression: %s", id, words);
  }
  if (id != NULL) regfree(&re);
  return HATO_OK;
}

/* Names in the templates, by filling them in. */
static int check_templates(const hato_host *h, const hato_launcher_options *o, bool array) {
  static const hato_template_value all[] = {
      {"daemon", "d"}, {"n", "1"},     {"first", "1"}, {"last", "1"},  {"tag", "t"},    {"log_dir", "/"},
      {"log", "/l"},   {"cores", "1"}, {"i", "0"},     {"index", "1"}, {"script", "/s"}};
  static const hato_template_value ids[] = {
      {"ids", "1"}, {"id", "1"}, {"tag", "t"}, {"index", "1"}, {"i", "0"}};
  static const hato_template_value log[] = {{"log_dir", "/"}, {"tag", "t"}, {"i", "0"}, {"index", "1"}};
  const struct {
    const char *name, *text;
    const hato_template_value *values;
    uint32_t n;
  } lines[] = {{"submit", h->option_string(h, o, "submit"), all, array ? 8 : 11},
               {"script", hato__command_script(h, o), all, array ? 8 : 10},
               {"status", h->option_string(h, o, "status"), ids, 3},
               {"cancel", h->option_string(h, o, "cancel"), ids, 3},
               {"cancel-member", h->option_string(h, o, "cancel-member"), ids + 1, 4},
               {"log", h->option_string(h, o, "log"), log, 4}};
  hato_template_value whole[11];
  for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
    if (lines[i].text == NULL) continue;
    memcpy(whole, lines[i].values, lines[i].n * sizeof *whole);
    uint32_t n = lines[i].n;
    if (n == 8 && i == 0) whole[n++] = all[10]; /* an array's submit may have {script} */
    if (h->expand(h, lines[i].text, whole, n) == NULL) {
      h->log(h, HATO_LEVEL_DEBUG, "in option %s", lines[i].name);
      return HATO_INVALID; /* said */
    }
  }
  return HATO_OK;
}

int hato__command_plan(void *state, const hato_host *h, const hato_launcher_options *o,
                       hato_launch_plan *plan) {
  command_mode mode;
  (void)state;
  int rc = hato__command_mode(h, o, &mode);
  if (rc == HATO_OK && mode == COMMAND_HOLD) rc = check_hold(h, o);
  if (rc == HATO_OK && mode != COMMAND_HOLD && h->option_bool(h, o, "waits"))
    rc = h->fail(h, HATO_INVALID, "waits=yes needs hold=yes: what a batch system keeps waiting, status tells");
  if (rc == HATO_OK) rc = check_expressions(h, o);
  if (rc == HATO_OK) rc = check_templates(h, o, mode == COMMAND_ARRAY);
  if (rc != HATO_OK) return rc;
  bool stdin_way = h->option_enum(h, o, "secret") == 1;
  if (stdin_way && mode != COMMAND_HOLD)
    return h->fail(h, HATO_INVALID,
                   "secret=stdin needs hold=yes: a job's standard input is not that of submit");
  plan->secret_ways = stdin_way ? HATO_SECRET_STDIN : HATO_SECRET_FILE;
  if (plan->count == 0) plan->count = (uint32_t)h->option_int(h, o, "count-default");
  if (!h->option_bool(h, o, "needs-listen")) plan->flags &= ~HATO_LAUNCHER_NEEDS_LISTEN;
  if (mode == COMMAND_ARRAY) {
    plan->member_env = h->option_string(h, o, "member-env");
    plan->member_first = (uint32_t)h->option_int(h, o, "member-first");
    if (h->option_string(h, o, "cancel-member") == NULL) plan->flags &= ~HATO_LAUNCHER_CANCELS_MEMBERS;
  }
  return HATO_OK;
}

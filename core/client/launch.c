/* Starting daemons. */
#include "client/internal.h"
#include "base/str.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

/* JSON has no other text: what is no UTF-8 must not be left out in silence. */
static json_t *word(const char *what, const char *value, hato_error *err) {
  char shown[200];
  json_t *j = json_string(value);
  if (j) return j;
  snprintf(shown, sizeof shown, "%s", value);
  hato__clean(shown, false);
  (void)hato__fail(err, HATO_INVALID, "%s: '%s' is not UTF-8", what, shown);
  return NULL;
}

static bool put_text(json_t *q, const char *key, const char *value, hato_error *err) {
  return !value || json_object_set_new(q, key, word(key, value, err)) == 0;
}

static void put_count(json_t *q, const char *key, int value) {
  if (value > 0) json_object_set_new(q, key, json_integer(value));
}

static bool put_list(json_t *q, const char *key, const char *const *list, hato_error *err) {
  json_t *a = list ? json_array() : NULL;
  bool ok = true;
  for (const char *const *t = list; t && *t && ok; t++) ok = json_array_append_new(a, word(key, *t, err)) == 0;
  if (list) json_object_set_new(q, key, a);
  return ok;
}

/* NULL: err has words, if it was given. */
static char *launch_text(const hato_daemons *o, hato_error *err) {
  json_t *q = json_pack("{s:s,s:b}", "op", "launch", "wait", o->wait_ms >= 0);
  (void)hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  bool ok = put_text(q, "profile", o->profile, err) && put_text(q, "launcher", o->launcher, err) &&
            put_list(q, "options", o->options, err) && put_list(q, "argv", o->argv, err);
  put_count(q, "n", o->count);
  put_count(q, "slots", o->slots);
  if (o->timeout_ms > 0) json_object_set_new(q, "launch_timeout", json_real(o->timeout_ms / 1e3));
  if (o->wait_ms > 0) json_object_set_new(q, "wait_for", json_real(o->wait_ms / 1e3));
  if (o->crash_limit) json_object_set_new(q, "crash_limit", json_integer(o->crash_limit < 0 ? 0 : o->crash_limit));
  char *text = ok ? json_dumps(q, JSON_COMPACT) : NULL;
  json_decref(q);
  return text;
}

/* The first member that ended tells best why. */
static hato_status say_ended(const json_t *o, hato_error *err) {
  const json_t *m;
  size_t i;
  json_array_foreach(json_object_get(o, "members"), i, m) {
    const char *state = json_string_value(json_object_get(m, "state"));
    const char *reason = json_string_value(json_object_get(m, "reason"));
    const char *log = json_string_value(json_object_get(m, "log"));
    if (!state || strcmp(state, "ended") != 0) continue;
    return hato__fail(err, HATO_RESET, "a daemon ended before it connected%s%s%s%s", reason ? ": " : "",
                      reason ? reason : "", log ? "; its log ends: " : "", log ? log : "");
  }
  return hato__fail(err, HATO_RESET, "daemons ended before they connected");
}

typedef struct launch_answer {
  uint64_t *launch;
  int *connected;
  hato_status status;
  hato_error *err;
} launch_answer;

static bool take_answer(void *arg, const char *line) {
  launch_answer *a = arg;
  json_t *o = json_loads(line, 0, NULL);
  const char *error = json_string_value(json_object_get(o, "error"));
  bool workers = json_object_get(o, "running") != NULL;
  if (a->launch) *a->launch = (uint64_t)json_integer_value(json_object_get(o, "launch"));
  if (a->connected) *a->connected = (int)json_integer_value(json_object_get(o, "connected"));
  if (!o) {
    a->status = hato__fail(a->err, HATO_PROTOCOL, "the dispatcher's answer is not JSON");
  } else if (error) {
    a->status = hato__fail(a->err, HATO_RESET, "the launch failed: %s", error);
  } else if (!workers && json_integer_value(json_object_get(o, "ended")) > 0) {
    a->status = say_ended(o, a->err);
  }
  json_decref(o);
  return true;
}

hato_status hato_pool_launch(hato_pool *pool, const hato_daemons *daemons, uint64_t *launch, int *connected,
                             hato_error *err) {
  hato_error unseen;
  if (launch) *launch = 0;
  if (connected) *connected = 0;
  if (!daemons || daemons->size < sizeof daemons->size)
    return hato__fail(err, HATO_INVALID, "no daemons are described: a hato_daemons with its size set was wanted");
  hato_daemons o = HATO_DAEMONS_INIT;
  memcpy(&o, daemons, daemons->size < sizeof o ? daemons->size : sizeof o);
  if (o.count < 0 || o.slots < 0)
    return hato__fail(err, HATO_INVALID, "%s: found %d, wanted 0 or more", o.count < 0 ? "count" : "slots",
                      o.count < 0 ? o.count : o.slots);
  if (!err) err = &unseen;
  char *text = launch_text(&o, err);
  if (!text) return err->status;
  hato__error_clear(err);
  launch_answer a = {.launch = launch, .connected = connected, .err = err};
  hato_status st = hato_pool_control(pool, text, HATO_FOREVER, take_answer, &a, err);
  free(text);
  return st ? st : a.status;
}

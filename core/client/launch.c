/* Starting daemons. */
#include "client/internal.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static void put_text(json_t *q, const char *key, const char *value) {
  if (value) json_object_set_new(q, key, json_string(value));
}

static void put_count(json_t *q, const char *key, int value) {
  if (value > 0) json_object_set_new(q, key, json_integer(value));
}

static void put_list(json_t *q, const char *key, const char *const *list) {
  if (!list) return;
  json_t *a = json_array();
  for (const char *const *t = list; *t; t++) json_array_append_new(a, json_string(*t));
  json_object_set_new(q, key, a);
}

static char *launch_text(const hato_daemons *o) {
  json_t *q = json_pack("{s:s,s:b}", "op", "launch", "wait", o->wait_ms >= 0);
  put_text(q, "profile", o->profile);
  put_text(q, "launcher", o->launcher);
  put_count(q, "n", o->count);
  put_count(q, "slots", o->slots);
  put_list(q, "options", o->options);
  put_list(q, "argv", o->argv);
  if (o->timeout_ms > 0) json_object_set_new(q, "launch_timeout", json_real(o->timeout_ms / 1e3));
  if (o->wait_ms > 0) json_object_set_new(q, "wait_for", json_real(o->wait_ms / 1e3));
  if (o->crash_limit) json_object_set_new(q, "crash_limit", json_integer(o->crash_limit < 0 ? 0 : o->crash_limit));
  char *text = q ? json_dumps(q, JSON_COMPACT) : NULL;
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
  if (!daemons || daemons->size < sizeof daemons->size || daemons->count < 0 || daemons->slots < 0)
    return hato__fail(err, HATO_INVALID, "no daemons are described: a hato_daemons with its size set was wanted");
  hato_daemons o = HATO_DAEMONS_INIT;
  memcpy(&o, daemons, daemons->size < sizeof o ? daemons->size : sizeof o);
  char *text = launch_text(&o);
  if (!text) return hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  launch_answer a = {.launch = launch, .connected = connected, .err = err};
  hato_status st = hato_pool_control(pool, text, HATO_FOREVER, take_answer, &a, err);
  free(text);
  return st ? st : a.status;
}

/*
 * drive: the launcher host alone, without a dispatcher, so that a test sees what a launcher says itself.
 *
 *   drive HATO [FIRST_POLL_MS [INTERVAL_MS]]
 *
 * Standard input: a JSON object a line, {"do": "launch" | "adopt" | "plan" | "cancel" | "poll", "id": 1,
 * and of what is launched "launcher", "options", "argv", "count", "tag", "env", "log_dir", "dial_in", "record"
 * (hexadecimal, of adopt), "member" (of cancel)}. Standard output: an event a line. At the end of its input it
 * waits for the launches that were cancelled; the others live on.
 */
#include "base/error.h"
#include "base/str.h"
#include "launchers/host.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WORDS_MAX = 256 };

static const char *const states[] = {"asked", "submitted", "queued", "starting", "running", "ended"};

static void put(json_t *o) {
  char *text = json_dumps(o, JSON_COMPACT);
  if (text != NULL) printf("%s\n", text);
  fflush(stdout);
  free(text);
  json_decref(o);
}

static json_t *member_json(const launchers_member *m) {
  return json_pack("{s:i,s:s,s:b,s:b,s:b,s:i,s:i,s:s,s:s,s:s,s:s,s:s}", "number", (int)m->number, "state",
                   states[m->state], "exit_known", m->exit_known, "cancelled", m->cancelled, "never", m->never,
                   "exit", m->exit_code, "signal", m->signal, "reason", m->reason, "host", m->host, "job", m->job,
                   "log_path", m->log_path, "log", m->log_tail);
}

static void on_event(void *arg, const launchers_event *e) {
  static const char *const types[] = {"submitted", "failed", "member", "trouble", "news", "ended", "planned"};
  (void)arg;
  json_t *o = json_pack("{s:s,s:I,s:i,s:s}", "event", types[e->type], "id", (json_int_t)e->launch, "status",
                        (int)e->status, "text", e->text);
  if (e->member != NULL) json_object_update_new(o, member_json(e->member));
  if (e->record_len > 0) {
    char hex[2 * HATO_RECORD_MAX + 1];
    hato__hex(hex, e->record, e->record_len);
    json_object_set_new(o, "record", json_string(hex));
  }
  if (e->plan != NULL)
    json_object_set_new(o, "plan", json_pack("{s:i,s:i,s:s*,s:i}", "count", (int)e->plan->count, "flags",
                                             (int)e->plan->flags, "member_env", e->plan->member_env, "member_first",
                                             (int)e->plan->member_first));
  put(o);
}

static const char *const *words(const json_t *q, const char *key, const char **out) {
  const json_t *list = json_object_get(q, key);
  size_t n = json_array_size(list);
  if (n == 0 || n >= WORDS_MAX) return NULL;
  for (size_t i = 0; i < n; i++) out[i] = json_string_value(json_array_get(list, i));
  out[n] = NULL;
  return out;
}

static size_t unhex(const char *hex, uint8_t *out, size_t max) {
  size_t n = 0;
  unsigned byte;
  for (; hex != NULL && n < max && sscanf(hex, "%2x", &byte) == 1; hex += 2) out[n++] = (uint8_t)byte;
  return n;
}

static hato_status carry_out(launchers *h, const json_t *q, hato_error *err) {
  const char *options[WORDS_MAX], *argv[WORDS_MAX], *env[WORDS_MAX];
  uint8_t record[HATO_RECORD_MAX];
  const char *what = json_string_value(json_object_get(q, "do"));
  uint64_t id = (uint64_t)json_integer_value(json_object_get(q, "id"));
  const json_t *member = json_object_get(q, "member");
  launchers_request r = {.id = id,
                         .launcher = json_string_value(json_object_get(q, "launcher")),
                         .options = words(q, "options", options),
                         .argv = words(q, "argv", argv),
                         .env = words(q, "env", env),
                         .count = (uint32_t)json_integer_value(json_object_get(q, "count")),
                         .cores = (uint32_t)json_integer_value(json_object_get(q, "cores")),
                         .dial_in = json_is_true(json_object_get(q, "dial_in")),
                         .tag = json_string_value(json_object_get(q, "tag")),
                         .log_dir = json_string_value(json_object_get(q, "log_dir"))};
  hato__error_clear(err);
  if (what == NULL) return hato__fail(err, HATO_INVALID, "\"do\" is missing");
  if (strcmp(what, "launch") == 0) return launchers_launch(h, &r, err);
  if (strcmp(what, "plan") == 0) return launchers_plan(h, &r, err);
  if (strcmp(what, "poll") == 0) {
    launchers_poll_now(h, id);
    return HATO_OK;
  }
  if (strcmp(what, "adopt") == 0)
    return launchers_adopt(
        h, &r, record, unhex(json_string_value(json_object_get(q, "record")), record, sizeof record), err);
  if (strcmp(what, "cancel") == 0)
    return member != NULL ? launchers_cancel_member(h, id, (uint32_t)json_integer_value(member), err)
                          : launchers_cancel(h, id, err);
  return hato__fail(err, HATO_INVALID, "\"do\": \"%s\"", what);
}

static void on_log(void *arg, hato__log_level level, const char *id, const char *text) {
  (void)arg, (void)level;
  fprintf(stderr, "%s %s\n", id, text);
}

int main(int argc, char **argv) {
  hato_error err;
  launchers *h = NULL;
  launchers_options o = {.hato_binary = argc > 1 ? argv[1] : NULL,
                         .event = on_event,
                         .log = {.write = on_log, .level = HATO__LOG_DEBUG},
                         .first_poll_ms = argc > 2 ? (uint32_t)atoi(argv[2]) : 0,
                         .interval_ms = argc > 3 ? (uint32_t)atoi(argv[3]) : 0};
  if (launchers_create(&o, &h, &err) != HATO_OK) {
    fprintf(stderr, "%s\n", err.text);
    return 1;
  }
  char *line = NULL;
  size_t max = 0;
  while (getline(&line, &max, stdin) > 0) {
    json_t *q = json_loads(line, 0, NULL);
    if (carry_out(h, q, &err) != HATO_OK)
      put(json_pack("{s:s,s:I,s:i,s:s}", "event", "refused", "id", json_integer_value(json_object_get(q, "id")),
                    "status", (int)err.status, "text", err.text));
    json_decref(q);
  }
  free(line);
  launchers_destroy(h, 60000);
  return 0;
}

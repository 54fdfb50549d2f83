/* Where a session is served, and whether it still is. */
#include "base/error.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "base/url.h"
#include "session/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool put_text(json_t *j, const char *key, const char *text) {
  return text == NULL || json_object_set_new(j, key, json_string(text)) == 0;
}

static json_t *to_json(const hato__process *self, const hato__address *a) {
  json_t *j = session__process_json(self);
  json_t *urls = json_array();
  bool ok = j != NULL && urls != NULL;
  for (size_t i = 0; ok && a->urls != NULL && a->urls[i] != NULL; i++) {
    ok = json_array_append_new(urls, json_string(a->urls[i])) == 0;
  }
  uint64_t started = a->started ? a->started : hato__wall_now() / HATO__SEC;
  ok = ok && json_object_set_new(j, "version", json_integer(HATO__ADDRESS_VERSION)) == 0;
  ok = ok && json_object_set_new(j, "started", json_integer((json_int_t)started)) == 0;
  ok = ok && put_text(j, "daemons_url", a->daemons_url);
  ok = ok && put_text(j, "local_dir", a->local_dir);
  ok = ok && json_object_set(j, "urls", urls) == 0;
  json_decref(urls);
  if (ok) return j;
  json_decref(j);
  return NULL;
}

hato_status hato__session_publish(hato__session *s, const hato__address *a, hato_error *err) {
  hato__error_clear(err);
  if (!s->locked) return hato__fail(err, HATO_STATE, "session %s is not locked by this process", s->name);
  json_t *j = to_json(&s->self, a);
  char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
  char *path = session__file(s, "address");
  hato_status rc = text && path ? hato__write_file(path, text, strlen(text), 0600, err)
                                : hato__fail(err, HATO_NO_MEMORY,
                                             "no memory for the address of session %s "
                                             "(or an address that is no UTF-8)",
                                             s->name);
  free(path);
  free(text);
  json_decref(j);
  return rc;
}

void hato__address_free(hato__address *a) {
  if (a == NULL) return;
  for (size_t i = 0; a->urls != NULL && a->urls[i] != NULL; i++) free(a->urls[i]);
  free(a->urls);
  free(a->daemons_url);
  free(a->local_dir);
  *a = (hato__address){0};
}

/* An optional text member; false when it is something else or without memory. */
static bool get_text(const json_t *j, const char *key, char **out) {
  const json_t *v = json_object_get(j, key);
  if (v == NULL || json_is_null(v)) return true;
  if (!json_is_string(v)) return false;
  *out = strdup(json_string_value(v));
  return *out != NULL;
}

static bool get_urls(const json_t *j, char ***out) {
  const json_t *urls = json_object_get(j, "urls");
  if (!json_is_array(urls)) return false;
  size_t n = json_array_size(urls);
  *out = calloc(n + 1, sizeof **out);
  if (*out == NULL) return false;
  for (size_t i = 0; i < n; i++) {
    const char *url = json_string_value(json_array_get(urls, i));
    if (url == NULL) return false;
    (*out)[i] = strdup(url);
    if ((*out)[i] == NULL) return false;
  }
  return true;
}

static hato_status from_json(const json_t *j, const char *path, hato__address *a, hato_error *err) {
  const json_t *version = json_object_get(j, "version");
  if (!json_is_integer(version)) return hato__fail(err, HATO_INVALID, "%s is not an address of hato", path);
  if (json_integer_value(version) > HATO__ADDRESS_VERSION) {
    return hato__fail(err, HATO_NOT_SUPPORTED,
                      "%s has version %lld, wanted at most %d: it is of a newer hato", path,
                      (long long)json_integer_value(version), HATO__ADDRESS_VERSION);
  }
  json_int_t started = json_integer_value(json_object_get(j, "started"));
  a->started = started > 0 ? (uint64_t)started : 0;
  if (session__process_parse(j, &a->process) && get_urls(j, &a->urls) &&
      get_text(j, "daemons_url", &a->daemons_url) && get_text(j, "local_dir", &a->local_dir)) {
    return HATO_OK;
  }
  return hato__fail(err, HATO_INVALID, "%s is damaged: wanted host, boot_id, pid, start_time and urls", path);
}

/* Without an address: is one about to come? */
static void say_none(const hato__session *s, hato__address *a) {
  char *lock = session__file(s, "lock");
  json_t *j = NULL;
  hato__process who;
  a->verdict = HATO__SESSION_NONE;
  (void)snprintf(a->words, sizeof a->words, "session %s is not up", s->name);
  if (lock != NULL && session__read_json(lock, &j, NULL) == HATO_OK && session__process_parse(j, &who)) {
    session_judgement judged = session__judge(&who);
    char words[400];
    session__describe(&who, judged, words, sizeof words);
    bool coming = judged == PROCESS_LIVE || judged == PROCESS_ELSEWHERE;
    (void)snprintf(a->words, sizeof a->words,
                   coming ? "session %s is being started by %s"
                          : "session %s is not up; "
                            "its last dispatcher was %s",
                   s->name, words);
  }
  json_decref(j);
  free(lock);
}

static void judge(const hato__session *s, hato__address *a) {
  session_judgement j = session__judge(&a->process);
  char words[400];
  session__describe(&a->process, j, words, sizeof words);
  switch (j) {
  case PROCESS_LIVE:
    a->verdict = HATO__SESSION_LIVE;
    (void)snprintf(a->words, sizeof a->words, "session %s is served by %s", s->name, words);
    break;
  case PROCESS_ELSEWHERE:
    a->verdict = HATO__SESSION_OTHER_HOST;
    if (hato__address_url(a) != NULL) {
      (void)snprintf(a->words, sizeof a->words, "session %s is served by %s", s->name, words);
    } else {
      (void)snprintf(
          a->words, sizeof a->words,
          "session %s is served by %s, only to that host: run this command on %s, or start the session "
          "with --listen",
          s->name, words, a->process.host);
    }
    break;
  default:
    a->verdict = HATO__SESSION_STALE;
    (void)snprintf(a->words, sizeof a->words, "session %s is not up: it was served by %s", s->name, words);
    break;
  }
}

hato_status hato__session_read(const hato__session *s, hato__address *a, hato_error *err) {
  *a = (hato__address){0};
  hato__error_clear(err);
  char *path = session__file(s, "address");
  if (path == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for session %s", s->name);
  json_t *j;
  hato_status rc = session__read_json(path, &j, err);
  if (rc == HATO_NOT_FOUND) {
    hato__error_clear(err);
    say_none(s, a);
    rc = HATO_OK;
  } else if (rc == HATO_OK) {
    rc = from_json(j, path, a, err);
    if (rc == HATO_OK)
      judge(s, a);
    else
      hato__address_free(a);
  }
  json_decref(j);
  free(path);
  return rc;
}

const char *hato__address_url(const hato__address *a) {
  for (size_t i = 0; a->urls != NULL && a->urls[i] != NULL; i++) {
    if (a->verdict != HATO__SESSION_OTHER_HOST || !hato__url_is_local(a->urls[i])) return a->urls[i];
  }
  return NULL;
}

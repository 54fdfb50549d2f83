/* Launches on record. What launchers were asked for stands in a file of the session until it has ended, so that
 * when a dispatcher was killed the next one, or `hato down`, ends what it left: batch jobs that wait in a
 * queue above all, whose daemons would find nobody. */
#include "dispatcher/launch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FILE_MAX (16u << 20)
#define VERSION 1

/* ---- writing ---- */

static json_t *list_json(char *const *list) {
  json_t *a = json_array();
  for (char *const *t = list; t && *t; t++) json_array_append_new(a, json_string(*t));
  return a;
}

static json_t *record_json(const launch *l) {
  if (l->leftover) return json_deep_copy(l->leftover); /* until it has ended it stays as it was written */
  char hex[2 * HATO_RECORD_MAX + 1];
  hato__hex(hex, l->record, l->record_len);
  return json_pack("{s:s,s:s,s:i,s:b,s:o,s:s}", "tag", l->tag, "launcher", l->asked->launcher, "count",
                   (int)l->count, "daemons", l->asked->argv == NULL, "options", list_json(l->asked->options),
                   "record", hex);
}

static char *all_records(dispatcher *d) {
  json_t *list = json_array();
  launch *l, *next;
  dispatcher_lock(d);
  HASH_ITER(hh, d->launches, l, next) {
    if (l->recorded && !l->over) json_array_append_new(list, record_json(l));
  }
  dispatcher_unlock(d);
  char *text = NULL;
  if (json_array_size(list) > 0) {
    json_t *o = json_pack("{s:i,s:O}", "version", VERSION, "launches", list);
    text = o ? json_dumps(o, JSON_INDENT(1)) : NULL;
    json_decref(o);
  }
  json_decref(list);
  return text;
}

void dispatcher_launch_write(dispatcher *d) {
  hato_error err = {0};
  if (!d->launches_file) return;
  pthread_mutex_lock(&d->launches_lock); /* one writer at a time, so that the last state stands */
  char *text = all_records(d);
  if (text) {
    d->launches_written = true;
    if (hato__write_file(d->launches_file, text, strlen(text), 0600, &err))
      hato__warn(&d->log, "LAUNCHES-UNWRITTEN", "launches are not on record, should this process be killed: %s",
                 err.text);
  } else if (d->launches_written && (unlink(d->launches_file) == 0 || errno == ENOENT)) {
    d->launches_written = false;
  }
  free(text);
  pthread_mutex_unlock(&d->launches_lock);
}

/* ---- what a killed dispatcher left ---- */

static bool take_record(launch *l, const json_t *o) {
  const char *tag = json_string_value(json_object_get(o, "tag"));
  const char *record = json_string_value(json_object_get(o, "record"));
  json_int_t count = json_integer_value(json_object_get(o, "count"));
  size_t len = record ? strlen(record) / 2 : 0;
  if (!tag || !*tag || strlen(tag) > HATO_TAG_MAX || count < 1 || count > HATO_LAUNCH_MAX || len > sizeof l->record ||
      (len > 0 && !hato__unhex(l->record, len, record)))
    return false;
  snprintf(l->tag, sizeof l->tag, "%s", tag);
  l->wanted = (unsigned)count;
  l->record_len = len;
  l->recorded = true;
  l->leftover = json_deep_copy(o);
  return l->leftover != NULL;
}

static asked *asked_of(const json_t *o) {
  const char *launcher = json_string_value(json_object_get(o, "launcher"));
  const json_t *list = json_object_get(o, "options"), *v;
  size_t i, n = json_array_size(list);
  asked *a = launcher ? dispatcher_asked_new() : NULL;
  if (!a) return NULL;
  a->launcher = hato__printf("%s", launcher);
  a->options = calloc(n + 1, sizeof *a->options);
  bool ok = a->launcher && a->options;
  if (ok) json_array_foreach(list, i, v) {
    a->options[i] = json_string_value(v) ? hato__printf("%s", json_string_value(v)) : NULL;
    ok = ok && a->options[i];
  }
  if (ok) return a;
  dispatcher_asked_free(a);
  return NULL;
}

/* Has one ended; false: it is none. Without the lock. */
static bool end_one(dispatcher *d, const json_t *o) {
  asked *a = asked_of(o);
  hato_error err = {0};
  dispatcher_lock(d);
  launch *l = a ? dispatcher_launch_add(d, a) : NULL;
  if (!l || !take_record(l, o)) {
    if (l) dispatcher_launch_drop(l);
    if (!l) dispatcher_asked_free(a);
    dispatcher_unlock(d);
    return false;
  }
  launchers_request q = {.id = l->id,
                         .launcher = a->launcher,
                         .options = (const char *const *)a->options,
                         .count = l->wanted,
                         .tag = l->tag,
                         .dial_in = json_is_true(json_object_get(o, "daemons")),
                         .log_dir = d->log_dir};
  d->leftovers++;
  hato_status st = launchers_adopt(d->launchers, &q, l->record, l->record_len, &err);
  if (!st) st = launchers_cancel(d->launchers, l->id, &err);
  if (st) {
    hato__warn(&d->log, "LEFTOVER-KEPT", "launch %s by %s, of a dispatcher that was killed, cannot be ended now: %s",
               l->tag, a->launcher, err.text);
    d->leftovers--;
    l->over = false; /* it stays on record */
  }
  dispatcher_unlock(d);
  return true;
}

/* What it names may still be queued somewhere, and only somebody can tell: it is put aside, not lost. */
static void put_aside(dispatcher *d, const char *why) {
  char *aside = hato__printf("%s.unread", d->launches_file);
  bool moved = aside && rename(d->launches_file, aside) == 0;
  hato__warn(&d->log, "LAUNCHES-UNREAD",
             "what a killed dispatcher had launched may still be queued or running: %s: %s%s%s", d->launches_file, why,
             moved ? "; it is kept as " : "", moved ? aside : "");
  d->launches_written = moved;
  free(aside);
}

void dispatcher_launch_leftover_event(launch *l, const launchers_event *e) {
  dispatcher *d = l->d;
  bool gone = e->type == LAUNCHERS_ENDED || (e->type == LAUNCHERS_FAILED && e->status == HATO_NOT_FOUND);
  if (!gone && e->type != LAUNCHERS_FAILED) return;
  d->leftovers--;
  if (gone) {
    hato__notice(&d->log, "LEFTOVER-ENDED", "launch %s by %s, of a dispatcher that was killed: %s", l->tag,
                 l->asked->launcher, e->type == LAUNCHERS_ENDED ? "what was left of it is ended" : "nothing was left");
    l->recorded = false;
    dispatcher_launch_drop(l);
  } else {
    hato__warn(&d->log, "LEFTOVER-KEPT", "launch %s by %s, of a dispatcher that was killed, cannot be ended now: %s",
               l->tag, l->asked->launcher, e->text);
  }
  pthread_cond_broadcast(&d->end);
}

void dispatcher_launch_leftovers(dispatcher *d) {
  hato__buf text = {0};
  hato_error err = {0};
  json_error_t bad;
  if (!d->launches_file) return;
  hato_status st = hato__read_file(d->launches_file, FILE_MAX, &text, &err);
  if (st == HATO_NOT_FOUND) return;
  pthread_mutex_lock(&d->launches_lock); /* what ends at once does not rewrite the file before it is put aside */
  json_t *o = st ? NULL : json_loadb((const char *)text.data, text.len, 0, &bad);
  const json_t *list = json_object_get(o, "launches"), *one;
  hato__buf_free(&text);
  d->launches_written = true;
  bool whole = json_is_array(list) && json_integer_value(json_object_get(o, "version")) == VERSION;
  size_t i, n = 0;
  json_array_foreach(list, i, one) n += end_one(d, one);
  if (st) put_aside(d, err.text);
  else if (!whole) put_aside(d, "the record is damaged or of another version");
  else if (n < i) put_aside(d, "a part of the record is damaged");
  pthread_mutex_unlock(&d->launches_lock);
  json_decref(o);
  dispatcher_launch_write(d);
}

unsigned dispatcher_launch_leftovers_wait(dispatcher *d, uint64_t until) {
  struct timespec ts = {.tv_sec = (time_t)(until / HATO__SEC), .tv_nsec = (long)(until % HATO__SEC)};
  dispatcher_lock(d);
  while (d->leftovers > 0)
    if (pthread_cond_timedwait(&d->end, &d->lock, &ts) != 0) break;
  unsigned kept = 0;
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) kept += l->leftover != NULL;
  dispatcher_unlock(d);
  return kept;
}

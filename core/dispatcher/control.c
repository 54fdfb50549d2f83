/* Requests in JSON. */
#include "dispatcher/internal.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* ---- answers ---- */

void dispatcher_control_reply(client *c, uint32_t token, json_t *answer) {
  if (c->peer.closed) {
    json_decref(answer);
    return;
  }
  char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
  json_decref(answer);
  if (!text) {
    net_close(c->peer.conn, HATO_NO_MEMORY, "out of memory");
    return;
  }
  size_t len = strlen(text), at = 0, room = PROTO_BODY_MAX - 64;
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&c->peer, &begun);
  text[len++] = '\n'; /* in the place of the terminator: it is sent by length */
  do {
    size_t n = len - at < room ? len - at : room;
    proto_reply_encode(b, token, at + n == len, text + at, n);
    at += n;
  } while (at < len);
  dispatcher_outbox_done(&c->peer, begun);
  free(text);
}

void dispatcher_control_fail(client *c, uint32_t token, hato_status status, const char *fmt, ...) {
  hato_error e = {0};
  va_list args;
  va_start(args, fmt);
  vsnprintf(e.text, sizeof e.text, fmt, args);
  va_end(args);
  hato__clean(e.text, true); /* it may quote what is no UTF-8, or was cut within a character */
  dispatcher_control_reply(c, token, json_pack("{s:s,s:i}", "error", e.text, "status", (int)status));
}

/* ---- what requests have in common ---- */

/* "tasks": text, or "all": true. Fails the request and returns false when neither is right. */
static bool ranges_of(client *c, uint32_t token, const json_t *q, hato__range **ranges, size_t *n) {
  hato_error err;
  *ranges = NULL;
  *n = 0;
  const json_t *tasks = json_object_get(q, "tasks");
  if (json_is_true(json_object_get(q, "all"))) {
    *ranges = malloc(sizeof **ranges);
    if (*ranges) {
      **ranges = (hato__range){1, UINT64_MAX - 1};
      *n = 1;
      return true;
    }
    dispatcher_control_fail(c, token, HATO_NO_MEMORY, "no memory");
    return false;
  }
  if (!json_is_string(tasks)) {
    dispatcher_control_fail(c, token, HATO_INVALID,
                            "the request names no tasks: \"tasks\": \"1-9,12\" or \"all\": true was wanted");
    return false;
  }
  if (hato__ranges_parse(json_string_value(tasks), ranges, n, &err) == HATO_OK) return true;
  dispatcher_control_fail(c, token, err.status, "%s", err.text);
  free(*ranges); /* those before the one that is none */
  return false;
}

/* Every number is one that was given to a task; else the request fails, naming the first that was not. */
static bool known(client *c, uint32_t token, const hato__range *ranges, size_t n, bool all) {
  const dispatcher *d = c->peer.d;
  for (size_t i = 0; !all && i < n; i++) {
    if (ranges[i].last < d->next_task && ranges[i].first > 0) continue;
    if (d->next_task == 1) {
      dispatcher_control_fail(c, token, HATO_NOT_FOUND, "no task %llu: this session has none yet",
                              (unsigned long long)ranges[i].last);
    } else {
      dispatcher_control_fail(c, token, HATO_NOT_FOUND, "no task %llu: this session's are 1-%llu",
                              (unsigned long long)(ranges[i].first == 0 ? 0 : ranges[i].last),
                              (unsigned long long)(d->next_task - 1));
    }
    return false;
  }
  return true;
}

/* ---- the requests ---- */

static void do_status(client *c, uint32_t token, const json_t *q) {
  (void)q;
  dispatcher_control_reply(c, token, dispatcher_status_json(c->peer.d));
}

static void do_tasks(client *c, uint32_t token, const json_t *q) {
  hato__range *ranges;
  size_t n;
  bool all = !json_object_get(q, "tasks");
  if (all) {
    ranges = malloc(sizeof *ranges);
    n = 1;
    if (ranges) *ranges = (hato__range){1, UINT64_MAX - 1};
  } else if (!ranges_of(c, token, q, &ranges, &n)) {
    return;
  }
  if (known(c, token, ranges, n, all)) {
    dispatcher_tasks_list(c, token, ranges, n, json_string_value(json_object_get(q, "state")));
  } else {
    free(ranges);
  }
}

static void do_wait(client *c, uint32_t token, const json_t *q) {
  hato__range *ranges;
  size_t n;
  bool all = json_is_true(json_object_get(q, "all"));
  if (!ranges_of(c, token, q, &ranges, &n)) return;
  if (known(c, token, ranges, n, all)) {
    dispatcher_waits_begin(c, token, ranges, n, json_is_true(json_object_get(q, "any")));
  } else {
    free(ranges);
  }
}

static void do_cancel(client *c, uint32_t token, const json_t *q) {
  dispatcher *d = c->peer.d;
  hato__range *ranges;
  size_t n;
  bool all = json_is_true(json_object_get(q, "all"));
  if (!ranges_of(c, token, q, &ranges, &n)) return;
  if (known(c, token, ranges, n, all)) {
    for (size_t i = 0; i < n; i++)
      sched_cancel(d->sched, hato__now(), ranges[i].first, ranges[i].last, 0, HATO_CANCELLED);
    uint64_t cancelled = dispatcher_waits_unresolved(d, ranges, n);
    dispatcher_control_reply(c, token, json_pack("{s:I}", "cancelled", (json_int_t)cancelled));
  }
  free(ranges);
}

static void do_forget(client *c, uint32_t token, const json_t *q) {
  dispatcher *d = c->peer.d;
  hato__range *ranges;
  size_t n;
  uint64_t forgotten = 0;
  bool all = json_is_true(json_object_get(q, "all"));
  if (!ranges_of(c, token, q, &ranges, &n)) return;
  if (known(c, token, ranges, n, all)) {
    for (size_t i = 0; i < n; i++) forgotten += dispatcher_kept_forget(d, ranges[i].first, ranges[i].last);
    dispatcher_control_reply(c, token, json_pack("{s:I}", "forgotten", (json_int_t)forgotten));
  }
  free(ranges);
}

static uint64_t unresolved(const dispatcher *d) {
  sched_counts n = sched_count(d->sched);
  return n.queued + n.sent + n.running;
}

static void do_down(client *c, uint32_t token, const json_t *q) {
  dispatcher *d = c->peer.d;
  uint64_t left = unresolved(d);
  (void)q;
  dispatcher_control_reply(c, token, json_pack("{s:I}", "unresolved", (json_int_t)left));
  dispatcher_ask(d, "a client asked for it");
}

static void do_reset(client *c, uint32_t token, const json_t *q) {
  dispatcher *d = c->peer.d;
  uint64_t left = unresolved(d);
  (void)q;
  sched_cancel(d->sched, hato__now(), 1, UINT64_MAX - 1, 0, HATO_RESET);
  dispatcher_control_reply(c, token, json_pack("{s:I}", "unresolved", (json_int_t)left));
  dispatcher_ask(d, "a client reset the session");
}

static void do_security(client *c, uint32_t token, const json_t *q) {
  (void)q;
  dispatcher_control_reply(c, token, dispatcher_security_json(c->peer.d));
}

static void do_launchers(client *c, uint32_t token, const json_t *q) {
  (void)q;
  dispatcher_launch_list_launchers(c, token);
}

typedef struct request {
  const char *op;
  void (*run)(client *c, uint32_t token, const json_t *q);
  bool unlocked; /* it blocks: it is called without the lock */
} request;

static const request requests[] = {
    {"status", do_status, false}, {"tasks", do_tasks, false}, {"wait", do_wait, false},
    {"cancel", do_cancel, false}, {"forget", do_forget, false}, {"down", do_down, false},
    {"reset", do_reset, false}, {"launchers", do_launchers, false}, {"security", do_security, false},
    {"launch", dispatcher_launch_asked, true}, {"credentials", dispatcher_security_asked, true},
};
#define N_REQUESTS (sizeof requests / sizeof *requests)

/* NULL: the request has failed. */
static const request *request_of(client *c, uint32_t token, const char *op) {
  const char *names[N_REQUESTS + 1] = {NULL};
  for (size_t i = 0; i < N_REQUESTS; i++) {
    if (strcmp(requests[i].op, op) == 0) return &requests[i];
    names[i] = requests[i].op;
  }
  const char *near = hato__nearest(op, names);
  dispatcher_control_fail(c, token, HATO_NOT_SUPPORTED, "no request \"%s\"%s%s%s", op, near ? "; did you mean \"" : "",
                          near ? near : "", near ? "\"?" : "");
  return NULL;
}

void dispatcher_control_request(client *c, const proto_text *m) {
  dispatcher *d = c->peer.d;
  const request *r = NULL;
  json_error_t bad;
  json_t *q = json_loadb(m->text, m->len, 0, &bad);
  const char *op = json_string_value(json_object_get(q, "op"));
  dispatcher_lock(d);
  if (!q) {
    dispatcher_control_fail(c, m->token, HATO_INVALID, "the request is not JSON: %s at %d", bad.text,
                            bad.position);
  } else if (!op) {
    dispatcher_control_fail(c, m->token, HATO_INVALID, "the request has no \"op\"");
  } else {
    r = request_of(c, m->token, op);
  }
  if (r && !r->unlocked) r->run(c, m->token, q);
  dispatcher_unlock(d);
  if (r && r->unlocked) r->run(c, m->token, q);
  json_decref(q);
}

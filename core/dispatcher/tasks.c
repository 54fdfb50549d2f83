/* Lists of tasks, made in parts as the client takes them, so that a million of
 * them is never held. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

#define PART 500 /* looks at tasks for a part */

typedef struct span { /* a submission's tasks, by number: it may be gone when its turn comes */
  uint64_t first, last;
} span;

struct lister {
  uint32_t token;
  char state[16]; /* "": any */
  span *spans;
  size_t n, cap, at;
  uint64_t next; /* task of spans[at] */
};

static const char *const states[] = {"queued", "sent", "running", "done", "failed", NULL};

static bool span_add(lister *l, const submission *s, const hato__range *r) {
  uint64_t last = s->first + s->count - 1;
  span x = {r->first > s->first ? r->first : s->first, r->last < last ? r->last : last};
  if (x.first > x.last) return true;
  if (l->n == l->cap) {
    size_t cap = l->cap ? l->cap * 2 : 64;
    span *spans = realloc(l->spans, cap * sizeof *spans);
    if (!spans) return false;
    l->spans = spans;
    l->cap = cap;
  }
  l->spans[l->n++] = x;
  return true;
}

static int by_first(const void *a, const void *b) {
  const span *x = a, *y = b;
  return x->first < y->first ? -1 : x->first > y->first;
}

static bool collect(dispatcher *d, lister *l, const hato__range *r) {
  for (size_t i = dispatcher_kept_from(d, r->first); i < d->n_detached && d->detached[i]->first <= r->last;
       i++)
    if (!span_add(l, d->detached[i], r)) return false;
  client *c, *next_c;
  HASH_ITER(hh, d->clients, c, next_c) {
    submission *s, *next_s;
    HASH_ITER(hh, c->by_seq, s, next_s) {
      if (!s->detached && !span_add(l, s, r)) return false;
    }
  }
  return true;
}

void dispatcher_tasks_free(client *c) {
  if (!c->lister) return;
  free(c->lister->spans);
  free(c->lister);
  c->lister = NULL;
}

void dispatcher_tasks_list(client *c, uint32_t token, hato__range *ranges, size_t n, const char *state) {
  bool good = !state;
  for (size_t i = 0; state && states[i]; i++) good |= strcmp(state, states[i]) == 0;
  lister *l = good && !c->lister ? calloc(1, sizeof *l) : NULL;
  if (!good) {
    dispatcher_control_fail(c, token, HATO_INVALID,
                            "no state \"%s\": queued, sent, running, done or failed was wanted", state);
  } else if (c->lister) {
    dispatcher_control_fail(c, token, HATO_BUSY, "this client is still being sent a list of tasks");
  } else if (!l) {
    dispatcher_control_fail(c, token, HATO_NO_MEMORY, "no memory for a list of tasks");
  } else {
    l->token = token;
    if (state) strcpy(l->state, state);
    bool all = true;
    for (size_t i = 0; i < n; i++) all = all && collect(c->peer.d, l, &ranges[i]);
    c->lister = l;
    if (!all) dispatcher_control_fail(c, token, HATO_NO_MEMORY, "no memory for a list of tasks");
    if (l->n) qsort(l->spans, l->n, sizeof *l->spans, by_first);
    l->next = l->n ? l->spans[0].first : 0;
    if (!all) dispatcher_tasks_free(c);
    if (all) dispatcher_tasks_more(c);
  }
  free(ranges);
}

/* ---- a task ---- */

typedef struct seen { /* what a task is now */
  const char *state;  /* NULL: it is not known any more */
  const submission *sub;
  brief brief;
  sched_task_info info;
} seen;

static const char *live_state(const seen *x) {
  switch (x->info.state) {
  case SCHED_QUEUED:
    return "queued";
  case SCHED_SENT:
    return "sent";
  case SCHED_RUNNING:
    return "running";
  case SCHED_RESOLVED:
    return x->sub ? "running" : NULL; /* the last of its output is still to come */
  default:
    return x->sub ? "queued" : NULL; /* its argument is */
  }
}

/* *alike: at least so many tasks of its submission, from it on, are in the same state. */
static seen look(dispatcher *d, uint64_t task, uint64_t *alike) {
  seen x = {.sub = dispatcher_kept_find(d, task)};
  uint64_t kept = UINT64_MAX;
  if (x.sub) x.brief = dispatcher_kept_brief(x.sub, task, &kept);
  *alike = kept;
  if (x.brief.forgotten) return x;
  if (x.brief.resolved) {
    x.state = x.brief.error || x.brief.wait_status ? "failed" : "done";
    return x;
  }
  x.info = sched_find(d->sched, task);
  x.state = live_state(&x);
  uint64_t n = sched_alike(d->sched, task);
  if (n < kept) *alike = n;
  if (!x.sub && x.info.data) x.sub = ((const chunk *)x.info.data)->sub;
  return x;
}

static void add_resolved(json_t *o, const brief *b) {
  if (b->error) {
    json_object_set_new(o, "error", json_integer(b->error));
    json_object_set_new(o, "words", json_string(hato_strerror(b->error)));
  } else if ((b->wait_status & 0x7f) != 0) {
    json_object_set_new(o, "signal", json_integer(b->wait_status & 0x7f));
  } else {
    json_object_set_new(o, "exit", json_integer((b->wait_status >> 8) & 0xff));
  }
  json_object_set_new(o, "wall", json_real((double)b->wall_s));
}

static void add_live(dispatcher *d, json_t *o, const sched_task_info *t) {
  worker *w = NULL;
  if (t->daemon) HASH_FIND(hh, d->workers, &t->daemon, sizeof t->daemon, w);
  if (w) {
    json_object_set_new(o, "daemon", json_integer(w->number));
    json_object_set_new(o, "host", json_string(w->host));
  }
  if (t->state == SCHED_RUNNING)
    json_object_set_new(o, "running_for", json_real((double)(hato__now() - t->started_ns) / 1e9));
  if (t->attempt) json_object_set_new(o, "attempt", json_integer(t->attempt));
}

static void add_line(dispatcher *d, hato__buf *text, uint64_t task, const seen *x) {
  const submission *s = x->sub;
  json_t *o = json_pack("{s:I,s:s,s:s}", "task", (json_int_t)task, "state", x->state, "command",
                        s->spec->title ? s->spec->title : "");
  if (!o) return;
  if (s->count > 1) json_object_set_new(o, "index", json_integer((json_int_t)(task - s->first + 1)));
  json_object_set_new(o, "detached", json_boolean(s->detached));
  if (x->brief.resolved) {
    add_resolved(o, &x->brief);
  } else {
    add_live(d, o, &x->info);
  }
  char *line = json_dumps(o, JSON_COMPACT);
  if (line) hato__buf_printf(text, "%s\n", line);
  free(line);
  json_decref(o);
}

/* Adds the next task, or passes over those that are not wanted. */
static void step(dispatcher *d, lister *l, hato__buf *text) {
  uint64_t last = l->spans[l->at].last, alike;
  seen x = look(d, l->next, &alike);
  bool wanted = x.state && (!*l->state || strcmp(x.state, l->state) == 0);
  if (wanted) add_line(d, text, l->next, &x);
  if (wanted) alike = 1;
  if (alike <= last - l->next) {
    l->next += alike;
  } else if (++l->at < l->n) {
    l->next = l->spans[l->at].first;
  }
}

/* Titles are at most 200 bytes, so that a part fits a frame; looking stops early at half of one. */
bool dispatcher_tasks_more(client *c) {
  lister *l = c->lister;
  if (!l) return false;
  dispatcher *d = c->peer.d;
  hato__buf text = {0};
  for (int i = 0; i < PART && l->at < l->n && text.len < PROTO_BODY_MAX / 2; i++) step(d, l, &text);
  bool last = l->at == l->n;
  uint32_t token = l->token;
  if (last) dispatcher_tasks_free(c);
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&c->peer, &begun);
  proto_reply_encode(b, token, last, (const char *)text.data, text.len);
  dispatcher_outbox_done(&c->peer, begun);
  hato__buf_free(&text);
  return true;
}

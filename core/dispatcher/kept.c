/* Results of detached tasks: a summary in memory, the record in the spool, until
 * they are forgotten or past their time. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

/* With less room than this in the spool, detached tasks are not started. */
static uint64_t low_water(dispatcher *d) {
  uint64_t part = hato__spool_limit(d->spool) / 16;
  return part < (64u << 20) ? part : (64u << 20);
}

static void check_room(dispatcher *d) {
  bool low = !hato__spool_has_room(d->spool, low_water(d));
  if (low == d->spool_paused) return;
  d->spool_paused = low;
  sched_owner_pause(d->sched, SCHED_SHARED_OWNER, low);
  if (low) {
    hato__warn(&d->log, "SPOOL-FULL", "the spool in %s is nearly full: detached tasks wait until results are forgotten",
               d->local_dir);
  } else {
    hato__notice(&d->log, "SPOOL-ROOM", "the spool in %s has room again", d->local_dir);
  }
}

/* ---- which submission ---- */

hato_status kept_add(submission *s) {
  dispatcher *d = s->d;
  if (d->n_detached == d->cap_detached) {
    size_t cap = d->cap_detached ? d->cap_detached * 2 : 16;
    submission **l = realloc(d->detached, cap * sizeof *l);
    if (!l) return HATO_NO_MEMORY;
    d->detached = l;
    d->cap_detached = cap;
  }
  size_t pages = (size_t)((s->count + BRIEF_PAGE - 1) / BRIEF_PAGE);
  s->briefs = calloc(pages, sizeof *s->briefs);
  if (!s->briefs) return HATO_NO_MEMORY;
  d->detached[d->n_detached++] = s; /* numbers only grow, so this is the order */
  d->kept += s->count;
  d->uncollected += s->count;
  HASH_ADD(by_identity, d->identities, identity, sizeof s->identity, s);
  return HATO_OK;
}

size_t kept_from(const dispatcher *d, uint64_t task) {
  size_t low = 0, high = d->n_detached;
  while (low < high) {
    size_t mid = low + (high - low) / 2;
    const submission *s = d->detached[mid];
    if (s->first + s->count - 1 < task) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  return low;
}

submission *kept_find(dispatcher *d, uint64_t task) {
  size_t i = kept_from(d, task);
  if (i == d->n_detached || d->detached[i]->first > task) return NULL;
  return d->detached[i];
}

/* ---- summaries ---- */

const brief *kept_brief(const submission *s, uint64_t task) {
  uint64_t i = task - s->first;
  const brief *page = s->briefs ? s->briefs[i / BRIEF_PAGE] : NULL;
  return page ? &page[i % BRIEF_PAGE] : NULL;
}

static brief *brief_make(submission *s, uint64_t task) {
  uint64_t i = task - s->first;
  brief **page = &s->briefs[i / BRIEF_PAGE];
  if (!*page) *page = calloc(BRIEF_PAGE, sizeof **page);
  return *page ? &(*page)[i % BRIEF_PAGE] : NULL;
}

static void put_record(submission *s, brief *b, const void *record, uint32_t len) {
  hato_error err;
  if (hato__spool_put(s->d->spool, record, len, &b->record, &err) == HATO_OK) {
    check_room(s->d);
    return;
  }
  b->record = (hato__spool_ref){0};
  if (b->error == 0) b->error = HATO_NO_SPACE;
  hato__error(&s->d->log, "RESULT-LOST", "the output of a task could not be kept: %s", err.text);
  check_room(s->d);
}

void kept_record(submission *s, const proto_result *r, int error) {
  brief *b = brief_make(s, r->task);
  if (!b) {
    hato__error(&s->d->log, "RESULT-LOST", "task %llu: no memory for its result", (unsigned long long)r->task);
    return;
  }
  b->resolved = true;
  b->error = (uint16_t)error;
  b->wait_status = r->wait_status;
  b->wall_s = (float)((double)r->wall_ns / 1e9);
  if (error == r->error) {
    put_record(s, b, r->raw, r->raw_len);
    return;
  }
  static const char cut[] = "its output could not be kept whole";
  proto_result changed = *r;
  hato__buf record = {0};
  changed.error = (uint16_t)error;
  changed.words = cut;
  changed.words_len = sizeof cut - 1;
  proto_result_encode(&record, &changed);
  if (!record.failed) put_record(s, b, record.data, (uint32_t)record.len);
  hato__buf_free(&record);
}

void kept_error(submission *s, uint64_t first, uint64_t count, int error, const char *words) {
  for (uint64_t t = first; t < first + count; t++) {
    brief *b = brief_make(s, t);
    if (!b) continue;
    b->resolved = true;
    b->error = (uint16_t)error;
    if (!words || !*words) continue;
    hato__buf rec = {0};
    proto_result r = {
        .task = t, .error = (uint16_t)error, .words = words, .words_len = (uint32_t)strlen(words)};
    proto_result_encode(&rec, &r);
    if (!rec.failed) put_record(s, b, rec.data, (uint32_t)rec.len);
    hato__buf_free(&rec);
  }
}

/* ---- what lies beyond a record ---- */

void kept_rest(submission *s, const stream_key *key, hato__spool_ref ref) {
  rest *r = calloc(1, sizeof *r);
  if (!r) {
    hato__spool_free(s->d->spool, &ref);
    return;
  }
  r->key = *key;
  r->key.attempt = 0;
  r->ref = ref;
  HASH_ADD(hh, s->d->rests, key, sizeof r->key, r);
  check_room(s->d);
}

static rest *rest_find(dispatcher *d, uint64_t task, uint32_t channel) {
  stream_key key;
  rest *r = NULL;
  memset(&key, 0, sizeof key);
  key.task = task;
  key.channel = channel;
  HASH_FIND(hh, d->rests, &key, sizeof key, r);
  return r;
}

/* ---- fetching ---- */

submission *kept_again(dispatcher *d, uint64_t client_id, uint64_t seq) {
  submission *s = NULL;
  uint64_t key[2] = {client_id, seq};
  HASH_FIND(by_identity, d->identities, key, sizeof key, s);
  return s;
}

static void collect(dispatcher *d, brief *b) {
  if (!b->collected) d->uncollected--;
  b->collected = true;
}

static void fetch_none(client *c, uint64_t task, int value) {
  size_t begun;
  hato__buf *b = outbox_bytes(&c->peer, &begun);
  proto_run run = {.first = task, .count = 1, .value = (uint16_t)value};
  proto_runs_encode(b, PROTO_RESOLVED, &run, 1);
  outbox_done(&c->peer, begun);
}

static void fetch_rest(client *c, uint64_t task, uint32_t attempt, uint32_t channel) {
  rest *r = rest_find(c->peer.d, task, channel);
  stream_key key;
  memset(&key, 0, sizeof key);
  key.task = task;
  key.attempt = attempt;
  key.channel = channel;
  spooled_send(&c->peer, &key, r ? r->ref : (hato__spool_ref){0});
  spooled_credit(&c->peer, &key, PROTO_WINDOW);
}

void kept_fetch(client *c, uint64_t task) {
  dispatcher *d = c->peer.d;
  submission *s = kept_find(d, task);
  brief *b = s && kept_brief(s, task) ? brief_make(s, task) : NULL;
  if (!s || (b && b->forgotten)) {
    fetch_none(c, task, HATO_NOT_FOUND);
    return;
  }
  if (!b || !b->resolved) {
    fetch_none(c, task, HATO_STATE);
    return;
  }
  collect(d, b);
  if (b->record.len == 0) {
    fetch_none(c, task, b->error ? b->error : HATO_NO_SPACE);
    return;
  }
  uint8_t *record = malloc(b->record.len);
  size_t got = 0;
  hato_error err;
  proto_result r;
  if (!record || hato__spool_read(d->spool, b->record, 0, record, b->record.len, &got, &err) ||
      proto_result_decode(&r, record, got, &err)) {
    hato__error(&d->log, "SPOOL-READ", "task %llu: its kept result cannot be read: %s", (unsigned long long)task,
                record ? err.text : "no memory");
    fetch_none(c, task, HATO_SYSTEM);
  } else {
    size_t begun;
    hato__buf *out = outbox_bytes(&c->peer, &begun);
    proto_results_writer w;
    proto_results_begin(&w, out);
    proto_results_add_raw(&w, record, (uint32_t)got);
    proto_results_end(&w);
    outbox_done(&c->peer, begun);
    if (r.flags & PROTO_RESULT_OUT_MORE) fetch_rest(c, task, r.attempt, PROTO_CH_OUT);
    if (r.flags & PROTO_RESULT_ERR_MORE) fetch_rest(c, task, r.attempt, PROTO_CH_ERR);
  }
  free(record);
}

/* ---- forgetting ---- */

static void forget_one(submission *s, uint64_t task, brief *b) {
  dispatcher *d = s->d;
  if (b->record.len) hato__spool_free(d->spool, &b->record);
  for (uint32_t channel = PROTO_CH_OUT; d->rests && channel <= PROTO_CH_ERR; channel++) {
    rest *r = rest_find(d, task, channel);
    if (!r) continue;
    spooled_end(d, task, channel, &r->ref);
    HASH_DEL(d->rests, r);
    free(r);
  }
  collect(d, b);
  b->forgotten = true;
  s->forgotten++;
  d->kept--;
}

void kept_free(submission *s) {
  dispatcher *d = s->d;
  if (!s->briefs) return;
  for (uint64_t i = 0; i < (s->count + BRIEF_PAGE - 1) / BRIEF_PAGE; i++) free(s->briefs[i]);
  free(s->briefs);
  s->briefs = NULL;
  HASH_DELETE(by_identity, d->identities, s);
  size_t at = kept_from(d, s->first);
  if (at == d->n_detached || d->detached[at] != s) return;
  d->n_detached--;
  memmove(&d->detached[at], &d->detached[at + 1], (d->n_detached - at) * sizeof *d->detached);
}

uint64_t kept_forget(dispatcher *d, uint64_t first, uint64_t last) {
  uint64_t n = 0;
  for (size_t i = kept_from(d, first); i < d->n_detached && d->detached[i]->first <= last;) {
    submission *s = d->detached[i];
    uint64_t from = first > s->first ? first : s->first;
    uint64_t to = last < s->first + s->count - 1 ? last : s->first + s->count - 1;
    for (uint64_t t = from; t <= to; t++) {
      brief *b = s->briefs[(t - s->first) / BRIEF_PAGE];
      if (!b) continue;
      b += (t - s->first) % BRIEF_PAGE;
      if (!b->resolved || b->forgotten) continue;
      forget_one(s, t, b);
      n++;
    }
    uint64_t end = s->first + s->count;
    submission_settle(s); /* may free it and take it from the list */
    i = kept_from(d, end);
  }
  check_room(d);
  return n;
}

void kept_expire(dispatcher *d) {
  uint64_t now = hato__wall_now();
  for (size_t i = 0; i < d->n_detached;) {
    submission *s = d->detached[i];
    uint64_t end = s->first + s->count;
    if (s->unresolved == 0 && s->resolved_wall + d->keep_ns <= now) kept_forget(d, s->first, end - 1);
    i = kept_from(d, end);
  }
}

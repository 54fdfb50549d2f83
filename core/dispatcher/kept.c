/* Results of detached tasks: a summary in memory, the record in the spool, until
 * they are forgotten or past their time. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

/* ---- which submission ---- */

hato_status dispatcher_kept_add(submission *s) {
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

size_t dispatcher_kept_from(const dispatcher *d, uint64_t task) {
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

submission *dispatcher_kept_find(dispatcher *d, uint64_t task) {
  size_t i = dispatcher_kept_from(d, task);
  if (i == d->n_detached || d->detached[i]->first > task) return NULL;
  return d->detached[i];
}

/* ---- summaries ---- */

const brief *dispatcher_kept_brief(const submission *s, uint64_t task) {
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

void dispatcher_kept_record(submission *s, const proto_result *r, int error) {
  brief *b = brief_make(s, r->task);
  if (!b) {
    hato__error(&s->d->log, "RESULT-LOST", "task %llu: no memory for its result",
                (unsigned long long)r->task);
    return;
  }
  b->resolved = true;
  b->error = (uint16_t)error;
  b->wait_status = r->wait_status;
  b->wall_s = (float)((double)r->wall_ns / 1e9);
  if (error == r->error) {
    dispatcher_room_put(s, r->task, b, r->raw, r->raw_len);
    return;
  }
  static const char cut[] = "its output could not be kept whole";
  proto_result changed = *r;
  hato__buf record = {0};
  changed.error = (uint16_t)error;
  changed.words = cut;
  changed.words_len = sizeof cut - 1;
  proto_result_encode(&record, &changed);
  if (!record.failed) dispatcher_room_put(s, r->task, b, record.data, (uint32_t)record.len);
  hato__buf_free(&record);
}

void dispatcher_kept_error(submission *s, uint64_t first, uint64_t count, int error, const char *words) {
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
    if (!rec.failed) dispatcher_room_put(s, t, b, rec.data, (uint32_t)rec.len);
    hato__buf_free(&rec);
  }
}

/* ---- what lies beyond a record ---- */

void dispatcher_kept_rest(submission *s, const stream_key *key, hato__spool_ref ref, uint16_t status) {
  rest *r = calloc(1, sizeof *r);
  if (!r) {
    hato__spool_free(s->d->spool, &ref);
    return;
  }
  r->key = *key;
  r->key.attempt = 0;
  r->ref = ref;
  r->status = status;
  HASH_ADD(hh, s->d->rests, key, sizeof r->key, r);
  dispatcher_room_check(s->d);
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

submission *dispatcher_kept_again(dispatcher *d, uint64_t client_id, uint64_t seq) {
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
  hato__buf *b = dispatcher_outbox_bytes(&c->peer, &begun);
  proto_run run = {.first = task, .count = 1, .value = (uint16_t)value};
  proto_runs_encode(b, PROTO_RESOLVED, &run, 1);
  dispatcher_outbox_done(&c->peer, begun);
}

static void fetch_rest(client *c, uint64_t task, uint32_t attempt, uint32_t channel) {
  rest *r = rest_find(c->peer.d, task, channel);
  stream_key key;
  memset(&key, 0, sizeof key);
  key.task = task;
  key.attempt = attempt;
  key.channel = channel;
  dispatcher_spooled_send(&c->peer, &key, r ? r->ref : (hato__spool_ref){0}, r ? r->status : HATO_NO_SPACE);
  dispatcher_spooled_credit(&c->peer, &key, PROTO_WINDOW);
}

void dispatcher_kept_fetch(client *c, uint64_t task) {
  dispatcher *d = c->peer.d;
  submission *s = dispatcher_kept_find(d, task);
  brief *b = s && dispatcher_kept_brief(s, task) ? brief_make(s, task) : NULL;
  if (!s || (b && b->forgotten)) {
    fetch_none(c, task, HATO_NOT_FOUND);
    return;
  }
  if (!b || !b->resolved) {
    fetch_none(c, task, HATO_STATE);
    return;
  }
  collect(d, b);
  uint32_t held_len = 0;
  const uint8_t *held = b->record.len ? NULL : dispatcher_room_held(d, task, &held_len);
  if (b->record.len == 0 && !held) {
    fetch_none(c, task, b->error ? b->error : HATO_NO_SPACE);
    return;
  }
  size_t len = held ? held_len : b->record.len, got = len;
  uint8_t *record = malloc(len);
  hato_error err = {0};
  proto_result r;
  if (record && held) memcpy(record, held, len);
  if (!record || (!held && hato__spool_read(d->spool, b->record, 0, record, len, &got, &err)) ||
      proto_result_decode(&r, record, got, &err)) {
    hato__error(&d->log, "SPOOL-READ", "task %llu: its kept result cannot be read: %s",
                (unsigned long long)task, record ? err.text : "no memory");
    fetch_none(c, task, HATO_SYSTEM);
  } else {
    size_t begun;
    hato__buf *out = dispatcher_outbox_bytes(&c->peer, &begun);
    proto_results_writer w;
    proto_results_begin(&w, out);
    proto_results_add_raw(&w, record, (uint32_t)got);
    proto_results_end(&w);
    dispatcher_outbox_done(&c->peer, begun);
    if (r.flags & PROTO_RESULT_OUT_MORE) fetch_rest(c, task, r.attempt, PROTO_CH_OUT);
    if (r.flags & PROTO_RESULT_ERR_MORE) fetch_rest(c, task, r.attempt, PROTO_CH_ERR);
  }
  free(record);
}

/* ---- forgetting ---- */

static void forget_one(submission *s, uint64_t task, brief *b) {
  dispatcher *d = s->d;
  if (b->record.len == 0) dispatcher_room_forget(d, task);
  if (b->record.len) hato__spool_free(d->spool, &b->record);
  for (uint32_t channel = PROTO_CH_OUT; d->rests && channel <= PROTO_CH_ERR; channel++) {
    rest *r = rest_find(d, task, channel);
    if (!r) continue;
    dispatcher_spooled_end(d, task, channel, &r->ref);
    HASH_DEL(d->rests, r);
    free(r);
  }
  collect(d, b);
  b->forgotten = true;
  s->forgotten++;
  d->kept--;
}

void dispatcher_kept_free(submission *s) {
  dispatcher *d = s->d;
  if (!s->briefs) return;
  for (uint64_t i = 0; i < (s->count + BRIEF_PAGE - 1) / BRIEF_PAGE; i++) free(s->briefs[i]);
  free(s->briefs);
  s->briefs = NULL;
  HASH_DELETE(by_identity, d->identities, s);
  size_t at = dispatcher_kept_from(d, s->first);
  if (at == d->n_detached || d->detached[at] != s) return;
  d->n_detached--;
  memmove(&d->detached[at], &d->detached[at + 1], (d->n_detached - at) * sizeof *d->detached);
}

uint64_t dispatcher_kept_forget(dispatcher *d, uint64_t first, uint64_t last) {
  uint64_t n = 0;
  for (size_t i = dispatcher_kept_from(d, first); i < d->n_detached && d->detached[i]->first <= last;) {
    submission *s = d->detached[i];
    uint64_t from = first > s->first ? first : s->first;
    uint64_t to = last < s->first + s->count - 1 ? last : s->first + s->count - 1;
    for (uint64_t t = from; t <= to; t++) {
      brief *b = s->briefs[(t - s->first) / BRIEF_PAGE];
      if (!b) {
        t += BRIEF_PAGE - 1 - (t - s->first) % BRIEF_PAGE; /* none of its page */
        continue;
      }
      b += (t - s->first) % BRIEF_PAGE;
      if (!b->resolved || b->forgotten) continue;
      forget_one(s, t, b);
      n++;
    }
    uint64_t end = s->first + s->count;
    dispatcher_submission_settle(s); /* may free it and take it from the list */
    i = dispatcher_kept_from(d, end);
  }
  dispatcher_room_put_away(d);
  dispatcher_room_check(d);
  return n;
}

void dispatcher_kept_expire(dispatcher *d) {
  uint64_t now = hato__wall_now();
  for (size_t i = 0; i < d->n_detached;) {
    submission *s = d->detached[i];
    uint64_t end = s->first + s->count;
    if (s->unresolved == 0 && s->resolved_wall + d->keep_ns <= now)
      dispatcher_kept_forget(d, s->first, end - 1);
    i = dispatcher_kept_from(d, end);
  }
}

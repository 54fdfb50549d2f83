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
  dispatcher_briefs_init(&s->briefs, s->count);
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

brief dispatcher_kept_brief(const submission *s, uint64_t task, uint64_t *alike) {
  uint64_t n;
  brief b = dispatcher_briefs_at(&s->briefs, task - s->first, &n);
  if (alike) *alike = n;
  return b;
}

static void lost(const submission *s, uint64_t first, uint64_t count) {
  hato__error(&s->d->log, "RESULT-LOST", "tasks %llu to %llu: no memory for what became of them",
              (unsigned long long)first, (unsigned long long)(first + count - 1));
}

void dispatcher_kept_record(submission *s, const proto_result *r, int error, const char *why) {
  brief *b = dispatcher_briefs_own(&s->briefs, r->task - s->first);
  if (!b) {
    lost(s, r->task, 1);
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
  char words[PROTO_RESULT_WORDS_MAX];
  proto_result changed = *r;
  hato__buf record = {0};
  (void)snprintf(words, sizeof words, "its output could not be kept whole, but for the first %u KB: %s",
                 PROTO_INLINE_OUT >> 10, why ? why : hato_strerror(error));
  changed.error = (uint16_t)error;
  changed.words = words;
  changed.words_len = (uint32_t)strlen(words);
  proto_result_encode(&record, &changed);
  if (!record.failed) dispatcher_room_put(s, r->task, b, record.data, (uint32_t)record.len);
  hato__buf_free(&record);
}

void dispatcher_kept_failure(submission *s, uint64_t task, int error, const char *words) {
  brief *b = dispatcher_briefs_own(&s->briefs, task - s->first);
  if (!b) {
    lost(s, task, 1);
    return;
  }
  b->resolved = true;
  b->error = (uint16_t)error;
  hato__buf rec = {0};
  proto_result r = {.task = task, .error = (uint16_t)error, .words = words, .words_len = (uint32_t)strlen(words)};
  proto_result_encode(&rec, &r);
  if (!rec.failed) dispatcher_room_put(s, task, b, rec.data, (uint32_t)rec.len);
  hato__buf_free(&rec);
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

static void rest_drop(dispatcher *d, rest *r) {
  dispatcher_spooled_end(d, r->key.task, r->key.channel, &r->ref);
  HASH_DEL(d->rests, r);
  free(r);
}

static void rests_drop(dispatcher *d, uint64_t task) {
  for (uint32_t channel = PROTO_CH_OUT; d->rests && channel <= PROTO_CH_ERR; channel++) {
    rest *r = rest_find(d, task, channel);
    if (r) rest_drop(d, r);
  }
}

/* Of what was cancelled while it ran some output may have come. */
static void rests_drop_of(dispatcher *d, uint64_t first, uint64_t count) {
  if (count < HASH_COUNT(d->rests)) {
    for (uint64_t i = 0; i < count; i++) rests_drop(d, first + i);
    return;
  }
  rest *r, *next;
  HASH_ITER(hh, d->rests, r, next) {
    if (r->key.task >= first && r->key.task - first < count) rest_drop(d, r);
  }
}

void dispatcher_kept_error(submission *s, uint64_t first, uint64_t count, int error) {
  brief b = {.resolved = true, .error = (uint16_t)error};
  uint64_t at = first - s->first;
  rests_drop_of(s->d, first, count);
  if (!dispatcher_briefs_fill(&s->briefs, at, at + (count - 1), &b)) lost(s, first, count);
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
  brief as = s ? dispatcher_kept_brief(s, task, NULL) : (brief){.forgotten = true};
  if (as.forgotten || !as.resolved) {
    fetch_none(c, task, as.forgotten ? HATO_NOT_FOUND : HATO_STATE);
    return;
  }
  brief *b = dispatcher_briefs_own(&s->briefs, task - s->first);
  if (!b) {
    fetch_none(c, task, HATO_NO_MEMORY);
    return;
  }
  collect(d, b);
  uint32_t held_len = 0;
  const uint8_t *held = b->record.len ? NULL : dispatcher_room_held(d, task, &held_len);
  if (b->record.len == 0 && !held) {
    if (task - s->first >= s->came) {
      dispatcher_outbox_failure(&c->peer, task, b->error, DISPATCHER_NEVER_CAME);
    } else {
      fetch_none(c, task, b->error ? b->error : HATO_NO_SPACE);
    }
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
  rests_drop(d, task);
  collect(d, b);
  b->forgotten = true;
  s->forgotten++;
  d->kept--;
}

/* Of those from task to `to` that are alike as many as can be at once; *to becomes the last looked at. */
static uint64_t forget_some(submission *s, uint64_t task, uint64_t *to) {
  uint64_t n, place = task - s->first;
  brief b = dispatcher_kept_brief(s, task, &n);
  if (n > *to - task) n = *to - task + 1;
  *to = task + (n - 1);
  if (!b.resolved || b.forgotten) return 0;
  if (n == 1) {
    brief *own = dispatcher_briefs_own(&s->briefs, place);
    if (own) forget_one(s, task, own);
    return own != NULL;
  }
  dispatcher *d = s->d;
  uint64_t fresh = b.collected ? 0 : n;
  b.collected = b.forgotten = true;
  if (!dispatcher_briefs_fill(&s->briefs, place, place + (n - 1), &b)) return 0;
  d->uncollected -= fresh;
  s->forgotten += n;
  d->kept -= n;
  return n;
}

void dispatcher_kept_free(submission *s) {
  dispatcher *d = s->d;
  if (!s->detached) return;
  dispatcher_briefs_free(&s->briefs);
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
    for (uint64_t t = from, looked; t <= to; t = looked + 1) {
      looked = to;
      n += forget_some(s, t, &looked);
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

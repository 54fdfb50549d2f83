/* Submissions and their arguments. A submission is accepted whole: its tasks have
 * their numbers at once, and are queued as their arguments come, a chunk a frame. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

submission *dispatcher_submit_find(client *c, uint64_t seq) {
  submission *s = NULL;
  HASH_FIND(hh, c->by_seq, &seq, sizeof seq, s);
  return s;
}

static void reject(client *c, uint64_t seq, hato_status status, const char *words) {
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&c->peer, &begun);
  proto_rejected_encode(b, seq, status, words);
  dispatcher_outbox_done(&c->peer, begun);
}

static void accept(client *c, const submission *s) {
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&c->peer, &begun);
  proto_accepted_encode(b, &(proto_accepted){.seq = s->seq, .first = s->first, .count = s->count});
  /* A client's only task: the answer goes with the result when that comes soon, which spares the
   * client two of its wakes. */
  if (!s->detached && s->count == 1 && HASH_COUNT(c->by_seq) == 1) {
    dispatcher_outbox_done_later(&c->peer, begun);
  } else {
    dispatcher_outbox_done(&c->peer, begun);
  }
}

static void leave_client(submission *s) {
  if (!s->client) return;
  HASH_DEL(s->client->by_seq, s);
  s->client = NULL;
}

static void submission_free(submission *s) {
  leave_client(s);
  dispatcher_kept_free(s);
  dispatcher_spec_unref(s->d, s->spec);
  free(s->label);
  free(s);
}

/* An attached submission is forgotten when its last task resolved; a detached one when it was
 * forgotten task by task, which kept.c then says by calling again. */
void dispatcher_submission_settle(submission *s) {
  if (s->chunks > 0 || s->unresolved > 0) return;
  if (s->detached && s->forgotten < s->count) {
    leave_client(s); /* nothing more comes for it by its number there */
    return;
  }
  submission_free(s);
}

void dispatcher_chunk_unref(chunk *c) {
  if (--c->refs > 0) return;
  submission *s = c->sub;
  net_data_unref(c->frame);
  free(c->copy);
  if (hato__linked(&c->link)) hato__list_remove(&c->link);
  hato__spool_abort(c->spooling);
  if (c->spooled.len) dispatcher_spooled_end(s->d, c->first, PROTO_CH_IN, &c->spooled);
  free(c);
  s->chunks--;
  dispatcher_submission_settle(s);
}

static chunk *chunk_new(submission *s, uint64_t count) {
  chunk *c = calloc(1, sizeof *c);
  if (!c) return NULL;
  c->sub = s;
  c->refs = 1;
  c->first = s->first + s->filled;
  c->count = (uint32_t)count;
  hato__list_init(&c->link);
  s->chunks++;
  s->filled += count;
  return c;
}

static sched_owner owner_of(const submission *s) {
  return s->detached || !s->client ? SCHED_SHARED_OWNER : s->client->owner;
}

static hato_status queue_chunk(chunk *c, hato_error *err) {
  submission *s = c->sub;
  sched_range r = {.first = c->first,
                   .count = c->count,
                   .owner = owner_of(s),
                   .spec = s->spec->number,
                   .limit_ns = s->spec->limit_ns,
                   .data = c};
  hato_status st = sched_submit(s->d->sched, hato__now(), &r);
  if (st) {
    dispatcher_chunk_unref(c);
    return hato__fail(err, st, "the scheduler refused tasks %llu and on: %s", (unsigned long long)r.first,
                      hato_strerror(st));
  }
  dispatcher_clock_soon(s->d);
  return HATO_OK;
}

/* Tasks without explicit arguments: one range, or several where there are more than 2^31. */
static hato_status queue_plain(submission *s, hato_error *err) {
  while (s->filled < s->count) {
    uint64_t n = s->count - s->filled;
    if (n > INT32_MAX) n = INT32_MAX;
    chunk *c = chunk_new(s, n);
    if (!c) return hato__fail(err, HATO_NO_MEMORY, "no memory for a submission");
    hato_status st = queue_chunk(c, err);
    if (st) return st;
  }
  return HATO_OK;
}

static submission *submission_new(client *c, const proto_submit *m, spec *sp) {
  submission *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  dispatcher *d = c->peer.d;
  s->d = d;
  s->seq = m->seq;
  s->first = d->next_task;
  s->count = s->unresolved = s->came = m->count;
  s->submitted_wall = hato__wall_now();
  s->spec = sp;
  s->client = c;
  s->detached = (m->flags & PROTO_SUBMIT_DETACHED) != 0;
  s->args = m->args;
  if (m->args == PROTO_ARGS_COUNTED) { /* else they are anything, and mean nothing */
    s->start = m->start;
    s->step = m->step;
  }
  s->identity.client = c->id;
  s->identity.seq = m->seq;
  if (s->detached && ((s->label = hato__printf("%s", c->label)) == NULL || dispatcher_kept_add(s))) {
    free(s->label);
    free(s);
    return NULL;
  }
  sp->refs++;
  d->next_task += m->count;
  HASH_ADD(hh, c->by_seq, seq, sizeof s->seq, s);
  return s;
}

hato_status dispatcher_submit_open(client *c, const proto_submit *m, hato_error *err) {
  dispatcher *d = c->peer.d;
  const submission *again = dispatcher_submit_find(c, m->seq);
  if (!again) again = dispatcher_kept_again(d, c->id, m->seq);
  if (again) { /* repeated after a lost answer */
    accept(c, again);
    return HATO_OK;
  }
  spec *sp = dispatcher_specs_find(c, m->spec);
  if (!sp)
    return hato__fail(err, HATO_PROTOCOL, "SUBMIT names specification %u, which was not sent", m->spec);
  if (d->asked_stop) {
    reject(c, m->seq, HATO_CLOSED, "the session is ending");
    return HATO_OK;
  }
  hato_error full;
  if ((m->flags & PROTO_SUBMIT_DETACHED) && dispatcher_room_full(d, &full)) {
    reject(c, m->seq, HATO_NO_SPACE, full.text);
    return HATO_OK;
  }
  submission *s = submission_new(c, m, sp);
  if (!s) return hato__fail(err, HATO_NO_MEMORY, "no memory for a submission");
  accept(c, s);
  return m->args == PROTO_ARGS_EXPLICIT ? HATO_OK : queue_plain(s, err);
}

static hato_status args_block(submission *s, const proto_args *m, const net_frame *f, hato_error *err) {
  if (m->block.count == 0) return HATO_OK;
  chunk *c = chunk_new(s, m->block.count);
  if (!c) return hato__fail(err, HATO_NO_MEMORY, "no memory for arguments");
  c->block = m->block;
  if (f->data) {
    c->frame = net_data_ref(f->data);
  } else {
    c->copy = malloc(m->raw_len);
    if (!c->copy) {
      dispatcher_chunk_unref(c);
      return hato__fail(err, HATO_NO_MEMORY, "no memory for arguments");
    }
    memcpy(c->copy, m->raw, m->raw_len);
    c->block.ends = c->copy + (m->block.ends - m->raw);
    c->block.data = c->copy + (m->block.data - m->raw);
  }
  return queue_chunk(c, err);
}

static void ask_argument(chunk *c) {
  c->credit = PROTO_WINDOW;
  client *cl = c->sub->client;
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&cl->peer, &begun);
  proto_credit_encode(b, &(proto_credit){.task = c->first, .channel = PROTO_CH_IN, .bytes = PROTO_WINDOW});
  dispatcher_outbox_done(&cl->peer, begun);
}

/* An attached large argument stays with its client until a daemon asks for it; a detached one
 * is taken into the spool now, and queued when it is there. */
static hato_status args_large(submission *s, const proto_args *m, hato_error *err) {
  chunk *c = chunk_new(s, 1);
  if (!c) return hato__fail(err, HATO_NO_MEMORY, "no memory for an argument");
  c->large = true;
  c->total = m->total;
  if (m->total != UINT64_MAX && m->total > PROTO_PAYLOAD_MAX) {
    dispatcher_submit_spooled(c, HATO_TOO_LARGE, "the argument is larger than the limit of 16 GiB");
    return HATO_OK;
  }
  if (!s->detached) return queue_chunk(c, err);
  hato_error why;
  if (hato__spool_begin(s->d->spool, &c->spooling, &why)) {
    dispatcher_submit_spooled(c, why.status, why.text);
    return HATO_OK;
  }
  hato__list_push(&s->d->spooling, &c->link);
  ask_argument(c);
  return HATO_OK;
}

hato_status dispatcher_submit_args(client *c, const proto_args *m, const net_frame *f, hato_error *err) {
  submission *s = dispatcher_submit_find(c, m->seq);
  if (!s) return HATO_OK; /* rejected: what was on its way for it is thrown away */
  if (s->args != PROTO_ARGS_EXPLICIT)
    return hato__fail(err, HATO_PROTOCOL, "ARGS for a submission that takes none");
  uint64_t n = m->large ? 1 : m->block.count;
  if (n > s->count - s->filled)
    return hato__fail(err, HATO_PROTOCOL, "ARGS: %llu arguments more than the %llu submitted",
                      (unsigned long long)(n - (s->count - s->filled)), (unsigned long long)s->count);
  return m->large ? args_large(s, m, err) : args_block(s, m, f, err);
}

/* Its client need not send the argument any further, nor wait to be asked for it. */
static void refuse_argument(client *c, uint64_t task, hato_status status) {
  size_t begun;
  hato__buf *b = dispatcher_outbox_bytes(&c->peer, &begun);
  proto_run run = {.first = task, .count = 1, .value = (uint16_t)status};
  proto_runs_encode(b, PROTO_RESOLVED, &run, 1);
  dispatcher_outbox_done(&c->peer, begun);
}

void dispatcher_submit_spooled(chunk *c, hato_status status, const char *words) {
  submission *s = c->sub;
  hato_error err = {0};
  if (hato__linked(&c->link)) hato__list_remove(&c->link);
  if (status == HATO_OK && c->spooling) {
    status = hato__spool_end(c->spooling, &c->spooled, &err);
    c->spooling = NULL;
    c->total = c->spooled.len;
    words = err.text;
  }
  if (status == HATO_OK) {
    queue_chunk(c, &err);
    return;
  }
  uint64_t task = c->first;
  if (s->detached) {
    dispatcher_kept_failure(s, task, status, words);
    if (s->client) refuse_argument(s->client, task, status);
  } else if (s->client) {
    dispatcher_outbox_failure(&s->client->peer, task, status, words);
  }
  dispatcher_work_account(s, task, 1, 1);
  dispatcher_chunk_unref(c);
}

static void lose_spooling(submission *s) {
  hato__link *head = &s->d->spooling;
  for (hato__link *l = head->next; l != head;) {
    chunk *k = HATO__ENTRY(l, chunk, link);
    l = l->next;
    if (k->sub == s) dispatcher_submit_spooled(k, HATO_RESET, DISPATCHER_NEVER_CAME);
  }
}

/* What was submitted attached ends with its client (sched sees to that), and so does what was still
 * to come of a submission. */
void dispatcher_submit_client_gone(client *c) {
  submission *s, *next;
  HASH_ITER(hh, c->by_seq, s, next) {
    s->chunks++; /* keeps it until we are done */
    leave_client(s);
    lose_spooling(s);
    uint64_t missing = s->count - s->filled;
    if (missing > 0) {
      uint64_t first = s->first + s->filled;
      s->came = s->filled;
      s->filled = s->count;
      if (s->detached) dispatcher_kept_error(s, first, missing, HATO_RESET);
      dispatcher_work_account(s, first, missing, missing);
    }
    s->chunks--;
    dispatcher_submission_settle(s);
  }
}

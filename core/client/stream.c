/* Output that comes in pieces, before or after the record it belongs to. The bytes in the
 * record are the first of it: where pieces came before, room was left for them. */
#include "client/internal.h"

#include <stdio.h>
#include <string.h>

#define CREDIT_STEP (PROTO_WINDOW / 2)

struct incoming { /* one for each task that sends so */
  uint64_t task;
  uint32_t attempt;
  uint16_t flags;     /* of the record */
  bool failed;        /* it has an error value */
  own *own;           /* with the record, once it came */
  hato__blob *blob[2];
  uint64_t total[2];  /* by the record */
  size_t skip[2];
  uint64_t owed[2];   /* bytes taken that no credit was given for */
  bool last[2];
  bool live;          /* pieces go to a function */
  int error;
  char words[200];
  UT_hash_handle hh;
};

static int place(uint8_t channel) { return channel == PROTO_CH_ERR; }

static incoming *find(hato_pool *p, uint64_t task) {
  incoming *in = NULL;
  HASH_FIND(hh, p->incoming, &task, sizeof task, in);
  return in;
}

static void clear(incoming *in) {
  for (int i = 0; i < 2; i++) {
    hato__blob_destroy(in->blob[i]);
    in->blob[i] = NULL;
    in->owed[i] = 0;
    in->last[i] = false;
  }
  if (in->own) client_own_unref(in->own);
  in->own = NULL;
  in->error = 0;
}

static void drop(hato_pool *p, incoming *in) {
  HASH_DEL(p->incoming, in);
  clear(in);
  free(in);
}

void client_stream_forget(hato_pool *p, uint64_t task) {
  incoming *in = p->incoming ? find(p, task) : NULL;
  if (in) drop(p, in);
}

void client_stream_close(hato_pool *p) {
  incoming *in, *next;
  HASH_ITER(hh, p->incoming, in, next) { drop(p, in); }
}

/* That of the attempt; what an older one brought is thrown away. NULL: an older one's, or no memory. */
static incoming *open_attempt(hato_pool *p, uint64_t task, uint32_t attempt) {
  incoming *in = find(p, task);
  if (!in) {
    in = calloc(1, sizeof *in);
    if (!in) return NULL;
    in->task = task;
    in->attempt = attempt;
    HASH_ADD(hh, p->incoming, task, sizeof in->task, in);
  }
  if (attempt > in->attempt) {
    clear(in);
    in->attempt = attempt;
  }
  return attempt == in->attempt ? in : NULL;
}

void client_credit_give(hato_pool *p, const proto_piece *m, uint64_t bytes) {
  if (bytes == 0) return;
  pool_lock(p);
  bool open = p->state != POOL_GONE;
  if (open)
    proto_credit_encode(outbox_urgent(p), &(proto_credit){.task = m->task,
                                                          .attempt = m->attempt,
                                                          .channel = m->channel,
                                                          .bytes = bytes});
  pool_unlock(p);
  if (open) net_wake(p->conn);
}

static void spoiled(incoming *in, const hato_error *err) {
  if (in->error) return;
  in->error = err->status;
  memcpy(in->words, err->text, sizeof in->words - 1);
}

/* ---- gathering ---- */

static void gather(incoming *in, int i, const void *data, size_t n) {
  static const uint8_t room[PROTO_INLINE_OUT];
  hato_error err = {0};
  if (in->error) return;
  if (!in->blob[i]) {
    in->blob[i] = hato__blob_create(NULL, FILE_PAST);
    if (!in->blob[i]) {
      hato__fail(&err, HATO_NO_MEMORY, "no memory for the output");
    } else if (!in->own) {
      in->skip[i] = sizeof room;
      hato__blob_append(in->blob[i], room, sizeof room, &err);
    }
  }
  if (!err.status) hato__blob_append(in->blob[i], data, n, &err);
  if (err.status) spoiled(in, &err);
}

/* The record's own bytes of a stream, before those of its pieces. */
static void gather_first(incoming *in, int i, const uint8_t *data, uint32_t n) {
  hato_error err = {0};
  if (in->error) return;
  if (in->blob[i]) {
    in->skip[i] -= n;
    if (n > 0) hato__blob_patch(in->blob[i], in->skip[i], data, n, &err);
  } else {
    in->skip[i] = 0;
    in->blob[i] = hato__blob_create(NULL, FILE_PAST);
    if (!in->blob[i]) {
      hato__fail(&err, HATO_NO_MEMORY, "no memory for the output");
    } else if (!hato__blob_expect(in->blob[i], in->total[i], &err) && n > 0) {
      hato__blob_append(in->blob[i], data, n, &err);
    }
  }
  if (err.status) spoiled(in, &err);
}

static bool complete(const incoming *in) {
  static const uint16_t more[2] = {PROTO_RESULT_OUT_MORE, PROTO_RESULT_ERR_MORE};
  if (!in->own) return false;
  for (int i = 0; i < 2; i++)
    if ((in->flags & more[i]) && !in->last[i]) return false;
  return true;
}

/* The result, with what came in pieces. */
static cell finished(incoming *in) {
  own *o = in->own;
  in->own = NULL;
  for (int i = 0; i < 2; i++) {
    hato__blob *b = in->blob[i];
    if (!b || in->live) continue;
    uint64_t got = hato__blob_size(b) - in->skip[i];
    if (got != in->total[i] && !in->error) {
      in->error = HATO_RESET;
      snprintf(in->words, sizeof in->words, "of its output %llu of %llu bytes came", (unsigned long long)got,
               (unsigned long long)in->total[i]);
    }
    o->blob[i] = b;
    o->skip[i] = in->skip[i];
    in->blob[i] = NULL;
  }
  if (in->error && !in->failed) { /* else the record says what went wrong */
    o->error = in->error;
    o->words = hato__printf("%s", in->words);
  }
  return result_own(o);
}

static void finish(hato_pool *p, sub *s, fetch *f, incoming *in) {
  uint64_t task = in->task;
  cell c = finished(in);
  drop(p, in);
  if (f) {
    client_fetch_resolve(p, f, c);
  } else {
    client_resolve(s, task - s->first, c);
  }
}

/* ---- what comes ---- */

static live *live_of(const sub *s, uint64_t task) {
  return s && s->futures && s->futures[task - s->first] ? s->futures[task - s->first]->live : NULL;
}

bool client_stream_record(hato_pool *p, sub *s, fetch *f, const proto_result *r) {
  const uint16_t more = PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE;
  if (!(r->flags & more) && !find(p, r->task)) return false;
  incoming *in = open_attempt(p, r->task, r->attempt);
  if (!in || in->own) return true;
  in->own = client_own_record(r);
  if (!in->own) {
    drop(p, in);
    return false;
  }
  in->flags = r->flags;
  in->failed = r->error != 0;
  in->live = live_of(s, r->task) != NULL;
  in->total[0] = r->out_total;
  in->total[1] = r->err_total;
  if (!in->live) {
    if (r->flags & PROTO_RESULT_OUT_MORE) gather_first(in, 0, r->out, r->out_len);
    if (r->flags & PROTO_RESULT_ERR_MORE) gather_first(in, 1, r->err, r->err_len);
  }
  if (complete(in)) finish(p, s, f, in);
  return true;
}

/* What is gathered in memory already needs no copy of what follows. Only the receiver ends what it gathers, so it is
 * there still when the piece is whole. */
uint8_t *client_stream_place(hato_pool *p, const uint8_t *body, uint32_t len) {
  proto_piece m;
  if (proto_piece_decode(&m, body, len, NULL) != HATO_OK) return NULL;
  incoming *in = find(p, m.task);
  int i = place(m.channel);
  if (!in || in->attempt != m.attempt || in->live || in->error || !in->blob[i]) return NULL;
  return hato__blob_room(in->blob[i], m.len);
}

hato_status client_stream_piece(hato_pool *p, const net_frame *frame, hato_error *err) {
  proto_piece m;
  hato_status st = proto_piece_decode(&m, frame->body, frame->len, err);
  if (st) return st;
  if (m.channel == PROTO_CH_IN) return hato__fail(err, HATO_PROTOCOL, "PIECE: channel 0 from the dispatcher");
  fetch *f = client_fetch_find(p, m.task);
  sub *s = f ? NULL : client_task_find(p, m.task);
  incoming *in = f || s ? open_attempt(p, m.task, m.attempt) : NULL;
  if (!in) { /* thrown away, but its sender must not wait */
    client_credit_give(p, &m, m.len);
    return HATO_OK;
  }
  int i = place(m.channel);
  live *l = live_of(s, m.task);
  if (l) {
    in->live = true;
    if (m.len > 0) client_live_piece(l, &m, frame->data);
  } else {
    if (frame->placed)
      hato__blob_filled(in->blob[i], m.len);
    else
      gather(in, i, m.data, m.len);
    in->owed[i] += m.len;
    if (in->owed[i] >= CREDIT_STEP && !m.last) {
      client_credit_give(p, &m, in->owed[i]);
      in->owed[i] = 0;
    }
  }
  if (!m.last) return HATO_OK;
  in->last[i] = true;
  if (m.status && !in->error) {
    in->error = m.status;
    snprintf(in->words, sizeof in->words, "its output is not whole: %s", hato_strerror(m.status));
  }
  if (complete(in)) finish(p, s, f, in);
  return HATO_OK;
}

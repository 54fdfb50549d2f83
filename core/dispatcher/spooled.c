/* Payloads out of the spool to a peer: the argument of a detached task to a
 * daemon, a kept result to a client; in pieces, under the receiver's credit. */
#include "dispatcher/internal.h"

#include <stdlib.h>
#include <string.h>

#define AHEAD (2u << 20) /* bytes of pieces that wait to be sent, at which no more are read */

static sender *sender_find(peer *to, const stream_key *key) {
  for (sender *s = to->d->senders; s; s = s->next)
    if (s->to == to && !s->gone && memcmp(&s->key, key, sizeof *key) == 0) return s;
  return NULL;
}

static void sender_free(sender *s) {
  dispatcher *d = s->to->d;
  for (sender **at = &d->senders; *at; at = &(*at)->next) {
    if (*at != s) continue;
    *at = s->next;
    break;
  }
  if (s->owns) hato__spool_free(d->spool, &s->ref);
  s->to->senders--;
  dispatcher_peer_unref(s->to);
  free(s);
}

void dispatcher_spooled_end(dispatcher *d, uint64_t task, uint32_t channel, hato__spool_ref *ref) {
  for (sender *s = d->senders, *next; s; s = next) {
    next = s->next;
    if (s->key.task != task || s->key.channel != channel) continue;
    s->gone = true;
    if (!s->busy) {
      sender_free(s);
    } else if (ref->len) { /* it is being read: the reader frees it */
      s->owns = true;
      *ref = (hato__spool_ref){0};
    }
  }
  if (ref->len) hato__spool_free(d->spool, ref);
}

void dispatcher_spooled_send(peer *to, const stream_key *key, hato__spool_ref ref, uint16_t status) {
  sender *s = sender_find(to, key);
  if (!s) {
    s = calloc(1, sizeof *s);
    if (!s) return;
    s->key = *key;
    s->to = to;
    to->refs++;
    to->senders++;
    s->next = to->d->senders;
    to->d->senders = s;
  }
  s->ref = ref;
  s->status = status;
  s->at = 0;
}

/* Reads one piece; NULL: no memory or the spool failed, which ends the payload with an error. */
static net_data *read_piece(sender *s, uint32_t n, uint8_t **frame, uint16_t *status) {
  uint8_t *bytes = NULL;
  net_data *data = net_data_new(PROTO_PIECE_HEAD + n, &bytes);
  hato__buf head = {0};
  size_t got = 0;
  hato_error err = {0};
  *status = 0;
  if (data && n &&
      hato__spool_read(s->to->d->spool, s->ref, s->at, bytes + PROTO_PIECE_HEAD, n, &got, &err)) {
    hato__error(&s->to->d->log, "SPOOL-READ", "%s", err.text);
    *status = HATO_SYSTEM;
  }
  proto_piece m = {.task = s->key.task,
                   .attempt = s->key.attempt,
                   .channel = (uint8_t)s->key.channel,
                   .last = s->at + n >= s->ref.len || *status,
                   .status = s->at + n >= s->ref.len && !*status ? s->status : *status,
                   .len = n};
  proto_piece_head_encode(&head, &m);
  if (data && !head.failed) memcpy(bytes, head.data, PROTO_PIECE_HEAD);
  hato__buf_free(&head);
  *frame = bytes;
  return data;
}

/* One piece, with the lock given up while it is read; false: nothing further now. */
static bool send_one(sender *s) {
  dispatcher *d = s->to->d;
  uint64_t left = s->ref.len - s->at;
  uint64_t n = left < PROTO_PIECE_DATA ? left : PROTO_PIECE_DATA;
  if (n > s->credit) n = s->credit;
  if ((n == 0 && left > 0) || s->to->out.waiting_pieces >= AHEAD) return false;
  uint16_t status;
  uint8_t *frame;
  dispatcher_unlock(d);
  net_data *data = read_piece(s, (uint32_t)n, &frame, &status);
  dispatcher_lock(d);
  if (!s->gone && data) dispatcher_outbox_piece(s->to, data, frame, PROTO_PIECE_HEAD + (uint32_t)n);
  net_data_unref(data);
  if (!data) {
    net_close(s->to->conn, HATO_NO_MEMORY, "out of memory");
    s->gone = true;
  }
  if (s->gone) return false;
  s->at += n;
  s->credit -= n;
  if (s->at >= s->ref.len || status) s->gone = true;
  return !s->gone;
}

static void send(sender *s) {
  s->busy = true;
  while (send_one(s)) continue;
  s->busy = false;
  if (s->gone) sender_free(s);
}

bool dispatcher_spooled_credit(peer *to, const stream_key *key, uint64_t bytes) {
  sender *s = sender_find(to, key);
  if (!s) return false;
  s->credit = bytes < UINT64_MAX - s->credit ? s->credit + bytes : UINT64_MAX;
  if (!s->busy) send(s);
  return true;
}

bool dispatcher_spooled_more(peer *to) {
  bool any = false;
  if (to->senders == 0) return false;
  for (sender *s = to->d->senders; s && to->out.waiting_pieces < AHEAD;) {
    if (s->to != to || s->busy || s->gone || (s->credit == 0 && s->at < s->ref.len)) {
      s = s->next;
      continue;
    }
    any = true;
    send(s);
    s = to->d->senders; /* the lock was given up */
  }
  return any;
}

void dispatcher_spooled_peer_gone(peer *to) {
  for (sender *s = to->d->senders, *next; s; s = next) {
    next = s->next;
    if (s->to != to) continue;
    s->gone = true;
    if (!s->busy) sender_free(s);
  }
}

/* Frames from executors. Small ones lie in the slot's buffer; those of
 * NET_BY_REFERENCE bytes or more are read into a buffer of their own, which is
 * passed on by reference. */
#include "base/error.h"
#include "daemon/state.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- results ---- */

/* Takes one task off the slot's runs: the first, as a rule; out of order one that
 * was interrupted. */
static daemon_spec *take_off(daemon_state *d, daemon_slot *s, const proto_result *r) {
  proto_run one = {.first = r->task, .count = 1, .attempt = r->attempt};
  for (hato__link *l = s->runs.next; l != &s->runs; l = l->next) {
    daemon_tasks *t = HATO__ENTRY(l, daemon_tasks, link);
    uint64_t first;
    uint32_t count;
    if (!daemon_tasks_meet(t, &one, &first, &count)) continue;
    daemon_spec *spec = t->spec;
    if (r->task > t->a.first) {
      daemon_tasks *head = daemon_tasks_cut(d, t, (uint32_t)(r->task - t->a.first));
      if (!head) return NULL;
      hato__list_push(&t->link, &head->link);
    }
    if (t->a.count > 1) {
      daemon_tasks_skip(t, 1);
    } else {
      hato__list_remove(&t->link);
      daemon_tasks_free(d, t);
    }
    return spec;
  }
  return NULL;
}

/* Accounts for one record; false: it is not of a task that this executor has. */
static bool report(daemon_state *d, daemon_slot *s, const proto_result *r) {
  daemon_tasks *t = HATO__ENTRY(s->runs.next, daemon_tasks, link);
  if (hato__list_empty(&s->runs)) return false;
  if (t->a.first == r->task && t->a.attempt == r->attempt) {
    if (r->error == 0) daemon_learn(t->spec, r->wall_ns);
    if (t->a.count > 1) {
      daemon_tasks_skip(t, 1);
    } else {
      hato__list_remove(&t->link);
      daemon_tasks_free(d, t);
    }
  } else if (!take_off(d, s, r)) {
    return false;
  }
  s->outstanding--;
  d->outstanding--;
  s->reported++;
  if (d->streams) {
    daemon_stream *stream = daemon_stream_find(d, r->task, r->attempt);
    if (stream) daemon_stream_end(d, stream);
  }
  return true;
}

/* Passes records on as they came, in stretches. */
static hato_status on_results(daemon_state *d, daemon_slot *s, const uint8_t *body, size_t len,
                              hato_error *err) {
  proto_results_reader reader;
  hato_status rc = proto_results_decode(&reader, body, len, err);
  if (rc != HATO_OK) return rc;
  proto_result r;
  const uint8_t *from = NULL;
  uint32_t stretch = 0, count = 0;
  int more;
  while ((more = proto_results_next(&reader, &r, err)) == 1) {
    bool ours = report(d, s, &r),
         plain = ours && !(r.flags & (PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE));
    if (plain) {
      if (count++ == 0) from = r.raw;
      stretch += r.raw_len;
      continue;
    }
    if (count > 0) daemon_results_raw(d, from, stretch, count);
    stretch = count = 0;
    if (ours) daemon_results_after(d, r.raw, r.raw_len);
  }
  if (count > 0) daemon_results_raw(d, from, stretch, count);
  if (more < 0) return HATO_PROTOCOL;
  if (s->n_interrupts > 0) daemon_slot_head(d, s);
  daemon_slot_ready(d, s);
  return HATO_OK;
}

/* ---- pieces ---- */

static hato_status on_piece(daemon_state *d, daemon_slot *s, net_data *data, const uint8_t *frame, size_t len,
                            hato_error *err) {
  proto_piece m;
  hato_status rc = proto_piece_decode(&m, frame + PROTO_HEADER, len - PROTO_HEADER, err);
  if (rc != HATO_OK) return rc;
  daemon_stream *stream = daemon_stream_of(d, s, m.task, m.attempt);
  if (!stream || m.channel > PROTO_CH_ERR) return HATO_OK;
  stream->passed[m.channel] += m.len;
  if (m.last) stream->last |= (uint8_t)(1u << m.channel);
  daemon_piece_up(d, data, frame, len);
  return HATO_OK;
}

static hato_status on_credit(daemon_state *d, daemon_slot *s, const uint8_t *body, size_t len,
                             hato_error *err) {
  proto_credit m;
  hato_status rc = proto_credit_decode(&m, body, len, err);
  if (rc != HATO_OK) return rc;
  if (daemon_stream_of(d, s, m.task, m.attempt)) proto_credit_encode(daemon_control(d), &m);
  return HATO_OK;
}

/* One whole frame, under the lock. */
static hato_status on_frame(daemon_state *d, daemon_slot *s, net_data *data, const uint8_t *frame, size_t len,
                            hato_error *err) {
  const uint8_t *body = frame + PROTO_HEADER;
  size_t n = len - PROTO_HEADER;
  switch (frame[3]) {
  case PROTO_RESULTS:
    return on_results(d, s, body, n, err);
  case PROTO_PIECE:
    return on_piece(d, s, data, frame, len, err);
  case PROTO_CREDIT:
    return on_credit(d, s, body, n, err);
  default:
    return hato__fail(err, HATO_PROTOCOL, "%s (%u) is not for a daemon", proto_type_name(frame[3]), frame[3]);
  }
}

/* ---- bytes ---- */

/* The frames in the slot's buffer; what is left of it goes to its front. */
static hato_status parse(daemon_state *d, daemon_slot *s, hato_error *err) {
  size_t at = 0;
  hato_status rc = HATO_OK;
  while (rc == HATO_OK && s->in_len - at >= PROTO_HEADER) {
    proto_header h;
    rc = proto_header_decode(&h, s->in + at, err);
    if (rc != HATO_OK) break;
    size_t len = PROTO_HEADER + (size_t)h.len, have = s->in_len - at;
    if (h.len >= NET_BY_REFERENCE) {
      s->big = net_data_new(len, &s->big_bytes);
      if (!s->big) return hato__fail(err, HATO_NO_MEMORY, "no memory for a frame");
      s->big_len = len;
      s->big_got = have < len ? have : len;
      memcpy(s->big_bytes, s->in + at, s->big_got);
      at += s->big_got;
      if (s->big_got < len) break; /* and the buffer is used up */
      rc = on_frame(d, s, s->big, s->big_bytes, len, err);
      net_data_unref(s->big);
      s->big = NULL;
      continue;
    }
    if (have < len) break;
    rc = on_frame(d, s, NULL, s->in + at, len, err);
    at += len;
  }
  s->in_len -= at;
  memmove(s->in, s->in + at, s->in_len);
  return rc;
}

static hato_status received(daemon_state *d, daemon_slot *s, size_t n, hato_error *err) {
  if (s->big) {
    size_t part = s->big_len - s->big_got < n ? s->big_len - s->big_got : n;
    s->big_got += part;
    n -= part;
    if (s->big_got < s->big_len) return HATO_OK;
    hato_status rc = on_frame(d, s, s->big, s->big_bytes, s->big_len, err);
    net_data_unref(s->big);
    s->big = NULL;
    if (rc != HATO_OK) return rc;
  }
  s->in_len += n;
  return parse(d, s, err);
}

/* Nothing more comes; its pidfd will say what became of it. */
static void at_end(daemon_state *d, daemon_slot *s) {
  s->ended = true;
  hato__list_remove(&s->idle);
  (void)epoll_ctl(d->epoll, EPOLL_CTL_DEL, s->fd, NULL);
}

bool daemon_slot_read(daemon_state *d, daemon_slot *s) {
  if (s->fd < 0 || s->ended) return false;
  struct iovec iov[2];
  unsigned n_iov = 0;
  if (s->big) iov[n_iov++] = (struct iovec){s->big_bytes + s->big_got, s->big_len - s->big_got};
  iov[n_iov++] = (struct iovec){s->in + s->in_len, DAEMON_READ - s->in_len};
  struct msghdr msg = {.msg_iov = iov, .msg_iovlen = n_iov};
  ssize_t n = recvmsg(s->fd, &msg, MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  daemon_lock(d);
  if (n <= 0) {
    at_end(d, s);
    daemon_settle(d);
    return false;
  }
  hato_error err = {0};
  if (received(d, s, (size_t)n, &err) != HATO_OK) {
    hato__warn(d->log, "EXECUTOR-GARBAGE", "slot %u: %s", s->index, err.text);
    daemon_slot_kill(d, s, err.text);
    at_end(d, s);
  }
  daemon_hand_out(d);
  daemon_settle(d);
  return true;
}

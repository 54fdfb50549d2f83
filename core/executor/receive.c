/* Frames from the daemon. */
#include "base/error.h"
#include "executor/state.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>

#define IN_CAP ((size_t)PROTO_HEADER + PROTO_BODY_MAX + (64u << 10))
/* While an argument comes in pieces so much is read at once: what follows a piece is mostly another, whose
 * data are not to go through the buffer. */
#define IN_BETWEEN ((size_t)4096)

void executor_stop(executor *x, int code, const char *fmt, ...) {
  if (x->link.closed) return;
  x->link.closed = true;
  x->exit = code;
  if (fmt == NULL) return;
  char text[600];
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(text, sizeof text, fmt, ap);
  va_end(ap);
  (void)dprintf(x->log, "hato executor %d on %s: %s\n", (int)x->pid, x->node, text);
}

void executor_report_error(executor *x, uint64_t task, uint32_t attempt, uint16_t value, const char *words) {
  proto_result r = {.task = task, .attempt = attempt, .error = value, .words = words};
  r.words_len = words ? (uint32_t)strlen(words) : 0;
  /* At time 1, long ago: whoever looks sends it. */
  (void)executor_link_result(&x->link, &r, 1, false);
}

void executor_grant(executor *x, uint64_t bytes) {
  proto_credit c = {.task = x->task.id, .attempt = x->task.attempt, .channel = PROTO_CH_IN, .bytes = bytes};
  proto_credit_encode(executor_link_begin(&x->link), &c);
  executor_link_end(&x->link);
}

static bool current(const executor *x, uint64_t task, uint32_t attempt) {
  return x->task.active && x->task.id == task && x->task.attempt == attempt;
}

static hato_status on_interrupt(executor *x, const uint8_t *body, size_t n, hato_error *err) {
  proto_runs runs;
  hato_status rc = proto_runs_decode(&runs, body, n, err);
  if (rc != HATO_OK) return rc;
  uint16_t before = x->task.value;
  for (uint32_t i = 0; i < runs.n; i++) {
    proto_run run = proto_run_at(&runs, i);
    executor_queue_interrupt(x, &run);
  }
  if (x->task.active && before == 0 && x->task.value != 0) executor_command_interrupt(x);
  return HATO_OK;
}

static hato_status on_piece(executor *x, const uint8_t *body, size_t n, hato_error *err) {
  proto_piece p;
  hato_status rc = proto_piece_decode(&p, body, n, err);
  if (rc != HATO_OK) return rc;
  if (p.channel != PROTO_CH_IN)
    return hato__fail(err, HATO_PROTOCOL, "PIECE: channel: %u is not input", p.channel);
  if (current(x, p.task, p.attempt)) {
    if (x->task.large) executor_input_piece(x, &p);
    return HATO_OK;
  }
  executor_batch *b = executor_queue_find_large(x, p.task, p.attempt);
  if (b != NULL && p.last) { /* without credit only an empty last piece may come */
    b->in_over = true;
    b->in_value = p.status;
  }
  return HATO_OK;
}

static hato_status on_credit(executor *x, const uint8_t *body, size_t n, hato_error *err) {
  proto_credit c;
  hato_status rc = proto_credit_decode(&c, body, n, err);
  if (rc == HATO_OK && c.channel != PROTO_CH_IN && current(x, c.task, c.attempt))
    x->credit[c.channel == PROTO_CH_ERR] += c.bytes;
  return rc;
}

static hato_status on_spec(executor *x, uint8_t type, const uint8_t *body, size_t n, hato_error *err) {
  proto_part part;
  uint32_t number = 0;
  hato_status rc = type == PROTO_SPEC ? proto_spec_part_decode(&part, body, n, err)
                                      : proto_spec_drop_decode(&number, body, n, err);
  if (rc != HATO_OK) return rc;
  if (type == PROTO_SPEC)
    executor_spec_part(x, &part);
  else
    executor_spec_drop(x, number);
  return HATO_OK;
}

static hato_status on_frame(executor *x, uint8_t type, const uint8_t *body, size_t n, hato_error *err) {
  switch (type) {
  case PROTO_SPEC:
  case PROTO_SPEC_DROP:
    return on_spec(x, type, body, n, err);
  case PROTO_ASSIGN:
    if (executor_queue_add(x, body, n, err)) return HATO_OK;
    return err->status;
  case PROTO_INTERRUPT:
    return on_interrupt(x, body, n, err);
  case PROTO_PIECE:
    return on_piece(x, body, n, err);
  case PROTO_CREDIT:
    return on_credit(x, body, n, err);
  case PROTO_HEARTBEAT:
    return HATO_OK;
  default:
    return hato__fail(err, HATO_PROTOCOL, "a %s frame is not for an executor", proto_type_name(type));
  }
}

/* The rest of a piece of which the buffer holds the beginning, straight to where it belongs. Whole frames are
 * on their way, so it is waited for. False: it is not such a piece. */
static bool receive_aside(executor *x, const uint8_t *body, size_t have, uint32_t len) {
  executor_link *l = &x->link;
  proto_piece p;
  if (have < PROTO_PIECE_HEAD - PROTO_HEADER) return false;
  if (proto_piece_decode(&p, body, len, NULL) != HATO_OK) return false;
  if (p.channel != PROTO_CH_IN || !current(x, p.task, p.attempt) || !x->task.large) return false;
  uint8_t *to = executor_input_room(x, &p);
  if (to == NULL) return false;
  size_t got = have - (PROTO_PIECE_HEAD - PROTO_HEADER);
  memcpy(to, p.data, got);
  l->in_at = l->in_len = 0;
  while (got < p.len) {
    struct iovec iov[2] = {{.iov_base = to + got, .iov_len = p.len - got},
                           {.iov_base = l->in, .iov_len = IN_BETWEEN}};
    struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
    ssize_t n = recvmsg(l->fd, &m, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      executor_stop(x, EXECUTOR_EXIT_CLOSED, NULL);
      return true;
    }
    got += (size_t)n;
  }
  l->in_len = got - p.len;
  executor_input_placed(x, &p);
  return true;
}

/* Handles the whole frames that are there and moves the rest to the front. */
static void handle(executor *x) {
  executor_link *l = &x->link;
  hato_error err = {0};
  while (!l->closed && l->in_len - l->in_at >= PROTO_HEADER) {
    proto_header h;
    const uint8_t *at = l->in + l->in_at;
    hato_status rc = proto_header_decode(&h, at, &err);
    if (rc == HATO_OK) {
      size_t have = l->in_len - l->in_at - PROTO_HEADER;
      if (have < h.len) {
        if (h.type == PROTO_PIECE && receive_aside(x, at + PROTO_HEADER, have, h.len)) continue;
        break;
      }
      rc = on_frame(x, h.type, at + PROTO_HEADER, h.len, &err);
      l->in_at += PROTO_HEADER + h.len;
    }
    if (rc == HATO_NO_MEMORY)
      executor_stop(x, EXECUTOR_EXIT_FAILED, "%s", err.text);
    else if (rc != HATO_OK)
      executor_stop(x, EXECUTOR_EXIT_PROTOCOL, "%s", err.text);
  }
  if (l->in_at == 0) return;
  l->in_len -= l->in_at;
  if (l->in_len > 0) memmove(l->in, l->in + l->in_at, l->in_len);
  l->in_at = 0;
}

void executor_receive(executor *x, bool wait) {
  executor_link *l = &x->link;
  if (l->closed) return;
  if (l->in == NULL && (l->in = malloc(IN_CAP)) == NULL) {
    executor_stop(x, EXECUTOR_EXIT_FAILED, "out of memory");
    return;
  }
  size_t room = IN_CAP - l->in_len;
  if (x->input.blob != NULL && room > IN_BETWEEN) room = IN_BETWEEN;
  ssize_t n = recv(l->fd, l->in + l->in_len, room, wait ? 0 : MSG_DONTWAIT);
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (n <= 0) {
    executor_stop(x, EXECUTOR_EXIT_CLOSED, NULL);
    return;
  }
  l->in_len += (size_t)n;
  handle(x);
}

void executor_flush(executor *x) {
  while (!x->link.closed && executor_link_send(&x->link) > 0) {
    struct pollfd p = {.fd = x->link.fd, .events = POLLIN | POLLOUT};
    (void)poll(&p, 1, -1);
    if (p.revents & (POLLIN | POLLHUP)) executor_receive(x, false);
  }
}

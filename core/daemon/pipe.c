/* Bytes to an executor: never blocking, written by whoever has them. Control frames
 * pass before pieces, but never inside one. */
#include "daemon/state.h"
#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define PIPE_PIECES 8

static void due(daemon_state *d, daemon_slot *s) {
  if (!hato__linked(&s->flush)) hato__list_push(&d->flush, &s->flush);
}

hato__buf *daemon_slot_out(daemon_state *d, daemon_slot *s) {
  if (s->staged.len > 0) return &s->staged;
  due(d, s);
  return &s->out;
}

/* What was staged may go: the covered bytes, or all of them. */
void daemon_slot_release(daemon_state *d, daemon_slot *s, bool all) {
  size_t n = all ? s->staged.len : s->covered;
  hato__buf_append(&s->out, s->staged.data, n);
  if (n == s->staged.len)
    hato__buf_clear(&s->staged);
  else
    hato__buf_consume(&s->staged, n);
  s->covered = 0;
  if (s->out.failed || s->staged.failed) daemon_no_memory(d);
  due(d, s);
}

void daemon_slot_piece(daemon_state *d, daemon_slot *s, const net_frame *f) {
  daemon_piece *p = daemon_piece_new(d, f->data, f->header, PROTO_HEADER + (size_t)f->len);
  if (!p) return;
  hato__list_push(&s->pieces, &p->link);
  due(d, s);
}

void daemon_slot_drop(daemon_state *d, daemon_slot *s) {
  s->ended = true;
  while (s->writing) { /* in a call that does not block */
    pthread_mutex_unlock(&d->lock);
    sched_yield();
    daemon_lock(d);
  }
  hato__buf_clear(&s->staged);
  hato__buf_clear(&s->out);
  s->covered = 0;
  s->need = false;
  hato__list_remove(&s->flush);
  hato__list_remove(&s->needs);
  hato__list_remove(&s->covers);
  for (hato__link *l; (l = hato__list_pop(&s->pieces));)
    daemon_piece_free(d, HATO__ENTRY(l, daemon_piece, link));
  s->partial = false;
  hato__buf_clear(&s->sending);
  s->sent = 0;
  net_data_unref(s->big);
  s->big = NULL;
  s->in_len = 0;
}

/* In the order they are sent: the rest of a begun piece, control frames, pieces. */
static unsigned gather(daemon_slot *s, struct iovec *iov) {
  unsigned n = 0;
  hato__link *l = s->pieces.next;
  if (s->partial) {
    daemon_piece *p = HATO__ENTRY(l, daemon_piece, link);
    iov[n++] = (struct iovec){(void *)p->at, p->len};
    l = l->next;
  }
  if (s->sent < s->sending.len)
    iov[n++] = (struct iovec){s->sending.data + s->sent, s->sending.len - s->sent};
  for (; l != &s->pieces && n < PIPE_PIECES; l = l->next) {
    daemon_piece *p = HATO__ENTRY(l, daemon_piece, link);
    iov[n++] = (struct iovec){(void *)p->at, p->len};
  }
  return n;
}

/* Takes what was written off the front piece; the bytes that were not of it. */
static size_t consume_piece(daemon_state *d, daemon_slot *s, size_t n) {
  daemon_piece *p = HATO__ENTRY(s->pieces.next, daemon_piece, link);
  size_t part = n < p->len ? n : p->len;
  p->at += part;
  p->len -= part;
  s->partial = p->len > 0;
  if (!s->partial) {
    hato__list_remove(&p->link);
    daemon_piece_free(d, p);
  }
  return n - part;
}

static void consume(daemon_state *d, daemon_slot *s, size_t n) {
  if (s->partial && n > 0) n = consume_piece(d, s, n);
  size_t control = s->sending.len - s->sent;
  if (control > n) control = n;
  s->sent += control;
  n -= control;
  if (s->sent == s->sending.len) {
    hato__buf_clear(&s->sending);
    s->sent = 0;
  }
  while (n > 0) n = consume_piece(d, s, n);
}

static void arm(daemon_state *d, daemon_slot *s) {
  if (s->armed) return;
  s->armed = true;
  struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT, .data.u64 = s->index * 2u};
  (void)epoll_ctl(d->epoll, EPOLL_CTL_MOD, s->fd, &ev);
}

void daemon_slot_flush(daemon_state *d, daemon_slot *s) {
  if (s->writing || s->fd < 0 || s->ended || s->armed) return;
  s->writing = true;
  while (!s->ended) {
    if (s->sending.len == 0) {
      hato__buf swap = s->sending;
      s->sending = s->out;
      s->out = swap;
    }
    struct iovec iov[PIPE_PIECES + 1];
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = gather(s, iov)};
    if (msg.msg_iovlen == 0) break;
    int fd = s->fd;
    pthread_mutex_unlock(&d->lock);
    ssize_t n = sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    int e = errno;
    daemon_lock(d);
    if (n >= 0)
      consume(d, s, (size_t)n);
    else if (e == EAGAIN) {
      arm(d, s);
      break;
    } else if (e != EINTR)
      break; /* it died; its pidfd says so */
  }
  s->writing = false;
}

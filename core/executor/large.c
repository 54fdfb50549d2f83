/* Results of calls that are too large for a record, sent from where they are: also while the function runs. */
#include "executor/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

/* Writes head and data, which nothing may come between; receives meanwhile. */
static void write_frame(executor *x, struct iovec iov[2]) {
  struct msghdr m = {.msg_iov = iov, .msg_iovlen = 2};
  while (!x->link.closed && m.msg_iovlen > 0) {
    ssize_t n = sendmsg(x->link.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) {
      struct pollfd p = {.fd = x->link.fd, .events = POLLIN | POLLOUT};
      (void)poll(&p, 1, -1);
      if (p.revents & (POLLIN | POLLHUP)) executor_receive(x, false);
    } else if (n < 0 && errno == EFAULT) {
      (void)raise(SIGSEGV); /* the function's mistake, and its end as if it had been copied */
    } else if (n < 0 && errno != EINTR) {
      executor_stop(x, EXECUTOR_EXIT_CLOSED, NULL);
    }
    for (; n > 0 && m.msg_iovlen > 0; m.msg_iov++, m.msg_iovlen--) {
      size_t part = (size_t)n < m.msg_iov->iov_len ? (size_t)n : m.msg_iov->iov_len;
      m.msg_iov->iov_base = (uint8_t *)m.msg_iov->iov_base + part;
      m.msg_iov->iov_len -= part;
      n -= (ssize_t)part;
      if (m.msg_iov->iov_len > 0) break;
    }
  }
}

static void send_piece(executor *x, const proto_piece *p) {
  hato__buf head = {0};
  proto_piece_head_encode(&head, p);
  if (head.failed) {
    executor_stop(x, EXECUTOR_EXIT_FAILED, "out of memory");
    return;
  }
  struct iovec iov[2] = {{.iov_base = head.data, .iov_len = head.len},
                         {.iov_base = (void *)(uintptr_t)p->data, .iov_len = p->len}};
  executor_link_raw(&x->link, true);
  write_frame(x, iov);
  executor_link_raw(&x->link, false);
  hato__buf_free(&head);
}

uint64_t executor_send_large(executor *x, uint8_t channel, const uint8_t *data, uint64_t n, bool last) {
  uint64_t *credit = &x->credit[channel == PROTO_CH_ERR];
  proto_piece p = {.task = x->task.id, .attempt = x->task.attempt, .channel = channel};
  uint64_t done = 0;
  while (done < n && x->task.value == 0 && !x->link.closed) {
    if (*credit == 0) {
      executor_flush(x);
      executor_receive(x, true);
      continue;
    }
    executor_flush(x);
    uint64_t len = n - done < *credit ? n - done : *credit;
    p.len = len < PROTO_PIECE_DATA ? (uint32_t)len : PROTO_PIECE_DATA;
    p.data = data + done;
    p.last = last && done + p.len == n;
    *credit -= p.len;
    done += p.len;
    send_piece(x, &p);
  }
  if (last && (done < n || n == 0)) { /* cut off, or all was sent before: the stream ends here all the same */
    p = (proto_piece){.task = x->task.id, .attempt = x->task.attempt, .channel = channel, .last = true};
    proto_piece_encode(executor_link_begin(&x->link), &p);
    executor_link_end(&x->link);
  }
  return done;
}

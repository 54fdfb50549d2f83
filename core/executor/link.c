#include "executor/link.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define OUT_KEEP (1u << 20) /* a larger buffer is given back when it has been sent */

bool executor_link_open(executor_link *l, int fd) {
  *l = (executor_link){.fd = fd, .wake = -1};
  return pthread_mutex_init(&l->lock, NULL) == 0;
}

void executor_link_free(executor_link *l) {
  if (l->wake >= 0) close(l->wake);
  if (l->fd >= 0) close(l->fd);
  free(l->in);
  hato__buf_free(&l->out);
  (void)pthread_mutex_destroy(&l->lock);
}

static void end_results(executor_link *l) {
  if (!l->open) return;
  proto_results_end(&l->results);
  l->open = false;
}

hato__buf *executor_link_begin(executor_link *l) {
  (void)pthread_mutex_lock(&l->lock);
  end_results(l);
  l->oldest = 1; /* long ago: frames that are no results do not wait, nor what is before them */
  return &l->out;
}

void executor_link_end(executor_link *l) {
  if (l->out.failed) l->failed = true;
  (void)pthread_mutex_unlock(&l->lock);
}

size_t executor_link_result(executor_link *l, const proto_result *r, uint64_t now, bool more) {
  (void)pthread_mutex_lock(&l->lock);
  if (l->open && !proto_results_room(&l->results, proto_result_size(r))) end_results(l);
  if (!l->open) {
    proto_results_begin(&l->results, &l->out);
    l->open = true;
  }
  proto_results_add(&l->results, r);
  if (l->out.failed) l->failed = true;
  if (l->oldest == 0) l->oldest = now;
  bool arm = more && !l->armed && l->wake >= 0;
  if (arm) l->armed = true;
  size_t unsent = l->out.len - l->sent;
  (void)pthread_mutex_unlock(&l->lock);
  if (arm) {
    uint64_t one = 1;
    ssize_t rc = write(l->wake, &one, sizeof one);
    (void)rc; /* only a counter at its end would refuse, and that is readable too */
  }
  return unsent;
}

size_t executor_link_send_locked(executor_link *l) {
  if (l->raw) return l->out.len - l->sent;
  end_results(l);
  while (l->sent < l->out.len) {
    ssize_t n = send(l->fd, l->out.data + l->sent, l->out.len - l->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == ENOBUFS)) break;
    /* A gone daemon wants nothing; that it is gone is learned by receiving. */
    l->sent = n < 0 ? l->out.len : l->sent + (size_t)n;
  }
  size_t left = l->out.len - l->sent;
  l->oldest = 0; /* what is left goes as soon as the socket takes it: there is no point in waiting */
  if (left == 0) {
    l->sent = 0;
    if (l->out.cap > OUT_KEEP)
      hato__buf_free(&l->out);
    else
      l->out.len = 0;
  } else if (l->sent > left) {
    hato__buf_consume(&l->out, l->sent);
    l->sent = 0;
  }
  return left;
}

size_t executor_link_send(executor_link *l) {
  (void)pthread_mutex_lock(&l->lock);
  size_t left = executor_link_send_locked(l);
  (void)pthread_mutex_unlock(&l->lock);
  return left;
}

void executor_link_raw(executor_link *l, bool raw) {
  (void)pthread_mutex_lock(&l->lock);
  l->raw = raw;
  (void)pthread_mutex_unlock(&l->lock);
}

size_t executor_link_unsent(executor_link *l) {
  (void)pthread_mutex_lock(&l->lock);
  size_t unsent = l->out.len - l->sent;
  (void)pthread_mutex_unlock(&l->lock);
  return unsent;
}

uint64_t executor_link_waiting(executor_link *l, size_t *unsent) {
  (void)pthread_mutex_lock(&l->lock);
  uint64_t oldest = l->oldest;
  *unsent = l->out.len - l->sent;
  (void)pthread_mutex_unlock(&l->lock);
  return oldest;
}

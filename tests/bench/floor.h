/* For the floors: NNG's byte streams and processes, with nothing of hato. */
#ifndef HATO_BENCH_FLOOR_H
#define HATO_BENCH_FLOOR_H

#include <nng/nng.h>
#include <nng/supplemental/util/platform.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void must(int rv, const char *what) {
  if (rv == 0) return;
  fprintf(stderr, "%s: %s\n", what, nng_strerror(rv));
  _exit(1);
}

static inline int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}
static inline uint64_t median(uint64_t *v, size_t n) {
  qsort(v, n, sizeof *v, by_size);
  return v[n / 2];
}

/* A child that ends with its parent. */
static inline pid_t child(void) {
  pid_t parent = getpid(), pid = fork();
  if (pid < 0) exit(1);
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
  }
  return pid;
}
static inline void end_child(pid_t pid) {
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

static inline void floor_url(char out[64], const char *what) {
  snprintf(out, 64, "abstract://hato-floor-%s-%d", what, (int)getpid());
}

static inline nng_stream *dial_patiently(const char *url) {
  nng_stream_dialer *d;
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  must(nng_stream_dialer_alloc(&d, url), url);
  for (int i = 0;; i++) {
    nng_stream_dialer_dial(d, aio);
    nng_aio_wait(aio);
    int rv = nng_aio_result(aio);
    if (rv == 0) break;
    if (i == 5000) must(rv, url);
    nng_msleep(1);
  }
  nng_stream *s = nng_aio_get_output(aio, 0);
  nng_aio_free(aio);
  return s;
}

static inline nng_stream_listener *listen_on(const char *url) {
  nng_stream_listener *l;
  must(nng_stream_listener_alloc(&l, url), url);
  must(nng_stream_listener_listen(l), url);
  return l;
}

static inline nng_stream *accept_on(nng_stream_listener *l) {
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  nng_stream_listener_accept(l, aio);
  nng_aio_wait(aio);
  must(nng_aio_result(aio), "accept");
  nng_stream *s = nng_aio_get_output(aio, 0);
  nng_aio_free(aio);
  return s;
}

/* One direction through a process: what a receive brings is sent on, then the next is posted. */
typedef struct link {
  nng_stream *from, *to;
  int to_fd; /* or a socket */
  nng_aio *recv, *send;
  size_t cap, have, done;
  char *buf;
} link_t;

static inline void link_post(link_t *k) {
  nng_iov v = {.iov_buf = k->buf, .iov_len = k->cap};
  nng_aio_set_iov(k->recv, 1, &v);
  nng_stream_recv(k->from, k->recv);
}
static inline void link_push(link_t *k) {
  nng_iov v = {.iov_buf = k->buf + k->done, .iov_len = k->have - k->done};
  nng_aio_set_iov(k->send, 1, &v);
  nng_stream_send(k->to, k->send);
}
static inline void link_sent(void *arg) {
  link_t *k = arg;
  if (nng_aio_result(k->send) != 0) return;
  k->done += nng_aio_count(k->send);
  if (k->done < k->have)
    link_push(k);
  else
    link_post(k);
}
static inline void link_received(void *arg) {
  link_t *k = arg;
  if (nng_aio_result(k->recv) != 0) return;
  k->have = nng_aio_count(k->recv);
  k->done = 0;
  if (k->to != NULL) {
    link_push(k);
    return;
  }
  while (k->done < k->have) {
    ssize_t n = write(k->to_fd, k->buf + k->done, k->have - k->done);
    if (n <= 0) return;
    k->done += (size_t)n;
  }
  link_post(k);
}
static inline void link_start(link_t *k, nng_stream *from, nng_stream *to, int to_fd, size_t cap) {
  *k = (link_t){.from = from, .to = to, .to_fd = to_fd, .cap = cap, .buf = malloc(cap)};
  must(nng_aio_alloc(&k->recv, link_received, k), "aio");
  must(nng_aio_alloc(&k->send, link_sent, k), "aio");
  link_post(k);
}

/* All n bytes, blocking the caller. */
static inline void stream_all(nng_stream *s, nng_aio *aio, int send, char *buf, size_t n) {
  while (n > 0) {
    nng_iov v = {.iov_buf = buf, .iov_len = n};
    nng_aio_set_iov(aio, 1, &v);
    if (send)
      nng_stream_send(s, aio);
    else
      nng_stream_recv(s, aio);
    nng_aio_wait(aio);
    must(nng_aio_result(aio), send ? "send" : "receive");
    buf += nng_aio_count(aio);
    n -= nng_aio_count(aio);
  }
}

/* ---- the processes of the chain: a relay between client and daemon, and the daemon ---- */
static inline void run_relay(const char *url, size_t cap) {
  nng_stream_listener *l = listen_on(url);
  /* The daemon is the first to dial: see the floors. */
  nng_stream *daemon = accept_on(l), *client = accept_on(l);
  link_t in, out;
  link_start(&in, client, daemon, -1, cap);
  link_start(&out, daemon, client, -1, cap);
  for (;;) pause();
}

/* Dials url, or, with no relay, listens on it. Its executor is at the other end of fd. */
static inline void run_daemon(const char *url, int listens, int fd, size_t cap, int ready) {
  nng_stream *s;
  if (listens) {
    nng_stream_listener *l = listen_on(url);
    (void)!write(ready, "r", 1);
    s = accept_on(l);
  } else {
    s = dial_patiently(url);
    (void)!write(ready, "r", 1);
  }
  link_t in;
  link_start(&in, s, NULL, fd, cap);
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  char *buf = malloc(cap);
  for (;;) {
    ssize_t n = read(fd, buf, cap);
    if (n <= 0) _exit(0);
    stream_all(s, aio, 1, buf, (size_t)n);
  }
}

#endif

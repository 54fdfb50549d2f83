/* A thread that sends the results which would wait behind a long call, and notices that the
 * daemon has gone while the main thread is inside a function. It sleeps until it is armed. */
#include "base/clock.h"
#include "base/thread.h"
#include "executor/state.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_SIZE (256u << 10)
#define STOP (UINT64_C(1) << 32) /* added to the counter of `wake`: the thread ends */
#define GONE_NS (5 * HATO__SEC)

/* Sends what has waited long enough. Returns ns until it has to look again; UINT64_MAX: disarmed. */
static uint64_t look(executor_link *l) {
  uint64_t wait = EXECUTOR_DELAY_NS;
  (void)pthread_mutex_lock(&l->lock);
  uint64_t now = hato__now();
  if (l->armed) {
    if (l->oldest == 0) {
      /* Nothing came since the last look: the main thread arms it again. */
      l->armed = l->out.len > l->sent;
    } else if (now - l->oldest >= EXECUTOR_DELAY_NS) {
      (void)executor_link_send_locked(l);
    } else {
      wait = l->oldest + EXECUTOR_DELAY_NS - now;
    }
  }
  if (!l->armed) wait = UINT64_MAX;
  (void)pthread_mutex_unlock(&l->lock);
  return wait;
}

/* The main thread sees the end by itself unless it is in a function. */
static void on_gone(executor *x) {
  if (!atomic_load(&x->link.in_call)) return;
  (void)executor_children_end(GONE_NS);
  _exit(EXECUTOR_EXIT_CLOSED);
}

static void *run(void *arg) {
  executor *x = arg;
  executor_link *l = &x->link;
  uint64_t wait = UINT64_MAX;
  for (;;) {
    /* No events of the socket are asked for: that it was hung up is always told. */
    struct pollfd p[2] = {{.fd = l->fd}, {.fd = l->wake, .events = POLLIN}};
    struct timespec ts = {.tv_sec = (time_t)(wait / HATO__SEC), .tv_nsec = (long)(wait % HATO__SEC)};
    (void)ppoll(p, 2, wait == UINT64_MAX ? NULL : &ts, NULL);
    bool gone = p[0].revents & (POLLHUP | POLLERR);
    uint64_t count = 0;
    if ((p[1].revents & POLLIN) && read(l->wake, &count, sizeof count) == sizeof count && count >= STOP)
      return NULL;
    wait = look(l);
    if (!gone) continue;
    on_gone(x);
    struct pollfd stop = {.fd = l->wake, .events = POLLIN};
    (void)poll(&stop, 1, 10); /* the socket would wake it at once, again and again */
  }
}

bool executor_flusher_start(executor *x) {
  x->link.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (x->link.wake < 0) return false;
  x->caller.flushing = hato__thread_start(&x->caller.flusher, STACK_SIZE, run, x) == 0;
  return x->caller.flushing;
}

void executor_flusher_stop(executor *x) {
  if (!x->caller.flushing) return;
  uint64_t stop = STOP;
  ssize_t n = write(x->link.wake, &stop, sizeof stop);
  (void)n; /* far from the counter's end */
  (void)pthread_join(x->caller.flusher, NULL);
  x->caller.flushing = false;
}

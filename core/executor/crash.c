/* What a function's crash must not take with it: the results of the calls before. */
#include "executor/state.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_SIZE (64u << 10)
#define TRIES 1000    /* of 1 ms each, for the lock */
#define PATIENCE 2000 /* ms that the socket may stay full */

/* A signal handler has no argument of its own: the one variable of this layer that is not passed. */
static executor *_Atomic crashing;

static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

/* The flusher may be sending; the thread that crashed never holds the lock, as it was in a function. */
static bool lock(executor_link *l) {
  for (int i = 0; i < TRIES; i++) {
    if (pthread_mutex_trylock(&l->lock) == 0) return true;
    struct timespec ms = {.tv_nsec = 1000000};
    (void)nanosleep(&ms, NULL);
  }
  return false;
}

/* System calls and stores only, so that it may run in a signal handler. */
static void write_waiting(executor_link *l) {
  if (!lock(l)) return;
  if (l->raw) return;
  if (l->open) proto_results_end(&l->results);
  l->open = false;
  while (l->sent < l->out.len) {
    ssize_t n = send(l->fd, l->out.data + l->sent, l->out.len - l->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) {
      l->sent += (size_t)n;
      continue;
    }
    struct pollfd p = {.fd = l->fd, .events = POLLOUT};
    if (n < 0 && errno == EAGAIN && poll(&p, 1, PATIENCE) > 0 && !(p.revents & (POLLHUP | POLLERR))) continue;
    if (n < 0 && errno == EINTR) continue;
    break;
  }
  /* The lock stays taken: nothing may follow. */
}

static void on_crash(int sig) {
  executor *x = crashing;
  if (x != NULL && getpid() == x->pid) write_waiting(&x->link);
  (void)signal(sig, SIG_DFL);
  (void)raise(sig);
}

/* exit() in a function. */
static void on_exit_called(void) {
  executor *x = crashing;
  if (x != NULL && getpid() == x->pid && x->link.in_call) write_waiting(&x->link);
}

bool executor_crash_handle(executor *x) {
  x->caller.stack = malloc(STACK_SIZE);
  if (x->caller.stack == NULL) return false;
  stack_t s = {.ss_sp = x->caller.stack, .ss_size = STACK_SIZE};
  if (sigaltstack(&s, NULL) < 0) return false;
  crashing = x;
  if (atexit(on_exit_called) != 0) return false;
  struct sigaction sa = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK | (int)SA_RESETHAND | SA_NODEFER};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) (void)sigaction(signals[i], &sa, NULL);
  return true;
}

void executor_crash_ignore(executor *x) {
  if (x->caller.stack == NULL) return;
  crashing = NULL;
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) (void)signal(signals[i], SIG_DFL);
  stack_t s = {.ss_flags = SS_DISABLE};
  (void)sigaltstack(&s, NULL);
  free(x->caller.stack);
  x->caller.stack = NULL;
}

/* The executor's life: setting up the process, the loop, the end. */
#include "base/clock.h"
#include "base/io.h"
#include "executor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#define END_NS (5 * HATO__SEC) /* descendants that a SIGKILL does not end are left after so long */

static void nothing(int sig) { (void)sig; }

/* A handler that does nothing, where others would be ignored or the end: it keeps this process
 * alive (the daemon decides when it ends), and exec makes it the default for tasks by itself. */
static void set_signals(void) {
  static const int kept_off[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2};
  for (int sig = 1; sig < NSIG; sig++) {
    struct sigaction now;
    if (sigaction(sig, NULL, &now) == 0 && now.sa_handler == SIG_IGN) (void)signal(sig, SIG_DFL);
  }
  struct sigaction sa = {.sa_handler = nothing, .sa_flags = SA_RESTART};
  for (size_t i = 0; i < sizeof kept_off / sizeof *kept_off; i++) (void)sigaction(kept_off[i], &sa, NULL);
}

/* The socket above 2 and alone there; /dev/null as standard input, which commands inherit. */
static int set_descriptors(int fd) {
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  while (null >= 0 && null < 3) { /* 1 or 2 was closed: something has to be there */
    if (fcntl(null, F_SETFD, 0) < 0) return -1;
    null = fcntl(null, F_DUPFD_CLOEXEC, 0);
  }
  int at = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (null < 0 || at < 0 || dup2(null, 0) < 0) return -1;
  if (at > 3) {
    if (dup3(at, 3, O_CLOEXEC) < 0) return -1;
    at = 3;
  }
  if (close_range(4, ~0U, 0) < 0 && errno != ENOSYS) return -1;
  int flags = fcntl(at, F_GETFL);
  if (flags < 0 || fcntl(at, F_SETFL, flags & ~O_NONBLOCK) < 0) return -1;
  return at;
}

static void set_limit(uint64_t soft) {
  struct rlimit limit;
  if (soft == 0 || getrlimit(RLIMIT_NOFILE, &limit) < 0) return;
  limit.rlim_cur = soft < limit.rlim_max ? (rlim_t)soft : limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static bool set_up(executor *x, int fd, const executor_options *opts) {
  x->pid = getpid();
  x->log = 2;
  x->command.signals = x->link.fd = x->link.wake = -1;
  hato__list_init(&x->queue);
  if (opts != NULL) x->opts = *opts;
  if (x->opts.node != NULL)
    (void)snprintf(x->node, sizeof x->node, "%s", x->opts.node);
  else
    hato__hostname(x->node, sizeof x->node);
  set_signals();
  fd = set_descriptors(fd);
  if (fd < 0 || !executor_link_open(&x->link, fd)) return false;
  set_limit(x->opts.nofile_soft);
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0) return false;
  return executor_command_open(x);
}

static void idle(executor *x) {
  x->caller.clock = x->caller.first = 0;
  bool blocked = executor_link_send(&x->link) > 0;
  if (blocked) {
    struct pollfd p = {.fd = x->link.fd, .events = POLLIN | POLLOUT};
    (void)poll(&p, 1, -1);
  }
  executor_receive(x, !blocked);
}

static void run(executor *x) {
  const executor_spec *s = x->task.spec;
  if (s->status != HATO_OK) {
    x->task.active = false;
    executor_report_error(x, x->task.id, x->task.attempt, (uint16_t)s->status, s->words);
  } else if (s->s.kind == PROTO_FUNCTION) {
    executor_call_run(x);
  } else {
    executor_command_run(x);
  }
  if (x->link.failed) executor_stop(x, EXECUTOR_EXIT_FAILED, "out of memory for results");
}

int executor_main(int fd, const executor_options *opts) {
  executor *x = calloc(1, sizeof *x);
  if (x == NULL) return EXECUTOR_EXIT_FAILED;
  if (!set_up(x, fd, opts)) executor_stop(x, EXECUTOR_EXIT_FAILED, "cannot set up: %s", strerror(errno));
  while (!x->link.closed) {
    if (executor_queue_next(x))
      run(x);
    else
      idle(x);
  }
  (void)executor_children_end(END_NS);
  executor_call_free(x);
  executor_command_free(x);
  executor_queue_free(x);
  executor_specs_free(x);
  executor_link_free(&x->link);
  int code = x->exit;
  free(x);
  return code;
}

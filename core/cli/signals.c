#include "cli/signals.h"

#include <errno.h>
#include <sys/signalfd.h>
#include <unistd.h>

bool cli_signals_catch(signals *s) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGHUP);
  s->fd = -1;
  if (sigprocmask(SIG_BLOCK, &set, &s->before) != 0) return false;
  s->fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  return s->fd >= 0;
}

int cli_signals_take(signals *s) {
  struct signalfd_siginfo i;
  ssize_t n;
  do n = read(s->fd, &i, sizeof i);
  while (n < 0 && errno == EINTR);
  return n == (ssize_t)sizeof i ? (int)i.ssi_signo : 0;
}

void cli_signals_release(signals *s) {
  if (s->fd >= 0) close(s->fd);
  s->fd = -1;
  sigprocmask(SIG_SETMASK, &s->before, NULL);
}

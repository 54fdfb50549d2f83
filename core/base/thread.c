#include "base/thread.h"

#include <signal.h>

int hato__thread_start(pthread_t *t, size_t stack, void *(*run)(void *), void *arg) {
  pthread_t detached;
  pthread_attr_t attr;
  sigset_t all, before;
  int e = pthread_attr_init(&attr);
  if (e != 0) return e;
  if (t == NULL) e = pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
  if (e == 0 && stack != 0) e = pthread_attr_setstacksize(&attr, stack);
  if (e == 0) {
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* it begins with its maker's */
    e = pthread_create(t != NULL ? t : &detached, &attr, run, arg);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
  }
  (void)pthread_attr_destroy(&attr);
  return e;
}

/* Threads of hato's inside whatever program it is in. */
#ifndef HATO_BASE_THREAD_H
#define HATO_BASE_THREAD_H

#include <pthread.h>
#include <stddef.h>

/* A thread that takes no signal: the handlers of a host program are never to run on one of ours. stack: bytes of it, 0
 * for the system's default. t: NULL for a detached one. 0, or the errno that says why there is none. Any thread. */
int hato__thread_start(pthread_t *t, size_t stack, void *(*run)(void *), void *arg);

#endif

/* Inside the dispatcher: listening where daemons dial, when it is needed. */
#ifndef HATO_DISPATCHER_WHERE_H
#define HATO_DISPATCHER_WHERE_H

#include "dispatcher/dispatcher.h"
#include <pthread.h>

/* What the options said; lives in the dispatcher. */
typedef struct where {
  pthread_mutex_t lock; /* one at a time makes sure that it listens; taken before the dispatcher's */
  bool open;
  char **hosts, **interfaces; /* NULL: none */
  uint16_t port_low, port_high;
  void (*listening)(void *arg);
  void *arg;
} where;

/* where_options.c */
hato_status dispatcher_where_open(dispatcher *d, const dispatcher_options *o, hato_error *err);
void dispatcher_where_close(dispatcher *d);

/* ports.c, with the lock of `where`: tcp on all of hosts and one port (0: any that is free), or on none. */
/* In the log, what is listened at; a warning where others could read. */
void dispatcher_ports_say(dispatcher *d, const char *url);
hato_status dispatcher_ports_listen_at(dispatcher *d, char *const *hosts, unsigned port, hato_error *err);
/* The same, on the first port of the options' that is free. ADDRESS_IN_USE: none is. */
hato_status dispatcher_ports_listen(dispatcher *d, char *const *hosts, hato_error *err);
hato_status dispatcher_ports_everywhere(dispatcher *d, hato_error *err); /* the same, on all addresses */

#endif

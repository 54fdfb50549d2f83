/* What a listener and the admission of its connections share. */
#ifndef HATO_NET_LISTENER_H
#define HATO_NET_LISTENER_H

#include "base/list.h"
#include "net/internal.h"

#include <pthread.h>

#define NET_UNADMITTED_MAX 512u
#define NET_ADMISSION_NS (UINT64_C(10) * 1000000000) /* an admission ends in this time */
#define NET_SILENCE_NS UINT64_C(1000000000)          /* and gives way to others after this */

struct net_listener {
  char *url;
  net__kind kind;
  net_auth auth;
  hato__log log;
  net_admitted *admitted;
  void *arg;
  nng_stream_listener *sl;
  nng_aio *accept, *tick;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t quiet;
  hato__link waiting; /* admissions, the oldest first */
  unsigned n_waiting;
  unsigned handing; /* calls of `admitted` under way */
  bool closing;
  bool ticking;
  bool crowded;          /* accepting waits for an admission to end */
  uint64_t paused_until; /* out of descriptors; 0: not paused */
  unsigned pause_ms;
};

/* Under the lock: room for another is made by closing who keeps silent. */
void net__admission_expire(net_listener *l, uint64_t now);
void net__admission_close_all(net_listener *l);
/* After an admission ended: accept again, if that waited for it. */
void net__listener_room(net_listener *l);

#endif

/* What a listener and the admission of its connections share. */
#ifndef HATO_NET_LISTENER_H
#define HATO_NET_LISTENER_H

#include "base/list.h"
#include "net/internal.h"
#include "net/munge.h"

#include <pthread.h>

#define NET_UNADMITTED_MAX 512u
#define NET_ADMISSION_NS (UINT64_C(10) * 1000000000) /* an admission ends in this time */

/* How far a connection is that is not admitted. Each gives way to others when it has stayed there for its time (crowd.c). */
typedef enum net__stage {
  NET_SILENT,      /* it has to say HELLO, or to begin TLS */
  NET_HANDSHAKING, /* it has to end TLS's handshake and say HELLO */
  NET_GREETED,     /* it said a good HELLO and has to prove itself */
  NET_STAGES
} net__stage;

/* A connection's place among those that are not admitted, in the listener's lists. */
typedef struct net__place {
  hato__link link;
  net_conn *c;
  uint64_t since;  /* it was accepted */
  uint64_t stayed; /* since then at its stage */
  net__stage stage;
  bool told; /* it was closed, and will leave */
} net__place;

/* How many lines of refusals may still be written, of one kind of peers. */
typedef struct net__lines {
  unsigned left;
  uint64_t refilled;
  uint64_t dropped; /* lines not written, and told of by their number */
} net__lines;
enum { NET_LINES_STRANGERS, NET_LINES_GREETED, NET_LINES };

struct net_listener {
  char *url;
  hato__scheme kind;
  net_guard guard;
  uint8_t fingerprint[HATO__FINGERPRINT_BYTES]; /* of the certificate of its TLS */
  uint8_t decoy[HATO__SECRET_BYTES]; /* what a credential that is not there is checked against */
  bool munge_runs;      /* munged answered when we began to listen */
  net__munge_desk *desk; /* NULL: MUNGE is not asked for */
  hato__log log;
  net_admitted *admitted;
  void *arg;
  nng_stream_listener *sl;
  nng_aio *accept, *tick;

  pthread_mutex_t lock; /* guards what follows */
  pthread_cond_t quiet;
  /* Places, the oldest first: of each stage, and of who was told to leave. */
  hato__link staying[NET_STAGES], leaving;
  unsigned n_staying[NET_STAGES];
  unsigned n_waiting; /* all of them */
  unsigned most;      /* of them */
  unsigned handing;   /* calls of `admitted` under way */
  net__lines lines[NET_LINES];
  uint64_t lines_since; /* when the first of those dropped was; 0: none was */
  char lines_last[192]; /* the last of them */
  bool closing;
  bool ticking;
  bool crowded;          /* accepting waits for an admission to end */
  uint64_t paused_until; /* out of descriptors; 0: not paused */
  unsigned pause_ms;
};

/* ---- crowd.c: who waits to be admitted, and who makes room ---- */
void net__crowd_init(net_listener *l);
void net__crowd_join(net_listener *l, net__place *p, net_conn *c);
void net__crowd_greeted(net_listener *l, net__place *p); /* it said a good HELLO */
/* Under the lock. */
void net__crowd_leave(net_listener *l, net__place *p);
void net__crowd_expire(net_listener *l, uint64_t now);
void net__crowd_close_all(net_listener *l);

/* ---- refusals.c: a line each, and of a flood their number ---- */
void net__refusals_init(net_listener *l);
void net__refused(net_listener *l, hato__log_level level, const char *id, bool greeted, const char *address,
                  const char *reason);
bool net__refusals_due(const net_listener *l); /* under the lock: there is a number to tell, now or later */
void net__refusals_tell(net_listener *l, bool now);

/* ---- backlog.c ---- */
void net__backlog_lengthen(nng_stream_listener *sl);

/* After an admission ended: accept again, if that waited for it. */
void net__listener_room(net_listener *l);

#endif

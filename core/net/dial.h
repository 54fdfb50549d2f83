/* One attempt at one address, for who dials one (dial.c) and who dials many (race.c). */
#ifndef HATO_NET_DIAL_H
#define HATO_NET_DIAL_H

#include "net/internal.h"

#include <pthread.h>

typedef struct net__dial {
  const char *url;
  hato__scheme kind;
  proto_role role;
  const net_auth *auth;
  uint64_t deadline; /* of the attempt, clock */
  struct nng_tls_config *tls; /* NULL: plain */
  nng_aio *aio;
  nng_stream *stream;
  atomic_bool done; /* what the aio was last posted for */
  atomic_bool stopped;
  pthread_mutex_t stopping; /* held while another thread stops the aio */
  bool secret, munge; /* were proved */
  uint8_t hello[PROTO_HEADER + NET_HELLO_BODY];
  uint8_t body[NET_ADMISSION_BODY];
} net__dial;

/* Checks the url and makes the aio. */
hato_status net__dial_open(net__dial *d, const char *url, proto_role role, const net_auth *auth, hato_error *err);
/* For the handshake. read: one frame of these types, into body, and not a byte more; REFUSED, in any version, is a
 * failure with its words. */
hato_status net__dial_send(net__dial *d, hato__buf *frame, hato_error *err);
hato_status net__dial_read(net__dial *d, proto_type a, proto_type b, uint8_t *type, uint32_t *len, hato_error *err);
/* answer.c: proves that we hold what the challenge in d->body asks for, and has the listener prove the same. */
hato_status net__answer_challenge(net__dial *d, uint32_t len, hato_error *err);
/* Connects and is admitted, or fails as net_dial says; blocks until d->deadline. nng: what connecting failed
 * with, 0 if it did not. The words begin with the url. */
hato_status net__dial_attempt(net__dial *d, int *nng, hato_error *err);
/* By another thread: the attempt fails at once (CANCELLED), if it has not ended. */
void net__dial_stop(net__dial *d);
/* The admitted connection; the dial is closed in every case. */
hato_status net__dial_take(net__dial *d, net_conn **out, hato_error *err);
void net__dial_close(net__dial *d);
/* How long to wait before the next try, ns: longer each time up to most, and not as long as others do, so that
 * they do not all come back at once. */
uint64_t net__dial_pause(uint64_t *wait, uint64_t most);

#endif

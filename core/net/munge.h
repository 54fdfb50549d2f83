/*
 * MUNGE inside net: credentials that say which user made them, asked of this host's
 * munged (HATO_MUNGE_SOCKET names the socket of another one).
 *
 * Every call blocks on munged's socket, for 2 s when munged does not answer and at most
 * for 4 s (10 s where there is no /proc), so none belongs on a thread of NNG: there a desk
 * takes jobs. Any thread may call; each call has a MUNGE context and, for as long as it
 * lasts, a thread of its own, on which no signal is handled.
 */
#ifndef HATO_NET_MUNGE_H
#define HATO_NET_MUNGE_H

#include "hato/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NET_MUNGE_PAYLOAD 32u
#define NET_MUNGE_ROOM 384u /* for a credential, its end included; Debian's munged makes 188 bytes */

/* munged runs here and answers. */
bool net__munge_runs(void);

/* A credential over the payload that only our own user (the effective one) can decode, for
 * munged's default time. Encode just before sending. OK, UNREACHABLE (munged does not
 * answer), TOO_LARGE (for n), NO_MEMORY, SYSTEM; out is empty then. */
hato_status net__munge_encode(const uint8_t payload[NET_MUNGE_PAYLOAD], char *out, size_t n,
                              hato_error *err);

/* OK: a process of our own user (the effective one) made it over just this payload, and
 * it is decoded on this host for the first time. PEER_AUTH: it is not so, and err says why, in
 * words for our own log; UNREACHABLE, NO_MEMORY, SYSTEM: nobody knows. */
hato_status net__munge_decode(const char *credential, const uint8_t payload[NET_MUNGE_PAYLOAD],
                              hato_error *err);

/* ---- munge_desk.c: the same for threads that must not block ---- */
#define NET_MUNGE_DESK_ROOM 512u  /* jobs that wait */
#define NET_MUNGE_DESK_THREADS 2u /* as munged has */
#define NET_MUNGE_DESK_WAIT_MS 3000u

typedef struct net__munge_desk net__munge_desk;

/* First the credential is decoded, then, if it was good, the answer is made. */
typedef struct net__munge_job net__munge_job;
struct net__munge_job {
  const char *credential; /* NULL: none to decode; must live until `done` */
  uint8_t payload_in[NET_MUNGE_PAYLOAD];
  bool encode; /* make an answer over payload_out */
  uint8_t payload_out[NET_MUNGE_PAYLOAD];
  /* Called once, on a thread of the desk and without its lock; the job is its owner's again. */
  void (*done)(net__munge_job *job);
  void *arg; /* the owner's */

  /* What came of it: a status of the two calls, AGAIN (it waited for longer than
   * NET_MUNGE_DESK_WAIT_MS, because munged is slow) or CANCELLED (the desk was taken down). */
  hato_error err;
  char answer[NET_MUNGE_ROOM];

  /* the desk's */
  net__munge_job *next;
  uint64_t posted;
};

/* NULL: no memory. The first job starts the first thread. */
net__munge_desk *net__munge_desk_create(void);
/* Waits for the jobs under way (4 s at most) and gives back the others as CANCELLED. Not
 * from a `done`. NULL is fine. */
void net__munge_desk_destroy(net__munge_desk *desk);
/* False: refused, as NET_MUNGE_DESK_ROOM jobs wait, or there is no thread, or the desk is
 * being taken down; `done` is not called. Never blocks; from a `done`, too. */
bool net__munge_post(net__munge_desk *desk, net__munge_job *job);

#endif

/*
 * Inside net. Three roles act on a connection, each on whatever thread it finds:
 *
 *   the reader  posts receives and hands their frames to the owner,
 *   the writer  asks for bytes with `fill` and sends them,
 *   the closer  whoever first wants the end.
 *
 * None takes a lock. `tx` and `gate` say who holds a role; `life` counts what keeps
 * the connection open (its use, the reader, the writer), and what brings it to zero
 * after the closer came has the `closed` callback run on a thread of NNG. `refs`
 * counts who may touch the memory.
 */
#ifndef HATO_NET_INTERNAL_H
#define HATO_NET_INTERNAL_H

#include "base/error.h"
#include "base/url.h"
#include "net/net.h"

#include <nng/nng.h>
#include <stdatomic.h>
#include <stdlib.h>

#define NET_IDLE_BUFFER 512u         /* what an idle connection pins */
#define NET_MOST_BUFFER (64u * 1024) /* what a busy one grows to */
#define NET_WS_FRAME (64u * 1024)    /* the largest frame that we send and take */
#define NET_ADMISSION_BODY 1024u     /* the largest body before admission */
/* What a peer may send before admission: two frames, HELLO and PROOF, at their largest. */
#define NET_ADMISSION_BYTES (2u * (PROTO_HEADER + NET_ADMISSION_BODY))

struct net_data {
  atomic_uint refs;
  size_t n;
  const uint8_t *bytes;
  void (*release)(void *arg);
  void *arg;
};

/* life: this bit, and below it a count. */
#define NET_CLOSING 0x80000000u

/* tx: nobody writes; somebody does; somebody does and was asked to look again. */
enum { NET_TX_IDLE, NET_TX_BUSY, NET_TX_AGAIN };
/* gate, before the owner's frame callback: PARKED means that who came with frames
 * went away, and that whoever opens the gate sends for them. */
enum { NET_GATE_OPEN, NET_GATE_SHUT, NET_GATE_PARKED };

typedef struct net__admission net__admission;
typedef struct net__pair net__pair;

struct net_conn {
  const net_ops *ops; /* written while both roles are parked, published by tx and gate */
  void *owner;
  nng_stream *stream; /* NULL: an end of a pair */
  net_conn *other;    /* the other end of a pair */
  net__pair *pair;
  nng_aio *aio; /* receives; and runs what must run on a thread of NNG */
  atomic_uint refs;
  atomic_uint life;
  atomic_int tx;
  atomic_int gate;
  atomic_bool discard; /* refused: what comes is dropped */
  bool started;
  bool ended;  /* the aio comes with the end */
  bool direct; /* a plain socket: a send that can be done at once is done at once */
  bool ws;     /* a WebSocket */
  bool tls;    /* TLS, and no WebSocket around it */

  /* the reader's */
  bool quiet;    /* of a WebSocket: nothing came for a while */
  bool grow;     /* the last receive filled the buffer */
  bool flows;    /* the last receive brought a large frame, or a part of one */
  uint8_t small; /* receives in a row that used little of it */
  uint8_t *buf;
  uint32_t cap, len;
  uint32_t want;  /* the whole frame of which the buffer holds the beginning, or 0 */
  uint32_t limit; /* of a body */
  uint32_t big_have, big_whole;
  net_data *big; /* a frame that is read into a buffer of its own; of one whose data are placed, what precedes them */
  uint8_t *big_bytes;
  uint8_t *placed; /* where the owner wants the data of this PIECE; NULL: nowhere */
  nng_aio *now_aio;
  net__admission *admission;

  /* of a WebSocket and of TLS: what finds out that it is closed (recv.c) */
  nng_aio *probe_aio;
  atomic_uint posts; /* of TLS: receives; and how many there were when the watch began */
  unsigned watched;
  atomic_bool probing, lost;

  /* the writer's */
  bool congested; /* the socket's buffer was full */
  bool handover;  /* after this send the connection leaves its admission */
  nng_aio *try_aio, *wait_aio;
  net_out out;
  size_t out_len, out_done;

  _Atomic uint64_t in, sent;
  hato_status why; /* the closer's */
  char *words;
  hato__log log;
  net_peer peer;
};

/* ---- init.c ---- */
hato_status net__status(int nng);
/* Fills err with what failed and NNG's words. */
hato_status net__fail_nng(hato_error *err, int nng, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* What a send that is taken back does no harm to: with TLS it ends the connection. */
static inline bool net__is_direct(hato__scheme kind) { return kind == HATO__SCHEME_SOCKET || kind == HATO__SCHEME_TCP; }

/* ---- url.c ---- */
hato_status net__url_check(const char *url, hato__scheme *kind, hato_error *err);
/* Of one that was checked: a port to dial. */
hato_status net__url_names_port(const char *url, hato__scheme kind, hato_error *err);

/* ---- conn.c ---- */
/* Takes the stream, also when it fails. */
hato_status net__conn_new(nng_stream *stream, hato__scheme kind, net_conn **out, hato_error *err);
void net__conn_init(net_conn *c);
void net__conn_clear(net_conn *c); /* buffers and aios */
bool net__hold(net_conn *c);       /* false: it is closing */
void net__unhold(net_conn *c);
void net__ref(net_conn *c);
void net__unref(net_conn *c);
void net__end(net_conn *c); /* the aio came with the end */
/* Has what was posted complete, though its stream may be closed; of TLS it closes it. */
void net__take_back(net_conn *c, nng_aio *aio);
/* Runs the aio's callback on a thread of NNG, when no receive is posted. */
void net__bounce(net_conn *c);
bool net__gate_pass(net_conn *c); /* false: parked */
void net__gate_shut(net_conn *c);
void net__gate_open(net_conn *c);
static inline bool net__closing(net_conn *c) {
  return (atomic_load_explicit(&c->life, memory_order_acquire) & NET_CLOSING) != 0;
}
static inline bool net__gate_is_open(net_conn *c) {
  return atomic_load_explicit(&c->gate, memory_order_acquire) == NET_GATE_OPEN;
}

/* ---- recv.c ---- */
/* Whether a stream that is no Unix socket still has its TCP connection. */
bool net__connected(nng_stream *s);
void net__received(void *conn); /* the aio's callback */
hato_status net__give(net_conn *c, const uint8_t *header, net_data *data, hato_error *err);
hato_status net__header_check(net_conn *c, const uint8_t *header, uint32_t *len, hato_error *err);
hato_status net__big_begin(net_conn *c, const uint8_t *at, uint32_t have, uint32_t whole, hato_error *err);
hato_status net__buf_room(net_conn *c, uint32_t cap, hato_error *err);
/* A connection that failed says so in the log of its listener, and ends. */
void net__reader_failed(net_conn *c, hato_status status, const char *words);

/* ---- send.c ---- */
void net__write(net_conn *c); /* the writer's loop; the role and a hold are given */
void net__out_clear(net_conn *c);

/* ---- pair.c ---- */
hato_status net__pair_deliver(net_conn *from); /* what `from` filled, to the other end */
void net__pair_unref(net__pair *p);

/* ---- auth.c ---- */
#define NET_HELLO_BODY 20u
#define NET_CHALLENGE_BODY 20u
/* What both ends prove to have in common: the certificate of their TLS (NULL: none), HELLO, CHALLENGE. This and the
 * MACs: false, and zeros, when there is no memory. */
bool net__transcript(uint8_t t[32], const uint8_t *fingerprint, const uint8_t hello[NET_HELLO_BODY],
                     const uint8_t challenge[NET_CHALLENGE_BODY]);
bool net__proof_mac(uint8_t mac[32], const uint8_t secret[32], const uint8_t t[32], const proto_proof *proof);
/* proof: the MAC of the PROOF. */
bool net__welcome_mac(uint8_t mac[32], const uint8_t secret[32], const uint8_t t[32], const uint8_t proof[32],
                      const proto_proof *welcome);
/* What the MUNGE credentials of PROOF and WELCOME carry. */
bool net__munge_payload(uint8_t payload[32], bool welcome, const uint8_t t[32]);
bool net__mac_equal(const uint8_t a[32], const uint8_t b[32]); /* in constant time */
/* The user of the process at the other end of a Unix socket. */
bool net__peer_is_self(nng_stream *s, uint64_t *uid);
void net__peer_address(nng_stream *s, bool local, char *out, size_t n);

/* ---- admission.c ---- */
/* An accepted stream; taken in every case. */
void net__admission_begin(net_listener *l, nng_stream *s);
/* The reader found what is no frame. */
void net__admission_garbage(net_conn *c, hato_status status, const char *words);
/* The connection is admitted and its writer parked: gives it to the listener's owner. The
 * writer's hold is given, too. */
void net__handover(net_conn *c);

#endif

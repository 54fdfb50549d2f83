/*
 * net - connections: NNG byte streams that carry frames, admitted before
 * anything is read from them, and in-process pairs that look the same.
 *
 * A connection pulls: its owner says net_wake when it has something, and the
 * connection asks for it by `fill` when no send is in flight. So at most one
 * send is in flight, whatever is produced meanwhile joins the next one, and
 * nothing is timed.
 *
 * Callbacks run on NNG's threads (or, on net_wake, on the caller's, when the
 * connection was idle), with no lock of net held; `closed` on NNG's only. On an
 * in-process pair a wake also runs the other end's `frame` and `batch`, so call it
 * with no lock that they take. `frame` and `batch` of one
 * connection never run at once, nor do two `fill`s; `frame` and `fill` may.
 * Signals are blocked while NNG starts its threads. After fork nothing here may
 * be called.
 */
#ifndef HATO_NET_H
#define HATO_NET_H

#include "base/buf.h"
#include "base/credential.h"
#include "base/log.h"
#include "hato/status.h"
#include "proto/message.h"

typedef struct net_conn net_conn;
typedef struct net_listener net_listener;

/* Bytes shared by reference; immutable once shared. */
typedef struct net_data net_data;
net_data *net_data_ref(net_data *d);
void net_data_unref(net_data *d); /* NULL is fine */
net_data *net_data_new(size_t n, uint8_t **bytes);                                           /* NULL: no memory */
net_data *net_data_wrap(const void *bytes, size_t n, void (*release)(void *arg), void *arg); /* borrowed until release */

/* A received frame. body is valid during the callback; frames of
 * NET_BY_REFERENCE bytes or more were read into a buffer of their own, `data`,
 * which may be kept with net_data_ref (NULL for smaller ones). header points at
 * the 8 bytes before the body, so that a frame can be forwarded as it came. */
#define NET_BY_REFERENCE (16u * 1024u)
typedef struct net_frame {
  uint8_t type;
  uint32_t len;
  const uint8_t *header;
  const uint8_t *body;
  net_data *data;
  const uint8_t *placed; /* of a PIECE whose data went where `place` said; body is its fields alone then. NULL: none */
} net_frame;

/* What a fill appends to: whole frames into `bytes`, then up to NET_REFS
 * stretches of shared data, sent after the bytes in order. Aim at 64-256 KB a fill. */
#define NET_REFS 6
typedef struct net_out {
  hato__buf bytes;
  unsigned n_refs;
  struct {
    net_data *data; /* the reference is given to the connection */
    const uint8_t *at;
    size_t len;
  } refs[NET_REFS];
} net_out;

typedef struct net_ops {
  /* One frame, admitted peers only. Anything but OK closes the connection, logged
   * with err's words; nothing else is touched. */
  hato_status (*frame)(void *owner, net_conn *c, const net_frame *f, hato_error *err);
  /* Where the data of a large PIECE may be received, of which the first bytes came: body holds its fields. The place
   * must stay until its frame is handed on, or `closed`. NULL: nowhere, it goes as others do. May be NULL; not asked
   * on in-process pairs. */
  uint8_t *(*place)(void *owner, net_conn *c, const uint8_t *body, uint32_t len);
  /* After the last whole frame of what one receive brought: wake others now. May be NULL. */
  void (*batch)(void *owner, net_conn *c);
  /* Append what there is to send; leaving out empty makes the connection idle until net_wake. */
  void (*fill)(void *owner, net_conn *c, net_out *out);
  /* What the last fill gave is in the kernel (of an in-process pair: was handled). Comes
   * before the next fill, often inside the same call. May be NULL. */
  void (*sent)(void *owner, net_conn *c);
  /* The end, exactly once, after which no other callback comes: by the peer, by an error,
   * or by net_close. The owner's reference is to be given back with net_release then. */
  void (*closed)(void *owner, net_conn *c, hato_status why, const char *words);
} net_ops;

/* ---- certificates ----
 * What a dispatcher proves over TLS that it is. Any thread; one identity serves any number of listeners, and may be
 * freed while they live. Its key is in NNG's configuration alone: what it was made in or read into is wiped. */
typedef struct net_identity net_identity;

/* A new key (ECDSA on P-256) that no file ever holds, and a certificate for it, signed by itself: valid for ten years
 * from a day ago, for the name hato- and 16 random digits. Who believes in it believes in no other, whatever its
 * names. NO_MEMORY; INTERNAL. Takes some milliseconds. */
hato_status net_identity_make(net_identity **out, hato_error *err);

/* Reads a certificate of a CA (or one that signed itself) and its key, all PEM.
 * certificate: the dispatcher's own first, then those that lead to its CA; at least the next, unless `ca` is given.
 * key: not encrypted, or encrypted with a pass phrase, which `pass` is asked for then, once, on the caller's thread.
 * It puts at most n bytes with their zero into buf, which is wiped later; its failure is the load's.
 * NOT_FOUND, SYSTEM: no such file, or not readable. PERMISSION: the key belongs to another user or others may read
 * it; or the pass phrase is wrong. TOO_LARGE: the CA's certificate is too large for a credential. INVALID: not PEM,
 * the key is not the certificate's, none vouches for it, it expired or is not valid yet, it has no name, it is not
 * meant for servers. Blocks on files. */
typedef struct net_identity_files {
  const char *certificate;
  const char *key;
  const char *ca; /* whom peers are to believe in; NULL: the next certificate behind the own one */
  hato_status (*pass)(void *arg, char *buf, size_t n, hato_error *err); /* NULL: none can be asked */
  void *pass_arg;
} net_identity_files;
hato_status net_identity_load(const net_identity_files *f, net_identity **out, hato_error *err);

/* What peers are to know of it, for their credentials; all live as long as the identity. The name is the first DNS
 * name, or else the common name; the fingerprint is the SHA-256 of the certificate's DER; the anchor is the DER of
 * the certificate by which peers verify it. */
const hato__certificate *net_identity_certificate(const net_identity *id);
const char *net_identity_name(const net_identity *id);
const uint8_t *net_identity_fingerprint(const net_identity *id); /* 32 bytes */
const uint8_t *net_identity_anchor(const net_identity *id, size_t *n);
void net_identity_free(net_identity *id); /* NULL is fine */

/* ---- who is who ----
 * Before anything else both ends of a connection prove themselves (docs/protocol.md, Admission): on a Unix socket by
 * the kernel's word for the user, and whoever comes as a daemon or over a network by the secret of a credential,
 * challenge and response, bound to this connection and to the certificate of its TLS. MUNGE is asked for besides. */
typedef enum net_munge {
  NET_MUNGE_AUTO,    /* where both ends have it; who comes without is told in the log (PEER-NO-MUNGE) */
  NET_MUNGE_REQUIRE, /* nobody is admitted without it, over a network */
  NET_MUNGE_OFF,
} net_munge;

/* Of who dials. */
typedef struct net_auth {
  const hato__credential *credential; /* borrowed while it dials; NULL: none */
  net_munge munge;
} net_auth;

/* Of who listens. */
typedef struct net_guard {
  /* The secret of this credential, and its making: a number that another secret of the same credential never has.
   * False: there is none. Called on threads of NNG, with no lock of net held. NULL: there are no credentials. */
  bool (*find)(void *arg, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES], uint64_t *making);
  void *arg;
  net_munge munge;
  const net_identity *identity; /* borrowed for the call; NULL: no TLS */
} net_guard;

typedef struct net_peer {
  proto_role role;   /* of a dialled connection: the one it was dialled as */
  uint64_t id;       /* of its credential, when `secret` */
  uint64_t making;   /* of the secret that it proved to a listener, as the guard said */
  char address[128]; /* for people */
  bool local;        /* Unix socket or in-process */
  bool encrypted;
  bool peer_uid, secret, munge; /* what was proved */
} net_peer;

/* ---- dialling ----
 * Blocks, until admitted or timeout_ms passed; retries what may pass (EAGAIN of a full
 * ipc backlog, refused until `patient` ms passed). The connection is idle until net_start.
 * REFUSED/UNREACHABLE/TIMED_OUT: nobody there; RESET: closed before it admitted us (also
 * retried for as long as refused is); ADDRESS_INVALID: the URL; PEER_AUTH: refused, with the peer's words;
 * PROTOCOL: other version, or not hato. Of tls+tcp and wss it is the certificate's name that is verified, not the
 * URL's host: a tunnel has another. Who has another certificate: PEER_AUTH. */
hato_status net_dial(const char *url, proto_role role, const net_auth *auth, unsigned timeout_ms, unsigned patient_ms,
                     net_conn **out, hato_error *err);

/* Of several addresses of one listener the first that answers and admits us: each next one is begun a quarter of
 * a second after the one before, or as soon as that failed, and what fails is tried again until timeout_ms passed.
 * Who refuses is not asked again, and keeps nobody from the others. What else was begun is closed on return.
 * PEER_AUTH, PROTOCOL, PERMISSION: nobody admitted us, and everybody that answered refused; else as net_dial.
 * CANCELLED: give_up_fd became readable. The words name each address and what became of it (when they are too many,
 * the log does). */
typedef struct net_dialling {
  const char *const *urls;
  size_t n;
  proto_role role;
  const net_auth *auth;
  unsigned timeout_ms;
  unsigned patient_ms;  /* who does not listen is asked again until this passed; 0: until timeout_ms */
  int give_up_fd;       /* -1: none */
  const hato__log *log; /* may be NULL */
} net_dialling;
hato_status net_dial_any(const net_dialling *o, net_conn **out, hato_error *err); /* net_peer_of says which */

/* ---- listening ----
 * admitted gets each admitted connection and must call net_start on it (or net_close and
 * net_release); it runs for several connections at once, each on its own thread. At the
 * descriptor limit accepting pauses for a while and says so in the log (ids ACCEPT-PAUSED,
 * ACCEPT-RESUMED). Connections that do not finish their admission
 * in 10 s are closed, and of a crowd the oldest sooner, so that others are accepted; whoever
 * is not admitted is logged (PEER-REFUSED; of a flood their number, PEERS-REFUSED), as is an
 * admitted peer whose bytes make no sense (PEER-ERROR). The log is copied, and used for as long as
 * connections of the listener live. The guard is copied; all but Unix sockets take
 * credentials, tls+tcp and wss an identity besides (INVALID). */
typedef void net_admitted(void *arg, net_conn *c);
hato_status net_listen(const char *url, const net_guard *guard, const hato__log *log, net_admitted *admitted, void *arg,
                       net_listener **out, hato_error *err);
const char *net_listener_url(const net_listener *l); /* with the real port */
/* What it asks of who comes. On a Unix socket a client is our own user, by the kernel's word, and needs nothing else; a
 * daemon must be that too, and proves its secret besides. Elsewhere everybody proves a secret. */
typedef struct net_asks {
  bool local;     /* a Unix socket */
  bool encrypted; /* TLS */
  net_munge munge; /* whether for MUNGE besides; OFF on a Unix socket, and of AUTO where no munged answered */
  bool munge_answered; /* munged did, when it began to listen; false when it was not asked */
} net_asks;
net_asks net_listener_asks(const net_listener *l);
void net_listener_close(net_listener *l);            /* blocks until no callback of it runs; NULL is fine */

/* ---- in one process ---- */
hato_status net_pair(net_conn **client, net_conn **server, hato_error *err);

/* ---- connections ---- */
void net_start(net_conn *c, const net_ops *ops, void *owner); /* ops is borrowed for good */
void net_wake(net_conn *c);                 /* any thread, also inside callbacks; may run fill */
/* Any thread; returns at once. What was filled and not `sent` may be lost. */
void net_close(net_conn *c, hato_status why, const char *words);
void net_release(net_conn *c);              /* gives the reference back; after closed, or before net_start */
const net_peer *net_peer_of(const net_conn *c);
/* Stop and resume reading (backpressure): while paused, no further frame callback after the current batch. */
void net_pause(net_conn *c, bool paused);
/* Bytes received and sent, ever. */
void net_traffic(const net_conn *c, uint64_t *in, uint64_t *out);

/* Starts NNG with all signals blocked; called by the functions above. Any thread. */
hato_status net_init(hato_error *err);

/* ---- OpenSSL ---- */
/* False, and zeros: no memory. Any thread. */
bool net_sha256(uint8_t out[32], const void *bytes, size_t n);
/* For a program that is nothing but hato, before all else: OpenSSL reads no configuration of the machine's here. */
void net_process_is_ours(void);

#endif

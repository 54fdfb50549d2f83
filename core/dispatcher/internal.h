/*
 * What the dispatcher's files share. Everything below is guarded by the one lock
 * of struct dispatcher, unless its comment says otherwise. Frames are decoded
 * before the lock is taken and actions are encoded after it is given back.
 *
 *   peers.c    connections come and go       clients.c  what clients say
 *   outbox.c   what waits to be sent         workers.c  what daemons say
 *   work.c     sched's actions carried out   submit.c   submissions and their arguments
 *   specs.c    specifications and objects    streams.c  payloads in pieces
 *   kept.c     results of detached tasks     spooled.c  payloads out of the spool
 *   briefs.h   what is remembered of them
 *   room.c     room for kept results
 *   control.c  requests in JSON              tasks.c    lists of tasks
 *   errand.c   requests that block           status.c   the status object
 *   waits.c    who waits for which tasks     security.c who is admitted how, and who was
 *   credentials.c  what they prove
 *   launch.h   launches, in files of their own
 *   where.c    where daemons dial            clock.c    the thread that keeps time
 *   life.c     create, listen, stop          serve.c    a session's process
 */
#ifndef HATO_DISPATCHER_INTERNAL_H
#define HATO_DISPATCHER_INTERNAL_H

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/list.h"
#include "base/str.h"
#include "dispatcher/briefs.h"
#include "dispatcher/dispatcher.h"
#include "dispatcher/where.h"
#include "proto/spec.h"
#include "sched/sched.h"
#include "session/spool.h"
#include <jansson.h>
#include <pthread.h>
#include <uthash.h>

typedef struct peer peer;
typedef struct client client;
typedef struct worker worker; /* a daemon, as the dispatcher sees it */
typedef struct spec spec;
typedef struct object object;
typedef struct submission submission;
typedef struct chunk chunk;
typedef struct stream stream;
typedef struct sender sender;
typedef struct rest rest;
typedef struct waiting waiting;
typedef struct lister lister;
typedef struct launch launch;
typedef struct issued issued; /* a credential */
typedef struct errand errand;

typedef struct pointers { /* a small set, unordered */
  void **at;
  uint32_t n, cap;
} pointers;

/* ---- what waits to be sent to a peer (outbox.c) ---- */
typedef enum out_kind { OUT_BYTES, OUT_DATA, OUT_SPEC, OUT_OBJECT, OUT_ASSIGN } out_kind;
typedef struct out_item {
  uint8_t kind;
  uint32_t len; /* BYTES: how many of the outbox's bytes; DATA: of the stretch */
  union {
    struct { /* DATA: a stretch of a received buffer */
      net_data *data;
      const uint8_t *at;
    } data;
    spec *spec;     /* SPEC, holds a reference */
    object *object; /* OBJECT, holds a reference */
    struct {        /* ASSIGN, holds a reference to the chunk */
      chunk *chunk;
      uint64_t first;
      uint32_t count, attempt;
    } assign;
  } u;
} out_item;

typedef struct out_list {
  out_item *items;
  uint32_t at, n, cap;
} out_list;

typedef struct outbox {
  out_list control;                 /* in order */
  hato__buf bytes;                  /* of its OUT_BYTES, one after the other */
  out_list pieces;                  /* PIECE frames by reference, sent when no control frame waits */
  uint64_t waiting, waiting_pieces; /* bytes in control; in pieces */
  /* The writer's alone, taken from the above under the lock: */
  out_list taken;
  hato__buf taken_bytes;
  size_t taken_at;
  uint64_t object_at; /* how far the OBJECT at the head has gone */
} outbox;

typedef enum peer_kind { PEER_CLIENT, PEER_WORKER } peer_kind;
struct peer {
  dispatcher *d;
  net_conn *conn;
  peer_kind kind;
  unsigned refs;   /* the connection's, sched's (until OWNER_END), and those of a flush */
  bool introduced; /* CLIENT or DAEMON was received */
  bool closed;
  _Atomic bool dismissed; /* a client whose credential was revoked: what it says counts no more, and it is told only that */
  bool told;              /* the writer's: it was */
  hato__link dirty;       /* in d->dirty or d->later */
  bool later;             /* in the latter */
  hato__link link;        /* in d->peers */
  _Atomic uint64_t heard; /* when a frame came last */
  uint64_t since_wall;    /* when it was admitted */
  unsigned senders;       /* of d->senders, to it */
  outbox out;
};

struct client {
  peer peer;
  uint64_t id;
  char *label;
  sched_owner owner;
  bool paused;               /* its outbox is over the mark and its queue is not served */
  struct client_spec *specs; /* by its own numbers */
  pointers objects;          /* those it sent */
  submission *by_seq;        /* those it submitted */
  hato__link waits;
  unsigned n_waits;
  lister *lister;    /* the task list it is being sent */
  UT_hash_handle hh; /* d->clients, by owner */
};

struct worker {
  peer peer;
  sched_daemon handle;
  char *host, *version;
  uint64_t id, launch;
  uint32_t number, member, slots, cores, pid;
  uint64_t joined_wall, done;
  bool orderly; /* it said that it goes */
  pointers specs;     /* those it has */
  hato__buf hashes;   /* of the objects it has, 32 bytes each */
  hato__link streams; /* open streams that it sends */
  UT_hash_handle hh;  /* d->workers, by handle */
};

/* ---- specifications (specs.c) ---- */
struct spec {
  uint32_t number; /* the session's */
  unsigned refs;
  uint32_t len;
  uint8_t *bytes;
  uint64_t limit_ns;
  char *title; /* for people */
  object *object;
  pointers known; /* the workers that have it */
};
struct client_spec { /* a client's number for one */
  uint32_t number;
  spec *spec;
  uint8_t *partial; /* while its parts arrive */
  uint32_t got, total;
  UT_hash_handle hh;
};
struct object {
  uint8_t hash[32];
  unsigned refs; /* the clients that sent it, specifications, outboxes */
  uint64_t total, got;
  uint8_t *bytes; /* cap of them, which grows as they come */
  uint64_t cap;
  UT_hash_handle hh;
};

/* ---- submissions (submit.c) ---- */
#define DISPATCHER_NEVER_CAME "its client was lost before its argument had come"
struct submission {
  dispatcher *d;
  uint64_t seq, first, count;
  uint64_t filled;     /* tasks whose arguments have come */
  uint64_t unresolved; /* of all */
  uint64_t failed, forgotten;
  uint64_t submitted_wall, resolved_wall; /* ns since 1970 */
  spec *spec;
  client *client; /* NULL: its client is gone */
  bool detached;
  uint8_t args;
  int64_t start, step;
  unsigned chunks; /* alive */
  char *label;     /* of the client that submitted it */
  uint64_t came;   /* tasks whose arguments its client sent before it was lost */
  briefs briefs;   /* detached */
  struct {         /* detached: by which it is known again after a lost connection */
    uint64_t client, seq;
  } identity;
  UT_hash_handle by_identity; /* d->identities */
  UT_hash_handle hh;          /* client->by_seq */
};

struct chunk { /* what sched holds as the data of a range */
  submission *sub;
  unsigned refs; /* sched's, and one for each ASSIGN that waits to be written */
  uint64_t first;
  uint32_t count;
  net_data *frame;   /* the received frame that the block lies in, or */
  uint8_t *copy;     /* a copy of it */
  proto_block block; /* EXPLICIT, not large */
  bool large;
  uint64_t total;              /* large, and so are the two that follow: … */
  uint64_t credit;             /* … what its client may still send of it, … */
  uint32_t credit_attempt;     /* … for this attempt */
  hato__spool_entry *spooling; /* detached and large: being received */
  hato__spool_ref spooled;
  hato__link link; /* d->spooling, while it is */
};

/* ---- payloads in pieces (streams.c) ---- */
typedef struct stream_key { /* zeroed before it is filled: it is hashed as bytes */
  uint64_t task;
  uint32_t attempt;
  uint32_t channel;
} stream_key;
struct stream { /* output that a daemon sends, from its first piece or its record on */
  stream_key key;
  worker *from;
  client *to;      /* NULL: kept, or thrown away */
  submission *sub; /* to be kept for it */
  hato__spool_entry *entry;
  uint64_t credit; /* what the daemon may still send */
  uint64_t spare;  /* what the client granted beyond a window, and the daemon was not told yet */
  bool last, record; /* what has come */
  uint16_t status;   /* why it ended early, and … */
  char *why;         /* … in words; NULL: there are none */
  uint8_t *held;     /* kept: the record, while pieces are missing */
  uint32_t held_len;
  hato__link link; /* from->streams */
  UT_hash_handle hh;
};
struct rest { /* what a kept task's output has beyond its record */
  stream_key key;
  hato__spool_ref ref;
  uint16_t status; /* not 0: why it is not whole */
  UT_hash_handle hh;
};
struct sender { /* a payload in the spool on its way to a peer, under credit */
  stream_key key;
  peer *to; /* holds a reference */
  hato__spool_ref ref;
  uint64_t at, credit;
  uint16_t status; /* of its last piece */
  bool busy;       /* a thread reads for it */
  bool gone;
  bool owns; /* ref is to be freed with it */
  sender *next;
};

/* ---- requests that wait (control.c) ---- */
struct waiting {
  client *client;
  uint32_t token;
  bool any;
  hato__range *ranges; /* sorted, apart */
  size_t n;
  uint64_t left;  /* unresolved tasks of them */
  hato__link all; /* d->waits */
  hato__link of;  /* client->waits */
};

struct dispatcher {
  pthread_mutex_t lock;
  hato__log log;
  char *session, *local_dir, *log_dir, *hato_binary;
  net_guard guard;
  struct {                      /* credentials.c */
    pthread_mutex_t files, lock; /* of their files; of what follows: taken in this order, `lock` after all others */
    issued *all;
    uint64_t makings; /* of secrets, so far */
    char *dir;        /* of their files */
    bool shared;      /* daemons on other machines may see it */
    bool published;   /* the session's are on file */
    bool swept;       /* none has ended whose file still stands */
    net_identity *own; /* made for this dispatcher alone; NULL: it was given, or there is none yet */
    hato__certificate certificate; /* the identity's; zeros: none yet */
  } credentials;
  dispatcher_tls tls;
  uint64_t keep_ns, idle_ns;
  pid_t while_pid;
  uint64_t while_start; /* with the number it names a process */
  uint32_t heartbeat_ms;
  uint64_t dismiss_at; /* when those are closed who were dismissed and have not hung up; UINT64_MAX: none */
  uint64_t id, started, started_wall;

  sched *sched;
  uint64_t next_task;
  uint32_t next_spec, next_worker;
  uint64_t ok, failed; /* tasks resolved, ever */

  hato__link peers, dirty;
  hato__link later;  /* peers whose answer may wait for something to go with … */
  uint64_t later_at; /* … until then */
  unsigned n_peers, n_clients;
  client *clients; /* by owner */
  worker *workers; /* by handle */
  object *objects; /* by hash */
  stream *streams;
  rest *rests;
  sender *senders;
  submission *identities; /* detached, by client id and seq */
  submission **detached;  /* ascending by first */
  size_t n_detached, cap_detached;
  uint64_t kept, uncollected; /* detached tasks not forgotten; of these, not fetched either */
  hato__link spooling, waits;
  hato__spool *spool;
  hato__link unkept;   /* records that the spool has no room for yet */
  uint64_t next_retry; /* of these */
  bool spool_paused;

  net_listener **listeners;
  unsigned n_listeners;
  where where;
  struct launchers *launchers; /* NULL once they end */
  struct sched_launches *life; /* of launches */
  launch *launches;
  uint64_t next_launch;
  uint64_t launch_tick;          /* when launches are to be looked at */
  unsigned errands, leftovers;   /* under way; launches of a killed dispatcher that are being ended */
  char *launches_file;           /* launches on record; NULL: none are */
  pthread_mutex_t launches_lock; /* of that file, taken before the other lock */
  bool launches_written;

  /* the clock's thread, and the end */
  pthread_t clock;
  bool clock_runs, stopping;
  pthread_cond_t tick, end;
  uint64_t tick_at;    /* when the clock's thread looks next */
  uint64_t next_beat;  /* heartbeats */
  uint64_t next_sweep; /* kept results past their time */
  uint64_t busy_at;    /* when something was last in use */
  bool asked_stop;
  char why[200];
};

static inline void dispatcher_lock(dispatcher *d) { pthread_mutex_lock(&d->lock); }
static inline void dispatcher_unlock(dispatcher *d) { pthread_mutex_unlock(&d->lock); }

/* ---- life.c ---- */
/* Takes the listeners when it succeeds. STATE: the dispatcher ends. */
hato_status dispatcher_listeners_add(dispatcher *d, net_listener *const *l, unsigned n, hato_error *err);

/* ---- credentials.c ---- Any thread. */
hato_status dispatcher_credentials_open(dispatcher *d, const dispatcher_options *o, hato_error *err);
void dispatcher_credentials_close(dispatcher *d); /* of what open began; removes the files */
/* The guard's `find`. */
bool dispatcher_credentials_secret(void *d, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES],
                                   uint64_t *making);
/* What this peer proved when it was admitted would admit it now. */
bool dispatcher_credentials_hold(dispatcher *d, const net_peer *n);
/* Before peers come over a network: makes the certificate, unless it was given, and the files of clients and of
 * daemons by hand; once. These four without the dispatcher's lock: they write. */
hato_status dispatcher_credentials_publish(dispatcher *d, hato_error *err);
/* Writes a credential's file; path is malloc'd. */
hato_status dispatcher_credentials_file(dispatcher *d, proto_role role, uint64_t id, char **path, hato_error *err);
/* A new secret in the place of the old one; whoever is connected stays. STATE: there is none. */
hato_status dispatcher_credentials_renew(dispatcher *d, proto_role role, uint64_t id, hato_error *err);
/* Nobody is admitted with it any more, and who was is sent away, but for one; gone: how many. STATE. */
hato_status dispatcher_credentials_revoke(dispatcher *d, proto_role role, uint64_t id, const peer *but, unsigned *gone,
                                          hato_error *err);
/* Of one, without its secret; NULL: there is none. All of them. With the dispatcher's lock. */
json_t *dispatcher_credentials_one_json(dispatcher *d, proto_role role, uint64_t id);
json_t *dispatcher_credentials_json(dispatcher *d);
/* The certificate of its TLS, as peers know it; false: there is none yet. made: for this dispatcher alone. */
bool dispatcher_credentials_certificate(dispatcher *d, hato__certificate *out, bool *made);
/* Of a launch. text: HATO__CREDENTIAL_TEXT bytes of secret memory; false: it has ended. */
hato_status dispatcher_credentials_add(dispatcher *d, uint64_t id, hato_error *err);
bool dispatcher_credentials_text(dispatcher *d, uint64_t id, char *text);
void dispatcher_credentials_end(dispatcher *d, uint64_t id); /* writes nothing: that is left to sweep */
void dispatcher_credentials_sweep(dispatcher *d);

/* ---- peers.c ---- */
void dispatcher_peers_admitted(void *arg, net_conn *c);
hato_status dispatcher_peers_embed(dispatcher *d, net_conn *server, hato_error *err);
/* Its credential was revoked: a daemon is cut off, a client told so (after a flush); it hangs up then. With the lock. */
void dispatcher_peers_dismiss(peer *p);
void dispatcher_peers_dismissed_go(dispatcher *d, uint64_t now); /* those that did not in time. With the lock */
void dispatcher_peer_unref(peer *p);
static inline client *client_of(peer *p) { return HATO__ENTRY(p, client, peer); }
static inline worker *worker_of(peer *p) { return HATO__ENTRY(p, worker, peer); }
void dispatcher_client_free(client *c);
void dispatcher_worker_free(worker *w);

/* ---- outbox.c: with the lock, but fill, flush ---- */
void dispatcher_outbox_wake(peer *p); /* its writer is to look */
hato__buf *dispatcher_outbox_bytes(peer *p,
                                   size_t *begun); /* append whole frames, then dispatcher_outbox_done */
void dispatcher_outbox_done(peer *p, size_t begun);
void dispatcher_outbox_done_later(peer *p, size_t begun); /* it may wait a little for something to go with */
void dispatcher_outbox_now(dispatcher *d);                /* what waited so is sent */
void dispatcher_outbox_failure(peer *p, uint64_t task, int error, const char *words); /* a record of that */
void dispatcher_outbox_data(peer *p, net_data *data, const uint8_t *at,
                            uint32_t len); /* all refs are taken here */
void dispatcher_outbox_piece(peer *p, net_data *data, const uint8_t *at, uint32_t len);
void dispatcher_outbox_assign(peer *p, chunk *c, uint64_t first, uint32_t count, uint32_t attempt);
void dispatcher_outbox_spec(peer *p, spec *s);
void dispatcher_outbox_object(peer *p, object *o);
void dispatcher_outbox_free(peer *p);
void dispatcher_outbox_fill(void *owner, net_conn *c, net_out *out);
/* Wakes every connection that was given something. */
void dispatcher_flush(dispatcher *d);

/* ---- work.c ---- */
/* Carries out what sched has to say and wakes who has something to send. Without the lock. */
void dispatcher_work_pump(dispatcher *d);
/* Accounts for `count` tasks of a submission that resolved, failed of them not well. */
void dispatcher_work_account(submission *s, uint64_t first, uint64_t count, uint64_t failed);
void dispatcher_chunk_unref(chunk *c);

/* ---- clients.c, workers.c ---- */
hato_status dispatcher_clients_frame(client *c, const net_frame *f, hato_error *err); /* without the lock */
hato_status dispatcher_clients_introduce(client *c, const net_frame *f, hato_error *err);
void dispatcher_clients_gone(client *c); /* with it */
hato_status dispatcher_workers_frame(worker *w, const net_frame *f, hato_error *err);
hato_status dispatcher_workers_introduce(worker *w, const net_frame *f, hato_error *err);
void dispatcher_workers_gone(worker *w);

/* ---- specs.c: with the lock ---- */
hato_status dispatcher_specs_part(client *c, const proto_part *part, hato_error *err);
void dispatcher_specs_drop(client *c, uint32_t number);
spec *dispatcher_specs_find(client *c, uint32_t number);
void dispatcher_specs_client_gone(client *c);
void dispatcher_specs_ensure(worker *w, spec *s); /* it is sent to the worker unless it has it */
void dispatcher_specs_worker_gone(worker *w);
void dispatcher_spec_unref(dispatcher *d, spec *s);
hato_status dispatcher_objects_part(client *c, const proto_object *part, hato_error *err);
void dispatcher_object_unref(dispatcher *d, object *o);

/* ---- submit.c: with the lock ---- */
hato_status dispatcher_submit_open(client *c, const proto_submit *m, hato_error *err);
hato_status dispatcher_submit_args(client *c, const proto_args *m, const net_frame *f, hato_error *err);
submission *dispatcher_submit_find(client *c, uint64_t seq);
void dispatcher_submit_client_gone(client *c);
void dispatcher_submit_spooled(chunk *c, hato_status status,
                               const char *words); /* its large argument has come, or will not */
void dispatcher_submission_settle(submission *s);  /* frees it when nothing speaks of it any more */

/* ---- streams.c: with the lock, unless said otherwise ---- */
hato_status dispatcher_streams_piece_in(client *c, const net_frame *f, const proto_piece *m, hato_error *err);  /* without */
hato_status dispatcher_streams_piece_out(worker *w, const net_frame *f, const proto_piece *m, hato_error *err); /* without */
void dispatcher_streams_resumed(client *c); /* it reads again; with */
void dispatcher_streams_credit_client(client *c, const proto_credit *m);                /* without */
void dispatcher_streams_credit_worker(worker *w, const proto_credit *m);                /* without */
void dispatcher_streams_record(worker *w, const proto_result *r, client *to, submission *sub);
void dispatcher_streams_worker_gone(worker *w);
void dispatcher_streams_client_gone(client *c);

/* ---- spooled.c: payloads from the spool to a peer; with the lock ---- */
void dispatcher_spooled_send(peer *to, const stream_key *key, hato__spool_ref ref, uint16_t status);
/* With the lock, which is given up while the spool is read. False: nothing of that is being sent. */
bool dispatcher_spooled_credit(peer *to, const stream_key *key, uint64_t bytes);
/* Goes on with what waited for the peer to take what was sent, in the same way. False: there is nothing. */
bool dispatcher_spooled_more(peer *to);
void dispatcher_spooled_peer_gone(peer *to);
/* Ends whatever is being sent of this payload and frees its place in the spool. With the lock. */
void dispatcher_spooled_end(dispatcher *d, uint64_t task, uint32_t channel, hato__spool_ref *ref);

/* ---- kept.c: with the lock ---- */
hato_status dispatcher_kept_add(submission *s);
submission *dispatcher_kept_find(dispatcher *d, uint64_t task);
submission *dispatcher_kept_again(dispatcher *d, uint64_t client_id,
                                  uint64_t seq); /* submitted before; NULL: not */
size_t dispatcher_kept_from(const dispatcher *d,
                            uint64_t task); /* index of the first that ends at or after it */
/* Of a detached task. *alike (NULL: who cares): so many from it on, at least, have the same. */
brief dispatcher_kept_brief(const submission *s, uint64_t task, uint64_t *alike);
/* error: the record's own, or why its output could not be kept whole, with words (NULL: none). */
void dispatcher_kept_record(submission *s, const proto_result *r, int error, const char *why);
void dispatcher_kept_error(submission *s, uint64_t first, uint64_t count, int error);
void dispatcher_kept_failure(submission *s, uint64_t task, int error, const char *words); /* of one, with words */
void dispatcher_kept_rest(submission *s, const stream_key *key, hato__spool_ref ref, uint16_t status);
void dispatcher_kept_fetch(client *c, uint64_t task);
uint64_t dispatcher_kept_forget(dispatcher *d, uint64_t first, uint64_t last);
void dispatcher_kept_expire(dispatcher *d);
void dispatcher_kept_free(submission *s);

/* ---- room.c: with the lock ---- */
void dispatcher_room_check(dispatcher *d); /* detached tasks wait while there is little room */
bool dispatcher_room_full(dispatcher *d, hato_error *why); /* no further detached submission is taken */
/* Puts a record into the spool, or holds it in memory until there is room. */
void dispatcher_room_put(submission *s, uint64_t task, brief *b, const void *record, uint32_t len);
const uint8_t *dispatcher_room_held(dispatcher *d, uint64_t task,
                                    uint32_t *len); /* a record held so; NULL: none */
void dispatcher_room_forget(dispatcher *d, uint64_t task);
void dispatcher_room_put_away(dispatcher *d); /* what was held, as far as there is room */
uint64_t dispatcher_room_retry(dispatcher *d,
                               uint64_t now); /* does so when it is time; when to do so again */
void dispatcher_room_drop(dispatcher *d);

/* ---- control.c, tasks.c, status.c: with the lock ---- */
void dispatcher_control_request(client *c, const proto_text *m);
void dispatcher_control_reply(client *c, uint32_t token, json_t *answer); /* takes the reference */
void dispatcher_control_fail(client *c, uint32_t token, hato_status status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void dispatcher_waits_begin(client *c, uint32_t token, hato__range *ranges, size_t n,
                            bool any); /* takes ranges */
uint64_t dispatcher_waits_unresolved(dispatcher *d, hato__range *ranges,
                                     size_t n); /* detached ones; sorts ranges */
void dispatcher_waits_resolved(submission *s, uint64_t first, uint64_t count);
void dispatcher_waits_client_gone(client *c);
void dispatcher_tasks_list(client *c, uint32_t token, hato__range *ranges, size_t n,
                           const char *state); /* takes ranges */
bool dispatcher_tasks_more(client *c);         /* adds the next part to its outbox; false: nothing more */
void dispatcher_tasks_free(client *c);
json_t *dispatcher_status_json(dispatcher *d);

/* ---- errand.c: a request that blocks is carried out on a thread of its own, which the dispatcher's end waits for ---- */
struct errand {               /* the first member of what it is about, or found from there by HATO__ENTRY */
  void (*run)(errand *e);     /* without the lock; answers */
  void (*free)(errand *e);    /* with the lock: of all that it is part of */
  client *client;             /* holds a reference; this and what follows are set by open */
  uint32_t token;
};
/* These without the lock. Open: false when the dispatcher ends; then the request has failed, and close is not to be
 * called. Go takes it. */
bool dispatcher_errand_open(errand *e, client *c, uint32_t token);
void dispatcher_errand_go(errand *e);
void dispatcher_errand_fail(const errand *e, const hato_error *why); /* the request, not the errand, which goes on */
void dispatcher_errand_close(errand *e);

/* ---- security.c ---- */
void dispatcher_security_asked(client *c, uint32_t token, const json_t *request); /* "credentials"; without the lock */
json_t *dispatcher_security_json(dispatcher *d);  /* these with it */
json_t *dispatcher_listeners_json(dispatcher *d); /* what listens where, for the status as well */

/* ---- launches (launch.h) ---- */
hato_status dispatcher_launch_open(dispatcher *d, hato_error *err);
void dispatcher_launch_close(dispatcher *d);                                /* without the lock; blocks */
void dispatcher_launch_asked(client *c, uint32_t token, const json_t *request); /* without the lock */
/* Whether a launch's credential can be renewed or revoked. With the lock, these three. */
hato_status dispatcher_launch_check(dispatcher *d, uint64_t id, hato_error *err);
void dispatcher_launch_revoked(dispatcher *d, uint64_t id); /* it is to end, none of its daemons has failed … */
void dispatcher_launch_end(dispatcher *d, uint64_t id);     /* … and is ended */
const char *dispatcher_launch_launcher(dispatcher *d, uint64_t id); /* NULL: it is not known any more */
void dispatcher_launch_list_launchers(client *c, uint32_t token);
void dispatcher_launch_joined(worker *w); /* with the lock */
void dispatcher_launch_left(worker *w);
void dispatcher_launch_worked(worker *w); /* it finished tasks */
json_t *dispatcher_launch_json(dispatcher *d);
/* Does what is due about launches, and sets when to look again. Without the lock. */
void dispatcher_launch_look(dispatcher *d, uint64_t now);
/* Begins to end what a killed dispatcher left, by the file of launches. Blocks on that file. */
void dispatcher_launch_leftovers(dispatcher *d);
/* Waits until it has ended; how many launches are still on record. */
unsigned dispatcher_launch_leftovers_wait(dispatcher *d, uint64_t until);

/* ---- clock.c ---- */
hato_status dispatcher_clock_start(dispatcher *d, hato_error *err);
void dispatcher_clock_stop(dispatcher *d);
void dispatcher_clock_soon(dispatcher *d);           /* with the lock: the next deadline may be nearer now */
void dispatcher_ask(dispatcher *d, const char *why); /* with the lock */

#endif

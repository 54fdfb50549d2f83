/*
 * Inside libhato. What a pool holds, who may touch it, and which file does what.
 *
 *   pool.c     open, close, info              submit.c   single tasks
 *   connect.c  finding and dialling           array.c    arrays: submitting and their handle
 *   embed.c    the embedded dispatcher        future.c   a future's handle
 *   binary.c   finding the hato program       wait.c     waiting for futures
 *   fork.c     after fork                     queue.c    completion queues
 *   spec.c     specifications, objects        callbacks.c hato_pool_dispatch
 *   outbox.c   what waits to be sent          helper.c   the thread for the host's functions
 *   sub.c      submissions, their numbers     live.c     output as it comes
 *   receive.c  what the dispatcher says       large.c    large arguments
 *   result.c   records kept compactly         input.c    standard input from a descriptor
 *   stream.c   large output                   control.c  requests in JSON; fetch.c kept results
 *
 * Locks: pool->lock before any other; the others are leaves. net_wake is called with
 * none of them, because it may run fill, and in an embedded pool the dispatcher and the
 * frame callback too, on the caller's thread.
 *
 * "The receiver" is whoever runs the connection's frame, batch and closed callbacks;
 * net sees to it that these never run at once. What only the receiver touches needs no
 * lock: the table of numbers, the count of unresolved tasks, streams that arrive. So
 * tasks are resolved by the receiver only, and a task's result costs no lock.
 */
#ifndef HATO_CLIENT_INTERNAL_H
#define HATO_CLIENT_INTERNAL_H

#include "base/blob.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/list.h"
#include "base/log.h"
#include "base/str.h"
#include "dispatcher/dispatcher.h"
#include "hato/hato.h"
#include "net/net.h"
#include "proto/spec.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <uthash.h>

#define QUEUED_MAX (64u << 20)  /* bytes of submissions that wait to be sent before submit waits */
#define UNANSWERED_MAX 2u       /* submissions under way, beyond which single tasks gather in one */
#define FILL_AIM (256u * 1024u) /* bytes of a send, about */
#define CLOSE_NS (10 * HATO__SEC)
#define FILE_PAST (size_t)(256u << 20) /* output beyond it goes to a file */

typedef struct sub sub;
typedef struct item item;
typedef struct object object;
typedef struct large large;
typedef struct input input;
typedef struct incoming incoming;
typedef struct live live;
typedef struct fetch fetch;
typedef struct request request;
typedef struct slab slab;
typedef struct own own;
typedef struct watch watch;

/* Work for the helper's thread; the caller's memory. */
typedef struct job job;
struct job {
  job *next;
  void (*run)(job *);
};

/* What a resolved task holds: 0 unresolved, else by its lowest bits a record in a slab (0),
 * an own (1), or an error value with one of a few known words (2). */
typedef uintptr_t cell;

/* ---- what waits to be sent (outbox.c) ---- */
typedef enum item_kind { ITEM_BYTES, ITEM_SPEC, ITEM_OBJECT, ITEM_SUB, ITEM_ARGS, ITEM_PIECE, ITEM_END } item_kind;
struct item {
  item *next;
  item_kind kind;
  uint32_t size; /* about what it takes in a send */
  bool heap;     /* to be freed with free; else it lies in what it speaks of */
  bool attached; /* of an attached submission: pointless once the pool closes */
  const uint8_t *bytes_at; /* ARGS, PIECE */
  union {
    struct { /* ARGS, PIECE: a whole frame */
      net_data *data;
      sub *sub; /* holds a reference */
    } args;
    hato__buf bytes;
    hato_spec *spec; /* holds a reference */
    object *object;  /* holds a reference */
    sub *sub;        /* holds a reference */
  } u;
};

typedef struct outbox {
  item *head, **tail;
  sub *open;           /* the last item, while single tasks may still join it */
  hato__buf urgent;    /* whole frames that go before all others */
  uint64_t waiting;    /* bytes of items */
  hato__link senders;  /* large arguments with credit and something to send */
  unsigned unanswered; /* SUBMIT sent, ACCEPTED or REJECTED not come */
  bool end_sent;       /* GOODBYE is in the kernel */
  bool end_taken;
} outbox;

/* ---- submissions (sub.c) ---- */
/* A submission: an array, or single tasks that share a specification and went out together. */
struct sub {
  hato_pool *pool;
  unsigned refs; /* pool->lock: until it is settled, of items, of large arguments */
  uint64_t seq, first, count;
  hato_spec *spec; /* holds a reference, until it is sent */
  hato_array *array;
  uint8_t args, flags;
  bool sent;     /* its SUBMIT */
  bool rejected; /* or resolved otherwise as a whole */
  bool settled;
  bool in_table;  /* detached with large arguments: until the end; holds a reference */
  bool uploading; /* counted in pool->uploads */
  int64_t start, step;
  uint64_t left;   /* the receiver's: unresolved tasks */
  bool accepted;   /* pool->lock */
  uint64_t unsent; /* pool->lock: frames of arguments, and large ones of a detached submission */
  hato__link link;     /* pool->subs */
  hato__link answer;   /* pool->unanswered, in the order of sending */
  /* single tasks */
  hato_future **futures; /* holds a reference each, until it is resolved */
  uint32_t cap;
  hato__buf ends, data; /* of the block of arguments */
  item item;
  /* arguments by reference, ascending by index */
  large **larges;
  uint32_t n_larges;
};

typedef struct table_entry {
  uint64_t first, last;
  sub *sub; /* NULL: settled */
} table_entry;
typedef struct table { /* the receiver's: accepted submissions, ascending */
  table_entry *at;
  size_t n, cap, dead, hit;
} table;

/* ---- results (result.c) ---- */
struct own { /* a result that does not lie in a slab */
  atomic_uint refs;
  int error; /* used when there is no record */
  char *words;
  uint8_t *record;
  uint32_t len;
  hato__blob *blob[2]; /* out and err where they came in pieces */
  size_t skip[2];      /* unused bytes at their beginning */
};

/* ---- handles ---- */
/* future->word */
#define WORD_RESOLVED 1u
#define WORD_WAITERS 2u
#define WORD_CALLBACK 4u
#define WORD_WATCHED 8u

struct hato_future {
  atomic_uint refs;
  _Atomic uint32_t word;
  _Atomic cell cell;
  _Atomic bool released; /* by its user */
  uint32_t index;        /* in its submission */
  uint64_t seq;          /* 0: of no submission */
  uint64_t task;         /* written before it is resolved */
  hato_pool *pool;       /* holds a reference, as all handles */
  hato_queue *queue;
  _Atomic(void *) tag;
  void (*callback)(hato_future *, void *);
  void *callback_arg;
  hato_future *next_due;
  watch *watchers; /* pool->watch_lock */
  live *live;      /* of a LIVE task */
};

struct hato_array {
  atomic_uint refs;
  _Atomic bool released;
  hato_pool *pool;
  hato_queue *queue;
  size_t count;
  bool detached;
  uint64_t seq;
  _Atomic uint64_t first;
  _Atomic size_t done;
  _Atomic uint32_t all;  /* 1 when all are resolved (detached: handed over) */
  _Atomic uint32_t some; /* counts up while at_waiters */
  _Atomic uint32_t at_waiters;
  _Atomic uint32_t answered; /* 1 when accepted or refused */
  hato_status refusal;       /* valid when answered */
  char *refusal_words;
  _Atomic(void *) tag;
  _Atomic cell cells[];
};

struct hato_spec {
  atomic_uint refs;
  hato_pool *pool;
  uint32_t number;
  bool queued; /* pool->lock: its SPEC is on its way */
  bool live;
  bool takes_input; /* standard input is the argument */
  bool command;
  object *object;
  hato__buf bytes;
};

struct object {
  uint8_t hash[32];
  unsigned refs; /* pool->lock */
  bool queued, sent;
  uint8_t *bytes; /* until sent */
  uint64_t size, at;
  UT_hash_handle hh;
};

typedef struct completion { /* holds a reference to what it names */
  uintptr_t of;             /* a future, or an array with the lowest bit set */
  size_t index;
} completion;

struct hato_queue {
  atomic_uint refs;
  hato_pool *pool;
  pthread_mutex_t lock;
  pthread_cond_t some;
  unsigned waiters;
  completion *ring;
  size_t head, n, cap; /* cap is a power of two */
  int fd;              /* an eventfd once asked for; -1 */
  bool closed;         /* the pool is gone */
  bool released;       /* by its user */
  hato__link link;     /* pool->queues, under pool->lock */
};

/* ---- the pool ---- */
typedef enum pool_state { POOL_OPEN, POOL_CLOSING, POOL_GONE } pool_state;

#define PENDING_MAX 256u
typedef struct pending { /* the receiver's: completions gathered until its batch ends */
  hato_queue *queue;     /* of all of them */
  unsigned n;
  completion at[PENDING_MAX];
  hato_array *array; /* holds a reference: of `done` more elements */
  size_t done;
} pending;

struct hato_pool {
  atomic_uint refs;
  uint32_t *alive; /* a page that a fork wipes: 0 in a child */
  hato__log log;
  hato_pool_options *log_options; /* of which the log's function and argument are used */
  bool embedded;
  dispatcher *dispatcher;
  net_identity *identity; /* of that, when the caller gave a certificate */
  char *local_dir, *url;
  int dir_fd; /* holds the lock of local_dir; -1 */
  net_conn *conn;
  uint64_t id;
  _Atomic int state; /* a pool_state; written with lock */
  _Atomic uint64_t submitted, resolved;
  _Atomic uint64_t next_seq;
  _Atomic uint32_t next_spec;

  pthread_mutex_t lock;
  pthread_cond_t changed; /* room, the end, GOODBYE sent */
  unsigned waiters;
  outbox out;
  hato__link subs, unanswered;
  object *objects;
  int gone_error; /* what the end resolved everything with */
  int gone_words;
  char *gone_reason;
  bool ended; /* everything is resolved after the end */
  hato__link queues;
  fetch *fetches;
  _Atomic unsigned n_fetches;
  unsigned uploads; /* detached submissions with large arguments under way */

  /* the receiver's */
  table table;
  slab *slab;
  incoming *incoming;
  pending pending;

  pthread_mutex_t watch_lock; /* hato_wait_any */

  pthread_mutex_t due_lock; /* hato_pool_dispatch */
  hato_future *due, **due_tail;
  int due_fd;

  pthread_mutex_t control_lock;
  request *requests;
  uint32_t next_token;

  /* the thread that calls the host's release and output functions */
  pthread_mutex_t helper_lock;
  pthread_cond_t helper_work;
  pthread_t helper;
  bool helper_runs, helper_stop, helper_over;
  job *jobs, **jobs_tail;

  /* the thread that reads standard inputs */
  pthread_mutex_t input_lock;
  pthread_t reader;
  bool reader_runs, reader_stop, reader_over;
  int reader_fd;
  hato__link inputs;
};

static inline void pool_lock(hato_pool *p) { pthread_mutex_lock(&p->lock); }
static inline void pool_unlock(hato_pool *p) { pthread_mutex_unlock(&p->lock); }
static inline bool pool_gone(hato_pool *p) {
  return atomic_load_explicit(&p->state, memory_order_acquire) != POOL_OPEN;
}

/* ---- pool.c ---- */
hato_pool *client_pool_ref(hato_pool *p);
void client_pool_unref(hato_pool *p);
void client_pool_changed(hato_pool *p); /* with the lock */
/* Waits on `changed`; false: the time has come. With the lock. */
bool client_pool_await(hato_pool *p, uint64_t until);
hato_status client_pool_start(hato_pool *p, hato_error *err); /* says CLIENT, in p->conn */
/* The last thing but client_pool_unref that a thread does. */
void client_pool_thread_over(hato_pool *p, bool *over);
/* Joins one that is over within the time; else lets it go on by itself. */
void client_pool_join(hato_pool *p, pthread_t t, const bool *over, uint64_t until);
void client_pool_cond_init(pthread_cond_t *c); /* on the monotonic clock */

/* ---- fork.c ---- */
uint32_t *client_fork_page(void); /* holds 1; NULL: no memory */
void client_fork_page_free(uint32_t *page);
static inline bool forked(const hato_pool *p) { return *(volatile uint32_t *)p->alive == 0; }

/* ---- connect.c, embed.c, binary.c ---- */
hato_status client_connect_session(hato_pool *p, const hato_pool_options *o, bool *none, hato_error *err);
hato_status client_connect_url(hato_pool *p, const hato_pool_options *o, hato_error *err);
hato_status client_embed_open(hato_pool *p, const hato_pool_options *o, hato_error *err);
void client_embed_close(hato_pool *p);
hato_status client_binary_find(const char *given, char **out, hato_error *err);

/* ---- outbox.c ---- */
void client_outbox_init(outbox *o);
/* With the lock. Items are taken in every case. */
void client_outbox_push(hato_pool *p, item *i);
item *client_outbox_item(item_kind kind, uint32_t size); /* on the heap; NULL: no memory */
void client_outbox_fill(void *pool, net_conn *c, net_out *out);
void client_outbox_sent(void *pool, net_conn *c);
void client_outbox_drop(hato_pool *p); /* all of it; with the lock */
hato_status client_outbox_cancel(hato_pool *p, uint64_t seq, uint64_t first, uint64_t last);
/* The buffer for frames that go first. With the lock; then wake. */
static inline hato__buf *outbox_urgent(hato_pool *p) { return &p->out.urgent; }

/* ---- sub.c ---- */
sub *client_sub_new(hato_pool *p, hato_spec *spec, uint64_t count, uint8_t args, uint8_t flags);
void client_sub_unref(sub *s);     /* with the lock */
void client_sub_add(sub *s);       /* with the lock: into pool->subs */
void client_sub_settle(sub *s);    /* with the lock: nothing more comes for it */
sub *client_sub_answered(hato_pool *p, uint64_t seq); /* with the lock: off the unanswered */
bool client_table_add(table *t, sub *s);
sub *client_table_find(table *t, uint64_t task);
/* So many numbers from first on are numbers, and none of them is another's. */
bool client_table_fits(const table *t, uint64_t first, uint64_t count);
/* The first number from task on that is of an unsettled submission; 0: there is none. */
uint64_t client_table_next(const table *t, uint64_t task);
void client_table_remove(table *t, const sub *s);
/* The submission has its SUBMIT and arguments queued: with the lock, frees spec and buffers. */
void client_sub_sent(sub *s);
/* Of a detached one: settled when it is accepted and nothing of it is left to send. With the lock. */
void client_sub_handed_over(sub *s);

/* ---- spec.c ---- */
hato_spec *client_spec_ref(hato_spec *s);
void client_spec_unref(hato_spec *s);              /* without the lock; may wake */
void client_spec_queue(hato_pool *p, hato_spec *s); /* with the lock: its SPEC goes before what comes next */
void client_object_unref(hato_pool *p, object *o); /* with the lock */
void client_spec_drop_locked(hato_spec *s);        /* with the lock */

/* ---- result.c ---- */
cell client_result_keep(hato_pool *p, const proto_result *r); /* the receiver's; 0: no memory */
enum { WORDS_NONE, WORDS_GONE, WORDS_CLOSED, WORDS_MEMORY, WORDS_REPEAT, WORDS_LIST };
cell client_result_error(int error, int words, uint32_t attempt); /* words: one of these */
/* An own result with `refs` references: an error value with words, or a record's copy. NULL: no memory. */
own *client_own_error(int error, const char *words, size_t len, unsigned refs);
own *client_own_record(const proto_result *r);
static inline cell result_own(own *o) { return (cell)o | 1u; } /* takes a reference */
void client_own_unref(own *o);
void client_result_free(cell c);
void client_result_view(cell c, hato_result *r);
void client_slab_close(hato_pool *p); /* the receiver's current one */

/* ---- receive.c ---- */
extern const net_ops client_ops;
/* A task resolves: the receiver only. Takes the cell (0: an error for want of memory). */
void client_resolve(sub *s, uint64_t index, cell c);
bool client_resolved_already(const sub *s, uint64_t index);
sub *client_task_find(hato_pool *p, uint64_t task);
/* Any thread; take a reference to the handle, which `to` goes on with when it is given. */
void client_publish_future(hato_future *f, cell c, uint64_t task, pending *to);
void client_publish_array(hato_array *a, size_t index, cell c, pending *to);
void client_pending_flush(pending *to);

/* ---- future.c ---- */
hato_future *client_future_new(hato_pool *p, hato_queue *q);
void client_future_ref(hato_future *f);
void client_future_unref(hato_future *f);

/* ---- array.c ---- */
void client_array_ref(hato_array *a, unsigned n);
void client_array_unref(hato_array *a, unsigned n);
void client_array_done(hato_array *a, size_t n);
void client_array_answered(hato_array *a, uint64_t first, hato_status status, const char *words, size_t len);
void client_array_handed_over(hato_array *a); /* a detached one: all of it is with the dispatcher */

/* ---- wait.c ---- */
uint64_t client_wait_until(int timeout_ms);                                    /* UINT64_MAX: for ever */
bool client_word_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t until); /* false: the time has come */
void client_word_wake(_Atomic uint32_t *word);
void client_watch_fire(hato_future *f);

/* ---- queue.c ---- */
void client_queue_ref(hato_queue *q);
void client_queue_unref(hato_queue *q);
void client_queue_push(hato_queue *q, const completion *c, size_t n); /* takes the references */
void client_queues_close(hato_pool *p); /* wakes who waits, for the pool is gone */

/* ---- callbacks.c, helper.c ---- */
void client_callbacks_due(hato_future *f); /* takes a reference */
void client_callbacks_close(hato_pool *p);
/* Jobs run in order, without a lock of ours. */
bool client_helper_add(hato_pool *p, job *j); /* false: there is no thread, and will not be */
void client_helper_stop(hato_pool *p, uint64_t until);
void client_helper_release(hato_pool *p, void *data, void (*release)(void *)); /* gives an argument back */

/* ---- large.c ---- */
struct large { /* an argument by reference, or a stream */
  atomic_uint refs; /* its submission's, and that of `hold` */
  hato_pool *pool;
  uint32_t index;
  uint64_t size; /* UINT64_MAX: not known yet */
  void *data;
  void (*release)(void *);
  input *in;
  /* pool->lock */
  sub *sub;       /* it outlives `over` */
  net_data *hold; /* all of the data; its end is the end of our use of it */
  uint64_t task, at, credit;
  uint32_t attempt;
  bool asked, over;
  hato__link link; /* out.senders */
  /* what is published when hold is gone */
  hato_future *future;
  hato_array *array;
  cell cell;
  uint64_t number;
  job job;
};
large *client_larges_add(sub *s, uint32_t index, const hato_argument *a, void (*release)(void *)); /* NULL: no memory */
large *client_larges_find(const sub *s, uint64_t index);
/* The receiver's. False: it was asked for again and cannot be repeated. */
bool client_larges_credit(sub *s, uint64_t index, const proto_credit *m);
/* Its task resolves: true when the cell is published as soon as nothing reads the argument. */
bool client_larges_resolve(sub *s, uint64_t index, cell c);
bool client_larges_resolved(const sub *s, uint64_t index);
void client_larges_refused(sub *s, uint64_t index); /* of a detached one: the dispatcher could not keep it */
/* Adds pieces of arguments with credit. With the lock. */
void client_larges_fill(hato_pool *p, net_out *out);
void client_larges_free(sub *s);     /* with the lock */
void client_larges_sub_gone(sub *s); /* without having resolved; with the lock */

/* ---- input.c ---- */
input *client_input_new(large *l, sub *s, int fd); /* NULL: no memory, no thread or no descriptors */
bool client_input_credit(input *in, const proto_credit *m); /* the receiver's; as larges_credit */
void client_input_drop(input *in);                          /* the reader lets go of it and its `hold` */
void client_input_stop(hato_pool *p, uint64_t until);

/* ---- live.c ---- */
live *client_live_new(hato_pool *p);
void client_live_unref(live *l);
void client_live_piece(live *l, const proto_piece *m, net_data *data); /* the receiver's */
/* Its task resolves: true when the cell is published after the last of its output was handed on. */
bool client_live_resolve(hato_future *f, cell c, uint64_t task);

/* ---- stream.c: the receiver's ---- */
/* A record of a task with output in pieces; true when it was taken. */
bool client_stream_record(hato_pool *p, sub *s, fetch *f, const proto_result *r);
void client_credit_give(hato_pool *p, const proto_piece *m, uint64_t bytes); /* any thread */
hato_status client_stream_piece(hato_pool *p, const net_frame *f, hato_error *err);
uint8_t *client_stream_place(hato_pool *p, const uint8_t *body, uint32_t len); /* as net_ops.place */
void client_stream_forget(hato_pool *p, uint64_t task); /* it resolved otherwise */
void client_stream_close(hato_pool *p);

/* ---- control.c, fetch.c ---- */
hato_status client_control_reply_frame(hato_pool *p, const net_frame *f, hato_error *err);
void client_control_close(hato_pool *p);
fetch *client_fetch_find(hato_pool *p, uint64_t task);       /* the receiver's */
uint64_t client_fetch_next(hato_pool *p, uint64_t task); /* the first from task on that is; 0: there is none */
void client_fetch_resolve(hato_pool *p, fetch *f, cell c);   /* the same */
void client_fetch_close(hato_pool *p);

#endif

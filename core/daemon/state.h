/*
 * What the files of the daemon share. One lock guards all of it but what says
 * otherwise. Threads: NNG's, on which the connection's callbacks come, and the
 * loop (the thread of daemon_run), which owns the executors' sockets and ends.
 *
 * The way of a task: ASSIGN -> queue -> a slot's runs and its `staged` bytes; its
 * STARTED joins the outbox; once net says that STARTED is in the kernel the staged
 * bytes go to the executor, written by the thread that was told so. RESULTS come
 * back on the loop and join the outbox at once.
 */
#ifndef HATO_DAEMON_STATE_H
#define HATO_DAEMON_STATE_H

#include "base/buf.h"
#include "base/list.h"
#include "daemon/daemon.h"
#include "net/net.h"
#include "proto/message.h"
#include "proto/spec.h"
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>
#include <uthash.h>

#define DAEMON_BATCH_NS 250000.0 /* work handed to an executor at once: what it has cannot be taken back */
#define DAEMON_BATCH_MAX 128u
/* Commands cost a message each to begin and to end, and the processes that carry it their time: as many go
 * together as last about so long. */
#define DAEMON_COMMANDS_NS 8000000.0
#define DAEMON_BATCH_COMMANDS 8u
#define DAEMON_PAIR_NS \
  1000000.0 /* of tasks shorter than this the next waits in the executor: none waits for the wire */
/* Where more than so many of the last tasks were long, none waits in an executor: it might wait for a long
 * one. */
#define DAEMON_LONG_NS 4000000u
/* A short command often takes some milliseconds where processors are short: only what is longer is long. */
#define DAEMON_LONG_COMMAND_NS 20000000u
#define DAEMON_LONG_SHARE 0.005
#define DAEMON_LONG_MEMORY 512u
#define DAEMON_FUNCTION_GRACE_NS \
  UINT64_C(1000000000) /* an interrupted function, before its executor is killed */
/* Of the executor's contract (executor/executor.h, which this layer does not know; the tests compare). */
#define DAEMON_EXECUTOR_RESTART 75
#define DAEMON_EXECUTOR_GRACE_NS UINT64_C(5000000000)
#define DAEMON_BARREN_MAX 3u   /* restarts of an executor without one result */
#define DAEMON_SILENT_BEATS 3u /* heartbeats without a word from the dispatcher */
#define DAEMON_ENLIST_NS UINT64_C(30000000000)
#define DAEMON_DRAIN_STEP_NS UINT64_C(200000000)
#define DAEMON_QUEUE_MAX UINT64_C(4000000) /* far above slots and prefetch: a peer that sends more is mad */
#define DAEMON_READ (64u * 1024u)

typedef struct daemon_spec {
  UT_hash_handle hh;
  hato__link all;  /* in d->all_specs: dropped ones too */
  uint32_t number; /* the dispatcher's */
  uint32_t
      local; /* ours, to executors: the dispatcher may use its own again before the last task here ends */
  hato__buf bytes; /* as executors get it; while parts arrive, as they came */
  uint32_t total;
  bool complete;
  bool dropped;    /* freed with its last run of tasks */
  bool one_by_one; /* has a time limit: its clock starts with STARTED */
  uint8_t kind;
  char name[96]; /* symbol or program, for words */
  int failed;    /* no task of it can run: the error value and words */
  char *why;
  uint32_t runs;          /* runs of tasks that refer to it */
  double mean, deviation; /* of its tasks' durations, ns */
  double long_share;      /* of the last tasks, those that were long for their kind */
  uint64_t samples;
  uint64_t *known; /* a bit a slot: its executor has it */
} daemon_spec;

/* Argument bytes that the runs of one ASSIGN share. */
typedef struct daemon_args {
  unsigned refs;
  net_data *data; /* where the block lies when it came in a buffer of its own, else it is in bytes */
  uint8_t bytes[];
} daemon_args;

/* A run of tasks, consecutive in number and alike in all but their argument. */
typedef struct daemon_tasks {
  hato__link link;
  daemon_spec *spec;
  daemon_args *args;
  proto_assign a; /* of those that are left */
  uint32_t from;  /* the first one's argument in a.block */
} daemon_tasks;

/* Bytes by reference on their way to the dispatcher or an executor. */
typedef struct daemon_piece {
  hato__link link;
  net_data *data;
  const uint8_t *at;
  size_t len;
} daemon_piece;

/* A running task with input or output in pieces. */
typedef struct daemon_stream {
  UT_hash_handle hh;
  uint64_t task;
  uint32_t attempt;
  unsigned slot;
  uint64_t passed[3]; /* bytes sent on, a channel */
  uint8_t last;       /* bits of channels whose last piece passed */
} daemon_stream;

typedef struct daemon_slot {
  unsigned index;
  hato__link idle;             /* in d->idle (nothing to do) or d->hungry (could take more) */
  hato__link flush;            /* in d->flush: there are bytes to write */
  hato__link needs;            /* in d->needs: staged bytes wait for a fill */
  hato__link covers;           /* in d->covers: staged bytes wait for the end of a fill */
  hato__link runs;             /* tasks handed out, in order */
  uint32_t outstanding, ahead; /* handed out and unreported; with at most `ahead` it takes more */

  pid_t pid; /* 0: no executor */
  int pidfd, fd;
  bool ended;        /* its socket is at its end or broken, or it was killed; it is not gone yet */
  uint64_t reported; /* results since it was started */
  unsigned barren;   /* restarts in a row without a result */
  uint64_t kill_at;  /* when the interrupted head has had its grace; 0: none */
  uint64_t kill_task;
  proto_run *interrupts;
  unsigned n_interrupts, cap_interrupts;
  char *fault; /* why the daemon killed it */

  /* To the executor. */
  hato__buf staged; /* frames whose tasks are not yet reported started, and what must follow them */
  size_t covered;   /* bytes of staged that the fill under way reports */
  bool need;        /* some of staged is not reported by any fill yet */
  hato__buf out;
  hato__link pieces;
  bool writing; /* a thread writes without the lock; it alone touches `sending` and `partial` */
  bool armed;   /* waits for EPOLLOUT */
  bool partial; /* the first piece is partly written and must go on */
  hato__buf sending;
  size_t sent;

  /* From the executor; the loop's alone. */
  uint8_t *in;
  size_t in_len;
  net_data *big; /* a frame that has a buffer of its own */
  uint8_t *big_bytes;
  size_t big_len, big_got;
} daemon_slot;

/* A shared object that is arriving; the connection's frame callback's alone. */
typedef struct daemon_object {
  int fd; /* -1: none, or it is here already */
  bool busy;
  uint8_t hash[32];
  uint64_t total, got;
  char part[PATH_MAX + 64];
} daemon_object;

typedef struct daemon_state {
  const daemon_options *o;
  const hato__log *log;
  pthread_mutex_t lock;
  char node[256];
  char hato_path[PATH_MAX];
  char objects[PATH_MAX]; /* the folder; "": none could be made, why in objects_why */
  bool objects_made;      /* it is there */
  char objects_why[512];
  topo *topo;
  char **env;    /* of executors */
  pid_t *before; /* children that were there before; not ours to kill */
  unsigned n_before;
  int epoll, wake_fd, signal_fd;

  net_conn *conn;
  bool wake;         /* net_wake is due */
  atomic_bool heard; /* since the last heartbeat */
  unsigned silent;
  uint64_t beat_ns, next_beat; /* 0: not enlisted yet */
  uint64_t enlist_by;

  unsigned n_slots;
  daemon_slot *slots;
  hato__link idle, hungry, flush, needs, covers;
  hato__link queue; /* daemon_tasks */
  uint64_t queued, outstanding;
  hato__link free_tasks, free_pieces;
  daemon_spec *specs; /* by number */
  hato__link all_specs;
  uint32_t last_spec;
  daemon_stream *streams;
  daemon_object object;

  /* To the dispatcher. */
  hato__buf out;
  proto_results_writer results;
  bool results_open; /* a RESULTS frame at the end of out */
  proto_run *started;
  unsigned n_started, cap_started;
  hato__link pieces;
  bool in_flight;

  uint64_t kill_next;  /* no slot's kill_at is before; 0: there is none */
  unsigned signals;    /* that asked it to end */
  uint64_t idle_since; /* 0: it has tasks */
  bool draining;
  uint64_t drain_next; /* when to interrupt what runs next; 0: it may finish */
  int goodbye;         /* 1 queued, 2 in flight, 3 sent */
  uint64_t leave_next; /* when to go though the dispatcher did not hang up; 0: no goodbye was sent */
  bool closed;         /* the connection; no more callbacks */
  bool ended;          /* leave the loop, with: */
  int code;
  hato_error why;
} daemon_state;

/* ---- credential.c ---- */
/* AGAIN: the file is not there, maybe not yet. */
hato_status daemon_credential(const daemon_options *o, hato__credential **out, hato_error *err);

/* ---- daemon.c ---- */
/* The end, with an exit code; the first one stands. Under the lock. */
void daemon_end(daemon_state *d, int code, hato_status status, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void daemon_no_memory(daemon_state *d);
void daemon_nudge(daemon_state *d); /* the loop is to look again; any thread */

/* ---- outbox.c ---- */
void daemon_lock(daemon_state *d);
/* Unlocks, having written what executors are due and woken the connection. */
void daemon_settle(daemon_state *d);
hato__buf *daemon_control(daemon_state *d); /* to append whole frames to */
void daemon_started(daemon_state *d, uint64_t first, uint32_t count, uint32_t attempt);
void daemon_result(daemon_state *d, const proto_result *r);
void daemon_results_raw(daemon_state *d, const uint8_t *records, uint32_t len, uint32_t count);
/* The records after the pieces that are queued. */
void daemon_results_after(daemon_state *d, const uint8_t *record, uint32_t len);
void daemon_error_results(daemon_state *d, uint64_t first, uint32_t count, uint32_t attempt, int value,
                          const char *words);
/* A whole frame; data may be NULL, then it is copied. */
void daemon_piece_up(daemon_state *d, net_data *data, const uint8_t *frame, size_t len);
bool daemon_outbox_empty(const daemon_state *d);
void daemon_fill(void *owner, net_conn *c, net_out *out);
void daemon_sent(void *owner, net_conn *c);
daemon_piece *daemon_piece_new(daemon_state *d, net_data *data, const uint8_t *at, size_t len);
void daemon_piece_free(daemon_state *d, daemon_piece *p);

/* ---- queue.c ---- */
daemon_tasks *daemon_tasks_cut(daemon_state *d, daemon_tasks *t,
                               uint32_t n);          /* the first n < count, as a new run */
void daemon_tasks_skip(daemon_tasks *t, uint32_t n); /* n < count */
void daemon_tasks_free(daemon_state *d, daemon_tasks *t);
hato_status daemon_assign(daemon_state *d, const net_frame *f, hato_error *err);
void daemon_take(daemon_state *d, uint32_t count);
void daemon_return_all(daemon_state *d);
void daemon_interrupt_queued(daemon_state *d, const proto_run *r);
/* The part of t that r names: false when none. */
bool daemon_tasks_meet(const daemon_tasks *t, const proto_run *r, uint64_t *first, uint32_t *count);

/* ---- hand.c ---- */
void daemon_hand_out(daemon_state *d);
void daemon_slot_ready(daemon_state *d,
                       daemon_slot *s); /* its outstanding went down or its executor is gone */
void daemon_stage(daemon_state *d, daemon_slot *s, const daemon_tasks *t); /* SPEC when needed, and ASSIGN */
void daemon_learn(daemon_spec *spec, uint64_t wall_ns);
uint32_t daemon_batch(const daemon_spec *spec);

/* ---- slot.c: an executor's life ---- */
bool daemon_slot_start(daemon_state *d, daemon_slot *s); /* false: the daemon is to end, it was said why */
void daemon_slot_kill(daemon_state *d, daemon_slot *s, const char *why);
void daemon_slot_gone(daemon_state *d, daemon_slot *s); /* its pidfd is readable; without the lock */
/* INTERRUPT of tasks handed out. */
void daemon_slot_interrupt(daemon_state *d, daemon_slot *s, const proto_run *r);
void daemon_slot_head(daemon_state *d, daemon_slot *s); /* another task runs: is it interrupted? */
void daemon_interrupt_heads(daemon_state *d, int value);

/* ---- pipe.c: bytes to an executor ---- */
hato__buf *daemon_slot_out(daemon_state *d, daemon_slot *s); /* behind all that was staged or queued */
void daemon_slot_piece(daemon_state *d, daemon_slot *s, const net_frame *f);
void daemon_slot_flush(daemon_state *d, daemon_slot *s);             /* may release the lock meanwhile */
void daemon_slot_release(daemon_state *d, daemon_slot *s, bool all); /* staged bytes that may go */
/* Forgets all bytes either way; waits for a writer, so the lock may be released meanwhile. */
void daemon_slot_drop(daemon_state *d, daemon_slot *s);

/* ---- read.c: frames from executors; the loop ---- */
/* Reads once, without the lock; false: there was nothing. */
bool daemon_slot_read(daemon_state *d, daemon_slot *s);

/* ---- peer.c: frames from the dispatcher ---- */
extern const net_ops daemon_ops;

/* ---- spec.c, object.c ---- */
hato_status daemon_spec_part(daemon_state *d, const net_frame *f, hato_error *err);
hato_status daemon_spec_gone(daemon_state *d, const net_frame *f, hato_error *err);
daemon_spec *daemon_spec_find(daemon_state *d, uint32_t number);
void daemon_spec_unref(daemon_state *d, daemon_spec *s);
void daemon_specs_free(daemon_state *d);
void daemon_specs_forget(daemon_state *d, unsigned slot); /* a new executor knows none */
void daemon_objects_open(daemon_state *d);
hato_status daemon_object_part(daemon_state *d, const net_frame *f, hato_error *err);
bool daemon_object_path(const daemon_state *d, const uint8_t hash[32], char *out,
                        size_t n); /* false: not here */
void daemon_object_abort(daemon_state *d);

/* ---- stream.c ---- */
daemon_stream *daemon_stream_find(daemon_state *d, uint64_t task, uint32_t attempt);
daemon_stream *daemon_stream_of(daemon_state *d, daemon_slot *s, uint64_t task,
                                uint32_t attempt); /* made when new */
void daemon_stream_end(daemon_state *d, daemon_stream *s);
void daemon_streams_free(daemon_state *d);

/* ---- reap.c ---- */
void daemon_note_children(daemon_state *d);
/* Kills every child that is neither an executor nor older than the daemon, until
 * none is left or ms passed. Takes the lock. */
void daemon_reap_orphans(daemon_state *d, unsigned ms);

/* ---- loop.c ---- */
void daemon_loop(daemon_state *d);

#endif

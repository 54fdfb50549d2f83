/*
 * What the files of sched share.
 *
 *   range   one submission: numbers, owner, specification; kept until RELEASE
 *   seg     queued tasks of one range, contiguous, to be sent as one attempt. All
 *           queued tasks are in segs and nothing else knows them, so that a million
 *           queued tasks cost one record.
 *   flight  one task that a daemon was sent and has not answered for
 *
 * So a task of a kept range is queued when a seg covers it, sent or running when it
 * has a flight with a range, and else resolved: no state is kept for what is done.
 * A zombie is a flight whose task is resolved already (cancelled, timed out) while
 * the daemon has yet to answer; it has no range any more.
 */
#ifndef HATO_SCHED_INTERNAL_H
#define HATO_SCHED_INTERNAL_H

#include "base/list.h"
#include "sched/map.h"
#include "sched/sched.h"
#include "sched/table.h"

typedef struct s_spec {
  uint64_t number;
  uint64_t mean_ns;
  uint32_t samples; /* until it is full, mean_ns is a plain average */
  uint32_t refs;    /* ranges */
  hato__link idle;  /* no range speaks of it; kept for the next, the oldest is forgotten */
} s_spec;

typedef struct s_seg {
  hato__link link; /* in its owner's queue */
  struct s_range *range;
  uint64_t first;
  uint32_t count; /* 0: unused (a range's own one) */
  uint32_t attempt;
  struct s_seg *left, *right; /* in the tree of segs that are not a range's own */
  uint32_t rank;              /* of that tree, a heap by rank */
  bool requeued;
} s_seg;

typedef struct s_range {
  hato__link link; /* in its owner's ranges, then in the list of those to be released */
  uint64_t first;
  uint64_t serial; /* when it was submitted; a cancel concerns only older ones */
  uint32_t count, unresolved;
  uint32_t tally; /* scratch of sched_check */
  struct s_owner *owner;
  s_spec *spec;
  uint64_t limit_ns;
  void *data;
  s_seg own; /* the first seg: as submitted */
} s_range;

typedef enum s_flight_state {
  FLIGHT_SENT,
  FLIGHT_RUNNING,
  FLIGHT_ZOMBIE_SENT,
  FLIGHT_ZOMBIE_RUNNING
} s_flight_state;

typedef struct s_flight {
  hato__link link; /* of its daemon: sent, running, zombies or due */
  s_range *range;  /* NULL: a zombie */
  struct s_daemon *daemon;
  uint64_t task;
  uint64_t started_ns;
  uint32_t attempt;
  uint32_t expect_ns; /* duration as it was expected when sent */
  uint32_t heap;      /* place among the deadlines, from 1; 0: none */
  uint8_t state;
  bool limited;  /* has a place reserved there */
  int16_t value; /* of a zombie: why */
} s_flight;

enum { FREE_LEVELS = 9, BACKLOG_LEVELS = 65 };

typedef struct s_daemon {
  sched_daemon handle;
  uint32_t slots;
  bool draining, disconnected, lost;
  bool taking;     /* a TAKE is unanswered */
  bool take_vain;  /* the last gave nothing: none until something starts or ends */
  bool take_still; /* nothing was sent or started or ended there since the last was asked */
  uint32_t take_got;
  uint32_t sent_n, running_n, zombie_sent_n, zombie_running_n;
  uint64_t backlog_ns;               /* expected work of what is sent */
  uint32_t free;                     /* slots counted in free_slots */
  uint32_t low;                      /* held tasks at which it is hungry */
  uint32_t grant;                    /* what is left of the batch it is being sent */
  uint32_t heap;                     /* end of its grace among the deadlines */
  uint8_t free_level, backlog_level; /* 0: in none */
  uint64_t progress_ns;              /* when a task last started or ended there */
  uint64_t since_ns;                 /* the same, or when it got its place in `stalling` */
  hato__link free_link, hungry_link, backlog_link, stall_link;
  hato__link work_link;     /* interrupting or losing */
  hato__link sent, running; /* in the order sent, started */
  hato__link zombies;       /* INTERRUPT was handed out */
  hato__link due;           /* not yet: the daemon was away */
} s_daemon;

typedef struct s_owner {
  hato__link ring; /* owners to be served, in the order of their turns */
  hato__link work; /* lost owners */
  sched_owner handle;
  bool paused, lost;
  int lost_value;
  uint32_t turn;                     /* tasks left of its turn; 0: not begun */
  uint64_t cursor;                   /* of a lost one: all before it in its first range is resolved */
  uint64_t queued, unresolved, kept; /* tasks, tasks, ranges */
  hato__link queue;                  /* segs */
  hato__link ranges;                 /* with unresolved tasks */
} s_owner;

typedef struct s_cancel {
  hato__link link;
  uint64_t cursor, last, serial;
  sched_owner owner;
  int value;
  s_seg *spare; /* for the one seg that a cancel may split, so that it cannot fail */
} s_cancel;

/* A seg must never fail to be had when a flight goes back to the queue: they share a pool. */
typedef union s_cell {
  s_seg seg;
  s_flight flight;
  s_cancel cancel;
} s_cell;

typedef struct s_deadline {
  uint64_t at;
  void *who; /* s_flight or s_daemon */
  bool is_daemon;
} s_deadline;

struct sched {
  sched_config cfg;
  uint64_t now;
  uint64_t serial;
  uint32_t rank_seed;

  s_map ranges;  /* by first */
  s_map flights; /* by task */
  s_map specs;
  s_pool range_pool, cell_pool, spec_pool, daemon_pool, owner_pool;
  s_range *last_range; /* found last */
  s_seg *tree;         /* segs that are not a range's own, by first */
  hato__link idle_specs;
  uint32_t idle_specs_n;
  hato__link releases; /* ranges wholly resolved */

  s_table owners, daemons;
  hato__link ring;
  hato__link lost_owners;
  hato__link cancels;
  hato__link losing, interrupting; /* daemons */

  hato__link free_at[FREE_LEVELS]; /* daemons with free slots, by the part of them that is free */
  uint32_t free_mask;
  uint64_t free_slots, free_daemons;
  hato__link hungry;
  hato__link backlog_at[BACKLOG_LEVELS]; /* those one may take from, by log2 of the backlog a slot */
  uint64_t backlog_mask;
  hato__link stalling; /* the same, by since_ns */
  uint32_t takes;      /* unanswered */
  uint64_t last_take_ns;

  s_deadline *heap;
  uint32_t heap_n, heap_cap;
  uint64_t limited; /* flights that may need a place in it */

  uint64_t queued, sent, running, zombies_running, resolved;
  uint64_t ready; /* queued by owners in the ring */
  uint64_t daemons_n, daemon_slots, usable_daemons, usable_slots, draining_n, owners_n;

  sched_action held; /* did not fit any more */
  bool holding;
};

/* ---- actions ---- */
typedef struct s_out {
  sched_action *at;
  size_t n, max;
  uint64_t work; /* what may still be done in this call, in tasks touched */
} s_out;
/* A step adds two actions at most; where only one is wanted, the other is held. */
static inline bool sched__full(const s_out *o) { return o->n + (o->max > 1) >= o->max || o->work == 0; }
static inline void sched__spend(s_out *o, uint64_t n) { o->work -= n < o->work ? n : o->work; }
void sched__emit(sched *s, s_out *o,
                 const sched_action *a); /* at most two after a sched__full that was false */

/* ---- tasks.c ---- */
s_range *sched__range_of(sched *s, uint64_t task);
s_flight *sched__flight_of(sched *s, const s_daemon *d, uint64_t task, uint32_t attempt); /* NULL: stale */
bool sched__flight_new(sched *s, s_daemon *d, s_range *r, uint64_t task, uint32_t attempt,
                       uint32_t expect_ns);
void sched__flight_start(sched *s, s_flight *f);
void sched__flight_zombie(sched *s, s_flight *f, int value); /* keeps its slot, forgets its range */
void sched__flight_free(sched *s, s_flight *f);              /* of any state; leaves lists and counts */
void sched__resolved(sched *s, s_range *r, uint32_t n);      /* after they left queue and flights */
void sched__range_release(sched *s, s_range *r);
static inline s_flight *sched__flight(const hato__link *l) { return HATO__ENTRY(l, s_flight, link); }
static inline uint64_t sched__range_last(const s_range *r) { return r->first + (r->count - 1); }

/* ---- specs.c ---- */
s_spec *sched__spec_get(sched *s, uint32_t number);
void sched__spec_put(sched *s, s_spec *p);
void sched__spec_learn(s_spec *p, uint64_t duration_ns);

/* ---- queue.c ---- */
static inline s_seg *sched__seg(const hato__link *l) { return HATO__ENTRY(l, s_seg, link); }
static inline uint64_t sched__seg_last(const s_seg *g) { return g->first + (g->count - 1); }
void sched__enqueue(sched *s, s_range *r); /* a new one, at the end */
void sched__requeue(sched *s, s_range *r, uint64_t first, uint32_t count,
                    uint32_t attempt); /* at the front */
void sched__seg_drop_front(sched *s, s_seg *g, uint32_t n);
void sched__seg_cut(sched *s, s_seg *g, uint64_t first, uint64_t last, s_seg **spare);
s_seg *sched__seg_next(const sched *s, const s_range *r,
                       uint64_t task);         /* of r, the first with a task >= task */
void sched__owner_serve(sched *s, s_owner *o); /* into the ring or out of it, as its state wants */
void sched__owner_turn(sched *s, s_owner *o, uint32_t quantum, uint32_t n);
s_owner *sched__owner(const sched *s, sched_owner handle);
bool sched__owners_step(sched *s, s_out *e, size_t share);

/* ---- daemons.c ---- */
s_daemon *sched__daemon(const sched *s, sched_daemon handle); /* NULL: unknown or lost */
void sched__settle(sched *s, s_daemon *d);   /* puts it into the lists that its counts want */
void sched__progress(sched *s, s_daemon *d); /* and something started or ended there */
bool sched__losing_step(sched *s, s_out *e);
bool sched__interrupting_step(sched *s, s_out *e);
void sched__daemon_lose(sched *s, s_daemon *d);
uint8_t sched__free_level(const s_daemon *d);
uint8_t sched__backlog_level(const s_daemon *d);
static inline bool sched__usable(const s_daemon *d) { return !d->draining && !d->disconnected && !d->lost; }
static inline uint32_t sched__in_slots(const s_daemon *d) {
  return d->sent_n + d->running_n + d->zombie_running_n;
}
static inline uint32_t sched__ahead(
    const s_daemon *d) { /* of those sent, how many have no slot to start in */
  uint32_t held = sched__in_slots(d), over = held > d->slots ? held - d->slots : 0;
  return over < d->sent_n ? over : d->sent_n;
}

/* ---- cancel.c ---- */
bool sched__cancel_step(sched *s, s_out *e);
uint64_t sched__cancel_at(sched *s, s_out *e, s_range *r, uint64_t from, uint64_t to, int value,
                          s_seg **spare);

/* ---- assign.c, take.c ---- */
bool sched__assign(sched *s, s_out *e);
bool sched__rebalance(sched *s, s_out *e);
uint64_t sched__stall_deadline(const sched *s);
uint64_t sched__patience(
    const sched *s); /* how long a backlog may stand still while queue and slots are as now */

/* ---- time.c ---- */
void sched__clock(sched *s, uint64_t now);
bool sched__deadline_reserve(sched *s, uint64_t more);
void sched__deadline_set(sched *s, uint64_t at, void *who, bool is_daemon);
void sched__deadline_drop(sched *s, uint32_t place);
bool sched__expire_step(sched *s, s_out *e);

/* What moving a handful of tasks is worth: about a round trip. */
#define SCHED_TRIP_NS 200000u

#endif

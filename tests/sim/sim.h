/*
 * The seeded simulator of the scheduler: a model of owners, tasks and daemons that
 * knows by itself what may be, drives sched through joins, losses, cancels, time
 * limits and late or doubled reports, and checks every action against the model.
 * Time is simulated; nothing here waits.
 */
#ifndef HATO_SIM_H
#define HATO_SIM_H

#include "sched/sched.h"

enum { OWNERS = 8, KINDS = 5 };
enum { KIND_TINY, KIND_SHORT, KIND_PARETO, KIND_LONG, KIND_LIMITED };

typedef struct sim_options {
  uint64_t seed;
  uint32_t daemons;   /* at the start, and about as many later */
  uint64_t tasks;     /* submitted in all */
  uint32_t array_max; /* the largest range */
  uint32_t slots_max;
  unsigned kinds;       /* bit mask of KIND_* */
  unsigned faults;      /* chaos events for a thousand tasks submitted */
  bool grace;           /* disconnected daemons may come back */
  bool steps;           /* sched_next is left with more to do at times */
  uint64_t check_every; /* events between full checks; 1 up to 100 daemons */
  bool verbose;
} sim_options;

/* What the model knows of a task: by what it submitted, what it was told, what it told. */
typedef enum sim_state { T_NONE, T_QUEUED, T_SENT, T_RUNNING, T_RESOLVED } sim_state;
enum { MAY_CANCEL = 1, MAY_RESET = 2, MAY_CLOSED = 4 }; /* how it may resolve */
enum { Z_NONE, Z_SENT, Z_RUNNING };                     /* resolved, the daemon has not answered */
typedef struct sim_task {
  uint64_t started;
  uint32_t daemon, range;
  uint32_t prev, next; /* in its daemon's list; 0 ends it */
  uint16_t attempt;
  uint8_t state, may, zombie;
} sim_task;

typedef struct sim_range {
  uint64_t first, serial, limit;
  uint32_t count, unresolved, spec;
  uint8_t owner, kind;
  bool submitted, released;
} sim_range;

typedef struct sim_owner {
  sched_owner handle; /* 0: none */
  bool paused, lost;
  uint64_t queued, requeued, unresolved, kept;
  uint64_t last_serial, last_task; /* of first attempts sent */
  uint64_t waited[OWNERS];         /* tasks sent of others since its own turn */
} sim_owner;

typedef struct sim_job { /* a task in a daemon */
  uint64_t task, start;
  uint32_t attempt, serial;
  bool used, said_started;
} sim_job;

typedef struct sim_daemon {
  sched_daemon handle;
  uint32_t slots, epoch, busy, free; /* free: as counted in the world */
  bool known;                        /* joined and not lost, as the scheduler must see it */
  bool connected, draining, taking, healthy;
  uint32_t sent, running, zombies; /* as reported: what holds its slots */
  uint32_t held;                   /* the first of the tasks that it was sent and has not answered for */
  uint64_t lost_at;                /* while disconnected */
  uint64_t moved;                  /* when it was last sent or said something */
  double slow;
  uint64_t latency;
  sim_job *job;   /* slots */
  sim_job *queue; /* not started: a ring */
  uint32_t q_cap, q_head, q_n;
  struct sim_event *kept, **kept_end; /* messages that wait for the reconnection */
} sim_daemon;

typedef enum sim_event_type {
  EV_SEND,
  EV_TAKE,
  EV_INTERRUPT,
  EV_END,
  EV_REPORT,
  EV_RETURN,
  EV_TAKEN,
  EV_CHAOS,
  EV_RECONNECT,
  EV_LEAVE,
  EV_LAUNCH /* of the worlds of launches */
} sim_event_type;
typedef struct sim_event {
  uint64_t at, seq;
  sim_event_type type;
  uint32_t daemon, epoch, count, attempt;
  uint64_t first;
  uint64_t duration; /* REPORT: of the finished task `first`, if count */
  uint64_t started;  /* REPORT: a task that started, or 0 */
  uint32_t started_attempt;
  uint32_t what; /* LAUNCH */
  struct sim_event *next;
} sim_event;

typedef struct sim_away {
  uint32_t daemon;
  uint64_t until;
} sim_away;

typedef struct sim {
  sim_options opt;
  sched *s;
  sched_config cfg;
  uint64_t now, seq, events, ticks, serial, rng[4];
  sim_event **heap;
  uint32_t heap_n, heap_cap;
  sim_event *spare, *blocks;

  sim_task *task; /* by number */
  uint64_t numbers, numbers_cap;
  sim_range *range;
  uint32_t ranges, ranges_cap;
  sim_owner owner[OWNERS]; /* 0: the shared one */
  sim_daemon *daemon;
  uint32_t daemons, daemons_cap, healthy;
  uint32_t *by_handle, by_handle_cap; /* index of handle's low bits -> daemon */
  sim_away *away;                     /* disconnected daemons, in order */
  uint32_t away_n, away_head, away_cap;

  uint64_t submitted, unresolved, resolved, owed; /* owed: must be resolved by the scheduler itself */
  uint64_t ready, free_slots;
  uint64_t free_since; /* some slot is free */
  uint64_t sends, sent_tasks, takes, returned, interrupts, accepted, stale, lost_daemons;
  uint64_t touched[8]; /* tasks of this event, some of them */
  unsigned touched_n;
  uint32_t touched_daemon;
  bool drained, ending, learned[KINDS];
} sim;

/* world.c */
void sim_fail(sim *w, const char *format, ...) __attribute__((format(printf, 2, 3), noreturn));
uint64_t sim_random(sim *w);
uint64_t sim_below(sim *w, uint64_t n); /* 0 .. n-1 */
bool sim_chance(sim *w, unsigned percent);
sim_event *sim_event_new(sim *w, sim_event_type type, uint64_t at);
void sim_event_push(sim *w, sim_event *e);
sim_event *sim_event_pop(sim *w);
void sim_event_free(sim *w, sim_event *e);
void sim_world_free(sim *w); /* events */
void *sim_grow(void *p, uint32_t *cap, uint32_t need, size_t size);
uint64_t sim_duration(const sim *w, uint64_t task, unsigned kind);
void sim_touch_task(sim *w, uint64_t task);
void sim_place(sim *w, sim_daemon *d); /* recounts its free slots */
static inline sim_daemon *sim_daemon_at(sim *w, uint32_t i) { return &w->daemon[i]; }

void sim_hold(sim *w, sim_daemon *d, uint64_t task);
void sim_unhold(sim *w, sim_daemon *d, uint64_t task);
void sim_queued(sim *w, sim_owner *o, uint64_t n); /* n more are queued */

/* actions.c */
void sim_drain(sim *w, bool wholly);  /* carries out what the scheduler wants */
void sim_lose(sim *w, sim_daemon *d); /* the model of a lost daemon */

/* pigeons.c: what the daemons do */
void sim_daemon_event(sim *w, sim_event *e);
uint32_t sim_join(sim *w, bool healthy);
void sim_daemon_clear(sim *w, sim_daemon *d); /* it forgets all its tasks and messages */

/* reports.c: what they say */
void sim_report(sim *w, sim_event *e);
bool sim_finished(sim *w, sim_daemon *d, uint64_t task, uint32_t attempt, uint64_t duration);

/* chaos.c */
void sim_chaos(sim *w);
void sim_submit(sim *w);
void sim_reconnect(sim *w, sim_daemon *d);
void sim_disconnect(sim *w, sim_daemon *d);
void sim_finale(sim *w);

/* run.c */
void sim_run(const sim_options *opt);

/* checks.c */
void sim_check(sim *w);

int sim_makespan(uint64_t seeds, bool verbose);
int sim_bench(void);
/* launches.c; members: of the first launch, 0: as the seed says */
int sim_launches(uint64_t first, uint64_t seeds, uint32_t members);

#endif

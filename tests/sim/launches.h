/*
 * The simulator of the life of launches: a world of launchers, batch jobs and
 * connections with faults, and a model that knows by itself what must follow. Where
 * the machine keeps lists, a heap and bits, the model keeps flags and looks at all.
 */
#ifndef HATO_SIM_LAUNCHES_H
#define HATO_SIM_LAUNCHES_H

#include "sched/launches.h"
#include "sim.h"

#define SECOND UINT64_C(1000000000)

typedef struct model_member {
  sched_member_state state;
  uint64_t since;
  bool connected;    /* by what it was told, ENDED or not */
  bool failed;       /* counted once */
  bool excused;      /* its end is no failure */
  bool asked_to_end; /* since it is in this state */
  bool hopeless;     /* NEVER was told in this state */
} model_member;

typedef struct model_line {
  uint64_t id, due; /* due: of the round that waits */
  sched_launch_rules rules;
  uint32_t pending, crashes, launches, owed, limit;
  uint64_t failures, replaced, give_ups;
  bool given_up, unsaid; /* unsaid: GIVE_UP is to come */
} model_line;

typedef enum proc_state { P_NONE, P_QUEUED, P_RUNS, P_OVER } proc_state;
typedef struct sim_proc { /* the truth behind a member */
  uint8_t state;          /* proc_state */
  bool connected, cancelled, never;
  sched_member_state told;
  uint32_t epoch; /* its events before are void */
} sim_proc;

typedef struct model_launch {
  uint64_t id, round_failed; /* of the waiting round of its line */
  uint32_t line, count;
  bool cancelled, over;
  bool answered, polled; /* of the world: submit has answered; polls go on */
  unsigned nature;       /* what its launcher and jobs are like */
  model_member *member;
  sim_proc *proc;
} model_launch;

typedef struct launches_world {
  sim w; /* randomness, events */
  sched_launches *l;
  uint64_t seed;
  uint32_t members_max, launches_max;
  model_launch *launch; /* id - 1 */
  uint32_t launches, launches_cap;
  model_line *line;
  uint32_t lines, lines_cap;
  uint64_t events, actions, replaced, ended, gave_up, over, failures, members, check_every;
  bool drained, ending;
} launches_world;

void launches_fail(launches_world *v, const char *format, ...)
    __attribute__((format(printf, 2, 3), noreturn));

/* launch_model.c: each tells the machine and the model the same */
model_launch *model_add(launches_world *v, uint32_t count, uint32_t line, const sched_launch_rules *rules);
void model_submitted(launches_world *v, model_launch *g);
void model_failed(launches_world *v, model_launch *g, bool passing);
void model_told(launches_world *v, model_launch *g, uint32_t m, sched_member_state state, unsigned flags);
void model_joined(launches_world *v, model_launch *g, uint32_t m);
void model_left(launches_world *v, model_launch *g, uint32_t m, bool orderly);
void model_worked(launches_world *v, model_launch *g);
void model_cancelled(launches_world *v, model_launch *g);
void model_action(launches_world *v, const sched_launch_action *a); /* it must be right */
/* launch_checks.c */
void model_check(launches_world *v);
bool model_due(const launches_world *v, const model_launch *g, uint32_t m); /* END_MEMBER is to come */
uint64_t model_wake(const launches_world *v, bool *now);

/* launch_world.c */
void launches_ask(launches_world *v, uint64_t in, uint32_t line, uint32_t count); /* UINT32_MAX: a new line */
void launches_event(launches_world *v, sim_event *e);
void launches_end_member(launches_world *v, model_launch *g, uint32_t m);
void launches_finale(launches_world *v);

#endif

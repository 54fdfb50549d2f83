/* Launchers, their batch jobs, and the connections of daemons, with all that goes wrong. */
#include "launches.h"

#include <stdlib.h>

/* What a launch may be like, a bit each. */
enum {
  N_CRASHES = 1,    /* its daemons die before they connect */
  N_REQUEUES = 2,   /* its jobs go back to the queue */
  N_SILENT = 4,     /* its scheduler does not answer for long */
  N_CANCELS = 8,    /* somebody cancels its jobs */
  N_HANGS = 16,     /* daemons that never connect, or do not end */
  N_LOSES = 32,     /* connections break, daemons die */
  N_LIES = 64,      /* what is told is late, doubled, out of order, wrong */
  N_NEVER = 128,    /* jobs that can never run */
  N_REFUSES = 256,  /* launches fail */
  N_WORKS = 512,    /* tasks are finished */
  N_IDLES = 1024,   /* daemons that leave in order */
  N_DEAF = 2048,    /* members are not ended when told so */
  N_NATURES = 4096,
};

typedef enum world_event {
  W_ANSWER,  /* the launcher took the launch, or did not */
  W_BEGIN,   /* a job leaves the queue */
  W_CONNECT, /* its daemon connects */
  W_PART,    /* its connection goes: attempt is 1: with a goodbye */
  W_EXIT,    /* it is over */
  W_REQUEUE,
  W_CANCELLED, /* by somebody else */
  W_POLL,
  W_TELL, /* what a poll saw arrives. attempt: state, count: flags */
  W_WORK,
  W_CANCEL, /* the launch */
  W_NEW,    /* first: the line, count: members */
} world_event;

static void at(launches_world *v, world_event what, uint64_t in, const model_launch *g, uint32_t m,
               uint32_t attempt, uint32_t count) {
  sim_event *e = sim_event_new(&v->w, EV_LAUNCH, v->w.now + in);
  e->what = what;
  e->first = g->id;
  e->daemon = m;
  e->epoch = m < g->count ? g->proc[m].epoch : 0;
  e->attempt = attempt;
  e->count = count;
  sim_event_push(&v->w, e);
}

/* Below n seconds, often much below, at times none. */
static uint64_t soon(launches_world *v, uint64_t seconds) {
  uint64_t ns = sim_below(&v->w, seconds * SECOND + 1);
  return sim_chance(&v->w, 20) ? 0 : sim_chance(&v->w, 40) ? ns / 64 : ns;
}

static bool nature(launches_world *v, const model_launch *g, unsigned n, unsigned percent) {
  return (g->nature & n) && sim_chance(&v->w, percent);
}

static sched_launch_rules some_rules(launches_world *v) {
  sim *w = &v->w;
  sched_launch_rules r = {.dial_in = !sim_chance(w, 10),
                          .connect_ns = (1 + sim_below(w, 120)) * SECOND,
                          .backoff_ns = 1 + sim_below(w, 3 * SECOND),
                          .backoff_max_ns = (1 + sim_below(w, 60)) * SECOND,
                          .crash_limit = (uint32_t)sim_below(w, 7)};
  return r;
}

static void new_launch(launches_world *v, uint32_t line, uint32_t count) {
  sched_launch_rules rules = some_rules(v);
  model_launch *g = model_add(v, count, line, line == UINT32_MAX ? &rules : NULL);
  g->nature = (unsigned)(sim_random(&v->w) & sim_random(&v->w) & (N_NATURES - 1));
  if (sim_chance(&v->w, 50)) g->nature &= ~(unsigned)N_REFUSES;
  if (line != UINT32_MAX && sim_chance(&v->w, 70)) /* like those before it */
    g->nature = v->launch[v->line[line].id - 1].nature;
  at(v, W_ANSWER, soon(v, 30), g, 0, 0, 0);
  if (sim_chance(&v->w, 5)) at(v, W_CANCEL, soon(v, 600), g, 0, 0, 0);
}

void launches_ask(launches_world *v, uint64_t in, uint32_t line, uint32_t count) {
  sim_event *e = sim_event_new(&v->w, EV_LAUNCH, v->w.now + in);
  e->what = W_NEW;
  e->first = line;
  e->count = count;
  sim_event_push(&v->w, e);
}

/* The daemon is gone: its connection goes a little later, or much. */
static void over(launches_world *v, model_launch *g, uint32_t m, bool orderly) {
  sim_proc *p = &g->proc[m];
  p->state = P_OVER;
  p->epoch++;
  if (p->connected) at(v, W_PART, soon(v, nature(v, g, N_LIES, 30) ? 60 : 1), g, m, orderly, 0);
}

void launches_end_member(launches_world *v, model_launch *g, uint32_t m) {
  sim_proc *p = &g->proc[m];
  if (p->connected) launches_fail(v, "member %u of launch %llu is connected and to be ended", m,
                                  (unsigned long long)g->id);
  if ((g->nature & N_DEAF) && !v->ending) return;
  if (p->state != P_OVER && p->state != P_NONE) at(v, W_EXIT, soon(v, 5), g, m, 1, 0);
}

static void answer(launches_world *v, model_launch *g) {
  if (g->answered) return;
  g->answered = true;
  if (nature(v, g, N_REFUSES, 60) || v->launches > v->launches_max) {
    bool passing = v->launches <= v->launches_max && sim_chance(&v->w, 85);
    for (uint32_t m = 0; m < g->count; m++) g->proc[m].state = P_OVER;
    model_failed(v, g, passing);
    return;
  }
  model_submitted(v, g);
  for (uint32_t m = 0; m < g->count; m++) {
    g->proc[m].state = P_QUEUED;
    g->proc[m].never = nature(v, g, N_NEVER, 50);
    if (!g->proc[m].never) at(v, W_BEGIN, soon(v, 100), g, m, 0, 0);
    if (nature(v, g, N_CANCELS, 20)) at(v, W_CANCELLED, soon(v, 300), g, m, 0, 0);
  }
  at(v, W_POLL, SECOND, g, 0, 0, 0);
}

static void begin(launches_world *v, model_launch *g, uint32_t m) {
  g->proc[m].state = P_RUNS;
  if (nature(v, g, N_CRASHES, 60)) {
    at(v, W_EXIT, soon(v, 10), g, m, 0, 0);
  } else {
    if (!nature(v, g, N_HANGS, 30)) at(v, W_CONNECT, soon(v, g->nature & N_HANGS ? 200 : 5), g, m, 0, 0);
    at(v, W_EXIT, soon(v, 1000), g, m, 0, 0);
    if (nature(v, g, N_REQUEUES, 40)) at(v, W_REQUEUE, soon(v, 300), g, m, 0, 0);
  }
}

static void connected(launches_world *v, model_launch *g, uint32_t m) {
  sim_proc *p = &g->proc[m];
  if (p->connected || p->state != P_RUNS) return;
  p->connected = g->member[m].state != SCHED_MEMBER_ENDED; /* else it is turned away */
  model_joined(v, g, m);
  if (!p->connected) return;
  if (g->nature & N_WORKS) at(v, W_WORK, soon(v, 30), g, m, 0, 0);
  if (nature(v, g, N_IDLES, 50))
    at(v, W_PART, soon(v, 300), g, m, 1, 0);
  else if (nature(v, g, N_LOSES, 50))
    at(v, W_PART, soon(v, 300), g, m, 0, 0);
}

static void parted(launches_world *v, model_launch *g, uint32_t m, bool orderly) {
  sim_proc *p = &g->proc[m];
  if (!p->connected) return;
  p->connected = false;
  model_left(v, g, m, orderly);
  if (p->state != P_RUNS) return;
  if (!orderly && sim_chance(&v->w, 40))
    at(v, W_CONNECT, soon(v, 100), g, m, 0, 0); /* the network was away */
  else if (!nature(v, g, N_HANGS, 50))
    at(v, W_EXIT, soon(v, 3), g, m, 0, 0);
}

static void requeue(launches_world *v, model_launch *g, uint32_t m) {
  sim_proc *p = &g->proc[m];
  if (p->state != P_RUNS) return;
  over(v, g, m, sim_chance(&v->w, 50));
  p->state = P_QUEUED;
  at(v, W_BEGIN, soon(v, 200), g, m, 0, 0);
}

static void poll_one(launches_world *v, model_launch *g, uint32_t m) {
  static const sched_member_state as[] = {SCHED_MEMBER_SUBMITTED, SCHED_MEMBER_QUEUED, SCHED_MEMBER_STARTING,
                                          SCHED_MEMBER_ENDED};
  sim_proc *p = &g->proc[m];
  sched_member_state state = as[p->state];
  unsigned flags = 0;
  if (state == SCHED_MEMBER_ENDED && p->cancelled) flags = SCHED_MEMBER_CANCELLED;
  if (state == SCHED_MEMBER_QUEUED && p->never) flags = SCHED_MEMBER_NEVER;
  if (nature(v, g, N_LIES, 3)) {
    state = (sched_member_state)sim_below(&v->w, 7);
    flags = (unsigned)sim_below(&v->w, 4);
  }
  if (state == p->told && !sim_chance(&v->w, 15)) return;
  p->told = state;
  if (nature(v, g, N_LIES, 40))
    at(v, W_TELL, soon(v, 40), g, m, state, flags);
  else
    model_told(v, g, m, state, flags);
}

/* Of what is not there, or no more. */
static void nonsense(launches_world *v, const model_launch *g) {
  uint64_t now = v->w.now, id = sim_chance(&v->w, 50) ? g->id : v->launches + 1 + sim_below(&v->w, 9);
  uint32_t m = id == g->id ? g->count : 0;
  sched_launches_told(v->l, now, id, m, SCHED_MEMBER_ENDED, 0);
  sched_launches_joined(v->l, now, id, m);
  sched_launches_left(v->l, now, id, m, false);
  if (id == g->id) return;
  sched_launches_submitted(v->l, now, id);
  sched_launches_failed(v->l, now, id, true);
  sched_launches_cancelled(v->l, now, id);
  sched_launches_worked(v->l, id);
}

/* A connection that comes twice, comes too late, or goes and never came. */
static void doubled(launches_world *v, model_launch *g, uint32_t m) {
  if (g->proc[m].connected || g->member[m].state == SCHED_MEMBER_ENDED) model_joined(v, g, m);
  if (!g->proc[m].connected) model_left(v, g, m, sim_chance(&v->w, 50));
}

static void poll_all(launches_world *v, model_launch *g) {
  if (nature(v, g, N_LIES, 10)) nonsense(v, g);
  if (nature(v, g, N_LIES, 20)) doubled(v, g, (uint32_t)sim_below(&v->w, g->count));
  if (g->over) return;
  for (uint32_t m = 0; m < g->count; m++) poll_one(v, g, m);
  at(v, W_POLL, nature(v, g, N_SILENT, 10) ? soon(v, 900) + 1 : 30 * SECOND, g, 0, 0, 0);
}

static void cancel(launches_world *v, model_launch *g) {
  model_cancelled(v, g);
  for (uint32_t m = 0; m < g->count; m++)
    if (g->proc[m].state == P_QUEUED || g->proc[m].state == P_RUNS) at(v, W_EXIT, soon(v, 20), g, m, 1, 0);
}

void launches_event(launches_world *v, sim_event *e) {
  if (e->what == W_NEW) {
    new_launch(v, (uint32_t)e->first, e->count);
    return;
  }
  model_launch *g = &v->launch[e->first - 1];
  uint32_t m = e->daemon;
  sim_proc *p = &g->proc[m];
  bool now = e->epoch == p->epoch; /* of the member's present life */
  if (e->what == W_ANSWER)
    answer(v, g);
  else if (e->what == W_POLL)
    poll_all(v, g);
  else if (e->what == W_CANCEL)
    cancel(v, g);
  else if (e->what == W_TELL)
    model_told(v, g, m, (sched_member_state)e->attempt, e->count);
  else if (e->what == W_PART && now)
    parted(v, g, m, e->attempt);
  else if (e->what == W_BEGIN && now && p->state == P_QUEUED)
    begin(v, g, m);
  else if (e->what == W_CONNECT && now)
    connected(v, g, m);
  else if (e->what == W_EXIT && now && (p->state == P_RUNS || p->state == P_QUEUED))
    over(v, g, m, e->attempt || sim_chance(&v->w, 50));
  else if (e->what == W_REQUEUE && now)
    requeue(v, g, m);
  else if (e->what == W_WORK && now && p->connected)
    model_worked(v, g);
  else if (e->what == W_CANCELLED && (p->state == P_RUNS || p->state == P_QUEUED)) {
    p->cancelled = true;
    over(v, g, m, false);
  }
}

/* All is taken down; whatever is left must be over then. */
void launches_finale(launches_world *v) {
  v->ending = true;
  bool cancels = sim_chance(&v->w, 50);
  for (uint32_t i = 0; i < v->launches; i++) {
    model_launch *g = &v->launch[i];
    g->answered = true;
    if (cancels) model_cancelled(v, g);
    for (uint32_t m = 0; m < g->count; m++) {
      g->proc[m].epoch++;
      if (sim_chance(&v->w, 50)) parted(v, g, m, sim_chance(&v->w, 50));
      model_told(v, g, m, SCHED_MEMBER_ENDED, sim_chance(&v->w, 50) ? SCHED_MEMBER_CANCELLED : 0);
      g->proc[m].state = P_OVER;
      if (g->proc[m].connected) at(v, W_PART, soon(v, 10), g, m, sim_chance(&v->w, 50), 0);
    }
  }
}

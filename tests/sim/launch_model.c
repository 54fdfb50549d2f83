/* What must become of launches, said as plainly as can be. */
#include "launches.h"

#include <stdlib.h>

static model_line *line_of(launches_world *v, const model_launch *g) { return &v->line[g->line]; }

static void fail(launches_world *v, model_launch *g, uint32_t m) {
  model_line *n = line_of(v, g);
  model_member *k = &g->member[m];
  if (!n->rules.dial_in || g->cancelled || k->failed || k->excused) return;
  k->failed = true;
  v->failures++;
  n->failures++;
  if (n->given_up || n->limit == 0) return;
  if (n->pending == 0) {
    for (uint32_t i = 0; i < v->launches; i++)
      if (v->launch[i].line == g->line) v->launch[i].round_failed = 0;
    n->crashes++;
    if (n->crashes == n->limit) {
      n->given_up = n->unsaid = true;
      return;
    }
    double ns = (double)n->rules.backoff_ns;
    for (uint32_t i = 1; i < n->crashes; i++) ns *= 2;
    if (ns > (double)n->rules.backoff_max_ns) ns = (double)n->rules.backoff_max_ns;
    n->due = v->w.now + (uint64_t)ns;
  }
  n->pending++;
  g->round_failed++;
}

static void into(launches_world *v, model_member *k, sched_member_state state) {
  if (k->state == state) return;
  k->state = state;
  k->since = v->w.now;
  k->asked_to_end = k->hopeless = false;
}

model_launch *model_add(launches_world *v, uint32_t count, uint32_t line, const sched_launch_rules *rules) {
  v->launch = sim_grow(v->launch, &v->launches_cap, v->launches + 1, sizeof *v->launch);
  uint64_t id = v->launches + 1;
  if (line == UINT32_MAX) {
    v->line = sim_grow(v->line, &v->lines_cap, v->lines + 1, sizeof *v->line);
    line = v->lines++;
    v->line[line] = (model_line){.id = id, .rules = *rules, .limit = rules->crash_limit};
  } else {
    v->line[line].owed--;
  }
  v->line[line].launches++;
  model_launch *g = &v->launch[v->launches++];
  *g = (model_launch){.id = id, .line = line, .count = count};
  g->member = calloc(count, sizeof *g->member);
  g->proc = calloc(count, sizeof *g->proc);
  if (!g->member || !g->proc) abort();
  for (uint32_t m = 0; m < count; m++) g->member[m].since = v->w.now;
  v->members += count;
  if (!sched_launches_add(v->l, v->w.now, id, count, rules ? 0 : v->line[line].id, rules))
    launches_fail(v, "launch %llu was refused", (unsigned long long)id);
  return g;
}

void model_submitted(launches_world *v, model_launch *g) {
  for (uint32_t m = 0; m < g->count; m++)
    if (g->member[m].state == SCHED_MEMBER_ASKED) into(v, &g->member[m], SCHED_MEMBER_SUBMITTED);
  sched_launches_submitted(v->l, v->w.now, g->id);
}

static void ended(launches_world *v, model_launch *g, uint32_t m) {
  model_member *k = &g->member[m];
  if (k->state == SCHED_MEMBER_ENDED) return;
  if (!k->connected) fail(v, g, m);
  into(v, k, SCHED_MEMBER_ENDED);
}

void model_failed(launches_world *v, model_launch *g, bool passing) {
  if (!g->over) {
    model_line *n = line_of(v, g);
    if (!passing && !g->cancelled) {
      n->given_up = true;
      n->pending = 0;
    }
    for (uint32_t m = 0; m < g->count; m++) ended(v, g, m);
  }
  sched_launches_failed(v->l, v->w.now, g->id, passing);
}

void model_told(launches_world *v, model_launch *g, uint32_t m, sched_member_state state, unsigned flags) {
  model_member *k = &g->member[m];
  if (k->state != SCHED_MEMBER_ENDED) switch (state) {
    case SCHED_MEMBER_ENDED:
      if (flags & SCHED_MEMBER_CANCELLED) k->excused = true;
      ended(v, g, m);
      break;
    case SCHED_MEMBER_SUBMITTED:
      if (k->state == SCHED_MEMBER_ASKED) into(v, k, state);
      break;
    case SCHED_MEMBER_QUEUED:
    case SCHED_MEMBER_STARTING:
      if (k->connected) break;
      into(v, k, state);
      if (state == SCHED_MEMBER_QUEUED && flags & SCHED_MEMBER_NEVER) k->hopeless = k->excused = true;
      break;
    default:
      break;
    }
  sched_launches_told(v->l, v->w.now, g->id, m, state, flags);
}

void model_joined(launches_world *v, model_launch *g, uint32_t m) {
  model_member *k = &g->member[m];
  if (k->state != SCHED_MEMBER_ENDED && !k->connected) {
    k->connected = true;
    k->excused = false;
    into(v, k, SCHED_MEMBER_CONNECTED);
  }
  sched_launches_joined(v->l, v->w.now, g->id, m);
}

void model_left(launches_world *v, model_launch *g, uint32_t m, bool orderly) {
  model_member *k = &g->member[m];
  if (k->connected) {
    k->connected = false;
    if (orderly)
      k->excused = true;
    else
      fail(v, g, m);
    if (k->state != SCHED_MEMBER_ENDED) into(v, k, SCHED_MEMBER_STARTING);
  }
  sched_launches_left(v->l, v->w.now, g->id, m, orderly);
}

void model_worked(launches_world *v, model_launch *g) {
  if (!g->over && !line_of(v, g)->given_up) line_of(v, g)->crashes = 0;
  sched_launches_worked(v->l, g->id);
}

void model_cancelled(launches_world *v, model_launch *g) {
  model_line *n = line_of(v, g);
  if (!g->over && !g->cancelled) {
    g->cancelled = true;
    if (n->pending) {
      n->pending -= (uint32_t)g->round_failed;
      g->round_failed = 0;
    }
  }
  sched_launches_cancelled(v->l, v->w.now, g->id);
}

/* ---- actions ---- */

static void on_replace(launches_world *v, uint32_t line, const sched_launch_action *a) {
  model_line *n = &v->line[line];
  unsigned long long id = a->launch;
  if (n->given_up) launches_fail(v, "line %llu was given up and is replaced", id);
  if (n->pending == 0) launches_fail(v, "line %llu is replaced without a failure", id);
  if (n->due > v->w.now) launches_fail(v, "line %llu is replaced before its back-off has passed", id);
  if (a->count != n->pending)
    launches_fail(v, "line %llu: %u are replaced, %u failed", id, a->count, n->pending);
  n->replaced += a->count;
  if (n->replaced > n->failures) launches_fail(v, "line %llu: more were replaced than failed", id);
  for (uint32_t i = 0; i < v->launches; i++)
    for (uint32_t m = 0; v->launch[i].line == line && m < v->launch[i].count; m++) {
      const model_launch *g = &v->launch[i];
      if (model_due(v, g, m) && g->member[m].since + n->rules.connect_ns <= n->due && !g->member[m].hopeless)
        launches_fail(v, "line %llu is replaced before a member that timed out was counted", id);
    }
  n->pending = 0;
  n->owed++;
  v->replaced++;
  launches_ask(v, sim_below(&v->w, 2 * SECOND), line, a->count);
}

static void on_give_up(launches_world *v, uint32_t line, const sched_launch_action *a) {
  model_line *n = &v->line[line];
  if (!n->unsaid || n->give_ups++)
    launches_fail(v, "line %llu is given up, and should not", (unsigned long long)a->launch);
  if (a->count != n->limit)
    launches_fail(v, "line %llu is given up after %u", (unsigned long long)a->launch, a->count);
  n->unsaid = false;
  v->gave_up++;
}

static void on_over(launches_world *v, model_launch *g) {
  if (g->over) launches_fail(v, "launch %llu is over twice", (unsigned long long)g->id);
  for (uint32_t m = 0; m < g->count; m++)
    if (g->member[m].state != SCHED_MEMBER_ENDED || g->member[m].connected)
      launches_fail(v, "launch %llu is over, its member %u is not", (unsigned long long)g->id, m);
  g->over = true;
  v->line[g->line].launches--;
  v->over++;
}

void model_action(launches_world *v, const sched_launch_action *a) {
  v->actions++;
  if (a->launch == 0 || a->launch > v->launches)
    launches_fail(v, "an action %d for launch %llu, which is not there", (int)a->type,
                  (unsigned long long)a->launch);
  model_launch *g = &v->launch[a->launch - 1];
  bool of_line = a->type == SCHED_LAUNCH_REPLACE || a->type == SCHED_LAUNCH_GIVE_UP;
  if (of_line && v->line[g->line].id != a->launch)
    launches_fail(v, "launch %llu is not the first of its line", (unsigned long long)a->launch);
  if (a->type == SCHED_LAUNCH_REPLACE) {
    on_replace(v, g->line, a);
  } else if (a->type == SCHED_LAUNCH_GIVE_UP) {
    on_give_up(v, g->line, a);
  } else if (a->type == SCHED_LAUNCH_OVER) {
    on_over(v, g);
  } else if (a->type == SCHED_LAUNCH_END_MEMBER) {
    if (a->member >= g->count || !model_due(v, g, a->member))
      launches_fail(v, "launch %llu: member %u is to be ended, and should not", (unsigned long long)a->launch,
                    a->member);
    g->member[a->member].asked_to_end = true;
    fail(v, g, a->member);
    v->ended++;
    launches_end_member(v, g, a->member);
  } else {
    launches_fail(v, "an action of type %d", (int)a->type);
  }
}

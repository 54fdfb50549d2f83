/* What holds after every event. */
#include "launches.h"

bool model_due(const launches_world *v, const model_launch *g, uint32_t m) {
  const model_member *k = &g->member[m];
  const model_line *n = &v->line[g->line];
  if (g->over || g->cancelled || k->connected || k->asked_to_end) return false;
  if (k->state == SCHED_MEMBER_QUEUED) return k->hopeless;
  return k->state == SCHED_MEMBER_STARTING && n->rules.dial_in &&
         k->since + n->rules.connect_ns <= v->w.now;
}

static bool all_gone(const model_launch *g) {
  for (uint32_t m = 0; m < g->count; m++)
    if (g->member[m].state != SCHED_MEMBER_ENDED || g->member[m].connected) return false;
  return true;
}

/* When something is next to be done; *now: it is so already. */
uint64_t model_wake(const launches_world *v, bool *now) {
  uint64_t wake = UINT64_MAX;
  *now = false;
  for (uint32_t i = 0; i < v->lines; i++) {
    const model_line *n = &v->line[i];
    *now = *now || n->unsaid;
    if (n->pending && n->due < wake) wake = n->due;
  }
  for (uint32_t i = 0; i < v->launches; i++) {
    const model_launch *g = &v->launch[i];
    const model_line *n = &v->line[g->line];
    if (g->over) continue;
    *now = *now || all_gone(g);
    for (uint32_t m = 0; m < g->count; m++) {
      const model_member *k = &g->member[m];
      if (g->cancelled || k->connected || k->asked_to_end) continue;
      if (k->state == SCHED_MEMBER_QUEUED && k->hopeless) *now = true;
      if (k->state == SCHED_MEMBER_STARTING && n->rules.dial_in && k->since + n->rules.connect_ns < wake)
        wake = k->since + n->rules.connect_ns;
    }
  }
  *now = *now || wake <= v->w.now;
  return wake;
}

static void check_launch(launches_world *v, const model_launch *g) {
  sched_launch_counts c;
  uint32_t by_state[SCHED_MEMBER_ENDED + 1] = {0};
  unsigned long long id = g->id;
  bool known = sched_launches_count(v->l, g->id, &c);
  if (known == g->over) launches_fail(v, "launch %llu is %s", id, known ? "known after its end" : "lost");
  for (uint32_t m = 0; m < g->count; m++) {
    sched_member_state state = sched_launches_state(v->l, g->id, m);
    if (state != g->member[m].state)
      launches_fail(v, "member %u of launch %llu is in state %d, not %d", m, id, (int)state,
                    (int)g->member[m].state);
    if (sched_launches_since(v->l, g->id, m) != (g->over ? 0 : g->member[m].since))
      launches_fail(v, "member %u of launch %llu: since another time", m, id);
    by_state[state]++;
  }
  for (uint32_t i = 0; i <= SCHED_MEMBER_ENDED && !g->over; i++)
    if (by_state[i] != c.by_state[i])
      launches_fail(v, "launch %llu: %u members counted in state %u, not %u", id, c.by_state[i], i,
                    by_state[i]);
}

static void check_line(launches_world *v, const model_line *n) {
  unsigned long long id = n->id;
  uint64_t due = 1;
  bool lives = n->launches || n->pending || n->owed;
  if (sched_launches_lives(v->l, n->id) != lives) launches_fail(v, "line %llu: lives, or not", id);
  uint32_t crashes = sched_launches_crashes(v->l, n->id, &due);
  if (crashes != (lives ? n->crashes : 0))
    launches_fail(v, "line %llu: %u crashes, not %u", id, crashes, n->crashes);
  if (due != (n->pending ? n->due : 0)) launches_fail(v, "line %llu: due at another time", id);
}

void model_check(launches_world *v) {
  if (v->events % v->check_every) return;
  bool now;
  uint64_t wake = model_wake(v, &now), said = sched_launches_wake(v->l);
  if (v->drained && now) launches_fail(v, "something was due and is not done");
  if (now ? said > v->w.now : said != wake)
    launches_fail(v, "the next wake is at %llu, should be at %llu", (unsigned long long)said,
                  (unsigned long long)(now ? v->w.now : wake));
  for (uint32_t i = 0; i < v->launches; i++) check_launch(v, &v->launch[i]);
  for (uint32_t i = 0; i < v->lines; i++) check_line(v, &v->line[i]);
  const char *bad = sched_launches_check(v->l);
  if (bad) launches_fail(v, "%s", bad);
}

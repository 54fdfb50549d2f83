/* The members of a launch: their states, those awaited in order of time, those to be ended. */
#include "sched/launch_parts.h"

#include <stdlib.h>

#define NONE UINT32_MAX

s_launch *sched__launch_new(sched_launches *l, uint64_t id, uint32_t count, s_line *line) {
  s_launch *g = calloc(1, sizeof *g);
  if (!g) return NULL;
  size_t n = count ? count : 1;
  g->since = malloc(n * sizeof *g->since);
  g->links = malloc(n * sizeof *g->links);
  g->member = calloc(n, sizeof *g->member); /* SCHED_MEMBER_ASKED is 0 */
  if (!g->since || !g->links || !g->member || !sched__due_reserve(l, l->holders + 1) ||
      !sched__map_set(&l->launches, id, g)) {
    free(g->since);
    free(g->links);
    free(g->member);
    free(g);
    return NULL;
  }
  l->holders++;
  for (uint32_t m = 0; m < count; m++) g->since[m] = l->now;
  g->due = (s_due){.at = UINT64_MAX};
  g->id = id;
  g->line = line;
  g->count = g->by_state[SCHED_MEMBER_ASKED] = count;
  g->starting = g->hopeless = (s_awaited){NONE, NONE};
  hato__list_init(&g->over);
  hato__list_push(&l->all_launches, &g->all);
  line->launches++;
  if (count == 0) hato__list_push(&l->over, &g->over);
  return g;
}

void sched__launch_free(sched_launches *l, s_launch *g) {
  sched__due_set(l, &g->due, UINT64_MAX);
  hato__list_remove(&g->all);
  hato__list_remove(&g->over);
  sched__map_del(&l->launches, g->id);
  l->holders--;
  g->line->launches--;
  free(g->since);
  free(g->links);
  free(g->member);
  free(g);
}

/* ---- the lists ---- */

static void set_due(sched_launches *l, s_launch *g) {
  uint64_t at = UINT64_MAX;
  if (!g->cancelled) {
    if (g->starting.first != NONE)
      at = sched__later(g->since[g->starting.first], g->line->rules.connect_ns);
    if (g->hopeless.first != NONE && g->since[g->hopeless.first] < at) at = g->since[g->hopeless.first];
  }
  sched__due_set(l, &g->due, at);
}

static s_awaited *list_of(s_launch *g, uint32_t m) {
  return sched__member_state(g, m) == SCHED_MEMBER_QUEUED ? &g->hopeless : &g->starting;
}

static void list(sched_launches *l, s_launch *g, uint32_t m) {
  if (g->cancelled) return;
  s_awaited *a = list_of(g, m);
  g->links[m] = (s_member_links){.prev = a->last, .next = NONE};
  if (a->last == NONE)
    a->first = m;
  else
    g->links[a->last].next = m;
  a->last = m;
  g->member[m] |= MEMBER_LISTED;
  if (a->first == m) set_due(l, g);
}

static void unlist(sched_launches *l, s_launch *g, uint32_t m) {
  if (g->cancelled || !(g->member[m] & MEMBER_LISTED)) return;
  s_awaited *a = list_of(g, m);
  s_member_links at = g->links[m];
  bool first = a->first == m;
  g->member[m] &= (uint8_t)~MEMBER_LISTED;
  if (first)
    a->first = at.next;
  else
    g->links[at.prev].next = at.next;
  if (a->last == m)
    a->last = at.prev;
  else
    g->links[at.next].prev = at.prev;
  if (first) set_due(l, g);
}

void sched__launch_unlist(sched_launches *l, s_launch *g) {
  g->cancelled = true; /* then the lists are not looked at any more */
  set_due(l, g);
}

/* ---- one member ---- */

void sched__member_set(sched_launches *l, s_launch *g, uint32_t m, sched_member_state state) {
  sched_member_state was = sched__member_state(g, m);
  if (state == was) return;
  unlist(l, g, m);
  g->by_state[was]--;
  g->by_state[state]++;
  g->member[m] = (uint8_t)((g->member[m] & ~(MEMBER_STATE | MEMBER_HOPELESS)) | state);
  g->since[m] = l->now;
  if (state == SCHED_MEMBER_STARTING && g->line->rules.dial_in) list(l, g, m);
}

void sched__member_fail(sched_launches *l, s_launch *g, uint32_t m) {
  if (!g->line->rules.dial_in || g->cancelled || g->member[m] & (MEMBER_COUNTED | MEMBER_EXCUSED)) return;
  g->member[m] |= MEMBER_COUNTED;
  sched__line_failed(l, g);
}

void sched__member_hopeless(sched_launches *l, s_launch *g, uint32_t m) {
  if (g->member[m] & MEMBER_HOPELESS) return;
  g->member[m] |= MEMBER_HOPELESS | MEMBER_EXCUSED;
  list(l, g, m);
}

void sched__member_gone(sched_launches *l, s_launch *g) {
  if (++g->gone == g->count) hato__list_push(&l->over, &g->over);
}

void sched__launch_end_member(sched_launches *l, s_launch *g, sched_launch_action *out) {
  uint32_t m = g->hopeless.first != NONE ? g->hopeless.first : g->starting.first;
  *out = (sched_launch_action){.type = SCHED_LAUNCH_END_MEMBER, .launch = g->id, .member = m, .count = 1};
  unlist(l, g, m);
  sched__member_fail(l, g, m);
}

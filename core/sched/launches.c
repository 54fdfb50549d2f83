/* The life of launches: the events, and what is to be done. */
#include "sched/launch_parts.h"

#include <stdlib.h>

static void clock_to(sched_launches *l, uint64_t now) {
  if (now > l->now) l->now = now;
}

sched_launches *sched_launches_create(void) {
  sched_launches *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  sched__map_init(&l->launches);
  sched__map_init(&l->lines);
  hato__link *lists[] = {&l->all_launches, &l->all_lines, &l->over, &l->giving_up};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) hato__list_init(lists[i]);
  return l;
}

void sched_launches_destroy(sched_launches *l) {
  if (!l) return;
  while (!hato__list_empty(&l->all_launches))
    sched__launch_free(l, HATO__ENTRY(l->all_launches.next, s_launch, all));
  while (!hato__list_empty(&l->all_lines)) sched__line_free(l, HATO__ENTRY(l->all_lines.next, s_line, all));
  sched__map_fini(&l->launches);
  sched__map_fini(&l->lines);
  free(l->heap);
  free(l);
}

/* ---- launches ---- */

bool sched_launches_add(sched_launches *l, uint64_t now, uint64_t id, uint32_t count, uint64_t line_id,
                        const sched_launch_rules *rules) {
  clock_to(l, now);
  if (id == 0 || sched__launch(l, id)) return false;
  s_line *line = line_id ? sched__map_get(&l->lines, line_id) : NULL;
  bool owed = line && line->owed;
  if (!line && !sched__map_get(&l->lines, id)) line = sched__line_new(l, id, rules);
  if (!line) return false;
  if (!sched__launch_new(l, id, count, line)) {
    sched__line_settle(l, line);
    return false;
  }
  if (owed) line->owed--;
  return true;
}

void sched_launches_submitted(sched_launches *l, uint64_t now, uint64_t id) {
  clock_to(l, now);
  s_launch *g = sched__launch(l, id);
  for (uint32_t m = 0; g && g->by_state[SCHED_MEMBER_ASKED] && m < g->count; m++)
    if (sched__member_state(g, m) == SCHED_MEMBER_ASKED) sched__member_set(l, g, m, SCHED_MEMBER_SUBMITTED);
}

/* Of one that is connected the going of its connection says whether it failed. */
static void end(sched_launches *l, s_launch *g, uint32_t m) {
  sched_member_state was = sched__member_state(g, m);
  if (was == SCHED_MEMBER_ENDED) return;
  if (was != SCHED_MEMBER_CONNECTED) sched__member_fail(l, g, m);
  sched__member_set(l, g, m, SCHED_MEMBER_ENDED);
  if (was == SCHED_MEMBER_CONNECTED)
    g->member[m] |= MEMBER_LINGERS;
  else
    sched__member_gone(l, g);
}

void sched_launches_failed(sched_launches *l, uint64_t now, uint64_t id, bool passing) {
  clock_to(l, now);
  s_launch *g = sched__launch(l, id);
  if (!g) return;
  if (!passing && !g->cancelled) sched__line_give_up(l, g->line, false);
  for (uint32_t m = 0; m < g->count; m++) end(l, g, m);
}

void sched_launches_cancelled(sched_launches *l, uint64_t now, uint64_t id) {
  clock_to(l, now);
  s_launch *g = sched__launch(l, id);
  if (!g || g->cancelled) return;
  sched__line_forgive(l, g);
  sched__launch_unlist(l, g);
}

/* ---- members ---- */

static s_launch *with_member(const sched_launches *l, uint64_t id, uint32_t member) {
  s_launch *g = sched__launch(l, id);
  return g && member < g->count ? g : NULL;
}

void sched_launches_told(sched_launches *l, uint64_t now, uint64_t id, uint32_t m, sched_member_state state,
                         unsigned flags) {
  clock_to(l, now);
  s_launch *g = with_member(l, id, m);
  if (!g) return;
  sched_member_state was = sched__member_state(g, m);
  if (was == SCHED_MEMBER_ENDED) return;
  if (state == SCHED_MEMBER_ENDED) {
    if (flags & SCHED_MEMBER_CANCELLED) g->member[m] |= MEMBER_EXCUSED;
    end(l, g, m);
  } else if (state == SCHED_MEMBER_SUBMITTED) { /* it says nothing of one that is further */
    if (was == SCHED_MEMBER_ASKED) sched__member_set(l, g, m, state);
  } else if ((state == SCHED_MEMBER_QUEUED || state == SCHED_MEMBER_STARTING) &&
             was != SCHED_MEMBER_CONNECTED) {
    sched__member_set(l, g, m, state);
    if (state == SCHED_MEMBER_QUEUED && flags & SCHED_MEMBER_NEVER) sched__member_hopeless(l, g, m);
  }
}

void sched_launches_joined(sched_launches *l, uint64_t now, uint64_t id, uint32_t m) {
  clock_to(l, now);
  s_launch *g = with_member(l, id, m);
  if (!g || sched__member_state(g, m) == SCHED_MEMBER_ENDED) return;
  if (sched__member_state(g, m) == SCHED_MEMBER_CONNECTED) return;
  g->member[m] &= (uint8_t)~MEMBER_EXCUSED;
  sched__member_set(l, g, m, SCHED_MEMBER_CONNECTED);
}

void sched_launches_left(sched_launches *l, uint64_t now, uint64_t id, uint32_t m, bool orderly) {
  clock_to(l, now);
  s_launch *g = with_member(l, id, m);
  if (!g) return;
  bool lingers = g->member[m] & MEMBER_LINGERS;
  if (!lingers && sched__member_state(g, m) != SCHED_MEMBER_CONNECTED) return;
  if (orderly)
    g->member[m] |= MEMBER_EXCUSED;
  else
    sched__member_fail(l, g, m);
  if (lingers) {
    g->member[m] &= (uint8_t)~MEMBER_LINGERS;
    sched__member_gone(l, g);
  } else {
    sched__member_set(l, g, m, SCHED_MEMBER_STARTING);
  }
}

void sched_launches_worked(sched_launches *l, uint64_t id) {
  s_launch *g = sched__launch(l, id);
  if (g && !g->line->given_up) g->line->crashes = 0;
}

/* ---- what is known ---- */

sched_member_state sched_launches_state(const sched_launches *l, uint64_t id, uint32_t member) {
  const s_launch *g = with_member(l, id, member);
  return g ? sched__member_state(g, member) : SCHED_MEMBER_ENDED;
}

uint64_t sched_launches_since(const sched_launches *l, uint64_t id, uint32_t member) {
  const s_launch *g = with_member(l, id, member);
  return g ? g->since[member] : 0;
}

bool sched_launches_vacant(const sched_launches *l, uint64_t id, uint32_t *member) {
  static const sched_member_state likest[] = {SCHED_MEMBER_STARTING, SCHED_MEMBER_QUEUED,
                                              SCHED_MEMBER_SUBMITTED, SCHED_MEMBER_ASKED};
  const s_launch *g = sched__launch(l, id);
  *member = 0;
  for (size_t i = 0; g && i < sizeof likest / sizeof *likest; i++)
    for (uint32_t m = 0; g->by_state[likest[i]] && m < g->count; m++)
      if (sched__member_state(g, m) == likest[i]) return *member = m, true;
  return false;
}

bool sched_launches_count(const sched_launches *l, uint64_t id, sched_launch_counts *out) {
  *out = (sched_launch_counts){0};
  const s_launch *g = sched__launch(l, id);
  if (!g) return false;
  for (size_t i = 0; i <= SCHED_MEMBER_ENDED; i++) out->by_state[i] = g->by_state[i];
  return true;
}

static const s_line *line_of(const sched_launches *l, uint64_t id) {
  const s_launch *g = sched__launch(l, id);
  return g ? g->line : sched__map_get(&l->lines, id);
}

bool sched_launches_lives(const sched_launches *l, uint64_t line) { return sched__map_get(&l->lines, line); }

uint32_t sched_launches_crashes(const sched_launches *l, uint64_t id, uint64_t *due) {
  const s_line *line = line_of(l, id);
  if (due) *due = line && line->pending ? line->due.at : 0;
  return line ? line->crashes : 0;
}

/* ---- what is to be done ---- */

static bool step(sched_launches *l, sched_launch_action *out) {
  s_due *due = l->heap_n ? l->heap[0] : NULL;
  hato__link *at;
  if ((at = hato__list_pop(&l->giving_up))) { /* before the launch whose members failed is over */
    const s_line *line = HATO__ENTRY(at, s_line, giving_up);
    *out = (sched_launch_action){.type = SCHED_LAUNCH_GIVE_UP, .launch = line->id, .count = line->crashes};
  } else if (due && due->at <= l->now) {
    if (due->line)
      sched__line_replace(l, HATO__ENTRY(due, s_line, due), out);
    else
      sched__launch_end_member(l, HATO__ENTRY(due, s_launch, due), out);
  } else if ((at = hato__list_pop(&l->over))) {
    s_launch *g = HATO__ENTRY(at, s_launch, over);
    s_line *line = g->line;
    *out = (sched_launch_action){.type = SCHED_LAUNCH_OVER, .launch = g->id, .count = g->count};
    sched__launch_free(l, g);
    sched__line_settle(l, line);
  } else {
    return false;
  }
  return true;
}

uint32_t sched_launches_next(sched_launches *l, uint64_t now, sched_launch_action *out, uint32_t max) {
  clock_to(l, now);
  uint32_t n = 0;
  while (n < max && step(l, &out[n])) n++;
  return n;
}

uint64_t sched_launches_wake(const sched_launches *l) {
  if (!hato__list_empty(&l->giving_up) || !hato__list_empty(&l->over)) return l->now;
  return l->heap_n ? l->heap[0]->at : UINT64_MAX;
}

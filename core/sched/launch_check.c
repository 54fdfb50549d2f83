/* The invariants of the life of launches, for tests: slow, complete, and telling what broke. */
#include "sched/launch_parts.h"

#include <string.h>

#define MUST(condition, words)      \
  do {                              \
    if (!(condition)) return words; \
  } while (0)

static const char *check_list(const s_launch *g, const s_awaited *a, sched_member_state state, uint32_t *n) {
  uint32_t prev = UINT32_MAX;
  for (uint32_t m = a->first; m != UINT32_MAX; prev = m, m = g->links[m].next) {
    MUST(++*n <= g->count, "a list of members that goes round");
    MUST(g->links[m].prev == prev, "a broken list of members");
    MUST(sched__member_state(g, m) == state, "a member in the list of another state");
    MUST(g->member[m] & MEMBER_LISTED, "a member in a list of which it does not know");
    MUST(prev == UINT32_MAX || state != SCHED_MEMBER_STARTING || g->since[prev] <= g->since[m],
         "members awaited out of their order");
  }
  MUST(a->last == prev, "a list of members with another end");
  return NULL;
}

static const char *check_launch(const sched_launches *l, const s_launch *g) {
  uint32_t by_state[SCHED_MEMBER_ENDED + 1] = {0}, gone = 0, listed = 0, in_lists = 0;
  for (uint32_t m = 0; m < g->count; m++) {
    MUST(sched__member_state(g, m) <= SCHED_MEMBER_ENDED, "a member in no state");
    by_state[sched__member_state(g, m)]++;
    bool ended = sched__member_state(g, m) == SCHED_MEMBER_ENDED, lingers = g->member[m] & MEMBER_LINGERS;
    MUST(ended || !lingers, "a member that lingers and has not ended");
    gone += ended && !lingers;
    listed += (g->member[m] & MEMBER_LISTED) != 0;
    MUST(g->since[m] <= l->now, "a member that came into its state later than now");
  }
  MUST(memcmp(by_state, g->by_state, sizeof by_state) == 0, "members counted wrongly");
  MUST(gone == g->gone, "members that are gone counted wrongly");
  MUST(hato__linked(&g->over) == (gone == g->count), "a launch over with members left, or not over without");
  MUST(sched__launch(l, g->id) == g, "a launch that its id does not lead to");
  MUST(sched__map_get(&l->lines, g->line->id) == g->line, "a launch without a line");
  if (g->cancelled) {
    MUST(!g->due.place, "a cancelled launch that waits for something");
    return NULL;
  }
  const char *bad = check_list(g, &g->starting, SCHED_MEMBER_STARTING, &in_lists);
  if (!bad) bad = check_list(g, &g->hopeless, SCHED_MEMBER_QUEUED, &in_lists);
  MUST(!bad, bad);
  MUST(in_lists == listed, "a listed member in no list");
  uint64_t at = UINT64_MAX;
  if (g->starting.first != UINT32_MAX)
    at = sched__later(g->since[g->starting.first], g->line->rules.connect_ns);
  if (g->hopeless.first != UINT32_MAX && g->since[g->hopeless.first] < at) at = g->since[g->hopeless.first];
  MUST(g->due.at == at, "a launch with another deadline than its first member's");
  return NULL;
}

static const char *check_line(const sched_launches *l, const s_line *line) {
  uint32_t launches = 0, failed = 0;
  for (const hato__link *at = l->all_launches.next; at != &l->all_launches; at = at->next) {
    const s_launch *g = HATO__ENTRY(at, s_launch, all);
    if (g->line != line) continue;
    launches++;
    if (g->round == line->round) failed += g->failed;
  }
  MUST(launches == line->launches, "launches of a line counted wrongly");
  MUST(!line->pending || failed <= line->pending, "more failures in launches than in their line's round");
  MUST((line->pending != 0) == (line->due.at != UINT64_MAX), "a round with no time, or the reverse");
  MUST(!line->given_up || !line->pending, "a line given up that waits");
  MUST(line->given_up || !line->crashes || line->crashes < line->rules.crash_limit,
       "too many rounds in a row, and not given up");
  MUST(launches || line->pending || line->owed, "a line with nothing left");
  MUST(launches || !hato__linked(&line->giving_up), "a line without a launch, not yet said to be given up");
  return NULL;
}

const char *sched_launches_check(const sched_launches *l) {
  uint64_t launches = 0, lines = 0, placed = 0;
  const char *bad = NULL;
  for (const hato__link *at = l->all_launches.next; at != &l->all_launches && !bad; at = at->next) {
    const s_launch *g = HATO__ENTRY(at, s_launch, all);
    launches++;
    placed += g->due.place != 0;
    bad = check_launch(l, g);
  }
  for (const hato__link *at = l->all_lines.next; at != &l->all_lines && !bad; at = at->next) {
    const s_line *line = HATO__ENTRY(at, s_line, all);
    lines++;
    placed += line->due.place != 0;
    bad = check_line(l, line);
  }
  MUST(!bad, bad);
  MUST(launches == l->launches.count && lines == l->lines.count, "launches or lines without a number");
  MUST(launches + lines == l->holders && l->heap_n == placed && placed <= l->heap_cap,
       "deadlines counted wrongly");
  for (uint32_t i = 0; i < l->heap_n; i++) {
    MUST(l->heap[i]->place == i + 1, "a deadline that is not where it thinks");
    MUST(i == 0 || l->heap[(i - 1) / 4]->at <= l->heap[i]->at, "deadlines out of their order");
    MUST(l->heap[i]->at != UINT64_MAX, "a deadline of what never comes");
  }
  return NULL;
}

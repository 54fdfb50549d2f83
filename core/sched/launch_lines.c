/* Lines: failures gather in rounds, rounds are replaced after a back-off, until it is too many. */
#include "sched/launch_parts.h"

#include <stdlib.h>

#define CONNECT_NS UINT64_C(120000000000)
#define BACKOFF_NS UINT64_C(1000000000)
#define BACKOFF_MAX_NS UINT64_C(300000000000)

s_line *sched__line_new(sched_launches *l, uint64_t id, const sched_launch_rules *rules) {
  s_line *line = calloc(1, sizeof *line);
  if (!line || !sched__due_reserve(l, l->holders + 1) || !sched__map_set(&l->lines, id, line)) {
    free(line);
    return NULL;
  }
  l->holders++;
  line->due = (s_due){.at = UINT64_MAX, .line = true};
  line->id = id;
  if (rules) line->rules = *rules;
  if (!line->rules.connect_ns) line->rules.connect_ns = CONNECT_NS;
  if (!line->rules.backoff_ns) line->rules.backoff_ns = BACKOFF_NS;
  if (!line->rules.backoff_max_ns) line->rules.backoff_max_ns = BACKOFF_MAX_NS;
  hato__list_init(&line->giving_up);
  hato__list_push(&l->all_lines, &line->all);
  return line;
}

void sched__line_free(sched_launches *l, s_line *line) {
  sched__due_set(l, &line->due, UINT64_MAX);
  hato__list_remove(&line->all);
  hato__list_remove(&line->giving_up);
  sched__map_del(&l->lines, line->id);
  l->holders--;
  free(line);
}

void sched__line_settle(sched_launches *l, s_line *line) {
  if (!line->launches && !line->pending && !line->owed) sched__line_free(l, line);
}

static uint64_t backoff(const s_line *line) {
  uint64_t ns = line->rules.backoff_ns, max = line->rules.backoff_max_ns;
  for (uint32_t i = 1; i < line->crashes && ns < max; i++) ns = ns > max / 2 ? max : ns * 2;
  return ns < max ? ns : max;
}

static void drop_round(sched_launches *l, s_line *line) {
  line->pending = 0;
  sched__due_set(l, &line->due, UINT64_MAX);
}

void sched__line_give_up(sched_launches *l, s_line *line, bool say) {
  if (line->given_up) return;
  line->given_up = true;
  drop_round(l, line);
  if (say) hato__list_push(&l->giving_up, &line->giving_up);
}

void sched__line_failed(sched_launches *l, s_launch *g) {
  s_line *line = g->line;
  if (line->given_up || line->rules.crash_limit == 0) return;
  if (line->pending == 0) {
    line->round++;
    if (++line->crashes >= line->rules.crash_limit) {
      sched__line_give_up(l, line, true);
      return;
    }
    sched__due_set(l, &line->due, sched__later(l->now, backoff(line)));
  }
  line->pending++;
  if (g->round != line->round) g->failed = 0;
  g->round = line->round;
  g->failed++;
}

void sched__line_forgive(sched_launches *l, s_launch *g) {
  s_line *line = g->line;
  if (line->pending == 0 || g->round != line->round) return;
  line->pending -= g->failed;
  g->failed = 0;
  if (line->pending == 0) drop_round(l, line);
}

void sched__line_replace(sched_launches *l, s_line *line, sched_launch_action *out) {
  *out = (sched_launch_action){.type = SCHED_LAUNCH_REPLACE, .launch = line->id, .count = line->pending};
  drop_round(l, line);
  line->owed++;
}

/* What became of the members: one run of the status line for all launches that have the same. */
#include "command.h"

#include <stdlib.h>
#include <string.h>

typedef struct fate { /* of a member, by this output */
  bool found;
  uint32_t state, flags;
  int exit_code;
  const char *reason, *host; /* NULL: not known */
} fate;

typedef struct view {
  const hato_launch *l;
  command_job *j;
  fate *members;
} view;

typedef struct entry { /* of an id */
  const char *id;
  view *v;
  int64_t member; /* -1: all */
} entry;

typedef struct question {
  const hato_host *h;
  view *views;
  uint32_t n_views;
  entry *entries;
  uint32_t n_entries;
} question;

/* ---- who is asked about ---- */

static bool same_text(const char *a, const char *b) {
  return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_list(const char *const *a, const char *const *b) {
  for (; *a != NULL && *b != NULL; a++, b++) {
    if (strcmp(*a, *b) != 0) return false;
  }
  return *a == *b;
}

/* One run answers for both. */
static bool together(const hato_host *h, const hato_launch *a, const hato_launch *b) {
  static const char *const texts[] = {"status", "status-exit", "id-separator"};
  static const char *const lists[] = {"status-row", "status-fields"};
  if (hato__command_mentions(h->option_string(h, a->options, "status"), "tag")) return a == b;
  for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
    if (!same_text(h->option_string(h, a->options, texts[i]), h->option_string(h, b->options, texts[i])))
      return false;
  }
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    if (!same_list(h->option_list(h, a->options, lists[i]), h->option_list(h, b->options, lists[i])))
      return false;
  }
  return true;
}

static int by_id(const void *a, const void *b) {
  return strcmp(((const entry *)a)->id, ((const entry *)b)->id);
}

static bool index_ids(question *q) {
  uint32_t n = 0;
  for (uint32_t k = 0; k < q->n_views; k++) n += q->views[k].j->whole != NULL ? 1 : q->views[k].j->count;
  q->entries = q->h->alloc(q->h, (n + 1) * sizeof *q->entries);
  if (q->entries == NULL) return false;
  for (uint32_t k = 0; k < q->n_views; k++) {
    view *v = &q->views[k];
    bool any = false;
    for (uint32_t i = 0; i < v->j->count; i++) {
      const command_member *m = &v->j->members[i];
      if (m->ended || (v->j->whole == NULL && m->id == NULL)) continue;
      if (v->j->whole == NULL) q->entries[q->n_entries++] = (entry){m->id, v, i};
      any = true;
    }
    if (any && v->j->whole != NULL) q->entries[q->n_entries++] = (entry){v->j->whole, v, -1};
  }
  qsort(q->entries, q->n_entries, sizeof *q->entries, by_id);
  return true;
}

/* ---- reading the answer ---- */

static char *copy(const hato_host *h, command_text t) {
  while (t.len > 0 && strchr(" \t", t.at[t.len - 1]) != NULL) t.len--;
  return t.len > 0 ? h->format(h, "%.*s", (int)(t.len < 1000 ? t.len : 1000), t.at) : NULL;
}

static void judge(const hato_host *h, const hato_launcher_options *o, const char *word, fate *out) {
  static const struct {
    const char *option;
    uint32_t state, flags;
  } lists[] = {{"never", HATO_MEMBER_QUEUED, HATO_MEMBER_NEVER},
               {"cancelled", HATO_MEMBER_ENDED, HATO_MEMBER_CANCELLED},
               {"failed", HATO_MEMBER_ENDED, 0},
               {"ended", HATO_MEMBER_ENDED, 0},
               {"running", HATO_MEMBER_RUNNING, 0},
               {"starting", HATO_MEMBER_STARTING, 0},
               {"queued", HATO_MEMBER_QUEUED, 0}};
  out->found = true;
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
    if (!hato__command_in(h->option_string(h, o, lists[i].option), word)) continue;
    out->state = lists[i].state;
    out->flags = lists[i].flags;
    bool told = out->state == HATO_MEMBER_ENDED || out->flags != 0; /* better than no reason */
    if (told && out->reason == NULL) out->reason = h->format(h, "state %s", word);
    return;
  }
  out->state = HATO_MEMBER_SUBMITTED;
  if (out->reason == NULL) out->reason = h->format(h, "in state '%s', which no list of states has", word);
}

typedef struct application {
  const hato_host *h;
  view *v;
  const char *state, *reason, *host;
  const char *exit;
} application;

static void apply_to(void *arg, uint32_t i) {
  const application *a = arg;
  fate *f = &a->v->members[i];
  /* A row without a state is about why something waits. */
  if (a->state == NULL && f->found && f->state > HATO_MEMBER_QUEUED) return;
  if (a->reason != NULL) f->reason = a->reason;
  if (a->host != NULL) f->host = a->host;
  if (a->state != NULL) judge(a->h, a->v->l->options, a->state, f);
  char *end = NULL;
  long code = a->exit != NULL ? strtol(a->exit, &end, 10) : 0;
  if (a->exit == NULL || end == a->exit || f->state != HATO_MEMBER_ENDED) return;
  f->flags |= HATO_MEMBER_EXIT_KNOWN;
  f->exit_code = (int)code;
}

static void apply_row(question *q, const command_text row[COMMAND_FIELDS]) {
  char id[COMMAND_ID_MAX + 1];
  if (row[COMMAND_ID].len >= sizeof id) return;
  (void)snprintf(id, sizeof id, "%.*s", (int)row[COMMAND_ID].len, row[COMMAND_ID].at);
  const entry *e = bsearch(&(entry){.id = id}, q->entries, q->n_entries, sizeof *e, by_id);
  if (e == NULL) return; /* somebody else's job */
  application a = {.h = q->h,
                   .v = e->v,
                   .state = copy(q->h, row[COMMAND_STATE]),
                   .reason = copy(q->h, row[COMMAND_REASON]),
                   .host = copy(q->h, row[COMMAND_HOST]),
                   .exit = copy(q->h, row[COMMAND_EXIT])};
  if (e->member >= 0) {
    apply_to(&a, (uint32_t)e->member);
  } else if (row[COMMAND_MEMBER].at == NULL) {
    for (uint32_t i = 0; i < e->v->j->count; i++) apply_to(&a, i);
  } else {
    uint32_t first = (uint32_t)q->h->option_int(q->h, e->v->l->options, "member-first");
    if (!hato__command_numbers(row[COMMAND_MEMBER], first, e->v->j->count, apply_to, &a))
      q->h->log(
          q->h, HATO_LEVEL_WARN, "status names members '%.*s' of %s, expected numbers or ranges as 2-6:2,9",
          (int)(row[COMMAND_MEMBER].len < 80 ? row[COMMAND_MEMBER].len : 80), row[COMMAND_MEMBER].at, id);
  }
}

/* ---- telling ---- */

/* One that the output lacks: ended when it was there before, or is awaited in vain. */
static void judge_absent(const hato_host *h, const view *v, command_member *m, fate *f) {
  const char *line = h->option_string(h, v->l->options, "status");
  int word = (int)strcspn(line, " \t|;&");
  if (!m->seen && ++m->missed < h->option_int(h, v->l->options, "missing")) return;
  *f = (fate){.found = true, .state = HATO_MEMBER_ENDED};
  if (m->cancelled)
    f->reason = "cancelled";
  else if (m->seen)
    f->reason = h->format(h, "forgotten by %.*s: it ended, or somebody removed it", word, line);
  else
    f->reason = h->format(h, "forgotten by %.*s: it was submitted and never seen in its output", word, line);
}

static bool alike(const fate *a, const fate *b) {
  return a->state == b->state && a->flags == b->flags && a->exit_code == b->exit_code &&
         same_text(a->reason, b->reason) && same_text(a->host, b->host);
}

static void tell_all(const hato_host *h, view *v) {
  command_job *j = v->j;
  for (uint32_t i = 0; i < j->count; i++) {
    command_member *m = &j->members[i];
    fate *f = &v->members[i];
    if (m->ended) {
      f->found = false;
      continue;
    }
    if (!f->found)
      judge_absent(h, v, m, f);
    else
      m->seen = true;
    if (f->found && f->state == HATO_MEMBER_ENDED && m->cancelled) f->flags |= HATO_MEMBER_CANCELLED;
  }
  for (uint32_t i = 0, k; i < j->count; i = k) {
    const fate *f = &v->members[i];
    k = i + 1;
    while (k < j->count && v->members[k].found == f->found && alike(f, &v->members[k])) k++;
    if (!f->found) continue;
    hato__command_tell(h, v->l->options, j, i, k - i,
                       (hato_member){.state = f->state,
                                     .flags = f->flags,
                                     .exit_code = f->exit_code,
                                     .reason = f->reason,
                                     .host = f->host});
  }
}

/* ---- asking ---- */

static int ask(question *q) {
  const hato_host *h = q->h;
  const hato_launcher_options *o = q->views[0].l->options;
  char *out = h->format(h, "%s", ""), words[300];
  command_patterns patterns;
  if (out == NULL || !index_ids(q)) return HATO_NO_MEMORY;
  if (q->n_entries == 0) return HATO_OK;
  const char **ids = h->alloc(h, q->n_entries * sizeof *ids);
  if (ids == NULL) return HATO_NO_MEMORY;
  for (uint32_t i = 0; i < q->n_entries; i++) ids[i] = q->entries[i].id;
  int rc = hato__command_run_ids(h, o, "status", q->views[0].l->tag, ids, q->n_entries,
                                 h->option_string(h, o, "status-exit"), &out);
  if (rc != HATO_OK) return HATO_AGAIN; /* with words */
  for (uint32_t k = 0; k < q->n_views; k++) {
    q->views[k].members = h->alloc(h, q->views[k].j->count * sizeof(fate));
    if (q->views[k].members == NULL) return HATO_NO_MEMORY;
  }
  if (!hato__command_compile(h->option_list(h, o, "status-row"), h->option_list(h, o, "status-fields"),
                             &patterns, words, sizeof words))
    return h->fail(h, HATO_INVALID, "%s", words);
  command_text row[COMMAND_FIELDS];
  while (hato__command_next_row(&patterns, &out, row)) apply_row(q, row);
  hato__command_patterns_free(&patterns);
  for (uint32_t k = 0; k < q->n_views; k++) tell_all(h, &q->views[k]);
  return HATO_OK;
}

static void when_next(question *q, int rc) {
  for (uint32_t k = 0; k < q->n_views; k++) {
    command_job *j = q->views[k].j;
    uint64_t ms = q->h->option_duration(q->h, q->views[k].l->options, "interval");
    j->failures = rc == HATO_OK ? 0 : j->failures + 1;
    j->ask_at = hato__command_now() + (ms << (j->failures < 4 ? j->failures : 4)) * 1000000u;
  }
}

int hato__command_ask(command *c, const hato_host *h, const hato_launch *const *launches, uint32_t n,
                      const command_job *now_for) {
  bool *done = h->alloc(h, (n + 1) * sizeof *done);
  view *views = h->alloc(h, (n + 1) * sizeof *views);
  int result = HATO_OK;
  if (done == NULL || views == NULL) return HATO_NO_MEMORY;
  for (uint32_t k = 0; k < n; k++) {
    question q = {.h = h, .views = views};
    bool due = false, failing = false;
    if (done[k] || h->option_string(h, launches[k]->options, "status") == NULL) continue;
    for (uint32_t i = k; i < n; i++) {
      command_job *j = hato__command_find(c, launches[i]->id);
      if (done[i] || h->option_string(h, launches[i]->options, "status") == NULL ||
          !together(h, launches[k], launches[i]))
        continue;
      done[i] = true;
      if (j == NULL || j->mode == COMMAND_HOLD) continue;
      views[q.n_views++] = (view){.l = launches[i], .j = j};
      due |= j == now_for || j->ask_at <= hato__command_now();
      failing |= j->failures > 0;
    }
    if (q.n_views == 0) continue;
    int rc = due       ? ask(&q)
             : failing ? h->fail(h, HATO_AGAIN, "status failed, and is run again later")
                       : HATO_OK;
    if (due) when_next(&q, rc);
    if (rc != HATO_OK) result = rc;
  }
  return result;
}

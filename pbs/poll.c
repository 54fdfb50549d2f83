/* The members of all launches from one qstat. */
#include "pbs.h"

#include <string.h>

/* ---- telling ---- */

static bool same(const char *a, const char *b) {
  return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool joins(const hato_member *a, const hato_member *b) {
  return a->state == b->state && a->flags == b->flags && a->state < HATO_MEMBER_STARTING &&
         same(a->reason, b->reason) && same(a->job, b->job);
}

void pbs_tell_rest(pbs_teller *t) {
  if (t->run.count > 0) t->h->member(t->h, t->l->id, &t->run);
  t->run.count = 0;
}

void pbs_tell(pbs_teller *t, uint32_t member, hato_member *m) {
  m->size = sizeof *m;
  m->first = member;
  m->count = 1;
  if (m->state >= HATO_MEMBER_STARTING && m->log_path == NULL)
    m->log_path = pbs_log_path(t->h, t->dir, t->l->tag, member);
  if (t->run.count > 0 && t->run.first + t->run.count == member && joins(&t->run, m)) {
    t->run.count++;
    return;
  }
  pbs_tell_rest(t);
  t->run = *m;
}

/* ---- PBS Pro and Torque ---- */

/* What PBS does not say, the script may have noted down. */
static void complete(const hato_host *h, const hato_launch *l, const char *dir, uint32_t i, hato_member *m) {
  if ((m->flags & HATO_MEMBER_EXIT_KNOWN) != 0 || (m->flags & HATO_MEMBER_CANCELLED) != 0) return;
  pbs_note n = pbs_read_note(h, dir, l->tag, i);
  if (n.ended) pbs_exit(m, n.code);
  if (n.there && m->host == NULL && n.host[0] != 0) m->host = h->format(h, "%s", n.host);
}

/* A subjob that is not told of by itself is as its array says, unless that has begun. */
static bool by_parent(const hato_host *h, const pbs_job *parent, hato_member *m) {
  pbs_meaning(h, parent, m);
  if (parent->state == 'B' || (m->state != HATO_MEMBER_QUEUED && m->state != HATO_MEMBER_ENDED)) return false;
  m->flags &= ~HATO_MEMBER_EXIT_KNOWN; /* that of all together */
  m->exit_code = m->signal = 0;
  return true;
}

/* False: nothing can be said. */
static bool find_out(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a,
                     uint32_t i, hato_member *m) {
  uint32_t k = i / r->size;
  uint64_t seq = r->seq[k];
  bool array = pbs_members_of(r, k, l->count) > 1;
  const pbs_job *j = pbs_find(&a->jobs, seq, array ? (int64_t)(i % r->size) : PBS_PLAIN);
  const pbs_job *parent = array ? pbs_find(&a->jobs, seq, PBS_PARENT) : NULL;
  if (j != NULL && j->state != 0) {
    pbs_meaning(h, j, m);
    if (m->state == HATO_MEMBER_QUEUED && m->reason == NULL && parent != NULL) {
      hato_member p;
      pbs_meaning(h, parent, &p);
      m->reason = p.state == HATO_MEMBER_QUEUED && parent->state != 'B' ? p.reason : NULL;
      m->flags |= p.flags & HATO_MEMBER_NEVER;
    }
    /* Those that wait say the same: told together, by the array's id. */
    if (m->state == HATO_MEMBER_QUEUED && parent != NULL) m->job = parent->id;
    return true;
  }
  if (parent != NULL && parent->state != 0) return by_parent(h, parent, m);
  if (seq != 0 && !pbs_is_unknown(a, seq)) return false;
  *m = (hato_member){.state = HATO_MEMBER_ENDED,
                     .reason = "forgotten by PBS",
                     .job = seq != 0 ? pbs_member_id(h, r, i, l->count) : NULL};
  return true;
}

static void report(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a) {
  pbs_teller t = {.h = h, .l = l, .dir = pbs_log_dir(h, l->options, l->log_dir)};
  pbs_notes_refresh(t.dir);
  for (uint32_t i = 0; i < l->count; i++) {
    hato_member m = {0};
    if (!find_out(h, l, r, a, i, &m)) continue;
    if (m.state == HATO_MEMBER_ENDED) complete(h, l, t.dir, i, &m);
    pbs_tell(&t, i, &m);
  }
  pbs_tell_rest(&t);
}

/* ---- all launches ---- */

/* One query for the launches of one dialect, which are all there are unless options forced another. */
static int poll_dialect(pbs *p, const hato_host *h, const hato_launch *const *launches, const pbs_record *recs,
                        uint32_t n, pbs_dialect d) {
  const char **ids = h->alloc(h, ((size_t)n * PBS_JOBS_MAX + 1) * sizeof *ids);
  uint32_t asked = 0;
  bool any = false;
  if (ids == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  for (uint32_t i = 0; i < n; i++) {
    if (recs[i].dialect != d) continue;
    any = true;
    for (uint32_t k = 0; k < recs[i].n; k++) {
      if (recs[i].seq[k] != 0 && (ids[asked] = pbs_job_id(h, &recs[i], k, launches[i]->count)) != NULL) asked++;
    }
  }
  pbs_answer a = {0};
  if (!any) return HATO_OK;
  /* Of Slurm's arrays only the last job has the id that qsub told: all jobs are asked for. */
  int rc = HATO_OK;
  if (d == PBS_SLURM || asked > 0) rc = pbs_ask(p, h, d, d == PBS_SLURM ? NULL : ids, asked, &a);
  for (uint32_t i = 0; rc == HATO_OK && i < n; i++) {
    if (recs[i].dialect != d) continue;
    if (d == PBS_SLURM)
      pbs_report_slurm(h, launches[i], &recs[i], &a);
    else
      report(h, launches[i], &recs[i], &a);
  }
  return rc;
}

int pbs_poll(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  pbs_record *recs = h->alloc(h, (n + 1) * sizeof *recs);
  if (recs == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  for (uint32_t i = 0; i < n; i++) {
    const hato_launch *l = launches[i];
    if (!pbs_read_record(l->record, l->record_len, l->count, &recs[i])) /* its dialect is none, then */
      h->log(h, HATO_LEVEL_WARN, "launch %s has a record that is not of pbs", l->tag);
  }
  int worst = HATO_OK;
  for (int d = PBS_PRO; d <= PBS_SLURM; d++) {
    int rc = poll_dialect(state, h, launches, recs, n, (pbs_dialect)d);
    if (rc != HATO_OK) worst = rc;
  }
  return worst;
}

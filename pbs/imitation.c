/*
 * Torque's commands as Slurm imitates them (slurm-wlm-torque). Its qstat tells of each job of an array by
 * a number of its own, with neither index nor exit code nor reason; so a member is the job that its
 * script noted down, and those that did not begin yet are told by the jobs of the launch's name that no
 * script claims.
 */
#include "pbs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct census {
  const pbs_job **at; /* jobs of the launch's name, by number */
  bool *claimed;
  size_t n;
} census;

static bool take_census(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a,
                        census *c) {
  *c = (census){.at = h->alloc(h, (a->jobs.n + 1) * sizeof *c->at),
                .claimed = h->alloc(h, (a->jobs.n + 1) * sizeof *c->claimed)};
  if (c->at == NULL || c->claimed == NULL) return false;
  uint64_t first = UINT64_MAX; /* what was refused has left its name behind, with a lower number */
  for (uint32_t k = 0; k < r->n; k++) {
    if (r->seq[k] != 0 && r->seq[k] < first) first = r->seq[k];
  }
  pbs_names names = pbs_names_of(h, l, r->n);
  for (size_t i = 0; i < a->jobs.n; i++) {
    uint32_t k;
    const pbs_job *j = &a->jobs.at[i];
    if (j->seq >= first && pbs_is_ours(&names, j, &k)) c->at[c->n++] = j;
  }
  return true;
}

static const pbs_job *claim(census *c, const char *id) {
  uint64_t seq = strtoull(id, NULL, 10);
  for (size_t low = 0, high = c->n; low < high;) {
    size_t middle = (low + high) / 2;
    if (c->at[middle]->seq == seq) {
      c->claimed[middle] = true;
      return c->at[middle];
    }
    if (c->at[middle]->seq < seq)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}

/* Seconds of "Sat Nov 21 15:33:25 2026"; -1: it is no date. */
static time_t when(const char *text) {
  struct tm t = {.tm_isdst = -1};
  return text != NULL && strptime(text, "%a %b %d %H:%M:%S %Y", &t) != NULL ? mktime(&t) : -1;
}

static bool out_of_time(const pbs_job *j) {
  unsigned long hours = 0;
  unsigned minutes = 0, seconds = 0;
  time_t from = when(j->began), to = when(j->ended);
  if (j->walltime == NULL || sscanf(j->walltime, "%lu:%u:%u", &hours, &minutes, &seconds) != 3) return false;
  return from >= 0 && to >= 0 && to - from >= (time_t)(hours * 3600 + minutes * 60 + seconds);
}

/* Of one whose script has begun; j NULL: Slurm forgot it. */
static void begun(const hato_host *h, const pbs_job *j, const pbs_note *note, hato_member *m) {
  if (j != NULL) pbs_meaning(h, j, m);
  m->flags &= ~HATO_MEMBER_CANCELLED;
  m->job = h->format(h, "%s", note->job);
  if (m->host == NULL) m->host = h->format(h, "%s", note->host);
  if (j != NULL && pbs_is_live(j)) {
    if (m->state < HATO_MEMBER_RUNNING) m->reason = "requeued";
    return;
  }
  m->state = HATO_MEMBER_ENDED;
  if (note->ended) pbs_exit(m, note->code);
  if (j != NULL && (note->told || !note->ended) && out_of_time(j))
    m->reason = "exceeded resource walltime";
  else if (note->told) {
    m->reason = "cancelled";
    m->flags |= HATO_MEMBER_CANCELLED;
  } else if (!note->ended)
    m->reason = j != NULL ? "killed" : "forgotten by PBS";
}

/* Of those whose script has not begun, what the jobs that nobody claims say together. */
static void unbegun(const hato_host *h, const pbs_record *r, const census *c, hato_member *m) {
  const pbs_job *waits = NULL, *runs = NULL, *ran = NULL, *never_ran = NULL;
  for (size_t i = 0; i < c->n; i++) {
    const pbs_job *j = c->at[i];
    if (c->claimed[i]) continue;
    if (!pbs_is_live(j))
      *(j->host != NULL ? &ran : &never_ran) = j;
    else
      *(j->state == 'R' || j->state == 'S' ? &runs : &waits) = j;
  }
  /* That a note is not there yet does not mean that it will be: the folder may be a node's own. */
  *m = (hato_member){.state = waits != NULL  ? HATO_MEMBER_QUEUED
                              : runs != NULL ? HATO_MEMBER_RUNNING
                                             : HATO_MEMBER_ENDED};
  m->job = h->format(h, "%llu", (unsigned long long)r->seq[0]);
  if (m->state != HATO_MEMBER_ENDED) return;
  if (ran != NULL) {
    m->reason = "ended before its script began";
    m->host = h->format(h, "%.*s", (int)strcspn(ran->host, "/+"), ran->host);
  } else if (never_ran != NULL) {
    m->reason = "cancelled while it was queued";
    m->flags = HATO_MEMBER_CANCELLED;
  } else {
    m->reason = "forgotten by PBS";
  }
}

void pbs_report_slurm(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a) {
  pbs_teller t = {.h = h, .l = l, .dir = pbs_log_dir(h, l->options, l->log_dir)};
  census c;
  pbs_note *notes = h->alloc(h, l->count * sizeof *notes);
  const pbs_job **jobs = h->alloc(h, l->count * sizeof *jobs);
  if (notes == NULL || jobs == NULL || !take_census(h, l, r, a, &c)) return;
  pbs_notes_refresh(t.dir);
  for (uint32_t i = 0; i < l->count; i++) {
    notes[i] = pbs_read_note(h, t.dir, l->tag, i);
    if (notes[i].there) jobs[i] = claim(&c, notes[i].job);
  }
  hato_member rest;
  unbegun(h, r, &c, &rest);
  for (uint32_t i = 0; i < l->count; i++) {
    hato_member m = {.state = HATO_MEMBER_ENDED};
    if (notes[i].there)
      begun(h, jobs[i], &notes[i], &m);
    else
      m = rest;
    pbs_tell(&t, i, &m);
  }
  pbs_tell_rest(&t);
}

const char **pbs_live_ids(const hato_host *h, const hato_launch *l, const pbs_record *r, const pbs_answer *a,
                          uint32_t *n) {
  const char **ids = h->alloc(h, (a->jobs.n + 1) * sizeof *ids);
  pbs_names names = pbs_names_of(h, l, r->n);
  *n = 0;
  for (size_t i = 0; ids != NULL && i < a->jobs.n; i++) {
    const pbs_job *j = &a->jobs.at[i];
    uint32_t k;
    if (j->index < 0 && pbs_is_live(j) && pbs_is_ours(&names, j, &k)) ids[(*n)++] = j->id;
  }
  return ids;
}

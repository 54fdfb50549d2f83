/* One query for all jobs of this user, and what it says of each launch. */
#include "slurm/internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- which launch a job is of ---- */

typedef struct entry {
  uint32_t job;
  sl_launch *l;
  const sl_chunk *c;
} entry;

typedef struct answer {
  sl_state *s;
  const hato_host *h;
  job_info_msg_t *jobs;
  entry *index; /* by job */
  size_t n;
} answer;

static int by_job(const void *a, const void *b) {
  uint32_t x = ((const entry *)a)->job, y = ((const entry *)b)->job;
  return x < y ? -1 : x > y;
}

static bool make_index(answer *a) {
  size_t n = 0;
  for (const sl_launch *l = a->s->launches; l != NULL; l = l->next) n += l->n_chunks;
  a->index = a->h->alloc(a->h, (n + 1) * sizeof *a->index);
  if (a->index == NULL) return false;
  for (sl_launch *l = a->s->launches; l != NULL; l = l->next) {
    for (uint32_t i = 0; i < l->n_chunks && l->layout != SL_ALLOCATION; i++)
      a->index[a->n++] = (entry){l->chunks[i].job, l, &l->chunks[i]};
  }
  qsort(a->index, a->n, sizeof *a->index, by_job);
  return true;
}

/* ---- what a job says ---- */

static const char *host_of(const slurm_job_info_t *job) {
  return job->batch_host != NULL && job->num_nodes <= 1 ? job->batch_host : job->nodes;
}

static bool log_of(const slurm_job_info_t *job, const entry *e, uint32_t task, bool one, char *out, size_t n) {
  if (sl_log_path(e->l, e->c, task, out, n)) return true;
  if (e->l->log == NULL || !one) return false;
  slurm_get_job_stdout(out, (int)n, (job_info_t *)(uintptr_t)job);
  return out[0] == '/';
}

/* Tasks from a to b of an array, or the one of a plain job, are as this job is. */
static void tasks_are(answer *an, const entry *e, const slurm_job_info_t *job, uint32_t a, uint32_t b) {
  sl_told t;
  sl_describe(job, e->l->cancelled, &t);
  for (uint32_t task = a; task <= b && task < e->c->count; task++) {
    sl_member *m = &e->l->members[e->c->first + task];
    char name[40], path[4096];
    m->seen = true;
    if (m->state == HATO_MEMBER_ENDED) continue;
    if (m->state == t.state && m->job_state == job->job_state && m->reason == job->state_reason) continue;
    m->job_state = job->job_state;
    m->reason = job->state_reason;
    (void)snprintf(name, sizeof name, e->c->count > 1 ? "%u_%u" : "%u", e->c->job, task);
    bool has_log = log_of(job, e, task, a == b, path, sizeof path);
    sl_tell(an->h, e->l, e->c->first + task, 1, &t, host_of(job), name, has_log ? path : NULL);
  }
}

static void array_is(answer *an, const entry *e, const slurm_job_info_t *job) {
  if (job->array_task_str != NULL) { /* those that have not begun are one record */
    const char *at = job->array_task_str;
    for (sl_range g; sl_next_range(&at, &g);) {
      if (g.step == 1) tasks_are(an, e, job, g.first, g.last);
      for (uint32_t i = g.first; g.step > 1 && i <= g.last && i < e->c->count; i += g.step)
        tasks_are(an, e, job, i, i);
    }
  } else if (job->array_task_id != NO_VAL) {
    tasks_are(an, e, job, job->array_task_id, job->array_task_id);
  } else {
    tasks_are(an, e, job, 0, 0);
  }
}

/* A job in which srun starts all: srun's log tells of each, as far as the job itself lives. */
static void job_is(answer *an, const entry *e, const slurm_job_info_t *job) {
  sl_launch *l = e->l;
  sl_told t;
  sl_srun_said said = {0};
  char name[24], path[4096];
  (void)snprintf(name, sizeof name, "%u", e->c->job);
  sl_describe(job, l->cancelled, &t);
  if (t.state >= HATO_MEMBER_RUNNING) sl_read_srun(an->h, l, name, &said);
  if (t.state == HATO_MEMBER_RUNNING && l->log_dir != NULL) {
    t.state = HATO_MEMBER_STARTING; /* of those that srun has not spoken of */
    (void)snprintf(t.reason, sizeof t.reason, "%s%s", said.waits[0] != 0 ? "srun waits: " : "", said.waits);
  }
  if (t.state == HATO_MEMBER_ENDED && l->count > 1 && t.exit_code != 0)
    t.flags &= ~HATO_MEMBER_EXIT_KNOWN; /* the job's is the highest of all */
  size_t len = strlen(t.reason);
  if (t.state == HATO_MEMBER_ENDED && said.error[0] != 0)
    (void)snprintf(t.reason + len, sizeof t.reason - len, ": %s", said.error);
  for (uint32_t i = 0; i < l->count; i++) {
    sl_member *m = &l->members[i];
    m->seen = true;
    bool same = m->state == t.state && m->job_state == job->job_state && m->reason == job->state_reason;
    if (m->state == HATO_MEMBER_ENDED || same) continue;
    if (m->state == HATO_MEMBER_RUNNING && t.state == HATO_MEMBER_STARTING) continue;
    m->job_state = job->job_state;
    m->reason = job->state_reason;
    bool has_log = said.started ? sl_log_path(l, NULL, i, path, sizeof path) : sl_srun_log_path(l, path, sizeof path);
    sl_tell(an->h, l, i, 1, &t, t.state == HATO_MEMBER_QUEUED ? NULL : job->nodes, name, has_log ? path : NULL);
  }
}

static void spread(answer *an) {
  for (uint32_t i = 0; i < an->jobs->record_count; i++) {
    const slurm_job_info_t *job = &an->jobs->job_array[i];
    entry key = {.job = job->array_job_id != 0 ? job->array_job_id : job->job_id};
    const entry *e = bsearch(&key, an->index, an->n, sizeof key, by_job);
    if (e == NULL) continue;
    if (e->l->layout == SL_JOB)
      job_is(an, e, job);
    else
      array_is(an, e, job);
  }
}

/* The controller keeps ended jobs for MinJobAge; one that it does not know is over, however it ended. */
static void forgotten(const hato_host *h, sl_launch *l, const sl_chunk *c) {
  sl_told t = {.state = HATO_MEMBER_ENDED, .flags = l->cancelled ? HATO_MEMBER_CANCELLED : 0};
  (void)snprintf(t.reason, sizeof t.reason, "forgotten by Slurm: it has ended, and how is not known any more");
  for (uint32_t task = 0; task < c->count; task++) {
    sl_member *m = &l->members[c->first + task];
    char path[4096];
    if (m->seen || m->state == HATO_MEMBER_ENDED) continue;
    bool has_log = sl_log_path(l, l->layout == SL_JOB ? NULL : c, task, path, sizeof path);
    sl_tell(h, l, c->first + task, 1, &t, NULL, NULL, has_log ? path : NULL);
  }
}

static void forget_the_unseen(answer *an) {
  for (sl_launch *l = an->s->launches; l != NULL; l = l->next) {
    if (l->layout == SL_ALLOCATION) continue;
    for (uint32_t i = 0; i < l->n_chunks; i++) forgotten(an->h, l, &l->chunks[i]);
    /* Of an adopted launch the jobs that were forgotten before have no chunk. */
    for (uint32_t i = 0; i < l->count; i++) {
      sl_chunk one = {.first = i, .count = 1};
      if (!l->members[i].seen) forgotten(an->h, l, &one);
    }
  }
}

/* ---- asking ---- */

static int load(sl_state *s, const hato_host *h, job_info_msg_t **out) {
  int rc = sl_reach(s, h);
  *out = NULL;
  if (rc != HATO_OK) return rc;
  if (slurm_load_job_user(out, (uint32_t)getuid(), SHOW_ALL | SHOW_DETAIL) == SLURM_SUCCESS) {
    s->answering = true;
    return HATO_OK;
  }
  return sl_silent(s, h, "Slurm was asked for this user's jobs and did not answer", errno);
}

static bool to_ask(const sl_state *s) {
  for (const sl_launch *l = s->launches; l != NULL; l = l->next) {
    for (uint32_t i = 0; i < l->count && l->layout != SL_ALLOCATION; i++) {
      if (l->members[i].state != HATO_MEMBER_ENDED) return true;
    }
  }
  return false;
}

static int take(answer *an) {
  if (!make_index(an)) return an->h->fail(an->h, HATO_NO_MEMORY, "no memory for an index of jobs");
  for (sl_launch *l = an->s->launches; l != NULL; l = l->next) {
    for (uint32_t i = 0; i < l->count; i++) l->members[i].seen = false;
  }
  spread(an);
  forget_the_unseen(an);
  an->s->asked_at = sl_now();
  return HATO_OK;
}

int sl_query(sl_state *s, const hato_host *h) {
  if (!to_ask(s)) return HATO_OK;
  answer an = {.s = s, .h = h};
  int rc = load(s, h, &an.jobs);
  if (rc != HATO_OK) return rc;
  rc = take(&an);
  slurm_free_job_info_msg(an.jobs);
  return rc;
}

/* ---- finding a launch again ---- */

static bool is_of(const slurm_job_info_t *job, const sl_launch *l, sl_layout *layout, sl_chunk *c) {
  size_t n = strlen(l->tag);
  char word[8];
  c->job = job->array_job_id != 0 ? job->array_job_id : job->job_id;
  if (job->comment != NULL && strncmp(job->comment, l->tag, n) == 0 && job->comment[n] == ' ' &&
      sscanf(job->comment + n + 1, "%7s %u %u", word, &c->first, &c->count) == 3) {
    *layout = strcmp(word, "job") == 0 ? SL_JOB : SL_ARRAY;
    return c->count > 0 && c->first < l->count && c->count <= l->count - c->first;
  }
  /* A site may write its own comments. */
  c->first = 0;
  c->count = l->count;
  return job->name != NULL && strcmp(job->name, l->tag) == 0;
}

int sl_find_jobs(sl_state *s, const hato_host *h, sl_launch *l) {
  job_info_msg_t *jobs;
  int rc = load(s, h, &jobs);
  if (rc != HATO_OK) return rc;
  for (uint32_t i = 0; i < jobs->record_count; i++) {
    sl_chunk c;
    if (!is_of(&jobs->job_array[i], l, &l->layout, &c)) continue;
    if (!sl_launch_add_chunk(l, c.job, c.first, c.count)) rc = h->fail(h, HATO_NO_MEMORY, "no memory for a job");
  }
  slurm_free_job_info_msg(jobs);
  return rc;
}

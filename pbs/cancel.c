/* Ending launches, and finding them again. */
#include "pbs.h"

#include <stdlib.h>
#include <string.h>

/* ---- qdel ---- */

/* What has ended, ends or never was need not be ended. */
static bool harmless(const char *line) {
  static const char *const words[] = {"unknown job", "has finished", "invalid for state", "already",
                                      "being deleted", "request invalid", "invalid job id", NULL};
  for (size_t i = 0; words[i] != NULL; i++) {
    if (strcasestr(line, words[i]) != NULL) return true;
  }
  return line[strspn(line, " \t\r")] == 0;
}

static bool all_harmless(const hato_host *h, const char *text) {
  char *copy = h->format(h, "%s", text), *save = NULL;
  bool fine = copy != NULL;
  for (char *line = fine ? strtok_r(copy, "\n", &save) : NULL; line != NULL && fine;
       line = strtok_r(NULL, "\n", &save))
    fine = harmless(line);
  return fine;
}

static int end_some(const hato_host *h, const char *command, const char *const *ids, uint32_t n) {
  const char **argv = h->alloc(h, (n + 2) * sizeof *argv);
  hato_run run = {.size = sizeof run, .argv = argv};
  if (argv == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  argv[0] = command;
  memcpy(argv + 1, ids, n * sizeof *argv);
  int rc = pbs_run(h, &run);
  if (rc != HATO_OK || run.exit_code == 0) return rc;
  /* Slurm's complains on standard output. Silence is of unknown ones. */
  if (run.signal == 0 && all_harmless(h, run.err) && all_harmless(h, run.out)) return HATO_OK;
  return h->fail(h, pbs_unreachable(&run) ? HATO_AGAIN : HATO_SYSTEM, "%s failed: %s", command,
                 pbs_words(h, &run));
}

static int end_all(const hato_host *h, const char *command, const char *const *ids, uint32_t n) {
  enum { AT_ONCE = 2000 }; /* an argument list has its limit */
  int rc = HATO_OK;
  for (uint32_t i = 0; rc == HATO_OK && i < n; i += AT_ONCE)
    rc = end_some(h, command, ids + i, n - i < AT_ONCE ? n - i : AT_ONCE);
  return rc;
}

int pbs_qdel(const hato_host *h, const char *const *ids, uint32_t n) { return end_all(h, "qdel", ids, n); }

/* ---- cancel ---- */

/* Slurm's qdel ends whole arrays only; its own command, which is where its qsub is, knows their jobs. */
static int cancel_members(const hato_host *h, const hato_launch *l, const pbs_record *r, const uint32_t *members,
                          uint32_t n) {
  const char **ids = h->alloc(h, n * sizeof *ids);
  uint32_t found = 0;
  if (ids == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  for (uint32_t i = 0; i < n; i++) {
    if (members[i] >= l->count)
      return h->fail(h, HATO_INVALID, "launch %s has %u members, not %u", l->tag, l->count, members[i]);
    const char *id = pbs_member_id(h, r, members[i], l->count);
    if (r->seq[members[i] / r->size] != 0 && id != NULL) ids[found++] = id;
  }
  return end_all(h, r->dialect == PBS_SLURM ? "scancel" : "qdel", ids, found);
}

int pbs_cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members, uint32_t n) {
  (void)state;
  pbs_record r;
  const char *ids[PBS_JOBS_MAX];
  uint32_t found = 0;
  if (!pbs_read_record(l->record, l->record_len, l->count, &r))
    return h->fail(h, HATO_NOT_FOUND, "the record of launch %s is not of pbs", l->tag);
  if (n > 0) return cancel_members(h, l, &r, members, n);
  for (uint32_t k = 0; k < r.n; k++) {
    if (r.seq[k] != 0 && (ids[found] = pbs_job_id(h, &r, k, l->count)) != NULL) found++;
  }
  return found > 0 ? pbs_qdel(h, ids, found) : HATO_OK;
}

/* ---- adopt ---- */

/* Its jobs among all there are, by their names. */
static bool by_tag(const hato_host *h, const hato_launch *l, const pbs_answer *a, pbs_record *r) {
  bool live = false;
  pbs_names names = pbs_names_of(h, l, r->n);
  for (size_t i = 0; i < a->jobs.n; i++) {
    const pbs_job *j = &a->jobs.at[i];
    const char *suffix;
    uint64_t seq;
    int64_t index;
    uint32_t k;
    bool lives = pbs_is_live(j);
    /* The lowest of Slurm's is the number of the array, also when that job of it has ended. */
    if (j->index >= 0 || (!lives && r->dialect != PBS_SLURM) || !pbs_is_ours(&names, j, &k)) continue;
    live |= lives;
    if (r->seq[k] != 0 || !pbs_parse_id(j->id, &seq, &index, &suffix)) continue;
    r->seq[k] = seq;
    if (strlen(suffix) < sizeof r->suffix) strcpy(r->suffix, suffix);
  }
  return live;
}

static bool by_record(const hato_host *h, const hato_launch *l, const pbs_answer *a, const pbs_record *r) {
  pbs_names names = pbs_names_of(h, l, r->n);
  for (size_t i = 0; i < a->jobs.n; i++) {
    const pbs_job *j = &a->jobs.at[i];
    uint32_t k = 0;
    if (!pbs_is_live(j)) continue;
    if (r->dialect == PBS_SLURM && pbs_is_ours(&names, j, &k)) return true;
    for (k = 0; r->dialect != PBS_SLURM && k < r->n; k++) {
      if (r->seq[k] == j->seq) return true;
    }
  }
  return false;
}

int pbs_adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *out) {
  pbs *p = state;
  pbs_record r;
  pbs_answer a;
  int rc = HATO_OK;
  bool known = l->record_len > 0, live;
  if (known && !pbs_read_record(l->record, l->record_len, l->count, &r))
    return h->fail(h, HATO_NOT_FOUND, "the record of launch %s is not of pbs", l->tag);
  pbs_dialect d = known ? r.dialect : PBS_AUTO;
  if (!known) rc = pbs_dialect_of(p, h, l->options, &d);
  if (rc == HATO_OK && !known) rc = pbs_divide(h, l->options, d, l->count, &r);
  if (rc != HATO_OK) return rc;
  const char *ids[PBS_JOBS_MAX];
  uint32_t n = 0;
  for (uint32_t k = 0; known && k < r.n; k++) {
    if (r.seq[k] != 0 && (ids[n] = pbs_job_id(h, &r, k, l->count)) != NULL) n++;
  }
  rc = pbs_ask(p, h, d, known && d != PBS_SLURM ? ids : NULL, n, &a);
  if (rc != HATO_OK) return rc;
  live = known ? by_record(h, l, &a, &r) : by_tag(h, l, &a, &r);
  if (!live) return h->fail(h, HATO_NOT_FOUND, "no batch job of launch %s is queued or running", l->tag);
  if (!pbs_write_record(&r, out)) return h->fail(h, HATO_TOO_LARGE, "the record of launch %s", l->tag);
  return HATO_OK;
}

/* One call of qstat for all jobs of all launches, and what this server's qstat cannot do, found by trying. */
#include "pbs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN = 153, FINISHED = 35, NO_HISTORY = 38 }; /* PBS's error numbers, modulo 256 */

static const char **qstat(const pbs *p, const hato_host *h, pbs_dialect d, const char *const *ids, uint32_t n) {
  const char **argv = h->alloc(h, ((size_t)n + 8) * sizeof *argv);
  uint32_t k = 0;
  if (argv == NULL) return NULL;
  argv[k++] = "qstat";
  if (d == PBS_PRO && !p->no_history && ids != NULL) argv[k++] = "-x";
  if (d != PBS_SLURM && !p->no_subjobs) argv[k++] = "-t";
  argv[k++] = "-f";
  if (d == PBS_PRO && !p->no_json) {
    argv[k++] = "-F";
    argv[k++] = "json";
  }
  for (uint32_t i = 0; ids != NULL && i < n; i++) argv[k++] = ids[i];
  return argv;
}

/* True: ask again, without something. An answer about jobs may go before a complaint. */
static bool does_less(pbs *p, const hato_host *h, pbs_dialect d, const hato_run *run) {
  bool *lacking = NULL;
  bool usage = strcasestr(run->err, "invalid option") != NULL || strcasestr(run->err, "illegal") != NULL ||
               strcasestr(run->err, "usage:") != NULL;
  bool history = run->exit_code == NO_HISTORY ||
                 (strcasestr(run->err, "history") != NULL && strcasestr(run->err, "has finished") == NULL);
  if (run->exit_code == 0 || d == PBS_SLURM) return false;
  if (history && d == PBS_PRO && !p->no_history)
    lacking = &p->no_history;
  else if (usage && d == PBS_PRO && !p->no_json)
    lacking = &p->no_json;
  else if (usage && d == PBS_PRO && !p->no_history)
    lacking = &p->no_history;
  else if (usage && !p->no_subjobs)
    lacking = &p->no_subjobs;
  if (lacking == NULL) return false;
  *lacking = true;
  h->log(h, HATO_LEVEL_INFO, "this qstat has no %s: %s",
         lacking == &p->no_json ? "-F json" : lacking == &p->no_history ? "history" : "-t", pbs_words(h, run));
  return true;
}

/* "qstat: Unknown Job Id 9999.pbs1", "qstat: 20.pbs1 Job has finished, use -x or …". */
static bool about_a_job(const char *line) {
  return strcasestr(line, "unknown job") != NULL || strcasestr(line, "has finished") != NULL;
}

static void note_unknown(pbs_answer *a, const char *line) {
  for (const char *at = line; *at != 0; at++) {
    bool begins = at == line || isspace((unsigned char)at[-1]);
    if (begins && isdigit((unsigned char)*at)) a->unknown[a->n_unknown++] = strtoull(at, NULL, 10);
  }
}

/* False: it complained of something else, or failed without words. */
static bool read_complaints(const hato_host *h, const hato_run *run, pbs_answer *a) {
  char *text = h->format(h, "%s", run->err), *save = NULL;
  a->unknown = h->alloc(h, (run->err_len / 2 + 1) * sizeof *a->unknown);
  if (text == NULL || a->unknown == NULL) return false;
  bool any = false;
  for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
    if (!about_a_job(line)) return false;
    note_unknown(a, line);
    any = true;
  }
  a->none_known = !any && run->exit_code == UNKNOWN; /* as a silent qstat has it */
  return any ? run->exit_code == UNKNOWN || run->exit_code == FINISHED || run->exit_code == 1 : a->none_known;
}

/* False: not JSON. */
static bool read_jobs(const hato_host *h, bool json, const hato_run *run, pbs_jobs *jobs) {
  if (!json) {
    pbs_parse_text(h, run->out, jobs);
    return true;
  }
  return run->out[strspn(run->out, " \t\n")] == 0 || pbs_parse_json(h, run->out, run->out_len, jobs);
}

static int ask_once(pbs *p, const hato_host *h, pbs_dialect d, const char *const *ids, uint32_t n,
                    pbs_answer *a, bool *again) {
  bool json = d == PBS_PRO && !p->no_json;
  hato_run run = {
      .size = sizeof run, .argv = qstat(p, h, d, ids, n), .output_max = (size_t)256 << 20};
  *a = (pbs_answer){0};
  *again = false;
  if (run.argv == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  int rc = pbs_run(h, &run);
  if (rc != HATO_OK) return rc;
  if ((*again = does_less(p, h, d, &run))) return HATO_OK;
  /* A warning on standard error is no reason to disbelieve a success. */
  if (pbs_unreachable(&run) && run.exit_code != 0)
    return h->fail(h, HATO_AGAIN, "qstat: %s", pbs_words(h, &run));
  if (run.exit_code != 0 && !read_complaints(h, &run, a))
    return h->fail(h, HATO_AGAIN, "qstat failed: %s (exit code %d)", pbs_words(h, &run), (int)run.exit_code);
  if (!read_jobs(h, json, &run, &a->jobs)) {
    h->log(h, HATO_LEVEL_WARN, "`qstat -F json` did not write JSON; its text is read from now on");
    p->no_json = *again = true;
    return HATO_OK;
  }
  if (a->jobs.failed) return h->fail(h, HATO_NO_MEMORY, "no memory for the answer of qstat");
  pbs_sort(&a->jobs);
  return HATO_OK;
}

int pbs_ask(pbs *p, const hato_host *h, pbs_dialect d, const char *const *ids, uint32_t n, pbs_answer *a) {
  bool again = true;
  int rc = HATO_OK;
  while (rc == HATO_OK && again) rc = ask_once(p, h, d, ids, n, a, &again); /* each time with less */
  return rc;
}

bool pbs_is_unknown(const pbs_answer *a, uint64_t seq) {
  if (a->none_known) return true;
  for (size_t i = 0; i < a->n_unknown; i++) {
    if (a->unknown[i] == seq) return true;
  }
  return false;
}

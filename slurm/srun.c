/* The words of srun, which starts the daemons of a job or an allocation, and what an allocation granted. */
#include "slurm/internal.h"

#include <stdlib.h>
#include <string.h>

/* Each task takes its number and becomes the daemon. */
static const char wrapper[] = SL_MEMBER_VARIABLE "=$SLURM_PROCID; export " SL_MEMBER_VARIABLE "; exec \"$@\"";

/* The words: of srun, of the user, of the wrapper, of the daemon. -v, because only so srun tells of tasks that
 * began, and of those that ended well. One that ends takes no others with it. --exact: what is not asked for
 * stays for the next launch. */
const char **sl_srun_words(const hato_host *h, const hato_launch_request *r, const sl_settings *set,
                           uint32_t cpus, const char *output, uint32_t nodes) {
  uint32_t n = 0, extra = 0;
  while (set->srun[extra] != NULL) extra++;
  const char **w = h->alloc(h, (r->argc + extra + 24) * sizeof *w);
  if (w == NULL) return NULL;
  w[n++] = "srun";
  w[n++] = "-v";
  w[n++] = "--exact";
  w[n++] = "--kill-on-bad-exit=0";
  w[n++] = "--wait=0";
  w[n++] = "--input=none";
  w[n++] = "--open-mode=append";
  w[n++] = h->format(h, "--job-name=%s", r->tag);
  w[n++] = h->format(h, "--ntasks=%u", r->count);
  w[n++] = h->format(h, "--cpus-per-task=%u", cpus);
  w[n++] = h->format(h, "--output=%s", output);
  if (nodes > 0) w[n++] = h->format(h, "--nodes=%u", nodes);
  for (uint32_t i = 0; i < n; i++) {
    if (w[i] == NULL) return NULL;
  }
  for (uint32_t i = 0; i < extra; i++) w[n++] = set->srun[i];
  w[n++] = "sh";
  w[n++] = "-c";
  w[n++] = wrapper;
  w[n++] = "hato";
  for (uint32_t i = 0; i < r->argc; i++) w[n++] = r->argv[i];
  return w;
}

/* ---- what was granted ---- */

static uint32_t number(const char *name) {
  const char *v = getenv(name);
  char *end;
  unsigned long n = v != NULL ? strtoul(v, &end, 10) : 0;
  return v != NULL && *end == 0 && n < NO_VAL ? (uint32_t)n : 0;
}

/* "16(x2),4": two nodes of 16 and one of 4. */
static void per_node(const char *list, sl_grant *g) {
  while (*list != 0 && g->n_kinds < SL_KINDS) {
    char *end;
    unsigned long cpus = strtoul(list, &end, 10), times = 1;
    if (end == list || cpus > 65535) return;
    if (strncmp(end, "(x", 2) == 0) times = strtoul(end + 2, &end, 10);
    if (*end == ')') end++;
    if (times > 1000000 || cpus * times > UINT32_MAX - g->cpus) return;
    g->cpus += (uint32_t)(cpus * times);
    g->nodes += (uint32_t)times;
    g->kinds[g->n_kinds].nodes = (uint32_t)times;
    g->kinds[g->n_kinds++].cpus = (uint32_t)cpus;
    if (*end != ',') return;
    list = end + 1;
  }
}

/* Batch scripts and the like have step ids that are none of a step with CPUs of its own. */
#define FIRST_SPECIAL_STEP 0xfffffff0u

bool sl_granted(sl_grant *g) {
  *g = (sl_grant){.job = number("SLURM_JOB_ID")};
  if (g->job == 0) return false;
  const char *list = getenv("SLURM_JOB_CPUS_PER_NODE"), *step = getenv("SLURM_STEP_ID");
  if (list != NULL) per_node(list, g);
  if (g->nodes == 0) g->nodes = number("SLURM_JOB_NUM_NODES");
  if (g->nodes == 0) g->nodes = 1;
  g->in_step = step != NULL && strtoul(step, NULL, 10) < FIRST_SPECIAL_STEP;
  return true;
}

static uint64_t room(const sl_grant *g, uint32_t cpus) {
  uint64_t n = 0;
  for (uint32_t i = 0; i < g->n_kinds; i++) n += (uint64_t)g->kinds[i].nodes * (g->kinds[i].cpus / cpus);
  return n;
}

/* The most that each of them can have, all having the same. */
static uint32_t even_share(const sl_grant *g, uint32_t count) {
  uint32_t cpus = g->cpus / count, most = 1; /* no node has more */
  for (uint32_t i = 0; i < g->n_kinds; i++) most = g->kinds[i].cpus > most ? g->kinds[i].cpus : most;
  if (cpus > most) cpus = most;
  while (cpus > 1 && room(g, cpus) < count) cpus--;
  return cpus > 1 ? cpus : 1;
}

int sl_share(const hato_host *h, const sl_grant *g, const sl_settings *set, uint32_t count, uint32_t cores,
             uint32_t *cpus) {
  *cpus = set->cpus != 0 ? set->cpus : cores;
  if (*cpus == 0) *cpus = even_share(g, count);
  if (g->cpus != 0 && (uint64_t)*cpus * count > g->cpus)
    return h->fail(h, HATO_INVALID, "job %u was granted %u CPUs on %u node%s; %u daemons of %u are more than that",
                   g->job, g->cpus, g->nodes, g->nodes == 1 ? "" : "s", count, *cpus);
  return HATO_OK;
}

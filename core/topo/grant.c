/* What a batch system granted to this process on this machine, as its environment says. */
#include "base/io.h"
#include "base/str.h"
#include "topo/internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

const char *topo__getenv(const topo_source *src, const char *name) {
  const char *v = src->getenv ? src->getenv(src->arg, name) : getenv(name);
  return v && *v ? v : NULL;
}

/* The value of a variable that is a positive number, else 0. */
static unsigned number(const topo_source *src, const char *name) {
  const char *v = topo__getenv(src, name);
  uint64_t n;
  return v && hato__parse_u64(v, &n) && n > 0 && n <= INT_MAX ? (unsigned)n : 0;
}

static unsigned say(char *words, size_t n, const char *system, const char *name, unsigned cpus) {
  snprintf(words, n, "%s grants %u CPU%s (%s)", system, cpus, cpus == 1 ? "" : "s", name);
  return cpus;
}

/* SLURM_JOB_CPUS_PER_NODE: "4(x2),3" is 4, 4, 3 for the nodes in order. */
static unsigned slurm_node(const char *list, unsigned node) {
  while (*list) {
    char *end;
    unsigned long cpus = strtoul(list, &end, 10), times = 1;
    if (end == list) return 0;
    if (end[0] == '(' && end[1] == 'x') times = strtoul(end + 2, &end, 10);
    if (*end == ')') end++;
    if (node < times) return cpus <= INT_MAX ? (unsigned)cpus : 0;
    node -= (unsigned)times;
    if (*end != ',') return 0;
    list = end + 1;
  }
  return 0;
}

static unsigned slurm(const topo_source *src, char *words, size_t n) {
  if (!topo__getenv(src, "SLURM_JOB_ID") && !topo__getenv(src, "SLURM_JOBID")) return 0;
  unsigned cpus;
  /* Of a step with several tasks each has its own CPUs, one unless it asked for more. */
  bool step = topo__getenv(src, "SLURM_STEP_ID") != NULL;
  if (step && number(src, "SLURM_STEP_NUM_TASKS") > 1) {
    cpus = number(src, "SLURM_CPUS_PER_TASK");
    return say(words, n, "Slurm", cpus ? "SLURM_CPUS_PER_TASK" : "a task of its step", cpus ? cpus : 1);
  }
  /* Of a step with one task (srun --exact -c 2) the node's count is the job's, which others share. */
  unsigned task = step ? number(src, "SLURM_CPUS_PER_TASK") : 0;
  if (task > 0 && task < number(src, "SLURM_CPUS_ON_NODE"))
    return say(words, n, "Slurm", "SLURM_CPUS_PER_TASK", task);
  if ((cpus = number(src, "SLURM_CPUS_ON_NODE"))) return say(words, n, "Slurm", "SLURM_CPUS_ON_NODE", cpus);
  const char *list = topo__getenv(src, "SLURM_JOB_CPUS_PER_NODE");
  if (list && (cpus = slurm_node(list, number(src, "SLURM_NODEID"))))
    return say(words, n, "Slurm", "SLURM_JOB_CPUS_PER_NODE", cpus);
  if ((cpus = number(src, "SLURM_CPUS_PER_TASK"))) return say(words, n, "Slurm", "SLURM_CPUS_PER_TASK", cpus);
  return 0;
}

/* Host names agree up to the first dot: files name hosts long or short. */
static bool same_host(const char *a, size_t n, const char *b) {
  const char *dot = memchr(a, '.', n);
  size_t la = dot ? (size_t)(dot - a) : n, lb = strcspn(b, ".");
  return la == lb && strncasecmp(a, b, la) == 0;
}

/* Lines of the file that begin with this host: their number, or (column 2) the sum of what they say. */
static unsigned host_lines(const topo_source *src, const char *path, bool column2) {
  char host[256], full[PATH_MAX];
  if (src->hostname)
    snprintf(host, sizeof host, "%s", src->hostname);
  else
    hato__hostname(host, sizeof host);
  if (snprintf(full, sizeof full, "%s%s", src->root ? src->root : "", path) >= (int)sizeof full) return 0;
  hato__buf buf = {0};
  unsigned sum = 0;
  char *text = hato__read_file(full, 16u << 20, &buf, NULL) == HATO_OK ? hato__buf_text(&buf) : NULL;
  char *save = NULL;
  for (char *line = text ? strtok_r(text, "\n", &save) : NULL; line; line = strtok_r(NULL, "\n", &save)) {
    size_t len = strcspn(line, " \t");
    if (!same_host(line, len, host)) continue;
    unsigned long here = column2 ? strtoul(line + len, NULL, 10) : 1;
    if (here <= 1u << 20) sum += (unsigned)here;
  }
  hato__buf_free(&buf);
  return sum;
}

static unsigned pbs(const topo_source *src, char *words, size_t n) {
  if (!topo__getenv(src, "PBS_JOBID")) return 0;
  unsigned cpus;
  /* PBS Pro lists a host once a chunk and says in NCPUS what a chunk has; Torque lists it once a CPU. */
  static const char *const names[] = {"NCPUS", "PBS_NCPUS", "PBS_NUM_PPN"};
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    if ((cpus = number(src, names[i]))) return say(words, n, "PBS", names[i], cpus);
  const char *file = topo__getenv(src, "PBS_NODEFILE");
  if (file && (cpus = host_lines(src, file, false))) return say(words, n, "PBS", "PBS_NODEFILE", cpus);
  return 0;
}

static unsigned grid_engine(const topo_source *src, char *words, size_t n) {
  if (!topo__getenv(src, "JOB_ID") || !topo__getenv(src, "NSLOTS")) return 0;
  const char *file = topo__getenv(src, "PE_HOSTFILE");
  unsigned cpus;
  if (file && (cpus = host_lines(src, file, true))) return say(words, n, "Grid Engine", "PE_HOSTFILE", cpus);
  if ((cpus = number(src, "NSLOTS"))) return say(words, n, "Grid Engine", "NSLOTS", cpus);
  return 0;
}

unsigned topo__grant(const topo_source *src, char *words, size_t n) {
  unsigned cpus = slurm(src, words, n);
  if (!cpus) cpus = pbs(src, words, n);
  if (!cpus) cpus = grid_engine(src, words, n);
  return cpus;
}

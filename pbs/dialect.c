/* Whose qsub, qstat and qdel these are: asked once by their --version, which all answer, if only by refusing. */
#include "pbs.h"

#include <string.h>

const char *pbs_dialect_name(pbs_dialect d) {
  static const char *const names[] = {"?", "PBS Pro", "Torque", "Slurm's imitation of Torque"};
  return names[d];
}

/* Both streams: Torque writes its version on standard error. */
static bool says(const hato_run *r, const char *what) {
  return strcasestr(r->out, what) != NULL || strcasestr(r->err, what) != NULL;
}

int pbs_find_dialect(pbs *p, const hato_host *h, pbs_dialect *out) {
  *out = p->found;
  if (p->found != PBS_AUTO) return HATO_OK;
  hato_run run = {.size = sizeof run, .argv = (const char *const[]){"qstat", "--version", NULL}};
  int rc = pbs_run(h, &run);
  if (rc != HATO_OK) return rc;
  if (says(&run, "pbs_version"))
    *out = PBS_PRO;
  else if (strncmp(run.out, "SGE ", 4) == 0 || strncmp(run.out, "GE ", 3) == 0 || says(&run, "UGE "))
    return h->fail(h, HATO_NOT_SUPPORTED,
                   "qstat here is of Grid Engine (%.20s), not of a PBS; use the launcher 'command'", run.out);
  else if (says(&run, "Unknown option: version")) /* Perl's Getopt::Long, in Slurm's */
    *out = PBS_SLURM;
  else if (says(&run, "version:"))
    *out = PBS_TORQUE;
  else
    return h->fail(h, HATO_NOT_SUPPORTED,
                   "cannot tell whose qstat this is, as `qstat --version` says '%s'; say dialect=pbspro or "
                   "dialect=torque",
                   pbs_words(h, &run));
  p->found = *out;
  h->log(h, HATO_LEVEL_INFO, "qstat is of %s", pbs_dialect_name(*out));
  return HATO_OK;
}

int pbs_dialect_of(pbs *p, const hato_host *h, const hato_launcher_options *o, pbs_dialect *out) {
  *out = (pbs_dialect)h->option_enum(h, o, "dialect");
  return *out == PBS_AUTO ? pbs_find_dialect(p, h, out) : HATO_OK;
}

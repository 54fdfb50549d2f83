/*
 * pbs: daemons as batch jobs of PBS Pro (OpenPBS) or Torque, by qsub, qstat and qdel.
 *
 * A launch is as few job arrays as the server's limit allows, and a plain job for an array of one, which PBS
 * Pro refuses. One qstat an interval asks for all jobs of all launches.
 */
#include "pbs.h"

#include <stdlib.h>

static int probe(const hato_host *h) {
  pbs p = {0};
  pbs_dialect d;
  int rc = pbs_find_dialect(&p, h, &d);
  if (rc != HATO_OK) return rc;
  hato_run run = {.size = sizeof run, .argv = (const char *const[]){"qstat", "-Q", NULL}};
  rc = pbs_run(h, &run);
  if (rc == HATO_OK && run.exit_code != 0)
    rc = h->fail(h, HATO_AGAIN, "%s does not answer: %s", pbs_dialect_name(d), pbs_words(h, &run));
  return rc;
}

static int open_pbs(const hato_host *h, void **state) {
  *state = calloc(1, sizeof(pbs));
  return *state != NULL ? HATO_OK : h->fail(h, HATO_NO_MEMORY, "no memory");
}

static void close_pbs(void *state, const hato_host *h) {
  (void)h;
  free(state);
}

static int plan(void *state, const hato_host *h, const hato_launcher_options *o, hato_launch_plan *pl) {
  pbs_dialect d;
  pbs_record r;
  int rc = pbs_dialect_of(state, h, o, &d);
  if (rc == HATO_OK) rc = pbs_check(h, o, d);
  return rc == HATO_OK && pl->count > 0 ? pbs_divide(h, o, d, pl->count, &r) : rc;
}

static const char *const dialects[] = {"auto", "pbspro", "torque", "slurm", NULL};

static const hato_option_row options[] = {
    {.name = "queue", .type = HATO_OPTION_STRING, .help = "The queue; the server's default unless told."},
    {.name = "account", .type = HATO_OPTION_STRING, .help = "The account to charge (qsub -A)."},
    {.name = "project", .type = HATO_OPTION_STRING, .help = "PBS Pro's project (qsub -P)."},
    {.name = "walltime",
     .type = HATO_OPTION_DURATION,
     .min = 1000,
     .max = -1,
     .help = "How long a daemon may run, as 2:00:00 or 90m; the queue's default unless told."},
    {.name = "ncpus",
     .type = HATO_OPTION_INT,
     .min = 1,
     .max = 1000000,
     .metavar = "N",
     .help = "Cores of each daemon; 1 unless told. The daemon has a slot for each."},
    {.name = "mem",
     .type = HATO_OPTION_SIZE,
     .min = 1,
     .max = -1,
     .help = "Memory of each daemon; the queue's default unless told."},
    {.name = "gpus", .type = HATO_OPTION_INT, .min = 1, .max = 10000, .metavar = "N", .help = "GPUs of each daemon."},
    {.name = "select",
     .type = HATO_OPTION_STRING,
     .metavar = "CHUNKS",
     .help = "PBS Pro's chunk as qsub takes it, in place of ncpus, mem and gpus: 1:ncpus=4:mem=8gb:arch=linux."},
    {.name = "nodes",
     .type = HATO_OPTION_STRING,
     .metavar = "SPEC",
     .help = "The node as Torque takes it, in place of ncpus and gpus: 1:ppn=4:fast."},
    {.name = "place", .type = HATO_OPTION_STRING, .help = "PBS Pro's placement: excl, scatter, …"},
    {.name = "resource",
     .type = HATO_OPTION_LIST,
     .metavar = "NAME=VALUE",
     .help = "A resource as qsub -l takes it; may be repeated."},
    {.name = "directive",
     .type = HATO_OPTION_LIST,
     .metavar = "LINE",
     .help = "A line for the script behind #PBS, verbatim; may be repeated. Options above win over it."},
    {.name = "job-name",
     .type = HATO_OPTION_STRING,
     .metavar = "NAME",
     .help = "What the job's name begins with; the launch's tag follows, by which it is found again."},
    {.name = "log-dir",
     .type = HATO_OPTION_STRING,
     .metavar = "DIR",
     .help = "Where the daemons' logs are written, a folder that the nodes see too; the session's unless told."},
    {.name = "array-size",
     .type = HATO_OPTION_INT,
     .min = 1,
     .max = HATO_LAUNCH_MAX,
     .metavar = "N",
     .help = "The largest job array that the server takes; 10,000 with PBS Pro and 1,000 with Torque unless told. "
             "Larger launches are several arrays."},
    {.name = "dialect",
     .type = HATO_OPTION_ENUM,
     .def = "auto",
     .values = dialects,
     .help = "Whose commands qsub, qstat and qdel are, where they do not tell by themselves; slurm is Slurm's "
             "imitation of Torque's."},
};

const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .name = "pbs",
    .version = "1.0",
    .description = "daemons as batch jobs of PBS Pro, OpenPBS or Torque",
    .flags = HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_CANCELS_MEMBERS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .secret_ways = HATO_SECRET_FILE,
    .member_env = "HATO_PBS_MEMBER",
    .member_first = 0,
    .interval_ms = 30000,
    .probe = probe,
    .open = open_pbs,
    .plan = plan,
    .launch = pbs_launch,
    .poll = pbs_poll,
    .cancel = pbs_cancel,
    .adopt = pbs_adopt,
    .close = close_pbs,
};

/* The options of a launch. */
#include "slurm/internal.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const layouts[] = {"auto", "array", "job", "allocation", NULL};

const hato_option_row sl_options[SL_OPTIONS] = {
    {.name = "partition", .type = HATO_OPTION_STRING, .help = "The partition, or several joined by commas."},
    {.name = "account", .type = HATO_OPTION_STRING, .help = "The account that is charged."},
    {.name = "qos", .type = HATO_OPTION_STRING, .help = "The quality of service."},
    {.name = "time",
     .type = HATO_OPTION_STRING,
     .metavar = "LIMIT",
     .help = "How long each job may run, as Slurm writes it: MINUTES, MINUTES:SECONDS, HOURS:MINUTES:SECONDS, "
             "DAYS-HOURS, DAYS-HOURS:MINUTES or DAYS-HOURS:MINUTES:SECONDS."},
    {.name = "nodes",
     .type = HATO_OPTION_INT,
     .min = 1,
     .max = 100000,
     .help = "One job of so many nodes, in which srun starts the daemons, instead of a job array."},
    {.name = "cpus-per-task",
     .type = HATO_OPTION_INT,
     .min = 1,
     .max = 65535,
     .help = "CPUs of each daemon. One when nothing is said; inside an allocation its even share."},
    {.name = "mem",
     .type = HATO_OPTION_SIZE,
     .min = 1 << 20,
     .max = INT64_MAX,
     .help = "Memory of each job on each of its nodes: 4G, 500M."},
    {.name = "mem-per-cpu",
     .type = HATO_OPTION_SIZE,
     .min = 1 << 20,
     .max = INT64_MAX,
     .help = "Memory of each CPU, instead of mem."},
    {.name = "gres", .type = HATO_OPTION_STRING, .help = "Generic resources of each job on each node: gpu:1."},
    {.name = "constraint", .type = HATO_OPTION_STRING, .help = "Features that nodes must have."},
    {.name = "reservation", .type = HATO_OPTION_STRING, .help = "The reservation to run in."},
    {.name = "dependency", .type = HATO_OPTION_STRING, .help = "Jobs to wait for: afterok:123."},
    {.name = "job-name",
     .type = HATO_OPTION_STRING,
     .help = "The name of the jobs; without it the tag of the launch. The tag is in the jobs' comment always."},
    {.name = "log",
     .type = HATO_OPTION_STRING,
     .metavar = "PATTERN",
     .help = "The file that the daemons write to, in Slurm's pattern (%A the job, %a its task, %t the task of an "
             "srun); without it a file each in the session's log folder."},
    {.name = "directive",
     .type = HATO_OPTION_LIST,
     .metavar = "LINE",
     .help = "A line for the job's script, after #SBATCH: --exclusive. Repeat it for more. Other options of "
             "hato go before it; those by which hato knows its jobs again (--array, --comment, …) are refused. "
             "Daemons that fail are replaced, so their jobs are not requeued unless --requeue is given here."},
    {.name = "srun",
     .type = HATO_OPTION_LIST,
     .metavar = "WORD",
     .help = "A word for the srun that starts daemons in the layouts job and allocation: --mem=0. Repeat it for "
             "more."},
    {.name = "warning",
     .type = HATO_OPTION_DURATION,
     .def = "60s",
     .max = 65535000,
     .help = "So long before a job's time limit its daemons are told to take no more tasks (SIGTERM; Slurm may do "
             "that up to a minute early). By default not when time is less than five minutes; 0: never."},
    {.name = "layout",
     .type = HATO_OPTION_ENUM,
     .def = "auto",
     .values = layouts,
     .help = "array: job arrays, a task a daemon. job: one job of several nodes with srun in it. allocation: srun "
             "on what this dispatcher's own job was granted, where options about getting a job mean nothing and are "
             "left out. auto: allocation inside a job, else job when nodes is given, else array."},
};

/* One to three numbers with ':' between; false: anything else. */
static bool numbers(const char *text, unsigned long long out[3], int *n) {
  for (*n = 0; *n < 3;) {
    char *end;
    if (!isdigit((unsigned char)*text)) return false;
    out[*n] = strtoull(text, &end, 10);
    if (out[(*n)++] > 10000000) return false;
    if (*end == 0) return true;
    if (*end != ':') return false;
    text = end + 1;
  }
  return false;
}

int64_t sl_time_minutes(const char *text) {
  unsigned long long v[3] = {0}, days = 0, seconds;
  const char *dash = strchr(text, '-');
  int n;
  if (strcasecmp(text, "infinite") == 0 || strcasecmp(text, "unlimited") == 0) return 0;
  if (dash != NULL) {
    char *end;
    days = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)*text) || end != dash || days > 100000) return -1;
  }
  if (!numbers(dash != NULL ? dash + 1 : text, v, &n)) return -1;
  if (dash != NULL)
    seconds = ((days * 24 + v[0]) * 60 + v[1]) * 60 + v[2];
  else if (n == 3)
    seconds = (v[0] * 60 + v[1]) * 60 + v[2];
  else
    seconds = v[0] * 60 + v[1];
  return (int64_t)((seconds + 59) / 60);
}

/* Options that hato gives itself, and those after which nothing can be followed. */
static const char *const ours[] = {"-a", "--array",    "--comment",   "--wrap",    "--parsable", "--test-only",
                                   "-W", "--wait",     "-n",          "--ntasks",  "-o",         "--output",
                                   "-J", "--job-name", "--open-mode", "--signal",  "-M",         "--clusters",
                                   "-c", "--cpus-per-task", "-N",     "--nodes",   "--cluster",  NULL};

static bool is_ours(const char *line, char *name, size_t n) {
  size_t len = strcspn(line, "= \t");
  if (line[0] == '-' && line[1] != '-' && len > 2) len = 2; /* -a1-3 */
  (void)snprintf(name, n, "%.*s", (int)len, line);
  for (size_t i = 0; ours[i] != NULL; i++) {
    if (strcmp(ours[i], name) == 0) return true;
  }
  return false;
}

static int check_directives(const hato_host *h, const char *const *lines) {
  for (; *lines != NULL; lines++) {
    char name[40];
    if ((*lines)[0] != '-' || strchr(*lines, '\n') != NULL)
      return h->fail(h, HATO_INVALID,
                     "directive '%s' is no line of options; what stands after #SBATCH was wanted, as --exclusive",
                     *lines);
    if (is_ours(*lines, name, sizeof name))
      return h->fail(h, HATO_INVALID, "directive '%s': %s is hato's own, or has an option of its own", *lines, name);
  }
  return HATO_OK;
}

static int check(const hato_host *h, const sl_settings *s, int layout) {
  if (s->time != NULL && sl_time_minutes(s->time) < 0)
    return h->fail(h, HATO_INVALID, "time '%s' is none of Slurm's; MINUTES, HOURS:MINUTES:SECONDS or "
                                    "DAYS-HOURS:MINUTES:SECONDS was wanted", s->time);
  if (s->mem != 0 && s->mem_per_cpu != 0)
    return h->fail(h, HATO_INVALID, "mem and mem-per-cpu exclude each other");
  if (layout == 1 && s->nodes != 0)
    return h->fail(h, HATO_INVALID, "nodes=%u is for layout=job; with layout=array each daemon is a job of one node",
                   s->nodes);
  return check_directives(h, s->directives);
}

int sl_settings_read(const hato_host *h, const hato_launcher_options *o, sl_settings *out) {
  *out = (sl_settings){.partition = h->option_string(h, o, "partition"),
                       .account = h->option_string(h, o, "account"),
                       .qos = h->option_string(h, o, "qos"),
                       .time = h->option_string(h, o, "time"),
                       .gres = h->option_string(h, o, "gres"),
                       .constraint = h->option_string(h, o, "constraint"),
                       .reservation = h->option_string(h, o, "reservation"),
                       .dependency = h->option_string(h, o, "dependency"),
                       .job_name = h->option_string(h, o, "job-name"),
                       .log = h->option_string(h, o, "log"),
                       .nodes = (uint32_t)h->option_int(h, o, "nodes"),
                       .cpus = (uint32_t)h->option_int(h, o, "cpus-per-task"),
                       .mem = h->option_size(h, o, "mem"),
                       .mem_per_cpu = h->option_size(h, o, "mem-per-cpu"),
                       .warning_ms = h->option_duration(h, o, "warning"),
                       .directives = h->option_list(h, o, "directive"),
                       .srun = h->option_list(h, o, "srun")};
  int layout = h->option_enum(h, o, "layout"), rc = check(h, out, layout);
  if (rc != HATO_OK) return rc;
  sl_grant g;
  bool inside = sl_granted(&g);
  if (layout == 3 && !inside)
    return h->fail(h, HATO_STATE, "layout=allocation: the dispatcher runs in no Slurm job (SLURM_JOB_ID is not set)");
  if (layout == 0) layout = inside ? 3 : out->nodes != 0 ? 2 : 1;
  out->layout = layout == 3 ? SL_ALLOCATION : layout == 2 ? SL_JOB : SL_ARRAY;
  /* A warning would come at once to jobs that are as short as Slurm is early. */
  if (out->time != NULL && sl_time_minutes(out->time) > 0 && sl_time_minutes(out->time) < 5 &&
      !h->option_is_set(h, o, "warning"))
    out->warning_ms = 0;
  return HATO_OK;
}

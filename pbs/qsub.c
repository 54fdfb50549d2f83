/* Typed options as the words of qsub, in each dialect. */
#include "pbs.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

typedef struct words {
  const hato_host *h;
  const char **at;
  uint32_t n, room;
  bool failed;
} words;

static void add(words *w, const char *flag, const char *value) {
  if (w->n + 3 > w->room || value == NULL) {
    w->failed = true;
    return;
  }
  w->at[w->n++] = flag;
  w->at[w->n++] = value;
}

static void add_option(words *w, const hato_launcher_options *o, const char *flag, const char *name) {
  const char *value = w->h->option_string(w->h, o, name);
  if (value != NULL) add(w, flag, value);
}

static uint32_t cores_of(const hato_host *h, const hato_launch_request *r) {
  if (r->cores > 0) return r->cores;
  int64_t n = h->option_int(h, r->options, "ncpus");
  return n > 0 ? (uint32_t)n : 1;
}

/* Megabytes, upwards: Slurm's imitation cannot divide. NULL: none asked for. */
static char *memory(const hato_host *h, const hato_launcher_options *o) {
  uint64_t bytes = h->option_size(h, o, "mem");
  return bytes > 0 ? h->format(h, "%llumb", (unsigned long long)((bytes + 1048575) >> 20)) : NULL;
}

static char *walltime(const hato_host *h, const hato_launcher_options *o) {
  uint64_t s = (h->option_duration(h, o, "walltime") + 999) / 1000;
  return s > 0 ? h->format(h, "walltime=%02llu:%02u:%02u", (unsigned long long)(s / 3600),
                           (unsigned)(s / 60 % 60), (unsigned)(s % 60))
               : NULL;
}

/* What a member is to have: verbatim, or made of ncpus, mem and gpus. */
static char *resources(const hato_host *h, const hato_launch_request *r, pbs_dialect d) {
  const char *select = h->option_string(h, r->options, "select");
  const char *nodes = h->option_string(h, r->options, "nodes");
  const char *mem = memory(h, r->options);
  uint32_t cores = cores_of(h, r);
  int64_t gpus = h->option_int(h, r->options, "gpus");
  if (select != NULL) return h->format(h, "select=%s", select);
  if (nodes != NULL) return h->format(h, "nodes=%s%s%s", nodes, mem ? ",mem=" : "", mem ? mem : "");
  char more[40] = "";
  if (gpus > 0) (void)snprintf(more, sizeof more, d == PBS_PRO ? ":ngpus=%lld" : ":gpus=%lld", (long long)gpus);
  if (d == PBS_PRO)
    return h->format(h, "select=1:ncpus=%u%s%s%s", cores, mem ? ":mem=" : "", mem ? mem : "", more);
  return h->format(h, "nodes=1:ppn=%u%s%s%s", cores, more, mem ? ",mem=" : "", mem ? mem : "");
}

/* Of Slurm's imitation the last -l counts alone. */
static void add_resources(words *w, const hato_launch_request *r, pbs_dialect d) {
  char *all = resources(w->h, r, d);
  const char *const *own = w->h->option_list(w->h, r->options, "resource");
  char *time = walltime(w->h, r->options);
  if (d != PBS_SLURM) {
    add(w, "-l", all);
    if (time != NULL) add(w, "-l", time);
    for (; *own != NULL; own++) add(w, "-l", *own);
    return;
  }
  if (time != NULL && all != NULL) all = w->h->format(w->h, "%s,%s", all, time);
  for (; *own != NULL && all != NULL; own++) all = w->h->format(w->h, "%s,%s", all, *own);
  add(w, "-l", all);
}

const char *const *pbs_qsub(const hato_host *h, const hato_launch_request *r, pbs_dialect d, const char *name,
                            uint32_t members) {
  const hato_launcher_options *o = r->options;
  words w = {.h = h, .room = 40};
  for (const char *const *at = h->option_list(h, o, "resource"); *at != NULL; at++) w.room += 2;
  w.at = h->alloc(h, w.room * sizeof *w.at);
  if (w.at == NULL) return NULL;
  w.at[w.n++] = "qsub";
  add(&w, "-N", name);
  add(&w, "-o", "/dev/null"); /* the script has a log of its own */
  add(&w, "-j", "oe");
  if (d != PBS_SLURM) add(&w, "-S", "/bin/sh");
  add_option(&w, o, "-q", "queue");
  add_option(&w, o, "-A", "account");
  if (d == PBS_PRO) add_option(&w, o, "-P", "project");
  add_resources(&w, r, d);
  if (d == PBS_PRO && h->option_string(h, o, "place") != NULL)
    add(&w, "-l", h->format(h, "place=%s", h->option_string(h, o, "place")));
  if (members > 1) add(&w, d == PBS_PRO ? "-J" : "-t", h->format(h, "0-%u", members - 1));
  return w.failed ? NULL : w.at;
}

/* ---- what rows cannot check ---- */

static const char *both(const hato_host *h, const hato_launcher_options *o, const char *a,
                        const char *const *others) {
  if (!h->option_is_set(h, o, a)) return NULL;
  for (; *others != NULL; others++) {
    if (h->option_is_set(h, o, *others)) return *others;
  }
  return NULL;
}

/* Slurm's qsub hands its words to a shell, unquoted, and takes no notice of resources that it does not know. */
static int check_slurm(const hato_host *h, const hato_launcher_options *o) {
  static const char *const known[] = {"walltime", "mem", "ncpus", "nodes", "nice", "proc", "file",
                                      "cput", "pcput", "mppwidth", "mppdepth", "mppnppn", "mppmem",
                                      "mppnodes", "naccelerators", "accelerator", "h_rt", "h_vmem", NULL};
  static const char *const plain[] = {"queue", "account", "nodes", "job-name", NULL};
  static const char *const safe =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.,:/@%+=^-";
  for (size_t i = 0; plain[i] != NULL; i++) {
    const char *value = h->option_string(h, o, plain[i]);
    if (value != NULL && value[strspn(value, safe)] != 0)
      return h->fail(h, HATO_INVALID, "%s=%s: Slurm's qsub cannot take '%c'", plain[i], value,
                     value[strspn(value, safe)]);
  }
  for (const char *const *at = h->option_list(h, o, "resource"); *at != NULL; at++) {
    size_t n = strcspn(*at, "="), i = 0;
    if ((*at)[strspn(*at, safe)] != 0)
      return h->fail(h, HATO_INVALID, "resource=%s: Slurm's qsub cannot take '%c'", *at,
                     (*at)[strspn(*at, safe)]);
    while (known[i] != NULL && (strlen(known[i]) != n || memcmp(known[i], *at, n) != 0)) i++;
    if (known[i] == NULL)
      return h->fail(h, HATO_INVALID,
                     "resource=%s: qsub here is Slurm's imitation of Torque's, which would ignore it without a "
                     "word; the launcher slurm takes all that Slurm has", *at);
  }
  return HATO_OK;
}

static int check_folder(const hato_host *h, const hato_launcher_options *o) {
  const char *dir = h->option_string(h, o, "log-dir");
  struct stat st;
  if (dir == NULL) return HATO_OK;
  if (*dir != '/') return h->fail(h, HATO_INVALID, "log-dir=%s: an absolute path was wanted", dir);
  if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
    return h->fail(h, HATO_NOT_FOUND, "log-dir=%s: there is no such folder", dir);
  return HATO_OK;
}

int pbs_check(const hato_host *h, const hato_launcher_options *o, pbs_dialect d) {
  static const char *const not_select[] = {"nodes", "ncpus", "mem", "gpus", NULL};
  static const char *const not_nodes[] = {"ncpus", "gpus", NULL};
  static const char *const pro[] = {"select", "place", "project", NULL};
  const char *other;
  if ((other = both(h, o, "select", not_select)) != NULL)
    return h->fail(h, HATO_INVALID, "select= and %s= exclude each other: select says it all", other);
  if ((other = both(h, o, "nodes", not_nodes)) != NULL)
    return h->fail(h, HATO_INVALID, "nodes= and %s= exclude each other: say nodes=1:ppn=…", other);
  for (size_t i = 0; d != PBS_PRO && pro[i] != NULL; i++) {
    if (h->option_is_set(h, o, pro[i]))
      return h->fail(h, HATO_INVALID, "%s= is PBS Pro's, and qsub here is of %s%s", pro[i],
                     pbs_dialect_name(d), i == 0 ? "; say nodes=1:ppn=…, or ncpus= and mem=" : "");
  }
  for (const char *const *at = h->option_list(h, o, "directive"); *at != NULL; at++) {
    if (strpbrk(*at, "\r\n") != NULL) return h->fail(h, HATO_INVALID, "directive=: one line each");
  }
  int rc = check_folder(h, o);
  return rc == HATO_OK && d == PBS_SLURM ? check_slurm(h, o) : rc;
}

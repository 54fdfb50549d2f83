/* Whether Slurm is there and answers, found out so that nothing ends or blocks this process. */
#include "slurm/internal.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PING_MS 5000

uint64_t sl_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* The last line that says something, without the program's name before it. */
static const char *last_line(char *text) {
  const char *best = "it said nothing";
  char *save = NULL;
  for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
    if (*line != 0) best = line;
  }
  return best;
}

/* scontrol prints "fatal" and ends where libslurm would end us. */
int sl_find_slurm(const hato_host *h) {
  const char *const words[] = {"scontrol", "ping", NULL};
  hato_run run = {.size = sizeof run, .argv = words, .timeout_ms = PING_MS};
  int rc = h->run(h, &run);
  if (rc == HATO_NOT_FOUND)
    return h->fail(h, HATO_NOT_FOUND, "there is no Slurm on this machine: no program 'scontrol' in PATH");
  if (rc == HATO_TIMED_OUT)
    return h->fail(h, HATO_AGAIN, "Slurm does not answer: `scontrol ping` took more than %d s, as it does where "
                   "there is no slurm.conf, or no controller at its address", PING_MS / 1000);
  if (rc != HATO_OK) return rc;
  if (strstr(run.err, "fatal") != NULL)
    return h->fail(h, HATO_NOT_SUPPORTED, "Slurm is not configured on this machine: %s", last_line(run.err));
  if (strstr(run.out, " UP") != NULL) return HATO_OK;
  return h->fail(h, HATO_AGAIN, "Slurm's controller does not answer: %s",
                 last_line(run.out_len > 0 ? run.out : run.err));
}

/* Slurm's plugins take what they need from a libslurm that all may see; ours came with a module that is
 * loaded for itself alone. */
static bool show_libslurm(void) {
  Dl_info info;
  return dladdr((void *)(uintptr_t)slurm_init, &info) != 0 && info.dli_fname != NULL &&
         dlopen(info.dli_fname, RTLD_NOW | RTLD_GLOBAL | RTLD_NOLOAD) != NULL;
}

int sl_start_libslurm(const hato_host *h) {
  if (!show_libslurm()) return h->fail(h, HATO_SYSTEM, "libslurm cannot be shown to Slurm's plugins");
  /* Lists of array tasks are cut at 64 letters else. */
  (void)setenv("SLURM_BITSTR_LEN", "0", 0);
  slurm_init(NULL);
  return HATO_OK;
}

int sl_reach(sl_state *s, const hato_host *h) {
  if (s->answering) return HATO_OK;
  for (int i = 0; i < 4; i++) { /* the primary and its backups; one that is not there is an error at once */
    if (slurm_ping(i) == SLURM_SUCCESS) return HATO_OK;
  }
  return h->fail(h, HATO_AGAIN, "Slurm's controller does not answer");
}

int sl_silent(sl_state *s, const hato_host *h, const char *what, int error) {
  s->answering = false;
  return h->fail(h, HATO_AGAIN, "%s: %s", what, slurm_strerror(error));
}

/* SchedulerParameters may say less than MaxArraySize. */
static uint32_t array_limit(const slurm_conf_t *conf) {
  uint32_t max = conf->max_array_sz > 1 ? conf->max_array_sz : 1; /* 0: no arrays at all */
  const char *at = conf->sched_params != NULL ? strstr(conf->sched_params, "max_array_tasks=") : NULL;
  unsigned long told = at != NULL ? strtoul(at + strlen("max_array_tasks="), NULL, 10) : 0;
  return told > 0 && told < max ? (uint32_t)told : max;
}

int sl_limits(sl_state *s, const hato_host *h) {
  if (s->max_array != 0) return HATO_OK;
  int rc = sl_reach(s, h);
  if (rc != HATO_OK) return rc;
  slurm_conf_t *conf = NULL;
  if (slurm_load_ctl_conf(0, &conf) != SLURM_SUCCESS)
    return sl_silent(s, h, "Slurm's limits could not be asked for", errno);
  s->answering = true;
  s->max_array = array_limit(conf);
  s->kill_wait_s = conf->kill_wait;
  (void)snprintf(s->cluster, sizeof s->cluster, "%s", conf->cluster_name != NULL ? conf->cluster_name : "-");
  slurm_free_ctl_conf(conf);
  return HATO_OK;
}

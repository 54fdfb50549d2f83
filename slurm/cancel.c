/* Ending jobs: one message for an array, or for those of its tasks that are named. */
#include "slurm/internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

/* As scancel does: SIGTERM, and what is left after KillWait is killed. */
static int kill_job(sl_state *s, const hato_host *h, const char *name) {
  errno = 0;
  int rc = slurm_kill_job2(name, SIGKILL, 0, NULL);
  int error = rc == SLURM_SUCCESS ? 0 : rc == SLURM_ERROR ? errno : rc;
  if (error == 0 || error == ESLURM_ALREADY_DONE || error == ESLURM_INVALID_JOB_ID) {
    s->answering = true;
    return HATO_OK;
  }
  if (error == ESLURM_USER_ID_MISSING || error == ESLURM_ACCESS_DENIED)
    return h->fail(h, HATO_INVALID, "job %.40s cannot be cancelled: %s", name, slurm_strerror(error));
  return sl_silent(s, h, h->format(h, "job %.40s could not be cancelled", name), error);
}

/* A job whose start failed on its node, when it had been cancelled already, is put into the queue again, and
 * held there for ever; the same of one whose node dies. Not those that are not to be. */
static void do_not_requeue(const char *name) {
  job_desc_msg_t change;
  job_array_resp_msg_t *answer = NULL;
  slurm_init_job_desc_msg(&change);
  change.job_id_str = (char *)(uintptr_t)name;
  change.requeue = 0;
  (void)slurm_update_job2(&change, &answer); /* of what has ended it fails */
  if (answer != NULL) slurm_free_job_array_resp(answer);
}

/* "123_[0,4,7]" of those members that are in the chunk; NULL: none of them. */
static char *name_tasks(const hato_host *h, const sl_chunk *c, const uint32_t *members, uint32_t n) {
  char *text = NULL;
  size_t len = 0;
  uint32_t found = 0;
  FILE *f = open_memstream(&text, &len);
  if (f == NULL) return NULL;
  (void)fprintf(f, "%u", c->job);
  for (uint32_t i = 0; i < n; i++) {
    if (members[i] < c->first || members[i] - c->first >= c->count) continue;
    if (c->count > 1) (void)fprintf(f, "%s%u", found == 0 ? "_[" : ",", members[i] - c->first);
    found++;
  }
  if (found > 0 && c->count > 1) (void)fputc(']', f);
  if (fclose(f) != 0) text = NULL;
  char *copy = text != NULL && found > 0 ? h->format(h, "%s", text) : NULL;
  free(text);
  return copy;
}

int sl_cancel(sl_state *s, const hato_host *h, sl_launch *l, const uint32_t *members, uint32_t n) {
  int rc = HATO_OK;
  if (n > 0 && l->layout != SL_ARRAY)
    return h->fail(h, HATO_NOT_SUPPORTED, "the daemons of launch %s share one srun and end together", l->tag);
  if (n == 0) l->cancelled = true;
  s->asked_at = 0;
  if (l->layout == SL_ALLOCATION) return sl_cancel_srun(s, h, l);
  rc = sl_reach(s, h);
  for (uint32_t i = 0; i < l->n_chunks && rc == HATO_OK; i++) {
    const sl_chunk *c = &l->chunks[i];
    char *name = n > 0 ? name_tasks(h, c, members, n) : h->format(h, "%u", c->job);
    if (name == NULL) continue;
    do_not_requeue(name);
    rc = kill_job(s, h, name);
  }
  return rc;
}

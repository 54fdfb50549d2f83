/* A launch that another process made. */
#include "slurm/internal.h"

#include <string.h>
#include <unistd.h>

/* Layout and jobs as the record has them. HATO_INVALID: it is none of ours. */
static int read_record(const sl_state *s, const hato_host *h, const hato_launch *launch, sl_launch *l) {
  char text[HATO_RECORD_MAX + 1], cluster[64], layout[16];
  unsigned uid;
  int used = 0;
  (void)snprintf(text, sizeof text, "%.*s", (int)launch->record_len, (const char *)launch->record);
  if (sscanf(text, "slurm 1 %u %63s %15s%n", &uid, cluster, layout, &used) != 3)
    return h->fail(h, HATO_INVALID, "the record of launch %s is none of Slurm's launcher", launch->tag);
  l->layout = strcmp(layout, "allocation") == 0 ? SL_ALLOCATION : strcmp(layout, "job") == 0 ? SL_JOB : SL_ARRAY;
  if (uid != (unsigned)getuid())
    return h->fail(h, HATO_INVALID, "launch %s was made by user %u, and this is user %u", launch->tag, uid,
                   (unsigned)getuid());
  if (l->layout != SL_ALLOCATION && strcmp(cluster, s->cluster) != 0)
    return h->fail(h, HATO_INVALID, "launch %s was made on the cluster %s, and this is %s", launch->tag, cluster,
                   s->cluster);
  const char *at = text + used;
  sl_chunk c;
  for (int n; sscanf(at, " %u:%u:%u%n", &c.job, &c.first, &c.count, &n) == 3; at += n) {
    if (c.first >= l->count || c.count == 0 || c.count > l->count - c.first)
      return h->fail(h, HATO_INVALID, "the record of launch %s speaks of members that it has not", launch->tag);
    if (!sl_launch_add_chunk(l, c.job, c.first, c.count))
      return h->fail(h, HATO_NO_MEMORY, "no memory for a job");
  }
  return HATO_OK;
}

static bool over(const sl_launch *l) {
  for (uint32_t i = 0; i < l->count; i++) {
    if (l->members[i].state != HATO_MEMBER_ENDED) return false;
  }
  return true;
}

static int nothing(const hato_host *h, const sl_launch *l) {
  return h->fail(h, HATO_NOT_FOUND, "nothing of launch %s is queued or running", l->tag);
}

static int take_up(sl_state *s, const hato_host *h, const hato_launch *launch, sl_launch *l) {
  bool recorded = launch->record_len > 0;
  int rc = HATO_OK;
  /* By the tag it is not known what it was: an srun on this machine, or jobs. */
  if ((recorded && l->layout == SL_ALLOCATION) || !recorded) {
    if (sl_find_srun(s, l)) {
      l->layout = SL_ALLOCATION;
      return HATO_OK;
    }
    if (recorded) return nothing(h, l);
    if (l->layout == SL_ALLOCATION) l->layout = SL_ARRAY;
  }
  rc = sl_find_jobs(s, h, l); /* with a record, too: it may have been too short for all jobs */
  if (rc != HATO_OK) return rc;
  if (l->n_chunks == 0) return nothing(h, l);
  s->asked_at = 0;
  rc = sl_query(s, h);
  return rc == HATO_OK && over(l) ? nothing(h, l) : rc;
}

int sl_adopt(sl_state *s, const hato_host *h, const hato_launch *launch, hato_launch_record *record) {
  sl_launch *l = sl_launch_find(s, launch->id);
  if (l != NULL) {
    sl_record_write(s, l, record);
    return HATO_OK;
  }
  sl_settings set;
  int rc = sl_settings_read(h, launch->options, &set);
  sl_layout layout = rc == HATO_OK ? set.layout : SL_ARRAY; /* layout=allocation, and we are outside */
  const char *log = h->option_string(h, launch->options, "log");
  l = sl_launch_make(s, launch->id, launch->count, launch->tag, launch->log_dir, log, layout);
  if (l == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for %u members", launch->count);
  rc = launch->record_len > 0 && strstr((const char *)launch->record, " allocation ") != NULL ? HATO_OK
                                                                                               : sl_limits(s, h);
  if (rc == HATO_OK && launch->record_len > 0) rc = read_record(s, h, launch, l);
  if (rc == HATO_OK) rc = take_up(s, h, launch, l);
  if (rc == HATO_OK)
    sl_record_write(s, l, record);
  else
    sl_launch_drop(s, l);
  return rc;
}

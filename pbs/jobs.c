/* Jobs as qstat tells of them, whatever its dialect and format. */
#include "pbs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool pbs_parse_id(const char *id, uint64_t *seq, int64_t *index, const char **suffix) {
  char *end;
  errno = 0;
  if (!isdigit((unsigned char)*id)) return false;
  *seq = strtoull(id, &end, 10);
  *index = PBS_PLAIN;
  if (*end == '[') {
    char *from = end + 1;
    *index = *from == ']' ? PBS_PARENT : strtoll(from, &end, 10);
    if (*from == ']') end = from;
    if (*end != ']' || *index < PBS_PARENT || (*index < 0 && *from != ']')) return false;
    end++;
  }
  if (suffix != NULL) *suffix = end;
  if (errno != 0 || *seq == 0 || (*end != 0 && *end != '.')) return false;
  while (isgraph((unsigned char)*end)) end++; /* of a server's name: a record holds it as one word */
  return *end == 0;
}

/* NULL: no memory (failed), or no id. */
pbs_job *pbs_add_job(const hato_host *h, pbs_jobs *jobs, const char *id) {
  uint64_t seq;
  int64_t index;
  if (!pbs_parse_id(id, &seq, &index, NULL)) return NULL;
  if (jobs->n == jobs->room) {
    size_t room = jobs->room > 0 ? jobs->room * 2 : 64;
    pbs_job *at = h->alloc(h, room * sizeof *at);
    if (at == NULL) {
      jobs->failed = true;
      return NULL;
    }
    if (jobs->n > 0) memcpy(at, jobs->at, jobs->n * sizeof *at);
    jobs->at = at;
    jobs->room = room;
  }
  pbs_job *j = &jobs->at[jobs->n++];
  *j = (pbs_job){.id = id, .seq = seq, .index = index};
  return j;
}

static int64_t number(const char *text) { return strtoll(text, NULL, 10); }

void pbs_attribute(pbs_job *j, const char *name, const char *value) {
  if (strcasecmp(name, "job_state") == 0) j->state = *value;
  if (strcasecmp(name, "Job_Name") == 0) j->name = value;
  if (strcasecmp(name, "Job_Owner") == 0) j->owner = value;
  if (strcasecmp(name, "comment") == 0) j->comment = value;
  if (strcasecmp(name, "Hold_Types") == 0) j->hold = value;
  if (strcasecmp(name, "exec_host") == 0) j->host = value;
  if (strcasecmp(name, "substate") == 0) j->substate = (int)number(value);
  if (strcasecmp(name, "Resource_List.walltime") == 0) j->walltime = value;
  if (strcasecmp(name, "mtime") == 0) j->began = value;
  if (strcasecmp(name, "ctime") == 0) j->ended = value;
  if (strcasecmp(name, "Exit_status") != 0) return;
  j->exit_known = *value != 0;
  j->exit_status = number(value);
}

static int order(const void *a, const void *b) {
  const pbs_job *x = a, *y = b;
  if (x->seq != y->seq) return x->seq < y->seq ? -1 : 1;
  return x->index == y->index ? 0 : x->index < y->index ? -1 : 1;
}

void pbs_sort(pbs_jobs *jobs) {
  if (jobs->n > 1) qsort(jobs->at, jobs->n, sizeof *jobs->at, order);
}

const pbs_job *pbs_find(const pbs_jobs *jobs, uint64_t seq, int64_t index) {
  pbs_job key = {.seq = seq, .index = index};
  return jobs->n > 0 ? bsearch(&key, jobs->at, jobs->n, sizeof key, order) : NULL;
}

bool pbs_is_live(const pbs_job *j) {
  return j->state != 'F' && j->state != 'C' && j->state != 'X' && j->state != 'M';
}

/* The launches that are followed, their logs, and what is told of them. */
#include "slurm/internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

sl_launch *sl_launch_find(const sl_state *s, uint64_t id) {
  sl_launch *l = s->launches;
  while (l != NULL && l->id != id) l = l->next;
  return l;
}

void sl_launch_drop(sl_state *s, sl_launch *l) {
  sl_launch **at = &s->launches;
  while (*at != NULL && *at != l) at = &(*at)->next;
  if (*at != NULL) *at = l->next;
  if (l->pidfd >= 0) {
    (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, l->pidfd, NULL);
    (void)close(l->pidfd);
  }
  free(l->tag);
  free(l->log_dir);
  free(l->log);
  free(l->chunks);
  free(l->members);
  free(l);
}

sl_launch *sl_launch_make(sl_state *s, uint64_t id, uint32_t count, const char *tag, const char *log_dir,
                          const char *log, sl_layout layout) {
  sl_launch *l = calloc(1, sizeof *l);
  if (l == NULL) return NULL;
  *l = (sl_launch){.next = s->launches,
                   .id = id,
                   .count = count,
                   .layout = layout,
                   .tag = strdup(tag),
                   .log_dir = log_dir != NULL ? strdup(log_dir) : NULL,
                   .log = log != NULL ? strdup(log) : NULL,
                   .members = calloc(count, sizeof(sl_member)),
                   .pidfd = -1};
  s->launches = l;
  if (l->tag != NULL && l->members != NULL && (log_dir == NULL || l->log_dir != NULL) &&
      (log == NULL || l->log != NULL))
    return l;
  sl_launch_drop(s, l);
  return NULL;
}

bool sl_launch_add_chunk(sl_launch *l, uint32_t job, uint32_t first, uint32_t count) {
  for (uint32_t i = 0; i < l->n_chunks; i++) {
    if (l->chunks[i].job == job) return true;
  }
  sl_chunk *grown = realloc(l->chunks, (l->n_chunks + 1) * sizeof *grown);
  if (grown == NULL) return false;
  l->chunks = grown;
  l->chunks[l->n_chunks++] = (sl_chunk){job, first, count};
  return true;
}

/* ---- logs ---- */

/* Tasks of an array are numbered from 0 in each: the second array's logs bear its first member's number. */
static void chunk_tag(const sl_launch *l, const sl_chunk *c, char *out, size_t n) {
  if (c->first == 0)
    (void)snprintf(out, n, "%s", l->tag);
  else
    (void)snprintf(out, n, "%s.%u", l->tag, c->first);
}

bool sl_log_path(const sl_launch *l, const sl_chunk *c, uint32_t task, char *out, size_t n) {
  char tag[HATO_TAG_MAX + 16];
  if (l->log_dir == NULL || l->log != NULL) return false;
  if (c != NULL)
    chunk_tag(l, c, tag, sizeof tag);
  else
    (void)snprintf(tag, sizeof tag, "%s", l->tag);
  return snprintf(out, n, "%s/%s.%u.log", l->log_dir, tag, task) < (int)n;
}

bool sl_srun_log_path(const sl_launch *l, char *out, size_t n) {
  return l->log_dir != NULL && snprintf(out, n, "%s/%s.srun.log", l->log_dir, l->tag) < (int)n;
}

/* ---- telling ---- */

void sl_tell(const hato_host *h, sl_launch *l, uint32_t first, uint32_t count, const sl_told *t,
             const char *host, const char *job, const char *log_path) {
  hato_member m = {.size = sizeof m,
                   .first = first,
                   .count = count,
                   .state = (uint32_t)t->state,
                   .flags = t->flags,
                   .exit_code = t->exit_code,
                   .signal = t->signal,
                   .reason = t->reason[0] != 0 ? t->reason : NULL,
                   .host = host,
                   .job = job,
                   .log_path = log_path};
  for (uint32_t i = first; i < first + count; i++) l->members[i].state = (uint8_t)t->state;
  h->member(h, l->id, &m);
}

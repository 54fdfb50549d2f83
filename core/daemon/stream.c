/* Running tasks with input or output in pieces: which slot has them. Made by the
 * first piece or credit of the executor, gone with the task's record. */
#include "daemon/state.h"
#include <stdlib.h>

daemon_stream *daemon_stream_find(daemon_state *d, uint64_t task, uint32_t attempt) {
  daemon_stream *s = NULL;
  if (d->streams) HASH_FIND(hh, d->streams, &task, sizeof task, s);
  return s && s->attempt == attempt ? s : NULL;
}

daemon_stream *daemon_stream_of(daemon_state *d, daemon_slot *slot, uint64_t task, uint32_t attempt) {
  daemon_stream *s = daemon_stream_find(d, task, attempt);
  if (s) return s->slot == slot->index ? s : NULL;
  /* Of tasks that this executor has; another's or an old one's word is dropped. */
  proto_run one = {.first = task, .count = 1, .attempt = attempt};
  bool has = false;
  for (hato__link *l = slot->runs.next; l != &slot->runs && !has; l = l->next) {
    uint64_t first;
    uint32_t count;
    has = daemon_tasks_meet(HATO__ENTRY(l, daemon_tasks, link), &one, &first, &count);
  }
  daemon_stream *old = NULL;
  if (d->streams) HASH_FIND(hh, d->streams, &task, sizeof task, old);
  if (!has || old) return NULL;
  s = calloc(1, sizeof *s);
  if (!s) {
    daemon_no_memory(d);
    return NULL;
  }
  s->task = task;
  s->attempt = attempt;
  s->slot = slot->index;
  HASH_ADD(hh, d->streams, task, sizeof s->task, s);
  return s;
}

void daemon_stream_end(daemon_state *d, daemon_stream *s) {
  HASH_DEL(d->streams, s);
  free(s);
}

void daemon_streams_free(daemon_state *d) {
  daemon_stream *s, *next;
  HASH_ITER(hh, d->streams, s, next) daemon_stream_end(d, s);
}

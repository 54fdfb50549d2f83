/* The launches of `command`, from open to close, and what is told of them. */
#include "command.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

uint64_t hato__command_now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- launches ---- */

command_job *hato__command_find(const command *c, uint64_t id) {
  command_job *j = c->jobs;
  while (j != NULL && j->id != id) j = j->next;
  return j;
}

void hato__command_drop(command *c, command_job *j) {
  command_job **at = &c->jobs;
  while (*at != NULL && *at != j) at = &(*at)->next;
  if (*at != NULL) *at = j->next;
  for (uint32_t i = 0; j->members != NULL && i < j->count; i++) {
    hato__command_hold_close(c, &j->members[i]);
    free(j->members[i].id);
  }
  free(j->whole);
  free(j->tag);
  free(j->log_dir);
  free(j->members);
  free(j);
  hato__command_hold_arm(c);
}

command_job *hato__command_make(command *c, const hato_host *h, uint64_t id, uint32_t count,
                                command_mode mode, const char *tag, const char *log_dir) {
  command_job *j = calloc(1, sizeof *j);
  if (j != NULL) {
    *j = (command_job){.next = c->jobs,
                       .id = id,
                       .count = count,
                       .mode = mode,
                       .tag = strdup(tag),
                       .log_dir = log_dir != NULL ? strdup(log_dir) : NULL,
                       .members = calloc(count, sizeof(command_member))};
    c->jobs = j;
    for (uint32_t i = 0; j->members != NULL && i < count; i++) j->members[i].pidfd = -1;
    if (j->tag != NULL && j->members != NULL && (log_dir == NULL || j->log_dir != NULL)) return j;
    hato__command_drop(c, j);
  }
  (void)h->fail(h, HATO_NO_MEMORY, "no memory for %u members", count);
  return NULL;
}

const char *hato__command_id(const command_job *j, uint32_t i) {
  const char *id = j->whole != NULL ? j->whole : j->members[i].id;
  return id != NULL ? id : "";
}

/* ---- telling ---- */

void hato__command_tell(const hato_host *h, const hato_launcher_options *o, command_job *j, uint32_t first,
                        uint32_t count, hato_member m) {
  bool ended = m.state == HATO_MEMBER_ENDED;
  m.size = sizeof m;
  /* Each that ended has its own log. */
  for (uint32_t i = first; i < first + count; i += m.count) {
    m.first = i;
    m.count = ended ? 1 : count;
    if (ended) {
      m.log_path = hato__command_log(h, o, j, i);
      j->members[i].ended = true;
    }
    h->member(h, j->id, &m);
  }
}

void hato__command_tell_submitted(const hato_host *h, const hato_launcher_options *o, uint32_t flags,
                                  command_job *j) {
  char host[256] = "";
  (void)gethostname(host, sizeof host - 1);
  bool hold = j->mode == COMMAND_HOLD;
  /* Of a daemon its connection will tell that it waits no more; of others nothing would. */
  bool waits = (flags & HATO_LAUNCH_DIAL_IN) != 0 && h->option_bool(h, o, "waits");
  for (uint32_t i = 0; i < j->count; i += j->whole != NULL ? j->count : 1) {
    hato_member m = {.state = hold && !waits ? HATO_MEMBER_RUNNING : HATO_MEMBER_SUBMITTED,
                     .job = hato__command_id(j, i)};
    if (hold) m.job = h->format(h, "%d", (int)strtol(m.job, NULL, 10));
    if (hold && !waits) m.host = host;
    hato__command_tell(h, o, j, i, j->whole != NULL ? j->count : 1, m);
  }
}

/* ---- operations ---- */

int hato__command_poll(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  command *c = state;
  hato__command_hold_due(c);
  for (uint32_t k = 0; k < n; k++) {
    command_job *j = hato__command_find(c, launches[k]->id);
    if (j != NULL && j->mode == COMMAND_HOLD) hato__command_hold_poll(c, h, launches[k], j);
  }
  hato__command_hold_arm(c);
  return hato__command_ask(c, h, launches, n, NULL);
}

void hato__command_forget(void *state, const hato_host *h, const hato_launch *launch) {
  (void)h;
  command_job *j = hato__command_find(state, launch->id);
  if (j == NULL) return;
  hato__command_unkeep(j);
  hato__command_drop(state, j);
}

int hato__command_watch(void *state, const hato_host *h) {
  (void)h;
  return ((command *)state)->epoll;
}

void hato__command_close(void *state, const hato_host *h) {
  command *c = state;
  (void)h;
  while (c->jobs != NULL) hato__command_drop(c, c->jobs);
  if (c->timer >= 0) (void)close(c->timer);
  if (c->epoll >= 0) (void)close(c->epoll);
  free(c);
}

int hato__command_open(const hato_host *h, void **state) {
  command *c = calloc(1, sizeof *c);
  if (c == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  c->epoll = epoll_create1(EPOLL_CLOEXEC);
  c->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN};
  if (c->epoll >= 0 && c->timer >= 0 && epoll_ctl(c->epoll, EPOLL_CTL_ADD, c->timer, &e) == 0) {
    *state = c;
    return HATO_OK;
  }
  int rc = h->fail(h, HATO_SYSTEM, "an epoll and a timer descriptor: %s", strerror(errno));
  hato__command_close(c, h);
  return rc;
}

/* The launcher: its operations and its descriptor. */
#include "slurm/internal.h"

#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define INTERVAL_MS 30000 /* what sites accept of a program that asks again and again */
#define NEWS_MS 25000     /* when an srun has news, jobs are asked for only when they would be soon anyway */

static int probe(const hato_host *h) {
  int rc = sl_find_slurm(h);
  if (rc != HATO_OK) return rc;
  const char *const words[] = {"sbatch", "--version", NULL};
  hato_run run = {.size = sizeof run, .argv = words, .timeout_ms = 5000};
  return h->run(h, &run);
}

static void close_all(void *state, const hato_host *h) {
  (void)h;
  sl_state *s = state;
  while (s->launches != NULL) sl_launch_drop(s, s->launches);
  if (s->epoll >= 0) (void)close(s->epoll);
  if (s->timer >= 0) (void)close(s->timer);
  free(s);
}

static int open_it(const hato_host *h, void **state) {
  int rc = sl_find_slurm(h);
  if (rc == HATO_OK) rc = sl_start_libslurm(h);
  if (rc != HATO_OK) return rc;
  sl_state *s = calloc(1, sizeof *s);
  if (s == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for the launcher");
  s->answering = true;
  s->epoll = epoll_create1(EPOLL_CLOEXEC);
  s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN};
  if (s->epoll < 0 || s->timer < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->timer, &e) < 0) {
    close_all(s, h);
    return h->fail(h, HATO_SYSTEM, "no descriptors for the launcher");
  }
  *state = s;
  return HATO_OK;
}

static int plan(void *state, const hato_host *h, const hato_launcher_options *options, hato_launch_plan *p) {
  (void)state;
  sl_settings set;
  sl_grant g;
  uint32_t cpus;
  int rc = sl_settings_read(h, options, &set);
  if (rc != HATO_OK) return rc;
  if (set.layout == SL_ALLOCATION && sl_granted(&g)) {
    if (p->count == 0) p->count = g.nodes;
    rc = sl_share(h, &g, &set, p->count, 0, &cpus);
  } else if (p->count == 0) {
    p->count = set.layout == SL_JOB ? set.nodes : 1;
  }
  if (set.layout != SL_ARRAY) p->flags &= ~HATO_LAUNCHER_CANCELS_MEMBERS;
  return rc;
}

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  sl_state *s = state;
  sl_settings set;
  if (sl_launch_find(s, r->id) != NULL) return h->fail(h, HATO_EXISTS, "launch %s exists", r->tag);
  int rc = sl_settings_read(h, r->options, &set);
  if (rc != HATO_OK) return rc;
  if (set.layout == SL_JOB && set.nodes == 0) set.nodes = 1;
  return set.layout == SL_ALLOCATION ? sl_run(s, h, r, &set, record) : sl_submit(s, h, r, &set, record);
}

static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  (void)launches, (void)n;
  sl_state *s = state;
  struct epoll_event e;
  uint64_t expired;
  bool news = epoll_wait(s->epoll, &e, 1, 0) > 0;
  if (read(s->timer, &expired, sizeof expired) > 0) news = true;
  for (sl_launch *l = s->launches; l != NULL; l = l->next) {
    if (l->layout == SL_ALLOCATION) sl_follow_srun(s, h, l);
  }
  sl_arm(s);
  if (news && s->asked_at != 0 && sl_now() - s->asked_at < (uint64_t)NEWS_MS * 1000000u) return HATO_OK;
  return sl_query(s, h);
}

static int cancel(void *state, const hato_host *h, const hato_launch *launch, const uint32_t *members, uint32_t n) {
  sl_state *s = state;
  sl_launch *l = sl_launch_find(s, launch->id);
  if (l == NULL) return h->fail(h, HATO_NOT_FOUND, "slurm knows no launch %s", launch->tag);
  for (uint32_t i = 0; i < n; i++) {
    if (members[i] >= l->count)
      return h->fail(h, HATO_INVALID, "launch %s has %u members, not %u", l->tag, l->count, members[i]);
  }
  return sl_cancel(s, h, l, members, n);
}

static int adopt(void *state, const hato_host *h, const hato_launch *launch, hato_launch_record *record) {
  return sl_adopt(state, h, launch, record);
}

static void forget(void *state, const hato_host *h, const hato_launch *launch) {
  (void)h;
  sl_launch *l = sl_launch_find(state, launch->id);
  if (l != NULL) sl_launch_drop(state, l);
}

static int watch(void *state, const hato_host *h) {
  (void)h;
  return ((const sl_state *)state)->epoll;
}

const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .flags = HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_CANCELS_MEMBERS | HATO_LAUNCHER_DEFAULT_COUNT,
    .name = "slurm",
    .version = "1.0",
    .description = "Slurm: job arrays, one job of several nodes, or srun inside an allocation",
    .options = sl_options,
    .option_count = SL_OPTIONS,
    .secret_ways = HATO_SECRET_FILE,
    .member_env = SL_MEMBER_VARIABLE,
    .member_first = 0,
    .interval_ms = INTERVAL_MS,
    .probe = probe,
    .open = open_it,
    .plan = plan,
    .launch = launch,
    .poll = poll_all,
    .cancel = cancel,
    .adopt = adopt,
    .forget = forget,
    .watch = watch,
    .close = close_all,
};

/* An executor's life: started on first use, interrupted, ended, and what becomes
 * of its tasks. */
#include "base/clock.h"
#include "daemon/state.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOT_FD 3             /* the socket in the executor */
#define SLOT_BUFFER (1 << 20) /* of the socket, as far as the system lets us */

static int spawn_attributes(posix_spawnattr_t *attr, posix_spawn_file_actions_t *files, int fd) {
  sigset_t none, all;
  sigemptyset(&none);
  sigfillset(&all);
  posix_spawnattr_setsigmask(attr, &none);
  posix_spawnattr_setsigdefault(attr, &all);
  posix_spawnattr_setpgroup(attr, 0); /* Ctrl-C is the daemon's: executors end when it says so */
  posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
  int e = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);
  if (!e) e = posix_spawn_file_actions_adddup2(files, fd, SLOT_FD);
  if (!e) e = posix_spawn_file_actions_addclosefrom_np(files, SLOT_FD + 1);
  return e;
}

/* Starts the program with its end of the socket; an errno. It inherits the cores
 * of this thread, which takes those of the slot for that moment. */
static int spawn(daemon_state *d, daemon_slot *s, int fd) {
  char limit[32];
  snprintf(limit, sizeof limit, "%llu", (unsigned long long)d->o->nofile_soft);
  char *argv[] = {"hato", "executor", d->o->nofile_soft ? "--nofile" : NULL, limit, NULL};
  posix_spawnattr_t attr;
  posix_spawn_file_actions_t files;
  topo_set mine, old = {0};
  bool bound = topo_slot(d->topo, d->o->bind, s->index, d->n_slots, &mine);
  if (bound) {
    old.set = CPU_ALLOC(mine.size * 8);
    old.size = mine.size;
    bound = old.set && sched_getaffinity(0, old.size, old.set) == 0 &&
            sched_setaffinity(0, mine.size, mine.set) == 0;
    if (!bound) hato__warn(d->log, "BIND-FAILED", "slot %u cannot be bound to its cores", s->index);
  }
  posix_spawnattr_init(&attr);
  posix_spawn_file_actions_init(&files);
  int e = spawn_attributes(&attr, &files, fd);
  if (!e) e = posix_spawn(&s->pid, d->hato_path, &files, &attr, argv, d->env);
  if (e) s->pid = 0;
  posix_spawn_file_actions_destroy(&files);
  posix_spawnattr_destroy(&attr);
  if (bound) (void)sched_setaffinity(0, old.size, old.set);
  topo_set_free(&mine);
  topo_set_free(&old);
  return e;
}

static bool watch(daemon_state *d, int fd, uint64_t tag) {
  struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};
  return epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

bool daemon_slot_start(daemon_state *d, daemon_slot *s) {
  int fds[2] = {-1, -1}, e = 0, size = SLOT_BUFFER;
  if (!s->in && !(s->in = malloc(DAEMON_READ)))
    e = ENOMEM;
  else if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    e = errno;
  for (int i = 0; i < 2 && !e; i++) (void)setsockopt(fds[i], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  if (!e) e = spawn(d, s, fds[1]);
  if (fds[1] >= 0) close(fds[1]);
  if (!e) {
    s->fd = fds[0];
    s->ended = s->armed = s->partial = false;
    s->reported = 0;
    s->pidfd = pidfd_open(s->pid, 0);
    if (s->pidfd < 0 || !watch(d, s->fd, s->index * 2u) || !watch(d, s->pidfd, s->index * 2u + 1)) e = errno;
  } else if (fds[0] >= 0) {
    close(fds[0]);
  }
  if (e)
    daemon_end(d, DAEMON_EXIT_FAILED, HATO_SYSTEM, "%s: cannot start an executor (%s executor): %s", d->node,
               d->hato_path, strerror(e));
  else
    hato__debug(d->log, "EXECUTOR-START", "slot %u: process %d", s->index, (int)s->pid);
  return e == 0;
}

void daemon_slot_kill(daemon_state *d, daemon_slot *s, const char *why) {
  if (s->pid == 0 || s->fault) return;
  s->fault = strdup(why);
  s->kill_at = 0;
  hato__info(d->log, "EXECUTOR-KILL", "slot %u: process %d is ended: %s", s->index, (int)s->pid, why);
  kill(s->pid, SIGKILL); /* not yet reaped: the number is still its own */
}

/* ---- interrupts ---- */

/* What the interrupt of this task says, or 0. */
static uint16_t interrupted(const daemon_slot *s, uint64_t task, uint32_t attempt) {
  for (unsigned i = 0; i < s->n_interrupts; i++) {
    const proto_run *r = &s->interrupts[i];
    if (task >= r->first && task - r->first < r->count && attempt == r->attempt) return r->value;
  }
  return 0;
}

/* Forgets interrupts of tasks that have ended. */
static void prune(daemon_slot *s) {
  unsigned kept = 0;
  for (unsigned i = 0; i < s->n_interrupts; i++) {
    bool meets = false;
    uint64_t first;
    uint32_t count;
    for (hato__link *l = s->runs.next; l != &s->runs && !meets; l = l->next)
      meets = daemon_tasks_meet(HATO__ENTRY(l, daemon_tasks, link), &s->interrupts[i], &first, &count);
    if (meets) s->interrupts[kept++] = s->interrupts[i];
  }
  s->n_interrupts = kept;
}

void daemon_slot_head(daemon_state *d, daemon_slot *s) {
  uint64_t before = s->kill_at;
  s->kill_at = 0;
  prune(s);
  if (s->n_interrupts == 0) return;
  const daemon_tasks *t = HATO__ENTRY(s->runs.next, daemon_tasks, link);
  if (!interrupted(s, t->a.first, t->a.attempt)) return;
  if (before && s->kill_task == t->a.first) {
    s->kill_at = before;
    return;
  }
  s->kill_task = t->a.first;
  /* A command is the executor's to end, unless that is stuck itself. */
  s->kill_at = hato__now() + DAEMON_FUNCTION_GRACE_NS;
  if (t->spec->kind == PROTO_COMMAND) s->kill_at += 2 * DAEMON_EXECUTOR_GRACE_NS;
  if (d->kill_next == 0 || s->kill_at < d->kill_next) d->kill_next = s->kill_at;
  daemon_nudge(d);
}

static void note_interrupt(daemon_state *d, daemon_slot *s, const proto_run *r) {
  if (s->n_interrupts == s->cap_interrupts) {
    unsigned cap = s->cap_interrupts ? 2 * s->cap_interrupts : 4;
    proto_run *grown = realloc(s->interrupts, cap * sizeof *grown);
    if (!grown) {
      daemon_no_memory(d);
      return;
    }
    s->interrupts = grown;
    s->cap_interrupts = cap;
  }
  s->interrupts[s->n_interrupts++] = *r;
}

void daemon_slot_interrupt(daemon_state *d, daemon_slot *s, const proto_run *r) {
  for (hato__link *l = s->runs.next; l != &s->runs; l = l->next) {
    const daemon_tasks *t = HATO__ENTRY(l, daemon_tasks, link);
    proto_run part = *r;
    if (!daemon_tasks_meet(t, r, &part.first, &part.count)) continue;
    if (part.count == 1 && interrupted(s, part.first, part.attempt)) continue;
    note_interrupt(d, s, &part);
    proto_runs_encode(daemon_slot_out(d, s), PROTO_INTERRUPT, &part, 1);
    if (l == s->runs.next && part.first == t->a.first) daemon_slot_head(d, s);
  }
}

void daemon_interrupt_heads(daemon_state *d, int value) {
  for (unsigned i = 0; i < d->n_slots; i++) {
    daemon_slot *s = &d->slots[i];
    if (hato__list_empty(&s->runs)) continue;
    const daemon_tasks *t = HATO__ENTRY(s->runs.next, daemon_tasks, link);
    proto_run r = {.first = t->a.first, .count = 1, .attempt = t->a.attempt, .value = (uint16_t)value};
    daemon_slot_interrupt(d, s, &r);
  }
}

/* ---- the end of an executor ---- */

/* The record of the task that ran, after the end of what it had sent in pieces. */
static void report_dead(daemon_state *d, daemon_slot *s, daemon_tasks *t, const char *how) {
  uint16_t value = interrupted(s, t->a.first, t->a.attempt);
  char words[PROTO_RESULT_WORDS_MAX + 512]; /* cut where it is encoded */
  snprintf(words, sizeof words, "executor on %s %s %s %s", d->node, how,
           t->spec->kind == PROTO_FUNCTION ? "in" : "while it ran", t->spec->name);
  proto_result r = {.task = t->a.first,
                    .attempt = t->a.attempt,
                    .error = value ? value : HATO_RESET,
                    .words = value ? "" : words,
                    .words_len = value ? 0 : (uint32_t)strlen(words)};
  daemon_stream *stream = daemon_stream_find(d, r.task, r.attempt);
  hato__buf record = {0};
  for (uint8_t ch = PROTO_CH_OUT; stream && ch <= PROTO_CH_ERR; ch++) {
    if (stream->passed[ch] == 0) continue;
    r.flags |= ch == PROTO_CH_OUT ? PROTO_RESULT_OUT_MORE : PROTO_RESULT_ERR_MORE;
    *(ch == PROTO_CH_OUT ? &r.out_total : &r.err_total) = stream->passed[ch];
    if (stream->last >> ch & 1) continue;
    proto_piece end = {.task = r.task, .attempt = r.attempt, .channel = ch, .last = true};
    hato__buf_clear(&record);
    proto_piece_encode(&record, &end);
    daemon_piece_up(d, NULL, record.data, record.len);
  }
  hato__buf_clear(&record);
  proto_result_encode(&record, &r);
  if (record.failed)
    daemon_no_memory(d);
  else
    daemon_results_after(d, record.data, (uint32_t)record.len);
  hato__buf_free(&record);
}

static void drop_head(daemon_state *d, daemon_slot *s) {
  daemon_tasks *t = HATO__ENTRY(s->runs.next, daemon_tasks, link);
  daemon_stream *stream = daemon_stream_find(d, t->a.first, t->a.attempt);
  if (stream) daemon_stream_end(d, stream);
  s->outstanding--;
  d->outstanding--;
  if (t->a.count > 1) {
    daemon_tasks_skip(t, 1);
    return;
  }
  hato__list_remove(&t->link);
  daemon_tasks_free(d, t);
}

/* What is left goes to a new executor; what was to be interrupted has ended. */
static void start_again(daemon_state *d, daemon_slot *s) {
  hato__link left;
  hato__list_init(&left);
  for (hato__link *l; (l = hato__list_pop(&s->runs));) {
    daemon_tasks *t = HATO__ENTRY(l, daemon_tasks, link);
    uint16_t value = s->n_interrupts ? interrupted(s, t->a.first, t->a.attempt) : 0;
    if (!value) {
      /* Up to the next one that was interrupted. */
      uint32_t n = 1;
      while (n < t->a.count && (s->n_interrupts == 0 || !interrupted(s, t->a.first + n, t->a.attempt))) n++;
      daemon_tasks *part = n < t->a.count ? daemon_tasks_cut(d, t, n) : t;
      if (!part) return;
      hato__list_push(&left, &part->link);
      if (part != t) hato__list_push_front(&s->runs, &t->link);
      continue;
    }
    daemon_error_results(d, t->a.first, 1, t->a.attempt, value, "");
    hato__list_push_front(&s->runs, &t->link);
    drop_head(d, s);
  }
  s->n_interrupts = 0;
  bool any = !hato__list_empty(&left);
  if (any && !d->ended && !daemon_slot_start(d, s)) any = false;
  for (hato__link *l; (l = hato__list_pop(&left));) {
    daemon_tasks *t = HATO__ENTRY(l, daemon_tasks, link);
    hato__list_push(&s->runs, &t->link);
    if (any && !d->ended) daemon_stage(d, s, t);
  }
}

static void describe(const siginfo_t *info, const daemon_slot *s, char *how, size_t n) {
  if (info->si_code == CLD_EXITED)
    snprintf(how, n, "exited with %d", info->si_status);
  else
    snprintf(how, n, "ended by signal %d (%s)", info->si_status, strsignal(info->si_status));
  if (s->fault) {
    size_t at = strlen(how);
    snprintf(how + at, n - at, " (%s)", s->fault);
  }
}

/* Its descriptors and bytes; under the lock. */
static void clean(daemon_state *d, daemon_slot *s) {
  hato__list_remove(&s->idle); /* no tasks until its last ones are settled */
  daemon_slot_drop(d, s);
  close(s->fd);
  close(s->pidfd);
  s->fd = s->pidfd = -1;
  s->pid = 0;
  s->kill_at = 0;
  free(s->fault);
  s->fault = NULL;
  daemon_specs_forget(d, s->index);
}

void daemon_slot_gone(daemon_state *d, daemon_slot *s) {
  siginfo_t info = {0};
  if (s->pid == 0 || waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0)
    return;
  while (daemon_slot_read(d, s)) {
  } /* the results it had written */
  waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
  char how[512];
  daemon_lock(d);
  describe(&info, s, how, sizeof how);
  bool restart = info.si_code == CLD_EXITED && info.si_status == DAEMON_EXECUTOR_RESTART && !s->fault;
  s->barren = restart && s->reported == 0 ? s->barren + 1 : 0;
  clean(d, s);
  pthread_mutex_unlock(&d->lock);
  daemon_reap_orphans(d, 1000); /* before their task is said to have ended */
  daemon_lock(d);
  if (!restart) hato__notice(d->log, "EXECUTOR-ENDED", "slot %u: executor on %s %s", s->index, d->node, how);
  if (!hato__list_empty(&s->runs) && !(restart && s->barren < DAEMON_BARREN_MAX)) {
    report_dead(d, s, HATO__ENTRY(s->runs.next, daemon_tasks, link), how);
    drop_head(d, s);
  }
  start_again(d, s);
  daemon_slot_ready(d, s);
  daemon_hand_out(d);
  daemon_settle(d);
}

/* Running a command: from its assignment to its record. */
#include "base/clock.h"
#include "executor/state.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFTOVER_NS (2 * HATO__SEC) /* what a command left must have gone when it was killed so long ago */

enum { AT_LINK, AT_CHILDREN, AT_OUT, AT_ERR, AT_IN, AT_COUNT };

bool executor_command_open(executor *x) {
  executor_command *c = &x->command;
  void *shared = mmap(NULL, sizeof *c->report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return false;
  c->report = shared;
  c->out.fd = c->out.child = c->err.fd = c->err.child = x->input.fd = x->input.child = -1;
  c->signals = executor_children_watch();
  return c->signals >= 0;
}

void executor_command_free(executor *x) {
  executor_command *c = &x->command;
  executor_input_close(x);
  executor_output_close(x);
  executor_prepare_end(x);
  hato__buf_free(&c->text);
  hato__buf_free(&c->out.head);
  hato__buf_free(&c->err.head);
  hato__buf_free(&x->input.wait);
  if (c->signals >= 0) close(c->signals);
  if (c->report != NULL) (void)munmap(c->report, sizeof *c->report);
}

/* To the command's group; to itself, when it has left that or has not made it yet. */
static void signal_command(const executor_command *c, int sig) {
  if (kill(-c->pid, sig) < 0) (void)kill(c->pid, sig);
}

void executor_command_interrupt(executor *x) {
  executor_command *c = &x->command;
  if (c->pid == 0 || c->ended || c->kill_at != 0) return;
  signal_command(c, SIGTERM);
  signal_command(c, SIGCONT);
  c->kill_at = hato__now() + EXECUTOR_GRACE_NS;
}

void executor_command_end(executor *x) {
  executor_command *c = &x->command;
  if (c->pid != 0 && !c->ended) {
    signal_command(c, SIGKILL);
    (void)kill(c->pid, SIGKILL);
  }
  (void)executor_children_end(LEFTOVER_NS);
}

static void ended(executor *x, int status) {
  executor_command *c = &x->command;
  c->wall_ns = hato__now() - c->begun;
  c->ended = true;
  c->status = status;
}

/* Children that ended: the command, or orphans of it, which come to us. */
static void reap(executor *x) {
  executor_command *c = &x->command;
  struct signalfd_siginfo info;
  ssize_t n = read(c->signals, &info, sizeof info);
  (void)n; /* what ended is learned by waiting; this only makes it unreadable */
  for (;;) {
    int status = 0;
    struct rusage usage;
    pid_t pid = wait4(-1, &status, WNOHANG, &usage);
    if (pid == c->pid) {
      c->usage = usage;
      ended(x, status);
    } else if (pid == 0) {
      if (c->ended) (void)executor_children_end(LEFTOVER_NS);
      return;
    } else if (pid < 0) {
      if (!c->ended && errno == ECHILD) { /* somebody's handler took it: code of a function */
        executor_refuse(x, HATO_SYSTEM, "its exit status was lost");
        ended(x, 0);
      }
      return;
    }
  }
}

static bool start(executor *x, executor_plan *plan) {
  executor_command *c = &x->command;
  plan->parent = x->pid;
  plan->report = c->report;
  plan->close_all = x->functions;
  (void)sigemptyset(&plan->mask);
  c->begun = hato__now();
  c->pid = executor_spawn_plan(plan);
  if (c->pid < 0) {
    c->pid = 0;
    executor_explain(x, EXECUTOR_STEP_EXEC, errno, plan->argv[0]);
    return false;
  }
  if (x->input.child >= 0) {
    close(x->input.child);
    x->input.child = -1;
  }
  return true;
}

/* SIGKILL when the grace is over; else the time until then, at most `wait`. */
static uint64_t tend_kill(executor *x, uint64_t now, uint64_t wait) {
  executor_command *c = &x->command;
  if (c->kill_at == 0 || c->killed || c->ended) return wait;
  if (now < c->kill_at) return c->kill_at - now < wait ? c->kill_at - now : wait;
  c->killed = true;
  signal_command(c, SIGKILL);
  (void)kill(c->pid, SIGKILL);
  return wait;
}

/* Sends what is due; the time until what waits is due. *blocked: the socket is full. A result waits for
 * others, which spares the daemon a wake-up each, unless the daemon has to assign more by now. */
static uint64_t tend_link(executor *x, uint64_t now, uint64_t wait, bool *blocked) {
  size_t unsent = 0;
  uint64_t oldest = executor_link_waiting(&x->link, &unsent);
  *blocked = false;
  if (unsent == 0) return wait;
  if (oldest != 0 && now < oldest + EXECUTOR_COMMAND_DELAY_NS && !executor_queue_empty(x)) {
    uint64_t due = oldest + EXECUTOR_COMMAND_DELAY_NS - now;
    return due < wait ? due : wait;
  }
  *blocked = executor_link_send(&x->link) > 0;
  return wait;
}

static void await(executor *x, bool blocked, uint64_t wait) {
  executor_command *c = &x->command;
  struct pollfd p[AT_COUNT] = {
      [AT_LINK] = {.fd = x->link.fd, .events = (short)(POLLIN | (blocked ? POLLOUT : 0))},
      [AT_CHILDREN] = {.fd = c->ended ? -1 : c->signals, .events = POLLIN},
      [AT_OUT] = {.fd = executor_output_wants(x, &c->out) ? c->out.fd : -1, .events = POLLIN},
      [AT_ERR] = {.fd = executor_output_wants(x, &c->err) ? c->err.fd : -1, .events = POLLIN},
      [AT_IN] = {.fd = x->input.at < x->input.wait.len ? x->input.fd : -1, .events = POLLOUT},
  };
  struct timespec ts = {.tv_sec = (time_t)(wait / HATO__SEC), .tv_nsec = (long)(wait % HATO__SEC)};
  if (ppoll(p, AT_COUNT, wait == UINT64_MAX ? NULL : &ts, NULL) <= 0) return;
  /* Output before the socket: an INTERRUPT does not overtake what was written before it. */
  if (p[AT_OUT].revents) executor_output_read(x, &c->out);
  if (p[AT_ERR].revents) executor_output_read(x, &c->err);
  if (p[AT_IN].revents) executor_input_write(x);
  if (p[AT_CHILDREN].revents) reap(x);
  if (p[AT_LINK].revents & ~POLLOUT) executor_receive(x, false);
}

static bool drained(executor *x) {
  if (!x->command.ended) return false;
  bool out = executor_output_drain(x, &x->command.out);
  bool err = executor_output_drain(x, &x->command.err);
  return out && err;
}

static void attend(executor *x) {
  while (!x->link.closed) {
    uint64_t now = hato__now(), wait = UINT64_MAX;
    bool blocked;
    if (drained(x)) return;
    wait = tend_kill(x, now, wait);
    wait = tend_link(x, now, wait, &blocked);
    await(x, blocked, wait);
  }
}

static uint64_t microseconds(struct timeval t) { return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_usec; }

static void report(executor *x) {
  executor_command *c = &x->command;
  executor_task *t = &x->task;
  proto_result r = {.task = t->id, .attempt = t->attempt, .error = t->value ? t->value : x->error};
  if (x->error != 0) {
    r.words = x->words;
    r.words_len = (uint32_t)strlen(x->words);
  }
  if (c->ended) {
    executor_output_last(x, &c->out);
    executor_output_last(x, &c->err);
    r.flags = PROTO_RESULT_USAGE;
    r.wall_ns = c->wall_ns;
    r.wait_status = (uint32_t)c->status;
    r.user_us = microseconds(c->usage.ru_utime);
    r.system_us = microseconds(c->usage.ru_stime);
    r.peak_kib = (uint64_t)c->usage.ru_maxrss;
    if (c->out.pieces > 0) r.flags |= PROTO_RESULT_OUT_MORE;
    if (c->err.pieces > 0) r.flags |= PROTO_RESULT_ERR_MORE;
    r.out = c->out.head.data;
    r.out_len = (uint32_t)c->out.head.len;
    r.out_total = c->out.total;
    r.err = c->err.head.data;
    r.err_len = (uint32_t)c->err.head.len;
    r.err_total = c->err.total;
  }
  t->active = false;
  (void)executor_link_result(&x->link, &r, hato__now(), false);
}

/* The child never was the program: no result, but why. */
static void learn(executor *x, const executor_plan *plan) {
  executor_command *c = &x->command;
  const executor_report *r = c->report;
  if (r->step == EXECUTOR_STEP_NONE) {
    if (plan->tries == x->task.spec->tries) x->task.spec->hint = r->tried;
    return;
  }
  if (r->step == EXECUTOR_STEP_EXEC)
    executor_explain_exec(x, plan);
  else
    executor_explain(x, (executor_step)r->step, r->error, plan->cwd ? plan->cwd : ".");
  c->ended = false;
}

void executor_command_run(executor *x) {
  executor_command *c = &x->command;
  executor_plan plan = {.in = -1, .out = -1, .err = -1};
  c->pid = 0;
  c->ended = c->killed = false;
  c->kill_at = 0;
  c->out.head.len = c->err.head.len = 0;
  if (x->calling) executor_children_mask();
  x->calling = false;
  (void)umask((mode_t)(x->task.spec->s.umask & 0777)); /* for the files of output_to too */
  if (executor_prepare(x, &plan) && executor_output_open(x, &plan) && executor_input_open(x, &plan) &&
      start(x, &plan)) {
    attend(x);
    if (!c->ended)
      executor_command_end(x); /* the daemon is gone */
    else
      learn(x, &plan);
  }
  c->pid = 0;
  executor_input_close(x);
  executor_output_close(x);
  if (!x->link.closed) report(x);
  executor_prepare_end(x);
}

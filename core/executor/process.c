#include "executor/process.h"
#include "base/clock.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- starting ---- */

static void __attribute__((noreturn)) give_up(const executor_plan *p, int step, unsigned tried, int error) {
  p->report->step = step;
  p->report->error = error;
  p->report->tried = tried;
  _exit(127);
}

/* As execvp goes on to the next folder of PATH. */
static bool try_next(int e) {
  return e == EACCES || e == ENOENT || e == ENOTDIR || e == ESTALE || e == ENODEV || e == ETIMEDOUT;
}

static void __attribute__((noreturn)) execute(const executor_plan *p) {
  unsigned about = 0;
  int error = ENOENT;
  p->report->tried = p->hint;
  (void)execve(p->tries[p->hint], p->argv, p->env);
  if (!try_next(errno)) give_up(p, EXECUTOR_STEP_EXEC, p->hint, errno);
  for (unsigned i = 0; p->tries[i] != NULL; i++) {
    p->report->tried = i;
    (void)execve(p->tries[i], p->argv, p->env);
    if (!try_next(errno)) give_up(p, EXECUTOR_STEP_EXEC, i, errno);
    /* One that is there and may not be executed says more than those that are not. */
    if (errno == EACCES && error != EACCES) {
      error = EACCES;
      about = i;
    }
  }
  give_up(p, EXECUTOR_STEP_EXEC, about, error);
}

/* Runs in the parent's memory (vfork): system calls only. */
static void __attribute__((noreturn, noinline)) child(const executor_plan *p) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != p->parent) _exit(127); /* it died before the line above */
  (void)setpgid(0, 0);
  if (p->in >= 0 && dup2(p->in, 0) < 0) give_up(p, EXECUTOR_STEP_STDIN, 0, errno);
  if (p->out >= 0 && dup2(p->out, 1) < 0) give_up(p, EXECUTOR_STEP_OUTPUT, 0, errno);
  if (p->err >= 0 && dup2(p->err, 2) < 0) give_up(p, EXECUTOR_STEP_OUTPUT, 0, errno);
  if (p->cwd != NULL && chdir(p->cwd) < 0) give_up(p, EXECUTOR_STEP_CHDIR, 0, errno);
  if (p->close_all) (void)close_range(3, ~0U, 0);
  (void)sigprocmask(SIG_SETMASK, &p->mask, NULL);
  execute(p);
}

pid_t __attribute__((noinline)) executor_spawn_plan(const executor_plan *p) {
  p->report->step = EXECUTOR_STEP_NONE;
  /* The handlers of this process do nothing, so a signal between vfork and exec is harmless and
   * none need be blocked. */
  pid_t pid = vfork();
  if (pid == 0) child(p);
  return pid;
}

/* ---- ending ---- */

static void only_child(sigset_t *set) {
  (void)sigemptyset(set);
  (void)sigaddset(set, SIGCHLD);
}

void executor_children_mask(void) {
  sigset_t set;
  only_child(&set);
  (void)signal(SIGCHLD, SIG_DFL);
  (void)sigprocmask(SIG_SETMASK, &set, NULL);
}

int executor_children_watch(void) {
  sigset_t set;
  only_child(&set);
  executor_children_mask();
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static void kill_one(pid_t pid, pid_t own_group) {
  pid_t group = getpgid(pid);
  if (group > 1 && group != own_group) (void)kill(-group, SIGKILL);
  (void)kill(pid, SIGKILL);
}

/* Kills those that a file /proc/self/task/N/children names. False: there is no such file. */
static bool kill_listed(const char *path, pid_t own_group) {
  FILE *f = fopen(path, "re");
  if (f == NULL) return false;
  int pid;
  while (fscanf(f, "%d", &pid) == 1) kill_one(pid, own_group);
  (void)fclose(f);
  return true;
}

static void each_number(const char *folder, bool (*take)(const char *name, void *arg), void *arg) {
  DIR *d = opendir(folder);
  if (d == NULL) return;
  for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
    if (isdigit((unsigned char)e->d_name[0]) && !take(e->d_name, arg)) break;
  }
  (void)closedir(d);
}

static bool take_thread(const char *name, void *arg) {
  bool *listed = arg;
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/self/task/%.20s/children", name);
  *listed |= kill_listed(path, getpgrp());
  return true;
}

/* For kernels without those files: all processes are asked for their parent. */
static bool take_process(const char *name, void *arg) {
  (void)arg;
  char path[64], line[512];
  (void)snprintf(path, sizeof path, "/proc/%.20s/stat", name);
  FILE *f = fopen(path, "re");
  if (f == NULL) return true;
  size_t n = fread(line, 1, sizeof line - 1, f);
  (void)fclose(f);
  line[n] = 0;
  const char *after = strrchr(line, ')'); /* the name before may hold anything */
  int parent = 0;
  if (after != NULL && sscanf(after, ") %*c %d", &parent) == 1 && parent == getpid())
    kill_one(atoi(name), getpgrp());
  return true;
}

/* A subreaper's descendants become its children as their parents die, so that killing children
 * until there are none ends them all, whatever group or session they made for themselves. */
static void kill_children(void) {
  bool listed = false;
  each_number("/proc/self/task", take_thread, &listed);
  if (!listed) each_number("/proc", take_process, NULL);
}

bool executor_children_end(uint64_t ns) {
  uint64_t until = hato__now() + ns;
  sigset_t set;
  only_child(&set);
  for (;;) {
    pid_t got;
    while ((got = waitpid(-1, NULL, WNOHANG)) > 0) {
    }
    if (got < 0 && errno == ECHILD) return true;
    if (hato__now() >= until) return false;
    kill_children();
    struct timespec tick = {.tv_nsec = 5000000};
    (void)sigtimedwait(&set, NULL, &tick); /* until one is gone */
  }
}

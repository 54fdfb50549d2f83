/* Processes: started without copying a large parent, run to their end, their last words. */
#include "launchers/internal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- starting ---- */

static bool overridden(const char *entry, const char *const *add) {
  size_t n = strcspn(entry, "=");
  for (; add != NULL && *add != NULL; add++) {
    if (strncmp(entry, *add, n) == 0 && (*add)[n] == '=') return true;
  }
  return false;
}

/* Ours, less a credential of ours, and what is to be added. */
static char **environment(launchers__arena *a, const char *const *add) {
  size_t n = 0, extra = 0;
  while (environ != NULL && environ[n] != NULL) n++;
  while (add != NULL && add[extra] != NULL) extra++;
  char **all = launchers__alloc(a, (n + extra + 1) * sizeof *all);
  if (all == NULL) return NULL;
  size_t k = 0;
  for (size_t i = 0; i < n && environ[i] != NULL; i++) {
    if (!overridden(environ[i], add) && strncmp(environ[i], "HATO_CREDENTIAL=", 16) != 0) all[k++] = environ[i];
  }
  for (size_t i = 0; i < extra; i++) all[k++] = (char *)(uintptr_t)add[i]; /* execve writes to none */
  return all;
}

/* Above 2, since a host may run with those closed and 0 to 2 are what a child gets. */
static int high(int fd) {
  if (fd < 0 || fd > 3) return fd;
  int above = fcntl(fd, F_DUPFD_CLOEXEC, 4);
  int saved = errno;
  (void)close(fd);
  errno = saved;
  return above;
}

/* The input whole in a pipe: it fits, so nobody has to write while the child runs. */
static int input_pipe(const void *input, size_t n, hato_error *err) {
  int fds[2];
  if (n > HATO_SECRET_MAX) {
    (void)hato__fail(err, HATO_TOO_LARGE, "%zu bytes of standard input, at most %d", n, HATO_SECRET_MAX);
    return -1;
  }
  if (pipe2(fds, O_CLOEXEC) < 0) {
    (void)hato__fail_errno(err, "a pipe for standard input");
    return -1;
  }
  int rc = hato__write_all(fds[1], input, n);
  (void)close(fds[1]);
  int fd = rc == 0 ? high(fds[0]) : -1;
  if (rc != 0) (void)close(fds[0]);
  if (fd < 0) (void)hato__fail_errno(err, "a pipe for standard input");
  return fd;
}

typedef struct child_files {
  int in, out; /* opened here; -1: none */
} child_files;

static hato_status open_files(const launchers__process *p, child_files *f, hato_error *err) {
  *f = (child_files){-1, -1};
  if (p->in < 0 && p->input != NULL) {
    f->in = input_pipe(p->input, p->input_len, err);
    if (f->in < 0) return err != NULL ? err->status : HATO_SYSTEM;
  }
  if (p->out >= 0) return HATO_OK;
  const char *path = p->log_path != NULL ? p->log_path : "/dev/null";
  f->out = high(open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600));
  return f->out >= 0 ? HATO_OK : hato__fail_errno(err, "the log %s", path);
}

static int file_actions(const launchers__process *p, const child_files *f, posix_spawn_file_actions_t *fa) {
  int in = p->in >= 0 ? p->in : f->in;
  int out = p->out >= 0 ? p->out : f->out;
  int errfd = p->err >= 0 ? p->err : out;
  int e = in >= 0 ? posix_spawn_file_actions_adddup2(fa, in, 0)
                  : posix_spawn_file_actions_addopen(fa, 0, "/dev/null", O_RDONLY, 0);
  if (e == 0) e = posix_spawn_file_actions_adddup2(fa, out, 1);
  if (e == 0) e = posix_spawn_file_actions_adddup2(fa, errfd, 2);
  if (e == 0 && p->fd3 >= 0) e = posix_spawn_file_actions_adddup2(fa, p->fd3, 3);
  if (e == 0) e = posix_spawn_file_actions_addclosefrom_np(fa, p->fd3 >= 0 ? 4 : 3);
  if (e == 0 && p->cwd != NULL) e = posix_spawn_file_actions_addchdir_np(fa, p->cwd);
  return e;
}

/* posix_spawn shares the parent's memory until exec, so that its size does not matter. */
static int spawn_with(const launchers__process *p, const child_files *f, char **env, pid_t *pid) {
  posix_spawn_file_actions_t fa;
  posix_spawnattr_t attr;
  int e = posix_spawn_file_actions_init(&fa);
  if (e != 0) return e;
  e = posix_spawnattr_init(&attr);
  if (e == 0) {
    sigset_t all, none;
    (void)sigfillset(&all);
    (void)sigemptyset(&none);
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    int group = p->session ? POSIX_SPAWN_SETSID : POSIX_SPAWN_SETPGROUP;
    e = posix_spawnattr_setflags(&attr, (short)(POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | group));
    if (e == 0) e = file_actions(p, f, &fa);
    if (e == 0) e = posix_spawnp(pid, p->argv[0], &fa, &attr, (char *const *)(uintptr_t)p->argv, env);
    (void)posix_spawnattr_destroy(&attr);
  }
  (void)posix_spawn_file_actions_destroy(&fa);
  return e;
}

/* Which of its parts an errno of posix_spawn is about, it does not say. */
static hato_status explain(const launchers__process *p, int e, hato_error *err) {
  errno = e;
  if (p->cwd != NULL && access(p->cwd, X_OK) < 0) return hato__fail_errno(err, "the folder %s", p->cwd);
  errno = e;
  if (e == ENOENT && strchr(p->argv[0], '/') == NULL)
    return hato__fail(err, HATO_NOT_FOUND, "there is no program '%s' in PATH", p->argv[0]);
  return hato__fail_errno(err, "cannot execute %s", p->argv[0]);
}

/* A process that cannot be held cannot be followed. That there is none is no failure: the host
 * program reaped it in between. */
static hato_status hold(pid_t pid, int *pidfd, const char *program, hato_error *err) {
  *pidfd = pidfd_open(pid, 0);
  if (*pidfd >= 0 || errno == ESRCH) return HATO_OK;
  hato_status rc = hato__fail_errno(err, "a descriptor of the process of %s", program);
  (void)kill(pid, SIGKILL);
  while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
  }
  return rc;
}

hato_status launchers__spawn(const launchers__process *p, pid_t *pid, int *pidfd, hato_error *err) {
  *pid = -1;
  *pidfd = -1;
  if (p->argv == NULL || p->argv[0] == NULL || p->argv[0][0] == 0)
    return hato__fail(err, HATO_INVALID, "no program to start: argv is empty");
  launchers__arena mem = {0};
  child_files f;
  hato_error local;
  hato_status rc = open_files(p, &f, err != NULL ? err : &local);
  char **env = rc == HATO_OK ? environment(&mem, p->env) : NULL;
  if (rc == HATO_OK && env == NULL) rc = hato__fail(err, HATO_NO_MEMORY, "no memory to start %s", p->argv[0]);
  if (rc == HATO_OK) {
    int e = spawn_with(p, &f, env, pid);
    rc = e != 0 ? explain(p, e, err) : hold(*pid, pidfd, p->argv[0], err);
  }
  if (f.in >= 0) (void)close(f.in);
  if (f.out >= 0) (void)close(f.out);
  launchers__arena_free(&mem);
  return rc;
}

bool launchers__reap(int pidfd, int *exit_code, int *sig) {
  siginfo_t si = {0};
  *exit_code = -1;
  *sig = 0;
  if (pidfd < 0 || waitid(P_PIDFD, (id_t)pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0) return false;
  if (si.si_code == CLD_EXITED)
    *exit_code = si.si_status;
  else
    *sig = si.si_status;
  return true;
}

/* ---- a command to its end ---- */

typedef struct stream {
  int fd;
  hato__buf text;
  size_t max;
} stream;

/* Takes what there is. Of more than max bytes the last stay. */
static void drain(stream *s) {
  char piece[16384];
  while (s->fd >= 0) {
    ssize_t n = read(s->fd, piece, sizeof piece);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) break;
    if (n <= 0) {
      (void)close(s->fd);
      s->fd = -1;
      break;
    }
    hato__buf_append(&s->text, piece, (size_t)n);
    if (s->text.len > 2 * s->max) hato__buf_consume(&s->text, s->text.len - s->max);
  }
}

static void feed(int *fd, const hato_run *run, size_t *sent) {
  while (*fd >= 0) {
    /* A reader that is gone is no failure: EPIPE, and threads of hato have SIGPIPE blocked. */
    ssize_t n = *sent < run->input_len ? write(*fd, (const char *)run->input + *sent, run->input_len - *sent)
                                       : -1;
    if (n > 0)
      *sent += (size_t)n;
    else if (*sent < run->input_len && errno == EINTR)
      continue;
    else if (*sent < run->input_len && errno == EAGAIN)
      break;
    else {
      (void)close(*fd);
      *fd = -1;
    }
  }
}

typedef struct running {
  pid_t pid;
  int pidfd, in;
  size_t sent;
  stream out, err;
} running;

static void run_close(running *r) {
  int fds[] = {r->pidfd, r->in, r->out.fd, r->err.fd};
  for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
    if (fds[i] >= 0) (void)close(fds[i]);
  }
  hato__buf_free(&r->out.text);
  hato__buf_free(&r->err.text);
}

static bool make_pipe(int *parent, int *child, bool child_reads) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return false;
  *parent = high(fds[child_reads ? 1 : 0]);
  *child = high(fds[child_reads ? 0 : 1]);
  return *parent >= 0 && *child >= 0 && fcntl(*parent, F_SETFL, O_NONBLOCK) == 0;
}

static hato_status run_start(const hato_run *run, running *r, hato_error *err) {
  launchers__process p = {.argv = run->argv, .env = run->env, .cwd = run->cwd, LAUNCHERS__NO_FDS};
  size_t max = run->output_max != 0 ? run->output_max : 16u << 20;
  *r = (running){
      .pid = -1, .pidfd = -1, .in = -1, .out = {.fd = -1, .max = max}, .err = {.fd = -1, .max = max}};
  hato_status rc = HATO_OK;
  if (!make_pipe(&r->out.fd, &p.out, false) || !make_pipe(&r->err.fd, &p.err, false) ||
      (run->input != NULL && !make_pipe(&r->in, &p.in, true)))
    rc = hato__fail_errno(err, "pipes for %s",
                          run->argv != NULL && run->argv[0] != NULL ? run->argv[0] : "a command");
  if (rc == HATO_OK) rc = launchers__spawn(&p, &r->pid, &r->pidfd, err);
  int fds[] = {p.in, p.out, p.err};
  for (size_t i = 0; i < 3; i++) {
    if (fds[i] >= 0) (void)close(fds[i]);
  }
  return rc;
}

/* What a command may still take when its result is not wanted any more. A submission that is killed in its middle may
 * have been taken, and says no id to cancel; and what a launch undoes it undoes by commands. */
#define UNWANTED_MS 2000 /* less than an operation has for giving up, see line.c */

/* Until it ended, or time is over. What a grandchild keeps open is not waited for. */
static hato_status run_follow(launchers__runner *host, const hato_run *run, running *r, hato_error *err) {
  uint64_t until = run->timeout_ms != 0 ? hato__now() + run->timeout_ms * HATO__MS : host->deadline;
  if (until > host->deadline) until = host->deadline;
  bool unwanted = false;
  for (;;) {
    feed(&r->in, run, &r->sent);
    drain(&r->out);
    drain(&r->err);
    if (r->pidfd < 0 && r->out.fd < 0 && r->err.fd < 0) return HATO_OK;
    uint64_t now = hato__now();
    if (!unwanted && host->sink.abort(host->sink.arg)) {
      unwanted = true;
      if (until > now + UNWANTED_MS * HATO__MS) until = now + UNWANTED_MS * HATO__MS;
    }
    if (now >= until) {
      (void)kill(-r->pid, SIGKILL);
      if (!unwanted) return hato__fail(err, HATO_TIMED_OUT, "%s did not end in time and was killed", run->argv[0]);
      return hato__fail(err, HATO_INTERRUPTED, "%s was killed, as its result is not wanted any more", run->argv[0]);
    }
    struct pollfd fds[] = {{.fd = r->pidfd, .events = POLLIN},
                           {.fd = r->out.fd, .events = POLLIN},
                           {.fd = r->err.fd, .events = POLLIN},
                           {.fd = r->in, .events = POLLOUT}};
    uint64_t left = (until - now) / HATO__MS + 1;
    (void)poll(fds, 4, left < 100 ? (int)left : 100); /* to ask whether to abort */
    if (r->pidfd >= 0 && fds[0].revents != 0) {
      drain(&r->out);
      drain(&r->err);
      return HATO_OK;
    }
  }
}

static hato_status run_result(launchers__runner *host, hato_run *run, running *r, hato_error *err) {
  stream *both[] = {&r->out, &r->err};
  char *texts[2];
  for (int i = 0; i < 2; i++) {
    hato__buf *t = &both[i]->text;
    if (t->len > both[i]->max) hato__buf_consume(t, t->len - both[i]->max);
    if (i == 0)
      run->out_len = t->len;
    else
      run->err_len = t->len;
    texts[i] = launchers__take(&host->scratch, t);
  }
  if (texts[0] == NULL || texts[1] == NULL) {
    run->out_len = run->err_len = 0;
    return hato__fail(err, HATO_NO_MEMORY, "no memory for the output of %s", run->argv[0]);
  }
  run->out = texts[0];
  run->err = texts[1];
  return HATO_OK;
}

hato_status launchers__run(launchers__runner *host, hato_run *run, hato_error *err) {
  running r;
  char *nothing = launchers__dup(&host->scratch, "", 0);
  if (nothing == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory to run a command");
  run->exit_code = -1;
  run->signal = 0;
  run->out = run->err = nothing;
  run->out_len = run->err_len = 0;
  hato_status rc = run_start(run, &r, err);
  if (rc == HATO_OK) {
    rc = run_follow(host, run, &r, err);
    siginfo_t si = {0};
    if (r.pidfd >= 0 && waitid(P_PIDFD, (id_t)r.pidfd, &si, WEXITED) == 0) {
      if (si.si_code == CLD_EXITED)
        run->exit_code = si.si_status;
      else
        run->signal = si.si_status;
    }
    hato_status kept = run_result(host, run, &r, rc == HATO_OK ? err : NULL);
    if (rc == HATO_OK) rc = kept;
  }
  run_close(&r);
  return rc;
}

/* ---- last lines ---- */

char *launchers__tail(launchers__arena *a, const char *path) {
  enum { BYTES = 4096, LINES = 10 };
  char text[BYTES];
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  ssize_t n = -1;
  if (fd >= 0) {
    off_t size = lseek(fd, 0, SEEK_END);
    n = pread(fd, text, sizeof text, size > BYTES ? size - BYTES : 0);
    (void)close(fd);
  }
  if (n <= 0) return launchers__dup(a, "", 0);
  while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == 0)) n--;
  ssize_t from = n;
  for (int lines = 0; from > 0; from--) {
    if (text[from - 1] == '\n' && ++lines == LINES) break;
  }
  char *copy = launchers__dup(a, text + from, (size_t)(n - from));
  for (char *c = copy; c != NULL && c < copy + (n - from); c++) {
    if (*c == 0) *c = ' ';
  }
  return copy;
}

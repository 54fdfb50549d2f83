/* Submit commands that live as long as their daemon: processes of ours, watched as `local` does. Known again
 * by pid and start time, which no other process of this boot has. */
#include "command.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_NS 50000000u

/* ---- processes ---- */

void hato__command_hold_close(command *c, command_member *m) {
  if (m->pidfd < 0) return;
  (void)epoll_ctl(c->epoll, EPOLL_CTL_DEL, m->pidfd, NULL);
  (void)close(m->pidfd);
  m->pidfd = -1;
}

static bool watch(command *c, const command_member *m) {
  struct epoll_event e = {.events = EPOLLIN};
  return m->pidfd < 0 || epoll_ctl(c->epoll, EPOLL_CTL_ADD, m->pidfd, &e) == 0;
}

/* What /proc/PID/stat has from its third field on, the state; "": there is no such process. */
static const char *stat_of(long pid, char text[1024]) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%ld/stat", pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, 1023) : -1;
  if (fd >= 0) (void)close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *at = strrchr(text, ')'); /* the second may have blanks */
  return at != NULL && at[1] == ' ' ? at + 2 : "";
}

/* The 22nd field; 0: there is no such process. */
static uint64_t started(pid_t pid) {
  char text[1024];
  const char *at = stat_of(pid, text);
  for (int field = 3; at != NULL && field < 22; field++)
    at = strchr(at, ' ') != NULL ? strchr(at, ' ') + 1 : NULL;
  return at != NULL ? strtoull(at, NULL, 10) : 0;
}

/* True while something of the group runs; the dead that nobody has reaped yet count for a signal, not here.
 */
static bool group_runs(pid_t group) {
  if (kill(-group, 0) < 0) return false;
  DIR *d = opendir("/proc");
  bool runs = d == NULL;
  for (const struct dirent *e; !runs && d != NULL && (e = readdir(d)) != NULL;) {
    char text[1024], state;
    int parent, number;
    if (*e->d_name < '1' || *e->d_name > '9') continue;
    runs = sscanf(stat_of(strtol(e->d_name, NULL, 10), text), "%c %d %d", &state, &parent, &number) == 3 &&
           number == group && state != 'Z' && state != 'X';
  }
  if (d != NULL) (void)closedir(d);
  return runs;
}

int hato__command_hold(command *c, const hato_host *h, const hato_launch_request *r, command_job *j,
                       uint32_t i, const char *line) {
  uint32_t n = 0;
  while (r->env[n] != NULL) n++;
  const char **env = h->alloc(h, (n + 3) * sizeof *env);
  if (env == NULL) return HATO_NO_MEMORY;
  memcpy(env, r->env, n * sizeof *env);
  env[n] = h->format(h, COMMAND_MEMBER_ENV "=%u", i);
  env[n + 1] = h->format(h, "HATO_LAUNCH_TAG=%s", r->tag);
  if (env[n] == NULL || env[n + 1] == NULL) return HATO_NO_MEMORY;
  hato_spawn s = {.size = sizeof s,
                  .argv = (const char *const[]){"sh", "-c", line, NULL},
                  .env = env,
                  .log_path = hato__command_log(h, r->options, j, i)};
  if (r->secret_way == HATO_SECRET_STDIN) {
    s.input = r->secret;
    s.input_len = r->secret_len;
  }
  int rc = h->spawn(h, &s);
  if (rc != HATO_OK) return rc;
  command_member *m = &j->members[i];
  m->pid = s.pid;
  m->pidfd = s.pidfd;
  m->started = started(s.pid);
  if (asprintf(&m->id, "%d:%llu", (int)m->pid, (unsigned long long)m->started) < 0) {
    m->id = NULL;
    return HATO_NO_MEMORY;
  }
  return watch(c, m) ? HATO_OK : h->fail(h, HATO_SYSTEM, "cannot watch process %d", (int)s.pid);
}

bool hato__command_hold_adopt(command *c, command_member *m, const char *id) {
  char *end;
  errno = 0;
  long pid = strtol(id, &end, 10);
  if (errno != 0 || *end != ':' || pid <= 0 || pid > INT32_MAX) return false;
  m->started = strtoull(end + 1, NULL, 10);
  m->pidfd = m->started != 0 ? pidfd_open((pid_t)pid, 0) : -1;
  m->pid = (pid_t)pid;
  if (m->pidfd >= 0 && started(m->pid) == m->started && watch(c, m)) return true;
  hato__command_hold_close(c, m);
  m->pid = 0;
  return false;
}

/* ---- signals ---- */

/* Each is the leader of a session and group, where all that its line started is. A group that outlives its
 * leader keeps the number. */
static void send_signal(const command_member *m, int sig) {
  bool there = m->pidfd >= 0 && pidfd_send_signal(m->pidfd, 0, NULL, 0) == 0;
  if (m->pid <= 0 || (!there && !m->reaped)) return;
  if (kill(-m->pid, sig) < 0 && there) (void)pidfd_send_signal(m->pidfd, sig, NULL, 0);
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

/* When a member has to be looked at; 0: its pidfd tells. One that others reaped before it had a pidfd is due
 * at once; a group that is waited for, every now and then. */
static uint64_t due(const command_member *m, uint64_t now) {
  if (m->pid <= 0) return 0;
  if (m->pidfd < 0 && !m->reaped) return 1;
  return earlier(m->killed ? 0 : m->kill_at, m->reaped ? now + LOOK_NS : 0);
}

void hato__command_hold_arm(command *c) {
  uint64_t first = 0, now = hato__command_now();
  for (const command_job *j = c->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; j->mode == COMMAND_HOLD && i < j->count; i++)
      first = earlier(first, due(&j->members[i], now));
  }
  struct itimerspec t = {
      .it_value = {.tv_sec = (time_t)(first / 1000000000u), .tv_nsec = (long)(first % 1000000000u)}};
  (void)timerfd_settime(c->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

void hato__command_hold_due(command *c) {
  uint64_t expired, now = hato__command_now();
  if (read(c->timer, &expired, sizeof expired) < 0) return; /* not due */
  for (command_job *j = c->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; j->mode == COMMAND_HOLD && i < j->count; i++) {
      command_member *m = &j->members[i];
      if (m->pid <= 0 || m->kill_at == 0 || m->kill_at > now || m->killed) continue;
      send_signal(m, SIGKILL);
      m->killed = true;
    }
  }
}

void hato__command_hold_cancel(command *c, const hato_host *h, const hato_launch *l, command_job *j,
                               uint32_t i) {
  command_member *m = &j->members[i];
  (void)c;
  if (m->pid <= 0 || m->cancelled) return;
  m->cancelled = true;
  m->kill_at = hato__command_now() + h->option_duration(h, l->options, "grace") * 1000000u;
  send_signal(m, SIGTERM);
}

void hato__command_hold_kill(command *c, command_job *j) {
  for (uint32_t i = 0; i < j->count; i++) {
    command_member *m = &j->members[i];
    siginfo_t si;
    send_signal(m, SIGKILL);
    if (m->pidfd >= 0) (void)waitid(P_PIDFD, (id_t)m->pidfd, &si, WEXITED);
    hato__command_hold_close(c, m);
    m->pid = 0;
  }
}

/* ---- ends ---- */

static void reap(command *c, command_member *m) {
  siginfo_t si = {0};
  if (waitid(P_PIDFD, (id_t)m->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid != 0) {
    m->exit_known = true;
    m->exit_code = si.si_code == CLD_EXITED ? si.si_status : -1;
    m->signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
  }
  hato__command_hold_close(c, m);
  m->reaped = true;
}

static void tell_ended(const hato_host *h, const hato_launch *l, command_job *j, uint32_t i) {
  command_member *m = &j->members[i];
  hato_member out = {.state = HATO_MEMBER_ENDED,
                     .flags = m->exit_known ? HATO_MEMBER_EXIT_KNOWN : 0,
                     .exit_code = m->exit_code,
                     .signal = m->signal};
  if (m->cancelled) out.flags |= HATO_MEMBER_CANCELLED;
  if (m->killed)
    out.reason = "killed, as it did not end when asked to";
  else if (m->cancelled)
    out.reason = "cancelled";
  else if (!m->exit_known)
    out.reason = "submit ended; its exit code went to another part of the program, or it was adopted";
  else if (out.signal != 0)
    out.reason = h->format(h, "submit was killed by signal %d (%s)", out.signal, strsignal(out.signal));
  else
    out.reason = h->format(h, "submit exited with %d", out.exit_code);
  m->pid = 0;
  hato__command_tell(h, l->options, j, i, 1, out);
}

void hato__command_hold_poll(command *c, const hato_host *h, const hato_launch *l, command_job *j) {
  for (uint32_t i = 0; i < j->count; i++) {
    command_member *m = &j->members[i];
    if (m->ended) continue;
    struct pollfd p = {.fd = m->pidfd, .events = POLLIN};
    if (m->pidfd >= 0 && poll(&p, 1, 0) > 0) reap(c, m);
    if (m->pidfd >= 0) continue;
    /* The shell dies of SIGTERM at once; a command that it waited for may take its time to end its daemon. */
    if (m->cancelled && m->reaped && group_runs(m->pid)) continue;
    tell_ended(h, l, j, i);
  }
}

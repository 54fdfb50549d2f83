/*
 * local: daemons as processes of this machine, each in a session of its own.
 *
 * Their ends are seen through pidfds, so that nothing is polled for. They are children of
 * the dispatcher's process, which may be an R or Python session that reaps children itself:
 * then only the exit code is lost. A daemon is found again, after a dispatcher was killed,
 * by the tag in its environment.
 */
#include <hato/launcher.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/types.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TAG_VARIABLE "HATO_LAUNCH_TAG"
#define MEMBER_VARIABLE "HATO_MEMBER"

typedef struct member {
  pid_t pid;          /* 0: it has ended, and that was reported */
  int pidfd;          /* -1: it has ended */
  uint64_t killed_at; /* ns of the monotonic clock when SIGKILL is due; 0: not asked to end */
  bool cancelled, killed;
} member;

typedef struct job {
  struct job *next;
  uint64_t id;
  uint32_t count;
  bool group; /* no daemon of hato, which would end its own children: signals go to the group */
  char *tag, *log_dir;
  member *members;
} job;

typedef struct local {
  int epoll, timer;
  job *jobs;
} local;

static uint64_t now(void) {
  struct timespec t;
  (void)clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- jobs ---- */

/* The timer goes off when the next member is due. */
static void arm(local *l);

static job *find(local *l, uint64_t id) {
  job *j = l->jobs;
  while (j != NULL && j->id != id) j = j->next;
  return j;
}

static void close_pidfd(local *l, member *m) {
  if (m->pidfd < 0) return;
  (void)epoll_ctl(l->epoll, EPOLL_CTL_DEL, m->pidfd, NULL);
  (void)close(m->pidfd);
  m->pidfd = -1;
}

static void drop(local *l, job *j) {
  job **at = &l->jobs;
  while (*at != NULL && *at != j) at = &(*at)->next;
  if (*at != NULL) *at = j->next;
  for (uint32_t i = 0; j->members != NULL && i < j->count; i++) close_pidfd(l, &j->members[i]);
  free(j->tag);
  free(j->log_dir);
  free(j->members);
  free(j);
  arm(l);
}

static job *make(local *l, uint64_t id, uint32_t count, uint32_t flags, const char *tag,
                 const char *log_dir) {
  job *j = calloc(1, sizeof *j);
  if (j == NULL) return NULL;
  *j = (job){.next = l->jobs,
             .id = id,
             .count = count,
             .group = (flags & HATO_LAUNCH_DIAL_IN) == 0,
             .tag = strdup(tag),
             .log_dir = log_dir != NULL ? strdup(log_dir) : NULL,
             .members = calloc(count, sizeof(member))};
  l->jobs = j;
  for (uint32_t i = 0; j->members != NULL && i < count; i++) j->members[i].pidfd = -1;
  if (j->tag != NULL && j->members != NULL && (log_dir == NULL || j->log_dir != NULL)) return j;
  drop(l, j);
  return NULL;
}

static bool watch_member(local *l, member *m) {
  struct epoll_event e = {.events = EPOLLIN};
  return m->pidfd < 0 || epoll_ctl(l->epoll, EPOLL_CTL_ADD, m->pidfd, &e) == 0;
}

/* ---- telling ---- */

static char *log_of(const hato_host *h, const job *j, uint32_t i) {
  return j->log_dir != NULL ? h->format(h, "%s/%s.%u.log", j->log_dir, j->tag, i) : NULL;
}

static void tell(const hato_host *h, const job *j, uint32_t i, hato_member *m) {
  char host[256] = "";
  (void)gethostname(host, sizeof host - 1);
  m->size = sizeof *m;
  m->first = i;
  m->count = 1;
  m->host = host;
  m->log_path = log_of(h, j, i);
  m->job = h->format(h, "%d", (int)j->members[i].pid);
  h->member(h, j->id, m);
}

static void tell_running(const hato_host *h, const job *j, uint32_t i) {
  hato_member m = {.state = HATO_MEMBER_RUNNING};
  tell(h, j, i, &m);
}

static void tell_ended(const hato_host *h, local *l, job *j, uint32_t i) {
  member *p = &j->members[i];
  hato_member m = {.state = HATO_MEMBER_ENDED};
  siginfo_t si = {0};
  if (p->pidfd >= 0 && waitid(P_PIDFD, (id_t)p->pidfd, &si, WEXITED | WNOHANG) == 0 && si.si_pid != 0) {
    m.flags = HATO_MEMBER_EXIT_KNOWN;
    m.exit_code = si.si_code == CLD_EXITED ? si.si_status : -1;
    m.signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
  }
  if (p->cancelled) m.flags |= HATO_MEMBER_CANCELLED;
  if (p->killed)
    m.reason = "killed, as it did not end when asked to";
  else if (p->cancelled)
    m.reason = "cancelled";
  else if (m.flags == 0)
    m.reason = "ended; its exit code went to another part of the program, or it was adopted";
  else if (m.signal != 0)
    m.reason = h->format(h, "killed by signal %d (%s)", m.signal, strsignal(m.signal));
  else
    m.reason = h->format(h, "exited with %d", m.exit_code);
  tell(h, j, i, &m);
  close_pidfd(l, p);
  p->pid = 0;
}

/* ---- ending ---- */

static bool alive(const member *m) {
  return m->pid > 0 && m->pidfd >= 0 && pidfd_send_signal(m->pidfd, 0, NULL, 0) == 0;
}

static void send_signal(const member *m, bool group, int sig) {
  if (!alive(m)) return;
  if (!group || kill(-m->pid, sig) < 0) (void)pidfd_send_signal(m->pidfd, sig, NULL, 0);
}

/* When a member has to be looked at; 0: its pidfd tells. One that others reaped before it had a
 * pidfd is due at once. */
static uint64_t due(const member *m) {
  if (m->pid <= 0) return 0;
  if (m->pidfd < 0) return 1;
  return m->killed ? 0 : m->killed_at;
}

static void arm(local *l) {
  uint64_t first = 0;
  for (const job *j = l->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; i < j->count; i++) {
      uint64_t at = due(&j->members[i]);
      if (at != 0 && (first == 0 || at < first)) first = at;
    }
  }
  struct itimerspec t = {
      .it_value = {.tv_sec = (time_t)(first / 1000000000u), .tv_nsec = (long)(first % 1000000000u)}};
  (void)timerfd_settime(l->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void kill_those_due(local *l) {
  uint64_t expired;
  if (read(l->timer, &expired, sizeof expired) < 0) return; /* not due */
  uint64_t t = now();
  for (job *j = l->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; i < j->count; i++) {
      member *m = &j->members[i];
      if (m->pid <= 0 || m->killed_at == 0 || m->killed_at > t) continue;
      send_signal(m, true, SIGKILL);
      m->killed = true;
      m->killed_at = 0;
    }
  }
}

static int cancel(void *state, const hato_host *h, const hato_launch *launch, const uint32_t *members,
                  uint32_t n) {
  local *l = state;
  job *j = find(l, launch->id);
  if (j == NULL) return h->fail(h, HATO_NOT_FOUND, "local knows no launch %s", launch->tag);
  uint64_t grace = h->option_duration(h, launch->options, "grace") * 1000000u;
  for (uint32_t k = 0; k < (n > 0 ? n : j->count); k++) {
    uint32_t i = n > 0 ? members[k] : k;
    if (i >= j->count)
      return h->fail(h, HATO_INVALID, "launch %s has %u members, not %u", j->tag, j->count, i);
    member *m = &j->members[i];
    if (m->pid <= 0 || m->cancelled) continue;
    m->cancelled = true;
    m->killed_at = now() + grace;
    send_signal(m, j->group, SIGTERM);
  }
  arm(l);
  return HATO_OK;
}

/* ---- launching ---- */

/* Not by format, which may leave copies behind; what alloc gave is wiped. */
static const char *secret_variable(const hato_host *h, const hato_launch_request *r) {
  size_t n = strlen(r->secret_env);
  char *text = h->alloc(h, n + 1 + r->secret_len + 1);
  if (text == NULL) return NULL;
  memcpy(text, r->secret_env, n);
  text[n] = '=';
  memcpy(text + n + 1, r->secret, r->secret_len);
  return text; /* alloc gives zeros */
}

static const char **with(const hato_host *h, const hato_launch_request *r, uint32_t i) {
  uint32_t n = 0;
  while (r->env[n] != NULL) n++;
  const char **env = h->alloc(h, (n + 4) * sizeof *env);
  if (env == NULL) return NULL;
  memcpy(env, r->env, n * sizeof *env);
  env[n++] = h->format(h, MEMBER_VARIABLE "=%u", i);
  env[n++] = h->format(h, TAG_VARIABLE "=%s", r->tag);
  if (r->secret_way == HATO_SECRET_ENVIRONMENT)
    env[n++] = secret_variable(h, r);
  for (uint32_t k = 0; k < n; k++) {
    if (env[k] == NULL) return NULL;
  }
  return env;
}

static int start(local *l, const hato_host *h, const hato_launch_request *r, job *j, uint32_t i) {
  const char **env = with(h, r, i);
  if (env == NULL) return HATO_NO_MEMORY;
  hato_spawn s = {.size = sizeof s, .argv = r->argv, .env = env, .log_path = log_of(h, j, i)};
  if (r->secret_way == HATO_SECRET_STDIN) {
    s.input = r->secret;
    s.input_len = r->secret_len;
  }
  int rc = h->spawn(h, &s);
  if (rc != HATO_OK) return rc;
  j->members[i].pid = s.pid;
  j->members[i].pidfd = s.pidfd;
  if (!watch_member(l, &j->members[i])) return h->fail(h, HATO_SYSTEM, "cannot watch process %d", (int)s.pid);
  return HATO_OK;
}

/* All or none. */
static void undo(local *l, job *j) {
  for (uint32_t i = 0; i < j->count; i++) {
    member *m = &j->members[i];
    send_signal(m, true, SIGKILL);
    siginfo_t si;
    if (m->pidfd >= 0) (void)waitid(P_PIDFD, (id_t)m->pidfd, &si, WEXITED);
  }
  drop(l, j);
}

/* The boot's id: pids of another one mean nothing. */
static void boot_id(char out[40]) {
  int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, out, 36) : -1;
  if (fd >= 0) (void)close(fd);
  out[n > 0 ? n : 0] = 0;
}

static void write_record(hato_launch_record *record) {
  char boot[40];
  boot_id(boot);
  int n = snprintf((char *)record->bytes, sizeof record->bytes, "local 1 %s", boot);
  record->len = n > 0 ? (uint32_t)n : 0;
}

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  local *l = state;
  if (find(l, r->id) != NULL) return h->fail(h, HATO_EXISTS, "launch %s exists", r->tag);
  job *j = make(l, r->id, r->count, r->flags, r->tag, r->log_dir);
  if (j == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for %u processes", r->count);
  for (uint32_t i = 0; i < r->count; i++) {
    int rc = h->should_abort(h)
                 ? h->fail(h, HATO_INTERRUPTED, "interrupted after %u of %u processes", i, r->count)
                 : start(l, h, r, j, i);
    if (rc == HATO_OK) continue;
    undo(l, j);
    return rc;
  }
  for (uint32_t i = 0; i < r->count; i++) tell_running(h, j, i);
  arm(l);
  write_record(record);
  return HATO_OK;
}

static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  local *l = state;
  kill_those_due(l);
  for (uint32_t k = 0; k < n; k++) {
    job *j = find(l, launches[k]->id);
    if (j == NULL) continue;
    for (uint32_t i = 0; i < j->count; i++) {
      member *m = &j->members[i];
      if (m->pid <= 0) continue;
      struct pollfd p = {.fd = m->pidfd, .events = POLLIN};
      bool ended = m->pidfd < 0 || poll(&p, 1, 0) > 0; /* also when others reaped it */
      if (ended) tell_ended(h, l, j, i);
    }
  }
  arm(l);
  return HATO_OK;
}

/* ---- adopting ---- */

/* A variable of an environment as /proc has it. */
static const char *variable(const char *env, size_t n, const char *name) {
  size_t len = strlen(name);
  for (const char *at = env; at < env + n; at += strlen(at) + 1) {
    if (strncmp(at, name, len) == 0 && at[len] == '=') return at + len + 1;
  }
  return NULL;
}

enum { NO_MEMBER = -1, NOT_YET = -2 };

/* Anybody may give his process arguments like those of ours. */
static bool ours(pid_t pid) {
  char path[64], text[1024];
  (void)snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
  if (fd >= 0) (void)close(fd);
  text[n > 0 ? n : 0] = 0;
  const char *uid = strstr(text, "\nUid:\t");
  return uid != NULL && strtoul(uid + 6, NULL, 10) == getuid();
}

/* Where a process says which member it is: in its environment, or, as hato's daemons let nobody read that, as
 * NAME=VALUE among their arguments. */
static int open_marks(pid_t pid) {
  char path[64];
  (void)snprintf(path, sizeof path, "/proc/%d/environ", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd >= 0 || errno != EACCES) return fd;
  (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
  return open(path, O_RDONLY | O_CLOEXEC);
}

/* The member that a process is, or NO_MEMBER. NOT_YET: it is in the middle of its exec, where the
 * kernel shows no environment, so that it must be asked again. Its tasks inherit its environment, but only
 * the daemon itself leads its session. */
static int64_t member_of(pid_t pid, const job *j, char *env, size_t max) {
  if (getsid(pid) != pid || !ours(pid)) return NO_MEMBER;
  int fd = open_marks(pid);
  if (fd < 0) return NO_MEMBER;
  size_t n = 0;
  for (ssize_t got; n < max - 1 && (got = read(fd, env + n, max - 1 - n)) > 0;) n += (size_t)got;
  (void)close(fd);
  env[n] = 0;
  if (n == 0) return NOT_YET;
  const char *tag = variable(env, n, TAG_VARIABLE), *number = variable(env, n, MEMBER_VARIABLE);
  if (tag == NULL || number == NULL || strcmp(tag, j->tag) != 0) return NO_MEMBER;
  char *end;
  errno = 0;
  unsigned long i = strtoul(number, &end, 10);
  return errno == 0 && *number != 0 && *end == 0 && i < j->count ? (int64_t)i : NO_MEMBER;
}

#define ENV_MAX ((size_t)1 << 20)

/* True: some process could not be told yet. */
static bool search_once(local *l, job *j, char *env, uint32_t *found) {
  DIR *d = opendir("/proc");
  bool again = false;
  if (d == NULL) return false;
  for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
    pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)strtol(e->d_name, NULL, 10) : 0;
    int64_t i = pid > 0 ? member_of(pid, j, env, ENV_MAX) : NO_MEMBER;
    again |= i == NOT_YET;
    /* Of several the eldest: a command that made a session of its own came later. */
    if (i < 0 || (j->members[i].pid > 0 && j->members[i].pid <= pid)) continue;
    member *m = &j->members[i];
    int fd = pidfd_open(pid, 0);
    if (fd < 0) continue;
    if (m->pid <= 0) (*found)++;
    close_pidfd(l, m);
    m->pid = pid;
    m->pidfd = fd;
    (void)watch_member(l, m);
  }
  (void)closedir(d);
  return again;
}

static uint32_t search(local *l, const hato_host *h, job *j) {
  char *env = h->alloc(h, ENV_MAX);
  uint32_t found = 0;
  /* A process may have no environment for good, so not for ever. */
  for (int i = 0; env != NULL && i < 10 && search_once(l, j, env, &found) && found < j->count; i++)
    (void)poll(NULL, 0, 10);
  return found;
}

static int adopt(void *state, const hato_host *h, const hato_launch *launch, hato_launch_record *record) {
  local *l = state;
  job *j = find(l, launch->id);
  write_record(record);
  if (launch->record_len > 0 &&
      (launch->record_len != record->len || memcmp(launch->record, record->bytes, record->len) != 0))
    return h->fail(h, HATO_NOT_FOUND, "launch %s was made before this machine was started", launch->tag);
  if (j != NULL) return HATO_OK;
  j = make(l, launch->id, launch->count, launch->flags, launch->tag, launch->log_dir);
  if (j == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for %u processes", launch->count);
  if (search(l, h, j) == 0) {
    drop(l, j);
    return h->fail(h, HATO_NOT_FOUND, "no process of launch %s is left", launch->tag);
  }
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->members[i].pid > 0)
      tell_running(h, j, i);
    else
      tell_ended(h, l, j, i);
  }
  return HATO_OK;
}

/* ---- the rest ---- */

static void forget(void *state, const hato_host *h, const hato_launch *launch) {
  (void)h;
  job *j = find(state, launch->id);
  if (j != NULL) drop(state, j);
}

static int watch(void *state, const hato_host *h) {
  (void)h;
  return ((local *)state)->epoll;
}

static void close_local(void *state, const hato_host *h) {
  local *l = state;
  (void)h;
  while (l->jobs != NULL) drop(l, l->jobs);
  if (l->timer >= 0) (void)close(l->timer);
  if (l->epoll >= 0) (void)close(l->epoll);
  free(l);
}

static int open_local(const hato_host *h, void **state) {
  local *l = calloc(1, sizeof *l);
  if (l == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  l->epoll = epoll_create1(EPOLL_CLOEXEC);
  l->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN};
  if (l->epoll >= 0 && l->timer >= 0 && epoll_ctl(l->epoll, EPOLL_CTL_ADD, l->timer, &e) == 0) {
    *state = l;
    return HATO_OK;
  }
  int rc = h->fail(h, HATO_SYSTEM, "an epoll and a timer descriptor: %s", strerror(errno));
  close_local(l, h);
  return rc;
}

static const hato_option_row options[] = {
    {.name = "grace",
     .type = HATO_OPTION_DURATION,
     .def = "2s",
     .max = 3600000,
     .help = "How long a daemon that was told to end may take before it is killed."},
};

const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .name = "local",
    .version = "1.0",
    .description = "daemons as processes of this machine",
    .flags = HATO_LAUNCHER_SHARES_HOST | HATO_LAUNCHER_CANCELS_MEMBERS,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .secret_ways = HATO_SECRET_STDIN | HATO_SECRET_ENVIRONMENT | HATO_SECRET_FILE,
    .member_env = MEMBER_VARIABLE,
    .member_first = 0,
    .open = open_local,
    .launch = launch,
    .poll = poll_all,
    .cancel = cancel,
    .adopt = adopt,
    .forget = forget,
    .watch = watch,
    .close = close_local,
};

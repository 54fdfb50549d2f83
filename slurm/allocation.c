/* One srun inside an allocation: started, followed by its pidfd and its log, ended, found again. */
#include "slurm/internal.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECOND 1000000000u
#define KILL_WAIT_S 30 /* where Slurm's own is not known */

static bool watch_srun(sl_state *s, sl_launch *l) {
  struct epoll_event e = {.events = EPOLLIN};
  return epoll_ctl(s->epoll, EPOLL_CTL_ADD, l->pidfd, &e) == 0;
}

/* ---- starting ---- */

/* The dispatcher's own job sets options of srun, of which these would spread tasks in another way. */
static const char *const outer[] = {"SLURM_NTASKS_PER_NODE", "SLURM_NTASKS_PER_CORE", "SLURM_NTASKS_PER_SOCKET",
                                    "SLURM_DISTRIBUTION",    "SLURM_CPUS_PER_TASK",   "SLURM_TRES_PER_TASK",
                                    "SLURM_THREADS_PER_CORE"};
#define N_OUTER (sizeof outer / sizeof *outer)

static const char **words_of(const hato_host *h, const hato_launch_request *r, const sl_settings *set,
                             const sl_grant *g, uint32_t cpus) {
  const char *output = set->log != NULL       ? set->log
                       : r->log_dir == NULL ? "/dev/null"
                                            : sl_log_pattern(h, r->log_dir, r->tag, "%t.log");
  if (output == NULL) return NULL;
  const char **srun = sl_srun_words(h, r, set, cpus, output, r->count < g->nodes ? r->count : 0);
  uint32_t n = 0, k = 0;
  while (srun != NULL && srun[n] != NULL) n++;
  const char **w = srun != NULL ? h->alloc(h, (n + 2 * N_OUTER + 4) * sizeof *w) : NULL;
  if (w == NULL) return NULL;
  w[k++] = "env";
  for (size_t i = 0; i < N_OUTER; i++) {
    w[k++] = "-u";
    w[k++] = outer[i];
  }
  w[k++] = srun[0];
  if (g->in_step) w[k++] = "--overlap"; /* our own step has the CPUs */
  memcpy(w + k, srun + 1, (n - 1) * sizeof *w);
  return w;
}

static int start(sl_state *s, const hato_host *h, const hato_launch_request *r, const char **words, sl_launch *l) {
  char path[4096];
  bool has_log = sl_srun_log_path(l, path, sizeof path);
  hato_spawn sp = {.size = sizeof sp, .argv = words, .env = r->env, .log_path = has_log ? path : NULL};
  int rc = h->spawn(h, &sp);
  if (rc != HATO_OK) return rc;
  l->pid = sp.pid;
  l->pidfd = sp.pidfd;
  l->child = true;
  if (l->pidfd < 0 || watch_srun(s, l)) return HATO_OK;
  (void)kill(l->pid, SIGKILL);
  return h->fail(h, HATO_SYSTEM, "srun (process %d) cannot be watched", (int)l->pid);
}

int sl_run(sl_state *s, const hato_host *h, const hato_launch_request *r, const sl_settings *set,
           hato_launch_record *record) {
  sl_grant g;
  uint32_t cpus;
  if (!sl_granted(&g)) return h->fail(h, HATO_STATE, "the dispatcher runs in no Slurm job");
  int rc = sl_share(h, &g, set, r->count, r->cores, &cpus);
  if (rc != HATO_OK) return rc;
  sl_launch *l = sl_launch_make(s, r->id, r->count, r->tag, r->log_dir, set->log, SL_ALLOCATION);
  const char **words = l != NULL ? words_of(h, r, set, &g, cpus) : NULL;
  rc = words != NULL && sl_launch_add_chunk(l, g.job, 0, r->count)
           ? start(s, h, r, words, l)
           : h->fail(h, HATO_NO_MEMORY, "no memory for %u members", r->count);
  if (rc == HATO_OK)
    sl_record_write(s, l, record);
  else if (l != NULL)
    sl_launch_drop(s, l);
  return rc;
}

/* ---- finding it again ---- */

enum { MOST_FOUND = 16 };

/* Its own process, and none of another user: an srun with the launch's name. */
static bool is_srun_of(pid_t pid, const char *option) {
  char path[64], text[4096];
  struct stat st;
  (void)snprintf(path, sizeof path, "/proc/%d/cmdline", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == getuid() ? read(fd, text, sizeof text - 1) : -1;
  if (fd >= 0) (void)close(fd);
  if (n <= 0) return false;
  text[n] = 0;
  const char *slash = strrchr(text, '/');
  if (strcmp(slash != NULL ? slash + 1 : text, "srun") != 0) return false;
  for (const char *at = text; at < text + n; at += strlen(at) + 1) {
    if (strcmp(at, option) == 0) return true;
    if (strcmp(at, "sh") == 0) break; /* the daemon's own words */
  }
  return false;
}

static pid_t parent_of(pid_t pid) {
  char path[64], text[512];
  int parent = 0;
  (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
  if (fd >= 0) (void)close(fd);
  if (n <= 0) return 0;
  text[n] = 0;
  const char *after = strrchr(text, ')');
  return after != NULL && sscanf(after + 1, " %*c %d", &parent) == 1 ? (pid_t)parent : 0;
}

/* srun has a child that looks like it, which ends the step when srun is killed. */
bool sl_find_srun(sl_state *s, sl_launch *l) {
  pid_t found[MOST_FOUND];
  size_t n = 0;
  char option[HATO_TAG_MAX + 16];
  (void)snprintf(option, sizeof option, "--job-name=%s", l->tag);
  DIR *d = opendir("/proc");
  for (const struct dirent *e; d != NULL && n < MOST_FOUND && (e = readdir(d)) != NULL;) {
    pid_t pid = isdigit((unsigned char)e->d_name[0]) ? (pid_t)strtol(e->d_name, NULL, 10) : 0;
    if (pid > 0 && is_srun_of(pid, option)) found[n++] = pid;
  }
  if (d != NULL) (void)closedir(d);
  for (size_t i = 0; i < n; i++) {
    bool child = false;
    pid_t parent = parent_of(found[i]);
    for (size_t k = 0; k < n; k++) child |= found[k] == parent;
    if (child) continue;
    l->pid = found[i];
    l->pidfd = pidfd_open(l->pid, 0);
    if (l->pidfd >= 0 && watch_srun(s, l)) return true;
  }
  l->pid = 0;
  return false;
}

/* ---- following ---- */

static bool has_ended(const sl_launch *l) {
  struct pollfd p = {.fd = l->pidfd, .events = POLLIN};
  return l->pidfd < 0 || poll(&p, 1, 0) > 0;
}

static void rest_is(const hato_host *h, sl_launch *l, const char *job, const sl_told *t, bool of_srun) {
  char path[4096];
  for (uint32_t i = 0; i < l->count; i++) {
    sl_member *m = &l->members[i];
    if (m->state == HATO_MEMBER_ENDED || m->state == (uint8_t)t->state) continue;
    bool has_log = of_srun ? sl_srun_log_path(l, path, sizeof path) : sl_log_path(l, NULL, i, path, sizeof path);
    sl_tell(h, l, i, 1, t, NULL, job, has_log ? path : NULL);
  }
}

static void srun_ended(sl_state *s, const hato_host *h, sl_launch *l, const char *job, const sl_srun_said *said) {
  sl_told t = {.state = HATO_MEMBER_ENDED};
  siginfo_t si = {0};
  bool known = l->child && l->pidfd >= 0 && waitid(P_PIDFD, (id_t)l->pidfd, &si, WEXITED | WNOHANG) == 0 &&
               si.si_pid != 0;
  if (known && l->count == 1 && said->started) { /* of several it is the highest of all */
    t.flags = HATO_MEMBER_EXIT_KNOWN;
    t.exit_code = si.si_code == CLD_EXITED ? si.si_status : -1;
    t.signal = si.si_code == CLD_EXITED ? 0 : si.si_status;
  }
  if (l->cancelled || said->cancelled) t.flags |= HATO_MEMBER_CANCELLED;
  if (said->error[0] != 0)
    (void)snprintf(t.reason, sizeof t.reason, "srun: %s", said->error);
  else if (known)
    (void)snprintf(t.reason, sizeof t.reason, "srun %s %d",
                   si.si_code == CLD_EXITED ? "exited with" : "was ended by signal", si.si_status);
  else
    (void)snprintf(t.reason, sizeof t.reason, "srun ended");
  rest_is(h, l, job, &t, !said->started);
  (void)epoll_ctl(s->epoll, EPOLL_CTL_DEL, l->pidfd, NULL);
  if (l->pidfd >= 0) (void)close(l->pidfd);
  l->pidfd = -1;
  l->pid = 0;
  l->kill_at = 0;
}

void sl_follow_srun(sl_state *s, const hato_host *h, sl_launch *l) {
  char job[24] = "";
  sl_srun_said said;
  if (l->pid == 0) return;
  if (l->kill_at != 0 && l->kill_at <= sl_now()) {
    (void)pidfd_send_signal(l->pidfd, SIGKILL, NULL, 0);
    l->kill_at = 0;
  }
  bool ended = has_ended(l); /* before its log is read, which is then whole */
  if (l->n_chunks > 0) (void)snprintf(job, sizeof job, "%u", l->chunks[0].job);
  sl_read_srun(h, l, job, &said);
  if (ended) {
    srun_ended(s, h, l, job, &said);
    return;
  }
  /* It takes srun a minute to say that it waits. */
  sl_told t = {.state = l->log_dir == NULL ? HATO_MEMBER_RUNNING : HATO_MEMBER_QUEUED};
  if (l->log_dir != NULL)
    (void)snprintf(t.reason, sizeof t.reason, "srun waits for what was granted to the job: %s",
                   said.waits[0] != 0 ? said.waits : "it is in use, or its nodes do not answer yet");
  if (!said.started) rest_is(h, l, job, &t, true);
}

/* ---- ending ---- */

void sl_arm(sl_state *s) {
  uint64_t first = 0;
  for (const sl_launch *l = s->launches; l != NULL; l = l->next) {
    if (l->kill_at != 0 && (first == 0 || l->kill_at < first)) first = l->kill_at;
  }
  struct itimerspec t = {.it_value = {.tv_sec = (time_t)(first / SECOND), .tv_nsec = (long)(first % SECOND)}};
  (void)timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &t, NULL);
}

/* Tasks are told by the controller, as srun takes its own SIGTERM for an order to kill them; that is for one
 * that still waits, and for when nobody else can tell them. */
static void ask_to_end(sl_state *s, const hato_host *h, const sl_launch *l) {
  sl_srun_said said;
  sl_read_step(h, l, &said);
  if (said.step != NO_VAL && l->n_chunks > 0 && sl_reach(s, h) == HATO_OK &&
      slurm_kill_job_step(l->chunks[0].job, said.step, SIGTERM) == SLURM_SUCCESS)
    return;
  (void)pidfd_send_signal(l->pidfd, SIGTERM, NULL, 0);
}

int sl_cancel_srun(sl_state *s, const hato_host *h, sl_launch *l) {
  if (l->pid == 0 || l->pidfd < 0 || l->kill_at != 0) return HATO_OK;
  (void)sl_limits(s, h); /* for KillWait; without an answer our own does */
  uint32_t wait_s = s->kill_wait_s != 0 ? s->kill_wait_s : KILL_WAIT_S;
  ask_to_end(s, h, l);
  l->kill_at = sl_now() + (uint64_t)wait_s * SECOND;
  sl_arm(s);
  return HATO_OK;
}

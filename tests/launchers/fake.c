/*
 * fake: a batch system made of files and processes, with faults to order.
 *
 * Its "controller" is the folder $HATO_FAKE_DIR: TAG.pids names the processes of a launch, TAG.go
 * lets them go on from queued to running, TAG.N.exit has the exit code of one. All of it outlives
 * the launcher's process, as a real controller does.
 */
#include "fake.h"

#include <hato/launcher.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct job {
  struct job *next;
  uint64_t id;
  uint32_t count;
  unsigned polls;
  bool cancelled;
  pid_t *pids; /* 0: it has ended */
} job;

typedef struct fake {
  job *jobs;
} fake;

static const char *const faults[] = {"none",         "launch-fail",        "launch-hang", "launch-hang-after",
                                     "launch-crash", "launch-crash-after", "launch-exit", "launch-wait",
                                     "poll-fail",    "poll-hang",          "poll-crash",  "cancel-fail",
                                     "lie",          "forgotten",          "adopt-crash", NULL};

/* ---- faults ---- */

static const char *folder(void) {
  const char *dir = getenv("HATO_FAKE_DIR");
  return dir != NULL && *dir != 0 ? dir : "/tmp";
}

/* Counts in a file, since a fault may end the process. */
static bool due(const hato_host *h, const hato_launcher_options *o, const char *tag, const char *fault) {
  int chosen = h->option_enum(h, o, "fault");
  if (chosen <= 0 || strcmp(faults[chosen], fault) != 0) return false;
  int64_t times = h->option_int(h, o, "fault-times");
  const char *path = h->format(h, "%s/%s.fault", folder(), tag);
  struct stat st = {0};
  if (path == NULL || (times > 0 && stat(path, &st) == 0 && st.st_size >= times)) return false;
  int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd >= 0 && write(fd, "x", 1) != 1) abort();
  if (fd >= 0) (void)close(fd);
  return true;
}

static void hang(void) {
  for (;;) (void)pause();
}

/* ---- jobs ---- */

static job *find(const fake *f, uint64_t id) {
  job *j = f->jobs;
  while (j != NULL && j->id != id) j = j->next;
  return j;
}

static job *make(fake *f, uint64_t id, uint32_t count) {
  job *j = calloc(1, sizeof *j);
  if (j == NULL) return NULL;
  *j = (job){.next = f->jobs, .id = id, .count = count, .pids = calloc(count, sizeof(pid_t))};
  f->jobs = j;
  return j->pids != NULL ? j : NULL;
}

static void drop(fake *f, job *j) {
  job **at = &f->jobs;
  while (*at != j) at = &(*at)->next;
  *at = j->next;
  free(j->pids);
  free(j);
}

static void say(const hato_host *h, uint64_t id, uint32_t first, uint32_t count, uint32_t state,
                const char *reason) {
  hato_member m = {.size = sizeof m, .first = first, .count = count, .state = state, .reason = reason};
  h->member(h, id, &m);
}

/* ---- operations ---- */

static int probe(const hato_host *h) {
  if (getenv("HATO_FAKE_PROBE") != NULL) return h->fail(h, HATO_NOT_FOUND, "there is no fakesub in PATH");
  return HATO_OK;
}

static int open_fake(const hato_host *h, void **state) {
  if (getenv("HATO_FAKE_OPEN") != NULL) return h->fail(h, HATO_SYSTEM, "the fake does not open");
  h->log(h, HATO_LEVEL_INFO, "process %d", (int)getpid());
  *state = calloc(1, sizeof(fake));
  return *state != NULL ? HATO_OK : HATO_NO_MEMORY;
}

static int plan(void *state, const hato_host *h, const hato_launcher_options *o, hato_launch_plan *p) {
  (void)state;
  const char *const *hosts = h->option_list(h, o, "host");
  uint32_t n = 0;
  while (hosts[n] != NULL) n++;
  if (p->count == 0) p->count = n;
  if (h->option_bool(h, o, "tunnel")) p->flags &= ~HATO_LAUNCHER_NEEDS_LISTEN;
  if (n > 0 && h->option_is_set(h, o, "partition"))
    return h->fail(h, HATO_INVALID, "host= and partition= exclude each other");
  return HATO_OK;
}

static void before_launch(const hato_host *h, const hato_launch_request *r) {
  if (due(h, r->options, r->tag, "launch-hang")) hang();
  if (due(h, r->options, r->tag, "launch-crash")) abort();
  if (due(h, r->options, r->tag, "launch-exit")) {
    fprintf(stderr, "fatal: there is no configuration\n");
    exit(1);
  }
}

static int spawn(const hato_host *h, const hato_launch_request *r, uint32_t i, pid_t *pid) {
  static const char script[] =
      "f=$1; shift; while [ ! -e \"$f.go\" ]; do [ -e \"$f.pids\" ] || exit 1; sleep 0.02; done; "
      "\"$@\"; echo $? >\"$f.$HATO_FAKE_TASK.exit\"";
  uint32_t n = 0;
  while (r->env[n] != NULL) n++;
  const char **argv = h->alloc(h, (r->argc + 6) * sizeof *argv);
  const char **env = h->alloc(h, (n + 3) * sizeof *env);
  if (argv == NULL || env == NULL) return HATO_NO_MEMORY;
  argv[0] = "sh";
  argv[1] = "-c";
  argv[2] = script;
  argv[3] = "fake";
  argv[4] = h->format(h, "%s/%s", folder(), r->tag);
  memcpy(argv + 5, r->argv, r->argc * sizeof *argv);
  memcpy(env, r->env, n * sizeof *env);
  env[n] = h->format(h, "HATO_FAKE_TASK=%u", i + 1);
  if (r->secret_way == HATO_SECRET_ENVIRONMENT)
    env[n + 1] = h->format(h, "%s=%s", r->secret_env, (const char *)r->secret);
  hato_spawn s = {.size = sizeof s, .argv = argv, .env = env};
  if (r->log_dir != NULL) s.log_path = h->format(h, "%s/%s.%u.log", r->log_dir, r->tag, i);
  if (r->secret_way == HATO_SECRET_STDIN) {
    s.input = r->secret;
    s.input_len = r->secret_len;
  }
  int rc = h->spawn(h, &s);
  if (s.pidfd >= 0) (void)close(s.pidfd);
  *pid = s.pid;
  return rc;
}

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  fake *f = state;
  before_launch(h, r);
  if (due(h, r->options, r->tag, "launch-fail"))
    return h->fail(h, HATO_NOT_FOUND, "there is no partition 'shrt'");
  if (due(h, r->options, r->tag, "launch-wait")) {
    h->progress(h, "waiting for the fake controller");
    while (!h->should_abort(h)) (void)usleep(5000);
    return h->fail(h, HATO_INTERRUPTED, "given up");
  }
  job *j = make(f, r->id, r->count);
  const char *path = h->format(h, "%s/%s.pids", folder(), r->tag);
  FILE *pids = path != NULL ? fopen(path, "we") : NULL;
  if (j == NULL || pids == NULL) return h->fail(h, HATO_SYSTEM, "%s: %s", path, strerror(errno));
  int rc = HATO_OK;
  for (uint32_t i = 0; i < r->count && rc == HATO_OK; i++) {
    rc = spawn(h, r, i, &j->pids[i]);
    fprintf(pids, "%d\n", (int)j->pids[i]);
  }
  (void)fclose(pids);
  if (due(h, r->options, r->tag, "launch-hang-after")) hang();
  if (due(h, r->options, r->tag, "launch-crash-after")) abort();
  record->len = (uint32_t)snprintf((char *)record->bytes, sizeof record->bytes, "fake %s", r->tag);
  say(h, r->id, 0, r->count, HATO_MEMBER_SUBMITTED, NULL);
  return rc;
}

static bool ended(pid_t pid) {
  char path[64], state = 0;
  if (waitpid(pid, NULL, WNOHANG) == pid) return true;
  (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *s = fopen(path, "re");
  if (s == NULL) return true;
  bool read = fscanf(s, "%*d (%*[^)]) %c", &state) == 1;
  (void)fclose(s);
  return !read || state == 'Z';
}

static void tell_end(const hato_host *h, const hato_launch *l, job *j, uint32_t i) {
  hato_member m = {.size = sizeof m, .first = i, .count = 1, .state = HATO_MEMBER_ENDED, .host = "fakenode"};
  if (l->log_dir != NULL) m.log_path = h->format(h, "%s/%s.%u.log", l->log_dir, l->tag, i);
  const char *path = h->format(h, "%s/%s.%u.exit", folder(), l->tag, i + 1);
  FILE *e = path != NULL ? fopen(path, "re") : NULL;
  if (e != NULL && fscanf(e, "%d", &m.exit_code) == 1) m.flags = HATO_MEMBER_EXIT_KNOWN;
  if (e != NULL) (void)fclose(e);
  m.reason = j->cancelled ? "CANCELLED" : m.exit_code == 0 ? "COMPLETED" : "FAILED";
  h->member(h, l->id, &m);
  j->pids[i] = 0;
}

static void poll_one(const hato_host *h, const hato_launch *l, job *j) {
  const char *go = h->format(h, "%s/%s.go", folder(), l->tag);
  bool going = access(go, F_OK) == 0;
  if (!going && ++j->polls <= h->option_int(h, l->options, "queue-polls")) {
    if (!j->cancelled) say(h, l->id, 0, j->count, HATO_MEMBER_QUEUED, "Priority");
  } else if (!going && !j->cancelled) {
    int fd = open(go, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) (void)close(fd);
    say(h, l->id, 0, j->count, HATO_MEMBER_STARTING, NULL);
  }
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->pids[i] == 0) continue;
    if (ended(j->pids[i])) {
      tell_end(h, l, j, i);
    } else if (going) {
      hato_member m = {.size = sizeof m,
                       .first = i,
                       .count = 1,
                       .state = HATO_MEMBER_RUNNING,
                       .host = "fakenode",
                       .job = h->format(h, "%d", (int)j->pids[i])};
      h->member(h, l->id, &m);
    }
  }
}

static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  for (uint32_t k = 0; k < n; k++) {
    const hato_launch *l = launches[k];
    job *j = find(state, l->id);
    if (j == NULL) continue;
    if (due(h, l->options, l->tag, "poll-fail"))
      return h->fail(h, HATO_AGAIN, "the fake controller does not answer");
    if (due(h, l->options, l->tag, "poll-hang")) hang();
    if (due(h, l->options, l->tag, "poll-crash")) abort();
    if (due(h, l->options, l->tag, "forgotten")) {
      say(h, l->id, 0, l->count, HATO_MEMBER_ENDED, "forgotten by the fake controller");
      continue;
    }
    if (due(h, l->options, l->tag, "lie")) {
      say(h, l->id, 0, 1, 99, "no such state");
      say(h, l->id, 0, l->count + 1000, HATO_MEMBER_ENDED, "no such member");
      say(h, l->id, UINT32_MAX, 2, HATO_MEMBER_ENDED, "no such member");
      say(h, l->id + 1000, 0, 1, HATO_MEMBER_ENDED, "no such launch");
      h->member(h, l->id, &(hato_member){.size = 4, .state = HATO_MEMBER_ENDED});
    }
    poll_one(h, l, j);
  }
  return HATO_OK;
}

static int cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members,
                  uint32_t n) {
  job *j = find(state, l->id);
  (void)members, (void)n;
  if (due(h, l->options, l->tag, "cancel-fail"))
    return h->fail(h, HATO_AGAIN, "the fake controller does not answer");
  if (j == NULL) return h->fail(h, HATO_NOT_FOUND, "fake knows no launch %s", l->tag);
  j->cancelled = true;
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->pids[i] > 0) (void)kill(-j->pids[i], SIGTERM);
  }
  return HATO_OK;
}

static int adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
  job *j = find(state, l->id);
  if (due(h, l->options, l->tag, "adopt-crash")) abort();
  record->len = (uint32_t)snprintf((char *)record->bytes, sizeof record->bytes, "fake %s", l->tag);
  if (l->record_len > 0 &&
      (l->record_len != record->len || memcmp(l->record, record->bytes, record->len) != 0))
    return h->fail(h, HATO_NOT_FOUND, "the record is of another launch");
  if (j != NULL) return HATO_OK;
  const char *path = h->format(h, "%s/%s.pids", folder(), l->tag);
  FILE *pids = path != NULL ? fopen(path, "re") : NULL;
  if (pids == NULL) return h->fail(h, HATO_NOT_FOUND, "no job of launch %s is queued or running", l->tag);
  j = make(state, l->id, l->count);
  bool any = false;
  for (uint32_t i = 0; j != NULL && i < j->count; i++) {
    int pid = 0;
    if (fscanf(pids, "%d", &pid) != 1) break;
    j->pids[i] = pid;
    any |= !ended(pid);
  }
  (void)fclose(pids);
  if (any) return HATO_OK;
  if (j != NULL) drop(state, j);
  return h->fail(h, HATO_NOT_FOUND, "no job of launch %s is queued or running", l->tag);
}

static void forget(void *state, const hato_host *h, const hato_launch *l) {
  job *j = find(state, l->id);
  (void)h;
  if (j != NULL) drop(state, j);
}

static void close_fake(void *state, const hato_host *h) {
  fake *f = state;
  (void)h;
  while (f->jobs != NULL) drop(f, f->jobs);
  free(f);
}

static const hato_option_row options[] = {
    {.name = "fault", .type = HATO_OPTION_ENUM, .def = "none", .values = faults, .help = "What goes wrong."},
    {.name = "fault-times",
     .type = HATO_OPTION_INT,
     .def = "1",
     .max = 1000,
     .help = "How often; 0: always."},
    {.name = "queue-polls",
     .type = HATO_OPTION_INT,
     .def = "1",
     .max = 1000,
     .help = "Polls for which it is queued."},
    {.name = "partition", .type = HATO_OPTION_STRING, .help = "A partition."},
    {.name = "host", .type = HATO_OPTION_LIST, .help = "A host; repeatable."},
    {.name = "tunnel", .type = HATO_OPTION_BOOL, .help = "Through a tunnel."},
    {.name = "mem", .type = HATO_OPTION_SIZE, .min = 1024, .max = -1, .help = "Memory."},
    {.name = "time", .type = HATO_OPTION_DURATION, .min = 1000, .max = 3600000, .help = "Time."},
};

const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .name = "fake",
    .version = "0.1",
    .description = "a batch system for tests, with faults to order",
    .flags = HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_DEFAULT_COUNT,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .secret_ways = HATO_SECRET_STDIN | HATO_SECRET_FILE | HATO_SECRET_ENVIRONMENT,
    .member_env = "HATO_FAKE_TASK",
    .member_first = 1,
    .interval_ms = 100,
    .launch_deadline_ms = FAKE_DEADLINE * 1000,
    .poll_deadline_ms = FAKE_DEADLINE * 1000,
    .other_deadline_ms = FAKE_DEADLINE * 1000,
    .probe = probe,
    .open = open_fake,
    .plan = plan,
    .launch = launch,
    .poll = poll_all,
    .cancel = cancel,
    .adopt = adopt,
    .forget = forget,
    .close = close_fake,
};

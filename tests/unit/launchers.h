/* For the tests of launchers: a host whose events are kept, and waiting for them. The test program
 * itself is the `hato` whose launcher-host is started. */
#ifndef HATO_TESTS_UNIT_LAUNCHERS_H
#define HATO_TESTS_UNIT_LAUNCHERS_H

#include "unit.h"

#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "launchers/host.h"

#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define MODULES HATO_BUILD_DIR "/tests/launchers"
#define INSTALLED HATO_BUILD_DIR "/lib/hato/launchers"
#define WAIT_SECONDS (UNIT_WAIT_MS / 1e3)

typedef struct kept_event {
  launchers_event_type type;
  uint64_t launch;
  hato_status status;
  char text[512];
  uint8_t record[HATO_RECORD_MAX];
  size_t record_len;
  uint32_t number;
  hato_member_state state;
  bool exit_known, cancelled, never;
  int exit_code, signal;
  char reason[256], host[64], job[64], log_path[256], log_tail[1024];
  launchers_plan_result plan;
} kept_event;

#define EVENTS 4096
typedef struct bench {
  launchers *h;
  pthread_mutex_t lock;
  pthread_cond_t news;
  kept_event *events;
  size_t n;
  hato__buf log;
  char dir[64];
} bench;

static inline void bench_event(void *arg, const launchers_event *e) {
  bench *b = arg;
  pthread_mutex_lock(&b->lock);
  ck_assert_msg(b->n < EVENTS, "too many events");
  kept_event *k = &b->events[b->n++];
  *k = (kept_event){.type = e->type, .launch = e->launch, .status = e->status, .record_len = e->record_len};
  (void)snprintf(k->text, sizeof k->text, "%s", e->text);
  if (e->record_len > 0) memcpy(k->record, e->record, e->record_len);
  if (e->member != NULL) {
    k->number = e->member->number;
    k->state = e->member->state;
    k->exit_known = e->member->exit_known;
    k->cancelled = e->member->cancelled;
    k->never = e->member->never;
    k->exit_code = e->member->exit_code;
    k->signal = e->member->signal;
    (void)snprintf(k->reason, sizeof k->reason, "%s", e->member->reason);
    (void)snprintf(k->host, sizeof k->host, "%s", e->member->host);
    (void)snprintf(k->job, sizeof k->job, "%s", e->member->job);
    (void)snprintf(k->log_path, sizeof k->log_path, "%s", e->member->log_path);
    (void)snprintf(k->log_tail, sizeof k->log_tail, "%s", e->member->log_tail);
  }
  if (e->plan != NULL) {
    k->plan = *e->plan;
    k->plan.member_env = NULL;
  }
  pthread_cond_broadcast(&b->news);
  pthread_mutex_unlock(&b->lock);
}

static inline void bench_log(void *arg, hato__log_level level, const char *id, const char *text) {
  bench *b = arg;
  pthread_mutex_lock(&b->lock);
  hato__buf_printf(&b->log, "%s %s %s\n", hato__log_level_name(level), id, text);
  if (getenv("HATO_TEST_VERBOSE") != NULL)
    fprintf(stderr, "%s %s %s\n", hato__log_level_name(level), id, text);
  pthread_mutex_unlock(&b->lock);
}

/* Polls after 50 ms, every 50 ms, unless told. */
static inline bench *bench_start(uint32_t first_ms, uint32_t interval_ms) {
  static const char *const folders[] = {MODULES, INSTALLED, NULL};
  static char self[4096];
  bench *b = calloc(1, sizeof *b);
  ck_assert(b != NULL && hato__self_exe(self, sizeof self));
  b->events = calloc(EVENTS, sizeof *b->events);
  pthread_mutex_init(&b->lock, NULL);
  pthread_cond_init(&b->news, NULL);
  (void)snprintf(b->dir, sizeof b->dir, "/tmp/hato-launchers-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(b->dir));
  setenv("HATO_FAKE_DIR", b->dir, 1);
  launchers_options o = {.folders = folders,
                         .hato_binary = self,
                         .event = bench_event,
                         .arg = b,
                         .log = {HATO__LOG_DEBUG, bench_log, b},
                         .first_poll_ms = first_ms != 0 ? first_ms : 50,
                         .interval_ms = interval_ms != 0 ? interval_ms : 50};
  hato_error err;
  ck_assert_msg(launchers_create(&o, &b->h, &err) == HATO_OK, "%s", err.text);
  return b;
}

static inline void bench_end(bench *b) {
  launchers_destroy(b->h, 2000);
  unit_remove_folder(b->dir);
  hato__buf_free(&b->log);
  free(b->events);
  free(b);
}

typedef struct wanted {
  launchers_event_type type;
  uint64_t launch;
  int64_t member; /* -1: any */
  int state;      /* -1: any */
} wanted;

/* Under the lock. */
static inline kept_event *bench_look(bench *b, wanted w) {
  for (size_t i = 0; i < b->n; i++) {
    kept_event *e = &b->events[i];
    if (e->type == w.type && e->launch == w.launch &&
        (w.member < 0 || (e->type == LAUNCHERS_MEMBER && e->number == w.member)) &&
        (w.state < 0 || (int)e->state == w.state))
      return e;
  }
  return NULL;
}

/* What has come by now. */
static inline kept_event *bench_find(bench *b, wanted w) {
  pthread_mutex_lock(&b->lock);
  kept_event *e = bench_look(b, w);
  pthread_mutex_unlock(&b->lock);
  return e;
}

/* Waits for it; NULL when it did not come in time. Events stay where they are. */
static inline kept_event *bench_wait_s(bench *b, wanted w, double seconds) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += (time_t)seconds;
  pthread_mutex_lock(&b->lock);
  kept_event *e;
  while ((e = bench_look(b, w)) == NULL && pthread_cond_timedwait(&b->news, &b->lock, &until) == 0) {
  }
  pthread_mutex_unlock(&b->lock);
  return e;
}

static inline kept_event *must(bench *b, launchers_event_type type, uint64_t launch, int64_t member,
                               int state) {
  kept_event *e = bench_wait_s(b, (wanted){type, launch, member, state}, WAIT_SECONDS);
  if (e == NULL) {
    pthread_mutex_lock(&b->lock);
    for (size_t i = 0; i < b->n; i++)
      fprintf(stderr, "  event %d launch %d member %u state %d: %s %s\n", (int)b->events[i].type,
              (int)b->events[i].launch, b->events[i].number, (int)b->events[i].state, b->events[i].text,
              b->events[i].reason);
    fprintf(stderr, "%s", b->log.len > 0 ? hato__buf_text(&b->log) : "");
    pthread_mutex_unlock(&b->lock);
    ck_abort_msg("event %d of launch %d, member %d, state %d did not come", (int)type, (int)launch,
                 (int)member, state);
  }
  return e;
}

static inline size_t bench_count(bench *b, launchers_event_type type, uint64_t launch) {
  size_t n = 0;
  pthread_mutex_lock(&b->lock);
  for (size_t i = 0; i < b->n; i++) n += b->events[i].type == type && b->events[i].launch == launch;
  pthread_mutex_unlock(&b->lock);
  return n;
}

static inline bool bench_logged(bench *b, const char *words) {
  pthread_mutex_lock(&b->lock);
  bool found = b->log.len > 0 && strstr(hato__buf_text(&b->log), words) != NULL;
  pthread_mutex_unlock(&b->lock);
  return found;
}

#define HAS(text, words) ck_assert_msg(strstr((text), (words)) != NULL, "'%s' lacks '%s'", (text), (words))

/* A request for count of these words; its tag is of the process and id. */
static inline hato_status launch_words(bench *b, uint64_t id, const char *launcher, uint32_t count,
                                       const char *const *options, const char *const *argv, hato_error *err) {
  char tag[64];
  (void)snprintf(tag, sizeof tag, "t%d.%d", (int)getpid(), (int)id);
  launchers_request r = {.id = id,
                         .launcher = launcher,
                         .options = options,
                         .argv = argv,
                         .count = count,
                         .tag = tag,
                         .log_dir = b->dir};
  return launchers_launch(b->h, &r, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define LAUNCH(b, id, launcher, count, options, ...)                                            \
  do {                                                                                          \
    hato_error err_;                                                                            \
    hato_status rc_ = launch_words(b, id, launcher, count, options, WORDS(__VA_ARGS__), &err_); \
    ck_assert_msg(rc_ == HATO_OK, "%s", err_.text);                                             \
  } while (0)

static inline bool alive(const char *job) {
  pid_t pid = (pid_t)atoi(job);
  return pid > 0 && kill(pid, 0) == 0;
}

/* The program is also `hato launcher-host`. */
#define LAUNCHERS_MAIN(suite)                                                                              \
  int main(int argc, char **argv) {                                                                        \
    if (argc == 2 && strcmp(argv[1], "launcher-host") == 0) return launchers_host_main(LAUNCHERS_HOST_FD); \
    return unit_main(suite, argc, argv);                                                                   \
  }

#endif

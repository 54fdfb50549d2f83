/* A dispatcher that a test plays over ipc, and a daemon in a process of its own. The
 * test's program is the daemon (`--daemon`, by fake_daemon) and the executor
 * (`executor`) too: its main tells them apart. */
#ifndef HATO_TESTS_HELP_FAKE_H
#define HATO_TESTS_HELP_FAKE_H

#include "net/net.h"
#include "proto/message.h"
#include "proto/spec.h"
#include <pthread.h>
#include <sys/types.h>
#include <time.h>

struct result {
  proto_result r;
  uint8_t *out, *err;
  char words[513];
};

struct fake {
  char dir[64], url[128], mark[64]; /* mark: in the environment of the daemon */
  const char *credential;
  unsigned slots, idle_ms, beat_ms;
  net_listener *listener;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  net_conn *conn;
  bool closed, enlisted;
  hato__buf out;
  struct {
    net_data *data;
    const uint8_t *at;
    size_t len;
  } refs[64];
  unsigned n_refs;
  struct result **results;
  unsigned n_results, cap_results;
  proto_run started[1000], taken[1000];
  unsigned n_started, n_taken, n_taken_frames, n_drain, n_goodbye, n_beats;
  uint64_t credit, out_bytes, out_sum; /* of the task in pieces */
  bool out_last, grant;
  pid_t pid;
};

/* Waits until what is true, under the lock. */
#define WAIT(f, what)                                                                         \
  do {                                                                                        \
    struct timespec until;                                                                    \
    clock_gettime(CLOCK_REALTIME, &until);                                                    \
    until.tv_sec += UNIT_WAIT_MS / 1000;                                                      \
    pthread_mutex_lock(&(f)->lock);                                                           \
    int rc_ = 0;                                                                              \
    while (!(what) && rc_ == 0) rc_ = pthread_cond_timedwait(&(f)->cond, &(f)->lock, &until); \
    bool is_ = (what);                                                                        \
    pthread_mutex_unlock(&(f)->lock);                                                         \
    ck_assert_msg(is_, "in vain: %s", #what);                                                 \
  } while (0)

/* What an expression is worth under the lock. */
#define LOCKED(f, what)               \
  ({                                  \
    pthread_mutex_lock(&(f)->lock);   \
    __auto_type value_ = (what);      \
    pthread_mutex_unlock(&(f)->lock); \
    value_;                           \
  })

/* Listens, starts a daemon and enlists it. beat_ms is the heartbeat's interval; with 50 the
 * dispatcher does not answer heartbeats. idle_ms: the daemon's idle exit. */
struct fake *fake_start(unsigned slots, unsigned beat_ms, unsigned idle_ms);
void fake_run(struct fake *f, const char *url, unsigned patience_ms); /* a daemon that dials url */
int fake_wait_daemon(struct fake *f);                                 /* its exit code; -signal */
void fake_finish(struct fake *f);
int fake_daemon(char **argv); /* what follows --daemon */

/* Appends to the outbox, `out`, and sends. */
#define SEND(f, encode)               \
  do {                                \
    pthread_mutex_lock(&(f)->lock);   \
    hato__buf *out = &(f)->out;       \
    encode;                           \
    net_conn *conn_ = (f)->conn;      \
    pthread_mutex_unlock(&(f)->lock); \
    net_wake(conn_);                  \
  } while (0)

void fake_send_spec(struct fake *f, uint32_t number, const proto_spec *s);
void fake_spec(struct fake *f, uint32_t number, proto_kind kind, const char *name); /* symbol or program */
void fake_counted(struct fake *f, uint32_t spec, uint64_t first,
                  uint32_t count); /* arguments are the numbers */
void fake_letters(struct fake *f, uint32_t spec, uint64_t first, const char *text); /* a task a letter */
void fake_runs(struct fake *f, proto_type type, uint64_t first, uint32_t count, uint16_t value);

/* What it got. */
const struct result *fake_result(struct fake *f, uint64_t task); /* waits */
const struct result *fake_find(struct fake *f, uint64_t task);
bool fake_in_runs(const proto_run *runs, unsigned n, uint64_t task);
uint64_t fake_total(const proto_run *runs, unsigned n);
bool fake_running(struct fake *f, uint64_t task);

/* The daemon and all that descends from it, told by a variable of their environment. */
unsigned fake_alive(const struct fake *f);
void fake_wait_alive(const struct fake *f, unsigned want);

#endif

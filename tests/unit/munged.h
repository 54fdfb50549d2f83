/* A munged that the test starts, with a key, a socket and files of its own; HATO_MUNGE_SOCKET names the last one. And
 * credentials that hato would not make. */
#ifndef HATO_TESTS_MUNGED_H
#define HATO_TESTS_MUNGED_H

#include "unit/net_help.h"

#include "net/munge.h"

#include <munge.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define MUNGED "/usr/sbin/munged"
#define NOBODY 65534u

typedef struct munged {
  char dir[64], socket[96];
  pid_t pid;
  bool ahead; /* its clock is, by 1000 s */
} munged;

static inline void munged_path(char *out, size_t n, const char *option, const munged *m, const char *file) {
  snprintf(out, n, "%s%s/%s", option, m->dir, file);
}

/* It ends with the test, even with one that fails. */
static inline void munged_exec(const munged *m, pid_t parent) {
  char key[128], at[128], pid[128], log[128], seed[128], null[] = "/dev/null";
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(1);
  munged_path(key, sizeof key, "--key-file=", m, "key");
  munged_path(at, sizeof at, "--socket=", m, "socket");
  munged_path(pid, sizeof pid, "--pid-file=", m, "pid");
  munged_path(log, sizeof log, "--log-file=", m, "log");
  munged_path(seed, sizeof seed, "--seed-file=", m, "seed");
  int quiet = open(null, O_RDWR);
  dup2(quiet, 0);
  dup2(quiet, 1);
  dup2(quiet, 2);
  execl(MUNGED, "munged", "--foreground", "--force", key, at, pid, log, seed, (char *)NULL);
  _exit(127);
}

static inline bool munged_answers(const munged *m) {
  ck_assert_int_eq(waitpid(m->pid, NULL, WNOHANG), 0); /* or munged does not start */
  setenv("HATO_MUNGE_SOCKET", m->socket, 1);
  return net__munge_runs();
}

static inline void munged_start(munged *m) {
  pid_t parent = getpid();
  if (m->ahead) setenv("LD_PRELOAD", HATO_BUILD_DIR "/tests/fixtures/clock_ahead.so", 1);
  m->pid = fork();
  if (m->pid == 0) munged_exec(m, parent);
  unsetenv("LD_PRELOAD");
  ck_assert_int_gt(m->pid, 0);
  WAIT_FOR(munged_answers(m));
}

static inline void munged_open_with(munged *m, const uint8_t bytes[128]) {
  char key[128];
  strcpy(m->dir, "/tmp/hato-munge-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(m->dir));
  chmod(m->dir, 0711); /* other users ask it, too */
  munged_path(m->socket, sizeof m->socket, "", m, "socket");
  munged_path(key, sizeof key, "", m, "key");
  hato_error err;
  ck_assert_int_eq(hato__write_file(key, bytes, 128, 0600, &err), HATO_OK);
  munged_start(m);
}

static inline void munged_open(munged *m) {
  uint8_t bytes[128];
  hato__random(bytes, sizeof bytes);
  m->ahead = false;
  munged_open_with(m, bytes);
}

/* Another host's of the same realm, whose clock is ahead. */
static inline void munged_open_ahead(munged *m, const munged *of) {
  char key[128];
  hato__buf bytes = {0};
  munged_path(key, sizeof key, "", of, "key");
  ck_assert_int_eq(hato__read_file(key, 128, &bytes, NULL), HATO_OK);
  ck_assert_uint_eq(bytes.len, 128);
  m->ahead = true;
  munged_open_with(m, bytes.data);
  hato__buf_free(&bytes);
}

static inline void munged_stop(munged *m, int sig) {
  if (m->pid > 0) {
    kill(m->pid, sig);
    kill(m->pid, SIGCONT);
    waitpid(m->pid, NULL, 0);
  }
  m->pid = 0;
}

static inline void munged_close(munged *m) {
  static const char *const files[] = {"key", "socket", "socket.lock", "pid", "log", "seed"};
  munged_stop(m, SIGTERM);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
    char path[128];
    munged_path(path, sizeof path, "", m, files[i]);
    unlink(path);
  }
  ck_assert_int_eq(rmdir(m->dir), 0);
}

/* By libmunge itself, so that what hato would not make is made. */
static inline void munge_make(char credential[NET_MUNGE_ROOM], const void *bytes, int n, int ttl, long only) {
  munge_ctx_t ctx = munge_ctx_create();
  char *made = NULL;
  ck_assert_int_eq(munge_ctx_set(ctx, MUNGE_OPT_SOCKET, getenv("HATO_MUNGE_SOCKET")), EMUNGE_SUCCESS);
  ck_assert_int_eq(munge_ctx_set(ctx, MUNGE_OPT_TTL, ttl), EMUNGE_SUCCESS);
  if (only >= 0) ck_assert_int_eq(munge_ctx_set(ctx, MUNGE_OPT_UID_RESTRICTION, (uid_t)only), EMUNGE_SUCCESS);
  ck_assert_int_eq(munge_encode(&made, ctx, bytes, n), EMUNGE_SUCCESS);
  snprintf(credential, NET_MUNGE_ROOM, "%s", made);
  free(made);
  munge_ctx_destroy(ctx);
}

/* In a child that is another user. */
static inline void munge_make_as_nobody(char credential[NET_MUNGE_ROOM], const uint8_t payload[NET_MUNGE_PAYLOAD]) {
  int ends[2];
  ck_assert_int_eq(pipe(ends), 0);
  pid_t pid = fork();
  if (pid == 0) {
    memset(credential, 0, NET_MUNGE_ROOM);
    if (setgid(NOBODY) != 0 || setuid(NOBODY) != 0) _exit(1);
    munge_make(credential, payload, NET_MUNGE_PAYLOAD, 0, 0);
    _exit(write(ends[1], credential, NET_MUNGE_ROOM) == (ssize_t)NET_MUNGE_ROOM ? 0 : 1);
  }
  close(ends[1]);
  ck_assert(raw_read(ends[0], credential, NET_MUNGE_ROOM));
  close(ends[0]);
  int how;
  ck_assert_int_eq(waitpid(pid, &how, 0), pid);
  ck_assert_int_eq(how, 0);
}

#endif

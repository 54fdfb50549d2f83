/*
 * Asking munged, for a bounded time.
 *
 * libmunge waits 2 s for each answer, asks five times, and tries ten times to connect to
 * a socket that nobody listens at. It takes no time limit, but it looks up the socket's
 * name before each try. So it gets a name that can be made to lead nowhere: one below
 * /proc/self/fd/N, where N is the folder of munged's socket until the time is over, and
 * /dev/null afterwards. Then the try under way is the last.
 *
 * libmunge writes with writev, which raises SIGPIPE when munged ends meanwhile: the thread
 * that asks has all signals blocked, and takes a pending one with it.
 */
#include "net/munge.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <munge.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Less than the 2 s of a try, so that one without an answer is not followed by another. */
#define ASK_MS 1900u

typedef struct ask {
  munge_ctx_t ctx;
  char socket[sizeof ((struct sockaddr_un *)0)->sun_path]; /* munged's, for words */
  int gate;                                                /* the folder of the socket */

  const uint8_t *payload; /* to encode, or NULL */
  char *made;
  const char *credential; /* to decode, or NULL */
  void *found;
  int found_len;
  uid_t uid;
  munge_err_t e;

  pthread_mutex_t lock;
  pthread_cond_t ended;
  bool over;
} ask;

static hato_status no_answer(const ask *a, const char *why, hato_error *err) {
  return hato__fail(err, HATO_UNREACHABLE, "munged does not answer at %s: %s", a->socket, why);
}

/* Does anybody listen? A datagram socket cannot be connected to a stream's, but the kernel
 * says whether there is one, and munged sees (and logs) nothing of it. */
static hato_status look(const ask *a, const struct sockaddr_un *at, hato_error *err) {
  int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return hato__fail_errno(err, "no socket to munged");
  int e = connect(fd, (const struct sockaddr *)at, sizeof *at) == 0 ? 0 : errno;
  close(fd);
  if (e == EPROTOTYPE) return HATO_OK;
  return no_answer(a, e == 0 ? "not munged's socket" : strerror(e), err);
}

/* The name for libmunge. Without /proc it is the plain one, and its patience the limit. */
static hato_status open_gate(ask *a, hato_error *err) {
  char folder[sizeof a->socket], name[sizeof a->socket + 32];
  const char *slash = strrchr(a->socket, '/');
  if (a->socket[0] != '/' || slash == NULL) return no_answer(a, "the path is not absolute", err);
  snprintf(folder, sizeof folder, "%.*s", (int)(slash - a->socket), a->socket);
  a->gate = open(folder[0] == 0 ? "/" : folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (a->gate < 0) return no_answer(a, strerror(errno), err);
  int n = snprintf(name, sizeof name, "/proc/self/fd/%d%s", a->gate, slash);
  bool short_enough = n > 0 && (size_t)n < sizeof a->socket;
  const char *used = short_enough && access(name, F_OK) == 0 ? name : a->socket;
  if (munge_ctx_set(a->ctx, MUNGE_OPT_SOCKET, used) != EMUNGE_SUCCESS)
    return hato__fail(err, HATO_NO_MEMORY, "no memory for MUNGE");
  return HATO_OK;
}

static void ask_close(ask *a) {
  free(a->made);
  free(a->found);
  if (a->ctx != NULL) munge_ctx_destroy(a->ctx);
  if (a->gate >= 0) close(a->gate);
}

/* To be closed also when it fails. */
static hato_status ask_open(ask *a, hato_error *err) {
  *a = (ask){.gate = -1, .uid = (uid_t)-1, .e = EMUNGE_SNAFU};
  a->ctx = munge_ctx_create();
  if (a->ctx == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for MUNGE");
  const char *path = getenv("HATO_MUNGE_SOCKET");
  if (path == NULL || path[0] == 0) munge_ctx_get(a->ctx, MUNGE_OPT_SOCKET, &path);
  struct sockaddr_un at = {.sun_family = AF_UNIX};
  if (path == NULL || strlen(path) >= sizeof at.sun_path)
    return hato__fail(err, HATO_UNREACHABLE,
                      "munged does not answer: the path of its socket is longer than %zu bytes: %s",
                      sizeof at.sun_path - 1, path == NULL ? "" : path);
  strcpy(at.sun_path, path);
  strcpy(a->socket, path);
  hato_status st = look(a, &at, err);
  return st == HATO_OK ? open_gate(a, err) : st;
}

static void *ask_thread(void *arg) {
  ask *a = arg;
  int n = a->payload == NULL ? 0 : (int)NET_MUNGE_PAYLOAD;
  munge_err_t e = a->credential == NULL
                      ? munge_encode(&a->made, a->ctx, a->payload, n)
                      : munge_decode(a->credential, a->ctx, &a->found, &a->found_len, &a->uid, NULL);
  pthread_mutex_lock(&a->lock);
  a->e = e;
  a->over = true;
  pthread_cond_signal(&a->ended);
  pthread_mutex_unlock(&a->lock);
  return NULL;
}

/* From now on the socket's name leads nowhere. Without a descriptor libmunge takes its time. */
static void shut_gate(const ask *a) {
  int nowhere = open("/dev/null", O_PATH | O_CLOEXEC);
  if (nowhere < 0) return;
  dup3(nowhere, a->gate, O_CLOEXEC);
  close(nowhere);
}

static void await(ask *a) {
  struct timespec until;
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += ASK_MS / 1000;
  until.tv_nsec += ASK_MS % 1000 * 1000000;
  if (until.tv_nsec >= 1000000000) {
    until.tv_sec++;
    until.tv_nsec -= 1000000000;
  }
  pthread_mutex_lock(&a->lock);
  while (!a->over && pthread_cond_timedwait(&a->ended, &a->lock, &until) != ETIMEDOUT) {}
  bool late = !a->over;
  pthread_mutex_unlock(&a->lock);
  if (late) shut_gate(a);
}

/* Has munged's word in a->e. */
static hato_status ask_run(ask *a, hato_error *err) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_mutex_init(&a->lock, NULL);
  pthread_cond_init(&a->ended, &attr);
  pthread_condattr_destroy(&attr);

  pthread_t thread;
  int e = hato__thread_start(&thread, 0, ask_thread, a);
  if (e == 0) {
    await(a);
    pthread_join(thread, NULL);
  }
  pthread_cond_destroy(&a->ended);
  pthread_mutex_destroy(&a->lock);
  return e == 0 ? HATO_OK : hato__fail(err, HATO_SYSTEM, "no thread to ask munged with: %s", strerror(e));
}

/* What is no fault of the credential. */
static hato_status munged_failed(const ask *a, hato_error *err) {
  if (a->e == EMUNGE_NO_MEMORY) return hato__fail(err, HATO_NO_MEMORY, "no memory for MUNGE");
  return no_answer(a, munge_strerror(a->e), err);
}

bool net__munge_runs(void) {
  ask a;
  bool runs = ask_open(&a, NULL) == HATO_OK && ask_run(&a, NULL) == HATO_OK && a.e == EMUNGE_SUCCESS;
  ask_close(&a);
  return runs;
}

static hato_status encode(ask *a, const uint8_t *payload, char *out, size_t n, hato_error *err) {
  hato_status st = ask_open(a, err);
  if (st != HATO_OK) return st;
  a->payload = payload;
  if (munge_ctx_set(a->ctx, MUNGE_OPT_UID_RESTRICTION, geteuid()) != EMUNGE_SUCCESS)
    return hato__fail(err, HATO_INTERNAL, "MUNGE takes no restriction to a user");
  st = ask_run(a, err);
  if (st != HATO_OK) return st;
  if (a->e != EMUNGE_SUCCESS || a->made == NULL) return munged_failed(a, err);
  size_t len = strlen(a->made);
  if (len >= n)
    return hato__fail(err, HATO_TOO_LARGE,
                      "munged at %s makes credentials of %zu bytes; at most %zu are wanted", a->socket, len,
                      n - 1);
  memcpy(out, a->made, len + 1);
  return HATO_OK;
}

hato_status net__munge_encode(const uint8_t payload[NET_MUNGE_PAYLOAD], char *out, size_t n,
                              hato_error *err) {
  hato__error_clear(err);
  if (n == 0) return hato__fail(err, HATO_INVALID, "no room for a MUNGE credential");
  out[0] = 0;
  ask a;
  hato_status st = encode(&a, payload, out, n, err);
  ask_close(&a);
  return st;
}

/* How its time went by this host's clock. */
static hato_status out_of_time(const ask *a, hato_error *err) {
  time_t made = 0, now = 0;
  int ttl = 0;
  munge_ctx_get(a->ctx, MUNGE_OPT_ENCODE_TIME, &made);
  munge_ctx_get(a->ctx, MUNGE_OPT_DECODE_TIME, &now);
  munge_ctx_get(a->ctx, MUNGE_OPT_TTL, &ttl);
  if (a->e == EMUNGE_CRED_REWOUND)
    return hato__fail(err, HATO_PEER_AUTH,
                      "the MUNGE credential is rewound: by this host's clock it is made in %" PRId64 " s",
                      (int64_t)made - now);
  return hato__fail(err, HATO_PEER_AUTH,
                    "the MUNGE credential has expired: by this host's clock it was made %" PRId64
                    " s ago, and it is good for %d s",
                    (int64_t)now - made, ttl);
}

static hato_status refused(const ask *a, hato_error *err) {
  switch (a->e) {
  case EMUNGE_CRED_EXPIRED:
  case EMUNGE_CRED_REWOUND:
    return out_of_time(a, err);
  case EMUNGE_CRED_REPLAYED:
    return hato__fail(err, HATO_PEER_AUTH,
                      "the MUNGE credential is replayed: it was decoded on this host before");
  case EMUNGE_CRED_UNAUTHORIZED:
    return hato__fail(err, HATO_PEER_AUTH,
                      "the MUNGE credential is restricted to another user or group than ours (user %u)",
                      (unsigned)geteuid());
  case EMUNGE_CRED_INVALID:
    return hato__fail(err, HATO_PEER_AUTH,
                      "the MUNGE credential is altered, or made with another key than this host's");
  case EMUNGE_BAD_ARG:
  case EMUNGE_BAD_LENGTH:
  case EMUNGE_BAD_CRED:
  case EMUNGE_BAD_VERSION:
  case EMUNGE_BAD_CIPHER:
  case EMUNGE_BAD_MAC:
  case EMUNGE_BAD_ZIP:
  case EMUNGE_BAD_REALM:
    return hato__fail(err, HATO_PEER_AUTH, "the MUNGE credential is malformed: %s", munge_strerror(a->e));
  default:
    return munged_failed(a, err);
  }
}

static hato_status decode(ask *a, const char *credential, const uint8_t *payload, hato_error *err) {
  hato_status st = ask_open(a, err);
  if (st != HATO_OK) return st;
  a->credential = credential;
  st = ask_run(a, err);
  if (st != HATO_OK) return st;
  if (a->e != EMUNGE_SUCCESS) return refused(a, err);
  if (a->uid != geteuid())
    return hato__fail(err, HATO_PEER_AUTH, "the MUNGE credential is made by user %u, not by ours (user %u)",
                      (unsigned)a->uid, (unsigned)geteuid());
  if (a->found_len != (int)NET_MUNGE_PAYLOAD || CRYPTO_memcmp(a->found, payload, NET_MUNGE_PAYLOAD) != 0)
    return hato__fail(err, HATO_PEER_AUTH,
                      "the MUNGE credential is made for something else than this connection");
  return HATO_OK;
}

hato_status net__munge_decode(const char *credential, const uint8_t payload[NET_MUNGE_PAYLOAD],
                              hato_error *err) {
  hato__error_clear(err);
  ask a;
  hato_status st = decode(&a, credential, payload, err);
  ask_close(&a);
  return st;
}

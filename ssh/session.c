/* A connection to a host: the client's process, and what is sent to it. */
#include "ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- made and found ---- */

void ssh_session_free(ssh_session *s) {
  if (s == NULL) return;
  ssh_session_unplug(s);
  ssh_copy_end(s);
  for (uint32_t i = 0; s->argv != NULL && i < s->argc; i++) free(s->argv[i]);
  free(s->argv);
  free(s->key);
  free(s->host);
  free(s->target);
  free(s->scheme);
  ssh_text_free(&s->queue);
  ssh_text_free(&s->held);
  ssh_text_free(&s->said);
  ssh_text_free(&s->heard);
  free(s);
}

/* Two launches share a connection when nothing of it would be different. */
static char *key_of(const hato_host *h, const char *const *argv, ssh_tunnel tunnel, const char *target) {
  char *key = h->format(h, "%d %s", (int)tunnel, target != NULL ? target : "");
  for (; key != NULL && *argv != NULL; argv++) key = h->format(h, "%s\n%s", key, *argv);
  return key;
}

typedef struct plan {
  const char *const *argv;
  uint32_t forward_at;
  char *scheme, *target, *key;
} plan;

static int plan_for(const hato_host *h, const hato_launcher_options *o, const ssh_wish *w, plan *p) {
  int rc = ssh_command(h, o, w, &p->argv, &p->forward_at);
  if (rc == HATO_OK) rc = ssh_target(h, w, &p->scheme, &p->target);
  if (rc != HATO_OK) return rc;
  p->key = key_of(h, p->argv, w->tunnel, p->target);
  return p->key != NULL ? HATO_OK : HATO_NO_MEMORY;
}

static ssh_session *by_key(const ssh_state *st, const char *key) {
  ssh_session *s = st->sessions;
  while (s != NULL && (s->phase >= SSH_CLOSING || strcmp(s->key, key) != 0)) s = s->next;
  return s;
}

ssh_session *ssh_session_find(const ssh_state *st, const hato_host *h, const hato_launcher_options *o,
                              const ssh_wish *w) {
  plan p;
  return plan_for(h, o, w, &p) == HATO_OK ? by_key(st, p.key) : NULL;
}

static bool copy_argv(ssh_session *s, const char *const *argv) {
  while (argv[s->argc] != NULL) s->argc++;
  s->argv = calloc(s->argc + 1, sizeof *s->argv);
  for (uint32_t i = 0; s->argv != NULL && i < s->argc; i++) {
    s->argv[i] = strdup(argv[i]);
    if (s->argv[i] == NULL) return false;
  }
  return s->argv != NULL;
}

static void name_anew(ssh_session *s) {
  unsigned char r[16] = {0};
  (void)getrandom(r, sizeof r, 0);
  for (size_t i = 0; i < sizeof r; i++) (void)snprintf(s->nonce + 2 * i, 3, "%02x", r[i]);
  (void)snprintf(s->socket, sizeof s->socket, "/tmp/hato-%s.sock", s->nonce);
}

void ssh_session_again(ssh_session *s) {
  ssh_text_free(&s->queue);
  ssh_text_free(&s->held);
  ssh_text_free(&s->said);
  ssh_copy_end(s);
  name_anew(s);
  s->phase = SSH_WAITING;
  s->dialable = s->tunnel != SSH_PORT;
  s->late = false;
  s->due = 0;
  ssh_script(&s->queue, s);
}

ssh_session *ssh_session_get(ssh_state *st, const hato_host *h, const hato_launcher_options *o,
                             const ssh_wish *w) {
  plan p;
  if (plan_for(h, o, w, &p) != HATO_OK) return NULL;
  ssh_session *s = by_key(st, p.key), **at = &st->sessions;
  if (s != NULL) return s;
  s = calloc(1, sizeof *s);
  if (s == NULL) {
    (void)h->fail(h, HATO_NO_MEMORY, "no memory for a connection");
    return NULL;
  }
  s->in = s->out = s->err = s->pidfd = s->file = -1;
  s->at = p.forward_at;
  s->tunnel = w->tunnel;
  s->parallel = (uint32_t)h->option_int(h, o, "parallel");
  s->connect_ms = h->option_duration(h, o, "connect-timeout");
  s->give_up_ms = h->option_duration(h, o, "give-up");
  s->key = strdup(p.key);
  s->host = strdup(w->host->text);
  if (p.target != NULL) s->target = strdup(p.target);
  if (p.scheme != NULL) s->scheme = strdup(p.scheme);
  if (!copy_argv(s, p.argv) || s->key == NULL || s->host == NULL ||
      (p.target != NULL && (s->target == NULL || s->scheme == NULL))) {
    ssh_session_free(s);
    (void)h->fail(h, HATO_NO_MEMORY, "no memory for a connection");
    return NULL;
  }
  ssh_session_again(s);
  while (*at != NULL) at = &(*at)->next; /* those that wait are served in order */
  *at = s;
  return s;
}

/* ---- its process ---- */

static int close_fd(int *fd) {
  if (*fd >= 0) (void)close(*fd);
  *fd = -1;
  return -1;
}

void ssh_session_unplug(ssh_session *s) {
  close_fd(&s->in);
  close_fd(&s->out);
  close_fd(&s->err);
  close_fd(&s->pidfd);
}

void ssh_session_kill(const ssh_session *s, int sig) {
  if (s->pidfd >= 0) (void)pidfd_send_signal(s->pidfd, sig, NULL, 0);
}

/* Both ends above 2, which the child gets. */
static bool make_pipe(int *ours, int *theirs, bool they_read) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) < 0) return false;
  for (int i = 0; i < 2; i++) {
    int up = fds[i] > 2 ? fds[i] : fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
    if (up != fds[i]) (void)close(fds[i]);
    fds[i] = up;
  }
  *ours = fds[they_read ? 1 : 0];
  *theirs = fds[they_read ? 0 : 1];
  return *ours >= 0 && *theirs >= 0 && fcntl(*ours, F_SETFL, O_NONBLOCK) == 0;
}

/* In a session of its own: without a terminal nothing can prompt, and Ctrl-C does not reach it. */
static int spawn_client(char **argv, const int fds[3], pid_t *pid) {
  posix_spawn_file_actions_t fa;
  posix_spawnattr_t attr;
  sigset_t all, none;
  (void)sigfillset(&all);
  (void)sigemptyset(&none);
  if (posix_spawn_file_actions_init(&fa) != 0) return ENOMEM;
  int e = posix_spawnattr_init(&attr);
  if (e == 0) {
    (void)posix_spawnattr_setsigdefault(&attr, &all);
    (void)posix_spawnattr_setsigmask(&attr, &none);
    e = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSID);
    for (int i = 0; e == 0 && i < 3; i++) e = posix_spawn_file_actions_adddup2(&fa, fds[i], i);
    if (e == 0) e = posix_spawn_file_actions_addclosefrom_np(&fa, 3);
    if (e == 0) e = posix_spawnp(pid, argv[0], &fa, &attr, argv, environ);
    (void)posix_spawnattr_destroy(&attr);
  }
  (void)posix_spawn_file_actions_destroy(&fa);
  return e;
}

/* The command with the forward in its place. */
static char **command_of(const hato_host *h, const ssh_session *s) {
  char **argv = h->alloc(h, (s->argc + 3) * sizeof *argv);
  uint32_t n = 0;
  for (uint32_t i = 0; argv != NULL && i < s->argc; i++) {
    if (i == s->at && s->tunnel != SSH_DIRECT) {
      argv[n++] = (char *)(uintptr_t) "-R";
      argv[n++] = h->format(h, "%s:%s", s->tunnel == SSH_SOCKET ? s->socket : "127.0.0.1:0", s->target);
      if (argv[n - 1] == NULL) return NULL;
    }
    argv[n++] = s->argv[i];
  }
  return argv;
}

static bool watch_fd(ssh_state *st, ssh_session *s, int fd, uint32_t events, int op) {
  struct epoll_event e = {.events = events, .data.ptr = s};
  return epoll_ctl(st->epoll, op, fd, &e) == 0;
}

int ssh_session_spawn(ssh_state *st, const hato_host *h, ssh_session *s) {
  char **argv = command_of(h, s);
  int theirs[3] = {-1, -1, -1};
  int rc = HATO_OK;
  if (argv == NULL) return HATO_NO_MEMORY;
  if (!make_pipe(&s->in, &theirs[0], true) || !make_pipe(&s->out, &theirs[1], false) ||
      !make_pipe(&s->err, &theirs[2], false))
    rc = h->fail(h, HATO_SYSTEM, "pipes for %s: %s", argv[0], strerror(errno));
  int e = rc == HATO_OK ? spawn_client(argv, theirs, &s->pid) : 0;
  for (int i = 0; i < 3; i++) close_fd(&theirs[i]);
  if (e != 0)
    rc = h->fail(h, e == ENOENT ? HATO_NOT_FOUND : HATO_SYSTEM, "cannot execute %s: %s", argv[0],
                 strerror(e));
  if (rc == HATO_OK) {
    s->pidfd = pidfd_open(s->pid, 0);
    if (s->pidfd < 0 || !watch_fd(st, s, s->pidfd, EPOLLIN, EPOLL_CTL_ADD) ||
        !watch_fd(st, s, s->out, EPOLLIN, EPOLL_CTL_ADD) ||
        !watch_fd(st, s, s->err, EPOLLIN, EPOLL_CTL_ADD) || !watch_fd(st, s, s->in, 0, EPOLL_CTL_ADD)) {
      rc = h->fail(h, HATO_SYSTEM, "cannot watch %s: %s", argv[0], strerror(errno));
      (void)kill(s->pid, SIGKILL);
      (void)waitpid(s->pid, NULL, 0);
    }
  }
  if (rc != HATO_OK) {
    ssh_session_unplug(s);
    return rc;
  }
  ssh_text_free(&s->heard);
  s->scanned = 0;
  s->phase = SSH_CONNECTING;
  s->due = ssh_now() + (s->connect_ms + 20000) * SSH_MS; /* the client minds the first of it */
  ssh_session_flush(st, s);
  return HATO_OK;
}

/* ---- sending ---- */

void ssh_session_flush(ssh_state *st, ssh_session *s) {
  if (s->in < 0) return;
  while (s->queue.len > 0 || ssh_copy_more(s)) {
    ssize_t n = write(s->in, s->queue.data, s->queue.len);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN) {
      (void)watch_fd(st, s, s->in, EPOLLOUT, EPOLL_CTL_MOD);
      return;
    }
    if (n < 0) { /* the client is about to end, which is seen */
      close_fd(&s->in);
      return;
    }
    ssh_cut(&s->queue, (size_t)n);
  }
  (void)watch_fd(st, s, s->in, 0, EPOLL_CTL_MOD);
}

void ssh_session_send(ssh_state *st, ssh_session *s, const char *bytes, size_t n) {
  bool now = s->dialable && !s->copying;
  ssh_put(now ? &s->queue : &s->held, bytes, n);
  if (now) ssh_session_flush(st, s);
}

void ssh_session_release(ssh_state *st, ssh_session *s) {
  if (!s->dialable || s->copying) return;
  ssh_put(&s->queue, s->held.data, s->held.len);
  ssh_text_free(&s->held);
  ssh_session_flush(st, s);
}

void ssh_session_end(ssh_session *s) {
  if (s->phase == SSH_UP) {
    close_fd(&s->in); /* the end of its input is the end of the other side */
  } else if (s->phase == SSH_CONNECTING) {
    ssh_session_kill(s, SIGTERM);
  }
  s->due = s->keep ? 0 : ssh_now() + 5000 * SSH_MS;
  s->phase = s->pidfd >= 0 ? SSH_CLOSING : SSH_OVER;
}

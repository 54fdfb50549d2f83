#include "daemon/daemon.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "base/version.h"
#include "daemon/state.h"
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define DIAL_TIMEOUT_MS 60000u /* the default */
#define RETRY_MS 200           /* between two looks for a credential */
#define END_NS \
  (3 * HATO__SEC) /* for executors to end by themselves: what functions keep has two to be destroyed */

void daemon_end(daemon_state *d, int code, hato_status status, const char *fmt, ...) {
  if (d->ended) return;
  d->ended = true;
  d->code = code;
  d->why.status = status;
  va_list args;
  va_start(args, fmt);
  vsnprintf(d->why.text, sizeof d->why.text, fmt, args);
  va_end(args);
  daemon_nudge(d);
}

void daemon_no_memory(daemon_state *d) {
  daemon_end(d, DAEMON_EXIT_FAILED, HATO_NO_MEMORY, "%s: the daemon is out of memory", d->node);
}

/* ---- setting up ---- */

/* The environment of executors: ours, less the credential and the share, which is not of daemons that a
 * task may start. */
static char **executor_env(void) {
  size_t n = 0, kept = 0;
  while (environ[n]) n++;
  char **env = calloc(n + 1, sizeof *env);
  if (!env) return NULL;
  for (size_t i = 0; i < n; i++)
    if (strncmp(environ[i], "HATO_CREDENTIAL=", 16) != 0 && strncmp(environ[i], "HATO_SHARE=", 11) != 0)
      env[kept++] = environ[i];
  return env;
}

static unsigned member_of(const daemon_options *o) {
  const char *text = o->member_env ? getenv(o->member_env) : NULL;
  uint64_t n;
  return text && hato__parse_u64(text, &n) && n <= UINT32_MAX ? (unsigned)n : o->member;
}

/* HATO_SHARE, "0/4": the part of this machine's cores that a launcher dealt to one of several daemons, whose
 * member numbers do not count per machine. An option says it instead. */
static hato_status share_of(const daemon_options *o, unsigned *part, unsigned *of, hato_error *err) {
  const char *text = o->share_of == 0 ? getenv("HATO_SHARE") : NULL;
  char extra;
  *part = member_of(o);
  *of = o->share_of;
  if (!text || !*text) return HATO_OK;
  if (sscanf(text, "%7u/%7u%c", part, of, &extra) == 2 && *part < *of) return HATO_OK;
  return hato__fail(err, HATO_INVALID, "HATO_SHARE is '%s'; PART/OF was wanted, as 0/4", text);
}

static hato_status open_slots(daemon_state *d, hato_error *err) {
  unsigned part, of;
  hato_status rc = share_of(d->o, &part, &of, err);
  if (rc == HATO_OK) rc = topo_probe(NULL, &d->topo, err);
  if (rc != HATO_OK) return rc;
  topo_deal(d->topo, part, of);
  /* Daemons that share a machine have one slot each. */
  d->n_slots = d->o->slots ? d->o->slots : of > 1 ? 1 : topo_cores(d->topo);
  d->slots = calloc(d->n_slots, sizeof *d->slots);
  if (!d->slots) return hato__fail(err, HATO_NO_MEMORY, "no memory for %u slots", d->n_slots);
  for (unsigned i = 0; i < d->n_slots; i++) {
    daemon_slot *s = &d->slots[i];
    s->index = i;
    s->fd = s->pidfd = -1;
    hato__list_init(&s->idle);
    hato__list_init(&s->flush);
    hato__list_init(&s->needs);
    hato__list_init(&s->covers);
    hato__list_init(&s->runs);
    hato__list_init(&s->pieces);
    hato__list_push(&d->idle, &s->idle);
  }
  hato__info(d->log, "DAEMON-SLOTS", "%u slots; %s", d->n_slots, topo_how(d->topo));
  return HATO_OK;
}

static bool watch(daemon_state *d, int fd, uint64_t tag) {
  struct epoll_event ev = {.events = EPOLLIN, .data.u64 = tag};
  return fd >= 0 && epoll_ctl(d->epoll, EPOLL_CTL_ADD, fd, &ev) == 0;
}

static void init_lists(daemon_state *d) {
  hato__link *lists[] = {&d->idle,  &d->hungry,     &d->flush,       &d->needs,  &d->covers,
                         &d->queue, &d->free_tasks, &d->free_pieces, &d->pieces, &d->all_specs};
  for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) hato__list_init(lists[i]);
}

static hato_status set_up(daemon_state *d, const daemon_options *o, hato_error *err) {
  d->o = o;
  d->log = o->log;
  d->object.fd = d->epoll = d->wake_fd = d->signal_fd = -1;
  init_lists(d);
  pthread_mutex_init(&d->lock, NULL);
  hato__hostname(d->node, sizeof d->node);
  if (o->hato_path)
    snprintf(d->hato_path, sizeof d->hato_path, "%s", o->hato_path);
  else if (!hato__self_exe(d->hato_path, sizeof d->hato_path))
    return hato__fail(err, HATO_SYSTEM, "cannot find out the path of this program");
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &set, NULL); /* before NNG's threads start: none takes them */
  d->epoll = epoll_create1(EPOLL_CLOEXEC);
  d->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  d->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  sigemptyset(&set);
  sigaddset(&set, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  if (!watch(d, d->wake_fd, UINT64_MAX) || !watch(d, d->signal_fd, UINT64_MAX - 1))
    return hato__fail_errno(err, "cannot wait for events");
  if (prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) return hato__fail_errno(err, "cannot become a subreaper");
  daemon_note_children(d);
  d->env = executor_env();
  if (!d->env) return hato__fail(err, HATO_NO_MEMORY, "no memory for an environment");
  daemon_objects_open(d);
  return open_slots(d, err);
}

/* ---- connecting ---- */

/* Waits a little; false: a signal came. */
static bool pause_a_little(daemon_state *d, int ms) {
  struct pollfd p = {.fd = d->signal_fd, .events = POLLIN};
  return poll(&p, 1, ms) <= 0;
}

static int exit_code_of(hato_status status) {
  return status == HATO_PEER_AUTH || status == HATO_PROTOCOL || status == HATO_PERMISSION
             ? DAEMON_EXIT_REFUSED
             : DAEMON_EXIT_NEVER;
}

static int dial(daemon_state *d, hato_error *err) {
  uint64_t timeout = d->o->dial_timeout_ms ? d->o->dial_timeout_ms : DIAL_TIMEOUT_MS;
  uint64_t by = hato__now() + timeout * HATO__MS;
  hato__credential *k;
  if (d->o->n_urls == 0) {
    hato__fail(err, HATO_INVALID, "a daemon needs the address of a dispatcher");
    return DAEMON_EXIT_NEVER;
  }
  hato_status rc;
  while ((rc = daemon_credential(d->o, &k, err)) == HATO_AGAIN && hato__now() < by)
    if (!pause_a_little(d, RETRY_MS)) break;
  hato__env_wipe("HATO_CREDENTIAL"); /* where others of this user could see it, whether it was wanted or not */
  if (rc == HATO_AGAIN && hato__now() < by) return DAEMON_EXIT_NEVER; /* a signal came first */
  if (rc != HATO_OK) return rc == HATO_NO_MEMORY ? DAEMON_EXIT_FAILED : DAEMON_EXIT_REFUSED;
  uint64_t now = hato__now(), left = now < by ? (by - now) / HATO__MS : 0;
  net_dialling o = {.urls = d->o->urls,
                    .n = d->o->n_urls,
                    .role = PROTO_ROLE_DAEMON,
                    .auth = &(net_auth){.credential = k, .munge = d->o->munge},
                    .timeout_ms = left < 1 ? 1 : left > UINT32_MAX ? UINT32_MAX : (unsigned)left,
                    .give_up_fd = d->signal_fd,
                    .log = d->log};
  rc = net_dial_any(&o, &d->conn, err);
  hato__credential_free(k);
  if (rc != HATO_OK) return exit_code_of(rc);
  hato__info(d->log, "DAEMON-CONNECTED", "connected to %s", net_peer_of(d->conn)->address);
  return DAEMON_EXIT_OK;
}

static void enlist(daemon_state *d) {
  proto_daemon m = {.instance = 1,
                    .launch = net_peer_of(d->conn)->id,
                    .member = member_of(d->o),
                    .slots = d->n_slots,
                    .cores = topo_cores(d->topo),
                    .pid = (uint32_t)getpid(),
                    .host = d->node,
                    .host_len = (uint32_t)strlen(d->node),
                    .version = HATO__VERSION,
                    .version_len = (uint32_t)strlen(HATO__VERSION)};
  hato__random(&m.id, sizeof m.id);
  d->enlist_by = hato__now() + DAEMON_ENLIST_NS;
  proto_daemon_encode(daemon_control(d), &m);
  net_start(d->conn, &daemon_ops, d);
  daemon_lock(d);
  d->wake = true;
  daemon_settle(d);
}

/* ---- the end ---- */

/* Waits for the executor's end, up to a moment; then kills it. */
static void end_executor(daemon_slot *s, uint64_t by) {
  struct pollfd p = {.fd = s->pidfd, .events = POLLIN};
  uint64_t now = hato__now();
  if (poll(&p, 1, now < by ? (int)((by - now) / HATO__MS) : 0) == 0) {
    kill(s->pid, SIGKILL);
    (void)poll(&p, 1, 5000);
  }
  siginfo_t info;
  (void)waitid(P_PIDFD, (id_t)s->pidfd, &info, WEXITED | WNOHANG);
}

/* Ends every task: an executor whose socket ends kills all that descends from it. */
static void end_tasks(daemon_state *d) {
  daemon_lock(d);
  for (unsigned i = 0; i < d->n_slots; i++) {
    d->slots[i].ended = true;
    if (d->slots[i].fd >= 0) shutdown(d->slots[i].fd, SHUT_RDWR);
  }
  pthread_mutex_unlock(&d->lock);
  uint64_t by = hato__now() + END_NS;
  for (unsigned i = 0; i < d->n_slots; i++)
    if (d->slots[i].pid != 0) end_executor(&d->slots[i], by);
  daemon_lock(d);
  for (unsigned i = 0; i < d->n_slots; i++) d->slots[i].pid = 0;
  pthread_mutex_unlock(&d->lock);
  daemon_reap_orphans(d, 5000);
}

/* Closes the connection; false: its last callback has not come, nothing may be freed. */
static bool hang_up(daemon_state *d) {
  if (!d->conn) return true;
  net_close(d->conn, HATO_OK, "the daemon ends");
  for (int i = 0; i < 500; i++) {
    daemon_lock(d);
    bool closed = d->closed;
    pthread_mutex_unlock(&d->lock);
    if (closed) {
      net_release(d->conn);
      return true;
    }
    struct pollfd p = {.fd = d->wake_fd, .events = POLLIN};
    uint64_t n;
    if (poll(&p, 1, 10) > 0 && read(d->wake_fd, &n, sizeof n) < 0) continue;
  }
  return false;
}

static void free_tasks(daemon_state *d, hato__link *list) {
  for (hato__link *l; (l = hato__list_pop(list));) daemon_tasks_free(d, HATO__ENTRY(l, daemon_tasks, link));
}

static void free_slot(daemon_state *d, daemon_slot *s) {
  daemon_slot_drop(d, s);
  hato__buf_free(&s->staged);
  hato__buf_free(&s->out);
  hato__buf_free(&s->sending);
  free(s->interrupts);
  free(s->fault);
  free(s->in);
  if (s->fd >= 0) close(s->fd);
  if (s->pidfd >= 0) close(s->pidfd);
}

static void tear_down(daemon_state *d) {
  daemon_lock(d);
  for (unsigned i = 0; d->slots && i < d->n_slots; i++) free_tasks(d, &d->slots[i].runs);
  free_tasks(d, &d->queue);
  for (unsigned i = 0; d->slots && i < d->n_slots; i++) free_slot(d, &d->slots[i]);
  for (hato__link *l; (l = hato__list_pop(&d->pieces));)
    daemon_piece_free(d, HATO__ENTRY(l, daemon_piece, link));
  for (hato__link *l; (l = hato__list_pop(&d->free_tasks));) free(HATO__ENTRY(l, daemon_tasks, link));
  for (hato__link *l; (l = hato__list_pop(&d->free_pieces));) free(HATO__ENTRY(l, daemon_piece, link));
  pthread_mutex_unlock(&d->lock);
  daemon_streams_free(d);
  daemon_specs_free(d);
  daemon_object_abort(d);
  hato__buf_free(&d->out);
  free(d->started);
  free(d->slots);
  free(d->env);
  free(d->before);
  topo_destroy(d->topo);
  int fds[] = {d->epoll, d->wake_fd, d->signal_fd};
  for (int i = 0; i < 3; i++)
    if (fds[i] >= 0) close(fds[i]);
  pthread_mutex_destroy(&d->lock);
  free(d);
}

int daemon_run(const daemon_options *o, hato_error *err) {
  hato_error local;
  if (!err) err = &local;
  hato__error_clear(err);
  daemon_state *d = calloc(1, sizeof *d);
  if (!d) {
    hato__fail(err, HATO_NO_MEMORY, "no memory for a daemon");
    return DAEMON_EXIT_FAILED;
  }
  int code = DAEMON_EXIT_FAILED;
  if (set_up(d, o, err) == HATO_OK) {
    code = dial(d, err);
    if (code == DAEMON_EXIT_OK) {
      enlist(d);
      daemon_loop(d);
      end_tasks(d);
      code = d->code;
      if (code != DAEMON_EXIT_OK) *err = d->why;
    }
  }
  hato__log_msg(o->log, code == DAEMON_EXIT_OK ? HATO__LOG_INFO : HATO__LOG_ERROR, "DAEMON-END", "%s",
                code == DAEMON_EXIT_OK ? "the daemon ends" : err->text);
  if (hang_up(d)) tear_down(d);
  return code;
}

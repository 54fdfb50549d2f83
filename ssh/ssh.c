/*
 * ssh: daemons on other machines, by the OpenSSH client, so that the user's own configuration, keys, agent
 * and jump hosts hold. One connection a host starts all of its daemons and tells of them; it is shared by
 * launches. Nothing is polled for.
 *
 * Daemons outlive a connection that is lost, unless it was their tunnel: then they are looked for by their
 * tag over a new one, as after the end of our own process.
 */
#include "ssh.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- planning ---- */

static int plan(void *state, const hato_host *h, const hato_launcher_options *o, hato_launch_plan *p) {
  ssh_hosts hosts;
  (void)state;
  int rc = ssh_hosts_read(h, o, &hosts);
  if (rc != HATO_OK) return rc;
  if (p->count == 0) p->count = hosts.listings;
  if (ssh_tunnel_of(h, o) != SSH_DIRECT) p->flags &= ~HATO_LAUNCHER_NEEDS_LISTEN;
  ssh_hosts_free(&hosts);
  return ssh_client(h, o);
}

/* ---- following ---- */

static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  (void)launches;
  (void)n;
  ssh_pump(state, h, 0);
  return HATO_OK;
}

static void cancel_member(ssh_state *st, const hato_host *h, ssh_job *j, uint32_t i, uint64_t grace_ms) {
  ssh_member *m = &j->members[i];
  if (m->ended || m->cancelled) return;
  m->cancelled = true;
  m->kill_at = ssh_now() + grace_ms * SSH_MS;
  if (m->session == NULL) {
    for (uint32_t k = 0; k < j->n_places; k++) {
      ssh_session *s = j->places[k].session;
      if (s != NULL && s->phase == SSH_LOST) s->due = ssh_now();
    }
  } else if (m->session->phase == SSH_WAITING && !m->started) {
    ssh_end_for(h, j, i, h->format(h, "cancelled before %s was connected", m->session->host));
  } else if (m->session->phase == SSH_LOST) {
    m->session->due = ssh_now();
  } else {
    ssh_stop(st, j, i, "TERM");
  }
}

static int cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members,
                  uint32_t n) {
  ssh_state *st = state;
  ssh_job *j = ssh_job_find(st, l->id);
  if (j == NULL) return h->fail(h, HATO_NOT_FOUND, "ssh knows no launch %s", l->tag);
  for (uint32_t k = 0; k < n; k++) {
    if (members[k] >= j->count)
      return h->fail(h, HATO_INVALID, "launch %s has %u members, not %u", j->tag, j->count, members[k]);
  }
  uint64_t grace_ms = h->option_duration(h, l->options, "grace");
  for (uint32_t k = 0; k < (n > 0 ? n : j->count); k++)
    cancel_member(st, h, j, n > 0 ? members[k] : k, grace_ms);
  ssh_pump(st, h, 0);
  return HATO_OK;
}

/* ---- the rest ---- */

static void forget(void *state, const hato_host *h, const hato_launch *l) {
  (void)h;
  ssh_job *j = ssh_job_find(state, l->id);
  if (j == NULL) return;
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->members[i].session != NULL && j->members[i].started) j->members[i].session->keep = true;
  }
  ssh_job_drop(state, j);
  ssh_settle(state);
}

static int watch(void *state, const hato_host *h) {
  (void)h;
  return ((ssh_state *)state)->epoll;
}

/* Clients that serve daemons go on without us, until those have ended. */
static void close_ssh(void *state, const hato_host *h) {
  ssh_state *st = state;
  (void)h;
  while (st->sessions != NULL) {
    ssh_session *s = st->sessions;
    st->sessions = s->next;
    if (!s->keep && (s->phase != SSH_UP || s->live == 0)) ssh_session_kill(s, SIGTERM);
    ssh_session_free(s);
  }
  for (ssh_job *j = st->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; i < j->count; i++) j->members[i].session = NULL;
  }
  while (st->jobs != NULL) ssh_job_drop(st, st->jobs);
  if (st->timer >= 0) (void)close(st->timer);
  if (st->epoll >= 0) (void)close(st->epoll);
  free(st);
}

static int open_ssh(const hato_host *h, void **state) {
  ssh_state *st = calloc(1, sizeof *st);
  if (st == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  st->epoll = epoll_create1(EPOLL_CLOEXEC);
  st->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event e = {.events = EPOLLIN};
  if (st->epoll >= 0 && st->timer >= 0 && epoll_ctl(st->epoll, EPOLL_CTL_ADD, st->timer, &e) == 0) {
    *state = st;
    return HATO_OK;
  }
  int rc = h->fail(h, HATO_SYSTEM, "an epoll and a timer descriptor: %s", strerror(errno));
  close_ssh(st, h);
  return rc;
}

static const char *const tunnels[] = {"no",    "yes",  "socket",
                                      "false", "true", NULL}; /* ssh_tunnel_of's order */

static const hato_option_row options[] = {
    {.name = "host",
     .type = HATO_OPTION_LIST,
     .flags = HATO_OPTION_REQUIRED,
     .metavar = "HOST,...",
     .help = "Where: names as in the ssh configuration, [USER@]HOST or ssh://[USER@]HOST[:PORT]; "
             "node[01-16,20] is "
             "many. Daemons are dealt to them in turn, one a listing unless -n says how many in all."},
    {.name = "tunnel",
     .type = HATO_OPTION_ENUM,
     .def = "no",
     .values = tunnels,
     .help =
         "Daemons dial through the ssh connection: yes, by a port of the host that it chooses; socket, by a "
         "socket in its /tmp. They end with the connection."},
    {.name = "hato",
     .type = HATO_OPTION_STRING,
     .def = "same",
     .metavar = "same|copy|PATH",
     .help = "The program there: at the same path as here, and where that is not, copied into ~/.cache/hato; "
             "always such a copy; or at this path."},
    {.name = "ssh",
     .type = HATO_OPTION_STRING,
     .def = "ssh",
     .metavar = "COMMAND",
     .help = "The OpenSSH client, and words of its own."},
    {.name = "ssh-option",
     .type = HATO_OPTION_LIST,
     .metavar = "KEY=VALUE",
     .help = "For the client's -o, as ProxyJump=login; may be repeated."},
    {.name = "config",
     .type = HATO_OPTION_STRING,
     .metavar = "FILE",
     .help = "The client's configuration, instead of the user's."},
    {.name = "parallel",
     .type = HATO_OPTION_INT,
     .def = "16",
     .min = 1,
     .max = 256,
     .help = "How many hosts are connected at the same time; others wait."},
    {.name = "connect-timeout",
     .type = HATO_OPTION_DURATION,
     .def = "10s",
     .min = 1000,
     .max = 3600000,
     .help = "How long a host may take to answer; logging in may take 20 s more."},
    {.name = "grace",
     .type = HATO_OPTION_DURATION,
     .def = "2s",
     .max = 3600000,
     .help = "How long a daemon that was told to end may take before it is killed."},
    {.name = "give-up",
     .type = HATO_OPTION_DURATION,
     .def = "5m",
     .max = 86400000,
     .help = "How long a host whose connection was lost is tried again, until its daemons count as ended."},
};

const hato_launcher hato_launcher_module = {
    HATO_LAUNCHER_HEAD,
    .name = "ssh",
    .version = "1.0",
    .description = "daemons on other machines, by the OpenSSH client",
    .flags = HATO_LAUNCHER_NEEDS_LISTEN | HATO_LAUNCHER_CANCELS_MEMBERS | HATO_LAUNCHER_DEFAULT_COUNT,
    .options = options,
    .option_count = sizeof options / sizeof *options,
    .secret_ways = HATO_SECRET_STDIN,
    .member_env = SSH_MEMBER,
    .member_first = 0,
    .launch_deadline_ms = SSH_LAUNCH_MS,
    .other_deadline_ms = SSH_OTHER_MS,
    .open = open_ssh,
    .plan = plan,
    .launch = ssh_launch,
    .poll = poll_all,
    .cancel = cancel,
    .adopt = ssh_adopt,
    .forget = forget,
    .watch = watch,
    .close = close_ssh,
};

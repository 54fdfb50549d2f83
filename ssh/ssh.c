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

#define RECORD "ssh 1"
enum { LAUNCH_DEADLINE_MS = 120000, OTHER_DEADLINE_MS = 60000, MARGIN_MS = 10000, UNDO_MS = 3000, STEP_MS = 100 };

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

/* ---- launching ---- */

static bool any_started(const ssh_job *j) {
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->members[i].started) return true;
  }
  return false;
}

static int submit(ssh_state *st, const hato_host *h, ssh_job *j, const ssh_hosts *hosts,
                  const hato_launch_request *r) {
  int rc = ssh_job_deal(st, h, j, hosts, r);
  for (uint32_t k = 0; rc == HATO_OK && k < j->n_places; k++) {
    ssh_session *s = j->places[k].session;
    ssh_text text = {0};
    rc = ssh_script_job(h, r, s, &text);
    for (uint32_t i = 0; i < j->count; i++) {
      if (j->members[i].session == s) ssh_script_member(&text, j, i);
    }
    if (text.failed) rc = h->fail(h, HATO_NO_MEMORY, "no memory for a launch");
    if (rc == HATO_OK && s->phase == SSH_LOST) s->due = ssh_now(); /* another reason to try again */
    if (rc == HATO_OK) ssh_session_send(st, s, text.data, text.len);
    ssh_text_free(&text);
  }
  return rc;
}

/* All or none. */
static void undo(ssh_state *st, const hato_host *h, ssh_job *j) {
  uint64_t until = ssh_now() + UNDO_MS * SSH_MS;
  bool left = true;
  for (uint32_t i = 0; i < j->count; i++) {
    j->members[i].cancelled = j->members[i].killed = true;
    ssh_stop(st, j, i, "KILL");
  }
  while (left && ssh_now() < until) {
    left = false;
    for (uint32_t i = 0; i < j->count; i++) left |= j->members[i].started && !j->members[i].ended;
    if (left) ssh_pump(st, h, STEP_MS);
  }
  ssh_job_drop(st, j);
  ssh_settle(st);
}

/* Until one has started, so that not all have failed; the others go on meanwhile and later. */
static int first_start(ssh_state *st, const hato_host *h, ssh_job *j) {
  uint64_t until = ssh_now() + (LAUNCH_DEADLINE_MS - MARGIN_MS) * SSH_MS;
  while (!any_started(j) && j->ended < j->count && ssh_now() < until) {
    if (h->should_abort(h)) return h->fail(h, HATO_INTERRUPTED, "interrupted while hosts were being connected");
    ssh_pump(st, h, STEP_MS);
  }
  if (any_started(j) || j->ended < j->count) return HATO_OK;
  const char *why = j->trouble != NULL ? j->trouble : "no daemon could be started";
  return j->n_places <= 1 ? h->fail(h, HATO_UNREACHABLE, "%s", why)
                          : h->fail(h, HATO_UNREACHABLE, "none of %u hosts could be used; %s", j->n_places, why);
}

static int check(const ssh_state *st, const hato_host *h, const hato_launch_request *r) {
  if (ssh_job_find(st, r->id) != NULL) return h->fail(h, HATO_EXISTS, "launch %s exists", r->tag);
  if (ssh_tunnel_of(h, r->options) != SSH_DIRECT && ((r->flags & HATO_LAUNCH_DIAL_IN) == 0 || r->dial_arg == 0))
    return h->fail(h, HATO_INVALID, "tunnel: only daemons of hato can be led through one, not '%s'", r->argv[0]);
  return ssh_client(h, r->options);
}

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  ssh_state *st = state;
  ssh_hosts hosts;
  int rc = check(st, h, r);
  if (rc == HATO_OK) rc = ssh_hosts_read(h, r->options, &hosts);
  if (rc != HATO_OK) return rc;
  const hato_launch as = {.count = r->count, .id = r->id, .tag = r->tag, .flags = r->flags};
  ssh_job *j = ssh_job_make(st, &as, hosts.n);
  if (j != NULL) j->program = strdup(r->argv[0]);
  if (j == NULL || j->program == NULL) rc = h->fail(h, HATO_NO_MEMORY, "no memory for %u daemons", r->count);
  if (rc == HATO_OK && r->count < hosts.n)
    h->log(h, HATO_LEVEL_NOTICE, "%u hosts are listed for %u daemons: not all get one", hosts.n, r->count);
  if (rc == HATO_OK) rc = submit(st, h, j, &hosts, r);
  ssh_hosts_free(&hosts);
  if (rc == HATO_OK) rc = first_start(st, h, j);
  if (rc != HATO_OK) {
    if (j != NULL) undo(st, h, j);
    return rc;
  }
  for (uint32_t i = 0; i < j->count; i++) {
    const ssh_member *m = &j->members[i];
    if (!m->started && !m->ended) ssh_tell_state(h, j, i, HATO_MEMBER_STARTING, h->format(h, "connecting to %s", m->session->host));
  }
  record->len = (uint32_t)strlen(RECORD);
  memcpy(record->bytes, RECORD, record->len);
  return HATO_OK;
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

static int cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members, uint32_t n) {
  ssh_state *st = state;
  ssh_job *j = ssh_job_find(st, l->id);
  if (j == NULL) return h->fail(h, HATO_NOT_FOUND, "ssh knows no launch %s", l->tag);
  for (uint32_t k = 0; k < n; k++) {
    if (members[k] >= j->count)
      return h->fail(h, HATO_INVALID, "launch %s has %u members, not %u", j->tag, j->count, members[k]);
  }
  uint64_t grace_ms = h->option_duration(h, l->options, "grace");
  for (uint32_t k = 0; k < (n > 0 ? n : j->count); k++) cancel_member(st, h, j, n > 0 ? members[k] : k, grace_ms);
  ssh_pump(st, h, 0);
  return HATO_OK;
}

/* ---- taking up what another process started ---- */

/* Each host of the options is asked, as the record does not hold who started where. */
static int ask_hosts(ssh_state *st, const hato_host *h, ssh_job *j, const ssh_hosts *hosts,
                     const hato_launcher_options *o) {
  for (uint32_t i = 0; i < hosts->n; i++) {
    ssh_wish w = {.host = &hosts->hosts[i], .tunnel = SSH_DIRECT};
    ssh_session *s = ssh_session_get(st, h, o, &w);
    if (s == NULL) return HATO_INVALID;
    ssh_place *p = &j->places[j->n_places++];
    p->session = s;
    ssh_search(st, j, p);
  }
  return HATO_OK;
}

/* True: a host was not asked yet. One that could not be reached was. */
static bool asking(const ssh_job *j) {
  for (uint32_t k = 0; k < j->n_places; k++) {
    if (j->places[k].searching && j->places[k].session->phase != SSH_LOST) return true;
  }
  return false;
}

static int adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
  ssh_state *st = state;
  ssh_hosts hosts;
  if (l->record_len > 0 && (l->record_len != strlen(RECORD) || memcmp(l->record, RECORD, l->record_len) != 0))
    return h->fail(h, HATO_NOT_FOUND, "the record of launch %s is not of ssh", l->tag);
  record->len = (uint32_t)strlen(RECORD);
  memcpy(record->bytes, RECORD, record->len);
  if (ssh_job_find(st, l->id) != NULL) return HATO_OK;
  int rc = ssh_client(h, l->options);
  if (rc == HATO_OK) rc = ssh_hosts_read(h, l->options, &hosts);
  if (rc != HATO_OK) return rc;
  ssh_job *j = ssh_job_make(st, l, hosts.n);
  rc = j != NULL ? ask_hosts(st, h, j, &hosts, l->options) : h->fail(h, HATO_NO_MEMORY, "no memory for a launch");
  ssh_hosts_free(&hosts);
  uint64_t until = ssh_now() + (OTHER_DEADLINE_MS - MARGIN_MS) * SSH_MS;
  while (rc == HATO_OK && asking(j) && ssh_now() < until) {
    if (h->should_abort(h)) rc = h->fail(h, HATO_INTERRUPTED, "interrupted while hosts were asked for launch %s", j->tag);
    ssh_pump(st, h, STEP_MS);
  }
  if (rc == HATO_OK && j->ended == j->count)
    rc = h->fail(h, HATO_NOT_FOUND, "no process of launch %s is left", l->tag);
  for (uint32_t i = 0; rc == HATO_OK && i < j->count; i++) {
    if (!j->members[i].ended && !j->members[i].started)
      ssh_tell_state(h, j, i, HATO_MEMBER_STARTING, j->trouble != NULL ? j->trouble : "hosts are being asked for it");
  }
  if (rc != HATO_OK && j != NULL) {
    ssh_job_drop(st, j);
    ssh_settle(st);
  }
  return rc;
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

static const char *const tunnels[] = {"no", "yes", "socket", "false", "true", NULL}; /* ssh_tunnel_of's order */

static const hato_option_row options[] = {
    {.name = "host",
     .type = HATO_OPTION_LIST,
     .flags = HATO_OPTION_REQUIRED,
     .metavar = "HOST,...",
     .help = "Where: names as in the ssh configuration, [USER@]HOST or ssh://[USER@]HOST[:PORT]; node[01-16,20] is "
             "many. Daemons are dealt to them in turn, one a listing unless -n says how many in all."},
    {.name = "tunnel",
     .type = HATO_OPTION_ENUM,
     .def = "no",
     .values = tunnels,
     .help = "Daemons dial through the ssh connection: yes, by a port of the host that it chooses; socket, by a "
             "socket in its /tmp. They end with the connection."},
    {.name = "hato",
     .type = HATO_OPTION_STRING,
     .def = "same",
     .metavar = "same|copy|PATH",
     .help = "The program there: at the same path as here, and where that is not, copied into ~/.cache/hato; "
             "always such a copy; or at this path."},
    {.name = "ssh", .type = HATO_OPTION_STRING, .def = "ssh", .metavar = "COMMAND", .help = "The OpenSSH client, and words of its own."},
    {.name = "ssh-option",
     .type = HATO_OPTION_LIST,
     .metavar = "KEY=VALUE",
     .help = "For the client's -o, as ProxyJump=login; may be repeated."},
    {.name = "config", .type = HATO_OPTION_STRING, .metavar = "FILE", .help = "The client's configuration, instead of the user's."},
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
    .launch_deadline_ms = LAUNCH_DEADLINE_MS,
    .other_deadline_ms = OTHER_DEADLINE_MS,
    .open = open_ssh,
    .plan = plan,
    .launch = launch,
    .poll = poll_all,
    .cancel = cancel,
    .adopt = adopt,
    .forget = forget,
    .watch = watch,
    .close = close_ssh,
};

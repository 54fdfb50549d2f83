/* Launches: made, or taken up that another process made. */
#include "ssh.h"

#include <stdlib.h>
#include <string.h>

#define RECORD "ssh 1"
enum { MARGIN_MS = 10000, UNDO_MS = 3000, STEP_MS = 100 };

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
  if (rc == HATO_OK) rc = ssh_script_job(h, r, ssh_tunnel_of(h, r->options), &j->text);
  if (rc == HATO_OK && j->text.failed) rc = h->fail(h, HATO_NO_MEMORY, "no memory for a launch");
  for (uint32_t k = 0; rc == HATO_OK && k < j->n_places; k++) {
    ssh_session *s = j->places[k].session;
    if (s->phase == SSH_LOST)
      s->due = ssh_now(); /* another reason to try again */
    else
      ssh_start(st, j, s);
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
  uint64_t until = ssh_now() + (SSH_LAUNCH_MS - MARGIN_MS) * SSH_MS;
  while (!any_started(j) && j->ended < j->count && ssh_now() < until) {
    if (h->should_abort(h))
      return h->fail(h, HATO_INTERRUPTED, "interrupted while hosts were being connected");
    ssh_pump(st, h, STEP_MS);
  }
  if (any_started(j) || j->ended < j->count) return HATO_OK;
  const char *why = j->trouble != NULL ? j->trouble : "no daemon could be started";
  return j->n_places <= 1
             ? h->fail(h, HATO_UNREACHABLE, "%s", why)
             : h->fail(h, HATO_UNREACHABLE, "none of %u hosts could be used; %s", j->n_places, why);
}

static int check(const ssh_state *st, const hato_host *h, const hato_launch_request *r) {
  if (ssh_job_find(st, r->id) != NULL) return h->fail(h, HATO_EXISTS, "launch %s exists", r->tag);
  if (ssh_tunnel_of(h, r->options) != SSH_DIRECT &&
      ((r->flags & HATO_LAUNCH_DIAL_IN) == 0 || r->dial_arg == 0))
    return h->fail(h, HATO_INVALID, "tunnel: only daemons of hato can be led through one, not '%s'",
                   r->argv[0]);
  return ssh_client(h, r->options);
}

int ssh_launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
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
    if (!m->started && !m->ended)
      ssh_tell_state(h, j, i, HATO_MEMBER_STARTING, h->format(h, "connecting to %s", m->session->host));
  }
  record->len = (uint32_t)strlen(RECORD);
  memcpy(record->bytes, RECORD, record->len);
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

int ssh_adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
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
  rc = j != NULL ? ask_hosts(st, h, j, &hosts, l->options)
                 : h->fail(h, HATO_NO_MEMORY, "no memory for a launch");
  ssh_hosts_free(&hosts);
  uint64_t until = ssh_now() + (SSH_OTHER_MS - MARGIN_MS) * SSH_MS;
  while (rc == HATO_OK && asking(j) && ssh_now() < until) {
    if (h->should_abort(h))
      rc = h->fail(h, HATO_INTERRUPTED, "interrupted while hosts were asked for launch %s", j->tag);
    ssh_pump(st, h, STEP_MS);
  }
  if (rc == HATO_OK && j->ended == j->count)
    rc = h->fail(h, HATO_NOT_FOUND, "no process of launch %s is left", l->tag);
  for (uint32_t i = 0; rc == HATO_OK && i < j->count; i++) {
    if (!j->members[i].ended && !j->members[i].started)
      ssh_tell_state(h, j, i, HATO_MEMBER_STARTING,
                     j->trouble != NULL ? j->trouble : "hosts are being asked for it");
  }
  if (rc != HATO_OK && j != NULL) {
    ssh_job_drop(st, j);
    ssh_settle(st);
  }
  return rc;
}

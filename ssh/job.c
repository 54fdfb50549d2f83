/* Launches and their members. */
#include "ssh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

ssh_job *ssh_job_find(const ssh_state *st, uint64_t id) {
  ssh_job *j = st->jobs;
  while (j != NULL && j->id != id) j = j->next;
  return j;
}

void ssh_job_drop(ssh_state *st, ssh_job *j) {
  ssh_job **at = &st->jobs;
  while (*at != NULL && *at != j) at = &(*at)->next;
  if (*at != NULL) *at = j->next;
  for (uint32_t i = 0; j->members != NULL && i < j->count; i++) {
    ssh_take(&j->members[i], NULL);
    ssh_text_free(&j->members[i].log);
  }
  ssh_text_free(&j->text);
  free(j->tag);
  free(j->program);
  free(j->trouble);
  free(j->members);
  free(j->places);
  free(j);
}

ssh_job *ssh_job_make(ssh_state *st, const hato_launch *l, uint32_t n_places) {
  ssh_job *j = calloc(1, sizeof *j);
  if (j == NULL) return NULL;
  *j = (ssh_job){.next = st->jobs,
                 .id = l->id,
                 .count = l->count,
                 .to_start = l->count,
                 .daemons = (l->flags & HATO_LAUNCH_DIAL_IN) != 0,
                 .tag = strdup(l->tag),
                 .members = calloc(l->count, sizeof *j->members),
                 .places = calloc(n_places, sizeof *j->places)};
  st->jobs = j;
  if (j->tag != NULL && j->members != NULL && j->places != NULL) return j;
  ssh_job_drop(st, j);
  return NULL;
}

void ssh_job_fails(ssh_job *j, const char *why) {
  j->failures++;
  if (j->trouble == NULL) j->trouble = strdup(why);
}

void ssh_take(ssh_member *m, ssh_session *s) {
  if (m->session != NULL) m->session->live--;
  m->session = s;
  if (s != NULL) s->live++;
}

/* ---- telling ---- */

void ssh_tell(const hato_host *h, const ssh_job *j, uint32_t i, hato_member *m) {
  const ssh_member *p = &j->members[i];
  m->size = sizeof *m;
  m->first = i;
  m->count = 1;
  m->host = p->session != NULL ? p->session->host : NULL;
  m->job = p->pid > 0 ? h->format(h, "%d", (int)p->pid) : NULL;
  h->member(h, j->id, m);
}

void ssh_tell_state(const hato_host *h, const ssh_job *j, uint32_t i, uint32_t state, const char *reason) {
  hato_member m = {.state = state, .reason = reason};
  ssh_tell(h, j, i, &m);
}

void ssh_end_member(const hato_host *h, ssh_job *j, uint32_t i, hato_member *m) {
  ssh_member *p = &j->members[i];
  if (p->ended) return;
  m->state = HATO_MEMBER_ENDED;
  if (p->cancelled) m->flags |= HATO_MEMBER_CANCELLED;
  ssh_tell(h, j, i, m);
  if (!p->started) ssh_one_less_to_start(j);
  p->ended = true;
  p->kill_at = 0;
  ssh_take(p, NULL);
  ssh_text_free(&p->log);
  j->ended++;
}

void ssh_end_for(const hato_host *h, ssh_job *j, uint32_t i, const char *reason) {
  ssh_end_member(h, j, i, &(hato_member){.reason = reason});
}

/* ---- asking the other side ---- */

void ssh_stop(ssh_state *st, ssh_job *j, uint32_t i, const char *sig) {
  ssh_member *m = &j->members[i];
  char line[64];
  if (m->pid <= 0 || m->session == NULL || m->session->phase != SSH_UP) return;
  /* A daemon ends its own children, if it is given the time. */
  bool group = !j->daemons || strcmp(sig, "KILL") == 0;
  int n = snprintf(line, sizeof line, "stop %s %s%d\n", sig, group ? "-" : "", (int)m->pid);
  ssh_session_send(st, m->session, line, (size_t)n);
  m->stopped = true;
}

void ssh_one_less_to_start(ssh_job *j) {
  if (j->to_start > 0 && --j->to_start == 0) ssh_text_free(&j->text);
}

void ssh_start(ssh_state *st, ssh_job *j, ssh_session *s) {
  ssh_text lines = {0};
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->members[i].session == s && !j->members[i].started) ssh_script_member(&lines, j, i);
  }
  if (lines.len > 0) {
    ssh_session_send(st, s, j->text.data, j->text.len);
    ssh_session_send(st, s, lines.data, lines.len);
  }
  ssh_text_free(&lines);
}

void ssh_search(ssh_state *st, ssh_job *j, ssh_place *p) {
  char line[128];
  for (uint32_t i = 0; i < j->count; i++) {
    ssh_member *m = &j->members[i];
    m->sought = m->session == p->session && m->started;
    if (m->sought) m->found = false;
  }
  int n = snprintf(line, sizeof line, "search %llu %s\n", (unsigned long long)j->id, j->tag);
  ssh_session_send(st, p->session, line, (size_t)n);
  p->searching = true;
}

void ssh_searched(const hato_host *h, ssh_job *j) {
  for (uint32_t k = 0; k < j->n_places; k++) {
    if (j->places[k].searching) return;
  }
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->members[i].ended || j->members[i].session != NULL) continue;
    ssh_end_for(h, j, i,
                j->given_up ? h->format(h, "not found; %s", j->trouble != NULL ? j->trouble : "")
                            : "ended while nobody followed it");
  }
}

void ssh_tidy(ssh_state *st) {
  for (ssh_session *s = st->sessions; s != NULL; s = s->next) {
    bool needed = s->live > 0 || s->phase >= SSH_CLOSING;
    for (const ssh_job *j = st->jobs; !needed && j != NULL; j = j->next) {
      for (uint32_t k = 0; !needed && k < j->n_places; k++)
        needed = j->places[k].session == s && j->places[k].searching;
    }
    if (!needed) ssh_session_end(s);
  }
}

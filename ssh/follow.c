/* What a session says, and what becomes of its members when it is lost. */
#include "ssh.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LOG_MAX = 8192, TAIL_MAX = 2000, BACK_OFF_MAX_MS = 60000 };

/* ---- the tunnel ---- */

/* "Allocated port 41233 for remote forward to …" on the client's standard error. */
void ssh_follow_heard(ssh_state *st, ssh_session *s) {
  unsigned port = 0;
  int end = 0;
  if (s->dialable || s->heard.data == NULL) return;
  const char *at = strstr(s->heard.data, "Allocated port ");
  if (at == NULL || strchr(at, '\n') == NULL) return;
  if (sscanf(at, "Allocated port %5u %n", &port, &end) != 1 || end == 0 || at[end - 1] != ' ' ||
      port == 0 || port > 65535)
    return;
  ssh_putf(&s->queue, "dial=%s://127.0.0.1:%u\n", s->scheme, port);
  s->dialable = true;
  ssh_session_release(st, s);
}

/* ---- lines ---- */

typedef struct spoken { /* of which member, or (i == count) launch */
  ssh_job *job;
  uint32_t i;
  const char *rest;
} spoken;

static bool read_whom(const ssh_state *st, const char *text, bool member, spoken *out) {
  char *end;
  out->job = ssh_job_find(st, strtoull(text, &end, 10));
  if (end == text || out->job == NULL) return false;
  if (member && *end != '.') return false;
  out->i = out->job->count;
  if (member) {
    text = end + 1;
    unsigned long i = strtoul(text, &end, 10);
    if (end == text || i >= out->job->count) return false;
    out->i = (uint32_t)i;
  }
  out->rest = *end == ' ' ? end + 1 : end;
  return *end == ' ' || *end == 0;
}

static void runs(ssh_state *st, const hato_host *h, ssh_session *s, const spoken *w, bool found) {
  ssh_member *m = &w->job->members[w->i];
  int pid = 0;
  unsigned share = 0, of = 0;
  int n = sscanf(w->rest, "%d %u/%u", &pid, &share, &of);
  if (n < 1 || pid <= 0 || m->ended) return;
  /* Of several the eldest: a command that made a session of its own came later. */
  if (found && m->found && m->pid < pid) return;
  if (found && n == 3) {
    m->share = share;
    m->share_of = of;
  }
  if (m->session != s) ssh_take(m, s);
  m->pid = pid;
  if (!m->started) ssh_one_less_to_start(w->job);
  m->started = true;
  m->found = found;
  ssh_tell_state(h, w->job, w->i, HATO_MEMBER_RUNNING, NULL);
  if (m->cancelled) ssh_stop(st, w->job, w->i, m->killed ? "KILL" : "TERM");
}

static void ends(const hato_host *h, const spoken *w) {
  ssh_member *m = &w->job->members[w->i];
  int status = -1, pid = 0;
  hato_member t = {.log_tail = m->log.data};
  if (m->ended) return;
  if (sscanf(w->rest, "- %d", &pid) == 1) {
    if (pid != (int)m->pid) return; /* another than was taken for the daemon */
    t.reason = "ended; it was started by another connection, so that its exit code is not known";
  } else if (sscanf(w->rest, "%d", &status) == 1) {
    t.flags = HATO_MEMBER_EXIT_KNOWN;
    t.signal = status > 128 && status <= 128 + 64 ? status - 128 : 0; /* as a shell tells it */
    t.exit_code = t.signal != 0 ? -1 : status;
    t.reason = t.signal != 0 ? h->format(h, "killed by signal %d (%s)", t.signal, strsignal(t.signal))
                             : h->format(h, "exited with %d", status);
  }
  if (m->killed && m->cancelled)
    t.reason = "killed, as it did not end when asked to";
  else if (m->cancelled)
    t.reason = "cancelled";
  ssh_end_member(h, w->job, w->i, &t);
}

static void logs(const spoken *w) {
  ssh_text *log = &w->job->members[w->i].log;
  if (log->len > LOG_MAX) return;
  if (log->len > 0) ssh_puts(log, "\n");
  ssh_puts(log, w->rest);
}

/* hato is there now: members that were held are asked for again. */
static void copied(ssh_state *st, ssh_session *s, const ssh_job *j) {
  ssh_copy_end(s);
  ssh_session_release(st, s);
  for (uint32_t i = 0; i < j->count; i++) {
    ssh_text line = {0};
    if (j->members[i].session != s || j->members[i].started) continue;
    ssh_script_member(&line, j, i);
    ssh_session_send(st, s, line.data, line.len);
    ssh_text_free(&line);
  }
}

static const char *no_program(const hato_host *h, const ssh_session *s, const ssh_job *j, const char *what) {
  if (strncmp(what, "none ", 5) == 0)
    return h->format(h, "%s: there is no hato at %s (option hato)", s->host, what + 5);
  if (strncmp(what, "broken ", 7) == 0)
    return h->format(h, "%s: its hato cannot be run there: %s (option hato)", s->host, what + 7);
  if (strncmp(what, "system ", 7) == 0)
    return h->format(h, "%s: it is a %s, for which %s was not made; name one that was (option hato)", s->host,
                     what + 7, j->program);
  return h->format(h, "%s: hato could not be copied there: %s", s->host,
                   strncmp(what, "copy ", 5) == 0 ? what + 5 : what);
}

static void fails(ssh_state *st, const hato_host *h, ssh_session *s, ssh_job *j, const char *what) {
  const char *why = no_program(h, s, j, what);
  ssh_copy_end(s);
  ssh_session_release(st, s);
  ssh_job_fails(j, why);
  for (uint32_t i = 0; i < j->count; i++) {
    if (j->members[i].session == s && !j->members[i].started) ssh_end_for(h, j, i, why);
  }
}

static void searched(const hato_host *h, const ssh_session *s, ssh_job *j) {
  for (uint32_t i = 0; i < j->count; i++) {
    const ssh_member *m = &j->members[i];
    if (m->session == s && m->sought && !m->found && !m->ended)
      ssh_end_for(h, j, i, h->format(h, "ended while the connection to %s was lost", s->host));
  }
  for (uint32_t k = 0; k < j->n_places; k++) {
    if (j->places[k].session == s) j->places[k].searching = false;
  }
  ssh_searched(h, j);
}

static void of_launch(ssh_state *st, const hato_host *h, ssh_session *s, const char *word, const spoken *w) {
  if (strcmp(word, "want") == 0) {
    ssh_copy_begin(st, h, s, w->job);
  } else if (strcmp(word, "send") == 0) {
    ssh_copy_send(s);
  } else if (strcmp(word, "copied") == 0) {
    copied(st, s, w->job);
  } else if (strcmp(word, "failed") == 0) {
    fails(st, h, s, w->job, w->rest);
  } else if (strcmp(word, "searched") == 0) {
    searched(h, s, w->job);
  }
}

void ssh_follow_line(ssh_state *st, const hato_host *h, ssh_session *s, char *line) {
  char *at = strchr(line, ' ');
  spoken w;
  if (strcmp(line, "ready") == 0 && s->phase == SSH_CONNECTING) {
    s->phase = SSH_UP;
    s->due = s->lost_since = 0;
    s->tries = 0;
  }
  if (s->phase == SSH_CONNECTING)
    ssh_putf(&s->heard, "%s\n", line); /* of start-up files; or why there is no shell */
  if (s->phase != SSH_UP || at == NULL) return;
  *at++ = 0;
  bool run = strcmp(line, "run") == 0, found = strcmp(line, "found") == 0;
  if (read_whom(st, at, true, &w)) {
    if (run || found)
      runs(st, h, s, &w, found);
    else if (strcmp(line, "end") == 0)
      ends(h, &w);
    else if (strcmp(line, "log") == 0)
      logs(&w);
  } else if (read_whom(st, at, false, &w)) {
    of_launch(st, h, s, line, &w);
  }
}

/* ---- its end ---- */

static const char *tail_of(const ssh_session *s) {
  size_t n = s->heard.len;
  return n == 0 ? NULL : s->heard.data + (n > TAIL_MAX ? n - TAIL_MAX : 0);
}

/* Of a launch on that host; true: daemons may be there still. */
static bool lose_job(const hato_host *h, ssh_job *j, const ssh_session *s, const char *why, bool give_up) {
  bool left = false, failed = false;
  for (uint32_t i = 0; i < j->count; i++) {
    const ssh_member *m = &j->members[i];
    if (m->session != s || m->ended) continue;
    if (!m->started) {
      failed = true;
      ssh_end_member(h, j, i, &(hato_member){.reason = why, .log_tail = tail_of(s)});
    } else if (s->tunnel != SSH_DIRECT) {
      ssh_end_for(h, j, i, h->format(h, "the connection was lost, and the tunnel with it; %s", why));
    } else if (give_up || (m->cancelled && s->phase == SSH_CONNECTING)) {
      ssh_end_for(h, j, i,
                  h->format(h, "%s could not be reached any more to %s; %s", s->host,
                            m->cancelled ? "end it" : "ask for it", why));
    } else {
      ssh_tell_state(h, j, i, HATO_MEMBER_RUNNING,
                     h->format(h, "the connection was lost, it may still run; %s", why));
      left = true;
    }
  }
  for (uint32_t k = 0; k < j->n_places; k++) {
    ssh_place *p = &j->places[k];
    if (p->session != s || !p->searching) continue;
    failed = true;
    left |= !give_up;
    p->searching = !give_up;
  }
  if (failed) ssh_job_fails(j, why);
  j->given_up |= give_up && failed;
  if (give_up) ssh_searched(h, j);
  return left;
}

static uint64_t back_off(uint32_t tries) {
  uint64_t ms = tries == 0 ? 100 : tries > 6 ? BACK_OFF_MAX_MS : (uint64_t)1000 << (tries - 1);
  return (ms < BACK_OFF_MAX_MS ? ms : BACK_OFF_MAX_MS) * SSH_MS;
}

void ssh_follow_gone(ssh_state *st, const hato_host *h, ssh_session *s, int exit_code, int sig) {
  const char *why = ssh_why(h, s, exit_code, sig);
  uint64_t now = ssh_now();
  bool left = false;
  ssh_session_unplug(s);
  ssh_copy_end(s);
  s->due = 0;
  if (s->phase == SSH_CLOSING || why == NULL) {
    s->phase = SSH_OVER;
    return;
  }
  h->log(h, HATO_LEVEL_INFO, "%s", why);
  if (s->lost_since == 0) s->lost_since = now;
  bool give_up = now - s->lost_since >= s->give_up_ms * SSH_MS;
  for (ssh_job *j = st->jobs; j != NULL; j = j->next) left |= lose_job(h, j, s, why, give_up);
  s->phase = left ? SSH_LOST : SSH_OVER;
  if (left) s->due = now + back_off(s->tries++);
}

/* ---- what is due ---- */

static void try_again(ssh_state *st, ssh_session *s) {
  ssh_session_again(s);
  for (ssh_job *j = st->jobs; j != NULL; j = j->next) {
    for (uint32_t k = 0; k < j->n_places; k++) {
      if (j->places[k].session != s) continue;
      ssh_search(st, j, &j->places[k]);
      ssh_start(st, j, s);
    }
  }
}

static void kill_member(ssh_state *st, const hato_host *h, ssh_job *j, uint32_t i) {
  ssh_member *m = &j->members[i];
  m->kill_at = 0;
  m->killed = true;
  if (m->session == NULL) {
    ssh_end_for(h, j, i,
                j->trouble != NULL ? h->format(h, "cancelled, but not found; %s", j->trouble) : "cancelled");
  } else if (!m->started) {
    ssh_end_for(h, j, i, h->format(h, "cancelled before %s was connected", m->session->host));
  } else {
    ssh_stop(st, j, i, "KILL");
  }
}

void ssh_follow_due(ssh_state *st, const hato_host *h) {
  uint64_t now = ssh_now();
  for (ssh_session *s = st->sessions; s != NULL; s = s->next) {
    if (s->due == 0 || s->due > now) continue;
    s->due = 0;
    if (s->phase == SSH_LOST) {
      try_again(st, s);
    } else if (s->phase == SSH_CONNECTING) {
      s->late = true;
      ssh_session_kill(s, SIGKILL);
    } else if (s->phase == SSH_CLOSING) {
      ssh_session_kill(s, SIGTERM);
    }
  }
  for (ssh_job *j = st->jobs; j != NULL; j = j->next) {
    for (uint32_t i = 0; i < j->count; i++) {
      if (j->members[i].kill_at != 0 && j->members[i].kill_at <= now) kill_member(st, h, j, i);
    }
  }
}

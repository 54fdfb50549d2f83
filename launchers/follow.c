/* Launches and their members, as a keeper's thread follows them and tells of them. */
#include "launchers/keeper.h"

#include <stdlib.h>
#include <string.h>

/* ---- a launch ---- */

launchers__kept *launchers__kept_create(const launchers_request *r, const void *record, size_t record_len) {
  launchers__kept *t = calloc(1, sizeof *t);
  hato__buf b = {.secret = true};
  if (t == NULL) return NULL;
  /* Encoded and decoded: one code for copying and for sending. */
  launchers__put_request(&b, r);
  hato__reader in = hato__reader_of(b.data, b.failed ? 0 : b.len);
  bool copied = launchers__get_request(&in, &t->mem, &t->r);
  hato__buf_free(&b);
  t->id = r->id;
  t->record_len = record_len;
  if (record_len > 0) memcpy(t->record, record, record_len);
  if (copied) t->members = calloc((size_t)r->count + 1, sizeof *t->members);
  if (t->members != NULL) return t;
  launchers__kept_free(t);
  return NULL;
}

static void free_member(launchers__kept_member *m) {
  free(m->reason);
  free(m->host);
  free(m->job);
  free(m->log_path);
  free(m->log_tail);
}

void launchers__kept_free(launchers__kept *t) {
  if (t == NULL) return;
  for (uint32_t i = 0; t->members != NULL && i < t->r.count; i++) free_member(&t->members[i]);
  free(t->members);
  launchers__arena_free(&t->mem);
  free(t);
}

bool launchers__kept_open(const launchers__kept *t) {
  bool cancelled = t->entry != NULL && atomic_load(&t->entry->cancelled);
  return t->n_ended + (cancelled ? 0 : t->n_connected) < t->r.count;
}

/* ---- telling ---- */

void launchers__emit(launchers__keeper *k, const launchers_event *e) {
  launchers_event full = *e;
  full.launcher = k->name;
  if (full.text == NULL) full.text = "";
  if (k->h->o.event != NULL) k->h->o.event(k->h->o.arg, &full);
}

void launchers__tell(launchers__keeper *k, const launchers__kept *t, launchers_event_type type,
                     hato_status status, const char *text) {
  launchers__emit(k, &(launchers_event){.type = type, .launch = t->id, .status = status, .text = text});
}

static const char *or_empty(const char *s) { return s != NULL ? s : ""; }

static void tell_member(launchers__keeper *k, launchers__kept *t, uint32_t i) {
  launchers__kept_member *m = &t->members[i];
  m->untold = false;
  launchers_member out = {.number = i,
                          .state = m->state,
                          .exit_known = m->exit_known,
                          .cancelled = m->cancelled,
                          .never = m->never,
                          .exit_code = m->exit_code,
                          .signal = m->signal,
                          .reason = or_empty(m->reason),
                          .host = or_empty(m->host),
                          .job = or_empty(m->job),
                          .log_path = or_empty(m->log_path),
                          .log_tail = or_empty(m->log_tail)};
  launchers__emit(k, &(launchers_event){.type = LAUNCHERS_MEMBER, .launch = t->id, .member = &out});
}

void launchers__tell_submitted(launchers__keeper *k, launchers__kept *t) {
  t->submitted = true;
  /* Members first: who hears that a launch is submitted goes by the states that its members are in by then. */
  for (uint32_t i = 0; i < t->r.count; i++) {
    if (t->members[i].untold) tell_member(k, t, i);
  }
  launchers__emit(
      k, &(launchers_event){
             .type = LAUNCHERS_SUBMITTED, .launch = t->id, .record = t->record, .record_len = t->record_len});
}

/* ---- what is known of members ---- */

static bool replace(char **at, const char *text) {
  if (text == NULL || (*at != NULL && strcmp(*at, text) == 0)) return false;
  if (*at == NULL && *text == 0) return false;
  char *copy = strdup(text);
  if (copy == NULL) return false;
  free(*at);
  *at = copy;
  return true;
}

/* True when something is new. */
static bool learn(launchers__kept *t, launchers__kept_member *m, const launchers_member *said) {
  bool changed = false;
  if (m->state == HATO_MEMBER_ENDED) return false;
  if (m->state != said->state) {
    m->state = said->state;
    changed = true;
    /* Why it waited says nothing of what it does now. */
    if (said->reason == NULL) changed |= replace(&m->reason, "");
  }
  changed |= m->never != said->never;
  m->never = said->never;
  if (said->state == HATO_MEMBER_ENDED) {
    t->n_ended++;
    m->cancelled = said->cancelled;
    if (m->connected) t->n_connected--;
    m->connected = false;
    m->exit_known = said->exit_known;
    m->exit_code = said->exit_code;
    m->signal = said->signal;
    (void)replace(&m->log_tail, said->log_tail);
  }
  changed |= replace(&m->reason, said->reason);
  changed |= replace(&m->host, said->host);
  changed |= replace(&m->job, said->job);
  changed |= replace(&m->log_path, said->log_path);
  return changed;
}

void launchers__apply(launchers__keeper *k, uint64_t id, uint32_t first, uint32_t count,
                      const launchers_member *said) {
  launchers__kept *t = NULL;
  HASH_FIND(hh, k->live, &id, sizeof id, t);
  if (t == NULL || (uint32_t)said->state > HATO_MEMBER_ENDED || first >= t->r.count ||
      count > t->r.count - first) {
    hato__warn(&k->h->o.log, "LAUNCHER-LIES",
               "launcher %s spoke of members %u to %u of launch %llu in state %u; %s", k->name, first,
               first + count - 1, (unsigned long long)id, (unsigned)said->state,
               t == NULL ? "there is no such launch" : "there is no such member or state");
    return;
  }
  for (uint32_t i = first; i < first + count; i++) {
    launchers__kept_member *m = &t->members[i];
    if (m->state == HATO_MEMBER_ENDED && said->state != HATO_MEMBER_ENDED)
      hato__warn(&k->h->o.log, "LAUNCHER-LIES",
                 "launcher %s says that member %u of launch %llu, which had ended, is back", k->name, i,
                 (unsigned long long)id);
    if (!learn(t, m, said)) continue;
    if (t->submitted)
      tell_member(k, t, i);
    else
      m->untold = true;
  }
}

void launchers__all_ended(launchers__keeper *k, launchers__kept *t, const char *reason) {
  launchers_member said = {.state = HATO_MEMBER_ENDED, .reason = reason};
  for (uint32_t i = 0; i < t->r.count; i++) {
    if (learn(t, &t->members[i], &said) && t->submitted) tell_member(k, t, i);
  }
}

void launchers__connected(launchers__kept *t, uint32_t member, bool connected) {
  if (member >= t->r.count) return;
  launchers__kept_member *m = &t->members[member];
  if (m->state == HATO_MEMBER_ENDED || m->connected == connected) return;
  m->connected = connected;
  t->n_connected += connected ? 1 : UINT32_MAX; /* one more, or one less */
}

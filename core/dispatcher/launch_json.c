/* What is told of launches, in JSON. */
#include "dispatcher/launch.h"

#define SHOWN_MEMBERS 1000 /* of a launch, in the status */

static const char *const state_names[] = {"asked", "submitted", "queued", "starting", "connected", "ended"};

static void put_text(json_t *o, const char *key, const char *text) {
  if (text) json_object_set_new(o, key, json_string(text));
}

static void put_number(json_t *o, const char *key, uint64_t n) {
  json_object_set_new(o, key, json_integer((json_int_t)n));
}

/* Another system's worker never connects: that it runs is all that there is to say. */
static const char *state_name(const launch *l, sched_member_state s) {
  return l->asked->argv && s == SCHED_MEMBER_STARTING ? "running" : state_names[s];
}

static json_t *member_json(const launch *l, unsigned number, sched_member_state state) {
  const launch_member *m = &l->members[number];
  json_t *o = json_pack("{s:i,s:s}", "member", (int)number, "state", state_name(l, state));
  if (m->since_wall) json_object_set_new(o, "since", json_real((double)m->since_wall / 1e9));
  put_text(o, "reason", m->why ? m->why : m->reason);
  put_text(o, "host", m->host);
  put_text(o, "job", m->job);
  if (state == SCHED_MEMBER_ENDED && m->exit_known) {
    if (m->signal) {
      json_object_set_new(o, "signal", json_integer(m->signal));
    } else {
      json_object_set_new(o, "exit", json_integer(m->exit_code));
    }
  }
  if (state == SCHED_MEMBER_ENDED) put_text(o, "log", m->log_tail);
  return o;
}

json_t *dispatcher_launch_one_json(const launch *l) {
  unsigned by_state[SCHED_MEMBER_ENDED + 1] = {0};
  json_t *members = json_array();
  for (unsigned i = 0; i < l->count; i++) {
    sched_member_state s = dispatcher_launch_state(l, i);
    by_state[s]++;
    if (i < SHOWN_MEMBERS) json_array_append_new(members, member_json(l, i, s));
  }
  json_t *o = json_pack("{s:I,s:s,s:i,s:f}", "launch", (json_int_t)l->id, "launcher", l->asked->launcher, "count",
                        (int)(l->count ? l->count : l->asked->n), "since", (double)l->asked_wall / 1e9);
  for (int s = SCHED_MEMBER_ASKED; s <= SCHED_MEMBER_ENDED; s++)
    put_number(o, state_name(l, (sched_member_state)s), by_state[s]);
  put_text(o, "profile", l->asked->profile);
  put_text(o, "error", l->words);
  if (!l->over) put_text(o, "trouble", l->trouble);
  if (l->line != l->id) put_number(o, "replaces", l->line);
  if (l->lived) {
    uint64_t due, now = hato__now();
    uint32_t crashes = sched_launches_crashes(l->d->life, l->line, &due);
    if (crashes) put_number(o, "crashes", crashes);
    if (due) json_object_set_new(o, "next_in", json_real(due > now ? (double)(due - now) / 1e9 : 0.0));
  }
  json_object_set_new(o, "over", json_boolean(l->over));
  json_object_set_new(o, "members", members);
  return o;
}

json_t *dispatcher_launch_json(dispatcher *d) {
  json_t *list = json_array();
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) {
    if (!l->leftover) json_array_append_new(list, dispatcher_launch_one_json(l));
  }
  return list;
}

void dispatcher_launch_list_launchers(client *c, uint32_t token) {
  dispatcher *d = c->peer.d;
  json_t *all = json_array();
  char **names = d->launchers ? launchers_names(d->launchers) : NULL; /* NULL: the dispatcher ends */
  for (char **n = names; n && *n; n++) json_array_append_new(all, json_string(*n));
  launchers_folders_free(names);
  dispatcher_control_reply(c, token, json_pack("{s:o}", "launchers", all));
}

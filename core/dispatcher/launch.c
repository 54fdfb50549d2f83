/* Launches: daemons that a launcher starts, from the request until the last has ended. */
#include "dispatcher/internal.h"
#include "launchers/host.h"

#include <stdlib.h>
#include <string.h>

#define STOP_GRACE_MS 5000
#define SHOWN_MEMBERS 1000 /* of a launch, in the status */

typedef enum member_state { M_ASKED, M_SUBMITTED, M_QUEUED, M_STARTING, M_CONNECTED, M_ENDED } member_state;
static const char *const state_names[] = {"asked", "submitted", "queued", "starting", "connected", "ended"};

typedef struct member {
  uint8_t state;
  bool exit_known, came; /* came: it was connected once */
  int exit_code, signal;
  char *reason, *host, *job, *log_tail; /* NULL: none */
} member;

struct launch {
  uint64_t id;
  char *launcher;
  unsigned count, member_first;
  member *members;
  uint64_t asked_wall;
  char *words; /* why it failed; NULL */
  bool ended;
  client *waiter; /* answered when all members are connected or ended */
  uint32_t token;
  UT_hash_handle hh;
};

static launch *launch_find(dispatcher *d, uint64_t id) {
  launch *l = NULL;
  HASH_FIND(hh, d->launches, &id, sizeof id, l);
  return l;
}

static void replace(char **to, const char *text) {
  free(*to);
  *to = text && *text ? hato__printf("%s", text) : NULL;
}

static void launch_free(dispatcher *d, launch *l) {
  HASH_DEL(d->launches, l);
  if (l->waiter) dispatcher_peer_unref(&l->waiter->peer);
  for (unsigned i = 0; i < l->count; i++) {
    free(l->members[i].reason);
    free(l->members[i].host);
    free(l->members[i].job);
    free(l->members[i].log_tail);
  }
  free(l->members);
  free(l->launcher);
  free(l->words);
  free(l);
}

/* ---- told in JSON ---- */

static void put_text(json_t *o, const char *key, const char *text) {
  if (text) json_object_set_new(o, key, json_string(text));
}

static json_t *member_json(const member *m, unsigned number) {
  json_t *o = json_pack("{s:i,s:s}", "member", (int)number, "state", state_names[m->state]);
  put_text(o, "reason", m->reason);
  put_text(o, "host", m->host);
  put_text(o, "job", m->job);
  if (m->state == M_ENDED && m->exit_known) {
    if (m->signal) {
      json_object_set_new(o, "signal", json_integer(m->signal));
    } else {
      json_object_set_new(o, "exit", json_integer(m->exit_code));
    }
  }
  if (m->state == M_ENDED) put_text(o, "log", m->log_tail);
  return o;
}

static json_t *one_json(const launch *l) {
  unsigned by_state[M_ENDED + 1] = {0};
  json_t *members = json_array();
  for (unsigned i = 0; i < l->count; i++) {
    by_state[l->members[i].state]++;
    if (i < SHOWN_MEMBERS) json_array_append_new(members, member_json(&l->members[i], i));
  }
  json_t *o = json_pack("{s:I,s:s,s:i,s:f,s:i,s:i}", "launch", (json_int_t)l->id, "launcher", l->launcher,
                        "count", (int)l->count, "since", (double)l->asked_wall / 1e9, "connected",
                        (int)by_state[M_CONNECTED], "ended", (int)by_state[M_ENDED]);
  put_text(o, "error", l->words);
  json_object_set_new(o, "members", members);
  return o;
}

json_t *dispatcher_launch_json(dispatcher *d) {
  json_t *list = json_array();
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) json_array_append_new(list, one_json(l));
  return list;
}

/* ---- what becomes of it ---- */

/* Answers the client that waits for a launch, once nothing of it is on its way any more. */
static void answer_if_settled(launch *l) {
  bool settled = true;
  for (unsigned i = 0; i < l->count && !l->ended; i++)
    settled = settled && (l->members[i].state == M_CONNECTED || l->members[i].state == M_ENDED);
  if (!l->waiter || !settled) return;
  client *c = l->waiter;
  l->waiter = NULL;
  dispatcher_control_reply(c, l->token, one_json(l));
  dispatcher_peer_unref(&c->peer);
}

static void end_words(const member *m, char *out, size_t n) {
  if (m->exit_known && m->signal) {
    snprintf(out, n, "ended by signal %d (%s)", m->signal, strsignal(m->signal));
  } else if (m->exit_known) {
    snprintf(out, n, "ended with exit status %d", m->exit_code);
  } else {
    snprintf(out, n, "ended");
  }
}

static void member_event(dispatcher *d, launch *l, const launchers_member *e) {
  static const uint8_t states[] = {[HATO_MEMBER_ASKED] = M_ASKED,      [HATO_MEMBER_SUBMITTED] = M_SUBMITTED,
                                   [HATO_MEMBER_QUEUED] = M_QUEUED,    [HATO_MEMBER_STARTING] = M_STARTING,
                                   [HATO_MEMBER_RUNNING] = M_STARTING, [HATO_MEMBER_ENDED] = M_ENDED};
  if (e->number >= l->count || (unsigned)e->state >= sizeof states) return;
  member *m = &l->members[e->number];
  bool ended = states[e->state] == M_ENDED;
  if (m->state == M_CONNECTED && !ended) return; /* the daemon itself is the better witness */
  m->state = states[e->state];
  m->exit_known = e->exit_known;
  m->exit_code = e->exit_code;
  m->signal = e->signal;
  replace(&m->reason, e->reason);
  replace(&m->host, e->host);
  replace(&m->job, e->job);
  if (!ended) return;
  replace(&m->log_tail, e->log_tail);
  if (m->came || d->asked_stop) return;
  char how[128];
  end_words(m, how, sizeof how);
  hato__warn(
      &d->log, "DAEMON-NEVER-CAME", "launch %llu, member %u (%s %s): %s before it dialled back%s%s%s%s",
      (unsigned long long)l->id, e->number, l->launcher, m->job ? m->job : "-", how, m->reason ? ": " : "",
      m->reason ? m->reason : "", m->log_tail ? "; its log ends: " : "", m->log_tail ? m->log_tail : "");
}

static void whole_event(dispatcher *d, launch *l, const launchers_event *e) {
  switch (e->type) {
  case LAUNCHERS_SUBMITTED:
    for (unsigned i = 0; i < l->count; i++)
      if (l->members[i].state == M_ASKED) l->members[i].state = M_SUBMITTED;
    break;
  case LAUNCHERS_FAILED:
    replace(&l->words, e->text);
    hato__error(&d->log, "LAUNCH-FAILED", "launch %llu (%s): %s", (unsigned long long)l->id, l->launcher,
                e->text);
    l->ended = true;
    for (unsigned i = 0; i < l->count; i++) l->members[i].state = M_ENDED;
    break;
  case LAUNCHERS_ENDED:
    l->ended = true;
    break;
  case LAUNCHERS_TROUBLE:
    hato__warn(&d->log, "LAUNCHER-TROUBLE", "%s: %s", l->launcher, e->text);
    break;
  case LAUNCHERS_NEWS:
    hato__info(&d->log, "LAUNCHER-NEWS", "%s: %s", l->launcher, e->text);
    break;
  default:
    break;
  }
}

static void on_event(void *arg, const launchers_event *e) {
  dispatcher *d = arg;
  dispatcher_lock(d);
  launch *l = launch_find(d, e->launch);
  if (l) {
    if (e->type == LAUNCHERS_MEMBER) {
      member_event(d, l, e->member);
    } else {
      whole_event(d, l, e);
    }
    answer_if_settled(l);
  }
  dispatcher_unlock(d);
  dispatcher_flush(d);
}

static member *member_of(const worker *w, launch **launch_out, unsigned *number) {
  launch *l = w->launch ? launch_find(w->peer.d, w->launch) : NULL;
  if (!l || w->member < l->member_first || w->member - l->member_first >= l->count) return NULL;
  *launch_out = l;
  *number = w->member - l->member_first;
  return &l->members[*number];
}

void dispatcher_launch_joined(worker *w) {
  launch *l;
  unsigned number;
  member *m = member_of(w, &l, &number);
  if (!m) return;
  m->state = M_CONNECTED;
  m->came = true;
  replace(&m->host, w->host);
  launchers_member_known(w->peer.d->launchers, l->id, number, true);
  answer_if_settled(l);
}

void dispatcher_launch_left(worker *w) {
  launch *l;
  unsigned number;
  member *m = member_of(w, &l, &number);
  if (!m) return;
  if (m->state == M_CONNECTED) m->state = M_STARTING; /* until its launcher says that it ended */
  launchers_member_known(w->peer.d->launchers, l->id, number, false);
}

/* ---- asking for one ---- */

typedef struct command { /* the words of `hato daemon`, built as text */
  char *words[48];
  unsigned n;
  bool failed;
} command;

static void add(command *c, const char *word) {
  char *copy = word ? hato__printf("%s", word) : NULL;
  if (!copy || c->n + 1 == sizeof c->words / sizeof *c->words) {
    free(copy);
    c->failed = true;
    return;
  }
  c->words[c->n++] = copy;
}

static void add_number(command *c, const char *option, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  add(c, option);
  add(c, text);
}

static void command_free(command *c) {
  for (unsigned i = 0; i < c->n; i++) free(c->words[i]);
}

/* Daemons on this machine use the local socket, others the last address that was listened at. */
static void daemon_command(const dispatcher *d, const dispatcher_launch_request *r,
                           const launchers_info *info, uint64_t id, command *c) {
  bool here = (info->flags & HATO_LAUNCHER_SHARES_HOST) != 0;
  unsigned count = r->n > 0 ? (unsigned)r->n : 1;
  unsigned slots = r->slots > 0 ? (unsigned)r->slots : r->n > 0 && here ? 1 : 0;
  add(c, d->hato_binary);
  add(c, "daemon");
  add(c, "--url");
  add(c, net_listener_url(d->listeners[here ? 0 : d->n_listeners - 1]));
  if (!here && d->secret_file) {
    add(c, "--credential-file");
    add(c, d->secret_file);
  }
  if (slots) add_number(c, "--slots", slots);
  if (r->bind) {
    add(c, "--bind");
    add(c, r->bind);
  }
  if (here && count > 1) add_number(c, "--share", count);
  if (info->member_env) {
    add(c, "--member-env");
    add(c, info->member_env);
  }
  if (here) {
    add(c, "--local-dir");
    add(c, d->local_dir);
  }
  add_number(c, "--launch", id);
}

static hato_status launch_new(dispatcher *d, const dispatcher_launch_request *r, const launchers_info *info,
                              launch **out, hato_error *err) {
  launch *l = calloc(1, sizeof *l);
  if (l) {
    l->count = r->n > 0 ? (unsigned)r->n : 1;
    l->members = calloc(l->count, sizeof *l->members);
    l->launcher = hato__printf("%s", r->launcher);
  }
  if (!l || !l->members || !l->launcher) {
    if (l) {
      free(l->members);
      free(l->launcher);
    }
    free(l);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  }
  l->id = ++d->next_launch;
  l->asked_wall = hato__wall_now();
  l->member_first = info->member_first;
  HASH_ADD(hh, d->launches, id, sizeof l->id, l);
  *out = l;
  return HATO_OK;
}

/* A module that was not looked at yet is described first: that blocks, which only a client that asks for
 * it waits for. */
static hato_status describe(dispatcher *d, const char *name, const launchers_info **info, hato_error *err) {
  hato_status st = launchers_known(d->launchers, name, info, err);
  if (st != HATO_AGAIN) return st;
  launchers_info *fresh = NULL;
  st = launchers_describe(d->launchers, name, &fresh, err);
  if (!st && fresh->trouble)
    st = hato__fail(err, HATO_NOT_SUPPORTED, "launcher %s: %s", name, fresh->trouble);
  launchers_info_free(fresh);
  return st ? st : launchers_known(d->launchers, name, info, err);
}

static hato_status check_request(const dispatcher *d, const dispatcher_launch_request *r, hato_error *err) {
  if (!r->launcher) return hato__fail(err, HATO_INVALID, "no launcher is named");
  if (r->n < 0 || r->n > 1000000)
    return hato__fail(err, HATO_INVALID, "%d daemons; 0 to 1000000 were wanted", r->n);
  if (r->slots < 0 || r->slots > 65536)
    return hato__fail(err, HATO_INVALID, "%d slots; 0 to 65536 were wanted", r->slots);
  if (r->bind && strcmp(r->bind, "auto") != 0 && strcmp(r->bind, "core") != 0 && strcmp(r->bind, "none") != 0)
    return hato__fail(err, HATO_INVALID, "bind \"%s\"; auto, core or none was wanted", r->bind);
  if (d->n_listeners == 0) return hato__fail(err, HATO_STATE, "the dispatcher listens nowhere yet");
  return HATO_OK;
}

static hato_status start(dispatcher *d, const dispatcher_launch_request *r, client *waiter, uint32_t token,
                         uint64_t *id, hato_error *err) {
  const launchers_info *info;
  launch *l = NULL;
  command c = {0};
  char tag[64];
  hato_status st = check_request(d, r, err);
  if (!st) st = describe(d, r->launcher, &info, err);
  if (st) return st;
  dispatcher_lock(d);
  st = launch_new(d, r, info, &l, err);
  if (!st) {
    *id = l->id;
    daemon_command(d, r, info, l->id, &c);
    l->waiter = waiter;
    l->token = token;
    if (waiter) waiter->peer.refs++;
  }
  dispatcher_unlock(d);
  if (st) return st;
  snprintf(tag, sizeof tag, "hato-%08x-%llu", (unsigned)d->id, (unsigned long long)*id);
  launchers_request q = {.id = *id,
                         .launcher = r->launcher,
                         .options = r->options,
                         .argv = (const char *const *)c.words,
                         .count = r->n > 0 ? (uint32_t)r->n : 1,
                         .dial_in = true,
                         .tag = tag,
                         .log_dir = d->log_dir};
  st = c.failed ? hato__fail(err, HATO_NO_MEMORY, "no memory for a launch")
                : launchers_launch(d->launchers, &q, err);
  command_free(&c);
  if (!st) return HATO_OK;
  dispatcher_lock(d);
  l = launch_find(d, *id);
  if (l) launch_free(d, l);
  dispatcher_unlock(d);
  return st;
}

hato_status dispatcher_launch(dispatcher *d, const dispatcher_launch_request *r, uint64_t *id,
                              hato_error *err) {
  uint64_t none;
  return start(d, r, NULL, 0, id ? id : &none, err);
}

static void fail_locked(client *c, uint32_t token, const hato_error *e) {
  dispatcher_lock(c->peer.d);
  dispatcher_control_fail(c, token, e->status, "%s", e->text);
  dispatcher_unlock(c->peer.d);
}

void dispatcher_launch_asked(client *c, uint32_t token, json_t *q) {
  dispatcher *d = c->peer.d;
  hato_error err = {0};
  uint64_t id = 0;
  const json_t *list = json_object_get(q, "options");
  size_t n = json_array_size(list);
  const char **options = calloc(n + 1, sizeof *options);
  bool wait = json_is_true(json_object_get(q, "wait"));
  if (!options) return;
  for (size_t i = 0; i < n; i++) {
    options[i] = json_string_value(json_array_get(list, i));
    if (!options[i]) options[i] = "";
  }
  const char *launcher = json_string_value(json_object_get(q, "launcher"));
  dispatcher_launch_request r = {.launcher = launcher ? launcher : "local",
                                 .options = options,
                                 .n = (int)json_integer_value(json_object_get(q, "n")),
                                 .slots = (int)json_integer_value(json_object_get(q, "slots")),
                                 .bind = json_string_value(json_object_get(q, "bind"))};
  if (start(d, &r, wait ? c : NULL, token, &id, &err)) {
    fail_locked(c, token, &err);
  } else if (!wait) {
    dispatcher_lock(d);
    launch *l = launch_find(d, id);
    dispatcher_control_reply(c, token, l ? one_json(l) : json_pack("{s:I}", "launch", (json_int_t)id));
    dispatcher_unlock(d);
  }
  free(options);
}

void dispatcher_launch_list_launchers(client *c, uint32_t token) {
  dispatcher *d = c->peer.d;
  json_t *all = json_array();
  char **names = launchers_names(d->launchers);
  for (char **n = names; n && *n; n++) json_array_append_new(all, json_string(*n));
  launchers_folders_free(names);
  dispatcher_control_reply(c, token, json_pack("{s:o}", "launchers", all));
}

/* ---- the host's life ---- */

hato_status dispatcher_launch_open(dispatcher *d, hato_error *err) {
  launchers_options o = {.hato_binary = d->hato_binary, .event = on_event, .arg = d, .log = d->log};
  return launchers_create(&o, &d->launchers, err);
}

void dispatcher_launch_close(dispatcher *d) {
  launch *l, *next;
  dispatcher_lock(d);
  launchers *h = d->launchers;
  HASH_ITER(hh, d->launches, l, next) {
    if (!l->ended && h) launchers_cancel(h, l->id, NULL);
  }
  dispatcher_unlock(d);
  launchers_destroy(h, STOP_GRACE_MS);
  dispatcher_lock(d);
  d->launchers = NULL;
  HASH_ITER(hh, d->launches, l, next) launch_free(d, l);
  dispatcher_unlock(d);
}

/* Launches: daemons that a launcher starts, from the plan until the last has ended. What is to be done
 * about those that fail is sched's to say (sched/launches.h). */
#include "dispatcher/launch.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define STOP_GRACE_MS 5000
#define ENDING_NS (10 * HATO__SEC) /* how long whoever asked waits for the end of what is to be ended */
#define OVER_MAX 200 /* launches that are over and still told of */

launch *dispatcher_launch_find(dispatcher *d, uint64_t id) {
  launch *l = NULL;
  HASH_FIND(hh, d->launches, &id, sizeof id, l);
  return l;
}

/* ---- what was asked for ---- */

asked *dispatcher_asked_new(void) {
  asked *a = calloc(1, sizeof *a);
  if (a) a->crash_limit = UINT_MAX; /* not said */
  return a;
}

static void free_list(char **list) {
  for (char **t = list; t && *t; t++) free(*t);
  free(list);
}

void dispatcher_asked_free(asked *a) {
  if (!a) return;
  free(a->launcher);
  free(a->profile);
  free(a->bind);
  free_list(a->options);
  free_list(a->argv);
  free(a);
}

static void asked_unref(asked *a) {
  if (--a->refs == 0) dispatcher_asked_free(a);
}

/* ---- its memory ---- */

static void replace(char **to, const char *text) {
  free(*to);
  *to = text && *text ? hato__printf("%s", text) : NULL;
}

launch *dispatcher_launch_add(dispatcher *d, asked *a) {
  launch *l = calloc(1, sizeof *l);
  if (!l) return NULL;
  l->d = d;
  l->asked = a;
  a->refs++;
  l->id = l->line = ++d->next_launch;
  l->asked_wall = hato__wall_now();
  snprintf(l->tag, sizeof l->tag, "hato-%08x-%llu", (unsigned)d->id, (unsigned long long)l->id);
  HASH_ADD(hh, d->launches, id, sizeof l->id, l);
  return l;
}

void dispatcher_launch_drop(launch *l) {
  HASH_DEL(l->d->launches, l);
  if (l->waiter) dispatcher_peer_unref(&l->waiter->peer);
  for (unsigned i = 0; l->members && i < l->count; i++) {
    free(l->members[i].reason);
    free(l->members[i].host);
    free(l->members[i].job);
    free(l->members[i].log_tail);
  }
  free(l->members);
  free(l->words);
  asked_unref(l->asked);
  free(l);
}

static bool may_be_forgotten(const launch *l) {
  return l->over && !l->waiter && !l->recorded && !sched_launches_lives(l->d->life, l->id);
}

/* Of those that are over only the last are remembered. */
static void forget_old(dispatcher *d) {
  unsigned over = 0;
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) over += may_be_forgotten(l);
  HASH_ITER(hh, d->launches, l, next) {
    if (over <= OVER_MAX) return;
    if (!may_be_forgotten(l)) continue;
    dispatcher_launch_drop(l);
    over--;
  }
}

/* ---- what becomes of it ---- */

sched_member_state dispatcher_launch_state(const launch *l, unsigned member) {
  if (l->over || !l->lived) return l->over ? SCHED_MEMBER_ENDED : SCHED_MEMBER_ASKED;
  return sched_launches_state(l->d->life, l->id, member);
}

/* Nothing of it is on its way any more, or only what a scheduler keeps waiting for longer than was asked for. */
static bool settled(const launch *l, uint64_t now) {
  if (l->over) return true;
  sched_launch_counts n;
  if (!l->submitted || !sched_launches_count(l->d->life, l->id, &n)) return false;
  uint32_t held = n.by_state[SCHED_MEMBER_SUBMITTED] + n.by_state[SCHED_MEMBER_QUEUED];
  uint32_t coming = n.by_state[SCHED_MEMBER_ASKED] + (l->asked->argv ? 0 : n.by_state[SCHED_MEMBER_STARTING]);
  return coming <= l->n_ending && (held + l->n_ending == 0 || now >= l->wait_until);
}

static void answer_if_settled(launch *l, uint64_t now) {
  if (!l->waiter || !settled(l, now)) return;
  client *c = l->waiter;
  l->waiter = NULL;
  dispatcher_control_reply(c, l->token, dispatcher_launch_one_json(l));
  dispatcher_peer_unref(&c->peer);
}

/* The clock looks at launches when something may be due. */
static void look_soon(dispatcher *d) {
  d->launch_tick = 0;
  dispatcher_clock_soon(d);
}

static void note_state(launch *l, unsigned member) {
  launch_member *m = &l->members[member];
  uint8_t state = (uint8_t)dispatcher_launch_state(l, member);
  if (state == m->shown && m->since_wall) return;
  m->shown = state;
  m->since_wall = hato__wall_now();
}

static void note_states(launch *l) {
  for (unsigned i = 0; i < l->count; i++) note_state(l, i);
}

static void over(launch *l, const char *words) {
  if (words) replace(&l->words, words);
  l->over = true;
  note_states(l);
  answer_if_settled(l, hato__now());
}

/* It never came to be. */
static void failed(launch *l, hato_status status, const char *words) {
  dispatcher *d = l->d;
  bool passing = status == HATO_AGAIN || status == HATO_TIMED_OUT || status == HATO_RESET || status == HATO_BUSY;
  hato__error(&d->log, "LAUNCH-FAILED", "launch %llu (%s): %s", (unsigned long long)l->id, l->asked->launcher, words);
  replace(&l->words, words);
  l->recorded = false;
  /* Whoever asked is told, and asks again or not; what replaces others is asked for again. */
  if (l->lived) {
    sched_launches_failed(d->life, hato__now(), l->id, passing && l->line != l->id);
    look_soon(d);
  } else {
    over(l, NULL);
  }
}

/* ---- the plan, and what follows from it ---- */

typedef struct plan { /* a plan's answer, with what is needed to carry it out without the lock */
  uint64_t id;
  asked *asked;
  unsigned count, flags, secret_ways;
  bool recorded;
  char member_env[128];
  char tag[HATO_TAG_MAX + 1];
} plan;

/* Its life begins, with so many members. */
static bool enliven(launch *l, unsigned count) {
  const asked *a = l->asked;
  sched_launch_rules rules = {
      .dial_in = !a->argv, .connect_ns = a->connect_ns, .crash_limit = a->crash_limit};
  l->members = calloc(count, sizeof *l->members);
  l->lived = l->members && sched_launches_add(l->d->life, hato__now(), l->id, count,
                                              l->line == l->id ? 0 : l->line, &rules);
  if (l->lived) l->count = count;
  note_states(l);
  return l->lived;
}

/* There is no plan. The line of a replacement hears of it, so that it is tried again or given up. */
static void without_plan(launch *l, hato_status status, const char *words) {
  if (l->line != l->id) (void)enliven(l, l->wanted);
  failed(l, status, words);
}

static bool take_plan(launch *l, const launchers_plan_result *r, plan *p) {
  l->plan_flags = r->flags;
  l->member_first = r->member_first;
  l->numbered = r->member_env != NULL || r->count == 1;
  if (!enliven(l, r->count)) return false;
  /* Daemons here end with their connection: nothing that would have to be found again. */
  l->recorded = (r->flags & HATO_LAUNCHER_SHARES_HOST) == 0 || l->asked->argv;
  *p = (plan){.id = l->id,
              .asked = l->asked,
              .count = r->count,
              .flags = r->flags,
              .secret_ways = r->secret_ways,
              .recorded = l->recorded};
  l->asked->refs++;
  snprintf(p->member_env, sizeof p->member_env, "%s", r->member_env ? r->member_env : "");
  memcpy(p->tag, l->tag, sizeof p->tag);
  return true;
}

/* How the daemons get the credential: by their standard input before all else, which nobody else sees. */
static hato_status choose_secret(const dispatcher *d, const plan *p, launchers_request *q, char hex[2 * 32 + 2],
                                 const char **option, hato_error *err) {
  *option = NULL;
  if (p->flags & HATO_LAUNCHER_SHARES_HOST) return HATO_OK; /* they come by the Unix socket */
  if (!d->auth.have_secret) return HATO_OK;
  hato__hex(hex, d->auth.secret, sizeof d->auth.secret);
  if (p->secret_ways & HATO_SECRET_STDIN) {
    hex[64] = '\n';
    q->secret_way = HATO_SECRET_STDIN;
    q->secret_len = 65;
    *option = "-";
  } else if ((p->secret_ways & HATO_SECRET_FILE) && d->secret_file) {
    q->secret_way = HATO_SECRET_FILE;
    q->secret_file = d->secret_file;
    *option = d->secret_file;
  } else if (p->secret_ways & HATO_SECRET_ENVIRONMENT) {
    q->secret_way = HATO_SECRET_ENVIRONMENT;
    q->secret_len = 64;
  } else {
    return hato__fail(err, HATO_NOT_SUPPORTED, "launcher %s has no way to hand the credential to its daemons%s",
                      p->asked->launcher, p->secret_ways ? " but by a file, and this dispatcher has no session" : "");
  }
  if (q->secret_way != HATO_SECRET_FILE) q->secret = hex;
  return HATO_OK;
}

static hato_status launch_daemons(dispatcher *d, const plan *p, launchers_request *q, hato_error *err) {
  launch_command c = {0};
  char **urls = NULL, hex[2 * 32 + 2];
  const char *option;
  where_kind kind = p->flags & HATO_LAUNCHER_SHARES_HOST    ? WHERE_HERE
                    : p->flags & HATO_LAUNCHER_NEEDS_LISTEN ? WHERE_BEYOND
                                                            : WHERE_LOOPBACK;
  hato_status st = dispatcher_where(d, kind, &urls, err);
  if (!st) st = choose_secret(d, p, q, hex, &option, err);
  if (!st) {
    dispatcher_launch_command(d, p->asked, p->flags, p->member_env[0] ? p->member_env : NULL, p->count, p->id, urls,
                              option, &c);
    q->argv = (const char *const *)c.words;
    q->dial_arg = c.dial_arg;
    q->dial_urls = (const char *const *)urls;
    q->dial_in = true;
    st = c.failed ? hato__fail(err, HATO_NO_MEMORY, "no memory for a launch")
                  : launchers_launch(d->launchers, q, err);
  }
  explicit_bzero(hex, sizeof hex);
  dispatcher_launch_command_free(&c);
  dispatcher_where_free(urls);
  return st;
}

/* On a thread of the launcher's host, without the lock. */
static void planned(dispatcher *d, const launchers_event *e) {
  plan p;
  hato_error err = {0};
  dispatcher_lock(d);
  launch *l = dispatcher_launch_find(d, e->launch);
  bool go = l && !l->lived && !l->over;
  if (go && (e->status || d->asked_stop)) {
    without_plan(l, e->status ? e->status : HATO_CLOSED, e->status ? e->text : "the dispatcher ends");
    go = false;
  } else if (go && !take_plan(l, e->plan, &p)) {
    failed(l, HATO_NO_MEMORY, "no memory for a launch");
    go = false;
  }
  dispatcher_unlock(d);
  if (!go) return;
  if (p.recorded) dispatcher_launch_write(d);
  launchers_request q = {.id = p.id,
                         .launcher = p.asked->launcher,
                         .options = (const char *const *)p.asked->options,
                         .count = p.count,
                         .tag = p.tag,
                         .log_dir = d->log_dir};
  hato_status st;
  if (p.asked->argv) {
    q.argv = (const char *const *)p.asked->argv;
    st = launchers_launch(d->launchers, &q, &err);
  } else {
    st = launch_daemons(d, &p, &q, &err);
  }
  dispatcher_lock(d);
  l = dispatcher_launch_find(d, p.id);
  if (st && l) failed(l, st, err.text);
  if (!st && l && l->cancelled) launchers_cancel(d->launchers, l->id, NULL);
  asked_unref(p.asked);
  dispatcher_unlock(d);
}

/* How many to ask a launcher for when it was not said: as its options say where they do, else one. */
static unsigned default_count(const dispatcher *d, const asked *a) {
  const launchers_info *info = NULL;
  bool theirs = launchers_known(d->launchers, a->launcher, &info, NULL) == HATO_OK &&
                (info->flags & HATO_LAUNCHER_DEFAULT_COUNT) != 0;
  return theirs ? 0 : 1;
}

hato_status dispatcher_launch_begin(dispatcher *d, asked *a, uint64_t line, unsigned count, client *waiter,
                                    uint32_t token, uint64_t wait_ns, uint64_t *id, hato_error *err) {
  if (count == 0) count = default_count(d, a);
  dispatcher_lock(d);
  a->refs++; /* until the plan was asked for */
  launch *l = d->asked_stop ? NULL : dispatcher_launch_add(d, a);
  if (!l) {
    bool ending = d->asked_stop;
    asked_unref(a);
    dispatcher_unlock(d);
    return ending ? hato__fail(err, HATO_CLOSED, "the dispatcher ends")
                  : hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  }
  if (line) l->line = line;
  l->wanted = count;
  launchers_request q = {.id = l->id,
                         .launcher = a->launcher,
                         .options = (const char *const *)a->options,
                         .count = count,
                         .dial_in = !a->argv};
  *id = l->id;
  l->wait_until = wait_ns < UINT64_MAX - hato__now() ? hato__now() + wait_ns : UINT64_MAX;
  l->waiter = waiter;
  l->token = token;
  if (waiter) waiter->peer.refs++;
  dispatcher_unlock(d);
  hato_status st = launchers_plan(d->launchers, &q, err);
  dispatcher_lock(d);
  l = dispatcher_launch_find(d, *id);
  if (st && l && line) without_plan(l, st, err->text);
  if (st && l && !line) dispatcher_launch_drop(l);
  asked_unref(a);
  dispatcher_unlock(d);
  return st;
}

/* ---- what sched has to say ---- */

static void set_ending(launch *l, launch_member *m, bool ending) {
  if (m->ending != ending) l->n_ending += ending ? 1u : UINT_MAX; /* one more, or one less */
  m->ending = ending;
}

/* A launcher that ends whole launches only does so when no member is left that is not to be ended. */
static void end_whole(launch *l) {
  sched_launch_counts n;
  if (l->n_ending == 0 || l->cancelled || !sched_launches_count(l->d->life, l->id, &n)) return;
  if (n.by_state[SCHED_MEMBER_ENDED] + l->n_ending < l->count) return;
  launchers_cancel(l->d->launchers, l->id, NULL);
}

static void end_member(dispatcher *d, const sched_launch_action *a) {
  launch *l = dispatcher_launch_find(d, a->launch);
  if (!l || a->member >= l->count) return;
  launch_member *m = &l->members[a->member];
  hato_error err = {0};
  bool never = sched_launches_state(d->life, l->id, a->member) == SCHED_MEMBER_QUEUED;
  if (!never) m->why = m->came ? "its connection ended, and it neither ended nor came back in time"
                               : "it did not connect in time after it began";
  set_ending(l, m, true);
  uint64_t until = hato__now() + ENDING_NS;
  if (l->wait_until < until) l->wait_until = until;
  hato__warn(&d->log, "LAUNCH-MEMBER-ENDED", "launch %llu, member %u (%s %s): it is ended: %s",
             (unsigned long long)l->id, a->member, l->asked->launcher, m->job ? m->job : "-",
             m->why ? m->why : m->reason ? m->reason : "it can never run");
  /* Of members that do not know their numbers none can be meant alone. */
  hato_status st = l->numbered ? launchers_cancel_member(d->launchers, l->id, a->member, &err) : HATO_NOT_SUPPORTED;
  if (st == HATO_NOT_SUPPORTED) end_whole(l);
}

static void give_up(dispatcher *d, const sched_launch_action *a) {
  launch *l, *next;
  const char *why = NULL;
  HASH_ITER(hh, d->launches, l, next) { /* the last that failed says it best */
    if (l->line != a->launch) continue;
    for (unsigned i = 0; l->members && i < l->count; i++) {
      const launch_member *m = &l->members[i];
      if (m->why || m->reason) why = m->why ? m->why : m->reason;
    }
    if (!l->members && l->words) why = l->words;
  }
  l = dispatcher_launch_find(d, a->launch);
  if (!l) return;
  char *words = hato__printf("given up after %u failures in a row%s%s", a->count, why ? ": " : "", why ? why : "");
  if (words)
    hato__error(&d->log, "LAUNCH-GIVEN-UP", "launch %llu (%s): %s", (unsigned long long)a->launch, l->asked->launcher,
                words);
  free(l->words);
  l->words = words;
}

static void is_over(dispatcher *d, const sched_launch_action *a) {
  launch *l = dispatcher_launch_find(d, a->launch);
  if (!l) return;
  over(l, NULL);
  forget_old(d);
}

/* A replacement is begun without the lock; all else is done under it. */
static void replace_members(dispatcher *d, const sched_launch_action *a) {
  hato_error err = {0};
  uint64_t id = 0;
  dispatcher_lock(d);
  launch *l = dispatcher_launch_find(d, a->launch);
  asked *again = l ? l->asked : NULL;
  if (l)
    hato__notice(&d->log, "LAUNCH-AGAIN", "launch %llu (%s): %u daemon%s started in the place of those that failed",
                 (unsigned long long)a->launch, l->asked->launcher, a->count, a->count == 1 ? " is" : "s are");
  if (again) again->refs++;
  dispatcher_unlock(d);
  if (!again) return;
  (void)dispatcher_launch_begin(d, again, a->launch, a->count, NULL, 0, 0, &id, &err);
  dispatcher_lock(d);
  asked_unref(again);
  dispatcher_unlock(d);
}

uint64_t dispatcher_launch_look(dispatcher *d, uint64_t now) {
  sched_launch_action a[16];
  uint32_t n;
  bool written = false;
  dispatcher_lock(d);
  do {
    n = sched_launches_next(d->life, now, a, 16);
    for (uint32_t i = 0; i < n; i++) {
      if (a[i].type == SCHED_LAUNCH_END_MEMBER) end_member(d, &a[i]);
      if (a[i].type == SCHED_LAUNCH_GIVE_UP) give_up(d, &a[i]);
      if (a[i].type == SCHED_LAUNCH_OVER) is_over(d, &a[i]);
      written |= a[i].type == SCHED_LAUNCH_OVER;
    }
    dispatcher_unlock(d);
    for (uint32_t i = 0; i < n; i++)
      if (a[i].type == SCHED_LAUNCH_REPLACE) replace_members(d, &a[i]);
    dispatcher_lock(d);
  } while (n == 16);
  uint64_t at = sched_launches_wake(d->life);
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) {
    answer_if_settled(l, now);
    if (l->waiter && l->wait_until > now && l->wait_until < at) at = l->wait_until;
  }
  d->launch_tick = at;
  dispatcher_unlock(d);
  if (written) dispatcher_launch_write(d);
  return at;
}

/* ---- what launchers tell ---- */

static void end_words(const launch_member *m, char *out, size_t n) {
  if (m->exit_known && m->signal) {
    snprintf(out, n, "ended by signal %d (%s)", m->signal, strsignal(m->signal));
  } else if (m->exit_known) {
    snprintf(out, n, "ended with exit status %d", m->exit_code);
  } else {
    snprintf(out, n, "ended");
  }
}

static void member_event(launch *l, const launchers_member *e) {
  static const uint8_t states[] = {
      [HATO_MEMBER_ASKED] = SCHED_MEMBER_ASKED,       [HATO_MEMBER_SUBMITTED] = SCHED_MEMBER_SUBMITTED,
      [HATO_MEMBER_QUEUED] = SCHED_MEMBER_QUEUED,     [HATO_MEMBER_STARTING] = SCHED_MEMBER_STARTING,
      [HATO_MEMBER_RUNNING] = SCHED_MEMBER_STARTING, [HATO_MEMBER_ENDED] = SCHED_MEMBER_ENDED};
  dispatcher *d = l->d;
  if (e->number >= l->count || (unsigned)e->state >= sizeof states) return;
  launch_member *m = &l->members[e->number];
  bool ended = e->state == HATO_MEMBER_ENDED, connected = dispatcher_launch_state(l, e->number) == SCHED_MEMBER_CONNECTED;
  if (connected && !ended) return; /* the daemon itself is the better witness */
  m->exit_known = e->exit_known;
  m->exit_code = e->exit_code;
  m->signal = e->signal;
  replace(&m->reason, e->reason);
  if (*e->host) replace(&m->host, e->host);
  replace(&m->job, e->job);
  if (ended) replace(&m->log_tail, e->log_tail);
  if (ended) set_ending(l, m, false);
  sched_launches_told(d->life, hato__now(), l->id, e->number, (sched_member_state)states[e->state],
                      (e->cancelled ? SCHED_MEMBER_CANCELLED : 0u) | (e->never ? SCHED_MEMBER_NEVER : 0u));
  note_state(l, e->number);
  if (!ended || m->came || d->asked_stop || l->cancelled || l->asked->argv) return;
  char how[128];
  end_words(m, how, sizeof how);
  hato__warn(&d->log, "DAEMON-NEVER-CAME", "launch %llu, member %u (%s %s): %s before it dialled back%s%s%s%s",
             (unsigned long long)l->id, e->number, l->asked->launcher, m->job ? m->job : "-", how,
             m->reason ? ": " : "", m->reason ? m->reason : "", m->log_tail ? "; its log ends: " : "",
             m->log_tail ? m->log_tail : "");
}

static void whole_event(launch *l, const launchers_event *e) {
  dispatcher *d = l->d;
  switch (e->type) {
  case LAUNCHERS_SUBMITTED:
    l->submitted = true;
    if (e->record_len <= sizeof l->record) {
      memcpy(l->record, e->record, e->record_len);
      l->record_len = e->record_len;
    }
    sched_launches_submitted(d->life, hato__now(), l->id);
    note_states(l);
    break;
  case LAUNCHERS_FAILED:
    failed(l, e->status, e->text);
    break;
  case LAUNCHERS_ENDED:
    l->recorded = false;
    break;
  case LAUNCHERS_TROUBLE:
    hato__warn(&d->log, "LAUNCHER-TROUBLE", "%s: %s", l->asked->launcher, e->text);
    break;
  case LAUNCHERS_NEWS:
    hato__info(&d->log, "LAUNCHER-NEWS", "%s: %s", l->asked->launcher, e->text);
    break;
  default:
    break;
  }
}

static void on_event(void *arg, const launchers_event *e) {
  dispatcher *d = arg;
  bool write = e->type == LAUNCHERS_SUBMITTED || e->type == LAUNCHERS_FAILED || e->type == LAUNCHERS_ENDED;
  if (e->type == LAUNCHERS_PLANNED) planned(d, e);
  dispatcher_lock(d);
  launch *l = dispatcher_launch_find(d, e->launch);
  write = write && l && l->recorded;
  if (l && l->leftover) {
    dispatcher_launch_leftover_event(l, e);
  } else if (l && e->type == LAUNCHERS_MEMBER) {
    member_event(l, e->member);
  } else if (l) {
    whole_event(l, e);
  }
  dispatcher_unlock(d);
  if (write) dispatcher_launch_write(d);
  dispatcher_launch_look(d, hato__now());
  dispatcher_lock(d);
  dispatcher_clock_soon(d);
  dispatcher_unlock(d);
  dispatcher_flush(d);
}

/* ---- what connections tell ---- */

static launch_member *member_of(const worker *w, launch **launch_out, unsigned *number) {
  launch *l = w->launch ? dispatcher_launch_find(w->peer.d, w->launch) : NULL;
  if (!l || w->member < l->member_first || w->member - l->member_first >= l->count) return NULL;
  *launch_out = l;
  *number = w->member - l->member_first;
  return &l->members[*number];
}

/* A daemon that was not told which member it is stands for one that has not come yet. */
static void number_daemon(worker *w) {
  launch *l = w->launch ? dispatcher_launch_find(w->peer.d, w->launch) : NULL;
  uint32_t number;
  if (!l || l->numbered || !sched_launches_vacant(w->peer.d->life, l->id, &number)) return;
  w->member = l->member_first + number;
}

void dispatcher_launch_joined(worker *w) {
  launch *l;
  unsigned number;
  if (!w->peer.d->life) return;
  number_daemon(w);
  launch_member *m = member_of(w, &l, &number);
  if (!m) return;
  m->came = true;
  m->why = NULL;
  set_ending(l, m, false);
  replace(&m->host, w->host);
  replace(&m->reason, NULL);
  sched_launches_joined(l->d->life, hato__now(), l->id, number);
  note_state(l, number);
  launchers_member_known(l->d->launchers, l->id, number, true);
  answer_if_settled(l, hato__now());
}

void dispatcher_launch_left(worker *w) {
  launch *l;
  unsigned number;
  if (!w->peer.d->life || !member_of(w, &l, &number)) return;
  sched_launches_left(l->d->life, hato__now(), l->id, number, w->orderly || l->d->asked_stop);
  note_state(l, number);
  launchers_member_known(l->d->launchers, l->id, number, false);
  look_soon(l->d);
}

void dispatcher_launch_worked(worker *w) {
  if (w->launch && w->peer.d->life) sched_launches_worked(w->peer.d->life, w->launch);
}

/* ---- the host's life ---- */

hato_status dispatcher_launch_open(dispatcher *d, hato_error *err) {
  launchers_options o = {.hato_binary = d->hato_binary, .event = on_event, .arg = d, .log = d->log};
  d->launch_tick = UINT64_MAX;
  d->life = sched_launches_create();
  if (!d->life) return hato__fail(err, HATO_NO_MEMORY, "no memory for a dispatcher");
  return launchers_create(&o, &d->launchers, err);
}

static void cancel_all(dispatcher *d) {
  launch *l, *next;
  HASH_ITER(hh, d->launches, l, next) {
    if (l->over || l->cancelled) continue;
    l->cancelled = true;
    if (l->lived) sched_launches_cancelled(d->life, hato__now(), l->id);
    if (d->launchers) launchers_cancel(d->launchers, l->id, NULL);
  }
}

void dispatcher_launch_close(dispatcher *d) {
  launch *l, *next;
  dispatcher_lock(d);
  while (d->askers > 0) pthread_cond_wait(&d->end, &d->lock);
  launchers *h = d->launchers;
  cancel_all(d);
  dispatcher_unlock(d);
  launchers_destroy(h, STOP_GRACE_MS);
  dispatcher_launch_write(d); /* what has not ended is found by the next dispatcher */
  dispatcher_lock(d);
  d->launchers = NULL;
  HASH_ITER(hh, d->launches, l, next) dispatcher_launch_drop(l);
  sched_launches_destroy(d->life);
  d->life = NULL;
  dispatcher_unlock(d);
}

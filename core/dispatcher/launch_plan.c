/* A launch's beginning: it is planned, its daemons' command is made, and the launcher is asked for them. */
#include "base/secret.h"
#include "dispatcher/launch.h"

#include <stdlib.h>
#include <string.h>

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
  dispatcher_launch_note_all(l);
  return l->lived;
}

/* There is no plan. The line of a replacement hears of it, so that it is tried again or given up. */
static void without_plan(launch *l, hato_status status, const char *words) {
  if (l->line != l->id) (void)enliven(l, l->wanted);
  dispatcher_launch_failed(l, status, words);
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

static bool is_cancelled(dispatcher *d, uint64_t id) {
  dispatcher_lock(d);
  const launch *l = dispatcher_launch_find(d, id);
  bool yes = !l || l->cancelled;
  dispatcher_unlock(d);
  return yes;
}

/* How the daemons get their credential, made for them: by their standard input before all else, which nobody else
 * sees. option: what --credential-file says, malloc'd; NULL: nothing. */
static hato_status choose_secret(dispatcher *d, const plan *p, launchers_request *q, char *text, char **option,
                                 hato_error *err) {
  bool sees_files = d->credentials.shared || (p->flags & HATO_LAUNCHER_SHARES_HOST);
  *option = NULL;
  hato_status st = dispatcher_credentials_add(d, p->id, err);
  if (!st && is_cancelled(d, p->id)) st = hato__fail(err, HATO_CANCELLED, "the launch is cancelled");
  if (st) return st;
  if (p->secret_ways & HATO_SECRET_STDIN) {
    q->secret_way = HATO_SECRET_STDIN;
  } else if ((p->secret_ways & HATO_SECRET_FILE) && sees_files) {
    q->secret_way = HATO_SECRET_FILE;
    st = dispatcher_credentials_file(d, PROTO_ROLE_DAEMON, p->id, option, err);
    q->secret_file = *option;
    return st;
  } else if (p->secret_ways & HATO_SECRET_ENVIRONMENT) {
    q->secret_way = HATO_SECRET_ENVIRONMENT;
  } else {
    return hato__fail(err, HATO_NOT_SUPPORTED, "launcher %s has no way to hand the credential to its daemons%s",
                      p->asked->launcher, p->secret_ways ? " but by a file, and this dispatcher has no session" : "");
  }
  if (!dispatcher_credentials_text(d, p->id, text)) return hato__fail(err, HATO_CANCELLED, "the launch has ended");
  q->secret = text;
  q->secret_len = strlen(text);
  if (q->secret_way != HATO_SECRET_STDIN) return HATO_OK;
  text[q->secret_len++] = '\n';
  *option = hato__printf("-");
  return *option ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
}

static hato_status launch_daemons(dispatcher *d, launchers *h, const plan *p, launchers_request *q,
                                  hato_error *err) {
  launch_command c = {0};
  char **urls = NULL, *option = NULL, *text = hato__secret_alloc(HATO__CREDENTIAL_TEXT);
  where_kind kind = p->flags & HATO_LAUNCHER_SHARES_HOST    ? WHERE_HERE
                    : p->flags & HATO_LAUNCHER_NEEDS_LISTEN ? WHERE_BEYOND
                                                            : WHERE_LOOPBACK;
  hato_status st = text ? dispatcher_where(d, kind, &urls, err) : hato__fail(err, HATO_NO_MEMORY, "no memory for a launch");
  if (!st) st = choose_secret(d, p, q, text, &option, err);
  if (!st) {
    dispatcher_launch_command(d, p->asked, p->flags, p->member_env[0] ? p->member_env : NULL, p->count, urls, option, &c);
    q->argv = (const char *const *)c.words;
    q->dial_arg = c.dial_arg;
    q->dial_urls = (const char *const *)urls;
    q->dial_in = true;
    st = c.failed ? hato__fail(err, HATO_NO_MEMORY, "no memory for a launch")
                  : launchers_launch(h, q, err);
  }
  hato__secret_free(text, HATO__CREDENTIAL_TEXT);
  free(option);
  dispatcher_launch_command_free(&c);
  dispatcher_where_free(urls);
  return st;
}

/* On a thread of the launcher's host, without the lock. The host ends after it, whatever the dispatcher does. */
void dispatcher_launch_planned(dispatcher *d, const launchers_event *e) {
  plan p;
  hato_error err = {0};
  dispatcher_lock(d);
  launchers *h = d->launchers;
  launch *l = dispatcher_launch_find(d, e->launch);
  bool go = l && !l->lived && !l->over;
  if (go && (e->status || d->asked_stop || l->cancelled)) {
    without_plan(l, e->status ? e->status : HATO_CLOSED, e->status ? e->text : d->asked_stop ? "the dispatcher ends" : "it is ended");
    go = false;
  } else if (go && !take_plan(l, e->plan, &p)) {
    dispatcher_launch_failed(l, HATO_NO_MEMORY, "no memory for a launch");
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
    st = launchers_launch(h, &q, &err);
  } else {
    st = launch_daemons(d, h, &p, &q, &err);
  }
  dispatcher_lock(d);
  l = dispatcher_launch_find(d, p.id);
  if (st && l) dispatcher_launch_failed(l, st, err.text);
  if (!st && l && l->cancelled) launchers_cancel(h, l->id, NULL);
  dispatcher_asked_unref(p.asked);
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
    dispatcher_asked_unref(a);
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
  dispatcher_asked_unref(a);
  dispatcher_unlock(d);
  return st;
}

/* A keeper's thread: does jobs, follows launches, starts a process again that ended. */
#include "launchers/keeper.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/thread.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define FIRST_POLL_MS 1000
#define RESTART_MAX_S 60

/* ---- what the module says ---- */

static void on_log(void *arg, hato__log_level level, const char *text) {
  launchers__keeper *k = arg;
  hato__log_msg(&k->h->o.log, level, "LAUNCHER", "%s: %s", k->name, text);
}

static void on_progress(void *arg, const char *text) {
  launchers__keeper *k = arg;
  if (k->current != NULL) launchers__tell(k, k->current, LAUNCHERS_NEWS, HATO_OK, text);
}

static void on_member(void *arg, uint64_t launch, uint32_t first, uint32_t count, const launchers_member *m) {
  launchers__apply(arg, launch, first, count, m);
}

static bool on_abort(void *arg) {
  const launchers__keeper *k = arg;
  if (atomic_load(&k->h->stopping) && (k->abortable || hato__now() >= k->h->stop_by)) return true;
  return k->current != NULL && k->current->entry != NULL && atomic_load(&k->current->entry->cancelled);
}

/* The end of the host is bounded, whatever the launcher's own patience. */
static uint64_t on_limit(void *arg) {
  const launchers__keeper *k = arg;
  return atomic_load(&k->h->stopping) ? k->h->stop_by : 0;
}

/* ---- calls ---- */

static uint32_t deadline_of(const launchers__keeper *k, launchers__op op) {
  if (op == LAUNCHERS__LAUNCH) return k->info->launch_deadline_ms;
  if (op == LAUNCHERS__POLL) return k->info->poll_deadline_ms;
  return k->info->other_deadline_ms;
}

static hato_status call(launchers__keeper *k, launchers__call c, launchers__reply *reply, hato_error *err) {
  c.deadline_ms = deadline_of(k, c.op);
  k->abortable = c.op == LAUNCHERS__LAUNCH || c.op == LAUNCHERS__ADOPT || c.op == LAUNCHERS__PLAN;
  return launchers__line_call(k->line, &c, reply, err);
}

static void close_line(launchers__keeper *k, bool gently) {
  launchers__line_close(k->line, gently);
  k->line = NULL;
}

static hato_status ensure_line(launchers__keeper *k, hato_error *err) {
  if (k->line != NULL) return HATO_OK;
  launchers__line_options o = {.name = k->name,
                               .path = k->path,
                               .builtin = k->builtin,
                               .hato_binary = k->h->hato_binary,
                               .wake_fd = k->abort_fd,
                               .limit = on_limit,
                               .sink = {k, on_log, on_progress, on_member, on_abort}};
  launchers_info *info = NULL;
  k->abortable = true;
  hato_status rc = launchers__line_open(&o, &k->line, &info, err);
  if (rc != HATO_OK) return rc;
  launchers__remember(k->h, info);
  launchers_info_free(k->info);
  k->info = info;
  return HATO_OK;
}

/* ---- launches come and go ---- */

static uint64_t soon(const launchers__keeper *k) {
  uint32_t ms = k->h->o.first_poll_ms != 0 ? k->h->o.first_poll_ms : FIRST_POLL_MS;
  return hato__now() + ms * HATO__MS;
}

static uint32_t interval(const launchers__keeper *k) {
  if (k->info->interval_ms == 0) return 0;
  return k->h->o.interval_ms != 0 ? k->h->o.interval_ms : k->info->interval_ms;
}

/* The launcher tells of changes itself and is not polled. */
static bool quiet(const launchers__keeper *k) { return interval(k) == 0 && launchers__line_watches(k->line); }

static void poll_soon(launchers__keeper *k) {
  uint64_t at = soon(k);
  if (k->next_poll == 0 || k->next_poll > at) k->next_poll = at;
}

/* Its last event, with the entry gone before, so that its id is free. */
static void drop(launchers__keeper *k, launchers__kept *t, launchers_event_type type, hato_status status,
                 const char *text) {
  launchers__kept *found = NULL;
  HASH_FIND(hh, k->live, &t->id, sizeof t->id, found);
  if (found == t) HASH_DEL(k->live, t);
  if (k->current == t) k->current = NULL;
  if (t->entry != NULL) launchers__entry_remove(k->h, t->entry);
  launchers__tell(k, t, type, status, text);
  launchers__kept_free(t);
}

static void submitted(launchers__keeper *k, launchers__kept *t, const launchers__reply *reply) {
  t->record_len = reply->record_len;
  memcpy(t->record, reply->record, reply->record_len);
  t->lost = false;
  if (t->r.secret != NULL) explicit_bzero((void *)(uintptr_t)t->r.secret, t->r.secret_len);
  t->r.secret_len = 0; /* nobody needs it any more */
  launchers__tell_submitted(k, t);
  poll_soon(k);
}

static bool cancelled(const launchers__kept *t) {
  return t->entry != NULL && atomic_load(&t->entry->cancelled);
}

/* ---- a process that ended ---- */

static void schedule_restart(launchers__keeper *k) {
  unsigned again = k->restarts > 2 ? k->restarts - 2 : 0; /* the first is started at once */
  uint64_t s = again < 6 ? UINT64_C(1) << again : RESTART_MAX_S;
  k->restart_at = hato__now() + s * HATO__SEC;
}

/* One launch of a process that is gone. False: the new one is gone as well. */
static bool adopt_one(launchers__keeper *k, launchers__kept *t, const char *why) {
  launchers__reply reply;
  hato_error err;
  launchers__call c = {
      .op = LAUNCHERS__ADOPT, .request = &t->r, .record = t->record, .record_len = t->record_len};
  hato_status rc = call(k, c, &reply, &err);
  if (rc != HATO_OK) {
    close_line(k, false);
    if (!t->submitted) drop(k, t, LAUNCHERS_FAILED, rc, why != NULL ? why : err.text);
    return false;
  }
  if (reply.status == HATO_OK) {
    if (t->submitted)
      t->lost = false;
    else
      submitted(k, t, &reply);
    if (t->cancel_due) k->cancel_at = hato__now();
    poll_soon(k);
  } else if (!t->submitted) {
    drop(k, t, LAUNCHERS_FAILED, why != NULL ? HATO_RESET : reply.status, why != NULL ? why : reply.text);
  } else if (reply.status == HATO_NOT_FOUND) {
    t->lost = false;
    launchers__all_ended(k, t, reply.text);
  }
  return true;
}

static void adopt_lost(launchers__keeper *k, const char *why) {
  hato_error err;
  bool all = true;
  k->restart_at = 0;
  if (ensure_line(k, &err) != HATO_OK) {
    hato__warn(&k->h->o.log, "LAUNCHER-RESTART", "launcher %s cannot be started again: %s", k->name,
               err.text);
    for (launchers__kept *t = k->live, *next; t != NULL; t = next) {
      next = t->hh.next;
      if (!t->submitted) drop(k, t, LAUNCHERS_FAILED, err.status, why != NULL ? why : err.text);
    }
    all = false;
  }
  for (launchers__kept *t = k->live, *next; all && t != NULL; t = next) {
    next = t->hh.next;
    if (t->lost && !adopt_one(k, t, why)) all = false;
  }
  for (launchers__kept *t = k->live; t != NULL; t = t->hh.next) all &= !t->lost;
  if (all) return;
  k->restarts++;
  schedule_restart(k);
}

/* The line broke: says so, starts another process, adopts what the old one had made. */
static void recover(launchers__keeper *k, const char *why) {
  char words[512];
  (void)snprintf(words, sizeof words, "%s", why);
  hato__warn(&k->h->o.log, "LAUNCHER-GONE", "%s", words);
  close_line(k, false);
  bool waited_for = false; /* a launch that was being made is answered now */
  for (launchers__kept *t = k->live; t != NULL; t = t->hh.next) {
    t->lost = true;
    waited_for |= !t->submitted;
    if (t->submitted) launchers__tell(k, t, LAUNCHERS_TROUBLE, HATO_RESET, words);
  }
  k->current = NULL;
  if (k->live == NULL) return;
  /* A process that ends at each poll must not be started in a circle. */
  if (k->restarts++ == 0 || waited_for)
    adopt_lost(k, words);
  else
    schedule_restart(k);
}

/* ---- jobs ---- */

static void launch(launchers__keeper *k, launchers__kept *t, launchers__op op) {
  launchers__reply reply = {0};
  hato_error err;
  hato__error_clear(&err);
  if (atomic_load(&k->h->stopping)) {
    drop(k, t, LAUNCHERS_FAILED, HATO_CLOSED, "the dispatcher ends");
    return;
  }
  if (op == LAUNCHERS__LAUNCH && cancelled(t)) {
    drop(k, t, LAUNCHERS_FAILED, HATO_CANCELLED, "cancelled before it was submitted");
    return;
  }
  hato_status rc = ensure_line(k, &err);
  if (rc != HATO_OK) {
    drop(k, t, LAUNCHERS_FAILED, rc, err.text);
    return;
  }
  HASH_ADD(hh, k->live, id, sizeof t->id, t);
  if (op == LAUNCHERS__LAUNCH) k->current = t; /* an adoption is not given up for a cancel, which needs it */
  launchers__call c = {.op = op, .request = &t->r, .record = t->record, .record_len = t->record_len};
  rc = call(k, c, &reply, &err);
  k->current = NULL;
  if (rc != HATO_OK)
    recover(k, err.text);
  else if (reply.status == HATO_OK)
    submitted(k, t, &reply);
  else if (cancelled(t) && op == LAUNCHERS__LAUNCH)
    drop(k, t, LAUNCHERS_FAILED, HATO_CANCELLED, "cancelled while it was submitted");
  else
    drop(k, t, LAUNCHERS_FAILED, reply.status, reply.text);
}

static void plan(launchers__keeper *k, launchers__kept *t) {
  launchers__reply reply = {0};
  hato_error err;
  hato__error_clear(&err);
  hato_status rc = ensure_line(k, &err);
  if (rc == HATO_OK) {
    rc = call(k, (launchers__call){.op = LAUNCHERS__PLAN, .request = &t->r}, &reply, &err);
    if (rc != HATO_OK)
      recover(k, err.text);
    else if ((rc = reply.status) != HATO_OK)
      (void)hato__fail(&err, rc, "%s", reply.text);
  }
  launchers__emit(k, &(launchers_event){.type = LAUNCHERS_PLANNED,
                                        .launch = t->id,
                                        .status = rc,
                                        .text = err.text,
                                        .plan = rc == HATO_OK ? &reply.plan : NULL});
  launchers__kept_free(t);
}

static void cancel(launchers__keeper *k, launchers__kept *t) {
  launchers__reply reply;
  hato_error err;
  if (t->lost || k->line == NULL) return; /* told once it was adopted */
  hato_status rc = call(k, (launchers__call){.op = LAUNCHERS__CANCEL, .id = t->id}, &reply, &err);
  if (rc == HATO_OK && (reply.status == HATO_OK || reply.status == HATO_NOT_FOUND)) {
    t->cancel_due = false;
    k->cancel_failures = 0;
    poll_soon(k);
    return;
  }
  const char *text = rc != HATO_OK ? err.text : reply.text;
  launchers__tell(k, t, LAUNCHERS_TROUBLE, rc != HATO_OK ? rc : reply.status, text);
  uint64_t s = k->cancel_failures < 6 ? UINT64_C(1) << k->cancel_failures : RESTART_MAX_S;
  k->cancel_failures++;
  k->cancel_at = hato__now() + s * HATO__SEC;
  if (rc != HATO_OK) recover(k, text);
}

static void cancel_due(launchers__keeper *k) {
  k->cancel_at = 0;
  for (launchers__kept *t = k->live, *next; t != NULL; t = next) {
    next = t->hh.next;
    if (t->cancel_due && t->submitted) cancel(k, t);
    if (k->cancel_at != 0) return; /* the launcher does not answer: the others wait, too */
  }
}

/* That one, and those of the same launch that are next in line: one call to the scheduler for all of them. */
static uint32_t take_members(launchers__keeper *k, uint64_t id, uint32_t first, uint32_t *members, uint32_t max) {
  uint32_t n = 0;
  members[n++] = first;
  pthread_mutex_lock(&k->h->lock);
  while (n < max && !hato__list_empty(&k->jobs)) {
    launchers__job *j = HATO__ENTRY(k->jobs.next, launchers__job, link);
    if (j->type != LAUNCHERS__JOB_CANCEL_MEMBER || j->id != id) break;
    members[n++] = j->member;
    (void)hato__list_pop(&k->jobs);
    free(j);
  }
  pthread_mutex_unlock(&k->h->lock);
  return n;
}

static void cancel_member(launchers__keeper *k, launchers__kept *t, uint32_t member) {
  launchers__reply reply;
  hato_error err;
  uint32_t members[1024];
  if (t->lost || k->line == NULL) {
    launchers__tell(k, t, LAUNCHERS_TROUBLE, HATO_AGAIN, "the launcher's process is being started again");
    return;
  }
  uint32_t n = take_members(k, t->id, member, members, sizeof members / sizeof *members);
  launchers__call c = {.op = LAUNCHERS__CANCEL, .id = t->id, .members = members, .n_members = n};
  hato_status rc = call(k, c, &reply, &err);
  if (rc != HATO_OK)
    recover(k, err.text);
  else if (reply.status != HATO_OK)
    launchers__tell(k, t, LAUNCHERS_TROUBLE, reply.status, reply.text);
  else
    poll_soon(k);
}

/* No more often than once a second, however many daemons are lost at once. */
static void poll_wanted(launchers__keeper *k) {
  uint64_t now = hato__now(), at = k->last_poll + HATO__SEC;
  k->poll_wanted = true;
  if (at < now) at = now;
  if (k->next_poll == 0 || k->next_poll > at) k->next_poll = at;
}

static void do_job(launchers__keeper *k, launchers__job *j) {
  launchers__kept *t = NULL;
  if (j->type == LAUNCHERS__JOB_LAUNCH)
    launch(k, j->kept, LAUNCHERS__LAUNCH);
  else if (j->type == LAUNCHERS__JOB_ADOPT)
    launch(k, j->kept, LAUNCHERS__ADOPT);
  else if (j->type == LAUNCHERS__JOB_PLAN)
    plan(k, j->kept);
  else
    HASH_FIND(hh, k->live, &j->id, sizeof j->id, t);
  if (t != NULL && j->type == LAUNCHERS__JOB_CANCEL) {
    t->cancel_due = true;
    if (k->cancel_at == 0) cancel_due(k);
  } else if (t != NULL && j->type == LAUNCHERS__JOB_CANCEL_MEMBER) {
    cancel_member(k, t, j->member);
  } else if (t != NULL && j->type == LAUNCHERS__JOB_KNOWN) {
    launchers__connected(t, j->member, j->connected);
    if (!j->connected) poll_wanted(k);
  } else if (t != NULL && j->type == LAUNCHERS__JOB_POLL) {
    poll_wanted(k);
  }
  free(j);
}

/* ---- following ---- */

static void poll_failed(launchers__keeper *k, const launchers__reply *reply) {
  uint64_t ms = interval(k) != 0 ? interval(k) : FIRST_POLL_MS;
  if (k->failures++ == 0) {
    hato__warn(&k->h->o.log, "LAUNCHER-SILENT", "launcher %s could not ask what became of its launches: %s",
               k->name, reply->text);
    for (launchers__kept *t = k->live; t != NULL; t = t->hh.next)
      launchers__tell(k, t, LAUNCHERS_TROUBLE, reply->status, reply->text);
  }
  k->next_poll = hato__now() + (ms << (k->failures < 4 ? k->failures : 4)) * HATO__MS;
}

static void poll_all(launchers__keeper *k) {
  launchers__reply reply;
  hato_error err;
  k->next_poll = 0;
  k->poll_wanted = false;
  if (k->line == NULL) return;
  hato_status rc = call(k, (launchers__call){.op = LAUNCHERS__POLL}, &reply, &err);
  k->last_poll = hato__now();
  if (rc != HATO_OK) {
    k->failures++;
    recover(k, err.text);
    return;
  }
  if (reply.status != HATO_OK) {
    poll_failed(k, &reply);
    return;
  }
  if (k->failures > 0) {
    hato__notice(&k->h->o.log, "LAUNCHER-ANSWERS", "launcher %s answers again", k->name);
    for (launchers__kept *t = k->live; t != NULL; t = t->hh.next)
      if (t->submitted) launchers__tell(k, t, LAUNCHERS_ANSWERS, HATO_OK, "");
  }
  k->failures = k->restarts = 0;
  if (atomic_load(&k->h->stopping))
    poll_soon(k);
  else
    k->next_poll = quiet(k) ? 0 : k->last_poll + interval(k) * HATO__MS;
}

/* Launches all of whose members have ended. */
static void sweep(launchers__keeper *k) {
  for (launchers__kept *t = k->live, *next; t != NULL; t = next) {
    next = t->hh.next;
    if (!t->submitted || t->n_ended < t->r.count) continue;
    launchers__reply reply;
    hato_error err;
    hato_status rc = HATO_OK;
    if (k->line != NULL) rc = call(k, (launchers__call){.op = LAUNCHERS__FORGET, .id = t->id}, &reply, &err);
    drop(k, t, LAUNCHERS_ENDED, HATO_OK, "");
    if (rc == HATO_OK) continue;
    recover(k, err.text);
    return;
  }
}

static bool to_follow(const launchers__keeper *k) {
  for (const launchers__kept *t = k->live; t != NULL; t = t->hh.next) {
    if (t->submitted && !t->lost && launchers__kept_open(t)) return true;
  }
  return false;
}

static bool wants_poll(const launchers__keeper *k) {
  if (k->line == NULL || k->next_poll == 0) return false;
  return k->poll_wanted || (to_follow(k) && (!quiet(k) || k->failures > 0));
}

static uint64_t earlier(uint64_t a, uint64_t b) { return a == 0 || (b != 0 && b < a) ? b : a; }

/* When to wake up by itself; 0: never. */
static uint64_t next_time(const launchers__keeper *k) {
  uint64_t at = wants_poll(k) ? k->next_poll : 0;
  if (k->live != NULL) at = earlier(at, earlier(k->restart_at, k->cancel_at));
  if (atomic_load(&k->h->stopping)) at = earlier(at, k->h->stop_by);
  return at;
}

static launchers__job *next_job(launchers__keeper *k) {
  pthread_mutex_lock(&k->h->lock);
  hato__link *l = hato__list_pop(&k->jobs);
  pthread_mutex_unlock(&k->h->lock);
  return l != NULL ? HATO__ENTRY(l, launchers__job, link) : NULL;
}

static void take_news(launchers__keeper *k) {
  hato_error err;
  launchers__line_news news = launchers__line_ready(k->line, &err);
  if (news == LAUNCHERS__BROKEN)
    recover(k, err.text);
  else if (news == LAUNCHERS__NEWS)
    poll_all(k);
}

static void wait_for_something(launchers__keeper *k) {
  if (k->line != NULL && launchers__line_pending(k->line)) {
    take_news(k);
    return;
  }
  struct pollfd p[3] = {{.fd = k->wake_fd, .events = POLLIN}};
  int fds[2], n = k->line != NULL ? launchers__line_fds(k->line, fds) : 0;
  for (int i = 0; i < n; i++) p[1 + i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  uint64_t at = next_time(k), now = hato__now();
  uint64_t left = at > now ? (at - now) / HATO__MS + 1 : 0;
  int ms = at == 0 ? -1 : left < 3600000 ? (int)left : 3600000;
  if (poll(p, (nfds_t)n + 1, ms) <= 0) return;
  uint64_t count;
  if (p[0].revents != 0 && read(k->wake_fd, &count, sizeof count) < 0) return;
  if (n == 0 || (p[1].revents == 0 && (n < 2 || p[2].revents == 0))) return;
  take_news(k);
}

/* Whether the host's end has to wait for this keeper. */
static bool finishing(const launchers__keeper *k) {
  if (hato__now() >= k->h->stop_by) return false;
  for (const launchers__kept *t = k->live; t != NULL; t = t->hh.next) {
    if (cancelled(t)) return true;
  }
  return false;
}

static void *keep(void *arg) {
  launchers__keeper *k = arg;
  for (;;) {
    for (launchers__job *j; (j = next_job(k)) != NULL; sweep(k)) do_job(k, j);
    uint64_t now = hato__now();
    if (k->restart_at != 0 && k->restart_at <= now) adopt_lost(k, NULL);
    if (k->cancel_at != 0 && k->cancel_at <= now) cancel_due(k);
    if (wants_poll(k) && k->next_poll <= now) poll_all(k);
    sweep(k);
    if (atomic_load(&k->h->stopping) && !finishing(k)) break;
    wait_for_something(k);
    sweep(k);
  }
  close_line(k, true);
  return NULL;
}

/* ---- its life ---- */

void launchers__keeper_wake(launchers__keeper *k, bool abort) {
  uint64_t one = 1;
  if (abort && write(k->abort_fd, &one, sizeof one) < 0) return; /* it is full of wakes already */
  if (write(k->wake_fd, &one, sizeof one) < 0) return;
}

void launchers__keeper_free(launchers__keeper *k) {
  while (k->live != NULL) {
    launchers__kept *t = k->live;
    HASH_DEL(k->live, t);
    launchers__kept_free(t);
  }
  for (hato__link *l; (l = hato__list_pop(&k->jobs)) != NULL;) {
    launchers__job *j = HATO__ENTRY(l, launchers__job, link);
    launchers__kept_free(j->kept);
    free(j);
  }
  if (k->wake_fd >= 0) (void)close(k->wake_fd);
  if (k->abort_fd >= 0) (void)close(k->abort_fd);
  launchers_info_free(k->info);
  free(k->name);
  free(k->path);
  free(k);
}

launchers__keeper *launchers__keeper_create(launchers *h, const char *name, const char *path,
                                            const hato_launcher *builtin, hato_error *err) {
  launchers__keeper *k = calloc(1, sizeof *k);
  if (k == NULL) {
    (void)hato__fail(err, HATO_NO_MEMORY, "no memory for launcher %s", name);
    return NULL;
  }
  k->h = h;
  k->builtin = builtin;
  hato__list_init(&k->jobs);
  k->name = strdup(name);
  k->path = path != NULL ? strdup(path) : NULL;
  k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  k->abort_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  bool whole = k->name != NULL && (path == NULL || k->path != NULL) && k->wake_fd >= 0 && k->abort_fd >= 0;
  if (whole && hato__thread_start(&k->thread, 0, keep, k) == 0) return k;
  (void)hato__fail(err, HATO_SYSTEM, "no thread or descriptors for launcher %s", name);
  launchers__keeper_free(k);
  return NULL;
}

void launchers__keeper_join(launchers__keeper *k) { (void)pthread_join(k->thread, NULL); }

/* A dispatcher's life: create, listen, wait, stop. */
#include "dispatcher/internal.h"

#include "base/url.h"
#include "sched/launches.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SPOOL_LIMIT (UINT64_C(10) << 30)
#define KEEP_NS (7 * 24 * 3600 * HATO__SEC)
#define HEARTBEAT_MS 30000u
#define STOP_NS (6 * HATO__SEC) /* how long stop waits for daemons to go: a task's grace is 5 s */

static bool copy(char **to, const char *from) {
  *to = from ? hato__printf("%s", from) : NULL;
  return !from || *to;
}

static bool copy_options(dispatcher *d, const dispatcher_options *o) {
  d->log = o->log;
  d->keep_ns = o->keep_ns ? o->keep_ns : KEEP_NS;
  d->idle_ns = o->idle_ns;
  d->while_pid = o->while_pid;
  d->while_start = o->while_pid ? hato__process_start(o->while_pid) : 0;
  d->heartbeat_ms = o->heartbeat_ms ? o->heartbeat_ms : HEARTBEAT_MS;
  return copy(&d->session, o->session) && copy(&d->local_dir, o->local_dir) &&
         copy(&d->log_dir, o->log_dir ? o->log_dir : o->local_dir) && copy(&d->hato_binary, o->hato_binary) &&
         copy(&d->launches_file, o->launches_file);
}

static hato_status init_sync(dispatcher *d, hato_error *err) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  int e = pthread_mutex_init(&d->lock, NULL);
  if (!e) e = pthread_mutex_init(&d->launches_lock, NULL);
  if (!e) e = pthread_mutex_init(&d->credentials.files, NULL);
  if (!e) e = pthread_mutex_init(&d->credentials.lock, NULL);
  if (!e) e = pthread_cond_init(&d->tick, &attr);
  if (!e) e = pthread_cond_init(&d->end, &attr);
  pthread_condattr_destroy(&attr);
  return e ? hato__fail(err, HATO_SYSTEM, "no lock: %s", strerror(e)) : HATO_OK;
}

hato_status dispatcher_create(const dispatcher_options *o, dispatcher **out, hato_error *err) {
  *out = NULL;
  if (!o || !o->local_dir || !o->hato_binary)
    return hato__fail(err, HATO_INVALID, "a dispatcher needs a local folder and the hato binary");
  if (o->while_pid && !hato__process_start(o->while_pid))
    return hato__fail(err, HATO_NOT_FOUND, "there is no process %d to be tied to", (int)o->while_pid);
  hato_status st = net_init(err);
  if (st) return st;
  dispatcher *d = calloc(1, sizeof *d);
  if (!d) return hato__fail(err, HATO_NO_MEMORY, "no memory for a dispatcher");
  hato__list_init(&d->peers);
  hato__list_init(&d->dirty);
  hato__list_init(&d->later);
  hato__list_init(&d->spooling);
  hato__list_init(&d->waits);
  hato__list_init(&d->unkept);
  d->next_task = 1;
  d->tick_at = d->dismiss_at = UINT64_MAX;
  d->started = d->busy_at = hato__now();
  d->started_wall = hato__wall_now();
  hato__random(&d->id, sizeof d->id);
  st = init_sync(d, err);
  if (st) {
    free(d);
    return st;
  }
  /* Some milliseconds of work ahead of each slot: enough that short commands can begin several at a time. */
  d->sched = sched_create(&(sched_config){.ahead_ns = 8 * HATO__MS});
  if (!copy_options(d, o) || !d->sched) st = hato__fail(err, HATO_NO_MEMORY, "no memory for a dispatcher");
  if (!st)
    st = hato__spool_open(d->local_dir, "default", o->spool_limit ? o->spool_limit : SPOOL_LIMIT, &d->spool,
                          err);
  if (!st) st = dispatcher_credentials_open(d, o, err);
  if (!st) st = dispatcher_where_open(d, o, err);
  if (!st) st = dispatcher_launch_open(d, err);
  if (!st) st = dispatcher_clock_start(d, err);
  if (st) {
    dispatcher_destroy(d);
    return st;
  }
  *out = d;
  return HATO_OK;
}

hato_status dispatcher_listeners_add(dispatcher *d, net_listener *const *l, unsigned n, hato_error *err) {
  hato_status st = HATO_OK;
  dispatcher_lock(d);
  net_listener **all = realloc(d->listeners, (d->n_listeners + n) * sizeof *all);
  if (all) d->listeners = all;
  if (!all) {
    st = hato__fail(err, HATO_NO_MEMORY, "no memory for a listener");
  } else if (d->asked_stop) {
    st = hato__fail(err, HATO_STATE, "the dispatcher is ending");
  } else {
    memcpy(all + d->n_listeners, l, n * sizeof *all);
    d->n_listeners += n;
  }
  dispatcher_unlock(d);
  return st;
}

hato_status dispatcher_listen(dispatcher *d, const char *url, hato_error *err) {
  net_listener *l = NULL;
  bool local = hato__url_scheme(url) == HATO__SCHEME_SOCKET;
  hato_status st = local ? HATO_OK : dispatcher_credentials_publish(d, err);
  if (!st) st = net_listen(url, &d->guard, &d->log, dispatcher_peers_admitted, d, &l, err);
  if (st) return st;
  st = dispatcher_listeners_add(d, &l, 1, err);
  if (st) net_listener_close(l);
  if (!st && !local) dispatcher_ports_say(d, net_listener_url(l));
  return st;
}

const char *dispatcher_url(dispatcher *d, unsigned i) {
  dispatcher_lock(d);
  const char *url = i < d->n_listeners ? net_listener_url(d->listeners[i]) : NULL;
  dispatcher_unlock(d);
  return url;
}

hato_status dispatcher_embed(dispatcher *d, net_conn **end, hato_error *err) {
  net_conn *server = NULL;
  hato_status st = net_pair(end, &server, err);
  if (st) return st;
  st = dispatcher_peers_embed(d, server, err);
  if (st == HATO_OK) return HATO_OK;
  net_close(server, st, "the dispatcher is ending");
  net_release(server);
  net_close(*end, st, "the dispatcher is ending");
  net_release(*end);
  *end = NULL;
  return st;
}

/* ---- the end ---- */

void dispatcher_ask(dispatcher *d, const char *why) {
  if (d->asked_stop) return;
  d->asked_stop = true;
  snprintf(d->why, sizeof d->why, "%s", why);
  pthread_cond_broadcast(&d->end);
}

void dispatcher_ask_stop(dispatcher *d, const char *why) {
  dispatcher_lock(d);
  dispatcher_ask(d, why);
  dispatcher_unlock(d);
}

const char *dispatcher_wait(dispatcher *d) {
  dispatcher_lock(d);
  while (!d->asked_stop) pthread_cond_wait(&d->end, &d->lock);
  dispatcher_unlock(d);
  return d->why;
}

/* Tells everyone. Daemons drain: their tasks get SIGTERM and its grace before they are killed, and what
 * ended is still reported. */
static void say_goodbye(dispatcher *d) {
  uint64_t now = hato__now();
  for (hato__link *l = d->peers.next; l != &d->peers; l = l->next) {
    peer *p = HATO__ENTRY(l, peer, link);
    if (p->closed) continue;
    size_t begun;
    hato__buf *b = dispatcher_outbox_bytes(p, &begun);
    if (p->kind == PEER_WORKER && p->introduced) {
      sched_daemon_draining(d->sched, now, worker_of(p)->handle);
      proto_drain_encode(b, true);
      dispatcher_outbox_done(p, begun);
      continue;
    }
    proto_words_encode(b, PROTO_GOODBYE, HATO_OK, d->why[0] ? d->why : "the dispatcher ends");
    dispatcher_outbox_done(p, begun);
  }
}

/* Waits until no peer is left, at most until `until`; true: none is. */
static bool wait_gone(dispatcher *d, uint64_t until) {
  struct timespec ts = {.tv_sec = (time_t)(until / HATO__SEC), .tv_nsec = (long)(until % HATO__SEC)};
  while (d->n_peers > 0)
    if (pthread_cond_timedwait(&d->end, &d->lock, &ts) != 0) break;
  return d->n_peers == 0;
}

static void close_all(dispatcher *d) {
  for (hato__link *l = d->peers.next; l != &d->peers; l = l->next)
    net_close(HATO__ENTRY(l, peer, link)->conn, HATO_CLOSED, "the dispatcher ends");
}

void dispatcher_stop(dispatcher *d) {
  if (!d) return;
  dispatcher_lock(d);
  bool first = !d->stopping;
  dispatcher_ask(d, "it was stopped");
  dispatcher_unlock(d);
  if (!first) return;
  dispatcher_work_pump(d);
  dispatcher_lock(d);
  unsigned n = d->n_listeners;
  d->n_listeners = 0;
  dispatcher_unlock(d);
  for (unsigned i = 0; i < n; i++) net_listener_close(d->listeners[i]);
  dispatcher_clock_stop(d);
  dispatcher_lock(d);
  say_goodbye(d);
  dispatcher_unlock(d);
  dispatcher_flush(d);
  dispatcher_lock(d);
  bool gone = wait_gone(d, hato__now() + STOP_NS);
  if (!gone) close_all(d);
  dispatcher_unlock(d);
  dispatcher_launch_close(d);
  dispatcher_lock(d);
  wait_gone(d, hato__now() + STOP_NS);
  dispatcher_unlock(d);
  dispatcher_work_pump(d);
}

/* What is left of a session's tasks when it ends. */
static void free_submissions(dispatcher *d) {
  while (d->n_detached > 0) {
    submission *s = d->detached[d->n_detached - 1];
    s->unresolved = 0;
    s->forgotten = s->count;
    if (s->chunks == 0) {
      dispatcher_submission_settle(s);
    } else {
      d->n_detached--;
    }
  }
  free(d->detached);
  dispatcher_room_drop(d);
  rest *r, *next;
  HASH_ITER(hh, d->rests, r, next) {
    HASH_DEL(d->rests, r);
    free(r);
  }
}

void dispatcher_destroy(dispatcher *d) {
  if (!d) return;
  if (d->clock_runs) dispatcher_stop(d);
  if (d->launchers) dispatcher_launch_close(d);
  sched_launches_destroy(d->life);
  if (d->sched && d->spool) {
    dispatcher_lock(d);
    sched_cancel(d->sched, hato__now(), 1, UINT64_MAX - 1, 0, HATO_RESET);
    dispatcher_unlock(d);
    dispatcher_work_pump(d);
    free_submissions(d);
  }
  hato__spool_close(d->spool);
  sched_destroy(d->sched);
  free(d->listeners);
  free(d->session);
  free(d->local_dir);
  free(d->log_dir);
  free(d->hato_binary);
  dispatcher_where_close(d);
  free(d->launches_file);
  dispatcher_credentials_close(d);
  pthread_cond_destroy(&d->tick);
  pthread_cond_destroy(&d->end);
  pthread_mutex_destroy(&d->launches_lock);
  pthread_mutex_destroy(&d->lock);
  free(d);
}

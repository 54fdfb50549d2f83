/* A pool: open, close, and what its threads and waits have in common. */
#include "client/internal.h"

#include "base/version.h"
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

const char *hato_version(void) { return HATO__VERSION; }

void client_pool_cond_init(pthread_cond_t *c) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
  pthread_cond_init(c, &attr);
  pthread_condattr_destroy(&attr);
}

static struct timespec timespec_of(uint64_t ns) {
  return (struct timespec){.tv_sec = (time_t)(ns / HATO__SEC), .tv_nsec = (long)(ns % HATO__SEC)};
}

void client_pool_changed(hato_pool *p) {
  if (p->waiters > 0) pthread_cond_broadcast(&p->changed);
}

bool client_pool_await(hato_pool *p, uint64_t until) {
  int rv;
  p->waiters++;
  if (until == UINT64_MAX) {
    rv = pthread_cond_wait(&p->changed, &p->lock);
  } else {
    struct timespec ts = timespec_of(until);
    rv = pthread_cond_timedwait(&p->changed, &p->lock, &ts);
  }
  p->waiters--;
  return rv != ETIMEDOUT;
}

void client_pool_thread_over(hato_pool *p, bool *over) {
  pool_lock(p);
  *over = true;
  client_pool_changed(p);
  pool_unlock(p);
}

void client_pool_join(hato_pool *p, pthread_t t, const bool *over, uint64_t until) {
  if (pthread_equal(t, pthread_self())) {
    pthread_detach(t);
    return;
  }
  pool_lock(p);
  while (!*over && client_pool_await(p, until)) {
  }
  bool ended = *over;
  pool_unlock(p);
  if (ended) {
    pthread_join(t, NULL);
  } else {
    pthread_detach(t);
  }
}

/* ---- making and freeing ---- */

static void say_log(void *arg, hato__log_level level, const char *id, const char *text) {
  const hato_pool_options *o = arg;
  o->log(o->log_arg, (hato_log_level)level, id, text);
}

static void log_init(hato__log *log, const hato_pool_options *o, hato_pool_options *kept) {
  if (!o->log) return;
  *kept = *o;
  *log = (hato__log){.level = (hato__log_level)o->log_level, .write = say_log, .arg = kept};
}

static hato_pool *pool_new(void) {
  hato_pool *p = calloc(1, sizeof *p);
  if (!p) return NULL;
  p->alive = client_fork_page();
  if (!p->alive) {
    free(p);
    return NULL;
  }
  atomic_init(&p->refs, 1);
  atomic_init(&p->next_seq, 1);
  atomic_init(&p->next_spec, 1);
  pthread_mutex_init(&p->lock, NULL);
  pthread_mutex_init(&p->watch_lock, NULL);
  pthread_mutex_init(&p->due_lock, NULL);
  pthread_mutex_init(&p->control_lock, NULL);
  pthread_mutex_init(&p->helper_lock, NULL);
  pthread_mutex_init(&p->input_lock, NULL);
  client_pool_cond_init(&p->changed);
  client_pool_cond_init(&p->helper_work);
  hato__list_init(&p->subs);
  hato__list_init(&p->unanswered);
  hato__list_init(&p->inputs);
  hato__list_init(&p->queues);
  client_outbox_init(&p->out);
  p->jobs_tail = &p->jobs;
  p->due_tail = &p->due;
  p->due_fd = p->reader_fd = p->dir_fd = -1;
  hato__random(&p->id, sizeof p->id);
  return p;
}

static void pool_free(hato_pool *p) {
  client_callbacks_close(p);
  if (p->conn) net_release(p->conn);
  pthread_mutex_destroy(&p->lock);
  pthread_mutex_destroy(&p->watch_lock);
  pthread_mutex_destroy(&p->due_lock);
  pthread_mutex_destroy(&p->control_lock);
  pthread_mutex_destroy(&p->helper_lock);
  pthread_mutex_destroy(&p->input_lock);
  pthread_cond_destroy(&p->changed);
  pthread_cond_destroy(&p->helper_work);
  if (p->reader_fd >= 0) close(p->reader_fd);
  hato__buf_free(&p->out.urgent);
  object *o, *next;
  HASH_ITER(hh, p->objects, o, next) {
    HASH_DEL(p->objects, o);
    free(o->bytes);
    free(o);
  }
  client_fork_page_free(p->alive);
  free(p->table.at);
  free(p->gone_reason);
  free(p->local_dir);
  free(p->url);
  free(p->log_options);
  free(p);
}

hato_pool *client_pool_ref(hato_pool *p) {
  atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
  return p;
}

void client_pool_unref(hato_pool *p) {
  if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1) pool_free(p);
}

/* ---- opening ---- */

hato_status client_pool_start(hato_pool *p, hato_error *err) {
  char host[256], label[300];
  hato__hostname(host, sizeof host);
  const char *user = getenv("USER");
  snprintf(label, sizeof label, "%.40s@%.200s:%d", user && *user ? user : "user", host, (int)getpid());
  item *i = client_outbox_item(ITEM_BYTES, 64);
  if (i) proto_client_encode(&i->u.bytes, p->id, label);
  if (!i || i->u.bytes.failed) {
    if (i) hato__buf_free(&i->u.bytes);
    free(i);
    return hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  }
  pool_lock(p);
  client_outbox_push(p, i);
  pool_unlock(p);
  client_pool_ref(p); /* the connection's, until it is closed */
  net_start(p->conn, &client_ops, p);
  net_wake(p->conn);
  return HATO_OK;
}

static hato_status pool_connect(hato_pool *p, const hato_pool_options *o, hato_error *err) {
  bool none = false;
  hato_status st;
  switch (o->mode) {
    case HATO_POOL_URL: return client_connect_url(p, o, err);
    case HATO_POOL_EMBEDDED: return client_embed_open(p, o, err);
    case HATO_POOL_SESSION: return client_connect_session(p, o, &none, err);
    default:
      st = client_connect_session(p, o, &none, err);
      return st != HATO_OK && none ? client_embed_open(p, o, err) : st;
  }
}

/* What of the caller's options there is: a shorter struct of an older caller ends before. */
static hato_status options_of(const hato_pool_options *given, hato_pool_options *o, hato_error *err) {
  *o = (hato_pool_options)HATO_POOL_OPTIONS_INIT;
  if (!given) return HATO_OK;
  if (given->size < sizeof(size_t) + sizeof(hato_pool_mode) || given->size > 65536)
    return hato__fail(err, HATO_INVALID, "hato_pool_options.size is %zu: begin with HATO_POOL_OPTIONS_INIT",
                      given->size);
  memcpy(o, given, given->size < sizeof *o ? given->size : sizeof *o);
  if ((unsigned)o->mode > HATO_POOL_URL)
    return hato__fail(err, HATO_INVALID, "pool mode %d: 0 to %d were wanted", (int)o->mode, (int)HATO_POOL_URL);
  if (o->mode == HATO_POOL_URL && !o->url) return hato__fail(err, HATO_INVALID, "a pool by url needs one");
  if (o->mode != HATO_POOL_URL && o->credential_file)
    return hato__fail(err, HATO_INVALID, "a credential's file is for a pool by url; a session's is found in its folder");
  if (o->daemons < -1 || o->slots < 0 || o->connect_timeout_ms < 0)
    return hato__fail(err, HATO_INVALID, "daemons %d, slots %d, connect timeout %d ms: not below 0 (daemons: -1)",
                      o->daemons, o->slots, o->connect_timeout_ms);
  if (o->connect_timeout_ms == 0) o->connect_timeout_ms = 10000;
  return HATO_OK;
}

hato_status hato_pool_open(const hato_pool_options *options, hato_pool **pool, hato_error *err) {
  hato_pool_options o;
  hato__error_clear(err);
  if (!pool) return hato__fail(err, HATO_INVALID, "hato_pool_open: pool is NULL");
  *pool = NULL;
  hato_status st = options_of(options, &o, err);
  if (st) return st;
  hato_pool *p = pool_new();
  if (!p) return hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  p->log_options = malloc(sizeof *p->log_options);
  if (p->log_options) log_init(&p->log, &o, p->log_options);
  st = p->log_options ? pool_connect(p, &o, err) : hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  if (st == HATO_OK) st = client_pool_start(p, err);
  if (st) {
    if (p->conn) net_release(p->conn); /* before the dispatcher at its other end */
    p->conn = NULL;
    client_embed_close(p);
    client_pool_unref(p);
    return st;
  }
  *pool = p;
  return HATO_OK;
}

hato_status hato_pool_get_info(hato_pool *p, hato_pool_info *info) {
  if (!p || !info || info->size < sizeof(size_t) || info->size > 65536) return HATO_INVALID;
  if (forked(p)) return HATO_STATE;
  hato_pool_info i = {.size = info->size, .embedded = p->embedded, .url = p->url ? p->url : ""};
  i.submitted = atomic_load_explicit(&p->submitted, memory_order_relaxed);
  i.resolved = atomic_load_explicit(&p->resolved, memory_order_relaxed);
  i.connected = !pool_gone(p);
  memcpy(info, &i, info->size < sizeof i ? info->size : sizeof i);
  return HATO_OK;
}

/* ---- closing ---- */

/* Says GOODBYE after what is detached, and waits until the dispatcher hung up. */
static void say_goodbye(hato_pool *p, uint64_t until) {
  item *i = client_outbox_item(ITEM_END, 16);
  pool_lock(p);
  while (p->uploads > 0 && p->state != POOL_GONE && client_pool_await(p, until)) {
  }
  if (i) {
    client_outbox_push(p, i);
    pool_unlock(p);
    net_wake(p->conn);
    pool_lock(p);
    while (!p->out.end_sent && p->state != POOL_GONE && client_pool_await(p, until)) {
    }
    uint64_t soon = hato__now() + HATO__SEC;
    while (p->state != POOL_GONE && client_pool_await(p, soon < until ? soon : until)) {
    }
  }
  pool_unlock(p);
}

void hato_pool_close(hato_pool *p) {
  if (!p || forked(p)) return;
  uint64_t until = hato__now() + CLOSE_NS;
  pool_lock(p);
  if (p->state == POOL_OPEN) p->state = POOL_CLOSING;
  pthread_cond_broadcast(&p->changed);
  pool_unlock(p);
  say_goodbye(p, until - 2 * HATO__SEC);
  net_close(p->conn, HATO_CLOSED, "the pool was closed");
  pool_lock(p);
  while (!p->ended) client_pool_await(p, UINT64_MAX); /* net ends what it has begun */
  pool_unlock(p);
  client_input_stop(p, until);
  client_helper_stop(p, until);
  client_embed_close(p);
  client_pool_unref(p);
}

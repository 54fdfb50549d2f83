/* What it costs to be admitted.
 *
 *   dials client --url URL [--credential FILE] -n N   N dials of a client, one after the other: the median
 *   dials bare   --url URL -n N                       the same, connected and closed without a word
 *   dials daemons --url URL --credential FILE -n N    N daemons of one slot, whose tasks are done the moment they come
 *
 * Prints a line of JSON; `daemons` then stays until its standard input ends. */
#include "bench/floor.h"
#include "net/net.h"
#include "session/session.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#define THREADS 8

typedef struct dials {
  const char *url;
  hato__credential *credential;
  unsigned n;
  atomic_uint begun, enlisted;
} dials;

typedef struct one { /* a daemon */
  dials *all;
  net_conn *c;
  pthread_mutex_t lock;
  hato__buf out;
} one;

static void die(const char *what, const char *why) {
  fprintf(stderr, "dials: %s: %s\n", what, why);
  exit(1);
}

static net_conn *dial(dials *d, proto_role role) {
  hato_error err = {0};
  net_conn *c;
  if (net_dial(d->url, role, &(net_auth){.credential = d->credential}, 60000, 60000, &c, &err) != HATO_OK)
    die(d->url, err.text);
  return c;
}

/* ---- one after the other ---- */

static void client(dials *d) { net_release(dial(d, PROTO_ROLE_CLIENT)); }

static void bare(dials *d) {
  nng_stream_dialer *dialer;
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  must(nng_stream_dialer_alloc(&dialer, d->url), d->url);
  do { /* the backlog of a Unix socket may be full */
    nng_stream_dialer_dial(dialer, aio);
    nng_aio_wait(aio);
  } while (nng_aio_result(aio) == NNG_EAGAIN);
  must(nng_aio_result(aio), d->url);
  nng_stream_free(nng_aio_get_output(aio, 0));
  nng_stream_dialer_free(dialer);
  nng_aio_free(aio);
}

static void one_by_one(dials *d, void (*way)(dials *)) {
  uint64_t *took = calloc(d->n, sizeof *took);
  for (unsigned i = 0; i < d->n; i++) {
    uint64_t begun = now_ns();
    way(d);
    took[i] = now_ns() - begun;
  }
  printf("{\"dials\":%u,\"median_us\":%.1f}\n", d->n, (double)median(took, d->n) / 1e3);
}

/* ---- daemons ---- */

/* What an empty function comes to. */
static void done(one *o, const uint8_t *body, uint32_t len) {
  hato_error err;
  proto_assign a;
  proto_results_writer w;
  if (proto_assign_decode(&a, body, len, &err) != HATO_OK) die("ASSIGN", err.text);
  proto_run run = {.first = a.first, .count = a.count, .attempt = a.attempt};
  proto_runs_encode(&o->out, PROTO_STARTED, &run, 1);
  proto_results_begin(&w, &o->out);
  for (uint64_t i = 0; i < a.count; i++) {
    proto_result r = {.task = a.first + i, .attempt = a.attempt, .flags = PROTO_RESULT_USAGE, .wall_ns = 1000};
    if (!proto_results_room(&w, proto_result_size(&r))) {
      proto_results_end(&w);
      proto_results_begin(&w, &o->out);
    }
    proto_results_add(&w, &r);
  }
  proto_results_end(&w);
}

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  one *o = owner;
  (void)err;
  pthread_mutex_lock(&o->lock);
  if (f->type == PROTO_ENLISTED) o->all->enlisted++;
  if (f->type == PROTO_ASSIGN) done(o, f->body, f->len);
  if (f->type == PROTO_HEARTBEAT) proto_heartbeat_encode(&o->out);
  if (f->type == PROTO_TAKE) proto_runs_encode(&o->out, PROTO_TAKEN, NULL, 0); /* all that it has is done */
  pthread_mutex_unlock(&o->lock);
  net_wake(c);
  return HATO_OK;
}

static void on_fill(void *owner, net_conn *c, net_out *out) {
  one *o = owner;
  (void)c;
  pthread_mutex_lock(&o->lock);
  hato__buf_append(&out->bytes, o->out.data, o->out.len);
  hato__buf_free(&o->out);
  pthread_mutex_unlock(&o->lock);
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)owner, (void)c, (void)why, (void)words;
}

static void *dial_some(void *arg) {
  static const net_ops ops = {.frame = on_frame, .fill = on_fill, .closed = on_closed};
  dials *d = arg;
  while (d->begun++ < d->n) {
    one *o = calloc(1, sizeof *o);
    *o = (one){.all = d, .c = dial(d, PROTO_ROLE_DAEMON), .lock = PTHREAD_MUTEX_INITIALIZER};
    proto_daemon me = {.instance = 1, .slots = 1, .cores = 1, .pid = (uint32_t)getpid(), .host = "bench", .host_len = 5,
                       .version = "bench", .version_len = 5};
    me.id = ((uint64_t)getpid() << 32) + (uint64_t)(uintptr_t)o;
    proto_daemon_encode(&o->out, &me);
    net_start(o->c, &ops, o);
    net_wake(o->c);
  }
  return NULL;
}

static void daemons(dials *d) {
  pthread_t t[THREADS];
  char byte;
  uint64_t begun = now_ns();
  for (int i = 0; i < THREADS; i++) pthread_create(&t[i], NULL, dial_some, d);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  while (d->enlisted < d->n) usleep(1000);
  printf("{\"daemons\":%u,\"seconds\":%.3f}\n", d->n, (double)(now_ns() - begun) / 1e9);
  fflush(stdout);
  while (read(STDIN_FILENO, &byte, 1) > 0) continue;
  _exit(0);
}

int main(int argc, char **argv) {
  dials d = {0};
  hato_error err = {0};
  for (int i = 2; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "--url") == 0) d.url = argv[i + 1];
    if (strcmp(argv[i], "-n") == 0) d.n = (unsigned)strtoul(argv[i + 1], NULL, 10);
    if (strcmp(argv[i], "--credential") == 0 && hato__credential_read(argv[i + 1], &d.credential, &err) != HATO_OK)
      die(argv[i + 1], err.text);
  }
  if (d.url == NULL || d.n == 0) return fprintf(stderr, "usage: dials client|bare|daemons --url URL [--credential FILE] -n N\n"), 2;
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  if (net_init(&err) != HATO_OK) die("NNG", err.text);
  if (strcmp(argv[1], "daemons") == 0)
    daemons(&d);
  else
    one_by_one(&d, strcmp(argv[1], "bare") == 0 ? bare : client);
  hato__credential_free(d.credential);
  return 0;
}

/* What libhato reads from a dispatcher, whatever that says, and in pieces of any size: a pool with an array, a future,
 * a task that is fetched and one with a large argument, at the other end of an in-process connection. Every
 * submission resolves, by what was said or by the end.
 *
 * An input is a byte for the seed of the cutting, and the dispatcher's stream. Tasks of the array are 1 to 4 once
 * it says so. */
#include "client/internal.h"
#include "net/internal.h"
#include "session/session.h"

#include "fuzz/fuzz.h"

#include <time.h>

typedef struct end { /* the dispatcher's */
  net_conn *conn;
  const uint8_t *at;
  size_t n;
  uint64_t seed;
  atomic_bool closed, said; /* said: all of it was handled */
} end;

static end *other; /* of the pool that is opened */

/* In the place of dialling. */
hato_status client_connect_url(hato_pool *p, const hato_pool_options *o, hato_error *err) {
  (void)o;
  hato_status st = net_pair(&p->conn, &other->conn, err);
  p->url = hato__printf("ipc:///fuzz");
  require(p->url != NULL);
  return st;
}
hato_status client_connect_session(hato_pool *p, const hato_pool_options *o, bool *none, hato_error *err) {
  (void)p;
  (void)o;
  *none = false;
  return hato__fail(err, HATO_NOT_FOUND, "there is no session here");
}

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)owner;
  (void)c;
  (void)f;
  (void)err;
  return HATO_OK;
}

static void on_fill(void *owner, net_conn *c, net_out *out) {
  end *e = owner;
  (void)c;
  e->seed = e->seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
  size_t n = e->seed >> 33 & 1 ? (e->seed >> 34) % 32 + 1 : (e->seed >> 34) % 30000 + 1;
  if (n > e->n) n = e->n;
  hato__buf_append(&out->bytes, e->at, n);
  e->at += n;
  e->n -= n;
}

static void on_sent(void *owner, net_conn *c) {
  end *e = owner;
  (void)c;
  if (e->n == 0) atomic_store(&e->said, true);
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  end *e = owner;
  (void)c;
  (void)why;
  (void)words;
  atomic_store(&e->closed, true);
}

static void moment(void) { (void)nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL); }

static const net_ops ops = {.frame = on_frame, .fill = on_fill, .sent = on_sent, .closed = on_closed};

static void check_result(const hato_result *r) {
  uint64_t sum = 0;
  for (size_t i = 0; i < r->out_size; i++) sum += ((const uint8_t *)r->out)[i];
  for (size_t i = 0; i < r->err_size; i++) sum += ((const uint8_t *)r->err)[i];
  require(sum <= 255 * (uint64_t)(r->out_size + r->err_size));
  require(r->words != NULL && strlen(r->words) < 1u << 20);
}

typedef struct submitted {
  hato_array *array;
  hato_future *one, *fetched;
} submitted;

static submitted submit(hato_pool *p) {
  static const char *const argv[] = {"true", "{}", NULL};
  static const hato_argument args[4] = {{"a", 1}, {"bb", 2}, {"", 0}, {"dddd", 4}};
  submitted s = {0};
  hato_spec *spec = NULL;
  hato_error err;
  hato_command c = HATO_COMMAND_INIT;
  c.argv = argv;
  c.flags = HATO_COMMAND_SUBSTITUTE;
  require(hato_spec_command(p, &c, &spec, &err) == HATO_OK);
  require(hato_submit_array(p, spec, args, 4, 0, NULL, &s.array, &err) == HATO_OK);
  require(hato_submit(p, spec, args[1], NULL, NULL, &s.one, &err) == HATO_OK);
  require(hato_fetch(p, 7, NULL, &s.fetched, &err) == HATO_OK);
  hato_spec_release(spec);
  return s;
}

/* After the end: all is resolved. */
static void check(submitted *s) {
  hato_result r;
  for (size_t i = 0; i < 4; i++) {
    hato_status st = hato_array_result(s->array, i, &r);
    if (st != HATO_OK) fprintf(stderr, "element %zu: %d\n", i, (int)st);
    require(st == HATO_OK);
    check_result(&r);
  }
  require(hato_future_result(s->one, &r) == HATO_OK);
  check_result(&r);
  require(hato_future_result(s->fetched, &r) == HATO_OK);
  check_result(&r);
  hato_array_release(s->array);
  hato_future_release(s->one);
  hato_future_release(s->fetched);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  end e = {0};
  hato_pool *p = NULL;
  hato_error err;
  if (size == 0) return 0;
  other = &e;
  hato_pool_options o = HATO_POOL_OPTIONS_INIT;
  o.mode = HATO_POOL_URL;
  o.url = "ipc:///fuzz";
  require(hato_pool_open(&o, &p, &err) == HATO_OK);
  net_start(e.conn, &ops, &e);
  submitted s = submit(p);
  e.seed = data[0];
  e.at = data + 1;
  e.n = size - 1;
  bool any = e.n > 0;
  net_wake(e.conn);
  while (any && !atomic_load(&e.said) && !atomic_load(&e.closed)) moment();
  net_close(e.conn, HATO_OK, "the dispatcher is gone");
  hato_pool_close(p);
  check(&s);
  while (!atomic_load(&e.closed)) moment();
  net_release(e.conn);
  return 0;
}

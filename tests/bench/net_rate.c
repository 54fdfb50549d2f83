/* What the layer net costs: small frames a second over a Unix socket, as fast as one
 * writer fills; 256 KB frames by reference, in MB/s; and a round trip of one 64-byte frame
 * beside one over bare nng_stream, in turns in the same run.
 *
 *   net_rate [-n FRAMES] [-r ROUNDS] [-m MEGABYTES]
 *
 * Prints one JSON line. */
#include "base/error.h"
#include "bench/floor.h"
#include "net/net.h"

#include <stdatomic.h>

#define BODY 56u
#define A_FILL 1000u /* frames a fill: 64 KB */

typedef struct side {
  net_conn *c;
  uint64_t left;  /* frames still to be filled */
  uint64_t large; /* large ones, of these bytes */
  net_data *piece;
  const uint8_t *piece_at;
  _Atomic uint64_t frames; /* received */
  atomic_uint echo;        /* to be sent back */
  bool echoes;
} side;

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)c;
  (void)err;
  side *s = owner;
  s->frames++;
  if (s->echoes && f->type == PROTO_HEARTBEAT) s->echo++;
  return HATO_OK;
}
static void on_batch(void *owner, net_conn *c) {
  side *s = owner;
  if (s->echo > 0) net_wake(c);
}
static void put(net_out *out, proto_type type) {
  size_t at = proto_begin(&out->bytes, type);
  (void)hato__buf_grow(&out->bytes, BODY);
  proto_end(&out->bytes, at);
}
static void on_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  side *s = owner;
  if (s->left == 0 && s->large == 0)
    for (unsigned n = atomic_exchange(&s->echo, 0); n > 0; n--) put(out, PROTO_HEARTBEAT);
  for (unsigned i = 0; i < A_FILL && s->left > 0; i++, s->left--) put(out, PROTO_PIECE);
  for (; s->large > 0 && out->n_refs < 2; s->large--) {
    out->refs[out->n_refs].data = net_data_ref(s->piece);
    out->refs[out->n_refs].at = s->piece_at;
    out->refs[out->n_refs++].len = PROTO_BODY_MAX + PROTO_HEADER;
  }
}
static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)owner;
  (void)c;
  (void)why;
  (void)words;
}
static const net_ops ops = {.frame = on_frame, .batch = on_batch, .fill = on_fill, .closed = on_closed};

static side the_server;
static void admitted(void *arg, net_conn *c) {
  side *s = arg;
  s->c = c;
  net_start(c, &ops, s);
}
static void serve(const char *url, int ready) {
  net_listener *l;
  hato_error err;
  the_server.echoes = true;
  if (net_listen(url, NULL, NULL, admitted, &the_server, &l, &err) != HATO_OK) {
    fprintf(stderr, "%s\n", err.text);
    _exit(1);
  }
  (void)!write(ready, "r", 1);
  for (;;) pause();
}

/* The bare peer: a receive callback that sends back. */
static void serve_bare(const char *url, int ready) {
  nng_stream_listener *l = listen_on(url);
  (void)!write(ready, "r", 1);
  nng_stream *s = accept_on(l);
  link_t echo;
  link_start(&echo, s, s, -1, 64);
  for (;;) pause();
}

/* The waiting thread polls nothing: it is woken from the frame callback. */
typedef struct turn {
  side side;
  nng_mtx *lock;
  nng_cv *cv;
  bool done;
} turn;
static hato_status turn_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)c;
  (void)err;
  (void)f;
  turn *t = owner;
  nng_mtx_lock(t->lock);
  t->done = true;
  nng_cv_wake1(t->cv);
  nng_mtx_unlock(t->lock);
  return HATO_OK;
}
static void turn_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  turn *t = owner;
  if (atomic_exchange(&t->side.echo, 0)) put(out, PROTO_HEARTBEAT);
}
static const net_ops turn_ops = {.frame = turn_frame, .fill = turn_fill, .closed = on_closed};

static uint64_t ping(turn *t) {
  uint64_t begun = now_ns();
  t->side.echo = 1;
  net_wake(t->side.c);
  nng_mtx_lock(t->lock);
  while (!t->done) nng_cv_wait(t->cv);
  t->done = false;
  nng_mtx_unlock(t->lock);
  return now_ns() - begun;
}

static uint64_t ping_bare(nng_stream *s, nng_aio *aio) {
  char buf[64] = {0};
  uint64_t begun = now_ns();
  stream_all(s, aio, 1, buf, sizeof buf);
  stream_all(s, aio, 0, buf, sizeof buf);
  return now_ns() - begun;
}

static net_conn *dial_net(const char *url) {
  net_conn *c;
  hato_error err;
  if (net_dial(url, PROTO_ROLE_CLIENT, NULL, 5000, 5000, &c, &err) != HATO_OK) {
    fprintf(stderr, "%s\n", err.text);
    exit(1);
  }
  return c;
}

/* Seconds that it takes to send these and have them handled. */
static double seconds(const char *url, uint64_t small, uint64_t large) {
  side s = {.left = small, .large = large};
  hato__buf b = {0};
  size_t at = proto_begin(&b, PROTO_PIECE);
  memset(hato__buf_grow(&b, PROTO_BODY_MAX), 1, PROTO_BODY_MAX);
  proto_end(&b, at);
  s.piece = net_data_wrap(b.data, b.len, NULL, NULL);
  s.piece_at = b.data;
  s.c = dial_net(url);
  uint64_t begun = now_ns();
  net_start(s.c, &ops, &s);
  net_wake(s.c);
  /* The last frame asks for an answer: all before it have been handled. */
  s.echo = 1;
  net_wake(s.c);
  while (s.frames == 0) nng_msleep(1);
  return (double)(now_ns() - begun) / 1e9;
}

int main(int argc, char **argv) {
  uint64_t frames = 5000000, rounds = 20000, mb = 2000;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (strcmp(argv[i], "-n") == 0)
      frames = strtoull(argv[i + 1], NULL, 10);
    else if (strcmp(argv[i], "-r") == 0)
      rounds = strtoull(argv[i + 1], NULL, 10);
    else if (strcmp(argv[i], "-m") == 0)
      mb = strtoull(argv[i + 1], NULL, 10);
  }
  char url[64], bare[64], byte;
  int ready[2];
  floor_url(url, "net");
  floor_url(bare, "bare");
  if (pipe(ready) != 0) return 1;
  pid_t server = child();
  if (server == 0) serve(url, ready[1]);
  pid_t server_bare = child();
  if (server_bare == 0) serve_bare(bare, ready[1]);
  if (read(ready[0], &byte, 1) != 1 || read(ready[0], &byte, 1) != 1) return 1;
  turn t = {0};
  nng_stream *s = dial_patiently(bare);
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  must(nng_mtx_alloc(&t.lock), "mutex");
  must(nng_cv_alloc(&t.cv, t.lock), "condition");
  t.side.c = dial_net(url);
  net_start(t.side.c, &turn_ops, &t);
  uint64_t *net_ns = malloc(rounds * sizeof *net_ns), *bare_ns = malloc(rounds * sizeof *bare_ns);
  for (uint64_t i = 0; i < rounds; i += 100) {
    for (uint64_t k = i; k < i + 100 && k < rounds; k++) bare_ns[k] = ping_bare(s, aio);
    for (uint64_t k = i; k < i + 100 && k < rounds; k++) net_ns[k] = ping(&t);
  }
  double per_s = (double)frames / seconds(url, frames, 0);
  double mb_s = (double)mb / seconds(url, 0, mb * 1000000 / PROTO_BODY_MAX);
  printf("{\"bench\":\"net_rate\",\"frames\":%llu,\"frames_per_s\":%.0f,\"large_mb_s\":%.0f,\"rounds\":%llu,"
         "\"net_ping_ns\":%llu,"
         "\"bare_ping_ns\":%llu}\n",
         (unsigned long long)frames, per_s, mb_s, (unsigned long long)rounds,
         (unsigned long long)median(net_ns, rounds), (unsigned long long)median(bare_ns, rounds));
  fflush(stdout);
  end_child(server);
  end_child(server_bare);
  _exit(0);
}

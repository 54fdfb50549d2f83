/* Connections that work: every transport, every size, many wakers, references. */
#include "unit/net_help.h"

#include "net/internal.h"

#include <dirent.h>
#include <signal.h>

static void echo_over(net_conn *c, host *h, end *server) {
  end e;
  end_init(&e);
  e.next = 1;
  end_start(&e, c);
  static const uint32_t sizes[] = {4, 5, 100, 504, 505, 4000, 16383, 16384, 16385, 65536, 100000, 262144};
  uint32_t n = 0;
  uint64_t bytes = 0;
  for (int round = 0; round < 3; round++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
      end_put(&e, ++n, sizes[i]);
      bytes += sizes[i];
      net_wake(c);
    }
  WAIT_FOR(e.frames == n);
  ck_assert_uint_eq(e.bytes, bytes);
  ck_assert_uint_eq(e.large, 3 * 5);
  WAIT_FOR(e.fills == e.sents); /* what was sent may come back before the sender hears that it went */
  uint64_t in, out;
  net_traffic(c, &in, &out);
  ck_assert_uint_eq(in, bytes + n * PROTO_HEADER);
  ck_assert_uint_eq(out, in);
  net_close(c, HATO_CANCELLED, "enough");
  end_free(&e);
  ck_assert_int_eq(e.why, HATO_CANCELLED);
  ck_assert_str_eq(e.words, "enough");
  WAIT_FOR(server->closed == 1);
  ck_assert_int_eq(server->why, HATO_CLOSED);
  end_free(server);
  if (h != NULL) host_close(h);
}

static void echo_on(const char *scheme) {
  static host h;
  h.echo = true;
  host_listen(&h, scheme);
  net_conn *c = host_dial(&h);
  ck_assert_int_eq(net_peer_of(c)->local, scheme[0] == 'i' || scheme[0] == 'a');
  WAIT_FOR(h.admitted == 1);
  ck_assert_int_eq(net_peer_of(h.ends[0].c)->role, PROTO_ROLE_CLIENT);
  ck_assert(net_peer_of(h.ends[0].c)->peer_uid == net_peer_of(c)->local);
  ck_assert(net_peer_of(h.ends[0].c)->secret != net_peer_of(c)->local);
  echo_over(c, &h, &h.ends[0]);
}

UNIT_TEST(echo_ipc) { echo_on("ipc"); }
UNIT_TEST(echo_abstract) { echo_on("abstract"); }
UNIT_TEST(echo_tcp) { echo_on("tcp"); }
UNIT_TEST(echo_ws) { echo_on("ws"); }

/* Who closes while the other is busy with what came is heard all the same: NNG alone forgets it now and then. */
UNIT_TEST_LIMIT(ws_ends_are_heard, 60) {
  static host h;
  host_listen(&h, "ws");
  for (unsigned i = 0; i < 40; i++) {
    end e;
    net_conn *c = host_dial(&h);
    end_init(&e);
    end_start(&e, c);
    end_put(&e, 1, 4 + i * 1000);
    net_wake(c);
    WAIT_FOR(h.admitted == i + 1);
    WAIT_FOR(h.ends[i].frames == 1 || h.ends[i].closed);
    net_close(c, HATO_CANCELLED, "enough");
    end_free(&e);
    WAIT_FOR(h.ends[i].closed == 1);
    end_free(&h.ends[i]);
  }
  host_close(&h);
}

UNIT_TEST(echo_pair) {
  net_conn *c, *s;
  hato_error err;
  ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
  end server;
  end_init(&server);
  server.echo = true;
  end_start(&server, s);
  ck_assert(net_peer_of(s)->local);
  echo_over(c, NULL, &server);
}

/* The real port stands in the URL, and another dial of it works. */
UNIT_TEST(tcp_port_zero) {
  static host h;
  host_listen(&h, "tcp");
  ck_assert_int_gt(atoi(strrchr(h.url, ':') + 1), 0);
  net_conn *c = host_dial(&h);
  WAIT_FOR(h.admitted == 1);
  net_release(c); /* never started: released is closed */
  end_free(&h.ends[0]);
  host_close(&h);
}

/* A raw peer cuts 400 frames of every size at random places, to single bytes. */
UNIT_TEST_LIMIT(random_splits, 60) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_admitted(&h);
  WAIT_FOR(h.admitted == 1);
  unsigned seed = 42;
  hato__buf b = {0};
  uint32_t n = 0;
  for (; n < 400; n++)
    put_frame(&b, n + 1,
              n % 50 == 49 ? 262144 - n : 4 + (uint32_t)rand_r(&seed) % (n % 10 == 0 ? 40000 : 600));
  size_t at = 0;
  while (at < b.len) {
    size_t most = rand_r(&seed) % 4 == 0 ? 3 : rand_r(&seed) % 3 == 0 ? 100000 : 700;
    size_t w = 1 + (size_t)rand_r(&seed) % most;
    if (w > b.len - at) w = b.len - at;
    raw_write(fd, b.data + at, w);
    at += w;
  }
  WAIT_FOR(h.ends[0].frames == n);
  close(fd);
  end_free(&h.ends[0]);
  ck_assert_int_eq(h.ends[0].why, HATO_CLOSED);
  hato__buf_free(&b);
  host_close(&h);
}

/* An owner with a place for the data of every second frame. */
typedef struct placer {
  net_conn *c;
  uint8_t *room;
  atomic_uint frames, placed, wrong, closed;
} placer;

static uint8_t *placer_place(void *owner, net_conn *c, const uint8_t *body, uint32_t len) {
  placer *o = owner;
  uint32_t number;
  (void)c;
  memcpy(&number, body, sizeof number);
  if (len < NET_BY_REFERENCE || number != o->frames + 1) o->wrong++;
  return number % 2 ? o->room : NULL;
}

static hato_status placer_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  placer *o = owner;
  uint32_t number, fields = PROTO_PIECE_HEAD - PROTO_HEADER;
  (void)c;
  (void)err;
  memcpy(&number, f->body, sizeof number);
  if (number != ++o->frames || (f->placed && (f->placed != o->room || f->data || number % 2 == 0))) o->wrong++;
  if (f->placed) o->placed++;
  for (uint32_t i = 4; i < f->len; i++)
    if ((f->placed && i >= fields ? f->placed[i - fields] : f->body[i]) != (uint8_t)(number * 7 + i)) o->wrong++;
  return HATO_OK;
}

static void placer_fill(void *owner, net_conn *c, net_out *out) {
  (void)owner;
  (void)c;
  (void)out;
}

static void placer_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)c;
  (void)why;
  (void)words;
  ((placer *)owner)->closed++;
}

static void placer_admitted(void *arg, net_conn *c) {
  static const net_ops ops = {
      .frame = placer_frame, .place = placer_place, .fill = placer_fill, .closed = placer_closed};
  host *h = arg;
  placer *o = h->owner;
  o->c = c;
  net_start(c, &ops, o);
}

/* A raw peer cuts large frames at random places; it goes away in the middle of one whose data have a place. */
UNIT_TEST_LIMIT(data_that_have_a_place, 60) {
  static host h;
  placer o = {.room = malloc(PROTO_BODY_MAX)};
  h.owner = &o;
  host_listen_with(&h, "ipc", placer_admitted);
  int fd = raw_admitted(&h);
  unsigned seed = 43;
  hato__buf b = {0};
  uint32_t n = 0;
  for (; n < 100; n++) put_frame(&b, n + 1, n % 7 == 0 ? 20 : n % 9 == 0 ? 262144 : 16384 + (uint32_t)rand_r(&seed) % 70000);
  put_frame(&b, n + 1, 100000);
  for (size_t at = 0, all = b.len - 10000, w; at < all; at += w) {
    w = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 4 == 0 ? 30 : 60000);
    if (w > all - at) w = all - at;
    raw_write(fd, b.data + at, w);
  }
  WAIT_FOR(o.frames == n);
  close(fd);
  WAIT_FOR(o.closed == 1);
  ck_assert_uint_eq(o.wrong, 0);
  ck_assert_uint_gt(o.placed, 0); /* but for those that came whole */
  net_release(o.c);
  free(o.room);
  hato__buf_free(&b);
  host_close(&h);
}

/* The same as random_splits through the in-process pair, whose fills need not end with a frame. */
UNIT_TEST(pair_splits) {
  net_conn *c, *s;
  hato_error err;
  ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
  end a, z;
  end_init(&a);
  end_init(&z);
  z.next = 1;
  end_start(&z, s);
  end_start(&a, c);
  unsigned seed = 7;
  hato__buf b = {0};
  for (uint32_t i = 0; i < 300; i++)
    put_frame(&b, i + 1, i % 40 == 39 ? 200000 : (uint32_t)(4 + rand_r(&seed) % 20000));
  for (size_t at = 0; at < b.len;) {
    size_t w = 1 + (size_t)rand_r(&seed) % (rand_r(&seed) % 2 ? 30000 : 9);
    if (w > b.len - at) w = b.len - at;
    hato__buf_append(&a.box, b.data + at, w);
    net_wake(c);
    at += w;
  }
  ck_assert_uint_eq(z.frames, 300);
  hato__buf_free(&b);
  net_close(s, HATO_OK, NULL);
  end_free(&a);
  end_free(&z);
}

struct waker {
  end *e;
  pthread_t thread;
  atomic_uint *number;
};
static void *wake_many(void *arg) {
  struct waker *w = arg;
  for (int i = 0; i < 300; i++) {
    pthread_mutex_lock(&w->e->lock);
    put_frame(&w->e->box, ++*w->number, 20);
    pthread_mutex_unlock(&w->e->lock);
    net_wake(w->e->c);
  }
  return NULL;
}

static void wake_storm(net_conn *c, end *server) {
  end e;
  end_init(&e);
  end_start(&e, c);
  struct waker w[64];
  atomic_uint number = 0;
  for (int i = 0; i < 64; i++) {
    w[i] = (struct waker){.e = &e, .number = &number};
    pthread_create(&w[i].thread, NULL, wake_many, &w[i]);
  }
  for (int i = 0; i < 64; i++) pthread_join(w[i].thread, NULL);
  WAIT_FOR(server->frames == 64 * 300);
  ck_assert_uint_eq(server->next, 64 * 300 + 1);
  net_close(c, HATO_OK, NULL);
  end_free(&e);
  end_free(server);
}

UNIT_TEST_LIMIT(sixty_four_wakers_ipc, 30) {
  static host h;
  host_listen(&h, "ipc");
  net_conn *c = host_dial(&h);
  WAIT_FOR(h.admitted == 1);
  wake_storm(c, &h.ends[0]);
  host_close(&h);
}
UNIT_TEST_LIMIT(sixty_four_wakers_pair, 30) {
  net_conn *c, *s;
  hato_error err;
  ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
  end server;
  end_init(&server);
  server.next = 1;
  end_start(&server, s);
  wake_storm(c, &server);
}

static void count_release(void *arg) { ++*(atomic_uint *)arg; }

/* client -> relay -> server: the relay forwards the data it got, and its bytes are given
 * back when the last holder lets go. */
static void forward(bool in_process) {
  static host h;
  net_conn *c, *s = NULL;
  end server, e;
  hato_error err;
  atomic_uint released = 0;
  if (in_process) {
    ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
    end_init(&server);
    end_start(&server, s);
  } else {
    host_listen(&h, "ipc");
    c = host_dial(&h);
    WAIT_FOR(h.admitted == 1);
  }
  end *last = in_process ? &server : &h.ends[0];
  hato__buf b = {0};
  put_frame(&b, 1, 200000);
  put_frame(&b, 2, 16384);
  end_init(&e);
  pthread_mutex_lock(&e.lock);
  e.ref = net_data_wrap(b.data, b.len, count_release, &released);
  e.ref_at = b.data;
  e.ref_len = b.len;
  pthread_mutex_unlock(&e.lock);
  end_start(&e, c);
  net_wake(c);
  WAIT_FOR(last->frames == 2);
  ck_assert_uint_eq(last->large, 2);
  /* Once more, from what the far end keeps of it. */
  pthread_mutex_lock(&last->lock);
  last->next = 0;
  pthread_mutex_lock(&e.lock);
  e.ref = net_data_ref(last->kept);
  e.ref_at = last->kept_header;
  e.ref_len = last->kept_len;
  ck_assert_uint_eq(e.ref_len, 16384 + PROTO_HEADER);
  pthread_mutex_unlock(&e.lock);
  pthread_mutex_unlock(&last->lock);
  net_wake(c);
  WAIT_FOR(last->frames == 3);
  if (in_process) ck_assert_uint_eq(released, 0); /* the far end still holds our very bytes */
  net_close(c, HATO_OK, NULL);
  end_free(&e);
  end_free(last);
  WAIT_FOR(released == 1);
  hato__buf_free(&b);
  if (!in_process) host_close(&h);
}
UNIT_TEST(forward_by_reference_ipc) { forward(false); }
UNIT_TEST(forward_by_reference_pair) { forward(true); }

/* While paused nothing comes; what came meanwhile comes on resuming, in order. */
static void pausing(net_conn *c, end *server) {
  end e;
  end_init(&e);
  end_start(&e, c);
  net_pause(server->c, true);
  for (uint32_t i = 1; i <= 100; i++) {
    end_put(&e, i, 3000);
    net_wake(c);
  }
  for (int i = 0; i < 100; i++) unit_nap();
  ck_assert_uint_eq(server->frames, 0);
  net_pause(server->c, false);
  WAIT_FOR(server->frames == 100);
  net_pause(server->c, true);
  end_put(&e, 101, 3000);
  net_wake(c);
  net_close(server->c, HATO_OK, "closed while paused");
  end_free(&e);
  end_free(server);
}
UNIT_TEST(pause_ipc) {
  static host h;
  host_listen(&h, "ipc");
  net_conn *c = host_dial(&h);
  WAIT_FOR(h.admitted == 1);
  pausing(c, &h.ends[0]);
  host_close(&h);
}
UNIT_TEST(pause_pair) {
  net_conn *c, *s;
  hato_error err;
  ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
  end server;
  end_init(&server);
  server.next = 1;
  end_start(&server, s);
  pausing(c, &server);
}

/* A peer that does not read stops the writer, and costs one fill. */
UNIT_TEST(a_peer_that_does_not_read) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_admitted(&h);
  WAIT_FOR(h.admitted == 1);
  end *e = &h.ends[0];
  for (uint32_t i = 1; i <= 40; i++) {
    end_put(e, i, 262144);
    net_wake(e->c);
  }
  ck_assert_uint_lt(e->sents, e->fills);
  unsigned fills = e->fills;
  ck_assert_uint_lt(fills, 10);
  uint64_t total = 40 * (262144 + 8), got = 0;
  static uint8_t buf[65536];
  while (got < total) {
    ssize_t r = read(fd, buf, sizeof buf);
    ck_assert_int_gt(r, 0);
    got += (uint64_t)r;
  }
  WAIT_FOR(e->sents == e->fills);
  close(fd);
  end_free(e);
  host_close(&h);
}

/* Bytes are in the kernel when `sent` comes, and it comes inside the wake. */
UNIT_TEST(sent_inside_the_wake) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_admitted(&h);
  WAIT_FOR(h.admitted == 1);
  end *e = &h.ends[0];
  for (uint32_t i = 1; i <= 1000; i++) {
    end_put(e, i, 56);
    net_wake(e->c);
    ck_assert_uint_eq(e->sents, i);
    uint8_t got[64];
    ck_assert_int_eq(recv(fd, got, sizeof got, MSG_DONTWAIT), 64);
  }
  close(fd);
  end_free(e);
  host_close(&h);
}

/* ---- an idle connection holds little: seen from the reader's and the writer's threads ---- */
typedef struct lean {
  atomic_uint frames, cap, most;
} lean;
static hato_status lean_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)f;
  (void)err;
  lean *l = owner;
  l->cap = c->cap;
  if (c->cap > l->most) l->most = c->cap;
  l->frames++;
  return HATO_OK;
}
static void lean_fill(void *owner, net_conn *c, net_out *out) {
  (void)owner;
  (void)c;
  (void)out;
}
static void lean_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)why;
  (void)words;
  ((lean *)owner)->frames = UINT32_MAX;
  net_release(c);
}
static const net_ops lean_ops = {.frame = lean_frame, .fill = lean_fill, .closed = lean_closed};
static void lean_admitted(void *arg, net_conn *c) { net_start(c, &lean_ops, arg); }

UNIT_TEST(receive_buffer_grows_and_shrinks) {
  static host h;
  static lean l;
  hato_error err;
  snprintf(h.path, sizeof h.path, "abstract://hato-lean-%d", (int)getpid());
  ck_assert_int_eq(net_listen(h.path, NULL, NULL, lean_admitted, &l, &h.l, &err), HATO_OK);
  end e;
  end_init(&e);
  net_conn *c;
  ck_assert_int_eq(net_dial(h.path, PROTO_ROLE_CLIENT, NULL, 5000, 0, &c, &err), HATO_OK);
  end_start(&e, c);
  for (uint32_t i = 0; i < 20000; i++) end_put(&e, i, 100);
  net_wake(c);
  WAIT_FOR(l.frames == 20000);
  ck_assert_uint_eq(l.most, NET_MOST_BUFFER);
  for (uint32_t i = 0; i < 40; i++) { /* as heartbeats, one by one */
    end_put(&e, i, 8);
    net_wake(c);
    WAIT_FOR(l.frames == 20001 + i);
  }
  ck_assert_uint_eq(l.cap, NET_IDLE_BUFFER);
  net_close(c, HATO_OK, NULL);
  end_free(&e);
  WAIT_FOR(l.frames == UINT32_MAX);
  net_listener_close(h.l);
}

/* How many threads of NNG there are; each must block all signals. They name themselves as they start. */
static int nng_threads(void) {
  DIR *d = opendir("/proc/self/task");
  ck_assert_ptr_nonnull(d);
  int others = 0;
  for (struct dirent *t; (t = readdir(d)) != NULL;) {
    char path[300], line[256];
    if (t->d_name[0] == '.') continue;
    snprintf(path, sizeof path, "/proc/self/task/%s/status", t->d_name);
    FILE *f = fopen(path, "r");
    ck_assert_ptr_nonnull(f);
    bool nng = false;
    while (fgets(line, sizeof line, f) != NULL) {
      if (strncmp(line, "Name:\tnng:", 10) == 0) nng = true;
      if (!nng || strncmp(line, "SigBlk:", 7) != 0) continue;
      unsigned long long blocked = strtoull(line + 7, NULL, 16);
      for (int s = 1; s < 32; s++)
        if (s != SIGKILL && s != SIGSTOP)
          ck_assert_msg(blocked >> (s - 1) & 1, "signal %d is open: %s", s, t->d_name);
      others++;
    }
    fclose(f);
  }
  closedir(d);
  return others;
}

/* No handler of a host runs on a thread of NNG. */
UNIT_TEST(threads_block_signals) {
  hato_error err;
  ck_assert_int_eq(net_init(&err), HATO_OK);
  WAIT_FOR(nng_threads() > 5);
  sigset_t now; /* and our own mask is as it was */
  pthread_sigmask(SIG_SETMASK, NULL, &now);
  ck_assert_int_eq(sigismember(&now, SIGINT), 0);
}

UNIT_MAIN("net")

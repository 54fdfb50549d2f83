/* What goes wrong after admission: bytes that are no frames, ends at any moment, limits
 * of the system. */
#include "unit/net_help.h"

#include <fcntl.h>
#include <sys/resource.h>

static void expect_error(const void *bytes, size_t n, bool stop, const char *words) {
  static host h;
  memset(&h, 0, sizeof h);
  host_listen(&h, "ipc");
  int fd = raw_admitted(&h);
  WAIT_FOR(h.admitted == 1); /* its end is made when it has its WELCOME */
  hato__buf b = {0};
  put_frame(&b, 1, 100);
  put_frame(&b, 2, 20000);
  raw_write(fd, b.data, b.len);
  raw_write(fd, bytes, n);
  if (stop) close(fd);
  WAIT_FOR(h.ends[0].closed);
  end *e = &h.ends[0];
  ck_assert_int_eq(e->why, HATO_PROTOCOL);
  ck_assert_msg(strstr(e->words, words) != NULL, "%s", e->words);
  ck_assert_msg(strstr(e->words, "process ") != NULL, "%s", e->words); /* the peer */
  ck_assert_uint_eq(e->frames, 2);                                     /* what was whole before was handled */
  WAIT_FOR(h.errors == 1);
  if (!stop) close(fd);
  end_free(e);
  hato__buf_free(&b);
  host_close(&h);
}

UNIT_TEST(garbage) { expect_error("garbage!", 8, false, "0x67 0x61"); }
UNIT_TEST(four_gigabytes) { expect_error("HT\2\20\377\377\377\377", 8, false, "4294967295 bytes"); }
UNIT_TEST(one_byte_too_long) { expect_error("HT\2\20\1\0\4\0", 8, false, "262145 bytes"); }
UNIT_TEST(newer_version) { expect_error("HT\3\20\1\0\0\0x", 9, false, "version 3, this hato version 2"); }
UNIT_TEST(half_a_header) { expect_error("HT\2", 3, true, "after 3 of the 8 bytes of its header"); }
UNIT_TEST(half_a_frame) { expect_error("HT\2\20\12\0\0\0abc", 11, true, "after 11 of its 18 bytes"); }
UNIT_TEST(half_a_large_frame) { expect_error("HT\2\20\0\0\1\0abc", 11, true, "after 11 of its 65544 bytes"); }

UNIT_TEST(an_owner_that_objects) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_admitted(&h);
  WAIT_FOR(h.admitted == 1);
  h.ends[0].broken = true;
  hato__buf b = {0};
  for (uint32_t i = 1; i <= 3; i++) put_frame(&b, i, 10);
  raw_write(fd, b.data, b.len);
  WAIT_FOR(h.ends[0].closed);
  ck_assert_uint_eq(h.ends[0].frames, 1);
  ck_assert_int_eq(h.ends[0].why, HATO_PROTOCOL);
  ck_assert_ptr_nonnull(strstr(h.ends[0].words, "the owner did not like it"));
  hato__buf_free(&b);
  close(fd);
  end_free(&h.ends[0]);
  host_close(&h);
}

UNIT_TEST(an_owner_that_closes) {
  for (int pair = 0; pair < 2; pair++) {
    static host h;
    memset(&h, 0, sizeof h);
    net_conn *c, *s;
    hato_error err;
    end a, z, *last = &z;
    if (pair) {
      ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
      end_init(&z);
      z.next = 1;
      end_start(&z, s);
    } else {
      host_listen(&h, "ipc");
      c = host_dial(&h);
      WAIT_FOR(h.admitted == 1);
      last = &h.ends[0];
    }
    last->close_on_frame = true;
    end_init(&a);
    for (uint32_t i = 1; i <= 3; i++) end_put(&a, i, 10);
    end_start(&a, c);
    net_wake(c);
    WAIT_FOR(last->closed);
    ck_assert_uint_eq(last->frames, 1);
    ck_assert_int_eq(last->why, HATO_CANCELLED);
    net_wake(last->c); /* harmless */
    end_free(last);
    end_free(&a);
    if (!pair) host_close(&h);
  }
}

/* ---- close storms ---- */
struct closer {
  pthread_t thread;
  end *ends;
  int n;
  int first;
  unsigned seed;
  atomic_bool *stop;
};
static void *close_some(void *arg) {
  struct closer *k = arg;
  for (int i = 0; i < k->n; i++) {
    int which = (i * 7 + k->first) % k->n;
    for (int spin = rand_r(&k->seed) % 2000; spin > 0; spin--) atomic_load(k->stop);
    net_close(k->ends[which].c, HATO_CANCELLED, "by a storm");
  }
  return NULL;
}
static void *wake_some(void *arg) {
  struct closer *k = arg;
  while (!atomic_load(k->stop)) {
    end *e = &k->ends[rand_r(&k->seed) % (unsigned)k->n];
    pthread_mutex_lock(&e->lock);
    if (e->box.len < 100000) put_frame(&e->box, 9, 4 + (uint32_t)rand_r(&k->seed) % 20000);
    pthread_mutex_unlock(&e->lock);
    net_wake(e->c);
    net_pause(e->c, rand_r(&k->seed) % 4 == 0);
  }
  return NULL;
}

static void storm(end *a, end *z, int n) {
  atomic_bool stop = false;
  struct closer k[6];
  for (int i = 0; i < 6; i++) {
    k[i] = (struct closer){.ends = i % 2 ? a : z, .n = n, .first = i, .seed = (unsigned)i, .stop = &stop};
    pthread_create(&k[i].thread, NULL, i < 2 ? wake_some : close_some, &k[i]);
  }
  for (int i = 2; i < 6; i++) pthread_join(k[i].thread, NULL);
  for (int i = 0; i < n; i++) WAIT_FOR(a[i].closed == 1 && z[i].closed == 1);
  stop = true;
  for (int i = 0; i < 2; i++) pthread_join(k[i].thread, NULL);
  for (int i = 0; i < n; i++) {
    end_free(&a[i]);
    end_free(&z[i]);
  }
}

UNIT_TEST_LIMIT(close_storm, 40) {
  enum { N = 40 };
  for (int round = 0; round < 3; round++) {
    static host h;
    static end a[N];
    memset(&h, 0, sizeof h);
    host_listen(&h, round % 2 ? "tcp" : "ipc");
    for (int i = 0; i < N; i++) {
      end_init(&a[i]);
      end_start(&a[i], host_dial(&h));
    }
    WAIT_FOR(h.admitted == N);
    for (int i = 0; i < N; i++) {
      h.ends[i].echo = true;
      h.ends[i].next = 0;
    }
    storm(a, h.ends, N);
    host_close(&h);
  }
}

UNIT_TEST_LIMIT(close_storm_pair, 40) {
  enum { N = 40 };
  for (int round = 0; round < 5; round++) {
    static end a[N], z[N];
    hato_error err;
    for (int i = 0; i < N; i++) {
      net_conn *c, *s;
      ck_assert_int_eq(net_pair(&c, &s, &err), HATO_OK);
      end_init(&a[i]);
      end_init(&z[i]);
      z[i].echo = true;
      end_start(&z[i], s);
      end_start(&a[i], c);
    }
    storm(a, z, N);
  }
}

/* A listener that is closed while peers come, are half admitted, and go. */
static void *dial_and_drop(void *arg) {
  struct closer *k = arg;
  const char *url = (const char *)k->ends;
  while (!atomic_load(k->stop)) {
    net_conn *c;
    hato_error err;
    if (net_dial(url, PROTO_ROLE_CLIENT, NULL, 5000, 0, &c, &err) == HATO_OK) net_release(c);
  }
  return NULL;
}
static void drop_admitted(void *arg, net_conn *c) {
  ++*(atomic_uint *)arg;
  net_release(c);
}
UNIT_TEST_LIMIT(listener_closed_in_the_rush, 40) {
  for (int round = 0; round < 10; round++) {
    char url[64];
    snprintf(url, sizeof url, "abstract://hato-rush-%d-%d", (int)getpid(), round);
    net_listener *l;
    hato_error err;
    atomic_uint admitted = 0;
    ck_assert_int_eq(net_listen(url, NULL, NULL, drop_admitted, &admitted, &l, &err), HATO_OK);
    atomic_bool stop = false;
    struct closer k[4];
    for (int i = 0; i < 4; i++) {
      k[i] = (struct closer){.ends = (void *)url, .stop = &stop};
      pthread_create(&k[i].thread, NULL, dial_and_drop, &k[i]);
    }
    WAIT_FOR(admitted >= 20);
    net_listener_close(l);
    unsigned then = admitted;
    stop = true;
    for (int i = 0; i < 4; i++) pthread_join(k[i].thread, NULL);
    ck_assert_uint_eq(admitted, then);
  }
}

/* More dial at once than the backlog of a Unix socket holds (128). */
static void *dial_one(void *arg) {
  host *h = arg;
  net_conn *c;
  hato_error err;
  for (int i = 0; i < 5; i++) {
    hato_status st = net_dial(h->path, PROTO_ROLE_CLIENT, NULL, 20000, 0, &c, &err);
    ck_assert_msg(st == HATO_OK, "%s", err.text);
    net_release(c);
  }
  return NULL;
}
UNIT_TEST_LIMIT(a_full_backlog, 60) {
  static host h;
  static atomic_uint admitted;
  enum { N = 200 };
  pthread_t t[N];
  pthread_attr_t small;
  hato_error err;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 256 * 1024);
  snprintf(h.path, sizeof h.path, "abstract://hato-backlog-%d", (int)getpid());
  ck_assert_int_eq(net_listen(h.path, NULL, NULL, drop_admitted, &admitted, &h.l, &err), HATO_OK);
  for (int i = 0; i < N; i++) ck_assert_int_eq(pthread_create(&t[i], &small, dial_one, &h), 0);
  for (int i = 0; i < N; i++) pthread_join(t[i], NULL);
  WAIT_FOR(admitted == N * 5);
  net_listener_close(h.l);
}

/* Out of descriptors: accepting pauses, says so once, and goes on when there are some. */
UNIT_TEST_LIMIT(out_of_descriptors, 30) {
  static host h;
  host_listen(&h, "ipc");
  int first = raw_admitted(&h);
  WAIT_FOR(h.admitted == 1);
  int waiting = socket(AF_UNIX, SOCK_STREAM, 0);
  int top = dup(0);
  close(top);
  struct rlimit old, limit;
  getrlimit(RLIMIT_NOFILE, &old);
  limit = old;
  limit.rlim_cur = (rlim_t)top;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  snprintf(sa.sun_path, sizeof sa.sun_path, "%s", h.url + 6);
  ck_assert_int_eq(connect(waiting, (struct sockaddr *)&sa, sizeof sa), 0);
  raw_hello(waiting, PROTO_ROLE_CLIENT, 2, 2, 2);
  WAIT_FOR(h.paused == 1);
  for (int i = 0; i < 1500; i++) unit_nap(); /* it tries again, and says nothing */
  ck_assert_uint_eq(h.paused, 1);
  ck_assert_uint_eq(h.resumed, 0);
  ck_assert_uint_eq(h.admitted, 1);
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &old), 0);
  WAIT_FOR(h.resumed == 1 && h.admitted == 2);
  close(first);
  close(waiting);
  end_free(&h.ends[0]);
  end_free(&h.ends[1]);
  host_close(&h);
}

/* ---- memory ---- */
static long resident_kib(void) {
  char text[4096], *at;
  int fd = open("/proc/self/status", O_RDONLY);
  ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  ck_assert_int_gt(n, 0);
  text[n] = 0;
  at = strstr(text, "VmRSS:");
  ck_assert_ptr_nonnull(at);
  return atol(at + 6);
}

static void idle_fill(void *owner, net_conn *c, net_out *out) {
  (void)owner;
  (void)c;
  (void)out;
}
static void idle_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)why;
  (void)words;
  --*(atomic_uint *)owner;
  net_release(c);
}
static const net_ops idle_ops = {.frame = NULL, .fill = idle_fill, .closed = idle_closed};
static void idle_admitted(void *arg, net_conn *c) {
  net_start(c, &idle_ops, arg);
  ++*(atomic_uint *)arg;
}

UNIT_TEST_LIMIT(a_thousand_idle, 60) {
  enum { N = 1000 };
  static int fds[N];
  static host h;
  static atomic_uint there;
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  hato_error err;
  strcpy(h.dir, "/tmp/hato-net-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(h.dir));
  snprintf(h.path, sizeof h.path, "ipc://%s/s", h.dir);
  h.url = h.path;
  ck_assert_int_eq(net_listen(h.path, NULL, NULL, idle_admitted, &there, &h.l, &err), HATO_OK);
  int one = raw_admitted(&h); /* what the first costs once is not counted */
  WAIT_FOR(there == 1);
  long before = resident_kib();
  for (int i = 0; i < N; i++) fds[i] = raw_admitted(&h);
  WAIT_FOR(there == N + 1);
  long each = (resident_kib() - before) * 1024 / N;
  printf("an idle connection: %ld bytes\n", each);
#ifndef HATO_SANITIZED
  ck_assert_int_le(each, 4096);
#endif
  for (int i = 0; i < N; i++) close(fds[i]);
  close(one);
  WAIT_FOR(there == 0);
  host_close(&h);
}

UNIT_MAIN("net_faults")

/* Many strangers at once: how many of them are held, who of them goes first, what they may
 * send, and what of them stands in the log; and that one of ours is admitted all the same. */
#include "unit/net_help.h"

#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MOST 3000
static int fds[MOST];

static void raise_limit(void) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

/* The other end closed it; what it said before is read and forgotten. */
static bool is_closed(int fd) {
  char buf[512];
  ssize_t n;
  while ((n = recv(fd, buf, sizeof buf, MSG_DONTWAIT)) > 0) {}
  return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}
static unsigned count_closed(unsigned n) {
  unsigned closed = 0;
  for (unsigned i = 0; i < n; i++) closed += is_closed(fds[i]);
  return closed;
}
static void close_all(unsigned n) {
  for (unsigned i = 0; i < n; i++) close(fds[i]);
}

static void crowd(host *h, unsigned n) {
  for (unsigned i = 0; i < n; i++) {
    fds[i] = raw_connect(h);
    if (i % 3 == 1) raw_write(fds[i], "garbage, of which it is said that it is none", 44);
    if (i % 3 == 2) raw_write(fds[i], "HT\1", 3);
  }
}

static void one_of_ours_is_admitted(host *h) {
  unsigned before = h->admitted;
  net_conn *c = host_dial(h);
  WAIT_FOR(h->admitted == before + 1);
  net_release(c);
  end_free(&h->ends[before]);
}

/* What is beyond the limit makes room, whoever came first before the others. */
UNIT_TEST_LIMIT(the_oldest_make_room, 30) {
  enum { N = 1000 };
  static host h;
  raise_limit();
  host_listen(&h, "tcp");
  crowd(&h, N);
  WAIT_FOR(count_closed(N) >= N - NET_UNADMITTED_MAX);
  bool closed = false;
  for (int i = N - 1; i >= 0; i--) { /* the newest first: meanwhile others may have to go */
    bool older = is_closed(fds[i]);
    ck_assert_msg(i < N - 1 || !older, "more than were in the way");
    ck_assert_msg(older || !closed, "%d was not closed, a newer one was", i);
    closed = older;
  }
  one_of_ours_is_admitted(&h);
  close_all(N);
  host_close(&h);
}

UNIT_TEST_LIMIT(one_of_ours_among_two_thousand, 60) {
  enum { N = 2000 };
  static host h;
  raise_limit();
  host_listen(&h, "tcp");
  crowd(&h, N);
  for (int i = 0; i < 10; i++) {
    one_of_ours_is_admitted(&h);
    for (int k = 0; k < 50; k++) { /* and others come instead */
      close(fds[i * 50 + k]);
      fds[i * 50 + k] = raw_connect(&h);
    }
  }
  close_all(N);
  host_close(&h);
}

/* Strangers who know the protocol, up to where it takes a secret. */
UNIT_TEST_LIMIT(strangers_that_say_hello, 60) {
  enum { N = 1200 };
  static host h;
  raise_limit();
  host_listen(&h, "tcp");
  for (int i = 0; i < N; i++) {
    fds[i] = raw_connect(&h);
    raw_hello(fds[i], PROTO_ROLE_DAEMON, PROTO_VERSION, PROTO_VERSION, PROTO_VERSION);
  }
  WAIT_FOR(count_closed(N) >= N - NET_UNADMITTED_MAX);
  one_of_ours_is_admitted(&h);
  close_all(N);
  host_close(&h);
}

/* ---- at a port that speaks TLS ---- */

static net_identity *host_listen_tls(host *h) {
  net_identity *id;
  hato_error err;
  ck_assert_msg(net_identity_make(&id, &err) == HATO_OK, "%s", err.text);
  h->guard.identity = id;
  host_listen(h, "tls+tcp");
  return id;
}

/* What a client of TLS says first, and then nothing more. */
static size_t client_hello(uint8_t *out, size_t room) {
  SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
  SSL *ssl = SSL_new(ctx);
  BIO *in = BIO_new(BIO_s_mem()), *said = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, in, said);
  SSL_set_connect_state(ssl);
  ck_assert_int_lt(SSL_do_handshake(ssl), 1);
  int n = BIO_read(said, out, (int)room);
  ck_assert_int_gt(n, 0);
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  return (size_t)n;
}

UNIT_TEST_LIMIT(one_of_ours_among_a_thousand_at_a_tls_port, 60) {
  enum { N = 1000 };
  static host h;
  raise_limit();
  net_identity *id = host_listen_tls(&h);
  crowd(&h, N);
  for (int i = 0; i < 5; i++) one_of_ours_is_admitted(&h);
  close_all(N);
  host_close(&h);
  net_identity_free(id);
}

UNIT_TEST_LIMIT(the_silent_go_before_who_has_begun_tls, 40) {
  enum { BEGUN = 10, N = 700 };
  static host h;
  uint8_t hello[4096];
  raise_limit();
  net_identity *id = host_listen_tls(&h);
  size_t n = client_hello(hello, sizeof hello);
  for (int i = 0; i < BEGUN; i++) {
    fds[i] = raw_connect(&h);
    raw_write(fds[i], hello, n);
    struct pollfd p = {.fd = fds[i], .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, UNIT_WAIT_MS), 1); /* the server's */
  }
  for (int i = BEGUN; i < N; i++) fds[i] = raw_connect(&h);
  WAIT_FOR(count_closed(N) >= N - NET_UNADMITTED_MAX);
  ck_assert_uint_eq(count_closed(BEGUN), 0);
  close_all(N);
  host_close(&h);
  net_identity_free(id);
}

/* Strangers who begin TLS and leave it at that: they have their time, and then make room. */
UNIT_TEST_LIMIT(strangers_that_begin_tls, 60) {
  enum { N = 600 };
  static host h;
  uint8_t hello[4096];
  raise_limit();
  net_identity *id = host_listen_tls(&h);
  size_t n = client_hello(hello, sizeof hello);
  for (int i = 0; i < N; i++) {
    fds[i] = raw_connect(&h);
    raw_write(fds[i], hello, n);
  }
  one_of_ours_is_admitted(&h);
  close_all(N);
  host_close(&h);
  net_identity_free(id);
}

/* A HELLO of which a byte comes now and then. */
UNIT_TEST_LIMIT(a_byte_at_a_time, 40) {
  static host h;
  host_listen(&h, "tcp");
  int fd = raw_connect(&h);
  for (uint8_t byte = 'H'; !is_closed(fd);) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    (void)send(fd, &byte, 1, MSG_NOSIGNAL);
    byte = byte == 'H' ? 'T' : 1;
    (void)poll(&p, 1, 900); /* its pace */
  }
  WAIT_FOR(h.refused == 1);
  ck_assert_uint_eq(h.admitted, 0);
  close(fd);
  host_close(&h);
}

/* Also who was refused, and goes on. */
UNIT_TEST(too_many_bytes) {
  static host h;
  static uint8_t noise[NET_ADMISSION_BYTES];
  host_listen(&h, "tcp");
  int fd = raw_connect(&h);
  uint8_t body[512];
  uint32_t len;
  raw_write(fd, noise, 100);
  ck_assert_uint_eq(raw_read_frame(fd, body, &len), PROTO_REFUSED);
  raw_write(fd, noise, NET_ADMISSION_BYTES - 99);
  WAIT_FOR(is_closed(fd)); /* long before the ten seconds */
  ck_assert_uint_eq(h.refused, 1);
  close(fd);
  host_close(&h);
}

/* ---- the log ---- */
typedef struct told {
  host *h;
  atomic_uint lines, numbers, more;
} told;
static void count_lines(void *arg, hato__log_level level, const char *id, const char *text) {
  told *t = arg;
  host_log(t->h, level, id, text);
  t->lines++;
  const char *at = strstr(text, " more were not admitted");
  if (strcmp(id, "PEERS-REFUSED") != 0 || at == NULL) return;
  t->numbers++;
  while (at[-1] >= '0' && at[-1] <= '9') at--;
  t->more = (unsigned)strtoul(at, NULL, 10);
}

UNIT_TEST_LIMIT(the_log_of_a_flood, 30) {
  enum { N = 500 };
  static host h;
  static told t = {.h = &h};
  raise_limit();
  pthread_mutex_init(&h.lock, NULL);
  host_guard(&h);
  hato_error err;
  hato__log log = {.level = HATO__LOG_DEBUG, .write = count_lines, .arg = &t};
  ck_assert_int_eq(net_listen("tcp://127.0.0.1:0", &h.guard, &log, host_admitted, &h, &h.l, &err), HATO_OK);
  h.url = net_listener_url(h.l);
  uint8_t body[512];
  uint32_t len;
  for (int i = 0; i < N; i++) {
    int fd = raw_connect(&h);
    raw_write(fd, "garbage!", 8);
    ck_assert_uint_eq(raw_read_frame(fd, body, &len), PROTO_REFUSED);
    close(fd);
  }
  unsigned lines = t.lines;
  ck_assert_uint_ge(lines, 100);
  ck_assert_uint_lt(lines, 110);
  /* Nothing of that hides who knows what it does. */
  hato__credential *other = hato__credential_new(HATO__ROLE_CLIENT, 0, NULL);
  net_auth wrong = {.credential = other};
  net_conn *c;
  ck_assert_int_eq(net_dial(h.url, PROTO_ROLE_CLIENT, &wrong, 10000, 0, &c, &err), HATO_PEER_AUTH);
  WAIT_FOR(host_last(&h, "its proof is wrong"));
  hato__credential_free(other);
  host_close(&h);
  ck_assert_uint_eq(t.numbers, 1);
  ck_assert_uint_eq(t.lines, lines + 2);
  ck_assert_uint_eq(t.more, N - lines);
}

/* ---- the end ---- */
typedef struct coming {
  host *h;
  struct sockaddr_in to;
  atomic_uint n;
  atomic_bool stop;
} coming;
static void *come_and_go(void *arg) {
  coming *k = arg;
  while (!k->stop) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(fd, (struct sockaddr *)&k->to, sizeof k->to) == 0) {
      k->n++;
      (void)send(fd, "HT\1\1", k->n % 5, MSG_NOSIGNAL);
    }
    close(fd);
  }
  return NULL;
}
UNIT_TEST_LIMIT(a_listener_ends_while_they_come_and_go, 60) {
  static host h;
  raise_limit();
  host_listen(&h, "tcp");
  coming k = {.h = &h};
  k.to = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  k.to.sin_port = htons((uint16_t)atoi(strrchr(h.url, ':') + 1));
  crowd(&h, 600);
  pthread_t t[2];
  for (int i = 0; i < 2; i++) pthread_create(&t[i], NULL, come_and_go, &k);
  WAIT_FOR(k.n >= 1000);
  host_close(&h);
  k.stop = true;
  for (int i = 0; i < 2; i++) pthread_join(t[i], NULL);
  close_all(600);
}

/* ---- few descriptors ---- */
/* A process of its own, that they are its own descriptors; it ends with the pipe that tells it the port. */
static pid_t flood_from_a_child(unsigned n, const int port[2], int *go) {
  int ready[2];
  ck_assert_int_eq(pipe2(ready, O_CLOEXEC), 0);
  pid_t pid = fork(); /* before NNG runs here */
  if (pid != 0) {
    close(ready[1]);
    *go = ready[0];
    return pid;
  }
  uint16_t number;
  char byte;
  close(port[1]);
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (read(port[0], &number, sizeof number) != sizeof number) _exit(1);
  sa.sin_port = htons(number);
  for (unsigned i = 0; i < n; i++) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || (connect(fd, (struct sockaddr *)&sa, sizeof sa) != 0 && errno != EINPROGRESS)) _exit(2);
  }
  if (write(ready[1], "r", 1) != 1) _exit(3);
  while (read(port[0], &byte, 1) > 0) {}
  _exit(0);
}

static void limit_to(rlim_t n) {
  struct rlimit limit;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = n;
  ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/* Those who are admitted go on, and others are admitted, while strangers would take all descriptors. */
static void few_descriptors(bool exhausted) {
  static host h;
  int port[2], ready, status;
  char byte;
  signal(SIGPIPE, SIG_IGN);
  raise_limit();
  ck_assert_int_eq(pipe2(port, O_CLOEXEC), 0);
  pid_t pid = flood_from_a_child(1000, port, &ready);
  close(port[0]);
  h.echo = true;
  if (!exhausted) limit_to(200); /* strangers have a quarter of them */
  host_listen(&h, "tcp");
  net_conn *first = host_dial(&h);
  WAIT_FOR(h.admitted == 1);
  end a;
  end_init(&a);
  a.next = 1;
  end_start(&a, first);
  int highest = dup(port[1]);
  if (exhausted) limit_to((rlim_t)highest + 6); /* and none of them is left */
  uint16_t number = (uint16_t)atoi(strrchr(h.url, ':') + 1);
  ck_assert_int_eq(write(port[1], &number, sizeof number), sizeof number);
  ck_assert_int_eq(read(ready, &byte, 1), 1);
  if (exhausted) WAIT_FOR(h.paused >= 1);
  for (uint32_t i = 1; i <= 20; i++) {
    end_put(&a, i, 1000);
    net_wake(a.c);
    WAIT_FOR(a.frames == i);
  }
  if (exhausted) {
    raise_limit();
    WAIT_FOR(h.resumed >= 1);
  } else {
    ck_assert_uint_eq(h.paused, 0);
  }
  one_of_ours_is_admitted(&h);
  close(highest);
  close(port[1]);
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_int_eq(status, 0);
  net_close(a.c, HATO_OK, NULL);
  end_free(&a);
  end_free(&h.ends[0]);
  close(ready);
  host_close(&h);
}
UNIT_TEST_LIMIT(few_descriptors_are_not_for_strangers, 40) { few_descriptors(false); }
UNIT_TEST_LIMIT(no_descriptors_are_left, 40) { few_descriptors(true); }

UNIT_MAIN("net_flood")

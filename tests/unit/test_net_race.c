/* Dialling several addresses at once: good ones among those that are dead, silent, swallow packets or refuse. */
#include "unit/net_help.h"

#include <sys/eventfd.h>

typedef enum kind { DEAD, SILENT, SWALLOWS, REFUSES, CLOSES, GOOD, KINDS } kind;

typedef struct field { /* one listener of each kind */
  host good, refusing;
  int silent, swallowing, filler[16], closing, dead;
  size_t n_fillers;
  pthread_t closer;
  char urls[KINDS][96];
} field;

static int tcp_listen(int backlog, char *url, size_t n) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
  if (backlog >= 0) ck_assert_int_eq(listen(fd, backlog), 0);
  snprintf(url, n, "tcp://127.0.0.1:%d", ntohs(a.sin_port));
  return fd;
}

/* With the backlog full the kernel drops what comes: as behind a firewall. */
static void fill_backlog(field *f) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  a.sin_port = htons((uint16_t)atoi(strrchr(f->urls[SWALLOWS], ':') + 1));
  for (bool full = false; !full;) {
    ck_assert_uint_lt(f->n_fillers, sizeof f->filler / sizeof *f->filler);
    struct pollfd p = {.events = POLLOUT};
    p.fd = f->filler[f->n_fillers++] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    full = connect(p.fd, (struct sockaddr *)&a, sizeof a) != 0 && poll(&p, 1, f->n_fillers > 1 ? 200 : UNIT_WAIT_MS) == 0;
  }
}

static void *close_all_comers(void *arg) {
  field *f = arg;
  for (int fd; (fd = accept(f->closing, NULL, NULL)) >= 0;) close(fd);
  return NULL;
}

static void field_open(field *f) {
  memset(f, 0, sizeof *f);
  host_listen(&f->good, "tcp");
  host_listen(&f->refusing, "tcp");
  net_listener_close(f->refusing.l); /* another session's, in its place */
  hato_error err;
  hato__credential_free(f->refusing.credentials[HATO__ROLE_CLIENT]);
  f->refusing.credentials[HATO__ROLE_CLIENT] = hato__credential_new(HATO__ROLE_CLIENT, 0, NULL);
  ck_assert_int_eq(net_listen("tcp://127.0.0.1:0", &f->refusing.guard, NULL, host_admitted, &f->refusing, &f->refusing.l, &err),
                   HATO_OK);
  snprintf(f->urls[GOOD], sizeof f->urls[GOOD], "%s", f->good.url);
  snprintf(f->urls[REFUSES], sizeof f->urls[REFUSES], "%s", net_listener_url(f->refusing.l));
  f->silent = tcp_listen(64, f->urls[SILENT], sizeof f->urls[SILENT]);
  f->swallowing = tcp_listen(0, f->urls[SWALLOWS], sizeof f->urls[SWALLOWS]);
  fill_backlog(f);
  f->closing = tcp_listen(64, f->urls[CLOSES], sizeof f->urls[CLOSES]);
  f->dead = tcp_listen(-1, f->urls[DEAD], sizeof f->urls[DEAD]); /* bound, so that nobody else gets its port */
  ck_assert_int_eq(pthread_create(&f->closer, NULL, close_all_comers, f), 0);
}

static void field_close(field *f) {
  shutdown(f->closing, SHUT_RDWR);
  pthread_join(f->closer, NULL);
  for (size_t i = 0; i < f->n_fillers; i++) close(f->filler[i]);
  close(f->closing);
  close(f->silent);
  if (f->dead >= 0) close(f->dead);
  close(f->swallowing);
  host_close(&f->good);
  net_listener_close(f->refusing.l);
}

static hato_status race_for(field *f, const kind *kinds, size_t n, unsigned ms, net_conn **c, hato_error *err) {
  const char *urls[KINDS];
  for (size_t i = 0; i < n; i++) urls[i] = f->urls[kinds[i]];
  net_dialling o = {.urls = urls, .n = n, .role = PROTO_ROLE_CLIENT, .auth = &f->good.auth, .timeout_ms = ms,
                    .give_up_fd = -1};
  return net_dial_any(&o, c, err);
}

static void finds_the_good(field *f, const kind *kinds, size_t n) {
  net_conn *c;
  hato_error err = {0};
  unsigned before = f->good.admitted;
  hato_status st = race_for(f, kinds, n, 20000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  ck_assert_str_eq(net_peer_of(c)->address, f->good.url);
  ck_assert_str_eq(err.text, "");
  WAIT_FOR(f->good.admitted == before + 1);
  net_close(c, HATO_OK, "done");
  net_release(c);
  WAIT_FOR(f->good.ends[before].closed == 1);
  end_free(&f->good.ends[before]);
}

static void permute(field *f, kind *kinds, size_t at, size_t n) {
  if (at == n) finds_the_good(f, kinds, n);
  for (size_t i = at; i < n; i++) {
    kind k = kinds[at];
    kinds[at] = kinds[i];
    kinds[i] = k;
    permute(f, kinds, at + 1, n);
    kinds[i] = kinds[at];
    kinds[at] = k;
  }
}

UNIT_TEST_LIMIT(every_order, 60) {
  static field f;
  field_open(&f);
  permute(&f, (kind[]){DEAD, SWALLOWS, REFUSES, GOOD}, 0, 4);
  permute(&f, (kind[]){SILENT, CLOSES, GOOD}, 0, 3);
  finds_the_good(&f, (kind[]){DEAD, SILENT, SWALLOWS, REFUSES, CLOSES, GOOD}, KINDS);
  field_close(&f);
}

UNIT_TEST(all_refuse) {
  static field f;
  net_conn *c;
  hato_error err = {0};
  field_open(&f);
  const char *urls[] = {f.urls[REFUSES], f.good.url};
  hato__credential *k = hato__credential_new(HATO__ROLE_CLIENT, 0, NULL);
  net_auth wrong = {.credential = k};
  net_dialling o = {.urls = urls, .n = 2, .role = PROTO_ROLE_CLIENT, .auth = &wrong, .timeout_ms = 3600000,
                    .give_up_fd = -1};
  ck_assert_int_eq(net_dial_any(&o, &c, &err), HATO_PEER_AUTH); /* at once: nobody is asked again */
  ck_assert_ptr_null(c);
  char want[256];
  snprintf(want, sizeof want, "%s, %s: refused: " NOT_ADMITTED, urls[0], urls[1]);
  ck_assert_str_eq(err.text, want);
  hato__credential_free(k);
  field_close(&f);
}

UNIT_TEST(who_answers_refuses_the_others_do_not_answer) {
  static field f;
  net_conn *c;
  hato_error err = {0};
  char want[512];
  field_open(&f);
  ck_assert_int_eq(race_for(&f, (kind[]){DEAD, REFUSES, SILENT}, 3, 4000, &c, &err), HATO_PEER_AUTH);
  snprintf(want, sizeof want, "%s: nobody listens there; %s: refused: " NOT_ADMITTED "; %s: connected, but not answered in time",
           f.urls[DEAD], f.urls[REFUSES], f.urls[SILENT]);
  ck_assert_str_eq(err.text, want);
  field_close(&f);
}

UNIT_TEST(nobody_answers) {
  static field f;
  net_conn *c;
  hato_error err = {0};
  char want[512];
  field_open(&f);
  ck_assert_int_eq(race_for(&f, (kind[]){SWALLOWS, DEAD, CLOSES}, 3, 4000, &c, &err), HATO_TIMED_OUT);
  snprintf(want, sizeof want, "%s: nobody answers there; %s: nobody listens there; %s: closed before it admitted us",
           f.urls[SWALLOWS], f.urls[DEAD], f.urls[CLOSES]);
  ck_assert_str_eq(err.text, want);
  ck_assert_int_eq(race_for(&f, (kind[]){DEAD}, 1, 3000, &c, &err), HATO_REFUSED);
  const char *urls[] = {"gopher://x", "tcp://nosuchhost.invalid:5"};
  net_dialling o = {.urls = urls, .n = 1, .role = PROTO_ROLE_CLIENT, .timeout_ms = 3600000, .give_up_fd = -1};
  ck_assert_int_eq(net_dial_any(&o, &c, &err), HATO_ADDRESS_INVALID); /* does not get better */
  o.urls++;
  o.timeout_ms = 300;
  ck_assert_int_ne(net_dial_any(&o, &c, &err), HATO_OK);
  o.n = 0;
  ck_assert_int_eq(net_dial_any(&o, &c, &err), HATO_INVALID);
  field_close(&f);
}

UNIT_TEST(a_bad_url_spoils_nothing) {
  static field f;
  net_conn *c;
  hato_error err = {0};
  field_open(&f);
  const char *urls[] = {"gopher://x", "tcp://[fe80::1%eth0]:5", f.good.url};
  net_dialling o = {.urls = urls, .n = 3, .role = PROTO_ROLE_CLIENT, .auth = &f.good.auth, .timeout_ms = 20000, .give_up_fd = -1};
  ck_assert_int_eq(net_dial_any(&o, &c, &err), HATO_OK);
  net_release(c);
  WAIT_FOR(f.good.admitted == 1);
  end_free(&f.good.ends[0]);
  field_close(&f);
}

static void *give_up(void *arg) {
  for (int i = 0; i < 200; i++) unit_nap();
  uint64_t one = 1;
  ck_assert_int_eq(write(*(int *)arg, &one, sizeof one), sizeof one);
  return NULL;
}

UNIT_TEST(it_can_be_given_up) {
  static field f;
  net_conn *c;
  hato_error err = {0};
  pthread_t t;
  field_open(&f);
  int fd = eventfd(0, EFD_CLOEXEC);
  const char *urls[] = {f.urls[DEAD], f.urls[SILENT], f.urls[SWALLOWS]};
  net_dialling o = {.urls = urls, .n = 3, .role = PROTO_ROLE_CLIENT, .auth = &f.good.auth, .timeout_ms = 3600000, .give_up_fd = fd};
  pthread_create(&t, NULL, give_up, &fd);
  ck_assert_int_eq(net_dial_any(&o, &c, &err), HATO_CANCELLED);
  ck_assert_msg(strncmp(err.text, "given up", 8) == 0, "%s", err.text);
  for (size_t i = 0; i < o.n; i++) ck_assert_msg(strstr(err.text, urls[i]) != NULL, "%s", err.text);
  pthread_join(t, NULL);
  close(fd);
  field_close(&f);
}

typedef struct later {
  host h;
  field *f;
} later;

static void *listen_later(void *arg) {
  later *l = arg;
  host *h = &l->h;
  for (int i = 0; i < 500; i++) unit_nap();
  hato_error err;
  close(l->f->dead);
  l->f->dead = -1;
  return net_listen(h->path, &h->guard, NULL, host_admitted, h, &h->l, &err) == HATO_OK ? h : NULL;
}

UNIT_TEST(one_that_comes_later) {
  static field f;
  static later l = {.f = &f};
  host *late = &l.h;
  hato_error err = {0};
  net_conn *c;
  pthread_t t;
  void *listened;
  field_open(&f);
  late->guard = f.good.guard;
  snprintf(late->path, sizeof late->path, "%s", f.urls[DEAD]);
  pthread_create(&t, NULL, listen_later, &l);
  hato_status st = race_for(&f, (kind[]){REFUSES, DEAD}, 2, 20000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  pthread_join(t, &listened);
  ck_assert_ptr_nonnull(listened);
  net_release(c);
  WAIT_FOR(late->admitted == 1);
  end_free(&late->ends[0]);
  net_listener_close(late->l);
  field_close(&f);
}

/* More addresses than the words hold: the log names each. */
UNIT_TEST(many_addresses) {
  static host h;
  char text[40][64];
  const char *urls[40];
  net_conn *c;
  hato_error err = {0};
  pthread_mutex_init(&h.lock, NULL);
  for (int i = 0; i < 40; i++) {
    snprintf(text[i], sizeof text[i], "abstract://hato-nobody-%d-%02d", (int)getpid(), i);
    urls[i] = text[i];
  }
  hato__log log = {.level = HATO__LOG_WARN, .write = host_log, .arg = &h};
  net_dialling o = {.urls = urls, .n = 40, .role = PROTO_ROLE_CLIENT, .timeout_ms = 6000, .give_up_fd = -1, .log = &log};
  ck_assert_int_eq(net_dial_any(&o, &c, &err), HATO_REFUSED);
  ck_assert_ptr_nonnull(strstr(err.text, urls[0]));
  ck_assert(host_last(&h, urls[39]));
}

UNIT_TEST(addresses_in_words) {
  static const struct { const char *url, *words; } bad[] = {
      {"tcp://[fe80::1%eth0]:5555", "an address of one link"},
      {"tcp://[fe80::1]:5555", "an address of one link"},
      {"tcp://fd00::2:5555", "stands in brackets"},
      {"tcp://[fd00::2:5555", "the ] of its address is missing"},
      {"tcp://[host]:5555", "\"host\" is not an IPv6 address"},
      {"tcp://host:70000", "want a colon and a port of 0 to 65535"},
      {"tcp://host:port", "want a colon and a port of 0 to 65535"},
  };
  net_listener *l;
  net_conn *c;
  hato_error err;
  net_guard guard = {.find = host_find};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ck_assert_int_eq(net_listen(bad[i].url, &guard, NULL, host_admitted, NULL, &l, &err), HATO_ADDRESS_INVALID);
    ck_assert_msg(strstr(err.text, bad[i].words) && strstr(err.text, bad[i].url), "%s", err.text);
    ck_assert_int_eq(net_dial(bad[i].url, PROTO_ROLE_CLIENT, NULL, 100, 0, &c, &err), HATO_ADDRESS_INVALID);
    ck_assert_msg(strstr(err.text, bad[i].words), "%s", err.text);
  }
  ck_assert_int_eq(net_dial("tcp://[::1]:0", PROTO_ROLE_CLIENT, NULL, 100, 0, &c, &err), HATO_ADDRESS_INVALID);
  ck_assert_ptr_nonnull(strstr(err.text, "names no port to dial"));
}

static bool has_six(void) {
  struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  bool yes = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
  if (fd >= 0) close(fd);
  return yes;
}

UNIT_TEST(six) {
  if (!has_six()) return;
  static host h;
  hato_error err;
  pthread_mutex_init(&h.lock, NULL);
  host_guard(&h);
  ck_assert_int_eq(net_listen("tcp://[::1]:0", &h.guard, NULL, host_admitted, &h, &h.l, &err), HATO_OK);
  h.url = net_listener_url(h.l);
  ck_assert_int_eq(strncmp(h.url, "tcp://[::1]:", 12), 0);
  net_release(host_dial(&h));
  WAIT_FOR(h.admitted == 1);
  end_free(&h.ends[0]);
  net_listener_close(h.l);
}

UNIT_MAIN("net_race")

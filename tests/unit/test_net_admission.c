/* Who is admitted and who is not, with peers that lie, stammer and keep silent. */
#include "unit/net_talk.h"

#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

static hato_status dial_status(host *h, const net_auth *auth, hato_error *err) {
  net_conn *c;
  hato_status st = net_dial(h->url, PROTO_ROLE_CLIENT, auth, 10000, 0, &c, err);
  if (st == HATO_OK) net_release(c);
  return st;
}

UNIT_TEST(wrong_secret) {
  static host h;
  hato_error err;
  host_listen(&h, "tcp");
  hato__credential *k = hato__credential_new(HATO__ROLE_CLIENT, 0, NULL);
  memcpy(k->secret, h.auth.credential->secret, sizeof k->secret);
  k->secret[31] ^= 1;
  net_auth wrong = {.credential = k};
  ck_assert_int_eq(dial_status(&h, &wrong, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "not admitted"));
  ck_assert_ptr_nonnull(strstr(err.text, h.url));
  WAIT_FOR(h.refused == 1);
  ck_assert(host_last(&h, "its proof is wrong"));
  net_auth none = {0};
  ck_assert_int_eq(dial_status(&h, &none, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "there is none here"));
  ck_assert_uint_eq(h.admitted, 0);
  hato__credential_free(k);
  host_close(&h);
}

/* A credential proves its role and its number alone, and a refusal tells the peer nothing of why. */
UNIT_TEST(a_credential_of_another_role_or_number) {
  static host h;
  hato_error err;
  host_listen(&h, "tcp");
  hato__credential *k = hato__credential_new(HATO__ROLE_CLIENT, 0, NULL); /* a daemon's secret for a client */
  memcpy(k->secret, h.credentials[HATO__ROLE_DAEMON]->secret, sizeof k->secret);
  ck_assert_int_eq(dial_status(&h, &(net_auth){.credential = k}, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, ": refused: not admitted"));
  WAIT_FOR(h.refused == 1);
  ck_assert(host_last(&h, "does not hold the credential that it names, a client's"));
  memcpy(k->secret, h.auth.credential->secret, sizeof k->secret);
  k->id = 7;
  ck_assert_int_eq(dial_status(&h, &(net_auth){.credential = k}, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, ": refused: not admitted"));
  WAIT_FOR(h.refused == 2);
  ck_assert(host_last(&h, "is not or no longer known here"));
  ck_assert_int_eq(dial_status(&h, &(net_auth){.credential = h.credentials[HATO__ROLE_DAEMON]}, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "the credential here is a daemon's; wanted a client's"));
  ck_assert_uint_eq(h.admitted, 0);
  hato__credential_free(k);
  host_close(&h);
}

/* Revoked and renewed between a peer's proof and its WELCOME: it proved what is no more. */
UNIT_TEST(a_credential_that_is_made_anew_meanwhile) {
  static host h;
  hato_error err;
  host_listen(&h, "tcp");
  h.another_from = 2;
  ck_assert_int_eq(dial_status(&h, &h.auth, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "refused: " NOT_ADMITTED));
  WAIT_FOR(h.refused == 1);
  ck_assert(host_last(&h, "its credential was revoked or renewed meanwhile"));
  ck_assert_uint_eq(h.admitted, 0);
  ck_assert_int_eq(dial_status(&h, &h.auth, &err), HATO_OK);
  WAIT_FOR(h.admitted == 1);
  ck_assert_uint_eq(net_peer_of(h.ends[0].c)->making, 1);
  end_free(&h.ends[0]);
  host_close(&h);
}

/* On a Unix socket a daemon proves its credential besides. */
UNIT_TEST(a_daemon_on_a_unix_socket) {
  static host h;
  hato_error err;
  net_conn *c;
  host_listen(&h, "ipc");
  net_auth none = {0}, good = {.credential = h.credentials[HATO__ROLE_DAEMON]};
  ck_assert_int_eq(net_dial(h.url, PROTO_ROLE_DAEMON, &none, 10000, 0, &c, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "wants proof of a daemon's credential, there is none here"));
  ck_assert_int_eq(net_dial(h.url, PROTO_ROLE_DAEMON, &good, 10000, 0, &c, &err), HATO_OK);
  ck_assert(net_peer_of(c)->peer_uid && net_peer_of(c)->secret);
  WAIT_FOR(h.admitted == 1);
  ck_assert(net_peer_of(h.ends[0].c)->peer_uid && net_peer_of(h.ends[0].c)->secret);
  net_release(c);
  end_free(&h.ends[0]);
  host_close(&h);
}

UNIT_TEST(tcp_takes_credentials) {
  net_listener *l;
  hato_error err;
  ck_assert_int_eq(net_listen("tcp://127.0.0.1:0", NULL, NULL, host_admitted, NULL, &l, &err), HATO_INVALID);
  ck_assert_ptr_nonnull(strstr(err.text, "credentials"));
}

/* The socket is its owner's alone, and gone with its listener. */
UNIT_TEST(socket_mode) {
  static host h;
  struct stat st;
  host_listen(&h, "ipc");
  ck_assert_int_eq(stat(h.url + 6, &st), 0);
  ck_assert_uint_eq(st.st_mode & 0777, 0600);
  net_listener *l;
  hato_error err;
  ck_assert_int_eq(net_listen(h.url, NULL, NULL, host_admitted, NULL, &l, &err), HATO_ADDRESS_IN_USE);
  char path[96];
  snprintf(path, sizeof path, "%s", h.url + 6);
  host_close(&h);
  ck_assert_int_ne(stat(path, &st), 0);
}

UNIT_TEST(a_proof_by_the_book) {
  static host h;
  host_listen(&h, "tcp");
  talk t;
  talk_open(&t, &h, HATO__ROLE_DAEMON);
  talk_prove(&t);
  talk_welcomed(&t, NULL);
  WAIT_FOR(h.admitted == 1);
  ck_assert_int_eq(net_peer_of(h.ends[0].c)->role, PROTO_ROLE_DAEMON);
  const net_peer *peer = net_peer_of(h.ends[0].c);
  ck_assert(peer->secret && !peer->peer_uid && !peer->munge && !peer->encrypted && !peer->local && peer->id == 0);
  close(t.fd);
  end_free(&h.ends[0]);
  host_close(&h);
}

/* A listener that admits without proof of its own is not believed, nor one that merely
 * repeats our proof. */
static void *impostor(void *arg) {
  int l = *(int *)arg, fd = accept(l, NULL, NULL);
  uint8_t body[512];
  uint32_t len;
  hato__buf b = {0};
  raw_read_frame(fd, body, &len);
  proto_welcome_encode(&b, &(proto_proof){0});
  raw_write(fd, b.data, b.len);
  close(fd);
  fd = accept(l, NULL, NULL);
  hato__buf_clear(&b);
  raw_read_frame(fd, body, &len);
  proto_challenge_encode(&b, &(proto_challenge){.version = PROTO_VERSION, .method = PROTO_METHOD_SECRET});
  raw_write(fd, b.data, b.len);
  raw_read_frame(fd, body, &len);
  hato__buf_clear(&b);
  proto_proof m = {0};
  memcpy(m.mac, body + 8, 32);
  proto_welcome_encode(&b, &m);
  raw_write(fd, b.data, b.len);
  close(fd);
  hato__buf_free(&b);
  return NULL;
}
UNIT_TEST(an_impostor_listens) {
  int l = socket(AF_INET, SOCK_STREAM, 0);
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof sa;
  ck_assert_int_eq(bind(l, (struct sockaddr *)&sa, sizeof sa), 0);
  ck_assert_int_eq(listen(l, 4), 0);
  getsockname(l, (struct sockaddr *)&sa, &n);
  pthread_t t;
  pthread_create(&t, NULL, impostor, &l);
  static host h;
  char url[64];
  snprintf(url, sizeof url, "tcp://127.0.0.1:%d", ntohs(sa.sin_port));
  h.url = url;
  hato__credential *k = hato__credential_new(HATO__ROLE_CLIENT, 0, NULL);
  net_auth auth = {.credential = k};
  hato_error err;
  ck_assert_int_eq(dial_status(&h, &auth, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "without a proof"));
  ck_assert_int_eq(dial_status(&h, &auth, &err), HATO_PEER_AUTH);
  ck_assert_ptr_nonnull(strstr(err.text, "does not hold the session's secret"));
  pthread_join(t, NULL);
  hato__credential_free(k);
  close(l);
}

UNIT_TEST(a_replayed_proof) {
  static host h;
  host_listen(&h, "tcp");
  talk t, again;
  talk_open(&t, &h, HATO__ROLE_DAEMON);
  talk_prove(&t);
  WAIT_FOR(h.admitted == 1);
  close(t.fd);
  talk_open(&again, &h, HATO__ROLE_DAEMON);
  raw_write(again.fd, t.proof, t.proof_len); /* of another connection */
  expect_refused(again.fd, &h, 1, HATO_PEER_AUTH, "not admitted", "its proof is wrong");
  ck_assert_uint_eq(h.admitted, 1);
  end_free(&h.ends[0]);
  host_close(&h);
}

UNIT_TEST(before_admission) {
  static host h;
  host_listen(&h, "tcp");
  int fd = raw_connect(&h);
  raw_write(fd, "GET / HTTP/1.1\r\n\r\n", 18);
  expect_refused(fd, &h, 1, HATO_PROTOCOL, "not hato's protocol", "0x47 0x45");
  fd = raw_connect(&h);
  raw_write(fd, "HT\2\1\377\377\377\377", 8); /* 4 GB */
  expect_refused(fd, &h, 2, HATO_PROTOCOL, "4294967295 bytes", "4294967295 bytes");
  fd = raw_connect(&h);
  raw_write(fd, "HT\2\1\1\4\0\0", 8); /* 1025 bytes */
  expect_refused(fd, &h, 3, HATO_PROTOCOL, "1025 bytes before admission", "1025 bytes");
  fd = raw_connect(&h);
  raw_write(fd, "HT\2\10\0\0\0\0", 8);
  expect_refused(fd, &h, 4, HATO_PROTOCOL, "HEARTBEAT before admission, want HELLO", "HEARTBEAT");
  fd = raw_connect(&h);
  raw_hello(fd, PROTO_ROLE_DAEMON, 2, 2, 2);
  raw_write(fd, "HT\2\10\0\0\0\0", 8);
  uint8_t body[512];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(fd, body, &len), PROTO_CHALLENGE);
  expect_refused(fd, &h, 5, HATO_PROTOCOL, "HEARTBEAT before admission, want PROOF", "HEARTBEAT");
  fd = raw_connect(&h);
  raw_hello(fd, 77, 2, 2, 2);
  expect_refused(fd, &h, 6, HATO_PROTOCOL, "role", "role");
  ck_assert_uint_eq(h.admitted, 0);
  host_close(&h);
}

UNIT_TEST(another_version) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_connect(&h);
  raw_hello(fd, PROTO_ROLE_DAEMON, 1, 1, 1);
  expect_refused(fd, &h, 1, HATO_PROTOCOL, "this hato speaks protocol version 2, the peer version 1",
                 "peer version 1");
  fd = raw_connect(&h);
  raw_hello(fd, PROTO_ROLE_DAEMON, 3, 3, 9);
  expect_refused(fd, &h, 2, HATO_PROTOCOL, "version 2, the peer versions 3 to 9", "versions 3 to 9");
  fd = raw_connect(&h);
  raw_write(fd, "HT\3\10\0\0\0\0", 8); /* of another version, and no HELLO */
  expect_refused(fd, &h, 3, HATO_PROTOCOL, "version 3", "version 3");
  fd = raw_connect(&h);
  raw_hello(fd, PROTO_ROLE_DAEMON, 3, 2, 3);
  expect_refused(fd, &h, 4, HATO_PROTOCOL, "version 3 in its header, want its lowest, 2", "version 3 in its header");
  fd = raw_connect(&h);
  raw_hello(fd, PROTO_ROLE_CLIENT, 1, 1, 3); /* it can speak ours too */
  uint8_t body[512];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(fd, body, &len), PROTO_WELCOME);
  WAIT_FOR(h.admitted == 1);
  close(fd);
  end_free(&h.ends[0]);
  host_close(&h);
}

/* What a hasty peer sends with its HELLO is for the owner, once it is admitted. */
UNIT_TEST(frames_behind_hello) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_connect(&h);
  hato__buf b = {0};
  proto_hello_encode(&b, &(proto_hello){.role = PROTO_ROLE_CLIENT, .version_low = PROTO_VERSION, .version_high = PROTO_VERSION});
  for (uint32_t i = 1; i <= 5; i++) put_frame(&b, i, 50);
  raw_write(fd, b.data, b.len);
  WAIT_FOR(h.admitted == 1 && h.ends[0].frames == 5);
  hato__buf_free(&b);
  close(fd);
  end_free(&h.ends[0]);
  host_close(&h);
}

/* Ten seconds are given, then the connection is closed. */
UNIT_TEST_LIMIT(silence, 30) {
  static host h;
  host_listen(&h, "ipc");
  int fd = raw_connect(&h);
  raw_write(fd, "HT", 2);
  uint64_t begun = hato__now();
  uint8_t body[512];
  uint32_t len;
  ck_assert_uint_eq(raw_read_frame(fd, body, &len), 0);
  uint64_t ms = (hato__now() - begun) / HATO__MS;
  ck_assert_uint_ge(ms, 9900);
  WAIT_FOR(h.refused == 1);
  ck_assert(host_last(&h, "not admitted in 10 seconds"));
  close(fd);
  host_close(&h);
}

/* 600 that keep silent do not keep out the one that speaks. */
UNIT_TEST_LIMIT(a_crowd_that_keeps_silent, 40) {
  static host h;
  host_listen(&h, "tcp");
  static int fds[600];
  for (int i = 0; i < 600; i++) fds[i] = raw_connect(&h);
  net_conn *c = host_dial(&h);
  WAIT_FOR(h.admitted == 1);
  net_release(c);
  end_free(&h.ends[0]);
  for (int i = 0; i < 600; i++) close(fds[i]);
  host_close(&h);
}

static void nobody_frame(void *arg, net_conn *c) {
  (void)arg;
  net_release(c);
}
/* Another user: only root can become one. */
UNIT_TEST(another_user) {
  if (geteuid() != 0) return;
  static host h;
  char name[96];
  snprintf(name, sizeof name, "abstract://hato-net-user-%d", (int)getpid());
  int told[2];
  ck_assert_int_eq(pipe(told), 0);
  pid_t pid = fork(); /* before NNG runs here */
  if (pid == 0) {
    char go;
    if (read(told[0], &go, 1) != 1 || setresuid(65534, 65534, 65534) != 0) _exit(9);
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    size_t n = strlen(name + 11);
    memcpy(sa.sun_path + 1, name + 11, n);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + n)) != 0)
      _exit(8);
    uint8_t body[512];
    uint32_t len;
    raw_hello(fd, PROTO_ROLE_CLIENT, 2, 2, 2);
    int refused = raw_read_frame(fd, body, &len) == PROTO_REFUSED;
    /* And we do not believe a listener that is somebody else's. */
    net_conn *c;
    hato_error err;
    hato_status st = net_dial(name, PROTO_ROLE_CLIENT, NULL, 5000, 0, &c, &err);
    _exit(refused && st == HATO_PEER_AUTH && strstr(err.text, "user 0 listens there") ? 0 : 7);
  }
  pthread_mutex_init(&h.lock, NULL);
  hato_error err;
  hato__log log = {.level = HATO__LOG_DEBUG, .write = host_log, .arg = &h};
  ck_assert_int_eq(net_listen(name, NULL, &log, nobody_frame, &h, &h.l, &err), HATO_OK);
  ck_assert_int_eq(write(told[1], "g", 1), 1);
  int status;
  ck_assert_int_eq(waitpid(pid, &status, 0), pid);
  ck_assert_int_eq(status, 0);
  WAIT_FOR(h.refused >= 1);
  net_listener_close(h.l);
}

UNIT_TEST(addresses) {
  net_conn *c;
  net_listener *l;
  hato_error err;
  char url[200] = "ipc:///tmp/";
  memset(url + 11, 'x', 103);
  url[11 + 103] = 0;
  ck_assert_int_eq(net_dial(url, PROTO_ROLE_CLIENT, NULL, 1000, 0, &c, &err), HATO_ADDRESS_INVALID);
  ck_assert_ptr_nonnull(strstr(err.text, "at most 107 bytes, this one 108"));
  ck_assert_int_eq(net_listen(url, NULL, NULL, host_admitted, NULL, &l, &err), HATO_ADDRESS_INVALID);
  ck_assert_int_eq(net_dial("gopher://x", PROTO_ROLE_CLIENT, NULL, 1000, 0, &c, &err), HATO_ADDRESS_INVALID);
  ck_assert_ptr_nonnull(strstr(err.text, "gopher://x"));
  ck_assert_ptr_nonnull(strstr(err.text, "ipc, abstract, tcp, tls+tcp, ws or wss"));
  ck_assert_int_eq(net_dial("tcp://127.0.0.1", PROTO_ROLE_CLIENT, NULL, 1000, 0, &c, &err),
                   HATO_ADDRESS_INVALID);
  ck_assert_int_eq(net_dial("ipc:///tmp/hato-nobody", PROTO_ROLE_CLIENT, NULL, 1000, 0, &c, &err),
                   HATO_REFUSED);
  ck_assert_ptr_nonnull(strstr(err.text, "nobody listens there"));
}

static void *listen_later(void *arg) {
  host *h = arg;
  for (int i = 0; i < 500; i++) unit_nap();
  hato_error err;
  return net_listen(h->url, NULL, NULL, host_admitted, h, &h->l, &err) == HATO_OK ? h : NULL;
}
UNIT_TEST(a_patient_dial) {
  static host h;
  snprintf(h.path, sizeof h.path, "abstract://hato-later-%d", (int)getpid());
  h.url = h.path;
  pthread_t t;
  pthread_create(&t, NULL, listen_later, &h);
  host_guard(&h);
  net_conn *c;
  hato_error err;
  ck_assert_int_eq(net_dial(h.url, PROTO_ROLE_CLIENT, &h.auth, UNIT_WAIT_MS, UNIT_WAIT_MS, &c, &err), HATO_OK);
  void *listened;
  pthread_join(t, &listened);
  ck_assert_ptr_nonnull(listened);
  WAIT_FOR(h.admitted == 1);
  net_release(c);
  end_free(&h.ends[0]);
  net_listener_close(h.l);
}

/* A listener that accepts and says nothing. */
UNIT_TEST(a_listener_that_keeps_silent) {
  int l = socket(AF_UNIX, SOCK_STREAM, 0);
  struct sockaddr_un sa = {.sun_family = AF_UNIX};
  int n = snprintf(sa.sun_path + 1, sizeof sa.sun_path - 1, "hato-silent-%d", (int)getpid());
  ck_assert_int_eq(
      bind(l, (struct sockaddr *)&sa, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)),
      0);
  ck_assert_int_eq(listen(l, 1), 0);
  char url[64];
  snprintf(url, sizeof url, "abstract://hato-silent-%d", (int)getpid());
  hato_error err;
  net_conn *c;
  ck_assert_int_eq(net_dial(url, PROTO_ROLE_CLIENT, NULL, 3000, 0, &c, &err), HATO_TIMED_OUT);
  ck_assert_ptr_nonnull(strstr(err.text, "not answered in time"));
  close(l);
}

UNIT_MAIN("net_admission")

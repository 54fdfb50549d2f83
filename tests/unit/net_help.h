/* An owner of a connection for the tests of net: checks the order and the bytes of
 * what comes, sends what is put in its box, and counts every callback. */
#ifndef HATO_TESTS_NET_HELP_H
#define HATO_TESTS_NET_HELP_H

#include "unit/unit.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "net/net.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <netinet/in.h>
#include <arpa/inet.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

typedef struct end {
  pthread_mutex_t lock;
  net_conn *c;
  hato__buf box;
  net_data *ref; /* sent after the box, once */
  const uint8_t *ref_at;
  size_t ref_len;
  bool echo;   /* send back what comes */
  bool broken; /* answer frames with an error */
  bool close_on_frame;
  uint32_t next;  /* the number that the next frame must have; 0: any */
  net_data *kept; /* the last large frame's data */
  const uint8_t *kept_header;
  uint32_t kept_len;
  atomic_uint in_frame, in_fill;
  atomic_uint frames, large, batches, fills, sents, closed, wrong;
  _Atomic uint64_t bytes;
  hato_status why;
  char words[512];
} end;

/* A frame's body: its number, then bytes that follow from it. */
static inline void put_frame(hato__buf *b, uint32_t number, uint32_t len) {
  size_t at = proto_begin(b, PROTO_PIECE);
  uint8_t *body = hato__buf_grow(b, len);
  if (body == NULL) ck_abort_msg("no memory for a frame"); /* ck_assert would write to a file for each frame */
  for (uint32_t i = 0; i < len; i++) body[i] = (uint8_t)(number * 7 + i);
  if (len >= 4) memcpy(body, &number, 4);
  proto_end(b, at);
}

static inline bool right_body(const net_frame *f, uint32_t *number) {
  memcpy(number, f->body, 4);
  for (uint32_t i = 4; i < f->len; i++)
    if (f->body[i] != (uint8_t)(*number * 7 + i)) return false;
  return true;
}

static inline hato_status end_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  end *e = owner;
  if (atomic_fetch_add(&e->in_frame, 1) != 0) e->wrong++;
  if (f->header + PROTO_HEADER != f->body || f->header[3] != f->type) e->wrong++;
  if ((f->len >= NET_BY_REFERENCE) != (f->data != NULL)) e->wrong++;
  uint32_t number = 0;
  if (f->len >= 4 && !right_body(f, &number)) e->wrong++;
  pthread_mutex_lock(&e->lock);
  if (e->next != 0 && f->len >= 4 && number != e->next++) e->wrong++;
  if (e->echo) hato__buf_append(&e->box, f->header, PROTO_HEADER + f->len);
  if (f->data != NULL) {
    net_data_unref(e->kept);
    e->kept = net_data_ref(f->data);
    e->kept_header = f->header;
    e->kept_len = f->len + PROTO_HEADER;
    e->large++;
  }
  pthread_mutex_unlock(&e->lock);
  e->bytes += f->len;
  e->frames++;
  if (e->close_on_frame) net_close(c, HATO_CANCELLED, "closed inside a frame");
  atomic_fetch_sub(&e->in_frame, 1);
  if (e->broken) return hato__fail(err, HATO_PROTOCOL, "the owner did not like it");
  return HATO_OK;
}

static inline hato_status end_frame_plain(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)c;
  (void)err;
  (void)f;
  ((end *)owner)->frames++;
  return HATO_OK;
}

static inline void end_batch(void *owner, net_conn *c) {
  end *e = owner;
  if (atomic_load(&e->in_frame) != 0) e->wrong++;
  e->batches++;
  if (e->echo) net_wake(c);
}

static inline void end_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  end *e = owner;
  if (atomic_fetch_add(&e->in_fill, 1) != 0) e->wrong++;
  if (out->bytes.len != 0 || out->n_refs != 0) e->wrong++;
  pthread_mutex_lock(&e->lock);
  if (e->fills != e->sents) e->wrong++; /* `sent` comes before the next fill */
  if (e->box.len > 0 || e->ref != NULL) {
    hato__buf_append(&out->bytes, e->box.data, e->box.len);
    hato__buf_clear(&e->box);
    if (e->ref != NULL) {
      out->refs[0].data = e->ref;
      out->refs[0].at = e->ref_at;
      out->refs[0].len = e->ref_len;
      out->n_refs = 1;
      e->ref = NULL;
    }
    e->fills++;
  }
  pthread_mutex_unlock(&e->lock);
  atomic_fetch_sub(&e->in_fill, 1);
}

static inline void end_sent(void *owner, net_conn *c) {
  (void)c;
  ((end *)owner)->sents++;
}

static inline void end_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)c;
  end *e = owner;
  if (atomic_load(&e->in_frame) != 0 || atomic_load(&e->in_fill) != 0) e->wrong++;
  e->why = why;
  snprintf(e->words, sizeof e->words, "%s", words);
  e->closed++;
}

static const net_ops end_ops = {
    .frame = end_frame, .batch = end_batch, .fill = end_fill, .sent = end_sent, .closed = end_closed};

static inline void end_init(end *e) {
  memset(e, 0, sizeof *e);
  pthread_mutex_init(&e->lock, NULL);
}
static inline void end_start(end *e, net_conn *c) {
  e->c = c;
  net_start(c, &end_ops, e);
}
static inline void end_put(end *e, uint32_t number, uint32_t len) {
  pthread_mutex_lock(&e->lock);
  put_frame(&e->box, number, len);
  pthread_mutex_unlock(&e->lock);
}
/* After it was closed: gives everything back. */
static inline void end_free(end *e) {
  WAIT_FOR(e->closed > 0);
  ck_assert_uint_eq(e->closed, 1);
  ck_assert_uint_eq(e->wrong, 0);
  net_release(e->c);
  net_data_unref(e->kept);
  net_data_unref(e->ref);
  hato__buf_free(&e->box);
  pthread_mutex_destroy(&e->lock);
}

/* The words of every refusal of a proof, whatever is wrong with it. */
#define NOT_ADMITTED "not admitted: its credential is not, or no longer, good here"

/* A listener whose admitted connections each get an end. */
typedef struct host {
  net_listener *l;
  char path[96], dir[64];
  const char *url;
  net_guard guard;
  hato__credential *credentials[3]; /* by role: what `find` knows */
  net_auth auth;                    /* a client's */
  atomic_uint asked;                /* calls of `find` */
  unsigned another_from;            /* from this call of it on the secret, the same, is of another making; 0: never */
  bool echo, plain;
  void *owner; /* of a test's own, for what it has as `admitted` */
  end ends[64];
  atomic_uint admitted, paused, resumed, refused, errors;
  atomic_uint left, without; /* lines of PEER-LEFT, of PEER-NO-MUNGE */
  atomic_uint lines;         /* all */
  pthread_mutex_t lock;
  char last[1024]; /* the last refusal's text */
} host;

static inline void host_log(void *arg, hato__log_level level, const char *id, const char *text) {
  (void)level;
  host *h = arg;
  pthread_mutex_lock(&h->lock);
  if (strcmp(id, "ACCEPT-PAUSED") == 0)
    h->paused++;
  else if (strcmp(id, "ACCEPT-RESUMED") == 0)
    h->resumed++;
  else if (strcmp(id, "PEER-LEFT") != 0) /* of one that was before it may be told later */
    snprintf(h->last, sizeof h->last, "%s", text);
  pthread_mutex_unlock(&h->lock);
  if (strcmp(id, "PEER-REFUSED") == 0) h->refused++;
  if (strcmp(id, "PEER-ERROR") == 0) h->errors++;
  if (strcmp(id, "PEER-LEFT") == 0) h->left++;
  if (strcmp(id, "PEER-NO-MUNGE") == 0) h->without++;
  h->lines++;
}

/* Runs for several connections at once: each has an end of its own, the first are those that are counted. */
static inline void host_admitted(void *arg, net_conn *c) {
  static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;
  host *h = arg;
  pthread_mutex_lock(&one_at_a_time);
  unsigned i = h->admitted;
  ck_assert_uint_lt(i, 64);
  end_init(&h->ends[i]);
  h->ends[i].echo = h->echo;
  if (!h->echo) h->ends[i].next = 1;
  end_start(&h->ends[i], c);
  h->admitted++;
  pthread_mutex_unlock(&one_at_a_time);
}

static inline bool host_last(host *h, const char *part) {
  pthread_mutex_lock(&h->lock);
  bool yes = strstr(h->last, part) != NULL;
  pthread_mutex_unlock(&h->lock);
  return yes;
}

/* One credential of each role, of number 0. */
static inline bool host_find(void *arg, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES],
                             uint64_t *making) {
  host *h = arg;
  unsigned n = ++h->asked;
  *making = h->another_from != 0 && n >= h->another_from;
  if (id != 0) return false;
  memcpy(secret, h->credentials[role]->secret, HATO__SECRET_BYTES);
  return true;
}

/* Who has an identity names its certificate in them. */
static inline void host_guard(host *h) {
  const hato__certificate *certificate = h->guard.identity ? net_identity_certificate(h->guard.identity) : NULL;
  for (int role = HATO__ROLE_CLIENT; role <= HATO__ROLE_DAEMON; role++)
    if (!h->credentials[role]) h->credentials[role] = hato__credential_new((hato__role)role, 0, certificate);
  h->auth.credential = h->credentials[HATO__ROLE_CLIENT];
  h->guard.find = host_find;
  h->guard.arg = h;
}

static inline void host_listen_with(host *h, const char *scheme, net_admitted *admitted) {
  pthread_mutex_init(&h->lock, NULL);
  host_guard(h);
  hato_error err;
  hato__log log = {.level = HATO__LOG_DEBUG, .write = host_log, .arg = h};
  if (strcmp(scheme, "ipc") == 0) {
    strcpy(h->dir, "/tmp/hato-net-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(h->dir));
    snprintf(h->path, sizeof h->path, "ipc://%s/s", h->dir);
  } else if (strcmp(scheme, "abstract") == 0) {
    snprintf(h->path, sizeof h->path, "abstract://hato-net-%d", (int)getpid());
  } else {
    snprintf(h->path, sizeof h->path, "%s://127.0.0.1:0%s", scheme, scheme[0] == 'w' ? "/hato" : "");
  }
  hato_status st = net_listen(h->path, &h->guard, &log, admitted, h, &h->l, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  h->url = net_listener_url(h->l);
}
static inline void host_listen(host *h, const char *scheme) { host_listen_with(h, scheme, host_admitted); }

static inline void host_close(host *h) {
  net_listener_close(h->l);
  if (h->dir[0]) rmdir(h->dir);
  for (int role = HATO__ROLE_CLIENT; role <= HATO__ROLE_DAEMON; role++) hato__credential_free(h->credentials[role]);
}

static inline net_conn *host_dial(host *h) {
  hato_error err;
  net_conn *c;
  hato_status st = net_dial(h->url, PROTO_ROLE_CLIENT, &h->auth, 10000, 1000, &c, &err);
  ck_assert_msg(st == HATO_OK, "%s", err.text);
  return c;
}

/* A peer of bytes, without NNG. */
static inline int raw_connect_to(const char *url) {
  int fd;
  if (strncmp(url, "ipc://", 6) == 0) {
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof sa.sun_path, "%s", url + 6);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
  } else {
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    sa.sin_port = htons((uint16_t)atoi(strrchr(url, ':') + 1));
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&sa, sizeof sa), 0);
  }
  return fd;
}
static inline int raw_connect(const host *h) { return raw_connect_to(h->url); }

static inline void raw_write(int fd, const void *bytes, size_t n) {
  const char *at = bytes;
  while (n > 0) {
    ssize_t w = send(fd, at, n, MSG_NOSIGNAL);
    ck_assert_int_gt(w, 0);
    at += w;
    n -= (size_t)w;
  }
}
/* Exactly n bytes, with a deadline; false: ended before. */
static inline bool raw_read(int fd, void *bytes, size_t n) {
  uint8_t *at = bytes;
  while (n > 0) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ck_assert_int_eq(poll(&p, 1, UNIT_WAIT_MS), 1);
    ssize_t r = read(fd, at, n);
    if (r <= 0) return false;
    at += r;
    n -= (size_t)r;
  }
  return true;
}
static inline uint8_t raw_read_frame(int fd, uint8_t *body, uint32_t *len) {
  uint8_t header[PROTO_HEADER];
  if (!raw_read(fd, header, sizeof header)) return 0;
  memcpy(len, header + 4, 4);
  ck_assert_uint_le(*len, 1024);
  ck_assert(raw_read(fd, body, *len));
  return header[3];
}
static inline void raw_hello(int fd, uint8_t role, uint8_t header_version, uint8_t low, uint8_t high) {
  proto_hello m = {.role = role, .version_low = low, .version_high = high};
  hato__random(m.nonce, sizeof m.nonce);
  hato__buf b = {0};
  proto_hello_encode(&b, &m);
  b.data[2] = header_version;
  raw_write(fd, b.data, b.len);
  hato__buf_free(&b);
}
/* An admitted peer over a Unix socket. */
static inline int raw_admitted(const host *h) {
  int fd = raw_connect(h);
  uint8_t body[1024];
  uint32_t len;
  raw_hello(fd, PROTO_ROLE_CLIENT, PROTO_VERSION, PROTO_VERSION, PROTO_VERSION);
  ck_assert_uint_eq(raw_read_frame(fd, body, &len), PROTO_WELCOME);
  return fd;
}

#endif

/* A man between two ends: takes connections, makes one of his own to a listener for each, and carries the bytes, which
 * he keeps, and of which he may change one or cut the rest off. He can end the TLS of either side, with a certificate
 * of his own. */
#ifndef HATO_TESTS_NET_MAN_H
#define HATO_TESTS_NET_MAN_H

#include "unit/certs.h"
#include "unit/net_help.h"

#include <openssl/ssl.h>
#include <signal.h>

enum { MAN_UP, MAN_DOWN }; /* to the listener, and from it */
#define MAN_TALKS 16

/* What he does to a connection: at this byte of what goes this way. */
typedef struct man_plan {
  enum { MAN_LISTENS, MAN_FLIPS, MAN_CUTS } what;
  int way;
  size_t at;
  uint8_t bits; /* to be flipped */
} man_plan;

typedef struct man_side {
  int fd;
  SSL *ssl; /* NULL: plain */
} man_side;

typedef struct man_talk {
  struct man *m;
  pthread_t thread;
  bool used;
  atomic_bool over;
  man_side sides[2]; /* by the way that bytes from it go */
  man_plan plan;
  hato__buf said[2];
} man_talk;

typedef struct man {
  int l, far_port;
  char url[64]; /* where he is dialled */
  SSL_CTX *tls[2]; /* NULL: plain */
  pthread_t thread;
  man_talk talks[MAN_TALKS];
  pthread_mutex_t lock; /* what follows, and TLS handshakes */
  man_plan plan;        /* for who connects next */
  hato__buf said[2];    /* on the last connection that is over */
  unsigned over;
} man;

static inline bool man_begin(man_talk *t, int way) {
  man_side *s = &t->sides[way];
  if (t->m->tls[way] == NULL) return true;
  s->ssl = SSL_new(t->m->tls[way]);
  SSL_set_fd(s->ssl, s->fd);
  return (way == MAN_UP ? SSL_accept(s->ssl) : SSL_connect(s->ssl)) == 1;
}

static inline int man_read(man_side *s, uint8_t *bytes, size_t n) {
  return s->ssl != NULL ? SSL_read(s->ssl, bytes, (int)n) : (int)read(s->fd, bytes, n);
}

static inline bool man_write(man_side *s, const uint8_t *bytes, size_t n) {
  for (size_t at = 0; at < n;) {
    int w = s->ssl != NULL ? SSL_write(s->ssl, bytes + at, (int)(n - at)) : (int)write(s->fd, bytes + at, n - at);
    if (w <= 0) return false;
    at += (size_t)w;
  }
  return true;
}

/* False: the connection is at its end. */
static inline bool man_carry(man_talk *t, int way) {
  uint8_t bytes[16384];
  int n = man_read(&t->sides[way], bytes, sizeof bytes);
  if (n <= 0) return false;
  size_t before = t->said[way].len, len = (size_t)n;
  bool here = t->plan.what != MAN_LISTENS && t->plan.way == way && t->plan.at >= before && t->plan.at < before + len;
  bool cut = here && t->plan.what == MAN_CUTS;
  if (cut) len = t->plan.at - before;
  if (here && !cut) bytes[t->plan.at - before] ^= t->plan.bits;
  hato__buf_append(&t->said[way], bytes, len);
  return man_write(&t->sides[!way], bytes, len) && !cut;
}

static inline bool man_hears(man_talk *t) {
  struct pollfd p[2];
  bool there[2];
  for (int way = 0; way < 2; way++) {
    p[way] = (struct pollfd){.fd = t->sides[way].fd, .events = POLLIN};
    there[way] = t->sides[way].ssl != NULL && SSL_pending(t->sides[way].ssl) > 0;
  }
  if (poll(p, 2, there[0] || there[1] ? 0 : -1) < 0) return false;
  for (int way = 0; way < 2; way++)
    if ((there[way] || p[way].revents != 0) && !man_carry(t, way)) return false;
  return true;
}

static inline int man_reach(int port) {
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  sa.sin_port = htons((uint16_t)port);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  return connect(fd, (struct sockaddr *)&sa, sizeof sa) == 0 ? fd : (close(fd), -1);
}

static inline void *man_talks(void *arg) {
  man_talk *t = arg;
  man *m = t->m;
  sigset_t pipe;
  sigemptyset(&pipe);
  sigaddset(&pipe, SIGPIPE); /* who writes to a side that has gone hears of it otherwise */
  pthread_sigmask(SIG_BLOCK, &pipe, NULL);
  t->sides[MAN_DOWN].fd = man_reach(m->far_port);
  bool reached = t->sides[MAN_DOWN].fd >= 0;
  pthread_mutex_lock(&m->lock);
  bool ok = man_begin(t, MAN_UP) && reached && man_begin(t, MAN_DOWN);
  pthread_mutex_unlock(&m->lock);
  while (ok && man_hears(t)) {}
  pthread_mutex_lock(&m->lock);
  for (int way = 0; way < 2; way++) {
    SSL_free(t->sides[way].ssl);
    if (t->sides[way].fd >= 0) close(t->sides[way].fd);
    t->sides[way].fd = -1;
    hato__buf_free(&m->said[way]);
    m->said[way] = t->said[way];
  }
  m->over++;
  pthread_mutex_unlock(&m->lock);
  t->over = true;
  return NULL;
}

static inline void man_part(man_talk *t) {
  if (!t->used) return;
  pthread_join(t->thread, NULL);
  t->used = false;
}

static inline man_talk *man_free_talk(man *m) {
  for (;; unit_nap())
    for (int i = 0; i < MAN_TALKS; i++) {
      man_talk *t = &m->talks[i];
      if (t->used && t->over) man_part(t);
      if (!t->used) return t;
    }
}

static inline void *man_takes(void *arg) {
  man *m = arg;
  for (int fd; (fd = accept4(m->l, NULL, NULL, SOCK_CLOEXEC)) >= 0;) {
    man_talk *t = man_free_talk(m);
    memset(t, 0, sizeof *t);
    t->m = m;
    t->used = true;
    t->sides[MAN_UP].fd = fd;
    t->sides[MAN_DOWN].fd = -1;
    pthread_mutex_lock(&m->lock);
    t->plan = m->plan;
    pthread_mutex_unlock(&m->lock);
    ck_assert_int_eq(pthread_create(&t->thread, NULL, man_talks, t), 0);
  }
  return NULL;
}

/* near: the certificate by which he ends who dials him; NULL: they come plain. chain: what vouches for it, or NULL.
 * far: the listener speaks TLS, which he ends as well. */
static inline void man_open(man *m, const char *far_url, bool far, const cert *near, const cert *chain) {
  memset(m, 0, sizeof *m);
  pthread_mutex_init(&m->lock, NULL);
  m->far_port = atoi(strrchr(far_url, ':') + 1);
  if (far) m->tls[MAN_DOWN] = SSL_CTX_new(TLS_client_method()); /* he believes everybody */
  if (near != NULL) {
    m->tls[MAN_UP] = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_cert_and_key(m->tls[MAN_UP], near->x, near->key, NULL, 1), 1);
    if (chain != NULL) ck_assert_int_eq(SSL_CTX_add1_chain_cert(m->tls[MAN_UP], chain->x), 1);
  }
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t n = sizeof sa;
  m->l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ck_assert_int_eq(bind(m->l, (struct sockaddr *)&sa, sizeof sa), 0);
  ck_assert_int_eq(listen(m->l, 64), 0);
  ck_assert_int_eq(getsockname(m->l, (struct sockaddr *)&sa, &n), 0);
  bool tls = near != NULL || strncmp(far_url, "tls+", 4) == 0;
  snprintf(m->url, sizeof m->url, "%stcp://127.0.0.1:%d", tls && !(far && near == NULL) ? "tls+" : "",
           ntohs(sa.sin_port));
  ck_assert_int_eq(pthread_create(&m->thread, NULL, man_takes, m), 0);
}

/* For connections from now on. */
static inline void man_plans(man *m, man_plan plan) {
  pthread_mutex_lock(&m->lock);
  m->plan = plan;
  pthread_mutex_unlock(&m->lock);
}

static inline unsigned man_over(man *m) {
  pthread_mutex_lock(&m->lock);
  unsigned over = m->over;
  pthread_mutex_unlock(&m->lock);
  return over;
}

/* These bytes went by, either way, on the last connection. */
static inline bool man_saw(man *m, const void *bytes, size_t n) {
  pthread_mutex_lock(&m->lock);
  bool yes = false;
  for (int way = 0; way < 2; way++) yes = yes || memmem(m->said[way].data, m->said[way].len, bytes, n) != NULL;
  pthread_mutex_unlock(&m->lock);
  return yes;
}

static inline void man_close(man *m) {
  shutdown(m->l, SHUT_RDWR);
  pthread_join(m->thread, NULL);
  close(m->l);
  for (int i = 0; i < MAN_TALKS; i++) {
    pthread_mutex_lock(&m->lock);
    int fd = m->talks[i].used ? m->talks[i].sides[MAN_UP].fd : -1;
    if (fd >= 0) shutdown(fd, SHUT_RDWR);
    pthread_mutex_unlock(&m->lock);
    man_part(&m->talks[i]);
  }
  for (int way = 0; way < 2; way++) {
    hato__buf_free(&m->said[way]);
    SSL_CTX_free(m->tls[way]);
  }
  pthread_mutex_destroy(&m->lock);
}

#endif

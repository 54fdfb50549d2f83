/* A man between two ends: takes connections, makes one of his own to a listener for each, and carries the bytes, which
 * he keeps, and of which he may change one or cut the rest off. He can end the TLS of either side, with a certificate
 * of his own. */
#ifndef HATO_TESTS_NET_MAN_H
#define HATO_TESTS_NET_MAN_H

#include "unit/certs.h"
#include "unit/net_help.h"

#include <mbedtls/net_sockets.h>
#include <mbedtls/ssl.h>
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
  mbedtls_net_context net;
  bool tls;
  mbedtls_ssl_context ssl;
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
  bool tls[2];
  mbedtls_ssl_config conf[2];
  mbedtls_x509_crt chain;
  mbedtls_pk_context key;
  pthread_t thread;
  man_talk talks[MAN_TALKS];
  pthread_mutex_t lock; /* what follows, and TLS handshakes */
  man_plan plan;        /* for who connects next */
  hato__buf said[2];    /* on the last connection that is over */
  unsigned over;
} man;

static inline bool man_begin(man_talk *t, int way) {
  man_side *s = &t->sides[way];
  mbedtls_ssl_init(&s->ssl);
  s->tls = t->m->tls[way];
  if (!s->tls) return true;
  mbedtls_ssl_set_bio(&s->ssl, &s->net, mbedtls_net_send, mbedtls_net_recv, NULL);
  return mbedtls_ssl_setup(&s->ssl, &t->m->conf[way]) == 0 && mbedtls_ssl_handshake(&s->ssl) == 0;
}

static inline int man_read(man_side *s, uint8_t *bytes, size_t n) {
  return s->tls ? mbedtls_ssl_read(&s->ssl, bytes, n) : mbedtls_net_recv(&s->net, bytes, n);
}

static inline bool man_write(man_side *s, const uint8_t *bytes, size_t n) {
  for (size_t at = 0; at < n;) {
    int w = s->tls ? mbedtls_ssl_write(&s->ssl, bytes + at, n - at) : mbedtls_net_send(&s->net, bytes + at, n - at);
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
    p[way] = (struct pollfd){.fd = t->sides[way].net.fd, .events = POLLIN};
    there[way] = t->sides[way].tls && mbedtls_ssl_get_bytes_avail(&t->sides[way].ssl) > 0;
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
  t->sides[MAN_DOWN].net.fd = man_reach(m->far_port);
  bool reached = t->sides[MAN_DOWN].net.fd >= 0;
  pthread_mutex_lock(&m->lock);
  bool ok = man_begin(t, MAN_UP) && reached && man_begin(t, MAN_DOWN);
  pthread_mutex_unlock(&m->lock);
  while (ok && man_hears(t)) {}
  pthread_mutex_lock(&m->lock);
  for (int way = 0; way < 2; way++) {
    mbedtls_ssl_free(&t->sides[way].ssl);
    if (t->sides[way].net.fd >= 0) close(t->sides[way].net.fd);
    t->sides[way].net.fd = -1;
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
  for (;; nap())
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
    t->sides[MAN_UP].net.fd = fd;
    t->sides[MAN_DOWN].net.fd = -1;
    pthread_mutex_lock(&m->lock);
    t->plan = m->plan;
    pthread_mutex_unlock(&m->lock);
    ck_assert_int_eq(pthread_create(&t->thread, NULL, man_talks, t), 0);
  }
  return NULL;
}

static inline void man_conf(man *m, int way, bool server) {
  m->tls[way] = true;
  ck_assert_int_eq(mbedtls_ssl_config_defaults(&m->conf[way], server ? MBEDTLS_SSL_IS_SERVER : MBEDTLS_SSL_IS_CLIENT,
                                               MBEDTLS_SSL_TRANSPORT_STREAM, MBEDTLS_SSL_PRESET_DEFAULT),
                   0);
  mbedtls_ssl_conf_rng(&m->conf[way], cert_random, NULL);
  mbedtls_ssl_conf_authmode(&m->conf[way], MBEDTLS_SSL_VERIFY_NONE);
}

/* near: the certificate by which he ends who dials him; NULL: they come plain. chain: what vouches for it, or NULL.
 * far: the listener speaks TLS, which he ends as well. */
static inline void man_open(man *m, const char *far_url, bool far, const cert *near, const cert *chain) {
  memset(m, 0, sizeof *m);
  pthread_mutex_init(&m->lock, NULL);
  for (int way = 0; way < 2; way++) mbedtls_ssl_config_init(&m->conf[way]);
  mbedtls_x509_crt_init(&m->chain);
  mbedtls_pk_init(&m->key);
  m->far_port = atoi(strrchr(far_url, ':') + 1);
  if (far) man_conf(m, MAN_DOWN, false);
  if (near != NULL) {
    man_conf(m, MAN_UP, true);
    for (const cert *c = near; c != NULL; c = c == near ? chain : NULL)
      ck_assert_int_eq(mbedtls_x509_crt_parse(&m->chain, (const unsigned char *)c->pem, strlen(c->pem) + 1), 0);
    ck_assert_int_eq(
        mbedtls_pk_parse_key(&m->key, (const unsigned char *)near->key_pem, strlen(near->key_pem) + 1, NULL, 0), 0);
    ck_assert_int_eq(mbedtls_ssl_conf_own_cert(&m->conf[MAN_UP], &m->chain, &m->key), 0);
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
    int fd = m->talks[i].used ? m->talks[i].sides[MAN_UP].net.fd : -1;
    if (fd >= 0) shutdown(fd, SHUT_RDWR);
    pthread_mutex_unlock(&m->lock);
    man_part(&m->talks[i]);
  }
  for (int way = 0; way < 2; way++) {
    hato__buf_free(&m->said[way]);
    mbedtls_ssl_config_free(&m->conf[way]);
  }
  mbedtls_x509_crt_free(&m->chain);
  mbedtls_pk_free(&m->key);
  pthread_mutex_destroy(&m->lock);
}

#endif

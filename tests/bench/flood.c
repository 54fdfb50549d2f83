/* Strangers: many connections that will never be admitted, held, and some of them closed and
 * opened anew all the time. A third keep silent, a third send garbage, a third send a good HELLO
 * a byte a second. On loopback only, and at the lowest priority (niced to 19).
 *
 *   flood --url tcp://127.0.0.1:PORT [-n COUNT] [--rate PER_SECOND] [--eager] [--for SECONDS]
 *
 * COUNT (10,000) are opened as fast as they will; then PER_SECOND (200) of them, those that the
 * peer closed first, are opened anew each second; with --eager those that the peer closed at
 * once. Says a line of JSON at once and each second: how many are connected now, wait to be, or were closed
 * and not opened anew; and how many were, of all so far, opened, connected, closed by the peer and
 * refused by the kernel. Ends with its standard input, or after SECONDS.
 * What is "connected" is so by the kernel's word; the listener's program may not have accepted it
 * yet. A tls+tcp URL is dialled as a tcp one: what comes is then no TLS either. */
#include "bench/floor.h"
#include "proto/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#define EVENTS 512
#define STEP_NS UINT64_C(10000000)
#define SECOND_NS UINT64_C(1000000000)
#define PORTS_OF_AN_ADDRESS 20000u
#define DIALS_A_STEP 500u /* of 10 ms */

typedef enum state { CLOSED, DIALLING, CONNECTED } state;
typedef enum kind { SILENT, GARBAGE, A_BYTE, KINDS } kind;

typedef struct one {
  int fd;
  state state;
  kind kind;
  uint32_t sent; /* A_BYTE: of its HELLO */
  uint32_t next; /* in the queue of the closed */
} one;

#define NONE UINT32_MAX

typedef struct flood {
  struct sockaddr_in to;
  uint32_t n, rate;
  bool eager;
  double seconds;
  int epoll;
  one *all;
  uint32_t first_closed, last_closed, oldest; /* oldest: the next to be closed by us, in turn */
  uint32_t now[CONNECTED + 1];
  uint64_t opened, connected, closed_by_peer, refused, answered;
  uint8_t hello[64], noise[256];
  uint32_t hello_len;
} flood;

static void die(const char *what) {
  fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
  exit(1);
}

static void become(flood *f, one *c, state s) {
  f->now[c->state]--;
  f->now[s]++;
  c->state = s;
}

static void queue_closed(flood *f, uint32_t i) {
  f->all[i].next = NONE;
  if (f->first_closed == NONE)
    f->first_closed = i;
  else
    f->all[f->last_closed].next = i;
  f->last_closed = i;
}

static void drop(flood *f, uint32_t i) {
  one *c = &f->all[i];
  close(c->fd);
  become(f, c, CLOSED);
  queue_closed(f, i);
}

static void open_one(flood *f, uint32_t i) {
  one *c = &f->all[i];
  /* Ports of one address run short: those of the next. */
  struct sockaddr_in from = {.sin_family = AF_INET};
  from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + (uint32_t)(f->opened / PORTS_OF_AN_ADDRESS % 200));
  f->opened++;
  int yes = 1;
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  (void)setsockopt(c->fd, IPPROTO_IP, 24 /* IP_BIND_ADDRESS_NO_PORT */, &yes, sizeof yes);
  /* Closed by us, it is gone at once. */
  (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &(struct linger){.l_onoff = 1}, sizeof(struct linger));
  c->sent = 0;
  if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0 ||
      (connect(c->fd, (struct sockaddr *)&f->to, sizeof f->to) != 0 && errno != EINPROGRESS)) {
    f->refused++;
    close(c->fd);
    queue_closed(f, i);
    return;
  }
  struct epoll_event ev = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.u32 = i};
  if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, c->fd, &ev) != 0) die("epoll");
  become(f, c, DIALLING);
}

static uint32_t open_closed(flood *f, uint32_t most) {
  uint32_t n = 0;
  for (; n < most && f->first_closed != NONE; n++) {
    uint32_t i = f->first_closed;
    f->first_closed = f->all[i].next;
    open_one(f, i);
  }
  return n;
}

/* So many anew: in place of those that are closed already, and then of the oldest. */
static void reopen(flood *f, uint32_t n) {
  for (uint32_t left = n, tried = 0; left > 0 && tried < f->n; tried++) {
    left -= open_closed(f, left);
    if (left == 0) break;
    uint32_t i = f->oldest;
    f->oldest = (f->oldest + 1) % f->n;
    if (f->all[i].state != CLOSED) drop(f, i);
  }
}

static void say(flood *f, one *c) {
  if (c->kind == GARBAGE) {
    (void)send(c->fd, f->noise, sizeof f->noise, MSG_NOSIGNAL);
  } else if (c->kind == A_BYTE && c->sent < f->hello_len) {
    if (send(c->fd, f->hello + c->sent, 1, MSG_NOSIGNAL) == 1) c->sent++;
  }
}

static void event(flood *f, uint32_t i, uint32_t events) {
  one *c = &f->all[i];
  char buf[512];
  if (c->state == CLOSED) return;
  if (c->state == DIALLING) {
    int e = 0;
    socklen_t n = sizeof e;
    if ((events & (EPOLLERR | EPOLLHUP)) || getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0 || e != 0) {
      f->refused++;
      drop(f, i);
      return;
    }
    if (!(events & EPOLLOUT)) return;
    become(f, c, CONNECTED);
    f->connected++;
    say(f, c);
  }
  if (!(events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP))) return;
  for (;;) {
    ssize_t n = recv(c->fd, buf, sizeof buf, 0);
    if (n > 0) f->answered++; /* REFUSED: it stays, nevertheless */
    if (n > 0) continue;
    if (n < 0 && errno == EAGAIN) return;
    f->closed_by_peer++;
    drop(f, i);
    return;
  }
}

static void tell(flood *f, uint64_t begun) {
  printf("{\"s\":%.1f,\"connected\":%u,\"dialling\":%u,\"closed\":%u,\"opened\":%llu,\"connects\":%llu,"
         "\"closed_by_peer\":%llu,\"refused\":%llu,\"answered\":%llu}\n",
         (double)(now_ns() - begun) / 1e9, f->now[CONNECTED], f->now[DIALLING], f->now[CLOSED],
         (unsigned long long)f->opened, (unsigned long long)f->connected, (unsigned long long)f->closed_by_peer,
         (unsigned long long)f->refused, (unsigned long long)f->answered);
  fflush(stdout);
}

/* What is done in this step of the clock. */
static void step(flood *f, uint64_t begun, uint64_t now, uint64_t before, uint32_t *byte) {
  uint64_t due = (now - begun) * f->rate / SECOND_NS - (before - begun) * f->rate / SECOND_NS;
  if (f->opened < f->n)
    open_closed(f, DIALS_A_STEP < f->n - f->opened ? DIALS_A_STEP : (uint32_t)(f->n - f->opened));
  else
    reopen(f, (uint32_t)due);
  if (f->eager) open_closed(f, DIALS_A_STEP);
  /* Each has its byte once a second, not all at once. */
  uint64_t bytes = (now - begun) * f->n / SECOND_NS - (before - begun) * f->n / SECOND_NS;
  for (; bytes > 0; bytes--) {
    one *c = &f->all[*byte];
    *byte = (*byte + 1) % f->n;
    if (c->kind == A_BYTE && c->state == CONNECTED) say(f, c);
  }
}

static int serve(flood *f) {
  struct epoll_event ev[EVENTS], in = {.events = EPOLLIN, .data.u32 = NONE};
  uint64_t begun = now_ns(), before = begun, told = begun;
  uint32_t byte = 0;
  if (epoll_ctl(f->epoll, EPOLL_CTL_ADD, STDIN_FILENO, &in) != 0) die("standard input");
  tell(f, begun);
  for (;;) {
    int n = epoll_wait(f->epoll, ev, EVENTS, 10);
    for (int i = 0; i < n; i++) {
      char c;
      if (ev[i].data.u32 != NONE)
        event(f, ev[i].data.u32, ev[i].events);
      else if (read(STDIN_FILENO, &c, 1) <= 0)
        return 0;
    }
    uint64_t now = now_ns();
    if (now - before >= STEP_NS) {
      step(f, begun, now, before, &byte);
      before = now;
    }
    if (now - told < SECOND_NS) continue;
    told += SECOND_NS;
    tell(f, begun);
    if (f->seconds > 0 && (double)(now - begun) / 1e9 >= f->seconds) return 0;
  }
}

static bool read_url(flood *f, const char *url) {
  char host[64];
  unsigned port;
  const char *at = strstr(url, "://");
  if (at == NULL || sscanf(at + 3, "%63[0-9.]:%u", host, &port) != 2 || port == 0 || port > 65535) return false;
  f->to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  return inet_pton(AF_INET, host, &f->to.sin_addr) == 1 && ntohl(f->to.sin_addr.s_addr) >> 24 == 127;
}

static void prepare(flood *f) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur < f->n + 16) {
      fprintf(stderr, "flood: %u connections take more than the %llu descriptors there may be\n", f->n,
              (unsigned long long)limit.rlim_cur);
      exit(1);
    }
  }
  if (setpriority(PRIO_PROCESS, 0, 19) != 0) die("nice");
  f->all = calloc(f->n, sizeof *f->all);
  f->epoll = epoll_create1(EPOLL_CLOEXEC);
  if (f->all == NULL || f->epoll < 0) die("epoll");
  f->first_closed = NONE;
  f->now[CLOSED] = f->n;
  for (uint32_t i = 0; i < f->n; i++) {
    f->all[i].kind = (kind)(i % KINDS);
    queue_closed(f, i);
  }
  for (size_t i = 0; i < sizeof f->noise; i++) f->noise[i] = (uint8_t)(i * 167 + 13);
  hato__buf b = {0};
  proto_hello m = {.role = PROTO_ROLE_CLIENT, .version_low = PROTO_VERSION, .version_high = PROTO_VERSION};
  proto_hello_encode(&b, &m);
  f->hello_len = (uint32_t)(b.len < sizeof f->hello ? b.len : sizeof f->hello);
  memcpy(f->hello, b.data, f->hello_len);
  hato__buf_free(&b);
}

int main(int argc, char **argv) {
  flood f = {.n = 10000, .rate = 200};
  const char *url = NULL;
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--eager") == 0)
      f.eager = true;
    else if (strcmp(argv[i], "--url") == 0 && i + 1 < argc)
      url = argv[++i];
    else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
      f.n = (uint32_t)strtoul(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--rate") == 0 && i + 1 < argc)
      f.rate = (uint32_t)strtoul(argv[++i], NULL, 10);
    else if (strcmp(argv[i], "--for") == 0 && i + 1 < argc)
      f.seconds = strtod(argv[++i], NULL);
  }
  if (url == NULL || f.n == 0 || !read_url(&f, url)) {
    fprintf(stderr, "usage: flood --url tcp://127.0.0.1:PORT [-n COUNT] [--rate PER_SECOND] [--eager] [--for SECONDS]\n");
    return 2;
  }
  prepare(&f);
  int code = serve(&f);
  free(f.all);
  return code;
}

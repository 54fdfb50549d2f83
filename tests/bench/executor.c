/* An executor by itself, its daemon played over the socket pair: what a slot costs.
 *
 *   executor commands [N]      N commands /bin/true, output captured, beside a bare vfork-exec-wait loop
 *   executor functions [N]     N empty function calls, in messages of 1,000
 *   executor trips [N]         one empty call at a time, beside a ping-pong on a socket pair
 *   executor large [MB]        a result, and an argument, of so many MB
 *
 * Each row nine times in turn; medians. */
#include "base/clock.h"
#include "executor/executor.h"
#include "proto/message.h"
#include "proto/spec.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define ROUNDS 9
#define AHEAD 8 /* commands assigned beyond the one that runs */

typedef struct rig {
  int fd;
  pid_t pid;
  hato__buf in, out;
  uint64_t results, failed, bytes, granted;
} rig;

static rig start(void) {
  int pair[2];
  rig g = {0};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0 || (g.pid = fork()) < 0) exit(1);
  if (g.pid == 0) _exit(executor_main(pair[1], NULL));
  close(pair[1]);
  g.fd = pair[0];
  return g;
}

/* Of an executor and its children: what it costs on a machine that others use too. */
static double cpu_seconds;

static double own_seconds; /* of these, its own, without its children */

static double own_time(pid_t pid) {
  char path[64];
  unsigned long long ns = 0;
  snprintf(path, sizeof path, "/proc/%d/schedstat", (int)pid);
  FILE *f = fopen(path, "r");
  if (f == NULL || fscanf(f, "%llu", &ns) != 1) ns = 0;
  if (f != NULL) fclose(f);
  return (double)ns / 1e9;
}

static void stop(rig *g) {
  struct rusage u;
  own_seconds = own_time(g->pid);
  close(g->fd);
  (void)wait4(g->pid, NULL, 0, &u);
  cpu_seconds = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
  hato__buf_free(&g->in);
  hato__buf_free(&g->out);
}

static void handle(rig *g, uint8_t type, const uint8_t *body, size_t n) {
  proto_results_reader reader;
  proto_result r;
  proto_piece p;
  proto_credit c;
  if (type == PROTO_RESULTS && proto_results_decode(&reader, body, n, NULL) == HATO_OK) {
    while (proto_results_next(&reader, &r, NULL) == 1) {
      g->results++;
      if (r.error != 0 || ((r.flags & PROTO_RESULT_USAGE) && r.wait_status != 0)) {
        if (g->failed++ == 0) fprintf(stderr, "task failed: %d %.*s\n", r.error, (int)r.words_len, r.words);
      }
    }
  } else if (type == PROTO_PIECE && proto_piece_decode(&p, body, n, NULL) == HATO_OK) {
    g->bytes += p.len;
    c = (proto_credit){.task = p.task, .attempt = p.attempt, .channel = p.channel, .bytes = p.len};
    proto_credit_encode(&g->out, &c);
  } else if (type == PROTO_CREDIT && proto_credit_decode(&c, body, n, NULL) == HATO_OK) {
    g->granted += c.bytes;
  }
}

static void flush(rig *g) {
  for (size_t at = 0; at < g->out.len;) {
    ssize_t n = send(g->fd, g->out.data + at, g->out.len - at, MSG_NOSIGNAL);
    if (n < 0) exit(1);
    at += (size_t)n;
  }
  hato__buf_clear(&g->out);
}

static void receive(rig *g) {
  enum { ROOM = 512 << 10 };
  uint8_t *to = hato__buf_grow(&g->in, ROOM);
  ssize_t n = recv(g->fd, to, ROOM, 0);
  if (n <= 0) {
    fprintf(stderr, "the executor is gone\n");
    exit(1);
  }
  g->in.len -= ROOM - (size_t)n;
  size_t at = 0;
  proto_header h;
  while (g->in.len - at >= PROTO_HEADER && proto_header_decode(&h, g->in.data + at, NULL) == HATO_OK &&
         g->in.len - at - PROTO_HEADER >= h.len) {
    handle(g, h.type, g->in.data + at + PROTO_HEADER, h.len);
    at += PROTO_HEADER + h.len;
  }
  hato__buf_consume(&g->in, at);
  flush(g);
}

static void send_spec(rig *g, const proto_spec *s) {
  hato__buf b = {0};
  proto_spec_encode(&b, s);
  proto_spec_send(&g->out, 1, b.data, (uint32_t)b.len);
  hato__buf_free(&b);
}

static void assign(rig *g, uint64_t first, uint32_t count, bool large, uint64_t total) {
  proto_assign m = {.spec = 1,
                    .args = large ? PROTO_ARGS_EXPLICIT : PROTO_ARGS_NONE,
                    .large = large,
                    .first = first,
                    .attempt = 1,
                    .count = count,
                    .total = total};
  proto_assign_encode(&g->out, &m, 0);
}

static double seconds(uint64_t since) { return (double)(hato__now() - since) / 1e9; }

/* ---- commands ---- */

static double run_commands(uint64_t n) {
  char *argv[] = {"/bin/true", NULL}, *env[] = {"PATH=/bin", NULL};
  proto_spec s = {.kind = PROTO_COMMAND, .argv = argv, .env = env, .cwd = "/", .umask = 022};
  rig g = start();
  send_spec(&g, &s);
  uint64_t assigned = 0, began = hato__now();
  while (g.results < n) {
    while (assigned < n && assigned - g.results <= AHEAD) assign(&g, ++assigned, 1, false, 0);
    flush(&g);
    receive(&g);
  }
  double took = seconds(began);
  stop(&g);
  return (double)n / took;
}

static double run_bare(uint64_t n) {
  char *argv[] = {"/bin/true", NULL}, *env[] = {"PATH=/bin", NULL};
  double *own = mmap(NULL, sizeof *own, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  uint64_t began = hato__now();
  pid_t loop = fork(); /* as small as the executor is */
  if (loop == 0) {
    for (uint64_t i = 0; i < n; i++) {
      pid_t pid = vfork();
      if (pid == 0) {
        execve(argv[0], argv, env);
        _exit(127);
      }
      (void)waitpid(pid, NULL, 0);
    }
    *own = own_time(getpid());
    _exit(0);
  }
  struct rusage u;
  (void)wait4(loop, NULL, 0, &u);
  cpu_seconds = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
                (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
  own_seconds = *own;
  (void)munmap(own, sizeof *own);
  return (double)n / seconds(began);
}

/* ---- functions ---- */

static proto_spec function(const char *symbol) {
  static char path[512];
  snprintf(path, sizeof path, "%s/tests/functions/samples.so", HATO_BUILD_DIR);
  return (proto_spec){.kind = PROTO_FUNCTION, .object_path = path, .symbol = (char *)(uintptr_t)symbol};
}

static double run_functions(uint64_t n) {
  proto_spec s = function("empty");
  rig g = start();
  send_spec(&g, &s);
  uint64_t assigned = 0, began = hato__now();
  while (g.results < n) {
    while (assigned < n && assigned - g.results < 4000) {
      assign(&g, assigned + 1, 1000, false, 0);
      assigned += 1000;
    }
    flush(&g);
    receive(&g);
  }
  double took = seconds(began);
  stop(&g);
  return took / (double)n * 1e9;
}

static double run_trips(uint64_t n) {
  proto_spec s = function("empty");
  rig g = start();
  send_spec(&g, &s);
  uint64_t began = hato__now();
  for (uint64_t i = 1; i <= n; i++) {
    assign(&g, i, 1, false, 0);
    flush(&g);
    while (g.results < i) receive(&g);
  }
  double took = seconds(began);
  stop(&g);
  return took / (double)n * 1e6;
}

static double run_pings(uint64_t n) {
  int pair[2];
  char bytes[64] = {0};
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) < 0) exit(1);
  pid_t pid = fork();
  if (pid == 0) {
    close(pair[0]);
    while (recv(pair[1], bytes, sizeof bytes, 0) > 0) (void)send(pair[1], bytes, sizeof bytes, MSG_NOSIGNAL);
    _exit(0);
  }
  close(pair[1]);
  uint64_t began = hato__now();
  for (uint64_t i = 0; i < n; i++) {
    if (send(pair[0], bytes, sizeof bytes, 0) < 0 || recv(pair[0], bytes, sizeof bytes, 0) <= 0) exit(1);
  }
  double took = seconds(began);
  close(pair[0]);
  (void)waitpid(pid, NULL, 0);
  return took / (double)n * 1e6;
}

static double run_large_out(uint64_t mb) {
  proto_spec s = function("many_empty");
  rig g = start();
  send_spec(&g, &s);
  char size[32];
  uint32_t len = (uint32_t)snprintf(size, sizeof size, "%llu", (unsigned long long)mb << 20),
           end = htole32(len);
  proto_assign m = {.spec = 1, .args = PROTO_ARGS_EXPLICIT, .first = 1, .attempt = 1, .count = 1};
  m.block = (proto_block){.count = 1, .ends = (uint8_t *)&end, .data = (uint8_t *)size, .len = len};
  proto_assign_encode(&g.out, &m, 0);
  uint64_t began = hato__now();
  flush(&g);
  while (g.results < 1) receive(&g);
  double took = seconds(began);
  if (g.bytes != mb << 20) fprintf(stderr, "%llu bytes came\n", (unsigned long long)g.bytes);
  stop(&g);
  return (double)mb / took;
}

static double run_large_in(uint64_t mb) {
  static uint8_t data[PROTO_PIECE_DATA];
  proto_spec s = function("empty");
  rig g = start();
  send_spec(&g, &s);
  uint64_t total = mb << 20, sent = 0, began = hato__now();
  assign(&g, 1, 1, true, total);
  flush(&g);
  while (sent < total) {
    while (g.granted < total && g.granted - sent < sizeof data) receive(&g);
    proto_piece p = {.task = 1, .attempt = 1, .data = data, .len = sizeof data};
    if (total - sent < p.len) p.len = (uint32_t)(total - sent);
    sent += p.len;
    p.last = sent == total;
    proto_piece_encode(&g.out, &p);
    flush(&g);
  }
  while (g.results < 1) receive(&g);
  double took = seconds(began);
  stop(&g);
  return (double)mb / took;
}

/* ---- */

static int by_value(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void row(const char *name, double got[ROUNDS], const char *unit) {
  qsort(got, ROUNDS, sizeof *got, by_value);
  printf("%-50s %12.1f %s\n", name, got[ROUNDS / 2], unit);
}

static double cpu_of(double (*run)(uint64_t), uint64_t n, double *cpu, double *own) {
  double got = run(n);
  *cpu = cpu_seconds / (double)n * 1e6;
  *own = own_seconds / (double)n * 1e6;
  return got;
}

static void pair(const char *a, double (*run_a)(uint64_t), const char *b, double (*run_b)(uint64_t),
                 uint64_t n, const char *unit) {
  double got_a[ROUNDS], got_b[ROUNDS], cpu_a[ROUNDS], cpu_b[ROUNDS], own_a[ROUNDS], own_b[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    got_a[i] = cpu_of(run_a, n, &cpu_a[i], &own_a[i]);
    if (run_b) got_b[i] = cpu_of(run_b, n, &cpu_b[i], &own_b[i]);
  }
  row(a, got_a, unit);
  row("  processor time of the process and its children", cpu_a, "us each");
  row("  of the process alone", own_a, "us each");
  if (run_b == NULL) return;
  row(b, got_b, unit);
  row("  processor time of the process and its children", cpu_b, "us each");
  row("  of the process alone", own_b, "us each");
  printf("%-50s %12.2f\n", "  ratio", got_a[ROUNDS / 2] / got_b[ROUNDS / 2]);
}

int main(int argc, char **argv) {
  const char *what = argc > 1 ? argv[1] : "";
  uint64_t n = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
  if (strcmp(what, "commands") == 0)
    pair("commands /bin/true, captured", run_commands, "bare vfork-exec-wait", run_bare, n ? n : 3000, "/s");
  else if (strcmp(what, "functions") == 0)
    pair("empty function calls", run_functions, NULL, NULL, n ? n : 1000000, "ns each");
  else if (strcmp(what, "trips") == 0)
    pair("one empty call at a time", run_trips, "ping-pong on a socket pair", run_pings, n ? n : 20000, "us");
  else if (strcmp(what, "large") == 0)
    pair("large result", run_large_out, "large argument", run_large_in, n ? n : 100, "MB/s");
  else {
    fprintf(stderr, "usage: executor commands|functions|trips|large [N]\n");
    return 2;
  }
  return 0;
}

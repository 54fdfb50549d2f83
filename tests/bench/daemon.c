/* A daemon with its executors by themselves, the dispatcher played over ipc: what a
 * daemon costs.
 *
 *   daemon functions OBJECT [N [SLOTS]]   N empty calls (symbol `empty` of OBJECT), a window of them sent
 * ahead daemon commands [N [SLOTS]]           N commands /bin/true daemon trips OBJECT [N]               one
 * call at a time
 *
 * Prints what it took and the daemon's own processor time a task. */
#include "base/clock.h"
#include "base/log.h"
#include "daemon/daemon.h"
#include "executor/executor.h"
#include "net/net.h"
#include "proto/spec.h"

#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIECE_FRAME (PROTO_PIECE_HEAD + PROTO_PIECE_DATA)

typedef struct rig {
  net_conn *conn;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  hato__buf out;
  bool enlisted, explicit;
  uint64_t sent, done, failed, want, window, chunk;
  uint64_t credit, in, out_bytes; /* of the large argument and result */
  net_data *piece;
  uint8_t *bytes;
  bool out_last;
} rig;

static void assign(rig *g) {
  while (g->sent < g->want && g->sent - g->done + g->chunk <= g->window) {
    uint64_t n = g->want - g->sent < g->chunk ? g->want - g->sent : g->chunk;
    proto_assign a = {.spec = 1,
                      .args = PROTO_ARGS_NONE,
                      .first = g->sent + 1,
                      .count = (uint32_t)n,
                      .attempt = 1,
                      .index = (uint32_t)g->sent};
    proto_assign_encode(&g->out, &a, 0);
    g->sent += n;
  }
}

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  (void)c;
  rig *g = owner;
  pthread_mutex_lock(&g->lock);
  if (f->type == PROTO_DAEMON) {
    proto_enlisted e = {.number = 1, .heartbeat_ms = 1000};
    proto_enlisted_encode(&g->out, &e);
    g->enlisted = true;
    pthread_cond_signal(&g->cond);
  } else if (f->type == PROTO_HEARTBEAT) {
    proto_heartbeat_encode(&g->out);
  } else if (f->type == PROTO_RESULTS) {
    proto_results_reader reader;
    proto_result r;
    if (proto_results_decode(&reader, f->body, f->len, err) != HATO_OK) exit(1);
    while (proto_results_next(&reader, &r, err) == 1) {
      g->done++;
      g->failed += r.error != 0 || r.wait_status != 0;
      if (r.error && g->failed == 1) fprintf(stderr, "%.*s\n", (int)r.words_len, r.words);
    }
    assign(g);
    if (g->done == g->want) pthread_cond_signal(&g->cond);
  } else if (f->type == PROTO_CREDIT) {
    proto_credit m;
    if (proto_credit_decode(&m, f->body, f->len, err) == HATO_OK) g->credit += m.bytes;
  } else if (f->type == PROTO_PIECE) {
    proto_piece m;
    if (proto_piece_decode(&m, f->body, f->len, err) != HATO_OK) exit(1);
    proto_credit more = {.task = m.task, .attempt = m.attempt, .channel = m.channel, .bytes = m.len};
    proto_credit_encode(&g->out, &more);
    g->out_bytes += m.len;
    g->out_last = m.last;
    if (m.last) pthread_cond_signal(&g->cond);
  }
  pthread_mutex_unlock(&g->lock);
  return HATO_OK;
}

static void on_batch(void *owner, net_conn *c) {
  (void)owner;
  net_wake(c);
}

static void on_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  rig *g = owner;
  pthread_mutex_lock(&g->lock);
  hato__buf_append(&out->bytes, g->out.data, g->out.len);
  hato__buf_clear(&g->out);
  for (; g->in > 0 && g->credit >= PROTO_PIECE_DATA && out->n_refs < NET_REFS; g->in--) {
    g->credit -= PROTO_PIECE_DATA;
    out->refs[out->n_refs].data = net_data_ref(g->piece);
    out->refs[out->n_refs].at = g->bytes + (g->in == 1 ? PIECE_FRAME : 0);
    out->refs[out->n_refs++].len = PIECE_FRAME;
  }
  pthread_mutex_unlock(&g->lock);
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)c, (void)why;
  rig *g = owner;
  if (g->done < g->want) fprintf(stderr, "closed: %s\n", words), exit(1);
}

static const net_ops ops = {.frame = on_frame, .batch = on_batch, .fill = on_fill, .closed = on_closed};

static void admitted(void *arg, net_conn *c) {
  rig *g = arg;
  g->conn = c;
  net_start(c, &ops, g);
}

static void run(rig *g, uint64_t n) {
  pthread_mutex_lock(&g->lock);
  g->want += n;
  assign(g);
  pthread_mutex_unlock(&g->lock);
  net_wake(g->conn);
  pthread_mutex_lock(&g->lock);
  while (g->done < g->want) pthread_cond_wait(&g->cond, &g->lock);
  pthread_mutex_unlock(&g->lock);
}

/* Processor time of a process in ms, without its children. */
static double cpu_ms(pid_t pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  FILE *f = fopen(path, "r");
  size_t len = f ? fread(text, 1, sizeof text - 1, f) : 0;
  if (f) fclose(f);
  text[len] = 0;
  unsigned long user = 0, sys = 0;
  char *at = strrchr(text, ')');
  if (at) sscanf(at + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &sys);
  return (double)(user + sys) * 1000 / (double)sysconf(_SC_CLK_TCK);
}

static int by_value(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

static void trips(rig *g, uint64_t n) {
  uint64_t *t = malloc(n * sizeof *t);
  g->window = g->chunk = 1;
  run(g, 200);
  for (uint64_t i = 0; i < n; i++) {
    uint64_t from = hato__now();
    run(g, 1);
    t[i] = hato__now() - from;
  }
  qsort(t, n, sizeof *t, by_value);
  printf("{\"row\":\"trips\",\"n\":%llu,\"median_ns\":%llu,\"p10_ns\":%llu,\"p90_ns\":%llu}\n",
         (unsigned long long)n, (unsigned long long)t[n / 2], (unsigned long long)t[n / 10],
         (unsigned long long)t[n * 9 / 10]);
  free(t);
}

static void rate(rig *g, const char *row, uint64_t n, pid_t pid, unsigned slots) {
  g->window = n < 1000 ? n : slots * 4096ull;
  g->chunk = g->window / 4;
  if (strcmp(row, "commands") == 0) g->window = slots * 4ull, g->chunk = 1;
  run(g, n / 10);
  double cpu = cpu_ms(pid);
  uint64_t from = hato__now();
  run(g, n);
  double s = (double)(hato__now() - from) / 1e9;
  printf("{\"row\":\"%s\",\"n\":%llu,\"per_s\":%.0f,\"daemon_ns\":%.0f,\"failed\":%llu}\n", row,
         (unsigned long long)n, (double)n / s, (cpu_ms(pid) - cpu) * 1e6 / (double)n,
         (unsigned long long)g->failed);
}

/* Two frames, alike but that the second is the last. */
static void large(rig *g, uint64_t mb) {
  uint64_t n = (mb << 20) / PROTO_PIECE_DATA + 1;
  g->piece = net_data_new(2 * PIECE_FRAME, &g->bytes);
  hato__buf b = {0};
  static const uint8_t data[PROTO_PIECE_DATA];
  for (int last = 0; last < 2; last++) {
    proto_piece p = {.task = 1, .attempt = 1, .len = sizeof data, .data = data, .last = last};
    proto_piece_encode(&b, &p);
  }
  memcpy(g->bytes, b.data, b.len);
  uint64_t from = hato__now();
  pthread_mutex_lock(&g->lock);
  proto_assign a = {.spec = 1,
                    .args = PROTO_ARGS_EXPLICIT,
                    .large = true,
                    .first = 1,
                    .count = 1,
                    .attempt = 1,
                    .total = n * PROTO_PIECE_DATA};
  proto_assign_encode(&g->out, &a, 0);
  g->in = n;
  g->want = 1;
  pthread_mutex_unlock(&g->lock);
  net_wake(g->conn);
  pthread_mutex_lock(&g->lock);
  while (g->done < 1 || !g->out_last) pthread_cond_wait(&g->cond, &g->lock);
  pthread_mutex_unlock(&g->lock);
  double s = (double)(hato__now() - from) / 1e9;
  printf("{\"row\":\"large\",\"mb\":%llu,\"mb_per_s\":%.0f,\"failed\":%llu}\n", (unsigned long long)mb,
         2 * (double)mb / s, (unsigned long long)g->failed);
}

static int play_daemon(char **argv) {
  int fd = 2;
  hato__log log = {.level = HATO__LOG_WARN, .write = hato__log_to_fd, .arg = &fd};
  daemon_options o = {
      .urls = (const char *const *)&argv[2], .n_urls = 1, .slots = (unsigned)atoi(argv[3]), .log = &log};
  return daemon_run(&o, NULL);
}

/* The daemon that it starts holds this. */
static bool find(void *arg, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES], uint64_t *making) {
  (void)arg, (void)role, (void)id;
  *making = 0;
  memset(secret, 0x55, HATO__SECRET_BYTES);
  return true;
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "executor") == 0) return executor_main(3, NULL);
  if (argc > 3 && strcmp(argv[1], "daemon") == 0) return play_daemon(argv);
  bool commands = argc > 1 && strcmp(argv[1], "commands") == 0;
  int at = commands ? 2 : 3;
  if (argc < at)
    return fprintf(stderr, "usage: daemon functions|trips|large OBJECT [N [SLOTS]] | commands [N [SLOTS]]\n"),
           2;
  uint64_t n = argc > at           ? strtoull(argv[at], NULL, 10)
               : commands          ? 10000
               : argv[1][0] == 't' ? 20000
                                   : 1000000;
  char url[64], *slots = argc > at + 1 ? argv[at + 1] : "2";
  rig g = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};
  net_listener *l;
  net_guard guard = {.find = find};
  hato_error err;
  snprintf(url, sizeof url, "abstract://hato-bench-%d", (int)getpid());
  if (net_listen(url, &guard, NULL, admitted, &g, &l, &err) != HATO_OK)
    return fprintf(stderr, "%s\n", err.text), 1;
  char *args[] = {argv[0], "daemon", url, slots, NULL}, *true_[] = {"/bin/true", NULL},
       *env[] = {"PATH=/bin", NULL};
  pid_t pid;
  char credential[] = "hato1:daemon:0:................................................................:-:-:-";
  memset(strchr(credential, '.'), '5', 2 * HATO__SECRET_BYTES);
  setenv("HATO_CREDENTIAL", credential, 1);
  if (posix_spawn(&pid, "/proc/self/exe", NULL, NULL, args, environ) != 0) return 1;
  pthread_mutex_lock(&g.lock);
  while (!g.enlisted) pthread_cond_wait(&g.cond, &g.lock);
  proto_spec s = {.kind = PROTO_FUNCTION,
                  .symbol = argv[1][0] == 'l' ? "echo" : "empty",
                  .object_path = commands ? NULL : argv[2]};
  if (commands) s = (proto_spec){.kind = PROTO_COMMAND, .argv = true_, .env = env, .cwd = "/"};
  hato__buf b = {0};
  proto_spec_encode(&b, &s);
  proto_spec_send(&g.out, 1, b.data, (uint32_t)b.len);
  hato__buf_free(&b);
  pthread_mutex_unlock(&g.lock);
  if (argv[1][0] == 'l')
    large(&g, n);
  else if (argv[1][0] == 't')
    trips(&g, n);
  else
    rate(&g, argv[1], n, pid, (unsigned)atoi(slots));
  fflush(stdout);
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
  _exit(0);
}

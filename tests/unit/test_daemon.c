/* A daemon of one process, a dispatcher that the test plays, and executors that do
 * as their symbol says: this program plays all three. */
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "daemon/state.h"
#include "executor/executor.h"
#include "unit.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

_Static_assert(DAEMON_EXECUTOR_RESTART == EXECUTOR_EXIT_RESTART, "the executor's contract");
_Static_assert(DAEMON_EXECUTOR_GRACE_NS == EXECUTOR_GRACE_NS, "the executor's contract");

/* ============================================================ the executor */

struct stand_in {
  hato__buf in, out;
  proto_spec specs[16]; /* by number */
  uint64_t credit;
};

static void die(const char *why) {
  fprintf(stderr, "stand-in: %s\n", why);
  _exit(EXECUTOR_EXIT_FAILED);
}

static void flush_out(struct stand_in *x) {
  if (hato__write_all(3, x->out.data, x->out.len) != 0) _exit(0);
  hato__buf_clear(&x->out);
}

static void read_more(struct stand_in *x) {
  uint8_t *at = hato__buf_grow(&x->in, 300 * 1024);
  ssize_t n = read(3, at, 300 * 1024);
  if (n <= 0) _exit(0); /* the daemon is gone */
  x->in.len -= 300 * 1024 - (size_t)n;
}

/* The next frame, or NULL when none is whole. */
static const uint8_t *next_frame(struct stand_in *x, proto_header *h) {
  if (x->in.len < PROTO_HEADER) return NULL;
  if (proto_header_decode(h, x->in.data, NULL) != HATO_OK) die("no frame");
  return x->in.len < PROTO_HEADER + h->len ? NULL : x->in.data + PROTO_HEADER;
}

static void done_with(struct stand_in *x, const proto_header *h) { hato__buf_consume(&x->in, PROTO_HEADER + h->len); }

/* Waits for INTERRUPT and returns its value. */
static uint16_t wait_interrupt(struct stand_in *x) {
  for (;;) {
    proto_header h;
    const uint8_t *body = next_frame(x, &h);
    if (!body) {
      read_more(x);
      continue;
    }
    proto_runs m;
    uint16_t value = 0;
    if (h.type == PROTO_INTERRUPT && proto_runs_decode(&m, body, h.len, NULL) == HATO_OK) value = proto_run_at(&m, 0).value;
    done_with(x, &h);
    if (value) return value;
  }
}

static void send_result(struct stand_in *x, uint64_t task, uint32_t attempt, int error, const void *out, uint32_t n) {
  proto_result r = {.task = task, .attempt = attempt, .error = (uint16_t)error, .out = out, .out_len = n, .wall_ns = 50};
  proto_results_writer w;
  proto_results_begin(&w, &x->out);
  proto_results_add(&w, &r);
  proto_results_end(&w);
  flush_out(x);
}

/* The sum of an input that comes in pieces; then as many bytes out in pieces. */
static void task_pieces(struct stand_in *x, const proto_assign *a) {
  proto_credit c = {.task = a->first, .attempt = a->attempt, .bytes = PROTO_WINDOW};
  proto_credit_encode(&x->out, &c);
  flush_out(x);
  uint64_t got = 0, sum = 0, sent = 0;
  for (bool last = false; !last;) {
    proto_header h;
    const uint8_t *body = next_frame(x, &h);
    if (!body) {
      read_more(x);
      continue;
    }
    proto_piece p;
    if (h.type == PROTO_PIECE && proto_piece_decode(&p, body, h.len, NULL) == HATO_OK) {
      for (uint32_t i = 0; i < p.len; i++) sum += p.data[i];
      got += p.len;
      last = p.last;
      c.bytes = p.len;
      proto_credit_encode(&x->out, &c);
      flush_out(x);
    }
    done_with(x, &h);
  }
  static uint8_t data[PROTO_PIECE_DATA];
  memset(data, 7, sizeof data);
  uint64_t credit = PROTO_WINDOW;
  do {
    proto_piece p = {.task = a->first, .attempt = a->attempt, .channel = PROTO_CH_OUT, .data = data};
    p.len = got - sent < sizeof data ? (uint32_t)(got - sent) : (uint32_t)sizeof data;
    while (credit < p.len) {
      proto_header h;
      const uint8_t *body = next_frame(x, &h);
      if (!body) {
        read_more(x);
        continue;
      }
      proto_credit more;
      if (h.type == PROTO_CREDIT && proto_credit_decode(&more, body, h.len, NULL) == HATO_OK) credit += more.bytes;
      done_with(x, &h);
    }
    credit -= p.len;
    sent += p.len;
    p.last = sent == got;
    proto_piece_encode(&x->out, &p);
    flush_out(x);
  } while (sent < got);
  uint64_t words[2] = {got, sum};
  proto_result r = {.task = a->first, .attempt = a->attempt, .flags = PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE,
                    .out_total = got, .err_total = sizeof words, .err = (void *)words, .err_len = sizeof words};
  proto_results_writer w;
  proto_results_begin(&w, &x->out);
  proto_results_add(&w, &r);
  proto_results_end(&w);
  flush_out(x);
}

static void spawn_family(void) {
  if (fork() != 0) return;
  signal(SIGTERM, SIG_IGN);
  setsid();
  for (int i = 0; i < 3; i++)
    if (fork() == 0) break;
  close(3);
  for (;;) pause();
}

static void do_task(struct stand_in *x, const proto_spec *s, const proto_assign *a, const void *arg, uint32_t n) {
  const char *what = s->kind == PROTO_FUNCTION ? s->symbol : s->argv[0];
  char text[32];
  if (strcmp(what, "echo") == 0) {
    send_result(x, a->first, a->attempt, 0, arg, n);
  } else if (strcmp(what, "pid") == 0) {
    snprintf(text, sizeof text, "%d", (int)getpid());
    send_result(x, a->first, a->attempt, 0, text, (uint32_t)strlen(text));
  } else if (strcmp(what, "crash") == 0) {
    signal(SIGSEGV, SIG_DFL);
    raise(SIGSEGV);
  } else if (strcmp(what, "crash_on_x") == 0) {
    if (n == 1 && *(const char *)arg == 'x') abort();
    send_result(x, a->first, a->attempt, 0, arg, n);
  } else if (strcmp(what, "family") == 0) {
    spawn_family();
    for (;;) read_more(x);
  } else if (strcmp(what, "wait") == 0) {
    send_result(x, a->first, a->attempt, wait_interrupt(x), NULL, 0);
  } else if (strcmp(what, "deaf") == 0) {
    for (;;) read_more(x);
  } else if (strcmp(what, "restart") == 0) { /* until the file named by the argument is there */
    snprintf(text, sizeof text, "%.*s", (int)n, (const char *)arg);
    int fd = open(text, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd >= 0) _exit(EXECUTOR_EXIT_RESTART);
    send_result(x, a->first, a->attempt, 0, arg, n);
  } else if (strcmp(what, "restart_always") == 0) {
    _exit(EXECUTOR_EXIT_RESTART);
  } else if (strcmp(what, "garbage") == 0) {
    hato__buf_str(&x->out, "this is no frame, whatever one thinks of it");
    flush_out(x);
    for (;;) read_more(x);
  } else if (strcmp(what, "pieces") == 0) {
    task_pieces(x, a);
  } else if (strcmp(what, "object") == 0) {
    send_result(x, a->first, a->attempt, 0, s->object_path, (uint32_t)strlen(s->object_path));
  } else {
    die(what);
  }
}

static void do_assign(struct stand_in *x, proto_assign a) {
  if (a.spec >= 16 || !x->specs[a.spec].kind) die("a task of an unknown specification");
  uint32_t count = a.count;
  for (uint32_t i = 0; i < count; i++, a.first++) {
    uint32_t n = 0;
    const void *arg = NULL;
    char text[32];
    if (a.args == PROTO_ARGS_EXPLICIT && !a.large) arg = proto_block_arg(&a.block, i, &n);
    if (a.args == PROTO_ARGS_COUNTED) {
      n = (uint32_t)snprintf(text, sizeof text, "%lld", (long long)(a.start + (int64_t)i * a.step));
      arg = text;
    }
    do_task(x, &x->specs[a.spec], &a, arg, n);
  }
}

static _Noreturn void stand_in(void) {
  struct stand_in x = {0};
  for (;;) {
    proto_header h;
    const uint8_t *body = next_frame(&x, &h);
    if (!body) {
      read_more(&x);
      continue;
    }
    /* A copy: a task may read further frames. */
    uint8_t *copy = malloc(h.len + 1u);
    memcpy(copy, body, h.len);
    done_with(&x, &h);
    proto_part part;
    proto_assign a;
    uint32_t number;
    if (h.type == PROTO_SPEC && proto_spec_part_decode(&part, copy, h.len, NULL) == HATO_OK && part.number < 16) {
      if (proto_spec_decode(&x.specs[part.number], part.data, part.len, NULL) != HATO_OK) die("bad SPEC");
    } else if (h.type == PROTO_SPEC_DROP && proto_spec_drop_decode(&number, copy, h.len, NULL) == HATO_OK) {
      proto_spec_free(&x.specs[number % 16]);
    } else if (h.type == PROTO_ASSIGN && proto_assign_decode(&a, copy, h.len, NULL) == HATO_OK) {
      do_assign(&x, a);
    }
    free(copy);
  }
}

/* ============================================================== the daemon */

static int play_daemon(char **argv) {
  static int log_fd = 2;
  hato__log log = {.level = getenv("TEST_DEBUG") ? HATO__LOG_DEBUG : HATO__LOG_ERROR, .write = hato__log_to_fd, .arg = &log_fd};
  daemon_options o = {.urls = (const char *const *)&argv[0], .n_urls = 1, .slots = (unsigned)atoi(argv[1]),
                      .local_dir = argv[2], .patience_ms = (uint64_t)atoi(argv[3]),
                      .idle_exit_ns = (uint64_t)atoi(argv[4]) * HATO__MS, .log = &log};
  if (strcmp(argv[5], "-") != 0) o.credential = argv[5];
  return daemon_run(&o, NULL);
}

/* ========================================================== the dispatcher */

struct result {
  proto_result r;
  uint8_t *out, *err;
  char words[513];
};

struct fake {
  char dir[64], url[128], mark[64]; /* mark: in the environment of the daemon */
  const char *credential;
  unsigned slots, idle_ms, beat_ms;
  net_listener *listener;
  pthread_mutex_t lock;
  pthread_cond_t cond;
  net_conn *conn;
  bool closed, enlisted;
  hato__buf out;
  struct { net_data *data; const uint8_t *at; size_t len; } refs[64];
  unsigned n_refs;
  struct result **results;
  unsigned n_results, cap_results;
  proto_run started[1000], taken[1000];
  unsigned n_started, n_taken, n_taken_frames, n_drain, n_goodbye, n_beats;
  uint64_t credit, out_bytes, out_sum; /* of the task in pieces */
  bool out_last, grant;
  pid_t pid;
};

static double deadline_s(void) { return 8 * UNIT_PATIENCE; }

/* Waits until what is true, under the lock. */
#define WAIT(f, what)                                                                        \
  do {                                                                                       \
    struct timespec until;                                                                   \
    clock_gettime(CLOCK_REALTIME, &until);                                                   \
    until.tv_sec += (time_t)deadline_s();                                                    \
    pthread_mutex_lock(&(f)->lock);                                                          \
    int rc_ = 0;                                                                             \
    while (!(what) && rc_ == 0) rc_ = pthread_cond_timedwait(&(f)->cond, &(f)->lock, &until); \
    bool is_ = (what);                                                                       \
    pthread_mutex_unlock(&(f)->lock);                                                        \
    ck_assert_msg(is_, "in vain: %s", #what);                                                \
  } while (0)

/* What an expression is worth under the lock. */
#define LOCKED(f, what)                  \
  ({                                     \
    pthread_mutex_lock(&(f)->lock);      \
    __auto_type value_ = (what);         \
    pthread_mutex_unlock(&(f)->lock);    \
    value_;                              \
  })

static void keep_results(struct fake *f, const uint8_t *body, uint32_t len) {
  proto_results_reader reader;
  proto_result r;
  ck_assert_int_eq(proto_results_decode(&reader, body, len, NULL), HATO_OK);
  int more;
  while ((more = proto_results_next(&reader, &r, NULL)) == 1) {
    if (f->n_results == f->cap_results) {
      f->cap_results = f->cap_results ? 2 * f->cap_results : 64;
      f->results = realloc(f->results, f->cap_results * sizeof *f->results);
    }
    struct result *k = f->results[f->n_results++] = malloc(sizeof *k);
    *k = (struct result){.r = r, .out = malloc(r.out_len + 1u), .err = malloc(r.err_len + 1u)};
    memcpy(k->out, r.out, r.out_len);
    k->out[r.out_len] = 0;
    memcpy(k->err, r.err, r.err_len);
    memcpy(k->words, r.words, r.words_len);
  }
  ck_assert_int_eq(more, 0);
}

static unsigned keep_runs(proto_run *to, unsigned n, const uint8_t *body, uint32_t len) {
  proto_runs m;
  ck_assert_int_eq(proto_runs_decode(&m, body, len, NULL), HATO_OK);
  for (uint32_t i = 0; i < m.n && n < 1000; i++) to[n++] = proto_run_at(&m, i);
  return n;
}

static void keep_piece(struct fake *f, const uint8_t *body, uint32_t len) {
  proto_piece p;
  ck_assert_int_eq(proto_piece_decode(&p, body, len, NULL), HATO_OK);
  ck_assert_int_eq(p.channel, PROTO_CH_OUT);
  f->out_bytes += p.len;
  for (uint32_t i = 0; i < p.len; i++) f->out_sum += p.data[i];
  if (p.last) f->out_last = true;
  if (!f->grant) return;
  proto_credit c = {.task = p.task, .attempt = p.attempt, .channel = PROTO_CH_OUT, .bytes = p.len};
  proto_credit_encode(&f->out, &c);
}

static hato_status fake_frame(void *owner, net_conn *c, const net_frame *m, hato_error *err) {
  (void)err;
  struct fake *f = owner;
  bool wake = false;
  pthread_mutex_lock(&f->lock);
  if (m->type == PROTO_DAEMON) {
    proto_daemon who;
    ck_assert_int_eq(proto_daemon_decode(&who, m->body, m->len, NULL), HATO_OK);
    ck_assert_uint_eq(who.slots, f->slots);
    ck_assert_uint_eq(who.pid, (uint32_t)f->pid);
    proto_enlisted e = {.number = 1, .heartbeat_ms = f->beat_ms};
    proto_enlisted_encode(&f->out, &e);
    f->enlisted = wake = true;
  } else if (m->type == PROTO_RESULTS) keep_results(f, m->body, m->len);
  else if (m->type == PROTO_STARTED) f->n_started = keep_runs(f->started, f->n_started, m->body, m->len);
  else if (m->type == PROTO_TAKEN) {
    f->n_taken = keep_runs(f->taken, f->n_taken, m->body, m->len);
    f->n_taken_frames++;
  } else if (m->type == PROTO_DRAIN) f->n_drain++;
  else if (m->type == PROTO_GOODBYE) f->n_goodbye++;
  else if (m->type == PROTO_HEARTBEAT) {
    f->n_beats++;
    if (f->beat_ms != 50) {
      proto_heartbeat_encode(&f->out);
      wake = true;
    }
  } else if (m->type == PROTO_PIECE) {
    keep_piece(f, m->body, m->len);
    wake = true;
  } else if (m->type == PROTO_CREDIT) {
    proto_credit credit;
    ck_assert_int_eq(proto_credit_decode(&credit, m->body, m->len, NULL), HATO_OK);
    f->credit += credit.bytes;
  } else ck_abort_msg("frame %s", proto_type_name(m->type));
  pthread_cond_broadcast(&f->cond);
  pthread_mutex_unlock(&f->lock);
  if (wake) net_wake(c);
  return HATO_OK;
}

static void fake_fill(void *owner, net_conn *c, net_out *out) {
  (void)c;
  struct fake *f = owner;
  pthread_mutex_lock(&f->lock);
  hato__buf_append(&out->bytes, f->out.data, f->out.len);
  hato__buf_clear(&f->out);
  while (f->n_refs > 0 && out->n_refs < NET_REFS) {
    out->refs[out->n_refs].data = f->refs[0].data;
    out->refs[out->n_refs].at = f->refs[0].at;
    out->refs[out->n_refs++].len = f->refs[0].len;
    memmove(f->refs, f->refs + 1, --f->n_refs * sizeof *f->refs);
  }
  pthread_cond_broadcast(&f->cond);
  pthread_mutex_unlock(&f->lock);
}

static void fake_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  (void)c, (void)why, (void)words;
  struct fake *f = owner;
  pthread_mutex_lock(&f->lock);
  f->closed = true;
  pthread_cond_broadcast(&f->cond);
  pthread_mutex_unlock(&f->lock);
}

static const net_ops fake_ops = {.frame = fake_frame, .fill = fake_fill, .closed = fake_closed};

static void fake_admitted(void *arg, net_conn *c) {
  struct fake *f = arg;
  pthread_mutex_lock(&f->lock);
  f->conn = c;
  pthread_mutex_unlock(&f->lock);
  net_start(c, &fake_ops, f);
}

static pid_t run_self(char **argv) {
  pid_t pid;
  posix_spawnattr_t attr;
  posix_spawnattr_init(&attr);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attr, &none);
  posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
  ck_assert_int_eq(posix_spawn(&pid, "/proc/self/exe", NULL, &attr, argv, environ), 0);
  posix_spawnattr_destroy(&attr);
  return pid;
}

static void start_daemon(struct fake *f, const char *url, unsigned patience_ms) {
  char slots[16], idle[16], patience[16];
  snprintf(slots, sizeof slots, "%u", f->slots);
  snprintf(idle, sizeof idle, "%u", f->idle_ms);
  snprintf(patience, sizeof patience, "%u", patience_ms);
  char *argv[] = {"test_daemon", "--daemon", (char *)url, slots, f->dir, patience, idle,
                  f->credential ? (char *)f->credential : "-", NULL};
  snprintf(f->mark, sizeof f->mark, "HATO_TEST_MARK=%d-%llx", (int)getpid(), (unsigned long long)hato__now());
  pthread_mutex_lock(&f->lock);
  putenv(f->mark);
  f->pid = run_self(argv);
  pthread_mutex_unlock(&f->lock);
}

static struct fake *start(unsigned slots, unsigned beat_ms, unsigned idle_ms) {
  struct fake *f = calloc(1, sizeof *f);
  f->slots = slots;
  f->beat_ms = beat_ms;
  f->idle_ms = idle_ms;
  f->grant = true;
  pthread_mutex_init(&f->lock, NULL);
  pthread_cond_init(&f->cond, NULL);
  strcpy(f->dir, "/tmp/hato-daemon-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(f->dir));
  snprintf(f->url, sizeof f->url, "ipc://%s/socket", f->dir);
  hato_error err = {0};
  net_auth auth = {0};
  ck_assert_msg(net_listen(f->url, &auth, NULL, fake_admitted, f, &f->listener, &err) == HATO_OK, "%s", err.text);
  start_daemon(f, f->url, 5000);
  WAIT(f, f->enlisted);
  return f;
}

/* The daemon's exit code; -signal. */
static int wait_daemon(struct fake *f) {
  int status = 0;
  for (uint64_t by = hato__now() + (uint64_t)(deadline_s() * 1e9); hato__now() < by; poll(NULL, 0, 2))
    if (waitpid(f->pid, &status, WNOHANG) == f->pid) {
      f->pid = 0;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
  kill(f->pid, SIGKILL);
  ck_abort_msg("the daemon does not end");
  return -1;
}

static void finish(struct fake *f) {
  if (f->pid) {
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
  }
  unsetenv("HATO_TEST_MARK"); /* it lies in f */
  net_listener_close(f->listener);
  if (LOCKED(f, f->conn)) {
    net_close(f->conn, HATO_OK, "");
    WAIT(f, f->closed);
    net_release(f->conn);
  }
  for (unsigned i = 0; i < f->n_results; i++) {
    free(f->results[i]->out);
    free(f->results[i]->err);
    free(f->results[i]);
  }
  free(f->results);
  hato__buf_free(&f->out);
  char cmd[128];
  snprintf(cmd, sizeof cmd, "rm -rf %s", f->dir);
  ck_assert_int_eq(system(cmd), 0);
  pthread_mutex_destroy(&f->lock);
  pthread_cond_destroy(&f->cond);
  free(f);
}

/* ---- what it sends ---- */
#define SEND(f, encode)                 \
  do {                                  \
    pthread_mutex_lock(&(f)->lock);     \
    hato__buf *out = &(f)->out;         \
    encode;                             \
    net_conn *conn_ = (f)->conn;        \
    pthread_mutex_unlock(&(f)->lock);   \
    net_wake(conn_);                    \
  } while (0)

static void send_spec(struct fake *f, uint32_t number, proto_kind kind, const char *name) {
  char *argv[] = {(char *)name, NULL}, *env[] = {NULL};
  proto_spec s = {.kind = (uint8_t)kind};
  if (kind == PROTO_FUNCTION) {
    s.symbol = (char *)name;
    s.object_path = "/nowhere.so";
  } else {
    s.argv = argv;
    s.env = env;
    s.cwd = "/";
  }
  hato__buf spec = {0};
  proto_spec_encode(&spec, &s);
  SEND(f, proto_spec_send(out, number, spec.data, (uint32_t)spec.len));
  hato__buf_free(&spec);
}

static void counted(struct fake *f, uint32_t spec, uint64_t first, uint32_t count) {
  proto_assign a = {.spec = spec, .args = PROTO_ARGS_COUNTED, .first = first, .count = count, .attempt = 1,
                    .start = (int64_t)first, .step = 1};
  SEND(f, proto_assign_encode(out, &a, 0));
}

/* One task an argument, which is a letter of text. */
static void letters(struct fake *f, uint32_t spec, uint64_t first, const char *text) {
  uint32_t count = (uint32_t)strlen(text);
  hato__buf b = {0};
  hato__buf_u32(&b, count);
  for (uint32_t i = 1; i <= count; i++) hato__buf_u32(&b, i);
  hato__buf_append(&b, text, count);
  proto_assign a = {.spec = spec, .args = PROTO_ARGS_EXPLICIT, .first = first, .count = count, .attempt = 1};
  ck_assert_int_eq(proto_block_decode(&a.block, b.data, b.len, NULL), HATO_OK);
  SEND(f, proto_assign_encode(out, &a, 0));
  hato__buf_free(&b);
}

static void send_runs(struct fake *f, proto_type type, uint64_t first, uint32_t count, uint16_t value) {
  proto_run r = {.first = first, .count = count, .attempt = 1, .value = value};
  SEND(f, proto_runs_encode(out, type, &r, 1));
}

/* ---- what it got ---- */
static const struct result *find(struct fake *f, uint64_t task) {
  for (unsigned i = 0; i < f->n_results; i++)
    if (f->results[i]->r.task == task) return f->results[i];
  return NULL;
}

static const struct result *result_of(struct fake *f, uint64_t task) {
  WAIT(f, find(f, task) || f->closed);
  const struct result *r = LOCKED(f, find(f, task));
  ck_assert_msg(r != NULL, "the connection closed before task %llu resolved", (unsigned long long)task);
  return r;
}

static bool in_runs(const proto_run *runs, unsigned n, uint64_t task) {
  for (unsigned i = 0; i < n; i++)
    if (task >= runs[i].first && task < runs[i].first + runs[i].count) return true;
  return false;
}

static uint64_t total(const proto_run *runs, unsigned n) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < n; i++) sum += runs[i].count;
  return sum;
}

static bool is_running(struct fake *f, uint64_t task) { return in_runs(f->started, f->n_started, task); }

/* The daemon and all that descends from it, told by a variable of their environment. */
static unsigned alive(const struct fake *f) {
  unsigned n = 0;
  FILE *p = popen("ls /proc | grep -E '^[0-9]+$'", "r");
  char line[64], path[128];
  while (fgets(line, sizeof line, p)) {
    snprintf(path, sizeof path, "/proc/%d/environ", atoi(line));
    hato__buf b = {0};
    if (hato__read_file(path, 1 << 20, &b, NULL) == HATO_OK && b.len > 0)
      n += memmem(b.data, b.len, f->mark, strlen(f->mark)) != NULL;
    hato__buf_free(&b);
  }
  pclose(p);
  return n;
}

static void wait_alive(const struct fake *f, unsigned want) {
  unsigned n = 0;
  for (uint64_t by = hato__now() + (uint64_t)(deadline_s() * 1e9); hato__now() < by; poll(NULL, 0, 5))
    if ((n = alive(f)) == want) return;
  ck_abort_msg("%u processes, %u wanted", n, want);
}

/* ================================================================ the tests */

UNIT_TEST(a_task_and_back) {
  struct fake *f = start(2, 1000, 0);
  send_spec(f, 7, PROTO_FUNCTION, "echo");
  counted(f, 7, 100, 1);
  const struct result *r = result_of(f, 100);
  ck_assert_int_eq(r->r.error, 0);
  ck_assert_str_eq((char *)r->out, "100");
  ck_assert(LOCKED(f, is_running(f, 100)));
  letters(f, 7, 200, "abc");
  ck_assert_str_eq((char *)result_of(f, 201)->out, "b");
  ck_assert_str_eq((char *)result_of(f, 202)->out, "c");
  SEND(f, proto_words_encode(out, PROTO_GOODBYE, 0, "enough"));
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_OK);
  finish(f);
}

UNIT_TEST(one_at_a_time_is_one_slot) {
  struct fake *f = start(4, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "pid");
  char first[32];
  for (uint64_t i = 1; i <= 20; i++) {
    counted(f, 1, i, 1);
    const struct result *r = result_of(f, i);
    if (i == 1) strcpy(first, (char *)r->out);
    ck_assert_str_eq((char *)r->out, first);
  }
  finish(f);
}

UNIT_TEST_LIMIT(many_tasks_in_order, 20) {
  struct fake *f = start(2, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "echo");
  enum { N = 20000 };
  for (uint64_t i = 0; i < N; i += 500) counted(f, 1, i, 500);
  WAIT(f, f->n_results == N || f->closed);
  static bool seen[N];
  for (unsigned i = 0; i < N; i++) {
    const struct result *r = LOCKED(f, f->results[i]);
    char want[16];
    snprintf(want, sizeof want, "%u", (unsigned)r->r.task);
    ck_assert_str_eq((char *)r->out, want);
    ck_assert(!seen[r->r.task]);
    seen[r->r.task] = true;
  }
  ck_assert_uint_eq(LOCKED(f, total(f->started, f->n_started)), N);
  finish(f);
}

UNIT_TEST(heartbeats_both_ways) {
  struct fake *f = start(1, 40, 0);
  WAIT(f, f->n_beats >= 5);
  ck_assert(!LOCKED(f, f->closed));
  finish(f);
}

UNIT_TEST(a_silent_dispatcher_is_left) {
  struct fake *f = start(1, 50, 0); /* 50: it does not answer */
  send_spec(f, 1, PROTO_FUNCTION, "family");
  counted(f, 1, 1, 1);
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_LOST);
  wait_alive(f, 0);
  finish(f);
}

UNIT_TEST(a_lost_connection_ends_it_and_its_tasks) {
  struct fake *f = start(2, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "family");
  counted(f, 1, 1, 2);
  wait_alive(f, 1 + 2 + 2 * 4);
  net_close(f->conn, HATO_OK, "");
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_LOST);
  wait_alive(f, 0);
  finish(f);
}

UNIT_TEST(goodbye_ends_it_and_its_tasks) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "family");
  counted(f, 1, 1, 1);
  wait_alive(f, 1 + 1 + 4);
  SEND(f, proto_words_encode(out, PROTO_GOODBYE, 0, "enough"));
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_OK);
  wait_alive(f, 0);
  finish(f);
}

UNIT_TEST(nobody_there) {
  struct fake f = {.slots = 1, .dir = "/tmp"};
  pthread_mutex_init(&f.lock, NULL);
  start_daemon(&f, "ipc:///tmp/hato-nobody-is-here", 300);
  ck_assert_int_eq(wait_daemon(&f), DAEMON_EXIT_NEVER);
  f.credential = "/tmp/hato-no-such-credential";
  start_daemon(&f, "ipc:///tmp/hato-nobody-is-here", 300);
  ck_assert_int_eq(wait_daemon(&f), DAEMON_EXIT_NEVER);
}

UNIT_TEST(a_wrong_secret) {
  net_listener *l;
  net_auth auth = {.have_secret = true, .secret = {1}};
  ck_assert_int_eq(net_listen("tcp://127.0.0.1:0", &auth, NULL, fake_admitted, NULL, &l, NULL), HATO_OK);
  struct fake f = {.slots = 1, .dir = "/tmp"};
  pthread_mutex_init(&f.lock, NULL);
  setenv("HATO_CREDENTIAL", "0200000000000000000000000000000000000000000000000000000000000000", 1);
  start_daemon(&f, net_listener_url(l), 5000);
  ck_assert_int_eq(wait_daemon(&f), DAEMON_EXIT_REFUSED);
  setenv("HATO_CREDENTIAL", "zz", 1);
  start_daemon(&f, net_listener_url(l), 5000);
  ck_assert_int_eq(wait_daemon(&f), DAEMON_EXIT_REFUSED);
  net_listener_close(l);
}

UNIT_TEST(garbage_ends_the_connection) {
  struct fake *f = start(1, 1000, 0);
  SEND(f, hato__buf_append(out, "garbage, garbage", 16));
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_LOST);
  finish(f);
  f = start(1, 1000, 0);
  counted(f, 9, 1, 1); /* of no specification */
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_LOST);
  finish(f);
}

UNIT_TEST(a_crash_is_one_tasks) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "crash_on_x");
  letters(f, 1, 1, "aaaaaaaaaa"); /* so that a batch is handed out */
  result_of(f, 10);
  letters(f, 1, 11, "aaxbbbxc");
  const struct result *r = result_of(f, 13);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "ended by signal 6 (Aborted) in crash_on_x"), "%s", r->words);
  ck_assert_ptr_nonnull(strstr(r->words, "executor on "));
  ck_assert_int_eq(result_of(f, 17)->r.error, HATO_RESET);
  static const char want[] = "aaxbbbxc";
  for (unsigned i = 0; i < 8; i++) {
    r = result_of(f, 11 + i);
    if (want[i] != 'x') ck_assert_int_eq(r->out[0], want[i]);
  }
  ck_assert_uint_eq(LOCKED(f, f->n_results), 18);
  ck_assert_uint_eq(LOCKED(f, total(f->started, f->n_started)), 18); /* each reported once */
  finish(f);
}

UNIT_TEST(a_killed_executor_leaves_nothing) {
  struct fake *f = start(2, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "pid");
  counted(f, 1, 1, 1);
  pid_t pid = atoi((char *)result_of(f, 1)->out);
  send_spec(f, 2, PROTO_COMMAND, "family");
  counted(f, 2, 2, 1);
  wait_alive(f, 1 + 1 + 4);
  kill(pid, SIGKILL);
  const struct result *r = result_of(f, 2);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_ptr_nonnull(strstr(r->words, "ended by signal 9 (Killed) while it ran family"));
  ck_assert_uint_eq(alive(f), 1); /* dead before it is reported */
  counted(f, 1, 3, 1);
  ck_assert_int_ne(atoi((char *)result_of(f, 3)->out), pid);
  finish(f);
}

UNIT_TEST(a_killed_daemon_leaves_nothing) {
  struct fake *f = start(2, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "deaf");
  counted(f, 1, 1, 2);
  wait_alive(f, 3);
  kill(f->pid, SIGKILL);
  ck_assert_int_eq(wait_daemon(f), -SIGKILL);
  wait_alive(f, 0);
  finish(f);
}

UNIT_TEST(take_gives_back_the_end) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "wait");
  counted(f, 1, 1, 10);
  WAIT(f, is_running(f, 1));
  SEND(f, proto_take_encode(out, 3));
  WAIT(f, f->n_taken_frames == 1);
  ck_assert_uint_eq(LOCKED(f, total(f->taken, f->n_taken)), 3);
  ck_assert(LOCKED(f, in_runs(f->taken, f->n_taken, 8) && in_runs(f->taken, f->n_taken, 10)));
  SEND(f, proto_take_encode(out, 100));
  WAIT(f, f->n_taken_frames == 2);
  ck_assert_uint_eq(LOCKED(f, total(f->taken, f->n_taken)), 9); /* not the one that runs */
  ck_assert(!LOCKED(f, in_runs(f->taken, f->n_taken, 1)));
  SEND(f, proto_take_encode(out, 1));
  WAIT(f, f->n_taken_frames == 3);
  ck_assert_uint_eq(LOCKED(f, total(f->taken, f->n_taken)), 9);
  finish(f);
}

UNIT_TEST(interrupts) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "wait");
  send_spec(f, 2, PROTO_FUNCTION, "echo");
  counted(f, 1, 1, 1);
  counted(f, 2, 2, 9);
  WAIT(f, is_running(f, 1));
  send_runs(f, PROTO_INTERRUPT, 4, 3, HATO_CANCELLED); /* queued, from the middle */
  ck_assert_int_eq(result_of(f, 5)->r.error, HATO_CANCELLED);
  ck_assert(!LOCKED(f, is_running(f, 5)));
  send_runs(f, PROTO_INTERRUPT, 1, 1, HATO_TIMED_OUT); /* running */
  ck_assert_int_eq(result_of(f, 1)->r.error, HATO_TIMED_OUT);
  ck_assert_str_eq((char *)result_of(f, 10)->out, "10");
  ck_assert_str_eq((char *)result_of(f, 3)->out, "3");
  ck_assert_str_eq((char *)result_of(f, 7)->out, "7");
  ck_assert_uint_eq(LOCKED(f, f->n_results), 10);
  send_runs(f, PROTO_INTERRUPT, 1, 100, HATO_CANCELLED); /* all over */
  counted(f, 2, 11, 1);
  result_of(f, 11);
  ck_assert_uint_eq(LOCKED(f, f->n_results), 11);
  finish(f);
}

UNIT_TEST(a_deaf_function_loses_its_executor) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "deaf");
  send_spec(f, 2, PROTO_FUNCTION, "echo");
  counted(f, 1, 1, 1);
  counted(f, 2, 2, 2);
  WAIT(f, is_running(f, 1));
  uint64_t t = hato__now();
  send_runs(f, PROTO_INTERRUPT, 1, 1, HATO_CANCELLED);
  ck_assert_int_eq(result_of(f, 1)->r.error, HATO_CANCELLED);
  ck_assert_uint_ge(hato__now() - t, DAEMON_FUNCTION_GRACE_NS / 2);
  ck_assert_str_eq((char *)result_of(f, 3)->out, "3");
  finish(f);
}

UNIT_TEST(a_changed_object_restarts_the_executor) {
  char dir[] = "/tmp/hato-restart-XXXXXX";
  ck_assert_ptr_nonnull(mkdtemp(dir));
  ck_assert_int_eq(chdir(dir), 0); /* where the executor leaves its mark */
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "restart");
  letters(f, 1, 1, "r");
  const struct result *r = result_of(f, 1);
  ck_assert_int_eq(r->r.error, 0);
  ck_assert_int_eq(unlink("r"), 0);
  ck_assert_int_eq(rmdir(dir), 0);
  send_spec(f, 2, PROTO_FUNCTION, "restart_always");
  counted(f, 2, 2, 1);
  r = result_of(f, 2);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "exited with 75"), "%s", r->words);
  finish(f);
}

UNIT_TEST(garbage_of_an_executor) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "garbage");
  counted(f, 1, 1, 1);
  const struct result *r = result_of(f, 1);
  ck_assert_int_eq(r->r.error, HATO_RESET);
  ck_assert_msg(strstr(r->words, "ended by signal 9"), "%s", r->words);
  finish(f);
}

UNIT_TEST(a_signal_drains) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "wait");
  counted(f, 1, 1, 10);
  WAIT(f, is_running(f, 1));
  kill(f->pid, SIGTERM);
  ck_assert_int_eq(result_of(f, 1)->r.error, HATO_INTERRUPTED);
  WAIT(f, f->n_drain == 1 && f->n_goodbye == 1);
  ck_assert_uint_eq(LOCKED(f, total(f->taken, f->n_taken)), 9);
  ck_assert(!LOCKED(f, in_runs(f->taken, f->n_taken, 1)));
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_OK);
  wait_alive(f, 0);
  finish(f);
}

UNIT_TEST(a_second_signal_ends_at_once) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_COMMAND, "deaf"); /* for a command its executor has longer */
  counted(f, 1, 1, 1);
  WAIT(f, is_running(f, 1));
  kill(f->pid, SIGTERM);
  WAIT(f, f->n_drain == 1);
  kill(f->pid, SIGTERM);
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_OK);
  wait_alive(f, 0);
  finish(f);
}

UNIT_TEST(the_dispatcher_drains) {
  struct fake *f = start(1, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "echo");
  counted(f, 1, 1, 100);
  SEND(f, proto_drain_encode(out, false));
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_OK);
  ck_assert_uint_eq(LOCKED(f, f->n_results + total(f->taken, f->n_taken)), 100);
  ck_assert_uint_eq(LOCKED(f, f->n_results), 100);
  ck_assert_uint_eq(LOCKED(f, f->n_goodbye), 1);
  finish(f);
}

UNIT_TEST(idle_for_long_enough) {
  struct fake *f = start(1, 1000, 150);
  send_spec(f, 1, PROTO_FUNCTION, "echo");
  counted(f, 1, 1, 1);
  result_of(f, 1);
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_OK);
  ck_assert_uint_eq(LOCKED(f, f->n_goodbye), 1);
  finish(f);
}

/* An object by content: part by part, kept, its specification told where it is. */
static void send_object(struct fake *f, const uint8_t hash[32], const char *content, uint32_t cut) {
  proto_object m = {.total = strlen(content), .data = (const uint8_t *)content, .len = cut};
  memcpy(m.hash, hash, 32);
  SEND(f, proto_object_encode(out, &m));
  m.offset = cut;
  m.data += cut;
  m.len = (uint32_t)(m.total - cut);
  SEND(f, proto_object_encode(out, &m));
}

static void object_spec(struct fake *f, uint32_t number, const uint8_t hash[32]) {
  proto_spec s = {.kind = PROTO_FUNCTION, .symbol = "object", .object_path = "mine.so", .has_hash = true};
  memcpy(s.hash, hash, 32);
  hato__buf b = {0};
  proto_spec_encode(&b, &s);
  SEND(f, proto_spec_send(out, number, b.data, (uint32_t)b.len));
  hato__buf_free(&b);
}

UNIT_TEST(objects_by_content) {
  struct fake *f = start(1, 1000, 0);
  uint8_t hash[32], other[32] = {1};
  ck_assert(hato__unhex(hash, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  send_object(f, hash, "abc", 2);
  object_spec(f, 1, hash);
  counted(f, 1, 1, 1);
  char want[256];
  snprintf(want, sizeof want, "%s/objects/ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad.so", f->dir);
  ck_assert_str_eq((char *)result_of(f, 1)->out, want);
  hato__buf b = {0};
  ck_assert_int_eq(hato__read_file(want, 100, &b, NULL), HATO_OK);
  ck_assert_str_eq(hato__buf_text(&b), "abc");
  hato__buf_free(&b);
  send_object(f, hash, "abc", 2); /* again */
  object_spec(f, 2, other);       /* never sent */
  counted(f, 2, 2, 1);
  const struct result *r = result_of(f, 2);
  ck_assert_int_eq(r->r.error, HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(r->words, "mine.so"));
  send_object(f, other, "abc", 1); /* not what it says it is */
  ck_assert_int_eq(wait_daemon(f), DAEMON_EXIT_LOST);
  finish(f);
}

UNIT_TEST_LIMIT(pieces_both_ways, 20) {
  struct fake *f = start(2, 1000, 0);
  send_spec(f, 1, PROTO_FUNCTION, "pieces");
  enum { PART = 200 * 1024, N = 50 };
  const uint64_t size = (uint64_t)PART * N;
  proto_assign a = {.spec = 1, .args = PROTO_ARGS_EXPLICIT, .large = true, .first = 1, .count = 1, .attempt = 1,
                    .total = size};
  SEND(f, proto_assign_encode(out, &a, 0));
  uint64_t sent = 0;
  for (unsigned i = 0; i < N; i++) {
    WAIT(f, f->credit >= sent + PART && f->n_refs < 60);
    uint8_t *bytes;
    net_data *d = net_data_new(PROTO_PIECE_HEAD + PART, &bytes);
    proto_piece p = {.task = 1, .attempt = 1, .channel = PROTO_CH_IN, .len = PART, .last = i == N - 1};
    hato__buf head = {0};
    proto_piece_head_encode(&head, &p);
    memcpy(bytes, head.data, head.len);
    hato__buf_free(&head);
    memset(bytes + PROTO_PIECE_HEAD, 3, PART);
    pthread_mutex_lock(&f->lock);
    f->refs[f->n_refs].data = d;
    f->refs[f->n_refs].at = bytes;
    f->refs[f->n_refs++].len = PROTO_PIECE_HEAD + PART;
    pthread_mutex_unlock(&f->lock);
    net_wake(f->conn);
    sent += PART;
  }
  const struct result *r = result_of(f, 1);
  ck_assert_int_eq(r->r.error, 0);
  uint64_t words[2];
  memcpy(words, r->err, sizeof words);
  ck_assert_uint_eq(words[0], size);
  ck_assert_uint_eq(words[1], size * 3);
  WAIT(f, f->out_last);
  ck_assert_uint_eq(LOCKED(f, f->out_bytes), size);
  ck_assert_uint_eq(LOCKED(f, f->out_sum), size * 7);
  finish(f);
}

UNIT_TEST(a_dead_stream_is_ended) {
  struct fake *f = start(1, 1000, 0);
  f->grant = false; /* its output stays stuck */
  send_spec(f, 1, PROTO_FUNCTION, "pieces");
  proto_assign a = {.spec = 1, .args = PROTO_ARGS_EXPLICIT, .large = true, .first = 1, .count = 1, .attempt = 1};
  SEND(f, proto_assign_encode(out, &a, 0));
  static uint8_t data[PROTO_PIECE_DATA];
  for (int i = 0; i < 12; i++) {
    proto_piece p = {.task = 1, .attempt = 1, .data = data, .len = sizeof data, .last = i == 11};
    WAIT(f, f->credit >= (uint64_t)(i + 1) * sizeof data);
    SEND(f, proto_piece_encode(out, &p));
  }
  WAIT(f, f->out_bytes >= PROTO_WINDOW - sizeof data);
  send_runs(f, PROTO_INTERRUPT, 1, 1, HATO_CANCELLED);
  const struct result *r = result_of(f, 1);
  ck_assert_int_eq(r->r.error, HATO_CANCELLED);
  ck_assert_uint_eq(r->r.out_total, LOCKED(f, f->out_bytes));
  ck_assert(r->r.flags & PROTO_RESULT_OUT_MORE);
  WAIT(f, f->out_last);
  finish(f);
}

int main(int argc, char **argv) {
  if (argc >= 2 && strcmp(argv[1], "executor") == 0) stand_in();
  if (argc >= 8 && strcmp(argv[1], "--daemon") == 0) return play_daemon(argv + 2);
  return unit_main("daemon", argc, argv);
}

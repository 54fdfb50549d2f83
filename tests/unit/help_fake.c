#include "help_fake.h"
#include "base/clock.h"
#include "base/io.h"
#include "daemon/daemon.h"
#include "unit.h"
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

int fake_daemon(char **argv) {
  static int log_fd = 2;
  hato__log log = {.level = getenv("TEST_DEBUG") ? HATO__LOG_DEBUG : HATO__LOG_WARN,
                   .write = hato__log_to_fd,
                   .arg = &log_fd};
  daemon_options o = {.urls = (const char *const *)&argv[0],
                      .n_urls = 1,
                      .slots = (unsigned)atoi(argv[1]),
                      .local_dir = argv[2],
                      .dial_timeout_ms = (uint64_t)atoi(argv[3]),
                      .idle_exit_ns = (uint64_t)atoi(argv[4]) * HATO__MS,
                      .log = &log};
  if (getenv("TEST_BIND")) o.bind = TOPO_BIND_CORE;
  if (strcmp(argv[5], "-") != 0) o.credential = argv[5];
  return daemon_run(&o, NULL);
}

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
  } else if (m->type == PROTO_RESULTS)
    keep_results(f, m->body, m->len);
  else if (m->type == PROTO_STARTED)
    f->n_started = keep_runs(f->started, f->n_started, m->body, m->len);
  else if (m->type == PROTO_TAKEN) {
    f->n_taken = keep_runs(f->taken, f->n_taken, m->body, m->len);
    f->n_taken_frames++;
  } else if (m->type == PROTO_DRAIN)
    f->n_drain++;
  else if (m->type == PROTO_GOODBYE) {
    f->n_goodbye++;
    net_close(c, HATO_OK, "goodbye"); /* as a dispatcher does */
  } else if (m->type == PROTO_HEARTBEAT) {
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
  } else
    ck_abort_msg("frame %s", proto_type_name(m->type));
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

/* The only credential, of a daemon by hand. */
static bool fake_secret(void *arg, proto_role role, uint64_t id, uint8_t secret[HATO__SECRET_BYTES],
                        uint64_t *making) {
  (void)arg;
  *making = 0;
  memset(secret, 0x55, HATO__SECRET_BYTES);
  return role == PROTO_ROLE_DAEMON && id == 0;
}

static void put_credential(void) {
  char text[] = "hato1:daemon:0:................................................................:-:-:-";
  memset(strchr(text, '.'), '5', 2 * HATO__SECRET_BYTES);
  setenv("HATO_CREDENTIAL", text, 0);
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

void fake_run(struct fake *f, const char *url, unsigned patience_ms) {
  char slots[16], idle[16], patience[16];
  snprintf(slots, sizeof slots, "%u", f->slots);
  snprintf(idle, sizeof idle, "%u", f->idle_ms);
  snprintf(patience, sizeof patience, "%u", patience_ms);
  char *argv[] = {"test_daemon", "--daemon", (char *)url, slots,
                  f->dir,        patience,   idle,        f->credential ? (char *)f->credential : "-",
                  NULL};
  snprintf(f->mark, sizeof f->mark, "HATO_TEST_MARK=%d-%llx", (int)getpid(), (unsigned long long)hato__now());
  pthread_mutex_lock(&f->lock);
  putenv(f->mark);
  put_credential();
  f->pid = run_self(argv);
  unsetenv("HATO_TEST_MARK");
  pthread_mutex_unlock(&f->lock);
}

struct fake *fake_start(unsigned slots, unsigned beat_ms, unsigned idle_ms) {
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
  net_guard guard = {.find = fake_secret};
  ck_assert_msg(net_listen(f->url, &guard, NULL, fake_admitted, f, &f->listener, &err) == HATO_OK, "%s",
                err.text);
  fake_run(f, f->url, 5000);
  WAIT(f, f->enlisted);
  return f;
}

int fake_wait_daemon(struct fake *f) {
  int status = 0;
  for (uint64_t by = hato__now() + (uint64_t)UNIT_WAIT_MS * HATO__MS; hato__now() < by; poll(NULL, 0, 2))
    if (waitpid(f->pid, &status, WNOHANG) == f->pid) {
      f->pid = 0;
      return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
    }
  kill(f->pid, SIGKILL);
  ck_abort_msg("the daemon does not end");
  return -1;
}

void fake_finish(struct fake *f) {
  if (f->pid) {
    kill(f->pid, SIGKILL);
    waitpid(f->pid, NULL, 0);
  }
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
  unit_remove_folder(f->dir);
  pthread_mutex_destroy(&f->lock);
  pthread_cond_destroy(&f->cond);
  free(f);
}

void fake_send_spec(struct fake *f, uint32_t number, const proto_spec *s) {
  hato__buf spec = {0};
  proto_spec_encode(&spec, s);
  SEND(f, proto_spec_send(out, number, spec.data, (uint32_t)spec.len));
  hato__buf_free(&spec);
}

void fake_spec(struct fake *f, uint32_t number, proto_kind kind, const char *name) {
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
  fake_send_spec(f, number, &s);
}

void fake_counted(struct fake *f, uint32_t spec, uint64_t first, uint32_t count) {
  proto_assign a = {.spec = spec,
                    .args = PROTO_ARGS_COUNTED,
                    .first = first,
                    .count = count,
                    .attempt = 1,
                    .start = (int64_t)first,
                    .step = 1};
  SEND(f, proto_assign_encode(out, &a, 0));
}

void fake_letters(struct fake *f, uint32_t spec, uint64_t first, const char *text) {
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

void fake_runs(struct fake *f, proto_type type, uint64_t first, uint32_t count, uint16_t value) {
  proto_run r = {.first = first, .count = count, .attempt = 1, .value = value};
  SEND(f, proto_runs_encode(out, type, &r, 1));
}

const struct result *fake_find(struct fake *f, uint64_t task) {
  for (unsigned i = 0; i < f->n_results; i++)
    if (f->results[i]->r.task == task) return f->results[i];
  return NULL;
}

const struct result *fake_result(struct fake *f, uint64_t task) {
  WAIT(f, fake_find(f, task) || f->closed);
  const struct result *r = LOCKED(f, fake_find(f, task));
  ck_assert_msg(r != NULL, "the connection closed before task %llu resolved", (unsigned long long)task);
  return r;
}

bool fake_in_runs(const proto_run *runs, unsigned n, uint64_t task) {
  for (unsigned i = 0; i < n; i++)
    if (task >= runs[i].first && task < runs[i].first + runs[i].count) return true;
  return false;
}

uint64_t fake_total(const proto_run *runs, unsigned n) {
  uint64_t sum = 0;
  for (unsigned i = 0; i < n; i++) sum += runs[i].count;
  return sum;
}

bool fake_running(struct fake *f, uint64_t task) { return fake_in_runs(f->started, f->n_started, task); }

unsigned fake_alive(const struct fake *f) {
  unsigned n = 0;
  DIR *dir = opendir("/proc");
  for (struct dirent *e; (e = readdir(dir));) {
    if (atoi(e->d_name) == 0) continue;
    char path[300];
    snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
    hato__buf b = {0};
    if (hato__read_file(path, 1 << 20, &b, NULL) == HATO_OK && b.len > 0)
      n += memmem(b.data, b.len, f->mark, strlen(f->mark)) != NULL;
    hato__buf_free(&b);
  }
  closedir(dir);
  return n;
}

void fake_wait_alive(const struct fake *f, unsigned want) {
  unsigned n = 0;
  for (uint64_t by = hato__now() + (uint64_t)UNIT_WAIT_MS * HATO__MS; hato__now() < by; poll(NULL, 0, 5))
    if ((n = fake_alive(f)) == want) return;
  ck_abort_msg("%u processes, %u wanted", n, want);
}

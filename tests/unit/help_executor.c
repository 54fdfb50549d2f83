#include "help_executor.h"

#include "base/clock.h"
#include "base/io.h"

#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

uint64_t rig_deadline(void) { return hato__now() + (uint64_t)UNIT_WAIT_MS * HATO__MS; }

rig *rig_start(const executor_options *opts) {
  rig *g = calloc(1, sizeof *g);
  int pair[2];
  ck_assert_ptr_nonnull(g);
  ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
  executor_options own = {.node = "node3"};
  if (opts == NULL) opts = &own;
  fflush(NULL);
  g->pid = fork();
  ck_assert_int_ge(g->pid, 0);
  if (g->pid == 0) {
    /* Not Check's way out: it would run the parent's exit handlers. */
    int code = executor_main(pair[1], opts);
    hato__buf_free(&g->out);
    free(g);
    exit(code);
  }
  close(pair[1]);
  g->fd = pair[0];
  return g;
}

static void reap(rig *g) {
  uint64_t until = rig_deadline();
  while (waitpid(g->pid, &g->status, WNOHANG) == 0) {
    if (hato__now() > until) {
      kill(g->pid, SIGKILL);
      ck_abort_msg("the executor did not exit");
    }
    poll(NULL, 0, 1);
  }
  g->gone = true;
}

void rig_stop(rig *g) {
  close(g->fd);
  if (!g->gone) {
    reap(g);
    ck_assert_msg(WIFEXITED(g->status) && WEXITSTATUS(g->status) == EXECUTOR_EXIT_CLOSED, "status %x",
                  g->status);
  }
  for (size_t i = 0; i <= RIG_TASKS; i++) {
    hato__buf_free(&g->task[i].out);
    hato__buf_free(&g->task[i].err);
  }
  hato__buf_free(&g->in);
  hato__buf_free(&g->out);
  free(g);
}

/* ---- sending ---- */

proto_spec rig_shell(const char *line) {
  static char *argv[4];
  static char *env[] = {"PATH=/usr/bin:/bin", NULL};
  argv[0] = "/bin/sh";
  argv[1] = "-c";
  argv[2] = (char *)(uintptr_t)line;
  argv[3] = NULL;
  return (proto_spec){.kind = PROTO_COMMAND, .argv = argv, .env = env, .cwd = "/tmp", .umask = 022};
}

proto_spec rig_function(const char *object, const char *symbol) {
  static char path[512];
  snprintf(path, sizeof path, "%s/tests/functions/%s.so", HATO_BUILD_DIR, object);
  return (proto_spec){.kind = PROTO_FUNCTION, .object_path = path, .symbol = (char *)(uintptr_t)symbol};
}

/* Writes all, reading meanwhile, as a daemon does. What that makes to be sent comes behind. */
void rig_send(rig *g) {
  uint64_t until = rig_deadline();
  if (g->sending) return;
  g->sending = true;
  while (g->out.len > 0 && !g->gone) {
    ck_assert(!g->out.failed);
    ssize_t n = send(g->fd, g->out.data, g->out.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0)
      hato__buf_consume(&g->out, (size_t)n);
    else if (errno == EPIPE || errno == ECONNRESET)
      break;
    else
      (void)rig_look(g, 10);
    ck_assert_msg(hato__now() < until, "the executor does not read");
  }
  g->sending = false;
}

uint32_t rig_spec(rig *g, const proto_spec *s) {
  hato__buf bytes = {0};
  proto_spec_encode(&bytes, s);
  proto_spec_send(&g->out, ++g->specs, bytes.data, (uint32_t)bytes.len);
  hato__buf_free(&bytes);
  rig_send(g);
  return g->specs;
}

static void assign(rig *g, proto_assign m) {
  m.attempt = 1;
  m.index = (uint32_t)m.first - 1;
  proto_assign_encode(&g->out, &m, 0);
  rig_send(g);
}

void rig_assign(rig *g, uint32_t spec, uint64_t first, uint32_t count) {
  assign(g, (proto_assign){.spec = spec, .args = PROTO_ARGS_NONE, .first = first, .count = count});
}

void rig_assign_arg(rig *g, uint32_t spec, uint64_t task, const void *arg, size_t n) {
  uint32_t end = htole32((uint32_t)n);
  proto_assign m = {.spec = spec, .args = PROTO_ARGS_EXPLICIT, .first = task, .count = 1};
  m.block = (proto_block){.count = 1, .ends = (const uint8_t *)&end, .data = arg, .len = (uint32_t)n};
  assign(g, m);
}

void rig_assign_counted(rig *g, uint32_t spec, uint64_t first, uint32_t count, int64_t start) {
  assign(g, (proto_assign){.spec = spec,
                           .args = PROTO_ARGS_COUNTED,
                           .first = first,
                           .count = count,
                           .start = start,
                           .step = 1});
}

void rig_assign_large(rig *g, uint32_t spec, uint64_t task, uint64_t total) {
  assign(g, (proto_assign){.spec = spec,
                           .args = PROTO_ARGS_EXPLICIT,
                           .large = true,
                           .first = task,
                           .count = 1,
                           .total = total});
}

void rig_interrupt(rig *g, uint64_t first, uint32_t count, uint16_t value) {
  proto_run run = {.first = first, .count = count, .attempt = 1, .value = value};
  proto_runs_encode(&g->out, PROTO_INTERRUPT, &run, 1);
  rig_send(g);
}

void rig_piece(rig *g, uint64_t task, const void *data, size_t n, bool last, uint16_t status) {
  const uint8_t *at = data;
  do {
    size_t part = n < PROTO_PIECE_DATA ? n : PROTO_PIECE_DATA;
    proto_piece p = {.task = task, .attempt = 1, .channel = PROTO_CH_IN, .data = at, .len = (uint32_t)part};
    n -= part;
    at += part;
    p.last = last && n == 0;
    p.status = p.last ? status : 0;
    proto_piece_encode(&g->out, &p);
  } while (n > 0);
  rig_send(g);
}

void rig_credit(rig *g, uint64_t task, uint8_t channel, uint64_t bytes) {
  proto_credit c = {.task = task, .attempt = 1, .channel = channel, .bytes = bytes};
  proto_credit_encode(&g->out, &c);
  rig_send(g);
}

/* ---- receiving ---- */

static rig_task *task_of(rig *g, uint64_t number) {
  ck_assert_uint_ge(number, 1);
  ck_assert_uint_le(number, RIG_TASKS);
  return &g->task[number];
}

static void prepend(hato__buf *b, const uint8_t *data, uint32_t n) {
  hato__buf whole = {0};
  hato__buf_append(&whole, data, n);
  hato__buf_append(&whole, b->data, b->len);
  hato__buf_free(b);
  *b = whole;
}

static void on_results(rig *g, const uint8_t *body, size_t n) {
  hato_error err;
  proto_results_reader reader;
  proto_result r;
  int more;
  ck_assert_int_eq(proto_results_decode(&reader, body, n, &err), HATO_OK);
  while ((more = proto_results_next(&reader, &r, &err)) == 1) {
    rig_task *t = task_of(g, r.task);
    ck_assert_msg(!t->done, "two records of task %d", (int)r.task);
    /* The last piece comes before the record, and totals are true. */
    ck_assert_int_eq(t->last[PROTO_CH_OUT], (r.flags & PROTO_RESULT_OUT_MORE) != 0);
    ck_assert_int_eq(t->last[PROTO_CH_ERR], (r.flags & PROTO_RESULT_ERR_MORE) != 0);
    ck_assert_uint_eq(r.out_total, r.out_len + t->pieces[PROTO_CH_OUT]);
    ck_assert_uint_eq(r.err_total, r.err_len + t->pieces[PROTO_CH_ERR]);
    prepend(&t->out, r.out, r.out_len);
    prepend(&t->err, r.err, r.err_len);
    (void)hato__buf_text(&t->out);
    (void)hato__buf_text(&t->err);
    snprintf(t->words, sizeof t->words, "%.*s", (int)r.words_len, r.words);
    t->r = r;
    t->r.out = t->r.err = t->r.raw = NULL;
    t->r.words = NULL;
    t->order = ++g->records;
    t->done = true;
  }
  ck_assert_int_eq(more, 0);
}

static void on_piece(rig *g, const uint8_t *body, size_t n) {
  hato_error err;
  proto_piece p;
  ck_assert_int_eq(proto_piece_decode(&p, body, n, &err), HATO_OK);
  rig_task *t = task_of(g, p.task);
  ck_assert(!t->done);
  ck_assert(!t->last[p.channel]);
  ck_assert_uint_ne(p.channel, PROTO_CH_IN);
  hato__buf_append(p.channel == PROTO_CH_ERR ? &t->err : &t->out, p.data, p.len);
  t->pieces[p.channel] += p.len;
  t->last[p.channel] = p.last;
  if (!g->stingy && p.len > 0) {
    proto_credit c = {.task = p.task, .attempt = 1, .channel = p.channel, .bytes = p.len};
    proto_credit_encode(&g->out, &c);
  }
}

static void on_credit(rig *g, const uint8_t *body, size_t n) {
  hato_error err;
  proto_credit c;
  ck_assert_int_eq(proto_credit_decode(&c, body, n, &err), HATO_OK);
  ck_assert_uint_eq(c.channel, PROTO_CH_IN);
  task_of(g, c.task)->credit_in += c.bytes;
}

static void handle(rig *g) {
  size_t at = 0;
  while (g->in.len - at >= PROTO_HEADER) {
    proto_header h;
    hato_error err;
    ck_assert_int_eq(proto_header_decode(&h, g->in.data + at, &err), HATO_OK);
    if (g->in.len - at - PROTO_HEADER < h.len) break;
    const uint8_t *body = g->in.data + at + PROTO_HEADER;
    if (h.type == PROTO_RESULTS)
      on_results(g, body, h.len);
    else if (h.type == PROTO_PIECE)
      on_piece(g, body, h.len);
    else if (h.type == PROTO_CREDIT)
      on_credit(g, body, h.len);
    else
      ck_abort_msg("a frame of type %s", proto_type_name(h.type));
    at += PROTO_HEADER + h.len;
  }
  hato__buf_consume(&g->in, at);
}

bool rig_look(rig *g, int timeout_ms) {
  struct pollfd p = {.fd = g->fd, .events = POLLIN};
  if (g->gone || poll(&p, 1, timeout_ms) <= 0) return false;
  uint8_t *to = hato__buf_grow(&g->in, 512 << 10);
  ck_assert_ptr_nonnull(to);
  ssize_t n = recv(g->fd, to, 512 << 10, MSG_DONTWAIT);
  g->in.len -= (512 << 10) - (size_t)(n > 0 ? n : 0);
  if (n == 0 || (n < 0 && errno == ECONNRESET)) reap(g);
  handle(g);
  if (g->out.len > 0) rig_send(g);
  return true;
}

void rig_hear(rig *g) { ck_assert_msg(rig_look(g, UNIT_WAIT_MS), "the executor says nothing"); }

void rig_wait_all(rig *g, uint64_t first, uint64_t last) {
  uint64_t until = rig_deadline();
  for (uint64_t i = first; i <= last; i++) {
    while (!task_of(g, i)->done) {
      ck_assert_msg(!g->gone, "the executor ended with status %x before task %d", g->status, (int)i);
      ck_assert_msg(hato__now() < until, "no result of task %d", (int)i);
      (void)rig_look(g, 100);
    }
  }
}

rig_task *rig_wait(rig *g, uint64_t task) {
  rig_wait_all(g, task, task);
  return task_of(g, task);
}

void rig_wait_gone(rig *g) {
  uint64_t until = rig_deadline();
  while (!g->gone) {
    ck_assert_msg(hato__now() < until, "the executor does not end");
    (void)rig_look(g, 100);
  }
}

rig_task *rig_run(rig *g, const proto_spec *s) {
  uint64_t task = g->records + 1;
  rig_assign(g, rig_spec(g, s), task, 1);
  return rig_wait(g, task);
}

/* ---- files and processes ---- */

const char *rig_folder(void) {
  static char folder[64];
  snprintf(folder, sizeof folder, "/tmp/hato-executor-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(folder));
  return folder;
}

bool rig_file_says(const char *path, const char *text) {
  hato__buf b = {0};
  bool same = hato__read_file(path, 1 << 20, &b, NULL) == HATO_OK && b.len == strlen(text) &&
              memcmp(b.data, text, b.len) == 0;
  hato__buf_free(&b);
  return same;
}

pid_t rig_read_pid(const char *path) {
  uint64_t until = rig_deadline();
  for (;;) {
    hato__buf b = {0};
    int pid = 0;
    if (hato__read_file(path, 100, &b, NULL) == HATO_OK && b.len > 1 && b.data[b.len - 1] == '\n')
      pid = atoi(hato__buf_text(&b));
    hato__buf_free(&b);
    if (pid > 0) return pid;
    ck_assert_msg(hato__now() < until, "no %s", path);
    poll(NULL, 0, 1);
  }
}

char rig_process_state(pid_t pid) {
  char path[64];
  hato__buf b = {0};
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  const char *after = hato__read_file(path, 4096, &b, NULL) == HATO_OK ? strrchr(hato__buf_text(&b), ')') : NULL;
  char state = after != NULL && after[1] == ' ' ? after[2] : 0;
  hato__buf_free(&b);
  return state;
}

bool rig_process_gone(pid_t pid) {
  uint64_t until = rig_deadline();
  while (kill(pid, 0) == 0) {
    if (rig_process_state(pid) == 'Z') return true; /* somebody else's to reap */
    if (hato__now() > until) return false;
    poll(NULL, 0, 1);
  }
  return true;
}

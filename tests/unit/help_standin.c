#include "help_standin.h"
#include "base/io.h"
#include "executor/executor.h"
#include "proto/message.h"
#include "proto/spec.h"
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

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

static void done_with(struct stand_in *x, const proto_header *h) {
  hato__buf_consume(&x->in, PROTO_HEADER + h->len);
}

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
    if (h.type == PROTO_INTERRUPT && proto_runs_decode(&m, body, h.len, NULL) == HATO_OK)
      value = proto_run_at(&m, 0).value;
    done_with(x, &h);
    if (value) return value;
  }
}

static void send_result(struct stand_in *x, uint64_t task, uint32_t attempt, int error, const void *out,
                        uint32_t n) {
  proto_result r = {
      .task = task, .attempt = attempt, .error = (uint16_t)error, .out = out, .out_len = n, .wall_ns = 50};
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
      if (h.type == PROTO_CREDIT && proto_credit_decode(&more, body, h.len, NULL) == HATO_OK)
        credit += more.bytes;
      done_with(x, &h);
    }
    credit -= p.len;
    sent += p.len;
    p.last = sent == got;
    proto_piece_encode(&x->out, &p);
    flush_out(x);
  } while (sent < got);
  uint64_t words[2] = {got, sum};
  proto_result r = {.task = a->first,
                    .attempt = a->attempt,
                    .flags = PROTO_RESULT_OUT_MORE | PROTO_RESULT_ERR_MORE,
                    .out_total = got,
                    .err_total = sizeof words,
                    .err = (void *)words,
                    .err_len = sizeof words};
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

static void do_task(struct stand_in *x, const proto_spec *s, const proto_assign *a, const void *arg,
                    uint32_t n) {
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

_Noreturn void stand_in(void) {
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
    if (h.type == PROTO_SPEC && proto_spec_part_decode(&part, copy, h.len, NULL) == HATO_OK &&
        part.number < 16) {
      if (proto_spec_decode(&x.specs[part.number], part.data, part.len, NULL) != HATO_OK) die("bad SPEC");
    } else if (h.type == PROTO_SPEC_DROP && proto_spec_drop_decode(&number, copy, h.len, NULL) == HATO_OK) {
      proto_spec_free(&x.specs[number % 16]);
    } else if (h.type == PROTO_ASSIGN && proto_assign_decode(&a, copy, h.len, NULL) == HATO_OK) {
      do_assign(&x, a);
    }
    free(copy);
  }
}

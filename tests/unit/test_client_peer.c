/* libhato against a dispatcher that is the test's own, so that it may say anything in any
 * order: what a real one does seldom or never. */
#include "help_pool.h"

#include "client/internal.h"
#include "net/net.h"
#include "proto/message.h"
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct told { /* a frame that the client sent */
  uint8_t type;
  uint32_t len;
  uint8_t *body;
} told;

typedef struct peer {
  char dir[64], url[100];
  net_listener *listener;
  net_conn *conn;
  pthread_mutex_t lock;
  hato__buf out;
  told frames[512];
  unsigned n, at; /* at: what the test has looked at */
  bool closed;
  hato_pool *pool;
} peer;

static hato_status on_frame(void *owner, net_conn *c, const net_frame *f, hato_error *err) {
  peer *p = owner;
  (void)c;
  (void)err;
  pthread_mutex_lock(&p->lock);
  if (p->n < 512) {
    told *t = &p->frames[p->n];
    *t = (told){f->type, f->len, malloc(f->len + 1)};
    memcpy(t->body, f->body, f->len);
    p->n++;
  }
  pthread_mutex_unlock(&p->lock);
  return HATO_OK;
}

/* A part at a time, so that net_traffic tells how far the client reads. */
static void on_fill(void *owner, net_conn *c, net_out *out) {
  peer *p = owner;
  (void)c;
  pthread_mutex_lock(&p->lock);
  size_t n = p->out.len < 1 << 20 ? p->out.len : 1 << 20;
  hato__buf_append(&out->bytes, p->out.data, n);
  hato__buf_consume(&p->out, n);
  pthread_mutex_unlock(&p->lock);
}

static void on_closed(void *owner, net_conn *c, hato_status why, const char *words) {
  peer *p = owner;
  (void)c;
  (void)why;
  (void)words;
  pthread_mutex_lock(&p->lock);
  p->closed = true;
  pthread_mutex_unlock(&p->lock);
}

static const net_ops ops = {.frame = on_frame, .fill = on_fill, .closed = on_closed};

static void on_admitted(void *arg, net_conn *c) {
  peer *p = arg;
  p->conn = c;
  net_start(c, &ops, p);
}

static void begin(peer *p) {
  memset(p, 0, sizeof *p);
  pthread_mutex_init(&p->lock, NULL);
  strcpy(p->dir, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(p->dir));
  snprintf(p->url, sizeof p->url, "ipc://%s/s", p->dir);
  net_guard none = {0};
  OK(net_listen(p->url, &none, NULL, on_admitted, p, &p->listener, e));
  hato_pool_options o = HATO_POOL_OPTIONS_INIT;
  o.mode = HATO_POOL_URL;
  o.url = p->url;
  OK(hato_pool_open(&o, &p->pool, e));
}

static bool is_closed(peer *p) {
  pthread_mutex_lock(&p->lock);
  bool closed = p->closed;
  pthread_mutex_unlock(&p->lock);
  return closed;
}

static void end(peer *p) {
  hato_pool_close(p->pool);
  WAIT_FOR(is_closed(p));
  net_listener_close(p->listener);
  net_release(p->conn);
  for (unsigned i = 0; i < p->n; i++) free(p->frames[i].body);
  hato__buf_free(&p->out);
  unlink(p->url + 6);
  rmdir(p->dir);
}

/* Appends what the dispatcher says: SAY(p, encoder, arguments after the buffer). */
#define SAY(p, encode, ...)                                                                               \
  do {                                                                                                    \
    pthread_mutex_lock(&(p)->lock);                                                                       \
    encode(&(p)->out, __VA_ARGS__);                                                                       \
    pthread_mutex_unlock(&(p)->lock);                                                                     \
    net_wake((p)->conn);                                                                                  \
  } while (0)

static void say_record(hato__buf *out, const proto_result *r) {
  proto_results_writer w;
  proto_results_begin(&w, out);
  proto_results_add(&w, r);
  proto_results_end(&w);
}

static bool arrived(peer *p, unsigned i) {
  pthread_mutex_lock(&p->lock);
  bool yes = i < p->n;
  pthread_mutex_unlock(&p->lock);
  return yes;
}

/* The next frame of this type; those before it are passed over. */
static told *next(peer *p, proto_type type) {
  for (;;) {
    WAIT_FOR(arrived(p, p->at));
    told *t = &p->frames[p->at++];
    if (t->type == type) return t;
  }
}
static unsigned count(peer *p, proto_type type) {
  unsigned n = 0;
  pthread_mutex_lock(&p->lock);
  for (unsigned i = 0; i < p->n; i++) n += p->frames[i].type == type;
  pthread_mutex_unlock(&p->lock);
  return n;
}

static proto_submit next_submit(peer *p) {
  proto_submit m;
  told *t = next(p, PROTO_SUBMIT);
  OK(proto_submit_decode(&m, t->body, t->len, e));
  return m;
}
static void accept_next(peer *p, uint64_t first) {
  proto_submit m = next_submit(p);
  SAY(p, proto_accepted_encode, &((proto_accepted){.seq = m.seq, .first = first, .count = m.count}));
}
static proto_piece next_piece(peer *p) {
  proto_piece m;
  told *t = next(p, PROTO_PIECE);
  OK(proto_piece_decode(&m, t->body, t->len, e));
  return m;
}

UNIT_TEST(it_says_who_it_is_and_what_it_needs) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_future *f = submit(p.pool, s, "argument");
  proto_client c;
  told *t = next(&p, PROTO_CLIENT);
  OK(proto_client_decode(&c, t->body, t->len, e));
  ck_assert(c.id != 0 && c.label_len > 3);
  proto_part part;
  t = next(&p, PROTO_SPEC);
  OK(proto_spec_part_decode(&part, t->body, t->len, e));
  proto_submit m = next_submit(&p);
  ck_assert_uint_eq(m.spec, part.number);
  ck_assert_uint_eq(m.args, PROTO_ARGS_EXPLICIT);
  proto_args a;
  t = next(&p, PROTO_ARGS);
  OK(proto_args_decode(&a, t->body, t->len, e));
  ck_assert_uint_eq(a.block.count, 1);
  ck_assert_uint_eq(a.block.len, 8);
  hato_spec_release(s);
  hato_future_release(f);
  end(&p);
  ck_assert_uint_eq(count(&p, PROTO_GOODBYE), 1);
}

UNIT_TEST(single_tasks_gather_while_answers_are_due) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_future *f[100];
  for (int i = 0; i < 100; i++) f[i] = submit(p.pool, s, "x");
  proto_submit a = next_submit(&p), b = next_submit(&p);
  ck_assert_uint_lt(a.count + b.count, 100);
  WAIT_FOR(count(&p, PROTO_SUBMIT) == 2);
  SAY(&p, proto_accepted_encode, &((proto_accepted){.seq = a.seq, .first = 1, .count = a.count}));
  proto_submit c = next_submit(&p);
  ck_assert_uint_eq(a.count + b.count + c.count, 100);
  SAY(&p, proto_accepted_encode, &((proto_accepted){.seq = b.seq, .first = 50, .count = b.count}));
  SAY(&p, proto_accepted_encode, &((proto_accepted){.seq = c.seq, .first = 1000, .count = c.count}));
  SAY(&p, say_record, &((proto_result){.task = 1000 + c.count - 1, .attempt = 3, .out = (const uint8_t *)"z", .out_len = 1}));
  hato_result r = result_of(f[99]);
  ck_out(r, "z");
  ck_assert_uint_eq(r.attempt, 3);
  ck_assert_uint_eq(r.task, 1000 + c.count - 1);
  for (int i = 0; i < 100; i++) hato_future_release(f[i]);
  hato_spec_release(s);
  end(&p);
}

UNIT_TEST(a_refusal_has_its_words) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_array *a;
  OK(hato_submit_counted(p.pool, s, 0, 1, 20, 0, NULL, &a, e));
  proto_submit m = next_submit(&p);
  SAY(&p, proto_rejected_encode, m.seq, HATO_NO_SPACE, "there is no room");
  hato_result r = element(a, 19);
  ck_assert_int_eq(r.error, HATO_NO_SPACE);
  ck_assert_str_eq(r.words, "there is no room");
  ck_assert_int_eq(hato_array_wait(a, UNIT_WAIT_MS), HATO_OK);
  uint64_t first;
  hato_error err;
  ck_assert_int_eq(hato_array_first_task(a, UNIT_WAIT_MS, &first, &err), HATO_NO_SPACE);
  ck_assert_str_eq(err.text, "there is no room");
  hato_array_release(a);
  hato_spec_release(s);
  end(&p);
}

UNIT_TEST(what_is_not_ours_or_comes_twice_is_passed_over) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_array *a;
  hato_result r;
  OK(hato_submit_counted(p.pool, s, 0, 1, 10, 0, NULL, &a, e));
  accept_next(&p, 100);
  proto_run runs[] = {{.first = 1, .count = 99, .value = 20}, {.first = 103, .count = 2, .attempt = 2, .value = 5}};
  SAY(&p, proto_runs_encode, PROTO_RESOLVED, runs, 2);
  SAY(&p, say_record, &((proto_result){.task = 110, .attempt = 1, .error = 1}));
  SAY(&p, say_record, &((proto_result){.task = 103, .attempt = 1, .error = 1}));
  SAY(&p, say_record, &((proto_result){.task = 105, .attempt = 1, .error = 1}));
  r = element(a, 5);
  ck_assert_int_eq(r.error, 1);
  r = element(a, 3);
  ck_assert_int_eq(r.error, 5);
  ck_assert_uint_eq(r.task, 103);
  ck_assert_uint_eq(r.attempt, 2);
  ck_assert_uint_eq(hato_array_resolved(a), 3);
  ck_assert_int_eq(hato_array_result(a, 2, &r), HATO_AGAIN);
  hato_array_release(a);
  hato_spec_release(s);
  end(&p);
}

static void say_piece(peer *p, uint64_t task, uint32_t attempt, uint32_t len, char byte, bool last) {
  uint8_t *data = malloc(len + 1);
  memset(data, byte, len);
  SAY(p, proto_piece_encode, &((proto_piece){.task = task, .attempt = attempt, .channel = PROTO_CH_OUT, .last = last, .data = data, .len = len}));
  free(data);
}

static uint64_t credit_given(peer *p) {
  uint64_t sum = 0;
  pthread_mutex_lock(&p->lock);
  for (unsigned i = 0; i < p->n; i++) {
    proto_credit m;
    if (p->frames[i].type == PROTO_CREDIT && proto_credit_decode(&m, p->frames[i].body, p->frames[i].len, NULL) == HATO_OK)
      sum += m.bytes;
  }
  pthread_mutex_unlock(&p->lock);
  return sum;
}

/* The bytes of the record come first, whichever came first. */
UNIT_TEST(output_before_and_after_its_record) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  for (int before = 0; before < 2; before++) {
    hato_future *f = submit(p.pool, s, "x");
    uint64_t task = before ? 1 : 2;
    accept_next(&p, task);
    uint64_t had = credit_given(&p);
    proto_result rec = {.task = task, .attempt = 2, .flags = PROTO_RESULT_OUT_MORE, .out_total = 5000003,
                        .out = (const uint8_t *)"abc", .out_len = 3};
    say_piece(&p, task, 1, 500, '-', false); /* of an attempt that was lost */
    if (!before) SAY(&p, say_record, &rec);
    for (int i = 0; i < 20; i++) say_piece(&p, task, 2, 250000, (char)('0' + i), false);
    say_piece(&p, task, 1, 5, '-', true);
    if (!before) ck_assert(!hato_future_resolved(f));
    say_piece(&p, task, 2, 0, 0, true);
    if (before) SAY(&p, say_record, &rec);
    hato_result r = result_of(f);
    const char *out = r.out;
    ck_assert_msg(r.error == 0 && r.out_size == 5000003, "%d %s: %zu bytes", r.error, r.words, r.out_size);
    ck_assert_int_eq(memcmp(out, "abc", 3), 0);
    for (size_t i = 0; i < 5000000; i++)
      if (out[3 + i] != (char)('0' + i / 250000)) ck_abort_msg("byte %zu is wrong", i);
    WAIT_FOR(credit_given(&p) - had >= 3000000); /* so that a sender goes on; it is on its way */
    hato_future_release(f);
  }
  hato_spec_release(s);
  end(&p);
}

UNIT_TEST(output_that_was_cut_is_an_error_value) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_future *f = submit(p.pool, s, "x");
  accept_next(&p, 1);
  SAY(&p, say_record, &((proto_result){.task = 1, .attempt = 1, .flags = PROTO_RESULT_OUT_MORE, .out_total = 10}));
  SAY(&p, proto_piece_encode, &((proto_piece){.task = 1, .attempt = 1, .channel = PROTO_CH_OUT, .last = true, .status = HATO_RESET}));
  hato_result r = result_of(f);
  ck_assert_int_eq(r.error, HATO_RESET);
  ck_assert_str_ne(r.words, "");
  hato_future_release(f);
  f = submit(p.pool, s, "x");
  accept_next(&p, 2);
  SAY(&p, say_record, &((proto_result){.task = 2, .attempt = 1, .flags = PROTO_RESULT_OUT_MORE, .out_total = 10}));
  say_piece(&p, 2, 1, 4, 'x', true);
  r = result_of(f);
  ck_assert_int_eq(r.error, HATO_RESET);
  ck_assert_ptr_nonnull(strstr(r.words, "4 of 10"));
  hato_future_release(f);
  hato_spec_release(s);
  end(&p);
}

static void give_credit(peer *p, uint64_t task, uint32_t attempt, uint64_t bytes) {
  SAY(p, proto_credit_encode, &((proto_credit){.task = task, .attempt = attempt, .channel = PROTO_CH_IN, .bytes = bytes}));
}

UNIT_TEST(large_arguments_go_under_credit) {
  enum { N = 300000 };
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  uint8_t *bytes = malloc(N);
  for (int i = 0; i < N; i++) bytes[i] = (uint8_t)(i * 3);
  hato_future *f;
  OK(hato_submit(p.pool, s, (hato_argument){bytes, N}, free, NULL, &f, e));
  accept_next(&p, 7);
  proto_args a;
  told *t = next(&p, PROTO_ARGS);
  OK(proto_args_decode(&a, t->body, t->len, e));
  ck_assert(a.large);
  ck_assert_uint_eq(a.total, N);
  give_credit(&p, 7, 1, 100000);
  proto_piece m = next_piece(&p);
  ck_assert_uint_eq(m.len, 100000);
  ck_assert(!m.last && m.attempt == 1 && memcmp(m.data, bytes, m.len) == 0);
  ck_assert_uint_eq(count(&p, PROTO_PIECE), 1);
  give_credit(&p, 7, 2, 250000); /* another attempt, from the start */
  m = next_piece(&p);
  ck_assert(m.attempt == 2 && !m.last && memcmp(m.data, bytes, m.len) == 0);
  ck_assert_uint_eq(m.len, 250000);
  give_credit(&p, 7, 2, 1000000);
  m = next_piece(&p);
  ck_assert(m.last && m.len == 50000 && memcmp(m.data, bytes + 250000, m.len) == 0);
  SAY(&p, say_record, &((proto_result){.task = 7, .attempt = 2}));
  ck_assert_int_eq(result_of(f).error, 0);
  hato_future_release(f);
  hato_spec_release(s);
  end(&p);
}

UNIT_TEST(a_stream_that_was_read_cannot_be_repeated) {
  peer p;
  begin(&p);
  hato_spec *s = command_with(p.pool, (const char *const[]){"cat", NULL}, HATO_STDIN_ARGUMENT, 0);
  int fd[2];
  ck_assert_int_eq(pipe(fd), 0);
  ck_assert_int_eq(write(fd[1], "hello", 5), 5);
  hato_future *f;
  OK(hato_submit_stream(p.pool, s, fd[0], NULL, &f, e));
  accept_next(&p, 7);
  give_credit(&p, 7, 1, 1000);
  proto_piece m = next_piece(&p);
  ck_assert(m.len == 5 && memcmp(m.data, "hello", 5) == 0 && !m.last);
  give_credit(&p, 7, 2, 1000);
  hato_result r = result_of(f);
  ck_assert_int_eq(r.error, HATO_RESET);
  ck_assert_ptr_nonnull(strstr(r.words, "repeated"));
  next(&p, PROTO_CANCEL);
  hato_future_release(f);
  OK(hato_submit_stream(p.pool, s, fd[0], NULL, &f, e));
  accept_next(&p, 8);
  give_credit(&p, 8, 1, 1000);
  close(fd[1]);
  m = next_piece(&p);
  ck_assert(m.task == 8 && m.last && m.len == 0 && m.status == 0);
  SAY(&p, say_record, &((proto_result){.task = 8, .attempt = 1}));
  ck_assert_int_eq(result_of(f).error, 0);
  hato_future_release(f);
  hato_spec_release(s);
  end(&p);
}

static bool join_lines(void *arg, const char *line) {
  strcat(arg, line);
  strcat(arg, "|");
  return true;
}

typedef struct asking {
  peer *p;
  char text[200];
  hato_status status;
} asking;
static void *ask(void *arg) {
  asking *a = arg;
  a->status = hato_pool_control(a->p->pool, "{\"op\":\"tasks\"}", UNIT_WAIT_MS, join_lines, a->text, NULL);
  return NULL;
}

UNIT_TEST(an_answer_in_any_parts) {
  peer p;
  begin(&p);
  asking a = {.p = &p};
  pthread_t t;
  pthread_create(&t, NULL, ask, &a);
  proto_text m;
  told *f = next(&p, PROTO_CONTROL);
  OK(proto_control_decode(&m, f->body, f->len, e));
  SAY(&p, proto_reply_encode, m.token + 1, true, "{\"not\":\"ours\"}\n", 15);
  SAY(&p, proto_reply_encode, m.token, false, "{\"a\":1}\n{\"b", 11);
  SAY(&p, proto_reply_encode, m.token, false, "\":2}\n", 5);
  SAY(&p, proto_reply_encode, m.token, true, "{\"c\":3}", 7);
  pthread_join(t, NULL);
  ck_assert_int_eq(a.status, HATO_OK);
  ck_assert_str_eq(a.text, "{\"a\":1}|{\"b\":2}|{\"c\":3}|");
  hato_error err;
  ck_assert_int_eq(hato_pool_control(p.pool, "{}", 30, NULL, NULL, &err), HATO_TIMED_OUT);
  end(&p);
}

typedef struct slow {
  asking a;
  atomic_bool begun, go;
  atomic_uint lines;
} slow;

static bool slow_line(void *arg, const char *line) {
  slow *s = arg;
  (void)line;
  atomic_store(&s->begun, true);
  WAIT_FOR(atomic_load(&s->go));
  atomic_fetch_add(&s->lines, 1);
  return true;
}

static void *ask_slowly(void *arg) {
  slow *s = arg;
  s->a.status = hato_pool_control(s->a.p->pool, "{\"op\":\"tasks\"}", HATO_FOREVER, slow_line, s, NULL);
  return NULL;
}

static uint64_t bytes_sent(peer *p) {
  uint64_t in, out;
  net_traffic(p->conn, &in, &out);
  return out;
}

/* It waits with the dispatcher, and not in the client's memory. */
UNIT_TEST(an_answer_that_nobody_takes_is_not_read) {
  enum { PARTS = 100, SIZE = 200000 };
  static char text[SIZE];
  peer p;
  begin(&p);
  slow s = {.a = {.p = &p}};
  pthread_t t;
  proto_text m;
  pthread_create(&t, NULL, ask_slowly, &s);
  told *f = next(&p, PROTO_CONTROL);
  OK(proto_control_decode(&m, f->body, f->len, e));
  memset(text, 'x', SIZE);
  text[SIZE - 1] = '\n';
  for (int i = 0; i < PARTS; i++) SAY(&p, proto_reply_encode, m.token, i == PARTS - 1, text, SIZE);
  WAIT_FOR(atomic_load(&s.begun) && bytes_sent(&p) > 2 << 20);
  for (int i = 0; i < 200; i++) {
    ck_assert_uint_lt(bytes_sent(&p), 12 << 20);
    nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
  }
  atomic_store(&s.go, true);
  pthread_join(t, NULL);
  ck_assert_int_eq(s.a.status, HATO_OK);
  ck_assert_uint_eq(atomic_load(&s.lines), PARTS);
  end(&p);
}

UNIT_TEST(a_goodbye_has_words_for_the_unresolved) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_future *f = submit(p.pool, s, "x"), *g;
  OK(hato_fetch(p.pool, 5, NULL, &g, e));
  accept_next(&p, 1);
  SAY(&p, proto_words_encode, PROTO_GOODBYE, 0, "the session was taken down");
  hato_result r = result_of(f);
  ck_assert_int_eq(r.error, HATO_RESET);
  ck_assert_str_eq(r.words, "the session was taken down");
  ck_assert_int_eq(result_of(g).error, HATO_RESET);
  hato_future_release(f);
  hato_future_release(g);
  hato_spec_release(s);
  end(&p);
}

static void say_garbage(hato__buf *out, size_t n) {
  for (size_t i = 0; i < n; i++) hato__buf_u8(out, 0xff);
}

UNIT_TEST(garbage_ends_the_connection_only) {
  peer p;
  begin(&p);
  hato_spec *s = function(p.pool, "echo");
  hato_future *f = submit(p.pool, s, "x");
  accept_next(&p, 1);
  SAY(&p, say_garbage, 64);
  ck_assert_int_eq(result_of(f).error, HATO_RESET);
  hato_future_release(f);
  hato_spec_release(s);
  end(&p);
}

UNIT_TEST(fetches_of_one_task_take_turns) {
  peer p;
  begin(&p);
  hato_future *f, *g;
  OK(hato_fetch(p.pool, 9, NULL, &f, e));
  OK(hato_fetch(p.pool, 9, NULL, &g, e));
  next(&p, PROTO_FETCH);
  ck_assert_uint_eq(count(&p, PROTO_FETCH), 1);
  SAY(&p, say_record, &((proto_result){.task = 9, .attempt = 1, .out = (const uint8_t *)"kept", .out_len = 4}));
  hato_result r = result_of(f);
  ck_out(r, "kept");
  ck_assert(!hato_future_resolved(g));
  next(&p, PROTO_FETCH);
  SAY(&p, proto_runs_encode, PROTO_RESOLVED, &((proto_run){.first = 9, .count = 1, .value = HATO_NOT_FOUND}), 1);
  r = result_of(g);
  ck_assert_int_eq(r.error, HATO_NOT_FOUND);
  ck_assert_uint_eq(r.task, 9);
  hato_future_release(f);
  hato_future_release(g);
  end(&p);
}

/* ---- a dispatcher that does not read ---- */

#define HEAVY 1600u /* arguments of 64 KiB: 100 MiB */
typedef struct heavy {
  peer *p;
  hato_spec *s;
  hato_array *a;
  hato_argument args[HEAVY];
  atomic_bool done;
} heavy;

static void *submit_heavy(void *arg) {
  heavy *h = arg;
  OK(hato_submit_array(h->p->pool, h->s, h->args, HEAVY, 0, NULL, &h->a, e));
  h->done = true;
  return NULL;
}

static uint64_t queued(hato_pool *p) {
  pool_lock(p);
  uint64_t n = p->out.waiting;
  pool_unlock(p);
  return n;
}

UNIT_TEST_LIMIT(submit_waits_while_too_much_is_queued, 40) {
  peer p;
  begin(&p);
  static heavy h;
  h.p = &p;
  h.s = function(p.pool, "echo");
  char *bytes = calloc(1, 65536);
  for (unsigned i = 0; i < HEAVY; i++) h.args[i] = (hato_argument){bytes, 65536};
  next(&p, PROTO_CLIENT);
  net_pause(p.conn, true);
  pthread_t t;
  pthread_create(&t, NULL, submit_heavy, &h);
  WAIT_FOR(queued(p.pool) >= QUEUED_MAX);
  ck_assert(!h.done);
  ck_assert_uint_lt(queued(p.pool), QUEUED_MAX + (1u << 20));
  net_pause(p.conn, false);
  WAIT_FOR(h.done);
  pthread_join(t, NULL);
  accept_next(&p, 1);
  free(bytes);
  hato_array_release(h.a);
  hato_spec_release(h.s);
  end(&p);
}

UNIT_MAIN("client_peer")

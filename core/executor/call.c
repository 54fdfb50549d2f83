/* Calling functions. */
#include "base/clock.h"
#include "executor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define KEEP (1u << 20)      /* a buffer that grew beyond is given back after the call */
#define HOLD (1u << 20)      /* of a result: what is more is sent while the function runs */
#define BACKLOG (128u << 10) /* unsent bytes at which calls wait for the daemon to read */

/* ---- services ---- */

static executor_caller *caller_of(hato_call *call) { return (executor_caller *)call; }

static bool within_limit(executor_caller *c, size_t n) {
  uint64_t had = c->passed + c->out.len;
  if (c->over == 0 && (n > c->limit || had > c->limit - n)) c->over = HATO_TOO_LARGE;
  return c->over == 0;
}

static bool room_for(executor_caller *c, size_t n) {
  if (!hato__buf_reserve(&c->out, n)) c->over = HATO_NO_MEMORY;
  return c->over == 0;
}

/* A large result is neither copied nor held: its bytes go from where they are, the buffer's before them. */
static int send_along(executor_caller *c, const uint8_t *bytes, size_t n) {
  executor *x = c->x;
  uint64_t held = executor_send_large(x, PROTO_CH_OUT, c->out.data, c->out.len, false);
  uint64_t sent = held == c->out.len ? executor_send_large(x, PROTO_CH_OUT, bytes, n, false) : 0;
  bool all = held == c->out.len && sent == n;
  c->passed += held + sent;
  c->out.len = 0;
  return all ? 0 : x->task.value ? x->task.value : HATO_CLOSED;
}

static int service_write(hato_call *call, const void *bytes, size_t n) {
  executor_caller *c = caller_of(call);
  c->reserved = 0;
  if (n == 0) return 0;
  if (!within_limit(c, n)) return c->over;
  if (c->out.len + n > HOLD) return send_along(c, bytes, n);
  if (!room_for(c, n)) return c->over;
  memcpy(c->out.data + c->out.len, bytes, n);
  c->out.len += n;
  return 0;
}

static void *service_reserve(hato_call *call, size_t n) {
  executor_caller *c = caller_of(call);
  c->reserved = 0;
  if (!within_limit(c, n) || !room_for(c, n ? n : 1)) return NULL;
  c->reserved = n;
  return c->out.data + c->out.len;
}

static int service_commit(hato_call *call, size_t n) {
  executor_caller *c = caller_of(call);
  if (n > c->reserved) return HATO_INVALID;
  c->out.len += n;
  c->reserved = 0;
  return c->out.len > HOLD ? send_along(c, NULL, 0) : 0;
}

static void service_fail(hato_call *call, const char *words) {
  (void)snprintf(caller_of(call)->words, 501, "%s", words ? words : "");
}

static int service_cancelled(hato_call *call) {
  executor_caller *c = caller_of(call);
  executor *x = c->x;
  if (x->task.value != 0) return x->task.value;
  uint64_t now = hato__now();
  if (now - c->looked < EXECUTOR_CALL_DELAY_NS) return 0;
  c->looked = now;
  executor_receive(x, false);
  (void)executor_link_send(&x->link); /* records of queued tasks that were interrupted */
  return x->link.closed ? HATO_CLOSED : x->task.value;
}

static void service_log(hato_call *call, const char *text) {
  (void)call;
  if (text == NULL) return;
  (void)fflush(stdout); /* in order with what was printed */
  (void)dprintf(2, "%s\n", text);
}

static void service_keep(hato_call *call, void (*destroy)(void *state)) {
  executor_object *o = caller_of(call)->spec->object;
  o->destroy = destroy;
}

/* ---- setting up ---- */

static bool capture_prints(executor *x) {
  executor_caller *c = &x->caller;
  c->printed = memfd_create("hato-printed", MFD_CLOEXEC);
  int log = fcntl(2, F_DUPFD_CLOEXEC, 3);
  if (c->printed < 0 || log < 0) return false;
  x->log = log;
  /* Appending, so that the offset is the end, whoever writes. */
  if (fcntl(c->printed, F_SETFL, O_APPEND) < 0) return false;
  (void)fflush(stdout);
  return dup2(c->printed, 1) >= 0 && dup2(c->printed, 2) >= 0;
}

static bool get_ready(executor *x) {
  executor_caller *c = &x->caller;
  if (c->ready) return true;
  c->x = x;
  c->call = (hato_call){.size = sizeof c->call,
                        .abi = HATO_FUNCTION_ABI,
                        .node = x->node,
                        .write = service_write,
                        .reserve = service_reserve,
                        .commit = service_commit,
                        .fail = service_fail,
                        .cancelled = service_cancelled,
                        .log = service_log,
                        .keep = service_keep};
  if (!capture_prints(x) || !executor_crash_handle(x) || !executor_flusher_start(x)) {
    executor_stop(x, EXECUTOR_EXIT_FAILED, "cannot prepare for functions: %s", strerror(errno));
    return false;
  }
  c->ready = x->functions = true;
  return true;
}

/* What differs by specification only. */
static bool set_spec(executor *x) {
  executor_caller *c = &x->caller;
  executor_spec *s = x->task.spec;
  c->spec = NULL;
  if (s->function == NULL && !executor_object_resolve(x, s)) return false;
  if (s->s.cwd != NULL && chdir(s->s.cwd) < 0) {
    executor_explain(x, EXECUTOR_STEP_CHDIR, errno, s->s.cwd);
    return false;
  }
  c->limit = s->s.output_limit ? s->s.output_limit : PROTO_PAYLOAD_MAX;
  c->call.state = &s->object->state;
  c->spec = s;
  return true;
}

/* Once a batch of tasks. False: the object changed and another executor is to go on. */
static bool look_at_object(executor *x) {
  executor_object *o = x->task.spec->object;
  x->task.batch->looked = true;
  if (o == NULL || !executor_object_changed(o)) return true;
  executor_flush(x);
  executor_stop(x, EXECUTOR_EXIT_RESTART, NULL);
  return false;
}

static bool collect_large(executor *x) {
  executor_caller *c = &x->caller;
  executor_input *in = &x->input;
  hato_error err;
  if (!executor_input_collect(x, UINT64_MAX)) return false;
  c->call.input_len = hato__blob_size(in->blob);
  const uint8_t *data = NULL;
  if (hato__blob_append(in->blob, "", 1, &err) == HATO_OK) data = hato__blob_data(in->blob, &err);
  if (data == NULL) executor_refuse(x, err.status, "%s", err.text);
  c->call.input = data;
  return data != NULL;
}

static bool set_input(executor *x) {
  executor_caller *c = &x->caller;
  const executor_task *t = &x->task;
  if (t->large) return collect_large(x);
  if (!hato__buf_reserve(&c->input, t->arg_len + 1u)) {
    hato__buf_clear(&c->input);
    executor_refuse(x, HATO_NO_MEMORY, "out of memory for its argument");
    return false;
  }
  memcpy(c->input.data, t->arg, t->arg_len);
  c->input.data[t->arg_len] = 0;
  c->call.input = c->input.data;
  c->call.input_len = t->arg_len;
  return true;
}

/* ---- results ---- */

/* Bytes for the record; when they are too many for it, in pieces first, as `passed` of them were before. */
static void put_stream(executor *x, proto_result *r, uint8_t channel, uint64_t passed, const uint8_t *data, uint64_t n,
                       uint32_t in) {
  uint64_t total = n;
  uint16_t more = channel == PROTO_CH_ERR ? PROTO_RESULT_ERR_MORE : PROTO_RESULT_OUT_MORE;
  if (passed > 0 || n > in) {
    total = passed + in + executor_send_large(x, channel, data + in, n - in, true);
    r->flags |= more;
  }
  if (channel == PROTO_CH_ERR) {
    r->err = data;
    r->err_len = in;
    r->err_total = total;
  } else {
    r->out = data;
    r->out_len = in;
    r->out_total = total;
  }
}

static void put_printed(executor *x, proto_result *r, uint64_t n) {
  executor_caller *c = &x->caller;
  if (n > c->limit) {
    if (c->over == 0) c->over = HATO_TOO_LARGE;
    n = c->limit;
  }
  uint32_t in = n < PROTO_INLINE_OUT ? (uint32_t)n : PROTO_INLINE_OUT;
  if (n > in) {
    void *map = mmap(NULL, (size_t)n, PROT_READ, MAP_SHARED, c->printed, 0);
    if (map == MAP_FAILED) return;
    hato__buf_clear(&c->print);
    hato__buf_append(&c->print, map, in);
    put_stream(x, r, PROTO_CH_ERR, 0, map, n, in);
    (void)munmap(map, (size_t)n);
    r->err = c->print.data; /* the record is written after the file is emptied */
  } else if (hato__buf_reserve(&c->print, in)) {
    ssize_t got = pread(c->printed, c->print.data, in, 0);
    put_stream(x, r, PROTO_CH_ERR, 0, c->print.data, got > 0 ? (uint64_t)got : 0, got > 0 ? (uint32_t)got : 0);
  }
  if (c->print.failed) {
    hato__buf_clear(&c->print);
    r->err_len = 0;
  }
}

static void take_printed(executor *x, proto_result *r) {
  executor_caller *c = &x->caller;
  if (__fpending(stdout) > 0) (void)fflush(stdout);
  off_t n = lseek(c->printed, 0, SEEK_CUR);
  if (n <= 0) return;
  put_printed(x, r, (uint64_t)n);
  (void)ftruncate(c->printed, 0);
  (void)lseek(c->printed, 0, SEEK_SET);
}

static void set_failure(executor *x, proto_result *r, int rc) {
  executor_caller *c = &x->caller;
  if (rc != 0) {
    r->flags |= PROTO_RESULT_USAGE;
    r->wait_status = ((uint32_t)rc & 0xff ? (uint32_t)rc & 0xff : 1u) << 8;
    r->words = c->words;
    r->words_len = (uint32_t)strlen(c->words);
  }
  if (c->over == HATO_TOO_LARGE)
    executor_refuse(x, HATO_TOO_LARGE, "a result of more than %llu bytes", (unsigned long long)c->limit);
  else if (c->over != 0)
    executor_refuse(x, HATO_NO_MEMORY, "out of memory for a result");
  r->error = x->task.value ? x->task.value : x->error;
  if (x->error == 0) return;
  r->words = x->words;
  r->words_len = (uint32_t)strlen(x->words);
}

/* Results share a write, but not for long, and the daemon is listened to now and then. */
static void pass_on(executor *x, const proto_result *r, uint64_t now) {
  executor_caller *c = &x->caller;
  bool more = !executor_queue_empty(x);
  size_t unsent = executor_link_result(&x->link, r, now, more);
  x->task.active = false;
  c->clock = now;
  if (c->first == 0) c->first = now;
  if (!more || (unsent < EXECUTOR_OUT_FULL && now - c->first < EXECUTOR_CALL_DELAY_NS)) return;
  if (executor_link_send(&x->link) > BACKLOG) executor_flush(x);
  executor_receive(x, false);
  c->clock = c->first = 0;
}

static void finish(executor *x, int rc, uint64_t began) {
  executor_caller *c = &x->caller;
  uint64_t end = hato__now();
  proto_result r = {.task = x->task.id, .attempt = x->task.attempt, .wall_ns = end - began};
  take_printed(x, &r);
  bool large = c->passed > 0 || c->out.len > PROTO_INLINE_OUT;
  put_stream(x, &r, PROTO_CH_OUT, c->passed, c->out.data, c->out.len, large ? 0 : (uint32_t)c->out.len);
  if ((rc | c->over | x->error | x->task.value) != 0) set_failure(x, &r, rc);
  if (!x->link.closed) pass_on(x, &r, end);
  if (x->task.large) executor_input_close(x);
  if (c->out.cap > KEEP) hato__buf_free(&c->out);
}

static void report_failure(executor *x) {
  uint16_t value = x->task.value ? x->task.value : x->error;
  x->task.active = false;
  if (x->task.large) executor_input_close(x);
  if (!x->link.closed)
    executor_report_error(x, x->task.id, x->task.attempt, value, x->error ? x->words : NULL);
  x->caller.clock = 0;
}

void executor_call_run(executor *x) {
  executor_caller *c = &x->caller;
  if (!get_ready(x)) return;
  if (!x->calling) { /* what functions start should not inherit a blocked SIGCHLD */
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    x->calling = true;
    c->spec = NULL;
  }
  if (!x->task.batch->looked && !look_at_object(x)) return;
  if ((c->spec != x->task.spec && !set_spec(x)) || !set_input(x)) {
    report_failure(x);
    return;
  }
  c->call.task = x->task.id;
  c->call.attempt = x->task.attempt;
  c->call.index = x->task.index;
  c->out.len = 0;
  c->passed = 0;
  c->reserved = 0;
  c->over = 0;
  c->words[0] = 0;
  uint64_t began = c->clock && !x->task.large ? c->clock : hato__now();
  atomic_store_explicit(&x->link.in_call, true, memory_order_release);
  int rc = c->spec->function(&c->call);
  atomic_store_explicit(&x->link.in_call, false, memory_order_release);
  finish(x, rc, began);
}

void executor_call_free(executor *x) {
  executor_caller *c = &x->caller;
  executor_flusher_stop(x);
  executor_objects_free(x);
  executor_crash_ignore(x);
  if (c->ready) close(c->printed);
  hato__buf_free(&c->out);
  hato__buf_free(&c->input);
  hato__buf_free(&c->print);
}

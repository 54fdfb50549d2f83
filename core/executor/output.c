/* Output of the command that runs: the first bytes for its record, the rest in pieces. */
#include "executor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PIPE_SIZE (256 * 1024) /* of a stream that turned out to be long */

static uint64_t limit_of(const executor *x) {
  uint64_t limit = x->task.spec->s.output_limit;
  return limit ? limit : PROTO_PAYLOAD_MAX;
}

static uint64_t *credit_of(executor *x, const executor_stream *s) {
  return &x->credit[s->channel == PROTO_CH_ERR];
}

static size_t head_room(const executor *x, const executor_stream *s) {
  if ((x->task.spec->s.flags & PROTO_SPEC_LIVE) || s->pieces > 0) return 0;
  return PROTO_INLINE_OUT - s->head.len;
}

static bool stream_open(executor *x, executor_stream *s, uint8_t channel) {
  int p[2];
  if (pipe2(p, O_CLOEXEC) < 0) {
    executor_explain(x, EXECUTOR_STEP_EXEC, errno, x->task.spec->s.argv[0]);
    return false;
  }
  s->channel = channel;
  s->fd = p[0];
  s->child = p[1];
  return true;
}

static void stream_reset(executor_stream *s) {
  s->fd = s->child = -1;
  s->total = s->pieces = 0;
  hato__buf_clear(&s->head);
}

bool executor_output_open(executor *x, executor_plan *plan) {
  executor_command *c = &x->command;
  stream_reset(&c->out);
  stream_reset(&c->err);
  if (x->task.spec->s.output_to != NULL) return executor_files_open(x, plan);
  if (!stream_open(x, &c->out, PROTO_CH_OUT)) return false;
  plan->out = plan->err = c->out.child;
  if (x->task.spec->s.flags & PROTO_SPEC_MERGE) return true;
  if (!stream_open(x, &c->err, PROTO_CH_ERR)) return false;
  plan->err = c->err.child;
  return true;
}

bool executor_output_wants(executor *x, const executor_stream *s) {
  if (s->fd < 0) return false;
  if (s->total >= limit_of(x) || head_room(x, s) > 0) return true;
  return x->credit[s->channel == PROTO_CH_ERR] > 0 && executor_link_unsent(&x->link) < EXECUTOR_OUT_HIGH;
}

/* Past the limit: the task is ended. What still comes is dropped, so that it can say goodbye. */
static void drop(executor *x, executor_stream *s) {
  uint8_t scrap[4096];
  if (read(s->fd, scrap, sizeof scrap) <= 0) return;
  if (x->error != 0) return;
  executor_refuse(x, HATO_TOO_LARGE, "ended: more than %llu bytes on its standard %s",
                  (unsigned long long)limit_of(x), s->channel == PROTO_CH_ERR ? "error" : "output");
  executor_command_interrupt(x);
}

static void read_head(executor *x, executor_stream *s, size_t room) {
  if (!hato__buf_reserve(&s->head, PROTO_INLINE_OUT - s->head.len)) {
    executor_refuse(x, HATO_NO_MEMORY, "out of memory for output");
    executor_command_interrupt(x);
    return;
  }
  ssize_t n = read(s->fd, s->head.data + s->head.len, room);
  if (n <= 0) return;
  s->head.len += (size_t)n;
  s->total += (uint64_t)n;
}

/* Straight from the pipe into the outgoing frames. */
static void read_piece(executor *x, executor_stream *s, size_t room) {
  if (s->pieces == 0) (void)fcntl(s->fd, F_SETPIPE_SZ, PIPE_SIZE);
  proto_piece p = {.task = x->task.id, .attempt = x->task.attempt, .channel = s->channel};
  hato__buf *out = executor_link_begin(&x->link);
  ssize_t n = -1;
  if (hato__buf_reserve(out, PROTO_PIECE_HEAD + room))
    n = read(s->fd, out->data + out->len + PROTO_PIECE_HEAD, room);
  if (n > 0) {
    p.len = (uint32_t)n;
    proto_piece_head_encode(out, &p);
    out->len += (size_t)n;
    s->total += (uint64_t)n;
    s->pieces += (uint64_t)n;
    *credit_of(x, s) -= (uint64_t)n;
  }
  executor_link_end(&x->link);
}

void executor_output_read(executor *x, executor_stream *s) {
  uint64_t room = limit_of(x) - s->total;
  size_t head = head_room(x, s);
  if (room == 0) {
    drop(x, s);
  } else if (head > 0) {
    read_head(x, s, room < head ? (size_t)room : head);
  } else {
    if (room > *credit_of(x, s)) room = *credit_of(x, s);
    if (room > PROTO_PIECE_DATA) room = PROTO_PIECE_DATA;
    if (room > 0) read_piece(x, s, (size_t)room);
  }
}

bool executor_output_drain(executor *x, executor_stream *s) {
  if (s->fd < 0) return true;
  for (;;) {
    int there = 0;
    if (ioctl(s->fd, FIONREAD, &there) < 0 || there <= 0) return true;
    if (!executor_output_wants(x, s)) {
      /* Nobody is to wait for a receiver that takes nothing, when the task was ended. */
      return x->task.value != 0 || x->error != 0;
    }
    executor_output_read(x, s);
    if (x->link.closed || s->head.failed) return true;
  }
}

static void stream_close(executor_stream *s) {
  if (s->fd >= 0) close(s->fd);
  if (s->child >= 0) close(s->child);
  s->fd = s->child = -1;
}

void executor_output_close(executor *x) {
  stream_close(&x->command.out);
  stream_close(&x->command.err);
}

void executor_output_last(executor *x, const executor_stream *s) {
  if (s->pieces == 0) return;
  proto_piece p = {.task = x->task.id, .attempt = x->task.attempt, .channel = s->channel, .last = true};
  proto_piece_encode(executor_link_begin(&x->link), &p);
  executor_link_end(&x->link);
}

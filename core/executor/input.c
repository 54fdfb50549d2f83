/* Standard input of a command, and arguments that come in pieces. */
#include "base/error.h"
#include "executor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define GRANT (PROTO_WINDOW / 2) /* credit is renewed in steps of this */

static bool open_path(executor *x, executor_plan *plan) {
  executor_input *in = &x->input;
  const char *given = x->task.spec->s.stdin_path;
  hato__buf path = {0};
  executor_path(x, &path, given ? given : "");
  /* Without O_NONBLOCK a FIFO that nobody writes to would hold the executor. */
  if (!path.failed) in->child = open((char *)path.data, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  int e = path.failed ? ENOMEM : errno;
  struct stat st;
  if (in->child >= 0 && fstat(in->child, &st) == 0 && S_ISDIR(st.st_mode)) {
    close(in->child);
    in->child = -1;
    e = EISDIR;
  }
  if (in->child < 0)
    executor_explain(x, EXECUTOR_STEP_STDIN, e, path.data ? (char *)path.data : "standard input");
  else
    (void)fcntl(in->child, F_SETFL, O_RDONLY);
  hato__buf_free(&path);
  plan->in = in->child;
  return in->child >= 0;
}

static bool open_pipe(executor *x, executor_plan *plan) {
  executor_input *in = &x->input;
  int p[2];
  if (pipe2(p, O_CLOEXEC) < 0) {
    executor_explain(x, EXECUTOR_STEP_EXEC, errno, x->task.spec->s.argv[0]);
    return false;
  }
  plan->in = in->child = p[0];
  in->fd = p[1];
  (void)fcntl(in->fd, F_SETFL, O_WRONLY | O_NONBLOCK);
  return true;
}

static void reset(executor *x) {
  executor_input *in = &x->input;
  in->fd = in->child = -1;
  in->at = 0;
  hato__buf_clear(&in->wait);
  in->over = x->task.batch->in_over;
  in->value = x->task.batch->in_value;
  in->owed = 0;
}

/* After pieces were taken: the sender gave up, all is there, or there is more to grant. */
static void tend(executor *x) {
  executor_input *in = &x->input;
  if (in->value != 0 && x->error == 0) {
    executor_refuse(x, (hato_status)in->value, "its input did not come to an end");
    executor_command_interrupt(x);
  }
  if (in->over && in->fd >= 0 && in->at == in->wait.len) {
    close(in->fd);
    in->fd = -1;
  }
  if (!in->over && in->owed >= GRANT) {
    executor_grant(x, in->owed);
    in->owed = 0;
  }
}

bool executor_input_open(executor *x, executor_plan *plan) {
  executor_input *in = &x->input;
  const executor_task *t = &x->task;
  reset(x);
  if (t->spec->s.stdin_kind == PROTO_STDIN_FILE) return open_path(x, plan);
  if (t->spec->s.stdin_kind != PROTO_STDIN_ARG || !t->has_arg) return true; /* /dev/null, which is our own */
  if (!open_pipe(x, plan)) return false;
  if (t->large) {
    if (!in->over) executor_grant(x, PROTO_WINDOW);
    tend(x);
    return x->error == 0;
  }
  in->over = true;
  hato__buf_append(&in->wait, t->arg, t->arg_len);
  if (in->wait.failed) {
    executor_refuse(x, HATO_NO_MEMORY, "out of memory for its input");
    return false;
  }
  executor_input_write(x); /* a pipe takes it whole, but for users with very many pipes */
  return true;
}

bool executor_input_collect(executor *x, uint64_t most) {
  executor_input *in = &x->input;
  hato_error err;
  reset(x);
  in->blob = hato__blob_create(x->opts.spool, (size_t)x->opts.memory_payload);
  if (in->blob == NULL) {
    executor_refuse(x, HATO_NO_MEMORY, "out of memory for its argument");
    return false;
  }
  if (x->task.total != UINT64_MAX && hato__blob_expect(in->blob, x->task.total + 1, &err) != HATO_OK) {
    executor_refuse(x, err.status, "%s", err.text);
    return false;
  }
  if (!in->over) executor_grant(x, PROTO_WINDOW);
  tend(x);
  while (!in->over && hato__blob_size(in->blob) <= most && x->error == 0 && x->task.value == 0 && !x->link.closed) {
    executor_flush(x);
    executor_receive(x, true);
  }
  return x->error == 0 && x->task.value == 0 && !x->link.closed;
}

/* A command that closed its input wants no more of it: nothing more is granted. */
static void abandon(executor_input *in) {
  close(in->fd);
  in->fd = -1;
  in->over = true;
  in->at = 0;
  hato__buf_clear(&in->wait);
}

/* Writes; the bytes that the pipe took. */
static size_t put(executor_input *in, const uint8_t *data, size_t n) {
  size_t done = 0;
  while (done < n) {
    ssize_t w = write(in->fd, data + done, n - done);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0 && errno != EAGAIN) abandon(in);
    if (w <= 0) break;
    done += (size_t)w;
  }
  return done;
}

static void taken_of(executor *x, const proto_piece *p, size_t taken) {
  executor_input *in = &x->input;
  in->owed += taken;
  if (p->last) {
    in->over = true;
    in->value = p->status;
  }
  tend(x);
}

uint8_t *executor_input_room(executor *x, const proto_piece *p) {
  executor_input *in = &x->input;
  return in->over || in->blob == NULL ? NULL : hato__blob_room(in->blob, p->len);
}

void executor_input_placed(executor *x, const proto_piece *p) {
  hato__blob_filled(x->input.blob, p->len);
  taken_of(x, p, p->len);
}

void executor_input_piece(executor *x, const proto_piece *p) {
  executor_input *in = &x->input;
  if (in->over || (in->fd < 0 && in->blob == NULL)) return;
  size_t taken = 0;
  if (in->blob != NULL) {
    hato_error err;
    if (hato__blob_append(in->blob, p->data, p->len, &err) != HATO_OK)
      executor_refuse(x, err.status, "%s", err.text);
    taken = p->len;
  } else {
    if (in->at == in->wait.len) taken = put(in, p->data, p->len);
    if (in->fd >= 0 && taken < p->len) {
      hato__buf_append(&in->wait, p->data + taken, p->len - taken);
      if (in->wait.failed) executor_stop(x, EXECUTOR_EXIT_FAILED, "out of memory for input");
    }
  }
  taken_of(x, p, taken);
}

void executor_input_write(executor *x) {
  executor_input *in = &x->input;
  if (in->fd < 0) return;
  size_t n = put(in, in->wait.data + in->at, in->wait.len - in->at);
  if (in->fd < 0) return; /* abandoned */
  in->at += n;
  in->owed += n;
  if (in->at == in->wait.len) {
    in->at = 0;
    hato__buf_clear(&in->wait);
  } else if (in->at > in->wait.len / 2) {
    hato__buf_consume(&in->wait, in->at);
    in->at = 0;
  }
  tend(x);
}

void executor_input_close(executor *x) {
  executor_input *in = &x->input;
  if (in->fd >= 0) close(in->fd);
  if (in->child >= 0) close(in->child);
  in->fd = in->child = -1;
  in->at = 0;
  if (in->wait.cap > PROTO_INLINE_ARG) hato__buf_free(&in->wait); /* not to be the memory of every child */
  hato__blob_destroy(in->blob);
  in->blob = NULL;
}

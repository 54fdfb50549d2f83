/* Output that is written on this machine and not sent: the files of output_to. */
#include "executor/state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *starts(const char *s, const char *with) {
  size_t n = strlen(with);
  return strncmp(s, with, n) == 0 ? s + n : NULL;
}

/* The argument as one name: an output file does not wander into other folders, be it by a / or as "..". */
static void put_argument(hato__buf *out, const executor_task *t) {
  bool dots = true;
  for (uint32_t i = 0; i < t->arg_len; i++) dots = dots && t->arg[i] == '.';
  for (uint32_t i = 0; i < t->arg_len; i++) hato__buf_u8(out, t->arg[i] == '/' || dots ? '_' : t->arg[i]);
}

static void fill_pattern(hato__buf *out, const executor *x, const char *stream) {
  const executor_task *t = &x->task;
  const char *s = t->spec->s.output_to, *next;
  while (*s != 0) {
    if ((next = starts(s, "{#}")) != NULL)
      hato__buf_printf(out, "%" PRIu64, (uint64_t)t->index + 1);
    else if ((next = starts(s, "{id}")) != NULL)
      hato__buf_printf(out, "%" PRIu64, t->id);
    else if ((next = starts(s, "{stream}")) != NULL)
      hato__buf_printf(out, "%s", stream);
    else if (!t->large && (next = starts(s, "{}")) != NULL)
      put_argument(out, t);
    else {
      next = s + 1;
      hato__buf_u8(out, (uint8_t)*s);
    }
    s = next;
  }
  hato__buf_u8(out, 0);
}

/* Makes the folders above a file that are not there. */
static void make_folders(char *path) {
  for (char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
    *p = 0;
    (void)mkdir(path, 0777); /* less the task's umask; the open that follows tells of failure */
    *p = '/';
  }
}

static int open_file(executor *x, const char *stream) {
  hato__buf name = {0}, path = {0};
  int fd = -1, e = ENOMEM;
  fill_pattern(&name, x, stream);
  if (!name.failed && strlen((char *)name.data) + 1 != name.len) {
    executor_refuse(x, HATO_INVALID, "an argument with a NUL byte cannot name an output file");
    e = 0;
  } else if (!name.failed) {
    executor_path(x, &path, (char *)name.data);
    if (!path.failed) {
      int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY;
      fd = open((char *)path.data, flags, 0666);
      if (fd < 0 && errno == ENOENT) {
        make_folders((char *)path.data);
        fd = open((char *)path.data, flags, 0666);
      }
      e = errno;
    }
  }
  if (fd < 0 && e != 0)
    executor_explain(x, EXECUTOR_STEP_OUTPUT, e, path.data ? (char *)path.data : "output");
  hato__buf_free(&name);
  hato__buf_free(&path);
  return fd;
}

bool executor_files_open(executor *x, executor_plan *plan) {
  executor_command *c = &x->command;
  const proto_spec *s = &x->task.spec->s;
  if ((c->out.child = open_file(x, "out")) < 0) return false;
  plan->out = plan->err = c->out.child;
  /* A pattern that does not tell the streams apart is one file for both. */
  if ((s->flags & PROTO_SPEC_MERGE) || strstr(s->output_to, "{stream}") == NULL) return true;
  if ((c->err.child = open_file(x, "err")) < 0) return false;
  plan->err = c->err.child;
  return true;
}

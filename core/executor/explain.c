/* Why a command did not start, in words that name the node and the path. */
#include "base/error.h"
#include "executor/state.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

void executor_refuse(executor *x, hato_status status, const char *fmt, ...) {
  if (x->error != 0) return; /* the first cause counts */
  x->error = (uint16_t)status;
  int n = snprintf(x->words, sizeof x->words, "%s: ", x->node);
  if (n < 0 || (size_t)n >= sizeof x->words) return;
  va_list ap;
  va_start(ap, fmt);
  (void)vsnprintf(x->words + n, sizeof x->words - (size_t)n, fmt, ap);
  va_end(ap);
}

void executor_path(const executor *x, hato__buf *out, const char *path) {
  const char *cwd = x->task.spec->s.cwd;
  if (*path != '/' && cwd != NULL)
    hato__buf_printf(out, "%s/%s", cwd, path);
  else
    hato__buf_printf(out, "%s", path);
  hato__buf_append(out, "", 1);
}

static bool look(const executor *x, const char *path, struct stat *st) {
  hato__buf full = {0};
  executor_path(x, &full, path);
  bool there = !full.failed && stat((const char *)full.data, st) == 0;
  hato__buf_free(&full);
  return there;
}

static hato_status status_of(int e) {
  switch (e) {
  case ENOTDIR:
    return HATO_NOT_FOUND;
  case EISDIR:
    return HATO_PERMISSION;
  case ENOEXEC:
    return HATO_NOT_SUPPORTED;
  case E2BIG:
  case ENAMETOOLONG:
    return HATO_TOO_LARGE;
  default:
    return hato__status_of_errno(e);
  }
}

static void explain_folder(executor *x, int e, const char *folder) {
  hato_status status = status_of(e);
  if (e == ENOENT)
    executor_refuse(x, status, "no such folder: %s", folder);
  else if (e == EACCES)
    executor_refuse(x, status, "no permission to enter the folder %s", folder);
  else if (e == ENOTDIR)
    executor_refuse(x, status, "%s is not a folder", folder);
  else
    executor_refuse(x, status, "cannot enter the folder %s: %s", folder, strerror(e));
}

static void explain_file(executor *x, executor_step step, int e, const char *path) {
  const char *cwd = x->task.spec->s.cwd;
  const char *verb = step == EXECUTOR_STEP_STDIN ? "read" : "write";
  struct stat st;
  if (e == ENOENT && cwd != NULL && stat(cwd, &st) < 0 && errno == ENOENT)
    explain_folder(x, ENOENT, cwd);
  else if (e == ENOENT)
    executor_refuse(x, HATO_NOT_FOUND, "no such file: %s", path);
  else if (e == EISDIR)
    executor_refuse(x, HATO_PERMISSION, "cannot %s %s: it is a folder", verb, path);
  else if (e == EACCES)
    executor_refuse(x, HATO_PERMISSION, "no permission to %s %s", verb, path);
  else
    executor_refuse(x, status_of(e), "cannot %s %s: %s", verb, path, strerror(e));
}

void executor_explain(executor *x, executor_step step, int e, const char *what) {
  if (step == EXECUTOR_STEP_CHDIR)
    explain_folder(x, e, what);
  else if (step == EXECUTOR_STEP_STDIN || step == EXECUTOR_STEP_OUTPUT)
    explain_file(x, step, e, what);
  else
    executor_refuse(x, status_of(e), "cannot start a process for %s: %s", what, strerror(e));
}

static void explain_absent(executor *x, const executor_plan *plan) {
  const char *program = plan->argv[0], *path = "/usr/bin:/bin";
  struct stat st;
  for (unsigned i = 0; plan->tries[i] != NULL; i++) {
    if (look(x, plan->tries[i], &st)) {
      executor_refuse(x, HATO_NOT_FOUND, "%s is there, but not the interpreter or loader that it names",
                      plan->tries[i]);
      return;
    }
  }
  if (strchr(program, '/') != NULL || *program == 0) {
    bool below = *program != '/' && plan->cwd != NULL;
    executor_refuse(x, HATO_NOT_FOUND, "no such program: %s%s%s%s", program, below ? " (in " : "",
                    below ? plan->cwd : "", below ? ")" : "");
    return;
  }
  for (char *const *p = plan->env; *p != NULL; p++) {
    if (strncmp(*p, "PATH=", 5) == 0) path = *p + 5;
  }
  executor_refuse(x, HATO_NOT_FOUND, "no such program: %s (looked in %s)", program, path);
}

size_t executor_word_max(void) { return 32 * (size_t)sysconf(_SC_PAGESIZE) - 1; } /* MAX_ARG_STRLEN, with its NUL */

/* The longest of the words, and in *sum the bytes of all with their ends and pointers. */
static size_t longest(char *const *words, size_t *sum) {
  size_t most = 0;
  for (; *words != NULL; words++) {
    size_t n = strlen(*words);
    if (n > most) most = n;
    *sum += n + 1 + sizeof *words;
  }
  return most;
}

static void explain_long(executor *x, const executor_plan *plan, const char *path) {
  size_t sum = 0, arg = longest(plan->argv, &sum), var = longest(plan->env, &sum);
  if (arg > executor_word_max())
    executor_refuse(x, HATO_TOO_LARGE, "cannot execute %s: a word of its command line has %zu bytes, at most %zu are taken",
                    path, arg, executor_word_max());
  else if (var > executor_word_max())
    executor_refuse(x, HATO_TOO_LARGE, "cannot execute %s: a variable of its environment has %zu bytes, at most %zu are taken",
                    path, var, executor_word_max());
  else
    executor_refuse(x, HATO_TOO_LARGE, "cannot execute %s: its arguments and environment have %zu bytes, at most %ld are taken",
                    path, sum, sysconf(_SC_ARG_MAX));
}

void executor_explain_exec(executor *x, const executor_plan *plan) {
  const executor_report *r = plan->report;
  const char *path = plan->tries[r->tried];
  struct stat st;
  switch (r->error) {
  case ENOENT:
  case ENOTDIR:
    explain_absent(x, plan);
    return;
  case EACCES:
    if (look(x, path, &st) && S_ISDIR(st.st_mode))
      executor_refuse(x, HATO_PERMISSION, "cannot execute %s: it is a folder", path);
    else
      executor_refuse(x, HATO_PERMISSION, "no permission to execute %s", path);
    return;
  case ENOEXEC:
    executor_refuse(x, HATO_NOT_SUPPORTED,
                    "cannot execute %s: neither a program for this machine nor a script that begins with #!",
                    path);
    return;
  case E2BIG:
    explain_long(x, plan, path);
    return;
  default:
    executor_refuse(x, status_of(r->error), "cannot execute %s: %s", path, strerror(r->error));
  }
}

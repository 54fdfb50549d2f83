/* What a command is started with: argv, environment, the paths its program may be at. */
#include "base/str.h"
#include "executor/state.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_PATH "/usr/bin:/bin" /* as execvp has it, when PATH is not set */

static bool begins(const char *s, const char *with) { return strncmp(s, with, strlen(with)) == 0; }

/* Secrets of hato are not a task's business; what we set ourselves must not stand there twice. */
static bool left_out(const char *var) {
  return begins(var, "HATO_CREDENTIAL") || begins(var, "HATO_SECRET") || begins(var, "HATO_TASK_ID=") ||
         begins(var, "HATO_TASK_INDEX=");
}

static bool make_env(executor_spec *s) {
  size_t n = 0;
  while (s->s.env != NULL && s->s.env[n] != NULL) n++;
  s->env = calloc(n + 3, sizeof *s->env);
  if (s->env == NULL) return false;
  s->env_n = 0;
  for (size_t i = 0; i < n; i++) {
    if (!left_out(s->s.env[i])) s->env[s->env_n++] = s->s.env[i];
  }
  return true;
}

static void free_tries(char **tries) {
  for (char **p = tries; p != NULL && *p != NULL; p++) free(*p);
  free(tries);
}

/* The paths a program may be at: itself, or below each folder of PATH. */
static char **make_tries(const executor_spec *s, const char *program) {
  const char *path = DEFAULT_PATH;
  for (size_t i = 0; i < s->env_n; i++) {
    if (begins(s->env[i], "PATH=")) path = s->env[i] + 5;
  }
  if (*program == 0 || strchr(program, '/') != NULL) path = NULL;
  size_t n = 1, at = 0;
  for (const char *p = path; p != NULL && *p != 0; p++) n += *p == ':';
  char **tries = calloc(n + 1, sizeof *tries);
  if (tries == NULL) return NULL;
  if (path == NULL) {
    tries[at++] = hato__printf("%s", program);
  } else {
    for (size_t i = 0; i < n; i++) {
      size_t len = strcspn(path, ":");
      tries[at++] = len ? hato__printf("%.*s/%s", (int)len, path, program) : hato__printf("./%s", program);
      if (tries[at - 1] == NULL) break;
      path += len + (path[len] == ':');
    }
  }
  if (tries[at - 1] != NULL) return tries;
  free_tries(tries);
  return NULL;
}

/* Appends a word with {} replaced, and its NUL. */
static void fill(hato__buf *out, const char *word, const void *arg, size_t n) {
  for (const char *at; (at = strstr(word, "{}")) != NULL; word = at + 2) {
    hato__buf_append(out, word, (size_t)(at - word));
    hato__buf_append(out, arg, n);
  }
  hato__buf_append(out, word, strlen(word) + 1);
}

/* argv with the argument in it. */
static bool fill_argv(executor *x) {
  executor_command *c = &x->command;
  const executor_task *t = &x->task;
  const proto_spec *s = &t->spec->s;
  size_t argc = 0;
  while (s->argv[argc] != NULL) argc++;
  hato__buf quoted = {0};
  hato__buf_clear(&c->text);
  for (size_t i = 0; i < argc; i++) {
    if (i == argc - 1 && (s->flags & PROTO_SPEC_SHELL)) {
      hato__sh_quote(&quoted, (const char *)t->arg, t->arg_len);
      fill(&c->text, s->argv[i], quoted.data, quoted.len);
    } else {
      fill(&c->text, s->argv[i], t->arg, t->arg_len);
    }
  }
  bool failed = quoted.failed || c->text.failed;
  hato__buf_free(&quoted);
  c->argv = calloc(argc + 1, sizeof *c->argv);
  if (c->argv == NULL || failed) return false;
  char *at = (char *)c->text.data;
  for (size_t i = 0; i < argc; i++) {
    c->argv[i] = at;
    at += strlen(at) + 1;
  }
  return true;
}

static bool substitutes(const executor_task *t) {
  if (!(t->spec->s.flags & PROTO_SPEC_SUBSTITUTE) || !t->has_arg) return false;
  for (char **p = t->spec->s.argv; *p != NULL; p++) {
    if (strstr(*p, "{}") != NULL) return true;
  }
  return false;
}

static void set_env(executor *x, executor_plan *plan) {
  executor_command *c = &x->command;
  executor_spec *s = x->task.spec;
  (void)snprintf(c->id, sizeof c->id, "HATO_TASK_ID=%" PRIu64, x->task.id);
  (void)snprintf(c->index, sizeof c->index, "HATO_TASK_INDEX=%" PRIu64, (uint64_t)x->task.index + 1);
  s->env[s->env_n] = c->id;
  s->env[s->env_n + 1] = c->index;
  plan->env = s->env;
}

/* A large argument for the command line: all of it is collected, and the task has it as it has a small one. */
static bool take_large(executor *x) {
  executor_task *t = &x->task;
  hato_error err;
  uint64_t size = t->total;
  bool known = size != UINT64_MAX;
  if (!known || size <= executor_word_max()) {
    if (!executor_input_collect(x, executor_word_max())) return false;
    size = hato__blob_size(x->input.blob);
  }
  if (size > executor_word_max()) {
    executor_refuse(x, HATO_TOO_LARGE, "an argument of %s%llu bytes is too long for a command line: a word of it has at most %zu",
                    known ? "" : "at least ", (unsigned long long)size, executor_word_max());
    return false;
  }
  const uint8_t *data = hato__blob_data(x->input.blob, &err);
  if (data == NULL) {
    executor_refuse(x, err.status, "%s", err.text);
    return false;
  }
  t->arg = data;
  t->arg_len = (uint32_t)size;
  t->large = false;
  return true;
}

static bool take_argument(executor *x) {
  const executor_task *t = &x->task;
  if (t->large && !take_large(x)) return false;
  if (memchr(t->arg, 0, t->arg_len) == NULL) return true;
  executor_refuse(x, HATO_INVALID, "an argument with a NUL byte cannot stand on a command line");
  return false;
}

bool executor_prepare(executor *x, executor_plan *plan) {
  executor_command *c = &x->command;
  executor_spec *s = x->task.spec;
  bool fills = substitutes(&x->task);
  if (fills && !take_argument(x)) return false;
  if (s->env == NULL && !make_env(s)) goto memory;
  set_env(x, plan);
  plan->cwd = s->s.cwd;
  plan->argv = s->s.argv;
  if (fills) {
    if (!fill_argv(x)) goto memory;
    plan->argv = c->argv;
  }
  if (fills && strstr(s->s.argv[0], "{}") != NULL) {
    if ((c->tries = make_tries(s, c->argv[0])) == NULL) goto memory;
    plan->tries = c->tries;
    return true;
  }
  if (s->tries == NULL && (s->tries = make_tries(s, s->s.argv[0])) == NULL) goto memory;
  plan->tries = s->tries;
  plan->hint = s->hint;
  return true;
memory:
  executor_refuse(x, HATO_NO_MEMORY, "out of memory for a command line");
  return false;
}

void executor_prepare_end(executor *x) {
  executor_command *c = &x->command;
  free(c->argv);
  free_tries(c->tries);
  c->argv = c->tries = NULL;
  if (c->text.cap > PROTO_INLINE_ARG) hato__buf_free(&c->text); /* not to be the memory of every child */
}

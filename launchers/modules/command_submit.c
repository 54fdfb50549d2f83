/* Launching: the submit line and the script are filled in, run, and asked for ids. */
#include "command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- templates ---- */

/* The words of a daemon's command. A variable that the launcher adds stands in front, as `env NAME=VALUE`,
 * since schedulers differ in what they hand on. */
static const char *daemon_words(const hato_host *h, const hato_launch_request *r, const command_job *j,
                                uint32_t i) {
  uint32_t n = 0, k = 0;
  while (r->env[n] != NULL) n++;
  const char **words = h->alloc(h, (r->argc + n + 3) * sizeof *words);
  if (words == NULL) return NULL;
  bool numbered = j->mode != COMMAND_ARRAY;
  if (numbered || n > 0) words[k++] = "env";
  memcpy(words + k, r->env, n * sizeof *words);
  k += n;
  if (numbered) words[k++] = h->format(h, COMMAND_MEMBER_ENV "=%u", i);
  if (numbered && words[k - 1] == NULL) return NULL;
  memcpy(words + k, r->argv, r->argc * sizeof *words);
  return h->quote_words(h, words);
}

enum { VALUES = 11 };

/* What templates may name; all but the last, which is {script}. */
static bool values_of(const hato_host *h, const hato_launch_request *r, const command_job *j, uint32_t i,
                      hato_template_value out[VALUES]) {
  bool array = j->mode == COMMAND_ARRAY;
  long long first = array ? h->option_int(h, r->options, "member-first") : 0;
  const char *log = hato__command_log(h, r->options, j, array ? -1 : (int64_t)i);
  if (j->log_dir != NULL && log == NULL) return false;
  out[0] = (hato_template_value){"daemon", daemon_words(h, r, j, i)};
  out[1] = (hato_template_value){"n", h->format(h, "%u", array ? r->count : 1)};
  out[2] = (hato_template_value){"first", h->format(h, "%lld", first + (array ? 0 : i))};
  out[3] = (hato_template_value){"last", h->format(h, "%lld", first + (array ? r->count - 1 : i))};
  out[4] = (hato_template_value){"tag", r->tag};
  out[5] = (hato_template_value){"log_dir", j->log_dir != NULL ? j->log_dir : "/tmp"};
  out[6] = (hato_template_value){"log", log != NULL ? log : "/dev/null"};
  out[7] = (hato_template_value){"cores", h->format(h, "%u", r->cores != 0 ? r->cores : 1)};
  out[8] = (hato_template_value){"i", h->format(h, "%u", i)};
  out[9] = (hato_template_value){"index", h->format(h, "%lld", first + i)};
  out[10] = (hato_template_value){"script", NULL};
  for (int k = 0; k < VALUES - 1; k++) {
    if (out[k].value == NULL) return false;
  }
  return true;
}

static int write_script(const hato_host *h, const command_job *j, uint32_t i, const char *text,
                        const char **path) {
  const char *dir = j->log_dir != NULL ? j->log_dir : "/tmp";
  *path = j->mode == COMMAND_ARRAY ? h->format(h, "%s/%s.sh", dir, j->tag)
                                   : h->format(h, "%s/%s.%u.sh", dir, j->tag, i);
  if (*path == NULL) return HATO_NO_MEMORY;
  /* Of /tmp nobody else's file is taken; in the folder of logs it may be there of a launch that was not told.
   */
  int fd = open(*path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (j->log_dir != NULL ? O_TRUNC : O_EXCL),
                0700);
  size_t n = strlen(text), at = 0;
  while (fd >= 0 && at < n) {
    ssize_t w = write(fd, text + at, n - at);
    if (w < 0 && errno != EINTR) break;
    at += w > 0 ? (size_t)w : 0;
  }
  int e = errno;
  bool fine = fd >= 0 && at == n && close(fd) == 0;
  if (fd >= 0 && at < n) (void)close(fd);
  return fine ? HATO_OK : h->fail(h, HATO_SYSTEM, "the script %s: %s", *path, strerror(e));
}

typedef struct filled {
  const char *line;   /* for sh */
  const char *script; /* its standard input, or NULL */
  const char *path;   /* of the script's file, or NULL */
} filled;

static int fill(const hato_host *h, const hato_launch_request *r, const command_job *j, uint32_t i,
                filled *out) {
  hato_template_value values[VALUES];
  const char *submit = h->option_string(h, r->options, "submit");
  const char *script = hato__command_script(h, r->options);
  uint32_t n = j->mode == COMMAND_ARRAY ? 8 : VALUES - 1;
  *out = (filled){0};
  if (!values_of(h, r, j, i, values)) return HATO_INVALID; /* said */
  if (script != NULL) {
    out->script = h->expand(h, script, values, n);
    if (out->script == NULL) return HATO_INVALID;
  }
  if (out->script != NULL && hato__command_mentions(submit, "script")) {
    int rc = write_script(h, j, i, out->script, &out->path);
    if (rc != HATO_OK) return rc;
    out->script = NULL;
    values[n++] = (hato_template_value){"script", out->path};
  }
  out->line = h->expand(h, submit, values, n);
  return out->line != NULL ? HATO_OK : HATO_INVALID;
}

/* ---- ids ---- */

static bool set_id(char **at, const char *id) {
  free(*at);
  *at = strdup(id);
  return *at != NULL;
}

static int take_ids(const hato_host *h, const hato_launch_request *r, command_job *j, uint32_t i,
                    hato_run *run) {
  const char *expression = h->option_string(h, r->options, "id");
  uint32_t max = j->mode == COMMAND_ARRAY ? r->count : 1;
  char *copy = h->format(h, "%s", run->out);
  const char **ids = h->alloc(h, max * sizeof *ids);
  if (copy == NULL || ids == NULL) return HATO_NO_MEMORY;
  uint32_t n = hato__command_ids(expression, copy, ids, max);
  if (n == 0)
    return h->fail(
        h, HATO_PROTOCOL, "submit succeeded, but no id%s%s%s is in what it printed: '%.300s'%s%.100s",
        expression != NULL ? " by '" : "", expression != NULL ? expression : "",
        expression != NULL ? "'" : "", run->out, run->err[0] != 0 ? "; on standard error: " : "", run->err);
  if (j->mode != COMMAND_ARRAY) return set_id(&j->members[i].id, ids[0]) ? HATO_OK : HATO_NO_MEMORY;
  if (n == 1) return set_id(&j->whole, ids[0]) ? HATO_OK : HATO_NO_MEMORY;
  if (n != r->count)
    return h->fail(h, HATO_PROTOCOL,
                   "submit printed %u ids, expected one for the array or one for each of its %u "
                   "members: '%.300s'",
                   n, r->count, run->out);
  for (uint32_t k = 0; k < n; k++) {
    if (!set_id(&j->members[k].id, ids[k])) return HATO_NO_MEMORY;
  }
  return HATO_OK;
}

/* ---- one submit ---- */

static const char *const *environment(const hato_host *h, const hato_launch_request *r) {
  uint32_t n = 0;
  while (r->env[n] != NULL) n++;
  const char **env = h->alloc(h, (n + 2) * sizeof *env);
  if (env == NULL) return NULL;
  memcpy(env, r->env, n * sizeof *env);
  env[n] = h->format(h, "HATO_LAUNCH_TAG=%s", r->tag);
  return env[n] != NULL ? env : NULL;
}

static int submit(command *c, const hato_host *h, const hato_launch_request *r, command_job *j, uint32_t i) {
  filled f;
  int rc = fill(h, r, j, i, &f);
  if (rc == HATO_OK && j->mode == COMMAND_HOLD) return hato__command_hold(c, h, r, j, i, f.line);
  hato_run run = {.env = rc == HATO_OK ? environment(h, r) : NULL,
                  .input = f.script,
                  .input_len = f.script != NULL ? strlen(f.script) : 0};
  if (rc == HATO_OK && run.env == NULL) rc = HATO_NO_MEMORY;
  if (rc == HATO_OK) rc = hato__command_run(h, "submit", f.line, NULL, &run);
  if (f.path != NULL) (void)unlink(f.path);
  return rc == HATO_OK ? take_ids(h, r, j, i, &run) : rc;
}

/* ---- all of them ---- */

/* All or none: `made` members are submitted and have to go. The words of the failure stand, unless that fails
 * as well. */
static void undo(command *c, const hato_host *h, const hato_launch_request *r, command_job *j,
                 uint32_t made) {
  const char **ids = h->alloc(h, (made + 1) * sizeof *ids),
             *cancel = h->option_string(h, r->options, "cancel");
  if (j->mode == COMMAND_HOLD) {
    hato__command_hold_kill(c, j);
    return;
  }
  for (uint32_t i = 0; ids != NULL && i < made; i++) ids[i] = hato__command_id(j, i);
  /* By its tag one is found also that was submitted without saying its id. */
  if (ids != NULL && made == 0 && cancel != NULL && hato__command_mentions(cancel, "tag") &&
      !hato__command_mentions(cancel, "ids") && !hato__command_mentions(cancel, "id"))
    ids[made++] = "-";
  if (made > 0 && ids != NULL) {
    if (cancel == NULL)
      h->log(h, HATO_LEVEL_WARN, "%u members of launch %s stay submitted: there is no cancel line", made,
             r->tag);
    else if (hato__command_run_ids(h, r->options, "cancel", r->tag, ids, made, NULL, NULL) != HATO_OK)
      h->log(h, HATO_LEVEL_WARN, "%u members of launch %s could not be cancelled", made, r->tag);
  }
}

static int failed(command *c, const hato_host *h, const hato_launch_request *r, command_job *j, uint32_t made,
                  int rc) {
  undo(c, h, r, j, made);
  hato__command_unkeep(j);
  hato__command_drop(c, j);
  return rc;
}

int hato__command_launch(void *state, const hato_host *h, const hato_launch_request *r,
                         hato_launch_record *record) {
  command *c = state;
  command_mode mode;
  if (hato__command_find(c, r->id) != NULL) return h->fail(h, HATO_EXISTS, "launch %s exists", r->tag);
  int rc = hato__command_mode(h, r->options, &mode);
  if (rc != HATO_OK) return rc;
  if (r->secret_way != 0 && r->secret_way != HATO_SECRET_FILE &&
      !(mode == COMMAND_HOLD && r->secret_way == HATO_SECRET_STDIN))
    return h->fail(h, HATO_NOT_SUPPORTED,
                   "command hands secrets over by a file, or with hold=yes secret=stdin");
  command_job *j = hato__command_make(c, h, r->id, r->count, mode, r->tag, r->log_dir);
  if (j == NULL) return HATO_NO_MEMORY;
  uint32_t submits = mode == COMMAND_ARRAY ? 1 : r->count;
  for (uint32_t i = 0; i < submits; i++) {
    if (h->should_abort(h))
      return failed(c, h, r, j, i,
                    h->fail(h, HATO_INTERRUPTED, "interrupted after %u of %u submits", i, submits));
    rc = submit(c, h, r, j, i);
    if (rc != HATO_OK) return failed(c, h, r, j, i, rc);
    rc = hato__command_note(h, j, i);
    if (rc != HATO_OK) return failed(c, h, r, j, i + 1, rc);
    if (submits > 20 && i % 20 == 19) h->progress(h, "submitted %u of %u", i + 1, submits);
  }
  hato__command_record(j, record);
  hato__command_tell_submitted(h, r->options, r->flags, j);
  hato__command_hold_arm(c);
  return HATO_OK;
}

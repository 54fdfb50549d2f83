/* How a task ended, for people and for programs. */
#include "cli/task.h"

#include "base/str.h"
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

bool cli_task_failed(const hato_result *r) { return r->error || r->wait_status; }

void cli_task_outcome(const hato_result *r, char *out, size_t n) {
  if (r->error) {
    snprintf(out, n, "%s (error value %d)", *r->words ? r->words : hato_strerror(r->error), r->error);
  } else if (WIFSIGNALED(r->wait_status)) {
    const char *name = sigabbrev_np(WTERMSIG(r->wait_status));
    snprintf(out, n, "ended by signal %d%s%s%s", WTERMSIG(r->wait_status), name ? " (" : "", name ? name : "",
             name ? ")" : "");
  } else {
    snprintf(out, n, "exit status %d", WEXITSTATUS(r->wait_status));
  }
}

static void add_base64(json_t *o, const char *key, const void *data, size_t n) {
  char name[64], *text = malloc((n + 2) / 3 * 4 + 1);
  snprintf(name, sizeof name, "%s_base64", key);
  if (!text) return;
  hato__base64(text, data, n);
  json_object_set_new(o, name, json_string(text));
  free(text);
}

void cli_task_json_bytes(json_t *o, const char *key, const void *data, size_t n) {
  json_t *text = json_stringn(n ? data : "", n);
  if (text) {
    json_object_set_new(o, key, text);
  } else {
    add_base64(o, key, data, n);
  }
}

json_t *cli_task_json(const hato_result *r) {
  json_t *o = json_object();
  if (!o) return NULL;
  json_object_set_new(o, "task", json_integer((json_int_t)r->task));
  if (r->error) {
    json_object_set_new(o, "error", json_integer(r->error));
    json_object_set_new(o, "words", json_string(*r->words ? r->words : hato_strerror(r->error)));
  } else if (WIFSIGNALED(r->wait_status)) {
    json_object_set_new(o, "signal", json_integer(WTERMSIG(r->wait_status)));
  } else {
    json_object_set_new(o, "exit", json_integer(WEXITSTATUS(r->wait_status)));
  }
  json_object_set_new(o, "wall", json_real(r->wall_s));
  json_object_set_new(o, "user", json_real(r->user_s));
  json_object_set_new(o, "system", json_real(r->system_s));
  json_object_set_new(o, "peak", json_integer((json_int_t)r->peak_kib));
  cli_task_json_bytes(o, "out", r->out, r->out_size);
  cli_task_json_bytes(o, "err", r->err, r->err_size);
  return o;
}

/* Processes as lock and address name them: whether they live, and in words. */
#include "base/buf.h"
#include "base/error.h"
#include "base/io.h"
#include "session/internal.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void hato__process_self(hato__process *p) {
  *p = (hato__process){0};
  hato__hostname(p->host, sizeof p->host);
  hato__boot_id(p->boot_id);
  p->pid = getpid();
  p->start_time = hato__process_start(p->pid);
}

session_judgement session__judge(const hato__process *p) {
  hato__process self;
  hato__process_self(&self);
  if (strcmp(p->host, self.host) != 0) return PROCESS_ELSEWHERE;
  if (strcmp(p->boot_id, self.boot_id) != 0) return PROCESS_REBOOTED;
  return hato__process_lives(p->pid, p->start_time) ? PROCESS_LIVE : PROCESS_DEAD;
}

void session__describe(const hato__process *p, session_judgement j, char *out, size_t n) {
  long pid = (long)p->pid;
  switch (j) {
  case PROCESS_LIVE:
    (void)snprintf(out, n, "process %ld on this host (%s)%s", pid, p->host,
                   p->pid == getpid() ? ", which is us" : "");
    break;
  case PROCESS_DEAD:
    (void)snprintf(out, n, "process %ld on this host, which is dead", pid);
    break;
  case PROCESS_REBOOTED:
    (void)snprintf(out, n, "process %ld on this host (%s), which was rebooted since", pid, p->host);
    break;
  case PROCESS_ELSEWHERE:
    (void)snprintf(out, n, "process %ld on host %s", pid, p->host);
    break;
  }
}

json_t *session__process_json(const hato__process *p) {
  return json_pack("{s:s, s:s, s:I, s:I}", "host", p->host, "boot_id", p->boot_id, "pid", (json_int_t)p->pid,
                   "start_time", (json_int_t)p->start_time);
}

static bool text_field(const json_t *j, const char *key, char *out, size_t n) {
  const char *s = json_string_value(json_object_get(j, key));
  if (s == NULL || strlen(s) >= n) return false;
  (void)snprintf(out, n, "%s", s);
  return true;
}

bool session__process_parse(const json_t *j, hato__process *p) {
  *p = (hato__process){0};
  const json_t *pid = json_object_get(j, "pid"), *start = json_object_get(j, "start_time");
  if (!text_field(j, "host", p->host, sizeof p->host)) return false;
  if (!text_field(j, "boot_id", p->boot_id, sizeof p->boot_id)) return false;
  if (!json_is_integer(pid) || !json_is_integer(start)) return false;
  json_int_t n = json_integer_value(pid);
  if (n <= 0 || n > INT_MAX || json_integer_value(start) < 0) return false;
  p->pid = (pid_t)n;
  p->start_time = (uint64_t)json_integer_value(start);
  return true;
}

hato_status session__read_json(const char *path, json_t **out, hato_error *err) {
  *out = NULL;
  hato__buf text = {0};
  hato_status rc = hato__read_file(path, SMALL_FILE, &text, err);
  if (rc == HATO_OK) {
    json_error_t why;
    *out = json_loadb(text.len ? (const char *)text.data : "", text.len, JSON_REJECT_DUPLICATES, &why);
    if (!json_is_object(*out)) {
      rc = hato__fail(err, HATO_INVALID, "%s: found %s, wanted a JSON object", path,
                      *out != NULL ? "another JSON value" : why.text);
      json_decref(*out);
      *out = NULL;
    }
  }
  hato__buf_free(&text);
  return rc;
}

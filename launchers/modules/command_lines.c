/* The lines of the configuration: their templates filled in, and run by sh. */
#include "command.h"

#include <stdlib.h>
#include <string.h>

#define BATCH ((size_t)60000) /* bytes of ids on one command line: the kernel takes 131,071 a word */

bool hato__command_mentions(const char *text, const char *name) {
  size_t n = strlen(name);
  for (const char *at = text; at != NULL && (at = strchr(at, '{')) != NULL;) {
    if (at[1] == '{') {
      at += 2;
      continue;
    }
    if (strncmp(at + 1, name, n) == 0 && (at[1 + n] == '}' || strncmp(at + 1 + n, ":q}", 3) == 0))
      return true;
    at++;
  }
  return false;
}

const char *hato__command_script(const hato_host *h, const hato_launcher_options *o) {
  const char *const *lines = h->option_list(h, o, "script");
  size_t n = sizeof "#!/bin/sh\n";
  if (lines[0] == NULL) return NULL;
  for (size_t i = 0; lines[i] != NULL; i++) n += strlen(lines[i]) + 1;
  char *text = h->alloc(h, n);
  if (text == NULL) return NULL;
  if (strncmp(lines[0], "#!", 2) != 0) text = stpcpy(text, "#!/bin/sh\n") - 10;
  char *at = text + strlen(text);
  for (size_t i = 0; lines[i] != NULL; i++) {
    at = stpcpy(at, lines[i]);
    at = stpcpy(at, "\n");
  }
  return text;
}

/* ---- running ---- */

/* The last of what a command said, in one line. */
static const char *said(const hato_host *h, const hato_run *run) {
  const char *text = run->err[strspn(run->err, " \t\r\n")] != 0 ? run->err : run->out;
  size_t n = strlen(text);
  while (n > 0 && strchr(" \t\r\n", text[n - 1]) != NULL) n--;
  if (n == 0) return "it said nothing";
  size_t from = n > 300 ? n - 300 : 0;
  char *line = h->format(h, "%.*s", (int)(n - from), text + from);
  for (char *c = line; c != NULL && *c != 0; c++) {
    if ((unsigned char)*c < ' ') *c = ' ';
  }
  return line != NULL ? line : "";
}

static bool allowed_exit(const char *allowed, int code) {
  for (const char *at = allowed; at != NULL && *at != 0;) {
    char *end;
    long value = strtol(at, &end, 10);
    if (end != at && value == code) return true;
    at = end != at ? end : at + 1;
  }
  return code == 0;
}

int hato__command_run(const hato_host *h, const char *name, const char *line, const char *allowed,
                      hato_run *run) {
  const char *const argv[] = {"sh", "-c", line, NULL};
  run->size = sizeof *run;
  run->argv = argv;
  int rc = h->run(h, run);
  run->argv = NULL;
  if (rc == HATO_TIMED_OUT)
    return h->fail(h, rc, "%s did not end in time and was killed; %s", name, said(h, run));
  if (rc != HATO_OK) return rc;
  if (run->signal != 0)
    return h->fail(h, HATO_SYSTEM, "%s was killed by signal %d; %s", name, run->signal, said(h, run));
  /* -1: somebody else in the process took its exit code; what it printed decides. */
  if (run->exit_code == -1 || allowed_exit(allowed, run->exit_code)) return HATO_OK;
  return h->fail(h, HATO_SYSTEM, "%s exited with %d: %s", name, run->exit_code, said(h, run));
}

/* ---- lines about ids ---- */

/* As many ids as fit, quoted and joined; *n: how many there are, and were taken. */
static const char *join(const hato_host *h, const char *const *ids, uint32_t *n, const char *separator) {
  size_t used = 0, gap = strlen(separator);
  uint32_t k = 0;
  char *text = h->alloc(h, BATCH + 4 * COMMAND_ID_MAX + gap + 16); /* quotes: at most four for one */
  if (text == NULL) return NULL;
  for (; k < *n && used < BATCH; k++) {
    const char *id = h->quote(h, ids[k]);
    if (id == NULL) return NULL;
    if (k > 0) memcpy(text + used, separator, gap + 1);
    used += k > 0 ? gap : 0;
    (void)stpcpy(text + used, id);
    used += strlen(id);
  }
  *n = k;
  return text;
}

static char *append(const hato_host *h, const char *a, const char *b) {
  size_t n = strlen(a), m = strlen(b);
  char *both = h->alloc(h, n + m + 2);
  if (both == NULL) return NULL;
  memcpy(both, a, n);
  memcpy(both + n, b, m);
  if (m > 0 && b[m - 1] != '\n') both[n + m] = '\n';
  return both;
}

static int run_batch(const hato_host *h, const hato_launcher_options *o, const char *name, const char *tag,
                     const char *const *ids, uint32_t *n, const char *allowed, char **out) {
  const char *text = h->option_string(h, o, name);
  bool single = hato__command_mentions(text, "id");
  if (single) *n = 1;
  const char *separator = h->option_string(h, o, "id-separator");
  const char *joined = join(h, ids, n, separator != NULL ? separator : " ");
  const hato_template_value values[] = {{"ids", joined}, {"tag", tag}, {"id", joined}};
  const char *line = joined != NULL ? h->expand(h, text, values, single ? 3 : 2) : NULL;
  if (line == NULL) return HATO_INVALID; /* said */
  hato_run run = {.timeout_ms = (uint32_t)h->option_duration(h, o, "timeout")};
  int rc = hato__command_run(h, name, line, allowed, &run);
  if (rc == HATO_OK && out != NULL) {
    *out = append(h, *out, run.out);
    if (*out == NULL) return HATO_NO_MEMORY;
  }
  return rc;
}

int hato__command_run_ids(const hato_host *h, const hato_launcher_options *o, const char *name,
                          const char *tag, const char *const *ids, uint32_t n, const char *allowed,
                          char **out) {
  for (uint32_t at = 0, taken; at < n; at += taken) {
    taken = n - at;
    int rc = run_batch(h, o, name, tag, ids + at, &taken, allowed, out);
    if (rc != HATO_OK) return rc;
  }
  return HATO_OK;
}

/* ---- logs ---- */

const char *hato__command_log(const hato_host *h, const hato_launcher_options *o, const command_job *j,
                              int64_t i) {
  if (j->log_dir == NULL) return NULL;
  const char *text = h->option_string(h, o, "log"), *index = h->option_string(h, o, "log-index");
  const char *number = i >= 0 ? h->format(h, "%u", (uint32_t)i) : index;
  int64_t first = j->mode == COMMAND_ARRAY ? h->option_int(h, o, "member-first") : 0;
  const char *counted = i >= 0 ? h->format(h, "%lld", (long long)(first + i)) : index;
  /* Of an array whose scheduler is not known to number logs, there is one for all. */
  if (j->mode == COMMAND_ARRAY && index == NULL && !h->option_is_set(h, o, "log"))
    text = "{log_dir}/{tag}.log";
  const hato_template_value values[] = {
      {"log_dir", j->log_dir}, {"tag", j->tag}, {"i", number}, {"index", counted}};
  return h->expand(h, text, values, 4);
}

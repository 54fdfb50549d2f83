/* Jobs by sbatch: its words, the script, and the id it prints. */
#include "slurm/internal.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

extern char **environ;

/* ---- words ---- */

typedef struct words {
  const hato_host *h;
  const char *at[600];
  uint32_t n;
  bool failed;
} words;

static void add(words *w, const char *word) {
  if (word == NULL || w->n + 1 >= sizeof w->at / sizeof *w->at)
    w->failed = true;
  else
    w->at[w->n++] = word;
}

static void add_text(words *w, const char *option, const char *value) {
  if (value != NULL) add(w, w->h->format(w->h, "%s=%s", option, value));
}

/* Inside a job its variables are options of sbatch and srun, and go on into the new job, whose daemons
 * would take them for its own. */
static void without_the_outer_job(words *w) {
  if (getenv("SLURM_JOB_ID") == NULL) return;
  add(w, "env");
  for (char **e = environ; *e != NULL; e++) {
    size_t n = strcspn(*e, "=");
    if (strncmp(*e, "SLURM_", 6) != 0 || strncmp(*e, "SLURM_CONF=", 11) == 0 || w->n > 400) continue;
    add(w, "-u");
    add(w, w->h->format(w->h, "%.*s", (int)n, *e));
  }
}

static void add_resources(words *w, const hato_launch_request *r, const sl_settings *set) {
  uint32_t cpus = set->cpus != 0 ? set->cpus : r->cores != 0 ? r->cores : 1;
  add(w, w->h->format(w->h, "--cpus-per-task=%u", cpus));
  add_text(w, "--partition", set->partition);
  add_text(w, "--account", set->account);
  add_text(w, "--qos", set->qos);
  add_text(w, "--time", set->time);
  add_text(w, "--gres", set->gres);
  add_text(w, "--constraint", set->constraint);
  add_text(w, "--reservation", set->reservation);
  add_text(w, "--dependency", set->dependency);
  if (set->mem != 0) add(w, w->h->format(w->h, "--mem=%lluK", (unsigned long long)(set->mem >> 10)));
  if (set->mem_per_cpu != 0)
    add(w, w->h->format(w->h, "--mem-per-cpu=%lluK", (unsigned long long)(set->mem_per_cpu >> 10)));
}

/* In a script that is replaced by the daemon the signal is for the script; tasks of srun get it themselves,
 * for srun would take it as an order to kill. */
static void add_warning(words *w, const sl_settings *set) {
  if (set->warning_ms < 1000) return;
  const char *whom = set->layout == SL_JOB ? "" : "B:";
  add(w, w->h->format(w->h, "--signal=%sTERM@%u", whom, (unsigned)(set->warning_ms / 1000)));
}

char *sl_log_pattern(const hato_host *h, const char *dir, const char *tag, const char *rest) {
  size_t n = strlen(dir);
  char *twice = h->alloc(h, 2 * n + 1);
  if (twice == NULL) return NULL;
  for (size_t i = 0, k = 0; i < n; i++) {
    twice[k++] = dir[i];
    if (dir[i] == '%') twice[k++] = '%';
  }
  return h->format(h, "%s/%s.%s", twice, tag, rest);
}

static const char *output_of(const hato_host *h, const hato_launch_request *r, const sl_settings *set,
                             const sl_chunk *c) {
  if (set->layout == SL_JOB)
    return r->log_dir != NULL ? sl_log_pattern(h, r->log_dir, r->tag, "srun.log") : "/dev/null";
  if (set->log != NULL) return set->log;
  if (r->log_dir == NULL) return "/dev/null";
  const char *tag = c->first == 0 ? r->tag : h->format(h, "%s.%u", r->tag, c->first);
  return tag != NULL ? sl_log_pattern(h, r->log_dir, tag, c->count > 1 ? "%a.log" : "0.log") : NULL;
}

static const char *const *sbatch_words(const hato_host *h, const hato_launch_request *r,
                                       const sl_settings *set, const sl_chunk *c) {
  words *w = h->alloc(h, sizeof *w);
  if (w == NULL) return NULL;
  w->h = h;
  without_the_outer_job(w);
  add(w, "sbatch");
  add(w, "--parsable");
  add_text(w, "--job-name", set->job_name != NULL ? set->job_name : r->tag);
  add(w, h->format(h, "--comment=%s " SL_COMMENT, r->tag, set->layout == SL_JOB ? "job" : "array", c->first, c->count));
  if (set->layout == SL_JOB) {
    add(w, h->format(h, "--nodes=%u", set->nodes));
    add(w, h->format(h, "--ntasks=%u", c->count));
  } else {
    add(w, "--nodes=1");
    add(w, "--ntasks=1");
    if (c->count > 1) add(w, h->format(h, "--array=0-%u", c->count - 1));
  }
  add_resources(w, r, set);
  add_warning(w, set);
  add_text(w, "--output", output_of(h, r, set, c));
  /* A job that is put into the queue again goes on in its log; srun's is read from its beginning. */
  add(w, set->layout == SL_JOB ? "--open-mode=truncate" : "--open-mode=append");
  return w->failed ? NULL : w->at;
}

/* ---- the script ---- */

static void put_number(FILE *f, const sl_settings *set, const sl_chunk *c) {
  if (set->layout == SL_JOB) return; /* of each task: sl_srun_words */
  if (c->count > 1)
    (void)fprintf(f, SL_MEMBER_VARIABLE "=$((SLURM_ARRAY_TASK_ID + %u))\n", c->first);
  else
    (void)fprintf(f, SL_MEMBER_VARIABLE "=%u\n", c->first);
  (void)fprintf(f, "export " SL_MEMBER_VARIABLE "\n");
}

static const char *command(const hato_host *h, const hato_launch_request *r, const sl_settings *set) {
  if (set->layout != SL_JOB) return h->quote_words(h, r->argv);
  const char *output = set->log != NULL       ? set->log
                       : r->log_dir == NULL ? "/dev/null"
                                            : sl_log_pattern(h, r->log_dir, r->tag, "%t.log");
  uint32_t cpus = set->cpus != 0 ? set->cpus : r->cores != 0 ? r->cores : 1;
  const char **w = output != NULL ? sl_srun_words(h, r, set, cpus, output, 0) : NULL;
  return w != NULL ? h->quote_words(h, w) : NULL;
}

/* By exec, so that signals reach the daemon, and that its end is the job's. */
static char *script(const hato_host *h, const hato_launch_request *r, const sl_settings *set,
                    const sl_chunk *c) {
  char *text = NULL;
  size_t n = 0;
  const char *run = command(h, r, set);
  FILE *f = run != NULL ? open_memstream(&text, &n) : NULL;
  if (f == NULL) return NULL;
  (void)fprintf(f, "#!/bin/sh\n");
  /* A daemon whose node died is replaced at once: when it came back as well there would be one too many. */
  if (r->flags & HATO_LAUNCH_DIAL_IN) (void)fprintf(f, "#SBATCH --no-requeue\n");
  for (const char *const *d = set->directives; *d != NULL; d++) (void)fprintf(f, "#SBATCH %s\n", *d);
  put_number(f, set, c);
  for (const char *const *e = r->env; *e != NULL; e++) {
    const char *quoted = h->quote(h, *e);
    if (quoted != NULL) (void)fprintf(f, "export %s\n", quoted);
  }
  (void)fprintf(f, "exec %s\n", run);
  if (fclose(f) == 0) return text;
  free(text);
  return NULL;
}

/* ---- the answer ---- */

/* What sbatch said, without its name and the repeated words, on one line. */
static char *complaint(const hato_host *h, const char *err) {
  char *out = h->alloc(h, 2 * strlen(err) + 1); /* between lines stands more than their end */
  size_t n = 0;
  if (out == NULL) return NULL;
  for (const char *at = err; *at != 0;) {
    size_t len = strcspn(at, "\n");
    static const char *const heads[] = {"sbatch: ", "error: ", "Batch job submission failed: "};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
      size_t head = strlen(heads[i]);
      if (len >= head && strncmp(at, heads[i], head) == 0) at += head, len -= head;
    }
    if (len > 0) {
      if (n > 0) out[n++] = ';', out[n++] = ' ';
      memcpy(out + n, at, len);
      n += len;
    }
    at += len;
    if (*at == '\n') at++;
  }
  return out;
}

/* Nobody is there now, which says nothing of the request. */
static bool passing(const char *said) {
  static const char *const signs[] = {"Unable to contact slurm controller", "Socket timed out",
                                      "Zero Bytes were transmitted", "Connection refused",
                                      "temporarily", "Transport endpoint", "Communication connection failure"};
  for (size_t i = 0; i < sizeof signs / sizeof *signs; i++) {
    if (strstr(said, signs[i]) != NULL) return true;
  }
  return false;
}

/* What was asked for, where Slurm's words are about an option and do not say what it was. */
static const char *asked_for(const hato_host *h, const sl_settings *set, const char *said) {
  const struct {
    const char *sign, *option, *value;
  } of[] = {{"feature", "constraint", set->constraint},    {"reservation", "reservation", set->reservation},
            {"dependency", "dependency", set->dependency}, {"generic resource", "gres", set->gres},
            {"account", "account", set->account},          {"qos", "qos", set->qos}};
  for (size_t i = 0; said != NULL && i < sizeof of / sizeof *of; i++) {
    if (of[i].value == NULL || *of[i].value == 0 || strstr(said, of[i].sign) == NULL) continue;
    const char *what = h->format(h, " (%s=%s)", of[i].option, of[i].value);
    return what != NULL ? what : "";
  }
  return "";
}

static int refused(sl_state *s, const hato_host *h, const sl_settings *set, const hato_run *run) {
  const char *said = complaint(h, run->err);
  if (said == NULL || *said == 0) said = h->format(h, "it ended with %d", (int)run->exit_code);
  if (run->exit_code == 127 && strstr(run->err, "'sbatch'") != NULL) /* of env */
    return h->fail(h, HATO_NOT_FOUND, "there is no program 'sbatch' in PATH");
  if (said != NULL && passing(said)) {
    s->answering = false;
    return h->fail(h, HATO_AGAIN, "Slurm does not take jobs now: %s", said);
  }
  return h->fail(h, HATO_INVALID, "sbatch: %s%s", said, asked_for(h, set, said));
}

/* sbatch waits and tries again for minutes while the controller takes no more jobs. */
#define SBATCH_MS 30000

static int not_in_time(sl_state *s, const hato_host *h, const hato_run *run) {
  const char *said = complaint(h, run->err);
  s->answering = false;
  return h->fail(h, HATO_AGAIN, "sbatch did not end within %d s%s%s", SBATCH_MS / 1000,
                 said != NULL && *said != 0 ? ": " : "", said != NULL ? said : "");
}

static int submit_chunk(sl_state *s, const hato_host *h, const hato_launch_request *r, const sl_settings *set,
                        sl_launch *l, const sl_chunk *c) {
  const char *const *argv = sbatch_words(h, r, set, c);
  char *text = argv != NULL ? script(h, r, set, c) : NULL;
  if (text == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for the words and the script of sbatch");
  hato_run run = {
      .size = sizeof run, .timeout_ms = SBATCH_MS, .argv = argv, .input = text, .input_len = strlen(text)};
  int rc = h->run(h, &run);
  free(text);
  if (rc == HATO_TIMED_OUT) return not_in_time(s, h, &run);
  if (rc != HATO_OK) return rc;
  if (run.exit_code != 0) return refused(s, h, set, &run);
  char *end;
  unsigned long job = strtoul(run.out, &end, 10);
  if (!isdigit((unsigned char)run.out[0]) || job == 0 || job >= NO_VAL || (*end != '\n' && *end != ';' && *end != 0))
    return h->fail(h, HATO_PROTOCOL, "sbatch printed '%.80s'; the id of a job was wanted", run.out);
  if (!sl_launch_add_chunk(l, (uint32_t)job, c->first, c->count))
    return h->fail(h, HATO_NO_MEMORY, "no memory for a job");
  return HATO_OK;
}

/* ---- a launch ---- */

void sl_record_write(const sl_state *s, const sl_launch *l, hato_launch_record *record) {
  static const char *const names[] = {"array", "job", "allocation"};
  char *out = (char *)record->bytes;
  int n = snprintf(out, sizeof record->bytes, "slurm 1 %u %s %s", (unsigned)getuid(),
                   s->cluster[0] != 0 ? s->cluster : "-", names[l->layout]);
  for (uint32_t i = 0; i < l->n_chunks && n < (int)sizeof record->bytes; i++) {
    int more = snprintf(out + n, sizeof record->bytes - (size_t)n, " %u:%u:%u", l->chunks[i].job,
                        l->chunks[i].first, l->chunks[i].count);
    if (n + more >= (int)sizeof record->bytes) break;
    n += more;
  }
  record->len = (uint32_t)n;
}

/* All or none: also of an sbatch that was killed, but whose job the controller has. */
static void undo(sl_state *s, const hato_host *h, sl_launch *l) {
  (void)sl_find_jobs(s, h, l);
  if (l->n_chunks > 0) (void)sl_cancel(s, h, l, NULL, 0);
  sl_launch_drop(s, l);
}

/* So that the ids are known also of what connects before the first query. */
static void tell_ids(const hato_host *h, sl_launch *l) {
  const sl_told t = {.state = HATO_MEMBER_SUBMITTED};
  char name[40];
  for (uint32_t k = 0; k < l->n_chunks; k++) {
    const sl_chunk *c = &l->chunks[k];
    bool each = l->layout != SL_JOB && c->count > 1; /* else one id for all */
    for (uint32_t i = 0; i < c->count; i += each ? 1 : c->count) {
      (void)snprintf(name, sizeof name, each ? "%u_%u" : "%u", c->job, i);
      sl_tell(h, l, c->first + i, each ? 1 : c->count, &t, NULL, name, NULL);
    }
  }
}

int sl_submit(sl_state *s, const hato_host *h, const hato_launch_request *r, const sl_settings *set,
              hato_launch_record *record) {
  if (set->layout == SL_JOB && r->count < set->nodes)
    return h->fail(h, HATO_INVALID, "%u daemons on nodes=%u: there were nodes without one", r->count, set->nodes);
  int rc = sl_limits(s, h);
  if (rc != HATO_OK) return rc;
  sl_launch *l = sl_launch_make(s, r->id, r->count, r->tag, r->log_dir, set->log, set->layout);
  if (l == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for %u members", r->count);
  uint32_t most = set->layout == SL_JOB ? r->count : s->max_array;
  for (uint32_t first = 0; first < r->count && rc == HATO_OK; first += most) {
    uint32_t left = r->count - first;
    sl_chunk c = {.first = first, .count = left < most ? left : most};
    if (first > 0) h->progress(h, "%u of %u members are submitted", first, r->count);
    rc = h->should_abort(h) ? h->fail(h, HATO_INTERRUPTED, "interrupted after %u of %u members", first, r->count)
                            : submit_chunk(s, h, r, set, l, &c);
  }
  s->asked_at = 0;
  if (rc != HATO_OK) {
    undo(s, h, l);
    return rc;
  }
  tell_ids(h, l);
  sl_record_write(s, l, record);
  return rc;
}

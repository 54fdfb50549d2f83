/* Submitting a launch: one qsub a job array. */
#include "pbs.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The last line of it that is an id: a site's qsub may greet before. */
static bool id_of(const hato_host *h, const char *out, uint64_t *seq, const char **suffix) {
  char *text = h->format(h, "%s", out), *save = NULL;
  bool found = false;
  int64_t index;
  for (char *line = text != NULL ? strtok_r(text, "\n", &save) : NULL; line != NULL;
       line = strtok_r(NULL, "\n", &save)) {
    line += strspn(line, " \t");
    line[strcspn(line, " \t\r")] = 0;
    uint64_t n;
    const char *rest;
    if (!pbs_parse_id(line, &n, &index, &rest)) continue;
    found = true;
    *seq = n;
    *suffix = rest;
  }
  return found;
}

static bool write_all(int fd, const char *text, size_t len) {
  while (len > 0) {
    ssize_t n = write(fd, text, len);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    text += n;
    len -= (size_t)n;
  }
  return true;
}

/* Slurm's qsub takes no script from its standard input. */
static int run_with_file(const hato_host *h, hato_run *run, const char *const *words, const char *script) {
  const char *tmp = getenv("TMPDIR");
  static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-";
  if (tmp == NULL || *tmp != '/' || tmp[strspn(tmp, safe)] != 0) tmp = "/tmp";
  char *path = h->format(h, "%s/hato-pbs-XXXXXX", tmp);
  uint32_t n = 0;
  while (words[n] != NULL) n++;
  const char **argv = h->alloc(h, (n + 2) * sizeof *argv);
  if (path == NULL || argv == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory");
  int fd = mkstemp(path); /* 0600; a batch system copies it */
  if (fd < 0) return h->fail(h, HATO_SYSTEM, "the script %s: %s", path, strerror(errno));
  memcpy(argv, words, n * sizeof *argv);
  argv[n] = path;
  run->argv = argv;
  bool written = write_all(fd, script, strlen(script));
  int rc = written ? HATO_OK : h->fail(h, HATO_SYSTEM, "writing the script %s: %s", path, strerror(errno));
  if (close(fd) != 0 && rc == HATO_OK) rc = h->fail(h, HATO_SYSTEM, "writing the script %s failed", path);
  if (rc == HATO_OK) rc = pbs_run(h, run);
  (void)unlink(path);
  return rc;
}

static int refused(const hato_host *h, const hato_run *run, const hato_launcher_options *o) {
  const char *words = pbs_words(h, run), *queue = h->option_string(h, o, "queue");
  if (pbs_unreachable(run)) return h->fail(h, HATO_AGAIN, "qsub: %s", words);
  if (strcasestr(words, "unknown queue") != NULL || strcasestr(words, "invalid partition") != NULL)
    return h->fail(h, HATO_NOT_FOUND, "no queue '%s' here: %s", queue != NULL ? queue : "(the default)", words);
  if (strcasestr(words, "unauthorized") != NULL || strcasestr(words, "not authorized") != NULL)
    return h->fail(h, HATO_PERMISSION, "qsub refused it: %s", words);
  return h->fail(h, HATO_INVALID, "qsub refused it: %s (exit code %d)", words, (int)run->exit_code);
}

static int submit(const hato_host *h, const hato_launch_request *r, pbs_record *rec, uint32_t k, bool brief) {
  uint32_t members = pbs_members_of(rec, k, r->count);
  const char *name = pbs_job_name(h, r->options, r->tag, k, brief);
  const char *script = pbs_script(h, r, rec->dialect, k * rec->size, members > 1);
  const char *const *words = name != NULL ? pbs_qsub(h, r, rec->dialect, name, members) : NULL;
  if (script == NULL || words == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory for a script");
  hato_run run = {.size = sizeof run, .argv = words};
  int rc;
  if (rec->dialect == PBS_SLURM) {
    rc = run_with_file(h, &run, words, script);
  } else {
    run.input = script;
    run.input_len = strlen(script);
    rc = pbs_run(h, &run);
  }
  if (rc != HATO_OK) return rc;
  if (run.exit_code != 0) {
    /* Older servers take names of 15 letters. */
    if (!brief && strcasestr(run.err, "illegal -N") != NULL) return submit(h, r, rec, k, true);
    return refused(h, &run, r->options);
  }
  const char *suffix;
  if (!id_of(h, run.out, &rec->seq[k], &suffix))
    return h->fail(h, HATO_PROTOCOL, "qsub told no job's id but '%.80s'", run.out);
  if (strlen(suffix) >= sizeof rec->suffix)
    return h->fail(h, HATO_TOO_LARGE, "the server's name '%s' is too long", suffix);
  strcpy(rec->suffix, suffix);
  return HATO_OK;
}

/* All or none: also a job whose qsub did not come back. */
static void undo(pbs *p, const hato_host *h, const hato_launch_request *r, const pbs_record *rec) {
  hato_launch l = {.size = sizeof l, .count = r->count, .id = r->id, .tag = r->tag, .options = r->options};
  const char *ids[PBS_JOBS_MAX];
  uint32_t n = 0, live = 0;
  pbs_answer a;
  for (uint32_t k = 0; k < rec->n; k++) {
    if (rec->seq[k] != 0 && (ids[n] = pbs_job_id(h, rec, k, r->count)) != NULL) n++;
  }
  if (n > 0) (void)pbs_qdel(h, ids, n);
  if (pbs_ask(p, h, rec->dialect, NULL, 0, &a) != HATO_OK) return;
  const char **found = pbs_live_ids(h, &l, rec, &a, &live);
  if (found != NULL && live > 0) (void)pbs_qdel(h, found, live);
}

int pbs_launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *out) {
  pbs *p = state;
  pbs_dialect d;
  pbs_record rec;
  int rc = pbs_dialect_of(p, h, r->options, &d);
  if (rc == HATO_OK) rc = pbs_check(h, r->options, d);
  if (rc == HATO_OK) rc = pbs_divide(h, r->options, d, r->count, &rec);
  if (rc != HATO_OK) return rc;
  for (uint32_t k = 0; k < rec.n; k++) {
    rc = submit(h, r, &rec, k, false);
    if (rc == HATO_OK) continue;
    /* What was refused is not there; whose qsub did not come back, or told no id, may be. */
    bool unsure = rc == HATO_AGAIN || rc == HATO_INTERRUPTED || rc == HATO_PROTOCOL || rc == HATO_TOO_LARGE;
    if (k > 0 || unsure) undo(p, h, r, &rec);
    return rc;
  }
  for (uint32_t k = 0; k < rec.n; k++) {
    hato_member m = {.size = sizeof m,
                     .first = k * rec.size,
                     .count = pbs_members_of(&rec, k, r->count),
                     .state = HATO_MEMBER_SUBMITTED,
                     .job = pbs_job_id(h, &rec, k, r->count)};
    h->member(h, r->id, &m);
  }
  if (pbs_write_record(&rec, out)) return HATO_OK;
  undo(p, h, r, &rec);
  return h->fail(h, HATO_TOO_LARGE, "the ids of %u job arrays do not fit a launch's record; say array-size=",
                 rec.n);
}

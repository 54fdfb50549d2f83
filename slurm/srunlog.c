/*
 * What srun says of its tasks, read from its log:
 *
 *   srun: launching StepId=11.0 on host n1, 6 tasks: [0-5]
 *   srun: launch/slurm: _task_finish: n1: task 0: Completed
 *   srun: error: n1: tasks 1,3: Exited with exit code 3
 *   srun: error: n2: task 4: Segmentation fault (core dumped)
 *   srun: Job 12 step creation temporarily disabled, retrying (Requested nodes are busy)
 *   srun: Job step aborted: Waiting up to 7 seconds for job step to finish.
 *
 * Why it was aborted stands in the log of its first task, which slurmstepd writes to:
 *
 *   slurmstepd: error: *** STEP 11.0 ON n1 CANCELLED AT 2026-11-21T15:00:00 DUE TO TIME LIMIT ***
 *
 * Lines that are none of these are passed over, so that another version's words lose detail only: a task is
 * then over when its job or srun is.
 */
#include "slurm/internal.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOG_MAX ((off_t)64 << 20)

bool sl_next_range(const char **at, sl_range *out) {
  const char *p = *at;
  while (*p == '[' || *p == ',' || *p == ' ') p++;
  if (!isdigit((unsigned char)*p)) return false;
  char *end;
  unsigned long a = strtoul(p, &end, 10), b = a, step = 1;
  if (*end == '-' && isdigit((unsigned char)end[1])) b = strtoul(end + 1, &end, 10);
  if (*end == ':' && isdigit((unsigned char)end[1])) step = strtoul(end + 1, &end, 10);
  if (a > b || b >= NO_VAL || step == 0 || step >= NO_VAL) return false;
  *out = (sl_range){(uint32_t)a, (uint32_t)b, (uint32_t)step};
  *at = end;
  return true;
}

typedef struct reading {
  const hato_host *h;
  sl_launch *l;
  const char *job;
  sl_srun_said *said;
  const char **hosts; /* of each member; NULL: not known */
} reading;

static void tell(reading *r, uint32_t i, const sl_told *t) {
  char path[4096];
  bool has_log = sl_log_path(r->l, NULL, i, path, sizeof path);
  sl_tell(r->h, r->l, i, 1, t, r->hosts[i], r->job, has_log ? path : NULL);
}

static void began(reading *r, const char *line) {
  const char *host = strstr(line, " on host "), *comma = host != NULL ? strchr(host, ',') : NULL;
  const char *tasks = comma != NULL ? strstr(comma, ": ") : NULL;
  if (tasks == NULL) return;
  host += strlen(" on host ");
  const char *name = r->h->format(r->h, "%.*s", (int)(comma - host), host);
  sl_told t = {.state = HATO_MEMBER_RUNNING};
  r->said->started = true;
  r->said->waits[0] = 0;
  tasks += 2;
  for (sl_range g; sl_next_range(&tasks, &g);) {
    for (uint32_t i = g.first; i <= g.last && i < r->l->count; i += g.step) {
      r->hosts[i] = name;
      if (r->l->members[i].state < HATO_MEMBER_RUNNING) tell(r, i, &t);
    }
  }
}

static bool signal_of(const char *words, int *sig) {
  for (*sig = 1; *sig < 32; (*sig)++) {
    const char *name = strsignal(*sig);
    size_t n = strlen(name);
    if (strncmp(words, name, n) == 0 && (words[n] == 0 || words[n] == ' ')) return true;
  }
  return false;
}

static bool how_it_ended(const char *words, sl_told *t) {
  static const char with_code[] = "Exited with exit code ";
  *t = (sl_told){.state = HATO_MEMBER_ENDED};
  if (strncmp(words, with_code, strlen(with_code)) == 0) {
    t->exit_code = (int32_t)strtol(words + strlen(with_code), NULL, 10);
    t->flags = HATO_MEMBER_EXIT_KNOWN;
  } else if (strncmp(words, "Completed", 9) == 0) {
    t->flags = HATO_MEMBER_EXIT_KNOWN;
  } else if (signal_of(words, &t->signal)) {
    t->flags = HATO_MEMBER_EXIT_KNOWN;
    t->exit_code = -1;
  } else if (strncmp(words, "Out Of Memory", 13) != 0) {
    return false;
  }
  (void)snprintf(t->reason, sizeof t->reason, "%s", words);
  return true;
}

/* "…: task 3: WORDS" or "…: tasks 0-1,5: WORDS". */
static bool ended(reading *r, const char *line) {
  const char *at = strstr(line, ": task");
  if (at == NULL) return false;
  at += strlen(": task");
  if (*at == 's') at++;
  const char *words = strstr(at, ": ");
  sl_told t;
  if (*at != ' ' || words == NULL || !how_it_ended(words + 2, &t)) return false;
  if (r->l->cancelled || r->said->cancelled) t.flags |= HATO_MEMBER_CANCELLED;
  for (sl_range g; sl_next_range(&at, &g);) {
    for (uint32_t i = g.first; i <= g.last && i < r->l->count; i += g.step) {
      if (r->l->members[i].state != HATO_MEMBER_ENDED) tell(r, i, &t);
    }
  }
  return true;
}

static void read_line(reading *r, const char *line) {
  const char *at;
  if (strstr(line, "launching StepId=") != NULL) {
    began(r, line);
  } else if ((at = strstr(line, "temporarily disabled, retrying")) != NULL) {
    const char *why = strchr(at, '(');
    (void)snprintf(r->said->waits, sizeof r->said->waits, "%s", why != NULL ? why + 1 : "the nodes are busy");
    r->said->waits[strcspn(r->said->waits, ")")] = 0;
  } else if (!ended(r, line) && (at = strstr(line, "srun: error: ")) != NULL) {
    (void)snprintf(r->said->error, sizeof r->said->error, "%s", at + strlen("srun: error: "));
  }
}

static char *read_log(const hato_host *h, const char *path) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  char *text = NULL;
  if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
    size_t max = (size_t)(st.st_size < LOG_MAX ? st.st_size : LOG_MAX), n = 0;
    text = h->alloc(h, max + 1);
    for (ssize_t got; text != NULL && n < max && (got = read(fd, text + n, max - n)) > 0;) n += (size_t)got;
  }
  if (fd >= 0) (void)close(fd);
  return text;
}

static bool step_of(const char *text, uint32_t *step) {
  const char *at = strstr(text, "launching StepId="), *dot = at != NULL ? strchr(at, '.') : NULL;
  *step = dot != NULL && isdigit((unsigned char)dot[1]) ? (uint32_t)strtoul(dot + 1, NULL, 10) : NO_VAL;
  return *step != NO_VAL;
}

void sl_read_step(const hato_host *h, const sl_launch *l, sl_srun_said *said) {
  char path[4096];
  *said = (sl_srun_said){.step = NO_VAL};
  const char *text = sl_srun_log_path(l, path, sizeof path) ? read_log(h, path) : NULL;
  if (text != NULL) (void)step_of(text, &said->step);
}

/* What slurmstepd says last of a cancel, between its stars. */
static bool find_cancel(const char *text, char *out, size_t n) {
  const char *at = NULL;
  for (const char *next = text; next != NULL && (next = strstr(next, " CANCELLED AT ")) != NULL; next++) at = next;
  if (at == NULL) return false;
  while (at > text && at[-1] != '\n' && at[-1] != '*') at--;
  while (*at == ' ') at++;
  (void)snprintf(out, n, "%.*s", (int)strcspn(at, "\n*"), at);
  return true;
}

/* Aborted for no stated cause is by somebody's wish. Known before the ends of its tasks are told. */
static void why_aborted(const hato_host *h, const sl_launch *l, const char *text, sl_srun_said *said) {
  char path[4096];
  if (strstr(text, "Job step aborted") == NULL) return;
  const char *log = sl_log_path(l, NULL, 0, path, sizeof path) ? read_log(h, path) : NULL;
  if (!find_cancel(log, said->error, sizeof said->error)) (void)find_cancel(text, said->error, sizeof said->error);
  said->cancelled = strstr(said->error, " DUE TO ") == NULL && strstr(text, "Node failure") == NULL;
}

void sl_read_srun(const hato_host *h, sl_launch *l, const char *job, sl_srun_said *said) {
  char path[4096];
  *said = (sl_srun_said){.step = NO_VAL};
  char *text = sl_srun_log_path(l, path, sizeof path) ? read_log(h, path) : NULL;
  reading r = {.h = h, .l = l, .job = job, .said = said, .hosts = h->alloc(h, l->count * sizeof *r.hosts)};
  if (text == NULL || r.hosts == NULL) return;
  (void)step_of(text, &said->step);
  why_aborted(h, l, text, said);
  char *save = NULL;
  for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save))
    read_line(&r, line);
}

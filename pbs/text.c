/*
 * The text of `qstat -f`. PBS Pro and Torque begin an attribute with four blanks, and a long value goes on
 * in lines that begin with a tab, cut anywhere; Slurm's imitation begins attributes with a tab and
 * cuts nothing. So the first line of a job shows what an attribute begins with.
 */
#include "pbs.h"

#include <string.h>

typedef struct reader {
  pbs_job *job;       /* NULL: none yet */
  size_t indent;      /* bytes before its attributes; 0: not seen yet */
  char lead;          /* the first of them */
  char *name, *value; /* the attribute that may go on; NULL: none */
  char *end;          /* of the value */
} reader;

static void finish(reader *r) {
  if (r->value != NULL) *r->end = 0;
  if (r->value != NULL && r->job != NULL) pbs_attribute(r->job, r->name, r->value);
  r->name = r->value = NULL;
}

static void begin_job(const hato_host *h, reader *r, char *id, pbs_jobs *jobs) {
  finish(r);
  id += strspn(id, " \t");
  id[strcspn(id, " \t\r")] = 0;
  *r = (reader){.job = pbs_add_job(h, jobs, id)};
}

/* Lines stand one after another in memory, so that what goes on moves towards the front. */
static void go_on(reader *r, const char *line, size_t len) {
  if (r->value == NULL) return;
  if (*line == '\t') {
    line++;
    len--;
  }
  memmove(r->end, line, len);
  r->end += len;
}

static void take_line(reader *r, char *line, size_t len) {
  size_t blanks = strspn(line, " \t");
  if (blanks == len) { /* the end of the job */
    finish(r);
    return;
  }
  if (r->indent == 0) {
    r->indent = blanks;
    r->lead = *line;
  }
  char *equals = blanks == r->indent && *line == r->lead ? strstr(line, " =") : NULL;
  /* A name has no blanks: what has is the middle of a value. */
  if (equals == NULL || strcspn(line + blanks, " ") != (size_t)(equals - line) - blanks) {
    go_on(r, line, len);
    return;
  }
  finish(r);
  *equals = 0;
  r->name = line + blanks;
  r->value = equals + 2 + (equals[2] == ' ');
  r->end = line + len;
}

void pbs_parse_text(const hato_host *h, char *text, pbs_jobs *jobs) {
  reader r = {0};
  for (char *line = text, *next; line != NULL && !jobs->failed; line = next) {
    char *newline = strchr(line, '\n');
    next = newline != NULL ? newline + 1 : NULL;
    if (newline != NULL) *newline = 0;
    if (strncmp(line, "Job Id:", 7) == 0)
      begin_job(h, &r, line + 7, jobs);
    else if (r.job != NULL)
      take_line(&r, line, strlen(line));
  }
  finish(&r);
}

/*
 * The script of a batch job. It sends its output to a log beside the others from the first line on, since
 * PBS delivers a job's output only when it has ended, and it stays until its command ends, to note
 * down the exit code (note.c). SIGTERM reaches both: the script waits for the command.
 */
#include "pbs.h"

#include <string.h>

static char *directives(const hato_host *h, const hato_launcher_options *o) {
  char *text = h->format(h, "#!/bin/sh\n");
  for (const char *const *at = h->option_list(h, o, "directive"); *at != NULL && text != NULL; at++) {
    const char *line = *at;
    if (strncmp(line, "#PBS", 4) == 0) line += 4;
    text = h->format(h, "%s#PBS %s\n", text, line + strspn(line, " \t"));
  }
  return text;
}

static char *exports(const hato_host *h, const hato_launch_request *r) {
  char *text = h->format(h, "HATO_LAUNCH_TAG=%s\nexport HATO_PBS_MEMBER HATO_LAUNCH_TAG\n", r->tag);
  for (const char *const *at = r->env; *at != NULL && text != NULL; at++) {
    const char *word = h->quote(h, *at);
    text = word != NULL ? h->format(h, "%sexport %s\n", text, word) : NULL;
  }
  return text;
}

/* A log that cannot be written, for a quota say, keeps no daemon from running. */
static char *logging(const hato_host *h, const char *dir, const char *tag, pbs_dialect d) {
  if (dir == NULL) return h->format(h, "note=/dev/null\n");
  const char *base = h->format(h, "%s/%s.", dir, tag), *word = base != NULL ? h->quote(h, base) : NULL;
  if (word == NULL) return NULL;
  return h->format(h,
                   "log=%s$HATO_PBS_MEMBER.log\n"
                   "note=%s$HATO_PBS_MEMBER.job\n"
                   "mask=$(umask)\n"
                   "umask 077\n"
                   "if (: >>\"$log\") 2>/dev/null; then exec >>\"$log\" 2>&1; fi\n"
                   "(: >>\"$note\") 2>/dev/null || note=/dev/null\n"
                   "umask \"$mask\"\n"
                   "echo \"job $%s\" >>\"$note\"\n"
                   "echo \"host $(uname -n)\" >>\"$note\"\n",
                   word, word, d == PBS_SLURM ? "SLURM_JOB_ID" : "PBS_JOBID");
}

char *pbs_script(const hato_host *h, const hato_launch_request *r, pbs_dialect d, uint32_t first, bool array) {
  const char *head = directives(h, r->options), *env = exports(h, r);
  const char *log = logging(h, pbs_log_dir(h, r->options, r->log_dir), r->tag, d);
  const char *words = h->quote_words(h, r->argv);
  const char *index = d == PBS_PRO ? "PBS_ARRAY_INDEX" : d == PBS_SLURM ? "SLURM_ARRAY_TASK_ID" : "PBS_ARRAYID";
  const char *member = array ? h->format(h, "$((%u + $%s))", first, index) : h->format(h, "%u", first);
  if (head == NULL || env == NULL || log == NULL || words == NULL || member == NULL) return NULL;
  return h->format(h,
                   "%sHATO_PBS_MEMBER=%s\n"
                   "%s%s"
                   "trap 'echo told >>\"$note\"' TERM\n"
                   "%s </dev/null\n"
                   "code=$?\n"
                   "echo \"exit $code\" >>\"$note\"\n"
                   "exit $code\n",
                   head, member, env, log, words);
}

/* Running qsub, qstat and qdel, and what they complain of. */
#include "pbs.h"

#include <ctype.h>
#include <string.h>

int pbs_run(const hato_host *h, hato_run *run) {
  if (run->timeout_ms == 0) run->timeout_ms = 25000;
  int rc = h->run(h, run);
  if (rc == HATO_NOT_FOUND)
    return h->fail(h, HATO_NOT_FOUND,
                   "no %s in PATH: the launcher pbs needs the commands qsub, qstat and qdel of a PBS",
                   run->argv[0]);
  if (rc == HATO_TIMED_OUT)
    return h->fail(h, HATO_AGAIN, "%s did not answer in %u s", run->argv[0], run->timeout_ms / 1000);
  return rc;
}

/* Slurm's qsub wraps what sbatch said in words of its own. */
static const char *beginning(const hato_run *run) {
  const char *text = run->err[strspn(run->err, " \t\n")] != 0 ? run->err : run->out;
  const char *inner = strstr(text, "the output was:\n'");
  return inner != NULL ? inner + strlen("the output was:\n'") : text;
}

const char *pbs_words(const hato_host *h, const hato_run *run) {
  const char *text = beginning(run);
  char *out = h->format(h, "%.400s", text);
  if (out == NULL) return "?";
  char *usage = strcasestr(out, "usage:");
  if (usage != NULL && usage > out) *usage = 0;
  size_t n = 0;
  for (const char *at = out; *at != 0; at++) { /* on one line; blanks are one */
    bool blank = isspace((unsigned char)*at) != 0 || iscntrl((unsigned char)*at) != 0;
    if (blank && (n == 0 || out[n - 1] == ' ')) continue;
    out[n++] = blank ? ' ' : *at;
  }
  while (n > 0 && (out[n - 1] == ' ' || out[n - 1] == '\'')) n--;
  out[n] = 0;
  if (n > 0) return out;
  out = run->signal != 0 ? h->format(h, "it was ended by signal %d", (int)run->signal)
                         : h->format(h, "it exited with %d and said nothing", (int)run->exit_code);
  return out != NULL ? out : "?";
}

bool pbs_unreachable(const hato_run *run) {
  static const char *const words[] = {"cannot connect", "could not connect", "connection refused",
                                      "unable to contact", "timed out", "no route to host",
                                      "communication failure", "problem loading", "server is busy",
                                      "cannot resolve", NULL};
  for (size_t i = 0; words[i] != NULL; i++) {
    if (strcasestr(run->err, words[i]) != NULL || strcasestr(run->out, words[i]) != NULL) return true;
  }
  return run->signal != 0 || run->exit_code == -1;
}

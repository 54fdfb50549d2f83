/* What PBS's states, exit codes and comments are to hato. */
#include "pbs.h"

#include <string.h>
#include <strings.h>

enum { SUB_PRERUN = 41, SUB_TERMINATED = 91 }; /* substates of PBS Pro */

void pbs_exit(hato_member *m, int32_t code) {
  m->flags |= HATO_MEMBER_EXIT_KNOWN;
  m->exit_code = code;
  if (code <= 128 || code > 128 + 64) return;
  m->signal = code - 128;
  m->exit_code = -1;
}

/* The numbers below zero: it was not the job that ended. */
static const char *by_server(const hato_host *h, int64_t status) {
  switch (status) {
    case -1: case -2: return "could not be started";
    case -3: return "could not be started; it was to be tried again";
    case -11: return "requeued, or over a limit";
    case -24: case -25: return "used more CPUs than it was granted";
    case -26: return "exceeded resource vmem";
    case -27: return "exceeded resource mem";
    case -28: return "exceeded resource cput";
    case -29: return "exceeded resource walltime";
    default: return h->format(h, "ended by PBS with status %lld", (long long)status);
  }
}

/* PBS Pro's comment of a job that has ended says how: "Job run at … and failed". */
static bool tells_the_end(const char *comment) {
  return comment != NULL && strncmp(comment, "Job run at ", 11) == 0 && strstr(comment, " and ") != NULL;
}

static void ended(const hato_host *h, const pbs_job *j, hato_member *m) {
  bool terminated = j->substate == SUB_TERMINATED ||
                    (tells_the_end(j->comment) && strstr(j->comment, " and terminated by ") != NULL);
  m->state = HATO_MEMBER_ENDED;
  if (j->exit_known && j->exit_status >= 0) {
    /* 256 and more: the shell of the job was killed; from 128: it reports that of its command. */
    bool killed = j->exit_status > 256 && j->exit_status <= 256 + 64;
    pbs_exit(m, (int32_t)(killed ? j->exit_status - 128 : j->exit_status & 0xff));
  }
  if (j->exit_known && j->exit_status == 256 + 15) terminated = true;
  /* Deleted before it ran: there is neither an exit code nor a host. */
  bool before = !j->exit_known && j->host == NULL && j->state != 'X';
  if (terminated || before) m->flags |= HATO_MEMBER_CANCELLED;
  if (tells_the_end(j->comment))
    m->reason = j->comment;
  else if (before)
    m->reason = "cancelled while it was queued";
  else if (terminated)
    m->reason = "cancelled";
  else if (j->exit_known && j->exit_status < 0)
    m->reason = by_server(h, j->exit_status);
}

/* "pbs1/0*2+pbs2/0": the first host. */
static const char *first_host(const hato_host *h, const char *hosts) {
  return hosts != NULL ? h->format(h, "%.*s", (int)strcspn(hosts, "/+: "), hosts) : NULL;
}

void pbs_meaning(const hato_host *h, const pbs_job *j, hato_member *m) {
  *m = (hato_member){.state = HATO_MEMBER_QUEUED, .reason = j->comment, .job = j->id};
  switch (j->state) {
    case 'F': case 'C': case 'X':
      m->reason = NULL;
      m->host = first_host(h, j->host);
      ended(h, j, m);
      return;
    case 'R': case 'E':
      m->state = j->substate == SUB_PRERUN ? HATO_MEMBER_STARTING : HATO_MEMBER_RUNNING;
      m->reason = NULL;
      m->host = first_host(h, j->host);
      return;
    case 'S': case 'U':
      m->state = HATO_MEMBER_RUNNING;
      m->reason = "suspended";
      m->host = first_host(h, j->host);
      return;
    case 'H':
      if (m->reason == NULL)
        m->reason = h->format(h, "held (Hold_Types %s)", j->hold != NULL ? j->hold : "not told");
      return;
    case 'W':
      if (m->reason == NULL) m->reason = "it waits for its time";
      return;
    case 'M':
      m->reason = "it was moved to another server";
      return;
    default: /* Q, B, T */
      if (m->reason != NULL && strncasecmp(m->reason, "Can Never Run", 13) == 0) m->flags = HATO_MEMBER_NEVER;
      return;
  }
}

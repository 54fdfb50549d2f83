/* What a job's state, reason and exit code mean for a daemon, in words. */
#include "slurm/internal.h"

#include <string.h>
#include <sys/wait.h>
#include <time.h>

/* In libslurm, but not in its header. */
extern char *slurm_job_state_string(uint32_t state);
extern char *slurm_job_reason_string(uint32_t reason);

/* Reasons that do not pass by waiting. Those of a user's or account's limits do, and are none of these;
 * nor is a node that is down. */
static const struct {
  uint32_t reason;
  const char *words;
} never[] = {
    {WAIT_PART_NODE_LIMIT, "it wants more nodes, or fewer, than the partition allows"},
    {WAIT_PART_TIME_LIMIT, "it wants more time than the partition allows"},
    {WAIT_PART_CONFIG, "it wants more time, nodes or CPUs than the partition allows"},
    {WAIT_PN_MEM_LIMIT, "it wants more memory than is allowed"},
    {FAIL_BAD_CONSTRAINTS, "no node is as it wants"},
    {WAIT_DEP_INVALID, "what it depends on cannot come about any more"},
    {FAIL_ACCOUNT, "the account is not valid"},
    {FAIL_QOS, "the qos is not valid"},
    {WAIT_QOS, "the qos is not allowed here"},
    {WAIT_ACCOUNT, "the account is not allowed here"},
    {WAIT_QOS_MAX_CPU_PER_JOB, "it wants more CPUs than its qos allows a job"},
    {WAIT_QOS_MAX_NODE_PER_JOB, "it wants more nodes than its qos allows a job"},
    {WAIT_QOS_MAX_WALL_PER_JOB, "it wants more time than its qos allows a job"},
    {WAIT_QOS_MAX_MEM_PER_JOB, "it wants more memory than its qos allows a job"},
    {WAIT_ASSOC_MAX_CPU_PER_JOB, "it wants more CPUs than the account allows a job"},
    {WAIT_ASSOC_MAX_NODE_PER_JOB, "it wants more nodes than the account allows a job"},
    {WAIT_ASSOC_MAX_WALL_PER_JOB, "it wants more time than the account allows a job"},
    {WAIT_ASSOC_MAX_MEM_PER_JOB, "it wants more memory than the account allows a job"},
    {WAIT_RESV_DELETED, "its reservation was deleted"},
    {FAIL_DEADLINE, "its deadline is over"},
};

static const char *never_words(uint32_t reason) {
  for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
    if (never[i].reason == reason) return never[i].words;
  }
  return NULL;
}

static void say(sl_told *t, const char *name, const char *words) {
  (void)snprintf(t->reason, sizeof t->reason, "%s%s%s", name, words != NULL && *words != 0 ? ": " : "",
                 words != NULL ? words : "");
}

static void waiting(const slurm_job_info_t *job, sl_told *t) {
  const char *words = never_words(job->state_reason);
  const char *name = job->state_reason != WAIT_NO_REASON ? slurm_job_reason_string(job->state_reason) : "";
  t->state = HATO_MEMBER_QUEUED;
  if (words != NULL) t->flags |= HATO_MEMBER_NEVER;
  /* state_desc is of some earlier reason now and then: only without words of our own. */
  if (*name != 0) say(t, name, words != NULL ? words : job->state_desc); /* not looked at yet: "None" */
}

static void exited(const slurm_job_info_t *job, sl_told *t) {
  int status = (int)job->exit_code;
  if (WIFSIGNALED(status)) {
    t->signal = WTERMSIG(status);
    t->exit_code = -1;
  } else {
    t->exit_code = WEXITSTATUS(status);
  }
  t->flags |= HATO_MEMBER_EXIT_KNOWN;
}

/* What slurmstepd ends with when it could not even open the job's files: no signal that there is. */
#define COULD_NOT_BEGIN 53
#define ENDING_S 120

static void failed(const slurm_job_info_t *job, sl_told *t) {
  const char *why = job->state_reason == WAIT_NO_REASON ? "" : slurm_job_reason_string(job->state_reason);
  if (WIFSIGNALED((int)job->exit_code) && WTERMSIG((int)job->exit_code) == COULD_NOT_BEGIN) {
    (void)snprintf(t->reason, sizeof t->reason,
                   "FAILED: Slurm could not begin it (0:53), as when its log cannot be written or its user has no "
                   "account there; its log would be %s", job->std_out != NULL ? job->std_out : "unknown");
    return;
  }
  exited(job, t);
  say(t, "FAILED", why);
}

/* Cancelled, and its processes have time to end; on a node that died nobody says when they did. */
static bool still_ending(const slurm_job_info_t *job) {
  return (job->job_state & JOB_COMPLETING) != 0 && time(NULL) - job->end_time < ENDING_S;
}

static void over(const slurm_job_info_t *job, bool cancelled, sl_told *t) {
  char words[300];
  uint32_t state = job->job_state & JOB_STATE_BASE;
  const char *name = slurm_job_state_string(state);
  t->state = HATO_MEMBER_ENDED;
  switch (state) {
  case JOB_COMPLETE:
    exited(job, t);
    say(t, name, NULL);
    break;
  case JOB_FAILED:
    failed(job, t);
    break;
  case JOB_CANCELLED:
    if (still_ending(job)) {
      t->state = HATO_MEMBER_RUNNING;
      say(t, name, "it is being ended");
      return;
    }
    t->flags |= HATO_MEMBER_CANCELLED;
    say(t, name, cancelled ? NULL : "by somebody else, or by Slurm");
    break;
  case JOB_TIMEOUT:
    (void)snprintf(words, sizeof words, "it ran into its time limit of %u:%02u:00", job->time_limit / 60,
                   job->time_limit % 60);
    say(t, name, job->time_limit < INFINITE ? words : "it ran into a time limit");
    break;
  case JOB_OOM:
    say(t, name, "it used more memory than it was granted");
    break;
  case JOB_NODE_FAIL:
    (void)snprintf(words, sizeof words, "its node (%s) failed", job->nodes != NULL ? job->nodes : "?");
    say(t, name, words);
    break;
  case JOB_PREEMPTED:
    say(t, name, "another job took its place");
    break;
  case JOB_DEADLINE:
    say(t, name, "its deadline came before it could end");
    break;
  default:
    say(t, name, job->state_desc);
  }
  if (cancelled) t->flags |= HATO_MEMBER_CANCELLED;
}

#define COMING_BACK (JOB_REQUEUE | JOB_REQUEUE_HOLD | JOB_SPECIAL_EXIT | JOB_REQUEUE_FED)

void sl_describe(const slurm_job_info_t *job, bool cancelled, sl_told *t) {
  uint32_t base = job->job_state & JOB_STATE_BASE;
  *t = (sl_told){0};
  if (base == JOB_PENDING) {
    waiting(job, t);
  } else if (base == JOB_RUNNING) {
    t->state = HATO_MEMBER_RUNNING;
    if ((job->job_state & (JOB_CONFIGURING | JOB_POWER_UP_NODE)) != 0) {
      t->state = HATO_MEMBER_STARTING;
      say(t, "its nodes are made ready", NULL);
    }
  } else if (base == JOB_SUSPENDED) {
    t->state = HATO_MEMBER_QUEUED;
    say(t, "suspended", job->state_desc);
  } else if ((job->job_state & COMING_BACK) != 0) {
    t->state = HATO_MEMBER_QUEUED;
    say(t, "it is put into the queue again after", slurm_job_state_string(base));
  } else {
    over(job, cancelled, t);
  }
}

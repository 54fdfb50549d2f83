/* The checks of the conformance suite, a function and a row each. */
#include "launchers/conform.h"
#include "base/buf.h"
#include "base/io.h"
#include "base/str.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define SLEEP WORDS("sleep", "600")

/* ---- before any launch ---- */

static launchers_verdict loads(launchers__suite *s) {
  return launchers__suite_open(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

static launchers_verdict probes(launchers__suite *s) {
  launchers__reply reply;
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__PROBE}, &reply))
    return LAUNCHERS_FAILED_CHECK;
  return reply.status == HATO_OK ? LAUNCHERS_PASSED
                                 : launchers__wrong(s, "it cannot work here: %s", reply.text);
}

static launchers_verdict refused(launchers__suite *s, const launchers_request *r, const char *what) {
  launchers__reply reply;
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__LAUNCH, .request = r}, &reply))
    return LAUNCHERS_FAILED_CHECK;
  s->live = reply.status == HATO_OK;
  if (reply.status == HATO_OK) return launchers__wrong(s, "a launch %s was accepted", what);
  return reply.text[0] != 0 ? LAUNCHERS_PASSED
                            : launchers__wrong(s, "a launch %s is refused without words", what);
}

static launchers_verdict refuses_zero(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 0, SLEEP);
  return refused(s, &r, "of 0 daemons");
}

static launchers_verdict refuses_minus_one(launchers__suite *s) {
  launchers_request r = launchers__ask(s, (uint32_t)-1, SLEEP);
  return refused(s, &r, "of -1 daemons");
}

static launchers_verdict refuses_unknown_option(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, SLEEP);
  r.options = WORDS("no-such-option-of-any-launcher=1");
  return refused(s, &r, "with an unknown option");
}

static launchers_verdict adopts_nothing_by_tag(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, NULL);
  launchers__reply reply;
  hato_status rc = launchers__take_up(s, &r, NULL, 0, &reply);
  if (rc == HATO_RESET && reply.status == HATO_OK) return LAUNCHERS_FAILED_CHECK;
  return rc == HATO_NOT_FOUND
             ? LAUNCHERS_PASSED
             : launchers__wrong(s, "adopt of a tag that never was gave %d (%s), expected %d (%s)", (int)rc,
                                hato_strerror((int)rc), HATO_NOT_FOUND, hato_strerror(HATO_NOT_FOUND));
}

static launchers_verdict adopts_no_foreign_record(launchers__suite *s) {
  uint8_t record[HATO_RECORD_MAX];
  memset(record, 0xa5, sizeof record);
  launchers_request r = launchers__ask(s, 1, NULL);
  launchers__reply reply;
  hato_status rc = launchers__take_up(s, &r, record, sizeof record, &reply);
  if (rc == HATO_RESET && reply.status == HATO_OK) return LAUNCHERS_FAILED_CHECK;
  return rc != HATO_OK ? LAUNCHERS_PASSED
                       : launchers__wrong(s, "adopt of a record that is none of its own succeeded");
}

/* ---- life ---- */

static launchers_verdict launches_one(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, SLEEP);
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_RUNNING, "after launch"))
    return LAUNCHERS_FAILED_CHECK;
  if (s->seen[0].state == HATO_MEMBER_ENDED)
    return launchers__wrong(s, "`sleep 600` ended at once: %s %s", s->seen[0].reason, s->seen[0].tail);
  return launchers__end_it(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

/* A member knows its number by the variable that the launcher states, and its exit code comes back. */
static launchers_verdict launches_several(launchers__suite *s) {
  char script[256];
  launchers__reply reply;
  launchers_request r = launchers__ask(s, 3, SLEEP);
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__PLAN, .request = &r}, &reply))
    return LAUNCHERS_FAILED_CHECK;
  if (reply.status != HATO_OK) return launchers__wrong(s, "plan failed: %s", reply.text);
  const char *name = reply.plan.member_env != NULL ? reply.member_env : NULL;
  const uint32_t number = reply.plan.member_first;
  if (name != NULL)
    (void)snprintf(script, sizeof script, "exit $((${%.100s:-99} - %u + 10))", name, number);
  else
    (void)snprintf(script, sizeof script, "exit 10");
  r.argv = WORDS("sh", "-c", script);
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_ENDED, "members that exit"))
    return LAUNCHERS_FAILED_CHECK;
  for (uint32_t i = 0; i < 3; i++) {
    int wanted = name != NULL ? 10 + (int)i : 10;
    if (!s->seen[i].exit_known)
      return launchers__left_out(s, "members ended, but it does not know exit codes");
    if (s->seen[i].exit_code != wanted)
      return launchers__wrong(
          s, "member %u exited with %d, expected %d (it should find its number, %u, in %s)", i,
          s->seen[i].exit_code, wanted, i + number, name != NULL ? name : "nothing");
  }
  return LAUNCHERS_PASSED;
}

static launchers_verdict tells_of_no_program(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, WORDS("no-such-program-on-any-machine"));
  launchers__reply reply;
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__LAUNCH, .request = &r}, &reply))
    return LAUNCHERS_FAILED_CHECK;
  if (reply.status != HATO_OK)
    return reply.text[0] != 0 ? LAUNCHERS_PASSED : launchers__wrong(s, "launch failed without words");
  s->live = true;
  if (!launchers__until(s, HATO_MEMBER_ENDED, "a program that is not there")) return LAUNCHERS_FAILED_CHECK;
  if (s->seen[0].exit_known && s->seen[0].exit_code == 0)
    return launchers__wrong(s, "a program that is not there exited with 0");
  return LAUNCHERS_PASSED;
}

static launchers_verdict shows_last_lines(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, WORDS("sh", "-c", "echo conform-$((40 + 2)) >&2; exit 3"));
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_ENDED, "a member that exits"))
    return LAUNCHERS_FAILED_CHECK;
  if (strstr(s->seen[0].tail, "conform-42") != NULL) return LAUNCHERS_PASSED;
  return launchers__left_out(s, "it reports no last lines of a member's output");
}

static launchers_verdict cancels_twice(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 2, SLEEP);
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_RUNNING, "after launch") ||
      !launchers__cancel_it(s) || !launchers__cancel_it(s) ||
      !launchers__until(s, HATO_MEMBER_ENDED, "after cancel") || !launchers__end_it(s))
    return LAUNCHERS_FAILED_CHECK;
  return LAUNCHERS_PASSED;
}

static launchers_verdict cancels_at_once(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 2, SLEEP);
  if (!launchers__make(s, &r) || !launchers__end_it(s)) return LAUNCHERS_FAILED_CHECK;
  return LAUNCHERS_PASSED;
}

static launchers_verdict cancels_one_member(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 2, SLEEP);
  launchers__reply planned; /* options may say other than the descriptor */
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__PLAN, .request = &r}, &planned))
    return LAUNCHERS_FAILED_CHECK;
  if (planned.status != HATO_OK) return launchers__wrong(s, "plan failed: %s", planned.text);
  if ((planned.plan.flags & HATO_LAUNCHER_CANCELS_MEMBERS) == 0)
    return launchers__left_out(s, "it ends whole launches only");
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_RUNNING, "after launch"))
    return LAUNCHERS_FAILED_CHECK;
  uint32_t member = 1;
  launchers__reply reply;
  launchers__call c = {.op = LAUNCHERS__CANCEL, .id = s->id, .members = &member, .n_members = 1};
  if (!launchers__suite_call(s, c, &reply)) return LAUNCHERS_FAILED_CHECK;
  if (reply.status == HATO_NOT_SUPPORTED && reply.text[0] != 0) /* with these options, as plan says */
    return launchers__end_it(s) ? launchers__left_out(s, reply.text) : LAUNCHERS_FAILED_CHECK;
  if (reply.status != HATO_OK) return launchers__wrong(s, "cancel of member 1 failed: %s", reply.text);
  if (!launchers__until_of(s, 1, 1, HATO_MEMBER_ENDED, "after cancel of member 1"))
    return LAUNCHERS_FAILED_CHECK;
  if (s->seen[0].state == HATO_MEMBER_ENDED)
    return launchers__wrong(s, "cancel of member 1 ended member 0, too");
  return launchers__end_it(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

static launchers_verdict cancels_what_ended(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, WORDS("true"));
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_ENDED, "`true`"))
    return LAUNCHERS_FAILED_CHECK;
  return launchers__end_it(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

/* ---- the process that made it is gone ---- */

static bool adopt_again(launchers__suite *s, const launchers_request *r, bool by_record) {
  launchers__suite_kill(s);
  memset(s->seen, 0, sizeof s->seen);
  launchers__reply reply;
  hato_status rc = launchers__take_up(s, r, s->record, by_record ? s->record_len : 0, &reply);
  if (rc != HATO_OK) {
    if (reply.status != HATO_OK)
      (void)launchers__wrong(s, "adopt by its %s failed: %s", by_record ? "record" : "tag", reply.text);
    return false;
  }
  return launchers__until(s, HATO_MEMBER_RUNNING, by_record ? "after adopt by record" : "after adopt by tag");
}

static launchers_verdict adopts(launchers__suite *s) {
  if (s->builtin != NULL)
    return launchers__left_out(s, "it is compiled in and ends with the host; its shared object is tried so");
  launchers_request r = launchers__ask(s, 2, SLEEP);
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_RUNNING, "after launch") ||
      !adopt_again(s, &r, true) || !adopt_again(s, &r, false))
    return LAUNCHERS_FAILED_CHECK;
  for (uint32_t i = 0; i < s->count; i++) {
    if (s->seen[i].state == HATO_MEMBER_ENDED)
      return launchers__wrong(s, "member %u ended when the launcher's process did: %s", i, s->seen[i].reason);
  }
  return launchers__end_it(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

static launchers_verdict adopts_its_own(launchers__suite *s) {
  launchers_request r = launchers__ask(s, 1, SLEEP);
  launchers__reply reply;
  if (!launchers__make(s, &r)) return LAUNCHERS_FAILED_CHECK;
  if (launchers__take_up(s, &r, s->record, s->record_len, &reply) != HATO_OK)
    return launchers__wrong(s, "adopt of a launch that it follows already failed: %s", reply.text);
  return launchers__end_it(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

/* ---- structs of a later hato ---- */

static launchers_verdict takes_longer_structs(launchers__suite *s) {
  s->grown = true;
  launchers_request r = launchers__ask(s, 1, SLEEP);
  launchers__reply reply;
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__PLAN, .request = &r}, &reply))
    return LAUNCHERS_FAILED_CHECK;
  if (reply.status != HATO_OK) return launchers__wrong(s, "plan failed: %s", reply.text);
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_RUNNING, "after launch"))
    return LAUNCHERS_FAILED_CHECK;
  if (launchers__take_up(s, &r, s->record, s->record_len, &reply) != HATO_OK)
    return launchers__wrong(s, "adopt failed: %s", reply.text);
  return launchers__end_it(s) ? LAUNCHERS_PASSED : LAUNCHERS_FAILED_CHECK;
}

/* ---- secrets ---- */

static bool file_has(const char *path, const char *secret) {
  hato__buf b = {0};
  bool found = hato__read_file(path, 1u << 20, &b, NULL) == HATO_OK && b.len > 0 &&
               memmem(b.data, b.len, secret, strlen(secret)) != NULL;
  hato__buf_free(&b);
  return found;
}

/* In nobody's argument list, for as long as the launch lives. */
static bool secret_is_hidden(launchers__suite *s) {
  DIR *d = opendir("/proc");
  bool hidden = true;
  for (const struct dirent *e; d != NULL && hidden && (e = readdir(d)) != NULL;) {
    if (!isdigit((unsigned char)e->d_name[0])) continue;
    char path[300];
    (void)snprintf(path, sizeof path, "/proc/%s/cmdline", e->d_name);
    hidden = !file_has(path, s->secret);
    if (!hidden) (void)launchers__wrong(s, "the secret stands in the arguments of process %s", e->d_name);
  }
  if (d != NULL) (void)closedir(d);
  if (hidden && memmem(s->record, s->record_len, s->secret, strlen(s->secret)) != NULL) {
    (void)launchers__wrong(s, "the secret stands in the record");
    return false;
  }
  return hidden;
}

static bool logs_have(const launchers__suite *s) {
  DIR *d = opendir(s->log_dir);
  bool found = false;
  for (const struct dirent *e; d != NULL && !found && (e = readdir(d)) != NULL;) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", s->log_dir, e->d_name);
    found = file_has(path, s->secret);
  }
  if (d != NULL) (void)closedir(d);
  return found;
}

static launchers_verdict hands_over(launchers__suite *s, uint32_t way, const char *script) {
  if ((s->info->secret_ways & way) == 0) return launchers__left_out(s, "it does not offer this way");
  uint8_t random[16];
  char secret[33];
  hato__random(random, sizeof random);
  hato__hex(secret, random, sizeof random);
  launchers_request r = launchers__ask(s, 2, WORDS("sh", "-c", script));
  r.secret_way = way;
  r.secret = secret;
  r.secret_len = 32;
  r.secret_env = way == HATO_SECRET_ENVIRONMENT ? "HATO_CONFORM_SECRET" : NULL;
  s->secret = secret;
  s->each_poll = secret_is_hidden;
  launchers_verdict v = LAUNCHERS_PASSED;
  if (!launchers__make(s, &r) || !launchers__until(s, HATO_MEMBER_RUNNING, "after launch") ||
      !launchers__until(s, HATO_MEMBER_ENDED, "members that got the secret"))
    v = LAUNCHERS_FAILED_CHECK;
  else if (logs_have(s))
    v = launchers__wrong(s, "the secret stands in a file of the log folder");
  for (uint32_t i = 0; v == LAUNCHERS_PASSED && i < 2; i++) {
    if (s->seen[i].exit_known && s->seen[i].exit_code != 42)
      v = launchers__wrong(s, "member %u did not get the secret (exit code %d)", i, s->seen[i].exit_code);
  }
  s->each_poll = NULL;
  s->secret = NULL;
  return v;
}

static launchers_verdict secret_by_input(launchers__suite *s) {
  return hands_over(s, HATO_SECRET_STDIN, "x=$(cat); sleep 1; [ ${#x} = 32 ] && exit 42; exit 1");
}

static launchers_verdict secret_by_environment(launchers__suite *s) {
  return hands_over(s, HATO_SECRET_ENVIRONMENT,
                    "sleep 1; [ ${#HATO_CONFORM_SECRET} = 32 ] && exit 42; exit 1");
}

/* ---- the table ---- */

const launchers__check_row *launchers__checks(void) {
  static const launchers__check_row rows[] = {
      {"loads", loads}, /* first: the others need it */
      {"probe succeeds", probes},
      {"launch of 0 is refused", refuses_zero},
      {"launch of -1 is refused", refuses_minus_one},
      {"an unknown option is refused", refuses_unknown_option},
      {"adopt of an unknown tag is NOT_FOUND", adopts_nothing_by_tag},
      {"adopt of an unknown record fails", adopts_no_foreign_record},
      {"launch of 1 runs and is cancelled", launches_one},
      {"launch of 3: numbers and exit codes", launches_several},
      {"a program that is not there", tells_of_no_program},
      {"last lines of the log", shows_last_lines},
      {"cancel twice", cancels_twice},
      {"cancel before it runs", cancels_at_once},
      {"cancel of one member", cancels_one_member},
      {"cancel of what has ended", cancels_what_ended},
      {"adopt of a launch it follows", adopts_its_own},
      {"adopt by record and by tag", adopts},
      {"structs of a later hato", takes_longer_structs},
      {"secret by standard input", secret_by_input},
      {"secret by the environment", secret_by_environment},
      {NULL, NULL},
  };
  return rows;
}

void launchers__suite_remove_logs(launchers__suite *s) {
  DIR *d = opendir(s->log_dir);
  for (const struct dirent *e; d != NULL && (e = readdir(d)) != NULL;) {
    char path[4096];
    (void)snprintf(path, sizeof path, "%s/%s", s->log_dir, e->d_name);
    (void)unlink(path);
  }
  if (d != NULL) (void)closedir(d);
  (void)rmdir(s->log_dir);
}

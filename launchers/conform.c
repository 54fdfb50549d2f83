/* The conformance suite: what the ABI's contract promises, tried on a launcher. Each check is a row of
 * the table at the end. It speaks to the module as a keeper does, in a process of its own. */
#include "launchers/conform.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"

#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- what the module says ---- */

static void on_log(void *arg, hato__log_level level, const char *text) {
  const launchers__suite *s = arg;
  hato__log_msg(&s->h->o.log, level, "LAUNCHER", "%s: %s", s->name, text);
}

static void on_progress(void *arg, const char *text) { on_log(arg, HATO__LOG_INFO, text); }

static bool on_abort(void *arg) { return atomic_load(&((launchers__suite *)arg)->h->stopping); }

static void on_member(void *arg, uint64_t launch, uint32_t first, uint32_t count, const launchers_member *m) {
  launchers__suite *s = arg;
  if (launch != s->id || (uint32_t)m->state > HATO_MEMBER_ENDED || first >= s->count ||
      count > s->count - first) {
    (void)snprintf(s->lie, sizeof s->lie,
                   "spoke of members %u to %u of launch %llu in state %d; launch %llu has %u", first,
                   first + count - 1, (unsigned long long)launch, (int)m->state, (unsigned long long)s->id,
                   s->count);
    return;
  }
  for (uint32_t i = first; i < first + count; i++) {
    launchers__seen *seen = &s->seen[i];
    if (seen->state == HATO_MEMBER_ENDED && m->state != HATO_MEMBER_ENDED)
      (void)snprintf(s->lie, sizeof s->lie, "member %u had ended and is back in state %d", i, (int)m->state);
    if (seen->state == HATO_MEMBER_ENDED) continue;
    seen->state = m->state;
    seen->exit_known = m->exit_known;
    seen->exit_code = m->exit_code;
    if (m->reason != NULL) (void)snprintf(seen->reason, sizeof seen->reason, "%s", m->reason);
    if (m->log_tail != NULL) (void)snprintf(seen->tail, sizeof seen->tail, "%s", m->log_tail);
  }
}

/* ---- words ---- */

launchers_verdict launchers__wrong(launchers__suite *s, const char *fmt, ...) {
  char text[sizeof s->words];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(text, sizeof text, fmt, ap) < 0) text[0] = 0;
  va_end(ap);
  memcpy(s->words, text, sizeof text);
  return LAUNCHERS_FAILED_CHECK;
}

launchers_verdict launchers__left_out(launchers__suite *s, const char *why) {
  (void)snprintf(s->words, sizeof s->words, "%s", why);
  return LAUNCHERS_LEFT_OUT;
}

/* ---- the line ---- */

bool launchers__suite_open(launchers__suite *s) {
  if (s->line != NULL) return true;
  launchers__line_options o = {.name = s->name,
                               .path = s->path,
                               .builtin = s->builtin,
                               .hato_binary = s->h->hato_binary,
                               .wake_fd = -1,
                               .sink = {s, on_log, on_progress, on_member, on_abort}};
  launchers_info *info = NULL;
  hato_error err;
  if (launchers__line_open(&o, &s->line, &info, &err) != HATO_OK) {
    (void)launchers__wrong(s, "%s", err.text);
    return false;
  }
  launchers_info_free(s->info);
  s->info = info;
  return true;
}

/* As a dispatcher that was killed leaves it. */
void launchers__suite_kill(launchers__suite *s) {
  launchers__line_close(s->line, false);
  s->line = NULL;
}

/* True: the module answered, whatever it said. */
bool launchers__suite_call(launchers__suite *s, launchers__call c, launchers__reply *reply) {
  hato_error err;
  *reply = (launchers__reply){0};
  if (!launchers__suite_open(s)) return false;
  c.deadline_ms = c.op == LAUNCHERS__LAUNCH ? s->info->launch_deadline_ms
                  : c.op == LAUNCHERS__POLL ? s->info->poll_deadline_ms
                                            : s->info->other_deadline_ms;
  c.grown = s->grown;
  if (launchers__line_call(s->line, &c, reply, &err) == HATO_OK) return true;
  launchers__suite_kill(s);
  (void)launchers__wrong(s, "%s", err.text);
  return false;
}

/* ---- launches ---- */

/* A request for the next launch of the suite. */
launchers_request launchers__ask(launchers__suite *s, uint32_t count, const char *const *argv) {
  s->id++;
  s->count = count <= LAUNCHERS__SUITE_MEMBERS ? count : 0;
  s->lie[0] = 0;
  s->live = false;
  memset(s->seen, 0, sizeof s->seen);
  (void)snprintf(s->tag, sizeof s->tag, "conform-%d-%u-%u", (int)getpid(), s->salt, (unsigned)s->id);
  return (launchers_request){.id = s->id,
                             .launcher = s->name,
                             .options = s->options,
                             .argv = argv,
                             .count = count,
                             .tag = s->tag,
                             .log_dir = s->log_dir,
                             .env = s->env};
}

bool launchers__make(launchers__suite *s, const launchers_request *r) {
  launchers__reply reply;
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__LAUNCH, .request = r}, &reply))
    return false;
  if (reply.status != HATO_OK) {
    (void)launchers__wrong(s, "launch failed: %s", reply.text);
    return false;
  }
  s->live = true;
  s->record_len = reply.record_len;
  memcpy(s->record, reply.record, reply.record_len);
  return true;
}

hato_status launchers__take_up(launchers__suite *s, const launchers_request *r, const void *record,
                               size_t len, launchers__reply *reply) {
  launchers__call c = {.op = LAUNCHERS__ADOPT, .request = r, .record = record, .record_len = len};
  return launchers__suite_call(s, c, reply) ? reply->status : HATO_RESET;
}

/* The first of those members that is not there yet; NULL: all are. */
static const launchers__seen *behind(const launchers__suite *s, uint32_t first, uint32_t n,
                                     hato_member_state state) {
  for (uint32_t i = first; i < first + n; i++) {
    if (s->seen[i].state < state) return &s->seen[i];
  }
  return NULL;
}

static bool stopped(launchers__suite *s) {
  s->stopped = s->stopped || (s->stop != NULL && s->stop(s->arg));
  return s->stopped;
}

static void wait_a_little(launchers__suite *s) {
  struct pollfd p[2];
  int fds[2], n = launchers__line_fds(s->line, fds);
  for (int i = 0; i < n; i++) p[i] = (struct pollfd){.fd = fds[i], .events = POLLIN};
  uint32_t ms = s->info->interval_ms > 0 && s->info->interval_ms < 1000 ? s->info->interval_ms : 1000;
  hato_error err;
  if (poll(p, (nfds_t)n, s->info->interval_ms == 0 ? 200 : (int)ms) > 0)
    (void)launchers__line_ready(s->line, &err);
}

bool launchers__until(launchers__suite *s, hato_member_state state, const char *what) {
  return launchers__until_of(s, 0, s->count, state, what);
}

bool launchers__until_of(launchers__suite *s, uint32_t first, uint32_t n, hato_member_state state,
                         const char *what) {
  static const char *const names[] = {"asked", "submitted", "queued", "starting", "running", "ended"};
  uint64_t until = hato__now() + s->patience_ms * HATO__MS;
  for (;;) {
    launchers__reply reply;
    if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__POLL}, &reply)) return false;
    if (reply.status != HATO_OK && reply.status != HATO_AGAIN) {
      (void)launchers__wrong(s, "poll failed: %s", reply.text);
      return false;
    }
    if (s->lie[0] != 0) {
      (void)launchers__wrong(s, "%s", s->lie);
      return false;
    }
    if (s->each_poll != NULL && !s->each_poll(s)) return false;
    if (behind(s, first, n, state) == NULL) return true;
    if (stopped(s)) {
      (void)launchers__wrong(s, "interrupted");
      return false;
    }
    if (hato__now() >= until) break;
    wait_a_little(s);
  }
  const launchers__seen *m = behind(s, first, n, state);
  (void)launchers__wrong(s, "%s: after %.3g s member %u is %s, not %s; %s", what, s->patience_ms / 1000.0,
                         (unsigned)(m - s->seen), names[m->state], names[state], m->reason);
  return false;
}

bool launchers__cancel_it(launchers__suite *s) {
  launchers__reply reply;
  if (!launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__CANCEL, .id = s->id}, &reply))
    return false;
  if (reply.status == HATO_OK) return true;
  (void)launchers__wrong(s, "cancel failed: %s", reply.text);
  return false;
}

/* Cancelled, ended, forgotten. */
bool launchers__end_it(launchers__suite *s) {
  launchers__reply reply;
  if (!launchers__cancel_it(s) || !launchers__until(s, HATO_MEMBER_ENDED, "after cancel")) return false;
  s->live = false;
  return launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__FORGET, .id = s->id}, &reply);
}

/* Whatever a check left: it is asked to end, and not waited for. */
static void clean_up(launchers__suite *s) {
  launchers__reply reply;
  char words[sizeof s->words];
  memcpy(words, s->words, sizeof words);
  s->each_poll = NULL;
  s->grown = false;
  if (s->live) {
    launchers_request r = {.id = s->id,
                           .launcher = s->name,
                           .options = s->options,
                           .count = s->count,
                           .tag = s->tag,
                           .log_dir = s->log_dir};
    if (s->line == NULL) (void)launchers__take_up(s, &r, s->record, s->record_len, &reply);
    (void)launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__CANCEL, .id = s->id}, &reply);
    (void)launchers__suite_call(s, (launchers__call){.op = LAUNCHERS__FORGET, .id = s->id}, &reply);
  }
  s->live = false;
  memcpy(s->words, words, sizeof words);
}

/* ---- the suite ---- */

static hato_status run_checks(launchers__suite *s, const launchers_conformance *c, hato_error *err) {
  unsigned wrong = 0;
  const launchers__check_row *rows = launchers__checks();
  for (size_t i = 0; rows[i].name != NULL; i++) {
    s->words[0] = 0;
    launchers_verdict v = rows[i].check(s);
    clean_up(s);
    if (stopped(s)) return hato__fail(err, HATO_INTERRUPTED, "interrupted at: %s", rows[i].name);
    if (v == LAUNCHERS_PASSED) s->words[0] = 0;
    if (v == LAUNCHERS_FAILED_CHECK && wrong++ == 0)
      (void)hato__fail(err, HATO_ABORTED, "%s: %s", rows[i].name, s->words);
    if (c->report != NULL) c->report(c->arg, rows[i].name, v, s->words);
    if (i == 0 && v != LAUNCHERS_PASSED) break; /* not loaded: nothing else can be tried */
  }
  return wrong == 0 ? HATO_OK : HATO_ABORTED;
}

static hato_status find_module(launchers__suite *s, const char *name_or_path, hato_error *err) {
  size_t len = strlen(name_or_path);
  bool object = len > 3 && strcmp(name_or_path + len - 3, ".so") == 0;
  if (object || strchr(name_or_path, '/') != NULL || len > sizeof s->name - 1) {
    size_t n = 0;
    const char *at = launchers__name_of(name_or_path, &n);
    s->path = realpath(name_or_path, NULL);
    if (s->path == NULL) return hato__fail_errno(err, "the launcher %s", name_or_path);
    (void)snprintf(s->name, sizeof s->name, "%.*s", (int)(at != NULL && n < 64 ? n : 4),
                   at != NULL ? at : "test");
    return HATO_OK;
  }
  (void)snprintf(s->name, sizeof s->name, "%s", name_or_path);
  s->builtin = launchers__builtin(name_or_path);
  if (s->builtin == NULL) s->path = launchers__find(s->h->folders, name_or_path);
  if (s->builtin != NULL || s->path != NULL) return HATO_OK;
  const launchers_info *none;
  return launchers_known(s->h, name_or_path, &none, err);
}

/* A folder that members write their logs to: other machines do not see this one's /tmp. */
static hato_status make_logs(launchers__suite *s, char **out, hato_error *err) {
  bool here = launchers__suite_open(s) && (s->info->flags & HATO_LAUNCHER_SHARES_HOST) != 0;
  char *folder = here ? strdup("/tmp") : realpath(".", NULL);
  char *path = folder != NULL ? hato__printf("%s/hato-conform-XXXXXX", folder) : NULL;
  free(folder);
  *out = path;
  s->log_dir = path != NULL ? mkdtemp(path) : NULL;
  if (s->log_dir != NULL) return HATO_OK;
  return hato__fail_errno(err, "cannot make a folder for logs in %s", here ? "/tmp" : "the current folder");
}

hato_status launchers_conform(launchers *h, const char *name_or_path, const launchers_conformance *c,
                              hato_error *err) {
  hato_error local;
  if (err == NULL) err = &local;
  hato__error_clear(err);
  launchers__suite *s = calloc(1, sizeof *s);
  if (s == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for the suite");
  s->h = h;
  s->options = c->options;
  s->stop = c->stop;
  s->arg = c->arg;
  s->patience_ms = c->patience_ms != 0 ? c->patience_ms : 60000;
  hato__random(&s->salt, sizeof s->salt);
  s->log_dir = c->log_dir;
  char *made = NULL;
  hato_status rc = find_module(s, name_or_path, err);
  if (rc == HATO_OK && s->log_dir == NULL) rc = make_logs(s, &made, err);
  if (rc == HATO_OK) rc = run_checks(s, c, err);
  launchers__line_close(s->line, true);
  if (made != NULL && s->log_dir != NULL) launchers__suite_remove_logs(s);
  free(made);
  launchers_info_free(s->info);
  free(s->path);
  free(s);
  return rc;
}

/* What the host does for a module during an operation: log, fail, report, run, start. */
#include "launchers/internal.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/str.h"

#include <stdarg.h>
#include <string.h>

#define WORDS_MAX 1000 /* bytes of a member's reason, host or job */
#define TAIL_MAX 4096

static void __attribute__((format(printf, 3, 0))) vtext(char *out, size_t n, const char *fmt, va_list ap) {
  if (vsnprintf(out, n, fmt, ap) < 0) out[0] = 0;
  hato__clean(out, true);
}

static hato__log_level level_of(int level) {
  if (level < HATO_LEVEL_ERROR) return HATO__LOG_ERROR;
  return level > HATO_LEVEL_DEBUG ? HATO__LOG_DEBUG : (hato__log_level)level;
}

void launchers__runner_log(launchers__runner *r, hato__log_level level, const char *fmt, ...) {
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vtext(text, sizeof text, fmt, ap);
  va_end(ap);
  r->sink.log(r->sink.arg, level, text);
}

static void __attribute__((format(printf, 3, 4)))
do_log(const hato_host *h, int level, const char *fmt, ...) {
  launchers__runner *r = launchers__runner_of(h);
  char text[1024];
  va_list ap;
  va_start(ap, fmt);
  vtext(text, sizeof text, fmt, ap);
  va_end(ap);
  r->sink.log(r->sink.arg, level_of(level), text);
}

static int __attribute__((format(printf, 3, 4)))
do_fail(const hato_host *h, int status, const char *fmt, ...) {
  launchers__runner *r = launchers__runner_of(h);
  char text[sizeof r->words]; /* aside: an argument may be the words of before */
  va_list ap;
  va_start(ap, fmt);
  vtext(text, sizeof text, fmt, ap);
  va_end(ap);
  memcpy(r->words, text, sizeof text);
  r->failed = status != HATO_OK ? (hato_status)status : HATO_INTERNAL;
  return (int)r->failed;
}

static void __attribute__((format(printf, 2, 3))) do_progress(const hato_host *h, const char *fmt, ...) {
  launchers__runner *r = launchers__runner_of(h);
  char text[512];
  va_list ap;
  va_start(ap, fmt);
  vtext(text, sizeof text, fmt, ap);
  va_end(ap);
  r->sink.progress(r->sink.arg, text);
}

static int do_should_abort(const hato_host *h) {
  launchers__runner *r = launchers__runner_of(h);
  return hato__now() >= r->deadline || r->sink.abort(r->sink.arg);
}

/* What a module says of a member, as it may be shown; of words the first. */
static char *shown(launchers__runner *r, const char *text, size_t max, bool lines) {
  char *copy = text != NULL ? launchers__dup(&r->scratch, text, strnlen(text, max)) : NULL;
  if (copy != NULL) hato__clean(copy, lines);
  return copy;
}

static void do_member(const hato_host *h, uint64_t launch, const hato_member *given) {
  launchers__runner *r = launchers__runner_of(h);
  const size_t least = offsetof(hato_member, log_tail) + sizeof given->log_tail;
  if (given == NULL || given->size < least) {
    launchers__runner_log(r, HATO__LOG_ERROR, "reported a member of %u bytes, expected at least %zu",
                          given != NULL ? given->size : 0, least);
    return;
  }
  hato_member m = {0};
  memcpy(&m, given, given->size < sizeof m ? given->size : sizeof m);
  launchers_member out = {.number = m.first,
                          .state = (hato_member_state)m.state,
                          .exit_known = (m.flags & HATO_MEMBER_EXIT_KNOWN) != 0,
                          .cancelled = m.state == HATO_MEMBER_ENDED && (m.flags & HATO_MEMBER_CANCELLED) != 0,
                          .never = m.state == HATO_MEMBER_QUEUED && (m.flags & HATO_MEMBER_NEVER) != 0,
                          .exit_code = m.exit_code,
                          .signal = m.signal,
                          .reason = shown(r, m.reason, WORDS_MAX, false),
                          .host = shown(r, m.host, WORDS_MAX, false),
                          .job = shown(r, m.job, WORDS_MAX, false),
                          .log_path = m.log_path,
                          .log_tail = shown(r, m.log_tail, TAIL_MAX, true)};
  if (m.state == HATO_MEMBER_ENDED && m.log_tail == NULL && m.log_path != NULL)
    out.log_tail = shown(r, launchers__tail(&r->scratch, m.log_path), TAIL_MAX, true);
  r->sink.member(r->sink.arg, launch, m.first, m.count, &out);
}

static void *do_alloc(const hato_host *h, size_t n) {
  void *p = launchers__alloc(&launchers__runner_of(h)->scratch, n);
  if (p == NULL) (void)do_fail(h, HATO_NO_MEMORY, "no memory for %zu bytes", n);
  return p;
}

static int do_run(const hato_host *h, hato_run *given) {
  const size_t least = offsetof(hato_run, err_len) + sizeof given->err_len;
  if (given->size < least)
    return do_fail(h, HATO_INVALID, "a command of %u bytes, expected at least %zu", given->size, least);
  hato_error err;
  hato_error *e = &err;
  hato__error_clear(e);
  hato_status rc = launchers__run(launchers__runner_of(h), given, e);
  return rc == HATO_OK ? HATO_OK : do_fail(h, (int)rc, "%s", err.text);
}

static int do_spawn(const hato_host *h, hato_spawn *given) {
  const size_t least = offsetof(hato_spawn, pidfd) + sizeof given->pidfd;
  if (given->size < least)
    return do_fail(h, HATO_INVALID, "a process of %u bytes, expected at least %zu", given->size, least);
  launchers__process p = {.argv = given->argv,
                          .env = given->env,
                          .cwd = given->cwd,
                          .log_path = given->log_path,
                          .input = given->input,
                          .input_len = given->input_len,
                          .session = true,
                          LAUNCHERS__NO_FDS};
  hato_error err;
  hato__error_clear(&err);
  pid_t pid = -1;
  int pidfd = -1;
  hato_status rc = launchers__spawn(&p, &pid, &pidfd, &err);
  given->pid = pid;
  given->pidfd = pidfd;
  return rc == HATO_OK ? HATO_OK : do_fail(h, (int)rc, "%s", err.text);
}

void launchers__services(launchers__runner *r) {
  hato_host *h = &r->host;
  *h = (hato_host){.size = sizeof *h,
                   .abi_major = HATO_LAUNCHER_ABI_MAJOR,
                   .abi_minor = HATO_LAUNCHER_ABI_MINOR,
                   .ctx = r,
                   .log = do_log,
                   .fail = do_fail,
                   .progress = do_progress,
                   .should_abort = do_should_abort,
                   .member = do_member,
                   .alloc = do_alloc,
                   .run = do_run,
                   .spawn = do_spawn};
  launchers__services_text(h);
  launchers__services_options(h);
}

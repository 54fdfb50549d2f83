/* Pools for the tests of libhato: the hato program of this build, and words for failures. */
#ifndef HATO_TESTS_HELP_POOL_H
#define HATO_TESTS_HELP_POOL_H

#include "unit.h"

#include "base/clock.h"
#include "hato/hato.h"
#include <time.h>

#define SAMPLES HATO_BUILD_DIR "/tests/functions/samples.so"

/* Not by ck_assert, which writes to a file each time: some tests do this thousands of times. */
#define OK(call)                                                                                          \
  do {                                                                                                    \
    hato_error e_ = {0};                                                                                 \
    hato_error *e = &e_;                                                                                 \
    hato_status st_ = (call);                                                                             \
    if (st_ != HATO_OK) ck_abort_msg("%s: %d %s", #call, (int)st_, e->text);                              \
  } while (0)

static inline hato_pool *pool_open_with(int daemons, int slots) {
  hato_pool *p = NULL;
  hato_pool_options o = HATO_POOL_OPTIONS_INIT;
  o.mode = HATO_POOL_EMBEDDED;
  o.daemons = daemons;
  o.slots = slots;
  o.hato_binary = HATO_BUILD_DIR "/bin/hato";
  OK(hato_pool_open(&o, &p, e));
  return p;
}
static inline hato_pool *pool_open(void) { return pool_open_with(1, 2); }

static inline hato_spec *command_with(hato_pool *p, const char *const *argv, hato_stdin kind, unsigned flags) {
  hato_spec *s = NULL;
  hato_command c = HATO_COMMAND_INIT;
  c.argv = argv;
  c.stdin_kind = kind;
  c.flags = flags;
  OK(hato_spec_command(p, &c, &s, e));
  return s;
}
/* sh -c script, with {} for the argument */
static inline hato_spec *shell(hato_pool *p, const char *script) {
  return command_with(p, (const char *const[]){"sh", "-c", script, NULL}, HATO_STDIN_NULL,
                      HATO_COMMAND_SUBSTITUTE | HATO_COMMAND_SHELL);
}
static inline hato_spec *function(hato_pool *p, const char *symbol) {
  hato_spec *s = NULL;
  hato_function f = HATO_FUNCTION_INIT;
  f.object_path = SAMPLES;
  f.symbol = symbol;
  OK(hato_spec_function(p, &f, &s, e));
  return s;
}

static inline hato_argument arg(const char *text) { return (hato_argument){text, strlen(text)}; }

static inline hato_future *submit_to(hato_pool *p, hato_spec *s, const char *text, hato_queue *q) {
  hato_future *f = NULL;
  OK(hato_submit(p, s, arg(text), NULL, q, &f, e));
  return f;
}
static inline hato_future *submit(hato_pool *p, hato_spec *s, const char *text) { return submit_to(p, s, text, NULL); }

/* Waits for it. */
static inline hato_result result_of(hato_future *f) {
  hato_result r;
  hato_status st = hato_future_wait(f, UNIT_WAIT_MS);
  if (st == HATO_OK) st = hato_future_result(f, &r);
  if (st != HATO_OK) ck_abort_msg("a task has no result: %d", (int)st);
  return r;
}
static inline hato_result element(hato_array *a, size_t i) {
  hato_result r;
  hato_status st = hato_array_wait_at(a, i, UNIT_WAIT_MS);
  if (st == HATO_OK) st = hato_array_result(a, i, &r);
  if (st != HATO_OK) ck_abort_msg("element %zu has no result: %d", i, (int)st);
  return r;
}

#define ck_out(r, text)                                                                                   \
  do {                                                                                                    \
    if ((r).error != 0 || (r).out_size != strlen(text) || memcmp((r).out, text, strlen(text)) != 0)       \
      ck_abort_msg("error %d (%s), \"%.*s\" instead of \"%s\"", (r).error, (r).words, (int)(r).out_size,    \
                   (const char *)(r).out, text);                                                          \
  } while (0)

#endif

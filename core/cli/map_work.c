/* The loop of `hato map`: inputs are submitted as they come, results printed as their turn comes. */
#include "cli/map.h"

#include "base/clock.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SUBMISSION_MAX (4u << 20) /* bytes of inputs: they are given back when all of it is printed */
#define GATHER_MS 5
#define GATHER_FROM 16 /* tasks under way: with fewer, somebody may wait for each */

/* ---- submitting ---- */

/* How many more tasks may be submitted. What is held back while an early task runs long is bounded by
 * what tasks have put out so far. */
static uint64_t room(const map *m) {
  uint64_t window = m->resolved ? MAP_WINDOW : MAP_WINDOW_FIRST;
  uint64_t out = m->submitted - m->printed;
  if (m->whole) return m->in.eof ? UINT64_MAX : 0;
  if (m->held >= MAP_HELD || m->pending >= MAP_INPUTS) return 0;
  if (m->output) {
    uint64_t each = m->output / m->resolved + 1,
             by_output = (MAP_HELD - m->held) / each + (m->resolved - m->printed);
    if (by_output < window) window = by_output;
  }
  if (window < MAP_WINDOW_LEAST) window = MAP_WINDOW_LEAST;
  return window > out ? window - out : 0;
}

static int submit(map *m, size_t max) {
  hato_error err;
  batch *b = calloc(1, sizeof *b);
  if (b) b->count = cli_lines_take(&m->in, max, m->whole ? SIZE_MAX : SUBMISSION_MAX, &b->text, &b->inputs);
  if (b && b->count) b->seen = calloc(b->count, sizeof *b->seen);
  if (!b || !b->seen) {
    if (b) cli_map_batch_free(m, b);
    return cli_fail(m->c, CLI_FAILED, "out of memory");
  }
  for (size_t i = 0; i < b->count; i++) b->bytes += b->inputs[i].size + sizeof *b->inputs;
  hato_status st = hato_submit_array(m->pool, m->spec, b->inputs, b->count, 0, m->queue, &b->array, &err);
  if (st) {
    cli_map_batch_free(m, b);
    cli_emit_bar(&m->emit, NULL);
    return cli_fail(m->c, cli_code(st), "%s", err.text);
  }
  hato_array_set_tag(b->array, b);
  if (m->tail) {
    m->tail->next = b;
  } else {
    m->head = b;
  }
  m->tail = b;
  m->submitted += b->count;
  m->pending += b->bytes;
  return CLI_OK;
}

/* A window that opens a task at a time would make submissions of one: it waits until some are worth it. */
static int feed(map *m) {
  while (m->in.ready > 0) {
    uint64_t free_now = room(m), out = m->submitted - m->printed;
    if (free_now == 0 || (free_now < m->in.ready && free_now < out / 8)) return CLI_OK;
    int code = submit(m, free_now > m->in.ready ? m->in.ready : (size_t)free_now);
    if (code) return code;
  }
  return CLI_OK;
}

/* ---- results ---- */

/* To disk, unless its turn has come or there is no room. */
static void put_away(map *m, batch *b, size_t index, const hato_result *r) {
  if (b == m->head && index == b->printed) return;
  if (!b->disk) b->disk = calloc(b->count, sizeof(spilled *));
  if (!b->disk) return;
  b->disk[index] = cli_spill_put(&m->spill, r);
  if (!b->disk[index]) return;
  m->memory -= r->out_size + r->err_size;
  hato_array_forget(b->array, index);
}

static void count(map *m, const hato_completion *c, size_t n) {
  hato_result r;
  for (size_t i = 0; i < n; i++) {
    if (hato_array_result(c[i].array, c[i].index, &r) != HATO_OK) continue;
    batch *b = hato_array_tag(c[i].array);
    b->seen[c[i].index] = true;
    m->resolved++;
    m->failed += cli_task_failed(&r);
    m->held += r.out_size + r.err_size;
    m->output += r.out_size + r.err_size;
    m->memory += r.out_size + r.err_size;
    if (m->memory > MAP_MEMORY) put_away(m, b, c[i].index, &r);
  }
}

static int collect(map *m) {
  hato_completion c[512];
  size_t got;
  m->gather = false;
  do {
    hato_status st = hato_queue_next(m->queue, c, sizeof c / sizeof *c, 0, &got);
    if (st == HATO_TIMED_OUT) break;
    if (st) return cli_fail(m->c, cli_code(st), "%s", hato_strerror(st));
    count(m, c, got);
    m->gather = m->submitted - m->resolved > GATHER_FROM;
    m->last_result = hato__now();
  } while (got == sizeof c / sizeof *c);
  return CLI_OK;
}

/* Nobody will execute what is left: said instead of waited for. */
static int check_daemons(map *m) {
  if (!m->embedded || hato__now() - m->last_result < CLI_TASK_LOOK_MS * HATO__MS) return CLI_OK;
  m->last_result = hato__now();
  cli_emit_bar(&m->emit, NULL);
  return cli_task_look(m->c, m->pool);
}

/* ---- the loop ---- */

/* Waits for a signal, results, inputs, or the time to draw. Directly after results more are left to
 * gather for a moment: of short tasks each would wake this process, on a core that a task could use. */
static int await(map *m, bool *input) {
  bool working = m->submitted > m->printed;
  struct pollfd p[3] = {{.fd = m->signals.fd, .events = POLLIN},
                        {.fd = working && !m->gather ? hato_queue_fd(m->queue) : -1, .events = POLLIN},
                        {.fd = cli_lines_wanted(&m->in) ? m->in.fd : -1, .events = POLLIN}};
  int ms = m->progress.on ? (int)(PROGRESS_NS / HATO__MS) : m->embedded && working ? CLI_TASK_LOOK_MS : -1;
  if (m->gather && working) ms = GATHER_MS;
  int r = poll(p, 3, ms);
  if (r < 0 && errno != EINTR) return cli_fail(m->c, CLI_FAILED, "poll: %s", strerror(errno));
  *input = r > 0 && p[2].revents != 0;
  if (r > 0 && p[0].revents) m->signal = cli_signals_take(&m->signals);
  return CLI_OK;
}

static int step(map *m) {
  hato_error err;
  bool input = false;
  int code = await(m, &input);
  if (code || m->signal) return code;
  if (input && cli_lines_read(&m->in, &err)) {
    cli_emit_bar(&m->emit, NULL);
    if (err.status != HATO_TOO_LARGE) return cli_fail(m->c, CLI_FAILED, "%s", err.text);
    return cli_fail(m->c, CLI_FAILED, "input %llu: %s", (unsigned long long)(m->submitted + m->in.ready + 1), err.text);
  }
  if (m->submitted > m->printed) code = collect(m);
  if (!code) code = feed(m);
  if (code) return code;
  cli_map_print(m);
  cli_map_progress(m);
  return check_daemons(m);
}

static int emit_code(map *m) {
  switch (m->emit.state) {
  case EMIT_GONE:
    return 128 + SIGPIPE;
  case EMIT_STOPPED:
    m->signal = cli_signals_take(&m->signals);
    return CLI_OK;
  case EMIT_FAILED:
    return cli_fail(m->c, CLI_FAILED, "cannot write the output: %s", strerror(m->emit.error));
  default:
    return CLI_OK;
  }
}

static bool finished(const map *m) { return m->in.eof && m->in.ready == 0 && m->printed == m->submitted; }

int cli_map_work(map *m) {
  int code = CLI_OK;
  m->last_result = hato__now();
  while (!code && !m->signal && m->emit.state == EMIT_OK && !finished(m)) code = step(m);
  cli_emit_bar(&m->emit, NULL);
  if (!code) code = emit_code(m);
  if (m->signal) {
    m->emit.state = EMIT_OK;
    cli_map_say(m, "%s: %llu done, the others are cancelled", strsignal(m->signal),
                (unsigned long long)m->printed);
    return 128 + m->signal;
  }
  if (m->failed_printed > MAP_NAMED || (m->failed && m->printed > 1))
    cli_map_say(m, "%llu of %llu tasks failed", (unsigned long long)m->failed_printed,
                (unsigned long long)m->printed);
  if (code) return code;
  return m->failed ? CLI_TASK_FAILED : CLI_OK;
}

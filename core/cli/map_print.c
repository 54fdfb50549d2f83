/* Results in the order of their inputs, and what is said beside them. */
#include "cli/map.h"

#include "base/clock.h"
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

void cli_map_say(map *m, const char *fmt, ...) {
  hato__buf b = {0};
  char text[2048];
  va_list args;
  va_start(args, fmt);
  vsnprintf(text, sizeof text, fmt, args);
  va_end(args);
  hato__buf_printf(&b, "hato map: %s\n", text);
  if (!b.failed) cli_emit_err(&m->emit, b.data, b.len);
  hato__buf_free(&b);
}

/* An input as a person may read it: one line, not too long, nothing that a terminal obeys. */
static void readable(const hato_argument *input, char *out, size_t n) {
  const unsigned char *s = input->data;
  size_t len = input->size < n - 4 ? input->size : n - 4;
  for (size_t i = 0; i < len; i++) out[i] = s[i] < 32 || s[i] == 127 ? '?' : (char)s[i];
  strcpy(out + len, len < input->size ? "..." : "");
}

static void name_failure(map *m, const hato_argument *input, const hato_result *r) {
  char name[160], how[700];
  if (m->failed_printed++ >= MAP_NAMED) return;
  cli_task_outcome(r, how, sizeof how);
  readable(input, name, sizeof name);
  bool zeros = r->error == HATO_INVALID && m->in.end != 0 && memchr(input->data, 0, input->size);
  cli_map_say(m, "input %llu, '%s': %s%s", (unsigned long long)m->printed + 1, name, how,
              zeros ? "; inputs that end with a zero byte are read with -0" : "");
}

static void print_json(map *m, const hato_argument *input, const hato_result *r) {
  json_t *o = cli_task_json(r);
  if (o) {
    json_object_set_new(o, "index", json_integer((json_int_t)m->printed + 1));
    cli_task_json_bytes(o, "argument", input->data, input->size);
  }
  char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
  json_decref(o);
  if (text) {
    cli_emit_out(&m->emit, text, strlen(text));
    cli_emit_out(&m->emit, "\n", 1);
    free(text);
  } else {
    m->emit.state = EMIT_FAILED;
    m->emit.error = ENOMEM;
  }
}

static void print_one(map *m, const hato_argument *input, const hato_result *r) {
  if (m->c->json) {
    print_json(m, input, r);
  } else {
    cli_emit_out(&m->emit, r->out, r->out_size);
    cli_emit_err(&m->emit, r->err, r->err_size);
  }
  if (cli_task_failed(r)) name_failure(m, input, r);
  m->held -= r->out_size + r->err_size;
  m->printed++;
}

void cli_map_batch_free(map *m, batch *b) {
  for (size_t i = b->printed; b->disk && i < b->count; i++) cli_spill_free(&m->spill, b->disk[i]);
  free(b->disk);
  hato_array_release(b->array);
  free(b->text);
  free(b->inputs);
  free(b->seen);
  free(b);
}

/* The next result of a batch, wherever it waits; false: it has not come, or is not to be had. */
static bool next_result(map *m, batch *b, hato_result *r) {
  size_t i = b->printed;
  if (!b->seen[i]) return false;
  if (!b->disk || !b->disk[i]) {
    if (hato_array_result(b->array, i, r) != HATO_OK) return false;
    m->memory -= r->out_size + r->err_size;
    return true;
  }
  if (cli_spill_get(&m->spill, b->disk[i], r)) return true;
  m->emit.state = EMIT_FAILED;
  m->emit.error = errno;
  return false;
}

static void done_with(map *m, batch *b) {
  size_t i = b->printed++;
  if (b->disk && b->disk[i]) {
    cli_spill_free(&m->spill, b->disk[i]);
  } else {
    hato_array_forget(b->array, i);
  }
}

void cli_map_print(map *m) {
  while (m->head && m->emit.state == EMIT_OK) {
    batch *b = m->head;
    hato_result r;
    while (b->printed < b->count && m->emit.state == EMIT_OK) {
      if (!next_result(m, b, &r)) break;
      print_one(m, &b->inputs[b->printed], &r);
      done_with(m, b);
    }
    if (b->printed < b->count) break;
    m->head = b->next;
    if (!m->head) m->tail = NULL;
    m->pending -= b->bytes;
    cli_map_batch_free(m, b);
  }
  cli_emit_flush(&m->emit);
}

void cli_map_progress(map *m) {
  char text[400];
  uint64_t now = hato__now();
  if (!m->progress.on || now < m->progress.next) return;
  m->progress.next = now + PROGRESS_NS;
  cli_progress_text(&m->progress, now, m->resolved, m->failed, m->in.eof ? m->submitted + m->in.ready : 0,
                    cli_progress_columns(), text, sizeof text);
  cli_emit_bar(&m->emit, text);
}

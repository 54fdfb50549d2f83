#include "cli/emit.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define HELD_MAX (256u * 1024u)

void cli_emit_init(emit *e, int stop_fd) {
  *e = (emit){.stop_fd = stop_fd};
  for (int fd = 1; fd <= 2; fd++) {
    struct stat s;
    e->fast[fd] = fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
    e->terminal[fd] = isatty(fd) == 1;
  }
}

void cli_emit_free(emit *e) { hato__buf_free(&e->held); }

/* Waits for room, or for the word to stop: a reader may be slow (`| less`), and Ctrl-C must be heard. */
static bool room(emit *e, int fd) {
  struct pollfd p[2] = {{.fd = fd, .events = POLLOUT}, {.fd = e->stop_fd, .events = POLLIN}};
  for (;;) {
    int r = poll(p, 2, -1);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0 || p[0].revents) return true; /* an error shows when it is written */
    if (p[1].revents) {
      e->state = EMIT_STOPPED;
      return false;
    }
  }
}

/* What polls writable takes PIPE_BUF bytes without waiting. */
static void write_out(emit *e, int fd, const char *data, size_t n) {
  while (n > 0 && e->state == EMIT_OK) {
    size_t part = n;
    if (!e->fast[fd]) {
      if (!room(e, fd)) return;
      if (part > PIPE_BUF) part = PIPE_BUF;
    }
    ssize_t w = write(fd, data, part);
    if (w < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (w < 0) {
      e->error = errno;
      e->state = errno == EPIPE && fd == STDOUT_FILENO ? EMIT_GONE : EMIT_FAILED;
      return;
    }
    data += w;
    n -= (size_t)w;
  }
}

static void put(emit *e, int fd, const void *data, size_t n) {
  if (n == 0) return;
  if (e->terminal[fd]) {
    cli_emit_bar(e, NULL);
    e->mid_line = ((const char *)data)[n - 1] != '\n';
  }
  write_out(e, fd, data, n);
}

void cli_emit_flush(emit *e) {
  if (e->held.len) put(e, STDOUT_FILENO, e->held.data, e->held.len);
  hato__buf_clear(&e->held);
}

void cli_emit_out(emit *e, const void *data, size_t n) {
  if (n == 0 || e->state != EMIT_OK) return;
  if (e->held.len + n > HELD_MAX) cli_emit_flush(e);
  if (n >= HELD_MAX) {
    put(e, STDOUT_FILENO, data, n);
    return;
  }
  hato__buf_append(&e->held, data, n);
  if (!e->held.failed) return;
  e->state = EMIT_FAILED;
  e->error = ENOMEM;
}

void cli_emit_err(emit *e, const void *data, size_t n) {
  if (n == 0) return;
  cli_emit_flush(e);
  emit_state before = e->state;
  if (before == EMIT_GONE) e->state = EMIT_OK;
  put(e, STDERR_FILENO, data, n);
  if (before != EMIT_OK) e->state = before;
}

void cli_emit_bar(emit *e, const char *text) {
  char line[512];
  if (!text && !e->bar) return;
  if (text && e->mid_line) return;
  snprintf(line, sizeof line, "\r%s\033[K%s", text ? text : "", text ? "" : "\r");
  e->bar = text != NULL;
  /* Not by write_out: the word to stop must not keep the line from going away. */
  if (write(STDERR_FILENO, line, strlen(line)) < 0) e->bar = false;
}

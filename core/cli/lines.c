#include "cli/lines.h"

#include "base/error.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ONCE (256u * 1024u)

hato_status cli_lines_open(lines *l, const char *path, char end, hato_error *err) {
  *l = (lines){.fd = STDIN_FILENO, .name = "standard input", .end = end, .ahead = 4 * ONCE};
  if (!path || strcmp(path, "-") == 0) return HATO_OK;
  l->fd = open(path, O_RDONLY | O_CLOEXEC);
  if (l->fd < 0) return hato__fail_errno(err, "cannot read %s", path);
  l->opened = true;
  l->name = path;
  return HATO_OK;
}

void cli_lines_close(lines *l) {
  if (l->opened) close(l->fd);
  hato__buf_free(&l->buf);
  *l = (lines){.fd = -1, .eof = true};
}

bool cli_lines_wanted(const lines *l) {
  return !l->eof && (l->buf.len - l->start < l->ahead || l->ready == 0);
}

static void scan(lines *l) {
  const char *data = (const char *)l->buf.data, *at;
  while (l->scanned < l->buf.len) {
    at = memchr(data + l->scanned, l->end, l->buf.len - l->scanned);
    if (!at) {
      l->scanned = l->buf.len;
      return;
    }
    l->ready++;
    l->scanned = (size_t)(at - data) + 1;
  }
}

static void compact(lines *l) {
  if (l->start < l->buf.len / 2) return;
  hato__buf_consume(&l->buf, l->start);
  l->scanned -= l->start;
  l->start = 0;
}

hato_status cli_lines_read(lines *l, hato_error *err) {
  ssize_t n;
  compact(l);
  uint8_t *at = hato__buf_grow(&l->buf, ONCE);
  if (!at) return hato__fail(err, HATO_NO_MEMORY, "no memory for the inputs");
  do n = read(l->fd, at, ONCE);
  while (n < 0 && errno == EINTR);
  l->buf.len -= ONCE - (n > 0 ? (size_t)n : 0);
  if (n < 0 && errno == EAGAIN) return HATO_OK; /* somebody else made it so */
  if (n < 0) return hato__fail_errno(err, "cannot read %s", l->name);
  scan(l);
  if (n == 0) {
    l->eof = true; /* the last line may lack its end */
    if (l->buf.len > l->start && l->buf.data[l->buf.len - 1] != (uint8_t)l->end) {
      hato__buf_u8(&l->buf, (uint8_t)l->end);
      if (l->buf.failed) return hato__fail(err, HATO_NO_MEMORY, "no memory for the inputs");
      scan(l);
    }
  }
  if (l->ready == 0 && l->buf.len - l->start > LINES_LONGEST)
    return hato__fail(err, HATO_TOO_LARGE, "it has over %u MiB without an end; shorter ones were wanted",
                      LINES_LONGEST >> 20);
  return HATO_OK;
}

size_t cli_lines_take(lines *l, size_t max, size_t limit, char **text, hato_argument **inputs) {
  size_t n = l->ready < max ? l->ready : max, k = 0;
  const char *from = (const char *)l->buf.data + l->start, *at = from;
  *text = NULL;
  *inputs = n ? malloc(n * sizeof **inputs) : NULL;
  if (!*inputs) return 0;
  const char *end = (const char *)l->buf.data + l->buf.len;
  for (; k < n && (size_t)(at - from) <= limit; k++) {
    const char *stop = memchr(at, l->end, (size_t)(end - at));
    if (!stop) break;
    (*inputs)[k] = (hato_argument){at, (size_t)(stop - at)};
    at = stop + 1;
  }
  size_t bytes = (size_t)(at - from);
  *text = malloc(bytes ? bytes : 1);
  if (!*text) {
    free(*inputs);
    *inputs = NULL;
    return 0;
  }
  memcpy(*text, from, bytes);
  for (size_t i = 0; i < k; i++) (*inputs)[i].data = *text + ((const char *)(*inputs)[i].data - from);
  l->start += bytes;
  l->ready -= k;
  return k;
}

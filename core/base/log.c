#include "base/log.h"
#include "base/clock.h"
#include "base/io.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *const level_names[] = {"error", "warn", "notice", "info", "debug"};
#define LEVELS (sizeof level_names / sizeof *level_names)

void hato__log_msg(const hato__log *log, hato__log_level level, const char *id, const char *fmt, ...) {
  if (log == NULL || log->write == NULL || level > log->level) return;
  int saved = errno;
  char text[2048];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(text, sizeof text, fmt, ap) < 0) text[0] = 0;
  va_end(ap);
  log->write(log->arg, level, id, text);
  errno = saved;
}

void hato__log_to_fd(void *arg, hato__log_level level, const char *id, const char *text) {
  int fd = *(const int *)arg;
  uint64_t now = hato__wall_now();
  time_t sec = (time_t)(now / HATO__SEC);
  struct tm tm;
  char stamp[32] = "";
  if (gmtime_r(&sec, &tm) != NULL) (void)strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
  char line[2304];
  int n = snprintf(line, sizeof line - 1, "%s.%03uZ %s %s %s", stamp, (unsigned)(now % HATO__SEC / HATO__MS),
                   hato__log_level_name(level), id, text);
  if (n < 0) return;
  size_t len = (size_t)n < sizeof line - 1 ? (size_t)n : sizeof line - 2;
  /* One message is one line, whatever a peer put in its words. */
  for (size_t i = 0; i < len; i++) {
    unsigned char c = (unsigned char)line[i];
    if (c < 0x20 || c == 0x7f) line[i] = ' ';
  }
  line[len++] = '\n';
  (void)hato__write_all(fd, line, len);
}

const char *hato__log_level_name(hato__log_level level) {
  return (size_t)level < LEVELS ? level_names[level] : "unknown";
}

bool hato__log_level_parse(const char *name, hato__log_level *out) {
  for (size_t i = 0; i < LEVELS; i++) {
    if (strcmp(name, level_names[i]) != 0) continue;
    *out = (hato__log_level)i;
    return true;
  }
  return false;
}

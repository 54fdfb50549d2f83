/* Logging through a callback, with levels and stable message ids. */
#ifndef HATO_BASE_LOG_H
#define HATO_BASE_LOG_H

#include <stdbool.h>

typedef enum hato__log_level {
  HATO__LOG_ERROR,
  HATO__LOG_WARN,
  HATO__LOG_NOTICE,
  HATO__LOG_INFO,
  HATO__LOG_DEBUG,
} hato__log_level;

/* Where messages go. A log is passed, never global. Copyable. A NULL log pointer
 * or a NULL write drops everything. `id` is a stable upper-case word such as
 * "PEER-REFUSED" that a script may match. write may be called by any thread. */
typedef struct hato__log {
  hato__log_level level; /* the least important level that is written */
  void (*write)(void *arg, hato__log_level level, const char *id, const char *text);
  void *arg;
} hato__log;

void hato__log_msg(const hato__log *log, hato__log_level level, const char *id, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* A writer for hato__log.write: arg is an int * file descriptor; a line
 * "2026-11-21T10:00:00.123Z warn PEER-REFUSED text", one write(2) each. */
void hato__log_to_fd(void *arg, hato__log_level level, const char *id, const char *text);
const char *hato__log_level_name(hato__log_level level);
bool hato__log_level_parse(const char *name, hato__log_level *out);

#define hato__error(log, id, ...) hato__log_msg(log, HATO__LOG_ERROR, id, __VA_ARGS__)
#define hato__warn(log, id, ...) hato__log_msg(log, HATO__LOG_WARN, id, __VA_ARGS__)
#define hato__notice(log, id, ...) hato__log_msg(log, HATO__LOG_NOTICE, id, __VA_ARGS__)
#define hato__info(log, id, ...) hato__log_msg(log, HATO__LOG_INFO, id, __VA_ARGS__)
#define hato__debug(log, id, ...) hato__log_msg(log, HATO__LOG_DEBUG, id, __VA_ARGS__)

#endif

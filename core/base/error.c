#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *hato_strerror(int status) {
  switch (status) {
#define HATO_X(name, number, words) \
  case number:                      \
    return words;
    HATO_STATUS_LIST(HATO_X)
#undef HATO_X
  default:
    return "unknown error";
  }
}

void hato__error_clear(hato_error *err) {
  if (err == NULL) return;
  err->status = HATO_OK;
  err->text[0] = 0;
}

hato_status hato__fail(hato_error *err, hato_status status, const char *fmt, ...) {
  if (err == NULL) return status;
  int saved = errno;
  /* Formatted aside: an argument may be the text of this same error. */
  char text[sizeof err->text];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(text, sizeof text, fmt, ap) < 0) text[0] = 0;
  va_end(ap);
  memcpy(err->text, text, sizeof text);
  err->status = status;
  errno = saved;
  return status;
}

hato_status hato__fail_errno(hato_error *err, const char *fmt, ...) {
  int saved = errno;
  hato_status status = hato__status_of_errno(saved);
  if (err == NULL) return status;
  char text[sizeof err->text];
  va_list ap;
  va_start(ap, fmt);
  if (vsnprintf(text, sizeof text, fmt, ap) < 0) text[0] = 0;
  va_end(ap);
  char words[128];
  const char *why = strerror_r(saved, words, sizeof words);
  /* The reason must survive a text that is too long. */
  int room = (int)(sizeof text - strlen(why) - 3);
  (void)snprintf(err->text, sizeof err->text, "%.*s: %s", room, text, why);
  err->status = status;
  errno = saved;
  return status;
}

hato_status hato__status_of_errno(int e) {
  switch (e) {
  case 0:
    return HATO_OK;
  case ENOENT:
    return HATO_NOT_FOUND;
  case EACCES:
  case EPERM:
    return HATO_PERMISSION;
  case ENOSPC:
  case EDQUOT:
    return HATO_NO_SPACE;
  case EMFILE:
  case ENFILE:
    return HATO_NO_FILES;
  case ENOMEM:
    return HATO_NO_MEMORY;
  case EEXIST:
    return HATO_EXISTS;
  case EADDRINUSE:
    return HATO_ADDRESS_IN_USE;
  case ECONNREFUSED:
    return HATO_REFUSED;
  default:
    return HATO_SYSTEM;
  }
}

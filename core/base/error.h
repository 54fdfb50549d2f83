/* Filling a caller-owned hato_error. */
#ifndef HATO_BASE_ERROR_H
#define HATO_BASE_ERROR_H

#include "hato/status.h"

/* Fills err (which may be NULL) and returns status, so that a failure is one
 * statement: return hato__fail(err, HATO_INVALID, "…"); keeps errno. */
hato_status hato__fail(hato_error *err, hato_status status, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a failed system call: appends ": strerror(errno)". The status is
 * derived from errno (ENOENT NOT_FOUND, EACCES and EPERM PERMISSION, ENOSPC and
 * EDQUOT NO_SPACE, EMFILE and ENFILE NO_FILES, ENOMEM NO_MEMORY, EEXIST EXISTS,
 * EADDRINUSE ADDRESS_IN_USE, ECONNREFUSED REFUSED, 0 OK, else SYSTEM). */
hato_status hato__fail_errno(hato_error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
hato_status hato__status_of_errno(int e);

/* Clears an error to ok; outputs are initialised on entry. NULL is fine. */
void hato__error_clear(hato_error *err);

#endif

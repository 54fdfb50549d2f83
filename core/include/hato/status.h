/*
 * hato/status.h - the one status type of hato and the words for it.
 *
 * The numbers of the error values are NNG's, as in mirai, so that a program
 * which knows one knows the other.
 */
#ifndef HATO_STATUS_H
#define HATO_STATUS_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define HATO_API __attribute__((visibility("default")))
#else
#define HATO_API
#endif

/* X(NAME, number, "words"): the enum and hato_strerror come from this list. */
#define HATO_STATUS_LIST(X)                                   \
  X(OK, 0, "ok")                                              \
  X(INTERRUPTED, 1, "interrupted")                            \
  X(NO_MEMORY, 2, "out of memory")                            \
  X(INVALID, 3, "invalid argument")                           \
  X(BUSY, 4, "busy")                                          \
  X(TIMED_OUT, 5, "timed out")                                \
  X(REFUSED, 6, "connection refused")                         \
  X(CLOSED, 7, "closed")                                      \
  X(AGAIN, 8, "try again")                                    \
  X(NOT_SUPPORTED, 9, "not supported")                        \
  X(ADDRESS_IN_USE, 10, "address in use")                     \
  X(STATE, 11, "wrong state")                                 \
  X(NOT_FOUND, 12, "not found")                               \
  X(PROTOCOL, 13, "protocol error")                           \
  X(UNREACHABLE, 14, "destination unreachable")               \
  X(ADDRESS_INVALID, 15, "address invalid")                   \
  X(PERMISSION, 16, "permission denied")                      \
  X(TOO_LARGE, 17, "too large")                               \
  X(ABORTED, 18, "connection aborted")                        \
  X(RESET, 19, "connection reset")                            \
  X(CANCELLED, 20, "cancelled")                               \
  X(NO_FILES, 21, "out of file descriptors")                  \
  X(NO_SPACE, 22, "out of space")                             \
  X(EXISTS, 23, "already exists")                             \
  X(PEER_AUTH, 27, "peer could not be authenticated")         \
  X(SYSTEM, 1001, "system error")                             \
  X(INTERNAL, 1000, "internal error")

typedef enum hato_status {
#define HATO_X(name, number, words) HATO_##name = number,
  HATO_STATUS_LIST(HATO_X)
#undef HATO_X
} hato_status;

/* Words of a failure, owned by the caller. Text is always terminated; a text
 * that is too long is cut. A NULL hato_error pointer is accepted everywhere. */
typedef struct hato_error {
  hato_status status;
  char text[512];
} hato_error;

/* The words for a status or error value. Never NULL, never to be freed, never
 * blocks; any thread. A number that is not in the list gives "unknown error". */
HATO_API const char *hato_strerror(int status);

#ifdef __cplusplus
}
#endif
#endif

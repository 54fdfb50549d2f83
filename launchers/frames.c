/* Frames between the host and a launcher's process. */
#include "launchers/internal.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

enum { HEAD = 5 }; /* u32 length of what follows, u8 type */

void launchers__frame_begin(hato__buf *b, launchers__frame type) {
  hato__buf_clear(b);
  hato__buf_u32(b, 0);
  hato__buf_u8(b, (uint8_t)type);
}

void launchers__frame_end(hato__buf *b) {
  if (b->failed || b->len - 4 > LAUNCHERS__FRAME_MAX) {
    b->failed = true;
    return;
  }
  uint32_t n = htole32((uint32_t)(b->len - 4));
  memcpy(b->data, &n, sizeof n);
}

int launchers__frame_next(hato__buf *in, launchers__frame *type, hato__reader *body, size_t *whole) {
  if (in->failed) return -1;
  if (in->len < HEAD) return 0;
  uint32_t n;
  memcpy(&n, in->data, sizeof n);
  n = le32toh(n);
  if (n < 1 || n > LAUNCHERS__FRAME_MAX) return -1;
  if (in->len - 4 < n) return 0;
  *type = (launchers__frame)in->data[4];
  *body = hato__reader_of(in->data + HEAD, n - 1);
  *whole = (size_t)n + 4;
  return 1;
}

bool launchers__send(int fd, const hato__buf *b) {
  if (b->failed) return false;
  for (size_t at = 0; at < b->len;) {
    ssize_t n = send(fd, b->data + at, b->len - at, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    at += (size_t)n;
  }
  return true;
}

bool launchers__receive(int fd, hato__buf *in, bool wait) {
  for (;;) {
    if (!hato__buf_reserve(in, 16384)) return false;
    ssize_t n = recv(fd, in->data + in->len, in->cap - in->len, wait ? 0 : MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return errno == EAGAIN;
    if (n == 0) return false;
    in->len += (size_t)n;
    return true;
  }
}

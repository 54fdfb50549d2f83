/* The session's credential, guarded as ssh guards a key. */
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "session/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECRET_DIGITS (2 * HATO__SECRET_BYTES)

static hato_status check_file(int fd, const char *path, hato_error *err) {
  struct stat st;
  if (fstat(fd, &st) < 0) return hato__fail_errno(err, "cannot look at %s", path);
  if (!S_ISREG(st.st_mode)) return hato__fail(err, HATO_INVALID, "%s is not a plain file", path);
  if (st.st_uid != geteuid()) {
    return hato__fail(err, HATO_PERMISSION, "%s belongs to uid %u, not to uid %u", path, (unsigned)st.st_uid,
                      (unsigned)geteuid());
  }
  if ((st.st_mode & 077) != 0) {
    return hato__fail(err, HATO_PERMISSION,
                      "%s has mode %04o, which lets others read it; wanted 0600: chmod 600 %s", path,
                      (unsigned)(st.st_mode & 07777), path);
  }
  return HATO_OK;
}

static hato_status parse(int fd, const char *path, uint8_t *out, hato_error *err) {
  char text[SECRET_DIGITS + 2] = {0};
  size_t got = 0;
  while (got < sizeof text - 1) {
    ssize_t r = read(fd, text + got, sizeof text - 1 - got);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return hato__fail_errno(err, "cannot read %s", path);
    if (r == 0) break;
    got += (size_t)r;
  }
  if (got == SECRET_DIGITS + 1 && text[SECRET_DIGITS] == '\n') text[SECRET_DIGITS] = 0;
  bool ok = hato__unhex(out, HATO__SECRET_BYTES, text);
  explicit_bzero(text, sizeof text);
  if (ok) return HATO_OK;
  explicit_bzero(out, HATO__SECRET_BYTES);
  return hato__fail(err, HATO_INVALID, "%s does not hold a credential: wanted %d hexadecimal digits", path,
                    SECRET_DIGITS);
}

hato_status hato__secret_read(const char *path, uint8_t out[HATO__SECRET_BYTES], hato_error *err) {
  memset(out, 0, HATO__SECRET_BYTES);
  hato__error_clear(err);
  /* O_NONBLOCK: a fifo in its place must not hang us. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return hato__fail_errno(err, "cannot open the credential %s", path);
  hato_status rc = check_file(fd, path, err);
  if (rc == HATO_OK) rc = parse(fd, path, out, err);
  close(fd);
  return rc;
}

hato_status hato__secret_write(const char *path, const uint8_t secret[HATO__SECRET_BYTES], hato_error *err) {
  char text[SECRET_DIGITS + 2];
  hato__hex(text, secret, HATO__SECRET_BYTES);
  text[SECRET_DIGITS] = '\n';
  hato_status rc = hato__write_file(path, text, SECRET_DIGITS + 1, 0600, err);
  explicit_bzero(text, sizeof text);
  return rc;
}

hato_status hato__session_secret_renew(hato__session *s, uint8_t out[HATO__SECRET_BYTES], hato_error *err) {
  memset(out, 0, HATO__SECRET_BYTES);
  char *path = session__file(s, "secret");
  if (path == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for session %s", s->name);
  hato__random(out, HATO__SECRET_BYTES);
  hato_status rc = hato__secret_write(path, out, err);
  free(path);
  return rc;
}

hato_status hato__session_secret(hato__session *s, uint8_t out[HATO__SECRET_BYTES], hato_error *err) {
  char *path = session__file(s, "secret");
  if (path == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for session %s", s->name);
  hato_status rc = hato__secret_read(path, out, err);
  free(path);
  return rc == HATO_NOT_FOUND ? hato__session_secret_renew(s, out, err) : rc;
}

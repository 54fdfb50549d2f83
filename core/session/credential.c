/* Credentials in files, guarded as ssh guards a key. */
#include "base/error.h"
#include "base/io.h"
#include "base/secret.h"
#include "session/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

/* Of at most n bytes; the text is whole if it is shorter. */
static hato_status read_text(int fd, const char *path, char *text, size_t n, size_t *len, hato_error *err) {
  *len = 0;
  while (*len < n) {
    ssize_t r = read(fd, text + *len, n - *len);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return hato__fail_errno(err, "cannot read %s", path);
    if (r == 0) break;
    *len += (size_t)r;
  }
  return HATO_OK;
}

hato_status hato__credential_read(const char *path, hato__credential **out, hato_error *err) {
  size_t len;
  *out = NULL;
  hato__error_clear(err);
  char *text = hato__secret_alloc(HATO__CREDENTIAL_TEXT);
  if (!text) return hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  /* O_NONBLOCK: a fifo in its place must not hang us. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_NOFOLLOW);
  hato_status rc;
  if (fd < 0 && errno == ELOOP)
    rc = hato__fail(err, HATO_PERMISSION, "%s is a symbolic link; wanted the credential's file itself", path);
  else
    rc = fd < 0 ? hato__fail_errno(err, "cannot open the credential %s", path) : check_file(fd, path, err);
  if (rc == HATO_OK) rc = read_text(fd, path, text, HATO__CREDENTIAL_TEXT, &len, err);
  if (rc == HATO_OK) rc = hato__credential_parse(text, len, path, out, err);
  if (fd >= 0) close(fd);
  hato__secret_free(text, HATO__CREDENTIAL_TEXT);
  return rc;
}

hato_status hato__credential_write(const char *path, const hato__credential *c, hato_error *err) {
  char *text = hato__secret_alloc(HATO__CREDENTIAL_TEXT);
  if (!text) return hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  hato__credential_text(c, text);
  size_t n = strlen(text);
  text[n] = '\n';
  hato_status rc = hato__write_file(path, text, n + 1, 0600, err);
  hato__secret_free(text, HATO__CREDENTIAL_TEXT);
  return rc;
}

void session__remove_credentials(const hato__session *s) {
  static const char ending[] = ".credential";
  DIR *dir = opendir(s->dir);
  if (dir == NULL) return;
  for (struct dirent *e; (e = readdir(dir)) != NULL;) {
    size_t n = strlen(e->d_name);
    if (n > sizeof ending - 1 && strcmp(e->d_name + n - (sizeof ending - 1), ending) == 0)
      (void)unlinkat(dirfd(dir), e->d_name, 0);
  }
  closedir(dir);
}

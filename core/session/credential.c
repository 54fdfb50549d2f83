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

hato_status hato__credential_read(const char *path, hato__credential **out, hato_error *err) {
  struct stat st;
  ssize_t len = 0;
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
    rc = fd < 0 ? hato__fail_errno(err, "cannot open the credential %s", path) : hato__check_secret_file(fd, "", path, &st, err);
  /* Whole, if it is shorter. */
  if (rc == HATO_OK && (len = hato__read_upto(fd, text, HATO__CREDENTIAL_TEXT, false)) < 0)
    rc = hato__fail_errno(err, "cannot read %s", path);
  if (rc == HATO_OK) rc = hato__credential_parse(text, (size_t)len, path, out, err);
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

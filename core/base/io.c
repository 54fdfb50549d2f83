#include "base/io.h"
#include "base/error.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int hato__write_all(int fd, const void *data, size_t n) {
  const char *at = data;
  while (n > 0) {
    ssize_t w = write(fd, at, n);
    if (w < 0) {
      if (errno == EINTR) continue;
      return -1;
    }
    at += w;
    n -= (size_t)w;
  }
  return 0;
}

ssize_t hato__read_upto(int fd, void *data, size_t n, bool line) {
  char *at = data;
  size_t got = 0;
  while (got < n && !(line && memchr(at, '\n', got))) {
    ssize_t r = read(fd, at + got, n - got);
    if (r < 0 && errno == EINTR) continue;
    if (r < 0) return -1;
    if (r == 0) break;
    got += (size_t)r;
  }
  return (ssize_t)got;
}

hato_status hato__check_secret_file(int fd, const char *what, const char *path, struct stat *st, hato_error *err) {
  if (fstat(fd, st) < 0) return hato__fail_errno(err, "cannot look at %s%s", what, path);
  if (!S_ISREG(st->st_mode)) return hato__fail(err, HATO_INVALID, "%s%s is not a plain file", what, path);
  if (st->st_uid != geteuid())
    return hato__fail(err, HATO_PERMISSION, "%s%s belongs to uid %u, not to uid %u", what, path, (unsigned)st->st_uid,
                      (unsigned)geteuid());
  if ((st->st_mode & 077) != 0)
    return hato__fail(err, HATO_PERMISSION, "%s%s has mode %04o, which lets others read it; wanted 0600: chmod 600 %s",
                      what, path, (unsigned)(st->st_mode & 07777), path);
  return HATO_OK;
}

static hato_status read_fd(int fd, const char *path, size_t max, hato__buf *out, hato_error *err) {
  size_t got = 0;
  for (;;) {
    /* One byte beyond max tells a file of max bytes from a longer one. */
    size_t left = max - got;
    size_t want = left < 65536 ? left + 1 : 65536;
    if (!hato__buf_reserve(out, want)) return hato__fail(err, HATO_NO_MEMORY, "no memory to read %s", path);
    ssize_t r = read(fd, out->data + out->len, want);
    if (r < 0) {
      if (errno == EINTR) continue;
      return hato__fail_errno(err, "cannot read %s", path);
    }
    if (r == 0) return HATO_OK;
    got += (size_t)r;
    if (got > max) return hato__fail(err, HATO_TOO_LARGE, "%s is larger than %zu bytes", path, max);
    out->len += (size_t)r;
  }
}

hato_status hato__read_file(const char *path, size_t max, hato__buf *out, hato_error *err) {
  hato__error_clear(err);
  struct stat st;
  /* Never to wait for whoever might write to a pipe. */
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return hato__fail_errno(err, "cannot open %s", path);
  size_t before = out->len;
  hato_status rc = fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode)
                       ? hato__fail(err, HATO_INVALID, "%s is a pipe, wanted a file", path)
                       : read_fd(fd, path, max, out, err);
  if (rc != HATO_OK) out->len = before;
  close(fd);
  return rc;
}

/* So that the rename itself survives a power cut. A file system that cannot
 * sync a folder has done what it can. */
static void sync_parent(const char *path) {
  const char *slash = strrchr(path, '/');
  char *dir = slash == NULL ? strdup(".") : hato__strndup(path, slash == path ? 1 : (size_t)(slash - path));
  if (dir == NULL) return;
  int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  free(dir);
  if (fd < 0) return;
  (void)fsync(fd);
  close(fd);
}

hato_status hato__write_file(const char *path, const void *data, size_t n, mode_t mode, hato_error *err) {
  hato__error_clear(err);
  uint32_t salt;
  hato__random(&salt, sizeof salt);
  char *tmp = hato__printf("%s.tmp.%ld.%08x", path, (long)getpid(), salt);
  if (tmp == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory to write %s", path);
  hato_status rc = HATO_OK;
  int fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode & 0700);
  if (fd < 0) {
    rc = hato__fail_errno(err, "cannot create %s", tmp);
    free(tmp);
    return rc;
  }
  if (fchmod(fd, mode) < 0 || hato__write_all(fd, data, n) < 0 || fsync(fd) < 0) {
    rc = hato__fail_errno(err, "cannot write %s", tmp);
  }
  /* NFS and quotas may tell of a failed write only here. */
  if (close(fd) < 0 && rc == HATO_OK) rc = hato__fail_errno(err, "cannot write %s", tmp);
  if (rc == HATO_OK && rename(tmp, path) < 0) rc = hato__fail_errno(err, "cannot rename %s to %s", tmp, path);
  if (rc == HATO_OK)
    sync_parent(path);
  else
    (void)unlink(tmp);
  free(tmp);
  return rc;
}

static hato_status check_dir(const char *path, bool private_dir, hato_error *err) {
  struct stat st;
  if (lstat(path, &st) < 0) return hato__fail_errno(err, "cannot look at %s", path);
  uid_t me = geteuid();
  if (S_ISLNK(st.st_mode)) {
    /* Another user's link in a shared folder could lead us anywhere. */
    if (st.st_uid != me && st.st_uid != 0) {
      return hato__fail(err, HATO_PERMISSION, "%s is a symbolic link of uid %u, not of uid %u", path,
                        (unsigned)st.st_uid, (unsigned)me);
    }
    if (stat(path, &st) < 0) return hato__fail_errno(err, "cannot look at %s", path);
  }
  if (!S_ISDIR(st.st_mode)) return hato__fail(err, HATO_EXISTS, "%s is not a folder", path);
  if (st.st_uid != me) {
    return hato__fail(err, HATO_PERMISSION, "%s belongs to uid %u, not to uid %u", path, (unsigned)st.st_uid,
                      (unsigned)me);
  }
  if (private_dir && (st.st_mode & 077) != 0) {
    return hato__fail(err, HATO_PERMISSION,
                      "%s has mode %04o, which lets others in; it must be 0700: chmod 700 %s", path,
                      (unsigned)(st.st_mode & 07777), path);
  }
  return HATO_OK;
}

hato_status hato__make_dir(const char *path, mode_t mode, bool private_dir, hato_error *err) {
  hato__error_clear(err);
  size_t n = strlen(path);
  if (n == 0) return hato__fail(err, HATO_INVALID, "the name of a folder is empty");
  char *p = strdup(path);
  if (p == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory to make %s", path);
  while (n > 1 && p[n - 1] == '/') p[--n] = 0;
  hato_status rc = HATO_OK;
  for (char *at = p + 1; rc == HATO_OK; at++) {
    if (*at != '/' && *at != 0) continue;
    char keep = *at;
    *at = 0;
    if (mkdir(p, mode) < 0 && errno != EEXIST) {
      /* A parent that is there may refuse with EROFS or EACCES before EEXIST. */
      int saved = errno;
      struct stat st;
      bool there = stat(p, &st) == 0;
      errno = saved;
      if (!there) rc = hato__fail_errno(err, "cannot make folder %s", p);
    }
    *at = keep;
    if (keep == 0) break;
  }
  if (rc == HATO_OK) rc = check_dir(p, private_dir, err);
  free(p);
  return rc;
}

/* Who owns what is not mapped into a container's user namespace, root's files among others. */
enum { OVERFLOW_UID = 65534 };

static hato_status check_one_above(const char *dir, const char *path, hato_error *err) {
  struct stat st;
  if (stat(dir, &st) < 0) return hato__fail_errno(err, "cannot look at %s", dir);
  if (st.st_uid != geteuid() && st.st_uid != 0 && st.st_uid != OVERFLOW_UID)
    return hato__fail(err, HATO_PERMISSION, "%s belongs to uid %u, who could replace %s", dir, (unsigned)st.st_uid,
                      path);
  if ((st.st_mode & 022) != 0 && (st.st_mode & S_ISVTX) == 0)
    return hato__fail(err, HATO_PERMISSION,
                      "%s has mode %04o, so that others could replace %s; it must not be writable for others, or "
                      "sticky (as 1777)",
                      dir, (unsigned)(st.st_mode & 07777), path);
  return HATO_OK;
}

hato_status hato__check_above(const char *path, hato_error *err) {
  hato__error_clear(err);
  const char *slash = strrchr(path, '/');
  char *above = slash == NULL ? strdup(".") : hato__strndup(path, slash == path ? 1 : (size_t)(slash - path));
  char *dir = above != NULL ? realpath(above, NULL) : NULL;
  hato_status rc = HATO_OK;
  if (dir == NULL) {
    rc = above != NULL ? hato__fail_errno(err, "cannot look at %s", above)
                       : hato__fail(err, HATO_NO_MEMORY, "no memory to look at %s", path);
  } else {
    for (size_t n = strlen(dir); rc == HATO_OK; dir[n > 1 ? n : 1] = 0) {
      rc = check_one_above(dir, path, err);
      if (n <= 1) break;
      do n--;
      while (dir[n] != '/');
    }
  }
  free(above);
  free(dir);
  return rc;
}

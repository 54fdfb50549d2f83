/* The folder on this machine: sockets and spools, which NFS would not bear. Not
 * under /run/user, which goes at logout while the dispatcher stays. */
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "session/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* Short names: a socket's path has 107 bytes. */
#define SOCKET_NAME "s"

static void empty_at(int fd, int depth) {
  DIR *d = fdopendir(fd);
  if (d == NULL) {
    close(fd);
    return;
  }
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (unlinkat(dirfd(d), e->d_name, 0) == 0 || depth == 0) continue;
    int sub = openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (sub < 0) continue;
    empty_at(sub, depth - 1);
    (void)unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
  }
  closedir(d);
}

void session__empty_dir(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd >= 0) empty_at(fd, 8);
}

static hato_status try_socket(const char *path, hato_error *err) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  size_t n = strlen(path);
  if (n > HATO__SOCKET_PATH_MAX) {
    return hato__fail(err, HATO_ADDRESS_INVALID, "%s has %zu bytes, a socket's path at most %d", path, n,
                      HATO__SOCKET_PATH_MAX);
  }
  memcpy(a.sun_path, path, n + 1);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return hato__fail_errno(err, "cannot make a Unix socket");
  hato_status rc = HATO_OK;
  if (bind(fd, (const struct sockaddr *)&a, sizeof a) < 0)
    rc = hato__fail_errno(err, "cannot bind a socket to %s", path);
  close(fd);
  if (rc == HATO_OK) (void)unlink(path);
  return rc;
}

/* Ours, not a link to somewhere: anybody may write to /tmp. */
static hato_status own_dir(const char *path, hato_error *err) {
  struct stat st;
  if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
    return hato__fail(err, HATO_PERMISSION, "%s is a symbolic link, wanted a folder", path);
  }
  return hato__make_dir(path, 0700, true, err);
}

/* FNV-1a: not for secrecy, only to tell sessions apart in few letters. */
static uint64_t hash_of(const char *s) {
  uint64_t h = UINT64_C(0xcbf29ce484222325);
  for (; *s != 0; s++) h = (h ^ (uint8_t)*s) * UINT64_C(0x100000001b3);
  return h;
}

/* base/hato-UID/HASH, made and emptied; malloc'd. */
static hato_status make_local(const hato__session *s, const char *base, bool make_base, char **out,
                              hato_error *err) {
  *out = NULL;
  struct stat st;
  if (!make_base && (stat(base, &st) < 0 || !S_ISDIR(st.st_mode))) {
    return hato__fail(err, HATO_NOT_FOUND, "%s is not a folder", base);
  }
  char *mine = hato__printf("%s/hato-%u", base, (unsigned)geteuid());
  char *dir = mine ? hato__printf("%s/%016llx", mine, (unsigned long long)hash_of(s->dir)) : NULL;
  hato_status rc = dir ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a local folder");
  if (rc == HATO_OK && make_base && access(base, F_OK) < 0) rc = hato__make_dir(base, 0700, false, err);
  if (rc == HATO_OK) rc = hato__check_above(mine, err); /* daemons load shared objects from below it */
  if (rc == HATO_OK) rc = own_dir(mine, err);
  if (rc == HATO_OK && dir != NULL) rc = own_dir(dir, err);
  free(mine);
  if (rc != HATO_OK || dir == NULL) {
    free(dir);
    return rc;
  }
  session__empty_dir(dir);
  *out = dir;
  return HATO_OK;
}

/* One candidate. OK: a folder with a socket. Otherwise err says why not; a
 * folder that was made all the same is kept in *fallback, if it is the first. */
static hato_status try_base(hato__session *s, const char *base, bool make_base, char **fallback,
                            hato_error *err) {
  char *dir;
  hato_status rc = make_local(s, base, make_base, &dir, err);
  if (rc != HATO_OK || dir == NULL) return rc;
  char *path = hato__printf("%s/" SOCKET_NAME, dir);
  rc = path ? try_socket(path, err) : hato__fail(err, HATO_NO_MEMORY, "no memory for a local folder");
  if (rc == HATO_OK) {
    s->local_dir = dir;
    s->local_url = hato__printf("ipc://%s", path);
    if (s->local_url == NULL) rc = hato__fail(err, HATO_NO_MEMORY, "no memory for a local folder");
  } else if (*fallback == NULL) {
    *fallback = dir;
  } else {
    (void)rmdir(dir);
    free(dir);
  }
  free(path);
  return rc;
}

static void add_note(hato__session *s, const char *text) {
  size_t n = strlen(s->note);
  (void)snprintf(s->note + n, sizeof s->note - n, "%s%s", n ? "; " : "", text);
}

hato_status hato__session_local(hato__session *s, hato_error *err) {
  hato__error_clear(err);
  s->note[0] = 0;
  if (!s->locked) return hato__fail(err, HATO_STATE, "session %s is not locked by this process", s->name);
  if (s->local_url != NULL) return HATO_OK;
  session__remove_credentials(s); /* of a dead dispatcher */
  const char *bases[] = {getenv("HATO_LOCAL_DIR"), getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
  char *fallback = NULL;
  hato_error why = {0};
  for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
    if (bases[i] == NULL || bases[i][0] != '/') continue;
    if (try_base(s, bases[i], i == 0, &fallback, &why) == HATO_OK) {
      if (fallback != NULL) (void)rmdir(fallback);
      free(fallback);
      return HATO_OK;
    }
    add_note(s, why.text);
  }
  if (fallback == NULL) {
    return hato__fail(err, why.status ? why.status : HATO_NOT_FOUND,
                      "no local folder can be used; set HATO_LOCAL_DIR to one on this machine (%s)",
                      why.text);
  }
  uint8_t salt[8];
  char hex[2 * sizeof salt + 1];
  hato__random(salt, sizeof salt);
  hato__hex(hex, salt, sizeof salt);
  s->local_dir = fallback;
  s->local_url = hato__printf("abstract://hato-%u-%s", (unsigned)geteuid(), hex);
  return s->local_url ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for a local folder");
}

void hato__session_remove(hato__session *s) {
  if (!s->locked || s->self.pid != getpid()) return;
  char *path = session__file(s, "address");
  if (path != NULL) (void)unlink(path);
  free(path);
  session__remove_credentials(s);
  if (s->local_dir != NULL) {
    session__empty_dir(s->local_dir);
    (void)rmdir(s->local_dir);
  }
  hato__session_unlock(s);
}

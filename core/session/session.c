#include "session/session.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "session/internal.h"

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LONGEST_NAME 64

static hato_status check_name(const char *name, hato_error *err) {
  size_t n = strlen(name);
  bool ok = n > 0 && n <= LONGEST_NAME && name[0] != '.' && name[0] != '-';
  for (size_t i = 0; i < n && ok; i++) {
    char c = name[i];
    ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
         c == '-';
  }
  if (ok) return HATO_OK;
  return hato__fail(
      err, HATO_INVALID,
      "'%.80s' cannot be a session's name: wanted 1 to %d letters, digits, '.', '_' or '-', the first "
      "no '.' or '-'; or a path with a slash",
      name, LONGEST_NAME);
}

/* The home folder, malloc'd. $HOME first, as every program does. */
static char *home_dir(void) {
  const char *home = getenv("HOME");
  if (home != NULL && home[0] == '/') return strdup(home);
  struct passwd pw, *found = NULL;
  char space[4096];
  if (getpwuid_r(geteuid(), &pw, space, sizeof space, &found) != 0 || found == NULL) return NULL;
  return found->pw_dir != NULL && found->pw_dir[0] == '/' ? strdup(found->pw_dir) : NULL;
}

static hato_status named_dir(const char *name, char **out, hato_error *err) {
  hato_status rc = check_name(name, err);
  if (rc != HATO_OK) return rc;
  const char *state = getenv("XDG_STATE_HOME"); /* a relative one is to be ignored, says its standard */
  if (state != NULL && state[0] == '/') {
    *out = hato__printf("%s/hato/%s", state, name);
  } else {
    char *home = home_dir();
    if (home == NULL) {
      return hato__fail(err, HATO_NOT_FOUND, "uid %u has no home folder; set HOME or XDG_STATE_HOME",
                        (unsigned)geteuid());
    }
    *out = hato__printf("%s/.local/state/hato/%s", home, name);
    free(home);
  }
  return *out ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for session %s", name);
}

static hato_status path_dir(const char *path, char **out, hato_error *err) {
  if (path[0] == '/') {
    *out = strdup(path);
  } else {
    char *cwd = getcwd(NULL, 0);
    if (cwd == NULL) return hato__fail_errno(err, "cannot tell the working folder");
    *out = hato__printf("%s/%s", cwd, path);
    free(cwd);
  }
  if (*out == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for session %s", path);
  size_t n = strlen(*out);
  while (n > 1 && (*out)[n - 1] == '/') (*out)[--n] = 0;
  return HATO_OK;
}

static hato_status find_dir(hato__session *s, bool create, hato_error *err) {
  char *dir = NULL;
  hato_status rc = strchr(s->name, '/') ? path_dir(s->name, &dir, err) : named_dir(s->name, &dir, err);
  if (rc != HATO_OK || dir == NULL) return rc;
  struct stat st;
  if (!create && stat(dir, &st) < 0 && errno == ENOENT) {
    rc = hato__fail(err, HATO_NOT_FOUND, "there is no session %s (no folder %s)", s->name, dir);
  } else {
    rc = hato__make_dir(dir, 0700, true, err);
  }
  if (rc == HATO_OK) {
    s->dir = realpath(dir, NULL); /* one folder, one name: the local folder is found by it */
    if (s->dir == NULL) rc = hato__fail_errno(err, "cannot resolve %s", dir);
  }
  free(dir);
  return rc;
}

hato_status hato__session_open(const char *name, bool create, hato__session **out, hato_error *err) {
  *out = NULL;
  hato__error_clear(err);
  if (name == NULL || name[0] == 0) name = getenv("HATO_SESSION");
  if (name == NULL || name[0] == 0) name = "default";
  hato__session *s = calloc(1, sizeof *s);
  if (s == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory for session %s", name);
  hato__process_self(&s->self);
  s->name = strdup(name);
  hato_status rc = s->name ? find_dir(s, create, err)
                           : hato__fail(err, HATO_NO_MEMORY, "no memory for a session");
  if (rc != HATO_OK) {
    hato__session_close(s);
    return rc;
  }
  *out = s;
  return HATO_OK;
}

void hato__session_close(hato__session *s) {
  if (s == NULL) return;
  int saved = errno;
  free(s->name);
  free(s->dir);
  free(s->local_dir);
  free(s->local_url);
  free(s);
  errno = saved;
}

const char *hato__session_name(const hato__session *s) { return s->name; }
const char *hato__session_dir(const hato__session *s) { return s->dir; }
const char *hato__session_note(const hato__session *s) { return s->note; }
bool hato__session_locked(const hato__session *s) { return s->locked; }
const char *hato__session_local_dir(const hato__session *s) { return s->local_dir; }
const char *hato__session_local_url(const hato__session *s) { return s->local_url; }

bool hato__session_path(const hato__session *s, const char *file, char *out, size_t n) {
  int w = snprintf(out, n, "%s/%s", s->dir, file);
  if (w >= 0 && (size_t)w < n) return true;
  if (n > 0) out[0] = 0;
  return false;
}

hato_status hato__session_logs(hato__session *s, char *out, size_t n, hato_error *err) {
  if (!hato__session_locked(s)) return hato__fail(err, HATO_STATE, "session %s is not locked", s->name);
  if (!hato__session_path(s, "logs", out, n))
    return hato__fail(err, HATO_INVALID, "the session's folder %s has too long a path", s->dir);
  hato_status rc = hato__make_dir(out, 0700, true, err);
  if (rc == HATO_OK) session__empty_dir(out);
  return rc;
}

char *session__file(const hato__session *s, const char *file) { return hato__printf("%s/%s", s->dir, file); }

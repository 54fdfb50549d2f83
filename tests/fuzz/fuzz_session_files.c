/* Files of a session's folder as somebody may have left or damaged them, read as every command reads them: its
 * address and its lock (credentials are base's). What was read and is published again reads the same. The first byte says which. */
#include "session/internal.h"
#include "base/error.h"
#include "base/url.h"
#include "fuzz/fuzz.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder in memory; it goes as soon as nobody has it open, so that nothing is left of a run that dies. */
static hato__session *session(void) {
  static hato__session s;
  static char dir[64];
  if (dir[0] == 0) {
    char path[] = "/dev/shm/hato-fuzz-XXXXXX";
    if (mkdtemp(path) == NULL) {
      memcpy(path, "/tmp/hato-fuzz-XXXXXX", sizeof "/tmp/hato-fuzz-XXXXXX");
      require(mkdtemp(path) != NULL);
    }
    (void)snprintf(dir, sizeof dir, "%s", path);
  }
  static char name[] = "fuzz";
  s.name = name;
  s.dir = dir;
  return &s;
}

static void put_file(const hato__session *s, const char *file, const uint8_t *data, size_t size) {
  char path[100];
  require(hato__session_path(s, file, path, sizeof path));
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  require(fd >= 0 && write(fd, data, size) == (ssize_t)size);
  close(fd);
}

static void clear(const hato__session *s) {
  session__empty_dir(s->dir);
  (void)rmdir(s->dir);
  (void)mkdir(s->dir, 0700);
}

/* Published by us, it leads where it led. */
static void publish_again(hato__session *s, const hato__address *a) {
  hato__address b;
  hato_error err;
  hato__process_self(&s->self);
  s->locked = true;
  require(hato__session_publish(s, a, &err) == HATO_OK);
  s->locked = false;
  require(hato__session_read(s, &b, &err) == HATO_OK && b.verdict == HATO__SESSION_LIVE);
  size_t n = 0;
  for (; a->urls[n] != NULL; n++) require(b.urls[n] != NULL && strcmp(a->urls[n], b.urls[n]) == 0);
  require(b.urls[n] == NULL && (a->started == 0 || a->started == b.started));
  require((a->daemons_url == NULL) == (b.daemons_url == NULL));
  require(a->daemons_url == NULL || strcmp(a->daemons_url, b.daemons_url) == 0);
  hato__address_free(&b);
}

static void address(hato__session *s, const uint8_t *data, size_t size) {
  hato__address a;
  hato_error err = {0};
  put_file(s, "address", data, size);
  hato_status st = hato__session_read(s, &a, &err);
  if (st != HATO_OK) {
    require(st == HATO_INVALID || st == HATO_NOT_SUPPORTED || st == HATO_TOO_LARGE);
    require(err.text[0] != 0 && a.urls == NULL && a.local_dir == NULL);
    return;
  }
  require(a.words[0] != 0 && a.process.pid > 0 && a.urls != NULL);
  const char *url = hato__address_url(&a);
  require(url == NULL || a.verdict != HATO__SESSION_OTHER_HOST || !hato__url_is_local(url));
  publish_again(s, &a);
  hato__address_free(&a);
}

/* A lock that says that nobody holds it is replaced; any other holds off. */
static void lock(hato__session *s, const uint8_t *data, size_t size) {
  hato__address a;
  hato_error err = {0};
  put_file(s, "lock", data, size);
  require(hato__session_read(s, &a, &err) == HATO_OK && a.verdict == HATO__SESSION_NONE && a.words[0] != 0);
  hato__address_free(&a);
  hato_status st = hato__session_lock(s, false, &err);
  require(st == HATO_OK || (err.text[0] != 0 && (st == HATO_BUSY || st == HATO_TOO_LARGE)));
  if (st != HATO_OK) (void)hato__session_lock(s, true, &err);
  if (hato__session_locked(s)) hato__session_unlock(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  hato__session *s = session();
  clear(s);
  if (data[0] == 'l')
    lock(s, data + 1, size - 1);
  else
    address(s, data + 1, size - 1);
  session__empty_dir(s->dir);
  (void)rmdir(s->dir);
  return 0;
}

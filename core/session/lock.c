/* The session's lock: a file made by link(2), which is atomic on NFS too. */
#include "base/clock.h"
#include "base/error.h"
#include "base/io.h"
#include "base/str.h"
#include "session/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GUARD_WAIT (5 * HATO__SEC)
#define MOST_TRIES 16

/* Between judging a lock dead and putting ours in its place, another starter
 * could do the same and be robbed; so they take turns. flock goes with its
 * process, so nothing can be left behind. A file system without it (-1) leaves
 * us with the check in take_away. */
static int take_guard(const hato__session *s) {
  char *path = session__file(s, "guard");
  int fd = path ? open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600) : -1;
  free(path);
  if (fd < 0) return -1;
  uint64_t deadline = hato__now() + GUARD_WAIT;
  while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
    bool held = errno == EWOULDBLOCK || errno == EINTR;
    if (!held || hato__now() > deadline) {
      close(fd);
      return -1;
    }
    (void)nanosleep(&(struct timespec){.tv_nsec = (long)(5 * HATO__MS)}, NULL);
  }
  return fd;
}

static bool same_process(const hato__process *a, const hato__process *b) {
  return a->pid == b->pid && a->start_time == b->start_time && strcmp(a->host, b->host) == 0 &&
         strcmp(a->boot_id, b->boot_id) == 0;
}

static hato_status read_lock(const char *path, hato__process *p, hato_error *err) {
  json_t *j;
  hato_status rc = session__read_json(path, &j, err);
  if (rc == HATO_OK && !session__process_parse(j, p)) {
    rc = hato__fail(err, HATO_INVALID, "%s is not a lock of hato", path);
  }
  json_decref(j);
  return rc;
}

/* Our record in a file of its own, whole before it gets the lock's name. */
static hato_status write_record(const hato__session *s, const char *path, hato_error *err) {
  json_t *j = session__process_json(&s->self);
  char *text = j ? json_dumps(j, JSON_INDENT(1)) : NULL;
  hato_status rc = text ? hato__write_file(path, text, strlen(text), 0600, err)
                        : hato__fail(err, HATO_NO_MEMORY, "no memory for the lock of session %s", s->name);
  free(text);
  json_decref(j);
  return rc;
}

/* 0, or -1 with errno; EEXIST when somebody holds it. */
static int make_link(const char *record, const char *lock) {
  if (link(record, lock) == 0) return 0;
  int why = errno;
  struct stat st;
  /* NFS may lose the answer of a link that was made. */
  if (stat(record, &st) == 0 && st.st_nlink == 2) return 0;
  if (why == EPERM || why == EOPNOTSUPP || why == ENOSYS || why == EMLINK) { /* no hard links here */
    if (renameat2(AT_FDCWD, record, AT_FDCWD, lock, RENAME_NOREPLACE) == 0) return 0;
    if (errno == EEXIST) why = EEXIST;
  }
  errno = why;
  return -1;
}

/* Removes the lock that was judged, and no other that took its place meanwhile. */
static void take_away(const char *lock, const hato__process *judged) {
  uint64_t salt;
  hato__random(&salt, sizeof salt);
  char *aside = hato__printf("%s.old.%016llx", lock, (unsigned long long)salt);
  if (aside == NULL) return;
  if (rename(lock, aside) == 0) {
    hato__process found;
    hato_status rc = read_lock(aside, &found, NULL);
    bool other = judged != NULL && rc == HATO_OK && !same_process(&found, judged);
    if (other) (void)make_link(aside, lock);
    (void)unlink(aside);
  }
  free(aside);
}

/* Somebody holds the lock: OK when it was taken away and we may try again. */
static hato_status contend(hato__session *s, const char *lock, bool force, hato_error *err) {
  hato__process who;
  hato_status rc = read_lock(lock, &who, err);
  if (rc == HATO_NOT_FOUND) return HATO_OK; /* released just now */
  char words[400];
  if (rc == HATO_INVALID && force) {
    (void)snprintf(s->note, sizeof s->note, "replaced the lock of session %s, which could not be read",
                   s->name);
    take_away(lock, NULL);
    return HATO_OK;
  }
  if (rc == HATO_INVALID) {
    hato_error why = {0};
    (void)read_lock(lock, &who, &why);
    return hato__fail(err, HATO_BUSY, "session %s has a lock that cannot be read (%s); --force removes it",
                      s->name, why.text);
  }
  if (rc != HATO_OK) return rc;
  session_judgement j = session__judge(&who);
  session__describe(&who, j, words, sizeof words);
  if (j == PROCESS_LIVE) return hato__fail(err, HATO_BUSY, "session %s is served by %s", s->name, words);
  if (j == PROCESS_ELSEWHERE && !force) {
    return hato__fail(err, HATO_BUSY,
                      "session %s is held by %s; end it there, or if that host is gone for good, use --force",
                      s->name, words);
  }
  (void)snprintf(s->note, sizeof s->note, "replaced the lock of session %s, left by %s", s->name, words);
  take_away(lock, &who);
  return HATO_OK;
}

static hato_status acquire(hato__session *s, const char *record, const char *lock, bool force,
                           hato_error *err) {
  for (int i = 0; i < MOST_TRIES; i++) {
    if (make_link(record, lock) == 0) return HATO_OK;
    if (errno != EEXIST)
      return hato__fail_errno(err, "cannot lock session %s: cannot link %s", s->name, lock);
    hato_status rc = contend(s, lock, force, err);
    if (rc != HATO_OK) return rc;
  }
  return hato__fail(err, HATO_BUSY, "session %s: its lock changed hands %d times while we tried", s->name,
                    MOST_TRIES);
}

hato_status hato__session_lock(hato__session *s, bool force, hato_error *err) {
  hato__error_clear(err);
  s->note[0] = 0;
  if (s->locked) return hato__fail(err, HATO_STATE, "session %s is locked already", s->name);
  hato__process_self(&s->self); /* we may be a child of who opened it */
  uint64_t salt;
  hato__random(&salt, sizeof salt);
  char *lock = session__file(s, "lock");
  char *record = hato__printf("%s/lock.%ld.%016llx", s->dir, (long)s->self.pid, (unsigned long long)salt);
  hato_status rc = lock && record ? write_record(s, record, err)
                                  : hato__fail(err, HATO_NO_MEMORY, "no memory to lock session %s", s->name);
  if (rc == HATO_OK && lock != NULL && record != NULL) {
    int guard = take_guard(s);
    rc = acquire(s, record, lock, force, err);
    (void)unlink(record);
    s->locked = rc == HATO_OK;
    if (s->locked) { /* what a predecessor published leads nowhere */
      char *address = session__file(s, "address");
      if (address != NULL) (void)unlink(address);
      free(address);
    }
    if (guard >= 0) close(guard);
  }
  free(record);
  free(lock);
  return rc;
}

void hato__session_unlock(hato__session *s) {
  if (!s->locked) return;
  s->locked = false;
  if (s->self.pid != getpid()) return; /* a forked child does not hold it */
  char *lock = session__file(s, "lock");
  hato__process who;
  /* It may have been taken from us by force. */
  if (lock != NULL && read_lock(lock, &who, NULL) == HATO_OK && same_process(&who, &s->self))
    (void)unlink(lock);
  free(lock);
}

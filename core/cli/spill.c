#include "cli/spill.h"

#include "base/str.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct spilled {
  uint64_t at;
  hato_result result; /* its pointers but words are void */
  char *words;
};

static int open_file(void) {
  const char *places[] = {getenv("TMPDIR"), "/var/tmp", "/tmp"};
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    if (!places[i] || !*places[i]) continue;
    int fd = open(places[i], O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd >= 0) return fd;
    char *name = hato__printf("%s/hato-XXXXXX", places[i]); /* a file system without O_TMPFILE */
    fd = name ? mkostemp(name, O_CLOEXEC) : -1;
    if (fd >= 0) unlink(name);
    free(name);
    if (fd >= 0) return fd;
  }
  return -1;
}

static bool put(int fd, const void *data, size_t n, uint64_t at) {
  const char *bytes = data;
  while (n > 0) {
    ssize_t w = pwrite(fd, bytes, n, (off_t)at);
    if (w < 0 && errno == EINTR) continue;
    if (w <= 0) return false;
    bytes += w;
    at += (uint64_t)w;
    n -= (size_t)w;
  }
  return true;
}

spilled *cli_spill_put(spill *s, const hato_result *r) {
  if (s->fd == 0) {
    int fd = open_file();
    s->fd = fd < 0 ? -1 : fd + 1;
  }
  spilled *p = s->fd > 0 ? calloc(1, sizeof *p) : NULL;
  if (!p) return NULL;
  p->words = strdup(r->words);
  if (!p->words || !put(s->fd - 1, r->out, r->out_size, s->end) ||
      !put(s->fd - 1, r->err, r->err_size, s->end + r->out_size)) {
    free(p->words);
    free(p);
    return NULL;
  }
  p->at = s->end;
  p->result = *r;
  s->end += r->out_size + r->err_size;
  s->left++;
  return p;
}

bool cli_spill_get(spill *s, const spilled *p, hato_result *r) {
  size_t n = p->result.out_size + p->result.err_size, got = 0;
  hato__buf_clear(&s->buf);
  uint8_t *to = hato__buf_grow(&s->buf, n + 1);
  if (!to) {
    errno = ENOMEM;
    return false;
  }
  while (got < n) {
    ssize_t k = pread(s->fd - 1, to + got, n - got, (off_t)(p->at + got));
    if (k < 0 && errno == EINTR) continue;
    if (k == 0) errno = EIO;
    if (k <= 0) return false;
    got += (size_t)k;
  }
  *r = p->result;
  r->words = p->words;
  r->out = to;
  r->err = to + p->result.out_size;
  return true;
}

void cli_spill_free(spill *s, spilled *p) {
  if (!p) return;
  free(p->words);
  free(p);
  if (--s->left > 0) return;
  s->end = 0;                               /* nothing in it is needed: its place on the disk is given back */
  if (ftruncate(s->fd - 1, 0) != 0) return; /* it will be written over */
}

void cli_spill_close(spill *s) {
  if (s->fd > 0) close(s->fd - 1);
  hato__buf_free(&s->buf);
  *s = (spill){0};
}

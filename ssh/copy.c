/* The program, sent along to a host that lacks it: under its content's hash, so that it is sent once. */
#include "ssh.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 256 << 10 };

/* FNV-1a: it has to tell builds apart, not to withstand anybody. */
static uint64_t hash_of(const unsigned char *bytes, size_t n) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (size_t i = 0; i < n; i++) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  return hash;
}

static bool open_program(ssh_session *s, const char *path) {
  struct stat st;
  s->file = open(path, O_RDONLY | O_CLOEXEC);
  if (s->file < 0 || fstat(s->file, &st) < 0) return false;
  s->file_size = (uint64_t)st.st_size;
  void *bytes = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, s->file, 0)
                               : MAP_FAILED;
  if (bytes == MAP_FAILED) return false;
  (void)snprintf(s->hash, sizeof s->hash, "%016llx", (unsigned long long)hash_of(bytes, (size_t)st.st_size));
  (void)munmap(bytes, (size_t)st.st_size);
  return true;
}

void ssh_copy_end(ssh_session *s) {
  if (s->file >= 0) (void)close(s->file);
  s->file = -1;
  s->file_left = 0;
  s->copying = false;
}

/* Asks whether it is there; what comes after has to wait, as the bytes may follow. */
void ssh_copy_begin(ssh_state *st, const hato_host *h, ssh_session *s, const ssh_job *j) {
  char line[96];
  if (s->copying) return; /* of another launch: its own is asked about when that is done */
  if (!open_program(s, j->program)) {
    h->log(h, HATO_LEVEL_ERROR, "cannot read %s, which %s lacks: %s", j->program, s->host, strerror(errno));
    ssh_copy_end(s);
    return;
  }
  int n = snprintf(line, sizeof line, "copy %llu %s %llu\n", (unsigned long long)j->id, s->hash,
                   (unsigned long long)s->file_size);
  ssh_session_send(st, s, line, (size_t)n);
  s->copying = true;
  h->progress(h, "copying hato to %s", s->host);
}

void ssh_copy_send(ssh_session *s) { s->file_left = s->file >= 0 ? s->file_size : 0; }

bool ssh_copy_more(ssh_session *s) {
  char piece[PIECE];
  if (s->file_left == 0) return false;
  ssize_t n = read(s->file, piece, s->file_left < sizeof piece ? (size_t)s->file_left : sizeof piece);
  if (n <= 0) { /* it became shorter: the other side, which counts, must not wait for the rest */
    s->file_left = 0;
    ssh_session_kill(s, 15);
    return false;
  }
  s->file_left -= (uint64_t)n;
  ssh_put(&s->queue, piece, (size_t)n);
  return s->queue.len > 0;
}

/* What the kernel says of this host and its processes. */
#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

void hato__random(void *out, size_t n) {
  uint8_t *at = out;
  while (n > 0) {
    ssize_t got = getrandom(at, n, 0);
    if (got < 0) {
      if (errno == EINTR) continue;
      /* Unreachable on a kernel we run on (3.17); weak bytes would be worse. */
      abort();
    }
    at += got;
    n -= (size_t)got;
  }
}

void hato__hostname(char *out, size_t n) {
  if (n == 0) return;
  if (gethostname(out, n) < 0 && errno != ENAMETOOLONG) (void)snprintf(out, n, "localhost");
  out[n - 1] = 0;
}

/* Reads a small file of /proc; the length read, 0 when it cannot be. */
static size_t slurp(const char *path, char *out, size_t n) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t r;
  do r = read(fd, out, n - 1);
  while (r < 0 && errno == EINTR);
  close(fd);
  size_t len = r > 0 ? (size_t)r : 0;
  out[len] = 0;
  return len;
}

void hato__boot_id(char out[40]) {
  (void)slurp("/proc/sys/kernel/random/boot_id", out, 40);
  out[strcspn(out, "\n")] = 0;
}

uint64_t hato__process_start(pid_t pid) {
  char path[48], text[1024];
  (void)snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
  if (pid <= 0) return 0;
  /* Where /proc has hidepid, ours that cannot be dumped are hidden from ourselves, too. */
  if (slurp(path, text, sizeof text) == 0) return kill(pid, 0) == 0 || errno == EPERM ? HATO__START_UNKNOWN : 0;
  /* The command's name (field 2) may hold blanks and parentheses. */
  const char *at = strrchr(text, ')');
  if (at == NULL || at[1] == 0) return 0;
  at += 2;
  /* A zombie does nothing more: for all who ask it is gone. */
  if (*at == 'Z' || *at == 'X') return 0;
  for (int field = 3; field < 22; field++) {
    at = strchr(at, ' ');
    if (at == NULL) return 0;
    at++;
  }
  return strtoull(at, NULL, 10);
}

bool hato__process_lives(pid_t pid, uint64_t start_time) {
  uint64_t start = hato__process_start(pid);
  return start != 0 && (start == start_time || start == HATO__START_UNKNOWN || start_time == HATO__START_UNKNOWN);
}

bool hato__self_exe(char *out, size_t n) {
  static const char gone[] = " (deleted)";
  if (n == 0) return false;
  ssize_t r = readlink("/proc/self/exe", out, n);
  if (r <= 0 || (size_t)r >= n) {
    out[0] = 0;
    return false;
  }
  out[r] = 0;
  /* Replaced while we run, as by an upgrade: what stands there now is the best answer. */
  size_t len = (size_t)r, tail = sizeof gone - 1;
  if (len > tail && strcmp(out + len - tail, gone) == 0) out[len - tail] = 0;
  return true;
}

/*
 * What the script of a job notes down beside its log, TAG.N.job: the job's number, its host, that it was
 * told to end, and its exit code. A PBS without history forgets a job as it ends, and Slurm's imitation of
 * Torque tells neither exit codes nor which job of an array is which.
 */
#include "pbs.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *pbs_log_dir(const hato_host *h, const hato_launcher_options *o, const char *log_dir) {
  const char *own = h->option_string(h, o, "log-dir");
  return own != NULL ? own : log_dir;
}

char *pbs_log_path(const hato_host *h, const char *dir, const char *tag, uint32_t member) {
  return dir != NULL ? h->format(h, "%s/%s.%u.log", dir, tag, member) : NULL;
}

void pbs_notes_refresh(const char *dir) {
  DIR *d = dir != NULL ? opendir(dir) : NULL;
  if (d != NULL) (void)closedir(d);
}

static void take_line(pbs_note *n, const char *line) {
  const char *value = strchr(line, ' ');
  size_t word = value != NULL ? (size_t)(value - line) : strlen(line);
  value = value != NULL ? value + 1 : "";
  if (word == 3 && memcmp(line, "job", 3) == 0) strncpy(n->job, value, sizeof n->job - 1);
  if (word == 4 && memcmp(line, "host", 4) == 0) strncpy(n->host, value, sizeof n->host - 1);
  if (word == 4 && memcmp(line, "told", 4) == 0) n->told = true;
  if (word == 4 && memcmp(line, "exit", 4) == 0) {
    n->ended = true;
    n->code = (int32_t)strtol(value, NULL, 10);
  }
}

/* A job that was requeued has written more than once: the last counts. */
pbs_note pbs_read_note(const hato_host *h, const char *dir, const char *tag, uint32_t member) {
  char text[4096];
  pbs_note n = {0};
  const char *path = dir != NULL ? h->format(h, "%s/%s.%u.job", dir, tag, member) : NULL;
  int fd = path != NULL ? open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK) : -1;
  if (fd < 0) return n;
  ssize_t got = read(fd, text, sizeof text - 1);
  (void)close(fd);
  if (got < 0) return n;
  text[got] = 0;
  char *save = NULL;
  for (char *line = strtok_r(text, "\n", &save); line != NULL; line = strtok_r(NULL, "\n", &save)) {
    if (strncmp(line, "job ", 4) == 0) n = (pbs_note){.there = true};
    take_line(&n, line);
  }
  return n;
}

/* What /proc says of a process's memory. */
#ifndef HATO_BENCH_MEMORY_H
#define HATO_BENCH_MEMORY_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A field of /proc/PID/status, as VmRSS or VmHWM, in bytes; the program ends when there is none. */
static inline uint64_t memory_of(long pid, const char *field) {
  char path[64], line[256];
  size_t len = strlen(field);
  snprintf(path, sizeof path, "/proc/%ld/status", pid);
  FILE *f = fopen(path, "r");
  while (f != NULL && fgets(line, sizeof line, f) != NULL) {
    if (strncmp(line, field, len) != 0 || line[len] != ':') continue;
    fclose(f);
    return strtoull(line + len + 1, NULL, 10) * 1024;
  }
  fprintf(stderr, "%s: no %s\n", path, field);
  exit(1);
}

/* The peak counts anew from what it holds now, which is returned. */
static inline uint64_t memory_peak_restart(long pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%ld/clear_refs", pid);
  FILE *f = fopen(path, "w");
  if (f == NULL || fputs("5", f) < 0 || fclose(f) != 0) {
    fprintf(stderr, "%s cannot be written\n", path);
    exit(1);
  }
  return memory_of(pid, "VmHWM");
}

#endif

/* Small file and descriptor helpers. */
#ifndef HATO_BASE_IO_H
#define HATO_BASE_IO_H

#include "hato/status.h"
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

/* Writes all, through EINTR and partial writes (blocks). 0, or -1 with errno. */
int hato__write_all(int fd, const void *data, size_t n);
/* Reads up to n bytes, through EINTR and partial reads (blocks): until the end of the file or, with line, until the
 * end of a line was among them. How many, or -1 with errno. */
ssize_t hato__read_upto(int fd, void *data, size_t n, bool line);
/* Checks an open file that holds a secret as ssh checks a key: a plain file of ours that others can neither read nor
 * write. what: before its path in words, as "the key ", or "". st: what fstat said. INVALID, PERMISSION. */
hato_status hato__check_secret_file(int fd, const char *what, const char *path, struct stat *st, hato_error *err);
/* Reads a whole file of at most max bytes; the reader appends to out. */
hato_status hato__read_file(const char *path, size_t max, hato__buf *out, hato_error *err);
/* Replaces a file so that readers see the old or the new one: write, fsync, rename. */
hato_status hato__write_file(const char *path, const void *data, size_t n, mode_t mode, hato_error *err);
/* mkdir -p with this mode for what it creates; the last folder must then belong
 * to us and, when private, give others nothing (as ssh checks). */
hato_status hato__make_dir(const char *path, mode_t mode, bool private_dir, hato_error *err);
/* Whether others could put something else in the place of what is at this path: PERMISSION, when one of the folders
 * above it is theirs, or lets them write and is not sticky, as sshd would have it. What is executed or listened at
 * must not be replaced; for what is checked whenever it is read this matters less. */
hato_status hato__check_above(const char *path, hato_error *err);
/* Random bytes of the kernel. Never fails on Linux once booted. */
void hato__random(void *out, size_t n);
/* This host's name, its boot id and a process's start time (field 22 of
 * /proc/PID/stat, clock ticks since boot; 0: no such process; unknown: it is there, hidden). */
#define HATO__START_UNKNOWN UINT64_MAX
void hato__hostname(char *out, size_t n);
void hato__boot_id(char out[40]);
uint64_t hato__process_start(pid_t pid);
/* Whether the process that began then still lives; of a hidden one, whether any has its number. */
bool hato__process_lives(pid_t pid, uint64_t start_time);
/* The path of the running executable, in out; false when /proc does not say. */
bool hato__self_exe(char *out, size_t n);

#endif

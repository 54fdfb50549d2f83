/* Files, folders and what the kernel says of this host. */
#include "unit.h"

#include "base/clock.h"
#include "base/io.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[64];

static void fresh_dir(void) {
  (void)snprintf(dir, sizeof dir, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(dir));
  ck_assert_int_eq(chdir(dir), 0);
}

static void remove_dir(void) {
  ck_assert_int_eq(chdir("/"), 0);
  unit_remove_folder(dir);
}

UNIT_TEST(a_file_is_replaced_whole) {
  fresh_dir();
  hato_error err;
  hato__buf got = {0};
  umask(0777);
  ck_assert_int_eq(hato__write_file("f", "one", 3, 0640, &err), HATO_OK);
  ck_assert_int_eq(hato__write_file("f", "second", 6, 0600, &err), HATO_OK);
  umask(022);
  struct stat st;
  ck_assert_int_eq(stat("f", &st), 0);
  ck_assert_uint_eq(st.st_mode & 07777, 0600);
  ck_assert_int_eq(hato__read_file("f", 6, &got, &err), HATO_OK);
  ck_assert_str_eq(hato__buf_text(&got), "second");
  ck_assert_int_eq(hato__read_file("f", 5, &got, &err), HATO_TOO_LARGE);
  ck_assert_uint_eq(got.len, 6);
  ck_assert_int_eq(hato__read_file("none", 5, &got, &err), HATO_NOT_FOUND);
  ck_assert_ptr_nonnull(strstr(err.text, "none"));
  ck_assert_int_ne(hato__read_file(".", 5, &got, &err), HATO_OK);
  ck_assert_int_eq(hato__write_file("no/f", "x", 1, 0600, &err), HATO_NOT_FOUND);
  hato__buf_free(&got);
  remove_dir();
}

UNIT_TEST(folders_are_made_and_checked) {
  fresh_dir();
  hato_error err;
  struct stat st;
  ck_assert_int_eq(hato__make_dir("a/b/c/", 0700, true, &err), HATO_OK);
  ck_assert_int_eq(stat("a/b/c", &st), 0);
  ck_assert_uint_eq(st.st_mode & 0777, 0700);
  ck_assert_int_eq(hato__make_dir("a/b/c", 0700, true, &err), HATO_OK);
  ck_assert_int_eq(chmod("a/b/c", 0750), 0);
  ck_assert_int_eq(hato__make_dir("a/b/c", 0700, true, &err), HATO_PERMISSION);
  ck_assert_ptr_nonnull(strstr(err.text, "0750"));
  ck_assert_int_eq(hato__make_dir("a/b/c", 0700, false, &err), HATO_OK);
  ck_assert_int_eq(hato__write_file("plain", "x", 1, 0600, &err), HATO_OK);
  ck_assert_int_ne(hato__make_dir("plain", 0700, true, &err), HATO_OK);
  ck_assert_int_ne(hato__make_dir("plain/x", 0700, true, &err), HATO_OK);
  ck_assert_int_eq(symlink("a", "link"), 0);
  ck_assert_int_eq(hato__make_dir("link", 0700, true, &err), HATO_OK);
  ck_assert_int_eq(hato__make_dir("", 0700, true, &err), HATO_INVALID);
  if (geteuid() == 0) {
    ck_assert_int_eq(lchown("link", 12345, 12345), 0);
    ck_assert_int_eq(hato__make_dir("link", 0700, true, &err), HATO_PERMISSION);
    ck_assert_int_eq(chown("a", 12345, 12345), 0);
    ck_assert_int_eq(hato__make_dir("a", 0700, false, &err), HATO_PERMISSION);
    ck_assert_ptr_nonnull(strstr(err.text, "uid 12345"));
  }
  remove_dir();
}

UNIT_TEST(folders_that_others_can_write_to_are_told_from_safe_ones) {
  hato_error err;
  fresh_dir();
  ck_assert_int_eq(hato__make_dir("a/b/c", 0700, true, &err), HATO_OK);
  ck_assert_int_eq(hato__check_above("a/b/c", &err), HATO_OK);
  ck_assert_int_eq(chmod("a", 0777), 0);
  ck_assert_int_eq(hato__check_above("a/b/c", &err), HATO_PERMISSION);
  ck_assert_ptr_nonnull(strstr(err.text, "/a has mode 0777, so that others could replace a/b/c"));
  ck_assert_int_eq(chmod("a", 01777), 0);
  ck_assert_int_eq(hato__check_above("a/b/c", &err), HATO_OK);
  ck_assert_int_eq(chmod("a/b", 0770), 0); /* a group has others, too */
  ck_assert_int_eq(hato__check_above("a/b/c", &err), HATO_PERMISSION);
  ck_assert_int_eq(hato__check_above("a/b", &err), HATO_OK);
  ck_assert_int_eq(symlink("a/b", "link"), 0);
  ck_assert_int_eq(hato__check_above("link/c", &err), HATO_PERMISSION); /* where it really is */
  ck_assert_int_eq(hato__check_above("/x", &err), HATO_OK);
  ck_assert_int_ne(hato__check_above("nowhere/x", &err), HATO_OK);
  if (geteuid() == 0) {
    ck_assert_int_eq(chmod("a/b", 0700), 0);
    ck_assert_int_eq(chown("a", 12345, 12345), 0);
    ck_assert_int_eq(hato__check_above("a/b/c", &err), HATO_PERMISSION);
    ck_assert_ptr_nonnull(strstr(err.text, "/a belongs to uid 12345, who could replace a/b/c"));
  }
  remove_dir();
}

UNIT_TEST(writing_goes_on_where_the_kernel_stopped) {
  int fds[2];
  ck_assert_int_eq(pipe(fds), 0);
  size_t n = 1 << 20;
  char *data = malloc(n);
  for (size_t i = 0; i < n; i++) data[i] = (char)(i * 7);
  pid_t child = fork();
  if (child == 0) {
    close(fds[0]);
    _exit(hato__write_all(fds[1], data, n) == 0 ? 0 : 1);
  }
  close(fds[1]);
  size_t got = 0;
  char part[4096];
  for (ssize_t r; (r = read(fds[0], part, sizeof part)) > 0; got += (size_t)r) {
    ck_assert_mem_eq(part, data + got, (size_t)r);
  }
  int status;
  ck_assert_int_eq(waitpid(child, &status, 0), child);
  ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  ck_assert_uint_eq(got, n);
  signal(SIGPIPE, SIG_IGN);
  int closed[2];
  ck_assert_int_eq(pipe(closed), 0);
  close(closed[0]);
  ck_assert_int_eq(hato__write_all(closed[1], "x", 1), -1);
  free(data);
}

UNIT_TEST(a_process_has_a_start_until_it_is_dead) {
  uint64_t mine = hato__process_start(getpid());
  ck_assert(mine != 0 && mine == hato__process_start(getpid()));
  ck_assert(hato__process_start(0) == 0 && hato__process_start(-1) == 0);
  pid_t child = fork();
  if (child == 0) {
    pause();
    _exit(0);
  }
  ck_assert(hato__process_start(child) >= mine);
  kill(child, SIGKILL);
  siginfo_t info;
  ck_assert_int_eq(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT), 0);
  ck_assert(hato__process_start(child) == 0); /* a zombie is gone */
  ck_assert_int_eq(waitpid(child, NULL, 0), child);
  ck_assert(hato__process_start(child) == 0);
}

UNIT_TEST(this_host) {
  char host[256], boot[40], exe[4096], tiny[4];
  hato__hostname(host, sizeof host);
  ck_assert_uint_gt(strlen(host), 0);
  hato__boot_id(boot);
  ck_assert_uint_eq(strlen(boot), 36);
  ck_assert(hato__self_exe(exe, sizeof exe));
  ck_assert_ptr_nonnull(strstr(exe, "test_base_io"));
  ck_assert(!hato__self_exe(tiny, sizeof tiny));
  uint64_t a[2] = {0}, before = hato__now();
  hato__random(a, sizeof a);
  ck_assert(a[0] != a[1]);
  ck_assert(hato__now() >= before && hato__wall_now() > UINT64_C(1600000000) * HATO__SEC);
}

UNIT_MAIN("base_io")

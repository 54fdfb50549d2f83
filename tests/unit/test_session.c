/* The session's folder, lock, address, credential and local folder. */
#include "unit.h"

#include "base/clock.h"
#include "base/io.h"
#include "session/session.h"

#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define HAS(text, words) ck_assert_msg(strstr(text, words) != NULL, "'%s' lacks '%s'", text, words)

/* Each test is a process of its own, with a home of its own. */
static char home[64];

static void fresh_home(void) {
  (void)snprintf(home, sizeof home, "/tmp/hato-test-XXXXXX");
  ck_assert_ptr_nonnull(mkdtemp(home));
  setenv("HOME", home, 1);
  setenv("HATO_LOCAL_DIR", home, 1);
  unsetenv("XDG_STATE_HOME");
  unsetenv("HATO_SESSION");
  ck_assert_int_eq(chdir(home), 0);
}

static void remove_home(void) {
  ck_assert_int_eq(chdir("/"), 0);
  unit_remove_folder(home);
}

static hato__session *open_it(const char *name) {
  hato_error err;
  hato__session *s;
  ck_assert_msg(hato__session_open(name, true, &s, &err) == HATO_OK, "%s", err.text);
  return s;
}

static void put(const hato__session *s, const char *file, const char *text) {
  char path[512];
  ck_assert(hato__session_path(s, file, path, sizeof path));
  ck_assert_int_eq(hato__write_file(path, text, strlen(text), 0600, NULL), HATO_OK);
}

static bool has(const hato__session *s, const char *file) {
  char path[512];
  return hato__session_path(s, file, path, sizeof path) && access(path, F_OK) == 0;
}

static void put_process(const hato__session *s, const char *file, const hato__process *p) {
  char text[1024];
  (void)snprintf(text, sizeof text,
                 "{\"version\":1,\"host\":\"%s\",\"boot_id\":\"%s\",\"pid\":%ld,\"start_time\":%llu,"
                 "\"started\":5,\"urls\":[\"ipc:///x/s\",\"tcp://127.0.0.1:5\",\"tcp://node:7\"]}",
                 p->host, p->boot_id, (long)p->pid, (unsigned long long)p->start_time);
  put(s, file, text);
}

/* A process that was and is no more. */
static hato__process dead_process(void) {
  hato__process p;
  hato__process_self(&p);
  p.pid = fork();
  if (p.pid == 0) _exit(0);
  ck_assert_int_eq(waitpid(p.pid, NULL, 0), p.pid);
  return p;
}

UNIT_TEST(where_a_session_lies) {
  fresh_home();
  char want[256];
  hato_error err;
  hato__session *s;
  ck_assert_int_eq(hato__session_open(NULL, false, &s, &err), HATO_NOT_FOUND);
  ck_assert_ptr_null(s);
  HAS(err.text, "there is no session default");
  s = open_it(NULL);
  (void)snprintf(want, sizeof want, "%s/.local/state/hato/default", home);
  ck_assert_str_eq(hato__session_dir(s), want);
  struct stat st;
  ck_assert_int_eq(stat(want, &st), 0);
  ck_assert_uint_eq(st.st_mode & 07777, 0700);
  hato__session_close(s);
  ck_assert_int_eq(hato__session_open(NULL, false, &s, &err), HATO_OK);
  hato__session_close(s);
  setenv("HATO_SESSION", "work.2", 1);
  s = open_it("");
  HAS(hato__session_dir(s), "/.local/state/hato/work.2");
  ck_assert_str_eq(hato__session_name(s), "work.2");
  hato__session_close(s);
  (void)snprintf(want, sizeof want, "%s/state", home);
  setenv("XDG_STATE_HOME", want, 1);
  s = open_it("named");
  (void)snprintf(want, sizeof want, "%s/state/hato/named", home);
  ck_assert_str_eq(hato__session_dir(s), want);
  hato__session_close(s);
  setenv("XDG_STATE_HOME", "relative", 1);
  s = open_it("./here/");
  (void)snprintf(want, sizeof want, "%s/here", home);
  ck_assert_str_eq(hato__session_dir(s), want);
  hato__session_close(s);
  hato__session_close(NULL);
  remove_home();
}

UNIT_TEST(bad_names_and_folders_are_explained) {
  fresh_home();
  hato_error err;
  hato__session *s;
  static const char *const bad[] = {".", "..", "-x", "a b", "a\nb", "é", "*"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    ck_assert_int_eq(hato__session_open(bad[i], true, &s, &err), HATO_INVALID);
    HAS(err.text, "cannot be a session's name");
  }
  char longer[80];
  memset(longer, 'a', 65);
  longer[65] = 0;
  ck_assert_int_eq(hato__session_open(longer, true, &s, &err), HATO_INVALID);
  s = open_it("open");
  ck_assert_int_eq(chmod(hato__session_dir(s), 0755), 0);
  hato__session_close(s);
  ck_assert_int_eq(hato__session_open("open", false, &s, &err), HATO_PERMISSION);
  HAS(err.text, "has mode 0755");
  HAS(err.text, "chmod 700");
  if (geteuid() == 0) {
    ck_assert_int_eq(mkdir("theirs", 0700), 0);
    ck_assert_int_eq(chown("theirs", 4242, 4242), 0);
    ck_assert_int_eq(hato__session_open("./theirs", true, &s, &err), HATO_PERMISSION);
    HAS(err.text, "belongs to uid 4242, not to uid 0");
  }
  unsetenv("HOME");
  setenv("HOME", "/proc/nohome", 1);
  ck_assert_int_ne(hato__session_open("x", true, &s, &err), HATO_OK);
  HAS(err.text, "/proc/nohome");
  remove_home();
}

UNIT_TEST(one_holds_the_lock) {
  fresh_home();
  hato_error err;
  hato__session *a = open_it("x"), *b = open_it("x");
  ck_assert_int_eq(hato__session_lock(a, false, &err), HATO_OK);
  ck_assert_str_eq(hato__session_note(a), "");
  ck_assert_int_eq(hato__session_lock(a, false, &err), HATO_STATE);
  ck_assert_int_eq(hato__session_lock(b, true, &err), HATO_BUSY); /* force is not for the living */
  HAS(err.text, "session x is served by process ");
  hato__session_unlock(b);
  pid_t child = fork();
  if (child == 0) {
    hato__session_unlock(a); /* not the child's */
    _exit(0);
  }
  ck_assert_int_eq(waitpid(child, NULL, 0), child);
  ck_assert(has(a, "lock"));
  hato__session_unlock(a);
  ck_assert(!has(a, "lock") && !hato__session_locked(a));
  ck_assert_int_eq(hato__session_lock(b, false, &err), HATO_OK);
  hato__session_close(b);
  ck_assert(has(a, "lock"));
  hato__session_close(a);
  remove_home();
}

/* Starters at once; *stale: over a dead one's lock. Each tells OK or BUSY and
 * holds on until all have told. */
static void race(const hato__process *stale) {
  enum { N = 6, ROUNDS = 15 };
  for (int round = 0; round < ROUNDS; round++) {
    hato__session *s = open_it("race");
    if (stale != NULL) put_process(s, "lock", stale);
    int go[2], told[2], end[2];
    ck_assert(pipe(go) == 0 && pipe(told) == 0 && pipe(end) == 0);
    pid_t child[N];
    for (int i = 0; i < N; i++) {
      child[i] = fork();
      if (child[i] != 0) continue;
      close(go[1]);
      close(end[1]);
      char c;
      (void)!read(go[0], &c, 1);
      hato_error err;
      hato_status rc = hato__session_lock(s, false, &err);
      c = rc == HATO_OK ? 'o' : rc == HATO_BUSY ? 'b' : 'x';
      (void)!write(told[1], &c, 1);
      (void)!read(end[0], &c, 1);
      hato__session_unlock(s);
      _exit(0);
    }
    close(go[1]);
    int ok = 0, busy = 0;
    for (int i = 0; i < N; i++) {
      char c = 0;
      ck_assert_int_eq(read(told[0], &c, 1), 1);
      ok += c == 'o';
      busy += c == 'b';
    }
    ck_assert_int_eq(ok, 1);
    ck_assert_int_eq(busy, N - 1);
    close(end[1]);
    for (int i = 0; i < N; i++) ck_assert_int_eq(waitpid(child[i], NULL, 0), child[i]);
    ck_assert(!has(s, "lock"));
    close(go[0]);
    close(told[0]);
    close(told[1]);
    close(end[0]);
    hato__session_close(s);
  }
}

UNIT_TEST_LIMIT(of_many_starters_one_wins, 30) {
  fresh_home();
  race(NULL);
  remove_home();
}

UNIT_TEST_LIMIT(of_many_starters_over_a_dead_lock_one_wins, 30) {
  fresh_home();
  hato__process dead = dead_process();
  race(&dead);
  remove_home();
}

UNIT_TEST(a_dead_lock_is_replaced_and_said_so) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  hato__process gone = dead_process();
  put_process(s, "lock", &gone);
  put_process(s, "address", &gone);
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  HAS(hato__session_note(s), "replaced the lock of session x");
  HAS(hato__session_note(s), "which is dead");
  ck_assert(!has(s, "address"));
  hato__session_unlock(s);

  hato__process other;
  hato__process_self(&other);
  other.start_time++; /* our number, another process */
  put_process(s, "lock", &other);
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  HAS(hato__session_note(s), "which is dead");
  hato__session_unlock(s);

  hato__process_self(&other);
  (void)snprintf(other.boot_id, sizeof other.boot_id, "00000000-0000-0000-0000-000000000000");
  put_process(s, "lock", &other);
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  HAS(hato__session_note(s), "which was rebooted since");
  hato__session_remove(s);
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(another_hosts_lock_needs_force) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  hato__process other = dead_process();
  (void)snprintf(other.host, sizeof other.host, "node17");
  put_process(s, "lock", &other);
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_BUSY);
  HAS(err.text, "on host node17");
  HAS(err.text, "--force");
  ck_assert(has(s, "lock"));
  ck_assert_int_eq(hato__session_lock(s, true, &err), HATO_OK);
  HAS(hato__session_note(s), "node17");
  /* Taken from us in turn: what we unlock is only ours. */
  put_process(s, "lock", &other);
  hato__session_unlock(s);
  ck_assert(has(s, "lock"));
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(a_damaged_lock_is_explained) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  static const char *const bad[] = {"", "garbage", "[]", "{\"host\":\"a\"}",
                                    "{\"host\":1,\"boot_id\":\"\",\"pid\":-4}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    put(s, "lock", bad[i]);
    ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_BUSY);
    HAS(err.text, "cannot be read");
    ck_assert_int_eq(hato__session_lock(s, true, &err), HATO_OK);
    hato__session_unlock(s);
  }
  DIR *d = opendir(hato__session_dir(s)); /* nothing but the guard is left over */
  for (struct dirent *e; (e = readdir(d)) != NULL;) {
    ck_assert_msg(e->d_name[0] == '.' || strcmp(e->d_name, "guard") == 0, "%s", e->d_name);
  }
  closedir(d);
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(the_address_of_a_live_session) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  hato__address out = {0};
  char *urls[] = {(char *)"ipc:///tmp/s", (char *)"tcp://[::1]:7", NULL};
  hato__address a = {.urls = urls, .daemons_url = (char *)"tcp://node:9", .local_dir = (char *)"/tmp/d"};
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  ck_assert_int_eq(out.verdict, HATO__SESSION_NONE);
  HAS(out.words, "session x is not up");
  ck_assert_int_eq(hato__session_publish(s, &a, &err), HATO_STATE);
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  ck_assert_int_eq(out.verdict, HATO__SESSION_NONE);
  HAS(out.words, "is being started");
  ck_assert_int_eq(hato__session_publish(s, &a, &err), HATO_OK);
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  ck_assert_int_eq(out.verdict, HATO__SESSION_LIVE);
  ck_assert_int_eq(out.process.pid, getpid());
  ck_assert(out.started > 1600000000);
  ck_assert_str_eq(out.urls[1], "tcp://[::1]:7");
  ck_assert_ptr_null(out.urls[2]);
  ck_assert_str_eq(out.daemons_url, "tcp://node:9");
  ck_assert_str_eq(out.local_dir, "/tmp/d");
  ck_assert_str_eq(hato__address_url(&out), "ipc:///tmp/s");
  hato__address_free(&out);
  hato__session_remove(s);
  ck_assert(!has(s, "address") && !has(s, "lock"));
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(verdicts_of_an_address) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  hato__address out;
  hato__process p = dead_process();
  put_process(s, "address", &p);
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  ck_assert_int_eq(out.verdict, HATO__SESSION_STALE);
  HAS(out.words, "which is dead");
  hato__address_free(&out);
  (void)snprintf(p.boot_id, sizeof p.boot_id, "another");
  put_process(s, "address", &p);
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  ck_assert_int_eq(out.verdict, HATO__SESSION_STALE);
  HAS(out.words, "rebooted");
  hato__address_free(&out);
  (void)snprintf(p.host, sizeof p.host, "node17");
  put_process(s, "address", &p);
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  ck_assert_int_eq(out.verdict, HATO__SESSION_OTHER_HOST);
  ck_assert_str_eq(hato__address_url(&out), "tcp://node:7");
  free(out.urls[2]);
  out.urls[2] = NULL;
  ck_assert_ptr_null(hato__address_url(&out));
  hato__address_free(&out);
  put(s, "address",
      "{\"version\":1,\"host\":\"node17\",\"boot_id\":\"b\",\"pid\":3,\"start_time\":4,\"urls\":[\"ipc:///"
      "s\"]}");
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_OK);
  HAS(out.words, "run this command on node17");
  hato__address_free(&out);
  put(s, "address", "{\"version\":2}");
  ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_NOT_SUPPORTED);
  HAS(err.text, "newer hato");
  static const char *const bad[] = {
      "",   "{",
      "{}", "{\"version\":1}",
      "7",  "{\"version\":1,\"host\":\"n\",\"boot_id\":\"b\",\"pid\":3,\"start_time\":4,\"urls\":[1]}"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    put(s, "address", bad[i]);
    ck_assert_int_eq(hato__session_read(s, &out, &err), HATO_INVALID);
    HAS(err.text, "address");
    ck_assert_ptr_null(out.urls);
  }
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(the_credential_is_guarded) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  hato__credential *made = hato__credential_new(HATO__ROLE_DAEMON, 17, NULL), *k;
  char path[256];
  ck_assert(hato__session_path(s, "a.credential", path, sizeof path));
  ck_assert_int_eq(hato__credential_read(path, &k, &err), HATO_NOT_FOUND);
  ck_assert_int_eq(hato__credential_write(path, made, &err), HATO_OK);
  struct stat st;
  ck_assert_int_eq(stat(path, &st), 0);
  ck_assert_uint_eq(st.st_mode & 07777, 0600);
  ck_assert_int_eq(hato__credential_read(path, &k, &err), HATO_OK);
  ck_assert_mem_eq(k, made, sizeof *k);
  hato__credential_free(k);
  hato__credential_free(made);
  static const mode_t open_modes[] = {0640, 0604, 0620, 0644};
  for (size_t i = 0; i < sizeof open_modes / sizeof *open_modes; i++) {
    ck_assert_int_eq(chmod(path, open_modes[i]), 0);
    ck_assert_int_eq(hato__credential_read(path, &k, &err), HATO_PERMISSION);
    HAS(err.text, "chmod 600");
  }
  if (geteuid() == 0) {
    ck_assert(chmod(path, 0600) == 0 && chown(path, 4242, 4242) == 0);
    ck_assert_int_eq(hato__credential_read(path, &k, &err), HATO_PERMISSION);
    HAS(err.text, "belongs to uid 4242");
  }
  static const char *const bad[] = {"", "zz", "00\n"};
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
    put(s, "a.credential", bad[i]);
    ck_assert_int_eq(chmod(path, 0600), 0);
    ck_assert_int_eq(hato__credential_read(path, &k, &err), HATO_INVALID);
  }
  unlink(path);
  ck_assert_int_eq(mkfifo(path, 0600), 0);
  ck_assert_int_eq(hato__credential_read(path, &k, &err), HATO_INVALID);
  HAS(err.text, "not a plain file");
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(the_local_folder) {
  fresh_home();
  hato_error err;
  hato__session *s = open_it("x");
  ck_assert_int_eq(hato__session_local(s, &err), HATO_STATE);
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  ck_assert_msg(hato__session_local(s, &err) == HATO_OK, "%s", err.text);
  char dir[256], path[300], want[128];
  (void)snprintf(dir, sizeof dir, "%s", hato__session_local_dir(s));
  (void)snprintf(want, sizeof want, "%s/hato-%u/", home, (unsigned)geteuid());
  ck_assert_int_eq(strncmp(dir, want, strlen(want)), 0);
  struct stat st;
  ck_assert_int_eq(stat(dir, &st), 0);
  ck_assert_uint_eq(st.st_mode & 07777, 0700);
  const char *url = hato__session_local_url(s);
  ck_assert_int_eq(strncmp(url, "ipc:///", 7), 0);
  ck_assert_uint_le(strlen(url + 6), HATO__SOCKET_PATH_MAX);
  /* What a killed dispatcher leaves: its socket, its spool. */
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  (void)snprintf(a.sun_path, sizeof a.sun_path, "%s", url + 6);
  int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  close(fd);
  (void)snprintf(path, sizeof path, "%s/sub", dir);
  ck_assert_int_eq(mkdir(path, 0700), 0);
  (void)snprintf(path, sizeof path, "%s/sub/file", dir);
  ck_assert_int_eq(hato__write_file(path, "x", 1, 0600, NULL), HATO_OK);
  ck_assert_int_eq(symlink(home, "link"), 0);
  hato__session_unlock(s);
  hato__session_close(s);
  s = open_it("x");
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  ck_assert_int_eq(hato__session_local(s, &err), HATO_OK);
  ck_assert_str_eq(hato__session_local_dir(s), dir); /* found again, and empty */
  ck_assert_int_eq(rmdir(dir), 0);
  ck_assert_int_eq(mkdir(dir, 0700), 0);
  hato__session_remove(s);
  ck_assert_int_ne(access(dir, F_OK), 0);
  hato__session_close(s);
  remove_home();
}

UNIT_TEST(a_local_folder_that_cannot_be_is_passed_over) {
  fresh_home();
  hato_error err;
  char deep[200];
  (void)snprintf(deep, sizeof deep, "%s/%090d", home, 0);
  setenv("HATO_LOCAL_DIR", deep, 1); /* the socket's path would be too long */
  hato__session *s = open_it("x");
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  setenv("TMPDIR", home, 1);
  ck_assert_int_eq(hato__session_local(s, &err), HATO_OK);
  HAS(hato__session_note(s), "a socket's path at most 107");
  ck_assert_int_eq(strncmp(hato__session_local_url(s) + 6, home, strlen(home)), 0);
  hato__session_remove(s);
  hato__session_close(s);

  char mine[256];
  (void)snprintf(mine, sizeof mine, "%s/hato-%u", home, (unsigned)geteuid());
  ck_assert_int_eq(chmod(mine, 0777), 0); /* somebody else's doing */
  s = open_it("x");
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  setenv("HATO_LOCAL_DIR", home, 1);
  unsetenv("TMPDIR");
  ck_assert_int_eq(hato__session_local(s, &err), HATO_OK);
  HAS(hato__session_note(s), "has mode 0777");
  HAS(hato__session_local_url(s), "ipc:///tmp/hato-");
  hato__session_remove(s);
  hato__session_close(s);
  ck_assert_int_eq(rmdir(mine), 0);
  ck_assert_int_eq(symlink("/etc", mine), 0);
  s = open_it("x");
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  ck_assert_int_eq(hato__session_local(s, &err), HATO_OK);
  HAS(hato__session_note(s), "symbolic link");
  hato__session_remove(s);
  hato__session_close(s);
  remove_home();
}

/* Where no socket can be bound; needs root for a view of the mounts of its own. */
UNIT_TEST(without_a_place_for_sockets_the_url_is_abstract) {
  static const char *const tops[] = {"/var/tmp", "/dev/shm", "/tmp"};
  if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0) return;
  if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) return;
  for (size_t i = 0; i < 3; i++) {
    char path[64];
    if (mount("hato", tops[i], "tmpfs", 0, "size=64k") < 0) return;
    (void)snprintf(path, sizeof path, "%s/hato-0", tops[i]);
    ck_assert_int_eq(hato__write_file(path, "", 0, 0600, NULL), HATO_OK);
  }
  fresh_home();
  hato_error err;
  char deep[200], want[256];
  (void)snprintf(deep, sizeof deep, "%s/%090d", home, 0);
  setenv("HATO_LOCAL_DIR", deep, 1);
  hato__session *s = open_it("x");
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  ck_assert_msg(hato__session_local(s, &err) == HATO_OK, "%s", err.text);
  ck_assert_int_eq(strncmp(hato__session_local_url(s), "abstract://hato-0-", 18), 0);
  (void)snprintf(want, sizeof want, "%s/hato-0/", deep);
  ck_assert_int_eq(strncmp(hato__session_local_dir(s), want, strlen(want)), 0); /* the spool's */
  HAS(hato__session_note(s), "107");
  hato__session_close(s);
  s = open_it("y");
  ck_assert_int_eq(hato__session_lock(s, false, &err), HATO_OK);
  unsetenv("HATO_LOCAL_DIR");
  ck_assert_int_ne(hato__session_local(s, &err), HATO_OK);
  HAS(err.text, "set HATO_LOCAL_DIR");
  hato__session_close(s);
}

UNIT_MAIN("session")

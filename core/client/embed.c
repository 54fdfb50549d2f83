/* The embedded dispatcher: in this process, with daemons on this machine that dial a
 * socket in a folder of its own. */
#include "client/internal.h"

#include "session/session.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- its folder ---- */

static void remove_in(int at, const char *name) {
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d && fd >= 0) close(fd);
  struct dirent *e;
  while (d && (e = readdir(d)) != NULL) {
    if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
    if (unlinkat(dirfd(d), e->d_name, 0) != 0 && (errno == EISDIR || errno == EPERM)) remove_in(dirfd(d), e->d_name);
  }
  if (d) closedir(d);
  unlinkat(at, name, AT_REMOVEDIR);
}

/* Whose process ended without closing its pool: its lock is gone. One that is being made has none
 * yet, but it is young. */
static bool left_behind(int at, const char *name) {
  struct stat st;
  int pid, end = 0;
  if (sscanf(name, "hato-%d-%*6[A-Za-z0-9]%n", &pid, &end) != 1 || end == 0 || name[end] != 0) return false;
  if (kill(pid, 0) == 0 || errno != ESRCH) return false;
  int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  bool dead = fstat(fd, &st) == 0 && st.st_uid == geteuid() && time(NULL) - st.st_mtime > 10 &&
              flock(fd, LOCK_EX | LOCK_NB) == 0;
  close(fd);
  return dead;
}

static void sweep(const char *parent) {
  int fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR *d = fd < 0 ? NULL : fdopendir(fd);
  if (!d && fd >= 0) close(fd);
  struct dirent *e;
  while (d && (e = readdir(d)) != NULL)
    if (left_behind(dirfd(d), e->d_name)) remove_in(dirfd(d), e->d_name);
  if (d) closedir(d);
}

static char *make_dir(const char *parent) {
  if (!parent || *parent != '/') return NULL;
  sweep(parent);
  char *dir = hato__printf("%s/hato-%d-XXXXXX", parent, (int)getpid());
  if (dir && strlen(dir) + sizeof "/dispatcher" <= HATO__SOCKET_PATH_MAX && mkdtemp(dir)) return dir;
  free(dir);
  return NULL;
}

static void remove_dir(hato_pool *p) {
  if (!p->local_dir) return;
  remove_in(AT_FDCWD, p->local_dir);
  if (p->dir_fd >= 0) close(p->dir_fd);
  p->dir_fd = -1;
  free(p->local_dir);
  p->local_dir = NULL;
}

/* ---- opening ---- */

/* The host's callback, as the dispatcher asks for a pass phrase. */
static hato_status ask_host(void *arg, char *buf, size_t n, hato_error *err) {
  const hato_pool_options *o = arg;
  if (!o->tls_pass) return hato__fail(err, HATO_INVALID, "the key %s is encrypted, and there is no tls_pass", o->tls_key);
  if (o->tls_pass(o->tls_pass_arg, buf, n) != 0)
    return hato__fail(err, HATO_CANCELLED, "tls_pass gave no pass phrase for the key %s", o->tls_key);
  buf[n - 1] = 0;
  return HATO_OK;
}

static hato_status identity_of(const hato_pool_options *o, net_identity **id, hato_error *err) {
  net_identity_files f = {.certificate = o->tls_certificate,
                          .key = o->tls_key,
                          .ca = o->tls_ca,
                          .pass = ask_host,
                          .pass_arg = (void *)(uintptr_t)o};
  *id = NULL;
  if (!o->tls_certificate && (o->tls_key || o->tls_ca))
    return hato__fail(err, HATO_INVALID, "tls_%s without tls_certificate", o->tls_key ? "key" : "ca");
  if (o->tls_certificate && !o->tls_key) return hato__fail(err, HATO_INVALID, "tls_certificate without tls_key");
  return o->tls_certificate ? net_identity_load(&f, id, err) : HATO_OK;
}

static hato_status create(hato_pool *p, const char *binary, hato_error *err) {
  dispatcher_options d = {.local_dir = p->local_dir, .hato_binary = binary, .network.identity = p->identity, .log = p->log};
  return dispatcher_create(&d, &p->dispatcher, err);
}

/* A folder where a socket can be bound; without one an abstract socket serves. */
static hato_status listen_local(hato_pool *p, const char *binary, hato_error *err) {
  const char *const parents[] = {getenv("HATO_LOCAL_DIR"), getenv("TMPDIR"), "/tmp", "/var/tmp", "/dev/shm"};
  size_t n = sizeof parents / sizeof *parents;
  hato_status st = hato__fail(err, HATO_NOT_FOUND, "no folder for an embedded dispatcher in $TMPDIR or /tmp");
  for (size_t i = 0; i < n; i++) {
    p->local_dir = make_dir(parents[i]);
    if (!p->local_dir) continue;
    p->dir_fd = open(p->local_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->dir_fd >= 0) flock(p->dir_fd, LOCK_SH | LOCK_NB);
    st = create(p, binary, err);
    char *url = hato__printf("ipc://%s/dispatcher", p->local_dir);
    if (st == HATO_OK) st = url ? dispatcher_listen(p->dispatcher, url, err) : HATO_NO_MEMORY;
    free(url);
    if (st == HATO_OK) return st;
    dispatcher_destroy(p->dispatcher);
    p->dispatcher = NULL;
    remove_dir(p);
  }
  return st;
}

static hato_status launch(hato_pool *p, const hato_pool_options *o, hato_error *err) {
  dispatcher_launch_request r = {.launcher = "local", .n = o->daemons, .slots = o->slots};
  uint64_t number;
  if (o->daemons < 0) return HATO_OK;
  if (o->daemons == 0 && o->slots > 0) r.n = 1;
  return dispatcher_launch(p->dispatcher, &r, &number, err);
}

hato_status client_embed_open(hato_pool *p, const hato_pool_options *o, hato_error *err) {
  char *binary = NULL;
  hato_status st = client_binary_find(o->hato_binary, &binary, err);
  if (st == HATO_OK) st = identity_of(o, &p->identity, err);
  if (st == HATO_OK) st = listen_local(p, binary, err);
  free(binary);
  if (st == HATO_OK && o->listen) st = dispatcher_listen(p->dispatcher, o->listen, err);
  if (st) return st;
  p->embedded = true;
  p->url = hato__printf("%s", dispatcher_url(p->dispatcher, o->listen ? 1 : 0));
  if (!p->url) return hato__fail(err, HATO_NO_MEMORY, "no memory for a pool");
  st = launch(p, o, err);
  if (st == HATO_OK) st = dispatcher_embed(p->dispatcher, &p->conn, err);
  return st;
}

void client_embed_close(hato_pool *p) {
  dispatcher_destroy(p->dispatcher);
  net_identity_free(p->identity);
  p->identity = NULL;
  p->dispatcher = NULL;
  remove_dir(p);
}

/* The pass phrase of an encrypted key: from a file that only we can read, or from the terminal; never from an
 * argument or the environment. */
#include "base/secret.h"
#include "cli/pass.h"
#include "cli/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define MOST 1024u

/* The first line of what fd gives; the end of the line is cut off. */
static hato_status read_line(int fd, const char *where, char *buf, size_t n, hato_error *err) {
  size_t len = 0;
  ssize_t r = 1;
  while (r > 0 && len < n && !memchr(buf, '\n', len)) {
    r = read(fd, buf + len, n - len);
    if (r < 0 && errno == EINTR) r = 1;
    else if (r > 0) len += (size_t)r;
  }
  if (r < 0) return hato__fail_errno(err, "cannot read the pass phrase of %s", where);
  char *end = memchr(buf, '\n', len);
  if (!end && len == n) return hato__fail(err, HATO_TOO_LARGE, "the pass phrase of %s is longer than %zu bytes", where, n - 1);
  buf[end ? (size_t)(end - buf) : len] = 0;
  return HATO_OK;
}

static hato_status from_file(const char *path, char *buf, size_t n, hato_error *err) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return hato__fail_errno(err, "cannot open the pass phrase's file %s", path);
  hato_status rc = fstat(fd, &st) == 0 ? HATO_OK : hato__fail_errno(err, "cannot look at %s", path);
  if (!rc && (st.st_uid != geteuid() || (st.st_mode & 077) != 0))
    rc = hato__fail(err, HATO_PERMISSION, "%s belongs to uid %u and has mode %04o; wanted uid %u and 0600: chmod 600 %s",
                    path, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777), (unsigned)geteuid(), path);
  if (!rc) rc = read_line(fd, path, buf, n, err);
  close(fd);
  return rc;
}

static hato_status from_terminal(const char *key, char *buf, size_t n, hato_error *err) {
  struct termios shown, hidden;
  int fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
  if (fd < 0)
    return hato__fail(err, HATO_INVALID, "the key %s is encrypted, and there is no terminal to ask for its pass phrase: "
                                         "--tls-pass-file names a file with it", key);
  bool can = tcgetattr(fd, &shown) == 0;
  hidden = shown;
  hidden.c_lflag &= (tcflag_t)~ECHO;
  if (can) (void)tcsetattr(fd, TCSAFLUSH, &hidden);
  dprintf(fd, "Pass phrase of %s: ", key);
  hato_status st = read_line(fd, "the terminal", buf, n, err);
  if (can) (void)tcsetattr(fd, TCSAFLUSH, &shown);
  dprintf(fd, "\n");
  close(fd);
  return st;
}

hato_status cli_pass(void *arg, char *buf, size_t n, hato_error *err) {
  const cli_pass_source *s = arg;
  if (s->fd >= 0) return read_line(s->fd, "who started this", buf, n, err);
  return s->file ? from_file(s->file, buf, n, err) : from_terminal(s->key, buf, n, err);
}

/* ---- for a dispatcher in the background ---- */

typedef struct kept {
  cli_pass_source source;
  char *text; /* secret memory, MOST bytes */
  bool asked;
} kept;

static hato_status keep(void *arg, char *buf, size_t n, hato_error *err) {
  kept *k = arg;
  hato_status st = cli_pass(&k->source, k->text, MOST < n ? MOST : n, err);
  if (!st) memcpy(buf, k->text, strlen(k->text) + 1);
  k->asked = !st;
  return st;
}

static hato_status hand_over(const char *text, int *fd, hato_error *err) {
  int p[2];
  if (pipe2(p, O_CLOEXEC) != 0) return hato__fail_errno(err, "no pipe for a pass phrase");
  size_t n = strlen(text); /* less than a pipe holds */
  bool ok = write(p[1], text, n) == (ssize_t)n && write(p[1], "\n", 1) == 1;
  hato_status st = ok ? HATO_OK : hato__fail_errno(err, "no pipe for a pass phrase");
  close(p[1]);
  *fd = ok ? p[0] : -1;
  if (!ok) close(p[0]);
  return st;
}

int cli_pass_phrase(cli *c, int *fd) {
  dispatcher_network n;
  net_identity *id = NULL;
  hato_error err = {0};
  *fd = -1;
  int code = cli_network(c, &n);
  if (code || !n.certificate.certificate) return code;
  kept k = {.source = {.file = hato__conf_get_str(c->conf, "tls-pass-file"), .key = n.certificate.key, .fd = -1},
            .text = hato__secret_alloc(MOST)};
  n.certificate.pass = keep;
  n.certificate.pass_arg = &k;
  /* To read it here shows what is wrong with it before anything is started. */
  hato_status st = k.text ? net_identity_load(&n.certificate, &id, &err) : HATO_NO_MEMORY;
  if (!st && k.asked) st = hand_over(k.text, fd, &err);
  hato__secret_free(k.text, MOST);
  net_identity_free(id);
  return st ? cli_fail(c, CLI_FAILED, "%s", err.text) : CLI_OK;
}

/* The pass phrase of an encrypted key: from a file that only we can read, or from the terminal; never from an
 * argument or the environment. */
#include "base/io.h"
#include "base/secret.h"
#include "cli/serve.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#define MOST 1024u

/* The first line of what fd gives; the end of the line is cut off. */
static hato_status read_line(int fd, const char *where, char *buf, size_t n, hato_error *err) {
  ssize_t r = hato__read_upto(fd, buf, n, true);
  if (r < 0) return hato__fail_errno(err, "cannot read the pass phrase of %s", where);
  size_t len = (size_t)r;
  char *end = memchr(buf, '\n', len);
  if (!end && len == n) return hato__fail(err, HATO_TOO_LARGE, "the pass phrase of %s is longer than %zu bytes", where, n - 1);
  buf[end ? (size_t)(end - buf) : len] = 0;
  return HATO_OK;
}

static hato_status from_file(const char *path, char *buf, size_t n, hato_error *err) {
  struct stat st;
  int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  if (fd < 0) return hato__fail_errno(err, "cannot open the pass phrase's file %s", path);
  hato_status rc = hato__check_secret_file(fd, "the pass phrase's file ", path, &st, err);
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

typedef struct source {
  const char *file; /* its first line; NULL: the terminal is asked */
  const char *key;  /* for the question */
  int fd;           /* >= 0: gives it, instead of both */
  char *kept;       /* where it is kept, MOST bytes of secret memory, or NULL */
} source;

static hato_status ask(void *arg, char *buf, size_t n, hato_error *err) {
  const source *s = arg;
  hato_status st = s->fd >= 0 ? read_line(s->fd, "who started this", buf, n, err)
                   : s->file  ? from_file(s->file, buf, n, err)
                              : from_terminal(s->key, buf, n, err);
  if (!st && s->kept && strlen(buf) < MOST) memcpy(s->kept, buf, strlen(buf) + 1);
  return st;
}

static int load(cli *c, source *s, net_identity **id) {
  hato_error err = {0};
  *id = NULL;
  s->file = hato__conf_get_str(c->conf, "tls-pass-file");
  s->key = hato__conf_get_str(c->conf, "tls-key");
  net_identity_files f = {.certificate = hato__conf_get_str(c->conf, "tls-certificate"),
                          .key = s->key,
                          .ca = hato__conf_get_str(c->conf, "tls-ca"),
                          .pass = ask,
                          .pass_arg = s};
  if (!f.certificate || net_identity_load(&f, id, &err) == HATO_OK) return CLI_OK;
  return cli_fail(c, CLI_FAILED, "%s", err.text);
}

int cli_identity(cli *c, int fd, net_identity **id) {
  source s = {.fd = fd};
  int code = load(c, &s, id);
  if (fd >= 0) close(fd);
  return code;
}

/* ---- for a dispatcher in the background ---- */

static int hand_over(cli *c, const char *text, int *fd) {
  int p[2];
  size_t n = strlen(text); /* less than a pipe holds */
  if (pipe2(p, O_CLOEXEC) != 0) return cli_fail(c, CLI_FAILED, "no pipe for a pass phrase");
  bool ok = write(p[1], text, n) == (ssize_t)n && write(p[1], "\n", 1) == 1;
  close(p[1]);
  *fd = p[0];
  return ok ? CLI_OK : cli_fail(c, CLI_FAILED, "no pipe for a pass phrase");
}

/* To read the certificate here, too, shows what is wrong with it before anything is started. */
int cli_pass_phrase(cli *c, int *fd) {
  net_identity *id;
  source s = {.fd = -1, .kept = hato__secret_alloc(MOST)};
  *fd = -1;
  if (!s.kept) return cli_fail(c, CLI_FAILED, "no memory for a pass phrase");
  int code = load(c, &s, &id);
  if (!code && *s.kept) code = hand_over(c, s.kept, fd);
  hato__secret_free(s.kept, MOST);
  net_identity_free(id);
  return code;
}

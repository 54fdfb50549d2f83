/* Why a connection could not be made, or was lost: the client's own words, explained. */
#include "ssh.h"

#include <ctype.h>
#include <string.h>

typedef struct row {
  const char *pattern, *words;
} row;

/* The first that the client printed says why. */
static const row before_login[] = {
    {"REMOTE HOST IDENTIFICATION HAS CHANGED",
     "its host key is not the one that is known: somebody may be in "
     "between; if the new one is right, `ssh-keygen -R` it and log in once by hand"},
    {"host key is known for", "its host key is not known; log in once by hand to see and accept it"},
    {"Host key verification failed", "its host key is not known; log in once by hand to see and accept it"},
    {"Permission denied (",
     "it let nobody in: none of our keys was accepted, and nothing is asked for here; `ssh "
     "-o BatchMode=yes HOST true` must work"},
    {"Too many authentication failures",
     "it let nobody in: it was offered more keys than it allows (IdentitiesOnly=yes may help)"},
    {"Could not resolve hostname", "its name cannot be resolved"},
    {"remote port forwarding failed", "it refuses to forward for the tunnel"},
    {"Could not request local forwarding", "a forward of the ssh configuration is taken"},
    {"cannot listen to port", "a forward of the ssh configuration is taken"},
    {"Bad configuration option", "the ssh client does not take its options"},
    {"command-line line 0", "the ssh client does not take its options"},
    {"Can't open user config file", "the ssh client does not find its configuration"},
    {"Bad owner or permissions", "the ssh client does not take its configuration"},
    {"terminating,", "the ssh client does not take its configuration"},
    {"stdio forwarding failed", "its jump host cannot reach it"},
    {"Connection refused", "it refuses connections"},
    {"No route to host", "it cannot be reached"},
    {"Network is unreachable", "it cannot be reached"},
    {"timed out", "it did not answer in time (connect-timeout)"},
    {"Connection closed by",
     "it closed the connection before anybody was logged in (too many at once? see parallel)"},
    {"Connection reset by",
     "it closed the connection before anybody was logged in (too many at once? see parallel)"},
    {NULL, NULL},
};

static const row after_login[] = {
    {"not responding", "it does not answer any more"},
    {"closed by remote host", "it closed the connection"},
    {"Connection reset", "the connection was reset"},
    {"Broken pipe", "the connection broke"},
    {NULL, NULL},
};

/* The line that has the pattern, without what ends it. */
static const char *line_with(const hato_host *h, const char *text, const char *pattern) {
  const char *at = strstr(text, pattern);
  if (at == NULL) return NULL;
  while (at > text && at[-1] != '\n') at--;
  return h->format(h, "%.*s", (int)strcspn(at, "\r\n"), at);
}

static const char *last_line(const hato_host *h, const char *text) {
  size_t n = strlen(text), from;
  while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
  for (from = n; from > 0 && text[from - 1] != '\n'; from--) {
  }
  return h->format(h, "%.*s", (int)(n - from), text + from);
}

static const char *look_up(const hato_host *h, const ssh_session *s, const char *text, const row *rows) {
  for (; rows->pattern != NULL; rows++) {
    const char *line = line_with(h, text, rows->pattern);
    if (line != NULL) return h->format(h, "%s: %s (%s)", s->host, rows->words, line);
  }
  return NULL;
}

const char *ssh_why(const hato_host *h, const ssh_session *s, int exit_code, int sig) {
  const char *text = s->heard.data != NULL ? s->heard.data : "";
  const char *last = last_line(h, text), *said = NULL;
  bool up = s->phase != SSH_CONNECTING;
  if (s->late)
    return h->format(h, "%s: it answered, but nobody was logged in within %.3g s%s%s", s->host,
                     (double)(s->connect_ms + 20000) / 1000.0, *last != 0 ? ": " : "", last);
  if (exit_code == 255) said = look_up(h, s, text, up ? after_login : before_login);
  if (said != NULL) return said;
  if (sig != 0)
    return h->format(h, "%s: the ssh client was killed by signal %d (%s)", s->host, sig, strsignal(sig));
  if (!up && exit_code != 255)
    return h->format(h, "%s: it gives no shell: exited with %d%s%s", s->host, exit_code,
                     *last != 0 ? ": " : "", last);
  if (*last != 0) return h->format(h, "%s: %s", s->host, last);
  return h->format(h, "%s: the ssh client exited with %d and no words", s->host, exit_code);
}

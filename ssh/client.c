/* The command of the OpenSSH client. The user's own configuration holds but where it would prompt, or
 * make the connection another's. */
#include "ssh.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 256 };

typedef struct words {
  const char *at[WORDS_MAX + 1];
  uint32_t n;
  bool failed;
} words;

static void word(words *w, const char *text) {
  w->failed |= text == NULL || w->n == WORDS_MAX;
  if (!w->failed) w->at[w->n++] = text;
}

static void option(words *w, const char *text) {
  word(w, "-o");
  word(w, text);
}

/* The client's own words: a path, or a command with options. */
static int client(const hato_host *h, const hato_launcher_options *o, words *w) {
  const char *text = h->option_string(h, o, "ssh");
  if (access(text, X_OK) == 0) {
    word(w, text);
    return HATO_OK;
  }
  char *copy = h->format(h, "%s", text), *save = NULL;
  for (char *one = copy != NULL ? strtok_r(copy, " \t", &save) : NULL; one != NULL;
       one = strtok_r(NULL, " \t", &save))
    word(w, one);
  return w->n > 0 ? HATO_OK : h->fail(h, HATO_INVALID, "ssh: the name of the client is empty");
}

static bool in_path(const char *name) {
  char path[4096];
  const char *at = getenv("PATH");
  if (strchr(name, '/') != NULL) return access(name, X_OK) == 0;
  for (at = at != NULL ? at : "/usr/bin:/bin"; *at != 0;) {
    size_t n = strcspn(at, ":");
    int len = snprintf(path, sizeof path, "%.*s/%s", (int)n, at, name);
    if (len > 0 && (size_t)len < sizeof path && access(path, X_OK) == 0) return true;
    at += n + (at[n] == ':');
  }
  return false;
}

int ssh_client(const hato_host *h, const hato_launcher_options *o) {
  words w = {.n = 0};
  int rc = client(h, o, &w);
  if (rc != HATO_OK || in_path(w.at[0])) return rc;
  if (strchr(w.at[0], '/') != NULL)
    return h->fail(h, HATO_NOT_FOUND, "there is no program %s (option ssh)", w.at[0]);
  return h->fail(h, HATO_NOT_FOUND,
                 "there is no program '%s' in PATH; the OpenSSH client is needed (option ssh)", w.at[0]);
}

static void options_of(const hato_host *h, const hato_launcher_options *o, ssh_tunnel tunnel, words *w) {
  word(w, "-T");
  option(w, "BatchMode=yes");
  option(w, "LogLevel=INFO"); /* says which port was allocated */
  option(w, "ControlMaster=no");
  option(w, "RemoteCommand=none");
  option(w, "ForwardX11=no");
  /* Forwards of the user's own may be taken already, by another of his connections. */
  option(w, tunnel == SSH_DIRECT ? "ClearAllForwardings=yes" : "ExitOnForwardFailure=yes");
  const char *config = h->option_string(h, o, "config");
  if (config != NULL && *config != 0) {
    word(w, "-F");
    word(w, config);
  }
  for (const char *const *more = h->option_list(h, o, "ssh-option"); more != NULL && *more != NULL; more++)
    option(w, *more);
  /* From here on the first value counts, so a user's own does. */
  option(w, h->format(h, "ConnectTimeout=%llu",
                      (unsigned long long)(h->option_duration(h, o, "connect-timeout") + 999) / 1000));
  option(w, "ServerAliveInterval=15");
  option(w, "ServerAliveCountMax=3");
  /* A forward over a shared connection would outlive us. */
  if (tunnel != SSH_DIRECT) option(w, "ControlPath=none");
}

int ssh_command(const hato_host *h, const hato_launcher_options *o, const ssh_wish *wish,
                const char *const **argv, uint32_t *forward_at) {
  words w = {.n = 0};
  int rc = client(h, o, &w);
  if (rc != HATO_OK) return rc;
  options_of(h, o, wish->tunnel, &w);
  if (wish->host->port != NULL) {
    word(&w, "-p");
    word(&w, wish->host->port);
  }
  if (wish->host->user != NULL) {
    word(&w, "-l");
    word(&w, wish->host->user);
  }
  *forward_at = w.n;
  word(&w, "--");
  word(&w, wish->host->name);
  const char *run[] = {"eval", ssh_loader, NULL};
  word(&w, h->quote_ssh(h, run));
  const char **copy = w.failed ? NULL : h->alloc(h, (w.n + 1) * sizeof *copy);
  if (copy == NULL) return h->fail(h, HATO_TOO_LARGE, "the command of the ssh client is too long");
  memcpy(copy, w.at, w.n * sizeof *copy);
  *argv = copy;
  return HATO_OK;
}

/* Through a socket the daemon speaks as over a socket: without TLS. */
bool ssh_can_tunnel(const char *url, ssh_tunnel tunnel) {
  return strncmp(url, "tcp", 3) == 0 || (tunnel != SSH_SOCKET && strncmp(url, "tls+tcp", 7) == 0);
}

/* tcp://127.0.0.1:5555 and the like: scheme, and HOST:PORT with what may follow. */
int ssh_target(const hato_host *h, const ssh_wish *w, char **scheme, char **target) {
  const char *colon = w->url != NULL ? strstr(w->url, "://") : NULL;
  const char *port = colon != NULL ? strrchr(colon + 3, ':') : NULL;
  *scheme = *target = NULL;
  if (w->tunnel == SSH_DIRECT) return HATO_OK;
  if (port == NULL || !ssh_can_tunnel(w->url, w->tunnel))
    return h->fail(h, HATO_INVALID, "a tunnel needs an address as tcp://127.0.0.1:PORT, not %s",
                   w->url != NULL ? w->url : "none");
  *scheme = h->format(h, "%.*s", (int)(colon - w->url), w->url);
  *target = h->format(h, "%.*s", (int)strcspn(colon + 3, "/"), colon + 3);
  return *scheme != NULL && *target != NULL ? HATO_OK : HATO_NO_MEMORY;
}

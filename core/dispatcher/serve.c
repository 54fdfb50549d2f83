/* A session's process: its lock, address and credential, and the signals that end it. */
#include "base/url.h"
#include "dispatcher/internal.h"
#include "session/session.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CLEAR_NS (45 * HATO__SEC)

typedef struct server {
  const dispatcher_serve_options *o;
  hato__session *session;
  dispatcher *d;
  hato__log log;
  int log_fd;
  pthread_mutex_t publishing;
} server;

static void say_ready(int fd, hato_status st, const char *words) {
  if (fd < 0) return;
  hato__buf b = {0};
  if (st) {
    hato__buf_printf(&b, "error %d %s\n", (int)st, words);
  } else {
    hato__buf_printf(&b, "ok\n");
  }
  if (!b.failed) (void)hato__write_all(fd, b.data, b.len);
  hato__buf_free(&b);
  close(fd);
}

/* The descriptor limit bounds the daemons: the soft one is raised to the hard one. */
static void raise_limit(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
  }
}

static hato_status open_session(server *s, hato_error *err) {
  hato_status st = hato__session_open(s->o->session, true, &s->session, err);
  if (!st) st = hato__session_lock(s->session, s->o->force, err);
  if (st) return st;
  if (*hato__session_note(s->session))
    hato__notice(&s->log, "SESSION-STALE", "%s", hato__session_note(s->session));
  st = hato__session_local(s->session, err);
  if (!st && *hato__session_note(s->session))
    hato__notice(&s->log, "SESSION-LOCAL", "%s", hato__session_note(s->session));
  return st;
}

static hato_status publish(server *s, hato_error *err) {
  char **urls = NULL;
  pthread_mutex_lock(&s->publishing); /* the last to look is the last to write */
  hato_status st = dispatcher_reach(s->d, &urls, err);
  if (!st) {
    unsigned beyond = 0, best = 0;
    for (unsigned i = 0; urls[i]; i++) {
      if (hato__url_is_local(urls[i])) continue;
      if (!beyond) beyond = i;
      if (!best && hato__url_is_encrypted(urls[i])) best = i;
    }
    hato__address a = {.urls = urls,
                       .daemons_url = urls[best ? best : beyond],
                       .local_dir = (char *)(uintptr_t)hato__session_local_dir(s->session)};
    st = hato__session_publish(s->session, &a, err);
  }
  pthread_mutex_unlock(&s->publishing);
  dispatcher_where_free(urls);
  return st;
}

/* A launcher needed a further address: clients on other machines find it, too. */
static void listening(void *arg) {
  server *s = arg;
  hato_error err = {0};
  if (publish(s, &err)) hato__warn(&s->log, "SESSION-ADDRESS", "its address was not renewed: %s", err.text);
}

static hato_status create(server *s, hato_error *err) {
  char launches_file[4096], logs[4096];
  if (!hato__session_path(s->session, DISPATCHER_LAUNCHES_FILE, launches_file, sizeof launches_file))
    return hato__fail(err, HATO_INVALID, "the session's folder has too long a path");
  hato_status st = hato__session_logs(s->session, logs, sizeof logs, err);
  if (st) return st;
  dispatcher_options o = {.session = hato__session_name(s->session),
                          .local_dir = hato__session_local_dir(s->session),
                          .log_dir = logs,
                          .hato_binary = s->o->hato_binary,
                          .credential_dir = hato__session_dir(s->session),
                          .launches_file = launches_file,
                          .spool_limit = s->o->spool_limit,
                          .keep_ns = s->o->keep_ns,
                          .idle_ns = s->o->idle_ns,
                          .while_pid = s->o->while_pid,
                          .heartbeat_ms = s->o->heartbeat_ms,
                          .network = s->o->network,
                          .listening = listening,
                          .listening_arg = s,
                          .log = s->log};
  return dispatcher_create(&o, &s->d, err);
}

static hato_status start(server *s, hato_error *err) {
  hato_status st = create(s, err);
  if (!st) st = dispatcher_credentials_publish(s->d, err);
  if (!st) st = dispatcher_listen(s->d, hato__session_local_url(s->session), err);
  for (const char *const *u = s->o->listen; !st && u && *u; u++) st = dispatcher_listen(s->d, *u, err);
  return st;
}

/* SIGTERM, SIGINT and SIGHUP end the session in order. All threads have them blocked: this one takes
 * them and asks the dispatcher to stop; SIGUSR1 ends it when the dispatcher ended for another reason. */
static void *take_signals(void *arg) {
  server *s = arg;
  sigset_t set;
  int sig = 0;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGHUP);
  sigaddset(&set, SIGUSR1);
  while (sigwait(&set, &sig) != 0) continue;
  if (sig != SIGUSR1) dispatcher_ask_stop(s->d, sig == SIGTERM ? "it got SIGTERM" : "it was interrupted");
  return NULL;
}

static void run(server *s) {
  pthread_t signals;
  bool have = pthread_create(&signals, NULL, take_signals, s) == 0;
  const char *why = dispatcher_wait(s->d);
  hato__notice(&s->log, "SESSION-END", "the session ends: %s", why);
  if (have) {
    pthread_kill(signals, SIGUSR1);
    pthread_join(signals, NULL);
  }
}

hato_status dispatcher_serve(const dispatcher_serve_options *o, hato_error *err) {
  server s = {.o = o, .log_fd = o->log_fd, .publishing = PTHREAD_MUTEX_INITIALIZER};
  hato_error why = {0};
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, NULL);
  s.log = (hato__log){.level = o->log_level, .write = hato__log_to_fd, .arg = &s.log_fd};
  raise_limit();
  hato_status st = open_session(&s, &why);
  bool locked = s.session && hato__session_locked(s.session);
  if (!st) st = start(&s, &why);
  if (!st) dispatcher_launch_leftovers(s.d); /* before anybody can ask for a launch, which would overwrite their record */
  if (!st) st = publish(&s, &why);
  if (!st)
    hato__notice(&s.log, "SESSION-START", "session %s is up at %s", hato__session_name(s.session),
                 dispatcher_url(s.d, 0));
  say_ready(o->ready_fd, st, why.text);
  if (!st) run(&s);
  if (st) hato__error(&s.log, "SESSION-FAILED", "%s", why.text);
  dispatcher_destroy(s.d);
  if (locked) hato__session_remove(s.session);
  hato__session_close(s.session);
  if (st && err) *err = why;
  return st;
}

hato_status dispatcher_clear(const char *session, const char *hato_binary, const hato__log *log, unsigned *left,
                             hato_error *err) {
  dispatcher_serve_options o = {.session = session, .hato_binary = hato_binary};
  server s = {.o = &o, .log = *log, .publishing = PTHREAD_MUTEX_INITIALIZER};
  *left = 0;
  hato_status st = open_session(&s, err);
  bool locked = s.session && hato__session_locked(s.session);
  if (!st) st = create(&s, err);
  if (!st) {
    dispatcher_launch_leftovers(s.d);
    *left = dispatcher_launch_leftovers_wait(s.d, hato__now() + CLEAR_NS);
  }
  dispatcher_destroy(s.d);
  if (locked) hato__session_remove(s.session);
  hato__session_close(s.session);
  return st;
}

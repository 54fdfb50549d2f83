#include "daemon/daemon.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

static const hato__conf_row rows[] = {
    {.name = "url", .type = HATO__CONF_LIST, .metavar = "URL", .flags = HATO__CONF_REQUIRED,
     .help = "The dispatcher's address. Several, repeated or with commas between them: the first where it is admitted is taken."},
    {.name = "credential-file", .type = HATO__CONF_STRING, .metavar = "FILE",
     .help = "The file with its credential; - reads it from standard input. Default: the variable HATO_CREDENTIAL. Of daemons "
             "started by hand it is daemon.credential in the session's folder."},
    {.name = "munge", .type = HATO__CONF_ENUM, .def = "auto", .names = CLI_MUNGE_WORDS,
     .help = "Whether it and its dispatcher, reached over a network, prove themselves by MUNGE besides: where both have it, "
             "always (it goes to no other), or never (it is refused where that is required)."},
    {.name = "slots", .type = HATO__CONF_INT, .def = "0", .min = 0, .max = 65536,
     .help = "How many tasks at a time; 0: one a core that it may use, or one where daemons share the machine."},
    {.name = "bind", .type = HATO__CONF_ENUM, .def = "auto", .names = (const char *const[]){"auto", "core", "none", NULL},
     .help = "Whether each slot is bound to cores of its own; auto: in a batch job's or a dealt share's cores only."},
    {.name = "share", .type = HATO__CONF_INT, .def = "0", .min = 0, .max = 1000000, .metavar = "N",
     .help = "Daemons that share this machine's cores: this one takes its member's part. Without it HATO_SHARE counts, as "
             "0/4: the first of four."},
    {.name = "member", .type = HATO__CONF_INT, .def = "0", .min = 0, .max = 1000000, .help = "Which member of its launch this is."},
    {.name = "member-env", .type = HATO__CONF_STRING, .metavar = "VAR", .help = "The variable that says which member this is."},
    {.name = "mark", .type = HATO__CONF_LIST, .metavar = "NAME=VALUE", .flags = HATO__CONF_HIDDEN,
     .help = "By what its launcher finds it again; itself puts it there."},
    {.name = "local-dir", .type = HATO__CONF_STRING, .metavar = "DIR", .help = "Where shared objects are kept."},
    {.name = "dial-timeout", .type = HATO__CONF_DURATION, .def = "60s", .min = 1000000, .max = INT64_MAX, .metavar = "T",
     .help = "How long to try to connect, again and again."},
    {.name = "idle", .type = HATO__CONF_DURATION, .def = "0", .min = 0, .max = INT64_MAX,
     .help = "End after so long without a task; 0: never."},
};

/* Its connections and executors may need many descriptors; its tasks get the limit that it was given. */
static uint64_t raise_limit(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0) return 0;
  uint64_t soft = r.rlim_cur;
  if (r.rlim_cur < r.rlim_max) {
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_NOFILE, &r);
  }
  return soft;
}

static void free_urls(char **urls) {
  for (char **u = urls; *u; u++) free(*u);
  free(urls);
}

/* The comma before the next url: one in the path of a socket has no scheme behind it. */
static const char *end_of_url(const char *at) {
  for (const char *comma = at; (comma = strchr(comma, ',')); comma++) {
    size_t scheme = strspn(comma + 1, "abcdefghijklmnopqrstuvwxyz0123456789+");
    if (scheme > 0 && strncmp(comma + 1 + scheme, "://", 3) == 0) return comma;
  }
  return at + strlen(at);
}

/* A launcher hands over one word for all candidates. */
static char **urls_of(cli *c, size_t *n) {
  size_t most = 0, words;
  const char *const *list = hato__conf_get_list(c->conf, "url", &words);
  for (size_t i = 0; i < words; i++) most += strlen(list[i]) / 4 + 1;
  char **urls = calloc(most + 1, sizeof *urls);
  *n = 0;
  for (size_t i = 0; urls && i < words; i++) {
    for (const char *at = list[i], *end;; at = end + 1) {
      end = end_of_url(at);
      if (!(urls[*n] = hato__strndup(at, (size_t)(end - at)))) {
        free_urls(urls);
        return NULL;
      }
      ++*n;
      if (*end == 0) break;
    }
  }
  return urls;
}

static int run(cli *c) {
  static const topo_bind binds[] = {TOPO_BIND_AUTO, TOPO_BIND_CORE, TOPO_BIND_NONE};
  daemon_options o = {0};
  hato_error err = {0};
  o.credential = hato__conf_get_str(c->conf, "credential-file");
  o.munge = cli_munge(c);
  o.slots = (unsigned)hato__conf_get_int(c->conf, "slots");
  o.bind = binds[hato__conf_get_enum(c->conf, "bind")];
  o.share_of = (unsigned)hato__conf_get_int(c->conf, "share");
  o.member = (unsigned)hato__conf_get_int(c->conf, "member");
  o.member_env = hato__conf_get_str(c->conf, "member-env");
  o.local_dir = hato__conf_get_str(c->conf, "local-dir");
  o.dial_timeout_ms = hato__conf_get_duration(c->conf, "dial-timeout") / 1000000;
  o.idle_exit_ns = hato__conf_get_duration(c->conf, "idle");
  o.nofile_soft = raise_limit();
  o.log = &c->log;
  char **urls = urls_of(c, &o.n_urls);
  if (!urls) return cli_fail(c, CLI_FAILED, "out of memory");
  o.urls = (const char *const *)urls;
  int code = daemon_run(&o, &err);
  free_urls(urls);
  return code ? cli_fail(c, code, "%s", err.text) : CLI_OK;
}

const cli_verb cli_daemon = {
    .name = "daemon",
    .summary = "execute tasks for a dispatcher (started by launchers)",
    .operands = "",
    .text = "A daemon dials the dispatcher, executes tasks in its slots and ends with its connection, and all its tasks "
            "with it. SIGTERM makes it take no more tasks, end those that run, report them and go.\n\n"
            "Of several addresses it dials the next a quarter of a second after the one before, or as soon as that failed, "
            "and takes the first that answers and authenticates; who refuses or keeps silent is in nobody's way.\n\n"
            "Exit status: 0 an orderly end, 1 it could not work on this machine, 3 it never connected, 4 it was refused "
            "(by every dispatcher that answered) or its credential cannot be used, 5 the connection was lost.\n",
    .examples = "hato daemon --url tls+tcp://login1:5555 --credential-file ~/.local/state/hato/default/daemon.credential\t"
                "join by hand a session that listens there\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .flags = CLI_NO_SESSION_ROWS,
    .run = run};

/*
 * daemon - a persistent process that dials a dispatcher and executes tasks in its
 * slots, each by an executor of its own (core/executor/executor.h).
 *
 * - Tasks wait in one first-in first-out queue; a free slot takes the next: one, or of
 *   tasks much shorter than a millisecond as many as fill a quarter of one. They are
 *   reported started before an executor hears of them.
 * - It lives as long as its connection: the dispatcher's GOODBYE, its silence for three
 *   heartbeats or the end of the connection ends it, and every task with all its
 *   descendants.
 * - SIGTERM, SIGINT and SIGHUP: it takes no more tasks, gives back what has not begun,
 *   interrupts what runs, reports what ended and says GOODBYE. A second one ends at once.
 */
#ifndef HATO_DAEMON_DAEMON_H
#define HATO_DAEMON_DAEMON_H

#include "base/log.h"
#include "hato/status.h"
#include "net/net.h"
#include "topo/topo.h"
#include <stddef.h>
#include <stdint.h>

/* How daemon_run ended; the exit code of `hato daemon`. */
#define DAEMON_EXIT_OK 0      /* orderly: GOODBYE, DRAIN, a signal, or idle for long enough */
#define DAEMON_EXIT_FAILED 1  /* this machine: no memory, no folder, no executor could be started */
#define DAEMON_EXIT_NEVER 3   /* never connected: nobody at any address */
#define DAEMON_EXIT_REFUSED 4 /* its credential cannot be used, or every dispatcher that answered refused: wrong
                                 credential, another version */
#define DAEMON_EXIT_LOST 5    /* connected once, then the connection was lost or fell silent */

typedef struct daemon_options {
  const char *const *urls; /* the first that admits it is taken, as net_dial_any does */
  size_t n_urls;
  /* Its launch's credential (base/credential.h): a file, "-" for standard input; NULL: the
   * variable HATO_CREDENTIAL when it is set, which is wiped, else none. */
  const char *credential;
  net_munge munge; /* whether it and its dispatcher prove themselves by MUNGE besides */
  uint64_t dial_timeout_ms; /* how long to try to connect, and to wait for the credential file; 0: 60 s */
  unsigned slots;           /* 0: one a core that it may use; one, where daemons share the machine */
  topo_bind bind;
  unsigned share_of;      /* daemons that share this machine's cores; 1: it is alone; 0: as HATO_SHARE says */
  unsigned member;        /* which member of its launch this is, from 0 */
  const char *member_env; /* a variable that says so instead, when it is a number; NULL: none */
  const char
      *local_dir; /* where shared objects are kept; NULL: a folder of this user's under $TMPDIR or /tmp */
  const char *hato_path; /* the program whose subcommand `executor` is run; NULL: this one */
  uint64_t nofile_soft;  /* the soft descriptor limit that tasks get; 0: as it is */
  uint64_t idle_exit_ns; /* end when it had no task for so long; 0: never */
  const hato__log *log;  /* may be NULL */
} daemon_options;

/* Runs until the daemon's end and returns a DAEMON_EXIT_*, with words in err unless it is
 * 0. Owns the process: it blocks the signals above, becomes a child subreaper, kills
 * children that are left behind. Call it on the main thread. */
int daemon_run(const daemon_options *o, hato_error *err);

#endif

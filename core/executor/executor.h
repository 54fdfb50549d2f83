/*
 * The executor: the small process of one slot. It spawns the slot's commands and
 * calls its functions, one task at a time, and speaks frames (proto) with its daemon on
 * one inherited stream socket.
 *
 * To it: SPEC, SPEC_DROP, ASSIGN (its tasks run in order), INTERRUPT, PIECE and CREDIT.
 * From it: RESULTS, PIECE, CREDIT.
 *
 * - Each assigned task has exactly one record in RESULTS, in the order of assignment but
 *   for tasks that INTERRUPT takes out of the queue, whose records come at once.
 *   A call's result waits at most about a millisecond for others to share its write, a
 *   command's at most 4 ms, and not at all when no task is queued behind the one that runs.
 * - INTERRUPT of the command that runs: SIGTERM to its group, after EXECUTOR_GRACE_NS
 *   SIGKILL to all its descendants; the record has the run's value and what output came. Of
 *   a function that runs: call->cancelled says so; a function that does not ask is ended by
 *   ending this process. A time limit of a specification is the dispatcher's to watch: it interrupts.
 * - Input that comes in pieces: CREDIT of PROTO_WINDOW when the task begins, then as the bytes
 *   are taken. When a command closes its input, no more is granted and what
 *   comes is dropped. Pieces and credit of tasks that are over are ignored.
 * - Output beyond the record goes as pieces within the receiver's credit, which begins at
 *   PROTO_WINDOW a stream; without credit a command blocks as on any pipe. A stream's last
 *   piece precedes the record.
 * - A function that crashes ends this process by its signal, after the finished results were
 *   written: the task that crashed is the first assigned one without a record.
 * - When the socket ends, every descendant is killed and the process exits.
 * - When this process is killed or crashes, its command dies (PR_SET_PDEATHSIG), but what that or a
 *   function started comes to the nearest subreaper, which the daemon has to be, to end it.
 */
#ifndef HATO_EXECUTOR_EXECUTOR_H
#define HATO_EXECUTOR_EXECUTOR_H

#include <stdint.h>

#define EXECUTOR_EXIT_CLOSED 0    /* the daemon closed the socket */
#define EXECUTOR_EXIT_FAILED 70   /* it could not set itself up, or no memory; words on stderr */
#define EXECUTOR_EXIT_RESTART 75  /* a shared object changed: start anew, assign what has no record again */
#define EXECUTOR_EXIT_PROTOCOL 76 /* the daemon sent what is no frame for an executor; words on stderr */

#define EXECUTOR_GRACE_NS UINT64_C(5000000000) /* from SIGTERM to SIGKILL */

typedef struct executor_options {
  const char *node;        /* this machine in error words; NULL: its host name */
  uint64_t nofile_soft;    /* soft descriptor limit for tasks (and itself); 0: as it is */
  const char *spool;       /* where arguments too large for memory go; NULL: $TMPDIR or /tmp */
  uint64_t memory_payload; /* bytes of an argument that are held in memory; 0: hato__blob's */
} executor_options;

/* Runs until the socket ends; returns an EXECUTOR_EXIT_* for exit(). Owns the process: closes
 * every descriptor above 2 but fd, sets signal dispositions and its standard input. Call it on
 * the main thread, with no other thread running. opts may be NULL. */
int executor_main(int fd, const executor_options *opts);

#endif

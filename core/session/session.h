/* A session's folder: its lock, address and credential, and the local folder on
 * this machine with its socket and spool. The folder holds small files only and
 * may lie on NFS; the local folder never does.
 *
 *   <state>/hato/<name>/lock     who serves the session (JSON), made by link(2)
 *                       address  where it is served (JSON)
 *                       *.credential  base/credential.h, 0600: client, daemon (by hand), launch-N
 *                       launches what launchers were asked for and has not ended (JSON)
 *                       logs/    of the daemons of this session, or of the last
 *                       guard    empty; locked while a lock is judged and replaced
 *   <local>/hato-<uid>/<hash>/   socket, spool files
 *
 * All calls may block on the file system. A hato__session is for one thread. */
#ifndef HATO_SESSION_SESSION_H
#define HATO_SESSION_SESSION_H

#include "base/credential.h"
#include "hato/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct hato__session hato__session;

/* Opens a session's folder. name: NULL or "" for $HATO_SESSION, else "default";
 * one with a slash is the path of the folder; otherwise letters, digits, '.',
 * '_', '-', at most 64, under $XDG_STATE_HOME/hato or ~/.local/state/hato.
 * create: makes the folder (0700). NOT_FOUND: it is not there and create is
 * false. INVALID: a bad name. PERMISSION: another's folder, or one that lets
 * others in; the text says what to do. */
hato_status hato__session_open(const char *name, bool create, hato__session **out, hato_error *err);
/* Frees; leaves everything on disk as it is, a lock too. NULL is fine. */
void hato__session_close(hato__session *s);
const char *hato__session_name(const hato__session *s); /* as it was asked for */
const char *hato__session_dir(const hato__session *s);  /* absolute */
/* The path of a file in the folder, in out; false when it does not fit. */
bool hato__session_path(const hato__session *s, const char *file, char *out, size_t n);

/* ---- the lock ------------------------------------------------------------ */

/* A process, so that it can be told from a later one with its number. */
typedef struct hato__process {
  char host[256];
  char boot_id[40];
  pid_t pid;
  uint64_t start_time; /* clock ticks since boot; with the pid it names a process */
} hato__process;

void hato__process_self(hato__process *p);

/* Makes this process the one that serves the session. Of two that start at once
 * one gets OK, the other BUSY. BUSY also for another host's lock, which nobody
 * but its own host can judge: only force removes it. A lock of a dead process
 * or of an earlier boot of this host is replaced; hato__session_note then says
 * so. The text of BUSY names process and host. force never takes the lock of a
 * process that lives on this host. */
hato_status hato__session_lock(hato__session *s, bool force, hato_error *err);
void hato__session_unlock(hato__session *s);
bool hato__session_locked(const hato__session *s);
/* What was found and put right by the last lock or local call, a sentence for
 * the log; "" when nothing. */
const char *hato__session_note(const hato__session *s);

/* ---- the address ----------------------------------------------------------- */

/* The address file's version: raise it when a reader of the old would misread. */
#define HATO__ADDRESS_VERSION 1

typedef enum hato__verdict {
  HATO__SESSION_NONE,       /* nobody serves it */
  HATO__SESSION_LIVE,       /* its process lives on this host */
  HATO__SESSION_STALE,      /* its process died or this host was rebooted since */
  HATO__SESSION_OTHER_HOST, /* it is served on another host, as far as one can know here */
} hato__verdict;

typedef struct hato__address {
  hato__verdict verdict; /* outputs of reading only, */
  char words[512];       /* as "session default: its dispatcher (process 17) is dead" */

  hato__process process; /* of publishing: filled by publish */
  uint64_t started;      /* seconds since 1970; publish fills 0 with now */
  char **urls;           /* NULL-terminated; the local socket first */
  char *daemons_url;     /* where daemons dial in; may be NULL */
  char *local_dir;       /* may be NULL */
} hato__address;

/* Publishes where this process serves the session. Takes what it needs of a. */
hato_status hato__session_publish(hato__session *s, const hato__address *a, hato_error *err);
/* Reads it. OK whatever the verdict, which the words explain. INVALID: not an
 * address file; NOT_SUPPORTED: of a newer hato; PERMISSION. Free with
 * hato__address_free (zero a first or after; an error leaves it empty). */
hato_status hato__session_read(const hato__session *s, hato__address *a, hato_error *err);
void hato__address_free(hato__address *a);
/* The url by which this host can reach it: the first, or from another host the
 * first that is not of one machine only. NULL: none. Borrowed. */
const char *hato__address_url(const hato__address *a);

/* ---- credentials -------------------------------------------------------- */

/* The files of the session's folder that hold credentials: of its clients, and of daemons started by hand. Those of
 * launches stand beside them. */
#define HATO__CLIENT_CREDENTIAL "client.credential"
#define HATO__DAEMON_CREDENTIAL "daemon.credential"

/* Reads one, checked as ssh checks a key: a plain file of ours that others can
 * neither read nor write. NOT_FOUND (on NFS maybe only not yet), PERMISSION,
 * INVALID. Free with hato__credential_free. */
hato_status hato__credential_read(const char *path, hato__credential **out, hato_error *err);
/* Writes one, 0600. */
hato_status hato__credential_write(const char *path, const hato__credential *c, hato_error *err);

/* ---- the local folder ------------------------------------------------------ */

#define HATO__SOCKET_PATH_MAX 107

/* Makes (0700) and empties this session's folder in the first of $HATO_LOCAL_DIR,
 * $TMPDIR, /tmp, /var/tmp and /dev/shm that is ours alone and where a socket
 * can really be bound; the session must be locked, so that what lies there is a
 * dead dispatcher's, as are the credentials in the session's folder, which it removes. Where no socket can be bound the first folder stands and
 * the url is an abstract socket's. STATE: not locked; otherwise the reason of
 * the last candidate. */
hato_status hato__session_local(hato__session *s, hato_error *err);
const char *hato__session_local_dir(const hato__session *s); /* NULL before */
const char *hato__session_local_url(const hato__session *s); /* "ipc:///…" or "abstract://…"; NULL before */

/* Makes (0700) and empties the folder `logs` of a locked session, where daemons log until the next session:
 * beside the record, since daemons elsewhere reach it by the shared home folder. Its path in out. */
hato_status hato__session_logs(hato__session *s, char *out, size_t n, hato_error *err);

/* The end of a session: address, credentials, the local folder, then the lock. Logs
 * and whatever else lies in the session's folder stay. */
void hato__session_remove(hato__session *s);

#endif

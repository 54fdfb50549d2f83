/*
 * The launcher ssh: one connection a host, by the OpenSSH client, however many daemons.
 *
 * hosts.c    lists of hosts
 * script.c   the other side: a shell script that starts and watches, and what is said to it
 * session.c  a connection: the client's process and what is sent to it
 * client.c   the client's command
 * pump.c     what comes from the clients, and the time
 * copy.c     the program, sent along when the host lacks it
 * deal.c     which member on which host
 * follow.c   what a session says, and what that means for members
 * words.c    why a connection failed, in words
 * job.c      launches and their members
 * start.c    launches made, and taken up
 * ssh.c      the descriptor and its other operations
 */
#ifndef SSH_SSH_H
#define SSH_SSH_H

#include <hato/launcher.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define SSH_MS 1000000u /* ns */
#define SSH_TAG "HATO_LAUNCH_TAG"
#define SSH_MEMBER "HATO_MEMBER"
#define SSH_SHARE "HATO_SHARE"

#define SSH_LAUNCH_MS 120000u /* deadlines of the operations */
#define SSH_OTHER_MS 60000u

uint64_t ssh_now(void); /* ns of the monotonic clock */

/* ---- bytes that grow ---- */

typedef struct ssh_text {
  char *data; /* NUL-terminated; NULL while empty */
  size_t len, max;
  bool failed; /* no memory, once and for good */
} ssh_text;
void ssh_put(ssh_text *t, const void *bytes, size_t n);
void ssh_puts(ssh_text *t, const char *text);
void ssh_putf(ssh_text *t, const char *format, ...) HATO_PRINTF(2, 3);
void ssh_cut(ssh_text *t, size_t n); /* the first n bytes go */
void ssh_text_free(ssh_text *t);     /* wipes what it held */

/* ---- hosts ---- */

typedef struct ssh_host {
  char *text;               /* as it was listed, a range expanded: the name in all words */
  char *user, *name, *port; /* user, port: NULL as the client's configuration says */
  uint32_t listings;
} ssh_host;

typedef struct ssh_hosts {
  ssh_host *hosts;
  uint32_t n, max;
  uint32_t *table; /* places in hosts from 1 by their names' hash, 0: none; twice as many as max */
  uint32_t listings; /* of all hosts */
} ssh_hosts;

/* Words are set on failure. */
int ssh_hosts_read(const hato_host *h, const hato_launcher_options *o, ssh_hosts *out);
void ssh_hosts_free(ssh_hosts *s);

/* ---- sessions ---- */

typedef enum ssh_tunnel { SSH_DIRECT, SSH_PORT, SSH_SOCKET } ssh_tunnel;

typedef enum ssh_phase {
  SSH_WAITING,    /* for others to have connected */
  SSH_CONNECTING, /* the client runs, the other side has not spoken */
  SSH_UP,
  SSH_LOST,    /* daemons live there that we do not hear of: tried again */
  SSH_CLOSING, /* told to end */
  SSH_OVER,
} ssh_phase;

typedef struct ssh_session {
  struct ssh_session *next;
  char *key;         /* what makes two launches share it */
  char *host;        /* for words */
  char **argv;       /* of the client, without the forward */
  uint32_t argc, at; /* at: where the forward is put in */
  ssh_tunnel tunnel;
  char *target;    /* HOST:PORT that the tunnel leads to */
  char *scheme;    /* of the url that it replaces */
  char socket[64]; /* SOCKET: the other end */
  char nonce[33];
  ssh_phase phase;
  bool dialable; /* the other end of the tunnel is known, or there is no tunnel */
  bool copying;  /* nothing else may be sent */
  uint32_t parallel;
  uint64_t connect_ms, give_up_ms;
  uint64_t due;        /* CONNECTING: given up; LOST: tried again. ns */
  uint64_t lost_since; /* ns; 0: it is not lost */
  uint32_t tries;
  uint32_t live; /* members that it has to do with and that have not ended */
  bool late;     /* its time to connect is over */
  bool keep;     /* what it started is no longer followed, and shall go on */
  pid_t pid;
  int pidfd, in, out, err; /* of the client, our ends; -1: closed */
  ssh_text queue, held;    /* to be sent now; when dialable and not copying */
  ssh_text said, heard;    /* of its output, up to the next line; of its errors, the last */
  size_t scanned;          /* of heard: looked through for the port */
  int file;                /* being copied; -1 */
  uint64_t file_left, file_size;
  char hash[17];
} ssh_session;

/* ---- launches ---- */

typedef struct ssh_member {
  ssh_session *session; /* NULL: not known, or it has ended */
  bool started, ended, cancelled, stopped, killed, sought, found;
  pid_t pid;                /* there; 0: not told yet */
  uint64_t kill_at;         /* ns; 0: it was not asked to end */
  uint32_t share, share_of; /* of its host's cores; of 0: all */
  ssh_text log;             /* its last lines */
} ssh_member;

typedef struct ssh_place { /* a host of a launch */
  ssh_session *session;    /* NULL: it is over */
  bool searching;          /* was asked which members there are, and has not said all */
} ssh_place;

typedef struct ssh_job {
  struct ssh_job *next;
  uint64_t id;
  uint32_t count, ended;
  bool daemons;  /* of hato: they end their own children, else signals go to the group */
  bool given_up; /* some host of it was not reached for too long */
  char *tag;
  char *program; /* of daemons: the path here */
  ssh_text
      text; /* what a session has to know to start members; has the secret, so it goes with the last start */
  uint32_t to_start;
  uint64_t grace_ms;
  ssh_member *members;
  ssh_place *places;
  uint32_t n_places;
  char *trouble; /* the first host's that failed */
  uint32_t failures;
} ssh_job;

typedef struct ssh_state {
  int epoll, timer;
  ssh_session *sessions;
  ssh_job *jobs;
} ssh_state;

/* script.c. Texts are of the operation; NULL: no memory. */
extern const char ssh_loader[];
void ssh_script(ssh_text *out, const ssh_session *s);
/* Checks the request and says what a session must know before it can start members. */
int ssh_script_job(const hato_host *h, const hato_launch_request *r, ssh_tunnel tunnel, ssh_text *out);
void ssh_script_member(ssh_text *out, const ssh_job *j, uint32_t i);

/* session.c */
typedef struct ssh_wish {
  const ssh_host *host;
  ssh_tunnel tunnel;
  const char *url; /* what the tunnel leads to */
} ssh_wish;
/* The session that serves such launches, or a new one. NULL: words are set. */
ssh_session *ssh_session_get(ssh_state *st, const hato_host *h, const hato_launcher_options *o,
                             const ssh_wish *w);
ssh_session *ssh_session_find(const ssh_state *st, const hato_host *h, const hato_launcher_options *o,
                              const ssh_wish *w);                         /* NULL: there is none */
int ssh_session_spawn(ssh_state *st, const hato_host *h, ssh_session *s); /* words are set */
/* The client's words without the forward, which goes before word forward_at. Of the operation. */
int ssh_command(const hato_host *h, const hato_launcher_options *o, const ssh_wish *w,
                const char *const **argv, uint32_t *forward_at);
bool ssh_can_tunnel(const char *url, ssh_tunnel tunnel);
int ssh_target(const hato_host *h, const ssh_wish *w, char **scheme, char **target);
int ssh_client(const hato_host *h, const hato_launcher_options *o); /* is there one? words are set */
void ssh_session_send(ssh_state *st, ssh_session *s, const char *bytes, size_t n);
void ssh_session_release(ssh_state *st, ssh_session *s); /* its held text goes */
void ssh_session_flush(ssh_state *st, ssh_session *s);
void ssh_session_again(ssh_session *s); /* WAITING, with nothing to send but the script */
void ssh_session_end(ssh_session *s);   /* nothing more is wanted of it */
void ssh_session_kill(const ssh_session *s, int sig);
void ssh_session_unplug(ssh_session *s); /* the client is gone, or to go: our ends close */
void ssh_session_free(ssh_session *s);

/* pump.c: what came from the clients, and what time it is. */
void ssh_start_waiting(ssh_state *st, const hato_host *h);     /* as many at once as may be */
void ssh_settle(ssh_state *st);                                /* sessions that nobody needs go */
void ssh_pump(ssh_state *st, const hato_host *h, int wait_ms); /* waits for something, at most so long */

/* copy.c */
void ssh_copy_begin(ssh_state *st, const hato_host *h, ssh_session *s, const ssh_job *j);
void ssh_copy_send(ssh_session *s);
bool ssh_copy_more(ssh_session *s); /* the next piece into the queue */
void ssh_copy_end(ssh_session *s);

/* follow.c */
void ssh_follow_line(ssh_state *st, const hato_host *h, ssh_session *s, char *line);
void ssh_follow_heard(ssh_state *st, ssh_session *s);
void ssh_follow_gone(ssh_state *st, const hato_host *h, ssh_session *s, int exit_code, int sig);
void ssh_follow_due(ssh_state *st, const hato_host *h);

/* words.c: why the client failed, by what it printed and its exit code. Of the operation. */
const char *ssh_why(const hato_host *h, const ssh_session *s, int exit_code, int sig);

/* start.c */
int ssh_launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record);
int ssh_adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record);

/* job.c */
ssh_job *ssh_job_find(const ssh_state *st, uint64_t id);
ssh_job *ssh_job_make(ssh_state *st, const hato_launch *l, uint32_t n_places);
void ssh_job_drop(ssh_state *st, ssh_job *j);
/* Gives each member a session, made where there is none. Words are set. */
int ssh_job_deal(ssh_state *st, const hato_host *h, ssh_job *j, const ssh_hosts *hosts,
                 const hato_launch_request *r);
ssh_tunnel ssh_tunnel_of(const hato_host *h, const hato_launcher_options *o);
void ssh_job_fails(ssh_job *j, const char *why);
void ssh_take(ssh_member *m, ssh_session *s); /* it lives there; NULL: nowhere any more */
void ssh_tell(const hato_host *h, const ssh_job *j, uint32_t i, hato_member *m);
void ssh_tell_state(const hato_host *h, const ssh_job *j, uint32_t i, uint32_t state, const char *reason);
/* The member's end, with what is known of it: state, flag and host are added. */
void ssh_end_member(const hato_host *h, ssh_job *j, uint32_t i, hato_member *m);
void ssh_end_for(const hato_host *h, ssh_job *j, uint32_t i, const char *reason);
void ssh_stop(ssh_state *st, ssh_job *j, uint32_t i, const char *sig);
void ssh_start(ssh_state *st, ssh_job *j, ssh_session *s); /* asks for those members that have not started */
void ssh_one_less_to_start(ssh_job *j);
void ssh_search(ssh_state *st, ssh_job *j, ssh_place *p);
void ssh_searched(const hato_host *h, ssh_job *j); /* once all hosts have answered */
void ssh_tidy(ssh_state *st);                      /* sessions that nobody needs end */

#endif

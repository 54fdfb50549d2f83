/*
 * The dispatcher: scheduler, connections and launchers wired together; the only
 * owner of their state. It runs on the threads of NNG and one of its own, in a
 * process of its own (dispatcher_serve) or inside a client's (dispatcher_create).
 *
 * Control requests (CONTROL, JSON; docs/protocol.md lists their fields):
 *   {"op":"status"}                                 one object
 *   {"op":"tasks","tasks":"1-9,12","state":"failed"} an object a line
 *   {"op":"wait","tasks":"1-9"}  or "all":true; "any":true  one object when they are resolved
 *   {"op":"cancel","tasks":"40-80"} or "all":true   {"cancelled":n}
 *   {"op":"forget","tasks":…} or "all":true         {"forgotten":n}
 *   {"op":"launch","profile":"gpu","launcher":"local","n":4,"slots":0,"options":["k=v"],"bind":"auto",
 *    "argv":[…],"launch_timeout":120,"crash_limit":5,"wait":true,"wait_for":10}  the launch; "print":true: commands
 *   {"op":"launchers"}                              {"launchers":[names]}
 *   {"op":"security"}                               one object
 *   {"op":"credentials","do":"renew","role":"daemon","number":3}  or "revoke": the credential; "list": {"credentials":[…]}
 *   {"op":"down"}                                   {"unresolved":n}; the dispatcher then ends
 *   {"op":"reset"}                                  resolves what is unresolved to 19, then ends
 */
#ifndef HATO_DISPATCHER_H
#define HATO_DISPATCHER_H

#include "base/log.h"
#include "hato/status.h"
#include "net/net.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct dispatcher dispatcher;

/* What is encrypted of what launchers need a port for; what dispatcher_listen is told to listen at is as it says. */
typedef enum dispatcher_tls {
  DISPATCHER_TLS_AUTO, /* all but loopback */
  DISPATCHER_TLS_ALWAYS,
  DISPATCHER_TLS_NEVER,
} dispatcher_tls;

/* How peers come over a network, and how they and we prove who we are. Lists are NULL-terminated and may be NULL. */
typedef struct dispatcher_network {
  /* Where daemons on other machines dial (dispatcher_where). */
  const char *const *dial_hosts; /* they dial these names or addresses, not those that are found */
  const char *const *interfaces; /* listen and dial on these network interfaces' addresses only */
  uint16_t port_low, port_high;  /* a port of this range; high 0: low alone; both 0: any free one */
  net_munge munge;               /* whether they prove themselves by MUNGE besides */
  dispatcher_tls tls;
  const net_identity *identity; /* borrowed until the dispatcher is destroyed; NULL: one is made for it alone */
} dispatcher_network;

typedef struct dispatcher_options {
  const char *session;     /* name, for status; may be NULL */
  const char *local_dir;   /* folder of the spool and of what daemons here keep; must exist, 0700 */
  const char *log_dir;     /* where launched daemons' logs go; NULL: local_dir */
  const char *hato_binary; /* daemons and launcher hosts are started from it */
  const char *credential_dir; /* where credentials stand on file, for who shares the folder; NULL: local_dir */
  const char *launches_file; /* where launches are on record, for when this process is killed; NULL: nowhere */
  uint64_t spool_limit;    /* bytes; 0: 10 GiB */
  uint64_t keep_ns;        /* how long kept results live; 0: 7 days */
  uint64_t idle_ns;        /* end after so long without client, task or uncollected result; 0: never */
  pid_t while_pid;         /* end when this process ends; 0: none */
  uint32_t heartbeat_ms;   /* 0: 30,000 */
  dispatcher_network network;
  void (*listening)(void *arg);   /* dispatcher_where listens at a further address; no lock is held */
  void *listening_arg;
  hato__log log;
} dispatcher_options;

/* Creates a dispatcher that listens nowhere. All of options is copied. */
hato_status dispatcher_create(const dispatcher_options *o, dispatcher **out, hato_error *err);
/* Listens at url; several are possible. The real url (port 0 replaced) by dispatcher_url. */
hato_status dispatcher_listen(dispatcher *d, const char *url, hato_error *err);
/* The i-th url listened at, in order; NULL past the end. Valid until stop. */
const char *dispatcher_url(dispatcher *d, unsigned i);
/* All of them as peers dial them: for one that is all addresses of this machine, each of these. The urls are
 * malloc'd (dispatcher_where_free). May block on looking up this machine's name. */
hato_status dispatcher_reach(dispatcher *d, char ***urls, hato_error *err);

/* ---- where daemons dial ---- */
typedef enum where_kind {
  WHERE_HERE,     /* this machine: the Unix socket, or the first listener */
  WHERE_LOOPBACK, /* the near end of a tunnel: tcp on loopback */
  WHERE_BEYOND,   /* other machines */
} where_kind;
/* Makes sure that it listens where daemons of this kind dial, and gives the urls, best first, NULL-terminated,
 * malloc'd (where_free). Blocks (binds); without the dispatcher's lock. Nothing listens beyond this machine
 * before BEYOND is asked for, unless dispatcher_listen did.
 * ADDRESS_IN_USE: no port of the options' is free; NOT_FOUND: an interface of the options is gone;
 * UNREACHABLE: this machine has no address that others could dial; STATE: it ends, or (HERE) listens nowhere. */
hato_status dispatcher_where(dispatcher *d, where_kind kind, char ***urls, hato_error *err);
void dispatcher_where_free(char **urls); /* NULL is fine */
/* A client in this process: the connection is to be started by the caller. */
hato_status dispatcher_embed(dispatcher *d, net_conn **end, hato_error *err);
/* Starts n daemons (slots each, 0: as the launcher and -n say) by a launcher; returns at once, its
 * life is told in status and the log. */
typedef struct dispatcher_launch_request {
  const char *launcher; /* NULL: local */
  int n;                /* daemons; 0: one with a slot for each core */
  int slots;        /* each; 0: n == 0 one a core, else one (sharing a machine) or one a granted core */
  const char *bind; /* auto, core, none; NULL auto */
} dispatcher_launch_request;
hato_status dispatcher_launch(dispatcher *d, const dispatcher_launch_request *r, uint64_t *launch,
                              hato_error *err);
/* Ends: daemons are told to go, connections are closed. Any thread but a callback's;
 * blocks until all is quiet, at most some seconds. destroy also frees. NULL is fine. */
void dispatcher_stop(dispatcher *d);
void dispatcher_destroy(dispatcher *d);
/* Blocks until something asks it to end (down, idle, while_pid, dispatcher_ask_stop); says why. */
const char *dispatcher_wait(dispatcher *d);
/* Async-signal-unsafe, any thread: makes dispatcher_wait return. */
void dispatcher_ask_stop(dispatcher *d, const char *why);

/* ---- a process of its own, for a session ---- */
typedef struct dispatcher_serve_options {
  const char *session;       /* NULL: HATO_SESSION or default */
  const char *const *listen; /* further urls, NULL-terminated; may be NULL */
  bool force;                /* take over another host's lock */
  uint64_t idle_ns;
  pid_t while_pid;
  uint64_t spool_limit, keep_ns;
  uint32_t heartbeat_ms; /* 0: 30,000 */
  dispatcher_network network;
  const char *hato_binary;
  int log_fd; /* messages go there: the session's log, or 2 */
  hato__log_level log_level;
  int ready_fd; /* >= 0: gets "ok\n" or "error N words\n" once, then is closed */
} dispatcher_serve_options;
/* The file of the session's folder that has launches on record: it is there while one may not have ended. */
#define DISPATCHER_LAUNCHES_FILE "launches"
/* Ends what the killed dispatcher of a session left with launchers, and removes what is left of the session, which
 * nobody may serve (BUSY). Blocks, at most about a minute. *left: launches that could not be ended, which stay on
 * record. */
hato_status dispatcher_clear(const char *session, const char *hato_binary, const hato__log *log, unsigned *left,
                             hato_error *err);
/* Locks and serves the session until its end; blocks. BUSY: another serves it. May use
 * signalfd: SIGTERM and SIGINT end it in order. Only for the hato binary. */
hato_status dispatcher_serve(const dispatcher_serve_options *o, hato_error *err);

#endif

/* What the verbs that make, find, furnish and end sessions share. */
#ifndef HATO_CLI_SERVE_H
#define HATO_CLI_SERVE_H

#include "cli/cli.h"
#include "dispatcher/dispatcher.h"
#include "session/session.h"

/* The session that --session names and who serves it; each returns an exit code, having said what was wrong. */
int cli_find_session(cli *c, bool create, hato__session **s, hato__address *a);
/* Serves the session from a process in the background, as the rows say; blocks until it is ready, or says why not. pass:
 * a descriptor with the pass phrase, or -1. */
hato_status cli_start_dispatcher(cli *c, const hato__session *s, int pass, hato_error *err);
/* Ends it by the request `op` (down or reset) and waits until its process is gone. */
int cli_end_session(cli *c, const hato__address *a, const char *op, json_int_t *unresolved);
/* Values of SERVE_ROWS that the section [session] of the configuration files gives and the command line does not. */
int cli_read_session_section(cli *c);
/* The daemons that the verb's options describe; waits until they are connected, or says what became of them. */
int cli_launch_daemons(cli *c, hato_pool *pool);

/* What the rows say of networks, but for the identity; n borrows of c. Returns an exit code, having said what was wrong. */
int cli_network(cli *c, dispatcher_network *n);
/* The certificate that the rows name (NULL: none) and its key, whose pass phrase, when it is encrypted, comes from fd
 * (-1: from the file that the rows name, or the terminal). Returns an exit code, having said what was wrong. */
int cli_identity(cli *c, int fd, net_identity **id);
/* For who serves the session in the background: the pass phrase, when the key is encrypted, on a descriptor for it to
 * read (-1: none is needed); the certificate is looked at. Returns likewise. */
int cli_pass_phrase(cli *c, int *fd);

/* Options that several verbs have: of `up` and `dispatcher`, which make a session, and of `up` and
 * `launch`, which start daemons. */
#define SERVE_ROWS                                                                                                     \
  {.name = "listen",                                                                                                   \
   .type = HATO__CONF_LIST,                                                                                            \
   .metavar = "URL",                                                                                                   \
   .help = "Also listen there, for daemons and clients on other machines: tls+tcp://host:port or wss://host:port/path, or without encryption tcp:// and ws://; port 0 takes a free one."}, \
      {.name = "tls",                                                                                                  \
       .type = HATO__CONF_ENUM,                                                                                        \
       .names = (const char *const[]){"auto", "always", "never", NULL},                                                \
       .def = "auto",                                                                                                  \
       .help = "What launched daemons' connections are encrypted: all but those within this machine and through "     \
               "ssh's tunnels (auto), these too, or none."},                                                          \
      {.name = "tls-certificate",                                                                                      \
       .type = HATO__CONF_STRING,                                                                                      \
       .metavar = "FILE",                                                                                              \
       .help = "A certificate of a CA in PEM, with those that lead to it behind it. Default: one made for the session alone."}, \
      {.name = "tls-key", .type = HATO__CONF_STRING, .metavar = "FILE", .help = "Its private key in PEM, which others cannot read."}, \
      {.name = "tls-ca",                                                                                               \
       .type = HATO__CONF_STRING,                                                                                      \
       .metavar = "FILE",                                                                                              \
       .help = "The CA's certificate, when it does not follow that of --tls-certificate."},                            \
      {.name = "tls-pass-file",                                                                                        \
       .type = HATO__CONF_STRING,                                                                                      \
       .metavar = "FILE",                                                                                              \
       .help = "The file whose first line is the key's pass phrase. Default: it is asked for at the terminal."},       \
      {.name = "munge",                                                                                                \
       .type = HATO__CONF_ENUM,                                                                                        \
       .names = CLI_MUNGE_WORDS,                                                                                       \
       .def = "auto",                                                                                                  \
       .help = "Whether peers over a network prove themselves by MUNGE besides their credential: where both ends "    \
               "have it, always, or never."},                                                                         \
      {.name = "port",                                                                                                 \
       .type = HATO__CONF_STRING,                                                                                      \
       .metavar = "N|A-B",                                                                                             \
       .help = "Where launched daemons on other machines dial: this port, or the first free one of this range, as "    \
               "a firewall lets through. Default: any free one."},                                                     \
      {.name = "dial-host",                                                                                            \
       .type = HATO__CONF_LIST,                                                                                        \
       .metavar = "NAME",                                                                                              \
       .help = "They dial this name or address of this machine; repeated: the first of these where they are "          \
               "admitted. Default: every address of it but loopback."},                                                \
      {.name = "interface",                                                                                            \
       .type = HATO__CONF_LIST,                                                                                        \
       .metavar = "NAME",                                                                                              \
       .help = "Listen for them, and have them dial, only on the addresses of this network interface; repeated: of "   \
               "these."},                                                                                              \
      {.name = "idle",                                                                                                 \
       .type = HATO__CONF_DURATION,                                                                                    \
       .def = "0",                                                                                                     \
       .min = 0,                                                                                                       \
       .max = INT64_MAX,                                                                                               \
       .metavar = "T",                                                                                                 \
       .help = "End after so long without client, task and uncollected result; 0: never."},                            \
      {.name = "while",                                                                                                \
       .type = HATO__CONF_INT,                                                                                         \
       .flags = HATO__CONF_NO_FILE,                                                                                    \
       .def = "0",                                                                                                     \
       .min = 0,                                                                                                       \
       .max = INT32_MAX,                                                                                               \
       .metavar = "PID",                                                                                               \
       .help = "End when this process has ended; 0: with none."},                                                      \
      {.name = "spool-limit",                                                                                          \
       .type = HATO__CONF_SIZE,                                                                                        \
       .def = "10G",                                                                                                   \
       .min = 1 << 20,                                                                                                 \
       .max = INT64_MAX,                                                                                               \
       .help = "Disk space for kept results; when it is full, submit is refused, and of output that does not fit the " \
               "first 64 KB are kept."},                                                                               \
      {.name = "keep",                                                                                                 \
       .type = HATO__CONF_DURATION,                                                                                    \
       .def = "7d",                                                                                                    \
       .min = 1000000000,                                                                                              \
       .max = INT64_MAX,                                                                                               \
       .metavar = "T",                                                                                                 \
       .help = "How long results of detached tasks are kept, unless forgotten before."},                               \
  {                                                                                                                    \
    .name = "force", .type = HATO__CONF_BOOL, .flags = HATO__CONF_NO_FILE, .help = "Take the session over from another host that is known dead."    \
  }

/* least: of -n; how_many: its help. */
#define LAUNCH_ROWS(least, how_many)                                                                                \
  {.name = "daemons",                                                                                               \
   .short_name = 'n',                                                                                               \
   .type = HATO__CONF_INT,                                                                                          \
   .min = (least),                                                                                                  \
   .max = 100000,                                                                                                   \
   .metavar = "N",                                                                                                  \
   .help = how_many " Default: the profile's, else as the launcher's options say; on this machine one, with a "     \
                    "slot for every core it may use."},                                                             \
      {.name = "slots",                                                                                             \
       .type = HATO__CONF_INT,                                                                                      \
       .min = 0,                                                                                                    \
       .max = 65536,                                                                                                \
       .metavar = "S",                                                                                              \
       .help = "Slots of each daemon. Default: with -n, one each on cores of its own (of a daemon with an "         \
               "allocation of its own: one a granted core)."},                                                      \
      {.name = "bind",                                                                                              \
       .type = HATO__CONF_ENUM,                                                                                     \
       .names = (const char *const[]){"auto", "core", "none", NULL},                                                \
       .help = "Whether slots are bound to cores. Default: auto."},                                                 \
      {.name = "launcher",                                                                                          \
       .type = HATO__CONF_STRING,                                                                                   \
       .metavar = "NAME",                                                                                           \
       .help = "What starts the daemons; `hato launchers` lists them. Default: the profile's, else local."},        \
      {.name = "profile",                                                                                           \
       .type = HATO__CONF_STRING,                                                                                   \
       .metavar = "NAME",                                                                                           \
       .help = "The section [profile NAME] of the configuration file. Default: default, if it is there."},          \
      {.name = "option",                                                                                            \
       .short_name = 'o',                                                                                           \
       .type = HATO__CONF_LIST,                                                                                     \
       .metavar = "KEY=VALUE",                                                                                      \
       .help = "An option of the launcher."},                                                                       \
      {.name = "wait",                                                                                              \
       .type = HATO__CONF_DURATION,                                                                                 \
       .min = 0,                                                                                                    \
       .max = 1000000000000000,                                                                                     \
       .metavar = "T",                                                                                              \
       .help = "How long to wait for daemons that a batch system has not started. Default: 10s."},                  \
      {.name = "launch-timeout",                                                                                    \
       .type = HATO__CONF_DURATION,                                                                                 \
       .min = 1000000,                                                                                              \
       .max = 1000000000000000,                                                                                     \
       .metavar = "T",                                                                                              \
       .help = "How long a daemon may take to connect once it runs (time in a queue does not count); then it is "   \
               "ended. Default: the profile's, else 2m."},                                                          \
  {                                                                                                                 \
    .name = "crash-limit", .type = HATO__CONF_INT, .min = 0, .max = 1000000, .metavar = "N",                        \
    .help = "Daemons that fail are replaced until so many attempts in a row have failed; 0: none is replaced. "     \
            "Default: the profile's, else 5."                                                                       \
  }

#endif

#include "dispatcher/dispatcher.h"
#include "cli/serve.h"
#include "cli/verbs.h"

#include <stdlib.h>
#include <unistd.h>

static const hato__conf_row rows[] = {
    SERVE_ROWS,
    {.name = "ready-fd", .type = HATO__CONF_INT, .def = "-1", .min = -1, .max = 1 << 20, .metavar = "FD",
     .flags = HATO__CONF_HIDDEN, .help = "Descriptor that gets one line when it is ready or failed."},
    {.name = "pass-fd", .type = HATO__CONF_INT, .def = "-1", .min = -1, .max = 1 << 20, .metavar = "FD",
     .flags = HATO__CONF_HIDDEN, .help = "Descriptor that gives the pass phrase of --tls-key."},
    {.name = "heartbeat", .type = HATO__CONF_DURATION, .def = "30s", .min = 10000000, .max = 3600000000000,
     .flags = HATO__CONF_HIDDEN, .help = "How often daemons are to be heard of; for tests."},
};

static int run(cli *c) {
  char binary[4096];
  hato_error err = {0};
  dispatcher_network network;
  int code = cli_read_session_section(c);
  if (!code) code = cli_network(c, &network);
  net_identity *id = NULL;
  if (!code) code = cli_identity(c, (int)hato__conf_get_int(c->conf, "pass-fd"), &id);
  if (code) return code;
  network.identity = id;
  dispatcher_serve_options o = {.session = hato__conf_get_str(c->conf, "session"),
                                .listen = hato__conf_get_list(c->conf, "listen", NULL),
                                .force = hato__conf_get_bool(c->conf, "force"),
                                .idle_ns = hato__conf_get_duration(c->conf, "idle"),
                                .while_pid = (pid_t)hato__conf_get_int(c->conf, "while"),
                                .spool_limit = hato__conf_get_size(c->conf, "spool-limit"),
                                .keep_ns = hato__conf_get_duration(c->conf, "keep"),
                                .heartbeat_ms = (uint32_t)(hato__conf_get_duration(c->conf, "heartbeat") / 1000000),
                                .network = network,
                                .hato_binary = cli_binary(binary, sizeof binary),
                                .log_fd = STDERR_FILENO,
                                .log_level = c->log.level,
                                .ready_fd = (int)hato__conf_get_int(c->conf, "ready-fd")};
  hato_status st = dispatcher_serve(&o, &err);
  net_identity_free(id);
  if (!st) return CLI_OK;
  return o.ready_fd >= 0 ? CLI_FAILED : cli_fail(c, CLI_FAILED, "%s", err.text);
}

const cli_verb cli_dispatcher = {
    .name = "dispatcher",
    .summary = "serve a session in the foreground (`hato up` does so in the background)",
    .operands = "",
    .text = "Serves the session until SIGTERM, SIGINT, `hato down`, or what --idle and --while say. Messages go to standard "
            "error.\n",
    .examples = "hato dispatcher --listen tls+tcp://0.0.0.0:5555\tunder a process supervisor\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof *rows,
    .run = run};

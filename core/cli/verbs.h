/* One table a verb, each in the file of its name. */
#ifndef HATO_CLI_VERBS_H
#define HATO_CLI_VERBS_H

#include "cli/cli.h"

extern const cli_verb cli_map, cli_run, cli_submit, cli_wait, cli_output, cli_tasks, cli_cancel, cli_forget, cli_status;
extern const cli_verb cli_up, cli_down, cli_launch, cli_launchers, cli_credentials, cli_daemon, cli_dispatcher;
extern const cli_verb cli_help_verb, cli_manual_verb;

#endif

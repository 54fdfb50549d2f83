/* What the verbs say of who is admitted how. */
#ifndef HATO_CLI_SECURITY_H
#define HATO_CLI_SECURITY_H

#include "cli/cli.h"

/* A listener of the dispatcher's answers: ", encrypted", ", NOT ENCRYPTED" where others could read, "" where nobody can. */
const char *cli_encryption(const json_t *listener);
/* The answer to the request "security", as cli_request's `line`. */
int cli_print_security(cli *c, json_t *o, void *unused);
/* A list of credentials in columns. */
void cli_print_credentials(const json_t *list);

#endif

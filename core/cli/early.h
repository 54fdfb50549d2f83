/* Subcommands that are processes of hato's own: `executor` and `launcher-host`. */
#ifndef HATO_CLI_EARLY_H
#define HATO_CLI_EARLY_H

#include <stdbool.h>

/* True when argv named one of them, which then has run and ended with *code. */
bool cli_early_main(int argc, char **argv, int *code);

#endif

#ifndef HATO_CLI_GUARD_H
#define HATO_CLI_GUARD_H

/* The first that a process of hato does: nobody else gets to see its memory, and its environment keeps no
 * credential but for who is to read one. May execute this program anew, in the same process. */
void cli_guard(char **argv);

#endif

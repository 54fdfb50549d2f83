/* The table of verbs. */
#include "cli/verbs.h"

#include <string.h>

const cli_verb *const cli_verbs[] = {
    &cli_map,  &cli_run,    &cli_submit,    &cli_wait,   &cli_output,     &cli_tasks, &cli_cancel, &cli_forget, &cli_status,
    &cli_up,   &cli_down,   &cli_launch,    &cli_launchers, &cli_credentials, &cli_daemon,  &cli_dispatcher, &cli_help_verb, &cli_manual_verb, NULL};

const cli_verb *cli_find_verb(const char *name) {
  for (const cli_verb *const *v = cli_verbs; *v; v++)
    if (strcmp((*v)->name, name) == 0) return *v;
  return NULL;
}

const char *cli_nearest_verb(const char *name) {
  const char *names[sizeof cli_verbs / sizeof *cli_verbs] = {NULL};
  size_t n = 0;
  for (const cli_verb *const *v = cli_verbs; *v; v++)
    if (!((*v)->flags & CLI_HIDDEN)) names[n++] = (*v)->name;
  return hato__nearest(name, names);
}

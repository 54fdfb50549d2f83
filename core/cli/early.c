#include "cli/early.h"

#include "base/str.h"
#include "executor/executor.h"
#include "launchers/host.h"
#include <stdio.h>
#include <string.h>

/* hato executor [--nofile N]: its socket is descriptor 3. */
static int run_executor(int argc, char **argv) {
  executor_options o = {0};
  if (argc > 3 && strcmp(argv[2], "--nofile") == 0 && !hato__parse_u64(argv[3], &o.nofile_soft)) {
    fprintf(stderr, "hato executor: --nofile %s: a number was wanted\n", argv[3]);
    return EXECUTOR_EXIT_FAILED;
  }
  return executor_main(3, &o);
}

bool cli_early_main(int argc, char **argv, int *code) {
  if (strcmp(argv[1], "executor") == 0) {
    *code = run_executor(argc, argv);
    return true;
  }
  if (strcmp(argv[1], "launcher-host") == 0) {
    *code = launchers_host_main(LAUNCHERS_HOST_FD);
    return true;
  }
  return false;
}

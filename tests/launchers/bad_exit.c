/* As libslurm does without its configuration. */
#include "bad.h"

#include <stdio.h>
#include <unistd.h>

__attribute__((constructor)) static void leave(void) {
  static const char words[] = "bad_exit: fatal: no configuration\n";
  if (write(2, words, sizeof words - 1) > 0) _exit(1);
}
const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_exit"), BAD_OPERATIONS};

#include "base/env.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void hato__env_wipe(const char *name) {
  size_t n = strlen(name);
  for (char **v = environ; v && *v; v++)
    if (strncmp(*v, name, n) == 0 && (*v)[n] == '=') explicit_bzero(*v + n + 1, strlen(*v + n + 1));
  (void)unsetenv(name);
}

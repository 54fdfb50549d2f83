#include "unit.h"

#include <poll.h>

#define TRIES 500
#define PAUSE_MS 20

void unit_remove_folder(const char *folder) {
  char line[PATH_MAX + 32];
  snprintf(line, sizeof line, "rm -rf '%s' 2>/dev/null", folder);
  for (int i = 0; system(line) != 0; i++) {
    ck_assert_msg(i < TRIES, "%s cannot be removed", folder);
    poll(NULL, 0, PAUSE_MS);
  }
}

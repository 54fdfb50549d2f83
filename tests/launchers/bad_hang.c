/* Never comes back from being loaded. */
#include "bad.h"

#include <unistd.h>

__attribute__((constructor)) static void hang(void) {
  for (;;) (void)pause();
}
const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_hang"), BAD_OPERATIONS};

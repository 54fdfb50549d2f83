/* Ends the process as soon as it is loaded. */
#include "bad.h"

__attribute__((constructor)) static void crash(void) { abort(); }
const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_crash"), BAD_OPERATIONS};

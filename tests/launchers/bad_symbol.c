/* Exports nothing. */
#include "bad.h"

extern const hato_launcher another_name;
const hato_launcher another_name = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_symbol"), BAD_OPERATIONS};

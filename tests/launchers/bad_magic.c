/* Something else that happens to export the name. */
#include "bad.h"

const hato_launcher hato_launcher_module = {.magic = 0x1234,
                                            .abi_major = HATO_LAUNCHER_ABI_MAJOR,
                                            .size = sizeof(hato_launcher),
                                            BAD_WORDS("bad_magic"),
                                            BAD_OPERATIONS};

/* Of a hato to come. */
#include "bad.h"

const hato_launcher hato_launcher_module = {.magic = HATO_LAUNCHER_MAGIC,
                                            .abi_major = HATO_LAUNCHER_ABI_MAJOR + 1,
                                            .abi_minor = 7,
                                            .size = sizeof(hato_launcher),
                                            BAD_WORDS("bad_major"),
                                            BAD_OPERATIONS};

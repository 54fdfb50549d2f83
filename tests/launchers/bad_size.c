/* Cut short. */
#include "bad.h"

const hato_launcher hato_launcher_module = {.magic = HATO_LAUNCHER_MAGIC,
                                            .abi_major = HATO_LAUNCHER_ABI_MAJOR,
                                            .size = 40,
                                            BAD_WORDS("bad_size"),
                                            BAD_OPERATIONS};

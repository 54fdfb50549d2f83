/* Without a required operation. */
#include "bad.h"

const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_operation"),
                                            .launch = bad_launch, .poll = bad_poll, .adopt = bad_adopt};

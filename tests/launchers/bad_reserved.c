/* An option with the name of one of hato's own. */
#include "bad.h"

static const hato_option_row options[] = {
    {.name = "slots", .type = HATO_OPTION_INT, .def = "1", .help = "How many slots."}};
const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_reserved"), .options = options,
                                            .option_count = 1, BAD_OPERATIONS};

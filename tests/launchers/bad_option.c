/* A default that its own row refuses. */
#include "bad.h"

static const hato_option_row options[] = {
    {.name = "nodes", .type = HATO_OPTION_INT, .def = "many", .help = "How many nodes."}};
const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_option"), .options = options,
                                            .option_count = 1, BAD_OPERATIONS};

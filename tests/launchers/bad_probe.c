/* In order, but what it needs is not there. */
#include "bad.h"

static int probe(const hato_host *h) { return h->fail(h, HATO_NOT_FOUND, "there is no qsub in PATH"); }
const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("bad_probe"), .probe = probe,
                                            BAD_OPERATIONS};

/* A file renamed. */
#include "bad.h"

const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD, BAD_WORDS("slurm"), BAD_OPERATIONS};

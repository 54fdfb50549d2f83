#include "sim.h"
int sim_makespan(uint64_t seeds, bool verbose){(void)seeds;(void)verbose;return 0;}

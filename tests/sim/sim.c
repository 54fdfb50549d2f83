/*
 * sim [small|1000|large|makespan|bench] [--seed N] [--seeds COUNT] [--daemons N] [--tasks N] ...
 * sim launches [--seed N] [--seeds COUNT] [--members N]
 * Runs the seeded simulator; on a failure it says which line replays it.
 */
#include "sim.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Small worlds of every shape, decided by the seed alone. */
static sim_options small(uint64_t seed) {
  sim_options o = {.seed = seed, .check_every = 1};
  uint64_t h = seed * 0x9e3779b97f4a7c15u;
  h ^= h >> 29;
  static const uint32_t daemons[] = {1, 2, 3, 8, 30}, arrays[] = {3, 20, 200, 1500},
                        faults[] = {0, 10, 60, 300};
  o.daemons = daemons[h % 5];
  o.array_max = arrays[h / 5 % 4];
  o.slots_max = h / 20 % 3 ? 4 : 1;
  o.faults = faults[h / 60 % 4];
  o.grace = h / 240 % 2;
  o.steps = h / 480 % 2;
  o.kinds = h / 960 % 4 ? 31 : 1u << h / 3840 % KINDS;
  o.tasks = 2000;
  return o;
}

static sim_options huge(uint64_t seed, uint32_t daemons, uint64_t tasks) {
  return (sim_options){.seed = seed,
                       .daemons = daemons,
                       .tasks = tasks,
                       .array_max = 20000,
                       .slots_max = 2,
                       .kinds = 31,
                       .faults = 3,
                       .grace = true,
                       .steps = true,
                       .check_every = 100000,
                       .verbose = true};
}

typedef struct arguments {
  sim_options o;
  uint64_t seeds;
  uint32_t members;
  bool shaped; /* an option says what the world is like: not the seed */
} arguments;

static bool option(arguments *a, const char *name, uint64_t n) {
  sim_options *o = &a->o;
  if (!strcmp(name, "--seeds")) return a->seeds = n, true;
  if (!strcmp(name, "--seed")) return o->seed = n, a->seeds = 1, true;
  if (!strcmp(name, "--members")) return a->members = (uint32_t)n, n <= 1000000;
  a->shaped = true;
  if (!strcmp(name, "--daemons")) return o->daemons = (uint32_t)n, n > 0;
  if (!strcmp(name, "--tasks")) return o->tasks = n, n > 0;
  if (!strcmp(name, "--array")) return o->array_max = (uint32_t)n, n > 0;
  if (!strcmp(name, "--slots")) return o->slots_max = (uint32_t)n, n > 0;
  if (!strcmp(name, "--kinds")) return o->kinds = (unsigned)n, n > 0 && n < 1u << KINDS;
  if (!strcmp(name, "--faults")) return o->faults = (unsigned)n, true;
  if (!strcmp(name, "--grace")) return o->grace = n != 0, true;
  if (!strcmp(name, "--steps")) return o->steps = n != 0, true;
  return false;
}

static int usage(void) {
  fputs("usage: sim [small|1000|large|makespan|bench] [--seed N] [--seeds COUNT] [--daemons N] [--tasks N]\n"
        "           [--array MAX] [--slots MAX] [--kinds MASK] [--faults N] [--grace 0|1] [--steps 0|1]\n"
        "       sim launches [--seed N] [--seeds COUNT] [--members N]\n",
        stderr);
  return 2;
}

int main(int argc, char **argv) {
  setvbuf(stdout, NULL, _IOLBF, 0);
  const char *mode = argc > 1 && argv[1][0] != '-' ? argv[1] : "small";
  arguments a = {.o = huge(1, 1000, 200000), .seeds = 300};
  if (!strcmp(mode, "large")) a = (arguments){.o = huge(1, 100000, 10000000), .seeds = 1, .shaped = true};
  if (!strcmp(mode, "1000")) a = (arguments){.o = huge(1, 1000, 1000000), .seeds = 1, .shaped = true};
  for (int i = mode == argv[1] ? 2 : 1; i < argc; i += 2) {
    char *end;
    if (i + 1 == argc || !option(&a, argv[i], strtoull(argv[i + 1], &end, 10)) || *end) return usage();
  }
  if (a.o.daemons <= 100) a.o.check_every = 1;
  if (!strcmp(mode, "makespan")) return sim_makespan(a.seeds, a.seeds <= 10);
  if (!strcmp(mode, "bench")) return sim_bench();
  if (!strcmp(mode, "launches")) return sim_launches(a.o.seed, a.seeds, a.members);
  if (strcmp(mode, "small") && strcmp(mode, "large") && strcmp(mode, "1000")) return usage();
  uint64_t first = a.o.seed;
  for (uint64_t seed = first; seed < first + a.seeds; seed++) {
    sim_options o = a.shaped ? a.o : small(seed);
    o.seed = seed;
    o.verbose = a.seeds == 1 || a.shaped;
    sim_run(&o);
  }
  printf("%llu seeds from %llu: passed\n", (unsigned long long)a.seeds, (unsigned long long)first);
  return 0;
}

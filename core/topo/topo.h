/*
 * topo - what this machine offers to a process, and how to bind a slot to part of it.
 *
 * The unit is the core. With simultaneous multithreading a core has several PUs
 * (what the kernel calls CPUs); they belong together: a core may be used when at
 * least one of its PUs may, it counts once, and who is bound to it gets those of
 * its PUs that may be used. In a virtual machine that hides its cores a PU is a
 * core. The cores of a process are the fewest of:
 *   - those its affinity mask and its cgroup's cpuset leave,
 *   - ceil(quota / period) of the tightest CPU quota from its cgroup to the root,
 *   - the CPUs a batch system granted on this machine. Slurm: in a step
 *     SLURM_CPUS_PER_TASK (of several tasks one when it is not set), else SLURM_CPUS_ON_NODE, else this node's part of
 *     SLURM_JOB_CPUS_PER_NODE. PBS (where PBS_JOBID is set): NCPUS, PBS_NCPUS,
 *     PBS_NUM_PPN, else the lines of PBS_NODEFILE that name this host. Grid Engine:
 *     this host's lines of PE_HOSTFILE, else NSLOTS. OMP_NUM_THREADS grants
 *     nothing: it is a wish of the user's.
 * A grant counts a core for each granted CPU, as far as there are cores.
 */
#ifndef HATO_TOPO_H
#define HATO_TOPO_H

#include "hato/status.h"
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct topo topo;

typedef enum topo_bind { TOPO_BIND_AUTO, TOPO_BIND_CORE, TOPO_BIND_NONE } topo_bind;
/* "auto", "core", "none"; false: anything else. */
bool topo_bind_parse(const char *word, topo_bind *out);

/* Where topo looks. NULL or a NULL field: the running system. Tests give folders
 * and recorded values. */
typedef struct topo_source {
  const char *root;                                   /* prefix of /proc and /sys */
  const char *(*getenv)(void *arg, const char *name); /* borrowed strings */
  void *arg;
  const char *synthetic; /* hwloc's description of a machine */
  const char *hostname;
} topo_source;

/* Looks once; blocks for about 2 ms (hwloc). Sets HWLOC_PLUGINS_PATH for that
 * time, so call it before other threads read the environment. Without an answer
 * from hwloc each PU of the affinity mask is a core. */
hato_status topo_probe(const topo_source *src, topo **out, hato_error *err);
void topo_destroy(topo *t); /* NULL is fine */

unsigned topo_cores(const topo *t);  /* that may be used, >= 1 */
bool topo_granted(const topo *t);    /* by a batch system */
const char *topo_how(const topo *t); /* in words: "2 of 64 cores: Slurm grants 2 CPUs"; lives with t */

/* Keeps only the share of member (0-based) when `of` daemons share this machine:
 * disjoint blocks of cores; where there are fewer cores than members one core,
 * taken in turn. A quota is shared too. of <= 1 changes nothing. Once a topo. */
void topo_deal(topo *t, unsigned member, unsigned of);

/* A set of PUs for sched_setaffinity. */
typedef struct topo_set {
  cpu_set_t *set; /* free with topo_set_free */
  size_t size;
} topo_set;
void topo_set_free(topo_set *s);
/* The PUs of slot `slot` of `slots`: an equal block of the cores, disjoint from
 * other slots' while there are enough cores, else one core in turn. false: not
 * to be bound. core: always; none: never; auto: when the slots are no more than
 * the cores, and these cores are ours alone: all that a batch grant left
 * in the cpuset, or a share that topo_deal dealt without wrapping. */
bool topo_slot(const topo *t, topo_bind bind, unsigned slot, unsigned slots, topo_set *out);

#endif

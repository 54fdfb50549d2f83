/* What the files of topo share. */
#ifndef HATO_TOPO_INTERNAL_H
#define HATO_TOPO_INTERNAL_H

#include "base/buf.h"
#include "topo/topo.h"
#include <stdint.h>

#define TOPO_UNLIMITED UINT32_MAX

const char *topo__getenv(const topo_source *src, const char *name); /* NULL or non-empty */

/* What a batch system granted here: how many CPUs, 0 when there is none; in
 * words the variable and its value. */
unsigned topo__grant(const topo_source *src, char *words, size_t n);

/* The tightest CPU quota in cores, TOPO_UNLIMITED without one. */
unsigned topo__quota(const topo_source *src);
/* Removes from set what the cgroup's cpuset does not have. */
void topo__cpuset(const topo_source *src, cpu_set_t *set, size_t size);

/* "0-3,8" into bits of set; false: bad text. */
bool topo__cpu_list(const char *text, cpu_set_t *set, size_t size);

#endif

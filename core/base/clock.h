/* Time, in nanoseconds. */
#ifndef HATO_BASE_CLOCK_H
#define HATO_BASE_CLOCK_H

#include <stdint.h>

#define HATO__US UINT64_C(1000)
#define HATO__MS UINT64_C(1000000)
#define HATO__SEC UINT64_C(1000000000)

uint64_t hato__now(void);      /* CLOCK_MONOTONIC */
uint64_t hato__wall_now(void); /* CLOCK_REALTIME, since 1970 */

#endif

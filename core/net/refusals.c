/*
 * What is logged of those who are not admitted: a line each, with the reason, as long as they are few. A flood
 * must not fill the disk: past a hundred lines at once, and one more every ten seconds, they are counted, and a line a
 * minute says how many. Who has said HELLO has lines of its own: a wrong proof is told of also while others only make
 * noise.
 */
#include "net/listener.h"
#include "base/clock.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define LINES_AT_ONCE 100u
#define LINE_NS (10 * HATO__SEC) /* until there may be one more */
#define TELL_NS (60 * HATO__SEC)

void net__refusals_init(net_listener *l) {
  uint64_t now = hato__now();
  for (int i = 0; i < NET_LINES; i++) l->lines[i] = (net__lines){.left = LINES_AT_ONCE, .refilled = now};
}

static bool may_write(net__lines *k, uint64_t now) {
  uint64_t more = (now - k->refilled) / LINE_NS;
  k->refilled += more * LINE_NS;
  k->left = more < LINES_AT_ONCE - k->left ? k->left + (unsigned)more : LINES_AT_ONCE;
  if (k->left == 0) return false;
  k->left--;
  return true;
}

void net__refused(net_listener *l, hato__log_level level, const char *id, bool greeted, const char *address,
                  const char *reason) {
  if (l->log.write == NULL || level > l->log.level) return;
  pthread_mutex_lock(&l->lock);
  uint64_t now = hato__now(); /* under the lock: never before what another has noted */
  net__lines *k = &l->lines[greeted ? NET_LINES_GREETED : NET_LINES_STRANGERS];
  bool write = may_write(k, now);
  if (!write) {
    k->dropped++;
    if (l->lines_since == 0) l->lines_since = now;
    snprintf(l->lines_last, sizeof l->lines_last, "%s: %s", address, reason);
  }
  pthread_mutex_unlock(&l->lock);
  if (write) hato__log_msg(&l->log, level, id, "%s: %s", address, reason);
}

bool net__refusals_due(const net_listener *l) { return l->lines_since != 0; }

void net__refusals_tell(net_listener *l, bool now) {
  char last[sizeof l->lines_last];
  uint64_t dropped[NET_LINES];
  pthread_mutex_lock(&l->lock);
  uint64_t took = hato__now() - l->lines_since;
  bool tell = l->lines_since != 0 && (now || took >= TELL_NS);
  if (tell) {
    for (int i = 0; i < NET_LINES; i++) {
      dropped[i] = l->lines[i].dropped;
      l->lines[i].dropped = 0;
    }
    memcpy(last, l->lines_last, sizeof last);
    l->lines_since = 0;
  }
  pthread_mutex_unlock(&l->lock);
  if (tell)
    hato__warn(&l->log, "PEERS-REFUSED",
               "%s: %" PRIu64 " more were not admitted in the last %" PRIu64 " s, %" PRIu64
               " of them had said HELLO; the last: %s",
               l->url, dropped[NET_LINES_STRANGERS] + dropped[NET_LINES_GREETED], took / HATO__SEC + 1,
               dropped[NET_LINES_GREETED], last);
}

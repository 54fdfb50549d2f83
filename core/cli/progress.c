#include "cli/progress.h"

#include "base/clock.h"
#include "cli/cli.h"
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BAR_MAX 40u

/* Smoothed over some seconds, so that the time left neither jumps nor clings to the start. */
static void take_rate(progress *p, uint64_t now, uint64_t done) {
  if (p->at == 0) {
    p->at = p->began;
    p->at_done = 0;
  }
  double dt = (double)(now - p->at) / 1e9;
  if (dt < 0.5) return;
  double fresh = (double)(done - p->at_done) / dt, weight = dt > 5 ? 1 : dt / 5;
  p->rate = p->rate > 0 ? p->rate + weight * (fresh - p->rate) : fresh;
  p->at = now;
  p->at_done = done;
}

static void add_rate(const progress *p, char *out, size_t n) {
  if (p->rate <= 0) {
    snprintf(out, n, " ");
  } else if (p->rate >= 10) {
    snprintf(out, n, ", %.0f/s", p->rate);
  } else {
    snprintf(out, n, ", %.2g/s", p->rate);
  }
}

void cli_progress_text(progress *p, uint64_t now, uint64_t done, uint64_t failed, uint64_t total,
                       unsigned columns, char *out, size_t n) {
  char text[256], rate[32], left[64] = "", time[32], bar[BAR_MAX + 4] = "", fails[48] = "";
  take_rate(p, now, done);
  add_rate(p, rate, sizeof rate);
  if (failed) snprintf(fails, sizeof fails, ", %llu failed", (unsigned long long)failed);
  if (total && done < total && p->rate > 0)
    snprintf(left, sizeof left, ", %s left",
             cli_seconds((double)(total - done) / p->rate, time, sizeof time));
  if (total) {
    snprintf(text, sizeof text, "%llu of %llu done%s%s%s", (unsigned long long)done,
             (unsigned long long)total, fails, rate, left);
  } else {
    snprintf(text, sizeof text, "%llu done%s%s", (unsigned long long)done, fails, rate);
  }
  size_t used = strlen(text) + 4;
  if (total && columns > used + 10) {
    size_t width = columns - used < BAR_MAX ? columns - used : BAR_MAX;
    size_t full = (size_t)((double)width * ((double)done / (double)total));
    bar[0] = '[';
    memset(bar + 1, '#', full);
    memset(bar + 1 + full, '.', width - full);
    memcpy(bar + 1 + width, "] ", 3);
  }
  snprintf(out, n, "%s%s", bar, text);
  if (columns > 1 && strlen(out) >= columns) out[columns - 1] = 0;
}

unsigned cli_progress_columns(void) {
  struct winsize w;
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 0 ? w.ws_col : 80;
}

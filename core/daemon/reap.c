/* Orphans: what an executor that was killed leaves behind becomes a child of the
 * daemon, a subreaper, and is killed. */
#include "base/clock.h"
#include "daemon/state.h"
#include <dirent.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

typedef bool visit(void *arg, pid_t child);

/* Every child of every thread; false when one visit said so. A list that changes
 * meanwhile may lose an entry: callers look again until nothing is left. */
static unsigned each_child(visit *fn, void *arg) {
  unsigned n = 0;
  DIR *dir = opendir("/proc/self/task");
  if (!dir) return 0;
  for (struct dirent *e; (e = readdir(dir));) {
    if (e->d_name[0] == '.') continue;
    char path[300];
    snprintf(path, sizeof path, "/proc/self/task/%s/children", e->d_name);
    FILE *f = fopen(path, "re");
    if (!f) continue;
    for (int pid; fscanf(f, "%d", &pid) == 1;)
      if (fn(arg, pid)) n++;
    fclose(f);
  }
  closedir(dir);
  return n;
}

static bool note(void *arg, pid_t child) {
  daemon_state *d = arg;
  pid_t *grown = realloc(d->before, (d->n_before + 1) * sizeof *grown);
  if (!grown) return false;
  d->before = grown;
  d->before[d->n_before++] = child;
  return true;
}

void daemon_note_children(daemon_state *d) { each_child(note, d); }

static bool end_orphan(void *arg, pid_t child) {
  const daemon_state *d = arg;
  for (unsigned i = 0; i < d->n_slots; i++)
    if (d->slots[i].pid == child) return false;
  for (unsigned i = 0; i < d->n_before; i++)
    if (d->before[i] == child) return false;
  kill(child, SIGKILL);
  waitpid(child, NULL, WNOHANG);
  return true;
}

void daemon_reap_orphans(daemon_state *d, unsigned ms) {
  uint64_t by = hato__now() + ms * HATO__MS;
  for (;;) {
    /* Under the lock, because another thread may just be starting an executor. */
    daemon_lock(d);
    unsigned n = each_child(end_orphan, d);
    pthread_mutex_unlock(&d->lock);
    if (n == 0) return;
    if (hato__now() > by) {
      hato__warn(d->log, "ORPHANS-LEFT", "%u processes of a dead executor do not end", n);
      return;
    }
    poll(NULL, 0, 1); /* killed ones need a moment to be reaped */
  }
}

/* What control groups leave of a machine: CPU quotas and cpusets, version 1 and 2. */
#include "base/io.h"
#include "base/str.h"
#include "topo/internal.h"
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#define TOPO_FILE_MAX (1u << 20)

/* Where one controller of this process stands: folders from `at` up to `top`. */
typedef struct cgroup_place {
  bool v2;
  char top[PATH_MAX]; /* the mount point, with the source's root before it */
  char at[PATH_MAX];
} cgroup_place;

static const char *read_text(hato__buf *buf, const char *root, const char *path) {
  char full[PATH_MAX];
  hato__buf_clear(buf);
  if (snprintf(full, sizeof full, "%s%s", root, path) >= (int)sizeof full) return NULL;
  if (hato__read_file(full, TOPO_FILE_MAX, buf, NULL) != HATO_OK) return NULL;
  return hato__buf_text(buf);
}

/* True when word is one of a comma-separated list of n bytes. */
static bool listed(const char *list, size_t n, const char *word) {
  size_t len = strlen(word);
  for (size_t i = 0; i < n;) {
    const char *comma = memchr(list + i, ',', n - i);
    size_t part = comma ? (size_t)(comma - list) - i : n - i;
    if (part == len && memcmp(list + i, word, len) == 0) return true;
    i += part + 1;
  }
  return false;
}

/* The path of this process in the controller's hierarchy, from /proc/self/cgroup. */
static bool own_path(char *text, const char *controller, bool v2, char *out, size_t n) {
  char *save = NULL;
  for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    char *names = strchr(line, ':');
    char *path = names ? strchr(names + 1, ':') : NULL;
    if (!path) continue;
    size_t len = (size_t)(path - names - 1);
    if (v2 ? len == 0 && line[0] == '0' : listed(names + 1, len, controller))
      return snprintf(out, n, "%s", path + 1) < (int)n;
  }
  return false;
}

/* A line of mountinfo: id parent dev root mountpoint options [tags] - type source superoptions. */
static bool mount_line(char *line, const char *controller, bool v2, const char **root, const char **point) {
  char *dash = strstr(line, " - ");
  if (!dash) return false;
  *dash = '\0';
  char type[32], super[512];
  if (sscanf(dash + 3, "%31s %*s %511s", type, super) != 2) return false;
  if (strcmp(type, v2 ? "cgroup2" : "cgroup") != 0) return false;
  if (!v2 && !listed(super, strlen(super), controller)) return false;
  char *save = NULL;
  int i = 0;
  for (char *f = strtok_r(line, " ", &save); f; f = strtok_r(NULL, " ", &save), i++) {
    if (i == 3) *root = f;
    if (i == 4) *point = f;
  }
  return i >= 5;
}

static bool find_place(const topo_source *src, const char *controller, bool v2, cgroup_place *p) {
  const char *sys = src->root ? src->root : "";
  hato__buf buf = {0};
  char own[PATH_MAX];
  bool found = false;
  char *text = (char *)read_text(&buf, sys, "/proc/self/cgroup");
  if (!text || !own_path(text, controller, v2, own, sizeof own)) goto done;
  text = (char *)read_text(&buf, sys, "/proc/self/mountinfo");
  if (!text) goto done;
  char *save = NULL;
  for (char *line = strtok_r(text, "\n", &save); line && !found; line = strtok_r(NULL, "\n", &save)) {
    const char *root = NULL, *point = NULL;
    if (!mount_line(line, controller, v2, &root, &point)) continue;
    /* In a container the mount's root is our group seen from outside. */
    size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    const char *below = strncmp(own, root, len) == 0 ? own + len : "";
    if (strstr(below, "..")) below = "";
    found = snprintf(p->top, sizeof p->top, "%s%s", sys, point) < (int)sizeof p->top &&
            snprintf(p->at, sizeof p->at, "%s%s%s", sys, point, strcmp(below, "/") == 0 ? "" : below) <
                (int)sizeof p->at;
  }
  p->v2 = v2;
done:
  hato__buf_free(&buf);
  return found;
}

/* To the folder above; false at the mount point. */
static bool step_up(cgroup_place *p) {
  size_t top = strlen(p->top);
  char *slash = strrchr(p->at, '/');
  if (strlen(p->at) <= top || !slash || (size_t)(slash - p->at) < top) return false;
  *slash = '\0';
  return true;
}

static const char *read_at(hato__buf *buf, const cgroup_place *p, const char *file) {
  char path[PATH_MAX];
  if (snprintf(path, sizeof path, "/%s", file) >= (int)sizeof path) return NULL;
  return read_text(buf, p->at, path);
}

static unsigned quota_of(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return TOPO_UNLIMITED;
  long long cores = quota / period + (quota % period != 0);
  return cores < UINT32_MAX ? (unsigned)cores : TOPO_UNLIMITED;
}

static unsigned quota_at(const cgroup_place *p) {
  hato__buf buf = {0};
  long long quota = 0, period = 0;
  if (p->v2) {
    const char *text = read_at(&buf, p, "cpu.max");
    if (!text || sscanf(text, "%lld %lld", &quota, &period) != 2) quota = 0; /* "max …" is no number */
  } else {
    const char *text = read_at(&buf, p, "cpu.cfs_quota_us");
    if (text) quota = strtoll(text, NULL, 10);
    text = read_at(&buf, p, "cpu.cfs_period_us");
    if (text) period = strtoll(text, NULL, 10);
  }
  hato__buf_free(&buf);
  return quota_of(quota, period);
}

unsigned topo__quota(const topo_source *src) {
  unsigned least = TOPO_UNLIMITED;
  for (int v2 = 0; v2 <= 1; v2++) {
    cgroup_place p;
    if (!find_place(src, "cpu", v2 != 0, &p)) continue;
    do {
      unsigned here = quota_at(&p);
      if (here < least) least = here;
    } while (step_up(&p));
  }
  return least;
}

bool topo__cpu_list(const char *text, cpu_set_t *set, size_t size) {
  CPU_ZERO_S(size, set);
  for (const char *at = text; *at && *at != '\n';) {
    char *end;
    unsigned long first = strtoul(at, &end, 10), last = first;
    if (end == at) return false;
    if (*end == '-') {
      at = end + 1;
      last = strtoul(at, &end, 10);
      if (end == at || last < first) return false;
    }
    for (unsigned long i = first; i <= last && i < size * 8; i++) CPU_SET_S(i, size, set);
    if (*end != ',' && *end != '\n' && *end != '\0') return false;
    at = *end == ',' ? end + 1 : end;
  }
  return true;
}

void topo__cpuset(const topo_source *src, cpu_set_t *set, size_t size) {
  static const char *const files[2][2] = {{"cpuset.effective_cpus", "cpuset.cpus"},
                                          {"cpuset.cpus.effective", "cpuset.cpus"}};
  hato__buf buf = {0};
  cpu_set_t *here = CPU_ALLOC(size * 8);
  for (int v2 = 0; here && v2 <= 1; v2++) {
    cgroup_place p;
    if (!find_place(src, "cpuset", v2 != 0, &p)) continue;
    bool found = false;
    do { /* the nearest group that says so; its effective set is within those above */
      for (int i = 0; i < 2 && !found; i++) {
        const char *text = read_at(&buf, &p, files[v2][i]);
        found = text && topo__cpu_list(text, here, size) && CPU_COUNT_S(size, here) > 0;
      }
    } while (!found && step_up(&p));
    if (found) CPU_AND_S(size, set, set, here);
  }
  if (here) CPU_FREE(here);
  hato__buf_free(&buf);
}

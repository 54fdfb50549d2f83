#include "base/error.h"
#include "topo/internal.h"
#include <errno.h>
#include <hwloc.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

/* A core that may be used: those of its PUs that may. */
typedef struct topo_core {
  cpu_set_t *pus;
} topo_core;

struct topo {
  topo_core *cores; /* in the machine's order, so that neighbours share caches */
  unsigned n_cores;
  size_t size;         /* bytes of each set */
  unsigned machine;    /* cores of the whole machine */
  unsigned quota;      /* cores' worth of time, or TOPO_UNLIMITED */
  unsigned granted;    /* CPUs, or 0 */
  bool dealt, wrapped; /* by topo_deal */
  bool loose;          /* a grant that counts cores but does not say which: others may have the same */
  char grant_words[96];
  char how[256];
};

bool topo_bind_parse(const char *word, topo_bind *out) {
  static const char *const names[] = {"auto", "core", "none"};
  for (int i = 0; i < 3; i++)
    if (word && strcmp(word, names[i]) == 0) {
      *out = (topo_bind)i;
      return true;
    }
  return false;
}

void topo_destroy(topo *t) {
  if (!t) return;
  int saved = errno;
  for (unsigned i = 0; i < t->n_cores; i++) CPU_FREE(t->cores[i].pus);
  free(t->cores);
  free(t);
  errno = saved;
}

void topo_set_free(topo_set *s) {
  if (s->set) CPU_FREE(s->set);
  *s = (topo_set){0};
}

/* The kernel refuses a mask smaller than its own, whose size it does not tell. */
static cpu_set_t *affinity(size_t *size) {
  for (size_t bits = 1024; bits <= 1u << 20; bits *= 2) {
    cpu_set_t *set = CPU_ALLOC(bits);
    if (!set) return NULL;
    *size = CPU_ALLOC_SIZE(bits);
    if (sched_getaffinity(0, *size, set) == 0) return set;
    CPU_FREE(set);
    if (errno != EINVAL) return NULL;
  }
  return NULL;
}

static cpu_set_t *everything(size_t *size) {
  cpu_set_t *set = CPU_ALLOC(4096);
  if (!set) return NULL;
  *size = CPU_ALLOC_SIZE(4096);
  memset(set, 0xff, *size);
  return set;
}

/* hwloc's view of cores and PUs, nothing else: no devices, caches, distances, and
 * not its x86 backend, which visits every PU. NULL: it could not tell. */
static hwloc_topology_t load(const topo_source *src) {
  hwloc_topology_t hw = NULL;
  const char *was = getenv("HWLOC_PLUGINS_PATH");
  char *old = was ? strdup(was) : NULL;
  setenv("HWLOC_PLUGINS_PATH", "", 1);
  int rc = hwloc_topology_init(&hw);
  if (old)
    setenv("HWLOC_PLUGINS_PATH", old, 1);
  else
    unsetenv("HWLOC_PLUGINS_PATH");
  free(old);
  if (rc != 0) return NULL;
  hwloc_topology_set_components(hw, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, "x86");
  hwloc_topology_set_all_types_filter(hw, HWLOC_TYPE_FILTER_KEEP_NONE);
  hwloc_topology_set_type_filter(hw, HWLOC_OBJ_CORE, HWLOC_TYPE_FILTER_KEEP_ALL);
  hwloc_topology_set_flags(hw, HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS |
                                   HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS | HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED);
  if ((src->synthetic && hwloc_topology_set_synthetic(hw, src->synthetic) != 0) ||
      hwloc_topology_load(hw) != 0) {
    hwloc_topology_destroy(hw);
    return NULL;
  }
  return hw;
}

/* Adds the core whose PUs are given when one of them is allowed; false: no memory. */
static bool add_core(topo *t, hwloc_const_cpuset_t pus, const cpu_set_t *allowed) {
  cpu_set_t *set = CPU_ALLOC(t->size * 8);
  topo_core *grown = realloc(t->cores, (t->n_cores + 1) * sizeof *grown);
  if (grown) t->cores = grown;
  if (!grown || !set) {
    if (set) CPU_FREE(set);
    return false;
  }
  CPU_ZERO_S(t->size, set);
  int pu = -1;
  while ((pu = hwloc_bitmap_next(pus, pu)) >= 0)
    if ((size_t)pu < t->size * 8 && CPU_ISSET_S((size_t)pu, t->size, allowed))
      CPU_SET_S((size_t)pu, t->size, set);
  if (CPU_COUNT_S(t->size, set) == 0)
    CPU_FREE(set);
  else
    t->cores[t->n_cores++].pus = set;
  return true;
}

static bool add_cores(topo *t, hwloc_topology_t hw, const cpu_set_t *allowed) {
  hwloc_obj_type_t type = hwloc_get_nbobjs_by_type(hw, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
  hwloc_obj_t core = NULL;
  while ((core = hwloc_get_next_obj_by_type(hw, type, core))) {
    if (!add_core(t, core->cpuset, allowed)) return false;
    t->machine++;
  }
  return true;
}

/* Without hwloc: each allowed PU is a core. */
static bool add_pus(topo *t, const cpu_set_t *allowed) {
  hwloc_bitmap_t one = hwloc_bitmap_alloc();
  bool ok = one != NULL;
  for (unsigned i = 0; ok && i < t->size * 8; i++) {
    if (!CPU_ISSET_S(i, t->size, allowed)) continue;
    ok = hwloc_bitmap_only(one, i) == 0 && add_core(t, one, allowed);
    t->machine++;
  }
  hwloc_bitmap_free(one);
  return ok;
}

unsigned topo_cores(const topo *t) {
  unsigned n = t->n_cores;
  if (t->quota < n) n = t->quota;
  if (t->granted && t->granted < n) n = t->granted;
  return n ? n : 1;
}

bool topo_granted(const topo *t) { return t->granted > 0; }
const char *topo_how(const topo *t) { return t->how; }

static void describe(topo *t, unsigned before) {
  unsigned cores = topo_cores(t);
  hato__buf b = {0};
  hato__buf_printf(&b, "%u of %u core%s", cores, t->machine, t->machine == 1 ? "" : "s");
  const char *sep = ": ";
  if (before < t->machine) {
    hato__buf_printf(&b, "%saffinity leaves %u", sep, before);
    sep = ", ";
  }
  if (t->quota != TOPO_UNLIMITED) {
    hato__buf_printf(&b, "%sa CPU quota of %u", sep, t->quota);
    sep = ", ";
  }
  if (t->granted) {
    hato__buf_printf(&b, "%s%s", sep, t->grant_words);
    sep = ", ";
  }
  if (t->dealt)
    hato__buf_printf(&b, "%sa share of %u%s", sep, t->n_cores, t->wrapped ? ", which others have too" : "");
  const char *text = hato__buf_text(&b);
  snprintf(t->how, sizeof t->how, "%s", text ? text : "");
  hato__buf_free(&b);
}

hato_status topo_probe(const topo_source *source, topo **out, hato_error *err) {
  const topo_source src = source ? *source : (topo_source){0};
  *out = NULL;
  topo *t = calloc(1, sizeof *t);
  cpu_set_t *allowed = NULL;
  hwloc_topology_t hw = NULL;
  if (!t) return hato__fail(err, HATO_NO_MEMORY, "no memory to describe the machine");
  hato_status rc = HATO_NO_MEMORY;
  allowed = src.synthetic ? everything(&t->size) : affinity(&t->size);
  if (!allowed) goto fail;
  topo__cpuset(&src, allowed, t->size);
  t->quota = topo__quota(&src);
  t->granted = topo__grant(&src, t->grant_words, sizeof t->grant_words);
  hw = load(&src);
  bool ok = hw ? add_cores(t, hw, allowed) : true;
  if (ok && t->n_cores == 0) {
    t->machine = 0;
    ok = !src.synthetic && add_pus(t, allowed);
  }
  if (!ok || t->n_cores == 0) goto fail;
  t->loose = t->granted > 0 && t->granted < t->n_cores;
  describe(t, t->n_cores);
  if (hw) hwloc_topology_destroy(hw);
  CPU_FREE(allowed);
  *out = t;
  return HATO_OK;
fail:
  if (hw) hwloc_topology_destroy(hw);
  if (allowed) CPU_FREE(allowed);
  topo_destroy(t);
  return hato__fail(err, rc, "cannot find out which cores this process may use");
}

/* Keeps cores [from, from + n). */
static void keep(topo *t, unsigned from, unsigned n) {
  for (unsigned i = 0; i < t->n_cores; i++)
    if (i < from || i >= from + n) CPU_FREE(t->cores[i].pus);
  memmove(t->cores, t->cores + from, n * sizeof *t->cores);
  t->n_cores = n;
}

void topo_deal(topo *t, unsigned member, unsigned of) {
  if (of <= 1 || t->dealt) return;
  /* An unconfined grant is counted, not placed: only so many cores are dealt. */
  unsigned before = t->n_cores, cores = before;
  if (t->granted && t->granted < cores) cores = t->granted;
  member %= of;
  t->dealt = true;
  t->wrapped = of > cores;
  if (t->quota != TOPO_UNLIMITED) t->quota = (t->quota + of - 1) / of;
  unsigned share;
  if (t->wrapped) {
    keep(t, member % cores, 1);
    share = 1;
  } else {
    unsigned from = (unsigned)((uint64_t)cores * member / of),
             to = (unsigned)((uint64_t)cores * (member + 1) / of);
    keep(t, from, share = to - from);
  }
  if (t->granted > share) t->granted = share;
  describe(t, before);
}

bool topo_slot(const topo *t, topo_bind bind, unsigned slot, unsigned slots, topo_set *out) {
  *out = (topo_set){0};
  if (bind == TOPO_BIND_NONE || slots == 0 || slot >= slots) return false;
  bool alone = !t->loose && (t->dealt ? !t->wrapped : t->granted > 0);
  if (bind == TOPO_BIND_AUTO && !(alone && slots <= topo_cores(t))) return false;
  out->set = CPU_ALLOC(t->size * 8);
  if (!out->set) return false;
  out->size = t->size;
  CPU_ZERO_S(t->size, out->set);
  unsigned from = slot % t->n_cores, to = from + 1;
  if (slots <= t->n_cores) {
    from = (unsigned)((uint64_t)t->n_cores * slot / slots);
    to = (unsigned)((uint64_t)t->n_cores * (slot + 1) / slots);
  }
  for (unsigned i = from; i < to; i++) CPU_OR_S(t->size, out->set, out->set, t->cores[i].pus);
  return true;
}

#include "sched/map.h"

#include <string.h>

enum { BITS = 6, LEVELS_MAX = 11 }; /* 11 * 6 >= 64 */

static unsigned index_at(uint64_t key, unsigned level) { return (unsigned)(key >> (BITS * level)) & 63; }
static unsigned lowest(uint64_t bits) { return (unsigned)__builtin_ctzll(bits); }
static unsigned highest(uint64_t bits) { return 63u - (unsigned)__builtin_clzll(bits); }

/* Does a tree of so many levels have room for the key? */
static bool covers(unsigned levels, uint64_t key) {
  return levels >= LEVELS_MAX || key >> (BITS * levels) == 0;
}

void sched__map_init(s_map *m) {
  *m = (s_map){0};
  sched__pool_init(&m->nodes, sizeof(s_map_node));
}

void sched__map_fini(s_map *m) {
  sched__pool_fini(&m->nodes);
  sched__map_init(m);
}

/* Empty nodes are kept apart from the pool's own list, because they are known to be clear. */
static s_map_node *node_new(s_map *m) {
  s_map_node *n = m->spare;
  if (n) {
    m->spare = n->slot[0];
    n->slot[0] = NULL;
    return n;
  }
  n = sched__pool_get(&m->nodes);
  if (n) memset(n, 0, sizeof *n);
  return n;
}

static void node_free(s_map *m, s_map_node *n) {
  if (m->hot == n) m->hot = NULL;
  n->slot[0] = m->spare;
  m->spare = n;
}

/* Takes nodes that hold nothing off the path to the key, from the leaf up. */
static void prune(s_map *m, uint64_t key) {
  s_map_node *path[LEVELS_MAX];
  unsigned depth = 0;
  for (s_map_node *n = m->root; n && depth < m->levels; depth++) {
    path[depth] = n;
    n = depth + 1 < m->levels ? n->slot[index_at(key, m->levels - 1 - depth)] : NULL;
  }
  while (depth > 0 && path[depth - 1]->bits == 0) {
    node_free(m, path[--depth]);
    if (depth == 0) {
      m->root = NULL;
      m->levels = 0;
      return;
    }
    unsigned i = index_at(key, m->levels - depth);
    path[depth - 1]->bits &= ~((uint64_t)1 << i);
    path[depth - 1]->slot[i] = NULL;
  }
}

static bool make_root(s_map *m, uint64_t key) {
  if (!m->root) {
    m->levels = 1;
    while (!covers(m->levels, key)) m->levels++;
    m->root = node_new(m);
    if (!m->root) m->levels = 0;
    return m->root;
  }
  while (!covers(m->levels, key)) {
    s_map_node *up = node_new(m);
    if (!up) return false;
    up->bits = 1;
    up->slot[0] = m->root;
    m->root = up;
    m->levels++;
  }
  return true;
}

bool sched__map_set_slow(s_map *m, uint64_t key, void *value) {
  if (!make_root(m, key)) return false;
  s_map_node *n = m->root;
  for (unsigned level = m->levels - 1; level > 0; level--) {
    unsigned i = index_at(key, level);
    if (!n->slot[i]) {
      s_map_node *down = node_new(m);
      if (!down) {
        prune(m, key);
        return false;
      }
      n->slot[i] = down;
      n->bits |= (uint64_t)1 << i;
    }
    n = n->slot[i];
  }
  m->hot = n;
  m->hot_key = key >> BITS;
  return sched__map_set(m, key, value);
}

static s_map_node *leaf_of(const s_map *m, uint64_t key) {
  if (!m->root || !covers(m->levels, key)) return NULL;
  s_map_node *n = m->root;
  for (unsigned level = m->levels - 1; level > 0 && n; level--) n = n->slot[index_at(key, level)];
  return n;
}

void sched__map_del_slow(s_map *m, uint64_t key) {
  s_map_node *n = leaf_of(m, key);
  uint64_t bit = (uint64_t)1 << (key & 63);
  if (!n || !(n->bits & bit)) return;
  n->bits &= ~bit;
  n->slot[key & 63] = NULL;
  m->count--;
  if (n->bits == 0) {
    prune(m, key);
  } else {
    m->hot = n;
    m->hot_key = key >> BITS;
  }
}

void *sched__map_find(const s_map *m, uint64_t key) {
  s_map_node *n = leaf_of(m, key);
  return n ? n->slot[key & 63] : NULL;
}

static void *edge(const s_map_node *n, unsigned level, bool last) {
  for (;; level--) {
    void *v = n->slot[last ? highest(n->bits) : lowest(n->bits)];
    if (level == 0) return v;
    n = v;
  }
}

static void *floor_in(const s_map_node *n, unsigned level, uint64_t key) {
  unsigned i = index_at(key, level);
  if (n->slot[i]) {
    void *v = level == 0 ? n->slot[i] : floor_in(n->slot[i], level - 1, key);
    if (v) return v;
  }
  uint64_t below = n->bits & (((uint64_t)1 << i) - 1);
  if (!below) return NULL;
  void *v = n->slot[highest(below)];
  return level == 0 ? v : edge(v, level - 1, true);
}

void *sched__map_floor(const s_map *m, uint64_t key) {
  if (!m->root) return NULL;
  if (!covers(m->levels, key)) return edge(m->root, m->levels - 1, true);
  return floor_in(m->root, m->levels - 1, key);
}

static void *next_in(const s_map_node *n, unsigned level, uint64_t key) {
  unsigned i = index_at(key, level);
  if (n->slot[i]) {
    void *v = level == 0 ? n->slot[i] : next_in(n->slot[i], level - 1, key);
    if (v) return v;
  }
  uint64_t above = i == 63 ? 0 : n->bits >> (i + 1) << (i + 1);
  if (!above) return NULL;
  void *v = n->slot[lowest(above)];
  return level == 0 ? v : edge(v, level - 1, false);
}

void *sched__map_next(const s_map *m, uint64_t key) {
  if (!m->root || !covers(m->levels, key)) return NULL;
  if (m->hot && m->hot_key == key >> BITS && m->hot->slot[key & 63]) return m->hot->slot[key & 63];
  return next_in(m->root, m->levels - 1, key);
}

/*
 * An ordered map from task numbers to records: a radix tree of 64-way nodes. It is
 * shaped for keys that come in long ascending runs: neighbours share a leaf, and the
 * leaf used last is kept at hand.
 */
#ifndef HATO_SCHED_MAP_H
#define HATO_SCHED_MAP_H

#include "sched/pool.h"

typedef struct s_map_node {
  uint64_t bits; /* which slots are taken; a slot not taken is NULL */
  void *slot[64];
} s_map_node;

typedef struct s_map {
  s_map_node *root;
  unsigned levels;  /* of nodes; 0: empty tree */
  uint64_t hot_key; /* key >> 6 of `hot` */
  s_map_node *hot;
  s_map_node *spare; /* empty nodes, linked through slot[0] */
  uint64_t count;
  s_pool nodes;
} s_map;

void sched__map_init(s_map *m);
void sched__map_fini(s_map *m);
bool sched__map_set_slow(s_map *m, uint64_t key, void *value);
void sched__map_del_slow(s_map *m, uint64_t key);
void *sched__map_find(const s_map *m, uint64_t key);  /* NULL: none */
void *sched__map_floor(const s_map *m, uint64_t key); /* of the greatest key <= key */
void *sched__map_next(const s_map *m, uint64_t key);  /* of the least key >= key */

static inline void *sched__map_get(const s_map *m, uint64_t key) {
  if (m->hot && m->hot_key == key >> 6) return m->hot->slot[key & 63];
  return sched__map_find(m, key);
}
/* value is not NULL. false: out of memory, nothing changed. */
static inline bool sched__map_set(s_map *m, uint64_t key, void *value) {
  if (!m->hot || m->hot_key != key >> 6) return sched__map_set_slow(m, key, value);
  uint64_t bit = (uint64_t)1 << (key & 63);
  m->count += !(m->hot->bits & bit);
  m->hot->bits |= bit;
  m->hot->slot[key & 63] = value;
  return true;
}
static inline void sched__map_del(s_map *m, uint64_t key) {
  uint64_t bit = (uint64_t)1 << (key & 63);
  if (m->hot && m->hot_key == key >> 6 && (m->hot->bits & bit) && m->hot->bits != bit) {
    m->hot->bits &= ~bit;
    m->hot->slot[key & 63] = NULL;
    m->count--;
  } else {
    sched__map_del_slow(m, key);
  }
}

#endif

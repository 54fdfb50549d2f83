/* Queued tasks: every owner's first-in first-out queue of segs, and whose turn it is. */
#include "sched/internal.h"

/* ---- the tree of segs that are not a range's own: a treap by first. It is intrusive,
 * because a task that goes back to the queue must find its place without memory. ---- */

static void split(s_seg *t, uint64_t first, s_seg **less, s_seg **more) {
  while (t) {
    if (t->first < first) {
      *less = t;
      less = &t->right;
      t = t->right;
    } else {
      *more = t;
      more = &t->left;
      t = t->left;
    }
  }
  *less = *more = NULL;
}

static s_seg *join(s_seg *less, s_seg *more) {
  s_seg *root = NULL, **at = &root;
  while (less && more) {
    if (less->rank > more->rank) {
      *at = less;
      at = &less->right;
      less = less->right;
    } else {
      *at = more;
      at = &more->left;
      more = more->left;
    }
  }
  *at = less ? less : more;
  return root;
}

static void tree_add(sched *s, s_seg *g) {
  s->rank_seed = s->rank_seed * 1664525u + 1013904223u;
  g->rank = s->rank_seed >> 8;
  s_seg **at = &s->tree;
  while (*at && (*at)->rank >= g->rank) at = (*at)->first < g->first ? &(*at)->right : &(*at)->left;
  split(*at, g->first, &g->left, &g->right);
  *at = g;
}

static void tree_remove(sched *s, s_seg *g) {
  s_seg **at = &s->tree;
  while (*at != g) at = (*at)->first < g->first ? &(*at)->right : &(*at)->left;
  *at = join(g->left, g->right);
}

/* The first seg of the tree with a task >= task. */
static s_seg *tree_next(const sched *s, uint64_t task) {
  s_seg *best = NULL;
  for (s_seg *g = s->tree; g;) {
    if (sched__seg_last(g) >= task) {
      best = g;
      g = g->left;
    } else {
      g = g->right;
    }
  }
  return best;
}

s_seg *sched__seg_next(const sched *s, const s_range *r, uint64_t task) {
  s_seg *g = tree_next(s, task < r->first ? r->first : task);
  if (g && g->range != r) g = NULL;
  if (r->own.count && sched__seg_last(&r->own) >= task && (!g || r->own.first < g->first))
    g = sched__seg(&r->own.link);
  return g;
}

/* ---- owners' turns ---- */

void sched__owner_serve(sched *s, s_owner *o) {
  bool want = o->queued > 0 && !o->paused && !o->lost;
  if (want == hato__linked(&o->ring)) return;
  if (want) {
    hato__list_push(&s->ring, &o->ring);
    s->ready += o->queued;
  } else {
    hato__list_remove(&o->ring);
    s->ready -= o->queued;
  }
  o->turn = 0;
}

static void count_queued(sched *s, s_owner *o, int64_t n) {
  o->queued = (uint64_t)((int64_t)o->queued + n);
  s->queued = (uint64_t)((int64_t)s->queued + n);
  if (hato__linked(&o->ring)) s->ready = (uint64_t)((int64_t)s->ready + n);
  sched__owner_serve(s, o);
}

/* n tasks of it were sent: its turn ends after a quantum, unless it is alone. */
void sched__owner_turn(sched *s, s_owner *o, uint32_t quantum, uint32_t n) {
  if (!hato__linked(&o->ring)) return;
  if (o->turn == 0) o->turn = quantum;
  o->turn -= n < o->turn ? n : o->turn;
  if (o->turn > 0) return;
  hato__list_remove(&o->ring);
  hato__list_push(&s->ring, &o->ring);
}

/* ---- segs ---- */

void sched__enqueue(sched *s, s_range *r) {
  s_seg *g = &r->own;
  *g = (s_seg){.range = r, .first = r->first, .count = r->count, .attempt = 1};
  hato__list_push(&r->owner->queue, &g->link);
  count_queued(s, r->owner, g->count);
}

static void seg_free(sched *s, s_seg *g) {
  hato__list_remove(&g->link);
  if (g == &g->range->own) {
    g->count = 0;
  } else {
    tree_remove(s, g);
    sched__pool_put(&s->cell_pool, g);
  }
}

/* A seg before `at` in the queue. `cell` may be NULL only where the pool has one. */
static void seg_new(sched *s, const s_seg *like, hato__link *at, s_seg *cell) {
  s_range *r = like->range;
  s_seg *g = cell;
  bool own = !g && r->own.count == 0;
  if (own)
    g = &r->own;
  else if (!g)
    g = sched__pool_get(&s->cell_pool);
  *g = *like;
  hato__list_push(at, &g->link);
  if (!own) tree_add(s, g);
}

/* Does `b` go on where `a` ends? */
static bool continues(const s_seg *a, const s_seg *b) {
  return a->range == b->range && a->attempt == b->attempt && a->requeued == b->requeued &&
         a->first + a->count == b->first;
}

/* Was it submitted before? */
static bool older(const s_seg *a, const s_seg *b) {
  return a->range != b->range ? a->range->serial < b->range->serial : a->first < b->first;
}

/* Their place is behind the requeued ones that are older, as far as a short look goes:
 * what one daemon gives back comes in ascending pieces. The cell of a flight that
 * was just freed is in the pool, so this cannot fail. */
void sched__requeue(sched *s, s_range *r, uint64_t first, uint32_t count, uint32_t attempt) {
  s_owner *o = r->owner;
  s_seg new = {.range = r, .first = first, .count = count, .attempt = attempt, .requeued = true};
  hato__link *at = o->queue.next;
  for (int i = 0; i < 8 && at != &o->queue; i++, at = at->next)
    if (!sched__seg(at)->requeued || !older(sched__seg(at), &new)) break;
  s_seg *after = at != &o->queue ? sched__seg(at) : NULL;
  s_seg *before = at->prev != &o->queue ? sched__seg(at->prev) : NULL;
  if (before && continues(before, &new)) {
    before->count += count;
    if (after && continues(before, after)) {
      before->count += after->count;
      seg_free(s, after);
    }
  } else if (after && continues(&new, after)) {
    after->first -= count;
    after->count += count;
  } else {
    seg_new(s, &new, at, NULL);
  }
  count_queued(s, o, count);
}

void sched__seg_drop_front(sched *s, s_seg *g, uint32_t n) {
  s_owner *o = g->range->owner;
  g->first += n;
  g->count -= n;
  if (g->count == 0) {
    g->first -= n; /* where the tree knows it */
    seg_free(s, g);
  }
  count_queued(s, o, -(int64_t)n);
}

/* Takes [first, last], which lies within it, out of a seg. */
void sched__seg_cut(sched *s, s_seg *g, uint64_t first, uint64_t last, s_seg **spare) {
  s_owner *o = g->range->owner;
  uint32_t n = (uint32_t)(last - first + 1);
  if (first == g->first) {
    sched__seg_drop_front(s, g, n);
    return;
  }
  uint32_t behind = (uint32_t)(sched__seg_last(g) - last);
  g->count -= n + behind;
  if (behind) {
    s_seg rest = *g;
    rest.first = last + 1;
    rest.count = behind;
    seg_new(s, &rest, g->link.next, *spare);
    *spare = NULL;
  }
  count_queued(s, o, -(int64_t)n);
}

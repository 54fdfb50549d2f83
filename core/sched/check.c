/* The invariants, for tests: slow, complete, and telling what broke. */
#include "sched/internal.h"

#define MUST(condition, words)      \
  do {                              \
    if (!(condition)) return words; \
  } while (0)

/* ---- one flight, one daemon ---- */

static const char *check_flight(const sched *s, const s_flight *f, const s_daemon *d, bool running,
                                bool zombie) {
  MUST(f->daemon == d, "a flight in the list of a daemon that is not its own");
  MUST(sched__map_get(&s->flights, f->task) == f, "a flight that its number does not lead to");
  s_flight_state want = running ? FLIGHT_RUNNING : FLIGHT_SENT;
  if (!zombie) {
    MUST(f->state == want, "a flight's state is not that of its list");
    MUST(f->range && f->task >= f->range->first && f->task <= sched__range_last(f->range),
         "a flight outside its range");
  } else {
    MUST(f->state == FLIGHT_ZOMBIE_SENT || f->state == FLIGHT_ZOMBIE_RUNNING,
         "a living task among the zombies");
    MUST(!f->range && !f->heap && !f->limited, "a zombie that still has a range or a deadline");
  }
  MUST(f->attempt >= 1, "a flight that is no attempt");
  MUST(!f->heap || (f->heap <= s->heap_n && s->heap[f->heap - 1].who == f),
       "a flight's deadline is not its own");
  MUST(f->state != FLIGHT_RUNNING || !f->limited || f->heap, "a running task without its time limit");
  return NULL;
}

typedef struct tally {
  uint64_t n, backlog, zombie_sent, zombie_running;
} tally;

static const char *check_list(const sched *s, const s_daemon *d, const hato__link *list, bool running,
                              bool zombie, tally *t) {
  for (const hato__link *l = list->next; l != list; l = l->next) {
    const s_flight *f = sched__flight(l);
    MUST(l->next->prev == l && l->prev->next == l, "a broken list of flights");
    const char *bad = check_flight(s, f, d, running, zombie);
    if (bad) return bad;
    t->n++;
    t->backlog += f->expect_ns;
    t->zombie_sent += f->state == FLIGHT_ZOMBIE_SENT;
    t->zombie_running += f->state == FLIGHT_ZOMBIE_RUNNING;
  }
  return NULL;
}

static const char *check_flights_of(const sched *s, const s_daemon *d) {
  tally sent = {0}, running = {0}, zombies = {0};
  const char *bad = check_list(s, d, &d->sent, false, false, &sent);
  if (!bad) bad = check_list(s, d, &d->running, true, false, &running);
  if (!bad) bad = check_list(s, d, &d->zombies, false, true, &zombies);
  if (!bad) bad = check_list(s, d, &d->due, false, true, &zombies);
  if (bad) return bad;
  MUST(sent.n == d->sent_n, "a daemon's count of sent tasks");
  MUST(sent.backlog == d->backlog_ns, "a daemon's backlog");
  MUST(running.n == d->running_n, "a daemon's count of running tasks");
  MUST(zombies.zombie_sent == d->zombie_sent_n, "a daemon's count of cancelled tasks not started");
  MUST(zombies.zombie_running == d->zombie_running_n, "a daemon's count of slots that cancelled tasks hold");
  return NULL;
}

static const char *check_places(const sched *s, const s_daemon *d) {
  uint8_t level = sched__free_level(d), backlog = sched__backlog_level(d);
  MUST(d->free_level == level, "a daemon in the wrong list of free slots");
  MUST(d->free == (level ? d->slots - sched__in_slots(d) : 0), "a daemon's free slots");
  MUST(hato__linked(&d->free_link) == (level != 0), "a daemon with free slots in no list, or without in one");
  MUST(d->backlog_level == backlog, "a daemon in the wrong list of backlogs");
  MUST(hato__linked(&d->backlog_link) == (backlog != 0),
       "a daemon with a backlog in no list, or without in one");
  MUST(hato__linked(&d->stall_link) == (backlog != 0), "a daemon with a backlog that nobody watches");
  MUST(!hato__linked(&d->hungry_link) || sched__usable(d), "an unusable daemon is hungry");
  MUST(!d->taking || (!d->disconnected && !d->lost), "a TAKE from a daemon that is not there");
  MUST(!d->lost || hato__linked(&d->work_link), "a lost daemon that nobody clears");
  MUST(d->lost || (d->heap != 0) == d->disconnected, "a grace that does not end, or without a disconnection");
  MUST(!d->heap || s->heap[d->heap - 1].who == d, "a daemon's deadline is not its own");
  MUST(d->lost || d->disconnected || hato__list_empty(&d->due) || hato__linked(&d->work_link),
       "an INTERRUPT that is never said");
  return NULL;
}

static const char *check_daemon(const sched *s, const s_daemon *d) {
  MUST((uint64_t)sched__in_slots(d) - d->zombie_running_n <=
           (uint64_t)d->slots * (1 + (uint64_t)s->cfg.ahead_max),
       "more sent than slots and what may go ahead");
  const char *bad = check_places(s, d);
  return bad ? bad : check_flights_of(s, d);
}

const char *sched_check_daemon(const sched *s, sched_daemon handle) {
  const s_daemon *d = sched__table_get(&s->daemons, handle);
  return d ? check_daemon(s, d) : NULL;
}

/* ---- one task ---- */

const char *sched_check_task(const sched *s, uint64_t task) {
  const s_range *r = sched__map_floor(&s->ranges, task);
  if (r && task - r->first >= r->count) r = NULL;
  const s_flight *f = sched__map_get(&s->flights, task);
  MUST(!f || f->task == task, "a number that leads to another's flight");
  MUST(!f || !f->range || f->range == r, "a flight of a range that is not kept");
  MUST(!f || hato__linked(&f->link), "a flight in no list");
  if (!r) return NULL;
  bool own = r->own.count && task >= r->own.first && task <= sched__seg_last(&r->own), extra = false;
  for (const s_seg *g = s->tree; g;) {
    extra = task >= g->first && task <= sched__seg_last(g);
    if (extra) {
      MUST(g->range == r, "queued for another range");
      break;
    }
    g = task < g->first ? g->left : g->right;
  }
  MUST(own + extra + (f && f->range) <= 1, "a task in two states");
  MUST(r->unresolved > 0 || own + extra + (f && f->range) == 0, "an unresolved task of a resolved range");
  return NULL;
}

/* ---- everything ---- */

static const char *check_tree(const s_seg *g, uint64_t *last, uint64_t *n) {
  if (!g) return NULL;
  const char *bad = check_tree(g->left, last, n);
  if (bad) return bad;
  MUST(g->first > *last, "segs that overlap, or are out of order");
  MUST((!g->left || g->left->rank <= g->rank) && (!g->right || g->right->rank <= g->rank),
       "segs out of rank");
  MUST(g != &g->range->own, "a range's own seg in the tree");
  *last = sched__seg_last(g);
  ++*n;
  return check_tree(g->right, last, n);
}

static const char *check_seg(const sched *s, const s_owner *o, const s_seg *g) {
  const s_range *r = g->range;
  MUST(r->owner == o, "a seg in another owner's queue");
  MUST(g->count > 0 && g->first >= r->first && sched__seg_last(g) <= sched__range_last(r),
       "a seg outside its range");
  MUST(g->attempt >= 1 && (g->attempt == 1) == !g->requeued, "a seg's attempt");
  MUST(r->own.count == 0 || g == &r->own || sched__seg_last(g) < r->own.first ||
           g->first > sched__seg_last(&r->own),
       "a task queued twice");
  MUST(sched__seg_next(s, r, g->first) == g, "a seg that its number does not lead to");
  const s_flight *f = sched__map_next(&s->flights, g->first); /* a zombie would not do either */
  MUST(!f || f->task > sched__seg_last(g), "a task queued and sent");
  return NULL;
}

static const char *check_owner(const sched *s, s_owner *o, uint64_t *extra_segs) {
  uint64_t queued = 0, unresolved = 0;
  for (hato__link *l = o->ranges.next; l != &o->ranges; l = l->next) {
    s_range *r = HATO__ENTRY(l, s_range, link);
    MUST(r->owner == o && r->unresolved > 0, "a range in the wrong list");
    MUST(sched__map_get(&s->ranges, r->first) == r, "a range that its number does not lead to");
    r->tally = 0;
    unresolved += r->unresolved;
  }
  for (hato__link *l = o->queue.next; l != &o->queue; l = l->next) {
    s_seg *g = sched__seg(l);
    const char *bad = check_seg(s, o, g);
    if (bad) return bad;
    queued += g->count;
    g->range->tally += g->count;
    *extra_segs += g != &g->range->own;
  }
  MUST(queued == o->queued, "an owner's count of queued tasks");
  MUST(unresolved == o->unresolved, "an owner's count of unresolved tasks");
  MUST(hato__linked(&o->ring) == (o->queued > 0 && !o->paused && !o->lost), "an owner's turn");
  MUST(!o->lost || hato__linked(&o->work), "a lost owner that nobody clears");
  return NULL;
}

static const char *check_owners(const sched *s) {
  uint64_t queued = 0, ready = 0, kept = 0, owners = 0, extra = 0, tree = 0, last = 0;
  for (uint32_t i = 1; i < s->owners.count; i++) {
    s_owner *o = s->owners.at[i].record;
    if (!o) continue;
    const char *bad = check_owner(s, o, &extra);
    if (bad) return bad;
    owners++;
    queued += o->queued;
    ready += hato__linked(&o->ring) ? o->queued : 0;
    kept += o->kept;
  }
  const char *bad = check_tree(s->tree, &last, &tree);
  if (bad) return bad;
  MUST(tree == extra, "segs in the tree but in no queue, or the other way round");
  MUST(owners == s->owners_n, "the count of owners");
  MUST(queued == s->queued && ready == s->ready, "the count of queued tasks");
  MUST(kept == s->ranges.count, "the count of ranges");
  return NULL;
}

typedef struct sums {
  uint64_t sent, running, zombies, zombies_running, free, free_n, takes, limited, daemons, slots, usable,
      usable_slots, draining;
} sums;

static void add_daemon(sums *t, const s_daemon *d) {
  t->sent += d->sent_n;
  t->running += d->running_n;
  t->zombies += d->zombie_sent_n + d->zombie_running_n;
  t->zombies_running += d->zombie_running_n;
  t->free += d->free;
  t->free_n += d->free > 0;
  t->takes += d->taking;
  if (d->lost) return;
  t->daemons++;
  t->slots += d->slots;
  t->draining += d->draining;
  t->usable += sched__usable(d);
  t->usable_slots += sched__usable(d) ? d->slots : 0;
}

static void tally_flights(const hato__link *list, sums *t) {
  for (const hato__link *l = list->next; l != list; l = l->next) {
    s_flight *f = sched__flight(l);
    f->range->tally++;
    t->limited += f->limited;
  }
}

static const char *check_daemons(const sched *s) {
  sums t = {0};
  for (uint32_t i = 1; i < s->daemons.count; i++) {
    const s_daemon *d = s->daemons.at[i].record;
    if (!d) continue;
    const char *bad = check_daemon(s, d);
    if (bad) return bad;
    add_daemon(&t, d);
    tally_flights(&d->sent, &t);
    tally_flights(&d->running, &t);
  }
  MUST(t.sent == s->sent && t.running == s->running, "the counts of sent and running tasks");
  MUST(t.zombies_running == s->zombies_running, "the count of slots that cancelled tasks hold");
  MUST(t.sent + t.running + t.zombies == s->flights.count, "flights of no daemon");
  MUST(t.free == s->free_slots && t.free_n == s->free_daemons, "the count of free slots");
  MUST(t.takes == s->takes, "the count of TAKEs");
  MUST(t.limited == s->limited, "the count of tasks with a time limit");
  MUST(t.daemons == s->daemons_n && t.slots == s->daemon_slots && t.draining == s->draining_n,
       "the count of daemons");
  MUST(t.usable == s->usable_daemons && t.usable_slots == s->usable_slots, "the count of usable daemons");
  return NULL;
}

static const char *check_ranges(const sched *s) {
  for (uint32_t i = 1; i < s->owners.count; i++) {
    const s_owner *o = s->owners.at[i].record;
    if (!o) continue;
    for (const hato__link *l = o->ranges.next; l != &o->ranges; l = l->next) {
      const s_range *r = HATO__ENTRY(l, s_range, link);
      MUST(r->tally == r->unresolved, "tasks of a range are lost, or in two states");
    }
  }
  for (const hato__link *l = s->releases.next; l != &s->releases; l = l->next)
    MUST(HATO__ENTRY(l, s_range, link)->unresolved == 0, "an unresolved range to be released");
  return NULL;
}

static const char *check_lists(const sched *s) {
  for (unsigned i = 0; i < FREE_LEVELS; i++)
    MUST(hato__list_empty(&s->free_at[i]) == !(s->free_mask >> i & 1), "the map of free daemons");
  for (unsigned i = 0; i + 1 < BACKLOG_LEVELS; i++)
    MUST(hato__list_empty(&s->backlog_at[i]) == !(s->backlog_mask >> i & 1), "the map of backlogs");
  uint64_t since = 0;
  for (const hato__link *l = s->stalling.next; l != &s->stalling; l = l->next) {
    const s_daemon *d = HATO__ENTRY(l, s_daemon, stall_link);
    MUST(d->since_ns >= since, "backlogs out of their order in time");
    since = d->since_ns;
  }
  for (uint32_t i = 0; i < s->heap_n; i++) {
    const s_deadline *h = &s->heap[i];
    MUST(i == 0 || s->heap[(i - 1) / 4].at <= h->at, "deadlines out of order");
    uint32_t place = h->is_daemon ? ((const s_daemon *)h->who)->heap : ((const s_flight *)h->who)->heap;
    MUST(place == i + 1, "a deadline that does not know its place");
  }
  return NULL;
}

const char *sched_check(const sched *s) {
  const char *bad = check_owners(s);
  if (!bad) bad = check_daemons(s);
  if (!bad) bad = check_ranges(s);
  if (!bad) bad = check_lists(s);
  return bad;
}

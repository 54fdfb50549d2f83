/*
 * What the files of the life of launches share.
 *
 *   line    launches that replace each other's failed members: rules, the row of
 *           failures, the round that waits for its back-off
 *   launch  its members, in arrays: a byte, a time and the links of a list each
 *
 * All members of a launch have the same time to connect and time never goes back, so
 * those that began stand in the order of their time-outs when each joins at the end:
 * a launch's list is its own timer, and one heap holds the first time-out of each
 * launch and the back-off of each line. Room in the heap is had when a launch is
 * added: no event can fail.
 */
#ifndef HATO_SCHED_LAUNCH_PARTS_H
#define HATO_SCHED_LAUNCH_PARTS_H

#include "base/list.h"
#include "sched/launches.h"
#include "sched/map.h"

/* The byte of a member: its state, and */
enum {
  MEMBER_STATE = 7,
  MEMBER_LINGERS = 8,   /* ENDED, as its launcher says, and its connection is still there */
  MEMBER_COUNTED = 16,  /* its failure was counted: it has no other */
  MEMBER_EXCUSED = 32,  /* it said goodbye, was cancelled, can never run: its end is no failure */
  MEMBER_LISTED = 64,   /* STARTING: among those awaited. QUEUED: among those to be ended */
  MEMBER_HOPELESS = 128 /* QUEUED: it was put among those to be ended, once */
};

typedef struct s_due {
  uint64_t at;
  uint32_t place; /* in the heap, from 1; 0: none */
  bool line;      /* it stands in an s_line, else in an s_launch */
} s_due;

typedef struct s_line {
  s_due due; /* of the back-off */
  hato__link all, giving_up;
  uint64_t id; /* of its first launch */
  sched_launch_rules rules;
  uint64_t round;    /* that waits, or waited last */
  uint32_t pending;  /* members that failed in it; 0: no round waits */
  uint32_t crashes;  /* rounds that failed in a row */
  uint32_t launches; /* live */
  uint32_t owed;     /* REPLACE was handed out, its launch not yet added */
  bool given_up;
} s_line;

typedef struct s_awaited { /* numbers of members; UINT32_MAX: none */
  uint32_t first, last;
} s_awaited;

typedef struct s_member_links {
  uint32_t prev, next;
} s_member_links;

typedef struct s_launch {
  s_due due; /* the first of both lists */
  hato__link all, over;
  uint64_t id;
  s_line *line;
  uint32_t count;
  uint32_t gone; /* ENDED, and without a connection */
  uint32_t by_state[SCHED_MEMBER_ENDED + 1];
  s_awaited starting; /* by since */
  s_awaited hopeless;
  uint64_t round; /* of its line, in which it had... */
  uint32_t failed;
  bool cancelled; /* nothing of it is awaited, listed or a failure any more */
  uint64_t *since;
  s_member_links *links;
  uint8_t *member;
} s_launch;

struct sched_launches {
  uint64_t now;
  s_map launches, lines; /* by id */
  hato__link all_launches, all_lines;
  hato__link over;      /* launches */
  hato__link giving_up; /* lines */
  s_due **heap;
  uint32_t heap_n, heap_cap, holders; /* holders: launches and lines, each with a place in it reserved */
};

static inline sched_member_state sched__member_state(const s_launch *g, uint32_t m) {
  return (sched_member_state)(g->member[m] & MEMBER_STATE);
}
static inline s_launch *sched__launch(const sched_launches *l, uint64_t id) {
  return sched__map_get(&l->launches, id);
}

/* ---- launch_lines.c ---- */
/* NULL: no memory. */
s_line *sched__line_new(sched_launches *l, uint64_t id, const sched_launch_rules *rules);
void sched__line_free(sched_launches *l, s_line *line);
void sched__line_settle(sched_launches *l, s_line *line); /* frees it when nothing of it is left */
void sched__line_failed(sched_launches *l, s_launch *g);  /* one more member */
void sched__line_forgive(sched_launches *l, s_launch *g); /* what failed of it and was not replaced yet */
void sched__line_give_up(sched_launches *l, s_line *line, bool say);
void sched__line_replace(sched_launches *l, s_line *line, sched_launch_action *out);

/* ---- launch_due.c ---- */
bool sched__due_reserve(sched_launches *l, uint32_t holders);
void sched__due_set(sched_launches *l, s_due *d, uint64_t at); /* UINT64_MAX: never */
static inline uint64_t sched__later(uint64_t at, uint64_t ns) {
  return at > UINT64_MAX - ns ? UINT64_MAX : at + ns;
}

/* ---- launch_members.c ---- */
/* NULL: no memory. */
s_launch *sched__launch_new(sched_launches *l, uint64_t id, uint32_t count, s_line *line);
void sched__launch_free(sched_launches *l, s_launch *g);
void sched__member_set(sched_launches *l, s_launch *g, uint32_t m, sched_member_state state);
void sched__member_fail(sched_launches *l, s_launch *g, uint32_t m);
void sched__member_hopeless(sched_launches *l, s_launch *g, uint32_t m);
void sched__member_gone(sched_launches *l, s_launch *g); /* one is ENDED and has no connection */
void sched__launch_unlist(sched_launches *l, s_launch *g);
void sched__launch_end_member(sched_launches *l, s_launch *g, sched_launch_action *out); /* one is due */

#endif

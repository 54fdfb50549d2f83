/*
 * Who waits to be admitted: how many there may be, and who makes room for the next.
 *
 * Whoever comes is accepted at once, so that a peer of ours is never behind a flood in the
 * kernel's queue, which is short. Room for it is made by who has had its time: a peer of ours
 * says HELLO as soon as it is connected, and proves itself a round trip later. Those who have
 * said HELLO and those who have not have half of the places each, and give way to their own:
 * strangers that keep silent, or stammer, never cost one of ours its place, and strangers who
 * know the protocol cost those their places only who are as new as they are. All give way the
 * oldest first, and none before a moment has passed: a flood then waits in the kernel, and
 * how fast it is served, and what that costs, has a limit too.
 */
#include "net/listener.h"
#include "base/clock.h"

#include <sys/resource.h>

/* Descriptors are for those who are admitted: strangers have a quarter of them at most. */
static unsigned most_waiting(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0 || r.rlim_cur / 4 >= NET_UNADMITTED_MAX) return NET_UNADMITTED_MAX;
  return r.rlim_cur < 64 ? 16 : (unsigned)(r.rlim_cur / 4);
}

void net__crowd_init(net_listener *l) {
  hato__list_init(&l->silent);
  hato__list_init(&l->greeted);
  hato__list_init(&l->leaving);
  l->most = most_waiting();
}

static net__place *first_of(hato__link *list) {
  return hato__list_empty(list) ? NULL : HATO__ENTRY(list->next, net__place, link);
}

/* Out of the list of those who may stay. */
static void take_out(net_listener *l, net__place *p) {
  hato__list_remove(&p->link);
  if (p->told) return;
  if (p->greeted)
    l->n_greeted--;
  else
    l->n_silent--;
}

static void tell_to_leave(net_listener *l, net__place *p, const char *why) {
  take_out(l, p);
  p->told = true;
  hato__list_push(&l->leaving, &p->link);
  net_close(p->c, HATO_TIMED_OUT, why);
}

static uint64_t stay_of(const net_listener *l, bool silent) {
  return !silent ? NET_GREETED_NS : l->kind == HATO__SCHEME_TLS ? NET_HANDSHAKE_NS : NET_SILENT_NS;
}

/* Until so many are left, or the others are too new. */
static void make_room(net_listener *l, uint64_t now, unsigned keep) {
  while (l->n_silent + l->n_greeted > keep) {
    bool silent = l->n_greeted <= keep / 2;
    net__place *p = first_of(silent ? &l->silent : &l->greeted);
    if (p == NULL || now - p->stayed < stay_of(l, silent)) return;
    tell_to_leave(l, p,
                  silent ? "kept silent while others waited to be admitted"
                         : "did not prove itself while others waited to be admitted");
  }
}

/* Some places are for those who were told to leave and have not yet. */
static unsigned may_stay(const net_listener *l) { return l->most - l->most / 8; }

void net__crowd_join(net_listener *l, net__place *p, net_conn *c) {
  uint64_t now = hato__now();
  *p = (net__place){.c = c, .since = now, .stayed = now};
  pthread_mutex_lock(&l->lock);
  hato__list_push(&l->silent, &p->link);
  l->n_silent++;
  l->n_waiting++;
  make_room(l, now, may_stay(l));
  pthread_mutex_unlock(&l->lock);
}

void net__crowd_greeted(net_listener *l, net__place *p) {
  pthread_mutex_lock(&l->lock);
  if (!p->greeted && !p->told) {
    take_out(l, p);
    p->greeted = true;
    p->stayed = hato__now();
    hato__list_push(&l->greeted, &p->link);
    l->n_greeted++;
  }
  pthread_mutex_unlock(&l->lock);
}

void net__crowd_leave(net_listener *l, net__place *p) {
  take_out(l, p);
  l->n_waiting--;
}

static void expire(net_listener *l, hato__link *list, uint64_t now) {
  for (hato__link *at = list->next, *next; at != list; at = next) {
    net__place *p = HATO__ENTRY(at, net__place, link);
    next = at->next;
    if (now - p->since >= NET_ADMISSION_NS) tell_to_leave(l, p, "was not admitted in 10 seconds");
  }
}

void net__crowd_expire(net_listener *l, uint64_t now) {
  expire(l, &l->silent, now);
  expire(l, &l->greeted, now);
  if (l->paused_until != 0) /* theirs are descriptors that are missing */
    make_room(l, now, l->most / 8);
  else if (l->crowded)
    make_room(l, now, may_stay(l));
}

void net__crowd_close_all(net_listener *l) {
  hato__link *lists[] = {&l->silent, &l->greeted};
  for (int i = 0; i < 2; i++)
    for (hato__link *at = lists[i]->next; at != lists[i]; at = at->next)
      net_close(HATO__ENTRY(at, net__place, link)->c, HATO_CLOSED, "the listener was closed");
}

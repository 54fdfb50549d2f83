/* Which member starts on which host, and with which share of its cores. */
#include "ssh.h"

#include <stdlib.h>
#include <string.h>

ssh_tunnel ssh_tunnel_of(const hato_host *h, const hato_launcher_options *o) {
  static const ssh_tunnel of[] = {SSH_DIRECT, SSH_PORT, SSH_SOCKET, SSH_DIRECT,
                                  SSH_PORT}; /* as ssh.c has them */
  int i = h->option_enum(h, o, "tunnel");
  return i >= 0 && (size_t)i < sizeof of / sizeof *of ? of[i] : SSH_DIRECT;
}

/* Loopback before others: nothing else need be listened at. Never the local socket, which trusts whoever
 * reaches it. */
static const char *target_url(const hato_launch_request *r, ssh_tunnel tunnel) {
  const char *any = NULL;
  for (const char *const *u = r->dial_urls; *u != NULL; u++) {
    if (!ssh_can_tunnel(*u, tunnel)) continue;
    if (strstr(*u, "://127.") != NULL || strstr(*u, "://[::1]") != NULL || strstr(*u, "://localhost") != NULL)
      return *u;
    if (any == NULL) any = *u;
  }
  return any;
}

typedef struct turn {             /* a host */
  uint64_t load, listings, place; /* place: from 1; 0: it has none yet */
} turn;

/* Round-robin over the listings; with daemons there from before, those that have fewest first, so that
 * what replaces one that ended starts where that was. */
static uint32_t least(const turn *t, uint32_t n) {
  uint32_t best = 0;
  for (uint32_t i = 1; i < n; i++) {
    if (t[i].load * t[best].listings < t[best].load * t[i].listings) best = i;
  }
  return best;
}

/* Cores are dealt as to daemons of one machine. Who replaces one takes the share that became free. */
static void deal_cores(const ssh_state *st, const ssh_job *j, const ssh_session *s, uint32_t fresh) {
  uint32_t of = 0;
  bool *taken = NULL;
  for (const ssh_job *o = st->jobs; o != NULL; o = o->next) {
    for (uint32_t i = 0; i < o->count; i++) {
      const ssh_member *m = &o->members[i];
      if (o != j && m->session == s && m->share_of > of) of = m->share_of;
    }
  }
  uint32_t before = s->live - fresh;
  if (of < before + fresh) of = fresh; /* no room between them: dealt anew */
  if (of > 1) taken = calloc(of, sizeof *taken);
  for (const ssh_job *o = st->jobs; taken != NULL && o != NULL; o = o->next) {
    for (uint32_t i = 0; i < o->count; i++) {
      const ssh_member *m = &o->members[i];
      if (o != j && m->session == s && m->share_of == of && m->share < of) taken[m->share] = true;
    }
  }
  uint32_t next = 0;
  for (uint32_t i = 0; taken != NULL && i < j->count; i++) {
    ssh_member *m = &j->members[i];
    if (m->session != s) continue;
    while (next < of && taken[next]) next++;
    m->share = next < of ? next++ : 0;
    m->share_of = of;
  }
  free(taken);
}

int ssh_job_deal(ssh_state *st, const hato_host *h, ssh_job *j, const ssh_hosts *hosts,
                 const hato_launch_request *r) {
  turn *turns = h->alloc(h, hosts->n * sizeof *turns);
  uint32_t *fresh = h->alloc(h, hosts->n * sizeof *fresh);
  if (turns == NULL || fresh == NULL) return h->fail(h, HATO_NO_MEMORY, "no memory to deal daemons to hosts");
  ssh_wish w = {.tunnel = ssh_tunnel_of(h, r->options)};
  w.url = target_url(r, w.tunnel);
  for (uint32_t i = 0; i < hosts->n; i++) {
    w.host = &hosts->hosts[i];
    const ssh_session *s = ssh_session_find(st, h, r->options, &w);
    turns[i] = (turn){.load = s != NULL ? s->live : 0, .listings = hosts->hosts[i].listings};
  }
  for (uint32_t i = 0; i < j->count; i++) {
    uint32_t k = least(turns, hosts->n);
    if (turns[k].place == 0) {
      w.host = &hosts->hosts[k];
      ssh_session *s = ssh_session_get(st, h, r->options, &w);
      if (s == NULL) return HATO_INVALID;
      j->places[j->n_places++].session = s;
      turns[k].place = j->n_places;
    }
    ssh_take(&j->members[i], j->places[turns[k].place - 1].session);
    turns[k].load++;
    fresh[turns[k].place - 1]++;
  }
  for (uint32_t i = 0; i < j->n_places; i++) deal_cores(st, j, j->places[i].session, fresh[i]);
  return HATO_OK;
}

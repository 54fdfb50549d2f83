/* The status object. */
#include "dispatcher/internal.h"

#include "base/version.h"
#include <unistd.h>

static json_t *tasks_json(const dispatcher *d) {
  sched_counts n = sched_count(d->sched);
  return json_pack("{s:I,s:I,s:I,s:I,s:I,s:I}", "queued", (json_int_t)n.queued, "sent", (json_int_t)n.sent,
                   "running", (json_int_t)n.running, "done", (json_int_t)d->ok, "failed",
                   (json_int_t)d->failed, "kept", (json_int_t)d->kept);
}

static json_t *daemons_json(dispatcher *d) {
  json_t *list = json_array();
  worker *w, *next;
  HASH_ITER(hh, d->workers, w, next) {
    sched_daemon_info i = {0};
    sched_daemon_find(d->sched, w->handle, &i);
    const net_peer *p = net_peer_of(w->peer.conn);
    json_array_append_new(
        list, json_pack("{s:i,s:s,s:i,s:i,s:i,s:i,s:i,s:I,s:I,s:s,s:s,s:s}", "daemon", (int)w->number, "host",
                        w->host, "pid", (int)w->pid, "slots", (int)w->slots, "cores", (int)w->cores,
                        "running", (int)i.running, "sent", (int)i.sent, "done", (json_int_t)w->done, "launch",
                        (json_int_t)w->launch, "state", i.draining ? "draining" : "connected", "address",
                        p->address, "version", w->version));
  }
  return list;
}

static json_t *clients_json(dispatcher *d) {
  json_t *list = json_array();
  client *c, *next;
  HASH_ITER(hh, d->clients, c, next) {
    if (c->peer.closed) continue;
    json_array_append_new(list, json_pack("{s:s,s:I,s:b}", "client", c->label, "unresolved",
                                          (json_int_t)sched_owner_unresolved(d->sched, c->owner), "paused",
                                          c->paused));
  }
  return list;
}

json_t *dispatcher_status_json(dispatcher *d) {
  char host[256];
  hato__hostname(host, sizeof host);
  sched_counts n = sched_count(d->sched);
  json_t *urls = json_array();
  for (unsigned i = 0; i < d->n_listeners; i++)
    json_array_append_new(urls, json_string(net_listener_url(d->listeners[i])));
  json_t *o = json_pack("{s:s,s:s,s:i,s:s,s:f,s:o}", "session", d->session ? d->session : "", "host", host,
                        "pid", (int)getpid(), "version", HATO__VERSION, "uptime",
                        (double)(hato__now() - d->started) / 1e9, "urls", urls);
  if (!o) return NULL;
  json_object_set_new(o, "listeners", dispatcher_listeners_json(d));
  json_object_set_new(o, "slots", json_integer((json_int_t)n.slots));
  json_object_set_new(o, "busy", json_integer((json_int_t)n.busy_slots));
  json_object_set_new(o, "tasks", tasks_json(d));
  json_object_set_new(o, "daemons", daemons_json(d));
  json_object_set_new(o, "launches", dispatcher_launch_json(d));
  json_object_set_new(o, "clients", clients_json(d));
  json_object_set_new(o, "spool",
                      json_pack("{s:s,s:I,s:I,s:b}", "folder", d->local_dir, "used",
                                (json_int_t)hato__spool_used(d->spool), "limit",
                                (json_int_t)hato__spool_limit(d->spool), "full", d->spool_paused));
  return o;
}

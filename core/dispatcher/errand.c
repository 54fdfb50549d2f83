/* Requests of clients that block (they load modules, read and write files): each has a thread of its own. */
#include "dispatcher/internal.h"

#include "base/thread.h"

bool dispatcher_errand_open(errand *e, client *c, uint32_t token) {
  dispatcher *d = c->peer.d;
  dispatcher_lock(d);
  bool ends = d->asked_stop; /* once it ends it only waits for those who asked before */
  if (ends) {
    dispatcher_control_fail(c, token, HATO_CLOSED, "the dispatcher ends");
  } else {
    e->client = c;
    e->token = token;
    c->peer.refs++;
    d->errands++;
  }
  dispatcher_unlock(d);
  return !ends;
}

void dispatcher_errand_fail(const errand *e, const hato_error *why) {
  dispatcher *d = e->client->peer.d;
  dispatcher_lock(d);
  dispatcher_control_fail(e->client, e->token, why->status, "%s", why->text);
  dispatcher_unlock(d);
}

void dispatcher_errand_close(errand *e) {
  dispatcher *d = e->client->peer.d;
  peer *p = &e->client->peer;
  dispatcher_lock(d);
  e->free(e);
  dispatcher_peer_unref(p);
  d->errands--;
  pthread_cond_broadcast(&d->end);
  dispatcher_unlock(d);
}

static void *thread(void *arg) {
  errand *e = arg;
  e->run(e);
  dispatcher_flush(e->client->peer.d);
  dispatcher_errand_close(e);
  return NULL;
}

void dispatcher_errand_go(errand *e) {
  hato_error err = {0};
  int failed = hato__thread_start(NULL, 0, thread, e);
  if (failed == 0) return;
  hato__fail(&err, HATO_SYSTEM, "no thread for a request: %s", strerror(failed));
  dispatcher_errand_fail(e, &err);
  dispatcher_errand_close(e);
}

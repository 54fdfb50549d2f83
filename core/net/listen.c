/* Listening: one accept at a time, pauses at the descriptor limit, and the clock of
 * admissions, which runs only while there are any. */
#include "net/admission.h"
#include "base/clock.h"
#include "base/io.h"
#include "base/str.h"
#include "net/tls.h"

#include <stdio.h>
#include <string.h>

#define TICK_MS 100
#define CROWDED_TICK_MS 20
#define PAUSE_MOST_MS 1000u

static void accept_next(net_listener *l);

/* Under the lock. */
static void tick_soon(net_listener *l) {
  if (l->ticking || l->closing) return;
  l->ticking = true;
  nng_sleep_aio(l->crowded ? CROWDED_TICK_MS : TICK_MS, l->tick);
}

static void ticked(void *arg) {
  net_listener *l = arg;
  bool again = false;
  pthread_mutex_lock(&l->lock);
  l->ticking = false;
  if (!l->closing) {
    uint64_t now = hato__now();
    net__crowd_expire(l, now);
    if (l->paused_until != 0 && now >= l->paused_until) {
      l->paused_until = 0;
      again = true;
    }
    if (l->n_waiting > 0 || l->paused_until != 0 || net__refusals_due(l)) tick_soon(l);
  }
  pthread_mutex_unlock(&l->lock);
  net__refusals_tell(l, false);
  if (again) nng_stream_listener_accept(l->sl, l->accept);
}

/* Accepting fails, as a rule for want of descriptors: the peer waits in the backlog. */
static void pause_accepting(net_listener *l, int rv) {
  pthread_mutex_lock(&l->lock);
  bool first = l->pause_ms == 0;
  l->pause_ms = first ? 100 : l->pause_ms * 2 > PAUSE_MOST_MS ? PAUSE_MOST_MS : l->pause_ms * 2;
  l->paused_until = hato__now() + l->pause_ms * HATO__MS;
  tick_soon(l);
  pthread_mutex_unlock(&l->lock);
  if (first)
    hato__warn(&l->log, "ACCEPT-PAUSED", "%s: accepting no connections for now: %s", l->url,
               nng_strerror(rv));
}

static void accepted(void *arg) {
  net_listener *l = arg;
  int rv = nng_aio_result(l->accept);
  nng_stream *s = rv == 0 ? nng_aio_get_output(l->accept, 0) : NULL;
  pthread_mutex_lock(&l->lock);
  bool closing = l->closing, resumed = s != NULL && l->pause_ms != 0;
  if (resumed) l->pause_ms = 0;
  pthread_mutex_unlock(&l->lock);
  if (closing || rv == NNG_ECLOSED) {
    nng_stream_free(s);
    return;
  }
  if (s == NULL) {
    pause_accepting(l, rv);
    return;
  }
  if (resumed) hato__notice(&l->log, "ACCEPT-RESUMED", "%s: accepting connections again", l->url);
  net__admission_begin(l, s);
  accept_next(l);
}

static void accept_next(net_listener *l) {
  pthread_mutex_lock(&l->lock);
  if (l->n_waiting > 0) tick_soon(l);
  bool go = !l->closing && l->n_waiting < l->most;
  if (!go && !l->closing) l->crowded = true;
  pthread_mutex_unlock(&l->lock);
  if (go) nng_stream_listener_accept(l->sl, l->accept);
}

/* The caller counted itself in `handing`, so that the listener is still there. */
void net__listener_room(net_listener *l) {
  pthread_mutex_lock(&l->lock);
  bool go = l->crowded && !l->closing && l->n_waiting < l->most;
  if (go) l->crowded = false;
  pthread_mutex_unlock(&l->lock);
  if (go) nng_stream_listener_accept(l->sl, l->accept);
  pthread_mutex_lock(&l->lock);
  l->handing--;
  pthread_cond_signal(&l->quiet);
  pthread_mutex_unlock(&l->lock);
}

/* The URL as peers dial it: with the port that the system chose. */
static char *real_url(const char *url, hato__scheme kind, nng_stream_listener *sl) {
  int port = 0;
  nng_url *u = NULL;
  if (kind == HATO__SCHEME_SOCKET || nng_stream_listener_get_int(sl, NNG_OPT_TCP_BOUND_PORT, &port) != 0 || port == 0 ||
      nng_url_parse(&u, url) != 0)
    return strdup(url);
  const char *host = u->u_hostname != NULL ? u->u_hostname : "";
  bool bare6 = strchr(host, ':') != NULL && host[0] != '[';
  char *real = hato__printf("%s://%s%s%s:%d%s", u->u_scheme, bare6 ? "[" : "", host, bare6 ? "]" : "", port,
                            hato__scheme_is_ws(kind) && u->u_path != NULL ? u->u_path : "");
  nng_url_free(u);
  return real;
}

static hato_status open_listener(net_listener *l, const char *url, const net_identity *identity, hato_error *err) {
  int rv;
  if ((rv = nng_stream_listener_alloc(&l->sl, url)) != 0) return net__fail_nng(err, rv, "%s", url);
  if (l->kind == HATO__SCHEME_SOCKET) /* has no meaning for an abstract socket, and does no harm */
    rv = nng_stream_listener_set_int(l->sl, NNG_OPT_IPC_PERMISSIONS, 0600);
  else
    rv = nng_stream_listener_set_bool(l->sl, NNG_OPT_TCP_NODELAY, true);
  if (hato__scheme_is_ws(l->kind)) /* what a stranger may have us hold */
    (void)nng_stream_listener_set_size(l->sl, NNG_OPT_WS_RECVMAXFRAME, NET_WS_FRAME);
  if (rv != 0 && rv != NNG_ENOTSUP) return net__fail_nng(err, rv, "%s", url);
  if (hato__scheme_is_encrypted(l->kind) && (rv = nng_stream_listener_set_ptr(l->sl, NNG_OPT_TLS_CONFIG, identity->tls)) != 0)
    return net__fail_nng(err, rv, "%s", url);
  if ((rv = nng_aio_alloc(&l->accept, accepted, l)) != 0 || (rv = nng_aio_alloc(&l->tick, ticked, l)) != 0)
    return net__fail_nng(err, rv, "%s", url);
  if ((rv = nng_stream_listener_listen(l->sl)) != 0)
    return net__fail_nng(err, rv, "cannot listen on %s", url);
  if (l->kind != HATO__SCHEME_SOCKET) net__backlog_lengthen(l->sl);
  l->url = real_url(url, l->kind, l->sl);
  return l->url != NULL ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "%s: no memory", url);
}

/* Over a network peers are asked for MUNGE, if it is there. */
static hato_status open_munge(net_listener *l, hato_error *err) {
  if (l->kind == HATO__SCHEME_SOCKET || l->guard.munge == NET_MUNGE_OFF) return HATO_OK;
  l->munge_runs = net__munge_runs();
  if (l->guard.munge == NET_MUNGE_REQUIRE && !l->munge_runs)
    return hato__fail(err, HATO_UNREACHABLE, "MUNGE is required, and no munged answers on this machine");
  l->desk = l->munge_runs ? net__munge_desk_create() : NULL;
  return l->desk != NULL || !l->munge_runs ? HATO_OK : hato__fail(err, HATO_NO_MEMORY, "no memory for MUNGE");
}

hato_status net_listen(const char *url, const net_guard *guard, const hato__log *log, net_admitted *admitted,
                       void *arg, net_listener **out, hato_error *err) {
  *out = NULL;
  hato__scheme kind;
  hato_status st = net__url_check(url, &kind, err);
  if (st != HATO_OK || (st = net_init(err)) != HATO_OK) return st;
  if (kind != HATO__SCHEME_SOCKET && (guard == NULL || guard->find == NULL))
    return hato__fail(err, HATO_INVALID, "%s: to listen on a network takes credentials, there are none", url);
  if (hato__scheme_is_encrypted(kind) && guard->identity == NULL)
    return hato__fail(err, HATO_INVALID, "%s: TLS takes a certificate, there is none", url);
  net_listener *l = calloc(1, sizeof *l);
  if (l == NULL) return hato__fail(err, HATO_NO_MEMORY, "%s: no memory", url);
  *l = (net_listener){.kind = kind, .admitted = admitted, .arg = arg};
  if (guard != NULL) l->guard = *guard;
  hato__random(l->decoy, sizeof l->decoy);
  if (log != NULL) l->log = *log;
  pthread_mutex_init(&l->lock, NULL);
  pthread_cond_init(&l->quiet, NULL);
  net__crowd_init(l);
  net__refusals_init(l);
  st = open_munge(l, err);
  if (st == HATO_OK) st = open_listener(l, url, l->guard.identity, err);
  if (st == HATO_OK && hato__scheme_is_encrypted(kind)) memcpy(l->fingerprint, net_identity_fingerprint(l->guard.identity), sizeof l->fingerprint);
  l->guard.identity = NULL; /* we have what we need of it */
  if (st != HATO_OK) {
    net_listener_close(l);
    return st;
  }
  *out = l;
  nng_stream_listener_accept(l->sl, l->accept);
  return HATO_OK;
}

const char *net_listener_url(const net_listener *l) { return l->url; }

net_asks net_listener_asks(const net_listener *l) {
  static const net_munge besides[] = {
      [PROTO_METHOD_SECRET] = NET_MUNGE_OFF, [PROTO_METHOD_MAY_MUNGE] = NET_MUNGE_AUTO, [PROTO_METHOD_MUNGE] = NET_MUNGE_REQUIRE};
  return (net_asks){.local = l->kind == HATO__SCHEME_SOCKET,
                    .encrypted = hato__scheme_is_encrypted(l->kind),
                    .munge = besides[net__method_for(l)],
                    .munge_answered = l->munge_runs};
}

void net_listener_close(net_listener *l) {
  if (l == NULL) return;
  pthread_mutex_lock(&l->lock);
  l->closing = true;
  pthread_mutex_unlock(&l->lock);
  if (l->sl != NULL) nng_stream_listener_close(l->sl);
  nng_aio_stop(l->accept);
  nng_aio_stop(l->tick);
  pthread_mutex_lock(&l->lock);
  net__crowd_close_all(l);
  while (l->n_waiting > 0 || l->handing > 0) pthread_cond_wait(&l->quiet, &l->lock);
  pthread_mutex_unlock(&l->lock);
  net__refusals_tell(l, true);
  net__munge_desk_destroy(l->desk);
  nng_aio_free(l->accept);
  nng_aio_free(l->tick);
  if (l->sl != NULL) nng_stream_listener_free(l->sl);
  pthread_cond_destroy(&l->quiet);
  pthread_mutex_destroy(&l->lock);
  free(l->url);
  free(l);
}

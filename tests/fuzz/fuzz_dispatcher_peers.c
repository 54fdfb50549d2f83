/* A dispatcher and what its peers say: clients and daemons that were admitted. Their connections are none: frames are
 * handed to the dispatcher as net does, on this thread, and what it would send is asked for. What it answers are
 * frames that a reader takes, and when all have gone nothing of theirs is left.
 *
 * An input is records: a byte for whose they are (c, C two clients; d, D two daemons; x: the client c goes, y: the
 * daemon d goes), a u16 length, and as many bytes of their stream. Each peer has introduced itself unless the
 * input's first byte is odd, and the first client has brought a specification and some tasks. */
#define dispatcher_launch_asked real_launch_asked
#include "dispatcher/launch_ask.c"
#undef dispatcher_launch_asked
#define net_start(conn, ops, owner) started(conn, owner)
static void started(void *conn, void *owner);
#include "dispatcher/peers.c"
#undef net_start

#include "fuzz/fuzz.h"
#include "net/internal.h"
#include "proto/wire.h"
#include "unit/proto_any.h"

#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void dispatcher_launch_asked(client *c, uint32_t token, json_t *request);

/* Requests for launches are read, and not carried out: the launcher `command` would execute what the input says. */
void dispatcher_launch_asked(client *c, uint32_t token, json_t *request) {
  dispatcher *d = c->peer.d;
  hato_error err = {0};
  asking q = {.asked = dispatcher_asked_new()};
  require(q.asked != NULL);
  bool ok = read_request(&q, request, &err);
  require(ok || (err.status == HATO_INVALID && err.text[0] != 0));
  if (ok) require(q.asked->n <= HATO_LAUNCH_MAX && q.asked->slots <= 65536);
  dispatcher_lock(d);
  dispatcher_control_fail(c, token, HATO_STATE, "%s", ok ? "nothing is launched here" : err.text);
  dispatcher_asked_free(q.asked);
  dispatcher_unlock(d);
}

typedef struct end { /* a peer's */
  net_conn conn;
  peer *peer; /* NULL: it is not connected */
  hato__buf in;
} end;

enum { PEERS = 4 }; /* c, C, d, D */
typedef struct world {
  dispatcher *d;
  end ends[PEERS];
} world;

static void started(void *conn, void *owner) {
  end *e = (end *)((char *)conn - offsetof(end, conn));
  e->conn.started = true;
  e->peer = owner;
}

/* What a dispatcher says is a message of the table, and as it should be. */
static void check_said(const hato__buf *said) {
  hato_error err = {0};
  for (size_t at = 0; at < said->len;) {
    proto_header h;
    size_t i = 0;
    require(said->len - at >= PROTO_HEADER && proto_header_decode(&h, said->data + at, &err) == HATO_OK);
    require(h.len <= said->len - at - PROTO_HEADER);
    while (i < ANY_COUNT && any_messages[i].type != (proto_type)h.type) i++;
    require(i < ANY_COUNT);
    hato__buf again = {0};
    require(any_messages[i].again(&again, said->data + at + PROTO_HEADER, h.len, &err) == HATO_OK);
    hato__buf_free(&again);
    at += PROTO_HEADER + h.len;
  }
}

/* The writer's turn, until there is nothing to send. */
static void listen_to(end *e) {
  for (size_t before = 1; e->peer != NULL && before > 0;) {
    net_out out = {0};
    dispatcher_outbox_fill(e->peer, &e->conn, &out);
    before = out.bytes.len + out.n_refs;
    require(!out.bytes.failed && out.n_refs <= NET_REFS);
    for (unsigned i = 0; i < out.n_refs; i++) {
      hato__buf_append(&out.bytes, out.refs[i].at, out.refs[i].len);
      net_data_unref(out.refs[i].data);
    }
    check_said(&out.bytes);
    hato__buf_free(&out.bytes);
  }
}

static void hang_up(end *e, hato_status why, const char *words) {
  if (e->peer == NULL) return;
  peer *p = e->peer;
  e->peer = NULL;
  net_close(&e->conn, why, words);
  on_closed(p, &e->conn, e->conn.why, e->conn.words != NULL ? e->conn.words : "");
  hato__buf_clear(&e->in);
}

/* Of what is submitted at once only so many tasks: what is kept of each takes its time to be forgotten. */
static void fewer(uint8_t *frame, size_t n) {
  enum { COUNT_AT = PROTO_HEADER + 16, MOST = 1000 };
  if (frame[3] != PROTO_SUBMIT || n < COUNT_AT + 8) return;
  uint64_t count = proto_load_u64(frame + COUNT_AT);
  if (count > MOST) (void)proto_put_u64(frame + COUNT_AT, count % MOST + 1);
}

/* One frame, as the reader gives it; the connection ends when it is refused. */
static void give(end *e, uint8_t *at, size_t n) {
  hato_error err = {0};
  fewer(at, n);
  net_data *data = NULL;
  uint8_t *bytes;
  if (n - PROTO_HEADER >= NET_BY_REFERENCE) {
    data = net_data_new(n, &bytes);
    require(data != NULL);
    memcpy(bytes, at, n);
    at = bytes;
  }
  net_frame f = {.type = at[3], .len = (uint32_t)(n - PROTO_HEADER), .header = at, .body = at + PROTO_HEADER, .data = data};
  hato_status st = on_frame(e->peer, &e->conn, &f, &err);
  net_data_unref(data);
  if (st != HATO_OK) hang_up(e, st, err.text);
  if (st == HATO_OK && net__closing(&e->conn)) hang_up(e, HATO_OK, NULL);
}

static void say(end *e, const void *bytes, size_t n) {
  size_t at = 0;
  if (e->peer == NULL) return;
  hato__buf_append(&e->in, bytes, n);
  while (e->peer != NULL && e->in.len - at >= PROTO_HEADER) {
    proto_header h;
    if (!net__gate_is_open(&e->conn)) listen_to(e);
    if (!net__gate_is_open(&e->conn)) break; /* it is not read for now */
    if (proto_header_decode(&h, e->in.data + at, NULL) != HATO_OK) {
      hang_up(e, HATO_PROTOCOL, "no frame");
    } else if (e->in.len - at - PROTO_HEADER < h.len) {
      break;
    } else {
      give(e, e->in.data + at, PROTO_HEADER + h.len);
      at += PROTO_HEADER + h.len;
    }
  }
  if (e->peer == NULL) return;
  hato__buf_consume(&e->in, at);
  on_batch(e->peer, &e->conn);
}

static void connect_peer(world *w, unsigned i, bool introduce) {
  end *e = &w->ends[i];
  hato_error err;
  hato__buf hello = {0};
  if (e->peer != NULL || net__closing(&e->conn)) return; /* who went does not come back */
  net__conn_init(&e->conn);
  atomic_init(&e->conn.life, 5); /* its end is never told by net */
  atomic_init(&e->conn.gate, NET_GATE_OPEN);
  require(peer_start(w->d, &e->conn, i < 2 ? PROTO_ROLE_CLIENT : PROTO_ROLE_DAEMON, &err) == HATO_OK && e->peer != NULL);
  if (!introduce) return;
  if (i < 2)
    proto_client_encode(&hello, 77 + i, "ann@login1:4711");
  else
    sample_daemon(&hello);
  say(e, hello.data, hello.len);
  hato__buf_free(&hello);
}

static void disconnect(world *w, unsigned i) { hang_up(&w->ends[i], HATO_OK, "it went"); }

/* Tasks of each kind for what daemons say to be about: 1-3 explicit, 4-13 counted, detached, 14 large. */
static void some_work(end *e) {
  hato__buf command = {0}, b = {0};
  const void *args[] = {"alpha", "", "gamma"};
  size_t lens[] = {5, 0, 5}, from = 0;
  sample_command(&command);
  proto_spec_send(&b, 1, command.data, (uint32_t)command.len);
  proto_submit_encode(&b, &(proto_submit){.seq = 1, .spec = 1, .args = PROTO_ARGS_EXPLICIT, .count = 3});
  proto_args_encode(&b, 1, args, lens, &from, 3);
  proto_submit_encode(&b, &(proto_submit){.seq = 2, .spec = 1, .args = PROTO_ARGS_COUNTED, .flags = PROTO_SUBMIT_DETACHED, .count = 10, .step = 1});
  proto_submit_encode(&b, &(proto_submit){.seq = 3, .spec = 1, .args = PROTO_ARGS_EXPLICIT, .count = 1});
  proto_args_large_encode(&b, 3, 1 << 20);
  say(e, b.data, b.len);
  hato__buf_free(&command);
  hato__buf_free(&b);
}

static const char *folder(void) {
  static char dir[64];
  if (dir[0] == 0) {
    (void)snprintf(dir, sizeof dir, "%s/hato-fuzz-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(dir) != NULL);
    (void)signal(SIGPIPE, SIG_IGN);
  }
  (void)mkdir(dir, 0700);
  return dir;
}

static void play(world *w, const uint8_t *data, size_t size) {
  bool introduce = (data[0] & 1) == 0;
  for (unsigned i = 0; i < PEERS; i += 2) connect_peer(w, i, introduce);
  if (introduce) some_work(&w->ends[0]);
  for (size_t at = 1; at + 3 <= size;) {
    uint8_t whose = data[at];
    size_t n = (size_t)data[at + 1] | (size_t)data[at + 2] << 8;
    at += 3;
    if (n > size - at) n = size - at;
    static const char names[] = "cCdD";
    const char *name = whose != 0 ? strchr(names, whose) : NULL;
    unsigned i = name != NULL ? (unsigned)(name - names) : whose % PEERS;
    if (whose == 'x' || whose == 'y') {
      disconnect(w, whose == 'x' ? 0 : 2);
      continue;
    }
    connect_peer(w, i, introduce);
    say(&w->ends[i], data + at, n);
    at += n;
    for (i = 0; i < PEERS; i++) listen_to(&w->ends[i]);
  }
}

/* What is kept is forgotten. True: the dispatcher is as it was in the beginning. */
static bool as_new(dispatcher *d) {
  dispatcher_lock(d);
  sched_cancel(d->sched, hato__now(), 1, UINT64_MAX - 1, 0, HATO_CANCELLED);
  dispatcher_unlock(d);
  /* In steps: when the last is done, those who went are no owners of tasks any more. */
  for (unsigned left = 1, steps = 0; left > 0; steps++) {
    require(steps < 1000);
    dispatcher_work_pump(d);
    dispatcher_lock(d);
    left = HASH_COUNT(d->clients);
    dispatcher_unlock(d);
  }
  dispatcher_lock(d);
  (void)dispatcher_kept_forget(d, 1, UINT64_MAX - 1);
  sched_counts n = sched_count(d->sched);
  bool clean = !d->asked_stop && d->n_detached == 0 && n.queued + n.sent + n.running == 0;
  require(d->n_clients == 0 && HASH_COUNT(d->workers) == 0 && HASH_COUNT(d->streams) == 0);
  if (clean) {
    require(HASH_COUNT(d->objects) == 0 && hato__list_empty(&d->spooling) && hato__list_empty(&d->waits));
    d->next_task = 1;
    d->next_spec = d->next_worker = 0;
  }
  dispatcher_unlock(d);
  return clean;
}

/* One dispatcher serves as long as nothing is left in it: to make one takes longer than most inputs. */
static dispatcher *kept;

static void __attribute__((destructor)) end_it(void) {
  if (kept == NULL) return;
  dispatcher_destroy(kept);
  (void)rmdir(folder());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  hato_error err;
  if (size == 0) return 0;
  const dispatcher_options o = {.local_dir = folder(), .hato_binary = "/nonexistent", .spool_limit = 8 << 20};
  if (kept == NULL) require(dispatcher_create(&o, &kept, &err) == HATO_OK);
  world w = {.d = kept};
  play(&w, data, size);
  for (unsigned i = 0; i < PEERS; i++) disconnect(&w, i);
  if (!as_new(kept)) {
    dispatcher_destroy(kept);
    kept = NULL;
  }
  for (unsigned i = 0; i < PEERS; i++) {
    /* Nobody holds it any more, but the clock's thread for a moment. */
    for (int waits = 0; w.ends[i].conn.started && atomic_load(&w.ends[i].conn.refs) != 1; waits++) {
      require(waits < 100000);
      (void)nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    free(w.ends[i].conn.words);
    hato__buf_free(&w.ends[i].in);
  }
  return 0;
}

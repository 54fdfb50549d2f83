/* Standard input from a descriptor of the host: one thread reads those whose tasks take it,
 * as much as there is credit for. */
#include "client/internal.h"

#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct input {
  large *l; /* outlives it: by hold */
  sub *sub; /* holds a reference until it is dropped */
  int fd;
  net_data *hold;
  hato__link link; /* pool->inputs; what follows is under input_lock */
  uint64_t task, credit;
  uint32_t attempt;
  bool asked, read, ended, dropped;
};

static void poke(hato_pool *p) {
  uint64_t one = 1;
  ssize_t n = write(p->reader_fd, &one, sizeof one);
  (void)n;
}

/* ---- the reader ---- */

static void forget(hato_pool *p, input *in) {
  net_data *hold = in->hold;
  sub *s = in->sub;
  free(in);
  pool_lock(p);
  client_sub_unref(s);
  pool_unlock(p);
  net_data_unref(hold); /* publishes, when the task has resolved */
}

static void send_piece(hato_pool *p, const input *in, net_data *d, const uint8_t *at, uint32_t len) {
  item *i = client_outbox_item(ITEM_PIECE, len);
  if (!i) {
    net_data_unref(d);
    net_close(p->conn, HATO_NO_MEMORY, "no memory for a piece");
    return;
  }
  i->u.args.data = d;
  i->u.args.sub = in->sub;
  i->bytes_at = at;
  pool_lock(p);
  bool open = p->state == POOL_OPEN;
  if (open) {
    in->sub->refs++;
    client_outbox_push(p, i);
  }
  pool_unlock(p);
  if (open) {
    net_wake(p->conn);
  } else {
    net_data_unref(d);
    free(i);
  }
}

/* The head of what a read of n bytes brought, into the room before it. False: no memory. */
static bool put_head(uint8_t *at, const input *as, ssize_t n) {
  proto_piece m = {.task = as->task,
                   .attempt = as->attempt,
                   .channel = PROTO_CH_IN,
                   .last = n <= 0,
                   .status = n < 0 ? HATO_SYSTEM : 0,
                   .len = n > 0 ? (uint32_t)n : 0};
  hato__buf head = {0};
  proto_piece_head_encode(&head, &m);
  bool ok = !head.failed;
  if (ok) memcpy(at, head.data, PROTO_PIECE_HEAD);
  hato__buf_free(&head);
  return ok;
}

/* Reads once, as `as` says, and sends it. */
static void read_some(hato_pool *p, input *in, const input *as) {
  uint8_t *bytes;
  size_t room = as->credit < PROTO_PIECE_DATA ? (size_t)as->credit : PROTO_PIECE_DATA;
  net_data *d = net_data_new(PROTO_PIECE_HEAD + room, &bytes);
  ssize_t n = d ? read(as->fd, bytes + PROTO_PIECE_HEAD, room) : 0;
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
    net_data_unref(d);
    return;
  }
  if (!d || !put_head(bytes, as, n)) {
    net_data_unref(d);
    net_close(p->conn, HATO_NO_MEMORY, "no memory for a piece");
    return;
  }
  pthread_mutex_lock(&p->input_lock);
  in->ended = n <= 0;
  in->credit -= n > 0 ? (uint64_t)n : 0;
  pthread_mutex_unlock(&p->input_lock);
  send_piece(p, in, d, bytes, PROTO_PIECE_HEAD + (n > 0 ? (uint32_t)n : 0));
}

/* Those to poll, in the order of the list; dropped ones come off it. Ends when asked to. */
static nfds_t gather(hato_pool *p, struct pollfd **fds, input ***ins, size_t *cap, hato__link *dropped) {
  nfds_t n = 1;
  for (hato__link *l = p->inputs.next; l != &p->inputs;) {
    input *in = HATO__ENTRY(l, input, link);
    l = l->next;
    if (in->dropped || p->reader_stop) {
      hato__list_remove(&in->link);
      hato__list_push(dropped, &in->link);
      continue;
    }
    if (!in->asked || in->ended || in->credit == 0) continue;
    if (n == *cap) {
      struct pollfd *f = realloc(*fds, 2 * *cap * sizeof *f);
      if (f) *fds = f;
      input **i = realloc(*ins, 2 * *cap * sizeof *i);
      if (i) *ins = i;
      if (!f || !i) break;
      *cap *= 2;
    }
    (*fds)[n] = (struct pollfd){.fd = in->fd, .events = POLLIN};
    (*ins)[n++] = in;
  }
  return n;
}

static void *run(void *arg) {
  hato_pool *p = arg;
  size_t cap = 8;
  struct pollfd *fds = calloc(cap, sizeof *fds);
  input **ins = calloc(cap, sizeof *ins);
  for (bool stop = !fds || !ins; !stop;) {
    hato__link dropped;
    hato__list_init(&dropped);
    pthread_mutex_lock(&p->input_lock);
    nfds_t n = gather(p, &fds, &ins, &cap, &dropped);
    stop = p->reader_stop;
    pthread_mutex_unlock(&p->input_lock);
    for (hato__link *l; (l = hato__list_pop(&dropped)) != NULL;) forget(p, HATO__ENTRY(l, input, link));
    if (stop) break;
    fds[0] = (struct pollfd){.fd = p->reader_fd, .events = POLLIN};
    if (poll(fds, n, -1) < 0) continue;
    uint64_t value;
    if (fds[0].revents && read(p->reader_fd, &value, sizeof value) < 0) continue;
    for (nfds_t i = 1; i < n; i++) {
      if (!fds[i].revents) continue;
      pthread_mutex_lock(&p->input_lock);
      input as = *ins[i];
      if (!as.dropped) ins[i]->read = true; /* from here on it cannot be repeated */
      pthread_mutex_unlock(&p->input_lock);
      if (!as.dropped) read_some(p, ins[i], &as);
    }
  }
  free(fds);
  free(ins);
  client_pool_thread_over(p, &p->reader_over);
  client_pool_unref(p);
  return NULL;
}

/* ---- from elsewhere ---- */

/* With input_lock. */
static bool reader_start(hato_pool *p) {
  if (p->reader_runs || p->reader_stop) return p->reader_runs;
  if (p->reader_fd < 0) p->reader_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (p->reader_fd < 0) return false;
  client_pool_ref(p);
  p->reader_runs = hato__thread_start(&p->reader, 0, run, p) == 0;
  if (!p->reader_runs) client_pool_unref(p);
  return p->reader_runs;
}

input *client_input_new(large *l, sub *s, int fd) {
  hato_pool *p = s->pool;
  input *in = calloc(1, sizeof *in);
  if (!in) return NULL;
  in->l = l;
  in->sub = s;
  in->fd = fd;
  pthread_mutex_lock(&p->input_lock);
  bool ok = reader_start(p);
  if (ok) {
    in->hold = net_data_ref(l->hold);
    hato__list_push(&p->inputs, &in->link);
  }
  pthread_mutex_unlock(&p->input_lock);
  if (!ok) {
    free(in);
    return NULL;
  }
  pool_lock(p);
  s->refs++;
  pool_unlock(p);
  return in;
}

bool client_input_credit(input *in, const proto_credit *m) {
  hato_pool *p = in->sub->pool;
  pthread_mutex_lock(&p->input_lock);
  bool again = in->asked && in->attempt != m->attempt;
  bool ok = !again || !in->read;
  if (ok) {
    if (again || !in->asked) in->credit = 0;
    in->asked = true;
    in->task = m->task;
    in->attempt = m->attempt;
    in->credit += m->bytes;
  }
  pthread_mutex_unlock(&p->input_lock);
  if (ok) poke(p);
  return ok;
}

void client_input_drop(input *in) {
  hato_pool *p = in->sub->pool;
  pthread_mutex_lock(&p->input_lock);
  in->dropped = true;
  poke(p);
  pthread_mutex_unlock(&p->input_lock);
}

void client_input_stop(hato_pool *p, uint64_t until) {
  pthread_mutex_lock(&p->input_lock);
  p->reader_stop = true;
  bool runs = p->reader_runs;
  if (runs) poke(p);
  pthread_mutex_unlock(&p->input_lock);
  if (runs) client_pool_join(p, p->reader, &p->reader_over, until);
}

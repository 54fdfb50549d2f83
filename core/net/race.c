/*
 * Dialling several addresses at once: a thread for each, which tries again and again. The caller's thread begins
 * them one after the other, waits for the first that is admitted, and stops the rest.
 */
#include "net/dial.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/thread.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STAGGER_NS (250 * HATO__MS)          /* RFC 8305: until the next one is begun */
#define ATTEMPT_NS (UINT64_C(10) * HATO__SEC) /* one attempt, admission included */
#define PAUSE_FIRST_NS (2 * HATO__MS)
#define PAUSE_MOST_NS HATO__SEC
#define STACK_BYTES (256u * 1024)

typedef struct race race;
typedef struct runner {
  race *race;
  net__dial dial;
  pthread_t thread;
  bool begun;
  bool failed;  /* once, or out of the race: this and what follows under the lock */
  bool refused;
  hato_status status; /* and words: of the last attempt */
  char words[sizeof(((hato_error *)0)->text)]; /* without the url */
} runner;

struct race {
  const net_dialling *o;
  uint64_t deadline, patience;
  pthread_mutex_t lock;
  int news, stop; /* eventfds: for the caller's thread, for the runners */
  runner *runners, *winner;
  size_t running;
  bool over;
};

static void tell(int fd) {
  uint64_t one = 1;
  while (write(fd, &one, sizeof one) < 0 && errno == EINTR) continue;
}

static bool refuses(hato_status st) {
  return st == HATO_PEER_AUTH || st == HATO_PROTOCOL || st == HATO_PERMISSION;
}

static void note(runner *r, hato_status st, const hato_error *err) {
  size_t n = strlen(r->dial.url);
  bool named = strncmp(err->text, r->dial.url, n) == 0 && strncmp(err->text + n, ": ", 2) == 0;
  r->failed = true;
  /* Cut short by the end, an attempt says less than those before. */
  if (st == HATO_TIMED_OUT && r->words[0] != 0 && hato__now() >= r->race->deadline) return;
  r->refused = refuses(st);
  r->status = st;
  snprintf(r->words, sizeof r->words, "%s", named ? err->text + n + 2 : err->text);
}

/* One attempt has ended. True: there is to be another. */
static bool judge(runner *r, hato_status st, const hato_error *err) {
  race *c = r->race;
  bool again = false;
  pthread_mutex_lock(&c->lock);
  if (st == HATO_OK) {
    if (c->winner == NULL) c->winner = r;
  } else if (!c->over) {
    note(r, st, err);
    again = !r->refused && hato__now() < c->patience;
  }
  pthread_mutex_unlock(&c->lock);
  tell(c->news);
  return again;
}

static void *run(void *arg) {
  runner *r = arg;
  race *c = r->race;
  uint64_t wait = PAUSE_FIRST_NS, now, pause = 0;
  struct pollfd stop = {.fd = c->stop, .events = POLLIN};
  hato_status st;
  do {
    hato_error err = {0};
    int nng;
    now = hato__now();
    r->dial.deadline = now + ATTEMPT_NS < c->deadline ? now + ATTEMPT_NS : c->deadline;
    st = net__dial_attempt(&r->dial, &nng, &err);
    if (!judge(r, st, &err)) break;
    now = hato__now();
    pause = net__dial_pause(&wait, PAUSE_MOST_NS);
    if (now < c->deadline && pause > c->deadline - now) pause = c->deadline - now;
  } while (poll(&stop, 1, (int)(pause / HATO__MS) + 1) <= 0 && hato__now() < c->deadline);
  pthread_mutex_lock(&c->lock);
  r->failed = true;
  c->running--;
  pthread_mutex_unlock(&c->lock);
  tell(c->news);
  return NULL;
}

/* Out of the race, if it cannot even begin. */
static void begin(runner *r) {
  race *c = r->race;
  hato_error err = {0};
  hato_status st = net__dial_open(&r->dial, r->dial.url, c->o->role, c->o->auth, &err);
  if (st == HATO_OK) {
    pthread_mutex_lock(&c->lock);
    c->running++;
    pthread_mutex_unlock(&c->lock);
    int e = hato__thread_start(&r->thread, STACK_BYTES, run, r);
    r->begun = e == 0;
    if (e != 0) st = hato__fail(&err, HATO_SYSTEM, "no thread to dial with: %s", strerror(e));
  }
  if (r->begun) return;
  pthread_mutex_lock(&c->lock);
  if (r->dial.aio != NULL) c->running--;
  note(r, st, &err);
  r->refused = false;
  pthread_mutex_unlock(&c->lock);
}

/* Begins one after the other and waits for the end. False: the caller gave up. */
static bool watch(race *c) {
  size_t next = 0;
  uint64_t due = 0, ignored;
  for (;;) {
    uint64_t now = hato__now();
    pthread_mutex_lock(&c->lock);
    bool all = next == c->o->n || now >= c->deadline;
    bool over = c->winner != NULL || (all && c->running == 0);
    if (next > 0 && c->runners[next - 1].failed) due = now;
    pthread_mutex_unlock(&c->lock);
    if (over) return true;
    if (!all && now >= due) {
      begin(&c->runners[next++]);
      due = now + STAGGER_NS;
      continue;
    }
    struct pollfd p[] = {{.fd = c->news, .events = POLLIN}, {.fd = c->o->give_up_fd, .events = POLLIN}};
    int ms = all ? -1 : (int)((due - now) / HATO__MS) + 1;
    if (poll(p, 2, ms) <= 0) continue;
    if (p[1].revents != 0) return false;
    if (p[0].revents != 0) (void)!read(c->news, &ignored, sizeof ignored);
  }
}

static void stop(race *c) {
  pthread_mutex_lock(&c->lock);
  c->over = true;
  pthread_mutex_unlock(&c->lock);
  tell(c->stop);
  for (size_t i = 0; i < c->o->n; i++)
    if (c->runners[i].begun) net__dial_stop(&c->runners[i].dial);
  for (size_t i = 0; i < c->o->n; i++)
    if (c->runners[i].begun) pthread_join(c->runners[i].thread, NULL);
}

/* ---- what became of them ---- */

static const char *words_of(const runner *r) {
  return r->words[0] != 0 ? r->words : r->begun ? "nobody answers there" : "was not tried in time";
}

/* Addresses of one fate together. */
static void describe(const race *c, hato__buf *b) {
  for (size_t i = 0; i < c->o->n; i++) {
    const char *words = words_of(&c->runners[i]);
    bool said = false;
    for (size_t j = 0; j < i && !said; j++) said = strcmp(words_of(&c->runners[j]), words) == 0;
    if (said) continue;
    hato__buf_printf(b, "%s%s", i > 0 ? "; " : "", c->o->urls[i]);
    for (size_t j = i + 1; j < c->o->n; j++)
      if (strcmp(words_of(&c->runners[j]), words) == 0) hato__buf_printf(b, ", %s", c->o->urls[j]);
    hato__buf_printf(b, ": %s", words);
  }
}

static hato_status failure(const race *c, bool gave_up, hato_error *err) {
  hato_status st = gave_up ? HATO_CANCELLED : HATO_OK;
  hato__buf b = {0};
  for (size_t i = 0; i < c->o->n && !gave_up; i++)
    if (c->runners[i].refused && !refuses(st)) st = c->runners[i].status;
  for (size_t i = 0; i < c->o->n && st == HATO_OK; i++) st = c->runners[i].status;
  if (st == HATO_OK) st = HATO_TIMED_OUT;
  if (gave_up) hato__buf_printf(&b, "given up before anybody admitted us; ");
  describe(c, &b);
  const char *text = hato__buf_text(&b);
  if (text != NULL && b.len >= sizeof err->text && c->o->log != NULL)
    for (size_t i = 0; i < c->o->n; i++)
      hato__warn(c->o->log, "DIAL-FAILED", "%s: %s", c->o->urls[i], words_of(&c->runners[i]));
  hato__fail(err, st, "%s", text != NULL ? text : "no memory");
  hato__buf_free(&b);
  return st;
}

/* ---- */

static hato_status prepare(race *c, const net_dialling *o, hato_error *err) {
  uint64_t now = hato__now();
  *c = (race){.o = o, .deadline = now + o->timeout_ms * HATO__MS, .news = -1, .stop = -1};
  c->patience = o->patient_ms != 0 ? now + o->patient_ms * HATO__MS : c->deadline;
  pthread_mutex_init(&c->lock, NULL);
  if (o->n == 0) return hato__fail(err, HATO_INVALID, "there is no address to dial");
  c->runners = calloc(o->n, sizeof *c->runners);
  if (c->runners == NULL) return hato__fail(err, HATO_NO_MEMORY, "no memory to dial with");
  for (size_t i = 0; i < o->n; i++) {
    c->runners[i].race = c;
    c->runners[i].dial.url = o->urls[i];
  }
  c->news = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  c->stop = eventfd(0, EFD_CLOEXEC);
  return c->news >= 0 && c->stop >= 0 ? HATO_OK : hato__fail_errno(err, "cannot wait for connections");
}

static void clear(race *c) {
  for (size_t i = 0; c->runners != NULL && i < c->o->n; i++) net__dial_close(&c->runners[i].dial);
  free(c->runners);
  if (c->news >= 0) close(c->news);
  if (c->stop >= 0) close(c->stop);
  pthread_mutex_destroy(&c->lock);
}

hato_status net_dial_any(const net_dialling *o, net_conn **out, hato_error *err) {
  race c;
  *out = NULL;
  hato_status st = prepare(&c, o, err);
  if (st == HATO_OK) {
    bool waited = watch(&c);
    stop(&c);
    if (c.winner != NULL)
      st = net__dial_take(&c.winner->dial, out, err);
    else
      st = failure(&c, !waited, err);
  }
  clear(&c);
  return st;
}

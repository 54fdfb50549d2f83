/* What a connection of the launcher ssh says: the other side's lines, and the client's standard error ("Allocated
 * port N for …", why it failed). Lines of the input that begin with ! are the client's, those that begin with . let
 * what came be read; a first byte of 0 to 255 is the exit code in the end. */
#include "fuzz/host.h"
#include "ssh/ssh.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static ssh_session *connect_session(ssh_state *st, int *out, int *err) {
  int said[2], heard[2];
  require(pipe2(said, O_CLOEXEC | O_NONBLOCK) == 0 && pipe2(heard, O_CLOEXEC | O_NONBLOCK) == 0);
  ssh_session *s = calloc(1, sizeof *s);
  require(s != NULL);
  s->key = strdup("key");
  s->host = strdup("node1");
  s->scheme = strdup("tcp");
  s->target = strdup("127.0.0.1:5555");
  s->tunnel = SSH_PORT;
  s->phase = SSH_CONNECTING;
  s->give_up_ms = 1000;
  s->connect_ms = 1000;
  s->in = s->pidfd = s->file = -1; /* what is sent stays in its queue */
  s->out = said[0];
  s->err = heard[0];
  *out = said[1];
  *err = heard[1];
  struct epoll_event e = {.events = EPOLLIN, .data.ptr = s};
  require(epoll_ctl(st->epoll, EPOLL_CTL_ADD, s->out, &e) == 0 && epoll_ctl(st->epoll, EPOLL_CTL_ADD, s->err, &e) == 0);
  st->sessions = s;
  return s;
}

static void make_job(ssh_state *st, ssh_session *s, uint64_t id, uint32_t count) {
  const hato_launch l = {.id = id, .count = count, .tag = "tag", .flags = HATO_LAUNCH_DIAL_IN};
  ssh_job *j = ssh_job_make(st, &l, 1);
  require(j != NULL);
  j->program = strdup(HATO_SOURCE_DIR "/LICENSE");
  j->n_places = 1;
  j->places[0].session = s;
  j->places[0].searching = id == 8;
  ssh_puts(&j->text, "secret=x\n");
  for (uint32_t i = 0; i < count; i++) {
    ssh_take(&j->members[i], s);
    j->members[i].cancelled = i == 2;
  }
}

/* Nothing that came is handed on as words of a line to the shell there. */
static void check_sent(const ssh_session *s) {
  const char *at = s->queue.data;
  for (; at != NULL && *at != 0; at += strcspn(at, "\n") + 1) {
    unsigned port = 0;
    int end = 0;
    if (strncmp(at, "dial=", 5) == 0)
      require(sscanf(at, "dial=tcp://127.0.0.1:%5u%n", &port, &end) == 1 && at[end] == '\n' && port > 0 && port <= 65535);
    require(at[strcspn(at, "\n")] == '\n');
    if (strncmp(at, "copy ", 5) == 0) return; /* what follows may be a file */
  }
}

static void check(const ssh_state *st) {
  for (const ssh_session *s = st->sessions; s != NULL; s = s->next) {
    uint32_t live = 0;
    for (const ssh_job *j = st->jobs; j != NULL; j = j->next) {
      uint32_t ended = 0;
      for (uint32_t i = 0; i < j->count; i++) {
        live += j->members[i].session == s;
        ended += j->members[i].ended;
        require(j->members[i].log.len <= 8192 + 65536 + 1);
      }
      require(ended == j->ended);
    }
    require(live == s->live);
    require(s->heard.len <= 2 * 8192 + 65536 && s->said.len <= 65536);
    check_sent(s);
  }
}

static void put_line(int fd, const uint8_t *at, size_t n) {
  if (n > 0 && write(fd, at, n) < 0) return; /* full: this one is lost */
}

static void talk(fuzz_host *f, ssh_state *st, const uint8_t *data, size_t size) {
  int out, err;
  ssh_session *s = connect_session(st, &out, &err);
  make_job(st, s, 7, 3);
  make_job(st, s, 8, 2);
  for (size_t at = 1, n; at < size; at += n) {
    const uint8_t *end = memchr(data + at, '\n', size - at);
    n = end != NULL ? (size_t)(end + 1 - data) - at : size - at;
    if (data[at] == '.') {
      ssh_pump(st, &f->host, 0);
      check(st);
    } else if (data[at] == '!') {
      put_line(err, data + at + 1, n - 1);
    } else {
      put_line(out, data + at, n);
    }
  }
  ssh_pump(st, &f->host, 0);
  check(st);
  close(out);
  close(err);
  ssh_pump(st, &f->host, 0);
  if (st->sessions != NULL) ssh_follow_gone(st, &f->host, st->sessions, data[0], data[0] == 137 ? 9 : 0);
  ssh_settle(st);
  check(st);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static ssh_state st = {-1, -1, NULL, NULL};
  fuzz_host f;
  if (size == 0) return 0;
  if (st.epoll < 0) {
    (void)signal(SIGPIPE, SIG_IGN); /* where nobody reads any more, a write fails */
    struct epoll_event e = {.events = EPOLLIN};
    st.epoll = epoll_create1(EPOLL_CLOEXEC);
    st.timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    require(st.epoll >= 0 && st.timer >= 0 && epoll_ctl(st.epoll, EPOLL_CTL_ADD, st.timer, &e) == 0);
  }
  fuzz_host_begin(&f);
  f.count = 3;
  talk(&f, &st, data, size);
  while (st.jobs != NULL) ssh_job_drop(&st, st.jobs);
  while (st.sessions != NULL) {
    ssh_session *next = st.sessions->next;
    ssh_session_free(st.sessions);
    st.sessions = next;
  }
  fuzz_host_end(&f);
  return 0;
}

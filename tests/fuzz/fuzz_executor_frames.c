/* What an executor reads from its daemon, over a socket pair and in packets of any size: specifications, tasks,
 * pieces of arguments, interrupts. Its tasks are taken and prepared as if they were run: words with an argument in
 * them, the environment, the paths of its program, the name of an output file.
 *
 * An input is a byte for the seed of the cutting, and a stream. */
#include "executor/files.c"

#include "fuzz/fuzz.h"

#include <sys/socket.h>

static bool substituted(const char *word, const char *with) { return strstr(word, "{}") != NULL && with != NULL; }

/* The words are the specification's, but where an argument stands in them. */
static void command_line(const executor *x, const executor_plan *p) {
  const proto_spec *s = &x->task.spec->s;
  size_t n = 0;
  while (s->argv[n] != NULL) {
    require(p->argv[n] != NULL);
    if (!substituted(s->argv[n], p->argv == s->argv ? NULL : "")) require(strcmp(p->argv[n], s->argv[n]) == 0);
    n++;
  }
  require(p->argv[n] == NULL && p->tries[0] != NULL);
  for (char *const *e = p->env; *e != NULL; e++) require(strncmp(*e, "HATO_CREDENTIAL", 15) != 0);
}

/* An argument names no other folder: it brings neither a slash nor a part that leads upwards. */
static void output_file(const executor *x) {
  hato__buf name = {0}, literal = {0};
  executor without = *x;
  fill_pattern(&name, x, "out");
  without.task.arg = (const uint8_t *)"x"; /* what the pattern says without it */
  without.task.arg_len = 1;
  fill_pattern(&literal, &without, "out");
  require(!name.failed && !literal.failed);
  size_t slashes = 0, others = 0, ups = 0, other_ups = 0;
  for (size_t i = 0; i < name.len; i++) slashes += name.data[i] == '/';
  for (size_t i = 0; i < literal.len; i++) others += literal.data[i] == '/';
  const char *from = (const char *)name.data, *to = from + name.len - 1;
  for (const char *at = from; at != NULL && at < to; at = memchr(at, '/', (size_t)(to - at)), at = at ? at + 1 : NULL)
    ups += to - at >= 2 && at[0] == '.' && at[1] == '.' && (to - at == 2 || at[2] == '/');
  from = (const char *)literal.data, to = from + literal.len - 1;
  for (const char *at = from; at != NULL && at < to; at = memchr(at, '/', (size_t)(to - at)), at = at ? at + 1 : NULL)
    other_ups += to - at >= 2 && at[0] == '.' && at[1] == '.' && (to - at == 2 || at[2] == '/');
  require(slashes == others && ups <= other_ups);
  hato__buf_free(&name);
  hato__buf_free(&literal);
}

static void prepare(executor *x) {
  executor_plan plan = {0};
  executor_input_close(x);
  const executor_spec *s = x->task.spec;
  if (s->status != HATO_OK || s->s.kind != PROTO_COMMAND) return;
  if (executor_prepare(x, &plan))
    command_line(x, &plan);
  else
    require(x->error != 0 ? x->words[0] != 0 : x->task.value != 0 || x->link.closed);
  executor_prepare_end(x);
  if (s->s.output_to != NULL) output_file(x);
}

static void begin(executor *x, int fd) {
  static int null = -1;
  if (null < 0) null = open("/dev/null", O_WRONLY | O_CLOEXEC);
  *x = (executor){.pid = 1, .log = null, .opts = {.memory_payload = 1 << 16, .spool = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : NULL}};
  x->command.signals = x->input.fd = x->input.child = -1;
  x->command.out.fd = x->command.err.fd = x->command.out.child = x->command.err.child = -1;
  hato__list_init(&x->queue);
  require(executor_link_open(&x->link, fd));
}

static void end(executor *x) {
  executor_input_close(x);
  executor_queue_free(x);
  executor_specs_free(x);
  hato__buf_free(&x->command.text);
  hato__buf_free(&x->input.wait);
  executor_link_free(&x->link);
}

static void send_in_packets(int fd, const uint8_t *at, size_t n, uint64_t seed) {
  while (n > 0) {
    seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407u;
    size_t part = seed >> 33 & 1 ? (seed >> 34) % 16 + 1 : (seed >> 34) % 4000 + 1;
    if (part > n) part = n;
    if (send(fd, at, part, MSG_DONTWAIT | MSG_NOSIGNAL) < 0) return; /* full: the stream is cut short */
    at += part;
    n -= part;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  int fds[2];
  executor x;
  if (size < 1) return 0;
  require(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) == 0);
  begin(&x, fds[0]);
  send_in_packets(fds[1], data + 1, size - 1, data[0]);
  require(shutdown(fds[1], SHUT_WR) == 0);
  unsigned tasks = 0;
  while (!x.link.closed) {
    executor_receive(&x, false);
    require(x.link.in_at <= x.link.in_len && x.link.in_len <= (size_t)PROTO_HEADER + PROTO_BODY_MAX + (64u << 10));
    /* Some of what is queued, so that frames come for tasks that run, too. */
    if (tasks < 64 && (data[0] & 1) == 0 && executor_queue_next(&x)) {
      prepare(&x);
      executor_input_close(&x);
      if (x.task.large) (void)executor_input_collect(&x, (uint64_t)data[0] << 10);
      tasks++;
    }
  }
  require(x.exit == EXECUTOR_EXIT_CLOSED || x.exit == EXECUTOR_EXIT_PROTOCOL);
  for (; tasks < 128 && executor_queue_next(&x); tasks++) prepare(&x);
  end(&x);
  close(fds[1]);
  return 0;
}

/* The floor of one task at a time: 64 bytes from a client over a relay to a daemon, over a
 * socket pair to an executor, and back, callbacks only forwarding.
 *
 *   floor_chain [--embedded] [-n ROUNDS]      embedded: no relay; one hop and the pair
 *
 * Prints {"floor":"chain","embedded":0,"n":20000,"median_ns":…,"p10_ns":…,"p90_ns":…}. */
#include "floor.h"

#define SIZE 64

static void run_executor(int fd) {
  char buf[SIZE];
  for (;;) {
    ssize_t n = read(fd, buf, sizeof buf);
    if (n <= 0 || write(fd, buf, (size_t)n) != n) _exit(0);
  }
}

int main(int argc, char **argv) {
  size_t n = 20000, warm = 500;
  int embedded = 0, pair[2], ready[2];
  for (int i = 1; i < argc; i++) {
    if (strcmp(argv[i], "--embedded") == 0)
      embedded = 1;
    else if (strcmp(argv[i], "-n") == 0 && i + 1 < argc)
      n = strtoul(argv[++i], NULL, 10);
    else
      return fprintf(stderr, "usage: floor_chain [--embedded] [-n ROUNDS]\n"), 2;
  }
  char url[64], byte;
  floor_url(url, "chain");
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(ready) != 0) return 1;
  pid_t relay = 0, executor = child();
  if (executor == 0) {
    close(pair[0]);
    run_executor(pair[1]);
  }
  if (!embedded && (relay = child()) == 0) run_relay(url, SIZE);
  pid_t daemon = child();
  if (daemon == 0) {
    close(pair[1]);
    run_daemon(url, embedded, pair[0], SIZE, ready[1]);
  }
  if (read(ready[0], &byte, 1) != 1) return 1;
  nng_stream *s = dial_patiently(url);
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  uint64_t *t = malloc(n * sizeof *t);
  char buf[SIZE] = {0};
  for (size_t i = 0; i < n + warm; i++) {
    uint64_t begun = now_ns();
    stream_all(s, aio, 1, buf, SIZE);
    stream_all(s, aio, 0, buf, SIZE);
    if (i >= warm) t[i - warm] = now_ns() - begun;
  }
  uint64_t m = median(t, n);
  printf(
      "{\"floor\":\"chain\",\"embedded\":%d,\"n\":%zu,\"median_ns\":%llu,\"p10_ns\":%llu,\"p90_ns\":%llu}\n",
      embedded, n, (unsigned long long)m, (unsigned long long)t[n / 10], (unsigned long long)t[n * 9 / 10]);
  fflush(stdout);
  end_child(daemon);
  end_child(executor);
  if (relay != 0) end_child(relay);
  _exit(0);
}

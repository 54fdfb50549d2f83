/* The floor of large payloads: 100 MB in 256 KB pieces from a client over a relay and a
 * daemon to an executor, which has it all before it sends as much back; each process cuts
 * through. One direction at a time, as a function with bytes in and bytes out has it.
 *
 *   floor_relay [-m MEGABYTES]
 *
 * Prints {"floor":"relay","mb":100,"in_mb_s":…,"out_mb_s":…,"mb_s":…}; mb_s is what went
 * in and out, over the whole time. A MB is 1,000,000 bytes. */
#include "floor.h"

#include <pthread.h>

#define PIECE (256u * 1024)

static void run_executor(int fd, size_t total) {
  char *all = malloc(total);
  for (size_t got = 0; got < total;) {
    ssize_t n = read(fd, all + got, total - got < PIECE ? total - got : PIECE);
    if (n <= 0) _exit(0);
    got += (size_t)n;
  }
  for (size_t put = 0; put < total;) {
    ssize_t n = write(fd, all + put, total - put < PIECE ? total - put : PIECE);
    if (n <= 0) _exit(0);
    put += (size_t)n;
  }
  for (;;) pause();
}

int main(int argc, char **argv) {
  size_t mb = 100;
  int pair[2], ready[2];
  if (argc == 3 && strcmp(argv[1], "-m") == 0)
    mb = strtoul(argv[2], NULL, 10);
  else if (argc != 1)
    return fprintf(stderr, "usage: floor_relay [-m MEGABYTES]\n"), 2;
  size_t total = mb * 1000000;
  char url[64], byte;
  floor_url(url, "relay");
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0 || pipe(ready) != 0) return 1;
  pid_t executor = child();
  if (executor == 0) {
    close(pair[0]);
    run_executor(pair[1], total);
  }
  pid_t relay = child();
  if (relay == 0) run_relay(url, PIECE);
  pid_t daemon = child();
  if (daemon == 0) {
    close(pair[1]);
    run_daemon(url, 0, pair[0], PIECE, ready[1]);
  }
  if (read(ready[0], &byte, 1) != 1) return 1;
  nng_stream *s = dial_patiently(url);
  nng_aio *aio;
  must(nng_aio_alloc(&aio, NULL, NULL), "aio");
  char *payload = malloc(total);
  memset(payload, 1, total);
  uint64_t begun = now_ns(), in_ns = 0;
  for (size_t at = 0; at < total; at += PIECE)
    stream_all(s, aio, 1, payload + at, total - at < PIECE ? total - at : PIECE);
  in_ns = now_ns() - begun; /* all but what the sockets still hold */
  for (size_t at = 0; at < total; at += PIECE)
    stream_all(s, aio, 0, payload + at, total - at < PIECE ? total - at : PIECE);
  uint64_t all_ns = now_ns() - begun;
  printf("{\"floor\":\"relay\",\"mb\":%zu,\"in_mb_s\":%.0f,\"out_mb_s\":%.0f,\"mb_s\":%.0f}\n", mb,
         (double)total * 1e3 / (double)in_ns, (double)total * 1e3 / (double)(all_ns - in_ns),
         2.0 * (double)total * 1e3 / (double)all_ns);
  fflush(stdout);
  end_child(daemon);
  end_child(executor);
  end_child(relay);
  _exit(0);
}

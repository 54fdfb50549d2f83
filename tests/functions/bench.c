/* The functions that script/bench calls. They link nothing of hato. */
#include <hato/function.h>
#include <errno.h>
#include <string.h>
#include <time.h>

hato_function empty, echo, nap;

int empty(hato_call *call) {
  (void)call;
  return 0;
}

int echo(hato_call *call) { return call->write(call, call->input, call->input_len); }

/* Sleeps for the nanoseconds that its argument, a uint64_t, says. */
int nap(hato_call *call) {
  uint64_t ns;
  if (call->input_len != sizeof ns) return 1;
  memcpy(&ns, call->input, sizeof ns);
  struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
  while (nanosleep(&t, &t) != 0 && errno == EINTR) {}
  return 0;
}

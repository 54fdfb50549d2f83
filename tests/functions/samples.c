/* Functions that the tests call. They link nothing of hato. */
#include <hato/function.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

hato_function empty, echo, echo_reserved, describe, count, fail, die, overflow_the_stack, print, print_many,
    many, many_in_parts, many_from_nowhere, many_and_wait, many_empty, sum, wait_cancelled, wait_file,
    leave_child, look_around;

int empty(hato_call *call) {
  (void)call;
  return 0;
}

int echo(hato_call *call) { return call->write(call, call->input, call->input_len); }

/* Echoes in place. */
int echo_reserved(hato_call *call) {
  if (call->input_len == 0) return 0;
  void *at = call->reserve(call, call->input_len + 100);
  if (at == NULL) return 1;
  memcpy(at, call->input, call->input_len);
  if (call->commit(call, call->input_len + 101) == 0) return 2; /* more than was reserved */
  return call->commit(call, call->input_len);
}

/* Its own numbers, and what the ABI promises of the input. */
int describe(hato_call *call) {
  char text[200];
  int aligned = ((uintptr_t)call->input & 15) == 0;
  int terminated = ((const char *)call->input)[call->input_len] == 0;
  int n = snprintf(text, sizeof text, "%llu %u %u %s %d %d %d", (unsigned long long)call->task, call->attempt,
                   call->index, call->node, aligned, terminated, HATO_CALL_HAS(call, keep) && call->abi == 1);
  return call->write(call, text, (size_t)n);
}

/* Counts its calls in *call->state; when the executor ends, the count goes to the file that the first
 * call was given. */
struct counter {
  int calls;
  char file[200];
};

static void destroy_counter(void *state) {
  struct counter *c = state;
  FILE *f = fopen(c->file, "w");
  if (f != NULL) {
    fprintf(f, "%d\n", c->calls);
    fclose(f);
  }
  free(c);
}

int count(hato_call *call) {
  struct counter *c = *call->state;
  if (c == NULL) {
    c = calloc(1, sizeof *c);
    if (c == NULL) return 1;
    snprintf(c->file, sizeof c->file, "%s", (const char *)call->input);
    *call->state = c;
    call->keep(call, destroy_counter);
  }
  char text[16];
  int n = snprintf(text, sizeof text, "%d", ++c->calls);
  return call->write(call, text, (size_t)n);
}

/* Fails with the number it is given. */
int fail(hato_call *call) {
  call->fail(call, "not these words");
  call->fail(call, "no such luck");
  if (call->write(call, "so far", 6) != 0) return 99;
  return atoi(call->input);
}

/* Dies by the signal it is given; without one, in peace. A sanitizer would see the crash coming. */
__attribute__((no_sanitize("address", "undefined"))) int die(hato_call *call) {
  int sig = atoi(call->input);
  if (sig == SIGSEGV) {
    volatile int *volatile nowhere = (volatile int *)(uintptr_t)sig;
    *nowhere = 1;
  }
  if (sig == SIGABRT) abort();
  if (sig == 1000) exit(3);
  if (sig > 0) raise(sig);
  return 0;
}

static int dig(volatile char *above, int depth) {
  volatile char here[4096];
  here[0] = above[0];
  return depth == 0 ? here[0] : dig(here, depth - 1) + here[1];
}

int overflow_the_stack(hato_call *call) {
  volatile char top = 0;
  (void)call;
  return dig(&top, 1 << 30) & 1;
}

int print(hato_call *call) {
  printf("printed %s\n", (const char *)call->input);
  fflush(stdout);
  fprintf(stderr, "on stderr\n");
  call->log(call, "logged");
  printf("not flushed");
  return 0;
}

/* Prints as many bytes as it is told. */
int print_many(hato_call *call) {
  long n = atol(call->input);
  for (long i = 0; i < n; i++) putchar('a' + (int)(i % 26));
  return 0;
}

/* A result of as many bytes as it is told. */
int many(hato_call *call) {
  size_t n = (size_t)atoll(call->input);
  unsigned char *at = call->reserve(call, n);
  if (at == NULL) return 1;
  for (size_t i = 0; i < n; i++) at[i] = (unsigned char)(i * 7 + i / 251);
  return call->commit(call, n);
}

/* The same, written in parts of 1 to 300,000 bytes; then it fails. */
int many_in_parts(hato_call *call) {
  size_t n = (size_t)atoll(call->input), part = 1;
  unsigned char *all = malloc(n);
  if (all == NULL) return 1;
  for (size_t i = 0; i < n; i++) all[i] = (unsigned char)(i * 7 + i / 251);
  int rc = 0;
  for (size_t at = 0; at < n && rc == 0; at += part, part = (part * 7 + 3) % 300000 + 1) {
    if (part > n - at) part = n - at;
    rc = call->write(call, all + at, part);
  }
  free(all);
  return rc ? rc : 7;
}

/* A mistake. */
int many_from_nowhere(hato_call *call) { return call->write(call, (const void *)(uintptr_t)4096, 2000000); }

/* A result of as many bytes as it is told, and then nothing until somebody cancels it. */
int many_and_wait(hato_call *call) {
  int rc = many(call);
  return rc ? rc : wait_cancelled(call);
}

/* The same as many, of whatever bytes there are. */
int many_empty(hato_call *call) {
  size_t n = (size_t)atoll(call->input);
  return call->reserve(call, n) ? call->commit(call, n) : 1;
}

/* How much it was given and the sum of it. */
int sum(hato_call *call) {
  const unsigned char *at = call->input;
  unsigned long long total = 0;
  for (uint64_t i = 0; i < call->input_len; i++) total += at[i];
  char text[64];
  int n = snprintf(text, sizeof text, "%llu %llu", (unsigned long long)call->input_len, total);
  return call->write(call, text, (size_t)n);
}

/* Until somebody cancels it. */
int wait_cancelled(hato_call *call) {
  struct timespec tick = {.tv_nsec = 1000000};
  while (!call->cancelled(call)) nanosleep(&tick, NULL);
  return 0;
}

/* Until a file is there. */
int wait_file(hato_call *call) {
  struct timespec tick = {.tv_nsec = 1000000};
  while (access(call->input, F_OK) != 0) nanosleep(&tick, NULL);
  return 0;
}

/* Starts a process that outlives the call and writes its number to a file. */
int leave_child(hato_call *call) {
  char line[300];
  snprintf(line, sizeof line, "setsid sh -c 'echo $$ > %s; exec sleep 1000' &", (const char *)call->input);
  return system(line) == 0 ? 0 : 1;
}

/* Where it is, and whether what it starts can wait for its own children. */
int look_around(hato_call *call) {
  sigset_t blocked;
  char text[300], cwd[200];
  sigprocmask(SIG_BLOCK, NULL, &blocked);
  int n = snprintf(text, sizeof text, "%s %d", getcwd(cwd, sizeof cwd) ? cwd : "",
                   sigismember(&blocked, SIGCHLD));
  return call->write(call, text, (size_t)n);
}

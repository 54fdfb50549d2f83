/* The socket to the daemon: frames in, frames out. Results wait a little for each other. */
#ifndef HATO_EXECUTOR_LINK_H
#define HATO_EXECUTOR_LINK_H

#include "proto/message.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#define EXECUTOR_CALL_DELAY_NS UINT64_C(100000)     /* a call's result waits so long for the next call's */
#define EXECUTOR_DELAY_NS UINT64_C(1000000)         /* and behind a long call so long */
#define EXECUTOR_COMMAND_DELAY_NS UINT64_C(4000000) /* a command's for others, while more are queued */
#define EXECUTOR_OUT_FULL (32u * 1024u)  /* results of calls are written when they are so many bytes */
#define EXECUTOR_OUT_HIGH (512u * 1024u) /* unsent bytes beyond which no more output is read */

/* `lock` guards `out` to `armed`: a flusher thread (flusher.c) sends too. */
typedef struct executor_link {
  int fd;
  uint8_t *in; /* received, not handled: [in_at, in_len) */
  size_t in_at, in_len;
  bool closed; /* the daemon is gone, or is not understood: nothing more is received */

  pthread_mutex_t lock;
  hato__buf out; /* frames; those before `sent` are with the kernel */
  size_t sent;
  proto_results_writer results; /* the RESULTS frame at the end of out, while open */
  bool open;
  uint64_t oldest; /* when the first frame came that no send was tried for; 0: none */
  bool raw;        /* the main thread is writing a frame by itself: nothing of out may be sent */
  bool armed;      /* the flusher looks every millisecond */

  int wake;            /* eventfd that arms the flusher; -1: there is no flusher */
  atomic_bool in_call; /* the main thread is inside a function */
  bool failed;         /* a frame was lost for want of memory; the main thread's */
} executor_link;

bool executor_link_open(executor_link *l, int fd);
void executor_link_free(executor_link *l);

/* Appending frames: begin locks and returns where to, end unlocks. */
hato__buf *executor_link_begin(executor_link *l);
void executor_link_end(executor_link *l);
/* Appends a record at time `now`. `more`: another task follows at once, so arm the flusher.
 * Returns the bytes that are unsent. */
size_t executor_link_result(executor_link *l, const proto_result *r, uint64_t now, bool more);
/* Sends what the socket takes without blocking; the bytes that are left. */
size_t executor_link_send(executor_link *l);
size_t executor_link_unsent(executor_link *l);
/* When the first frame came that no send was tried for (0: none), and the unsent bytes. */
uint64_t executor_link_waiting(executor_link *l, size_t *unsent);
/* The same with `lock` held. */
size_t executor_link_send_locked(executor_link *l);
/* No frame of out is sent until it is lowered again. */
void executor_link_raw(executor_link *l, bool raw);

#endif

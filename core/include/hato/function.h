/*
 * hato/function.h - the ABI of function tasks.
 *
 * A function task calls a symbol of a shared object. The object includes this
 * header only and links nothing of hato:
 *
 *   #include <hato/function.h>
 *   int twice(hato_call *call) {
 *     return call->write(call, call->input, call->input_len) ||
 *            call->write(call, call->input, call->input_len);
 *   }
 *   cc -shared -fPIC -o libmine.so mine.c
 *
 * It runs in an executor, a process that belongs to one slot and makes one call at
 * a time, always from the same thread, so a function need not be reentrant. What
 * stands in static variables and in *call->state persists from call to call of the
 * same executor; another slot has its own. A crash (a signal) ends the executor and
 * resolves the task to error value 19 with the signal named; earlier results stand.
 *
 * Descriptors. 0 reads nothing; what is written to 1 and 2 is captured and belongs
 * to the task as its standard error output. C's stdout is flushed after each call;
 * a runtime with buffers of its own (Fortran units, an unsynchronised std::cout) has
 * to be flushed by the function. A descriptor that is meant to outlive the call
 * should be close-on-exec. exit() ends the executor as a crash does.
 *
 * Processes. What a function starts may outlive the call, but not the executor, nor
 * a command task that the slot executes afterwards.
 *
 * The ABI. Fields are only ever appended to hato_call: `size` says how far those of
 * the executor at hand reach (HATO_CALL_HAS). HATO_FUNCTION_ABI changes only
 * when an older object would be misled, and an object may compare it with call->abi.
 */
#ifndef HATO_FUNCTION_H
#define HATO_FUNCTION_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HATO_FUNCTION_ABI 1u

typedef struct hato_call hato_call;

/* The type of a function. Returns 0 for a result. Any other value makes it a failed
 * task, as a command's exit status does: the low byte is its exit status (1 when the
 * low byte is 0), the words are those given to `fail`, and the bytes written so far
 * are still its result. */
typedef int hato_function(hato_call *call);

/* Services must be called on the thread that the function was called on, during the
 * call, with the call they came in. None of them blocks but write and commit: of a
 * result of more than 1 MiB they send what there is, as a command writes to a pipe, and
 * wait for who reads it. So a large result is never held as a whole. */
struct hato_call {
  uint32_t size; /* of this struct in bytes, as the executor has it */
  uint32_t abi;  /* HATO_FUNCTION_ABI of the executor */

  /* The argument: input_len bytes, aligned to 16, followed by a zero byte that is not
   * counted. Never NULL. Read only; valid until the function returns. */
  const void *input;
  uint64_t input_len;

  uint64_t task;    /* the task's number in its session */
  uint32_t attempt; /* counts the executions of this task */
  uint32_t index;   /* of the argument in its submission, from 0 */
  const char *node; /* the machine's name, as messages have it */

  /* A pointer for the object's use, NULL at first, one for all functions of an object
   * in this executor. `keep` says what becomes of it. */
  void **state;

  /* Appends n bytes to the result. Returns 0; 2 no memory; 17 past the limit of the
   * task's output (the task then resolves to 17 whatever the function returns); what
   * `cancelled` says (7 when there is nobody any more) when that ended the wait. */
  int (*write)(hato_call *call, const void *bytes, size_t n);

  /* Writing in place: room for n bytes at the end of the result, uninitialised, valid until
   * the next write or reserve; NULL when there is no memory or the limit is passed. `commit`
   * appends the first n bytes of it, as write does; 3 when that is more than was reserved. */
  void *(*reserve)(hato_call *call, size_t n);
  int (*commit)(hato_call *call, size_t n);

  /* Words for a failure, copied, at most 500 bytes; the last call counts. They are used
   * when the function returns something other than 0. */
  void (*fail)(hato_call *call, const char *words);

  /* Whether somebody cancelled the task (or its time is over): nonzero, the error value
   * it will resolve to whatever the function returns. Cheap enough for inner loops (it
   * looks at most once in 100 us). A function that does not ask is ended with its
   * executor. */
  int (*cancelled)(hato_call *call);

  /* A line for the task's captured output, in order with what is printed. */
  void (*log)(hato_call *call, const char *text);

  /* `destroy` will be called with *state when the executor ends in an orderly way, unless
   * *state is NULL then. It has two seconds. NULL: nothing is called. The last call counts. */
  void (*keep)(hato_call *call, void (*destroy)(void *state));
};

/* Whether the executor at hand knows a field: HATO_CALL_HAS(call, keep). */
#define HATO_CALL_HAS(call, field) \
  ((call)->size >= offsetof(struct hato_call, field) + sizeof((call)->field))

#ifdef __cplusplus
}
#endif
#endif

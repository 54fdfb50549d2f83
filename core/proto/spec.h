/*
 * Specifications: all that the tasks of an array share. Encoded as fields
 * { u16 tag, u32 length, bytes }; a reader refuses an unknown tag below 0x8000 and
 * passes over one above, so that a later hato can add what older ones may ignore.
 */
#ifndef HATO_PROTO_SPEC_H
#define HATO_PROTO_SPEC_H

#include "proto/frame.h"

typedef enum proto_kind { PROTO_COMMAND = 1, PROTO_FUNCTION = 2 } proto_kind;
typedef enum proto_stdin {
  PROTO_STDIN_NULL = 0,
  PROTO_STDIN_FILE = 1, /* stdin_path, opened on the daemon's machine */
  PROTO_STDIN_ARG = 2,  /* the task's argument (or its pieces) is the standard input */
} proto_stdin;

#define PROTO_SPEC_SUBSTITUTE 1u /* {} in argv words (and {#}, {id} in output_to) stands for the argument */
#define PROTO_SPEC_SHELL 2u      /* quoted for sh where it is replaced in argv's last word */
#define PROTO_SPEC_LIVE 4u       /* output is sent as it comes, all of it in pieces */
#define PROTO_SPEC_MERGE 8u      /* standard error joins standard output */

typedef struct proto_spec {
  uint8_t kind;
  uint32_t flags;
  uint64_t limit_ns;     /* time limit from the start of a task; 0 none */
  uint64_t output_limit; /* bytes of each stream; 0: PROTO_PAYLOAD_MAX. Past it: ended, error value 17 */
  /* command */
  char **argv; /* NULL-terminated */
  char **env;  /* NULL-terminated NAME=value */
  char *cwd;
  uint32_t umask;
  uint8_t stdin_kind;
  char *stdin_path;
  char *output_to; /* PATTERN: {#} number in its submission from 1, {id} task, {} argument, {stream} out|err */
  /* function */
  char *object_path; /* as given; with a hash, a name for messages only */
  bool has_hash;
  uint8_t hash[32]; /* of the content, sent by OBJECT */
  char *symbol;
} proto_spec;

void proto_spec_encode(hato__buf *out, const proto_spec *s); /* bare bytes, no frame */
/* Allocates each string and list by itself; argv and env come out never NULL. On
 * failure *s is empty; proto_spec_free is safe on it, and on a partly filled one.
 * Checks that a command has argv[0], a function a symbol and an object, strings hold
 * no NUL. PROTOCOL: malformed; NOT_SUPPORTED: a field, kind or flag of a later hato. */
hato_status proto_spec_decode(proto_spec *s, const uint8_t *bytes, size_t n, hato_error *err);
void proto_spec_free(proto_spec *s);

#endif

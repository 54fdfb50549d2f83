/*
 * Frames: what every connection of hato carries (docs/protocol.md).
 *
 *   0  u8   'H'
 *   1  u8   'T'
 *   2  u8   protocol version
 *   3  u8   message type
 *   4  u32  length of the body in bytes, little-endian, at most PROTO_BODY_MAX
 *   8  …    body
 *
 * Bump PROTO_VERSION when a peer of the version before would misread a message;
 * a new message type or a new optional field of a specification needs no bump.
 * The header, HELLO and REFUSED keep their form in every version, so that peers
 * of different versions can tell each other so.
 */
#ifndef HATO_PROTO_FRAME_H
#define HATO_PROTO_FRAME_H

#include "base/buf.h"
#include "hato/status.h"

#define PROTO_VERSION 2
#define PROTO_HEADER 8u
#define PROTO_BODY_MAX (256u * 1024u)
#define PROTO_PIECE_DATA (PROTO_BODY_MAX - 16u)      /* data bytes of a PIECE at most */
#define PROTO_PAYLOAD_MAX (UINT64_C(16) << 30)       /* one payload: 16 GiB */
#define PROTO_SPEC_MAX (8u << 20)                    /* an encoded specification */
#define PROTO_OBJECT_MAX (UINT64_C(1) << 30)         /* a shared object given by content */
#define PROTO_INLINE_OUT (64u * 1024u)               /* bytes of a stream inside its result */
#define PROTO_INLINE_ARG (64u * 1024u)               /* bytes of an argument inside ARGS or ASSIGN */
#define PROTO_WINDOW (2u << 20)                      /* credit a receiver keeps granted for a stream */

/* Who sends: C client, D dispatcher, W daemon (worker side), X executor. */
#define PROTO_TYPE_LIST(X)                                       \
  /* admission, either way, before anything else */              \
  X(HELLO, 1)      /* C,W->D */                                  \
  X(CHALLENGE, 2)  /* D->C,W */                                  \
  X(PROOF, 3)      /* C,W->D */                                  \
  X(WELCOME, 4)    /* D->C,W */                                  \
  X(REFUSED, 5)    /* D->C,W, then closed */                     \
  /* any */                                                      \
  X(HEARTBEAT, 8)  /* empty */                                   \
  X(GOODBYE, 9)    /* u16 status, str words: an orderly end */   \
  /* tasks, client side */                                       \
  X(CLIENT, 16)    /* C->D who I am */                           \
  X(SPEC, 17)      /* C->D, D->W, W->X */                        \
  X(SPEC_DROP, 18) /* the same */                                \
  X(OBJECT, 19)    /* C->D, D->W: a shared object's content */   \
  X(SUBMIT, 20)    /* C->D */                                    \
  X(ARGS, 21)      /* C->D */                                    \
  X(ACCEPTED, 22)  /* D->C */                                    \
  X(REJECTED, 23)  /* D->C */                                    \
  X(CANCEL, 24)    /* C->D */                                    \
  X(FETCH, 25)     /* C->D: a kept result again */               \
  X(CONTROL, 26)   /* C->D: a request in JSON */                 \
  X(REPLY, 27)     /* D->C: its answer, in parts */              \
  X(RESOLVED, 28)  /* D->C: tasks that resolved without result */\
  /* tasks, daemon side */                                       \
  X(DAEMON, 32)    /* W->D who I am */                           \
  X(ASSIGN, 33)    /* D->W, W->X */                              \
  X(STARTED, 34)   /* W->D */                                    \
  X(TAKE, 35)      /* D->W */                                    \
  X(TAKEN, 36)     /* W->D */                                    \
  X(INTERRUPT, 37) /* D->W, W->X */                              \
  X(DRAIN, 38)     /* W->D: I take no more. D->W: take no more, end when done */ \
  X(ENLISTED, 39)  /* D->W: the answer to DAEMON */              \
  /* results and payloads, every hop */                          \
  X(RESULTS, 48)                                                 \
  X(PIECE, 49)                                                   \
  X(CREDIT, 50)

typedef enum proto_type {
#define PROTO_X(name, number) PROTO_##name = number,
  PROTO_TYPE_LIST(PROTO_X)
#undef PROTO_X
} proto_type;

const char *proto_type_name(int type); /* never NULL */

typedef struct proto_header {
  uint8_t version;
  uint8_t type;
  uint32_t len;
} proto_header;

/* Reads a header from 8 bytes. PROTOCOL with words: no magic, too long, another
 * version (*h is filled in that case, so that REFUSED can be told apart). */
hato_status proto_header_decode(proto_header *h, const uint8_t bytes[PROTO_HEADER], hato_error *err);

/* Begins a frame in out and returns its place; proto_end writes the length.
 * A body over PROTO_BODY_MAX is a programming error and sets out->failed. */
size_t proto_begin(hato__buf *out, proto_type type);
void proto_end(hato__buf *out, size_t begun);

#endif

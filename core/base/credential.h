/* A credential: what its holder proves to a dispatcher, and the dispatcher to its holder. It binds a role: what
 * was made for daemons cannot submit, what was made for clients cannot pose as a daemon.
 *
 * As text it is one word without blanks:
 *
 *   hato1:ROLE:ID:SECRET:NAME:FINGERPRINT:ANCHOR
 *
 * ROLE client or daemon; ID decimal; SECRET 64 hexadecimal digits; of the dispatcher's TLS certificate the name
 * in it, the SHA-256 of its DER in 64 digits, and the DER of the certificate that vouches for it (itself, when it
 * is a session's own) in digits; each of the three "-" when the dispatcher has none. */
#ifndef HATO_BASE_CREDENTIAL_H
#define HATO_BASE_CREDENTIAL_H

#include "hato/status.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HATO__SECRET_BYTES 32
#define HATO__FINGERPRINT_BYTES 32 /* SHA-256 */
#define HATO__ANCHOR_MAX 1800      /* bytes; so that the text is below HATO_SECRET_MAX */
#define HATO__CREDENTIAL_TEXT 4096 /* bytes of a text, its zero included */

typedef enum hato__role { HATO__ROLE_CLIENT = 1, HATO__ROLE_DAEMON = 2 } hato__role; /* the protocol's numbers */

typedef struct hato__certificate { /* of a dispatcher, as its peers know it */
  char name[256];                  /* in the certificate; "": it has none, and speaks no TLS */
  uint8_t fingerprint[HATO__FINGERPRINT_BYTES];
  size_t anchor_len;
  uint8_t anchor[HATO__ANCHOR_MAX]; /* DER */
} hato__certificate;

typedef struct hato__credential {
  hato__role role;
  uint64_t id; /* of a daemon: its launch, 0 when started by hand; of a client: 0 */
  uint8_t secret[HATO__SECRET_BYTES];
  hato__certificate certificate;
} hato__credential;

/* A new one with a random secret, in secret memory; certificate may be NULL. NULL: no memory. */
hato__credential *hato__credential_new(hato__role role, uint64_t id, const hato__certificate *certificate);
/* Reads a text, blanks around it allowed. where names it in words: INVALID says what was found amiss, never what it is. */
hato_status hato__credential_parse(const char *text, size_t n, const char *where, hato__credential **out,
                                   hato_error *err);
/* INVALID, unless it was made for this role; where as above. */
hato_status hato__credential_check(const hato__credential *c, hato__role role, const char *where, hato_error *err);
/* As text; out has HATO__CREDENTIAL_TEXT bytes of secret memory. */
void hato__credential_text(const hato__credential *c, char *out);
void hato__credential_free(hato__credential *c); /* wiped; NULL is fine */
/* "client" or "daemon". */
const char *hato__role_name(hato__role role);

#endif

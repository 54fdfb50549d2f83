/* The listener's side of an admission, for who takes its steps (admission.c) and who judges proofs (prove.c). */
#ifndef HATO_NET_ADMISSION_H
#define HATO_NET_ADMISSION_H

#include "net/listener.h"
#include "net/munge.h"

typedef enum net__step { NET_WANT_HELLO, NET_WANT_PROOF, NET_CHECKING, NET_WELCOMED, NET_REFUSED } net__step;

struct net__admission {
  net__place place;
  net_listener *l;
  net_conn *c;
  /* This and what follows are the reader's; while CHECKING the desk's, with the gate shut. */
  net__step step;
  bool logged;
  bool greeted; /* said a good HELLO */
  uint8_t role;
  uint8_t hello[NET_HELLO_BODY], transcript[32];
  uint8_t method; /* that was asked for */
  /* From the reader to the writer, under the listener's lock. */
  hato__buf reply;
  bool welcomed; /* the reply ends with WELCOME */
  bool leaving;  /* the writer's: what it sends ends with WELCOME */
};

/* ---- admission.c ---- */
/* Says no, and then waits for the peer to read it and go: to close at once could lose the words. reason: for the
 * log, which the peer does not see. */
void net__refuse(net__admission *a, hato_status status, const char *words, const char *reason);
/* The last word; a may be gone on return. */
void net__welcome(net__admission *a, const proto_proof *m);

/* ---- prove.c ---- */
/* What a peer is asked for. */
proto_method net__method_for(const net_listener *l);
void net__proof(net__admission *a, const net_frame *f);

#endif

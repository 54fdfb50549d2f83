/*
 * Whether a peer's PROOF is one, and our own in WELCOME. Nothing that is sent, and no time it takes, tells which part
 * of a proof was wrong or which credentials there are; only who proved a secret comes as far as MUNGE, which is asked
 * on threads of its own.
 */
#include "net/admission.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

proto_method net__method_for(const net_listener *l) {
  if (l->kind == HATO__SCHEME_SOCKET || l->guard.munge == NET_MUNGE_OFF) return PROTO_METHOD_SECRET;
  if (l->guard.munge == NET_MUNGE_REQUIRE) return PROTO_METHOD_MUNGE;
  return l->munge_runs ? PROTO_METHOD_MAY_MUNGE : PROTO_METHOD_SECRET;
}

/* The same words for whatever is amiss. */
static void no(net__admission *a, const char *reason) {
  net__refuse(a, HATO_PEER_AUTH, "not admitted: its credential is not, or no longer, good here", reason);
}

/* "a client's", "launch 7's" */
static void whose(const net__admission *a, uint64_t id, char *out, size_t n) {
  if (a->role == PROTO_ROLE_CLIENT)
    snprintf(out, n, "a client's");
  else if (id == 0)
    snprintf(out, n, "that of daemons started by hand");
  else
    snprintf(out, n, "launch %" PRIu64 "'s", id);
}

/* The MAC of a credential that is not there is computed, too, with another secret. */
static bool proves(net__admission *a, const proto_proof *m, bool *known, uint64_t *making) {
  uint8_t secret[HATO__SECRET_BYTES], want[32];
  const net_guard *g = &a->l->guard;
  memcpy(secret, a->l->decoy, sizeof secret);
  *known = g->find != NULL && g->find(g->arg, (proto_role)a->role, m->id, secret, making);
  bool ok = net__proof_mac(want, secret, a->transcript, m) && net__mac_equal(m->mac, want) && *known;
  explicit_bzero(secret, sizeof secret);
  return ok;
}

/* All is proved, by the secret of this making. munge: our own credential, or "". */
static void admit(net__admission *a, uint64_t id, uint64_t making, const uint8_t proof[32], const char *munge) {
  uint8_t secret[HATO__SECRET_BYTES];
  uint64_t now = 0;
  const net_guard *g = &a->l->guard;
  proto_proof m = {.munge = munge, .munge_len = (uint32_t)strlen(munge)};
  bool ok = g->find(g->arg, (proto_role)a->role, id, secret, &now) && now == making &&
            net__welcome_mac(m.mac, secret, a->transcript, proof, &m);
  explicit_bzero(secret, sizeof secret);
  if (!ok) {
    no(a, "its credential was revoked or renewed meanwhile");
    return;
  }
  a->c->peer.secret = true;
  a->c->peer.id = id;
  a->c->peer.making = making;
  net__welcome(a, &m);
}

/* ---- MUNGE ---- */

typedef struct check {
  net__munge_job job;
  net__admission *a;
  uint64_t id, making;
  uint8_t proof[32];
  char credential[PROTO_MUNGE_MAX + 1];
} check;

/* munged did not answer us: nobody knows whether the credential is good. */
static bool unknown(hato_status st) { return st != HATO_OK && st != HATO_PEER_AUTH; }

static void say_without(net__admission *a, const char *why) {
  hato__warn(&a->l->log, "PEER-NO-MUNGE", "%s: admitted by its secret alone: %s", a->c->peer.address, why);
}

/* On a thread of the desk, while the gate is shut; a may be gone after the last call. */
static void checked(net__munge_job *job) {
  check *k = job->arg;
  net__admission *a = k->a;
  net_conn *c = a->c;
  hato_status st = job->err.status;
  if (st == HATO_OK) {
    c->peer.munge = true;
    admit(a, k->id, k->making, k->proof, job->answer);
  } else if (unknown(st) && st != HATO_CANCELLED && a->method == PROTO_METHOD_MAY_MUNGE) {
    say_without(a, job->err.text);
    admit(a, k->id, k->making, k->proof, "");
  } else {
    no(a, job->err.text);
  }
  if (c->discard) net__gate_open(c); /* refused: what still comes is dropped */
  net__unhold(c);
  free(k);
}

static void ask_munge(net__admission *a, const proto_proof *m, uint64_t making) {
  check *k = calloc(1, sizeof *k);
  bool ok = k != NULL && net__hold(a->c);
  if (!ok) {
    free(k);
    no(a, "no memory to ask MUNGE, or it is leaving");
    return;
  }
  k->a = a;
  k->id = m->id;
  k->making = making;
  memcpy(k->proof, m->mac, sizeof k->proof);
  memcpy(k->credential, m->munge, m->munge_len); /* ends with the zero of calloc */
  k->job = (net__munge_job){.credential = k->credential, .encode = true, .done = checked, .arg = k};
  a->step = NET_CHECKING;
  net__gate_shut(a->c);
  net_conn *c = a->c;
  if (net__munge_payload(k->job.payload_in, false, a->transcript) &&
      net__munge_payload(k->job.payload_out, true, a->transcript) && net__munge_post(a->l->desk, &k->job))
    return;
  free(k);
  no(a, "too many wait for MUNGE");
  net__gate_open(c);
  net__unhold(c);
}

/* ---- */

void net__proof(net__admission *a, const net_frame *f) {
  proto_proof m;
  hato_error err = {0};
  char words[160], owner[64];
  bool known;
  uint64_t making = 0;
  if (proto_proof_decode(&m, f->body, f->len, &err) != HATO_OK) {
    net__refuse(a, HATO_PROTOCOL, err.text, err.text);
    return;
  }
  if (!proves(a, &m, &known, &making)) {
    whose(a, m.id, owner, sizeof owner);
    snprintf(words, sizeof words,
             known ? "its proof is wrong: it does not hold the credential that it names, %s"
                   : "the credential that it names, %s, is not or no longer known here",
             owner);
    no(a, words);
  } else if (a->method == PROTO_METHOD_SECRET) {
    admit(a, m.id, making, m.mac, "");
  } else if (m.munge_len > 0) {
    ask_munge(a, &m, making);
  } else if (a->method == PROTO_METHOD_MUNGE) {
    no(a, "came without a MUNGE credential, which is required");
  } else {
    say_without(a, "it has no MUNGE");
    admit(a, m.id, making, m.mac, "");
  }
}

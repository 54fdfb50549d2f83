#include "base/credential.h"

#include "base/error.h"
#include "base/io.h"
#include "base/secret.h"
#include "base/str.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define MARK "hato1"
#define FIELDS 7

_Static_assert(sizeof MARK + 8 + 20 + 2 * HATO__SECRET_BYTES + 256 + 2 * HATO__FINGERPRINT_BYTES +
                       2 * HATO__ANCHOR_MAX + FIELDS <= HATO__CREDENTIAL_TEXT,
               "a credential's text fits");

typedef struct field {
  const char *at;
  size_t n;
} field;

const char *hato__role_name(hato__role role) { return role == HATO__ROLE_CLIENT ? "client" : "daemon"; }

void hato__credential_free(hato__credential *c) { hato__secret_free(c, sizeof *c); }

hato__credential *hato__credential_new(hato__role role, uint64_t id, const hato__certificate *certificate) {
  hato__credential *c = hato__secret_alloc(sizeof *c);
  if (!c) return NULL;
  c->role = role;
  c->id = id;
  hato__random(c->secret, sizeof c->secret);
  if (certificate) c->certificate = *certificate;
  return c;
}

/* ---- reading ---- */

static bool is(field f, const char *word) { return f.n == strlen(word) && memcmp(f.at, word, f.n) == 0; }

/* In place: no copy of a secret is left behind. */
static bool bytes_of(field f, uint8_t *out, size_t n) { return hato__unhex_n(out, n, f.at, f.n); }

static bool number_of(field f, uint64_t *out) {
  char text[24];
  if (f.n == 0 || f.n >= sizeof text || !isdigit((unsigned char)*f.at)) return false;
  memcpy(text, f.at, f.n);
  text[f.n] = 0;
  return hato__parse_u64(text, out);
}

static bool name_of(field f, char out[256]) {
  if (f.n == 0 || f.n > 255) return false;
  for (size_t i = 0; i < f.n; i++)
    if (!isgraph((unsigned char)f.at[i])) return false;
  memcpy(out, f.at, f.n);
  out[f.n] = 0;
  return true;
}

static const char *certificate_of(const field *f, hato__certificate *c) {
  if (is(f[0], "-") && is(f[1], "-") && is(f[2], "-")) return NULL;
  if (!name_of(f[0], c->name)) return "its certificate's name is none";
  if (!bytes_of(f[1], c->fingerprint, sizeof c->fingerprint)) return "its certificate's fingerprint is not 64 digits";
  c->anchor_len = f[2].n / 2;
  if (c->anchor_len == 0 || c->anchor_len > sizeof c->anchor || !bytes_of(f[2], c->anchor, c->anchor_len))
    return "its certificate is none";
  return NULL;
}

/* What is amiss; NULL: nothing. */
static const char *fields_of(const field f[FIELDS], hato__credential *c) {
  if (!is(f[0], MARK)) return "it does not begin with " MARK;
  if (!is(f[1], "client") && !is(f[1], "daemon")) return "its role is neither client nor daemon";
  c->role = is(f[1], "client") ? HATO__ROLE_CLIENT : HATO__ROLE_DAEMON;
  if (!number_of(f[2], &c->id)) return "its number is none";
  if (!bytes_of(f[3], c->secret, sizeof c->secret)) return "its secret is not 64 hexadecimal digits";
  return certificate_of(f + 4, &c->certificate);
}

static const char *split(const char *text, size_t n, field f[FIELDS]) {
  const char *end = text + n;
  for (int i = 0; i < FIELDS; i++) {
    const char *colon = memchr(text, ':', (size_t)(end - text));
    if ((colon == NULL) != (i == FIELDS - 1)) return "it has not seven parts with colons between";
    f[i] = (field){text, (size_t)((colon ? colon : end) - text)};
    text = colon ? colon + 1 : end;
  }
  return NULL;
}

hato_status hato__credential_parse(const char *text, size_t n, const char *where, hato__credential **out,
                                   hato_error *err) {
  field f[FIELDS];
  *out = NULL;
  while (n > 0 && isspace((unsigned char)*text)) text++, n--;
  while (n > 0 && isspace((unsigned char)text[n - 1])) n--;
  if (n == 0) return hato__fail(err, HATO_INVALID, "%s holds no credential: it is empty", where);
  hato__credential *c = hato__secret_alloc(sizeof *c);
  if (!c) return hato__fail(err, HATO_NO_MEMORY, "no memory for a credential");
  const char *amiss = n >= HATO__CREDENTIAL_TEXT ? "it is too long" : split(text, n, f);
  if (!amiss) amiss = fields_of(f, c);
  if (!amiss) {
    *out = c;
    return HATO_OK;
  }
  hato__credential_free(c);
  return hato__fail(err, HATO_INVALID, "%s holds no credential of hato: %s", where, amiss);
}

hato_status hato__credential_check(const hato__credential *c, hato__role role, const char *where, hato_error *err) {
  if (c->role == role) return HATO_OK;
  return hato__fail(err, HATO_INVALID, "%s holds a %s's credential; wanted a %s's", where, hato__role_name(c->role),
                    hato__role_name(role));
}

/* ---- writing ---- */

void hato__credential_text(const hato__credential *c, char *out) {
  const hato__certificate *k = &c->certificate;
  char *at = out + sprintf(out, MARK ":%s:%" PRIu64 ":", hato__role_name(c->role), c->id);
  hato__hex(at, c->secret, sizeof c->secret);
  at += 2 * sizeof c->secret;
  if (!*k->name) {
    memcpy(at, ":-:-:-", sizeof ":-:-:-");
    return;
  }
  at += sprintf(at, ":%s:", k->name);
  hato__hex(at, k->fingerprint, sizeof k->fingerprint);
  at += 2 * sizeof k->fingerprint;
  *at++ = ':';
  hato__hex(at, k->anchor, k->anchor_len);
}

/* Admission, the ends of a connection, and who its peer is. */
#include "proto/message.h"
#include "proto/wire.h"

void proto_hello_encode(hato__buf *out, const proto_hello *m) {
  uint8_t *at = proto_frame(out, PROTO_HELLO, 4 + sizeof m->nonce);
  if (at == NULL) return;
  at = proto_put_u8(at, m->role);
  at = proto_put_u8(at, m->version_low);
  at = proto_put_u8(at, m->version_high);
  at = proto_put_u8(at, 0);
  (void)proto_put_raw(at, m->nonce, sizeof m->nonce);
}

hato_status proto_hello_decode(proto_hello *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_hello){0};
  proto_cursor c = proto_cursor_of("HELLO", body, n);
  m->role = proto_get_u8(&c, "role");
  if (m->role != PROTO_ROLE_CLIENT && m->role != PROTO_ROLE_DAEMON) proto_wrong(&c, "role", "unknown");
  m->version_low = proto_get_u8(&c, "lowest version");
  m->version_high = proto_get_u8(&c, "highest version");
  if (m->version_low == 0 || m->version_low > m->version_high) proto_wrong(&c, "versions", "not a range");
  proto_get_zero(&c, 1);
  proto_get_copy(&c, m->nonce, sizeof m->nonce, "nonce");
  return proto_finish(&c, err);
}

void proto_challenge_encode(hato__buf *out, const proto_challenge *m) {
  uint8_t *at = proto_frame(out, PROTO_CHALLENGE, 4 + sizeof m->nonce);
  if (at == NULL) return;
  at = proto_put_u8(at, m->version);
  at = proto_put_u8(at, m->method);
  at = proto_put_u16(at, 0);
  (void)proto_put_raw(at, m->nonce, sizeof m->nonce);
}

hato_status proto_challenge_decode(proto_challenge *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_challenge){0};
  proto_cursor c = proto_cursor_of("CHALLENGE", body, n);
  m->version = proto_get_u8(&c, "version");
  m->method = proto_get_u8(&c, "method");
  if (m->method < PROTO_METHOD_SECRET || m->method > PROTO_METHOD_MUNGE)
    proto_wrong(&c, "method", "unknown");
  proto_get_zero(&c, 2);
  proto_get_copy(&c, m->nonce, sizeof m->nonce, "nonce");
  return proto_finish(&c, err);
}

void proto_proof_encode(hato__buf *out, const proto_proof *m) {
  uint8_t *at = proto_frame(out, PROTO_PROOF, 8u + sizeof m->mac + 4u + m->munge_len);
  if (at == NULL) return;
  at = proto_put_u64(at, m->id);
  at = proto_put_raw(at, m->mac, sizeof m->mac);
  (void)proto_put_bytes(at, m->munge, m->munge_len);
}

void proto_welcome_encode(hato__buf *out, const proto_proof *m) {
  uint8_t *at = proto_frame(out, PROTO_WELCOME, sizeof m->mac + 4u + m->munge_len);
  if (at == NULL) return;
  at = proto_put_raw(at, m->mac, sizeof m->mac);
  (void)proto_put_bytes(at, m->munge, m->munge_len);
}

static hato_status proved(proto_proof *m, proto_cursor *c, hato_error *err) {
  proto_get_copy(c, m->mac, sizeof m->mac, "mac");
  m->munge = proto_get_str(c, PROTO_MUNGE_MAX, &m->munge_len, "MUNGE credential");
  return proto_finish(c, err);
}

hato_status proto_proof_decode(proto_proof *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_proof){0};
  proto_cursor c = proto_cursor_of("PROOF", body, n);
  m->id = proto_get_u64(&c, "credential");
  return proved(m, &c, err);
}

hato_status proto_welcome_decode(proto_proof *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_proof){0};
  proto_cursor c = proto_cursor_of("WELCOME", body, n);
  return proved(m, &c, err);
}

void proto_words_encode(hato__buf *out, proto_type refused_or_goodbye, int status, const char *words) {
  uint32_t len = words ? proto_words_fit(words, strlen(words), PROTO_WORDS_MAX) : 0;
  uint8_t *at = proto_frame(out, refused_or_goodbye, 6u + len);
  if (at == NULL) return;
  at = proto_put_u16(at, (uint16_t)status);
  (void)proto_put_bytes(at, words, len);
}

hato_status proto_words_decode(proto_words *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_words){0};
  proto_cursor c = proto_cursor_of("REFUSED or GOODBYE", body, n);
  m->status = proto_get_u16(&c, "status");
  m->words = proto_get_str(&c, PROTO_WORDS_MAX, &m->words_len, "words");
  return proto_finish(&c, err);
}

void proto_heartbeat_encode(hato__buf *out) { (void)proto_frame(out, PROTO_HEARTBEAT, 0); }

static uint32_t name_len(const char *name) {
  return name ? proto_words_fit(name, strlen(name), PROTO_NAME_MAX) : 0;
}

void proto_client_encode(hato__buf *out, uint64_t id, const char *label) {
  uint32_t len = name_len(label);
  uint8_t *at = proto_frame(out, PROTO_CLIENT, 12u + len);
  if (at == NULL) return;
  at = proto_put_u64(at, id);
  (void)proto_put_bytes(at, label, len);
}

hato_status proto_client_decode(proto_client *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_client){0};
  proto_cursor c = proto_cursor_of("CLIENT", body, n);
  m->id = proto_get_u64(&c, "id");
  m->label = proto_get_str(&c, PROTO_NAME_MAX, &m->label_len, "label");
  return proto_finish(&c, err);
}

void proto_daemon_encode(hato__buf *out, const proto_daemon *m) {
  uint32_t host_len = m->host ? proto_words_fit(m->host, m->host_len, PROTO_NAME_MAX) : 0;
  uint32_t version_len = m->version ? proto_words_fit(m->version, m->version_len, PROTO_NAME_MAX) : 0;
  uint8_t *at = proto_frame(out, PROTO_DAEMON, 44u + host_len + version_len);
  if (at == NULL) return;
  at = proto_put_u64(at, m->id);
  at = proto_put_u32(at, m->instance);
  at = proto_put_u64(at, m->launch);
  at = proto_put_u32(at, m->member);
  at = proto_put_u32(at, m->slots);
  at = proto_put_u32(at, m->cores);
  at = proto_put_u32(at, m->pid);
  at = proto_put_bytes(at, m->host, host_len);
  (void)proto_put_bytes(at, m->version, version_len);
}

hato_status proto_daemon_decode(proto_daemon *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_daemon){0};
  proto_cursor c = proto_cursor_of("DAEMON", body, n);
  m->id = proto_get_u64(&c, "id");
  m->instance = proto_get_u32(&c, "instance");
  m->launch = proto_get_u64(&c, "launch");
  m->member = proto_get_u32(&c, "member");
  m->slots = proto_get_u32(&c, "slots");
  if (m->slots == 0) proto_wrong(&c, "slots", "zero");
  m->cores = proto_get_u32(&c, "cores");
  m->pid = proto_get_u32(&c, "pid");
  m->host = proto_get_str(&c, PROTO_NAME_MAX, &m->host_len, "host");
  m->version = proto_get_str(&c, PROTO_NAME_MAX, &m->version_len, "version");
  return proto_finish(&c, err);
}

void proto_enlisted_encode(hato__buf *out, const proto_enlisted *m) {
  uint8_t *at = proto_frame(out, PROTO_ENLISTED, 8);
  if (at == NULL) return;
  at = proto_put_u32(at, m->number);
  (void)proto_put_u32(at, m->heartbeat_ms);
}

hato_status proto_enlisted_decode(proto_enlisted *m, const uint8_t *body, size_t n, hato_error *err) {
  *m = (proto_enlisted){0};
  proto_cursor c = proto_cursor_of("ENLISTED", body, n);
  m->number = proto_get_u32(&c, "number");
  m->heartbeat_ms = proto_get_u32(&c, "heartbeat");
  return proto_finish(&c, err);
}

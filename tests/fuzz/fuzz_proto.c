/* Frames, messages and specifications from bytes of anybody. The first byte says
 * what the rest is: a message of the table, ANY_FRAMES a stream, ANY_SPEC a specification.
 * Besides that nothing breaks: what is accepted has exactly one encoding. */
#include "unit/proto_any.h"

static void message(const any_message *m, const uint8_t *body, size_t n) {
  hato__buf out = {0};
  hato_error err = {0};
  hato_status status = m->again(&out, body, n, &err);
  if (status == HATO_OK) {
    if (out.failed) abort();
    /* RESULTS of nothing is taken back by its writer. */
    bool nothing = m->type == PROTO_RESULTS && out.len == 0;
    if (!nothing && (out.len != PROTO_HEADER + n || memcmp(out.data + PROTO_HEADER, body, n) != 0)) abort();
  } else if (status != HATO_PROTOCOL || err.text[0] == 0) {
    abort();
  }
  hato__buf_free(&out);
}

static void frames(const uint8_t *at, size_t n) {
  proto_header h;
  while (n >= PROTO_HEADER && proto_header_decode(&h, at, NULL) == HATO_OK && h.len <= n - PROTO_HEADER) {
    for (size_t i = 0; i < ANY_COUNT; i++)
      if (any_messages[i].type == (proto_type)h.type) message(&any_messages[i], at + PROTO_HEADER, h.len);
    (void)proto_type_name(h.type);
    at += PROTO_HEADER + h.len;
    n -= PROTO_HEADER + h.len;
  }
}

static void specification(const uint8_t *bytes, size_t n) {
  proto_spec s, t;
  if (proto_spec_decode(&s, bytes, n, NULL) != HATO_OK) {
    proto_spec_free(&s);
    return;
  }
  hato__buf one = {0}, two = {0};
  proto_spec_encode(&one, &s);
  if (one.failed || proto_spec_decode(&t, one.data, one.len, NULL) != HATO_OK) abort();
  proto_spec_encode(&two, &t);
  if (one.len != two.len || memcmp(one.data, two.data, one.len) != 0) abort();
  hato__buf_free(&one);
  hato__buf_free(&two);
  proto_spec_free(&s);
  proto_spec_free(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  size_t which = data[0];
  if (which == ANY_FRAMES)
    frames(data + 1, size - 1);
  else if (which == ANY_SPEC)
    specification(data + 1, size - 1);
  else
    message(&any_messages[which % ANY_COUNT], data + 1, size - 1);
  return 0;
}

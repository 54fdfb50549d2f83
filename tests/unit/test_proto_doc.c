/* docs/protocol.md says what the code does: its session is decoded and encoded again,
 * its MACs are made anew, its tables have every message and status. */
#include "unit.h"
#include "unit/proto_any.h"
#include "base/str.h"
#include <ctype.h>
#include <openssl/hmac.h>

static char *document(void) {
  FILE *f = fopen(HATO_SOURCE_DIR "/docs/protocol.md", "r");
  ck_assert_ptr_nonnull(f);
  char *text = calloc(1, 1 << 20);
  ck_assert_uint_gt(fread(text, 1, (1 << 20) - 1, f), 0);
  fclose(f);
  return text;
}

/* What stands between ```name and ```. */
static char *fenced(const char *name) {
  char *text = document(), begin[64];
  snprintf(begin, sizeof begin, "\n```%s\n", name);
  char *at = strstr(text, begin);
  ck_assert_msg(at != NULL, "no block %s", name);
  at += strlen(begin);
  char *end = strstr(at, "\n```\n");
  ck_assert_ptr_nonnull(end);
  char *block = hato__strndup(at, (size_t)(end - at));
  free(text);
  return block;
}

/* The session's bytes, of both sides in order; *senders has a letter a frame. */
static hato__buf session(char *senders) {
  hato__buf bytes = {0};
  char *block = fenced("session"), *save = NULL;
  for (char *line = strtok_r(block, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
    if (line[0] != ' ') *senders++ = line[0];
    for (char *at = line + 2; isxdigit((unsigned char)at[0]); at += at[2] == ' ' ? 3 : 2) {
      uint8_t byte;
      char digits[3] = {at[0], at[1], 0};
      ck_assert_msg(hato__unhex(&byte, 1, digits), "%s", line);
      hato__buf_u8(&bytes, byte);
    }
  }
  *senders = 0;
  free(block);
  return bytes;
}

static void put_spec(hato__buf *out) {
  char *argv[] = {"echo", "{}", NULL}, *env[] = {"PATH=/bin", NULL};
  proto_spec s = {.kind = PROTO_COMMAND,
                  .flags = PROTO_SPEC_SUBSTITUTE,
                  .argv = argv,
                  .env = env,
                  .cwd = "/tmp",
                  .umask = 022};
  hato__buf encoded = {0};
  proto_spec_encode(&encoded, &s);
  proto_spec_send(out, 1, encoded.data, (uint32_t)encoded.len);
  hato__buf_free(&encoded);
}

static void put_result(proto_results_writer *w, uint64_t task, const char *out) {
  proto_result r = {.task = task,
                    .attempt = 1,
                    .flags = PROTO_RESULT_USAGE,
                    .wall_ns = 1500000,
                    .user_us = 600,
                    .system_us = 400,
                    .peak_kib = 3584,
                    .out = (const uint8_t *)out,
                    .out_len = (uint32_t)strlen(out)};
  proto_results_add(w, &r);
}

static proto_hello document_hello(void) {
  proto_hello hello = {.role = PROTO_ROLE_CLIENT, .version_low = PROTO_VERSION, .version_high = PROTO_VERSION};
  for (uint8_t i = 0; i < 16; i++) hello.nonce[i] = i;
  return hello;
}

UNIT_TEST(the_session_is_what_we_would_send) {
  hato__buf out = {0};
  proto_hello hello = document_hello();
  proto_hello_encode(&out, &hello);
  proto_welcome_encode(&out, &(proto_proof){0});
  proto_client_encode(&out, 0x1122334455667788, "ann@login1:4711");
  put_spec(&out);
  proto_submit_encode(&out, &(proto_submit){.seq = 1, .spec = 1, .args = PROTO_ARGS_EXPLICIT, .count = 2});
  const void *args[] = {"one", "three"};
  size_t lens[] = {3, 5}, from = 0;
  proto_args_encode(&out, 1, args, lens, &from, 2);
  proto_accepted_encode(&out, &(proto_accepted){.seq = 1, .first = 41, .count = 2});
  proto_results_writer w;
  proto_results_begin(&w, &out);
  put_result(&w, 41, "one\n");
  put_result(&w, 42, "three\n");
  proto_results_end(&w);
  proto_words_encode(&out, PROTO_GOODBYE, HATO_OK, "");
  char senders[32];
  hato__buf bytes = session(senders);
  ck_assert_str_eq(senders, "CDCCCCDDC");
  ck_assert_uint_eq(bytes.len, out.len);
  for (size_t i = 0; i < out.len; i++) ck_assert_msg(bytes.data[i] == out.data[i], "byte %zu", i);
  hato__buf_free(&bytes);
  hato__buf_free(&out);
}

UNIT_TEST(the_session_is_understood) {
  static const proto_type types[] = {PROTO_HELLO, PROTO_WELCOME,  PROTO_CLIENT,  PROTO_SPEC,   PROTO_SUBMIT,
                                     PROTO_ARGS,  PROTO_ACCEPTED, PROTO_RESULTS, PROTO_GOODBYE};
  char senders[32];
  hato__buf bytes = session(senders);
  size_t at = 0;
  for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
    proto_header h;
    hato_error err = {0};
    ck_assert_uint_ge(bytes.len - at, PROTO_HEADER);
    ck_assert_msg(proto_header_decode(&h, bytes.data + at, &err) == HATO_OK, "%s", err.text);
    ck_assert_int_eq(h.type, types[i]);
    const any_message *m = any_messages;
    while (m->type != types[i]) m++;
    hato__buf again = {0};
    ck_assert_msg(m->again(&again, bytes.data + at + PROTO_HEADER, h.len, &err) == HATO_OK, "%s", err.text);
    ck_assert_uint_eq(again.len, PROTO_HEADER + h.len);
    if (types[i] == PROTO_SPEC) {
      proto_part part;
      proto_spec s;
      ck_assert_int_eq(proto_spec_part_decode(&part, bytes.data + at + PROTO_HEADER, h.len, NULL), HATO_OK);
      ck_assert_int_eq(proto_spec_decode(&s, part.data, part.len, NULL), HATO_OK);
      ck_assert_str_eq(s.argv[1], "{}");
      proto_spec_free(&s);
    }
    hato__buf_free(&again);
    at += PROTO_HEADER + h.len;
  }
  ck_assert_uint_eq(at, bytes.len);
  hato__buf_free(&bytes);
}

static void check_digest(const char *block, const char *name, const uint8_t digest[32]) {
  char hex[65];
  hato__hex(hex, digest, 32);
  const char *at = strstr(block, name);
  ck_assert_ptr_nonnull(at);
  ck_assert_msg(strncmp(at + 8, hex, 64) == 0, "%s is %s", name, hex);
}

static void check_mac(const char *block, const char *name, const hato__buf *text, uint8_t mac[32]) {
  uint8_t secret[32];
  for (uint8_t i = 0; i < 32; i++) secret[i] = i;
  ck_assert_ptr_nonnull(HMAC(EVP_sha256(), secret, sizeof secret, text->data, text->len, mac, NULL));
  check_digest(block, name, mac);
}

UNIT_TEST(the_macs_are_made_so) {
  hato__buf hello = {0}, challenge = {0}, text = {0};
  proto_hello h = document_hello();
  proto_hello_encode(&hello, &h);
  proto_challenge c = {.version = PROTO_VERSION, .method = PROTO_METHOD_SECRET};
  for (uint8_t i = 0; i < 16; i++) c.nonce[i] = 16 + i;
  proto_challenge_encode(&challenge, &c);
  char *block = fenced("macs");
  uint8_t proof[32], welcome[32], said[32], none[33] = {0};
  hato__buf_append(&text, "hato-2 transcript", 17);
  hato__buf_append(&text, none, sizeof none);
  hato__buf_append(&text, hello.data + PROTO_HEADER, hello.len - PROTO_HEADER);
  hato__buf_append(&text, challenge.data + PROTO_HEADER, challenge.len - PROTO_HEADER);
  ck_assert_int_eq(EVP_Q_digest(NULL, "SHA256", NULL, text.data, text.len, said, NULL), 1);
  check_digest(block, "T", said);
  hato__buf_clear(&text);
  hato__buf_append(&text, "hato-2 proof", 12);
  hato__buf_append(&text, said, sizeof said);
  hato__buf_u64(&text, 0);
  check_mac(block, "PROOF", &text, proof);
  hato__buf_clear(&text);
  hato__buf_append(&text, "hato-2 welcome", 14);
  hato__buf_append(&text, said, sizeof said);
  hato__buf_append(&text, proof, sizeof proof);
  check_mac(block, "WELCOME", &text, welcome);
  free(block);
  hato__buf_free(&hello);
  hato__buf_free(&challenge);
  hato__buf_free(&text);
}

UNIT_TEST(every_message_and_status_is_there) {
  char *text = document(), row[128];
#define PROTO_X(name, number)                                \
  snprintf(row, sizeof row, "\n| %d | %s |", number, #name); \
  ck_assert_msg(strstr(text, row) != NULL, "no row%s", row); \
  ck_assert_msg(strstr(strstr(text, "## Messages"), #name) != NULL || number < 16, "no fields of " #name);
  PROTO_TYPE_LIST(PROTO_X)
#undef PROTO_X
#define HATO_X(name, number, words)                          \
  snprintf(row, sizeof row, "\n| %d | %s |", number, words); \
  ck_assert_msg(strstr(text, row) != NULL, "no row%s", row);
  HATO_STATUS_LIST(HATO_X)
#undef HATO_X
  free(text);
}

UNIT_MAIN("proto_doc")

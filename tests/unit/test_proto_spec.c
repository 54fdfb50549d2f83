/* Specifications. */
#include "unit.h"
#include "unit/proto_any.h"

static void put_field(hato__buf *b, uint16_t tag, const void *data, size_t n) {
  hato__buf_u16(b, tag);
  hato__buf_bytes(b, data, n);
}
static hato_status decode(const hato__buf *b, proto_spec *s, hato_error *err) {
  hato_status status = proto_spec_decode(s, b->data, b->len, err);
  if (status != HATO_OK) ck_assert(s->argv == NULL && s->env == NULL && s->cwd == NULL && s->symbol == NULL);
  return status;
}
/* The least command, then one field more. */
static hato_status with_field(uint16_t tag, const void *data, size_t n, hato_error *err) {
  hato__buf b = {0};
  proto_spec s;
  put_field(&b, 1, "\1", 1);
  put_field(&b, 16, "true", 4);
  put_field(&b, tag, data, n);
  hato_status status = decode(&b, &s, err);
  proto_spec_free(&s);
  hato__buf_free(&b);
  return status;
}

UNIT_TEST(a_command_comes_back) {
  hato__buf b = {0};
  sample_command(&b);
  proto_spec s;
  ck_assert_int_eq(decode(&b, &s, NULL), HATO_OK);
  ck_assert_int_eq(s.kind, PROTO_COMMAND);
  ck_assert_uint_eq(s.flags, PROTO_SPEC_SUBSTITUTE | PROTO_SPEC_SHELL);
  ck_assert(s.limit_ns == 5 && s.output_limit == 6 && s.umask == 022 && s.stdin_kind == PROTO_STDIN_FILE);
  ck_assert_str_eq(s.argv[0], "sh");
  ck_assert_str_eq(s.argv[2], "echo {}");
  ck_assert_ptr_null(s.argv[3]);
  ck_assert_str_eq(s.env[1], "EMPTY=");
  ck_assert_ptr_null(s.env[2]);
  ck_assert_str_eq(s.cwd, "/data");
  ck_assert_str_eq(s.stdin_path, "in.txt");
  ck_assert_str_eq(s.output_to, "out-{#}.{stream}");
  ck_assert(s.object_path == NULL && s.symbol == NULL && !s.has_hash);
  proto_spec_free(&s);
  proto_spec_free(&s);
  proto_spec_free(NULL);
  hato__buf_free(&b);
}

UNIT_TEST(a_function_comes_back) {
  hato__buf b = {0};
  sample_function(&b);
  proto_spec s;
  ck_assert_int_eq(decode(&b, &s, NULL), HATO_OK);
  ck_assert_int_eq(s.kind, PROTO_FUNCTION);
  ck_assert_str_eq(s.object_path, "/lib/f.so");
  ck_assert_str_eq(s.symbol, "square");
  ck_assert(s.has_hash && s.hash[31] == 3);
  ck_assert(s.argv != NULL && s.argv[0] == NULL && s.env != NULL && s.env[0] == NULL);
  proto_spec_free(&s);
  hato__buf_free(&b);
}

UNIT_TEST(cut_anywhere) {
  for (int function = 0; function < 2; function++) {
    hato__buf b = {0};
    if (function)
      sample_function(&b);
    else
      sample_command(&b);
    for (size_t n = 0; n < b.len; n++) {
      uint8_t *copy = malloc(n + 1);
      memcpy(copy, b.data, n);
      hato__buf part = {.data = copy, .len = n};
      proto_spec s;
      hato_error err = {0};
      hato_status status = decode(&part, &s, &err);
      /* A command is whole without its last fields; a function is not without its symbol. */
      ck_assert(status == HATO_PROTOCOL || (!function && status == HATO_OK));
      if (status != HATO_OK) ck_assert_ptr_nonnull(strstr(err.text, "specification"));
      proto_spec_free(&s);
      free(copy);
    }
    hato__buf_free(&b);
  }
}

UNIT_TEST(unknown_fields) {
  hato_error err = {0};
  ck_assert_int_eq(with_field(0x8000, "x", 1, &err), HATO_OK);
  ck_assert_int_eq(with_field(0xffff, NULL, 0, &err), HATO_OK);
  ck_assert_int_eq(with_field(0x7fff, "x", 1, &err), HATO_NOT_SUPPORTED);
  ck_assert_ptr_nonnull(strstr(err.text, "32767"));
  ck_assert_int_eq(with_field(63, "x", 1, &err), HATO_NOT_SUPPORTED);
  ck_assert_int_eq(with_field(0, NULL, 0, &err), HATO_NOT_SUPPORTED);
  ck_assert_int_eq(with_field(2, "\0\0\0\x80", 4, &err), HATO_NOT_SUPPORTED); /* a flag of later */
  ck_assert_int_eq(with_field(20, "\3", 1, &err), HATO_NOT_SUPPORTED);        /* standard input of later */
  hato__buf b = {0};
  proto_spec s;
  put_field(&b, 1, "\3", 1); /* a kind of later */
  ck_assert_int_eq(decode(&b, &s, &err), HATO_NOT_SUPPORTED);
  hato__buf_free(&b);
}

UNIT_TEST(bad_fields) {
  hato_error err = {0};
  ck_assert_int_eq(with_field(1, "\1", 1, &err), HATO_PROTOCOL); /* twice */
  ck_assert_int_eq(with_field(3, "1234", 4, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(4, "123456789", 9, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(19, "\0\2\0\0", 4, &err), HATO_PROTOCOL); /* umask 01000 */
  ck_assert_int_eq(with_field(33, "short", 5, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(16, "a\0b", 3, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(18, "\0", 1, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(17, "NAME", 4, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(17, "=value", 6, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(17, NULL, 0, &err), HATO_PROTOCOL);
  ck_assert_int_eq(with_field(20, "\1", 1, &err), HATO_PROTOCOL); /* from a file, which? */
  ck_assert_ptr_nonnull(strstr(err.text, "file of standard input"));
}

UNIT_TEST(a_whole_is_asked_for) {
  hato__buf b = {0};
  proto_spec s;
  hato_error err = {0};
  ck_assert_int_eq(decode(&b, &s, &err), HATO_PROTOCOL); /* nothing */
  put_field(&b, 1, "\1", 1);
  ck_assert_int_eq(decode(&b, &s, &err), HATO_PROTOCOL); /* no argv[0] */
  hato__buf_clear(&b);
  put_field(&b, 1, "\2", 1);
  ck_assert_int_eq(decode(&b, &s, &err), HATO_PROTOCOL); /* no symbol */
  put_field(&b, 34, "f", 1);
  ck_assert_int_eq(decode(&b, &s, &err), HATO_PROTOCOL); /* no object */
  put_field(&b, 32, "f.so", 4);
  ck_assert_int_eq(decode(&b, &s, &err), HATO_OK);
  proto_spec_free(&s);
  uint8_t *large = calloc(1, PROTO_SPEC_MAX + 1);
  ck_assert_int_eq(proto_spec_decode(&s, large, PROTO_SPEC_MAX + 1, &err), HATO_PROTOCOL);
  free(large);
  hato__buf_free(&b);
}

UNIT_TEST(many_words) {
  enum { WORDS = 20000 };
  char **argv = calloc(WORDS + 1, sizeof *argv);
  for (size_t i = 0; i < WORDS; i++) argv[i] = "word";
  hato__buf b = {0};
  proto_spec_encode(&b, &(proto_spec){.kind = PROTO_COMMAND, .argv = argv});
  proto_spec s;
  ck_assert_int_eq(decode(&b, &s, NULL), HATO_OK);
  ck_assert_str_eq(s.argv[WORDS - 1], "word");
  ck_assert_ptr_null(s.argv[WORDS]);
  proto_spec_free(&s);
  hato__buf_free(&b);
  free(argv);
}

UNIT_MAIN("proto_spec")

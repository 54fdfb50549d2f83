/* What holds for every message: its sample comes back byte for byte, cut short or
 * longer it is refused with words, reserved bytes are zero, nothing outside the body
 * is read (the body ends at a page that cannot be read). */
#include "unit.h"
#include "unit/proto_any.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct guarded {
  uint8_t *map;
  size_t size;
} guarded;

/* Room whose end is the end of what may be read. */
static guarded guarded_new(void) {
  size_t page = (size_t)sysconf(_SC_PAGESIZE), size = PROTO_BODY_MAX + page;
  size = (size + page - 1) / page * page;
  uint8_t *map = mmap(NULL, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne(map, MAP_FAILED);
  ck_assert_int_eq(mprotect(map + size, page, PROT_NONE), 0);
  return (guarded){map, size};
}
static const uint8_t *guarded_put(const guarded *g, const void *bytes, size_t n) {
  uint8_t *at = g->map + g->size - n;
  if (n > 0) memcpy(at, bytes, n);
  return at;
}

static hato__buf sample_of(const any_message *m) {
  hato__buf frame = {0};
  m->sample(&frame);
  ck_assert_msg(!frame.failed && frame.len >= PROTO_HEADER, "%s", m->name);
  return frame;
}

UNIT_TEST(samples_come_back) {
  guarded g = guarded_new();
  for (size_t i = 0; i < ANY_COUNT; i++) {
    const any_message *m = &any_messages[i];
    hato__buf frame = sample_of(m), again = {0};
    proto_header h;
    ck_assert_int_eq(proto_header_decode(&h, frame.data, NULL), HATO_OK);
    ck_assert_int_eq(h.type, m->type);
    ck_assert_uint_eq(h.len, frame.len - PROTO_HEADER);
    hato_error err = {0};
    const uint8_t *body = guarded_put(&g, frame.data + PROTO_HEADER, h.len);
    ck_assert_msg(m->again(&again, body, h.len, &err) == HATO_OK, "%s: %s", m->name, err.text);
    ck_assert_msg(again.len == frame.len && memcmp(again.data, frame.data, frame.len) == 0, "%s", m->name);
    hato__buf_free(&frame);
    hato__buf_free(&again);
  }
}

UNIT_TEST(cut_short_is_refused_with_words) {
  guarded g = guarded_new();
  for (size_t i = 0; i < ANY_COUNT; i++) {
    const any_message *m = &any_messages[i];
    hato__buf frame = sample_of(m), out = {0};
    for (size_t n = 0; n < frame.len - PROTO_HEADER; n++) {
      hato_error err = {0};
      hato__buf_clear(&out);
      hato_status status = m->again(&out, guarded_put(&g, frame.data + PROTO_HEADER, n), n, &err);
      bool opaque = m->open != 0 && n >= m->open;
      ck_assert_msg(status == (opaque ? HATO_OK : HATO_PROTOCOL), "%s of %zu bytes: %s", m->name, n,
                    err.text);
      if (!opaque) ck_assert_msg(err.status == HATO_PROTOCOL && err.text[0] != 0, "%s", m->name);
      ck_assert_int_eq(m->again(&out, guarded_put(&g, frame.data + PROTO_HEADER, n), n, NULL), status);
    }
    hato__buf_free(&frame);
    hato__buf_free(&out);
  }
}

UNIT_TEST(bytes_too_many_are_refused) {
  for (size_t i = 0; i < ANY_COUNT; i++) {
    const any_message *m = &any_messages[i];
    if (m->open != 0 && m->type != PROTO_SPEC && m->type != PROTO_OBJECT) continue;
    hato__buf frame = sample_of(m), out = {0};
    hato__buf_u8(&frame, 0);
    hato_error err = {0};
    hato_status status = m->again(&out, frame.data + PROTO_HEADER, frame.len - PROTO_HEADER, &err);
    ck_assert_msg(status == HATO_PROTOCOL && err.text[0] != 0, "%s", m->name);
    hato__buf_free(&frame);
    hato__buf_free(&out);
  }
}

UNIT_TEST(reserved_bytes_are_zero) {
  for (size_t i = 0; i < ANY_COUNT; i++) {
    const any_message *m = &any_messages[i];
    for (size_t k = 0; k < 8 && m->reserved[k] != 0; k++) {
      hato__buf frame = sample_of(m), out = {0};
      uint8_t *body = frame.data + PROTO_HEADER;
      ck_assert_msg(body[m->reserved[k]] == 0, "%s: byte %zu", m->name, m->reserved[k]);
      body[m->reserved[k]] = 1;
      hato_error err = {0};
      hato_status status = m->again(&out, body, frame.len - PROTO_HEADER, &err);
      ck_assert_msg(status == HATO_PROTOCOL, "%s: byte %zu", m->name, m->reserved[k]);
      ck_assert_msg(strstr(err.text, "reserved") != NULL, "%s: %s", m->name, err.text);
      hato__buf_free(&frame);
      hato__buf_free(&out);
    }
  }
}

/* Every field at its extremes: refused or the same again, never anything else. */
UNIT_TEST(every_byte_at_extremes) {
  guarded g = guarded_new();
  static const uint8_t extremes[] = {0x00, 0x01, 0x7f, 0x80, 0xff};
  for (size_t i = 0; i < ANY_COUNT; i++) {
    const any_message *m = &any_messages[i];
    hato__buf frame = sample_of(m), out = {0};
    size_t n = frame.len - PROTO_HEADER;
    for (size_t k = 0; k < n * sizeof extremes; k++) {
      uint8_t *at = frame.data + PROTO_HEADER + k / sizeof extremes, was = *at;
      *at = extremes[k % sizeof extremes];
      const uint8_t *body = guarded_put(&g, frame.data + PROTO_HEADER, n);
      hato__buf_clear(&out);
      hato_status status = m->again(&out, body, n, NULL);
      bool same = out.len == frame.len && memcmp(out.data + PROTO_HEADER, body, n) == 0;
      /* RESULTS that say there are none are refused by their bytes, never empty. */
      ck_assert_msg(status == HATO_PROTOCOL || (status == HATO_OK && same), "%s: byte %zu", m->name, k / 5);
      *at = was;
    }
    hato__buf_free(&frame);
    hato__buf_free(&out);
  }
}

UNIT_TEST(frames_are_checked) {
  hato_error err = {0};
  proto_header h;
  uint8_t bytes[] = {'H', 'T', PROTO_VERSION, PROTO_HELLO, 0, 0, 4, 0};
  ck_assert_int_eq(proto_header_decode(&h, bytes, &err), HATO_OK);
  ck_assert_uint_eq(h.len, PROTO_BODY_MAX);
  bytes[4] = 1;
  ck_assert_int_eq(proto_header_decode(&h, bytes, &err), HATO_PROTOCOL);
  ck_assert_ptr_nonnull(strstr(err.text, "262145"));
  memset(bytes + 4, 0xff, 4);
  ck_assert_int_eq(proto_header_decode(&h, bytes, &err), HATO_PROTOCOL);
  memset(bytes + 4, 0, 4);
  bytes[2] = 9;
  ck_assert_int_eq(proto_header_decode(&h, bytes, &err), HATO_PROTOCOL);
  ck_assert_uint_eq(h.version, 9);
  ck_assert_int_eq(h.type, PROTO_HELLO);
  ck_assert_ptr_nonnull(strstr(err.text, "version 9"));
  bytes[0] = 'G';
  ck_assert_int_eq(proto_header_decode(&h, bytes, &err), HATO_PROTOCOL);
  ck_assert_uint_eq(h.version, 0);
  ck_assert_str_eq(proto_type_name(PROTO_RESULTS), "RESULTS");
  ck_assert_str_eq(proto_type_name(200), "unknown message");
}

UNIT_TEST(a_body_too_long_fails_the_buffer) {
  hato__buf out = {0};
  size_t begun = proto_begin(&out, PROTO_CONTROL);
  ck_assert_ptr_nonnull(hato__buf_grow(&out, PROTO_BODY_MAX));
  proto_end(&out, begun);
  ck_assert(!out.failed);
  hato__buf_u8(&out, 0);
  proto_end(&out, begun);
  ck_assert(out.failed);
  proto_end(&out, proto_begin(&out, PROTO_FETCH)); /* safe on a failed one */
  hato__buf_free(&out);
}

/* The seeds of the fuzz target are these samples. HATO_WRITE_CORPUS=1 writes them anew. */
#define CORPUS HATO_SOURCE_DIR "/tests/fuzz/corpus/proto"

static void check_seed(const char *name, uint8_t which, const void *data, size_t n) {
  char path[512];
  snprintf(path, sizeof path, "%s/%s", CORPUS, name);
  hato__buf seed = {0};
  hato__buf_u8(&seed, which);
  hato__buf_append(&seed, data, n);
  bool write_it = getenv("HATO_WRITE_CORPUS") != NULL;
  int fd = open(path, (write_it ? O_WRONLY | O_CREAT | O_TRUNC : O_RDONLY) | O_CLOEXEC, 0644);
  ck_assert_msg(fd >= 0, "%s", path);
  if (write_it) {
    ck_assert_int_eq(write(fd, seed.data, seed.len), (ssize_t)seed.len);
  } else {
    uint8_t there[4096];
    ssize_t got = read(fd, there, sizeof there);
    ck_assert_msg(got == (ssize_t)seed.len && memcmp(there, seed.data, seed.len) == 0, "%s is not the sample",
                  path);
  }
  close(fd);
  hato__buf_free(&seed);
}

UNIT_TEST(the_corpus_is_the_samples) {
  if (getenv("HATO_WRITE_CORPUS") != NULL) (void)mkdir(CORPUS, 0755);
  hato__buf stream = {0};
  for (size_t i = 0; i < ANY_COUNT; i++) {
    hato__buf frame = sample_of(&any_messages[i]);
    check_seed(any_messages[i].name, (uint8_t)i, frame.data + PROTO_HEADER, frame.len - PROTO_HEADER);
    hato__buf_append(&stream, frame.data, frame.len);
    hato__buf_free(&frame);
  }
  check_seed("frames", ANY_FRAMES, stream.data, stream.len);
  hato__buf_clear(&stream);
  sample_command(&stream);
  check_seed("spec_command", ANY_SPEC, stream.data, stream.len);
  hato__buf_clear(&stream);
  sample_function(&stream);
  check_seed("spec_function", ANY_SPEC, stream.data, stream.len);
  hato__buf_free(&stream);
}

UNIT_MAIN("proto_any")

/* Frames between the host and a launcher's process, which holds a stranger's module: any bytes may
 * be refused, none may do harm. What is accepted survives being written and read again. */
#include "launchers/internal.h"
#include "fuzz/fuzz.h"

static void a_call(hato__reader *in) {
  launchers__arena mem = {0}, again = {0};
  launchers__call c, d;
  (void)hato__read_u32(in); /* protocol */
  if (launchers__get_call(in, &mem, &c)) {
    hato__buf b = {0};
    launchers__put_call(&b, &c);
    hato__reader back = hato__reader_of(b.data, b.len);
    require(launchers__get_call(&back, &again, &d) && d.op == c.op && d.n_members == c.n_members);
    require((c.request == NULL) == (d.request == NULL));
    require(c.request == NULL || strcmp(c.request->tag, d.request->tag) == 0);
    hato__buf_free(&b);
  }
  launchers__arena_free(&mem);
  launchers__arena_free(&again);
}

static void a_reply(hato__reader *in) {
  launchers__reply r;
  hato_error err;
  (void)hato__read_u8(in); /* watches */
  if (!launchers__get_reply(in, &r, &err)) return;
  require(r.record_len <= HATO_RECORD_MAX);
  if (r.info != NULL) {
    json_t *j = launchers_info_json(r.info);
    require(j != NULL);
    json_decref(j);
    hato_error why;
    if (launchers__set(r.info->conf, (const char *const[]){"grace=1s", NULL}, &why) != HATO_OK)
      require(why.text[0] != 0);
  }
  launchers_info_free(r.info);
}

static void a_member(hato__reader *in) {
  launchers__arena mem = {0};
  launchers_member m;
  uint64_t launch;
  uint32_t first, count;
  if (launchers__get_member(in, &mem, &launch, &first, &count, &m)) {
    hato__buf b = {0};
    launchers__put_member(&b, launch, first, count, &m);
    require(!b.failed);
    hato__buf_free(&b);
  }
  launchers__arena_free(&mem);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  hato__buf in = {0};
  launchers__frame type;
  hato__reader body;
  size_t whole = 0;
  hato__buf_append(&in, data, size);
  while (launchers__frame_next(&in, &type, &body, &whole) > 0) {
    require(whole <= in.len);
    if (type == LAUNCHERS__F_CALL)
      a_call(&body);
    else if (type == LAUNCHERS__F_REPLY)
      a_reply(&body);
    else if (type == LAUNCHERS__F_MEMBER)
      a_member(&body);
    hato__buf_consume(&in, whole);
  }
  hato__buf_free(&in);
  return 0;
}

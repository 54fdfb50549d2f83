/* Of a later minor: its structs are longer, its flags have bits unknown today, and it must work. */
#include <hato/launcher.h>

#include <string.h>

static const struct {
  hato_option_row row;
  const char *later[4];
} options[] = {
    {{.name = "first", .type = HATO_OPTION_STRING, .def = "1", .help = "One."}, {"a", "b", "c", "d"}},
    {{.name = "second", .type = HATO_OPTION_STRING, .def = "2", .help = "Two."}, {"a", "b", "c", "d"}}};

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  (void)state;
  if (strcmp(h->option_string(h, r->options, "second"), "2") != 0)
    return h->fail(h, HATO_INVALID, "rows are misread");
  record->len = 5;
  memcpy(record->bytes, "grown", 5);
  return HATO_OK;
}

static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  (void)state;
  for (uint32_t i = 0; i < n; i++) {
    struct {
      hato_member m;
      uint64_t later[8];
    } long_one = {.m = {.size = sizeof long_one,
                        .count = launches[i]->count,
                        .state = HATO_MEMBER_ENDED,
                        .reason = "as it should"}};
    h->member(h, launches[i]->id, &long_one.m);
  }
  return HATO_OK;
}

static int cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members,
                  uint32_t n) {
  (void)state, (void)h, (void)l, (void)members, (void)n;
  return HATO_OK;
}

static int adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
  (void)state, (void)record;
  return h->fail(h, HATO_NOT_FOUND, "nothing of %s", l->tag);
}

/* A longer descriptor, under the name that is looked up. */
extern HATO_API const struct grown {
  hato_launcher module;
  void (*later[8])(void);
} grown_module __asm__("hato_launcher_module");
const struct grown grown_module = {.module = {.magic = HATO_LAUNCHER_MAGIC,
                                              .abi_major = HATO_LAUNCHER_ABI_MAJOR,
                                              .abi_minor = HATO_LAUNCHER_ABI_MINOR + 3,
                                              .size = sizeof(struct grown),
                                              .flags = 1u << 30,
                                              .name = "grown",
                                              .version = "9",
                                              .description = "of a hato to come",
                                              .options = &options[0].row,
                                              .option_count = 2,
                                              .option_size = sizeof options[0],
                                              .secret_ways = 1u << 20,
                                              .interval_ms = 100,
                                              .launch = launch,
                                              .poll = poll_all,
                                              .cancel = cancel,
                                              .adopt = adopt}};

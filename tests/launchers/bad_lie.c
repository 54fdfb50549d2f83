/* Starts nothing, and says what cannot be: of its own members, and of launches that are not its own. */
#include <hato/launcher.h>

#include <stdint.h>
#include <string.h>

static int launch(void *state, const hato_host *h, const hato_launch_request *r, hato_launch_record *record) {
  (void)state, (void)h, (void)r;
  record->len = UINT32_MAX;
  return HATO_OK;
}

static void say(const hato_host *h, uint64_t launch, uint32_t first, uint32_t count, uint32_t state) {
  hato_member m = {.size = sizeof m, .first = first, .count = count, .state = state, .reason = "a lie"};
  h->member(h, launch, &m);
}

static int poll_all(void *state, const hato_host *h, const hato_launch *const *launches, uint32_t n) {
  (void)state;
  for (uint64_t id = 0; id < 100; id++) say(h, id, 0, 1000, HATO_MEMBER_ENDED);
  for (uint64_t id = 0; id < 100; id++) say(h, id, UINT32_MAX, 2, HATO_MEMBER_ENDED);
  for (uint32_t i = 0; i < n; i++) {
    const hato_launch *l = launches[i];
    say(h, l->id, 0, l->count, 99);
    h->member(h, l->id, &(hato_member){.size = 4, .count = 1, .state = HATO_MEMBER_ENDED});
    char *words = h->alloc(h, 1u << 20);
    if (words == NULL) return HATO_NO_MEMORY;
    memset(words, '\033', (1u << 20) - 1);
    hato_member m = {.size = sizeof m, .count = l->count, .state = HATO_MEMBER_ENDED, .flags = ~0u};
    m.reason = "it says so";
    m.job = words;
    m.log_path = "/dev/zero";
    h->member(h, l->id, &m);
    say(h, l->id, 0, l->count, HATO_MEMBER_RUNNING);
  }
  return 12345;
}

static int cancel(void *state, const hato_host *h, const hato_launch *l, const uint32_t *members,
                  uint32_t n) {
  (void)state, (void)h, (void)l, (void)members, (void)n;
  return -1;
}

static int adopt(void *state, const hato_host *h, const hato_launch *l, hato_launch_record *record) {
  (void)state, (void)h, (void)l;
  record->len = UINT32_MAX;
  return HATO_OK;
}

const hato_launcher hato_launcher_module = {HATO_LAUNCHER_HEAD,
                                            .name = "bad_lie",
                                            .version = "0",
                                            .description = "a misuse",
                                            .secret_ways = HATO_SECRET_FILE,
                                            .interval_ms = 100,
                                            .launch = launch,
                                            .poll = poll_all,
                                            .cancel = cancel,
                                            .adopt = adopt};

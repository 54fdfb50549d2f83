/* What the misuse fixtures share: operations that must never be called. */
#ifndef HATO_TESTS_LAUNCHERS_BAD_H
#define HATO_TESTS_LAUNCHERS_BAD_H

#include <hato/launcher.h>
#include <stdlib.h>

__attribute__((unused)) static int bad_launch(void *state, const hato_host *h, const hato_launch_request *r,
                                              hato_launch_record *record) {
  (void)state, (void)h, (void)r, (void)record;
  abort();
}
__attribute__((unused)) static int bad_poll(void *state, const hato_host *h, const hato_launch *const *l,
                                            uint32_t n) {
  (void)state, (void)h, (void)l, (void)n;
  abort();
}
__attribute__((unused)) static int bad_cancel(void *state, const hato_host *h, const hato_launch *l,
                                              const uint32_t *members, uint32_t n) {
  (void)state, (void)h, (void)l, (void)members, (void)n;
  abort();
}
__attribute__((unused)) static int bad_adopt(void *state, const hato_host *h, const hato_launch *l,
                                             hato_launch_record *record) {
  (void)state, (void)h, (void)l, (void)record;
  abort();
}

#define BAD_OPERATIONS .launch = bad_launch, .poll = bad_poll, .cancel = bad_cancel, .adopt = bad_adopt
#define BAD_WORDS(name_) .name = name_, .version = "0", .description = "a misuse"

#endif

/* The words of `hato daemon`, as a launch runs them. */
#include "dispatcher/launch.h"

#include <stdlib.h>

static void add(launch_command *c, const char *word) {
  char *copy = word ? hato__printf("%s", word) : NULL;
  if (!copy || c->n + 1 == sizeof c->words / sizeof *c->words) {
    free(copy);
    c->failed = true;
    return;
  }
  c->words[c->n++] = copy;
}

static void add_two(launch_command *c, const char *option, const char *value) {
  add(c, option);
  add(c, value);
}

static void add_number(launch_command *c, const char *option, uint64_t value) {
  char text[24];
  snprintf(text, sizeof text, "%llu", (unsigned long long)value);
  add_two(c, option, text);
}

static void add_urls(launch_command *c, char *const *urls) {
  hato__buf b = {0};
  for (char *const *u = urls; *u; u++) hato__buf_printf(&b, "%s%s", u == urls ? "" : ",", *u);
  add(c, "--url");
  c->dial_arg = c->n;
  add(c, hato__buf_text(&b));
  hato__buf_free(&b);
}

void dispatcher_launch_command(const dispatcher *d, const asked *a, unsigned flags, const char *member_env,
                               unsigned count, char *const *urls, const char *credential, launch_command *c) {
  bool here = (flags & HATO_LAUNCHER_SHARES_HOST) != 0;
  unsigned slots = a->slots > 0 ? a->slots : a->n > 0 && here ? 1 : 0;
  add(c, d->hato_binary);
  add(c, "daemon");
  add_urls(c, urls);
  if (credential) add_two(c, "--credential-file", credential);
  if (d->guard.munge == NET_MUNGE_REQUIRE) add_two(c, "--munge", "require");
  if (slots) add_number(c, "--slots", slots);
  if (a->bind) add_two(c, "--bind", a->bind);
  if (here && count > 1) add_number(c, "--share", count);
  if (member_env) add_two(c, "--member-env", member_env);
  if (here) add_two(c, "--local-dir", d->local_dir);
}

void dispatcher_launch_command_free(launch_command *c) {
  for (unsigned i = 0; i < c->n; i++) free(c->words[i]);
}

/* Finding the hato program, of which daemons are started. */
#include "client/internal.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool executable(const char *path) {
  struct stat st;
  return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/* dir/rest, when it is a program. */
static char *try_in(const char *dir, size_t len, const char *rest) {
  char *path = hato__printf("%.*s/%s", (int)len, dir, rest);
  if (path && executable(path)) {
    char *full = realpath(path, NULL);
    free(path);
    return full;
  }
  free(path);
  return NULL;
}

static char *beside(const char *file) {
  const char *slash = strrchr(file, '/');
  if (!slash) return NULL;
  size_t len = (size_t)(slash - file);
  /* Installed under lib or lib/<multiarch>, and in a build tree under lib. */
  static const char *const places[] = {"../bin/hato", "../../bin/hato", "hato"};
  char *found = NULL;
  for (size_t i = 0; !found && i < sizeof places / sizeof *places; i++) found = try_in(file, len, places[i]);
  return found;
}

static char *on_path(void) {
  const char *at = getenv("PATH");
  char *found = NULL;
  while (at && *at && !found) {
    size_t len = strcspn(at, ":");
    if (len > 0 && at[0] == '/') found = try_in(at, len, "hato");
    at += len + (at[len] == ':');
  }
  return found;
}

static char *self(void) {
  char exe[PATH_MAX];
  if (!hato__self_exe(exe, sizeof exe)) return NULL;
  const char *name = strrchr(exe, '/');
  return name && strcmp(name + 1, "hato") == 0 ? strdup(exe) : NULL;
}

hato_status client_binary_find(const char *given, char **out, hato_error *err) {
  const char *from_env = getenv("HATO_BINARY");
  *out = NULL;
  if (!given && from_env && *from_env) given = from_env;
  if (given) {
    if (!executable(given)) return hato__fail(err, HATO_NOT_FOUND, "%s is no program that can be executed", given);
    *out = realpath(given, NULL);
    return *out ? HATO_OK : hato__fail_errno(err, "%s", given);
  }
  Dl_info info;
  *out = self();
  if (!*out && dladdr((void *)(uintptr_t)hato_pool_open, &info) != 0 && info.dli_fname) {
    char *lib = realpath(info.dli_fname, NULL);
    if (lib) *out = beside(lib);
    free(lib);
  }
  if (!*out) *out = on_path();
  if (*out) return HATO_OK;
  return hato__fail(err, HATO_NOT_FOUND,
                    "the program hato, of which daemons are started, is neither beside libhato nor on PATH: name it by "
                    "HATO_BINARY or hato_pool_options.hato_binary");
}

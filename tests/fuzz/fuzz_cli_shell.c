/* Where `hato map` puts inputs into a line for the shell: each {} stands where a quoted word may, and nothing else
 * of the line is changed. */
#include "cli/task.h"
#include "fuzz/fuzz.h"

#include "base/error.h"

static size_t holes(const char *s) {
  size_t n = 0;
  while ((s = strstr(s, "{}")) != NULL) s += 2, n++;
  return n;
}

/* The line, with each {} moved out of the quotes that it stood in, and at most one added in the end. */
static void same_but_for_quotes(const char *line, const char *out) {
  while (*line != 0) {
    if (strncmp(line, "{}", 2) == 0) {
      char quote = *out == '\'' || *out == '"' ? *out : 0;
      if (quote != 0) out++;
      require(strncmp(out, "{}", 2) == 0);
      out += 2;
      if (quote != 0) require(*out++ == quote);
      line += 2;
    } else {
      require(*line++ == *out++);
    }
  }
  require(*out == 0 || strcmp(out, " {}") == 0);
}

/* Outside of quotes, as far as a shell's simplest rules tell: of lines without anything else that is special. */
static void outside_of_quotes(const char *out) {
  char quote = 0;
  for (const char *s = out; *s != 0; s++) {
    if (strchr("\\$`#(){<", *s) != NULL && strncmp(s, "{}", 2) != 0) return;
    if (strncmp(s, "{}", 2) == 0) {
      require(quote == 0);
      s++;
    } else if (quote == 0 && (*s == '\'' || *s == '"'))
      quote = *s;
    else if (*s == quote)
      quote = 0;
  }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  char *line = fuzz_text(data + 1, size - 1);
  bool append = data[0] & 1, found = false, again = false;
  hato__buf out = {0}, twice = {0};
  hato_error err = {0};
  hato_status st = cli_task_shell_line(line, append, &out, &found, &err);
  if (st != HATO_OK) {
    require(st == HATO_INVALID && err.text[0] != 0);
  } else {
    const char *text = out.len > 0 ? hato__buf_text(&out) : "";
    require(text != NULL && found == (holes(text) > 0) && (found || !append));
    same_but_for_quotes(line, text);
    outside_of_quotes(text);
    /* What was moved out of quotes stays where it is. (One that was added may stand behind a word "case".) */
    st = cli_task_shell_line(text, false, &twice, &again, &err);
    require(append || (st == HATO_OK && again == found));
    if (st == HATO_OK) require(twice.len == out.len && (out.len == 0 || memcmp(twice.data, out.data, out.len) == 0));
  }
  hato__buf_free(&out);
  hato__buf_free(&twice);
  free(line);
  return 0;
}

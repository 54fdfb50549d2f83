/* What the launcher `command` reads: outputs of a site's own programs, and the records and files of a launch. The
 * first byte says which. Any bytes may be refused, none may do harm. */
#include "launchers/modules/command.h"
#include "fuzz/fuzz.h"

typedef struct counted {
  uint32_t count, found;
} counted;

static void count(void *arg, uint32_t member) {
  counted *c = arg;
  require(member < c->count);
  c->found++;
}

static void rows(char *text) {
  static const char *const expressions[] = {"^ *([0-9]+) ([^ ]*)( ([0-9,:-]+))?", "^reason ([^ ]+) (.*)$", NULL};
  static const char *const fields[] = {"id state - member", "id reason", NULL};
  command_patterns p;
  command_text row[COMMAND_FIELDS];
  char words[200];
  const char *end = text + strlen(text);
  require(hato__command_compile(expressions, fields, &p, words, sizeof words));
  while (hato__command_next_row(&p, &text, row)) {
    require(row[COMMAND_ID].at != NULL && row[COMMAND_ID].at + row[COMMAND_ID].len <= end);
    counted c = {.count = 50};
    if (row[COMMAND_MEMBER].at != NULL) (void)hato__command_numbers(row[COMMAND_MEMBER], 1, c.count, count, &c);
  }
  hato__command_patterns_free(&p);
}

static void ids(char *text, const char *expression) {
  const char *found[4];
  uint32_t n = hato__command_ids(expression, text, found, 4);
  for (uint32_t i = 0; i < n && i < 4; i++) require(found[i][0] != 0 && strlen(found[i]) <= COMMAND_ID_MAX);
}

/* What is read as ids is the same after it was written and read again. */
static void record(const char *text) {
  enum { N = 64 };
  char *first[N], *again[N], packed[HATO_RECORD_MAX];
  uint32_t n = hato__command_unpack(text, first, N);
  if (n > 0 && hato__command_pack((const char *const *)first, n, packed, sizeof packed)) {
    require(hato__command_unpack(packed, again, N) == n);
    for (uint32_t i = 0; i < n; i++) {
      require(strcmp(first[i], again[i]) == 0);
      free(again[i]);
    }
  }
  for (uint32_t i = 0; i < n; i++) free(first[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  if (size == 0) return 0;
  char *text = strndup((const char *)data + 1, size - 1);
  require(text != NULL);
  counted c = {.count = 1000};
  if (data[0] == 'r')
    rows(text);
  else if (data[0] == 'i')
    ids(text, NULL);
  else if (data[0] == 'x')
    ids(text, "<(.*)>");
  else if (data[0] == 'n')
    (void)hato__command_numbers((command_text){text, strlen(text)}, 7, c.count, count, &c);
  else if (data[0] == 'w')
    (void)hato__command_in(text, "running");
  else
    record(text);
  free(text);
  return 0;
}

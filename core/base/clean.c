/* Text of others, as modules, schedulers and logs, made fit for our logs, a person's terminal and JSON. */
#include "base/str.h"

/* The bytes of the UTF-8 character at s; 0: it is none. */
static size_t utf8(const unsigned char *s) {
  size_t n = s[0] < 0x80                   ? 1
             : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
             : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
             : s[0] >= 0xf0 && s[0] < 0xf5 ? 4
                                           : 0;
  for (size_t i = 1; i < n; i++) {
    if ((s[i] & 0xc0) != 0x80) return 0; /* the end of the text, too */
  }
  /* Overlong, surrogates, beyond U+10FFFF. */
  if (n == 3 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0))) return 0;
  if (n == 4 && ((s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] >= 0x90))) return 0;
  return n;
}

static bool is_control(const unsigned char *s, bool lines) {
  if (*s < 0x20) return !lines || (*s != '\n' && *s != '\t');
  return *s == 0x7f || (s[0] == 0xc2 && s[1] < 0xa0);
}

void hato__clean(char *text, bool lines) {
  for (unsigned char *s = (unsigned char *)text; *s != 0;) {
    size_t n = utf8(s);
    if (n == 0 || is_control(s, lines)) {
      *s++ = '?';
    } else {
      s += n;
    }
  }
}

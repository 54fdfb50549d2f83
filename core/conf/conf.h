/* Options as typed rows. The same rows parse a command line, `-o key=value` of a
 * launcher and the configuration file, and print the help and the manual.
 *
 * A hato__conf holds rows and their values. It is not thread safe. Values come
 * from sources of rising rank; one of a lower rank never replaces one of a
 * higher, so the command line may be parsed before the file it names. */
#ifndef HATO_CONF_CONF_H
#define HATO_CONF_CONF_H

#include "hato/status.h"
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum hato__conf_type {
  HATO__CONF_BOOL,     /* --x, --no-x, --x=yes|no|true|false|on|off|1|0 */
  HATO__CONF_INT,      /* a whole number, may be negative */
  HATO__CONF_SIZE,     /* 10, 4K, 1.5G (powers of 1024): bytes */
  HATO__CONF_DURATION, /* 10, 1.5s, 200ms, 5m, 1h30m, 1:30:00: nanoseconds */
  HATO__CONF_STRING,
  HATO__CONF_ENUM,     /* one of names */
  HATO__CONF_LIST,     /* strings: the option may be repeated */
  HATO__CONF_OPERANDS, /* what follows the options: metavar, help and how many (min, max) */
  HATO__CONF_HEADING,  /* a title in the help: only help is used */
} hato__conf_type;

enum {
  HATO__CONF_HIDDEN = 1,   /* not in help and manual */
  HATO__CONF_NO_FILE = 2,  /* not allowed in the configuration file */
  HATO__CONF_REQUIRED = 4, /* hato__conf_check fails when it has no value */
};

/* Zero is a fit default for each field but name (or help of a heading). */
typedef struct hato__conf_row {
  const char *name; /* long name without hyphens in front; [a-z0-9-]. In the file '_' is read as '-' */
  char short_name;  /* one letter or digit; 0: none */
  hato__conf_type type;
  const char *def;          /* default, as it would be typed; NULL: none. Not of a list */
  int64_t min, max;         /* INT, SIZE (bytes), DURATION (ns): inclusive; both 0: no limits;
                               max below min: no upper limit. OPERANDS: how many, in the same way */
  const char *const *names; /* ENUM: NULL-terminated */
  const char *unit;         /* for help, as "seconds"; NULL: none */
  const char *metavar;      /* for help, as "N"; NULL: one that fits the type */
  const char *help;         /* one sentence or some; wrapped by the printer */
  unsigned flags;
} hato__conf_row;

typedef enum hato__conf_source {
  HATO__CONF_FROM_DEFAULT,
  HATO__CONF_FROM_SITE, /* the site's file */
  HATO__CONF_FROM_FILE, /* the user's */
  HATO__CONF_FROM_ENV,
  HATO__CONF_FROM_ARGS,
} hato__conf_source;

typedef struct hato__conf hato__conf;

/* what: whose options these are, for error texts, as "hato map" or "launcher
 * slurm". Everything is copied, so rows may be built at run time or lie in a
 * module that is unloaded. NULL without memory. */
hato__conf *hato__conf_create(const char *what);
void hato__conf_destroy(hato__conf *c); /* NULL is fine */
/* Adds rows. INVALID, with words, for a row that cannot be: no name or a bad
 * one, a name or letter used twice, a default that its own row refuses. */
hato_status hato__conf_add(hato__conf *c, const hato__conf_row *rows, size_t n, hato_error *err);
/* From now on a value for a name that has no row is passed over, for readers who want to know but
 * some of a section. */
void hato__conf_pass_unknown(hato__conf *c);
/* Forgets all values; rows and defaults stay. */
void hato__conf_reset(hato__conf *c);

/* ---- setting ---------------------------------------------------------- */

/* One value as typed. where names its origin for errors and for
 * hato__conf_where ("hato.conf:12", "HATO_SLOTS"); NULL: the option itself.
 * NOT_FOUND: no such option (the text names the nearest). INVALID: the value is
 * not what the row wants (the text has option, found and wanted). In a list the
 * values of the highest rank that has any stand, in order. */
hato_status hato__conf_set(hato__conf *c, hato__conf_source source, const char *where, const char *name,
                           const char *text, hato_error *err);
/* "key=value", or "key" of a BOOL, as after -o. */
hato_status hato__conf_set_pair(hato__conf *c, hato__conf_source source, const char *pair, hato_error *err);

enum {
  HATO__CONF_STOP_AT_OPERAND = 1, /* the first operand ends the options: `hato run ls -l` */
};
/* argv[0..argc) are the arguments, without the program's or the verb's name;
 * strings must outlive c. Parses --name value, --name=value, -n value, -nVALUE,
 * -abc (flags together), --no-name, and -- which ends the options. Operands are
 * refused without an OPERANDS row. What was read before an error keeps its
 * value, so a --help in front of a mistake can be honoured. NOT_FOUND: an
 * unknown option; INVALID: any other mistake. */
hato_status hato__conf_parse(hato__conf *c, int argc, char *const *argv, unsigned flags, hato_error *err);
/* The operands of the last parse, NULL-terminated; borrowed from argv. */
char *const *hato__conf_operands(const hato__conf *c, size_t *n);
/* A "--" was seen, and so many operands stood before it. */
bool hato__conf_dashes(const hato__conf *c, size_t *before);
/* Every REQUIRED row has a value. */
hato_status hato__conf_check(const hato__conf *c, hato_error *err);

/* ---- the configuration file -------------------------------------------- */

/* INI: "[kind NAME]" or "[kind]" starts a section, "key = value" a line; a line
 * that begins with "#" or ";" is a comment, and so is what follows a blank and
 * ";"; an indented line continues the value above it (of a list: one more).
 * Values may stand in double quotes. */
typedef struct hato__conf_sections {
  const char *const *kinds; /* known kinds, NULL-terminated; "" is the top of the file */
  /* Where the values of a section go (name "" when it has none); called once a
   * section, before its values. NULL refuses it, in the words of err. */
  hato__conf *(*open)(void *arg, const char *kind, const char *name, hato_error *err);
  void *arg;
  hato__conf_source source; /* FROM_SITE or FROM_FILE; 0: FROM_FILE */
} hato__conf_sections;

/* Blocks on the file. NOT_FOUND: there is none. INVALID: the text has file,
 * line, and the nearest right key; what stood before keeps its values. */
hato_status hato__conf_read_file(const char *path, const hato__conf_sections *s, hato_error *err);
/* The same of a text; path is for errors only. */
hato_status hato__conf_read_text(const char *path, const char *text, size_t n, const hato__conf_sections *s,
                                 hato_error *err);

/* The path of the site's file ($HATO_SITE_CONFIG, else /etc/hato/hato.conf) or of the user's ($HATO_CONFIG,
 * else hato/hato.conf in $XDG_CONFIG_HOME or ~/.config). False: there can be none. Reads the environment. */
bool hato__conf_path(hato__conf_source source, char *out, size_t n);
/* Reads both, as far as they are there, the site's first: the user's values win. Sets s->source. */
hato_status hato__conf_read_all(hato__conf_sections *s, hato_error *err);

/* ---- getting ------------------------------------------------------------ */

/* Asking for a name that has no row, or by another type, is a programmer's
 * error: an assertion, and zero or NULL with NDEBUG. Pointers are valid until
 * the value is set again, reset or destroyed. */
bool hato__conf_is_set(const hato__conf *c, const char *name);    /* by someone, not by default */
bool hato__conf_has_value(const hato__conf *c, const char *name); /* set or by default */
bool hato__conf_get_bool(const hato__conf *c, const char *name);
int64_t hato__conf_get_int(const hato__conf *c, const char *name);       /* 0 without value */
uint64_t hato__conf_get_size(const hato__conf *c, const char *name);     /* bytes */
uint64_t hato__conf_get_duration(const hato__conf *c, const char *name); /* ns */
const char *hato__conf_get_str(const hato__conf *c, const char *name);   /* NULL without value */
int hato__conf_get_enum(const hato__conf *c, const char *name); /* index in names; -1 without value */
/* NULL-terminated; never NULL. */
const char *const *hato__conf_get_list(const hato__conf *c, const char *name, size_t *n);
/* The value as text whatever its type (the last of a list); NULL without value. */
const char *hato__conf_get_text(const hato__conf *c, const char *name);
/* Where it was set ("--slots", "hato.conf:12"), or "default". */
const char *hato__conf_where(const hato__conf *c, const char *name);

/* The rows, in the order they were added: for completions, JSON and manuals. */
size_t hato__conf_count(const hato__conf *c);
const hato__conf_row *hato__conf_row_at(const hato__conf *c, size_t i);
const hato__conf_row *hato__conf_find(const hato__conf *c, const char *name); /* or NULL */

/* ---- printing ------------------------------------------------------------ */

/* A synopsis: "[-n N] [--json] [--profile NAME] COMMAND...", wrapped at 80 with
 * lines after the first indented by indent blanks; the first begins at column
 * indent, which the caller has written. */
void hato__conf_usage(const hato__conf *c, size_t indent, hato__buf *out);
/* Aligned, wrapped at 80, each option with limits, unit and default. */
void hato__conf_help(const hato__conf *c, hato__buf *out);
/* As `key=value` options of a launcher, without hyphens. */
void hato__conf_help_pairs(const hato__conf *c, hato__buf *out);
/* The same rows as man(7) .TP items, as options or as `key=value`. */
void hato__conf_roff(const hato__conf *c, hato__buf *out);
void hato__conf_roff_pairs(const hato__conf *c, hato__buf *out);

#endif

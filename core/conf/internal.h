/* Shared by the files of this layer only. */
#ifndef HATO_CONF_INTERNAL_H
#define HATO_CONF_INTERNAL_H

#include "conf/conf.h"

typedef struct conf_value {
  bool present;
  hato__conf_source source;
  char *where; /* NULL of a default */
  char *text;  /* as typed; NULL of a list */
  union {
    bool flag;
    int64_t num;
    uint64_t quantity; /* bytes or ns */
    int index;
  } as;
  char **list; /* NULL-terminated; NULL while empty */
  size_t n;
} conf_value;

typedef struct conf_item {
  hato__conf_row row; /* its strings are ours */
  conf_value value;
} conf_item;

struct hato__conf {
  char *what;
  conf_item *items;
  size_t n;
  char **operands; /* NULL-terminated; NULL before a parse */
  size_t n_operands;
  bool dashes;
  size_t before_dashes;
  bool passes_unknown;
};

conf_item *conf__item(const hato__conf *c, const char *name);
conf_item *conf__item_short(const hato__conf *c, char letter);
static inline bool conf__is_option(const hato__conf_row *r) {
  return r->type != HATO__CONF_OPERANDS && r->type != HATO__CONF_HEADING;
}

/* Where a value comes from, and how its option is called there. */
typedef struct conf_origin {
  hato__conf_source source;
  const char *context; /* begins the text of an error: "hato map", "hato.conf:12" */
  const char *label;   /* as it was typed: "--slots", "-n", "slots" */
  const char *where;   /* kept for hato__conf_where */
} conf_origin;

hato_status conf__assign(conf_item *it, const conf_origin *o, const char *text, hato_error *err);
void conf__clear_value(conf_value *v);
/* The default into the value; INVALID when the row refuses its own default. */
hato_status conf__apply_default(conf_item *it, hato_error *err);
/* NOT_FOUND with the nearest name; dashes stand before the names ("--" or ""). */
hato_status conf__unknown(const hato__conf *c, const char *context, const char *dashes, const char *name,
                          bool in_file, hato_error *err);

/* True when the row limits from below or above. */
static inline bool conf__has_min(const hato__conf_row *r) { return r->min != 0 || r->max != 0; }
static inline bool conf__has_max(const hato__conf_row *r) { return r->max >= r->min && conf__has_min(r); }
/* A limit in the words of the row's type: "1M", "5m", "12". */
void conf__format(hato__buf *out, hato__conf_type type, int64_t v);
/* "a whole number from 1 to 64". */
void conf__wanted(hato__buf *out, const hato__conf_row *r);

/* For the printers: the word for the value, and "default 4; from 1 to 64". */
void conf__metavar(hato__buf *out, const hato__conf_row *r);
void conf__notes(hato__buf *out, const hato__conf_row *r);

#endif

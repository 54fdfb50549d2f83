/* Memory for secrets: pages of their own, which no dump of the process holds, no child inherits and, as far as
 * the limit of locked memory goes, no swap gets. Any thread. */
#ifndef HATO_BASE_SECRET_H
#define HATO_BASE_SECRET_H

#include <stddef.h>

/* n bytes of zeros; NULL: no memory. A page at least: for few and small things. */
void *hato__secret_alloc(size_t n);
/* Wipes and frees what was got for the same n. NULL is fine. */
void hato__secret_free(void *p, size_t n);

#endif

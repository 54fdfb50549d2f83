/* What a URL's scheme means, and whether an address is this machine's own: judged here and nowhere else. */
#ifndef HATO_BASE_URL_H
#define HATO_BASE_URL_H

#include <stdbool.h>

typedef enum hato__scheme {
  HATO__SCHEME_NONE,   /* none that hato knows */
  HATO__SCHEME_SOCKET, /* ipc, unix, abstract: a Unix socket */
  HATO__SCHEME_TCP,    /* tcp, tcp4, tcp6 */
  HATO__SCHEME_WS,
  HATO__SCHEME_TLS, /* tls+tcp, tls+tcp4, tls+tcp6 */
  HATO__SCHEME_WSS,
} hato__scheme;

hato__scheme hato__url_scheme(const char *url);
static inline bool hato__scheme_is_ws(hato__scheme s) { return s == HATO__SCHEME_WS || s == HATO__SCHEME_WSS; }
static inline bool hato__scheme_is_encrypted(hato__scheme s) { return s == HATO__SCHEME_TLS || s == HATO__SCHEME_WSS; }

/* HOST, HOST:PORT or HOST:PORT/PATH, an IPv6 address in brackets: the host is loopback, also as IPv6 writes an IPv4
 * address (a peer from 127.0.0.1 at a listener of both families). Names are not looked up. */
bool hato__is_loopback(const char *host);
/* A socket's, or one of loopback: nobody on another machine reaches it, nor is there anybody to hear it. */
bool hato__url_is_local(const char *url);
bool hato__url_is_encrypted(const char *url); /* TLS */

#endif

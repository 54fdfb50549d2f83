/* What a URL says: its scheme, and whether it is of this machine. */
#include "unit.h"

#include "base/url.h"

UNIT_TEST(schemes) {
  ck_assert_int_eq(hato__url_scheme("ipc:///x"), HATO__SCHEME_SOCKET);
  ck_assert_int_eq(hato__url_scheme("unix:///x"), HATO__SCHEME_SOCKET);
  ck_assert_int_eq(hato__url_scheme("abstract://x"), HATO__SCHEME_SOCKET);
  ck_assert_int_eq(hato__url_scheme("tcp://h:1"), HATO__SCHEME_TCP);
  ck_assert_int_eq(hato__url_scheme("tcp6://h:1"), HATO__SCHEME_TCP);
  ck_assert_int_eq(hato__url_scheme("ws://h:1/x"), HATO__SCHEME_WS);
  ck_assert_int_eq(hato__url_scheme("tls+tcp://h:1"), HATO__SCHEME_TLS);
  ck_assert_int_eq(hato__url_scheme("tls+tcp4://h:1"), HATO__SCHEME_TLS);
  ck_assert_int_eq(hato__url_scheme("wss://h:1/x"), HATO__SCHEME_WSS);
  static const char *const none[] = {"", "nonsense", "tcp", "tcp:", "tcp:/h", "tcp5://h:1", "xtcp://h:1", "tls+ws://h:1", "inproc://x"};
  for (size_t i = 0; i < sizeof none / sizeof *none; i++) ck_assert_int_eq(hato__url_scheme(none[i]), HATO__SCHEME_NONE);
  ck_assert(hato__url_is_encrypted("tls+tcp6://h:1") && hato__url_is_encrypted("wss://h:1"));
  ck_assert(!hato__url_is_encrypted("tcp://h:1") && !hato__url_is_encrypted("ws://h:1") && !hato__url_is_encrypted("tls+x://h:1"));
}

UNIT_TEST(loopback) {
  static const char *const yes[] = {"127.0.0.1",   "127.0.0.1:5",       "127.9.9.9:5/x",          "127.1",    "localhost",
                                    "LocalHost:5", "localhost/x",       "[::1]",                  "[::1]:5",  "[0:0:0:0:0:0:0:1]:5",
                                    "[::1]/x",     "[::ffff:127.0.0.1]", "[::ffff:127.3.2.1]:5555", "[::FFFF:7f00:1]:5"};
  static const char *const no[] = {"",           "10.0.0.1:5",       "0.0.0.0:5",           "128.0.0.1", "localhost.net:5", "127.example.net:5",
                                   "[::]:5",     "[::ffff:10.0.0.1]:5", "[::ffff:128.0.0.1]:5", "[::2]:5",   "[::1",            "[::1%lo]:5",
                                   "::1",        "127.0.0.1 x",         "[127.0.0.1]:5",        "1270.0.0.1",
                                   "[::127.0.0.1]:5", "a peer of unknown address", "process 127"};
  for (size_t i = 0; i < sizeof yes / sizeof *yes; i++) ck_assert_msg(hato__is_loopback(yes[i]), "%s", yes[i]);
  for (size_t i = 0; i < sizeof no / sizeof *no; i++) ck_assert_msg(!hato__is_loopback(no[i]), "%s", no[i]);
}

UNIT_TEST(urls_of_one_machine) {
  ck_assert(hato__url_is_local("ipc:///x") && hato__url_is_local("abstract://x"));
  ck_assert(hato__url_is_local("tcp://127.0.0.1:5") && hato__url_is_local("tls+tcp://localhost:5"));
  ck_assert(hato__url_is_local("ws://[::1]/x") && hato__url_is_local("tcp://127.9.9.9"));
  ck_assert(!hato__url_is_local("tcp://localhost.net:5") && !hato__url_is_local("tcp://10.0.0.1:5"));
  ck_assert(!hato__url_is_local("tcp://[::]:5") && !hato__url_is_local("nonsense") && !hato__url_is_local("x://127.0.0.1"));
}

UNIT_MAIN("base_url")

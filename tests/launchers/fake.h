/* What tests know of the fake launcher. */
#ifndef HATO_TESTS_FAKE_H
#define HATO_TESTS_FAKE_H

/* Seconds of an operation: long for one that works, short for who waits for the end of one that hangs. */
#ifdef HATO_SANITIZED
#define FAKE_DEADLINE 8
#else
#define FAKE_DEADLINE 2
#endif

#endif

/* An executor that does as a task's symbol or program says: echo, pid, crash,
 * crash_on_x, family (processes that outlive it), wait (for INTERRUPT), deaf, restart,
 * restart_always, garbage, pieces, object. */
#ifndef HATO_TESTS_HELP_STANDIN_H
#define HATO_TESTS_HELP_STANDIN_H

_Noreturn void stand_in(void); /* on descriptor 3 */

#endif

/* A secret in the environment, which others of our user can read in /proc. */
#ifndef HATO_BASE_ENV_H
#define HATO_BASE_ENV_H

/* Overwrites the variable's value where it stands, and removes it. Not while other threads use the environment. */
void hato__env_wipe(const char *name);

#endif

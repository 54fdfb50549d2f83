/* What NNG's archive calls as it starts and ends, for the engine it would have: see dependencies.cmake. */
int nng_tls_engine_init_mbed(void);
void nng_tls_engine_fini_mbed(void);

int nng_tls_engine_init_mbed(void) { return 0; }
void nng_tls_engine_fini_mbed(void) {}

# The packages hato stands on. Those with a .pc are found by pkg-config; NNG
# ships none in Debian.
#
# Two sets: the shared libraries (for libhato and the tests), and the archives
# by full path (for the binary, which is to run on a machine that has none).
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWLOC REQUIRED hwloc)
pkg_check_modules(JANSSON REQUIRED jansson)
pkg_check_modules(INIH REQUIRED inih)
pkg_check_modules(MUNGE REQUIRED munge)
pkg_check_modules(OPENSSL REQUIRED openssl>=3.0)

find_path(NNG_INCLUDE_DIR nng/nng.h REQUIRED)
find_path(UTHASH_INCLUDE_DIR uthash.h REQUIRED)

# hato_find(NAME lib dirs...): NAME_SHARED and NAME_ARCHIVE.
function(hato_find name lib)
  find_library(${name}_SHARED NAMES lib${lib}.so HINTS ${ARGN} REQUIRED)
  find_library(${name}_ARCHIVE NAMES lib${lib}.a HINTS ${ARGN} REQUIRED)
endfunction()
hato_find(NNG nng)
hato_find(HWLOC hwloc ${HWLOC_LIBRARY_DIRS})
hato_find(JANSSON jansson ${JANSSON_LIBRARY_DIRS})
hato_find(INIH inih ${INIH_LIBRARY_DIRS})
hato_find(MUNGE munge ${MUNGE_LIBRARY_DIRS})
hato_find(SSL ssl ${OPENSSL_LIBRARY_DIRS})
hato_find(CRYPTO crypto ${OPENSSL_LIBRARY_DIRS})
find_library(UDEV_SHARED NAMES libudev.so REQUIRED) # of hwloc's archive; it has no archive itself

add_library(hato_deps INTERFACE) # headers only
target_include_directories(hato_deps SYSTEM INTERFACE
  ${NNG_INCLUDE_DIR} ${OPENSSL_INCLUDE_DIRS} ${UTHASH_INCLUDE_DIR}
  ${HWLOC_INCLUDE_DIRS} ${JANSSON_INCLUDE_DIRS} ${INIH_INCLUDE_DIRS} ${MUNGE_INCLUDE_DIRS})

add_library(hato_deps_shared INTERFACE)
target_link_libraries(hato_deps_shared INTERFACE
  -Wl,--as-needed ${NNG_SHARED} ${HWLOC_SHARED} ${JANSSON_SHARED} ${INIH_SHARED} ${MUNGE_SHARED}
  ${SSL_SHARED} ${CRYPTO_SHARED} m dl)

# The archive of NNG begins with an engine for TLS of its own, by an mbedTLS that is at its end. These two names stand
# in that engine's place, so that neither is linked; ours is core/net/engine.c. (NNG's shared library has both.)
add_library(hato_nng_engine OBJECT script/cmake/nng_engine.c)

add_library(hato_deps_archive INTERFACE)
target_link_libraries(hato_deps_archive INTERFACE $<TARGET_OBJECTS:hato_nng_engine>
  ${NNG_ARCHIVE} ${HWLOC_ARCHIVE} ${JANSSON_ARCHIVE} ${INIH_ARCHIVE} ${MUNGE_ARCHIVE}
  ${SSL_ARCHIVE} ${CRYPTO_ARCHIVE}
  -Wl,--as-needed ${UDEV_SHARED} m dl)

# Of the launcher module slurm alone: hato is built and runs without it.
pkg_check_modules(SLURM QUIET slurm)
find_path(SLURM_INCLUDE_DIR slurm/slurm.h HINTS ${SLURM_INCLUDEDIR} ${SLURM_INCLUDE_DIRS})
find_library(SLURM_SHARED NAMES libslurm.so HINTS ${SLURM_LIBDIR} ${SLURM_LIBRARY_DIRS})
set(HATO_SLURM OFF)
if(SLURM_INCLUDE_DIR AND SLURM_SHARED)
  set(HATO_SLURM ON)
endif()

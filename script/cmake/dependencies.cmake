# The packages hato stands on. Those with a .pc are found by pkg-config; NNG and
# mbedTLS ship none in Debian.
#
# Two sets: the shared libraries (for libhato and the tests), and the archives
# by full path (for the binary, which is to run on a machine that has none).
find_package(PkgConfig REQUIRED)
pkg_check_modules(HWLOC REQUIRED hwloc)
pkg_check_modules(JANSSON REQUIRED jansson)
pkg_check_modules(INIH REQUIRED inih)
pkg_check_modules(MUNGE REQUIRED munge)

find_path(NNG_INCLUDE_DIR nng/nng.h REQUIRED)
find_path(MBEDTLS_INCLUDE_DIR mbedtls/md.h REQUIRED)
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
hato_find(MBEDTLS mbedtls)
hato_find(MBEDX509 mbedx509)
hato_find(MBEDCRYPTO mbedcrypto)
find_library(UDEV_SHARED NAMES libudev.so REQUIRED) # of hwloc's archive; it has no archive itself

add_library(hato_deps INTERFACE) # headers only
target_include_directories(hato_deps SYSTEM INTERFACE
  ${NNG_INCLUDE_DIR} ${MBEDTLS_INCLUDE_DIR} ${UTHASH_INCLUDE_DIR}
  ${HWLOC_INCLUDE_DIRS} ${JANSSON_INCLUDE_DIRS} ${INIH_INCLUDE_DIRS} ${MUNGE_INCLUDE_DIRS})

add_library(hato_deps_shared INTERFACE)
target_link_libraries(hato_deps_shared INTERFACE
  -Wl,--as-needed ${NNG_SHARED} ${HWLOC_SHARED} ${JANSSON_SHARED} ${INIH_SHARED} ${MUNGE_SHARED}
  ${MBEDTLS_SHARED} ${MBEDX509_SHARED} ${MBEDCRYPTO_SHARED} m dl)

add_library(hato_deps_archive INTERFACE)
target_link_libraries(hato_deps_archive INTERFACE
  ${NNG_ARCHIVE} ${HWLOC_ARCHIVE} ${JANSSON_ARCHIVE} ${INIH_ARCHIVE} ${MUNGE_ARCHIVE}
  ${MBEDTLS_ARCHIVE} ${MBEDX509_ARCHIVE} ${MBEDCRYPTO_ARCHIVE}
  -Wl,--as-needed ${UDEV_SHARED} m dl)

# Of the launcher module slurm alone: hato is built and runs without it.
pkg_check_modules(SLURM QUIET slurm)
find_path(SLURM_INCLUDE_DIR slurm/slurm.h HINTS ${SLURM_INCLUDEDIR} ${SLURM_INCLUDE_DIRS})
find_library(SLURM_SHARED NAMES libslurm.so HINTS ${SLURM_LIBDIR} ${SLURM_LIBRARY_DIRS})
set(HATO_SLURM OFF)
if(SLURM_INCLUDE_DIR AND SLURM_SHARED)
  set(HATO_SLURM ON)
endif()

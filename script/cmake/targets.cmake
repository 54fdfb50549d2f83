# libhato: the client, the embedded dispatcher and what they know.
if(TARGET hato_client)
  # hato_strerror is public and lives in base: nothing of base may be left out.
  add_library(hato SHARED $<TARGET_OBJECTS:hato_client> $<TARGET_OBJECTS:hato_base>)
  set_target_properties(hato PROPERTIES
    VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE C
    LINK_DEPENDS ${PROJECT_SOURCE_DIR}/script/cmake/libhato.map)
  target_link_libraries(hato PRIVATE hato_flags hato_client_a hato_deps_shared)
  # Never unloaded: NNG keeps a pointer to our TLS engine, and runs threads.
  target_link_options(hato PRIVATE -Wl,-z,nodelete
    -Wl,--version-script=${PROJECT_SOURCE_DIR}/script/cmake/libhato.map)
  if(NOT HATO_SANITIZE) # the sanitizers' own symbols come with the program
    target_link_options(hato PRIVATE -Wl,--no-undefined)
  endif()
  target_include_directories(hato INTERFACE
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/core/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endif()

# The binary: all but libc, libm and libudev inside. Not a PIE, because Debian's
# libnng.a is not position-independent code.
if(EXISTS ${PROJECT_SOURCE_DIR}/core/cli/main.c)
  add_executable(hato_binary core/cli/main.c)
  set_target_properties(hato_binary PROPERTIES OUTPUT_NAME hato)
  target_link_libraries(hato_binary PRIVATE hato_flags hato_deps hato_cli_a hato_deps_archive)
  target_link_options(hato_binary PRIVATE -no-pie -static-libgcc)

  # The manual pages of the command line are printed by it, from the tables that parse it.
  set(HATO_MANUALS ${PROJECT_BINARY_DIR}/man)
  list(TRANSFORM HATO_MODULES REPLACE "^hato_launcher_" "" OUTPUT_VARIABLE launchers)
  add_custom_command(OUTPUT ${HATO_MANUALS}/hato.1
    COMMAND ${CMAKE_COMMAND} -DHATO=$<TARGET_FILE:hato_binary> -DOUT=${HATO_MANUALS} "-DLAUNCHERS=${launchers}"
      -P ${PROJECT_SOURCE_DIR}/script/cmake/manual.cmake
    DEPENDS hato_binary ${HATO_MODULES} ${PROJECT_SOURCE_DIR}/script/cmake/manual.cmake VERBATIM)
  add_custom_target(hato_manual ALL DEPENDS ${HATO_MANUALS}/hato.1)
endif()

# What `cmake --install` lays down; everything in it finds the rest from where it
# stands, so that the tree may be moved.
include(CMakePackageConfigHelpers)
set(HATO_LAUNCHER_DIR lib/hato/launchers) # where bin/hato looks: ../lib, multiarch or not
set(HATO_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/hato)

if(TARGET hato_binary)
  install(TARGETS hato_binary RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(HATO_MODULES)
  install(TARGETS ${HATO_MODULES} LIBRARY DESTINATION ${HATO_LAUNCHER_DIR})
endif()
install(DIRECTORY core/include/hato DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

if(TARGET hato)
  install(TARGETS hato EXPORT hato-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT hato-targets NAMESPACE hato:: DESTINATION ${HATO_CMAKE_DIR})
  configure_package_config_file(script/cmake/hato-config.cmake.in ${PROJECT_BINARY_DIR}/hato-config.cmake
    INSTALL_DESTINATION ${HATO_CMAKE_DIR} PATH_VARS HATO_LAUNCHER_DIR)
  write_basic_package_version_file(${PROJECT_BINARY_DIR}/hato-config-version.cmake COMPATIBILITY SameMinorVersion)
  install(FILES ${PROJECT_BINARY_DIR}/hato-config.cmake ${PROJECT_BINARY_DIR}/hato-config-version.cmake
    DESTINATION ${HATO_CMAKE_DIR})

  foreach(dir LIBDIR INCLUDEDIR)
    if(IS_ABSOLUTE ${CMAKE_INSTALL_${dir}})
      set(HATO_PC_${dir} ${CMAKE_INSTALL_${dir}})
    else()
      set(HATO_PC_${dir} "\${prefix}/${CMAKE_INSTALL_${dir}}")
    endif()
  endforeach()
  # The prefix is known when installing, not before: --prefix may change it.
  install(CODE "set(HATO_PC_IN \"${PROJECT_SOURCE_DIR}/script/cmake/hato.pc.in\")
    set(HATO_PC_LIBDIR [[${HATO_PC_LIBDIR}]])
    set(HATO_PC_INCLUDEDIR [[${HATO_PC_INCLUDEDIR}]])
    set(PROJECT_VERSION ${PROJECT_VERSION})
    configure_file(\${HATO_PC_IN} \"${PROJECT_BINARY_DIR}/hato.pc\" @ONLY)")
  install(FILES ${PROJECT_BINARY_DIR}/hato.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

if(HATO_MANUALS)
  install(DIRECTORY ${HATO_MANUALS}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
  install(DIRECTORY ${HATO_MANUALS}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man7 FILES_MATCHING PATTERN "*.7")
endif()
file(GLOB manuals CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/docs/man/*.[1-8])
foreach(manual IN LISTS manuals)
  string(REGEX REPLACE ".*\\." "" section ${manual})
  install(FILES ${manual} DESTINATION ${CMAKE_INSTALL_MANDIR}/man${section})
endforeach()
install(DIRECTORY docs/ DESTINATION ${CMAKE_INSTALL_DOCDIR} PATTERN man EXCLUDE)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# hato_add_system_tests(folder label): each test method of the folder's test_*.py is one test.
function(hato_add_system_tests folder label)
  file(GLOB scripts CONFIGURE_DEPENDS ${folder}/test_*.py)
  foreach(script IN LISTS scripts)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
    execute_process(
      COMMAND ${CMAKE_COMMAND} -E env PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/system
        ${Python3_EXECUTABLE} ${script} --list
      OUTPUT_VARIABLE lines RESULT_VARIABLE rc)
    get_filename_component(file ${script} NAME_WE)
    string(REGEX REPLACE "^test_" "" file ${file})
    if(NOT rc EQUAL 0)
      # A broken script is a failing test, not a broken build for everybody else.
      set(lines "cannot.be.listed 10\n")
    endif()
    string(REPLACE "\n" ";" lines "${lines}")
    foreach(line IN LISTS lines)
      if(line MATCHES "^([^ ]+) ([0-9]+)$")
        set(test ${CMAKE_MATCH_1})
        set(name ${label}.${file}.${test})
        math(EXPR limit "(${CMAKE_MATCH_2} + 25)")
        hato_add_test(${label} ${limit} ${name} ${Python3_EXECUTABLE} ${script} ${test})
        set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
          PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/system HATO_PATIENCE=${patience}
          HATO_SOURCE_DIR=${PROJECT_SOURCE_DIR} HATO_BUILD_DIR=${PROJECT_BINARY_DIR} CC=${CMAKE_C_COMPILER}
          HATO_SANITIZE=${HATO_SANITIZE})
      endif()
    endforeach()
  endforeach()
endfunction()

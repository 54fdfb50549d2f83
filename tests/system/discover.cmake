# hato_add_system_tests(folder label): each test method of the folder's test_*.py is one test. A line of
# --list is its name, its limit in seconds and, when nothing may run beside it, "alone". The names of
# all go to the variable HATO_TESTS_<label>.
function(hato_add_system_tests folder label)
  file(GLOB scripts CONFIGURE_DEPENDS ${folder}/test_*.py)
  foreach(script IN LISTS scripts)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${script})
    execute_process(
      COMMAND ${CMAKE_COMMAND} -E env PYTHONDONTWRITEBYTECODE=1 "PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/system:${folder}"
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
      if(line MATCHES "^([^ ]+) ([0-9]+)( alone)?$")
        set(test ${CMAKE_MATCH_1})
        set(name ${label}.${file}.${test})
        set(alone "${CMAKE_MATCH_3}")
        math(EXPR limit "(${CMAKE_MATCH_2} + 25)")
        hato_add_test(${label} ${limit} ${name} ${Python3_EXECUTABLE} ${script} ${test})
        set_property(TEST ${name} APPEND PROPERTY ENVIRONMENT
          PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=${PROJECT_SOURCE_DIR}/tests/system:${folder} HATO_PATIENCE=${patience}
          HATO_SOURCE_DIR=${PROJECT_SOURCE_DIR} HATO_BUILD_DIR=${PROJECT_BINARY_DIR} CC=${CMAKE_C_COMPILER}
          HATO_SANITIZE=${HATO_SANITIZE})
        list(APPEND tests ${name})
        set_property(TEST ${name} PROPERTY SKIP_RETURN_CODE 77)
        if(alone)
          set_property(TEST ${name} PROPERTY RUN_SERIAL ON)
        endif()
      endif()
    endforeach()
  endforeach()
  set(HATO_TESTS_${label} ${tests} PARENT_SCOPE)
endfunction()

# Writes a ctest file with one test for each line of `PROGRAM --list` (name, seconds).
execute_process(COMMAND ${PROGRAM} --list OUTPUT_VARIABLE lines RESULT_VARIABLE rc)
if(NOT rc EQUAL 0)
  message(FATAL_ERROR "${PROGRAM} --list: ${rc}")
endif()
set(text "")
string(REPLACE "\n" ";" lines "${lines}")
string(REGEX REPLACE "^test_" "" suite ${SUITE})
foreach(line IN LISTS lines)
  if(line MATCHES "^([^ ]+) ([0-9]+)$")
    set(name "unit.${suite}.${CMAKE_MATCH_1}")
    string(APPEND text
      "add_test([[${name}]] [[${PROGRAM}]] [[${CMAKE_MATCH_1}]])\n"
      "set_tests_properties([[${name}]] PROPERTIES LABELS unit SKIP_REGULAR_EXPRESSION [[left out: ]] TIMEOUT ${CMAKE_MATCH_2} ENVIRONMENT [[${ENVIRONMENT}]])\n")
  endif()
endforeach()
file(WRITE ${OUT} "${text}")

# Writes the manual pages that the binary prints of its own tables: hato.1 and one a verb.
execute_process(COMMAND ${HATO} manual OUTPUT_VARIABLE verbs COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCHALL "[a-z-]+" verbs "${verbs}")
file(REMOVE_RECURSE ${OUT})
file(MAKE_DIRECTORY ${OUT})
execute_process(COMMAND ${HATO} manual hato OUTPUT_FILE ${OUT}/hato.1 COMMAND_ERROR_IS_FATAL ANY)
foreach(verb IN LISTS verbs)
  execute_process(COMMAND ${HATO} manual ${verb} OUTPUT_FILE ${OUT}/hato-${verb}.1 COMMAND_ERROR_IS_FATAL ANY)
endforeach()
# The pages of launchers, hato-launcher-NAME.7, of their option rows.
foreach(launcher IN LISTS LAUNCHERS)
  execute_process(COMMAND ${HATO} launchers manual ${launcher}
    OUTPUT_FILE ${OUT}/hato-launcher-${launcher}.7 COMMAND_ERROR_IS_FATAL ANY)
endforeach()

# retinue_library(NAME): one library per top folder; its sub-folders add their sources with
# retinue_sources(NAME file...).
function(retinue_library name)
  add_library(${name} STATIC)
  target_include_directories(${name} PUBLIC "${CMAKE_SOURCE_DIR}" "${CMAKE_BINARY_DIR}/generated")
endfunction()

function(retinue_sources name)
  list(TRANSFORM ARGN PREPEND "${CMAKE_CURRENT_SOURCE_DIR}/")
  target_sources(${name} PRIVATE ${ARGN})
endfunction()

# retinue_test(NAME SOURCES file... [LIBRARIES lib...] [LABELS label...] [TIMEOUT s])
# One GoogleTest executable; every TEST in it is a CTest test of its own.
function(retinue_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE ${arg_LIBRARIES} retinue_test_support GTest::gmock GTest::gtest_main)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS fast)
  endif()
  # PRE_TEST: listing at build time would run the executable once per link.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT})
endfunction()

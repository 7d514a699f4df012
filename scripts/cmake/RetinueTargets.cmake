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

# retinue_page(NAME VARIABLE): builds page.html of this folder into retinue_runtime as the string VARIABLE, so that the
# executable looks for no file when it runs.
function(retinue_page name variable)
  set(page "${CMAKE_CURRENT_BINARY_DIR}/${name}.cpp")
  set(script "${CMAKE_SOURCE_DIR}/scripts/cmake/EmbedText.cmake")
  set(charts "${CMAKE_SOURCE_DIR}/runtime/pages")
  add_custom_command(OUTPUT "${page}"
    COMMAND ${CMAKE_COMMAND} "-DFROM=${CMAKE_CURRENT_SOURCE_DIR}/page.html" "-DCHARTS=${charts}" "-DTO=${page}"
      "-DNAME=${variable}" -P "${script}"
    DEPENDS page.html "${charts}/charts.css" "${charts}/charts.js" "${script}"
    VERBATIM)
  # A target of this folder: CMake knows only here that the file is generated.
  add_library(${name} OBJECT "${page}")
  target_sources(retinue_runtime PRIVATE $<TARGET_OBJECTS:${name}>)
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
  set(environment "")
  if(RETINUE_SANITIZE)
    # Up to ten times slower; and a refusal of memory is what some tests want.
    math(EXPR arg_TIMEOUT "${arg_TIMEOUT} * 10")
    set(environment ENVIRONMENT ASAN_OPTIONS=allocator_may_return_null=1)
  endif()
  # PRE_TEST: listing at build time would run the executable once per link.
  gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
    PROPERTIES LABELS "${arg_LABELS}" TIMEOUT ${arg_TIMEOUT} ${environment})
endfunction()

# Open MPI's flags for tests and benchmarks: `ob1` over shared memory starts fastest, ranks may
# outnumber cores, and the excluded one-sided components leave the one of shared memory.
set(RETINUE_MPIEXEC_FLAGS --oversubscribe --bind-to none --mca pml ob1 --mca btl self,vader,tcp
  --mca osc ^ucx,pt2pt --mca mpi_yield_when_idle 1)

# retinue_mpi_test(NAME RANKS n... SOURCES file... [LIBRARIES lib...] [LABELS label...] [TIMEOUT s])
# One GoogleTest executable with the main of tests/support; one CTest test per number of ranks,
# NAME_npN, which fails when any rank fails. A hang is the usual failure, hence the TIMEOUT.
function(retinue_mpi_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "RANKS;SOURCES;LIBRARIES;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE retinue_mpi_ranks ${arg_LIBRARIES} retinue_test_support
    GTest::gmock GTest::gtest)
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 120)
  endif()
  foreach(ranks IN LISTS arg_RANKS)
    add_test(NAME ${name}_np${ranks}
      COMMAND ${MPIEXEC_EXECUTABLE} ${RETINUE_MPIEXEC_FLAGS} ${MPIEXEC_NUMPROC_FLAG} ${ranks}
        $<TARGET_FILE:${name}>)
    retinue_mpi_test_properties(${name}_np${ranks} "${arg_TIMEOUT}" mpi ${arg_LABELS})
  endforeach()
endfunction()

# Properties that every test with mpirun needs.
function(retinue_mpi_test_properties test timeout)
  # Only root needs these two; they do not matter for other users.
  set(environment OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1)
  if(RETINUE_SANITIZE)
    math(EXPR timeout "${timeout} * 10")  # as above
  endif()
  if(RETINUE_SANITIZE MATCHES "address")
    # Some tests bound the memory of a process: freed memory is kept, but not 256 MB of it.
    list(APPEND environment
      "LSAN_OPTIONS=suppressions=${CMAKE_SOURCE_DIR}/tests/support/lsan_mpi.supp:print_suppressions=0"
      "ASAN_OPTIONS=fast_unwind_on_malloc=0:allocator_may_return_null=1:quarantine_size_mb=4")
  endif()
  # PROCESSORS 2: two such tests at once on two cores would wait for each other's time slices.
  set_tests_properties(${test} PROPERTIES LABELS "${ARGN}" TIMEOUT ${timeout} PROCESSORS 2
    ENVIRONMENT "${environment}")
endfunction()

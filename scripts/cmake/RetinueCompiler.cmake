# Language level and warnings, for every target.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-Wall;-Wextra;-Wconversion;-Wshadow=local>")
# nvcc gives its own warnings; its host compiler would warn of code that nvcc generates. 554: a view of
# const elements has a conversion to itself, which is never called.
add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:--diag-suppress=554;-Xcompiler=-Wall,-Wextra>")
if(RETINUE_WERROR)
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-Werror>"
    "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Werror>")
endif()
# A sum must not depend on which products the compiler fuses: kernels ask for fma by name.
add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-ffp-contract=off>"
  "$<$<COMPILE_LANGUAGE:CUDA>:--fmad=false;-Xcompiler=-ffp-contract=off>")
# check() stays on in release builds: it is a function and not a macro.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g1")
set(CMAKE_CUDA_FLAGS_RELEASE "-O3 -lineinfo")

if(RETINUE_SANITIZE)
  # Compiling with sanitizers is slow: -Og takes two thirds of the time of -O1. Debuggers see lines alone.
  set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-Og -g1")
  add_compile_options("$<$<COMPILE_LANGUAGE:C,CXX>:-fsanitize=${RETINUE_SANITIZE};-fno-omit-frame-pointer>")
  add_link_options(-fsanitize=${RETINUE_SANITIZE})
endif()

find_program(RETINUE_CCACHE ccache)
if(RETINUE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  # Two checkouts share compiled objects: paths below the checkout count as relative.
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CMAKE_COMMAND}" -E env "CCACHE_BASEDIR=${CMAKE_SOURCE_DIR}"
    CCACHE_NOHASHDIR=1 "${RETINUE_CCACHE}")
endif()

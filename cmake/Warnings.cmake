# Warnings that must stay silent. Each flag is probed, so gcc and clang both get all they know.
include(CheckCCompilerFlag)
add_library(credswap_warnings INTERFACE)
option(CREDSWAP_WERROR "warnings are errors" ON)
set(flags -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wformat=2 -Wvla -Wundef -Wstrict-prototypes
    -Wmissing-prototypes -Wold-style-definition -Wpointer-arith -Wcast-qual -Wwrite-strings
    -Wswitch-enum -Wnull-dereference -Wdouble-promotion)
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  list(APPEND flags -Wformat-signedness -Wimplicit-fallthrough=5 -Wlogical-op -Wduplicated-cond
       -Wduplicated-branches -Wjump-misses-init -Warith-conversion -Wbidi-chars=any)
else()
  list(APPEND flags -Wimplicit-fallthrough -Wthread-safety -Wcomma -Wconditional-uninitialized
       -Wmissing-variable-declarations -Wno-gnu-statement-expression -Wno-gnu-zero-variadic-macro-arguments)
endif()
if(CREDSWAP_WERROR)
  list(APPEND flags -Werror)
endif()
foreach(flag IN LISTS flags)
  string(MAKE_C_IDENTIFIER "HAVE${flag}" known)
  check_c_compiler_flag(${flag} ${known})
  if(${known})
    target_compile_options(credswap_warnings INTERFACE ${flag})
  endif()
endforeach()

# Warnings, which tools/build makes errors; hardening flags as the OpenSSF compiler guide lists them, probed where old compilers lack one.
include(CheckCCompilerFlag)

add_compile_definitions(_GNU_SOURCE _FILE_OFFSET_BITS=64)
add_compile_options(
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wvla -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wundef
  -Wimplicit-fallthrough -Wpointer-arith -Wwrite-strings -Werror=implicit-function-declaration -Werror=int-conversion
  -Wno-format-nonliteral -fno-strict-aliasing -fno-strict-overflow -fno-delete-null-pointer-checks
  -fstack-protector-strong -fPIE -fno-omit-frame-pointer)
option(SL_WERROR "Warnings are errors: for development, not for compilers that are yet to come" OFF)
if(SL_WERROR)
  add_compile_options(-Werror)
endif()
add_link_options(-pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed)
foreach(flag -fstack-clash-protection -fcf-protection=full -ftrivial-auto-var-init=zero)
  string(MAKE_C_IDENTIFIER "HAVE${flag}" name)
  check_c_compiler_flag(${flag} ${name})
  if(${name})
    add_compile_options(${flag})
  endif()
endforeach()

if(SL_SANITIZE STREQUAL "address")
  add_compile_options(-fsanitize=address,undefined -fno-sanitize-recover=all -O1)
  add_link_options(-fsanitize=address,undefined)
elseif(SL_SANITIZE STREQUAL "fuzzer")
  add_compile_options(-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all -O1)
  add_link_options(-fsanitize=address,undefined)
elseif(SL_SANITIZE STREQUAL "thread")
  add_compile_options(-fsanitize=thread -O1)
  add_link_options(-fsanitize=thread)
else()
  add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

# sl_library(NAME SOURCES ... LINK ...): one static library per folder; LINK names only lower layers and system libraries.
function(sl_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LINK" ${ARGN})
  add_library(sl_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(sl_${name} PUBLIC ${ARG_LINK})
endfunction()

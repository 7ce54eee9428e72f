# One set of flags for every room. No -ffast-math anywhere; a fused product is a written fma.
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_compile_options(-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wdouble-promotion
  -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wundef -Wcast-qual -Wwrite-strings
  -Wimplicit-fallthrough -fvisibility=hidden -ffp-contract=off -fstack-protector-strong)
add_compile_definitions(_POSIX_C_SOURCE=200809L _FILE_OFFSET_BITS=64)
add_link_options(-Wl,-z,relro,-z,now)
if(TESS_WERROR)
  add_compile_options(-Werror)
endif()
if(TESS_SANITIZE)
  add_compile_options(-fsanitize=${TESS_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TESS_SANITIZE})
  add_compile_definitions(TESS_SANITIZED)
elseif(CMAKE_BUILD_TYPE STREQUAL "Release")
  add_compile_definitions(_FORTIFY_SOURCE=2)
endif()

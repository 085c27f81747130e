# Compiler, linker and warning flags of every target.
find_program(CCACHE ccache)
if(CCACHE)
  # Paths below the checkout are made relative, and the build folder stays out of the hash, so that a fresh clone
  # elsewhere is served from the cache. The sloppiness is what ccache asks for to cache users of precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime CCACHE_MAXSIZE=10G ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
  add_compile_options(-fdebug-prefix-map=${CMAKE_SOURCE_DIR}=.)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options(-fpch-preprocess)
  endif()
endif()

set(CMAKE_CXX_FLAGS_DEV "-O1 -g1 -fno-omit-frame-pointer")
set(CMAKE_C_FLAGS_DEV "-O1 -g1 -fno-omit-frame-pointer")

add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -fdiagnostics-color=auto)
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  add_compile_options(-Wthread-safety)
  if(LEADSMAN_SANITIZE)
    add_compile_options(-Werror)  # what builds the tests; clang-tidy has its own, and must pass over system headers
  endif()
endif()

if(LEADSMAN_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)  # which takes a batch's sources for headers
endif()
if(LEADSMAN_SANITIZE)
  # Optimising what the sanitizers have put in takes the compiler as long again, and the tests little.
  add_compile_options(-fsanitize=${LEADSMAN_SANITIZE} -fno-sanitize-recover=all $<$<CONFIG:Dev>:-O0>)
  add_compile_definitions(LEADSMAN_SANITIZED)  # for what cannot be done under them, or takes too long
  if(LEADSMAN_SANITIZE MATCHES thread)
    add_compile_definitions(LEADSMAN_THREAD_SANITIZED)
  endif()
  if(LEADSMAN_SANITIZE MATCHES address)
    add_compile_options(-fno-sanitize=null)  # AddressSanitizer stops at these by itself
  endif()
  add_link_options(-fsanitize=${LEADSMAN_SANITIZE})
endif()

find_program(MOLD mold)
if(MOLD)
  add_link_options(-fuse-ld=mold)
endif()

find_package(Threads REQUIRED)
link_libraries(Threads::Threads ${CMAKE_DL_LIBS})

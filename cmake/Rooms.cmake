# A room is a folder below src/: one static library, one test binary, one place in the layering.
#
#   leadsman_room(rollout LEVEL 5
#     DEPS base math events          # rooms of a lower level only
#     LIBS sqlite3                   # libraries from outside, private to the room's .cc files
#     [ONE_THREAD]                   # no test has two threads at work: left out of the ThreadSanitizer build
#     [PUBLIC_LIBS ...])             # rare: a library that the room's headers need
#
# Sources are found by name: *_test.cc and testing/*.cc go into <room>_test, *_fuzz.cc become fuzz targets, *_bench.cc
# benchmarks, everything else the library; of a *.proto protoc makes a part of it (src/room/foo.proto →
# #include "room/foo.pb.h"). A dependency on a room of the same or a higher level stops the configuration;
# tools/check_layering.py checks the same for every #include.

find_package(GTest REQUIRED)
set_property(GLOBAL PROPERTY LEADSMAN_ROOMS "")

# Where the checkout and the build are, for tests: in one small file of its own, so that no other object depends on the
# place of the checkout and ccache serves a fresh clone.
add_library(leadsman_test_paths STATIC ${CMAKE_SOURCE_DIR}/tests/support/test_paths.cc)
target_include_directories(leadsman_test_paths PUBLIC ${CMAKE_SOURCE_DIR}/tests)
target_compile_definitions(leadsman_test_paths PRIVATE
  LEADSMAN_SOURCE_DIR="${CMAKE_SOURCE_DIR}" LEADSMAN_BINARY_DIR="${CMAKE_BINARY_DIR}")

# With LEADSMAN_UNITY the compiler reads up to ten of a target's sources as one (tools/unity_batches.py says which may come
# together): half of its time, for builds that are seldom built anew in part. `dev` stays as it is: there a changed source
# costs itself alone, and each source shows that it includes what it needs. Sets `result` to what the target is to be built
# of. Not CMake's own UNITY_BUILD: it includes by absolute paths, and ccache could not serve a fresh clone.
function(leadsman_unity target result)
  if(NOT LEADSMAN_UNITY OR NOT ARGN)
    set(${result} ${ARGN} PARENT_SCOPE)
    return()
  endif()
  find_package(Python3 REQUIRED COMPONENTS Interpreter)
  execute_process(
    COMMAND ${Python3_EXECUTABLE} ${CMAKE_SOURCE_DIR}/tools/unity_batches.py
            ${CMAKE_BINARY_DIR}/unity/${target} ${ARGN}
    OUTPUT_VARIABLE sources COMMAND_ERROR_IS_FATAL ANY OUTPUT_STRIP_TRAILING_WHITESPACE)
  string(REPLACE "\n" ";" sources "${sources}")
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

# Sets `result` to what protoc makes of the room's *.proto. Paths and imports begin at src/.
function(leadsman_protos dir result)
  set(made "")
  file(GLOB_RECURSE protos CONFIGURE_DEPENDS ${dir}/*.proto)
  set(generated ${CMAKE_BINARY_DIR}/gen)
  foreach(proto IN LISTS protos)
    file(RELATIVE_PATH stem ${CMAKE_SOURCE_DIR}/src ${proto})
    string(REGEX REPLACE "\\.proto$" ".pb" stem ${stem})
    add_custom_command(
      OUTPUT ${generated}/${stem}.cc ${generated}/${stem}.h
      COMMAND ${CMAKE_COMMAND} -E make_directory ${generated}
      COMMAND protobuf::protoc --proto_path=${CMAKE_SOURCE_DIR}/src --cpp_out=${generated} ${proto}
      DEPENDS ${proto} VERBATIM)
    set_source_files_properties(${generated}/${stem}.cc PROPERTIES COMPILE_OPTIONS -w)
    list(APPEND made ${generated}/${stem}.cc ${generated}/${stem}.h)
  endforeach()
  set(${result} ${made} PARENT_SCOPE)
endfunction()

function(leadsman_room name)
  cmake_parse_arguments(ROOM "ONE_THREAD" "LEVEL;DIR" "DEPS;LIBS;PUBLIC_LIBS;TEST_DEPS;TEST_LIBS" ${ARGN})
  if(NOT ROOM_DIR)
    set(ROOM_DIR ${CMAKE_CURRENT_SOURCE_DIR}/${name})
  endif()
  set_property(GLOBAL APPEND PROPERTY LEADSMAN_ROOMS ${name})
  set_property(GLOBAL PROPERTY LEADSMAN_LEVEL_${name} ${ROOM_LEVEL})
  foreach(dep IN LISTS ROOM_DEPS)
    get_property(level GLOBAL PROPERTY LEADSMAN_LEVEL_${dep})
    if("${level}" STREQUAL "" OR NOT level LESS ROOM_LEVEL)
      message(FATAL_ERROR "layering: room '${name}' (level ${ROOM_LEVEL}) may not depend on '${dep}' (level '${level}')")
    endif()
  endforeach()

  file(GLOB_RECURSE all CONFIGURE_DEPENDS ${ROOM_DIR}/*.cc)
  set(sources ${all})
  list(FILTER sources EXCLUDE REGEX "(_test|_fuzz|_bench)\\.cc$|/testing/")
  leadsman_protos(${ROOM_DIR} generated)
  set(tests ${all})
  list(FILTER tests INCLUDE REGEX "_test\\.cc$|/testing/")
  set(fuzzers ${all})
  list(FILTER fuzzers INCLUDE REGEX "_fuzz\\.cc$")
  set(benches ${all})
  list(FILTER benches INCLUDE REGEX "_bench\\.cc$")

  if(LEADSMAN_SANITIZE MATCHES thread)
    set(fuzzers "")  # a corpus is replayed by one thread
    if(ROOM_ONE_THREAD)
      set(tests "")
    endif()
  endif()

  list(TRANSFORM ROOM_DEPS PREPEND leadsman_ OUTPUT_VARIABLE deps)
  list(TRANSFORM ROOM_TEST_DEPS PREPEND leadsman_ OUTPUT_VARIABLE test_deps)
  if(sources)
    leadsman_unity(leadsman_${name} units ${sources})
    add_library(leadsman_${name} STATIC ${units} ${generated})
    target_include_directories(leadsman_${name} PUBLIC ${CMAKE_SOURCE_DIR}/src)
    if(generated)
      target_include_directories(leadsman_${name} SYSTEM PUBLIC ${CMAKE_BINARY_DIR}/gen)
    endif()
    target_link_libraries(leadsman_${name} PUBLIC ${deps} ${ROOM_PUBLIC_LIBS} PRIVATE ${ROOM_LIBS})
    set(visibility PUBLIC)
  else()
    add_library(leadsman_${name} INTERFACE)
    target_include_directories(leadsman_${name} INTERFACE ${CMAKE_SOURCE_DIR}/src)
    target_link_libraries(leadsman_${name} INTERFACE ${deps} ${ROOM_PUBLIC_LIBS})
  endif()

  if(tests AND NOT LEADSMAN_FUZZ)
    leadsman_unity(${name}_test units ${tests})
    add_executable(${name}_test ${units})
    target_link_libraries(${name}_test PRIVATE leadsman_${name} ${test_deps} ${ROOM_LIBS} ${ROOM_TEST_LIBS}
                          GTest::gtest_main GTest::gtest)
    target_link_libraries(${name}_test PRIVATE leadsman_test_paths)
    if(NOT LEADSMAN_UNITY)  # which makes fewer parts than a precompiled header is worth
      target_precompile_headers(${name}_test PRIVATE <gtest/gtest.h> <string> <vector> <memory> <functional>)
    endif()
    add_test(NAME ${name} COMMAND ${name}_test)
    set_tests_properties(${name} PROPERTIES TIMEOUT 1200)
  endif()

  foreach(source IN LISTS fuzzers)
    get_filename_component(target ${source} NAME_WE)
    if(LEADSMAN_FUZZ)
      add_executable(${target} ${source})
      target_compile_options(${target} PRIVATE -fsanitize=fuzzer)
      target_link_options(${target} PRIVATE -fsanitize=fuzzer)
      target_link_libraries(${target} PRIVATE leadsman_${name} ${test_deps} ${ROOM_LIBS})
    else()
      # The corpus replays in the normal test run: the same target, driven by a plain main().
      add_executable(${target}_replay ${source} ${CMAKE_SOURCE_DIR}/tests/fuzz/replay_main.cc)
      target_link_libraries(${target}_replay PRIVATE leadsman_${name} ${test_deps} ${ROOM_LIBS})
      add_test(NAME ${target}_replay COMMAND ${target}_replay ${CMAKE_SOURCE_DIR}/tests/fuzz/corpus/${target})
    endif()
  endforeach()

  if(benches AND NOT LEADSMAN_FUZZ AND NOT LEADSMAN_SANITIZE)
    find_package(benchmark REQUIRED)
    add_executable(${name}_bench ${benches})
    target_link_libraries(${name}_bench PRIVATE leadsman_${name} ${test_deps} ${ROOM_LIBS}
                          leadsman_test_paths benchmark::benchmark_main)
  endif()
endfunction()

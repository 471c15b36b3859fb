# A folder of src/ is a module is a target.
#
#   qvl_module(NAME USES module... [LIBRARIES target...])
#
# Compiles src/NAME/**/*.cpp into qvl_NAME and src/NAME/**/*_test.cpp into qvl_NAME_test. USES lists the modules whose
# headers this one may include; tools/tidy reads the same line and refuses any other include.

add_library(qvl_compile_options INTERFACE)
# Ours, not those of programs that use the library installed.
target_compile_options(qvl_compile_options INTERFACE
  $<BUILD_INTERFACE:-Wall> $<BUILD_INTERFACE:-Wextra> $<BUILD_INTERFACE:-Wpedantic> $<BUILD_INTERFACE:-Wshadow>
  $<BUILD_INTERFACE:-Wnon-virtual-dtor> $<BUILD_INTERFACE:-Woverloaded-virtual>
  # Results must not depend on whether a compiler fuses a product and a sum.
  $<BUILD_INTERFACE:-ffp-contract=off>
  $<BUILD_INTERFACE:$<$<BOOL:${QVL_WERROR}>:-Werror>>)
target_include_directories(qvl_compile_options INTERFACE
  $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include> $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
if(QVL_SANITIZE)
  target_compile_options(qvl_compile_options INTERFACE -fsanitize=${QVL_SANITIZE} -fno-omit-frame-pointer
                         -fno-sanitize-recover=all)
  target_link_options(qvl_compile_options INTERFACE -fsanitize=${QVL_SANITIZE})
endif()

# Sources named after an instruction set (x_avx2.cpp), and only those, are compiled for it.
function(qvl_instruction_set suffix flags)
  list(FILTER ARGN INCLUDE REGEX "_${suffix}\\.cpp$")
  set_source_files_properties(${ARGN} PROPERTIES COMPILE_OPTIONS "${flags}")
endfunction()

function(qvl_module name)
  cmake_parse_arguments(arg "" "" "USES;LIBRARIES" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/${name}/*.cpp)
  set(tests ${sources})
  list(FILTER sources EXCLUDE REGEX "_test\\.cpp$")
  list(FILTER tests INCLUDE REGEX "_test\\.cpp$")
  add_library(qvl_${name} STATIC ${sources})
  qvl_instruction_set(avx2 "-mavx2;-mfma;-mf16c" ${sources})
  qvl_instruction_set(avxvnni "-mavx2;-mfma;-mf16c;-mavxvnni" ${sources})
  # GCC 12 warns of the registers that its own header leaves undefined on purpose.
  qvl_instruction_set(avx512 "-mavx2;-mfma;-mf16c;-mavx512f;-mavx512bw;-mavx512dq;-mavx512vl;-mavx512vnni;\
-Wno-uninitialized;-Wno-maybe-uninitialized" ${sources})
  set_target_properties(qvl_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  target_include_directories(qvl_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/src>)
  set_property(GLOBAL APPEND PROPERTY QVL_MODULES qvl_${name})
  list(TRANSFORM arg_USES PREPEND qvl_)
  target_link_libraries(qvl_${name} PUBLIC qvl_compile_options ${arg_USES} ${arg_LIBRARIES})
  if(QVL_BUILD_TESTS AND tests)
    add_executable(qvl_${name}_test ${tests})
    target_link_libraries(qvl_${name}_test PRIVATE qvl_${name} GTest::gmock GTest::gtest_main)
    target_compile_definitions(qvl_${name}_test PRIVATE QVL_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
    gtest_discover_tests(qvl_${name}_test TEST_PREFIX ${name}. DISCOVERY_TIMEOUT 60)
  endif()
endfunction()

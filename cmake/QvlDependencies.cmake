# Third-party libraries, all from Debian packages: those of the library, and what only programs and tests need.
include(QvlLibraries)
find_package(CLI11 REQUIRED)
if(QVL_BUILD_TESTS)
  find_package(GTest REQUIRED)
  include(GoogleTest)
endif()
